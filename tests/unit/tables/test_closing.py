"""When windows close, and keys expire: windows.md section 3, pain rows 30 to 33 and 42."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import pytest
from tests.support.changelogs import App, ScriptedProducer, World, assign, event_of, worker

import faust
from faust.messages import TP
from faust.sensors.base import Sensor
from faust.tables.expiry import TtlIndex
from faust.tables.table import Table
from faust.transport.producer import Producer

HERE = TP("orders", 3)
LOG = TP("shop-totals-changelog", 3)


@pytest.fixture(params=["memory://", "rocksdb://"])
def store(request: pytest.FixtureRequest) -> str:
    """Every test of this module holds for every store (pain row 36)."""
    url: str = request.param
    return url


class Closed:
    """A close callback that remembers, and may fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any]] = []
        self.failing: set[Any] = set()

    async def __call__(self, key: Any, value: Any) -> None:
        self.calls.append((key, value))
        if key[0] in self.failing:
            raise RuntimeError("not now")


async def declare(app: App, window: Any = None, **options: Any) -> Any:
    """Declare the table totals with a window (tumbling 10, expires 60), and hold everything."""
    wrapper = app.Table("totals", default=int, **options).using_window(
        window or faust.TumblingWindow(10, expires=60)
    )
    await hold(app)
    return wrapper


async def hold(app: App, *numbers: int) -> None:
    """Hold partitions of everything, all if none is named."""
    topics = {"orders", *app.tables.changelog_topics}
    for topic in topics:
        if TP(topic, 0) not in app.world.logs:
            app.world.make(topic, 4)
    await assign(app, *(TP(topic, number) for topic in topics for number in numbers or range(4)))
    if app.tables._cleaner is None:
        await app.tables.on_start()


async def clean(app: App, elapsed: float = 0.0) -> None:
    """Let the cleaner do one round."""
    assert app.tables._cleaner is not None
    await app.tables._cleaner.clean(elapsed)


def hit(world: World, wrapper: Any, moment: float, key: str = "k", tp: TP = HERE) -> None:
    """Count one event."""
    with event_of(world.tasks[tp], at=moment):
        wrapper[key] += 1


async def test_3_windows_are_removed_when_they_expire(app: App, world: World) -> None:
    """A window goes when time is past its end by expires; the changelog gets a tombstone (windows.md 3, BUG-W18)."""
    hits = await declare(app)
    hit(world, hits, 12)
    hit(world, hits, 79.9)
    await clean(app)
    assert list(hits.table) == [("k", (10.0, 19.9)), ("k", (70.0, 79.9))]
    hit(world, hits, 80)
    await clean(app)
    assert list(hits.table) == [("k", (70.0, 79.9)), ("k", (80.0, 89.9))]
    await app.tables.flush()
    assert world.log(LOG).contents().keys() == {b'["k",[70.0,79.9]]', b'["k",[80.0,89.9]]'}


async def test_3_without_expiry_windows_stay(app: App, world: World) -> None:
    """Without expires and grace nothing is kept of windows, and nothing goes (BUG-W1)."""
    hits = await declare(app, faust.TumblingWindow(10))
    hit(world, hits, 12)
    hit(world, hits, 1e9)
    await clean(app, 1e9)
    assert len(hits.table) == 2
    assert hits.table.held[3].expiry is None


async def test_pain_30_one_entry_per_key_and_window(app: App, world: World) -> None:
    """A hundred thousand writes to one key in one window leave one entry of the expiry index (pain row 30)."""
    hits = await declare(app, faust.HoppingWindow(10, 5, expires=60))
    with event_of(world.tasks[HERE], at=12.0):
        for _ in range(100_000):
            hits["k"] += 1
    assert len(hits.table.held[3].expiry) == 2


async def test_3_the_callback_gets_key_and_value(app: App, world: World) -> None:
    """The close callback gets key, range and value, once, in the order of time (windows.md 3)."""
    closed = Closed()
    hits = await declare(app, on_window_close=closed)
    for moment in (12, 13, 22, 1000):
        hit(world, hits, moment)
    await clean(app)
    await clean(app)
    assert closed.calls == [(("k", (10.0, 19.9)), 2), (("k", (20.0, 29.9)), 1)]


async def test_3_a_plain_callback(app: App, world: World) -> None:
    """The callback may be a plain function (tables.md 1)."""
    calls: list[Any] = []
    hits = await declare(app, on_window_close=lambda *call: calls.append(call))
    hit(world, hits, 12)
    hit(world, hits, 1000)
    await clean(app)
    assert calls == [(("k", (10.0, 19.9)), 1)]


async def test_3_the_callback_cannot_write(app: App, world: World) -> None:
    """Within the callback no event is in hand, so tables cannot be written (windows.md 3)."""
    errors: list[Exception] = []

    def closed(key: Any, _value: Any) -> None:
        try:
            hits.table[key] = 1
        except TypeError as exc:
            errors.append(exc)

    hits = await declare(app, on_window_close=closed)
    hit(world, hits, 12)
    hit(world, hits, 1000)
    await clean(app)
    assert len(errors) == 1


async def test_3_partitions_close_by_themselves(app: App, world: World) -> None:
    """The time of one partition closes nothing in another (windows.md BUG-W10 and BUG-W12)."""
    closed = Closed()
    hits = await declare(app, on_window_close=closed)
    hit(world, hits, 12, "slow", tp=TP("orders", 0))
    hit(world, hits, 12, "fast")
    hit(world, hits, 1000, "fast")
    await clean(app)
    assert closed.calls == [(("fast", (10.0, 19.9)), 1)]
    hit(world, hits, 1000, "slow", tp=TP("orders", 0))
    await clean(app)
    assert closed.calls[1:] == [(("slow", (10.0, 19.9)), 1)]


async def test_pain_32_a_single_event_then_silence(app: App, world: World) -> None:
    """After one event and silence the window closes grace after its end, by the clock (pain row 32)."""
    closed = Closed()
    hits = await declare(
        app, faust.HoppingWindow(30, 3, expires=None), grace=5, on_window_close=closed
    )
    hit(world, hits, 10.0)
    await clean(app, 1.0)
    assert closed.calls == []
    await clean(app, 6.9)
    assert closed.calls == []
    await clean(app, 0.1)
    assert closed.calls == [(("k", (-18.0, 11.9)), 1)]
    await clean(app, 30.0)
    assert len(closed.calls) == 10
    assert list(hits.table) == []


async def test_pain_32_hopping_windows_close_whole(app: App, world: World) -> None:
    """With size 30 and step 3 the callback gets the data of 30 seconds (pain row 32)."""
    closed = Closed()
    hits = await declare(app, faust.HoppingWindow(30, 3), grace=0, on_window_close=closed)
    for second in range(200):
        hit(world, hits, second)
    await clean(app)
    values = {window_range[0]: value for (_, window_range), value in closed.calls}
    assert {values[float(start)] for start in range(0, 169, 3)} == {30}
    assert len(values) == len(closed.calls) == 66


async def test_pain_32_a_failing_callback_is_called_again(
    app: App, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback that raises is said in the log and called again, others are not held up (pain row 32)."""
    closed = Closed()
    closed.failing.add("bad")
    hits = await declare(app, on_window_close=closed)
    for key in ("bad", "good"):
        hit(world, hits, 12, key)
    hit(world, hits, 1000)
    await clean(app)
    assert "on_window_close failed for key 'bad' in the window (10.0, 19.9)" in caplog.text
    assert ("bad", (10.0, 19.9)) in hits.table
    closed.failing.clear()
    await clean(app)
    assert closed.calls == [
        (("bad", (10.0, 19.9)), 1),
        (("good", (10.0, 19.9)), 1),
        (("bad", (10.0, 19.9)), 1),
    ]
    assert list(hits.table) == [("k", (1000.0, 1009.9))]


@pytest.mark.parametrize("threaded", [False, True])
async def test_pain_32_what_a_callback_sends_is_safe_before_the_window_goes(
    app: App, world: World, threaded: bool
) -> None:
    """The window is deleted only when what the callback has sent is acknowledged, also with ``producer_threaded`` (pain row 32)."""
    world.make("results", 1)
    driver = ScriptedProducer(world) if threaded else app.producer_driver
    if threaded:
        app.soon_producer = Producer(driver)

    async def closed(key: Any, value: Any) -> None:
        app.soon_producer.append("results", 0, b"%d" % value, b"")

    hits = await declare(app, on_window_close=closed)
    hit(world, hits, 12)
    hit(world, hits, 1000)
    driver.gate.clear()
    cleaning = asyncio.create_task(clean(app))
    await asyncio.sleep(0.01)
    assert ("k", (10.0, 19.9)) in hits.table
    driver.gate.set()
    await cleaning
    assert ("k", (10.0, 19.9)) not in hits.table
    assert [entry.key for entry in world.log(TP("results", 0)).entries] == [b"1"]


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_pain_31_windows_expire_after_a_restart(
    world: World, tmp_path: Any, store: str
) -> None:
    """A thousand windows, a kill, a restart: each is closed exactly once, and store and changelog are empty (row 31)."""
    conf = {"datadir": tmp_path}
    async with worker(world, **conf) as app:
        app.conf.create_directories()
        hits = await declare(app, faust.TumblingWindow(1, expires=10_000), store=store)
        for second in range(1000):
            hit(world, hits, second, f"k{second % 7}")
        await app.tables.flush()
    assert len(world.log(LOG).contents()) == 1000
    closed = Closed()
    async with worker(world, **conf) as app:
        hits = await declare(
            app, faust.TumblingWindow(1, expires=10_000), store=store, on_window_close=closed
        )
        assert len(hits.table) == 1000
        await clean(app, 0.0)
        assert closed.calls == []
        await clean(app, 10_000)
        await clean(app, 10_000)
        await app.tables.flush()
        assert len(hits.table) == 0
        assert len(hits.table.held[3].store) == 0
    assert world.log(LOG).contents() == {}
    assert len({key for key, _ in closed.calls}) == len(closed.calls) == 1000
    async with worker(world, **conf) as app:
        hits = await declare(app, store=store)
        assert len(hits.table) == 0


async def test_3_a_crash_before_the_tombstone_calls_again(world: World) -> None:
    """What was closed but not flushed is closed again by the next owner: at least once (pain row 32)."""
    closed = Closed()
    for calls in (1, 2):
        async with worker(world) as app:
            hits = await declare(app, on_window_close=closed)
            hits.table.on_full = lambda: None  # the next flush never comes
            hit(world, hits, 12)
            if calls == 1:
                await app.tables.flush()
            hit(world, hits, 1000)
            await clean(app)
        assert [call[0] for call in closed.calls] == [("k", (10.0, 19.9))] * calls
    assert [call[1] for call in closed.calls] == [1, 2]


async def test_3_revoked_partitions_close_nothing(app: App, world: World) -> None:
    """A partition that went away is closed by its new owner only (windows.md BUG-W17)."""
    closed = Closed()
    hits = await declare(app, on_window_close=closed)
    hit(world, hits, 12)
    hit(world, hits, 1000)
    held = frozenset(app.consumer_driver.assignment)
    await app.tables.on_partitions_revoked(held, lost=False)
    await clean(app)
    assert closed.calls == []
    await hold(app, 0, 1)
    await clean(app, 1e9)
    assert closed.calls == []
    await hold(app, 3)
    await clean(app)
    assert closed.calls == [(("k", (10.0, 19.9)), 1)]


async def test_3_giving_partitions_back_waits_for_callbacks(app: App, world: World) -> None:
    """A window that is being closed is closed before the partition is given back: exactly once (pain row 32)."""
    gate = asyncio.Event()
    calls: list[Any] = []

    async def closed(key: Any, _value: Any) -> None:
        await gate.wait()
        calls.append(key)

    hits = await declare(app, on_window_close=closed)
    hit(world, hits, 12)
    hit(world, hits, 1000)
    cleaning = asyncio.create_task(clean(app))
    await asyncio.sleep(0)
    held = frozenset(app.consumer_driver.assignment)
    revoking = asyncio.create_task(app.tables.on_partitions_revoked(held, lost=False))
    await asyncio.sleep(0.01)
    assert not revoking.done()
    gate.set()
    await asyncio.gather(cleaning, revoking)
    assert world.log(LOG).contents().keys() == {b'["k",[1000.0,1009.9]]'}
    await hold(app)
    await clean(app)
    assert calls == [("k", (10.0, 19.9))]


async def test_3_a_callback_that_hangs_does_not_keep_partitions(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback without end holds a rebalance up for a bounded time, which is said."""

    async def closed(_key: Any, _value: Any) -> None:
        await asyncio.Event().wait()

    async with worker(world, broker_rebalance_timeout=0.2) as app:
        hits = await declare(app, on_window_close=closed)
        hit(world, hits, 12)
        hit(world, hits, 1000)
        cleaning = asyncio.create_task(clean(app))
        cleaner = app.tables._cleaner
        assert cleaner is not None
        while not cleaner.lock.locked():
            await asyncio.sleep(0)
        held = frozenset(app.consumer_driver.assignment)
        await app.tables.on_partitions_revoked(held, lost=False)
        assert "close callbacks of windows are still running" in caplog.text
        cleaning.cancel()


async def test_pain_33_old_data_gives_the_same_windows(app: App, world: World) -> None:
    """A recorded day, replayed at once and shuffled within the grace, gives what it gave live (pain row 33)."""
    day = [float(second) for second in range(0, 86_400, 60)]
    shuffled = sorted(day, key=lambda second: second + random.Random(second).uniform(0, 590))
    results = []
    for name, seconds in (("live", day), ("replayed", shuffled)):
        closed = Closed()
        app.tables._finalized = False
        hits = app.Table(name, default=int, grace=600, on_window_close=closed).tumbling(3600)
        await hold(app)
        for second in seconds:
            hit(world, hits, second)
            if second % 7200 == 0:
                await clean(app)
        await clean(app)
        results.append((sorted(closed.calls), dict(hits.table.items()), hits.table.late))
    assert results[0] == results[1]
    assert [value for _, value in results[0][0]] == [60] * 23
    assert results[0][2] == 0


async def test_pain_33_what_is_too_late_is_counted(
    app: App, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An event beyond the grace is dropped and counted, and said once; one within it counts (pain row 33, BUG-W13)."""
    told: list[Any] = []

    class Late(Sensor):
        def on_table_late(self, table: Any, key: Any, timestamp: float) -> None:
            told.append((table.name, key, timestamp))

    app.sensors.add(Late())
    hits = await declare(app, faust.HoppingWindow(10, 5), grace=20)
    hit(world, hits, 100)
    hit(world, hits, 75.1)
    assert hits.table.late == 1  # [70, 80) is closed, [75, 85) is not
    hit(world, hits, 70)
    hit(world, hits, 50)
    assert hits.table.late == 5
    assert told == [("totals", "k", at) for at in (75.1, 70.0, 70.0, 50.0, 50.0)]
    assert caplog.text.count("drops events that come too late") == 1
    assert sorted(window_range for _, window_range in hits.table) == [
        (75.0, 84.9),
        (95.0, 104.9),
        (100.0, 109.9),
    ]


async def test_3_a_closed_range_takes_no_writes_either(app: App, world: World) -> None:
    """A closed window that is named by its range is not made again, and not closed twice (windows.md 3, BUG-W13)."""
    closed = Closed()
    hits = await declare(app, faust.TumblingWindow(10), grace=5, on_window_close=closed)
    hit(world, hits, 12)
    hit(world, hits, 50)
    await clean(app)
    with event_of(world.tasks[HERE], at=50.0):
        hits["k"][10.0, 19.9] = 7
        hits["k"][40.0, 49.9] = 8
        for nonsense in ("x", 1, None, (1,)):
            with pytest.raises(TypeError, match=r"its keys are \(key, \(start, end\)\)"):
                hits["k"][nonsense] = 9
    await clean(app)
    assert hits.table.late == 1
    assert closed.calls == [(("k", (10.0, 19.9)), 1)]
    assert dict(hits.table) == {("k", (40.0, 49.9)): 8, ("k", (50.0, 59.9)): 1}


async def test_3_late_events_without_grace_are_those_beyond_expires(app: App, world: World) -> None:
    """Without grace a window takes events until it expires (windows.md 2.2, BUG-W13)."""
    hits = await declare(app)
    hit(world, hits, 100)
    hit(world, hits, 30.5)
    assert (hits.table.late, len(hits.table)) == (1, 1)
    hit(world, hits, 40)
    assert (hits.table.late, len(hits.table)) == (1, 2)


async def test_3_closed_windows_may_stay_readable(world: World) -> None:
    """With grace below expires a window is closed at grace and removed at expires; a restart calls nobody twice."""
    closed = Closed()
    for _ in range(2):
        async with worker(world) as app:
            hits = await declare(
                app, faust.TumblingWindow(10, expires=600), grace=5, on_window_close=closed
            )
            with event_of(world.tasks[HERE], at=100.0):
                value = hits["k"].delta(90)
            if not closed.calls:
                hit(world, hits, 12)
                hit(world, hits, 24.9)
                await clean(app)
                assert closed.calls == []
                hit(world, hits, 25)
                await clean(app)
                hit(world, hits, 19)
                assert hits.table.late == 1
            else:
                assert value == 1
                await clean(app)
            assert closed.calls == [(("k", (10.0, 19.9)), 1)]
            await app.tables.flush()
    async with worker(world) as app:
        hits = await declare(
            app, faust.TumblingWindow(10, expires=600), grace=5, on_window_close=closed
        )
        closed.failing.add("k")
        hit(world, hits, 700)
        await clean(app)
        assert closed.calls[1:] == [(("k", (20.0, 29.9)), 2)]
        assert sorted(hits.table) == [("k", (20.0, 29.9)), ("k", (700.0, 709.9))]
        closed.failing.clear()
        await clean(app)
        assert closed.calls[2:] == [(("k", (20.0, 29.9)), 2)]
        assert list(hits.table) == [("k", (700.0, 709.9))]


@pytest.mark.parametrize("expires", [None, 30, 600])
async def test_3_what_was_closed_stays_closed(
    world: World, tmp_path: Any, store: str, expires: float | None
) -> None:
    """Time does not go back with a restart: an event that was late is late, and no window is closed twice (pain row 32)."""
    closed = Closed()
    for turn in range(3):
        async with worker(world, store=store, datadir=tmp_path) as app:
            app.conf.create_directories()
            hits = await declare(
                app, faust.TumblingWindow(10, expires=expires), grace=5, on_window_close=closed
            )
            for moment in (42, 59) if turn == 0 else (45, 13):
                hit(world, hits, moment)
            await clean(app)
            if turn == 1:
                await clean(app, 10.0)  # silence, until the last one closes, too
            assert hits.table.late == (2 if turn else 0)
            held = frozenset(app.consumer_driver.assignment)
            await app.tables.on_partitions_revoked(held, lost=False)
    assert closed.calls == [(("k", (40.0, 49.9)), 1), (("k", (50.0, 59.9)), 1)]


async def test_3_an_undone_write_leaves_no_window(app: App, world: World) -> None:
    """Windows of writes that were lost with their assignment are no windows (pain row 31)."""
    hits = await declare(app)
    hit(world, hits, 12, "kept")
    await app.tables.flush()
    hit(world, hits, 12, "undone")
    await app.tables.on_partitions_revoked(frozenset(app.consumer_driver.assignment), lost=True)
    await hold(app)
    assert list(hits.table) == [("kept", (10.0, 19.9))]
    assert len(hits.table.held[3].expiry) == 1


async def test_3_undone_writes_leave_no_time(app: App, world: World) -> None:
    """Events whose writes were undone come again, and are not late for it."""
    app.tables.linger = 3600.0  # flushed is what the test flushes
    hits = await declare(app, faust.TumblingWindow(10, expires=10))
    for _ in range(2):
        hit(world, hits, 12)
        hit(world, hits, 1000)
        await hold(app)
        assert list(hits.table) == []
    hit(world, hits, 12)
    hit(world, hits, 1000)
    assert (len(hits.table), hits.table.late) == (2, 0)


async def test_3_undone_writes_take_no_time_that_was_flushed(app: App, world: World) -> None:
    """What was closed, announced and flushed stays closed when later writes are undone, though no window of it is left."""
    app.tables.linger = 3600.0  # flushed is what the test flushes
    closed = Closed()
    hits = await declare(app, on_window_close=closed)
    hits.table.on_full = lambda: None
    hit(world, hits, 12)
    await app.tables.flush()
    await clean(app)
    await clean(app, 1000)
    await app.tables.flush()
    assert closed.calls == [(("k", (10.0, 19.9)), 1)]
    hit(world, hits, 2000)
    await hold(app)
    assert list(hits.table) == []
    hit(world, hits, 13)
    assert (len(hits.table), hits.table.late) == (0, 1)
    hit(world, hits, 1950)
    hit(world, hits, 2000)
    assert (len(hits.table), hits.table.late) == (2, 1)


@pytest.mark.parametrize("expires", [10, 1000])
async def test_pain_32_a_callback_that_always_fails_holds_up_only_its_window(
    world: World, tmp_path: Any, store: str, expires: float
) -> None:
    """Windows after one that cannot be closed are closed, once, and go when they expire; also over a restart (pain row 32)."""
    closed = Closed()
    closed.failing.add("poison")

    async def turn(*moments: float) -> Any:
        async with worker(world, store=store, datadir=tmp_path) as app:
            app.conf.create_directories()
            hits = await declare(
                app, faust.TumblingWindow(10, expires=expires), grace=10, on_window_close=closed
            )
            for moment in moments:
                hit(world, hits, moment, "poison" if moment == 5 else "k")
            await clean(app)
            await clean(app)
            await app.tables.flush()
            return sorted(start for _, (start, _) in hits.table), hits.table.closed_ahead(3)

    def good() -> list[float]:
        return [start for (key, (start, _)), _ in closed.calls if key == "k"]

    await turn(5, *range(15, 500, 10))
    assert good() == [10.0 * number for number in range(1, 48)]
    left, marks = await turn(*range(505, 2000, 10))
    assert good() == [10.0 * number for number in range(1, 198)]
    assert left == [0.0, *(10.0 * n for n in range(99 if expires == 1000 else 198, 200))]
    assert len(marks) == (99 if expires == 1000 else 0)
    closed.failing.clear()
    left, marks = await turn()
    assert closed.calls[-1] == (("poison", (0.0, 9.9)), 1)
    left, marks = await turn(12, 3995)
    assert good() == [10.0 * number for number in range(1, 200)]
    assert left == [3990.0]
    assert marks == set()


# -- ttl


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_pain_42_ttl(world: World, tmp_path: Any, store: str) -> None:
    """Keys go ttl after their last change, across restarts, with tombstones, on every store (pain row 42)."""
    now = 1000.0

    async def start(app: App) -> Table[Any, Any]:
        table: Table[Any, Any] = app.Table("totals", ttl=100, store=store)
        await hold(app)
        return table

    async def tick(app: App, table: Table[Any, Any]) -> None:
        for partition in table.held.values():
            index = partition.expiry
            assert isinstance(index, TtlIndex)
            index.clock = lambda: now
        await clean(app)
        await app.tables.flush()

    async with worker(world, datadir=tmp_path) as app:
        app.conf.create_directories()
        table = await start(app)
        await tick(app, table)
        with event_of(world.tasks[HERE]):
            table.update({"a": 1, "b": 2, "c": [3]})
        await app.tables.flush()
        now = 1050.0
        with event_of(world.tasks[HERE]):
            table["b"] = 3
            del table["c"]
        await app.tables.flush()
        now = 1099.0
        await tick(app, table)
        assert dict(table.items()) == {"a": 1, "b": 3}
        stamp = 1000
        for entry in world.log(LOG).entries:
            assert entry.timestamp == 0  # the scripted log has none: set what a broker would
        world.log(LOG).entries = [
            entry._replace(timestamp=1_050_000 if entry.value == b"3" else stamp * 1000)
            for entry in world.log(LOG).entries
        ]
    now = 1111.0  # a key goes within a tenth of the ttl
    async with worker(world, datadir=tmp_path) as app:
        table = await start(app)
        await tick(app, table)
        assert dict(table.items()) == {"b": 3}
        now = 1200.0
        await tick(app, table)
        await tick(app, table)
        assert (len(table), len(table.held[3].store)) == (0, 0)
        assert list(table.held[3].store.notes()) == []
        index = table.held[3].expiry
        assert isinstance(index, TtlIndex)
        assert len(index) == 0
    assert world.log(LOG).contents() == {}


async def test_pain_42_a_ttl_for_what_is_there(world: World, tmp_path: Any) -> None:
    """Keys that a table had before it was given a ttl go after it, however often the worker starts anew (pain row 42)."""
    for turn in range(4):
        async with worker(world, datadir=tmp_path) as app:
            app.conf.create_directories()
            table: Table[Any, Any] = app.Table(
                "totals", ttl=100 if turn else None, store="rocksdb://"
            )
            await hold(app)
            if turn:
                index = table.held[3].expiry
                assert isinstance(index, TtlIndex)
                now = 4e9 + turn * 60
                index.clock = lambda now=now: now  # type: ignore[misc]
                for _ in index.rebuild(table.held[3].all_raw_keys(), table.held[3].store.notes()):
                    pass
                if turn == 2:
                    with event_of(world.tasks[HERE]):
                        table["b"] = 2
            else:
                with event_of(world.tasks[HERE]):
                    table.update(a=1, b=1)
            await clean(app)
            await app.tables.flush()
            assert dict(table.items()) == ({"b": 2} if turn == 3 else {"a": 1, "b": max(turn, 1)})


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_pain_42_a_write_that_is_not_flushed_yet_counts(
    world: World, tmp_path: Any, store: str
) -> None:
    """A key that is written when it is due stays for another ttl, also before the write is in the changelog (pain row 42)."""
    now = 1000.0
    async with worker(world, datadir=tmp_path) as app:
        app.conf.create_directories()
        table: Table[Any, Any] = app.Table("totals", ttl=100, store=store)
        await hold(app)
        index = table.held[3].expiry
        assert isinstance(index, TtlIndex)
        index.clock = lambda: now
        with event_of(world.tasks[HERE]):
            table.update(a=1, b=1, c=1)
        await app.tables.flush()
        now = 1111.0
        with event_of(world.tasks[HERE]):
            table["a"] = 2
            del table["b"]
            table["b"] = 2
        await clean(app)
        await app.tables.flush()
        assert dict(table.items()) == {"a": 2, "b": 2}
        now = 1210.0
        await clean(app)
        assert dict(table.items()) == {"a": 2, "b": 2}
        now = 1222.0
        await clean(app)
        await app.tables.flush()
        assert dict(table.items()) == {}
    assert world.log(LOG).contents() == {}


async def test_42_the_cleaner_runs_by_itself(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The manager looks for what has expired every table_cleanup_interval, and stops with the worker."""
    caplog.set_level(logging.ERROR)
    async with worker(world, table_cleanup_interval=0.01) as app:
        hits = await declare(app, faust.TumblingWindow(0.01, expires=0.02))
        hit(world, hits, 12)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if not len(hits.table):
                break
        assert len(hits.table) == 0
    assert caplog.text == ""
