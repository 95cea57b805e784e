"""Tables through the front door: windows, sets, global tables, stores and restarts, as a user would have them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import faust
from faust.exceptions import PartitionsMismatch
from faust.messages import TP
from tests.functional.faults.fresh_group import play_fresh_group, play_random_group
from tests.support.apps import committed_everything, eventually, make_app, running
from tests.support.ports import free_port

Name = Callable[..., str]

NO_KAFKA = [pytest.param("memory", id="memory"), pytest.param("local", id="local")]
STORES = ["memory://", "rocksdb://"]


class Click(faust.Record):
    page: str
    created: float


async def test_windows_4_acceptance(broker_url: str, topic_name: Name) -> None:
    """The snippets of windows.md section 4, and a close callback that sends."""
    app = make_app(broker_url, topic_name("app"), table_cleanup_interval=0.2)
    pages = app.topic(topic_name("pages"), value_type=str, internal=True)
    results = app.topic(topic_name("results"), key_type=str, value_type=int, internal=True)
    seen: list[Any] = []
    closed: Counter[Any] = Counter()

    async def close(key: Any, value: int) -> None:
        page, (start, _) = key
        await results.send(key=f"{page}@{start}", value=value)

    hits = app.Table("hits", default=int, on_window_close=close).hopping(
        size=10, step=5, expires=600, key_index=True
    )

    @app.agent(pages)
    async def count(stream: Any) -> None:
        async for page in stream:
            hits[page] += 1
            assert hits[page].current() >= 1
            assert page in list(hits.keys())
            seen.append((page, hits[page].current(), hits[page].delta(100)))

    @app.agent(results)
    async def collect(stream: Any) -> None:
        async for key, value in stream.items():
            closed[key] += value

    async with running(app):
        await pages.send(value="/", partition=1, timestamp=1_000_012.0)
        await pages.send(value="/", partition=1, timestamp=1_000_017.0)
        await pages.send(value="/later", partition=1, timestamp=1_001_000.0)
        await eventually(lambda: len(seen) == 3)
        assert seen == [("/", 1, 0), ("/", 1, 0), ("/later", 1, 0)]
        await eventually(lambda: len(closed) == 3)
        assert closed == {"/@1000005.0": 1, "/@1000010.0": 2, "/@1000015.0": 1}
        await eventually(lambda: list(hits) == ["/later"])
        assert dict(hits.relative_to(1_001_000.0).items()) == {"/later": 1}
        await committed_everything(app)


async def becomes(table: Any, expected: Any, read: Callable[[Any], Any]) -> None:
    """Wait until what is read of a table is as expected."""
    await eventually(lambda: read(table) == expected, timeout=60)


async def declare(app: faust.App, *topics: str) -> None:
    """Have topics of four partitions."""
    from faust.transport.base import TopicSpec

    for topic in topics:
        await app.declare_topic(TopicSpec(name=topic, partitions=4))


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_windows_4_by_field(broker_url: str, topic_name: Name) -> None:
    """A window chosen by a field of the event is written and read by it (windows.md 4)."""
    app = make_app(broker_url, topic_name("app"))
    clicks = app.topic(topic_name("clicks"), value_type=Click)
    by_field = (
        app.Table("t", default=int).tumbling(10, expires=100).relative_to_field(Click.created)
    )

    @app.agent(clicks)
    async def count(stream: Any) -> None:
        async for _click in stream:
            by_field["k"] += 1

    async with running(app):
        for _ in range(3):
            await clicks.send(value=Click(page="/", created=123.0), partition=0)
        await eventually(lambda: list(by_field.table.values()) == [3])
        assert list(by_field.table) == [("k", (120.0, 129.9))]


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
@pytest.mark.parametrize("store", STORES)
async def test_pain_11_counts_are_exact_over_restarts(
    broker_url: str, topic_name: Name, tmp_path: Path, store: str
) -> None:
    """A key that is incremented many times over restarts has the exact count, with every store (pain row 11)."""
    id, source = topic_name("app"), topic_name("in")
    for turn in range(1, 4):
        app = make_app(broker_url, id, store=store, datadir=tmp_path)
        topic = app.topic(source, key_type=str, value_type=int)
        totals = app.Table("totals", default=int)
        members = app.SetTable("members")
        windows = app.Table("windows", default=int).tumbling(1e6, expires=1e9)

        @app.agent(topic, name="add")
        async def add(
            stream: Any, totals: Any = totals, members: Any = members, windows: Any = windows
        ) -> None:
            async for key, amount in stream.items():
                totals[key] += amount
                members["all"].add(amount)
                windows[key] += 1

        async with running(app):
            for number in range(2000):
                await topic.send(key="k", value=number, timestamp=1_500_000.0)
            expected = turn * sum(range(2000))
            await becomes(totals, expected, lambda table: table.get("k"))
            assert members == {"all": set(range(2000))}
            assert windows.relative_to(1_500_000)["k"].value() == 2000 * turn


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_pain_12_a_changelog_of_ones_own(broker_url: str, topic_name: Name) -> None:
    """A ready-made changelog topic is used wherever its name counts, and nothing else is created (pain row 12)."""
    id, source, log = topic_name("app"), topic_name("in"), topic_name("my-log")
    for turn in range(2):
        app = make_app(broker_url, id, topic_allow_declare=turn == 0, topic_disable_leader=True)
        topic = app.topic(source, key_type=str, value_type=int)
        if turn == 0:
            await declare(app, log, source)
        totals = app.Table("totals", changelog_topic=app.topic(log, key_type=str))

        @app.agent(topic, name="add")
        async def add(stream: Any, totals: Any = totals) -> None:
            async for key, amount in stream.items():
                totals[key] = amount

        async with running(app):
            if turn == 0:
                for number in range(20):
                    await topic.send(key=f"k{number}", value=number)
            await becomes(totals, 20, len)
            assert dict(totals.items()) == {f"k{number}": number for number in range(20)}
            admin = await app._started_admin()
            assert f"{id}-totals-changelog" not in await admin.list_topics()


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_pain_40_the_changelog_has_the_count_of_its_source(
    broker_url: str, topic_name: Name
) -> None:
    """A source with 5 partitions works though the app's default is 8 (pain row 40)."""
    app = make_app(broker_url, topic_name("app"), topic_partitions=8)
    topic = app.topic(topic_name("in"), value_type=int, partitions=5, internal=True)
    totals = app.Table("totals", default=int)
    members = app.SetTable("members")

    @app.agent(topic)
    async def add(stream: Any) -> None:
        async for number in stream:
            totals["k"] += number
            members["k"].add(number)

    async with running(app):
        for number in range(10):
            await topic.send(value=1, partition=number % 5)
        await eventually(lambda: sum(totals.values()) == 10)
        assert len(members) == 5
        for table in (totals, members):
            numbers = await app.consumer.driver.partitions_for(table.changelog_topic_name)
            assert numbers is not None
            assert len(numbers) == 5


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_pain_40_a_mismatch_says_what_to_do(broker_url: str, topic_name: Name) -> None:
    """A table whose count is another one names both topics, both counts and the cure (pain row 40)."""
    app = make_app(broker_url, topic_name("app"))
    topic = app.topic(topic_name("in"), value_type=int, partitions=5, internal=True)
    hits = app.Table("hits", default=int, partitions=3).tumbling(10)
    members = app.SetTable("members", partitions=3)
    errors: list[str] = []

    @app.agent(topic)
    async def add(stream: Any) -> None:
        async for number in stream:
            try:
                if number:
                    hits["k"] += 1
                else:
                    members["k"].add(1)
            except PartitionsMismatch as exc:
                errors.append(str(exc))

    async with running(app):
        await topic.send(value=0)
        await topic.send(value=1)
        await eventually(lambda: len(errors) == 2)
    for error in errors:
        assert "-changelog has 3 partitions" in error
        assert f"{topic_name('in')}, which has 5" in error
        assert "group_by(..., partitions=3)" in error
        assert "faust -A ... repartition" in error


async def test_pain_39_global_tables_everywhere(broker_url: str, topic_name: Name) -> None:
    """Three workers have identical global tables; updates are visible within a second or so (pain row 39)."""
    id, source = topic_name("app"), topic_name("in")

    def build(number: int) -> tuple[faust.App, Any, Any]:
        app = make_app(broker_url, id, web_port=6100 + number)
        topic = app.topic(source, key_type=str, value_type=int)
        table = app.GlobalTable("rates", default=int)

        @app.agent(topic, name="take")
        async def take(stream: Any) -> None:
            async for key, value in stream.items():
                table[key] = value

        return app, topic, table

    apps = [build(number) for number in range(3)]
    async with running(apps[0][0]), running(apps[1][0]), running(apps[2][0]):
        tables = [table for _, _, table in apps]
        topic = apps[0][1]
        for number in range(300):
            await topic.send(key=f"k{number}", value=number)
        expected = {f"k{number}": number for number in range(300)}
        for table in tables:
            await becomes(table, 300, len)
            assert table == expected
        await topic.send(key="k7", value=-1)
        began = time.monotonic()
        await eventually(lambda: all(table["k7"] == -1 for table in tables))
        assert time.monotonic() - began < 10
    app, _, table = build(4)
    async with running(app):
        assert table == {**expected, "k7": -1}


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_tables_8_1_set_managers(broker_url: str, topic_name: Name) -> None:
    """Two tables of sets are changed through their managers, each its own; from a task (tables.md 8.1, BUG-21)."""
    app = make_app(broker_url, topic_name("app"))
    first = app.SetTable("first", start_manager=True, key_type=str)
    second = app.SetTable(
        "second",
        start_manager=True,
        key_type=str,
        value_type=int,
        manager_topic_name=topic_name("changes"),
    )
    assert first.manager_topic_name == "first-setmanager"
    async with running(app):
        await first.manager.add("k", 3)
        await first.manager.add("k", ["t", 1])
        await second.manager.update("k", [1, 2, 3, 4])
        await eventually(lambda: second == {"k": {1, 2, 3, 4}} and first == {"k": {3, ("t", 1)}})
        await second.manager.discard("k", 1)
        await second.manager.intersection_update("k", [2, 3, 9])
        await second.manager.symmetric_difference_update("k", [3, 5])
        await second.manager.difference_update("k", [2])
        await eventually(lambda: second == {"k": {5}})
        await first.manager.clear("k")
        await eventually(lambda: first == {})
        log = await records(app, first.manager_topic_name)
    assert log[0] == (
        b"k",
        b'{"action":"ADD","members":[3],"__faust":{"ns":"@SetManagerOperation"}}',
    )


async def records(app: faust.App, topic: str) -> list[tuple[Any, Any]]:
    """Read a topic from its beginning."""
    driver = app.reader_driver()
    await driver.start()
    try:
        numbers = await driver.partitions_for(topic)
        tps = [TP(topic, number) for number in numbers or ()]
        await driver.assign(tps)
        ends = await driver.end_offsets(tps)
        found: list[tuple[Any, Any]] = []
        while len(found) < sum(ends.values()):
            for batch in await driver.take(1.0):
                found += [(record.key, record.value) for record in batch.records]
        return found
    finally:
        await driver.close()


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_pain_37_a_timer_reads_windows(broker_url: str, topic_name: Name) -> None:
    """A timer reads a windowed table by now, outside of any stream (pain row 37)."""
    app = make_app(broker_url, topic_name("app"))
    topic = app.topic(topic_name("in"), value_type=str)
    hits = app.Table("hits", default=int).tumbling(3600, expires=7200, key_index=True)
    seen: list[Any] = []

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for word in stream:
            hits[word] += 1

    @app.timer(0.05)
    async def look() -> None:
        now = hits.relative_to_now()
        seen.append((dict(now.items()), hits["a"].now(), now["a"].delta(3600)))

    async with running(app):
        for word in "aab":
            await topic.send(value=word, partition=0)
        await eventually(lambda: bool(seen) and seen[-1] == ({"a": 2, "b": 1}, 2, 0), timeout=20)


@pytest.mark.parametrize("broker_url", ["memory"], indirect=True)
@pytest.mark.parametrize("store", STORES)
async def test_pain_37_a_view_reads_windows(
    broker_url: str, topic_name: Name, tmp_path: Path, store: str
) -> None:
    """A web view reads a windowed table by now, by a field of what it is asked for, and as a whole (pain row 37)."""
    app = make_app(
        broker_url,
        topic_name("app"),
        datadir=tmp_path,
        store=store,
        env={},
        web_port=free_port(),
        web_host="127.0.0.1",
    )
    topic = app.topic(topic_name("in"), value_type=Click)
    hits = app.Table("hits", default=int).tumbling(3600, expires=7200, key_index=True)
    by_field = hits.relative_to_field(Click.created)

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for click in stream:
            by_field[click.page] += 1

    @app.page("/hits")
    async def view(web: Any, request: Any) -> Any:
        at = request.query.get("at")
        seen = hits.relative_to_now() if at is None else hits.relative_to(float(at))
        return web.json({"all": dict(seen.items()), "a": seen["a"].value()})

    async def asked(session: aiohttp.ClientSession, query: str) -> Any:
        async with session.get(f"http://127.0.0.1:{app.conf.web_port}/hits{query}") as answer:
            return await answer.json()

    now = time.time()
    async with running(app), aiohttp.ClientSession() as session:
        for page, moment in (("a", now), ("a", now), ("b", now), ("a", now - 3600)):
            await topic.send(value=Click(page=page, created=moment), partition=1)
        await eventually(lambda: sum(hits.table.values()) == 4)
        if time.time() // 3600 == now // 3600:
            assert await asked(session, "") == {"all": {"a": 2, "b": 1}, "a": 2}
        assert await asked(session, f"?at={now}") == {"all": {"a": 2, "b": 1}, "a": 2}
        assert await asked(session, f"?at={now - 3600}") == {"all": {"a": 1, "b": 0}, "a": 1}


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_tables_2_2_reading_gives_what_a_restart_gives(
    broker_url: str, topic_name: Name
) -> None:
    """Before and after a restart the same is read; changing a value in place changes nothing (tables.md 2.2)."""
    id, source = topic_name("app"), topic_name("in")
    reads: list[Any] = []
    for turn in range(2):
        app = make_app(broker_url, id)
        topic = app.topic(source, value_type=int)
        table: Any = app.Table("things", default=list)

        @app.agent(topic, name="keep")
        async def keep(stream: Any, table: Any = table) -> None:
            async for _ in stream:
                value = [1, (2, 3)]
                table["k"] = value
                value.append("later")
                table["k"].append("in place")
                reads.append(table["k"])

        async with running(app):
            if turn == 0:
                await topic.send(value=1, partition=0)
                await eventually(lambda: len(reads) == 1)
                await committed_everything(app)
            else:
                await becomes(table, True, lambda table: "k" in table)
                reads.append(table["k"])
    assert reads == [[1, [2, 3]], [1, [2, 3]]]


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
async def test_a_slow_changelog_holds_events_back(broker_url: str, topic_name: Name) -> None:
    """While a flush is slow no more events are taken than twice what starts a flush, and none is lost."""
    app = make_app(broker_url, topic_name("app"))
    topic = app.topic(topic_name("in"), value_type=int)
    app.tables.max_dirty = 100
    table: faust.Table[int, int] = app.Table("seen")

    @app.agent(topic)
    async def keep(stream: Any) -> None:
        async for number in stream:
            table[number] = number

    async with running(app):
        gate = asyncio.Event()
        flush = app.producer.flush

        async def slow() -> None:
            await gate.wait()
            await flush()

        app.producer.flush = slow  # type: ignore[method-assign]
        for number in range(20_000):
            topic.send_soon(value=number, partition=0)
        await flush()
        await eventually(lambda: len(table) > 100)
        stalled = 0
        while len(table) != stalled:
            stalled = len(table)
            await asyncio.sleep(0.5)
        assert stalled < 20_000
        app.producer.flush = flush  # type: ignore[method-assign]
        gate.set()
        await eventually(lambda: len(table) == 20_000, timeout=60)


@pytest.mark.parametrize("broker_url", NO_KAFKA, indirect=True)
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("known", [False, True], ids=["fresh", "known"])
async def test_pain_09_events_that_wait_are_processed_after_recovery(
    broker_url: str, tmp_path: Path, store: str, known: bool
) -> None:
    """A worker with a large changelog processes every event that was waiting, and commits none before (pain row 9)."""
    told = await play_fresh_group(
        broker_url, tmp_path, store=store, known=known, keys=50_000, events=1000
    )
    assert "1,000 of 1,000 waiting events processed" in told


@pytest.mark.parametrize("broker_url", ["memory"], indirect=True)
async def test_pain_09_with_any_numbers_and_a_slow_store(broker_url: str, tmp_path: Path) -> None:
    """Three of the 200 random repetitions of pain row 9: `python -m tests.functional.faults.fresh_group --times 200`."""
    for seed in (5, 6, 7):
        (tmp_path / str(seed)).mkdir()
        told = await play_random_group(broker_url, tmp_path / str(seed), seed, keys=5000)
        assert " 0 looks at the group" not in told
