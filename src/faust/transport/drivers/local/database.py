"""The SQLite database under the embedded broker: opening, locking, and saying what is wrong.

One writing connection per process, used by the broker's thread only, and a second one for reading,
used by the threads of applications; in memory both are the same one. SQLite's write-ahead log lets
readers go on while somebody writes, in this process or another.

Writing locks the file for every process, and a process that is stopped (SIGSTOP, a debugger) keeps
its lock. So the frequent writes (records, heartbeats) are one statement each, by `Database.write`:
SQLite takes and drops the lock inside one call, with no Python between. `Database.transaction` is
for what happens now and then.

Never open, and never close, one of SQLite's files by other means while it is in use: closing any
descriptor of a file drops all POSIX locks that the process has on it
(https://sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from faust.exceptions import ImproperlyConfigured, StorageError

__all__ = [
    "FILE",
    "FORMAT",
    "NETWORK_FILE_SYSTEMS",
    "Busy",
    "Database",
    "LongWork",
    "file_system",
]

FILE = "broker.sqlite3"

FORMAT = 2
"""Version of the layout (``PRAGMA user_version``)."""

OLDEST_SQLITE = (3, 32, 0)
"""The first that takes more than 999 parameters in a statement."""

NETWORK_FILE_SYSTEMS = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
    ]
)

OPENING_PATIENCE = 10.0
"""Seconds to wait for another process that is just making the database."""

SCHEMA = """
CREATE TABLE topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, config TEXT NOT NULL);
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, number INTEGER NOT NULL,
    start INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0,
    cleaned INTEGER NOT NULL DEFAULT 0, kept INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, number)
);
-- id: partition << 40 | offset of the last record
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, base INTEGER NOT NULL, stamp INTEGER NOT NULL, written INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TRIGGER batch_in_order BEFORE INSERT ON batches BEGIN
    SELECT RAISE(ABORT, 'another process has written here')
    WHERE (SELECT next FROM partitions WHERE id = NEW.id >> 40) IS NOT NEW.base;
END;
CREATE TRIGGER batch_moves_end AFTER INSERT ON batches BEGIN
    UPDATE partitions SET next = (NEW.id & 0xffffffffff) + 1 WHERE id = NEW.id >> 40;
END;
CREATE TABLE groups (
    name TEXT PRIMARY KEY, generation INTEGER NOT NULL DEFAULT 0, phase TEXT NOT NULL DEFAULT
    'empty', deadline REAL NOT NULL DEFAULT 0, leader TEXT NOT NULL DEFAULT ''
);
CREATE TABLE members (
    grp TEXT NOT NULL, id TEXT NOT NULL, instance TEXT, topics TEXT NOT NULL, user_data BLOB NOT
    NULL, session REAL NOT NULL, rebalance REAL NOT NULL, heartbeat REAL NOT NULL, joined INTEGER
    NOT NULL, born REAL NOT NULL, assignment TEXT, assigned_data BLOB, PRIMARY KEY (grp, id)
);
CREATE TABLE offsets (
    grp TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (grp, topic, partition)
);
CREATE TABLE producers (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counters VALUES ('topics', 0);
"""


T = TypeVar("T")

LongWork: TypeAlias = Generator[Callable[[], Any] | None, Any, T]
"""Work in steps: yields what is to be done in a transaction of its own, or None to let others go first."""


class Busy(Exception):
    """Another process holds the database; try again."""


class Database:
    """One database file, or one in memory.

    Arguments:
        directory: Where the file lies; None: in memory.
        durable: Wait for the disk at each commit, so that a power cut loses nothing.

    Attributes:
        identity: Tells this database from every other one.

    Raises:
        StorageError: The directory cannot be used; the message says why and what to do.
        ImproperlyConfigured: This Python's SQLite is too old.
    """

    def __init__(self, directory: Path | None, *, durable: bool = False) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ImproperlyConfigured(
                f"the embedded broker needs SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer, this "
                f"Python has {sqlite3.sqlite_version}: use another Python, or Kafka"
            )
        self.directory = directory
        self.identity: str = ""
        self._lock = threading.RLock()
        self._file = ":memory:" if directory is None else str(directory / FILE)
        self._lost = ""
        with self._explained():
            if directory is not None:
                _check_ground(directory)
            self._writer = self._connect(timeout=0.05)
            try:
                self._prepare(self._writer, durable=durable)
                self._reader = (
                    self._writer if directory is None else self._connect(timeout=OPENING_PATIENCE)
                )
            except BaseException:
                self._writer.close()
                raise
            self._opened = None if directory is None else _file_of(self._file)

    def _connect(self, timeout: float) -> sqlite3.Connection:
        return sqlite3.connect(
            self._file,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _prepare(self, db: sqlite3.Connection, *, durable: bool) -> None:
        if self.directory is not None:
            # must come before the first table is made
            _patiently(lambda: db.execute("PRAGMA page_size=8192"))
            _patiently(lambda: db.execute("PRAGMA journal_mode=WAL"))
            db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            db.execute("PRAGMA wal_autocheckpoint=2000")
        _patiently(lambda: self._make_or_check(db))
        _patiently(lambda: self._learn_identity(db))

    def _make_or_check(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == FORMAT:
            return
        if version:
            raise StorageError(
                f"the broker directory {self.directory} has format {version}, this release knows "
                f"{FORMAT}: "
                + (
                    "upgrade faust"
                    if version > FORMAT
                    else "read it with the release that wrote it"
                )
                + ", or use another directory"
            )
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _statements(SCHEMA):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={FORMAT}")
        db.execute("COMMIT")

    def _learn_identity(self, db: sqlite3.Connection) -> None:
        """Give the database an identity, if nobody has done so."""
        ask = "SELECT value FROM counters WHERE name='identity'"
        if db.execute(ask).fetchone() is None:
            db.execute(
                "INSERT OR IGNORE INTO counters VALUES ('identity', ?)", (secrets.randbits(62),)
            )
        (identity,) = db.execute(ask).fetchone()
        self.identity = f"{identity:016x}"

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._writer.close()
            self._reader.close()

    # -- the broker's thread

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything or nothing (broker's thread).

        Raises:
            Busy: Another process is writing; nothing was done.
        """
        with self._explained(), self._alone():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def write(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run one writing statement, inside a transaction or as one; return the rows it touched."""
        with self._explained(), self._alone():
            return self._writer.execute(sql, args).rowcount

    def write_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a writing statement once per row; inside a transaction."""
        with self._explained(), self._alone():
            self._writer.executemany(sql, rows)

    def read(self, sql: str, *args: Any) -> list[Any]:
        """Run a query (broker's thread); sees what the transaction around it has written."""
        with self._explained(), self._alone():
            return self._writer.execute(sql, args).fetchall()

    @property
    def in_transaction(self) -> bool:
        """Whether a `transaction` is open."""
        with self._explained():
            return self._writer.in_transaction

    def foreign_changes(self) -> int:
        """Return a number that changes when another process has written; a look at shared memory."""
        (version,) = self.read("PRAGMA data_version")[0]
        return int(version)

    def check_ground(self) -> None:
        """See that the file that is open is still the one in the directory (broker's thread).

        SQLite goes on with a file that was deleted under it; but what is written there nobody else reads, and it ends
        with this process. From then on everything is refused.

        Raises:
            StorageError: It was deleted or replaced, or cannot be reached any more.
        """
        if self._opened is None or self._lost:
            return
        try:
            if _file_of(self._file) == self._opened:
                return
            how = "was deleted, and another was made in its place"
        except (FileNotFoundError, NotADirectoryError):
            how = "was deleted"
        except OSError as exc:
            how = f"cannot be reached any more ({exc.strerror or exc})"
        self._lost = (
            f"the broker directory {self.directory} {how} while it was in use: what was written in the last moment is "
            "lost with it. Put a copy back, or begin with an empty one, and start again"
        )
        raise StorageError(self._lost)

    def _alone(self) -> contextlib.AbstractContextManager[Any]:
        return self._lock if self._reader_is_writer() else contextlib.nullcontext()

    def _reader_is_writer(self) -> bool:
        return self.directory is None

    # -- any thread

    def look(self, sql: str, *args: Any) -> list[Any]:
        """Run a query on what is committed (any thread).

        Raises:
            StorageError: It cannot be read.
        """
        with self._explained(reading=True), self._lock:
            return self._reader.execute(sql, args).fetchall()

    def look_until(self, enough: Callable[[Any], bool], sql: str, *args: Any) -> list[Any]:
        """Run a query on what is committed, and read its rows up to the first that is *enough*."""
        rows = []
        with self._explained(reading=True), self._lock:
            cursor = self._reader.execute(sql, args)
            for row in cursor:
                rows.append(row)
                if enough(row):
                    break
            cursor.close()
        return rows

    # -- errors

    @contextlib.contextmanager
    def _explained(self, *, reading: bool = False) -> Iterator[None]:
        if self._lost:
            raise StorageError(self._lost)
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as exc:
            if reading and _is_busy(exc):  # rare: somebody recovers the file, and does not end
                raise StorageError(
                    f"the broker directory {self.directory} could not be read for "
                    f"{OPENING_PATIENCE:g} s, it is locked by {self.holder() or 'another process'}"
                ) from exc
            raise _explain(exc, self.directory) from exc
        except OSError as exc:
            raise StorageError(
                f"cannot use the broker directory {self.directory}: {exc.strerror or exc}: make it "
                "writable for this user, or choose another (local:///path)"
            ) from exc

    def holder(self) -> str:
        """Say who holds the write lock, as far as that can be seen (Linux)."""
        if self.directory is None:
            return ""
        try:
            inode = Path(f"{self._file}-shm").stat().st_ino
            locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        except OSError:
            return ""
        for line in locks:
            fields = line.replace("->", "").split()
            if (
                len(fields) < 8
                or fields[3] != "WRITE"
                or fields[5].rpartition(":")[2] != str(inode)
            ):
                continue
            # byte 120 of the -shm file is WAL_WRITE_LOCK (https://sqlite.org/walformat.html)
            if int(fields[6]) <= 120 and (fields[7] == "EOF" or int(fields[7]) >= 120):
                return _process(fields[4])
        return ""


def _file_of(path: str) -> tuple[int, int]:
    """Return device and inode of a file, without opening it."""
    found = Path(path).stat()
    return (found.st_dev, found.st_ino)


def _process(pid: str) -> str:
    """Name a process, and say so when it is stopped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"process {pid}"
    name, _, rest = status.partition("(")[2].rpartition(")")
    stopped = ", which is stopped: continue or end it" if rest.split()[:1] in (["T"], ["t"]) else ""
    return f"process {pid} ({name}){stopped}"


def _statements(script: str) -> Iterator[str]:
    """Split a script of statements; triggers contain semicolons."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _patiently(call: Callable[[], Any]) -> None:
    """Repeat *call* while another process holds the file."""
    deadline = time.monotonic() + OPENING_PATIENCE
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
            f"no space left for {where}: free some, or move the directory; what was acknowledged "
            "is not lost"
        )
    if "readonly" in text or "unable to open" in text:
        return StorageError(
            f"{where} cannot be written: make it writable for this user, or choose another ({text})"
        )
    if "disk I/O" in text:
        return StorageError(
            f"{where} could not be read or written ({text}): look at its disk, at quotas and limits "
            "of this user, and into the system's log; what was acknowledged is kept"
        )
    if "malformed" in text or "not a database" in text:
        return StorageError(
            f"the broker's file {directory and directory / FILE} is damaged ({text}). It is not "
            "repaired by itself, so that nothing is dropped in silence: end all processes that use "
            f"it, keep a copy, try `sqlite3 {FILE} .recover`, or start with an empty directory"
        )
    return StorageError(f"{where}: {text}")


def _check_ground(directory: Path) -> None:
    """Make the directory, and refuse ground on which SQLite's locks do not hold."""
    directory.mkdir(parents=True, exist_ok=True)
    kind = file_system(directory)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StorageError(
            f"the broker directory {directory} is on a network file system ({kind}), where locks "
            "between processes do not hold: use a local disk, or Kafka"
        )


def file_system(directory: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system of *directory* (Linux; empty elsewhere)."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    path = str(directory.resolve())
    for line in lines:
        _, mount, fs, *_ = line.split(" ")
        mount = mount.encode().decode("unicode_escape")  # blanks are written \040
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, fs
    return kind
