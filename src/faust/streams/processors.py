"""Processors: functions applied to every value of a stream, composed once into one.

A plain function costs a plain call. Whether a function is to be awaited is seen from what it is, and else from what it
returns: a lambda that returns a coroutine turns the whole composition into one that is awaited.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from types import CoroutineType
from typing import Any, NamedTuple

from faust.exceptions import Skip

__all__ = ["Processor", "compose", "drop_none", "split"]


class Processor(NamedTuple):
    """A function applied to each value."""

    fun: Callable[[Any], Any]
    is_filter: bool = False


def compose(
    processors: Iterable[Processor], becomes_async: Callable[[], None]
) -> tuple[Callable[[Any], Any] | None, bool]:
    """Turn processors into one function; says whether its result must be awaited. None: nothing to apply.

    *becomes_async* is called when a function that was taken for a plain one returns a coroutine: this result must be
    awaited, and every later one.
    """
    steps = tuple(processors)
    if not steps:
        return None, False
    if any(_may_await(step.fun) for step in steps):
        return _awaited(steps), True
    return _plain(steps, becomes_async), False


def _awaited(steps: tuple[Processor, ...]) -> Callable[[Any], Awaitable[Any]]:
    first = steps[0].fun
    return lambda value: _finish(steps, 0, first(value), value)


async def _finish(steps: tuple[Processor, ...], index: int, result: Any, value: Any) -> Any:
    """Go on where processor *index* has returned *result* for *value*."""
    while True:
        if inspect.isawaitable(result):
            result = await result
        if not steps[index].is_filter:
            value = result
        elif not result:
            raise Skip
        index += 1
        if index == len(steps):
            return value
        result = steps[index].fun(value)


def _plain(steps: tuple[Processor, ...], becomes_async: Callable[[], None]) -> Callable[[Any], Any]:
    awaited: Callable[[Any], Awaitable[Any]] | None = None

    def turn(index: int, result: Any, value: Any) -> Any:
        nonlocal awaited
        awaited = _awaited(steps)
        becomes_async()
        return _finish(steps, index, result, value)

    def process(value: Any) -> Any:
        if awaited is not None:
            return awaited(value)
        for index, (fun, is_filter) in enumerate(steps):
            result = fun(value)
            if type(result) is CoroutineType:
                return turn(index, result, value)
            if not is_filter:
                value = result
            elif not result:
                raise Skip
        return value

    return process


def split(processors: list[Processor]) -> tuple[list[Processor], list[Processor]]:
    """Divide into what runs before a repartition (leading filters) and what runs behind it."""
    at = next((i for i, p in enumerate(processors) if not p.is_filter), len(processors))
    return processors[:at], processors[at:]


def drop_none(value: Any) -> Any:
    """Let everything pass but None."""
    if value is None:
        raise Skip
    return value


def _may_await(fun: Callable[[Any], Any]) -> bool:
    """Say whether *fun* may return an awaitable that is no coroutine, or is known to return one."""
    return inspect.iscoroutinefunction(fun) or not inspect.isroutine(fun)
