"""Tasks and timers: coroutines that start with the app."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import Any

__all__ = ["Task", "as_task", "next_sleep", "run_timer"]

logger: logging.Logger = logging.getLogger(__name__)

Task = Callable[[], Awaitable[Any]]


def as_task(fun: Callable[..., Awaitable[Any]], app: Any) -> Task:
    """Wrap a coroutine function of no argument, or of one (the app), into one of none."""
    takes_app = len(inspect.signature(fun).parameters) > 0

    @functools.wraps(fun)
    async def task() -> Any:
        return await (fun(app) if takes_app else fun())

    return task


def next_sleep(interval: float, slept: float | None, max_drift_correction: float) -> float:
    """Return how long a timer sleeps, given how long it really slept the last time (seconds).

    The correction concerns only the sleep: it is at most *max_drift_correction*, and intervals not longer than that are not
    corrected.
    """
    if slept is None or interval <= max_drift_correction:
        return interval
    drift = interval - slept
    return interval + max(-max_drift_correction, min(max_drift_correction, drift))


async def run_timer(
    call: Task,
    interval: float | timedelta,
    *,
    name: str,
    should_stop: Callable[[], bool],
    may_call: Callable[[], bool],
    max_drift_correction: float = 0.1,
) -> None:
    """Sleep, call, and so on until *should_stop*; calls never overlap."""
    seconds = interval.total_seconds() if isinstance(interval, timedelta) else float(interval)
    slept: float | None = None
    while not should_stop():
        began = monotonic()
        await asyncio.sleep(max(0.0, next_sleep(seconds, slept, max_drift_correction)))
        slept = monotonic() - began
        _log_drift(name, seconds, slept)
        if should_stop():
            return
        if may_call():
            called = monotonic()
            await call()
            took = monotonic() - called
            if took > seconds:
                logger.warning(
                    "Timer %s overlaps: it took %.3f s, longer than its interval of %.3f s",
                    name,
                    took,
                    seconds,
                )


def _log_drift(name: str, interval: float, slept: float) -> None:
    drift = interval - slept
    if abs(drift) >= min(0.30 * interval, 1.2):
        level = logging.INFO if interval >= 1.0 else logging.DEBUG
        late = "late" if drift < 0 else "early"
        logger.log(level, "Timer %s woke up %.3f s too %s", name, abs(drift), late)
