"""Rows of the list of pain points that concern streams and commits, each shown to be over; named after the row."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faust
from faust.exceptions import CommitRefused
from faust.messages import TP
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


async def test_pain_15_nothing_unfinished_is_committed(make: Callable[..., faust.App]) -> None:
    """Row 15: eight actors, random sleeps, a worker that ends in the middle: every offset is processed at least once.

    The same with SIGKILL and Kafka: tests/functional/faults/test_concurrency_kill.py.
    """
    done: Counter[int] = Counter()
    first = make(stream_wait_empty=False, broker_commit_interval=0.02)

    def build(app: faust.App) -> Any:
        topic = app.topic("in", value_type=int)

        @app.agent(topic, name="work", concurrency=8)
        async def work(stream: Any) -> None:
            async for number in stream:
                await asyncio.sleep(random.random() * 0.02)
                done[number] += 1

        return topic

    topic = build(first)
    async with running(first):
        for number in range(600):
            topic.send_soon(value=number, partition=number % 3)
        await eventually(lambda: len(done) > 200)
    assert len(done) < 600
    second = make(id=first.conf.id)
    build(second)
    async with running(second):
        await eventually(lambda: len(done) == 600)
        await committed_everything(second)
    assert sum(done.values()) < 600 + 300  # it went on where it was committed


class Refusing:
    """A consumer's driver whose broker refuses commits: what is asked of the real one, and what it is not told."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.asked: list[dict[Any, int]] = []
        self.answers: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    async def commit(self, offsets: Any) -> Any:
        """Answer as the test says; when it says nothing more, as the broker does."""
        self.asked.append(dict(offsets))
        if not self.answers:
            return await self._driver.commit(offsets)
        answer = self.answers.pop(0)
        if answer is CommitRefused:
            raise CommitRefused("UNKNOWN_MEMBER_ID")
        return dict.fromkeys(offsets, answer)


async def test_pain_16_what_was_not_committed_is_committed_again(
    make: Callable[..., faust.App],
) -> None:
    """Row 16: a refused, failed or timed out commit changes nothing here: the next one contains the offset again."""
    app = make(broker_commit_interval=600.0)
    topic = app.topic("in", value_type=int)

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    tp = faust.TP("in", 0)
    consumer = app.consumer
    driver = Refusing(consumer.driver)
    consumer.driver = driver  # type: ignore[assignment]
    async with running(app):
        for number in range(5):
            await topic.send(value=number, partition=0)
        await eventually(lambda: consumer.tasks[tp].safe() == 5)
        driver.answers = [
            CommitRefused,
            TimeoutError("no answer"),
            RuntimeError("REBALANCE_IN_PROGRESS"),
        ]
        for _ in range(3):
            assert await app.commit() is False
            assert consumer.tasks[tp].committed == 0
        assert await app.commit() is True
        assert (await consumer.committed([tp]))[tp] == 5
    assert driver.asked[:4] == [{tp: 5}] * 4


async def test_pain_17_a_partition_that_comes_back_is_committed(
    broker_url: str, topic_name: Name
) -> None:
    """Row 17: a partition leaves and returns five times; its offsets go on being committed."""
    id, name = topic_name("app"), topic_name("in")
    seen: Counter[int] = Counter()

    def build() -> tuple[faust.App, Any]:
        app = make_app(broker_url, id, topic_partitions=2)
        topic = app.topic(name, value_type=int, internal=True, partitions=2)

        @app.agent(topic, name="read")
        async def read(stream: Any) -> None:
            async for number in stream:
                seen[number] += 1

        return app, topic

    first, topic = build()

    async def feed(start: int) -> None:
        for number in range(start, start + 10):
            await topic.send(value=number, partition=number % 2)
        await eventually(lambda: len(seen) == start + 10)

    async with running(first):
        for turn in range(5):
            second, _ = build()
            async with running(second):
                await eventually(lambda: len(first.consumer.tasks) == 1)
                await feed(turn * 20)
            await eventually(lambda: len(first.consumer.tasks) == 2)
            await feed(turn * 20 + 10)
            await committed_everything(first)
    assert seen == Counter(range(100))


async def test_pain_18_offsets_of_idle_partitions_do_not_expire(tmp_path: Path) -> None:
    """Row 18: what a broker forgets of an idle partition is committed again, whether this worker has read of it or not."""
    directory = tmp_path / "broker"

    def build() -> tuple[faust.App, Any]:
        app = make_app(f"local://{directory}", "idle", broker_commit_interval=0.1)
        topic = app.topic("in", value_type=int, internal=True, partitions=1)

        @app.agent(topic, name="read")
        async def read(stream: Any) -> None:
            async for _ in stream:
                pass

        app.consumer.renew_interval = 0.5
        return app, topic

    def forget() -> None:
        with contextlib.closing(sqlite3.connect(directory / "broker.sqlite3", timeout=10)) as file:
            assert file.execute("DELETE FROM offsets WHERE topic='in'").rowcount == 1
            file.commit()

    async def renewed(app: faust.App) -> None:
        tp = faust.TP("in", 0)
        async with asyncio.timeout(10.0):
            while (await app.consumer.committed([tp]))[tp] != 3:
                await asyncio.sleep(0.05)

    app, topic = build()
    async with running(app):
        for number in range(3):
            await topic.send(value=number, partition=0)
        await committed_everything(app)
        forget()
        await renewed(app)
    app, _ = build()
    async with running(app):  # nothing comes any more: it only knows what the broker told it
        await eventually(lambda: app.monitor.tp_committed_offsets.get(faust.TP("in", 0)) == 3)


async def test_pain_19_noack_holds_the_offset(make: Callable[..., faust.App]) -> None:
    """Row 19: with `noack`, after an exception on the third of ten the committed offset stays below it."""
    app = make(broker_commit_interval=600.0, stream_wait_empty=False)
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.noack().events():
            got.append(event.value)
            if event.value == 3 and got.count(3) == 1:
                raise ValueError("the third")
            event.ack()

    tp = faust.TP("in", 0)
    async with running(app):
        for number in range(1, 11):
            await topic.send(value=number, partition=0)
        await eventually(lambda: got[-1:] == [10])
        await app.commit()
        assert (await app.consumer.committed([tp]))[tp] == 2
    assert got == list(range(1, 11))


@pytest.mark.parametrize("where", ["body", "processor"])
async def test_pain_19_redelivery_keeps_the_order(
    make: Callable[..., faust.App], where: str
) -> None:
    """Row 19: with ``stream.redeliver`` the third of ten, which fails once, comes again: 1, 2, 3, 3, 4 ... 10."""
    app = make()
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    def fail_once(number: int) -> int:
        got.append(number)
        if number == 3 and got.count(3) == 1:
            raise ValueError("the third")
        return number

    @app.agent(topic)
    async def read(stream: Any) -> None:
        stream.redeliver = True
        if where == "processor":
            stream.add_processor(fail_once)
        async for number in stream:
            if where == "body":
                fail_once(number)

    async with running(app):
        for number in range(1, 11):
            await topic.send(value=number, partition=0)
        await eventually(lambda: got[-1:] == [10])
        await committed_everything(app)
    assert got == [1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("redeliver", [False, True])
async def test_pain_19_take_acknowledges_no_failed_list(
    make: Callable[..., faust.App], redeliver: bool
) -> None:
    """Row 19: a list whose processing failed is not committed: a worker that ends then leaves all of it to the next."""
    first = make(broker_commit_interval=0.02, stream_wait_empty=False)
    seen: list[list[int]] = []
    crashed = asyncio.Event()

    def build(app: faust.App, *, fails: bool) -> Any:
        topic = app.topic("in", value_type=int)

        async def on_error(_agent: Any, _exc: BaseException) -> None:
            crashed.set()
            await asyncio.sleep(3600)

        @app.agent(topic, name="read", on_error=on_error)
        async def read(stream: Any) -> None:
            stream.redeliver = redeliver
            async for values in stream.take(5, within=1):
                seen.append(values)
                if fails and 7 in values:
                    raise ValueError("seven")

        return topic

    topic = build(first, fails=True)
    async with running(first):
        for number in range(10):
            await topic.send(value=number, partition=0)
        await asyncio.wait_for(crashed.wait(), 20)
        await asyncio.sleep(0.1)
        await first.commit()
        tp = faust.TP("in", 0)
        assert (await first.consumer.committed([tp]))[tp] == 5
    second = make(id=first.conf.id)
    build(second, fails=False)
    async with running(second):
        await eventually(lambda: len(seen) == 3)
        await committed_everything(second)
    assert seen == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9]]


OUTAGE = float(os.environ.get("OUTAGE", "5"))
"""Seconds that the broker is away in row 22, whose full size is 30: ``OUTAGE=30 pytest -k pain_22``."""


@pytest.mark.kafka
async def test_pain_22_a_broker_that_is_away_loses_nothing(
    kafka_cluster: Any, topic_name: Name
) -> None:
    """Row 22: while the broker is away nothing is lost, and no source offset is committed before what its event sent."""
    kafka_cluster.heal()
    app = make_app(
        kafka_cluster.url,
        topic_name("app"),
        broker_session_timeout=OUTAGE + 20.0,
        broker_request_timeout=OUTAGE + 40.0,
    )
    source = app.topic(topic_name("in"), value_type=int, internal=True, partitions=1)
    target = app.topic(topic_name("out"), value_type=int, internal=True, partitions=1)
    delivered: list[Any] = []
    gate = asyncio.Event()

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for number in stream:
            if number >= 20:
                await gate.wait()
            delivered.append(await target.send(value=number))

    got: list[int] = []

    @app.agent(target)
    async def hear(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    tp = faust.TP(source.get_topic_name(), 0)
    async with running(app):
        for number in range(100):
            await source.send(value=number)
        await eventually(lambda: len(got) == 20)
        await committed_everything_but(app, tp, 20)
        kafka_cluster.pause()
        try:
            gate.set()
            await eventually(lambda: len(delivered) == 100)
            await asyncio.sleep(OUTAGE)
            assert app.consumer.tasks[tp].committed == 20
        finally:
            kafka_cluster.cont()
        await eventually(lambda: len(got) >= 100, timeout=60)
        await committed_everything(app, timeout=60)
    assert sorted(set(got)) == list(range(100))


async def committed_everything_but(app: faust.App, tp: faust.TP, offset: int) -> None:
    """Wait until *offset* is committed."""
    while app.consumer.tasks[tp].committed != offset:
        await app.commit()
        await asyncio.sleep(0.05)


async def test_pain_26_a_slow_agent_starves_nobody(make: Callable[..., faust.App]) -> None:
    """Row 26: beside an agent that sleeps a second per event another topic is read about as fast as alone."""

    async def seconds_for(count: int, *, beside: bool) -> float:
        app = make(stream_wait_empty=False)
        fast = app.topic("fast", value_type=int)
        got = 0

        @app.agent(fast)
        async def quick(stream: Any) -> None:
            nonlocal got
            async for _ in stream:
                got += 1

        if beside:

            @app.agent(app.topic("slow", value_type=int))
            async def slow(stream: Any) -> None:
                async for _ in stream:
                    await asyncio.sleep(1.0)

        async with running(app):
            loop = asyncio.get_running_loop()
            await eventually(lambda: got >= count)
            began, start = loop.time(), got
            for number in range(count):
                fast.send_soon(value=number)
            await eventually(lambda: got >= start + count)
            held = sum(lane.queued for t in app.consumer.tasks.values() for lane in t.lanes)
            assert held < 12_000  # of 20,000 for the slow one alone
            return loop.time() - began

    filler = make()
    await filler.maybe_start_producer()
    for number in range(10_000):
        filler.topic("slow").send_soon(value=number)
        filler.topic("slow").send_soon(value=number)
        filler.topic("fast").send_soon(value=number)
    await filler.producer.flush()
    await filler.close_clients()
    for _ in range(3):  # the machine may be busy with something else just now
        alone = await seconds_for(10_000, beside=False)
        if await seconds_for(10_000, beside=True) < alone * 3:
            return
    pytest.fail("the slow agent holds up the quick one")


async def test_pain_41_group_by_sees_what_the_stream_lets_through(
    make: Callable[..., faust.App],
) -> None:
    """Filtered events are not repartitioned, two agents get each event once, topics are made as the app says (pain row 41)."""
    app = make()
    orders = app.topic("pain41-orders", value_type=int, partitions=2, internal=True)
    got: dict[str, list[int]] = {"first": [], "second": []}

    def even(value: int) -> bool:
        return value % 2 == 0

    def half(value: int) -> str:
        return str(value // 2)

    @app.agent(orders)
    async def first(stream: Any) -> None:
        async for value in stream.filter(even).group_by(half, name="half"):
            got["first"].append(value)

    @app.agent(orders)
    async def second(stream: Any) -> None:
        async for value in stream.filter(even).group_by(half, name="half"):
            got["second"].append(value)

    async with running(app):
        for value in range(40):
            await orders.send(value=value)
        await eventually(lambda: all(len(values) >= 20 for values in got.values()))
        await committed_everything(app)
        wanted = list(range(0, 40, 2))
        assert {name: sorted(values) for name, values in got.items()} == dict.fromkeys(got, wanted)
        admin = await app._started_admin()
        names = [name for name in await admin.list_topics() if "half" in name]
        described = await admin.describe_topics(names)
        assert len(names) == 2
        for name, topic in described.items():
            assert topic is not None
            assert topic.replication == app.conf.topic_replication_factor
            ends = await admin.offsets([TP(name, number) for number in topic.partitions])
            assert sum(end for _, end in ends.values()) == 20
