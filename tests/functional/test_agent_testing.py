"""One agent alone under test: `Agent.test_context` (agents.md 10)."""

from __future__ import annotations

from typing import Any

import pytest

import faust
import faust.testing
from faust.agents.testing import AgentTestWrapper

app = faust.App("agent-testing", broker="memory://agent-testing", store="memory://")
numbers = app.topic("numbers", key_type=str, value_type=int)
seen = app.Table("seen", default=int)
placed = app.Table("placed", default=int, use_partitioner=True)
members = app.SetTable("members")
recent = app.Table("recent", default=int).tumbling(10.0, expires=60.0, key_index=True)


@app.agent(numbers)
async def double(stream: Any) -> Any:
    """Yield twice the value."""
    async for value in stream:
        yield value * 2


@app.agent(numbers)
async def collect(stream: Any) -> None:
    """Yield nothing."""
    async for value in stream.filter(lambda value: value >= 0):
        if value == 13:
            raise ValueError("unlucky")


@app.agent(app.topic("visits", value_type=str))
async def remember(stream: Any) -> Any:
    """Write tables of all kinds."""
    async for event in stream.events():
        name = event.value
        seen[name] += 1
        placed[name] += 1
        members["all"].add(name)
        recent[name] += 1
        yield (seen[name], placed[name], name in members["all"], recent[name].current())


async def visit_twice() -> None:
    """Have the same name written twice, and look from outside."""
    async with remember.test_context() as agent:
        await agent.put("ann")
        await agent.put("ann")
        assert agent.results == {0: (1, 1, True, 1), 1: (2, 2, True, 2)}
        assert (seen["ann"], placed["ann"], list(seen.items())) == (2, 2, [("ann", 2)])
        assert set(members["all"]) == {"ann"}
        assert list(recent) == ["ann"]


async def test_tables_are_written() -> None:
    """docs/guide/testing.md: tables can be written under test, without a worker; it is forgotten at the end."""
    for _ in range(2):
        await visit_twice()
        assert (seen["ann"], list(seen), list(placed), list(recent)) == (0, [], [], [])


async def test_tables_are_written_while_the_app_runs() -> None:
    """The same with the app started: what the worker has is read, and its changelogs see nothing."""
    async with faust.testing.run(app) as running:
        await visit_twice()
        assert (seen["ann"], list(seen), list(placed)) == (0, [], [])
        await running.send("visits", "bob", partition=0)
        await running.idle()
        async with remember.test_context() as agent:
            await agent.put("bob")
            assert agent.results[0][0] == 2
            assert seen["bob"] == 2
            await running.send("visits", "bob", partition=0)
            await running.idle()
            await agent.put("bob")
            assert agent.results[1][0] == 3
        assert seen["bob"] == 2
        await running.restart()
        assert (seen["bob"], seen["ann"], placed["bob"]) == (2, 0, 2)


async def test_a_test_writes_tables() -> None:
    """While an agent is under test the test can prepare tables; before and after, writing outside of streams is refused."""
    with pytest.raises(TypeError, match="only while a stream is iterated"):
        seen["ann"] = 4
    async with remember.test_context() as agent, remember.test_context() as other:
        seen["ann"] = 4
        await agent.put("ann")
        seen["bob"] = 10
        await other.put("ann")
        assert (agent.results[0][0], other.results[0][0]) == (5, 6)
        assert seen.pop("bob") == 10
        assert dict(seen.items()) == {"ann": 6}
        placed.clear()
        assert (len(placed), placed["ann"]) == (0, 0)
    with pytest.raises(TypeError, match="only while a stream is iterated"):
        seen["ann"] = 4


async def test_tables_behind_group_by() -> None:
    """A table is written behind a `group_by` of the agent under test, too."""

    @app.agent(app.topic("letters", value_type=str))
    async def tally(stream: Any) -> Any:
        async for word in stream.group_by(lambda word: word[0], name="first"):
            seen[word[0]] += 1
            yield seen[word[0]]

    async with tally.test_context() as agent:
        await agent.put("apple")
        await agent.put("art")
        assert agent.results == {0: 1, 1: 2}


async def test_results_of_a_yielding_agent() -> None:
    """agents.md 10: what the agent yields stands at its position, which is the offset of its event."""
    async with double.test_context() as agent:
        assert isinstance(agent, AgentTestWrapper)
        for number in (21, 4):
            event = await agent.put(number, key="k")
            assert agent.results[event.message.offset] == number * 2
            assert (event.key, event.value) == ("k", number)
            assert event.message.tp == ("numbers", 0)
        assert (agent.sent_offset, agent.processed_offset) == (2, 2)
        assert agent.original_channel is numbers
        assert "numbers" not in app.agents


async def test_results_of_a_coroutine_agent() -> None:
    """agents.md 10: of an agent that yields nothing the values that came in are recorded, as they came in."""
    async with collect.test_context() as agent:
        await agent.put(1)
        await agent.put(-1)
        assert agent.results == {0: 1, 1: -1}


async def test_put_returns_when_nothing_was_yielded() -> None:
    """agents.md 10: an event for which nothing is yielded does not make `put` wait for ever (deviation)."""

    @app.agent(app.channel())
    async def odd(stream: Any) -> Any:
        async for value in stream:
            if value % 2:
                yield value

    async with odd.test_context() as agent:
        await agent.put(2)
        await agent.put(3)
        assert agent.results == {0: 3}
        assert (await agent.put(5)).message.topic == "<internal>"


async def test_a_crash_comes_out_of_put() -> None:
    """agents.md 10: `put` raises what the agent crashed with, after its ``on_error``; the application lives."""
    told: list[BaseException] = []

    async def on_error(_agent: Any, exc: BaseException) -> None:
        told.append(exc)

    async with collect.test_context(on_error=on_error) as agent:
        with pytest.raises(ValueError, match="unlucky"):
            for _ in range(10):  # the body may still run when `put` returns
                await agent.put(13)
        assert [str(exc) for exc in told] == ["unlucky"]
        with pytest.raises(ValueError, match="unlucky"):
            await agent.put(1)
    assert app.crash_reason is None


async def test_throw_raises_in_the_body() -> None:
    """agents.md 10: `throw` raises inside the agent's loop."""
    caught: list[BaseException] = []

    @app.agent(app.channel())
    async def careful(stream: Any) -> None:
        try:
            async for _ in stream:
                pass
        except ZeroDivisionError as exc:
            caught.append(exc)

    async with careful.test_context() as agent:
        await agent.put(1)
        await agent.throw(ZeroDivisionError())
        await agent.actors[0].actor_task
    assert len(caught) == 1


async def test_models_arrive_as_the_same_objects() -> None:
    """agents.md 10: nothing is serialized; lists of `take` are recorded one by one."""

    class Point(faust.Record, namespace="agent-testing"):
        x: int

    @app.agent(app.topic("points", value_type=Point))
    async def pairs(stream: Any) -> Any:
        async for two in stream.take(2, within=10):
            yield two

    first, second = Point(x=1), Point(x=2)
    async with pairs.test_context() as agent:
        await agent.put(first, wait=False)
        await agent.put(second)
        assert agent.results[0][0] is first
        assert agent.results[0][1] is second
    with pytest.raises(TypeError, match="nothing to serialize"):
        async with pairs.test_context() as agent:
            await agent.put(first, value_serializer="json")


async def test_group_by_inside() -> None:
    """agents.md 10: a stream that is repartitioned inside the agent goes on in memory, with the new key."""

    @app.agent(app.topic("words", value_type=str))
    async def count(stream: Any) -> Any:
        async for event in stream.group_by(lambda word: word[0], name="first").events():
            yield (event.key, event.value)

    async with count.test_context() as agent:
        await agent.put("apple")
        await agent.put("bear")
        assert agent.results == {0: ("a", "apple"), 1: ("b", "bear")}


async def test_sinks_run_before_the_result_is_recorded() -> None:
    """agents.md 10: the agent's own sinks get the value first; headers and partitions are what was put."""
    sunk: list[int] = []
    keys: list[Any] = []

    @app.agent(app.channel(), sink=[sunk.append])
    async def relay(stream: Any) -> Any:
        async for event in stream.events():
            keys.append(
                (event.key, event.headers, event.message.partition, event.message.timestamp)
            )
            yield event.value

    async with relay.test_context() as agent:
        await agent.put(7, key=b"k", partition=3, timestamp=12.5, headers={"h": b"1"})
        assert sunk == [7]
        assert agent.results == {0: 7}
        assert keys == [(b"k", {"h": b"1"}, 3, 12.5)]
