"""Tasks, timers and cron jobs: coroutines that start with the app.

All of them are written as functions of no argument (`Task`) over two clocks that can be injected (`Clock`): one that
tells how long something took, one that tells the time of day. Nothing here knows the app: whether to stop and whether we
are the leader are asked through functions.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol

from mode.utils.times import want_seconds

__all__ = [
    "Clock",
    "Job",
    "Task",
    "as_task",
    "interval_of",
    "next_sleep",
    "next_slot",
    "run_crontab",
    "run_timer",
]

logger: logging.Logger = logging.getLogger(__name__)

CHANGE = timedelta(hours=2)
"""Around this long before and after clocks are set, a time may come twice or not at all."""

CRON_STEP = 60.0
"""Seconds after which a sleeping cron job looks at the time of day again: it may have been set."""


class Task(Protocol):
    """A coroutine function of no argument, with a name."""

    __name__: str

    async def __call__(self) -> Any:
        """Run it once."""
        ...


class Clock:
    """Time, in one place."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


class Job:
    """What is called again and again.

    Arguments:
        call: The task.
        name: Name in log lines.
        should_stop: Whether the app stops.
        may_call: Whether it is our turn: the leader's, say; asked before each call.
        clock: Returns the clock of now.
    """

    def __init__(
        self,
        call: Task,
        *,
        name: str,
        should_stop: Callable[[], bool],
        may_call: Callable[[], bool],
        clock: Callable[[], Clock],
    ) -> None:
        self.call = call
        self.name = name
        self.should_stop = should_stop
        self.may_call = may_call
        self._clock = clock

    @property
    def clock(self) -> Clock:
        """Time."""
        return self._clock()

    async def run(self) -> float:
        """Call it if it is our turn and the app goes on; return how long that took (seconds)."""
        began = self.clock.monotonic()
        if not self.should_stop() and self.may_call():
            await self.call()
        return self.clock.monotonic() - began


def as_task(fun: Callable[..., Awaitable[Any]], app: Any) -> Task:
    """Wrap a coroutine function of no argument, or of one (the app), into one of none.

    The task raises `TypeError` when what *fun* returns cannot be awaited.
    """
    parameters = inspect.signature(fun).parameters.values()
    takes_app = any(parameter.default is parameter.empty for parameter in parameters)

    @functools.wraps(fun)
    async def task() -> Any:
        running = fun(app) if takes_app else fun()
        if not inspect.isawaitable(running):
            name = getattr(fun, "__qualname__", fun)
            raise TypeError(f"{name} cannot be awaited: write it as `async def`")
        return await running

    return task


# -- timers


def next_sleep(interval: float, slept: float | None, max_drift_correction: float) -> float:
    """Return how long a timer sleeps, given how long it really slept the last time (seconds).

    The correction concerns only the sleep: it is at most *max_drift_correction*, and intervals not longer than that are not
    corrected.
    """
    if slept is None or interval <= max_drift_correction:
        return interval
    drift = interval - slept
    return interval + max(-max_drift_correction, min(max_drift_correction, drift))


def interval_of(interval: float | timedelta | str, name: str) -> float:
    """Return the seconds between two calls of the timer *name*.

    Raises:
        ValueError: It is nothing that can be read, or not more than 0.
    """
    try:
        seconds = want_seconds(interval)
        if seconds > 0:
            return seconds
    except (LookupError, TypeError, ValueError):
        pass
    raise ValueError(
        f"timer {name}: the interval must be more than 0 seconds, or a rate such as '10/m', got {interval!r}"
    )


async def run_timer(
    job: Job, interval: float | timedelta | str, *, max_drift_correction: float = 0.1
) -> None:
    """Sleep, call, and so on until the app stops; calls never overlap.

    Arguments:
        job: What to call.
        interval: Seconds between the end of a call and the next one; text is a rate such as ``"10/m"``.
        max_drift_correction: Seconds by which a sleep may be corrected for the drift of the last.
    """
    seconds = want_seconds(interval)
    slept: float | None = None
    while not job.should_stop():
        began = job.clock.monotonic()
        await job.clock.sleep(max(0.0, next_sleep(seconds, slept, max_drift_correction)))
        slept = job.clock.monotonic() - began
        _log_drift(job.name, seconds, slept)
        took = await job.run()
        if took > seconds:
            logger.warning(
                "Timer %s is overlapping: it took %.3f s, longer than its interval of %.3f s",
                job.name,
                took,
                seconds,
            )


def _log_drift(name: str, interval: float, slept: float) -> None:
    drift = interval - slept
    late = "late" if drift < 0 else "early"
    loud = interval >= 1.0 and abs(drift) >= min(0.30 * interval, 1.2)
    level = logging.INFO if loud else logging.DEBUG
    logger.log(level, "Timer %s woke up %.3f s too %s", name, abs(drift), late)


# -- cron


async def run_crontab(job: Job, cron_format: str, timezone: tzinfo) -> None:
    """Call whenever the time of day matches, until the app stops; slots that pass during a call are skipped.

    The sleep is cut into pieces, so that a clock that is set, or a machine that was asleep, costs at most one piece.

    Arguments:
        job: What to call.
        cron_format: As croniter reads it: five fields; six with seconds last; seven with years.
        timezone: Where the time of day is told.

    Raises:
        TypeError: *timezone* is no `tzinfo`.
        croniter.CroniterBadCronError: (a `ValueError`) the format cannot be read.
    """
    if not isinstance(timezone, tzinfo):
        raise TypeError(f"crontab {job.name}: timezone must be a tzinfo, got {timezone!r}")
    _check_format(cron_format, job.name)
    last = job.clock.time()
    while not job.should_stop():
        now = max(job.clock.time(), last)
        due = next_slot(cron_format, now, timezone)
        while (left := due - job.clock.time()) > 0:
            await job.clock.sleep(min(left, CRON_STEP))
        last = due
        await job.run()


def _check_format(cron_format: str, name: str) -> None:
    """Say which job it is whose format cannot be read."""
    from croniter import CroniterBadCronError, croniter

    try:
        croniter(cron_format)
    except (AttributeError, ValueError) as exc:  # AttributeError: it is no text
        raise CroniterBadCronError(f"crontab {name}: cannot read {cron_format!r}: {exc}") from exc


def next_slot(cron_format: str, after: float, timezone: tzinfo) -> float:
    """Return the first time after *after* (seconds since the epoch) at which the clocks of *timezone* match.

    croniter is asked about the time that clocks show, not about instants: it takes a step of a day for 24 hours also
    when the clocks change. A time that the clocks skip comes an hour later; of a time that they show twice the first
    counts, except for jobs of every hour ("*" in the second field), which run through both.

    Raises:
        croniter.CroniterBadCronError: (a `ValueError`) the format cannot be read.
    """
    from croniter import croniter

    shown = datetime.fromtimestamp(after, timezone).replace(tzinfo=None)
    if not _clocks_change(after, timezone):
        return _instant(croniter(cron_format, shown).get_next(datetime), timezone, 0)
    folds = (0, 1) if "*" in cron_format.split()[1:2] else (0,)
    slots = croniter(cron_format, shown - CHANGE)
    due: list[float] = []
    while True:
        slot = slots.get_next(datetime)
        if due and slot > shown + CHANGE:
            return min(due)
        due += [one for fold in folds if (one := _instant(slot, timezone, fold)) > after]


def _clocks_change(now: float, timezone: tzinfo) -> bool:
    """Say whether the clocks of *timezone* have just been set, or soon will be."""
    around = (now - CHANGE.total_seconds(), now, now + CHANGE.total_seconds())
    return len({datetime.fromtimestamp(one, timezone).utcoffset() for one in around}) > 1


def _instant(shown: datetime, timezone: tzinfo, fold: int) -> float:
    """Return when the clocks of *timezone* show that, for the first (0) or the second (1) time."""
    localize = getattr(timezone, "localize", None)
    if localize is not None:  # pytz
        aware: datetime = localize(shown, is_dst=not fold)
        return aware.timestamp()
    return shown.replace(tzinfo=timezone, fold=fold).timestamp()
