"""The log of the embedded broker: topics, partitions and record batches in one SQLite database.

What is stored are Kafka's own record batches (message format v2), one row per batch; a fetch is a range of rows. The
base offset of a batch stands outside its checksum, so appending is writing eight bytes into the finished batch.

Everything here is synchronous and runs in the broker's thread (``engine.py``). Each public method that writes expects to
be called inside `Storage.transaction`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from faust.exceptions import RecordTooLarge, StorageError, UnknownTopic
from faust.messages import TP

__all__ = ["FORMAT", "Busy", "Storage"]

FORMAT = 1
"""Version of the database's layout (``PRAGMA user_version``)."""

NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph"}

SCHEMA = """
CREATE TABLE topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, config TEXT NOT NULL);
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL,
    start INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, number)
);
CREATE TABLE batches (
    part INTEGER NOT NULL, base INTEGER NOT NULL, last INTEGER NOT NULL,
    stamp INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX batch_ends ON batches (part, last);
CREATE TABLE groups (
    name TEXT PRIMARY KEY, generation INTEGER NOT NULL DEFAULT 0, phase TEXT NOT NULL DEFAULT 'empty',
    deadline REAL NOT NULL DEFAULT 0, leader TEXT NOT NULL DEFAULT ''
);
CREATE TABLE members (
    grp TEXT NOT NULL, id TEXT NOT NULL, instance TEXT, topics TEXT NOT NULL, user_data BLOB NOT NULL,
    session REAL NOT NULL, rebalance REAL NOT NULL, heartbeat REAL NOT NULL, joined INTEGER NOT NULL,
    born REAL NOT NULL, assignment TEXT, assigned_data BLOB, PRIMARY KEY (grp, id)
);
CREATE TABLE offsets (
    grp TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (grp, topic, partition)
);
CREATE TABLE producers (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counters VALUES ('topics', 0);
"""


class Busy(Exception):
    """Another process holds the database; try again."""


class Storage:
    """One database.

    Arguments:
        directory: Where the file lies; None: in memory.
        durable: Wait for the disk at each commit, so that a power cut loses nothing.
        default_partitions: Partitions of a topic that is created by being used.

    Raises:
        StorageError: The directory cannot be used; the message says why and what to do.
    """

    def __init__(
        self, directory: Path | None, *, durable: bool = False, default_partitions: int = 8
    ) -> None:
        self.directory = directory
        self.default_partitions = default_partitions
        self._ids: dict[tuple[str, int], int] = {}
        self._topics_seen = -1
        with self._explained():
            if directory is not None:
                _check_ground(directory)
            file = ":memory:" if directory is None else str(directory / "broker.sqlite3")
            self.db: sqlite3.Connection = sqlite3.connect(
                file,
                timeout=0.05,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            self._open(durable=durable)

    def _open(self, *, durable: bool) -> None:
        db = self.db
        if self.directory is not None:
            _patiently(lambda: db.execute("PRAGMA journal_mode=WAL"))
            db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            db.execute("PRAGMA wal_autocheckpoint=4000")
        db.execute("PRAGMA cache_size=-32000")
        _patiently(self._make_or_check)

    def _make_or_check(self) -> None:
        db = self.db
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == FORMAT:
            return
        if version > FORMAT:
            raise StorageError(
                f"the broker directory {self.directory} was written by a newer release (format {version}, this one"
                f" knows {FORMAT}): upgrade faust, or use another directory"
            )
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in SCHEMA.split(";"):
                if statement.strip():
                    db.execute(statement)
            db.execute(f"PRAGMA user_version={FORMAT}")
        db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    # -- transactions and errors

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything or nothing; raises `Busy` when another process is writing."""
        with self._explained():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                self._ids.clear()
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise _explain(exc, self.directory) from exc
        except OSError as exc:
            raise StorageError(
                f"cannot use the broker directory {self.directory}: {exc.strerror or exc}: make it writable for this"
                " user, or choose another (local:///path)"
            ) from exc

    def read(self, sql: str, *args: Any) -> list[Any]:
        """Run a query."""
        with self._explained():
            return self.db.execute(sql, args).fetchall()

    def foreign_changes(self) -> int:
        """Return a number that changes when another process has written."""
        with self._explained():
            (version,) = self.db.execute("PRAGMA data_version").fetchone()
        return int(version)

    # -- topics

    def topics_version(self) -> int:
        """Return a number that grows when topics are made or deleted."""
        return int(self.read("SELECT value FROM counters WHERE name='topics'")[0][0])

    def topics(self) -> dict[str, int]:
        """Return the number of partitions of each topic."""
        return dict(self.read("SELECT name, partitions FROM topics ORDER BY name"))

    def partitions(self, topic: str) -> int | None:
        """Return how many partitions a topic has; None when it does not exist."""
        rows = self.read("SELECT partitions FROM topics WHERE name=?", topic)
        return int(rows[0][0]) if rows else None

    def config(self, topic: str) -> dict[str, str]:
        """Return the options a topic was made with."""
        rows = self.read("SELECT config FROM topics WHERE name=?", topic)
        return dict(json.loads(rows[0][0])) if rows else {}

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> bool:
        """Make a topic; False when it is there already."""
        made = self.db.execute(
            "INSERT OR IGNORE INTO topics VALUES (?, ?, ?)",
            (name, partitions, json.dumps(dict(config))),
        )
        if not made.rowcount:
            return False
        self.db.executemany(
            "INSERT INTO partitions (topic, number) VALUES (?, ?)",
            [(name, number) for number in range(partitions)],
        )
        self._topics_changed()
        return True

    def delete_topic(self, name: str) -> None:
        """Delete a topic, its records and its committed offsets."""
        db = self.db
        db.execute(
            "DELETE FROM batches WHERE part IN (SELECT id FROM partitions WHERE topic=?)", (name,)
        )
        db.execute("DELETE FROM partitions WHERE topic=?", (name,))
        db.execute("DELETE FROM topics WHERE name=?", (name,))
        db.execute("DELETE FROM offsets WHERE topic=?", (name,))
        self._topics_changed()

    def _topics_changed(self) -> None:
        self._ids.clear()
        self.db.execute("UPDATE counters SET value=value+1 WHERE name='topics'")

    def forget_ids(self) -> None:
        """Another process may have deleted and made topics anew."""
        version = self.topics_version()
        if version != self._topics_seen:
            self._topics_seen = version
            self._ids.clear()

    def part(self, tp: TP) -> int:
        """Return the row id of a partition.

        Raises:
            UnknownTopic: There is no such partition.
        """
        found = self._ids.get(tp)
        if found is None:
            rows = self.read("SELECT id FROM partitions WHERE topic=? AND number=?", *tp)
            if not rows:
                raise UnknownTopic(
                    f"there is no partition {tp.topic}[{tp.partition}]: create the topic first, or with more partitions"
                )
            found = self._ids[tp] = rows[0][0]
        return found

    # -- records

    def append(self, tp: TP, data: bytearray, count: int, stamp: int) -> int:
        """Write one finished batch; returns the offset of its first record.

        Raises:
            UnknownTopic: There is no such partition.
            RecordTooLarge: It is larger than the topic's ``max.message.bytes``.
        """
        part = self.part(tp)
        limit = self.config(tp.topic).get("max.message.bytes") if len(data) > 1024 else None
        if limit is not None and len(data) > int(limit):
            raise RecordTooLarge(
                f"a batch of {len(data)} bytes for {tp.topic}[{tp.partition}] is larger than the topic's"
                f" max.message.bytes of {limit}"
            )
        (base,) = self.db.execute("SELECT next FROM partitions WHERE id=?", (part,)).fetchone()
        data[0:8] = base.to_bytes(8, "big")
        self.db.execute(
            "INSERT INTO batches (part, base, last, stamp, data) VALUES (?, ?, ?, ?, ?)",
            (part, base, base + count - 1, stamp, data),
        )
        self.db.execute("UPDATE partitions SET next=? WHERE id=?", (base + count, part))
        return int(base)

    def fetch(self, tp: TP, position: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to *limit* batches that reach beyond *position*, as ``(next offset, bytes)``."""
        return self.read(
            "SELECT last + 1, data FROM batches WHERE part=? AND last>=? ORDER BY last LIMIT ?",
            self.part(tp),
            position,
            limit,
        )

    def bounds(self, tp: TP) -> tuple[int, int]:
        """Return log start and next offset."""
        start, end = self.read("SELECT start, next FROM partitions WHERE id=?", self.part(tp))[0]
        return start, end

    def delete_records(self, tp: TP, before: int) -> None:
        """Move the log start forward."""
        part = self.part(tp)
        start, end = self.bounds(tp)
        before = min(max(before, start), end)
        self.db.execute("UPDATE partitions SET start=? WHERE id=?", (before, part))
        self.db.execute("DELETE FROM batches WHERE part=? AND last<?", (part, before))

    # -- committed offsets

    def committed(self, group: str) -> dict[TP, int]:
        """Return the committed next offsets of a group."""
        rows = self.read("SELECT topic, partition, next FROM offsets WHERE grp=?", group)
        return {TP(topic, number): offset for topic, number, offset in rows}

    def commit(self, group: str, offsets: Mapping[TP, int]) -> None:
        """Write committed offsets."""
        self.db.executemany(
            "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)",
            [(group, tp.topic, tp.partition, offset) for tp, offset in offsets.items()],
        )

    # -- transactional ids

    def take_over(self, transactional_id: str) -> int:
        """Raise the epoch of a transactional id, which fences older producers; returns the new one (KIP-98)."""
        self.db.execute(
            "INSERT INTO producers VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET epoch=epoch+1",
            (transactional_id,),
        )
        return self.epoch(transactional_id)

    def epoch(self, transactional_id: str) -> int:
        """Return the current epoch of a transactional id; 0 when it was never used."""
        rows = self.read("SELECT epoch FROM producers WHERE id=?", transactional_id)
        return int(rows[0][0]) if rows else 0


def _patiently(call: Any, timeout: float = 10.0) -> None:
    """Repeat *call* while another process holds the file."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            call()
            return
        except sqlite3.OperationalError as exc:
            if not _is_busy(exc) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _is_busy(exc: sqlite3.Error) -> bool:
    return any(word in str(exc) for word in ("locked", "busy"))


def _explain(exc: sqlite3.Error, directory: Path | None) -> Exception:
    """Say what is wrong with the file, and what to do."""
    text = str(exc)
    where = f"the broker directory {directory}"
    if _is_busy(exc):
        return Busy(text)
    if "full" in text:
        return StorageError(
            f"no space left for {where}: free some, or move the directory; nothing was lost"
        )
    if "readonly" in text or "unable to open" in text:
        return StorageError(
            f"{where} cannot be written: make it writable for this user, or choose another ({text})"
        )
    if "disk I/O" in text:
        return StorageError(
            f"{where} could not be read or written ({text}): look at its disk, at quotas and limits of this user, and"
            " into the system's log; what was acknowledged is kept"
        )
    if isinstance(exc, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return StorageError(
            f"{where} is damaged ({text}). It is not repaired by itself, so that nothing is dropped in silence: keep a"
            " copy, try `sqlite3 broker.sqlite3 .recover`, or start with an empty directory"
        )
    return StorageError(f"{where}: {text}")


def _check_ground(directory: Path) -> None:
    """Make the directory, and refuse ground on which SQLite's locks do not hold."""
    directory.mkdir(parents=True, exist_ok=True)
    kind = _file_system(directory)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StorageError(
            f"the broker directory {directory} is on a network file system ({kind}), where locks between processes do"
            " not hold: use a local disk, or Kafka"
        )
    shutil.disk_usage(directory)


def _file_system(directory: Path) -> str:
    """Return the type of the file system of *directory* (Linux; empty elsewhere)."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    except OSError:
        return ""
    best, kind = "", ""
    path = str(directory.resolve())
    for line in mounts.splitlines():
        _, mount, fs, *_ = line.split(" ")
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, fs
    return kind
