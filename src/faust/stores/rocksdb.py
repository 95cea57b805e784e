r"""``rocksdb://``: tables on disk, one RocksDB database per partition, by rocksdict.

Files: ``{tabledir}/{table}-{partition}.db``, a directory each. A path in the URL (``rocksdb:///var/lib/shop``) takes the
place of ``tabledir``. Contents: the changelog's bytes, and under ``__faust\0offset__`` the last offset they hold, in
ASCII: the layout of faust-streaming with rocksdict, so its directories open in place. Notes stand under
``__faust\0note__`` and the key.

The identity of the changelog topic is text in a file ``TOPIC`` of the directory, which RocksDB leaves alone; in the database it
would be taken for a key by faust-streaming.

Entries, offset and notes of one `PartitionStore.write` are one write batch, so a crash leaves either all or nothing of it.
The log of RocksDB is not synced: what a crash of the machine (not of the process) takes from the end is read again from
the changelog.

All databases of a process share one block cache and one budget for what is not on disk yet, so memory does not
grow with the number of partitions.

Damaged files are moved aside (``*.damaged-N``) when they are opened, and the partition is rebuilt from its
changelog. Damage that shows later marks the directory, raises `StoreError`, and is dealt with at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)
from yarl import URL

from faust.exceptions import ImproperlyConfigured, StoreError
from faust.messages import TP
from faust.stores.base import Change, PartitionStore
from faust.stores.base import Store as BaseStore

__all__ = ["CACHE", "RocksDBPartition", "SharedCache", "Store"]

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

RESERVED = b"__faust\0"
"""What begins so is ours; no key of a table does."""
OFFSET_KEY = RESERVED + b"offset__"
NOTE = RESERVED + b"note__"

LOCK_TIMEOUT = 30.0
"""Seconds to wait for another process that has a partition open."""
WANTED = ".wanted"
"""Ending of the file by which a process that waits for a database asks a copy on standby to give way."""
WANTED_FOR = 2.0
"""Seconds for which such a file counts; it is touched again and again."""
LOCK_POLL = 0.05
TOPIC = "TOPIC"
"""The file that has the identity of the changelog topic."""
MARK = "DAMAGED"
"""A file of this name in a database's directory: do not open, move aside."""


class SharedCache:
    """The block cache and the write buffers of all databases of this process.

    Attributes:
        capacity: Bytes that cached blocks and unwritten data may take together, approximately; grows with the largest
            ``block_cache_size`` that a table asks for.
    """

    def __init__(self, capacity: int = 512 * 1024**2) -> None:
        self.capacity: int = capacity
        self._cache: Any = None
        self._buffers: Any = None

    def want(self, capacity: int) -> None:
        """Make the cache at least so many bytes large."""
        if capacity > self.capacity:
            self.capacity = capacity
            if self._cache is not None:
                self._cache.set_capacity(capacity)
                self._buffers.set_buffer_size(capacity // 4)

    @property
    def cache(self) -> Any:
        """The block cache."""
        if self._cache is None:
            self._cache = Cache(self.capacity)
            self._buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
                self.capacity // 4, allow_stall=False, cache=self._cache
            )
        return self._cache

    @property
    def buffers(self) -> Any:
        """The manager of write buffers, which counts what they take against the cache."""
        assert self.cache is not None
        return self._buffers

    def usage(self) -> int:
        """Return the bytes in use."""
        return 0 if self._cache is None else int(self._cache.get_usage())


CACHE = SharedCache()


class RocksDBPartition(PartitionStore):
    """One partition in a database of its own."""

    def __init__(self, path: Path, open_db: Callable[[Path], Any]) -> None:
        self.path: Path = path
        self._open_db = open_db
        self._db: Any = open_db(path)
        self._scans: WeakSet[_Scan[Any]] = WeakSet()
        try:
            self._offset: int | None = _offset_in(self._db.get(OFFSET_KEY))
            self._topic_id = _topic_in(path / TOPIC)
        except BaseException:  # it would stay locked
            self._close_db()
            raise

    @property
    def persisted_offset(self) -> int | None:
        """Next changelog offset to be read."""
        return self._offset

    @property
    def topic_id(self) -> str:
        """Identity of the changelog topic."""
        return self._topic_id

    def identify(self, topic_id: str) -> None:
        """Remember the identity of the changelog topic.

        Raises:
            StoreError: It cannot be written.
        """
        if not topic_id or topic_id == self._topic_id:
            return
        beside = self.path / f"{TOPIC}.new"
        try:
            beside.write_text(topic_id, encoding="ascii")
            beside.replace(self.path / TOPIC)
        except OSError as exc:
            raise StoreError(f"{self.path / TOPIC}: {exc}") from exc
        self._topic_id = topic_id

    def get(self, key: bytes) -> bytes | None:
        """Return the value of *key*."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as exc:
            raise self._failed(exc) from exc
        return value

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values of *keys*, looked up together."""
        try:
            values: list[bytes | None] = self._db.get(list(keys))
        except Exception as exc:
            raise self._failed(exc) from exc
        return values

    def write(
        self,
        changes: Iterable[Change],
        next_offset: int | None,
        notes: Iterable[Change] = (),
    ) -> None:
        """Apply *changes*, offset and *notes* in one write batch."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in changes:
            if value is None:
                delete(key)
            else:
                put(key, value)
        for key, value in notes:
            if value is None:
                delete(NOTE + key)
            else:
                put(NOTE + key, value)
        if next_offset is not None:
            put(OFFSET_KEY, b"%d" % (next_offset - 1))
        if not len(batch):
            return
        try:
            self._db.write(batch)
        except Exception as exc:
            raise self._failed(exc) from exc
        if next_offset is not None:
            self._offset = next_offset

    def keys(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Iterate over the keys that begin with *prefix*, in the order of their bytes."""
        return _Scan(self, prefix, lambda _cursor, key: None if key.startswith(RESERVED) else key)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the entries in the order of the keys' bytes."""
        return _Scan(
            self,
            b"",
            lambda cursor, key: None if key.startswith(RESERVED) else (key, cursor.value()),
        )

    def notes(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the notes."""
        return _Scan(self, NOTE, lambda cursor, key: (key[len(NOTE) :], cursor.value()))

    def __len__(self) -> int:
        return sum(1 for _ in self.keys())

    def about(self) -> int:
        """Return RocksDB's own estimate, in which a key counts once per version until versions are merged."""
        try:
            found: int | None = self._db.property_int_value("rocksdb.estimate-num-keys")
        except Exception as exc:
            raise self._failed(exc) from exc
        return max(0, (found or 0) - (self._offset is not None))  # the offset is an entry, too

    def clear(self) -> None:
        """Delete the database and begin a new one."""
        self._close_db()
        Rdict.destroy(str(self.path))
        (self.path / TOPIC).unlink(missing_ok=True)  # last: what is left by a kill has its topic
        self._topic_id = ""
        self._db = self._open_db(self.path)
        self._offset = None

    def is_wanted(self) -> bool:
        """Say whether another process of this machine waits for the database."""
        return _is_wanted(self.path)

    def close(self) -> None:
        """Flush, and release the lock."""
        if self._db is not None:
            self._close_db()

    def checkpoint(self, path: Path, *, flush: bool) -> None:
        """Make a copy of the database at *path*, by hard links where the file system has them."""
        if flush:
            self._db.flush()
        Checkpoint(self._db).create_checkpoint(str(path))
        if self._topic_id:
            (path / TOPIC).write_text(self._topic_id, encoding="ascii")

    def _close_db(self) -> None:
        for scan in list(self._scans):
            scan.end()
        db, self._db = self._db, None
        try:
            db.close()
        except Exception as exc:  # the disk is full, say: what is missing is in the changelog
            logger.warning("%s could not be closed in good order: %s", self.path, exc)

    def _failed(self, exc: Exception) -> Exception:
        """Say what has failed; what is damaged is marked so that the next start moves it aside."""
        if not _is_damage(exc):
            return StoreError(f"{self.path}: {exc}")
        with suppress(OSError):
            (self.path / MARK).touch()
        return StoreError(
            f"{self.path} is damaged: {exc}. The next start moves it aside and rebuilds the partition from its changelog"
        )


class _Scan(Iterator[T]):
    """An iteration over a database as it is now; closing the database ends it, since it would hold the lock.

    While it is there the database keeps what it may come to, so nobody but who iterates holds it.

    Arguments:
        partition: Whose database.
        prefix: Only keys that begin so.
        show: From cursor and key to what is iterated over; None is left out.
    """

    def __init__(
        self, partition: RocksDBPartition, prefix: bytes, show: Callable[[Any, bytes], T | None]
    ) -> None:
        self._partition = partition
        cursor = partition._db.iter()
        cursor.seek(prefix)
        self._inner: Iterator[T] = _walk(cursor, prefix, show)
        partition._scans.add(self)

    def __next__(self) -> T:
        try:
            return next(self._inner)
        except StopIteration:
            self.end()
            raise
        except Exception as exc:
            self.end()
            raise self._partition._failed(exc) from exc

    def end(self) -> None:
        """Let the database go."""
        self._inner = iter(())
        self._partition._scans.discard(self)


def _walk(cursor: Any, prefix: bytes, show: Callable[[Any, bytes], T | None]) -> Iterator[T]:
    valid, key_of, move_on = cursor.valid, cursor.key, cursor.next
    while valid():
        key = key_of()
        if prefix and not key.startswith(prefix):
            return
        shown = show(cursor, key)
        if shown is not None:
            yield shown
        move_on()
    cursor.status()  # raises if it ended before the end


class Store(BaseStore):
    """The databases of one table.

    Options (all sizes in bytes):

    * ``block_cache_size``: for the cache that all tables of the process share; the largest wins; default 512 MiB;
    * ``write_buffer_size`` (67108864), ``max_write_buffer_number`` (3), ``target_file_size_base`` (67108864), ``max_open_files``
      (90 % of the process's limit), ``bloom_filter_size`` (3 bits per key): of each database;
    * ``ttl``: seconds after which RocksDB forgets entries by itself, without a word in the changelog; for directories that
      faust-streaming has written with it. Better: ``app.Table(..., ttl=)``;
    * ``driver``: only ``"rocksdict"``;
    * any other option of RocksDB that takes one number or boolean, by its name, such as ``max_background_jobs``.
    """

    def __init__(
        self,
        url: URL,
        *,
        table: str,
        directory: Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(url, table=table, directory=directory, options=options)
        if url.host:
            raise ImproperlyConfigured(
                f"table {table!r}: the store {url} names a host, and RocksDB has none; for a directory write "
                f"rocksdb:///{url.host}{url.path} (absolute), or rocksdb:// for the app's data directory"
            )
        if table != Path(table).name or "\0" in table or table in (".", ".."):
            raise ImproperlyConfigured(f"table {table!r}: its name cannot be the name of a file")
        root = Path(url.path) if url.scheme and url.path not in ("", "/") else directory
        if root is None:
            raise ImproperlyConfigured(f"table {table!r}: the store {url} has no directory")
        self.root: Path = root
        self._open: dict[int, RocksDBPartition] = {}
        self._ttl: float | None = None
        self._make_options = self._read_options()

    def path(self, partition: int) -> Path:
        """Return the directory of a partition's database."""
        return self.root / f"{self.table}-{partition}.db"

    @property
    def backups(self) -> Path:
        """Where copies are kept."""
        return self.root / f"{self.table}-backups"

    # -- options

    def _read_options(self) -> Callable[[], Any]:
        options = dict(self.options)
        driver = options.pop("driver", "rocksdict")
        if driver not in ("rocksdict", None):
            raise self._wrong("driver", driver, "only 'rocksdict' is supported")
        if options.pop("read_only", False):
            raise self._wrong(
                "read_only", True, "it is not supported: each worker has files of its own"
            )
        if options.pop("block_cache_compressed_size", None):
            logger.warning(
                "Table %r: the option block_cache_compressed_size has no effect with rocksdict",
                self.table,
            )
        ttl = options.pop("ttl", None)
        self._ttl = None if ttl is None else self._number("ttl", ttl)
        CACHE.want(int(self._number("block_cache_size", options.pop("block_cache_size", 1))))
        bloom = int(self._number("bloom_filter_size", options.pop("bloom_filter_size", 3)))
        settings = {
            "max_open_files": _max_open_files(),
            "write_buffer_size": 64 * 1024**2,
            "max_write_buffer_number": 3,
            "target_file_size_base": 64 * 1024**2,
            "keep_log_file_num": 2,
            "stats_dump_period_sec": 0,
            **options,
        }
        for name, value in settings.items():
            if not hasattr(Options, f"set_{name}"):
                raise self._wrong(name, value, "RocksDB has no such option")

        def make() -> Any:
            made = Options(raw_mode=True)
            made.create_if_missing(True)
            blocks = BlockBasedOptions()
            blocks.set_block_cache(CACHE.cache)
            blocks.set_cache_index_and_filter_blocks(True)
            blocks.set_bloom_filter(bloom, False)
            made.set_block_based_table_factory(blocks)
            made.set_write_buffer_manager(CACHE.buffers)
            for name, value in settings.items():
                try:
                    getattr(made, f"set_{name}")(value)
                except TypeError as exc:
                    raise self._wrong(name, value, str(exc)) from exc
            return made

        make()
        return make

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise self._wrong(name, value, "it must be a positive number")
        return value

    def _wrong(self, name: str, value: Any, why: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"table {self.table!r}: the store {self.url} has the option {name}={value!r}: {why}"
        )

    # -- partitions

    async def open(self, partition: int) -> PartitionStore:
        """Open the database of a partition; waits up to 30 s for another process that still has it open.

        Raises:
            StoreError: It stays locked, or cannot be opened.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_TIMEOUT
        said = False
        while True:
            opening = loop.run_in_executor(None, self._open_or_rescue, self.path(partition))
            try:
                opened = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_close_unwanted)
                raise
            except Exception as exc:
                if not _is_lock(exc) or loop.time() > deadline:
                    raise StoreError(
                        f"table {self.table!r}: cannot open {self.path(partition)}: {exc}"
                    ) from exc
                if not said:
                    said = True
                    logger.info(
                        "Table %r: waiting for another process that has %s open",
                        self.table,
                        self.path(partition),
                    )
                _wanted(self.path(partition)).touch()
                await asyncio.sleep(LOCK_POLL)
            else:
                if said:
                    _wanted(self.path(partition)).unlink(missing_ok=True)
                self._open[partition] = opened
                return opened

    async def open_standby(self, partition: int) -> PartitionStore | None:
        """Open the database of a partition, unless another process of this machine has it or waits for it.

        Raises:
            StoreError: It cannot be opened.
        """
        path = self.path(partition)
        if _is_wanted(path):
            return None
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, self._open_or_rescue, path)
        try:
            opened = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        except Exception as exc:
            if _is_lock(exc):
                return None
            raise StoreError(f"table {self.table!r}: cannot open {path}: {exc}") from exc
        self._open[partition] = opened
        return opened

    def _open_or_rescue(self, path: Path) -> RocksDBPartition:
        """Open a database; move it aside and begin a new one when it is damaged."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if (path / MARK).exists():
                raise StoreError("Corruption: found while it was read")
            return RocksDBPartition(path, self._open_db)
        except Exception as exc:
            if not _is_damage(exc):
                raise
            aside = _free_name(path, "damaged")
            path.rename(aside)
            logger.error(
                "Table %r: %s is damaged (%s); it is now %s, and the partition is rebuilt from its changelog",
                self.table,
                path,
                exc,
                aside.name,
            )
            return RocksDBPartition(path, self._open_db)

    def _open_db(self, path: Path) -> Any:
        access = None if self._ttl is None else AccessType.with_ttl(ceil(self._ttl))
        if access is None:
            return Rdict(str(path), options=self._make_options())
        return Rdict(str(path), options=self._make_options(), access_type=access)

    async def close(self) -> None:
        """Close what is still open."""
        for partition in self._open.values():
            partition.close()
        self._open.clear()

    async def destroy(self) -> None:
        """Delete the databases of this table; copies and what was moved aside stay.

        Raises:
            StoreError: Another process has one of them open; then none is deleted.
        """
        await self.close()
        databases = self._databases()
        for path in databases:
            if _is_locked(path):
                raise StoreError(
                    f"table {self.table!r}: {path} is open in another process; stop the worker that uses it first"
                )
        for path in databases:
            await asyncio.to_thread(shutil.rmtree, path)

    def _databases(self) -> list[Path]:
        begin, end = f"{self.table}-", ".db"
        if not self.root.is_dir():
            return []
        return [
            path
            for path in self.root.iterdir()
            if path.name.startswith(begin)
            and path.name.endswith(end)
            and path.name[len(begin) : -len(end)].isdecimal()
        ]

    # -- copies

    async def backup_partition(
        self, tp: TP | int, flush: bool = True, purge: bool = False, keep: int = 1
    ) -> None:
        """Make a copy of an open partition, below ``{table}-backups``, by a checkpoint of RocksDB."""
        number = tp if isinstance(tp, int) else tp.partition
        partition = self._open.get(number)
        if partition is None or partition._db is None:
            raise RuntimeError(
                f"table {self.table!r}: partition {number} is not open here; only the worker that holds it can back it up"
            )
        there = self._copies(number)
        target = self.backups / str(number) / f"{max(there, default=0) + 1:06d}"
        unfinished = target.with_suffix(".unfinished")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(unfinished, ignore_errors=True)
            partition.checkpoint(unfinished, flush=flush)
            unfinished.rename(target)
            for old in sorted(self._copies(number))[: -max(keep, 1)] if purge else ():
                shutil.rmtree(target.with_name(f"{old:06d}"))
        except Exception as exc:
            raise StoreError(
                f"table {self.table!r}: cannot back up partition {number} to {target}: {exc}"
            ) from exc
        logger.info("Table %r: partition %d is backed up in %s", self.table, number, target)

    def restore_backup(self, tp: TP | int, latest: bool = True, backup_id: int = 0) -> None:
        """Put a copy in the place of a partition's database; what was there is moved aside."""
        number = tp if isinstance(tp, int) else tp.partition
        partition = self._open.get(number)
        if partition is not None and partition._db is not None:
            raise RuntimeError(
                f"table {self.table!r}: partition {number} is open; stop the worker before restoring it"
            )
        there = self._copies(number)
        wanted = max(there, default=0) if latest else backup_id
        if wanted not in there:
            raise LookupError(
                f"table {self.table!r}: no copy {wanted or ''} of partition {number} in {self.backups}; there are "
                f"{sorted(there)}"
            )
        path = self.path(number)
        unfinished = path.with_name(f"{path.name}.restoring")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(self.backups / str(number) / f"{wanted:06d}", unfinished)
        if path.exists():
            path.rename(_free_name(path, "replaced"))
        unfinished.rename(path)

    def _copies(self, number: int) -> set[int]:
        directory = self.backups / str(number)
        if not directory.is_dir():
            return set()
        return {int(path.name) for path in directory.iterdir() if path.name.isdecimal()}


def _close_unwanted(opening: asyncio.Future[RocksDBPartition]) -> None:
    """Nobody waits for this database any more: do not keep it locked."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _offset_in(raw: bytes | None) -> int | None:
    """Return the next offset to be read, where *raw* is the last one that was."""
    try:
        return None if raw is None else int(raw) + 1
    except ValueError as exc:
        raise StoreError(f"Corruption: the offset is {raw!r}") from exc


def _topic_in(path: Path) -> str:
    """Return the identity of the topic; empty when there is none."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as exc:
        raise StoreError(f"Corruption: {path.name} is no topic id: {exc}") from exc


def _free_name(path: Path, why: str) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    return aside


def _wanted(path: Path) -> Path:
    return path.with_name(path.name + WANTED)


def _is_wanted(path: Path) -> bool:
    """Say whether a process has asked for *path* lately; one that died while it waited asks no more."""
    try:
        return time.time() - _wanted(path).stat().st_mtime < WANTED_FOR
    except FileNotFoundError:
        return False


def _is_locked(path: Path) -> bool:
    """Say whether another process holds the lock of a database; RocksDB takes it with ``fcntl``."""
    try:
        import fcntl
    except ImportError:  # where there is no fcntl, open files cannot be deleted anyway
        return False
    try:
        with (path / "LOCK").open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _is_lock(exc: Exception) -> bool:
    text = str(exc)
    return "LOCK" in text or "lock hold by" in text


def _is_damage(exc: Exception) -> bool:
    text = str(exc)
    return not _is_lock(exc) and ("Corruption" in text or "No such file" in text)


def _max_open_files() -> int:
    """Return 90 % of the process's limit, or no limit where there is none."""
    if os.name == "nt":
        return -1
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return -1 if soft == resource.RLIM_INFINITY else ceil(soft * 0.9)
