"""streams.md 1 to 3: creating streams, one step of the iteration, the current event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import faust
from faust.exceptions import Skip
from tests.support.apps import committed_everything, eventually, running


async def collect(stream: Any, count: int) -> list[Any]:
    """Read *count* values."""
    got = []
    async for value in stream:
        got.append(value)
        if len(got) == count:
            break
    return got


# -- 1. creating streams


async def test_a_stream_over_a_list_ends_with_it(app: faust.App) -> None:
    """streams.md 1 and 2.2: any iterable is a source; its end ends the loop, and the stream can be iterated again."""
    stream = app.stream([1, 2, 3])
    assert stream.state == "init"
    states = []
    async for _ in stream:
        states.append(stream.state)
    assert states == ["running"] * 3
    assert stream.state == "init"
    assert [value async for value in stream] == [1, 2, 3]
    assert stream.events_total == 6


async def test_a_stream_over_an_asynchronous_iterable(app: faust.App) -> None:
    """streams.md 1: an asynchronous iterable is a source."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert [value async for value in app.stream(numbers())] == [0, 1, 2]


async def test_attributes_of_a_new_stream(app: faust.App) -> None:
    """streams.md 1: attributes and their defaults; what is given is kept."""
    topic = app.topic("orders")
    stream = app.stream(topic, prefix="p", concurrency_index=3)
    assert (stream.app, stream.prefix, stream.concurrency_index) == (app, "p", 3)
    assert stream.enable_acks is True
    assert stream.combined == []
    assert (stream.join_strategy, stream.active_partitions) == (None, None)
    assert (stream.current_event, stream.events_total, stream.task_owner) == (None, 0, None)
    assert stream.outbox is stream.channel.mailbox
    assert app.stream(topic).concurrency_index is None
    assert topic.stream().channel is not topic


def test_representations(app: faust.App) -> None:
    """streams.md 1: labels name the channel; a combined stream joins its parts with ``&``."""
    orders, news = app.topic("orders").stream(), app.channel().stream()
    assert orders.shortlabel == "Stream: Topic: orders"
    assert news.shortlabel == "Stream: Channel: <ANON>"
    assert orders.label == f"Stream: {orders.channel!r}"
    assert (orders & news).shortlabel == "Stream: Topic: orders & Channel: <ANON>"


def test_synchronous_iteration_is_refused(app: faust.App) -> None:
    """streams.md 1: ``for`` over a stream raises NotImplementedError."""
    with pytest.raises(NotImplementedError):
        iter(app.stream([1]))


def test_creating_a_stream_over_a_topic_subscribes(app: faust.App) -> None:
    """streams.md 1: the topic is registered with the conductor when the stream is made."""
    topic = app.topic("orders")
    assert "orders" not in app.topics
    stream = app.stream(topic)
    assert "orders" in app.topics
    assert stream.channel in app.topics


async def test_on_start_is_awaited_before_the_first_event(app: faust.App) -> None:
    """streams.md 1: ``on_start`` is an awaitable factory, awaited when the iteration begins."""
    seen: list[str] = []

    async def on_start() -> None:
        seen.append("start")

    async for value in app.stream([1], on_start=on_start):
        seen.append(f"value {value}")
    channel = app.channel()
    stream = app.stream(channel, on_start=on_start)
    await channel.put(2)
    seen.extend(map(str, await collect(stream, 1)))
    assert seen == ["start", "value 1", "start", "2"]


async def test_start_and_stop(app: faust.App) -> None:
    """streams.md 1: a stream is a service with a state."""
    stream = app.stream(app.channel())
    await stream.start()
    assert (stream.state, stream.started) == ("running", True)
    await stream.stop()
    assert stream.should_stop


# -- 2. one iteration step


async def test_others_run_while_a_stream_is_busy(app: faust.App) -> None:
    """streams.md 2.1: a loop over what is there already yields to the event loop."""
    channel = app.channel()
    stream = app.stream(channel)
    turns = 0
    for number in range(3000):
        stream.channel.put_nowait(number)

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(other())
    seen = 0
    async for _ in stream:
        seen += sum(range(2000)) > 0
        if seen == 3000:
            break
    task.cancel()
    assert turns > 3


async def test_thrown_errors_come_before_what_waits(app: faust.App) -> None:
    """streams.md 2.2: a pending exception is raised before the next item."""
    stream = app.stream(app.channel())
    stream.channel.put_nowait(1)
    await stream.throw(KeyError("thrown"))
    with pytest.raises(KeyError, match="thrown"):
        await collect(stream, 1)
    assert await collect(stream, 1) == [1]


async def test_stop_async_iteration_ends_the_loop_normally(app: faust.App) -> None:
    """streams.md 2.2: StopAsyncIteration thrown into the channel ends the loop without an error."""
    stream = app.stream(app.channel())
    got = []

    async def read() -> None:
        async for value in stream:
            got.append(value)

    task = asyncio.create_task(read())
    stream.channel.put_nowait(1)
    await eventually(lambda: got == [1])
    await stream.throw(StopAsyncIteration())
    await asyncio.wait_for(task, 5)


async def test_processors_run_in_order_and_may_be_asynchronous(app: faust.App) -> None:
    """streams.md 2.4: processors are applied in order, each to the result of the one before, awaited where needed."""

    async def double(value: int) -> int:
        await asyncio.sleep(0)
        return value * 2

    stream: Any = app.stream([1, 2], processors=[lambda value: value + 1])
    stream.add_processor(double)
    stream.add_processor(lambda value: f"<{value}>")
    assert [value async for value in stream] == ["<4>", "<6>"]


async def test_a_lambda_that_returns_a_coroutine_is_awaited(app: faust.App) -> None:
    """streams.md 2.4: ``await maybe(processor(value))``, whatever the processor looks like."""

    async def is_even(value: int) -> bool:
        return value % 2 == 0

    async def half(value: int) -> int:
        return value // 2

    stream = app.stream(range(6)).filter(lambda value: is_even(value))  # noqa: PLW0108 - the point of the test
    stream.add_processor(lambda value: value if value < 4 else half(value))
    assert [value async for value in stream] == [0, 2, 2]


@pytest.mark.parametrize("enable_acks", [True, False])
async def test_skip_drops_the_event_and_acknowledges_it(app: faust.App, enable_acks: bool) -> None:
    """streams.md 2.4 and 4: Skip from a processor drops the event; it is acknowledged even when acks are disabled."""
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    def odd(value: int) -> int:
        if value % 2 == 0:
            raise Skip
        return value

    @app.agent(topic)
    async def read(stream: Any) -> None:
        stream.enable_acks = enable_acks
        stream.add_processor(odd)
        async for event in stream.events():
            got.append(event.value)
            event.ack()

    async with running(app):
        for number in range(10):
            await topic.send(value=number, partition=0)
        await eventually(lambda: got == [1, 3, 5, 7, 9])
        await committed_everything(app)


async def test_none_of_plain_iterables_is_swallowed(app: faust.App) -> None:
    """streams.md 2.6: None of a plain iterable or a channel is passed over; None as the value of an event comes."""
    assert [value async for value in app.stream([1, None, 3])] == [1, 3]
    stream = app.stream(app.channel())
    for value in (1, None, 3):
        stream.channel.put_nowait(value)
    assert await collect(stream, 2) == [1, 3]
    channel = app.channel()
    stream = channel.stream()
    await channel.send(value=None)
    await channel.send(value=4)
    assert await collect(stream, 2) == [None, 4]


async def test_the_value_none_of_a_topic_is_delivered(app: faust.App) -> None:
    """streams.md 2.6: an event without a value is handed out as None."""
    topic = app.topic("in", allow_empty=True, value_type=int)
    raw = app.topic("in", value_serializer="raw")
    got: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for value in stream:
            got.append(value)

    async with running(app):
        for value in (b"1", None, b"2"):
            await raw.send(value=value, partition=0)
        await eventually(lambda: got == [1, None, 2])


async def test_moving_on_clears_and_acknowledges(app: faust.App) -> None:
    """streams.md 2.8: the event is acknowledged when the next is asked for, and `events_total` counts."""
    topic = app.topic("in", value_type=int)
    states: list[tuple[bool, int]] = []
    gate = asyncio.Event()
    streams: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        streams.append(stream)
        async for number in stream:
            if number == 2:
                await gate.wait()
            states.append((stream.current_event is not None, stream.events_total))

    tp = faust.TP("in", 0)
    async with running(app):
        for number in range(4):
            await topic.send(value=number, partition=0)
        await eventually(lambda: len(states) == 2)
        await app.commit()
        assert (await app.consumer.committed([tp]))[tp] == 2
        assert streams[0].current_event.value == 2
        gate.set()
        await committed_everything(app)
        assert streams[0].current_event is None
    assert states == [(True, 1), (True, 2), (True, 3), (True, 4)]


# -- 3. the current event


async def test_current_event_belongs_to_the_task(app: faust.App) -> None:
    """streams.md 3: `faust.current_event` is task-local, inherited by tasks made meanwhile, None outside."""
    topic = app.topic("in", value_type=int)
    seen: list[tuple[Any, Any, Any]] = []

    async def look() -> Any:
        return faust.current_event()

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for _ in stream:
            event = faust.current_event()
            seen.append((event, stream.current_event, await asyncio.create_task(look())))

    async with running(app):
        await topic.send(value=1)
        await eventually(lambda: len(seen) == 1)
        assert faust.current_event() is None
    event, of_stream, of_child = seen[0]
    assert event is of_stream is of_child
    assert event.value == 1


async def test_current_event_shows_the_original_value(app: faust.App) -> None:
    """streams.md 2.3 and 5: the event's value is the decoded one, also while and after processors run."""
    topic = app.topic("in", value_type=int)
    inside: list[Any] = []
    got: list[Any] = []

    def process(value: int) -> int:
        inside.append(faust.current_event())
        return value * 10

    @app.agent(topic)
    async def read(stream: Any) -> None:
        stream.add_processor(process)
        async for value in stream:
            got.append((value, faust.current_event()))

    async with running(app):
        await topic.send(value=1)
        await eventually(lambda: len(got) == 1)
    assert [event.value for event in inside] == [1]
    assert (got[0][0], got[0][1].value) == (10, 1)
