"""Removing what has expired: windows, with their close callback, and keys with a ttl.

A window is closed in this order: its callback is awaited, what the callback has sent is acknowledged, the key is deleted,
and the next flush sends the tombstone. So a crash in between calls the callback again, and a callback that raises is
called again at the next round. Nobody writes to the window meanwhile: the time of the partition is past it.

The work is done in batches: as many keys as `BATCH`, or as take `PATIENCE`, share one wait for the broker, one deletion and one
look at what goes on around. While a batch is under way no partition is given away (`Cleaner.lock`); between two of them it may be.
Within a batch others run every `AT_ONCE` keys, or after as much time as they took themselves: closing a window is less work than
opening one, so with half of the time windows are closed as fast as agents can open them, and those that have ended never pile up.
Nobody deletes faster than the changelog takes tombstones: with `AHEAD` times as many as start a flush waiting, the next batch
waits, too, so memory does not grow with the number of windows that end at once.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Set
from itertools import islice
from math import inf
from time import monotonic
from typing import Any

from faust.exceptions import FaustError
from faust.gate import Gate
from faust.tables.base import Collection
from faust.tables.codec import Packed
from faust.tables.expiry import TtlIndex, WindowIndex
from faust.tables.partition import MISSING, TablePartition
from faust.windows import WindowRange

__all__ = ["Cleaner"]

logger: logging.Logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Keys between two moments at which others may run."""
LONGEST_TURN = 0.05
"""Seconds after which others run, however long they took themselves."""
BATCH = 5000
"""Keys for whose callbacks the broker is waited for once."""
PATIENCE = 0.1
"""Seconds after which a batch ends, however few keys it has: the callback is slow."""
AHEAD = 4
"""How many times as many keys as start a flush may wait for it."""
AHEAD_POLL = 0.005
ANSWERED = 10.0
"""Seconds in which the broker has to say where partitions end; else they are not known to be idle."""

Slices = Iterator[tuple[WindowRange, list[bytes]]]
"""Keys (their bytes) of one range each, `AT_ONCE` at most."""


class _Turns:
    """Takes turns with everything else on the event loop: as much time for the cleaner as the others have just taken."""

    def __init__(self) -> None:
        self._ends = -inf

    async def pause(self) -> None:
        """Let others run, unless it is still our turn."""
        now = monotonic()
        if now < self._ends:
            return
        await asyncio.sleep(0)
        back = monotonic()
        self._ends = back + min(back - now, LONGEST_TURN)


class Cleaner:
    """Goes through the tables again and again.

    Arguments:
        tables: Gives them.
        interval: Seconds between two rounds.
        sent: Returns how many records were sent so far.
        sync: Awaited when callbacks have sent something, until it is acknowledged.
        busy: Returns the numbers of partitions that have something to do; see `faust.transport.consumer.Consumer.busy`.
        gate: Each batch is a unit of work.
    """

    def __init__(
        self,
        tables: Callable[[], Iterable[Collection[Any, Any]]],
        *,
        interval: float,
        sent: Callable[[], int],
        sync: Callable[[], Awaitable[None]],
        busy: Callable[[], Awaitable[frozenset[int]]],
        gate: Gate,
    ) -> None:
        self.lock: asyncio.Lock = asyncio.Lock()
        self._tables = tables
        self._interval = interval
        self._sent = sent
        self._sync = sync
        self._busy = busy
        self._gate = gate
        self._turns = _Turns()

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
        idle = await self._idle()
        for table in list(self._tables()):
            for partition in list(table.held.values()):
                expiry = partition.expiry
                if isinstance(expiry, WindowIndex):
                    expiry.tick(elapsed if partition in idle else 0.0)
                    await self._close_windows(table, partition, expiry)
                elif isinstance(expiry, TtlIndex):
                    await self._expire(table, partition, expiry)

    async def _idle(self) -> Set[TablePartition]:
        """Return the partitions whose time goes on by itself: nothing is written to them, and nothing is left to be.

        An agent that hangs, a flow that is held up, a recovery: all these write nothing, too, but what waits meanwhile belongs to
        the windows of its own time.
        """
        resting = {
            partition
            for table in self._tables()
            for partition in table.held.values()
            if isinstance(partition.expiry, WindowIndex)
            and partition.expiry.resting
            and _usable(table, partition)
        }
        if not resting:
            return resting
        try:
            async with asyncio.timeout(ANSWERED):
                busy = await self._busy()
        except (TimeoutError, FaustError) as exc:
            logger.debug("Tables: it is not known whether partitions are idle: %r", exc)
            return set()
        return {partition for partition in resting if partition.tp.partition not in busy}

    # -- windows

    async def _close_windows(
        self, table: Collection[Any, Any], partition: TablePartition, index: WindowIndex
    ) -> None:
        lateness, retention = table.lateness, table.retention
        if lateness is None or retention is None or not _usable(table, partition):
            return
        kept = retention > lateness and table.on_window_close is not None
        number = partition.tp.partition
        ahead = table.closed_ahead(number)
        if kept:
            if table.closed_marks is not None:  # and if they were undone the callbacks were, too
                index.closed = table.closed_until(number)
            held_up = False
            for window_range in index.ended(lateness):
                if not await self._close_kept(
                    table, partition, index, window_range, ahead, held_up
                ):
                    if table.closed_marks is None or not _usable(table, partition):
                        break
                    held_up = True
        ended = index.ended(retention)
        if kept:  # those that were not called for yet have to wait
            ended = [each for each in ended if table.end_of(each) <= index.closed or each in ahead]
        if not ended:
            return
        callback = None if kept else table.on_window_close
        slices = _slices(index, ended)
        more = True
        while more:
            async with self._gate.unit(), self.lock:
                if kept and not _stands(table, partition, index, ahead):
                    return
                gone, more = await self._call_some(table, partition, index, callback, slices)
                if _usable(table, partition):
                    _delete(table, partition, gone)
                    if not more and not kept:
                        table.note_closed(number, table.end_of(ended[-1]))
                    elif not more and ahead:
                        _forget_marks(table, partition, index, ahead)
            await self._wait_for_flush(table, partition)
        if partition.dirty:
            table.on_full()

    async def _wait_for_flush(self, table: Collection[Any, Any], partition: TablePartition) -> None:
        """Let others run; for as long as too much waits for the changelog."""
        await self._turns.pause()
        while len(partition.dirty) >= AHEAD * table.max_dirty and _usable(table, partition):
            await asyncio.sleep(AHEAD_POLL)

    async def _close_kept(
        self,
        table: Collection[Any, Any],
        partition: TablePartition,
        index: WindowIndex,
        window_range: WindowRange,
        ahead: set[WindowRange],
        held_up: bool,
    ) -> bool:
        """Close a window that stays readable; say whether all its keys are through.

        `WindowIndex.closed` and its mark stay below the first window that is not. Those after it (they are *held_up*) get marks of
        their own; *ahead* are the ranges that have one.
        """
        end = table.end_of(window_range)
        if end <= index.closed or (held_up and window_range in ahead):
            return True
        slices = _slices(index, [window_range])
        more = window_range not in ahead
        while more:
            async with self._gate.unit(), self.lock:
                done, more = await self._call_some(
                    table, partition, index, table.on_window_close, slices, but=index.called
                )
                index.called.update(done)
                partition.trim()
            await self._turns.pause()
        async with self._gate.unit(), self.lock:
            keys = index.keys_of(window_range)
            number, marks = partition.tp.partition, table.closed_marks
            if not _usable(table, partition):
                return False
            if marks is not None and table.closed_until(number) != index.closed:  # it was undone
                return False
            if window_range in ahead:
                if not marks.held[number].has(window_range):
                    return False
            elif not index.called.issuperset(keys):
                return False
            index.called.difference_update(keys)
            if held_up:
                marks.put(marks.held[number], window_range, 1)
                ahead.add(window_range)
                return True
            index.closed = end
            table.note_closed(number, end)
            if window_range in ahead:
                marks.held[number].delete(window_range)
                ahead.discard(window_range)
        return True

    async def _call_some(
        self,
        table: Collection[Any, Any],
        partition: TablePartition,
        index: WindowIndex,
        callback: Callable[[Any, Any], Any] | None,
        slices: Slices,
        but: Container[bytes] = (),
    ) -> tuple[dict[bytes, Any], bool]:
        """Call the close callback for a batch of *slices*, leaving out the keys in *but*.

        Returns:
            The keys for which it has succeeded, and whether there may be more slices.
        """
        done: dict[bytes, Any] = {}
        ends = monotonic() + PATIENCE
        count = 0
        more = have_sent = False
        for window_range, raws in slices:
            if not _usable(table, partition):
                break
            keys = index.decode(partition.tp, window_range, [raw for raw in raws if raw not in but])
            if callback is not None:
                before = self._sent()
                await self._call(table, partition, callback, keys)
                have_sent = have_sent or self._sent() != before
            done |= keys
            count += len(raws)
            if len(done) >= BATCH or monotonic() >= ends:
                more = True
                break
            if count >= AT_ONCE:
                count = 0
                await self._turns.pause()
        if have_sent:
            await self._sync()
        return done, more

    async def _call(
        self,
        table: Collection[Any, Any],
        partition: TablePartition,
        callback: Callable[[Any, Any], Any],
        keys: dict[bytes, Any],
    ) -> None:
        """Call the close callback for keys of a window; take those out for which it has failed."""
        find, held = partition.find, partition.live.get
        partition.load(keys)
        failed = []
        for raw, key in keys.items():
            value = held(key, MISSING)
            if value is MISSING or value.__class__ is Packed:
                value = find(key)
            try:
                if value is not MISSING:
                    result = callback(key, value)
                    if result is not None and inspect.isawaitable(result):
                        await result
            except Exception as exc:
                failed.append(raw)
                logger.exception(
                    "Table %r: on_window_close failed for key %r in the window %s; it is called again in %g s",
                    table.name,
                    *key,
                    self._interval,
                )
                table.app.sensors.on_table_close_error(table, key, exc)
        for raw in failed:
            del keys[raw]

    # -- keys with a ttl

    async def _expire(
        self, table: Collection[Any, Any], partition: TablePartition, index: TtlIndex
    ) -> None:
        while index.unnoted:  # the store is older than the ttl of the table: a restart is to find how old its keys are
            async with self._gate.unit(), self.lock:
                if not _usable(table, partition):
                    return
                partition.store.write((), None, index.missing_notes(AT_ONCE))
            await self._turns.pause()
        due = iter(index.due())
        while raws := list(islice(due, AT_ONCE)):
            async with self._gate.unit(), self.lock:
                if not _usable(table, partition):
                    return
                keys = {raw: partition.key_of(raw) for raw in raws if index.is_due(raw)}
                dirty, sending = partition.dirty, partition.sending  # changed since: not old at all
                old = {r: k for r, k in keys.items() if k not in dirty and k not in sending}
                _delete(table, partition, old)
            await self._wait_for_flush(table, partition)
        if partition.dirty:
            table.on_full()


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


def _stands(
    table: Collection[Any, Any],
    partition: TablePartition,
    index: WindowIndex,
    ahead: Set[WindowRange],
) -> bool:
    """Say whether the marks of closed windows are as this round has left them, and were not undone."""
    if table.closed_marks is None:
        return True
    number = partition.tp.partition
    return table.closed_until(number) == index.closed and table.closed_ahead(number) == ahead


def _forget_marks(
    table: Collection[Any, Any],
    partition: TablePartition,
    index: WindowIndex,
    ahead: Set[WindowRange],
) -> None:
    """Delete the marks of single windows that are gone; but the latest one's, which says how late it is."""
    marks = table.closed_marks.held[partition.tp.partition]
    for each in ahead - {max(ahead, key=table.end_of)}:
        if each not in index.ranges:
            marks.delete(each)


def _delete(table: Collection[Any, Any], partition: TablePartition, keys: dict[bytes, Any]) -> None:
    deleted = partition.delete_all(keys)
    table.keys_deleted += len(deleted)
    hook = table.app.sensors.hooks.on_table_del
    if hook is not None:
        for key in deleted:
            hook(table, key)
    if len(partition.dirty) >= table.max_dirty:
        table.on_full()


def _slices(index: WindowIndex, ranges: Iterable[WindowRange]) -> Slices:
    for window_range in ranges:
        left = iter(index.keys_of(window_range))
        while raws := list(islice(left, AT_ONCE)):
            yield window_range, raws
