"""Removing what has expired: windows, with their close callback, and keys with a ttl.

A window is closed in this order: its callback is awaited, what the callback has sent is acknowledged, the key is deleted,
and the next flush sends the tombstone. So a crash in between calls the callback again, and a callback that raises is
called again at the next round. Nobody writes to the window meanwhile: the time of the partition is past it.

The work is done in batches; between two of them others run, and partitions may go away. While a batch is under way no
partition is given away (`Cleaner.lock`).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from time import monotonic
from typing import Any

from faust.gate import Gate
from faust.tables.base import Collection
from faust.tables.expiry import TtlIndex, WindowIndex
from faust.tables.partition import MISSING, TablePartition
from faust.windows import WindowRange

__all__ = ["Cleaner"]

logger: logging.Logger = logging.getLogger(__name__)

BATCH = 500
"""Keys between two moments at which others may run."""


class Cleaner:
    """Goes through the tables again and again.

    Arguments:
        tables: Gives them.
        interval: Seconds between two rounds.
        sync: Awaited when callbacks were called: what they have sent has to be acknowledged.
        gate: Each batch is a unit of work.
    """

    def __init__(
        self,
        tables: Callable[[], Iterable[Collection[Any, Any]]],
        *,
        interval: float,
        sync: Callable[[], Awaitable[None]],
        gate: Gate,
    ) -> None:
        self.lock: asyncio.Lock = asyncio.Lock()
        self._tables = tables
        self._interval = interval
        self._sync = sync
        self._gate = gate

    async def run(self) -> None:
        """Clean for ever."""
        began = monotonic()
        while True:
            await asyncio.sleep(self._interval)
            now = monotonic()
            await self.clean(now - began)
            began = now

    async def clean(self, elapsed: float) -> None:
        """Do one round; *elapsed* seconds have passed since the last."""
        for table in list(self._tables()):
            for partition in list(table.held.values()):
                expiry = partition.expiry
                if isinstance(expiry, WindowIndex):
                    expiry.tick(elapsed)
                    await self._close_windows(table, partition, expiry)
                elif isinstance(expiry, TtlIndex):
                    await self._expire(table, partition, expiry)

    # -- windows

    async def _close_windows(
        self, table: Collection[Any, Any], partition: TablePartition, index: WindowIndex
    ) -> None:
        lateness, retention = table.lateness, table.retention
        if lateness is None or retention is None or not _usable(table, partition):
            return
        kept = retention > lateness and table.on_window_close is not None
        if kept:
            index.closed = max(index.closed, table.closed_until(partition.tp.partition))
            for window_range in index.ended(lateness):
                if not await self._close_kept(table, partition, index, window_range):
                    break
        for window_range in index.ended(retention):
            if kept and table.end_of(window_range) > index.closed:
                break  # not called for yet
            for raws in _batches(index.keys_of(window_range)):
                async with self._gate.unit(), self.lock:
                    if not _usable(table, partition):
                        return
                    gone = {raw: partition.key_of(raw) for raw in raws}
                    if not kept:
                        gone = await self._call(table, partition, gone)
                    if _usable(table, partition):
                        _delete(table, partition, gone)
                await asyncio.sleep(0)

    async def _close_kept(
        self,
        table: Collection[Any, Any],
        partition: TablePartition,
        index: WindowIndex,
        window_range: WindowRange,
    ) -> bool:
        """Close a window that stays readable; say whether all its keys are through."""
        end = table.end_of(window_range)
        if end <= index.closed:
            return True
        for raws in _batches(index.keys_of(window_range)):
            async with self._gate.unit(), self.lock:
                if not _usable(table, partition):
                    return False
                called = index.called
                left = {raw: partition.key_of(raw) for raw in raws if raw not in called}
                done = await self._call(table, partition, left)
                index.called.update(done)
                if len(done) < len(left):
                    return False
            await asyncio.sleep(0)
        async with self._gate.unit(), self.lock:
            if not _usable(table, partition):
                return False
            index.called.difference_update(index.keys_of(window_range))
            index.closed = end
            table.note_closed(partition.tp.partition, end)
        return True

    async def _call(
        self,
        table: Collection[Any, Any],
        partition: TablePartition,
        keys: dict[bytes, Any],
    ) -> dict[bytes, Any]:
        """Call the close callback for keys of a window; return those for which it has succeeded."""
        callback = table.on_window_close
        if callback is None:
            return keys
        done = {}
        for raw, key in keys.items():
            value = partition.find(key)
            try:
                if value is not MISSING:
                    result = callback(key, value)
                    if inspect.isawaitable(result):
                        await result
            except Exception as exc:
                logger.exception(
                    "Table %r: on_window_close failed for key %r in the window %s; it is called again in %g s",
                    table.name,
                    *key,
                    self._interval,
                )
                table.app.sensors.on_table_close_error(table, key, exc)
            else:
                done[raw] = key
        if done:
            await self._sync()
        return done

    # -- keys with a ttl

    async def _expire(
        self, table: Collection[Any, Any], partition: TablePartition, index: TtlIndex
    ) -> None:
        for raws in _batches(index.due()):
            async with self._gate.unit(), self.lock:
                if not _usable(table, partition):
                    return
                due = {raw: partition.key_of(raw) for raw in raws if index.is_due(raw)}
                _delete(table, partition, due)
            await asyncio.sleep(0)


def _usable(table: Collection[Any, Any], partition: TablePartition) -> bool:
    """Say whether *partition*, and what goes with it, is held and recovered."""
    number = partition.tp.partition
    if (
        table.held.get(number) is not partition
        or partition.generation is None
        or not partition.owned
    ):
        return False
    return all(
        other is None
        or ((held := other.held.get(number)) is not None and held.generation is not None)
        for other in table.companions
    )


def _delete(table: Collection[Any, Any], partition: TablePartition, keys: dict[bytes, Any]) -> None:
    hook = table.app.sensors.hooks.on_table_del
    for raw, key in keys.items():
        try:
            partition.delete(key, raw)
        except KeyError:  # gone already, and only the index does not know
            if partition.expiry is not None:
                partition.expiry.deleted(key)
            continue
        table.keys_deleted += 1
        if hook is not None:
            hook(table, key)
    if partition.dirty:
        table.on_full()


def _batches(raws: list[bytes]) -> Iterable[list[bytes]]:
    left = iter(raws)
    while batch := list(islice(left, BATCH)):
        yield batch
