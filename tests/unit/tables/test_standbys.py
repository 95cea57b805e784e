"""Copies on standby (recovery-rebalance.md 7 and 9): they follow their changelogs, are promoted warm, and give way."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.apps import eventually
from tests.support.changelogs import App, Log, World, event_of, worker
from tests.unit.tables.conftest import CHANGELOGS, SOURCES, assign
from yarl import URL

from faust.messages import TP
from faust.stores.rocksdb import Store as RocksDBStore
from faust.tables.plan import Bounds, FollowPlan

pytestmark = pytest.mark.usefixtures("quick_ticks")

STORES = pytest.mark.parametrize("store", ["memory://", "rocksdb://"])


@pytest.fixture
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small world needs no patience."""
    monkeypatch.setattr("faust.tables.standbys.TICK", 0.01)
    monkeypatch.setattr("faust.tables.standbys.LOOK_EVERY", 0.05)
    monkeypatch.setattr("faust.tables.manager.GIVE_WAY_EVERY", 0.02)


async def stand_by(app: App, *tps: TP, actives: tuple[TP, ...] = ()) -> None:
    """Give *app* copies to keep, and partitions of its own."""
    generation = app.consumer_driver.give([*tps, *actives])
    if not app.consumer.started:
        await app.consumer.start()
        await app.tables.on_start()
    await app.tables.recover(
        frozenset([*tps, *actives]), generation, lambda _: None, standbys=frozenset(tps)
    )


def stored(table: Any, number: int = 0) -> dict[bytes, bytes]:
    """Return what a copy holds."""
    return dict(table.held[number].store.items())


def follows(table: Any, log: Log) -> bool:
    """Say whether a copy holds what a fresh reader gets."""
    return stored(table) == log.contents()


def lagging(app: App) -> int:
    """Return how far the copies are behind; -1: that is not known."""
    lag = app.tables.standby_lag()
    return sum(lag.values()) if lag else -1


# -- following


@STORES
async def test_a_copy_follows_its_changelog(world: World, tmp_path: Path, store: str) -> None:
    """recovery-rebalance.md 9: what others write is in the copy soon; no event and no reader sees it."""
    log = world.log(CHANGELOGS[0])
    for number in range(10):
        log.append(b'"k%d"' % number, b"%d" % number)
    async with worker(world, store=store, datadir=tmp_path) as app:
        table = app.Table("totals", default=int)
        await stand_by(app, CHANGELOGS[0])
        await eventually(lambda: stored(table) == log.contents())
        log.append(b'"new"', b"1")
        log.append(b'"k0"', None)
        await eventually(lambda: stored(table) == log.contents() and lagging(app) == 0)
        assert app.tables.standbys_ready
        assert table.held[0].store.persisted_offset == log.end
        assert dict(table.items()) == {}
        assert len(table) == 0
        await eventually(lambda: app.tables.standbys is not None)
        await app.tables.stop_standbys()
        assert app.tables.is_warm(CHANGELOGS[0])


async def test_pain_13_standby_lag_is_zero_while_idle_and_promotion_reads_nothing(
    world: World, app: App
) -> None:
    """Pain row 13: the lag of an idle standby is 0, and its promotion reads no record."""
    log = world.log(CHANGELOGS[0])
    for number in range(100):
        log.append(b'"k%d"' % number, b"%d" % number)
    log.mark()  # the end is a marker: nobody ever sees a record there
    table = app.Table("totals", default=int)
    await stand_by(app, CHANGELOGS[0])
    await eventually(lambda: lagging(app) == 0)
    taken: list[TP] = []
    before = table.held[0]
    await app.tables.on_partitions_revoked(frozenset([CHANGELOGS[0]]), lost=False)
    app.consumer_driver.on_slice = taken.append
    await assign(app, CHANGELOGS[0], SOURCES[0])
    assert CHANGELOGS[0] not in taken
    assert table.held[0] is before
    assert not before.standby
    assert dict(table.items()) == {f"k{number}": number for number in range(100)}


@STORES
async def test_an_owner_becomes_a_copy_and_owner_again(
    world: World, tmp_path: Path, store: str
) -> None:
    """Demotion: what was flushed stays, what was not is undone, what the new owner writes comes in, promotion reads the rest."""
    log = world.log(CHANGELOGS[0])
    async with worker(world, store=store, datadir=tmp_path) as app:
        table = app.Table("totals", default=int)
        await assign(app, CHANGELOGS[0], SOURCES[0])
        with event_of(world.tasks[SOURCES[0]]):
            table["flushed"] = 1
            table["both"] = 1
            await app.tables.flush()
            table["unflushed"] = 1
        await app.tables.on_partitions_revoked(frozenset([CHANGELOGS[0]]), lost=True)
        table_again = table
        await stand_by(app, CHANGELOGS[0])
        log.append(b'"both"', b"2")
        log.append(b'"theirs"', b"3")
        await eventually(lambda: lagging(app) == 0 and table.held[0].store.persisted_offset == 4)
        await app.tables.on_partitions_revoked(frozenset([CHANGELOGS[0]]), lost=False)
        await assign(app, CHANGELOGS[0], SOURCES[0])
        assert dict(table_again.items()) == {"flushed": 1, "both": 2, "theirs": 3}


async def test_demotion_in_good_order_keeps_what_is_held_in_memory(world: World, app: App) -> None:
    """A copy that was the owner goes on from its place; decoded values that the new owner replaces are dropped."""
    log = world.log(CHANGELOGS[0])
    table = app.Table("totals", default=int)
    await assign(app, CHANGELOGS[0], SOURCES[0])
    with event_of(world.tasks[SOURCES[0]]):
        for number in range(50):
            table[f"k{number}"] = number
    await app.tables.on_partitions_revoked(frozenset([CHANGELOGS[0]]), lost=False)
    assert log.end == 50
    app.consumer_driver.calls.clear()
    await stand_by(app, CHANGELOGS[0])
    log.append(b'"k1"', b"-1")
    await eventually(lambda: table.held[0].store.persisted_offset == 51)
    await app.tables.on_partitions_revoked(frozenset([CHANGELOGS[0]]), lost=False)
    await assign(app, CHANGELOGS[0], SOURCES[0])
    assert dict(table.items()) == {f"k{number}": number for number in range(50)} | {"k1": -1}


# -- what happens to logs


async def test_a_changelog_that_is_made_anew_is_read_anew(world: World, app: App) -> None:
    """Deleted and recreated: the copy is wiped and equals the new log."""
    log = world.log(CHANGELOGS[0])
    for number in range(20):
        log.append(b'"old%d"' % number, b"1")
    table = app.Table("totals", default=int)
    await stand_by(app, CHANGELOGS[0])
    await eventually(lambda: lagging(app) == 0)
    log.recreate()
    for number in range(5):
        log.append(b'"new%d"' % number, b"1")
    await eventually(lambda: stored(table) == log.contents())


async def test_a_changelog_that_is_truncated_beyond_the_copy_is_read_anew(
    world: World, app: App
) -> None:
    """Retention has overtaken the copy: it equals what a fresh reader gets."""
    log = world.log(CHANGELOGS[0])
    for number in range(20):
        log.append(b'"k%d"' % number, b"1")
    table = app.Table("totals", default=int)
    await stand_by(app, CHANGELOGS[0])
    await eventually(lambda: lagging(app) == 0)
    app.consumer_driver.pause([CHANGELOGS[0]])
    for number in range(20):
        log.append(b'"later%d"' % number, b"1")
    log.truncate(30)
    app.consumer_driver.resume([CHANGELOGS[0]])
    await eventually(lambda: stored(table) == log.contents())


async def test_a_copy_ahead_of_its_changelog_is_rebuilt_and_said(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy on disk that is ahead of the log is no reason to stop: it is only a copy."""
    log = world.log(CHANGELOGS[0])
    for number in range(20):
        log.append(b'"k%d"' % number, b"1")
    for _ in range(2):
        async with worker(world, store="rocksdb://", datadir=tmp_path) as app:
            table = app.Table("totals", default=int)
            await stand_by(app, CHANGELOGS[0])
            await eventually(partial(follows, table, log))
        log.recreate()
        log.append(b'"new"', b"1")
    assert "lies beyond the end" in caplog.text


async def test_requests_that_fail_are_repeated(world: World, app: App) -> None:
    """A broker that does not answer for a while only delays the copy."""
    app.conf.assign("broker_request_timeout", 0.05, "the test")
    app.conf.assign("broker_session_timeout", 0.05, "the test")
    world.log(CHANGELOGS[0]).append(b'"k"', b"1")
    table = app.Table("totals", default=int)
    app.consumer_driver.slow = {"end_offsets": 3, "seek": 2}
    await stand_by(app, CHANGELOGS[0])
    await eventually(lambda: stored(table) == {b'"k"': b"1"})


async def test_stopping_at_any_moment_leaves_offset_and_contents_equal(
    world: World, tmp_path: Path
) -> None:
    """A copy that is stopped in the middle goes on where its store is."""
    log = world.log(CHANGELOGS[0])
    for number in range(3000):
        log.append(b'"k%d"' % (number % 700), b"%d" % number)
    for pause in (0.0, 0.01, 0.05, 0.1):
        async with worker(world, store="rocksdb://", datadir=tmp_path) as app:
            table = app.Table("totals", default=int)
            await stand_by(app, CHANGELOGS[0])
            await asyncio.sleep(pause)
            await app.tables.stop_standbys()
            reached = table.held[0].store.persisted_offset or 0
            expected = {e.key: e.value for e in log.entries[:reached]}
            assert stored(table) == expected


async def test_changelog_events_are_heard(world: World, app: App) -> None:
    """``on_changelog_event`` is awaited with the records of copies, too."""
    heard: list[Any] = []

    async def hear(event: Any) -> None:
        heard.append(event.key)

    table = app.Table("totals", default=int, on_changelog_event=hear)
    await stand_by(app, CHANGELOGS[0])
    world.log(CHANGELOGS[0]).append(b'"k"', b"1")
    await eventually(lambda: stored(table) == {b'"k"': b"1"})
    assert heard == ["k"]


@STORES
async def test_what_waits_to_be_heard_is_not_passed_over(
    world: World, tmp_path: Path, store: str
) -> None:
    """The consumer is past a record that waits for ``on_changelog_event``: a copy that is stopped there is not."""
    log = world.log(CHANGELOGS[0])
    hearing = asyncio.Event()
    promoted = asyncio.Event()

    async def hear(_event: Any) -> None:
        hearing.set()
        await promoted.wait()

    async with worker(world, store=store, datadir=tmp_path) as app:
        driver = app.consumer_driver
        position = driver.position

        async def late(tp: TP) -> int:
            driver.mislaid.discard(tp)
            await eventually(lambda: driver.positions[tp] == log.end)
            return await position(tp)

        driver.position = late  # type: ignore[method-assign]  # what is missing comes while this is asked
        driver.mislaid = {CHANGELOGS[0]}
        table = app.Table("totals", default=int, on_changelog_event=hear)
        await stand_by(app, CHANGELOGS[0])
        await eventually(lambda: app.tables.standbys_ready)
        driver.mislaid = {CHANGELOGS[0]}
        log.append(b'"k"', b"1")
        await asyncio.wait_for(hearing.wait(), 60)
        await app.tables.on_partitions_revoked(frozenset([CHANGELOGS[0]]), lost=False)
        promoted.set()
        await assign(app, CHANGELOGS[0], SOURCES[0])
        assert dict(table.items()) == {"k": 1}


async def test_a_slow_hook_only_delays_a_copy(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading stops while much waits for ``on_changelog_event``, and goes on afterwards; also if much came during the hook."""
    monkeypatch.setattr("faust.tables.standbys.MANY", 5)
    log = world.log(CHANGELOGS[0])
    driver = app.consumer_driver

    hearing = asyncio.Event()

    async def hear(_event: Any) -> None:
        if not hearing.is_set():
            hearing.set()
            await eventually(lambda: CHANGELOGS[0] in driver.paused)

    table = app.Table("totals", default=int, on_changelog_event=hear)
    await stand_by(app, CHANGELOGS[0])
    await eventually(lambda: app.tables.standbys_ready)
    log.append(b'"first"', b"1")
    await hearing.wait()
    for number in range(100):
        log.append(b'"k%d"' % number, b"1")
    await eventually(partial(follows, table, log))


async def test_what_waits_of_a_log_that_is_made_anew_is_dropped(world: World, app: App) -> None:
    """A record of the former topic that waits for ``on_changelog_event`` does not come into the copy of the new one."""
    log = world.log(CHANGELOGS[0])
    driver = app.consumer_driver
    heard: list[Any] = []

    async def hear(event: Any) -> None:
        heard.append(event.key)

    table = app.Table("totals", default=int, on_changelog_event=hear)
    await stand_by(app, CHANGELOGS[0])
    await eventually(lambda: app.tables.standbys_ready)
    topic_ids = driver.topic_ids

    async def late(topics: Any) -> Any:
        driver.topic_ids = topic_ids  # type: ignore[method-assign]
        log.append(b'"old"', b"1")
        await eventually(lambda: driver.positions[CHANGELOGS[0]] == log.end)
        log.recreate()
        log.append(b'"new"', b"1")
        return await topic_ids(topics)

    driver.topic_ids = late  # type: ignore[method-assign]  # a record comes while this is asked
    await eventually(lambda: stored(table) == {b'"new"': b"1"})
    assert heard == ["new"]


# -- one data directory


async def test_a_copy_whose_files_another_worker_has_is_not_made(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two workers on one data directory: the owner's files are the copy."""
    caplog.set_level("INFO")
    async with worker(world, store="rocksdb://", datadir=tmp_path) as app:
        table = app.Table("totals", default=int)
        owner = RocksDBStore(URL("rocksdb://"), table="totals", directory=app.conf.tabledir)
        await owner.open(0)
        await stand_by(app, CHANGELOGS[0], CHANGELOGS[1])
        assert set(table.held) == {1}
        assert "kept by another worker" in caplog.text
        await owner.close()


async def test_a_copy_gives_way_to_the_owner(world: World, tmp_path: Path) -> None:
    """An owner that waits for the files of a copy gets them, although nobody rebalances."""
    world.log(CHANGELOGS[0]).append(b'"k"', b"1")
    async with worker(world, store="rocksdb://", datadir=tmp_path) as app:
        table = app.Table("totals", default=int)
        await stand_by(app, CHANGELOGS[0])
        await eventually(lambda: stored(table) == {b'"k"': b"1"})
        owner = RocksDBStore(URL("rocksdb://"), table="totals", directory=app.conf.tabledir)
        opened = await asyncio.wait_for(owner.open(0), 10)
        assert opened.get(b'"k"') == b"1"
        assert opened.persisted_offset == 1
        assert 0 not in table.held
        await owner.close()


async def gives_way(app: App, table: Any, number: int, crashed: list[BaseException]) -> None:
    """Have the owner, another process on the same files, ask for those of a copy; the other copy goes on."""
    directory = app.conf.tabledir
    owner = RocksDBStore(URL("rocksdb://"), table="totals", directory=directory)
    opened = await asyncio.wait_for(owner.open(number), 60)
    assert number not in table.held
    opened.close()
    assert not crashed


def note_crashes(app: App) -> list[BaseException]:
    """Return where what would end the worker is noted."""
    crashed: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        crashed.append(reason)

    app.tables.crash = crash  # type: ignore[method-assign]
    return crashed


async def test_a_copy_gives_way_while_its_record_is_announced(world: World, tmp_path: Path) -> None:
    """The worker goes on when a copy gives way in the middle of ``on_changelog_event``."""
    hearing = asyncio.Event()
    gone = asyncio.Event()

    async def hear(_event: Any) -> None:
        hearing.set()
        await gone.wait()

    async with worker(world, store="rocksdb://", datadir=tmp_path) as app:
        crashed = note_crashes(app)
        table = app.Table("totals", default=int, on_changelog_event=hear)
        await stand_by(app, CHANGELOGS[0], CHANGELOGS[1])
        world.log(CHANGELOGS[0]).append(b'"k"', b"1")
        await hearing.wait()
        await gives_way(app, table, 0, crashed)
        gone.set()
        world.log(CHANGELOGS[1]).append(b'"k"', b"1")
        await eventually(lambda: stored(table, 1) == {b'"k"': b"1"} or crashed)
        assert not crashed


async def test_a_copy_gives_way_while_it_is_sought(world: World, tmp_path: Path) -> None:
    """A copy that is given up while its log is read anew is not followed again."""
    log = world.log(CHANGELOGS[0])
    log.append(b'"old"', b"1")
    seeking = asyncio.Event()
    gone = asyncio.Event()
    async with worker(world, store="rocksdb://", datadir=tmp_path) as app:
        crashed = note_crashes(app)
        table = app.Table("totals", default=int)
        await stand_by(app, CHANGELOGS[0], CHANGELOGS[1])
        await eventually(lambda: app.tables.standbys_ready)
        driver = app.consumer_driver
        seek = driver.seek

        async def slow(offsets: Any) -> None:
            seeking.set()
            await gone.wait()
            await seek(offsets)

        driver.seek = slow  # type: ignore[method-assign]  # a broker that takes its time
        log.recreate()
        await seeking.wait()
        await gives_way(app, table, 0, crashed)
        gone.set()
        await eventually(lambda: CHANGELOGS[0] in driver.paused)
        driver.calls.clear()
        log.recreate()
        log.append(b'"new"', b"1")
        world.log(CHANGELOGS[1]).append(b'"k"', b"1")
        await eventually(lambda: stored(table, 1) == {b'"k"': b"1"} or crashed)
        await eventually(lambda: driver.calls.count("end_offsets") > 2 or crashed)
        assert not crashed


# -- decisions


def test_polls_are_believed_the_second_time() -> None:
    """A position behind the last record counts when it is said twice with nothing in between."""
    plan = FollowPlan(5, 9)
    assert plan.lag == 4
    assert not plan.polled(9)
    assert plan.slice(5, 7)
    assert not plan.polled(9)
    assert plan.polled(9)
    assert plan.lag == 0
    assert not plan.look(Bounds(0, 9))


def test_a_gap_is_compaction_unless_the_log_begins_behind_it() -> None:
    """Offsets that are missing mean nothing, except when the log begins behind them now."""
    plan = FollowPlan(5, 9)
    assert plan.slice(7, 8)
    assert plan.doubtful
    assert not plan.look(Bounds(0, 9))
    assert not plan.doubtful
    assert plan.slice(9, 10)
    assert plan.look(Bounds(9, 10))
    assert plan.position == 9
