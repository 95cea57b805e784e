"""``rocksdb://``: the contract, the files and their contents, options, locks, copies and damage."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rocksdict import Options, Rdict
from yarl import URL

from faust.exceptions import ImproperlyConfigured, StoreError
from faust.messages import TP
from faust.stores import rocksdb
from faust.stores.contract import StoreContract
from faust.stores.rocksdb import CACHE, OFFSET_KEY, SharedCache, Store


class TestContract(StoreContract):
    """stores.md 2, 4 and 6: the one suite over all stores (pain row 36)."""

    def make(self, directory: Path, table: str = "totals") -> Store:
        return Store(URL("rocksdb://"), table=table, directory=directory)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give the store of a table, closed afterwards."""
    made = Store(URL("rocksdb://"), table="ro.bust", directory=tmp_path)
    yield made
    await made.close()


def raw(path: Path) -> dict[Any, Any]:
    """Read a database with nothing but the binding."""
    db = Rdict(str(path), options=Options(raw_mode=True))
    try:
        return dict(db.items())
    finally:
        db.close()


async def test_4_1_files(store: Store, tmp_path: Path) -> None:
    """Each partition has a directory named after table and partition; dots are kept (stores.md 4.1)."""
    (await store.open(3)).close()
    assert (tmp_path / "ro.bust-3.db").is_dir()
    assert json.loads((tmp_path / "ro.bust-3.db" / "rocksdict-config.json").read_text())["raw_mode"]


async def test_4_1_the_url_may_name_a_directory(tmp_path: Path) -> None:
    """The URL's path is a directory; tables have files of their own in it (stores.md 4.1, BUG-S4)."""
    url = URL.build(scheme="rocksdb", path=str(tmp_path / "there"))
    for name in ("one", "two"):
        store = Store(url, table=name, directory=tmp_path / "elsewhere")
        await store.open(0)
        await store.close()
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["one-0.db", "two-0.db"]
    assert not (tmp_path / "elsewhere").exists()


async def test_4_2_contents(store: Store) -> None:
    """What is kept is the changelog's bytes, and the last offset in ASCII under its key (stores.md 4.2)."""
    partition = await store.open(0)
    partition.write([(b'"x"', b"1"), (b'["a",1]', b'{"q":1}')], 43)
    await store.close()
    assert raw(store.path(0)) == {
        b'"x"': b"1",
        b'["a",1]': b'{"q":1}',
        b"__faust\0offset__": b"42",
    }


async def test_4_2_a_directory_of_faust_streaming_opens_in_place(
    store: Store, tmp_path: Path
) -> None:
    """Databases written in its layout are read on, from the offset after the one they hold (stores.md 4.2)."""
    old = Rdict(str(tmp_path / "ro.bust-0.db"), options=Options(raw_mode=True))
    old[b'"x"'] = b"1"
    old[b"__faust\0offset__"] = b"42"
    old.close()
    partition = await store.open(0)
    assert partition.persisted_offset == 43
    assert list(partition.items()) == [(b'"x"', b"1")]


@pytest.mark.parametrize(
    ("url", "table", "options", "message"),
    [
        ("rocksdb://name", "t", {}, "names a host"),
        ("rocksdb://", "a/b", {}, "name of a file"),
        ("rocksdb://", "..", {}, "name of a file"),
        ("rocksdb://", "t", {"driver": "python-rocksdb"}, "only 'rocksdict'"),
        ("rocksdb://", "t", {"read_only": True}, "not supported"),
        ("rocksdb://", "t", {"wirte_buffer_size": 1}, "no such option"),
        ("rocksdb://", "t", {"write_buffer_size": "big"}, "write_buffer_size='big'"),
        ("rocksdb://", "t", {"block_cache_size": -1}, "positive number"),
        ("rocksdb://", "t", {"ttl": True}, "positive number"),
    ],
)
def test_4_3_what_cannot_be_is_refused(
    tmp_path: Path, url: str, table: str, options: dict[str, Any], message: str
) -> None:
    """A URL, name or option that would have no effect is an error that says so (stores.md 4.1 and 4.3)."""
    with pytest.raises(ImproperlyConfigured, match=message):
        Store(URL(url), table=table, directory=tmp_path, options=options)


def test_4_1_a_name_without_a_scheme_is_no_directory(tmp_path: Path) -> None:
    """``store="rocksdb"`` means ``rocksdb://``: the app's directory, not one of that name where the worker was started."""
    assert Store(URL("rocksdb"), table="t", directory=tmp_path).root == tmp_path


def test_4_3_a_store_needs_a_directory() -> None:
    """Without a directory in URL or settings there is nowhere to write."""
    with pytest.raises(ImproperlyConfigured, match="no directory"):
        Store(URL("rocksdb://"), table="t")


async def test_4_3_options(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Options reach RocksDB; the caller's dict stays as it is (stores.md 4.3, BUG-S7)."""
    options = {
        "driver": "rocksdict",
        "write_buffer_size": 1234567,
        "max_write_buffer_number": 5,
        "target_file_size_base": 7654321,
        "max_open_files": 99,
        "bloom_filter_size": 10,
        "max_background_jobs": 3,
        "block_cache_compressed_size": 1,
    }
    before = dict(options)
    store = Store(URL("rocksdb://"), table="t", directory=tmp_path, options=options)
    await store.open(0)
    await store.close()
    assert options == before
    assert "block_cache_compressed_size has no effect" in caplog.text
    [written, *_] = sorted(store.path(0).glob("OPTIONS-*"), reverse=True)
    text = written.read_text()
    for line in (
        "write_buffer_size=1234567",
        "max_write_buffer_number=5",
        "target_file_size_base=7654321",
        "max_open_files=99",
        "max_background_jobs=3",
    ):
        assert f"  {line}\n" in text


async def test_4_3_one_cache_for_all(tmp_path: Path) -> None:
    """All databases share one cache, as large as the largest wish (stores.md 4.3, BUG-S6)."""
    before = CACHE.capacity
    for name in ("a", "b"):
        store = Store(
            URL("rocksdb://"),
            table=name,
            directory=tmp_path,
            options={"block_cache_size": before + 1},
        )
        (await store.open(0)).write([(b"k", b"v")], 1)
        await store.close()
    assert CACHE.capacity == before + 1
    cache = SharedCache(10)
    assert cache.usage() == 0
    assert cache.buffers is not None
    cache.want(20)
    cache.want(15)
    assert cache.capacity == 20


async def test_4_3_ttl_of_rocksdb(tmp_path: Path) -> None:
    """A directory written with the ttl option opens with it (stores.md 4.3)."""
    for found in ([], [(b"k", b"v")]):
        store = Store(
            URL("rocksdb://"), table="t", directory=tmp_path, options={"ttl": 3600, "driver": None}
        )
        partition = await store.open(0)
        assert list(partition.items()) == found
        partition.write([(b"k", b"v")], 1)
        await store.close()


HOLD = """
import sys, time
from rocksdict import Options, Rdict
db = Rdict(sys.argv[1], options=Options(raw_mode=True))
print("held", flush=True)
sys.stdin.readline()
db.close()
"""


async def test_4_4_a_lock_is_waited_for(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A partition that another process still has open is opened when that one lets go (stores.md 4.4)."""
    caplog.set_level(logging.INFO)
    (await store.open(0)).close()
    holder = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-c", HOLD, str(store.path(0))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        opening = asyncio.create_task(store.open(0))
        await asyncio.sleep(0.2)
        assert not opening.done()
        assert "waiting for another process" in caplog.text
        holder.stdin.write("\n")
        holder.stdin.flush()
        partition = await opening
        assert partition.persisted_offset is None


async def test_4_4_a_lock_that_stays_is_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for a lock ends, with the file's name (stores.md 4.4)."""
    monkeypatch.setattr(rocksdb, "LOCK_TIMEOUT", 0.1)
    other = Store(URL("rocksdb://"), table=store.table, directory=store.root)
    await other.open(0)
    with pytest.raises(StoreError, match=r"cannot open .*ro\.bust-0\.db.*LOCK"):
        await store.open(0)
    await other.close()


async def test_4_4_an_abandoned_opening_keeps_no_lock(store: Store) -> None:
    """A recovery that is cancelled while a database is opened leaves it free for others (stores.md 4.4)."""
    for _ in range(20):
        opening = asyncio.create_task(store.open(0))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    other = Store(URL("rocksdb://"), table=store.table, directory=store.root)
    await other.open(0)
    await other.close()


async def swap(store: Store, number: int, partition: Any) -> tuple[int, Any]:
    """Give *partition* away while the other one is asked for already."""
    opening = asyncio.create_task(store.open(1 - number))
    await asyncio.sleep(0)
    partition.close()
    return 1 - number, await opening


async def test_pain_14_two_workers_swap_partitions_a_hundred_times(tmp_path: Path) -> None:
    """Two stores on one directory swap two partitions 100 times; nothing crashes and nothing is lost (pain row 14)."""
    mine, theirs = (Store(URL("rocksdb://"), table="t", directory=tmp_path) for _ in range(2))
    held: dict[Store, tuple[int, Any]] = {
        mine: (0, await mine.open(0)),
        theirs: (1, await theirs.open(1)),
    }
    for turn in range(100):
        for number, partition in held.values():
            partition.write([(b"%d" % number, b"%d" % turn)], turn + 1)
        swapped = await asyncio.gather(*(swap(store, *held[store]) for store in held))
        held = dict(zip(held, swapped, strict=True))
        for number, partition in held.values():
            assert list(partition.items()) == [(b"%d" % number, b"%d" % turn)]
            assert partition.persisted_offset == turn + 1
    for store in held:
        await store.close()


async def test_4_6_copies(store: Store) -> None:
    """A copy brings back what was there when it was made; older ones are kept or purged (stores.md 4.6)."""
    partition = await store.open(2)
    for turn in (1, 2, 3):
        partition.write([(b"k", b"%d" % turn)], turn)
        await store.backup_partition(TP("log", 2), purge=turn == 3, keep=2, flush=turn != 1)
    with pytest.raises(RuntimeError, match="is open"):
        store.restore_backup(2)
    partition.close()
    with pytest.raises(RuntimeError, match="is not open"):
        await store.backup_partition(2)
    with pytest.raises(LookupError, match=r"no copy 1 of partition 2.*\[2, 3\]"):
        store.restore_backup(2, latest=False, backup_id=1)
    with pytest.raises(LookupError, match=r"no copy .*there are \[\]"):
        store.restore_backup(5)
    for copy, wanted in (({}, 3), ({"latest": False, "backup_id": 2}, 2)):
        store.restore_backup(2, **copy)  # type: ignore[arg-type]
        partition = await store.open(2)
        assert (partition.get(b"k"), partition.persisted_offset) == (b"%d" % wanted, wanted)
        partition.close()
    assert len(list(store.root.glob("*.replaced-*"))) == 2


async def test_4_6_a_copy_that_fails_says_so(store: Store) -> None:
    """An error while copying is raised, not logged and dropped (stores.md 4.6)."""
    await store.open(2)
    store.backups.write_text("a file in the way")
    with pytest.raises(StoreError, match="cannot back up partition 2"):
        await store.backup_partition(2)


async def test_damaged_files_are_moved_aside(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that cannot be opened is kept under another name, said in the log, and begun anew."""
    (await store.open(0)).write([(b"k", b"v" * 1000)], 1)
    await store.close()
    for file in store.path(0).glob("*.sst"):
        file.write_bytes(b"no longer a table")
    partition = await store.open(0)
    assert (list(partition.items()), partition.persisted_offset) == ([], None)
    assert (store.root / "ro.bust-0.db.damaged-1").is_dir()
    assert "is rebuilt from its changelog" in caplog.text


async def test_damage_found_later_is_dealt_with_at_the_next_start(store: Store) -> None:
    """Damage inside a file is an error when it is read, and the next start begins anew."""
    partition = await store.open(0)
    partition.write([(b"%06d" % n, b"%d" % n * 100) for n in range(1000)], 1000)
    partition.close()
    [file] = store.path(0).glob("*.sst")
    content = bytearray(file.read_bytes())
    content[100:2000] = bytes(1900)
    file.write_bytes(content)
    partition = await store.open(0)
    with pytest.raises(StoreError, match="is damaged"):
        partition.get(b"%06d" % 1)
    with pytest.raises(StoreError, match="is damaged"):
        list(partition.items())
    partition.close()
    assert list((await store.open(0)).items()) == []
    assert (store.root / "ro.bust-0.db.damaged-1").is_dir()


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "deleted": lambda _: None,
    "emptied": lambda _: b"",
    "overwritten": lambda content: b"\xb1" * max(1, len(content)),
}


@pytest.mark.parametrize("how", DAMAGE)
async def test_damage_of_any_file_keeps_no_worker_from_starting(tmp_path: Path, how: str) -> None:
    """Whichever file is damaged: a partition opens at once, with all that its offset says or with nothing (stores.md, damage)."""
    store = Store(URL("rocksdb://"), table="t", directory=tmp_path / "whole")
    partition = await store.open(0)
    for number in range(200):
        partition.write([(b"%d" % number, b"v")], number + 1)
        if number == 99:
            partition._db.flush()  # type: ignore[attr-defined]
    partition.identify("topic-id")
    shutil.copytree(store.root, tmp_path / "killed")  # without a close, as a kill leaves it
    await store.close()
    for path in sorted((tmp_path / "killed" / "t-0.db").iterdir()):
        directory = tmp_path / path.name
        shutil.copytree(tmp_path / "killed", directory)
        damaged = directory / "t-0.db" / path.name
        content = DAMAGE[how](damaged.read_bytes())
        if content is None:
            damaged.unlink()
        else:
            damaged.write_bytes(content)
        store = Store(URL("rocksdb://"), table="t", directory=directory)
        partition = await store.open(0)
        offset = partition.persisted_offset
        assert len(partition) == (offset or 0), path.name
        assert (offset is None) == (directory / "t-0.db.damaged-1").exists(), path.name
        await store.close()


async def test_an_offset_that_is_none_is_damage(store: Store) -> None:
    """What stands for the offset and is no number is damage, too; the database does not stay locked."""
    partition = await store.open(0)
    partition._db[OFFSET_KEY] = b"soon"  # type: ignore[attr-defined]
    partition.close()
    assert (await store.open(0)).persisted_offset is None
    assert (store.root / "ro.bust-0.db.damaged-1").is_dir()


async def test_what_a_kill_leaves_of_a_database_that_is_cleared_has_its_topic(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the files are deleted: the offset stands beside the topic that it belongs to."""

    class Killed(BaseException):
        """Nothing after this is done."""

    def kill(_path: str) -> None:
        raise Killed

    partition = await store.open(0)
    partition.identify("former")
    partition.write([(b"k", b"1")], 10)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(rocksdb, "Rdict", SimpleNamespace(destroy=kill))
        partition.clear()
    again = await store.open(0)
    assert (again.persisted_offset, again.topic_id) == (10, "former")
    again.clear()
    assert (again.persisted_offset, again.topic_id) == (None, "")
    again.identify("new")
    again.write([(b"k", b"1")], 3)
    again.close()
    again = await store.open(0)
    assert (again.persisted_offset, again.topic_id) == (3, "new")


async def test_an_iteration_that_is_given_up_holds_nothing(store: Store) -> None:
    """Who takes the first of many leaves nothing behind: neither memory nor files that are obsolete."""
    partition = await store.open(0)
    for number in range(20):
        partition.write([(b"a", b"%d" % number), (b"b", b"1")], number, [(b"a", b"note")])
        partition._db.flush()  # type: ignore[attr-defined]
        assert next(partition.keys()) == b"a"
        assert next(partition.items()) == (b"a", b"%d" % number)
        assert next(partition.notes()) == (b"a", b"note")
        for _ in partition.keys(b"a"):
            break
    live = partition._db.property_int_value("rocksdb.num-live-versions")  # type: ignore[attr-defined]
    assert live < 5
    partition.close()


async def test_destroy_without_files(tmp_path: Path) -> None:
    """A table that has never been written is destroyed without a complaint."""
    await Store(URL("rocksdb://"), table="t", directory=tmp_path / "none").destroy()


WRITE = """
import asyncio, sys
from pathlib import Path
from yarl import URL
from faust.stores.rocksdb import Store

async def main():
    store = Store(URL("rocksdb://"), table="t", directory=Path(sys.argv[1]))
    partition = await store.open(0)
    turn = partition.persisted_offset or 0
    while True:
        turn += 1
        partition.write([(b"%d" % (turn % 50), b"%d" % turn), (b"last", b"%d" % turn)], turn, [(b"n", b"%d" % turn)])
        if turn % 100 == 0:
            print(turn, flush=True)

asyncio.run(main())
"""


def test_4_5_a_kill_leaves_entries_and_offset_together(tmp_path: Path) -> None:
    """After SIGKILL at any moment, entries, notes and offset are those of one write (stores.md 4.5)."""
    reached = 0
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        with writer:
            assert writer.stdout is not None
            for _ in range(7):
                said = int(writer.stdout.readline())
            writer.kill()

        async def look() -> int:
            store = Store(URL("rocksdb://"), table="t", directory=tmp_path)
            partition = await store.open(0)
            offset = partition.persisted_offset
            assert offset is not None
            entries = dict(partition.items())
            assert entries[b"last"] == entries[b"%d" % (offset % 50)] == b"%d" % offset
            assert list(partition.notes()) == [(b"n", b"%d" % offset)]
            await store.close()
            return offset

        offset = asyncio.run(look())
        assert offset >= said > reached
        reached = offset
