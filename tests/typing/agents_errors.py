"""Mistakes with agents and tasks that a type checker finds before the program runs (issue 5)."""

from collections.abc import AsyncIterator

import faust

app = faust.App("shop")
numbers = app.topic("numbers", value_type=int)


@app.agent(numbers)
async def double(stream: faust.Stream[int]) -> AsyncIterator[int]:
    """Answer with a number."""
    async for number in stream:
        yield number * 2


async def ask() -> None:
    """An answer has a type."""
    text: str = await double.ask(1)  # error: assignment | reportAssignmentType
    print(text)


@app.agent(numbers)  # error: arg-type | reportArgumentType
async def other(stream: faust.Stream[str]) -> None:
    """Text is not what comes."""


@app.task  # error: arg-type | reportArgumentType
async def needs_more(app: faust.App, more: int) -> None:
    """Nobody would give it the second argument."""


@app.task  # error: arg-type | reportArgumentType
def waits_for_nothing() -> None:
    """A task is a coroutine function."""


app.agent(numbers, concurrent=2)  # error: call-overload | reportCallIssue
