"""The contract of table storage, on one page.

A *store* belongs to one table and is found by the scheme of its URL (setting ``store``, or ``store=`` of the table).
It opens one *partition store* per partition that this worker holds; the two share nothing, so giving a partition away
is closing one object.

A partition store maps the changelog's key bytes to the changelog's value bytes. It knows nothing of types, so
recovery and standbys move bytes in bulk and decode nothing. With its entries it keeps the *persisted offset*: the
next changelog offset to be read, everything below being contained. `PartitionStore.write` changes entries and offset
together or not at all; a process that is killed finds either the old pair or the new one. Offsets mean something within one
topic only, so the partition store also keeps the *identity* of the topic that filled it. *Notes* are the table's own
remarks about its entries (when one was written, say): pairs of bytes beside the entries, written in the same stroke.

All methods but `Store.open`, `Store.close` and `Store.destroy` are synchronous and called on the application's loop.
Callers bound what they hand over (some thousand entries), so that one call takes milliseconds.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from yarl import URL

from faust.messages import TP

__all__ = ["Change", "PartitionStore", "Store"]

Change = tuple[bytes, bytes | None]
"""Key and new value; a value of None deletes the key."""


class PartitionStore(abc.ABC):
    """The entries of one partition of one table."""

    @property
    @abc.abstractmethod
    def persisted_offset(self) -> int | None:
        """Next changelog offset to be read; None: nothing is known, read from the beginning."""

    @property
    @abc.abstractmethod
    def topic_id(self) -> str:
        """Identity of the changelog topic, as `identify` was told; empty when that is not known."""

    @abc.abstractmethod
    def identify(self, topic_id: str) -> None:
        """Remember the identity of the changelog topic; an empty one says nothing, and changes nothing."""

    @abc.abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """Return the value of *key*; None when there is none."""

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values of *keys*, as `get` would; a driver that can look them up together does."""
        return [self.get(key) for key in keys]

    @abc.abstractmethod
    def write(
        self,
        changes: Iterable[Change],
        next_offset: int | None,
        notes: Iterable[Change] = (),
    ) -> None:
        """Apply *changes* strictly in order, set the persisted offset, and write *notes*, atomically.

        A *next_offset* of None leaves the offset as it is. Deleting a key that is not there is no error.
        """

    @abc.abstractmethod
    def keys(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Iterate over the keys that begin with *prefix*, as they are now.

        Later writes neither disturb the iteration nor show in it.
        """

    @abc.abstractmethod
    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the entries as they are now; later writes neither disturb the iteration nor show in it."""

    @abc.abstractmethod
    def notes(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the notes as they are now."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of keys; may have to scan (then there is another `about`)."""

    def about(self) -> int:
        """Return about how many keys there are, without scanning.

        A driver that has to scan to count returns an estimate: what was written several times may count several times.
        """
        return len(self)

    def is_empty(self) -> bool:
        """Say that there is certainly nothing in it. Cheap; False when that is not known."""
        return False

    @abc.abstractmethod
    def clear(self) -> None:
        """Remove every entry and every note, and forget the persisted offset and the topic."""

    def is_wanted(self) -> bool:
        """Say whether another process waits in `Store.open` for this partition; asked twice a second of copies on standby."""
        return False

    @abc.abstractmethod
    def close(self) -> None:
        """Release files and locks. Idempotent; nothing else is called afterwards."""


class Store(abc.ABC):
    """The storage of one table.

    Arguments:
        url: The URL that chose this driver.
        table: Name of the table.
        directory: Where drivers that have files put them; each below a name of its own made from *table*.
        options: ``options=`` of the table. A driver raises `faust.exceptions.ImproperlyConfigured` for those it
            does not know.
    """

    volatile: ClassVar[bool] = False
    """True: nothing survives the process.

    The table then keeps what it has read or written in decoded form only, and takes it out of the partition store,
    which so holds just what was recovered and not looked at yet.
    """

    def __init__(
        self,
        url: URL,
        *,
        table: str,
        directory: Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.url = url
        self.table = table
        self.directory = directory
        self.options: dict[str, Any] = dict(options or {})

    @abc.abstractmethod
    async def open(self, partition: int) -> PartitionStore:
        """Open one partition, with what an earlier process left of it.

        Waits for another process that still has it open, as happens when a partition moves between two workers of
        one machine.
        """

    async def open_standby(self, partition: int) -> PartitionStore | None:
        """Open one partition to hold a copy on standby; None: another process keeps these very files, and no copy is needed.

        Does not wait for other processes.
        """
        return await self.open(partition)

    @abc.abstractmethod
    async def close(self) -> None:
        """Close what is still open. Idempotent."""

    @abc.abstractmethod
    async def destroy(self) -> None:
        """Delete everything kept for this table, of every partition, and of no other table."""

    async def backup_partition(
        self,
        tp: TP | int,
        flush: bool = True,
        purge: bool = False,
        keep: int = 1,
    ) -> None:
        """Keep a copy of a partition as it is now, from which `restore_backup` can bring it back.

        Arguments:
            tp: The partition, or its number.
            flush: Write to disk what is in memory first.
            purge: Delete older copies.
            keep: How many copies to keep when older ones are deleted.

        Raises:
            NotImplementedError: This store has nothing to copy.
            RuntimeError: The partition is not open.
            StorageError: The copy could not be made.
        """
        raise NotImplementedError(
            f"table {self.table!r}: the store {self.url} cannot be backed up ({tp})"
        )

    def restore_backup(self, tp: TP | int, latest: bool = True, backup_id: int = 0) -> None:
        """Bring a partition back from a copy; it must not be open.

        Arguments:
            tp: The partition, or its number.
            latest: Take the newest copy.
            backup_id: Else the number of the copy.

        Raises:
            NotImplementedError: This store has no copies.
            LookupError: There is no such copy.
            RuntimeError: The partition is open.
        """
        raise NotImplementedError(
            f"table {self.table!r}: the store {self.url} cannot be backed up ({tp})"
        )
