"""agents.md 2, 7 and 9: actors, concurrency, isolated partitions, and how they live."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

import faust
from faust.exceptions import ImproperlyConfigured
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


async def test_actors_share_one_queue(memory_url: str, topic_name: Name) -> None:
    """agents.md 2: each event goes to exactly one of the actors, which are numbered; commits wait for the slowest."""
    app = make_app(memory_url, topic_name("app"))
    got: dict[int, list[int]] = defaultdict(list)

    @app.agent(concurrency=4, name="crowd")
    async def crowd(stream: Any) -> None:
        async for value in stream:
            await asyncio.sleep(0.001)
            got[stream.concurrency_index].append(value)

    async with running(app):
        assert [actor.index for actor in crowd.actors] == [0, 1, 2, 3]
        assert len({actor.stream.channel for actor in crowd.actors}) == 1
        assert crowd.channel_iterator is crowd.actors[0].stream.channel
        for value in range(200):
            await crowd.cast(value)
        await eventually(lambda: sum(map(len, got.values())) == 200)
        await committed_everything(app)
    assert set(got) == {0, 1, 2, 3}
    assert sorted(value for values in got.values() for value in values) == list(range(200))


@pytest.mark.parametrize("operator", ["group_by", "through"])
async def test_no_repartitioning_in_a_crowd(
    memory_url: str, topic_name: Name, operator: str
) -> None:
    """agents.md 2: group_by and through in an agent with concurrency are an error that stops the worker."""
    app = make_app(memory_url, topic_name("app"))

    @app.agent(concurrency=2, name="crowd")
    async def crowd(stream: Any) -> None:
        derived = (
            stream.group_by(lambda value: value, name="x")
            if operator == "group_by"
            else stream.through("elsewhere")
        )
        async for _ in derived:
            pass

    await app.start()
    await eventually(lambda: app.crashed)
    assert isinstance(app.crash_reason, ImproperlyConfigured)
    await app.stop()


async def test_a_single_actor_has_no_number(memory_url: str, topic_name: Name) -> None:
    """agents.md 2: without concurrency the index of actor and stream is None."""
    app = make_app(memory_url, topic_name("app"))

    @app.agent(name="one")
    async def one(stream: Any) -> None:
        async for _ in stream:
            pass

    async with running(app):
        (actor,) = one.actors
        assert actor.index is None
        assert actor.stream.concurrency_index is None
        assert actor.agent is one
        assert actor.active_partitions is None
        assert actor.actor_task is not None


async def test_an_actor_that_returns_is_not_restarted(memory_url: str, topic_name: Name) -> None:
    """agents.md 2: a function that returns has done its work."""
    app = make_app(memory_url, topic_name("app"))
    calls: list[int] = []

    @app.agent(name="short")
    async def short(stream: Any) -> None:
        calls.append(1)
        async for _ in stream:
            return

    async with running(app):
        await short.cast(1)
        await eventually(short.actors[0].actor_task.done)  # type: ignore[union-attr]
        await asyncio.sleep(0.1)
    assert calls == [1]


def isolating(url: str, id: str) -> tuple[faust.App, Any, dict[Any, list[int]]]:
    """Make an app with one actor for each partition, which counts for itself."""
    app = make_app(url, id)
    got: dict[Any, list[int]] = defaultdict(list)
    topic = app.topic(f"{id}-in", value_type=int, partitions=4, internal=True)

    @app.agent(topic, isolated_partitions=True, name="alone")
    async def alone(stream: Any) -> None:
        count = 0
        async for event in stream.events():
            count += 1
            assert stream.active_partitions == {event.message.tp}
            got[event.message.partition].append(count)

    return app, topic, got


@pytest.mark.parametrize("broker_url", ["memory", "local"], indirect=True)
async def test_isolated_partitions(broker_url: str, topic_name: Name) -> None:
    """agents.md 2: one actor for each partition, which sees only that; they move with the partitions."""
    id = topic_name("app")
    first, topic, got = isolating(broker_url, id)
    async with running(first):
        await eventually(lambda: len(first.agents["alone"].actors) == 4)
        for number in range(40):
            await topic.send(value=number, partition=number % 4)
        await eventually(lambda: sum(map(len, got.values())) == 40)
        assert all(counts == list(range(1, 11)) for counts in got.values())
        await committed_everything(first)
        before = {
            next(iter(actor.active_partitions)).partition: actor  # type: ignore[arg-type]
            for actor in first.agents["alone"].actors
        }
        second, _, got2 = isolating(broker_url, id)
        async with running(second):
            await eventually(lambda: len(second.agents["alone"].actors) == 2)
            await eventually(lambda: len(first.agents["alone"].actors) == 2)
            kept = first.agents["alone"].actors
            for actor in kept:
                assert before[next(iter(actor.active_partitions)).partition] is actor  # type: ignore[arg-type]
            for number in range(40):
                await topic.send(value=number, partition=number % 4)
            await eventually(
                lambda: sum(map(len, got.values())) + sum(map(len, got2.values())) == 80
            )
            assert len(got2) == 2
            assert all(counts == list(range(1, 11)) for counts in got2.values())
            assert sorted(map(len, got.values())) == [10, 10, 20, 20]
        await eventually(lambda: len(first.agents["alone"].actors) == 4)


async def test_isolated_actors_cannot_repartition(memory_url: str, topic_name: Name) -> None:
    """agents.md 2: every isolated actor would read all of the repartition topic, so it is refused."""
    app = make_app(memory_url, topic_name("app"))

    @app.agent(isolated_partitions=True, name="alone")
    async def alone(stream: Any) -> None:
        async for _ in stream.group_by(lambda value: value, name="x"):
            pass

    await app.start()
    await eventually(lambda: app.crashed)
    assert isinstance(app.crash_reason, ImproperlyConfigured)
    await app.stop()


async def test_the_end_of_an_agent(memory_url: str, topic_name: Name) -> None:
    """agents.md 7: at the stop who waits for input sees the end of the loop, who is busy a CancelledError; finally runs."""
    app = make_app(memory_url, topic_name("app"), stream_wait_empty=False)
    ended: list[str] = []

    @app.agent(name="idle")
    async def idle(stream: Any) -> None:
        try:
            async for _ in stream:
                pass
            ended.append("idle loop ended")
        finally:
            ended.append("idle finally")

    @app.agent(name="busy")
    async def busy(stream: Any) -> None:
        try:
            async for _ in stream:
                ended.append("busy")
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("busy cancelled")
            raise
        finally:
            ended.append("busy finally")

    async with running(app):
        await busy.cast(1)
        await eventually(lambda: ended == ["busy"])
    assert ended[1:3] == ["idle loop ended", "idle finally"]
    assert ended[3:] == ["busy cancelled", "busy finally"]


async def test_agents_start_before_the_subscription(memory_url: str, topic_name: Name) -> None:
    """agents.md 7: agents start in the order of their definition, and what they derive is in the first subscription."""
    app = make_app(memory_url, topic_name("app"))
    order: list[str] = []
    source = app.topic(topic_name("in"), value_type=str)

    @app.agent(source, name="first")
    async def first(stream: Any) -> None:
        order.append("first")
        async for _ in stream.group_by(lambda value: value, name="value"):
            pass

    @app.agent(name="second")
    async def second(stream: Any) -> None:
        order.append("second")
        async for _ in stream:
            pass

    async with running(app):
        assert order == ["first", "second"]
        names, _ = app.topics.subscription()
        assert any(name.endswith("-value-repartition") for name in names)
        assert app.rebalancing_count <= 1


async def test_a_crowd_is_started_while_others_read(memory_url: str, topic_name: Name) -> None:
    """agents.md 2: an agent with concurrency that is started between two rebalances reads what comes from then on."""
    app = make_app(memory_url, topic_name("app"))
    source = app.topic(topic_name("in"), value_type=int, internal=True)
    got: list[int] = []
    late: list[int] = []

    @app.agent(source, name="first")
    async def first(stream: Any) -> None:
        async for value in stream:
            got.append(value)

    @app.agent(source, name="crowd", concurrency=2)
    async def crowd(stream: Any) -> None:
        async for value in stream:
            late.append(value)

    async with running(app):
        await source.send(value=0)
        await eventually(lambda: got == late == [0])
        rebalances = app.rebalancing_count
        await crowd.restart()
        await crowd.wait_until_reading(20.0)
        for value in range(1, 21):
            await source.send(value=value)
        await eventually(lambda: len(got) == len(late) == 21)
        await committed_everything(app)
        assert app.rebalancing_count == rebalances
    assert sorted(late) == list(range(21))


async def test_local_state_survives_a_rebalance(memory_url: str, topic_name: Name) -> None:
    """agents.md 9: actors that are not isolated keep running across a rebalance, with their local state."""
    id, source = topic_name("app"), topic_name("in")

    def build() -> tuple[faust.App, Any, list[int]]:
        app = make_app(memory_url, id)
        topic = app.topic(source, value_type=int, partitions=2, internal=True)
        counts: list[int] = []

        @app.agent(topic, name="count")
        async def count(stream: Any) -> None:
            counted = 0
            async for _ in stream:
                counted += 1
                counts.append(counted)

        return app, topic, counts

    app, topic, counts = build()
    async with running(app):
        for partition in (0, 1):
            await topic.send(value=1, partition=partition)
        await eventually(lambda: counts == [1, 2])
        (actor,) = app.agents["count"].actors
        other, _, others = build()
        async with running(other):
            await eventually(lambda: len(app.consumer.tasks) == 1)
            for partition in (0, 1):
                await topic.send(value=1, partition=partition)
            await eventually(lambda: counts == [1, 2, 3] and others == [1])
        assert app.agents["count"].actors == [actor]
