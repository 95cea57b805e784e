"""channels-topics.md 4: sending to channels and topics, from coroutines and from synchronous code."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import faust
from faust.exceptions import RecordTooLarge
from faust.messages import RecordMetadata
from tests.support.apps import eventually, running

# -- 4.1 channels


async def test_a_channel_keeps_objects(app: faust.App) -> None:
    """channels-topics.md 4.1: nothing is serialized, and the result is a resolved FutureMessage with made-up metadata."""
    channel = app.channel()
    iterator: Any = aiter(channel)
    key, value = object(), object()
    told: list[Any] = []

    async def callback(future: Any) -> None:
        told.append(future)

    future: Any = await channel.send(
        key=key, value=value, partition=3, timestamp=5.0, headers={"a": b"1"}, callback=callback
    )
    event = await iterator.get()
    assert (event.key, event.value, event.headers) == (key, value, {"a": b"1"})
    assert (event.message.topic, event.message.offset, event.message.partition) == (None, -1, 3)
    assert (event.message.timestamp, event.message.timestamp_type) == (5.0, 1)
    assert await future == RecordMetadata("<anon>", 3, faust.TP("<anon>", 3), -1, 5000, 1)
    assert (future.message.key, future.message.value) == (key, value)
    assert told == [future]


async def test_a_channel_fills_in_what_is_left_out(app: faust.App) -> None:
    """channels-topics.md 4.1: without partition and timestamp the event has 0 and now, the metadata -1."""
    channel = app.channel()
    iterator: Any = aiter(channel)
    before = time.time()
    metadata = await (await channel.send(value=1))
    event = await iterator.get()
    assert (metadata.partition, metadata.offset) == (-1, -1)
    assert event.message.partition == 0
    assert before <= event.message.timestamp <= time.time()
    assert event.message.timestamp_type == 0


def test_send_soon_is_for_topics(app: faust.App) -> None:
    """channels-topics.md 4.1: `send_soon` of a channel raises NotImplementedError."""
    with pytest.raises(NotImplementedError):
        app.channel().send_soon(value=1)


async def test_arguments_are_keywords(app: faust.App) -> None:
    """channels-topics.md 4: all arguments of `send` and `send_soon` are keyword-only."""
    for target in (app.channel(), app.topic("a")):
        with pytest.raises(TypeError):
            await target.send("key", "value")  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            target.send_soon("key", "value")  # type: ignore[call-arg]


# -- 4.2 topics


@pytest.fixture
def heard(app: faust.App) -> list[Any]:
    """Events of topic ``in``, as raw bytes."""
    events: list[Any] = []

    @app.agent(app.topic("in", value_serializer="raw", key_serializer="raw"), name="hear")
    async def hear(stream: Any) -> None:
        async for event in stream.events():
            events.append(event)

    return events


async def test_awaiting_twice_gives_metadata(app: faust.App, heard: list[Any]) -> None:
    """channels-topics.md 4.2.2: the first await accepts, the second waits for the broker; timestamps are seconds."""
    topic = app.topic("in", key_type=str, value_type=int)
    async with running(app):
        delivery = await topic.send(key="k", value=5, partition=2, timestamp=1.25)
        metadata = await delivery
        assert (metadata.topic, metadata.partition, metadata.offset) == ("in", 2, 0)
        assert metadata.topic_partition == faust.TP("in", 2)
        await eventually(lambda: len(heard) == 1)
    (event,) = heard
    assert (event.key, event.value, event.message.timestamp) == (b"k", b"5", 1.25)


async def test_app_send_takes_names_and_positions(app: faust.App, heard: list[Any]) -> None:
    """channels-topics.md 4: `app.send` takes a channel or a name, and its arguments by position; no `force`."""
    async with running(app):
        await app.send("in", b"k", {"a": 1}, 1, 2.5, {"h": b"x"})
        await eventually(lambda: len(heard) == 1)
        with pytest.raises(TypeError):
            await app.send("in", value=1, force=True)  # type: ignore[call-arg]
    (event,) = heard
    assert (event.key, event.value, event.headers) == (b"k", b'{"a":1}', {"h": b"x"})
    assert (event.message.partition, event.message.timestamp) == (1, 2.5)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ({"a": b"1"}, [("a", b"1")]),
        ([("a", b"1"), ("a", b"2")], [("a", b"1"), ("a", b"2")]),
        ({"a": "é"}, [("a", "é".encode())]),
        (None, []),
    ],
)
async def test_headers_travel(app: faust.App, heard: list[Any], given: Any, got: Any) -> None:
    """channels-topics.md 4.2.2: headers are given as a mapping or pairs, and arrive as pairs; text becomes UTF-8."""
    async with running(app):
        await app.topic("in").send(value=1, headers=given)
        app.topic("in").send_soon(value=1, headers=given)
        await eventually(lambda: len(heard) == 2)
    assert [list(event.message.headers) for event in heard] == [got, got]
    assert heard[0].headers == dict(got)


@pytest.mark.parametrize("coroutine", [False, True])
async def test_callbacks_are_called_on_delivery(app: faust.App, coroutine: bool) -> None:
    """channels-topics.md 4.2.3: the callback is called with the resolved FutureMessage; a coroutine function is awaited."""
    told: list[Any] = []

    async def later(future: Any) -> None:
        await asyncio.sleep(0)
        told.append(future)

    callback = later if coroutine else told.append
    topic = app.topic("in")
    async with running(app):
        await topic.send(key=b"k", value=1, callback=callback)
        topic.send_soon(value=2, callback=callback)
        await eventually(lambda: len(told) == 2)
    assert [future.result().topic for future in told] == ["in", "in"]
    assert (told[0].message.key, told[0].message.value) == (b"k", 1)


async def test_a_message_too_large_is_refused(app: faust.App) -> None:
    """channels-topics.md 4.2.4: what the producer cannot take is raised where it is sent; the callback is not called."""
    told: list[Any] = []
    topic = app.topic("in", value_serializer="raw")
    async with running(app):
        with pytest.raises(RecordTooLarge):
            await (await topic.send(value=b"x" * 2_000_000, callback=told.append))
        assert await (await topic.send(value=b"x"))
    assert told == []


async def test_send_soon_keeps_its_order(app: faust.App, heard: list[Any]) -> None:
    """channels-topics.md 4.2, 4.3: `send_soon` works from synchronous code, for topics not known yet, in order."""
    topic = app.topic("in", value_type=int)
    async with running(app):
        futures = [topic.send_soon(value=number, partition=0) for number in range(100)]
        futures += [topic.send_soon(key=b"k", value=number) for number in range(100)]
        await app.producer.flush()
        assert all(future.done() for future in futures)
        await eventually(lambda: len(heard) == 200)
    assert [int(event.value) for event in heard if event.key is None] == list(range(100))
    assert [int(event.value) for event in heard if event.key] == list(range(100))


async def test_eager_partitioning(app: faust.App) -> None:
    """channels-topics.md 4.2: with `eager_partitioning` the partition is known before the message is sent."""
    topic = app.topic("in", key_serializer="raw")
    async with running(app):
        await (await topic.send(value=1))
        future = topic.send_soon(key=b"foo", value=1, eager_partitioning=True)
        assert future.message.partition == 0  # murmur2: 597841616 mod 4
        assert (await future).partition == 0


async def test_holding_and_publishing(app: faust.App, heard: list[Any]) -> None:
    """channels-topics.md 4.2: `as_future_message` encodes and holds; `publish_message` sends, and waits if it is told to."""
    topic, other = app.topic("in", value_type=int), app.topic("other", value_type=int)
    async with running(app):
        held = topic.as_future_message(b"k", 7, 1, 2.0, {"h": b"1"})
        assert not held.done()
        assert (held.message.key, held.message.value) == (b"k", b"7")
        sent = await topic.publish_message(held, wait=True)
        assert sent is held
        assert held.result().partition == 1
        elsewhere = await topic.publish_message(other.as_future_message(value=1))
        assert (await elsewhere).topic == "other"
        await eventually(lambda: len(heard) == 1)
    (event,) = heard
    assert (event.key, event.value, event.headers) == (b"k", b"7", {"h": b"1"})
    channel = app.channel()
    iterator: Any = aiter(channel)
    await channel.publish_message(channel.as_future_message(value="v"))
    assert (await iterator.get()).value == "v"


async def test_everything_sent_is_announced(app: faust.App, heard: list[Any]) -> None:
    """channels-topics.md 4.2: `on_produce_message` sees the final bytes of every message and may change its headers."""
    announced: list[Any] = []

    def tell(*_args: Any, **message: Any) -> None:
        del message["signal"]
        announced.append(message | {"headers": list(message["headers"])})
        message["headers"].append(("trace", b"1"))

    app.on_produce_message.connect(tell)
    topic = app.topic("in", key_type=str, value_type=int)
    async with running(app):
        await topic.send(key="k", value=1, partition=0, timestamp=2.5, headers={"a": b"1"})
        topic.send_soon(value=2, partition=0)
        await eventually(lambda: len(heard) == 2)
    assert announced[0] == {
        "key": b"k",
        "value": b"1",
        "partition": 0,
        "timestamp": 2.5,
        "headers": [("a", b"1")],
    }
    assert [event.headers for event in heard] == [{"a": b"1", "trace": b"1"}, {"trace": b"1"}]


async def test_sensors_are_told_of_sends(app: faust.App) -> None:
    """channels-topics.md 4.2.3 and transport.md 12: sensors hear of every send, and of how it ended."""

    class Listener(faust.Sensor):
        heard: list[Any]

        def on_send_initiated(
            self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
        ) -> Any:
            self.heard.append(("initiated", topic, keysize, valsize))
            return len(self.heard)

        def on_send_completed(self, producer: Any, state: Any, metadata: Any) -> None:
            self.heard.append(("completed", state, metadata.offset))

        def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
            self.heard.append(("error", state, type(exc)))

    sensor = Listener()
    sensor.heard = []
    app.sensors.add(sensor)
    topic = app.topic("in", value_serializer="raw")
    async with running(app):
        await (await topic.send(key=b"k", value=b"abc", partition=0))
        await topic.send_soon(value=b"d", partition=0)
    assert sensor.heard == [
        ("initiated", "in", 1, 3),
        ("completed", 1, 0),
        ("initiated", "in", 0, 1),
        ("completed", 3, 1),
    ]


# -- 4.3 flushing, 4.4 the threaded producer


async def test_a_commit_waits_for_what_was_sent_soon(make: Callable[..., faust.App]) -> None:
    """channels-topics.md 4.3, BUG-T17: when an offset is committed, everything its event has sent is at the broker."""
    app = make(broker_commit_interval=600.0)
    source, target = app.topic("in", value_type=int), app.topic("out", value_type=int)
    futures: list[Any] = []

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for number in stream:
            futures.extend(target.send_soon(value=number) for _ in range(50))

    async with running(app):
        for number in range(20):
            await source.send(value=number, partition=0)
        tp = faust.TP("in", 0)
        await eventually(lambda: app.consumer.tasks[tp].safe() == 20)
        await app.commit()
        assert (await app.consumer.committed([tp]))[tp] == 20
        assert len(futures) == 1000
        assert all(future.done() for future in futures)


async def test_the_threaded_producer(make: Callable[..., faust.App]) -> None:
    """channels-topics.md 4.4, BUG-T20: with ``producer_threaded`` futures resolve and callbacks run on the app's loop."""
    app = make(producer_threaded=True)
    topic = app.topic("in", value_type=int)
    threads: list[Any] = []
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        assert app.soon_producer is not app.producer
        future = topic.send_soon(
            value=1, partition=0, callback=lambda _: threads.append(threading.current_thread())
        )
        assert (await future).offset == 0
        await topic.send(value=2, partition=0)
        late = topic.send_soon(value=3, partition=0)
        await app.commit()
        assert late.done()
        await eventually(lambda: got == [1, 2, 3])
    assert threads == [threading.current_thread()]


async def test_the_threaded_producer_outside_a_worker(make: Callable[..., faust.App]) -> None:
    """channels-topics.md 4.4: an app that only sends has it as well."""
    app = make(producer_threaded=True)
    await app.maybe_start_producer()
    try:
        assert (await app.topic("in").send_soon(value=1)).topic == "in"
    finally:
        await app.close_clients()


async def test_a_failed_send_is_told(app: faust.App, caplog: pytest.LogCaptureFixture) -> None:
    """channels-topics.md 4.2.3: a send that fails later raises in its future, is logged, and its callback is not called."""
    told: list[Any] = []
    topic = app.topic("in", value_serializer="raw")
    await app.maybe_start_producer()
    try:
        with caplog.at_level(logging.WARNING):
            future = topic.send_soon(value=b"x", partition=99, callback=told.append)
            with pytest.raises(faust.exceptions.FaustError):
                await asyncio.wait_for(future, 20)
        assert told == []
        assert any("in" in record.message for record in caplog.records)
    finally:
        await app.close_clients()
