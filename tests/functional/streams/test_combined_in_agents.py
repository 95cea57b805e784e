"""streams.md 8: combined streams in agents that fail, are restarted, or are held up: each event counts where it came from."""

from __future__ import annotations

import asyncio
from typing import Any

import mode
import pytest

import faust
from tests.support.apps import committed_everything, eventually, running


@pytest.mark.parametrize("where", ["part"])
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
