"""What is undone comes again, whole and once: also where the undoing meets something that has only begun."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, ClassVar

import pytest

import faust
from faust.messages import TP
from faust.transport.consumer import CommitStep
from faust.transport.exactly_once import TransactionalConsumer
from tests.functional.exactly_once.reading import read_all, read_until
from tests.functional.exactly_once.test_front_door import exactly_once_app, undo_at
from tests.support.apps import committed_everything, eventually, running

Name = Callable[..., str]


async def test_first_records_that_arrive_while_work_is_undone(topic_name: Name) -> None:
    """A partition of which nothing was committed yet is read from its first record, not from behind a dropped slice."""
    url = f"memory://{topic_name()}"
    app = exactly_once_app(url, topic_name("app"), topic_partitions=2)
    source = app.topic(topic_name("source"), value_type=int, internal=True, partitions=2)
    target = app.topic(topic_name("target"), value_type=int, internal=True)

    @app.agent(source)
    async def copy(stream: Any) -> None:
        async for number in stream:
            await target.send(value=number)

    async with running(app):
        consumer = app.consumer
        assert isinstance(consumer, TransactionalConsumer)
        await source.send(value=0, partition=0)
        await committed_everything(app)
        second = consumer.tasks[TP(source.get_topic_name(), 1)]
        producer = consumer.producer
        undo_at(app, CommitStep.FLUSHED)
        give_up = producer.give_up
        arrived = asyncio.Event()

        async def give_up_late() -> None:
            await arrived.wait()  # as if the broker took its time to abort
            await give_up()

        producer.give_up = give_up_late  # type: ignore[method-assign]
        await source.send(value=1, partition=0)
        await eventually(lambda: not second.alive)
        await source.send(value=2, partition=1)
        await asyncio.sleep(0.3)
        arrived.set()
        await read_until(url, target.get_topic_name(), 3)
        await committed_everything(app)
    seen = await read_all(url, target.get_topic_name())
    assert sorted(int(one.value or b"") for one in seen) == [0, 1, 2]


async def test_a_full_channel_takes_events_again_when_work_was_undone(topic_name: Name) -> None:
    """An undo forgets what waits in a channel: there is room again, for the events that come again."""
    url = f"memory://{topic_name()}"
    app = exactly_once_app(url, topic_name("app"), topic_partitions=1)
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    narrow = app.channel(maxsize=2)
    held, seen = asyncio.Event(), set()

    @app.agent(source)
    async def put(stream: Any) -> None:
        async for number in stream:
            await narrow.put(number)

    @app.agent(narrow)
    async def take(stream: Any) -> None:
        async for number in stream:
            await held.wait()
            seen.add(number)

    async with running(app):
        consumer = app.consumer
        assert isinstance(consumer, TransactionalConsumer)
        for number in range(10):
            await source.send(value=number)
        lane = await filled(take, 2)
        app.gate.spoilt = "the test says so"
        await app.commit()
        await eventually(lambda: consumer.tasks and all(t.alive for t in consumer.tasks.values()))
        held.set()
        await eventually(lambda: len(seen) == 10)
        await committed_everything(app)
        assert lane.queued == 0


@pytest.mark.parametrize("how", ["plain", "take", "take in hand"])
async def test_what_is_redelivered_has_caused_nothing(topic_name: Name, how: str) -> None:
    """With `redeliver`, what a failed event, or a list, has sent is undone before it comes again."""
    url = f"memory://{topic_name()}"
    app = exactly_once_app(url, topic_name("app"), topic_partitions=1)
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    target = app.topic(topic_name("target"), value_type=int, internal=True)
    tries: list[int] = []
    done: set[int] = set()

    async def send_and_fail_once(number: int) -> int:
        await target.send(value=number)
        if number == 2 and not tries:
            tries.append(number)
            raise ValueError(number)
        return number

    @app.agent(source)
    async def agent(stream: Any) -> None:
        stream.redeliver = True
        if how != "take in hand":
            stream.add_processor(send_and_fail_once)
        if how == "plain":
            async for number in stream:
                done.add(number)
            return
        async for numbers in stream.take(5, within=0.05):
            if how == "take in hand":
                for number in numbers:
                    await send_and_fail_once(number)
            done.update(numbers)

    async with running(app):
        for number in range(5):
            source.send_soon(value=number)
        await eventually(lambda: len(done) == 5)
        await committed_everything(app)
    seen = await read_all(url, target.get_topic_name())
    assert sorted(int(one.value or b"") for one in seen) == [0, 1, 2, 3, 4]


class Stuck(faust.Topic[Any, Any]):
    """A topic on which one event is sent, and its sender does not hear of it."""

    sent: ClassVar[set[bytes]] = set()

    def bind_raw_send(self) -> Callable[[Any, Any, Any], Awaitable[None] | None]:
        """See `faust.Topic`."""
        send = super().bind_raw_send()

        def send_once(key: Any, value: bytes, headers: Any) -> Awaitable[None] | None:
            room = send(key, value, headers)
            if value != b"3" or value in self.sent:
                return room
            self.sent.add(value)
            return asyncio.sleep(3600.0)

        return send_once


async def test_forwarding_that_is_broken_off_is_undone(topic_name: Name) -> None:
    """An event that may have been forwarded, when an agent is restarted, is forwarded again; a committed reader sees one."""
    url = f"memory://{topic_name()}"
    app = exactly_once_app(url, topic_name("app"), topic_partitions=1, Topic=Stuck)
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    middle = app.topic(topic_name("middle"), value_type=int, internal=True)
    target = app.topic(topic_name("target"), value_type=int, internal=True)
    raised: list[int] = []

    @app.agent(source)
    async def agent(stream: Any) -> None:
        async for number in stream.through(middle):
            if number == 2 and not raised:
                raised.append(number)
                await eventually(lambda: Stuck.sent)
                raise ValueError(number)
            await target.send(value=number)

    async with running(app):
        for number in range(3):
            source.send_soon(value=number)
        await eventually(lambda: raised)
        for number in (3, 4):
            source.send_soon(value=number)
        await read_until(url, target.get_topic_name(), 4)
        await committed_everything(app)
    middle_seen = await read_all(url, middle.get_topic_name())
    assert [int(one.value or b"") for one in middle_seen] == [0, 1, 2, 3, 4]
    seen = {int(one.value or b"") for one in await read_all(url, target.get_topic_name())}
    assert seen >= {0, 1, 3, 4}


async def filled(agent: Any, size: int) -> Any:
    """Wait until *size* events wait for the reader of a channel, and its writer for room; return where they wait."""
    await eventually(lambda: agent.channel_iterator._lane is not None)
    mailbox, lane = agent.channel_iterator.mailbox, agent.channel_iterator._lane
    await eventually(lambda: lane.queued == size and mailbox._writers)
    return lane


async def test_a_commit_that_aborts_for_long_does_not_hold_up_the_stop(topic_name: Name) -> None:
    """A part of the consumer that goes on when it is cancelled, as a commit that aborts without brokers, is cancelled again."""
    app = exactly_once_app(f"memory://{topic_name()}", topic_name("app"))
    cancelled: list[int] = []

    async def stubborn() -> None:
        for number in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(number)

    @app.agent(app.topic(topic_name("source"), value_type=int, internal=True))
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async with running(app):
        app.consumer._spawn(stubborn, "stubborn")
        await asyncio.sleep(0)
        began = monotonic()
        await app.stop()
        assert cancelled == [0, 1]
        assert monotonic() - began < 30
