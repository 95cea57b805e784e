"""A partition that others write, too: those of global tables.

Every worker holds all partitions of a global table and follows their changelogs for ever (`faust.tables.following`). Which
partition a worker writes is decided as for other tables, so mostly each partition has one writer; but nothing depends on that.
The changelog is the truth: whoever comes last in it wins, on every worker.

So the store's offset is moved by what is read, not by what is sent. Our own records come back; one that is older than what
we have sent since must not undo it. `FollowedPartition` knows the offsets of our last records until it has read up to
them. A record of somebody else that comes while ours is under way is kept aside: which of them is later shows when ours is
acknowledged. Then the later one is stored. Until then what is read goes to a durable store as all else does, so that the
store has everything below its offset if the process is killed: nobody looks there for keys that are changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from faust.messages import Record
from faust.stores.base import Change
from faust.tables.partition import TablePartition

__all__ = ["FollowedPartition"]

Found = tuple[bytes, bytes | None, Record]
"""Key and value for the store, and the record that says so."""


class FollowedPartition(TablePartition):
    """One partition of a global table."""

    keeps_deliveries = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._own: dict[bytes, int] = {}
        self._aside: dict[bytes, Found] = {}

    def settle(
        self,
        changes: Sequence[Change],
        next_offset: int | None,  # noqa: ARG002 - what is read decides
        notes: Iterable[Change],
    ) -> None:
        """The changelog has *changes*, and so has the store, but for those after which something came from others.

        The store may have to read what stands before them.
        """
        later, self._aside = self._aside, {}
        if later:
            changes = [each for each in changes if each[0] not in later]
        self.store.write(changes, None, notes)
        self.sending: dict[Any, bytes | None] = {}
        if later:
            self._take(list(later.values()), None)

    def sent(self, raw_key: bytes, offset: int) -> None:
        """The changelog has one of our records at *offset*."""
        reached = self.store.persisted_offset
        if reached is None or offset >= reached:
            self._own[raw_key] = offset
        other = self._aside.get(raw_key)
        if other is not None and other[2].offset <= offset:
            del self._aside[raw_key]

    def foreign(self, records: Sequence[Record]) -> list[Record]:
        """Return those of *records* that are neither ours nor older than ours."""
        own = self._own
        return [
            record
            for record in records
            if record.key is not None and record.offset > own.get(record.key, -1)
        ]

    def follow(self, records: Sequence[Record], next_offset: int) -> None:
        """Take over what has come to the changelog."""
        found: list[Found] = [
            (raw, value, record)
            for record in self.foreign(records)
            for raw, value in self.changes_of([record])
        ]
        self._take(found, next_offset)
        for record in records:
            if record.key is not None and self._own.get(record.key, next_offset) <= record.offset:
                del self._own[record.key]

    def _take(self, found: Sequence[Found], next_offset: int | None) -> None:
        """Show what is not changed here; store the rest, too, where it outlives the process."""
        changes: list[Change] = []
        hidden: list[Change] = []
        stamps: dict[bytes, int] = {}
        for each in found:
            raw, value, record = each
            key = self.codec.decode_key(self.tp, raw)
            if key in self.sending:
                self._aside[raw] = each
            elif key not in self.dirty:
                changes.append((raw, value))
                stamps[raw] = record.timestamp
                continue
            hidden.append((raw, value))
        if self.volatile:
            hidden.clear()
        notes: Iterable[Change] = ()
        if self.expiry is not None:  # hidden ones are as old as our changes of them: new
            notes = [*self.expiry.replayed(changes, stamps), *self.expiry.replayed(hidden, {})]
        self.store.write([*self.make_way(changes), *hidden], next_offset, notes)
        self.index(changes)

    def index(self, changes: Sequence[Change]) -> None:
        """Tell the index of windows what has come."""
        if self.expiry is None:
            return
        for raw, value in changes:
            key = self.codec.decode_key(self.tp, raw)
            if value is None:
                self.expiry.deleted(key)
            else:
                self.expiry.added(key, raw)

    def wipe(self) -> None:
        """Forget everything, to be rebuilt from the changelog."""
        self._own.clear()
        self._aside.clear()
        super().wipe()
