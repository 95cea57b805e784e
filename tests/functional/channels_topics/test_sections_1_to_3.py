"""channels-topics.md 1 to 3: creating, iterating, direct access to queues, flow control."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any

import pytest

import faust
from tests.support.apps import eventually, running


async def anext_of(iterator: Any) -> Any:
    """Read one more, soon."""
    return await asyncio.wait_for(anext(iterator), 5)


# -- 1. creating


def test_defining_touches_no_event_loop() -> None:
    """channels-topics.md 1: channels and topics can be defined at import time, without an event loop."""
    app = faust.App("defined", broker="memory://")
    channel, topic = app.channel(maxsize=3), app.topic("orders", value_type=int)
    assert channel._mailbox is None
    assert topic._mailbox is None


def test_names_and_pattern_exclude_each_other(app: faust.App) -> None:
    """channels-topics.md 1: names and pattern together are a TypeError, no partitions a ValueError."""
    with pytest.raises(TypeError, match="pattern"):
        app.topic("a", pattern="b.*")
    with pytest.raises(ValueError, match="partitions"):
        app.topic("a", partitions=0)


@pytest.mark.parametrize("option", ["partitions", "replicas"])
@pytest.mark.parametrize("wrong", ["3", 1.5, [1]])
def test_numbers_are_numbers(app: faust.App, option: str, wrong: Any) -> None:
    """channels-topics.md 1: numbers are whole ones; text from the environment is told where it is given."""
    with pytest.raises(TypeError, match=f"topic orders: {option} must be a whole number, got"):
        app.topic("orders", **{option: wrong})


def test_retention_may_be_text(app: faust.App) -> None:
    """channels-topics.md 1: retention is seconds; as text it is read as such, and what is none is refused."""
    topic = app.topic("orders", retention="36")
    assert topic.retention == 36.0
    assert topic._broker_config() == topic.derive()._broker_config() == {"retention.ms": "36000"}
    for wrong in ("a week", "1/week"):
        with pytest.raises(ValueError, match=f"topic orders: retention .* '{wrong}'"):
            app.topic("orders", retention=wrong)


def test_what_a_topic_is_given_it_keeps(app: faust.App) -> None:
    """channels-topics.md 1: every argument is an attribute, with the documented defaults."""
    given: dict[str, Any] = {
        "key_type": str,
        "value_type": int,
        "partitions": 3,
        "retention": 60.0,
        "compacting": True,
        "deleting": False,
        "replicas": 2,
        "acks": False,
        "internal": True,
        "config": {"max.message.bytes": "5"},
        "maxsize": 17,
        "allow_empty": True,
        "has_prefix": True,
    }
    topic = app.topic("a", "b", **given)
    assert {name: getattr(topic, name) for name in given} == given
    assert topic.topics == ("a", "b")
    plain = app.topic("a")
    assert (plain.pattern, plain.partitions, plain.replicas, plain.retention) == (None,) * 4
    assert (plain.acks, plain.internal, plain.allow_empty, plain.has_prefix) == (
        True,
        False,
        False,
        False,
    )
    assert (plain.active_partitions, plain.is_iterator, plain.maxsize) == (None, False, None)
    assert plain.app is app
    assert app.topic(pattern="a.*").pattern == re.compile("a.*")


def test_maxsize_is_the_size_of_the_buffer(app: faust.App) -> None:
    """channels-topics.md 1 and BUG-T8: `maxsize` is honoured; None means setting ``stream_buffer_maxsize``."""
    assert app.topic("a", maxsize=17).mailbox.maxsize == 17
    assert app.topic("a").mailbox.maxsize == app.conf.stream_buffer_maxsize == 4096
    assert app.channel(maxsize=5).mailbox.maxsize == 5


def test_words(app: faust.App) -> None:
    """channels-topics.md 1: str and repr of channels, topics and their iterators."""
    channel, topic = app.channel(), app.topic("a", "b")
    assert str(channel) == "<ANON>"
    assert str(topic) == "a,b"
    assert "x.*" in str(app.topic(pattern="x.*"))
    assert re.fullmatch(r"<Channel: <ANON>@0x[0-9a-f]+>", repr(channel))
    assert re.fullmatch(r"<Topic: a,b@0x[0-9a-f]+>", repr(topic))
    iterator = topic.clone(is_iterator=True, active_partitions={faust.TP("a", 1), faust.TP("a", 0)})
    assert re.fullmatch(r"<\(\*\)Topic: a,b active=\{a:0, a:1\}@0x[0-9a-f]+>", repr(iterator))
    pending = topic.clone(active_partitions=set())
    assert "{<pending for assignment>}" in repr(pending)


def test_topic_names(app: faust.App) -> None:
    """channels-topics.md 1: `get_topic_name` gives the one name, or says why there is none."""
    assert app.topic("a").get_topic_name() == "a"
    with pytest.raises(ValueError, match="several"):
        app.topic("a", "b").get_topic_name()
    with pytest.raises(TypeError):
        app.topic(pattern="a").get_topic_name()
    with pytest.raises(NotImplementedError):
        app.channel().get_topic_name()


def test_equality_is_identity(app: faust.App) -> None:
    """channels-topics.md 1: two topics of one name are two."""
    assert app.topic("a") != app.topic("a")
    assert len({app.topic("a"), app.topic("a")}) == 2


# -- 2. iteration and subscription


async def test_every_iterator_gets_every_message(app: faust.App) -> None:
    """channels-topics.md 2: a channel broadcasts; iterators are clones with a queue of their own."""
    channel = app.channel()
    first, second = aiter(channel), aiter(channel)
    assert first is not channel
    assert aiter(first) is first
    assert channel.subscriber_count == 2
    await channel.put("x")
    assert [await anext_of(first), await anext_of(second)] == ["x", "x"]


async def test_what_is_no_iterator_cannot_be_read(app: faust.App) -> None:
    """channels-topics.md 2: `anext` of a channel that is no iterator raises RuntimeError."""
    with pytest.raises(RuntimeError):
        await anext(app.channel())


async def test_subscribers_are_referenced_weakly(app: faust.App) -> None:
    """channels-topics.md 2: an iterator nobody keeps is forgotten."""
    channel = app.channel()
    iterator = aiter(channel)
    assert channel.subscriber_count == 1
    del iterator
    assert channel.subscriber_count == 0


async def test_a_stream_nobody_keeps_is_forgotten(app: faust.App) -> None:
    """channels-topics.md 2 and 3.1: nor does it fill up, and hold who puts."""
    channel = app.channel(maxsize=10)

    async def read_one(stream: Any) -> None:
        async for _ in stream:
            break

    for number in range(3):
        stream = channel.stream()
        await channel.put(number)
        await asyncio.create_task(read_one(stream))
    del stream

    def forgotten() -> bool:
        gc.collect()
        return channel.subscriber_count == 0

    await eventually(forgotten)
    for number in range(30):
        await channel.put(number)


async def test_clones_can_share_a_queue(app: faust.App) -> None:
    """channels-topics.md 2: `clone_using_queue` gives an iterator over a queue that exists."""
    channel = app.channel()
    first: Any = aiter(channel)
    second = channel.clone_using_queue(first.queue)
    first.put_nowait(1)
    first.put_nowait(2)
    assert sorted([await first.get(), await second.get()]) == [1, 2]


async def test_stopping_unregisters_a_topic_iterator(app: faust.App) -> None:
    """channels-topics.md 2: a stream that is stopped leaves the conductor."""
    topic = app.topic("a")
    stream = topic.stream()
    assert stream.channel in app.topics
    await stream.stop()
    assert stream.channel not in app.topics


# -- 3. direct access to queues


async def test_put_without_readers_is_dropped(app: faust.App) -> None:
    """channels-topics.md 3: with no iterator what is put is dropped; the iterator must exist first."""
    channel = app.channel()
    await channel.put(1)
    iterator: Any = aiter(channel)
    await channel.put(2)
    assert await iterator.get() == 2


async def test_put_on_a_topic_needs_an_iterator(app: faust.App) -> None:
    """channels-topics.md 3: `put` on a topic raises RuntimeError, on its iterator it feeds that iterator only."""
    topic = app.topic("a")
    with pytest.raises(RuntimeError):
        await topic.put(1)
    first: Any = aiter(topic)
    second: Any = aiter(topic)
    await first.put(1)
    assert await first.get() == 1
    assert second.empty()


async def test_get_times_out(app: faust.App) -> None:
    """channels-topics.md 3: `get` raises TimeoutError after its timeout."""
    iterator: Any = aiter(app.channel())
    with pytest.raises(asyncio.TimeoutError):
        await iterator.get(timeout=0.01)


async def test_errors_overtake_items(app: faust.App) -> None:
    """channels-topics.md 3: a thrown exception is raised before anything that waits; `empty` counts it."""
    iterator: Any = aiter(app.channel())
    assert iterator.empty()
    await iterator.put(1)
    await iterator.throw(KeyError("first"))
    assert not iterator.empty()
    with pytest.raises(KeyError, match="first"):
        await iterator.get()
    assert await iterator.get() == 1
    waiting = asyncio.create_task(iterator.get())
    await asyncio.sleep(0)
    iterator._throw(ValueError("woken"))
    with pytest.raises(ValueError, match="woken"):
        await waiting


# -- 3.1 queues and flow control


async def test_a_full_queue_holds_its_writers(app: faust.App) -> None:
    """channels-topics.md 3.1: `put` waits while `maxsize` items wait, and goes on when one is taken."""
    channel = app.channel(maxsize=2)
    iterator: Any = aiter(channel)
    for number in range(2):
        await channel.put(number)
    third = asyncio.create_task(channel.put(2))
    await asyncio.sleep(0.01)
    assert not third.done()
    assert await iterator.get() == 0
    await asyncio.wait_for(third, 5)
    assert [await iterator.get(), await iterator.get()] == [1, 2]


async def test_flow_control_holds_all_streams(app: faust.App) -> None:
    """channels-topics.md 3.1: while the flow is suspended no stream takes an event; nothing is lost by it."""
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    assert not app.flow_control.is_active()
    async with running(app):
        await topic.send(value=1)
        await eventually(lambda: got == [1])
        assert app.flow_control.is_active()
        app.flow_control.suspend()
        await topic.send(value=2)
        await asyncio.sleep(0.2)
        assert got == [1]
        app.flow_control.resume()
        await eventually(lambda: got == [1, 2])


async def test_flow_control_queues(app: faust.App) -> None:
    """channels-topics.md 3.1: a `FlowControlQueue` waits while suspended, and is cleared on resume if it is told to be."""
    kept, cleared = app.FlowControlQueue(maxsize=3), app.FlowControlQueue(clear_on_resume=True)
    assert (kept.maxsize, cleared.maxsize) == (3, 4096)
    putting = asyncio.create_task(kept.put(1))
    await asyncio.sleep(0.01)
    assert not putting.done()
    app.flow_control.resume()
    await asyncio.wait_for(putting, 5)
    await cleared.put(1)
    app.flow_control.suspend()
    app.flow_control.resume()
    assert (kept.qsize(), cleared.qsize()) == (1, 0)


async def test_a_full_buffer_pauses_its_partition_only(app: faust.App) -> None:
    """channels-topics.md 3.1, transport.md 4.3: a reader that does not read stops the fetching of its topic, not of others."""
    slow, quick = app.topic("slow", maxsize=400, value_type=int), app.topic("quick", value_type=int)
    gate = asyncio.Event()
    got: list[int] = []
    done: list[int] = []

    @app.agent(slow)
    async def stuck(stream: Any) -> None:
        async for number in stream:
            await gate.wait()
            done.append(number)

    @app.agent(quick)
    async def runs(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        for number in range(20_000):
            slow.send_soon(value=number, partition=0)
        await app.producer.flush()
        await eventually(lambda: any(task.paused for task in app.consumer.tasks.values()))
        (task,) = [task for task in app.consumer.tasks.values() if task.paused]
        assert task.tp == faust.TP("slow", 0)
        assert sum(lane.queued for lane in task.lanes) < 8000
        for number in range(100):
            quick.send_soon(value=number)
        await eventually(lambda: len(got) == 100)
        gate.set()
        await eventually(lambda: len(done) == 20_000)
        assert not task.paused
    assert done == list(range(20_000))


async def test_a_reader_that_stops_makes_room(app: faust.App) -> None:
    """channels-topics.md 3.1: a full buffer whose reader is stopped holds up nobody else who reads the partition."""
    topic = app.topic("in", maxsize=400, value_type=int)
    got: list[int] = []

    @app.agent(topic)
    async def quick(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    @app.agent(topic)
    async def stuck(stream: Any) -> None:
        async for _ in stream:
            await asyncio.sleep(3600)

    async with running(app):
        for number in range(3000):
            topic.send_soon(value=number, partition=0)
        await app.producer.flush()
        task = app.consumer.tasks[faust.TP("in", 0)]
        await eventually(lambda: task.paused and len(got) == task.delivered)
        await stuck.stop()
        for number in range(3000, 3500):
            topic.send_soon(value=number, partition=0)
        await eventually(lambda: len(got) == 3500)
        assert app.consumer.tasks[task.tp] is task
        assert not task.full
        assert not task.paused
