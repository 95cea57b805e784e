"""One partition of one table: what was read or written, what was recovered, what has still to be sent.

Three places, looked into in this order:

* ``live``: values that this process has read or written, as `TableCodec.admit` has them held;
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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from faust.exceptions import ConsistencyError
from faust.messages import TP, Record
from faust.stores.base import Change, PartitionStore
from faust.tables.codec import Packed, TableCodec
from faust.transport.base import Delivery

__all__ = ["MISSING", "Append", "Expiry", "PartitionFlush", "TablePartition"]

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
"""Stands for 'no such key'."""


class Expiry(Protocol):
    """Knows which keys of a partition have to go, and when."""

    wants_stamps: bool
    """The times of changelog records matter."""

    def added(self, key: Any, raw: bytes) -> None:
        """A key that was not live is written."""
        ...

    def deleted(self, key: Any, raw: bytes | None = None) -> None:
        """A key is deleted."""
        ...

    def lacks(self, key: Any, raw: bytes) -> bool:
        """Say that a key is certainly not there; False when that is not known."""
        ...

    def deleted_all(self, keys: Mapping[bytes, Any]) -> None:
        """Keys, by their bytes, are deleted."""
        ...

    def clear(self) -> None:
        """All keys are deleted."""
        ...

    def forget(self) -> None:
        """Know nothing, as before `rebuild`."""
        ...

    def rewind(self) -> None:
        """What was not flushed is undone; `rebuild` comes after that."""
        ...

    def flushed(self, changes: Sequence[Change]) -> Iterable[Change]:
        """These changes are in the changelog; return the notes to keep with them."""
        ...

    def replayed(self, changes: Sequence[Change], stamps: Mapping[bytes, int]) -> Iterable[Change]:
        """These changes were read from the changelog, written at *stamps* (ms); return the notes to keep with them."""
        ...

    def rebuild(
        self, keys: Iterable[bytes], notes: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[None]:
        """Begin anew with all there is, in steps."""
        ...


Append = Callable[..., Delivery]
"""The producer's way in: topic, partition, key, value, timestamp, headers."""

HeadersOf = Callable[[str, Any], Sequence[tuple[str, bytes]]]
"""The headers of a record: changelog, key."""


class TablePartition:
    """The state of one partition.

    Attributes:
        tp: The changelog's partition.
        live: Values by key, as `TableCodec.admit` has them held. Always the same dict.
        dirty: Keys changed since the last flush; the value is the encoded key where it is known. Always the same dict.
        sending: Keys of the flush under way.
        generation: Generation whose events may use it; None while it is recovered, and between two assignments.
        complete: Holds everything that its changelog held when recovery ended.
        standby: It is a copy of what another worker owns.
        closed: It was given away; nothing of it is sent or stored any more.
        owned: It is for us to remove what has expired. (Of global tables every worker has all partitions, but owns some.)
        buffer_size: Changelog records that recovery collects before it writes them to the store.
        expiry: Knows which keys have to go, and when; None: none ever.
        derived: What is derived from the entries (the index of windows, say) is as they are.
    """

    max_cached: int = 20_000
    """Entries of a durable store that are kept decoded, approximately."""

    def __init__(
        self,
        tp: TP,
        codec: TableCodec,
        store: PartitionStore,
        *,
        volatile: bool,
        buffer_size: int = 1000,
        expiry: Expiry | None = None,
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
        self.standby: bool = False
        self.closed: bool = False
        self.owned: bool = True
        self.derived: bool = False
        self.wiped_at: int | None = None
        """The offset that a state in memory had reached when it was undone; the changelog must not end before it."""
        self.buffer_size: int = buffer_size
        self.expiry = expiry
        self._collected: list[Change] = []
        self._stamps: dict[bytes, int] = {}
        self._reached: int | None = None
        self._encoded: tuple[Any, bytes] = (MISSING, b"")

    def __repr__(self) -> str:
        return (
            f"<TablePartition {self.tp.topic}[{self.tp.partition}] live={len(self.live)} "
            f"dirty={len(self.dirty)} next_offset={self.store.persisted_offset}>"
        )

    # -- reading

    def find(self, key: Any) -> Any:
        """Return the value of *key*, or `MISSING`."""
        value = self.live.get(key, MISSING)
        if value is MISSING:
            return self.fetch(key)
        if value.__class__ is Packed:
            return self.codec.decode_value(self.tp, key, value.raw)
        return value

    def fetch(self, key: Any) -> Any:
        """Return the value of a key that is not live, or `MISSING`; keep it live."""
        if self.store.is_empty() and self.codec.is_normal(key):
            return MISSING
        key, raw_key, raw = self._stored(key)
        if raw_key is None:
            return self.find(key) if key in self.live else MISSING
        if raw is None:
            return MISSING
        self.live[key], value = self.codec.held(self.tp, key, raw)
        if self.volatile:
            self.store.write(((raw_key, None),), None)
        else:
            self.trim()
        return value

    def load(self, keys: Mapping[bytes, Any]) -> None:
        """Have the values of *keys*, by their bytes, live, if they are there: `find` will not look into the store for them.

        So many may be above the bound; they are to be used and then deleted, or `trim` is to be called.
        """
        live, dirty, sending = self.live, self.dirty, self.sending
        if self.store.is_empty():
            return
        wanted = [
            raw
            for raw, key in keys.items()
            if key not in live and key not in dirty and key not in sending
        ]
        found = [
            (raw, value)
            for raw, value in zip(wanted, self.store.get_many(wanted), strict=True)
            if value is not None
        ]
        held, tp, ints = self.codec.held, self.tp, self.codec.ints
        for raw, value in found:
            key = keys[raw]
            live[key] = int(value) if ints and value.isdigit() else held(tp, key, value)[0]
        if self.volatile:
            self.store.write([(raw, None) for raw, _ in found], None)

    def has(self, key: Any) -> bool:
        """Say whether *key* is there, without decoding its value."""
        if key in self.live:
            return True
        key, raw_key, raw = self._stored(key)
        return key in self.live if raw_key is None else raw is not None

    def _stored(self, key: Any) -> tuple[Any, bytes | None, bytes | None]:
        """Return the key as it is held, its bytes, and the value's bytes in the store.

        Without bytes of the key the store has no say: what counts is whether the key is live.
        """
        codec = self.codec
        raw_key = None
        if not codec.is_normal(key):
            raw_key = codec.encode_key(key)
            key = codec.decode_key(self.tp, raw_key)
            if key in self.live:
                return key, None, None
        if key in self.dirty or key in self.sending or self.store.is_empty():
            return key, None, None
        if raw_key is None:
            raw_key = codec.encode_key(key)
            self._encoded = (key, raw_key)
        if (
            self.expiry is not None
            and self.generation is not None
            and self.expiry.lacks(key, raw_key)
        ):
            return key, raw_key, None
        return key, raw_key, self.store.get(raw_key)

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

    def about(self) -> int:
        """Return about how many entries there are, without scanning; see `PartitionStore.about`."""
        stored = self.store.about()
        return len(self.live) + stored if self.volatile else max(len(self.live), stored)

    # -- writing

    def new_key(self, key: Any) -> Any:
        """Mark *key*, which is not live, as changed; return it as it is held.

        Raises:
            TypeError: It cannot be a key of this table.
        """
        looked_for, raw = self._encoded  # last, and not found
        if looked_for is not key:
            raw = self.codec.encode_key(key)
            key = self.codec.normal_key(self.tp, key, raw)
        self.dirty[key] = raw
        if self.expiry is not None:
            self.expiry.added(key, raw)
        return key

    def delete(self, key: Any, raw_key: bytes | None = None) -> None:
        """Delete *key*, whose bytes may be known; KeyError, and nothing is done, when it is not there."""
        if key not in self.live:
            held, found_key, raw = self._stored(key)
            if raw is None and held not in self.live:
                raise KeyError(key)
            key = held
            raw_key = found_key
        self.dirty[key] = raw_key
        self.live.pop(key, None)
        if self.expiry is not None:
            self.expiry.deleted(key, raw_key)

    def delete_all(self, keys: Mapping[bytes, Any]) -> list[Any]:
        """Delete keys that are there as far as the index knows, by their bytes; return those that were.

        A durable store is not asked: a tombstone too many does no harm.
        """
        live, dirty, sending = self.live, self.dirty, self.sending
        stored = self.store.get if self.volatile else None
        deleted = []
        for raw, key in keys.items():
            if live.pop(key, MISSING) is MISSING and (
                key in dirty or key in sending or (stored is not None and stored(raw) is None)
            ):
                continue
            dirty[key] = raw
            deleted.append(key)
        if self.expiry is not None:
            self.expiry.deleted_all(keys)
        self.trim()
        return deleted

    def clear(self) -> None:
        """Delete every key."""
        self.dirty.update(dict.fromkeys(self.keys()))
        self.live.clear()
        if self.expiry is not None:
            self.expiry.clear()

    def encoded(self, key: Any) -> bytes | None:
        """Return the bytes of the value of a dirty key; None: it was deleted."""
        value = self.live.get(key, MISSING)
        if value is MISSING:
            return None
        if value.__class__ is Packed:
            raw: bytes = value.raw
            return raw
        return self.codec.encode_value(key, value)

    def trim(self) -> None:
        """If more is held than the bound allows, let some of what is only a cache of the store go, the oldest first."""
        live, dirty, sending = self.live, self.dirty, self.sending
        excess = len(live) - self.max_cached - len(dirty) - len(sending)
        if self.volatile or excess <= 0:
            return
        clean = (key for key in live if key not in dirty and key not in sending)
        for key in list(islice(clean, excess + self.max_cached // 20)):
            del live[key]

    # -- recovery

    def apply(self, records: Sequence[Record], next_offset: int) -> int:
        """Take over records of the changelog, in order; return how many had no key and so say nothing.

        They are collected, `buffer_size` at least, before the store is changed; `write_out` ends a collection.
        """
        collected = self._collected
        changes = self.changes_of(records)
        collected += changes
        if self.expiry is not None and self.expiry.wants_stamps:
            self._stamps.update(
                (record.key, record.timestamp) for record in records if record.key is not None
            )
        self._reached = next_offset
        left_out = (
            sum(record.key is None for record in records) if len(changes) < len(records) else 0
        )
        if len(collected) >= self.buffer_size:
            self.write_out()
        return left_out

    def changes_of(self, records: Sequence[Record]) -> list[Change]:
        """Return what *records* change in the store; those without a key say nothing."""
        return [(record.key, record.value) for record in records if record.key is not None]

    def write_out(self, next_offset: int | None = None) -> None:
        """Bring the store to where `apply` is; or to *next_offset*, if nothing was left to read before it."""
        changes, self._collected = self._collected, []
        self.derived = self.derived and not changes
        changes = self.make_way(changes)
        notes: Iterable[Change] = ()
        if self.expiry is not None:
            notes = self.expiry.replayed(changes, self._stamps)
            self._stamps = {}
        self.store.write(changes, self._reached if next_offset is None else next_offset, notes)

    def make_way(self, changes: list[Change]) -> list[Change]:
        """Drop what is held decoded and replaced by the changelog; return what is for the store.

        Our own unsent changes come after it in the changelog, and stay.
        """
        if self.live:
            for raw, _ in changes:
                key = self.codec.decode_key(self.tp, raw)
                if key not in self.dirty and key not in self.sending:
                    self.live.pop(key, None)
        return changes

    def recovered(self) -> Iterator[None]:
        """Everything is there: bring up to date what is derived from it, in steps."""
        if self.expiry is not None:
            yield from self.expiry.rebuild(self.all_raw_keys(), self.store.notes())

    def all_raw_keys(self) -> Iterator[bytes]:
        """Iterate over the bytes of all keys: those of the store, and those that are live."""
        yield from self.store.keys()
        if self.volatile:
            yield from map(self.codec.encode_key, list(self.live))

    def begin(self) -> None:
        """A recovery begins: what an interrupted one collected and did not write is read again."""
        self._collected = []
        self._stamps = {}
        self._reached = None

    def forget_live(self) -> None:
        """Forget what is held in memory, but not what is stored."""
        self.live.clear()

    def key_of(self, raw: bytes) -> Any:
        """Decode what `all_raw_keys` gives."""
        return self.codec.decode_key(self.tp, raw)

    def wipe(self) -> None:
        """Forget everything, to be rebuilt from the changelog."""
        self._forget_changes()
        self.begin()
        self.complete = self.derived = False
        if self.expiry is not None:
            self.expiry.forget()
        self.store.clear()

    def roll_back(self) -> None:
        """Undo what was not flushed: it belongs to events that nobody has finished, and that will come again."""
        if not self.dirty and not self.sending:
            return
        if self.volatile:
            reached = self.store.persisted_offset
            self.wiped_at = self.wiped_at if reached is None else reached
            self.wipe()
        else:
            self._forget_changes()
            if self.expiry is not None:
                for _ in self.recovered():
                    pass

    def _forget_changes(self) -> None:
        if self.expiry is not None and (self.dirty or self.sending):
            self.expiry.rewind()
        self.forget_live()
        self.dirty.clear()
        self.sending = {}

    # -- flush

    record_of: Callable[[bytes, bytes | None], tuple[bytes, bytes | None]] | None = None
    """Makes a changelog's key and value of those of the store; None: they are the same."""

    keeps_deliveries: bool = False
    """`sent` wants to know the offset of every record."""

    def settle(
        self, changes: Sequence[Change], next_offset: int | None, notes: Iterable[Change]
    ) -> None:
        """The changelog has *changes*: so has the store from now on."""
        self.store.write(changes, next_offset, notes)

    def sent(self, raw_key: bytes, offset: int) -> None:
        """The changelog has one of our records at *offset*; told of every one before `settle`."""

    def close(self) -> None:
        """Give the partition away, with its unsent changes."""
        if not self.closed:
            self.closed = True
            self.complete = False
            self.generation = None
            self.forget_live()
            self.dirty.clear()
            self.begin()
            self.store.close()


class PartitionFlush:
    """One flush of one partition: takes its dirty keys, and ends in `settle` or in `undo`."""

    def __init__(self, partition: TablePartition) -> None:
        self.partition = partition
        self._reached = partition.store.persisted_offset
        self._keys = partition.sending = dict(partition.dirty)
        partition.dirty.clear()
        self._left = iter(self._keys.items())
        self._changes: list[Change] = []
        self._last: Delivery | None = None
        self._deliveries: list[tuple[bytes, Delivery]] | None = (
            [] if partition.keeps_deliveries else None
        )
        self._keep_values = not partition.volatile
        self._keep_changes = (
            not partition.volatile
            or not partition.store.is_empty()
            or (partition.expiry is not None and partition.expiry.wants_stamps)
        )

    def append_some(self, append: Append, limit: int, headers_of: HeadersOf | None = None) -> bool:
        """Encode and append up to *limit* keys; say whether some are left. *headers_of*: (topic, key) -> headers.

        Raises:
            TypeError: A key or value cannot be encoded; naming table and key.
            RecordTooLarge: As raised by *append*.
        """
        partition = self.partition
        topic, number = partition.tp
        if partition.record_of is not None:
            append = _translating(append, partition.record_of)
        encode_key, encoded = partition.codec.encode_key, partition.encoded
        value_of, ints = partition.live.get, partition.codec.ints
        changes, deliveries = self._changes, self._deliveries
        keep_changes, keep_values = self._keep_changes, self._keep_values
        count = 0
        for key, known in islice(self._left, limit):
            raw_key = known or encode_key(key)
            value = value_of(key) if ints else None
            raw = b"%d" % value if value.__class__ is int else encoded(key)
            if headers_of is None:
                self._last = append(topic, number, raw_key, raw)
            else:
                self._last = append(topic, number, raw_key, raw, None, headers_of(topic, key))
            if keep_changes:
                changes.append((raw_key, b"%b" % raw if keep_values and raw is not None else raw))
            if deliveries is not None:
                deliveries.append((raw_key, self._last))
            count += 1
        return count == limit

    async def settle(self) -> None:
        """Everything appended is acknowledged: bring the store to the same state.

        Raises:
            ConsistencyError: The changelog has gone back since this worker wrote to it or read it.
        """
        partition = self.partition
        if partition.sending is not self._keys or partition.closed:
            return
        if self._last is not None:
            offset = (await self._last).offset
            self._check_order(offset)
            notes: Iterable[Change] = ()
            if partition.expiry is not None:
                notes = partition.expiry.flushed(self._changes)
            changes = (
                self._changes if self._keep_values else [(raw, None) for raw, _ in self._changes]
            )
            for raw_key, delivery in self._deliveries or ():
                partition.sent(raw_key, (await delivery).offset)
            partition.settle(changes, offset + 1 if offset >= 0 else None, notes)
        partition.sending = {}
        partition.trim()

    def _check_order(self, last: int) -> None:
        """Compare where the records are, the last one at *last*, with how far the changelog had come."""
        reached, first = self._reached, last - len(self._keys) + 1
        if last >= 0 and reached is not None and first < reached:
            tp = self.partition.tp
            raise ConsistencyError(
                f"the changelog {tp.topic}[{tp.partition}] has given offset {first} to what this worker wrote, and had "
                f"reached {reached} before: it was deleted and made anew, or has lost records, while it was used. What it "
                "had is no longer in it, and nothing more is committed"
            )

    def undo(self) -> None:
        """It failed: the keys are dirty again."""
        partition = self.partition
        if partition.sending is self._keys and not partition.closed:
            for key, raw_key in self._keys.items():
                partition.dirty.setdefault(key, raw_key)
            partition.sending = {}


def _translating(append: Append, record_of: Callable[..., tuple[bytes, bytes | None]]) -> Append:
    """Return *append*, given what `TablePartition.record_of` makes of keys and values."""

    def append_record(
        topic: str, number: int, raw_key: bytes, raw: bytes | None, *rest: Any
    ) -> Delivery:
        return append(topic, number, *record_of(raw_key, raw), *rest)

    return append_record
