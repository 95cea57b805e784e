"""``memory://``: tables in the memory of the process, rebuilt from the changelog at every start.

What is kept here are the bytes that recovery read, undecoded: a worker that recovers a million keys pays for a
million dict entries and nothing else. The table decodes an entry when somebody reads it and takes it out of here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from yarl import URL

from faust.exceptions import ImproperlyConfigured
from faust.stores.base import Change, PartitionStore
from faust.stores.base import Store as BaseStore

__all__ = ["MemoryPartition", "Store"]


class MemoryPartition(PartitionStore):
    """One partition in a dict."""

    __slots__ = ("_data", "_notes", "_offset", "_topic_id")

    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._notes: dict[bytes, bytes] = {}
        self._offset: int | None = None
        self._topic_id = ""

    @property
    def persisted_offset(self) -> int | None:
        """Next changelog offset to be read in this process."""
        return self._offset

    @property
    def topic_id(self) -> str:
        """Identity of the changelog topic."""
        return self._topic_id

    def identify(self, topic_id: str) -> None:
        """Remember the identity of the changelog topic."""
        self._topic_id = topic_id or self._topic_id

    def get(self, key: bytes) -> bytes | None:
        """Return the value of *key*."""
        return self._data.get(key)

    def write(
        self,
        changes: Iterable[Change],
        next_offset: int | None,
        notes: Iterable[Change] = (),
    ) -> None:
        """Apply *changes* in order."""
        _apply(self._data, changes)
        if next_offset is not None:
            self._offset = next_offset
        _apply(self._notes, notes)

    def keys(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Iterate over a copy of the keys."""
        if prefix:
            return iter([key for key in self._data if key.startswith(prefix)])
        return iter(list(self._data))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over a copy of the entries."""
        return iter(list(self._data.items()))

    def notes(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over a copy of the notes."""
        return iter(list(self._notes.items()))

    def __len__(self) -> int:
        return len(self._data)

    def is_empty(self) -> bool:
        """Say whether there is nothing in it."""
        return not self._data

    def clear(self) -> None:
        """Remove everything."""
        self._data.clear()
        self._notes.clear()
        self._offset = None
        self._topic_id = ""

    def close(self) -> None:
        """Give the memory back."""
        self.clear()


class Store(BaseStore):
    """The memory store of one table; it knows no options."""

    volatile = True

    def __init__(
        self,
        url: URL,
        *,
        table: str,
        directory: Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(url, table=table, directory=directory, options=options)
        if self.options:
            raise ImproperlyConfigured(
                f"table {table!r}: the store {url} knows no options, got {sorted(self.options)}; "
                "options= belongs to stores that have files"
            )

    async def open(self, partition: int) -> PartitionStore:  # noqa: ARG002 - all partitions are alike
        """Make an empty partition."""
        return MemoryPartition()

    async def close(self) -> None:
        """Nothing is shared between the partitions: nothing to do."""

    async def destroy(self) -> None:
        """Nothing outlives the process: nothing to do."""


def _apply(data: dict[bytes, bytes], changes: Iterable[Change]) -> None:
    for key, value in changes:
        if value is None:
            data.pop(key, None)
        else:
            data[key] = value
