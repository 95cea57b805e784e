"""Global tables: every worker has everything; tables.md section 11, pain rows 37 and 39."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest
from tests.support.changelogs import App, ScriptedConsumer, World, assign, event_of, worker

from faust.exceptions import NotReady
from faust.messages import TP
from faust.stores.memory import MemoryPartition
from faust.tables.codec import TableCodec
from faust.tables.followed import FollowedPartition

LOG = "shop-totals-changelog"
STORES = ["memory://", "rocksdb://"]


async def start(app: App, *numbers: int, **options: Any) -> Any:
    """Declare the global table totals, and hold partitions of the source."""
    table = app.GlobalTable("totals", **options)
    await assign(app, *(TP("orders", number) for number in numbers))
    return table


async def until(condition: Any) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("store", STORES)
async def test_pain_39_every_worker_has_everything(world: World, tmp_path: Any, store: str) -> None:
    """Workers see what is there and what others write, at once, in every partition (pain row 39)."""
    for number in range(4):
        world.log(TP(LOG, number)).append(b'"old-%d"' % number, b"1")
    one_dir, other_dir = tmp_path / "one", tmp_path / "other"
    async with worker(world, datadir=one_dir) as one, worker(world, datadir=other_dir) as other:
        for app in (one, other):
            app.conf.create_directories()
        mine = await start(one, 0, 1, store=store)
        theirs = await start(other, 2, 3, store=store)
        expected = {f"old-{number}": 1 for number in range(4)}
        assert mine == theirs == expected
        with event_of(one.world.tasks[TP("orders", 1)]):
            mine["k"] = [1]
            assert mine["old-3"] == 1
            assert mine["k"] == [1]
            assert len(mine) == 5
        await one.tables.flush()
        await until(lambda: theirs == {**expected, "k": [1]})
        with event_of(other.world.tasks[TP("orders", 2)]):
            del theirs["old-2"]
        await other.tables.flush()
        await until(lambda: "old-2" not in mine)
        await until(lambda: mine == theirs)
        with event_of(one.world.tasks[TP("orders", 1)]):
            mine["k"] = 7
            mine["k"] = 8
        await one.tables.flush()
        await until(lambda: theirs["k"] == 8)
        assert mine["k"] == 8
    async with worker(world, datadir=one_dir) as one:
        mine = await start(one, 0, store=store)
        assert mine == {"old-0": 1, "old-1": 1, "old-3": 1, "k": 8}


async def test_11_two_writers_of_one_partition(world: World) -> None:
    """Whoever comes last in the changelog wins, on every worker (tables.md 11)."""
    async with worker(world) as one, worker(world) as other:
        mine, theirs = await start(one, 1), await start(other, 1)
        for turn in range(10):
            for app, table in ((one, mine), (other, theirs)):
                with event_of(app.world.tasks[TP("orders", 1)]):
                    table["k"] = f"{id(app)}-{turn}"
            await asyncio.gather(one.tables.flush(), other.tables.flush())
        last = world.log(TP(LOG, 1)).contents()[b'"k"'].decode().strip('"')
        await until(lambda: mine["k"] == theirs["k"] == last)


async def test_11_a_record_that_comes_while_ours_is_sent(world: World) -> None:
    """Which of two records is later shows when ours is acknowledged; until then ours is read (tables.md 11)."""
    async with worker(world) as app:
        table = await start(app, 1)
        for later in (False, True):
            partition = table.held[1]
            with event_of(app.world.tasks[TP("orders", 1)]):
                table["k"] = "ours"
            app.producer_driver.gate.clear()
            flush = asyncio.create_task(app.tables.flush())
            await asyncio.sleep(0.01)
            log = world.log(TP(LOG, 1))
            if later:
                driver = app.producer_driver
                driver.gate.set()
                while log.end == partition.store.persisted_offset:
                    await asyncio.sleep(0)
            log.append(b'"k"', b'"theirs"')
            await asyncio.sleep(0.02)
            app.producer_driver.gate.set()
            await flush
            expected = "theirs" if later else "ours"
            await until(lambda expected=expected: table["k"] == expected)
            await asyncio.sleep(0.02)
            assert table["k"] == expected


def once_sent(
    app: App,
    monkeypatch: pytest.MonkeyPatch,
    reader: Any,
    write: Any = lambda: None,
    then: Any = lambda: None,
) -> None:
    """Let time pass between the broker's answer to each flush and what is made of it.

    Others *write* in it, partition *reader* reads all there is, and *then* something is done.
    """
    flush = app.producer_driver.flush
    log = app.world.log(reader.tp)

    async def slow() -> None:
        await flush()
        write()
        await until(lambda: (reader.store.persisted_offset or 0) >= log.end)
        then()

    monkeypatch.setattr(app.producer_driver, "flush", slow)


@pytest.mark.parametrize("theirs", [b'"theirs"', None])
@pytest.mark.parametrize("store", STORES)
async def test_11_a_later_record_that_is_read_before_ours_is_acknowledged(
    world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, store: str, theirs: bytes | None
) -> None:
    """What came last in the changelog counts, also when it is read while a flush waits (tables.md 11)."""
    async with worker(world, datadir=tmp_path) as app:
        app.conf.create_directories()
        table = await start(app, 1, store=store)
        with event_of(app.world.tasks[TP("orders", 1)]):
            table.update(k="ours", other="ours")
        log = world.log(TP(LOG, 1))
        once_sent(app, monkeypatch, table.held[1], lambda: log.append(b'"k"', theirs))
        await app.tables.flush()
        assert dict(table) == {"other": "ours"} | ({"k": "theirs"} if theirs else {})
        assert len(table) == len(log.contents())
        monkeypatch.undo()
        with event_of(app.world.tasks[TP("orders", 1)]):
            table["k"] = "ours again"
        await app.tables.flush()
        assert dict(table) == {"other": "ours", "k": "ours again"}
    async with worker(world, datadir=tmp_path) as app:
        assert dict(await start(app, 1, store=store)) == {"other": "ours", "k": "ours again"}


async def restarted(
    world: World, datadir: Any, kind: str = "GlobalTable", **options: Any
) -> dict[Any, Any]:
    """Return what a worker has that starts with the files of one that was killed."""
    async with worker(world, datadir=datadir) as app:
        table = getattr(app, kind)("totals", store="rocksdb://", **options)
        await assign(app, TP("orders", 1))
        found: dict[Any, Any] = table.copy()
        return found


@pytest.mark.parametrize("options", [{}, {"ttl": 1000}])
async def test_11_a_kill_between_reading_our_own_record_and_its_acknowledgement(
    world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """A store has what stands below its offset, our own records with it (tables.md 11)."""
    async with worker(world, datadir=tmp_path / "one") as app:
        app.conf.create_directories()
        table = await start(app, 1, store="rocksdb://", **options)
        partition = table.held[1]
        with event_of(app.world.tasks[TP("orders", 1)]):
            table["gone"] = 1
        await app.tables.flush()
        await until(lambda: partition.store.persisted_offset == 1)
        with event_of(app.world.tasks[TP("orders", 1)]):
            table["k"] = "ours"
            del table["gone"]
        copy = tmp_path / "copy"
        once_sent(app, monkeypatch, partition, then=lambda: shutil.copytree(tmp_path / "one", copy))
        await app.tables.flush()
        assert partition.store.persisted_offset == 3
        assert dict(table) == {"k": "ours"}
    assert await restarted(world, copy, **options) == {"k": "ours"}
    assert await restarted(world, tmp_path / "one", **options) == {"k": "ours"}


@pytest.mark.parametrize("options", [{}, {"ttl": 1000}])
async def test_11_a_kill_with_an_unsent_change_of_what_others_have_written(
    world: World, tmp_path: Any, options: dict[str, Any]
) -> None:
    """What others have written to a key is stored, though it is changed here and that is not sent yet (tables.md 11)."""
    log = world.log(TP(LOG, 1))
    async with worker(world, datadir=tmp_path / "one") as app:
        app.conf.create_directories()
        table = await start(app, 1, store="rocksdb://", **options)
        with event_of(app.world.tasks[TP("orders", 1)]):
            table.update(k="ours", deleted="ours", other="ours")
            del table["deleted"]
        log.append(b'"k"', b'"theirs"')
        log.append(b'"deleted"', b'"theirs"')
        log.append(b'"more"', b'"theirs"')
        await until(lambda: "more" in table)
        assert dict(table) == {"k": "ours", "other": "ours", "more": "theirs"}
        assert len(table) == 3
        assert "deleted" not in table
        copy = shutil.copytree(tmp_path / "one", tmp_path / "copy")
        there = dict.fromkeys(["k", "deleted", "more"], "theirs")
        assert await restarted(world, copy, **options) == there
        await app.tables.flush()
        assert dict(table) == {"k": "ours", "other": "ours", "more": "theirs"}
    there = {"k": "ours", "other": "ours", "more": "theirs"}
    assert await restarted(world, tmp_path / "one", **options) == there


async def test_11_a_kill_with_an_unsent_member_that_others_have_discarded(
    world: World, tmp_path: Any
) -> None:
    """The same for members of sets (tables.md 11, BUG-19)."""
    log = world.log(TP(LOG, 1))
    log.append(b'[3,"k","m"]', b"1")
    async with worker(world, datadir=tmp_path / "one") as app:
        app.conf.create_directories()
        table = app.SetGlobalTable("totals", store="rocksdb://")
        await assign(app, TP("orders", 1))
        with event_of(app.world.tasks[TP("orders", 1)]):
            table["k"].add("n")
            table["k"].discard("m")
            table["k"].add("m")
        log.append(b'[3,"k","m"]', None)
        log.append(b'[3,"k","n"]', b"1")
        log.append(b'[3,"k","o"]', b"1")
        await until(lambda: "o" in table["k"])
        assert table == {"k": {"m", "n", "o"}}
        copy = shutil.copytree(tmp_path / "one", tmp_path / "copy")
        assert await restarted(world, copy, "SetGlobalTable") == {"k": {"n", "o"}}
        await app.tables.flush()
        assert table == {"k": {"m", "n", "o"}}
    there = {"k": {"m", "n", "o"}}
    assert await restarted(world, tmp_path / "one", "SetGlobalTable") == there


async def test_11_windows_are_as_they_are_changed_here(world: World, tmp_path: Any) -> None:
    """What others write to a window that is deleted here, and that is not sent yet, does not bring it back (tables.md 11)."""
    log = world.log(TP(LOG, 1))
    async with worker(world, datadir=tmp_path) as app:
        app.conf.create_directories()
        table = app.GlobalTable("totals", default=int, store="rocksdb://").tumbling(10, expires=60)
        await assign(app, TP("orders", 1))
        partition = table.table.held[1]
        with event_of(app.world.tasks[TP("orders", 1)], at=12.0):
            table["k"] += 1
        await app.tables.flush()
        await until(lambda: partition.store.persisted_offset == 1)
        [raw] = log.contents()
        with event_of(app.world.tasks[TP("orders", 1)], at=12.0):
            del table["k"]
        log.append(raw, b"7")
        await until(lambda: partition.store.persisted_offset == 2)
        assert (len(table.table), len(partition.expiry)) == (0, 0)
        await app.tables.flush()
        assert (len(table.table), len(partition.expiry)) == (0, 0)
        log.append(raw, b"8")
        await until(lambda: len(partition.expiry) == 1)
        assert list(dict(table.table).values()) == [8]


@pytest.mark.parametrize("store", STORES)
async def test_11_a_later_discard_that_is_read_before_ours_is_acknowledged(
    world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """A member that another worker has discarded last is not in the set (tables.md 11, BUG-19)."""
    async with worker(world, datadir=tmp_path) as app:
        app.conf.create_directories()
        table = app.SetGlobalTable("totals", store=store)
        await assign(app, TP("orders", 1))
        with event_of(app.world.tasks[TP("orders", 1)]):
            table["k"].update(["m", "n"])
        log = world.log(TP(LOG, 1))
        once_sent(app, monkeypatch, table.held[1], lambda: log.append(b'[3,"k","m"]', None))
        await app.tables.flush()
        assert table == {"k": {"n"}}
    async with worker(world, datadir=tmp_path) as app:
        table = app.SetGlobalTable("totals", store=store)
        await assign(app, TP("orders", 1))
        assert table == {"k": {"n"}}


class Rec:
    """A record of a changelog."""

    def __init__(self, offset: int, key: bytes, value: bytes | None) -> None:
        self.offset, self.key, self.value, self.timestamp = offset, key, value, 0


def test_11_records_of_ours_come_back(world: World) -> None:
    """An older record of ours does not undo a newer one, a foreign one between them does not either (tables.md 11)."""
    codec = TableCodec(world.app().serializers, table="t", key_type=None, value_type=None)
    partition = FollowedPartition(TP("log", 0), codec, MemoryPartition(), volatile=True)
    raw = b'"k"'
    partition.live["k"] = 2
    partition.sent(raw, 10)
    partition.follow([Rec(8, raw, b"1"), Rec(9, raw, b"99")], 10)  # type: ignore[list-item]
    assert partition.find("k") == 2
    partition.follow([Rec(10, raw, b"2")], 11)  # type: ignore[list-item]
    assert partition.find("k") == 2
    assert partition._own == {}
    partition.follow([Rec(11, raw, b"3")], 12)  # type: ignore[list-item]
    assert partition.find("k") == 3
    partition.sending = {"k": None}
    partition.live["k"] = 4
    partition.follow([Rec(12, raw, b"5"), Rec(14, raw, b"6")], 15)  # type: ignore[list-item]
    assert partition.find("k") == 4
    partition.sent(raw, 13)
    partition.settle((), 14, ())
    assert partition.find("k") == 6


@pytest.mark.parametrize("known", [None, frozenset({0, 1})])
async def test_11_a_broker_that_does_not_know_all_partitions_yet(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    known: frozenset[int] | None,
) -> None:
    """Events wait until every partition of the changelog is found, however often that has to be asked (tables.md 11)."""
    for number in range(4):
        world.log(TP(LOG, number)).append(b'"k%d"' % number, b"1")
    answers = [known, known]
    ask = ScriptedConsumer.partitions_for

    async def partitions_for(self: ScriptedConsumer, topic: str) -> frozenset[int] | None:
        if self in app.readers and answers:
            return answers.pop()
        return await ask(self, topic)

    monkeypatch.setattr(ScriptedConsumer, "partitions_for", partitions_for)
    async with worker(world) as app:
        table = await start(app, 1, 3)
        assert table == {f"k{number}": 1 for number in range(4)}
    assert f"cannot find all partitions of {LOG} (attempt 2)" in caplog.text


async def test_11_a_search_for_partitions_ends_with_the_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that waits for the partitions of a global table can be stopped."""
    ask = ScriptedConsumer.partitions_for
    asked: list[str] = []

    async def partitions_for(self: ScriptedConsumer, topic: str) -> frozenset[int] | None:
        if self in app.readers:
            asked.append(topic)
            return None
        return await ask(self, topic)

    monkeypatch.setattr(ScriptedConsumer, "partitions_for", partitions_for)
    async with worker(world) as app:
        app.GlobalTable("totals")
        recovery = asyncio.create_task(assign(app, TP("orders", 1)))
        await until(lambda: len(asked) > 1)
        assert app.tables.doing() == "recovering global tables"
        await app.tables.on_partitions_revoked(frozenset({TP("orders", 1)}), lost=False)
        assert recovery.cancelled()


async def test_11_undone_writes_are_read_anew(world: World) -> None:
    """Writes of an assignment that was lost are undone in global tables, too (tables.md 11)."""
    async with worker(world) as app:
        table = await start(app, 1)
        with event_of(app.world.tasks[TP("orders", 1)]):
            table["kept"] = 1
        await app.tables.flush()
        with event_of(app.world.tasks[TP("orders", 1)]):
            table["undone"] = 1
            table["kept"] = 2
        await app.tables.on_partitions_revoked(frozenset({TP("orders", 1)}), lost=True)
        with pytest.raises(NotReady), event_of(app.world.tasks[TP("orders", 1)]):
            table["x"] = 1
        await assign(app, TP("orders", 1))
        assert table == {"kept": 1}
        world.log(TP(LOG, 2)).append(b'"more"', b"2")
        await until(lambda: table == {"kept": 1, "more": 2})


async def test_11_others_go_on_while_a_partition_is_read_anew(world: World) -> None:
    """What is written to other partitions meanwhile is not missed, and events may use the table again afterwards."""
    async with worker(world) as app:
        table = await start(app, 1)
        log, other = world.log(TP(LOG, 1)), world.log(TP(LOG, 2))
        for number in range(20):
            log.append(b'"old"', b"1")
            log.append(b'"old"', b"2")
            await until(lambda: table.get("old") == 2)
            log.recreate()
            log.append(b'"one"', b"%d" % number)
            for key in range(5):
                other.append(b'"%d"' % key, b"%d" % number)
                await asyncio.sleep(0.001 * (number % 4))
            right = {"one": number, **{str(key): number for key in range(5)}}
            await until(lambda right=right: table == right)
        await until(lambda: app.tables["totals"].held[1].generation is not None)
        with event_of(app.world.tasks[TP("orders", 1)]):
            table["one"] += 1
        assert table["one"] == 20


async def test_11_a_changelog_that_is_made_anew(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """When a changelog goes back, the partition is read anew, and said (recovery-rebalance.md 7.4)."""
    async with worker(world) as app:
        log = world.log(TP(LOG, 1))
        for number in range(5):
            log.append(b"%d" % number, b"1")
        table = await start(app, 1)
        assert len(table) == 5
        log.recreate()
        log.append(b'"new"', b"1")
        await until(lambda: table == {"new": 1})
        assert "went back" in caplog.text


async def test_6_changelog_events(world: World) -> None:
    """Each record is announced, before it is applied: in recovery, and what others write, not what we do (tables.md 6)."""
    heard: list[Any] = []

    async def on_event(event: Any) -> None:
        await asyncio.sleep(0)
        heard.append((event.key, event.value, event.message.offset, event.key in tables[0]))

    tables: list[Any] = []
    world.log(TP(LOG, 1)).append(b'"a"', b"1")
    world.log(TP(LOG, 1)).append(b'"a"', None)
    async with worker(world) as app:
        tables.append(app.GlobalTable("totals", on_changelog_event=on_event))
        await assign(app, TP("orders", 1))
        assert heard == [("a", 1, 0, False), ("a", None, 1, False)]
        with event_of(app.world.tasks[TP("orders", 1)]):
            tables[0]["mine"] = 1
        await app.tables.flush()
        world.log(TP(LOG, 1)).append(b'"b"', b"2")
        await until(lambda: len(heard) == 3)
        assert heard[2] == ("b", 2, 3, False)
    async with worker(world) as app:
        heard.clear()
        tables[0] = app.Table("totals", on_changelog_event=on_event, recovery_buffer_size=1)
        for _ in range(300):
            world.log(TP(LOG, 3)).append(b'"c"', b"2")
        numbers = range(4)
        await assign(app, *(TP(topic, n) for topic in ("orders", LOG) for n in numbers))
        assert len(heard) == 304
        assert tables[0] == {"mine": 1, "b": 2, "c": 2}


async def test_6_a_failing_listener_ends_recovery(world: World) -> None:
    """An exception of on_changelog_event ends the recovery with it, and not silently (tables.md 6)."""

    async def on_event(_event: Any) -> None:
        raise LookupError("not mine")

    world.log(TP(LOG, 1)).append(b'"a"', b"1")
    async with worker(world) as app:
        app.Table("totals", on_changelog_event=on_event)
        with pytest.raises(LookupError, match="not mine"):
            await assign(app, *(TP(topic, 1) for topic in ("orders", LOG)))


async def test_11_global_sets(world: World) -> None:
    """Tables of sets can be global (tables.md BUG-19)."""
    async with worker(world) as one, worker(world) as other:
        mine, theirs = one.SetGlobalTable("totals"), other.SetGlobalTable("totals")
        await assign(one, TP("orders", 0))
        await assign(other, TP("orders", 1))
        with event_of(one.world.tasks[TP("orders", 0)]):
            mine["a"].update([1, 2])
        await one.tables.flush()
        await until(lambda: theirs == {"a": {1, 2}})
        with event_of(one.world.tasks[TP("orders", 0)]):
            mine["a"].remove(1)
        await one.tables.flush()
        await until(lambda: theirs == {"a": {2}})
        assert mine == {"a": {2}}


async def test_11_global_windows(world: World) -> None:
    """A windowed global table, its key index with it, is everywhere (tables.md BUG-22)."""
    world.make("shop-totals-key_index-changelog", 4)
    async with worker(world) as one, worker(world) as other:
        mine, theirs = (
            app.GlobalTable("totals", default=int).tumbling(10, expires=60, key_index=True)
            for app in (one, other)
        )
        await assign(one, TP("orders", 0))
        await assign(other, TP("orders", 1))
        with event_of(one.world.tasks[TP("orders", 0)], at=12.0):
            mine["k"] += 1
        await one.tables.flush()
        await until(lambda: list(theirs) == ["k"])
        await until(lambda: dict(theirs.relative_to(12).items()) == {"k": 1})
        assert len(theirs.table.held[0].expiry) == 1


@pytest.mark.parametrize("swap", [False, True])
async def test_11_one_worker_closes_a_global_window(world: World, swap: bool) -> None:
    """A window of a global table is closed by the worker that owns the partition, and by no other (windows.md 3)."""
    closed: list[Any] = []
    async with worker(world) as one, worker(world) as other:
        tables = [
            app.GlobalTable(
                "totals",
                default=int,
                on_window_close=lambda key, _, app=app: closed.append((app, key)),
            ).tumbling(10, expires=60)
            for app in (one, other)
        ]
        await assign(one, TP("orders", 0))
        await assign(other, TP("orders", 1))
        for app in (one, other):
            await app.tables.on_start()
        for moment in (12.0, 1000.0):
            with event_of(one.world.tasks[TP("orders", 0)], at=moment):
                tables[0]["k"] += 1
        await one.tables.flush()
        await until(lambda: len(tables[1].table) == 2)
        owner = one
        if swap:
            owner = other
            await one.tables.on_partitions_revoked(frozenset({TP("orders", 0)}), lost=False)
            await assign(one, TP("orders", 1))
            await assign(other, TP("orders", 0))
        for app in (one, other):
            assert app.tables._cleaner is not None
            await app.tables._cleaner.clean(0.0)
            await app.tables.flush()
        assert closed == [(owner, ("k", (10.0, 19.9)))]
        await until(lambda: all(len(each.table) == 1 for each in tables))


# -- use_partitioner


async def test_3_use_partitioner(world: World) -> None:
    """A key belongs to the partition of its bytes, wherever it is written, also outside of streams (BUG-5)."""
    async with worker(world) as app:
        table = app.Table("totals", use_partitioner=True, default=int)
        numbers = range(4)
        await assign(app, *(TP(topic, n) for topic in ("orders", LOG) for n in numbers))
        for number in range(20):
            table[f"outside-{number}"] = number
        with event_of(app.world.tasks[TP("orders", 2)]):
            table["inside"] += 1
            assert table["outside-7"] == 7
            assert len(table) == 21
            assert table.partition_for_key("inside") is None
        assert table.pop("outside-0") == 0
        del table["outside-1"]
        assert table.popitem()[0] not in table
        await app.tables.flush()
        for number in numbers:
            for key in world.log(TP(LOG, number)).contents():
                assert app.producer.key_partition(LOG, key).partition == number
        assert {len(world.log(TP(LOG, number)).contents()) for number in numbers} != {0, 18}
        table.clear()
        assert len(table) == 0
        await app.tables.flush()
        assert not any(world.log(TP(LOG, number)).contents() for number in numbers)


async def test_3_use_partitioner_and_keys_of_others(world: World) -> None:
    """A key of another worker's partition cannot be written here: an error says whose it is (BUG-5)."""
    async with worker(world) as app:
        table = app.Table("totals", use_partitioner=True)
        await assign(app, TP("orders", 0), TP(LOG, 0))
        refused = []
        for number in range(20):
            try:
                table[f"k{number}"] = 1
            except NotReady as exc:
                refused.append(str(exc))
        assert 0 < len(table) == 20 - len(refused) < 20
        assert all("which is not held by this worker" in error for error in refused)


async def test_6_a_slow_hearer_holds_the_reading_up(world: World) -> None:
    """While somebody is slow to hear of changes no more is read than waits for him; then all of it arrives (tables.md 6)."""
    gate = asyncio.Event()
    heard: list[Any] = []

    async def on_event(event: Any) -> None:
        await gate.wait()
        heard.append(event.key)

    async with worker(world) as app:
        table = await start(app, 0, on_changelog_event=on_event)
        for number in range(3000):
            world.log(TP(LOG, 1)).append(b"%d" % number, b"1")
        [reader] = app.readers
        await until(lambda: TP(LOG, 1) in reader.paused)
        reached = reader.positions[TP(LOG, 1)]
        await asyncio.sleep(0.02)
        assert reader.positions[TP(LOG, 1)] == reached < 1000
        gate.set()
        await until(lambda: len(table) == 3000)
    assert heard == list(range(3000))


@pytest.mark.parametrize("count", [4, 8, 3])
async def test_42_each_partition_is_cleaned_by_one_worker(world: World, count: int) -> None:
    """Keys of a global table go by their ttl in every partition, by one worker, whatever the topics' counts (pain row 42)."""
    world.logs.pop(TP(LOG, 3))
    world.make(LOG, count)
    world.make("other", 2)
    now = 1000.0
    async with worker(world) as one, worker(world) as two:
        tables = []
        for app, numbers in ((one, (0, 3)), (two, (1, 2))):
            table = app.GlobalTable("totals", use_partitioner=True, ttl=100)
            tables.append(table)
            await assign(app, TP("other", numbers[0]), *(TP("orders", each) for each in numbers))
            await app.tables.on_start()
            for partition in table.held.values():
                partition.expiry.clock = lambda: now
        owned = [{n for n, each in table.held.items() if each.owned} for table in tables]
        assert owned[0] | owned[1] == set(range(count))
        assert not owned[0] & owned[1]
        for key in range(30):
            tables[0][key] = 1
        await one.tables.flush()
        await until(lambda: len(tables[1]) == 30)
        now = 1120.0
        for app in (one, two):
            assert app.tables._cleaner is not None
            await app.tables._cleaner.clean(0.0)
            await app.tables.flush()
        await until(lambda: not len(tables[0]) and not len(tables[1]))
    assert not any(world.log(TP(LOG, number)).contents() for number in range(count))


async def test_3_use_partitioner_with_global_tables(world: World) -> None:
    """With a global table any worker can write any key, anywhere."""
    async with worker(world) as one, worker(world) as other:
        mine = await start(one, 0, use_partitioner=True)
        theirs = await start(other, 1, use_partitioner=True)
        for number in range(10):
            mine[number] = "mine"
        await one.tables.flush()
        await until(lambda: len(theirs) == 10)
        theirs[5] = "theirs"
        await other.tables.flush()
        await until(lambda: mine[5] == "theirs")
        assert mine == theirs


@pytest.mark.parametrize("bound", [0, 2, 100])
async def test_places_of_keys_are_remembered(world: World, bound: int) -> None:
    """As many as ``table_key_index_size`` says; what is remembered never hides a deletion, a move or a new value (settings.md)."""
    async with worker(world, table_key_index_size=bound) as app:
        for number in range(1, 3):
            for key in range(5):
                world.log(TP(LOG, number)).append(b'"%d-%d"' % (number, key), b"%d" % key)
        table = await start(app, 1)
        for _ in range(2):
            assert [table.get(f"{number}-{key}") for number in (1, 2) for key in range(5)] == [
                *range(5),
                *range(5),
            ]
            assert len(table._places) == min(bound, 10)
        world.log(TP(LOG, 2)).append(b'"2-4"', b"40")
        await until(lambda: table.get("2-4") == 40)
        world.log(TP(LOG, 2)).append(b'"2-4"', None)
        await until(lambda: table.get("2-4", None) is None)
        world.log(TP(LOG, 1)).append(b'"2-4"', b"41")
        await until(lambda: table.get("2-4") == 41)
        await app.tables.on_partitions_revoked(frozenset({TP("orders", 1)}), lost=False)
        assert table._places == {}
