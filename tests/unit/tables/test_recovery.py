"""Recovery carried out: through holes, markers, truncations, slow brokers and rebalances, never hanging."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.apps import eventually
from tests.support.changelogs import App, Entry, Log, World, assign, event_of, worker

from faust.exceptions import ConsistencyError
from faust.messages import TP, Slice
from faust.tables import reading, recovery
from faust.tables.table import Table
from faust.topics.topic import Topic

SOURCES = [TP("orders", number) for number in range(4)]
CHANGELOGS = [TP("shop-totals-changelog", number) for number in range(4)]
ALL = [*SOURCES, *CHANGELOGS]
LOG = CHANGELOGS[1]


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and looks at silent partitions come at once; nobody should wait seconds for them here."""
    monkeypatch.setattr(reading, "FIRST_RETRY", 0.001)
    monkeypatch.setattr(reading, "LAST_RETRY", 0.005)
    monkeypatch.setattr(recovery, "STALLED_AFTER", 0.05)


def fill(log: Log, count: int, first: int = 0) -> None:
    """Write keys of their own to a log."""
    for number in range(first, first + count):
        log.append(b"%d" % number, b"%d" % number)


def contents(table: Table[Any, Any]) -> dict[Any, Any]:
    """Return what the table makes of partition 1."""
    return dict(table.held[1].items())


async def test_a_new_worker_reads_everything(world: World, app: App) -> None:
    """Records 0 to 2 of an empty store: seek to 0, three records, callbacks once, numbers announced once each."""
    fill(world.log(LOG), 3)
    totals = app.Table("totals")
    calls = []

    @totals.on_recover
    async def recovered() -> None:
        calls.append(totals.copy())

    ready = await assign(app, *ALL)
    assert ready == [frozenset({0, 2, 3}), frozenset({1})]
    assert contents(totals) == {0: 0, 1: 1, 2: 2}
    assert totals.persisted_offset(LOG) == 3
    assert calls == [{0: 0, 1: 1, 2: 2}]
    assert app.consumer_driver.paused == set(ALL)


async def test_what_is_up_to_date_is_not_read(world: World, app: App) -> None:
    """A partition that stays with the worker, and has reached the end of its log, costs no reading."""
    fill(world.log(LOG), 40)
    totals = app.Table("totals")
    await assign(app, *ALL)
    before = world.tasks[SOURCES[1]]
    app.consumer_driver.calls.clear()
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
    await assign(app, *ALL)
    assert "seek" not in app.consumer_driver.calls
    assert len(contents(totals)) == 40
    assert world.tasks[SOURCES[1]] is not before


async def test_only_the_tail_is_read(world: World, app: App) -> None:
    """What others have written behind the kept state is read, from the next offset on, and replaces it."""
    fill(world.log(LOG), 42)
    totals = app.Table("totals")
    await assign(app, *ALL)
    with event_of(world.tasks[SOURCES[1]]):
        totals[0] = "mine"
        assert totals[7] == 7
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
    assert world.log(LOG).end == 43
    world.log(LOG).append(b"7", b'"theirs"')
    world.log(LOG).append(b"8", None)
    world.log(LOG).append(b"0", b'"theirs, too"')
    read: list[int] = []

    def watch(tp: TP) -> None:
        read.append(app.consumer_driver.positions[tp])

    app.consumer_driver.on_slice = watch
    await assign(app, *ALL)
    assert read[0] == 43
    with event_of(world.tasks[SOURCES[1]]):
        assert totals[7] == "theirs"
        assert totals[0] == "theirs, too"
        assert 8 not in totals
        assert len(totals) == 41


async def test_lost_partitions_are_read_anew(world: World, app: App) -> None:
    """What was lost is dropped without a flush, and read from the beginning when it comes back."""
    fill(world.log(LOG), 5)
    totals = app.Table("totals")
    await assign(app, *ALL)
    with event_of(world.tasks[SOURCES[1]]):
        totals[0] = "never sent"
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=True)
    assert totals.held == {}
    await assign(app, *ALL)
    assert contents(totals) == {number: number for number in range(5)}
    assert world.log(LOG).end == 5


async def leave_unfinished(world: World, app: App, totals: Table[Any, Any]) -> None:
    """Change a key in an event that nobody finishes, and give back everything while the broker is away."""
    app.producer_driver.failure = ConnectionError("gone")
    with event_of(world.tasks[SOURCES[1]]):
        totals[0] = "unfinished"
    with pytest.raises(ConnectionError):
        await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)


async def test_what_was_never_flushed_is_undone(world: World, app: App) -> None:
    """Changes of events that nobody finished do not survive into the next assignment."""
    fill(world.log(LOG), 5)
    totals = app.Table("totals")
    await assign(app, *ALL)
    await leave_unfinished(world, app, totals)
    await assign(app, *ALL)
    assert contents(totals) == {number: number for number in range(5)}


async def test_partitions_that_go_away_are_forgotten(world: World, app: App) -> None:
    """After a rebalance a worker shows only what it still holds."""
    totals = app.Table("totals")
    await assign(app, *ALL)
    for number, tp in enumerate(SOURCES):
        with event_of(world.tasks[tp]):
            totals[f"k{number}"] = number
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
    await assign(app, SOURCES[2], CHANGELOGS[2])
    assert totals.copy() == {"k2": 2}
    assert list(totals.held) == [2]


# -- logs as they are


def markers_at_the_end(log: Log) -> None:
    """As after a transaction."""
    fill(log, 4)
    log.mark()
    log.mark()


def compacted(log: Log) -> None:
    """The last offsets are gone, and some in the middle."""
    fill(log, 8)
    for _ in range(2):
        fill(log, 4)
    log.compact()
    log.entries = log.entries[:-2]


def empty_after_retention(log: Log) -> None:
    """There were records once."""
    fill(log, 9)
    log.truncate(9)


def truncated(log: Log) -> None:
    """The log begins somewhere."""
    fill(log, 9)
    log.truncate(5)


def only_markers(log: Log) -> None:
    """Nothing but an aborted transaction."""
    log.mark()
    log.mark()


def tombstones(log: Log) -> None:
    """A key that was set, deleted, and set to something false: applied in order."""
    for value in (b"5", None, b"0"):
        log.append(b'"k"', value)
    log.append(b'"gone"', b"1")
    log.append(b'"gone"', None)


@pytest.mark.parametrize("silent", [False, True], ids=["slices", "silent"])
@pytest.mark.parametrize(
    "shape",
    [markers_at_the_end, compacted, empty_after_retention, truncated, only_markers, tombstones],
)
async def test_every_log_becomes_ready(
    world: World, app: App, shape: Callable[[Log], None], silent: bool
) -> None:
    """Compacted, truncated, empty, transactional: the table has what a fresh reader would have."""
    app.consumer_driver.silent_jumps = silent
    log = world.log(LOG)
    shape(log)
    totals = app.Table("totals")
    async with asyncio.timeout(10):
        ready = await assign(app, *ALL)
    assert frozenset().union(*ready) == {0, 1, 2, 3}
    held = totals.held[1]
    assert {
        held.codec.encode_key(key): held.codec.encode_value(key, value)
        for key, value in held.items()
    } == (log.contents())
    assert totals.persisted_offset(LOG) == log.end


@pytest.mark.parametrize("silent", [False, True], ids=["slices", "silent"])
@pytest.mark.parametrize("event", ["truncate", "empty", "recreate", "grow"])
async def test_a_log_that_changes_while_it_is_read(
    world: World, app: App, event: str, silent: bool
) -> None:
    """Records deleted, topic made anew, or more written while it is read: it ends, with the right contents."""
    app.consumer_driver.silent_jumps = silent
    log = world.log(LOG)
    log.append(b'"stale"', b"1")
    fill(log, 20)
    log.append(b'"stale"', None)
    fill(log, 10)
    slices = 0

    def interfere(_tp: TP) -> None:
        nonlocal slices
        slices += 1
        if slices != 3:
            return
        if event == "truncate":
            log.truncate(25)
        elif event == "empty":
            log.truncate(log.end)
        elif event == "recreate":
            log.recreate()
            fill(log, 4, first=100)
        else:
            fill(log, 7, first=200)

    app.consumer_driver.on_slice = interfere
    totals = app.Table("totals")
    async with asyncio.timeout(10):
        await assign(app, *ALL)
    held = totals.held[1]
    assert {
        held.codec.encode_key(key): held.codec.encode_value(key, value)
        for key, value in held.items()
    } == (log.contents())


async def test_records_without_a_key_are_left_out_and_said(
    world: World, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """A null key says nothing about the table; recovery goes on, and the log says how many there were."""
    world.log(LOG).append(None, b"1")
    world.log(LOG).append(b'"x"', b"2")
    totals = app.Table("totals")
    with caplog.at_level(logging.ERROR):
        await assign(app, *ALL)
    assert contents(totals) == {"x": 2}
    assert "1 records without a key" in caplog.text


# -- hooks


async def test_a_slow_hook_only_delays_a_recovery(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading stops while much waits for ``on_changelog_event``, and goes on afterwards; also if much came during the hook."""
    monkeypatch.setattr(recovery, "MANY", 5)
    monkeypatch.setattr(recovery, "STALLED_AFTER", 3600)
    fill(world.log(LOG), 100)
    heard: list[Any] = []

    async def hear(event: Any) -> None:
        if not heard:
            await eventually(lambda: LOG in app.consumer_driver.paused)
        heard.append(event.key)

    totals = app.Table("totals", on_changelog_event=hear)
    async with asyncio.timeout(60):
        await assign(app, *ALL)
    assert heard == list(range(100))
    assert contents(totals) == {number: number for number in range(100)}
    assert app.consumer_driver.calls.count("seek") == 1


async def test_what_waits_to_be_heard_is_not_passed_over(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer is past a record that is on its way, and waits for ``on_changelog_event`` when the consumer answers."""
    monkeypatch.setattr(recovery, "STALLED_AFTER", 3600)
    log, driver = world.log(LOG), app.consumer_driver
    log.append(b'"k"', b"1")
    take, position = driver.take, driver.position
    asked_again, delivered = asyncio.Event(), asyncio.Event()
    asked = 0
    heard: list[Any] = []

    async def hear(event: Any) -> None:
        heard.append(event.key)

    def on_its_way(tp: TP) -> None:
        nonlocal asked
        if tp == LOG and driver.positions[LOG] < log.end:
            asked = 0
            asked_again.clear()
            delivered.clear()

    async def take_late(timeout: float) -> Any:
        delivered.set()
        slices = await take(timeout)
        if any(batch.tp == LOG for batch in slices):
            await asked_again.wait()
        return slices

    async def answer_late(tp: TP) -> int:
        nonlocal asked
        where = await position(tp)
        asked += where == log.end
        if asked == 2:
            asked_again.set()
            await delivered.wait()
        return where

    driver.on_slice = on_its_way
    driver.take = take_late  # type: ignore[method-assign]
    driver.position = answer_late  # type: ignore[method-assign]
    totals = app.Table("totals", on_changelog_event=hear)
    async with asyncio.timeout(60):
        await assign(app, *ALL)
    assert contents(totals) == {"k": 1}
    assert heard == ["k"]


async def test_what_is_on_its_way_is_not_passed_over(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record comes some turns after the consumer is past it, and markers of another log come between: it is waited for."""
    monkeypatch.setattr(recovery, "STALLED_AFTER", 3600)
    monkeypatch.setattr(recovery, "FIRST_POLL", 0.25)
    app.consumer._max_poll_records = 1  # without, what a poll has brought comes at once
    driver, other = app.consumer_driver, CHANGELOGS[2]
    world.log(LOG).append(b'"k"', b"1")
    world.log(other).mark()
    world.log(other).append(b'"k"', b"1")
    original = driver.take
    asked, past = asyncio.Event(), asyncio.Event()
    heard: list[Any] = []

    async def hear(event: Any) -> None:
        heard.append(event.key)

    async def take(timeout: float) -> list[Slice]:
        if past.is_set():
            return await original(timeout)
        await asked.wait()
        past.set()
        driver.positions |= {LOG: 1, other: 1}
        generation = driver.current_generation
        events = [Slice(SOURCES[0], generation, [Entry(0, b"k", b"v")], 1)] * 10
        marker = Slice(other, generation, (), 1)
        record = Slice(LOG, generation, world.log(LOG).read(0, 1), 1)
        return [*events[:2], marker, *events, record]

    async def position(tp: TP) -> int:
        asked.set()
        await past.wait()
        return driver.positions[tp]

    driver.take = take  # type: ignore[method-assign]
    driver.position = position  # type: ignore[method-assign]
    totals = app.Table("totals", on_changelog_event=hear)
    async with asyncio.timeout(60):
        await assign(app, *ALL)
    assert contents(totals) == {"k": 1}
    assert heard == ["k", "k"]


async def test_what_waits_of_a_log_that_is_made_anew_is_dropped(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of the former topic that waits for ``on_changelog_event`` does not come into a table of the new one."""
    monkeypatch.setattr(recovery, "STALLED_AFTER", 3600)
    log, driver = world.log(LOG), app.consumer_driver
    log.append(b'"former"', b"1")
    topic_ids = driver.topic_ids
    heard: list[Any] = []

    async def hear(event: Any) -> None:
        heard.append(event.key)

    async def late(topics: Any) -> Any:
        if heard:
            driver.topic_ids = topic_ids  # type: ignore[method-assign]
            log.append(b'"late"', b"1")
            await eventually(lambda: driver.positions[LOG] == log.end)
            await asyncio.sleep(0.05)
            log.recreate()
            fill(log, 3)
        return await topic_ids(topics)

    driver.topic_ids = late  # type: ignore[method-assign]  # a record comes while this is asked
    totals = app.Table("totals", on_changelog_event=hear)
    async with asyncio.timeout(60):
        await assign(app, *ALL)
    assert contents(totals) == {0: 0, 1: 1, 2: 2}
    assert heard == ["former", 0, 1, 2]


# -- brokers as they are


@pytest.mark.parametrize(
    "request_name", ["beginning_offsets", "end_offsets", "seek", "position", "partitions_for"]
)
async def test_a_slow_request_is_repeated(
    world: World, request_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that does not answer in time is said in the log and made again; the worker does not stay paused."""
    fill(world.log(LOG), 4)
    world.log(LOG).mark()
    async with worker(
        world,
        broker_request_timeout=0.05,
        broker_session_timeout=0.04,
        broker_heartbeat_interval=0.01,
    ) as app:
        app.consumer_driver.silent_jumps = True
        app.consumer_driver.slow[request_name] = 2
        totals = app.Table("totals")
        async with asyncio.timeout(10):
            await assign(app, *ALL)
        assert len(contents(totals)) == 4
        assert app.consumer_driver.slow[request_name] == 0
    warnings = [record.getMessage() for record in caplog.records if "cannot" in record.getMessage()]
    assert len(warnings) == 2
    assert "no answer within 0.05 s" in warnings[0]
    assert "(attempt 2)" in warnings[1]


async def test_progress_and_silence_are_said(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A recovery that takes long reports what is left; one that gets nothing names the partition and its offsets."""
    monkeypatch.setattr(recovery, "REPORT_EVERY", 0.05)
    fill(world.log(LOG), 30)
    app.Table("totals")
    blocked = asyncio.Event()
    take = app.consumer_driver.take

    async def stalling(timeout: float) -> Any:
        if app.consumer_driver.positions.get(LOG, 0) >= 6:
            await blocked.wait()
        return await take(timeout)

    monkeypatch.setattr(app.consumer_driver, "take", stalling)
    with caplog.at_level(logging.INFO):
        recovering = asyncio.create_task(assign(app, *ALL))
        await asyncio.sleep(0.3)
        assert not recovering.done()
        blocked.set()
        await recovering
    assert "Recovering tables: 3 of 4 partitions ready, 24 records to go" in caplog.text
    assert "nothing has come from shop-totals-changelog[1]" in caplog.text
    assert "at offset 6 of 30" in caplog.text
    assert "Recovered 30 records of 4 table partitions" in caplog.text


async def test_what_is_there_and_does_not_come_is_fetched_again(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition of which nothing comes although it may be read is sought again, while others are read, and that is said."""
    monkeypatch.setattr(recovery, "REPORT_EVERY", 0.05)
    driver, totals = app.consumer_driver, app.Table("totals")
    fill(world.log(LOG), 30)
    fill(world.log(CHANGELOGS[2]), 3000)
    said: list[str] = []
    seek = driver.seek

    async def watched(offsets: Any) -> None:
        said.append(app.tables.doing())
        await seek(offsets)

    def mislay(tp: TP) -> None:
        if tp == LOG and driver.positions[LOG] == 9:
            driver.mislaid.add(LOG)

    monkeypatch.setattr(driver, "seek", watched)
    driver.on_slice = mislay
    await assign(app, *ALL)
    assert not driver.mislaid
    assert contents(totals) == {number: number for number in range(30)}
    assert len(totals.held[2]) == 3000
    assert len(said) == 2
    assert "nothing has come from shop-totals-changelog[1]" in said[1]
    assert "at offset 12 of 30, though it may be read up to 30; it is fetched again" in said[1]


async def test_a_rebalance_during_recovery(world: World, app: App) -> None:
    """The first run is cancelled and calls nobody back; the second completes, and calls back once."""
    fill(world.log(LOG), 30)
    totals = app.Table("totals")
    calls = []

    @totals.on_recover
    async def recovered() -> None:
        calls.append(len(totals))

    reached = asyncio.Event()

    def watch(_tp: TP) -> None:
        if app.consumer_driver.positions[LOG] > 9:
            reached.set()
            app.consumer_driver.paused.add(LOG)

    app.consumer_driver.on_slice = watch
    first = asyncio.create_task(assign(app, *ALL))
    await reached.wait()
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
    assert first.cancelled()
    assert calls == []
    assert totals.copy() == {}
    app.consumer_driver.on_slice = lambda _tp: None
    await assign(app, *ALL)
    assert calls == [30]
    assert len(contents(totals)) == 30


async def test_slices_of_another_generation_are_dropped(world: World, app: App) -> None:
    """What was fetched in an earlier assignment says nothing to this one."""
    fill(world.log(LOG), 3)
    totals = app.Table("totals")
    driver = app.consumer_driver
    original = driver._next_slice
    served = 0

    def stale_first(tp: TP) -> Any:
        nonlocal served
        batch = original(tp)
        served += 1
        if batch is not None and served == 1:
            batch.generation -= 1
            batch.records = batch.records[:1]
            driver.positions[tp] = 0
        return batch

    driver._next_slice = stale_first  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await assign(app, *ALL)
    assert len(contents(totals)) == 3


async def test_a_number_flows_when_all_its_tables_are_there(world: World, app: App) -> None:
    """A partition number is announced when every table of it is ready, not when all tables of all are."""
    world.make("shop-names-changelog", 4)
    fill(world.log(TP("shop-names-changelog", 1)), 6)
    fill(world.log(CHANGELOGS[1]), 2)
    fill(world.log(CHANGELOGS[2]), 60)
    app.Table("totals")
    app.Table("names")
    ready = await assign(app, *ALL, *(TP("shop-names-changelog", number) for number in range(4)))
    assert ready == [frozenset({0, 3}), frozenset({1}), frozenset({2})]


async def test_sources_wait_for_the_tables_that_they_use(world: World, app: App) -> None:
    """With ``tables=`` of its topic a source waits for these only, or for none; without, for all (BUG-R20)."""
    slow, quick = app.Table("totals"), app.Table("names")
    world.make("shop-names-changelog", 4)
    fill(world.log(TP("shop-names-changelog", 1)), 2)
    fill(world.log(CHANGELOGS[1]), 60)
    tables: dict[str, Any] = {"orders": None, "one": [quick], "none": (), "both": ["totals"]}
    app.topics = [Topic(app, topics=[name], tables=said) for name, said in tables.items()]  # type: ignore[arg-type]
    app.topics.append(Topic(app, topics=["both"]))  # type: ignore[arg-type]  # another reader, who says nothing
    sources = [TP(topic, 1) for topic in tables]
    for topic in tables:
        world.make(topic, 4)
    held = frozenset({*sources, CHANGELOGS[1], TP("shop-names-changelog", 1)})
    await app.consumer.start()
    ready: list[frozenset[TP]] = []
    await app.tables.recover(held, app.consumer_driver.give(held), ready.append)
    assert ready == [
        frozenset({TP("none", 1)}),
        frozenset({TP("one", 1)}),
        frozenset({TP("orders", 1), TP("both", 1)}),
    ]
    assert slow.strangers == frozenset({"one", "none"})
    assert quick.strangers == frozenset({"none"})


async def test_without_tables_everything_flows(world: World, app: App) -> None:
    """Nothing is asked of the broker when there are no tables."""
    assert await assign(app, *SOURCES) == [frozenset({0, 1, 2, 3})]
    assert app.consumer_driver.calls == []


async def test_a_kept_state_ahead_of_its_log(world: World, app: App) -> None:
    """A log that lost records is an error by default, which names everything; nothing is announced."""
    fill(world.log(LOG), 10)
    app.Table("totals")
    await assign(app, *ALL)
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
    world.log(LOG).recreate()
    fill(world.log(LOG), 5)
    with pytest.raises(ConsistencyError, match=r"changelog\[1\] has reached offset 10.*ends at 5"):
        await assign(app, *ALL)


async def test_an_undone_state_in_memory_was_ahead_of_its_log(world: World, app: App) -> None:
    """Undone work is rebuilt from the log; one that has lost records meanwhile is an error all the same."""
    fill(world.log(LOG), 10)
    totals = app.Table("totals")
    await assign(app, *ALL)
    await leave_unfinished(world, app, totals)
    world.log(LOG).recreate()
    fill(world.log(LOG), 5)
    with pytest.raises(ConsistencyError, match=r"changelog\[1\] has reached offset 10.*ends at 5"):
        await assign(app, *ALL)


async def test_a_kept_state_ahead_of_its_log_may_be_rebuilt(world: World) -> None:
    """With the check off the partition is read anew."""
    fill(world.log(LOG), 10)
    async with worker(world, recovery_consistency_check=False) as app:
        totals = app.Table("totals")
        await assign(app, *ALL)
        await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
        world.log(LOG).recreate()
        fill(world.log(LOG), 5, first=100)
        await assign(app, *ALL)
        assert contents(totals) == {number: number for number in range(100, 105)}


async def test_a_log_made_anew_that_has_outgrown_the_state(world: World, app: App) -> None:
    """The topic's identity tells it from the one that the state is of; nothing of that is mixed in (recovery-rebalance.md 7.4)."""
    fill(world.log(LOG), 5)
    totals = app.Table("totals")
    await assign(app, *ALL)
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
    world.log(LOG).recreate()
    fill(world.log(LOG), 10, first=100)
    await assign(app, *ALL)
    assert contents(totals) == {number: number for number in range(100, 110)}


async def test_a_callback_that_fails_is_reported(
    world: World, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is in the log with table and function; the other callbacks are called all the same."""
    totals = app.Table("totals")
    calls = []

    @totals.on_recover
    async def broken() -> None:
        raise RuntimeError("cannot warm up")

    @totals.on_recover
    async def fine() -> None:
        calls.append(1)

    await assign(app, *ALL)
    assert calls == [1]
    assert "'totals'" in caplog.text
    assert "cannot warm up" in caplog.text
    with pytest.raises(ValueError, match="already"):
        totals.on_recover(fine)


async def test_changelog_records_are_written_in_batches(world: World, app: App) -> None:
    """With recovery_buffer_size the store is changed once per so many records, and at the end."""
    fill(world.log(LOG), 10)
    totals = app.Table("totals", recovery_buffer_size=7)
    writes: list[int] = []
    partition = await totals.open_partition(1)
    write = partition.store.write

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def __len__(self) -> int:
            return len(store)

        def write(self, changes: Any, next_offset: int | None, notes: Any) -> None:
            writes.append(len(list(changes)))
            write(changes, next_offset, notes)

    store, partition.store = partition.store, Watching()  # type: ignore[assignment]
    await assign(app, *ALL)
    assert [count for count in writes if count] == [9, 1]
