"""channels-topics.md 7, transport.md 6.4: setting ``stream_publish_on_commit``, on every broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import faust
from faust.transport.consumer import CommitStep
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]

QUIET: dict[str, Any] = {"stream_publish_on_commit": True, "broker_commit_interval": 600.0}
"""Nothing is committed but by the test's own hand."""


async def ends(app: faust.App, topic: Any) -> int:
    """Return how many messages stand in a topic."""
    name = topic.get_topic_name()
    partitions = await app.producer.load_partitions(name)
    counts = await app.consumer.end_offsets([faust.TP(name, number) for number in partitions])
    return sum(counts.values())


def finished(app: faust.App) -> int:
    """Return how many events have been processed, of all partitions."""
    return sum(max(task.safe(), 0) for task in app.consumer.tasks.values())


async def test_what_an_event_sends_waits_for_its_commit(broker_url: str, topic_name: Name) -> None:
    """channels-topics.md 7: messages are held until the commit that covers their event, then published in their order."""
    app = make_app(broker_url, topic_name("app"), **QUIET)
    source = app.topic(topic_name("in"), value_type=int)
    target = app.topic(topic_name("out"), value_type=int)
    futures: list[Any] = []
    got: list[int] = []
    gate = asyncio.Event()

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for number in stream:
            for part in range(5):
                futures.append(await target.send(value=number * 10 + part, partition=0))
            if number == 3:
                await gate.wait()

    @app.agent(target)
    async def hear(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        await (await target.send(value=-1, partition=0))  # outside of processing: at once
        for number in range(4):
            await source.send(value=number, partition=0)
        await eventually(lambda: len(futures) == 20)
        assert await ends(app, target) == 1
        assert futures[0].message.offset == 0
        await app.commit()
        assert [future.done() for future in futures] == [True] * 15 + [False] * 5
        assert await ends(app, target) == 16
        gate.set()
        await eventually(
            lambda: app.consumer.tasks[faust.TP(source.get_topic_name(), 0)].safe() == 4
        )
        await app.commit()
        await eventually(lambda: len(got) == 21)
    assert got == [-1, *(number * 10 + part for number in range(4) for part in range(5))]
    assert [future.result().offset for future in futures] == list(range(1, 21))


async def test_force_sends_at_once(app_with: Callable[..., faust.App]) -> None:
    """channels-topics.md 7: ``force=True`` is not held back; `app.send`, `event.send` and `event.forward` are."""
    app = app_with(**QUIET)
    source, target = app.topic("in", value_type=int), app.topic("out", value_type=int)
    sent: list[Any] = []

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for event in stream.events():
            sent.append(await target.send(value=1, force=True))
            sent.append(await app.send(target, value=2))
            sent.append(await event.send(target))
            sent.append(await event.forward(target))
            sent.append(await event.forward(target, force=True))

    async with running(app):
        await source.send(value=9)
        await eventually(lambda: len(sent) == 5)
        await asyncio.wait_for(sent[0], 5)
        await asyncio.wait_for(sent[4], 5)
        assert not any(future.done() for future in sent[1:4])
        await app.commit()
        assert all(future.done() for future in sent[1:4])


async def test_sinks_and_group_by_wait_as_well(app_with: Callable[..., faust.App]) -> None:
    """channels-topics.md 7: what sinks and repartitions send is held back like every other send."""
    app = app_with(**QUIET)
    source, target = app.topic("in", value_type=str), app.topic("out", value_type=str)
    seen: list[str] = []

    @app.agent(source, sink=[target])
    async def shout(stream: Any) -> Any:
        async for word in stream.group_by(lambda word: word, name="word"):
            seen.append(word)
            yield word.upper()

    async with running(app):
        await source.send(value="a")
        await eventually(lambda: finished(app) == 1)
        assert seen == []
        await app.commit()
        await eventually(lambda: seen == ["a"])
        assert await ends(app, target) == 0
        await eventually(lambda: finished(app) == 2)
        await app.commit()
        assert await ends(app, target) == 1


async def test_what_was_not_committed_is_not_published(app_with: Callable[..., faust.App]) -> None:
    """channels-topics.md 7: an event that another worker processes again has its messages published once."""
    first = app_with(**QUIET, stream_wait_empty=False)
    second = app_with(id=first.conf.id, **{**QUIET, "broker_commit_interval": 0.1})
    dropped: list[Any] = []

    def build(app: faust.App, *, stuck: bool) -> Any:
        source, target = app.topic("in", value_type=int), app.topic("out", value_type=int)

        @app.agent(source, name="read")
        async def read(stream: Any) -> None:
            async for number in stream:
                dropped.append(await target.send(value=number, partition=0))
                if stuck:
                    await asyncio.sleep(3600)

        return source, target

    source, _ = build(first, stuck=True)
    async with running(first):
        await source.send(value=7, partition=0)
        await eventually(lambda: len(dropped) == 1)
    assert dropped[0].cancelled()
    _, target = build(second, stuck=False)
    async with running(second):
        await eventually(lambda: len(dropped) == 2)
        await committed_everything(second)
        assert await ends(second, target) == 1


class Doubtful:
    """A consumer's driver whose membership is in doubt when the test says so."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.doubtful = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def lease_until(self) -> float:
        """Return until when the partitions are certainly ours."""
        return 0.0 if self.doubtful else self._driver.lease_until()


async def test_what_is_not_published_is_not_committed(
    app_with: Callable[..., faust.App],
) -> None:
    """channels-topics.md 7: membership in doubt when a commit begins, and certain again before it is made."""
    app = app_with(**QUIET)
    source, target = app.topic("in", value_type=int), app.topic("out", value_type=int)
    futures: list[Any] = []

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for number in stream:
            futures.append(await target.send(value=number, partition=0))

    tp = faust.TP("in", 0)
    consumer = app.consumer
    driver = Doubtful(consumer.driver)
    consumer.driver = driver  # type: ignore[assignment]

    def on_step(step: CommitStep) -> None:
        if step is CommitStep.FLUSHED:
            driver.doubtful = False

    consumer.on_step = on_step
    async with running(app):
        await source.send(value=7, partition=0)
        await eventually(lambda: tp in consumer.tasks and consumer.tasks[tp].safe() == 1)
        driver.doubtful = True
        assert await app.commit() is False
        assert not driver.doubtful
        assert consumer.tasks[tp].committed == 0
        assert not futures[0].done()
        assert await app.commit() is True
        assert consumer.tasks[tp].committed == 1
        assert futures[0].done()


async def test_after_break_nothing_is_attached(app_with: Callable[..., faust.App]) -> None:
    """channels-topics.md 7: when the loop has been left, what the task sends goes out at once."""
    app = app_with(**QUIET)
    source, target = app.topic("in", value_type=int), app.topic("out", value_type=int)
    sent: list[Any] = []

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for _ in stream:
            break
        await asyncio.sleep(0.01)
        sent.append(await target.send(value=1))

    async with running(app):
        await source.send(value=9)
        await eventually(lambda: len(sent) == 1)
        assert (await asyncio.wait_for(sent[0], 5)).offset == 0


async def test_topics_without_acks_and_channels_send_at_once(
    app_with: Callable[..., faust.App],
) -> None:
    """channels-topics.md 7: an event that is never committed holds nothing back."""
    app = app_with(**QUIET)
    source, channel = app.topic("in", value_type=int, acks=False), app.channel()
    target = app.topic("out", value_type=int)
    sent: list[Any] = []

    async def read(stream: Any) -> None:
        async for _ in stream:
            sent.append(await target.send(value=1))

    app.agent(source, name="a")(read)
    app.agent(channel, name="b")(read)
    async with running(app):
        await source.send(value=1)
        await channel.send(value=1)
        await eventually(lambda: len(sent) == 2)
        await asyncio.wait_for(asyncio.gather(*sent), 5)


async def test_concurrent_actors_publish_in_order_of_offsets(
    app_with: Callable[..., faust.App],
) -> None:
    """channels-topics.md 7: only what lies strictly below the committed offset is published, by offset and then FIFO."""
    app = app_with(**QUIET)
    source, target = app.topic("in", value_type=int), app.topic("out", value_type=int)
    gates = [asyncio.Event() for _ in range(4)]
    attached: list[int] = []
    got: list[int] = []

    @app.agent(source, concurrency=4)
    async def read(stream: Any) -> None:
        async for number in stream:
            await gates[number].wait()
            await target.send(value=number * 2, partition=0)
            await target.send(value=number * 2 + 1, partition=0)
            attached.append(number)

    @app.agent(target)
    async def hear(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    tp = faust.TP("in", 0)
    async with running(app):
        for number in range(4):
            await source.send(value=number, partition=0)
        for number in (2, 3, 0):
            gates[number].set()
            await eventually(lambda number=number: number in attached)  # type: ignore[misc]
        await eventually(lambda: app.consumer.tasks[tp].safe() == 1)
        await app.commit()
        await eventually(lambda: got == [0, 1])
        gates[1].set()
        await eventually(lambda: app.consumer.tasks[tp].safe() == 4)
        await app.commit()
        await eventually(lambda: len(got) == 8)
    assert got == list(range(8))


@pytest.fixture
def app_with(make: Callable[..., faust.App]) -> Callable[..., faust.App]:
    """Make an app with settings of one's own; the same as ``make``."""
    return make
