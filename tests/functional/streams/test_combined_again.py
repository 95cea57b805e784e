"""streams.md 8: an agent that is restarted calls its function again, which makes and combines the same streams again."""

from __future__ import annotations

import asyncio
from typing import Any

import mode
import pytest

import faust
from tests.support.apps import committed_everything, eventually, running


def readers_of(app: faust.App, name: str) -> int:
    """Return how many iterators read a topic."""
    return sum(1 for topic in app.topics if name in topic.topics)


@pytest.mark.parametrize("fails", ["in the loop", "before the loop"])
async def test_what_the_function_has_combined_is_read_on(app: faust.App, fails: str) -> None:
    """Each event of the other topic is seen once, what waited for the stream that was left included."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    got: list[int] = []
    failures: list[int] = []
    go_on = asyncio.Event()

    @app.agent(one)
    async def agent(stream: Any) -> None:
        both = stream & two.stream()
        if failures and fails == "before the loop" and len(failures) < 4:
            failures.append(0)
            raise ValueError("before the loop")
        async for number in both:
            if number == -1:
                failures.append(number)
                raise ValueError("in the loop")
            got.append(number)
            if number == 2:
                await go_on.wait()
                failures.append(number)
                raise ValueError("an event of the other topic")

    async with running(app):
        for number in range(300):
            two.send_soon(value=number, partition=0)
        await eventually(lambda: 2 in got)
        for number in range(300, 600):
            two.send_soon(value=number, partition=0)
        await one.send(value=-1, partition=0)
        go_on.set()
        await eventually(lambda: len(got) >= 600)
        await two.send(value=600, partition=0)
        await eventually(lambda: len(got) >= 601)
        await committed_everything(app)
        assert readers_of(app, "two") == 1
    assert got == list(range(601))
    assert failures.count(-1) == 1


async def test_an_event_of_a_stream_that_is_made_again_comes_again(app: faust.App) -> None:
    """A supervisor restarts an actor that has an event in hand: the stream that is made again begins with it."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    got: list[int] = []
    begun = asyncio.Event()

    @app.agent(one, supervisor_strategy=mode.OneForAllSupervisor)
    async def agent(stream: Any) -> None:
        async for number in stream & two.stream():
            if number == 2 and not begun.is_set():
                begun.set()
                await asyncio.sleep(3600.0)
            got.append(number)

    async with running(app):
        for number in range(5):
            two.send_soon(value=number, partition=0)
        await asyncio.wait_for(begun.wait(), 20.0)
        supervisor: Any = agent.supervisor
        await supervisor.restart_services(list(agent.actors))
        await eventually(lambda: len(got) == 5)
        await committed_everything(app)
        assert readers_of(app, "two") == 1
    assert got == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("made", ["outside", "once"])
async def test_a_stream_that_is_kept_goes_on(app: faust.App, made: str) -> None:
    """What was made outside the function, or is kept by it, is the same after a restart."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    kept = [two.stream()] if made == "outside" else []
    got: list[int] = []
    sent: list[int] = []

    @app.agent(one)
    async def agent(stream: Any) -> None:
        if not kept:
            kept.append(two.stream())
        async for number in stream & kept[0]:
            if number == -1:
                raise ValueError("a failure")
            got.append(number)

    async with running(app):
        for number in range(30):
            two.send_soon(value=number, partition=0)
            sent.append(number)
            if number % 10 == 9:
                await one.send(value=-1, partition=0)
                await eventually(lambda: len(got) == len(sent))
        await committed_everything(app)
        assert readers_of(app, "two") == 1
    assert got == sent


async def test_another_stream_over_the_topic_is_left_alone(app: faust.App) -> None:
    """A stream from outside that the function combines only once is not read on by one that it makes itself."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    outside: Any = two.stream()
    got: list[int] = []
    calls: list[int] = []

    @app.agent(one)
    async def agent(stream: Any) -> None:
        calls.append(1)
        async for number in stream & (outside if len(calls) == 1 else two.stream()):
            if number == -1:
                raise ValueError("a failure")
            got.append(number)

    async with running(app):
        await one.send(value=-1, partition=0)
        await eventually(lambda: len(calls) == 2)
        await eventually(lambda: readers_of(app, "two") == 2)
        await two.send(value=1, partition=0)
        await eventually(lambda: got == [1])
        assert await asyncio.wait_for(anext(aiter(outside)), 20.0) == 1


async def test_what_a_stopped_agent_has_made_is_stopped(app: faust.App) -> None:
    """An agent that is stopped leaves nothing that holds back the offsets of other readers."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    outside = app.topic("three", value_type=int).stream()
    got: list[int] = []

    @app.agent(one)
    async def agent(stream: Any) -> None:
        async for _ in stream & two.stream() & outside:
            pass

    @app.agent(two)
    async def other(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        await eventually(lambda: readers_of(app, "two") == 2)
        await agent.stop()
        assert readers_of(app, "two") == 1
        assert readers_of(app, "three") == 1
        await two.send(value=1, partition=0)
        await eventually(lambda: got == [1])
        await committed_everything(app)
