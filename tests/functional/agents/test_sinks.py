"""agents.md 4: where what an agent yields goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import faust
from faust.exceptions import ImproperlyConfigured
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


async def test_every_kind_of_sink_in_order(memory_url: str, topic_name: Name) -> None:
    """agents.md 4: functions, coroutine functions, agents, topics and channels get each value, one after another."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    calls: list[tuple[str, int]] = []
    target = app.topic(topic_name("out"), key_type=str, value_type=int, partitions=1)
    local = app.channel(value_type=int)

    @app.agent(name="agent_sink")
    async def agent_sink(stream: Any) -> None:
        async for value in stream:
            calls.append(("agent", value))

    @app.agent(target, name="topic_reader")
    async def topic_reader(stream: Any) -> None:
        async for event in stream.events():
            assert event.key is None
            assert not event.headers
            calls.append(("topic", event.value))

    @app.agent(local, name="channel_reader")
    async def channel_reader(stream: Any) -> None:
        async for value in stream:
            calls.append(("channel", value))

    def plain(value: int) -> str:
        calls.append(("plain", value))
        return "ignored"

    async def slow(value: int) -> None:
        await asyncio.sleep(0.01)
        calls.append(("slow", value))

    @app.agent(name="source", sink=[plain, slow, agent_sink, target, local])
    async def source(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value
            calls.append(("body", value))

    async with running(app):
        await source.cast(1)
        await eventually(lambda: len(calls) == 6)
        await committed_everything(app)
    assert calls[:2] == [("plain", 1), ("slow", 1)]
    assert sorted(calls[2:]) == [("agent", 1), ("body", 1), ("channel", 1), ("topic", 1)]


async def test_sinks_come_and_go(memory_url: str, topic_name: Name) -> None:
    """agents.md 4: sinks can be added and removed while the agent runs; adding one twice changes nothing."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    first: list[int] = []
    second: list[int] = []
    heard_first, heard_second = first.append, second.append

    @app.agent(name="source", sink=[heard_first])
    async def source(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value

    async with running(app):
        await source.cast(1)
        await eventually(lambda: first == [1])
        source.add_sink(heard_second)
        source.add_sink(heard_second)
        await source.cast(2)
        await eventually(lambda: second == [2])
        source.remove_sink(heard_first)
        await source.cast(3)
        await eventually(lambda: second == [2, 3])
        assert first == [1, 2]
        with pytest.raises(ValueError, match="not in list"):
            source.remove_sink(heard_first)


async def test_many_values_and_none(memory_url: str, topic_name: Name) -> None:
    """agents.md 4: each yielded value runs the sinks, none runs none, and a yield outside of events goes to sinks only."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    heard: list[Any] = []

    @app.agent(name="source", sink=[heard.append])
    async def source(stream: Any) -> AsyncIterator[Any]:
        yield "hello"
        async for value in stream:
            for number in range(value):
                yield number
        yield "bye"

    async with running(app):
        for value in (2, 0, 1):
            await source.cast(value)
        await eventually(lambda: heard == ["hello", 0, 1, 0])
        await committed_everything(app)


async def test_the_answer_comes_before_the_sinks(memory_url: str, topic_name: Name) -> None:
    """agents.md 4: the caller is answered first, then the sinks are run; the event is finished only afterwards."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    open_sink = asyncio.Event()

    async def sink(_value: int) -> None:
        await open_sink.wait()

    @app.agent(name="source", sink=[sink])
    async def source(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value

    async with running(app):
        assert await asyncio.wait_for(source.ask(3), 20) == 3
        assert await app.commit() is False
        open_sink.set()
        await committed_everything(app)


async def test_sinks_need_values(memory_url: str, topic_name: Name) -> None:
    """agents.md 4: an agent with sinks whose function does not yield cannot start."""
    app = make_app(memory_url, topic_name("app"))

    @app.agent(name="mute", sink=[print])
    async def mute(stream: Any) -> None:
        async for _ in stream:
            pass

    with pytest.raises(ImproperlyConfigured, match="yield"):
        await app.start()
    await app.stop()


def test_sinks_are_kept_in_order() -> None:
    """agents.md 4: sinks are run in the order of registration."""
    app = faust.App("t")
    topic, channel = app.topic("x"), app.channel()

    async def yields(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value

    agent = app.agent(sink=[topic, print])(yields)
    agent.add_sink(channel)
    agent.add_sink(topic)
    assert agent.info()["sink"] == [topic, print, channel]


@pytest.mark.parametrize("wrong", ["topic", 3, None])
def test_what_is_no_sink(wrong: Any) -> None:
    """agents.md 4: what is neither agent nor channel nor function is refused where it is given."""
    app = faust.App("t")

    async def yields(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            yield value

    with pytest.raises(TypeError, match=r"agent a: a sink is an agent, .* got"):
        app.agent(name="a", sink=[print, wrong])(yields)
    agent = app.agent(name="a")(yields)
    with pytest.raises(TypeError, match=r"agent a: a sink is an agent, .* got"):
        agent.add_sink(wrong)
