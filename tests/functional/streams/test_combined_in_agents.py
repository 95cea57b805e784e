"""streams.md 8: combined streams in agents that fail, are restarted, or are held up: each event counts where it came from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import mode
import pytest

import faust
from tests.support.apps import committed_everything, eventually, running


@pytest.mark.parametrize("where", ["part", "merged", "body"])
async def test_an_actor_that_is_restarted_has_its_event_again(app: faust.App, where: str) -> None:
    """An event that the function, or a processor, had in hand when a supervisor restarted the actor comes again."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    other = two.stream()
    got: list[int] = []
    begun = asyncio.Event()

    async def slowly(number: int) -> int:
        if number == 2 and not begun.is_set():
            begun.set()
            await asyncio.sleep(3600.0)
        return number

    @app.agent(one, supervisor_strategy=mode.OneForAllSupervisor)
    async def agent(stream: Any) -> None:
        if where == "part":
            stream.add_processor(slowly)
        both = stream & other
        if where == "merged":
            both.add_processor(slowly)
        async for number in both:
            if where == "body":
                await slowly(number)
            got.append(number)

    async with running(app):
        for number in range(5):
            await one.send(value=number, partition=0)
        await asyncio.wait_for(begun.wait(), 20.0)
        supervisor: Any = agent.supervisor
        await supervisor.restart_services(list(agent.actors))
        await eventually(lambda: len(got) == 5)
        await committed_everything(app)
    assert got == [0, 1, 2, 3, 4]


async def test_a_part_with_an_open_slice_is_read_on(app: faust.App) -> None:
    """An event that was passed over is followed by the next: nobody waits for something to arrive elsewhere."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    bad: list[Any] = []
    got: list[int] = []

    async def pass_over(_exc: Exception, message: Any) -> None:
        bad.append(message.value)

    @app.task
    async def read() -> None:
        part = one.stream()
        part.channel.on_value_decode_error = pass_over
        async for number in part & two.stream():
            got.append(number)

    async with running(app):
        raw = app.topic("one", value_type=bytes, value_serializer="raw")
        for value in (b"1", b"x", b"2", b"3"):
            raw.send_soon(value=value, partition=0)
        await eventually(lambda: got == [1, 2, 3])
    assert bad == [b"x"]


async def test_events_go_on_when_a_commit_is_made(make: Callable[..., faust.App]) -> None:
    """Exactly once: a combined stream that was held for a commit goes on with what it has."""
    app = make(processing_guarantee="exactly_once")
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    other = two.stream()
    got: list[int] = []

    @app.agent(one)
    async def agent(stream: Any) -> None:
        async for number in stream & other:
            await asyncio.sleep(0.004)
            got.append(number)

    async with running(app):
        for number in range(150):
            one.send_soon(value=number, partition=0)
        await eventually(lambda: len(got) == 150)


async def test_a_part_that_is_idle_keeps_nothing(app: faust.App) -> None:
    """However often the other part has waited, one place waits for the idle one."""
    one, two = app.channel(), app.channel()
    parts = [one.stream(), two.stream()]
    got: list[int] = []

    @app.task
    async def read() -> None:
        async for number in parts[0] & parts[1]:
            got.append(number)

    async with running(app):
        await eventually(parts[1].reading.is_set)
        for number in range(50):
            await one.put(number)
            await eventually(lambda number=number: len(got) == number + 1)  # type: ignore[misc]
            await asyncio.sleep(0.002)
        mailbox: Any = parts[1].outbox
        assert len(mailbox._waiters) <= 1
    assert got == list(range(50))


@pytest.mark.parametrize("where", ["part", "merged", "body"])
async def test_an_event_is_redelivered(app: faust.App, where: str) -> None:
    """With `redeliver` an event comes again, whoever has raised: a processor of the part, one of the whole, the function."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    other = two.stream()
    got: list[int] = []
    tries: list[int] = []

    def fail_once(number: int) -> int:
        if number == 2 and not tries:
            tries.append(number)
            raise ValueError(number)
        return number

    @app.agent(one)
    async def agent(stream: Any) -> None:
        stream.redeliver = where != "body"
        if where == "part":
            stream.add_processor(fail_once)
        both = stream & other
        both.redeliver = True
        if where == "merged":
            both.add_processor(fail_once)
        async for number in both:
            if where == "body":
                fail_once(number)
            got.append(number)

    async with running(app):
        for number in range(5):
            await one.send(value=number, partition=0)
        await eventually(lambda: len(got) == 5)
        await committed_everything(app)
    assert got == [0, 1, 2, 3, 4]


async def test_a_loop_that_is_closed_late_leaves_alone_what_the_next_one_has(
    app: faust.App,
) -> None:
    """The garbage collector may close an actor's old generator any time: what its successor has in hand stays there."""
    one, two = app.channel().stream(), app.channel().stream()
    for number in range(3):
        one.channel.put_nowait(number)
    old, new = aiter(one & two), aiter(one & two)
    assert await anext(old) == 0
    assert await anext(new) == 1
    await old.aclose()  # type: ignore[attr-defined]
    assert one.cursor.record is not None
    assert await anext(new) == 2
    assert one.cursor.record is not None
