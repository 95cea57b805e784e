"""Whole apps on every broker: agents, sinks, repartitioning, errors, commits."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

import faust
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


async def test_an_agent_gets_every_message_in_order(broker_url: str, topic_name: Name) -> None:
    """Each message comes once, in order per partition, and is committed in the end."""
    app = make_app(broker_url, topic_name("app"))
    numbers = app.topic(topic_name("in"), value_type=int)
    got: dict[int, list[int]] = defaultdict(list)

    @app.agent(numbers)
    async def collect(stream: Any) -> None:
        async for event in stream.events():
            got[event.message.partition].append(event.value)

    async with running(app):
        for number in range(500):
            await numbers.send(value=number, partition=number % 4)
        await eventually(lambda: sum(map(len, got.values())) == 500)
        await committed_everything(app)
    assert all(values == sorted(values) for values in got.values())
    assert sorted(value for values in got.values() for value in values) == list(range(500))


async def test_group_by_brings_equal_keys_together(broker_url: str, topic_name: Name) -> None:
    """After group_by a table counts every word exactly, whatever partition the word came from."""
    app = make_app(broker_url, topic_name("app"))
    posts = app.topic(topic_name("posts"), value_type=str)
    counts = app.Table("counts", default=int)

    @app.agent(posts)
    async def count(stream: Any) -> None:
        async for word in stream.group_by(lambda word: word, name="word"):
            counts[word] += 1

    words = [f"w{number % 17}" for number in range(400)]
    async with running(app):
        for index, word in enumerate(words):
            await posts.send(value=word, partition=index % 4)
        await eventually(lambda: sum(counts.values()) == 400)
        await committed_everything(app)
        assert dict(counts.items()) == Counter(words)


async def test_a_table_comes_back_after_a_restart(broker_url: str, topic_name: Name) -> None:
    """A second worker finds what the first has counted, and goes on behind its last message."""
    id, source = topic_name("app"), topic_name("in")

    def build() -> tuple[faust.App, Any, Any]:
        app = make_app(broker_url, id)
        topic = app.topic(source, key_type=str, value_type=int)
        totals = app.Table("totals", default=int)

        @app.agent(topic, name="add")
        async def add(stream: Any) -> None:
            async for key, amount in stream.items():
                totals[key] += amount

        return app, topic, totals

    app, topic, totals = build()
    async with running(app):
        for number in range(200):
            await topic.send(key=f"k{number % 10}", value=1)
        await eventually(lambda: sum(totals.values()) == 200)
    app, topic, totals = build()
    async with running(app):
        assert dict(totals.items()) == {f"k{number}": 20 for number in range(10)}
        await topic.send(key="k3", value=5)
        await eventually(lambda: totals["k3"] == 25)


async def test_what_raises_is_skipped_and_the_agent_goes_on(
    broker_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception costs one log record and one message; the next message is processed, and on_error is told."""
    app = make_app(broker_url, topic_name("app"))
    numbers = app.topic(topic_name("in"), value_type=int, partitions=1)
    got: list[int] = []
    errors: list[BaseException] = []

    async def on_error(_agent: Any, exc: BaseException) -> None:
        errors.append(exc)

    @app.agent(numbers, on_error=on_error, name="picky")
    async def picky(stream: Any) -> None:
        async for number in stream:
            if number == 3:
                raise ValueError("three")
            got.append(number)

    async with running(app):
        for number in range(10):
            await numbers.send(value=number, partition=0)
        await eventually(lambda: len(got) == 9)
        await committed_everything(app)
    assert got == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert [str(error) for error in errors] == ["three"]
    records = [record for record in caplog.records if "picky raised" in record.message]
    assert len(records) == 1
    assert "offset 3" in records[0].message


async def test_undecodable_messages_are_named_and_passed_over(
    broker_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """A poison message is logged with topic, partition, offset and its bytes, and the next one is processed."""
    app = make_app(broker_url, topic_name("app"))
    name = topic_name("in")
    typed = app.topic(name, value_type=int)
    raw = app.topic(name, value_serializer="raw")
    got: list[int] = []

    @app.agent(typed, name="reader")
    async def reader(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        for payload in (b"1", b"{bad", b"2"):
            await raw.send(value=payload, partition=0)
        await eventually(lambda: got == [1, 2])
        await committed_everything(app)
    (record,) = [record for record in caplog.records if "reader raised" in record.message]
    assert f"{name}[0] offset 1" in record.message
    assert "{bad" in record.message


async def test_yielded_values_go_to_every_sink(broker_url: str, topic_name: Name) -> None:
    """What an agent yields goes to functions, topics and agents, in order."""
    app = make_app(broker_url, topic_name("app"))
    source = app.topic(topic_name("in"), value_type=int)
    target = app.topic(topic_name("out"), value_type=int)
    heard: list[int] = []
    read: list[int] = []

    @app.agent(source, sink=[heard.append, target])
    async def double(stream: Any) -> Any:
        async for number in stream:
            yield number * 2

    @app.agent(target)
    async def reader(stream: Any) -> None:
        async for number in stream:
            read.append(number)

    async with running(app):
        for number in range(20):
            await source.send(value=number, partition=0)
        await eventually(lambda: len(read) == 20)
    assert heard == [number * 2 for number in range(20)]
    assert sorted(read) == heard


async def test_two_agents_on_one_topic_each_get_everything(
    broker_url: str, topic_name: Name
) -> None:
    """Each agent gets every message, and the slower one holds back the committed offset."""
    app = make_app(broker_url, topic_name("app"))
    source = app.topic(topic_name("in"), value_type=int)
    fast: list[int] = []
    slow: list[int] = []
    gate = asyncio.Event()

    @app.agent(source)
    async def quick(stream: Any) -> None:
        async for number in stream:
            fast.append(number)

    @app.agent(source)
    async def waits(stream: Any) -> None:
        async for number in stream:
            await gate.wait()
            slow.append(number)

    async with running(app):
        for number in range(10):
            await source.send(value=number, partition=1)
        await eventually(lambda: len(fast) == 10)
        await app.commit()
        tp = faust.TP(source.get_topic_name(), 1)
        assert ((await app.consumer.committed([tp]))[tp] or 0) == 0
        gate.set()
        await committed_everything(app)
    assert slow == fast == list(range(10))


async def test_concurrent_actors_commit_nothing_unfinished(
    broker_url: str, topic_name: Name
) -> None:
    """With concurrency the offset stays below the slowest event in progress."""
    app = make_app(broker_url, topic_name("app"))
    source = app.topic(topic_name("in"), value_type=int)
    done: list[int] = []
    gate = asyncio.Event()

    @app.agent(source, concurrency=4)
    async def work(stream: Any) -> None:
        async for number in stream:
            if number == 5:
                await gate.wait()
            done.append(number)

    async with running(app):
        for number in range(40):
            await source.send(value=number, partition=0)
        await eventually(lambda: len(done) == 39)
        await app.commit()
        tp = faust.TP(source.get_topic_name(), 0)
        assert (await app.consumer.committed([tp]))[tp] == 5
        gate.set()
        await committed_everything(app)
    assert sorted(done) == list(range(40))


async def test_filter_take_through_and_echo(broker_url: str, topic_name: Name) -> None:
    """Operators work together: filters before a repartition run on its source side."""
    app = make_app(broker_url, topic_name("app"))
    source = app.topic(topic_name("in"), value_type=int)
    between = app.topic(topic_name("between"), value_type=int)
    copies = app.topic(topic_name("copies"), value_type=int)
    forwarded: list[int] = []
    lists: list[list[int]] = []
    echoed: list[int] = []

    @app.agent(source)
    async def pipeline(stream: Any) -> None:
        kept = stream.filter(lambda number: number % 2 == 0).through(between).echo(copies)
        async for values in kept.take(5, within=0.2):
            lists.append(values)

    @app.agent(between)
    async def watch(stream: Any) -> None:
        async for number in stream:
            forwarded.append(number)

    @app.agent(copies)
    async def listen(stream: Any) -> None:
        async for number in stream:
            echoed.append(number)

    even = [number for number in range(30) if number % 2 == 0]
    async with running(app):
        for number in range(30):
            await source.send(value=number, partition=0)
        await eventually(lambda: sum(map(len, lists)) == 15 and len(echoed) == 15)
        await committed_everything(app)
    assert sorted(number for values in lists for number in values) == even
    assert all(1 <= len(values) <= 5 for values in lists)
    assert sorted(forwarded) == even
    assert sorted(echoed) == even


async def test_send_gives_metadata_callbacks_and_headers(broker_url: str, topic_name: Name) -> None:
    """A send tells where the record went; headers, keys and timestamps arrive as they were given."""
    app = make_app(broker_url, topic_name("app"))
    source = app.topic(topic_name("in"), key_type=str, value_type=str)
    events: list[Any] = []
    told: list[Any] = []

    @app.agent(source)
    async def keep(stream: Any) -> None:
        async for event in stream.events():
            assert faust.current_event() is event
            events.append(event)

    async with running(app):
        metadata = await (
            await source.send(
                key="k",
                value="v",
                partition=2,
                timestamp=1234.5,
                headers={"a": b"1"},
                callback=told.append,
            )
        )
        assert (metadata.partition, metadata.offset) == (2, 0)
        soon = source.send_soon(key="k2", value="w")
        assert (await soon).topic == source.get_topic_name()
        await eventually(lambda: len(events) == 2)
    first = next(event for event in events if event.key == "k")
    assert (first.value, first.headers) == ("v", {"a": b"1"})
    assert (first.message.timestamp, first.message.partition) == (1234.5, 2)
    assert told[0].result() == metadata
    assert faust.current_event() is None


async def test_channels_live_in_memory(broker_url: str, topic_name: Name) -> None:
    """An agent on a channel gets what is put on it, without any broker topic."""
    app = make_app(broker_url, topic_name("app"))
    channel = app.channel(value_type=int)
    got: list[int] = []

    @app.agent(channel)
    async def collect(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        for number in range(5):
            await channel.send(value=number)
        await eventually(lambda: got == list(range(5)))


async def test_timers_are_on_time_while_an_agent_is_busy(broker_url: str, topic_name: Name) -> None:
    """A full buffer does not starve timers: they tick while it is read, late by a fraction of what reading it all takes."""
    app = make_app(broker_url, topic_name("app"))
    source = app.topic(topic_name("in"), value_type=int)
    late: list[float] = []
    gate = asyncio.Event()
    seen = 0

    @app.agent(source)
    async def burn(stream: Any) -> None:
        nonlocal seen
        await gate.wait()
        async for _ in stream:
            seen += sum(range(300)) > 0  # a few microseconds of work

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        while True:
            wanted = loop.time() + 0.01
            await asyncio.sleep(0.01)
            late.append(loop.time() - wanted)

    async with running(app):
        for number in range(60_000):
            source.send_soon(value=number)
            if number % 1000 == 0:
                await app.producer.flush()
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.1)
        late.clear()
        began = asyncio.get_running_loop().time()
        gate.set()
        await eventually(lambda: seen == 60_000, timeout=60)
        took = asyncio.get_running_loop().time() - began
        ticking.cancel()
    assert len(late) > 5
    assert sorted(late)[len(late) // 2] < max(0.05, took / 4)
