"""A store as somebody else would write it, after the page `faust.stores.base`: a file of SQLite for each partition."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from faust.stores.base import Change, PartitionStore
from faust.stores.base import Store as BaseStore

__all__ = ["SQLiteStore"]

TABLES = """
create table if not exists entries (key blob primary key, value blob);
create table if not exists notes (key blob primary key, value blob);
create table if not exists facts (key text primary key, value);
"""


class SQLitePartition(PartitionStore):
    """One partition."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript(TABLES)

    def _fact(self, name: str) -> Any:
        row = self.db.execute("select value from facts where key=?", (name,)).fetchone()
        return None if row is None else row[0]

    @property
    def persisted_offset(self) -> int | None:
        """Next offset."""
        offset: int | None = self._fact("offset")
        return offset

    @property
    def topic_id(self) -> str:
        """Identity of the topic."""
        return self._fact("topic") or ""

    def identify(self, topic_id: str) -> None:
        """Remember the topic."""
        if topic_id:
            self.db.execute("replace into facts values ('topic', ?)", (topic_id,))

    def get(self, key: bytes) -> bytes | None:
        """Look a key up."""
        row = self.db.execute("select value from entries where key=?", (key,)).fetchone()
        return None if row is None else row[0]

    def write(
        self, changes: Iterable[Change], next_offset: int | None, notes: Iterable[Change] = ()
    ) -> None:
        """Write everything in one transaction."""
        execute = self.db.execute
        execute("begin")
        for put, delete, pairs in (
            ("replace into entries values (?, ?)", "delete from entries where key=?", changes),
            ("replace into notes values (?, ?)", "delete from notes where key=?", notes),
        ):
            for key, value in pairs:
                execute(*((delete, (key,)) if value is None else (put, (key, value))))
        if next_offset is not None:
            execute("replace into facts values ('offset', ?)", (next_offset,))
        execute("commit")

    def keys(self, prefix: bytes = b"") -> Iterator[bytes]:
        """List keys."""
        found = self.db.execute("select key from entries order by key").fetchall()
        return iter([key for (key,) in found if key.startswith(prefix)])

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """List entries."""
        return iter(self.db.execute("select * from entries order by key").fetchall())

    def notes(self) -> Iterator[tuple[bytes, bytes]]:
        """List notes."""
        return iter(self.db.execute("select * from notes").fetchall())

    def __len__(self) -> int:
        count: int = self.db.execute("select count(*) from entries").fetchone()[0]
        return count

    def clear(self) -> None:
        """Empty all three."""
        self.db.executescript("delete from entries; delete from notes; delete from facts;")

    def close(self) -> None:
        """Close the file."""
        self.db.close()


class SQLiteStore(BaseStore):
    """The files of one table."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        assert self.directory is not None
        self.root = self.directory / f"{self.table}.sqlite"
        self.partitions: list[SQLitePartition] = []

    async def open(self, partition: int) -> SQLitePartition:
        """Open a file."""
        self.root.mkdir(parents=True, exist_ok=True)
        opened = SQLitePartition(self.root / str(partition))
        self.partitions.append(opened)
        return opened

    async def close(self) -> None:
        """Close all files."""
        while self.partitions:
            self.partitions.pop().close()

    async def destroy(self) -> None:
        """Delete all files."""
        await self.close()
        for path in self.root.glob("*"):
            path.unlink()
