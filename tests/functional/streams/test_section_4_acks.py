"""streams.md 4: who acknowledges what, and what may be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import faust
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]
TP0 = faust.TP("in", 0)


async def committed(app: faust.App, tp: faust.TP = TP0) -> int:
    """Commit what is finished, and return the committed offset."""
    await app.commit()
    return (await app.consumer.committed([tp]))[tp] or 0


@pytest.fixture
def app(make: Callable[..., faust.App]) -> faust.App:
    """An app that commits only when the test says so."""
    return make(broker_commit_interval=600.0, stream_wait_empty=False)


async def feed(topic: Any, count: int) -> None:
    """Send 0, 1, 2... to partition 0."""
    for number in range(count):
        await topic.send(value=number, partition=0)


async def test_break_acknowledges(app: faust.App) -> None:
    """streams.md 4: ``break`` and ``return`` acknowledge the event in hand; the next loop goes on behind it."""
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)
            if number == 1:
                break
        await asyncio.sleep(0.05)
        got.append(-(await committed(app)))
        async for number in stream:
            got.append(number)

    async with running(app):
        await feed(topic, 4)
        await eventually(lambda: len(got) == 5)
    assert got == [0, 1, -2, 2, 3]


async def test_an_exception_acknowledges_the_event(app: faust.App) -> None:
    """streams.md 4: an exception in an agent acknowledges the failing event, which is not retried."""
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)
            if number == 1:
                raise ValueError("one")

    async with running(app):
        await feed(topic, 4)
        await eventually(lambda: len(got) == 4)
        await committed_everything(app)
    assert got == [0, 1, 2, 3]


async def test_an_exception_in_a_processor_costs_its_event(app: faust.App) -> None:
    """streams.md 4 (deviation: it is acknowledged like one in the body, since nothing would ever retry it)."""
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    def process(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        return number

    @app.agent(topic)
    async def read(stream: Any) -> None:
        stream.add_processor(process)
        async for number in stream:
            got.append(number)

    async with running(app):
        await feed(topic, 4)
        await eventually(lambda: got == [0, 2, 3])
        await committed_everything(app)


@pytest.mark.parametrize("how", ["noack", "enable_acks", "option"])
async def test_manual_acknowledgement(app: faust.App, how: str) -> None:
    """streams.md 4: without acks nothing is committed until `event.ack` or `stream.ack` was called, in any order."""
    topic = app.topic("in", value_type=int)
    events: list[Any] = []
    streams: list[Any] = []

    async def read(stream: Any) -> None:
        if how == "noack":
            stream = stream.noack()
        elif how == "enable_acks":
            stream.enable_acks = False
        streams.append(stream)
        async for event in stream.events():
            events.append(event)

    if how == "option":

        @app.task
        async def run() -> None:
            await read(topic.stream(enable_acks=False))

    else:
        app.agent(topic)(read)
    async with running(app):
        await feed(topic, 5)
        await eventually(lambda: len(events) == 5)
        assert streams[0].enable_acks is False
        assert await committed(app) == 0
        assert events[1].ack() is True
        assert events[1].ack() is False
        assert await committed(app) == 0
        assert await streams[0].ack(events[0]) is True
        assert await streams[0].ack(events[0]) is False
        assert await committed(app) == 2
        for event in events[2:]:
            event.ack()
        assert await committed(app) == 5


async def test_an_event_as_a_context_acknowledges_on_exit(app: faust.App) -> None:
    """streams.md 4: ``async with event`` acknowledges on exit, also on an exception; a later ack is a no-op."""
    topic = app.topic("in", value_type=int)
    acks: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                async with event:
                    acks.append(event.message.acked)
                    if event.value == 1:
                        raise ValueError("one")
            except ValueError:
                acks.append("raised")
            acks.append((event.message.acked, event.ack()))

    async with running(app):
        await feed(topic, 2)
        await eventually(lambda: len(acks) == 5)
        assert await committed(app) == 2
    assert acks == [False, (True, False), False, "raised", (True, False)]


async def test_noack_takes_over_in_the_middle(app: faust.App) -> None:
    """streams.md 4 and 5: `noack` goes on where the stream was left, loses nothing, and holds the offset."""
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        await asyncio.sleep(0.1)  # all of it is in one slice by now
        async for number in stream:
            got.append(number)
            if number == 2:
                break
        async for number in stream.noack():
            got.append(number)

    async with running(app):
        await feed(topic, 10)
        await eventually(lambda: len(got) == 10)
        assert await committed(app) == 3
    assert got == list(range(10))


async def test_the_last_of_several_readers_acknowledges(app: faust.App) -> None:
    """streams.md 4 and 10: a message is acknowledged when every stream that got it has; `ack` says so to the last."""
    topic = app.topic("in", value_type=int)
    first: list[Any] = []
    second: list[Any] = []

    def agent_for(events: list[Any], name: str) -> None:
        async def read(stream: Any) -> None:
            async for event in stream.noack().events():
                events.append(event)

        app.agent(topic, name=name)(read)

    agent_for(first, "first")
    agent_for(second, "second")
    async with running(app):
        await feed(topic, 2)
        await eventually(lambda: len(first) == len(second) == 2)
        assert first[0].ack() is False
        assert await committed(app) == 0
        assert second[0].ack() is True
        assert await committed(app) == 1


async def test_iterating_a_topic_acknowledges(app: faust.App) -> None:
    """streams.md 4: ``async for event in topic``, without a stream, acknowledges by moving on, too."""
    topic = app.topic("in", value_type=int)
    seen: list[int] = []
    got: list[int] = []
    gate = asyncio.Event()

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for number in stream:
            seen.append(number)

    @app.task
    async def iterate() -> None:
        async for event in topic:
            got.append(event.value)
            if event.value == 2:
                await gate.wait()

    async with running(app):
        tasks = app.consumer.tasks
        await eventually(lambda: TP0 in tasks and len(tasks[TP0].lanes) == 2)
        await feed(topic, 5)
        await eventually(lambda: len(seen) == 5 and got == [0, 1, 2])
        assert await committed(app) == 2
        gate.set()
        await eventually(lambda: got == [0, 1, 2, 3, 4])
        await eventually(lambda: tasks[TP0].safe() == 5)
        assert await committed(app) == 5


async def test_who_shares_a_queue_acknowledges_nothing(app: faust.App) -> None:
    """streams.md 4: of two who take from one queue, nobody knows what the other has finished."""
    topic = app.topic("in", value_type=int)
    first: Any = aiter(topic)
    second: Any = topic.clone_using_queue(first.queue)
    async with running(app):
        await feed(topic, 4)
        got = [(await anext(reader)).value for reader in (first, second, second, first)]
        assert got == [0, 1, 2, 3]
        assert await committed(app) == 0


async def test_topics_without_acks_are_never_committed(app: faust.App) -> None:
    """streams.md 4: a topic with ``acks=False`` is read, never tracked and never committed."""
    topic = app.topic("in", value_type=int, acks=False)
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        await feed(topic, 3)
        await eventually(lambda: len(got) == 3)
        await app.commit()
        assert (await app.consumer.committed([TP0]))[TP0] is None


async def test_what_was_buffered_comes_again(make: Callable[..., faust.App]) -> None:
    """streams.md 4: what was still in a buffer at shutdown is not acknowledged, and comes to the next worker."""
    seen: list[int] = []
    gate = asyncio.Event()
    first = make()

    def build(app: faust.App) -> Any:
        topic = app.topic("in", value_type=int)

        @app.agent(topic, name="read")
        async def read(stream: Any) -> None:
            async for number in stream:
                seen.append(number)
                if number == 2:
                    await gate.wait()

        return topic

    topic = build(first)
    async with running(first):
        await feed(topic, 10)
        await eventually(lambda: seen == [0, 1, 2])
        asyncio.get_running_loop().call_later(0.2, gate.set)
    second = make(id=first.conf.id)
    build(second)
    async with running(second):
        await eventually(lambda: len(seen) >= 10)
        await committed_everything(second)
    assert seen == list(range(10))


# -- 4.1 the commit


async def test_commit_needs_an_unbroken_run(broker_url: str, topic_name: Name) -> None:
    """streams.md 4.1, BUG-T10, BUG-T11: acked 34, 35, 36, 40 commits 37; a hole at the head is never committed over."""
    app = make_app(
        broker_url, topic_name("app"), broker_commit_interval=600.0, stream_wait_empty=False
    )
    topic = app.topic(topic_name("in"), value_type=int)
    tp = faust.TP(topic.get_topic_name(), 0)
    events: dict[int, Any] = {}

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.noack().events():
            events[event.value] = event

    async with running(app):
        await feed(topic, 41)
        await eventually(lambda: len(events) == 41)
        events[10].ack()
        assert await committed(app, tp) == 0
        for number in range(34):
            events[number].ack()
        assert await committed(app, tp) == 34
        events[35].ack()
        events[36].ack()
        assert await committed(app, tp) == 34
        for number in (34, 40):
            events[number].ack()
        assert await committed(app, tp) == 37


@pytest.mark.parametrize(
    ("delivered", "acked", "safe"),
    [
        ([0, 1, 2, 3, 4], [4], 0),
        ([0, 1, 2, 3, 4], [0, 1, 4], 2),
        ([10, 15, 16], [10, 16], 15),
        ([10, 15, 16], [10, 15, 16], 17),
        ([0, 5, 6, 7], [0, 5, 6, 7], 8),
    ],
)
def test_vectors_of_the_required_algorithm(
    delivered: list[int], acked: list[int], safe: int
) -> None:
    """transport.md 5.2: the vectors, BUG-T12 and BUG-T13 among them."""
    from faust._core.offsets import AckTracker

    tracker = AckTracker(delivered[0])
    tracker.deliver_many(delivered)
    for offset in acked:
        tracker.ack(offset)
    assert tracker.safe == safe


async def test_many_acks_commit_before_the_interval(make: Callable[..., faust.App]) -> None:
    """streams.md 4.1: after ``broker_commit_every`` acknowledgements there is a commit, whatever the interval."""
    app = make(broker_commit_interval=600.0, broker_commit_every=50)
    topic = app.topic("in", value_type=int)

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async with running(app):
        task = app.consumer.tasks.get(TP0)
        for number in range(500):
            await topic.send(value=number, partition=0)
            await asyncio.sleep(0.002)
            task = app.consumer.tasks.get(TP0)
            if task is not None and (task.committed or 0) > 0:
                break
        assert task is not None
        assert (await app.consumer.committed([TP0]))[TP0]


async def test_a_sparse_manual_ack_does_not_stop_reading(app: faust.App) -> None:
    """streams.md 4: an event that is never acknowledged blocks the committed offset, not the stream."""
    topic = app.topic("in", value_type=int)
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.noack().events():
            got.append(event.value)
            if event.value != 5:
                event.ack()

    async with running(app):
        for number in range(20_000):
            topic.send_soon(value=number, partition=0)
        await eventually(lambda: len(got) == 20_000)
        assert await committed(app) == 5
        assert app.consumer.tasks[TP0].in_hand() == 1
