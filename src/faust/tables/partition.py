"""One partition of one table: what was read or written, what was recovered, what has still to be sent.

Three places, looked into in this order:

* ``live``: decoded values that this process has read or written;
* ``dirty`` and ``sending``: keys changed since the last flush, and keys of the flush under way. A key in one of them
  that is not in ``live`` is deleted, whatever the store says;
* the store: bytes as in the changelog.

A write touches ``live`` and ``dirty`` and nothing else; that is why tables are fast. The flush (`PartitionFlush`)
encodes each dirty key once, sends it, waits, and only then changes the store, together with the changelog offset that
it has reached: the store is never ahead of its changelog.

With a volatile store (memory) an entry is in ``live`` or in the store, never in both for long: reading moves it. With
a durable store ``live`` is a cache of it.

Invariant: keys(partition) = keys(store) - dirty - sending + keys(live).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from faust.messages import TP, Record
from faust.stores.base import Change, PartitionStore
from faust.tables.codec import TableCodec
from faust.transport.base import Delivery

__all__ = ["MISSING", "Append", "PartitionFlush", "TablePartition"]

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
"""Stands for 'no such key'."""


Append = Callable[[str, int, bytes | None, bytes | None], Delivery]
"""The producer's way in: topic, partition, key, value."""


class TablePartition:
    """The state of one partition.

    Attributes:
        tp: The changelog's partition.
        live: Decoded values by key. Always the same dict.
        dirty: Keys changed since the last flush; the value is the encoded key where it is known. Always the same dict.
        sending: Keys of the flush under way.
        generation: Generation whose events may use it; None while it is recovered, and between two assignments.
        complete: Holds everything that its changelog held when recovery ended.
        closed: It was given away; nothing of it is sent or stored any more.
        buffer_size: Changelog records that recovery collects before it writes them to the store.
    """

    __slots__ = (
        "_collected",
        "_reached",
        "buffer_size",
        "closed",
        "codec",
        "complete",
        "dirty",
        "generation",
        "live",
        "sending",
        "store",
        "tp",
        "volatile",
    )

    def __init__(
        self,
        tp: TP,
        codec: TableCodec,
        store: PartitionStore,
        *,
        volatile: bool,
        buffer_size: int = 1000,
    ) -> None:
        self.tp: TP = tp
        self.codec: TableCodec = codec
        self.store: PartitionStore = store
        self.volatile: bool = volatile
        self.live: dict[Any, Any] = {}
        self.dirty: dict[Any, bytes | None] = {}
        self.sending: dict[Any, bytes | None] = {}
        self.generation: int | None = None
        self.complete: bool = False
        self.closed: bool = False
        self.buffer_size: int = buffer_size
        self._collected: list[Change] = []
        self._reached: int | None = None

    def __repr__(self) -> str:
        return (
            f"<TablePartition {self.tp.topic}[{self.tp.partition}] live={len(self.live)} "
            f"dirty={len(self.dirty)} next_offset={self.store.persisted_offset}>"
        )

    # -- reading

    def find(self, key: Any) -> Any:
        """Return the value of *key*, or `MISSING`."""
        value = self.live.get(key, MISSING)
        if value is not MISSING:
            return value
        raw_key, raw = self._stored(key)
        if raw is None:
            return MISSING
        value = self.codec.decode_value(self.tp, key, raw)
        if self.volatile:
            self.store.write(((raw_key, None),), None)
        self.live[key] = value
        return value

    def has(self, key: Any) -> bool:
        """Say whether *key* is there, without decoding its value."""
        return key in self.live or self._stored(key)[1] is not None

    def _stored(self, key: Any) -> tuple[bytes, bytes | None]:
        """Return key and value bytes of a key that is not live."""
        if key in self.dirty or key in self.sending or self.store.is_empty():
            return b"", None
        raw_key = self.codec.encode_key(key)
        return raw_key, self.store.get(raw_key)

    def keys(self) -> Iterator[Any]:
        """Iterate over the keys as they are now: recovered ones first, then in the order they were first touched."""
        live = dict.fromkeys(self.live)
        hidden = self.dirty.keys() | self.sending.keys()
        recovered = self.store.keys()
        for raw in recovered:
            key = self.codec.decode_key(self.tp, raw)
            if key not in live and key not in hidden:
                yield key
        yield from live

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over `keys` with their present values; keys deleted meanwhile are left out."""
        for key in self.keys():
            value = self.find(key)
            if value is not MISSING:
                yield key, value

    def first(self) -> Any:
        """Return the first key, in the order of `keys`; `MISSING` when there is none."""
        if self.store.is_empty():
            return next(iter(self.live), MISSING)
        return next(self.keys(), MISSING)

    def __len__(self) -> int:
        if self.store.is_empty():
            return len(self.live)
        changed = self.dirty.keys() | self.sending.keys()
        replaced = sum(self.store.get(self.codec.encode_key(key)) is not None for key in changed)
        cached = 0 if self.volatile else sum(key not in changed for key in self.live)
        return len(self.live) + len(self.store) - replaced - cached

    # -- writing

    def delete(self, key: Any) -> None:
        """Delete *key*; KeyError, and nothing is done, when it is not there."""
        if key in self.live:
            del self.live[key]
            self.dirty[key] = None
            return
        raw_key, raw = self._stored(key)
        if raw is None:
            raise KeyError(key)
        self.dirty[key] = raw_key

    def clear(self) -> None:
        """Delete every key."""
        self.dirty.update(dict.fromkeys(self.keys()))
        self.live.clear()

    # -- recovery

    def apply(self, records: Sequence[Record], next_offset: int) -> int:
        """Take over records of the changelog, in order; return how many had no key and so say nothing.

        They are collected, `buffer_size` at least, before the store is changed; `write_out` ends a collection.
        """
        collected = self._collected
        before = len(collected)
        collected += [(record.key, record.value) for record in records if record.key is not None]
        self._reached = next_offset
        left_out = len(records) - (len(collected) - before)
        if len(collected) >= self.buffer_size:
            self.write_out()
        return left_out

    def write_out(self, next_offset: int | None = None) -> None:
        """Bring the store to where `apply` is; or to *next_offset*, if nothing was left to read before it."""
        changes, self._collected = self._collected, []
        if self.live:
            self._forget(changes)
        self.store.write(changes, self._reached if next_offset is None else next_offset)

    def _forget(self, changes: Sequence[Change]) -> None:
        """Drop decoded values that the changelog replaces; our own unsent changes come after it, and stay."""
        for raw, _ in changes:
            key = self.codec.decode_key(self.tp, raw)
            if key not in self.dirty and key not in self.sending:
                self.live.pop(key, None)

    def begin(self) -> None:
        """A recovery begins: what an interrupted one collected and did not write is read again."""
        self._collected = []
        self._reached = None

    def wipe(self) -> None:
        """Forget everything, to be rebuilt from the changelog."""
        self.begin()
        self.live.clear()
        self.dirty.clear()
        self.sending = {}
        self.complete = False
        self.store.clear()

    def roll_back(self) -> None:
        """Undo what was not flushed: it belongs to events that nobody has finished, and that will come again."""
        if not self.dirty and not self.sending:
            return
        if self.volatile:
            self.wipe()
        else:
            self.live.clear()
            self.dirty.clear()
            self.sending = {}

    def close(self) -> None:
        """Give the partition away, with its unsent changes."""
        if not self.closed:
            self.closed = True
            self.complete = False
            self.generation = None
            self.live.clear()
            self.dirty.clear()
            self.begin()
            self.store.close()


class PartitionFlush:
    """One flush of one partition: takes its dirty keys, and ends in `settle` or in `undo`."""

    def __init__(self, partition: TablePartition) -> None:
        self.partition = partition
        self._keys = partition.sending = dict(partition.dirty)
        partition.dirty.clear()
        self._left = iter(self._keys.items())
        self._changes: list[Change] = []
        self._last: Delivery | None = None
        volatile = partition.volatile
        self._keep_values = not volatile
        self._keep_keys = not (volatile and partition.store.is_empty())

    def append_some(self, append: Append, limit: int) -> bool:
        """Encode and append up to *limit* keys; say whether some are left.

        Raises:
            TypeError: A key or value cannot be encoded; naming table and key.
            RecordTooLarge: As raised by *append*.
        """
        partition = self.partition
        live, tp = partition.live, partition.tp
        topic, number = tp
        encode_key, encode_value = partition.codec.encode_key, partition.codec.encode_value
        changes, keep_keys, keep_values = self._changes, self._keep_keys, self._keep_values
        count = 0
        for key, known in islice(self._left, limit):
            raw_key = known or encode_key(key)
            value = live.get(key, MISSING)
            raw = None if value is MISSING else encode_value(key, value)
            self._last = append(topic, number, raw_key, raw)
            if keep_keys:
                changes.append((raw_key, b"%b" % raw if keep_values and raw is not None else None))
            count += 1
        return count == limit

    async def settle(self) -> None:
        """Everything appended is acknowledged: bring the store to the same state."""
        partition = self.partition
        if partition.sending is not self._keys or partition.closed:
            return
        if self._last is not None:
            offset = (await self._last).offset
            partition.store.write(self._changes, offset + 1 if offset >= 0 else None)
        partition.sending = {}

    def undo(self) -> None:
        """It failed: the keys are dirty again."""
        partition = self.partition
        if partition.sending is self._keys and not partition.closed:
            for key, raw_key in self._keys.items():
                partition.dirty.setdefault(key, raw_key)
            partition.sending = {}
