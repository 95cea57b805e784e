"""What an application declares to be run beside its agents: tasks, timers, cron jobs and services."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta, tzinfo
from typing import Any, Protocol, Self, TypeAlias, TypeVar, cast, overload
from zoneinfo import ZoneInfo

from mode import ServiceT
from mode.utils.futures import maybe_async

from faust.app.life import LivingApp
from faust.app.tasks import Job, Task, as_task, interval_of, run_crontab, run_timer

__all__ = ["SchedulingApp"]

A_co = TypeVar("A_co", covariant=True)
S = TypeVar("S", bound="ServiceT | type[ServiceT]")

OnTaskError: TypeAlias = Callable[[Any, Exception], Any]
"""``on_error(fun, exc)``, a function or a coroutine function; *fun* is what was decorated."""

Started: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]
"""What the decorators return: awaiting it runs the function (for timers and cron jobs: for ever)."""


class TaskDecorator(Protocol[A_co]):
    """Takes a coroutine function of no argument, or of the app."""

    @overload
    def __call__(self, fun: Callable[[], Awaitable[Any]], /) -> Started: ...
    @overload
    def __call__(self, fun: Callable[[A_co], Awaitable[Any]], /) -> Started: ...


class SchedulingApp(LivingApp):
    """The storey of `faust.App` where what runs beside agents is declared."""

    abstract = True

    @overload  # type: ignore[override]  # mode's decorator of the same name is for services
    def task(
        self, fun: Callable[[], Awaitable[Any]], *, on_leader: bool = False, traced: bool = True
    ) -> Started: ...
    @overload
    def task(
        self, fun: Callable[[Self], Awaitable[Any]], *, on_leader: bool = False, traced: bool = True
    ) -> Started: ...
    @overload
    def task(
        self, fun: None = None, *, on_leader: bool = False, traced: bool = True
    ) -> TaskDecorator[Self]: ...
    def task(self, fun: Any = None, *, on_leader: bool = False, traced: bool = True) -> Any:
        """Run the decorated coroutine function once, when the app has started and its tables are recovered.

        It takes no argument, or the app. An exception that leaves it crashes the worker; it is cancelled when the app
        stops. Returns a coroutine function of no argument that runs it.

        Arguments:
            fun: The function; left out when the decorator has arguments.
            on_leader: Only if this worker is the leader at that moment.
            traced: Run it inside `trace`.
        """

        def decorate(fun: Callable[..., Awaitable[Any]]) -> Task:
            body = self._traced_task(fun, traced=traced)

            @functools.wraps(fun)
            async def task() -> Any:
                return await body() if self._may_run(on_leader) else None

            return self._declare(task)

        return decorate if fun is None else decorate(fun)

    def timer(  # type: ignore[override]  # as above
        self,
        interval: float | timedelta | str,
        on_leader: bool = False,
        traced: bool = True,
        name: str | None = None,
        max_drift_correction: float = 0.1,
        on_error: OnTaskError | None = None,
    ) -> TaskDecorator[Self]:
        """Run the decorated coroutine function every *interval* seconds, the first time after one interval.

        The next sleep begins when a call has returned: calls never overlap. See `task` for the function.

        Arguments:
            interval: Seconds between the end of one call and the next call; text is a rate, such as ``"10/m"``.
            on_leader: Only on the worker that is the leader, asked before each call.
            traced: Run each call inside `trace`.
            name: Name in log lines; None: the function's.
            max_drift_correction: Seconds by which a sleep may be corrected for the drift of the last.
            on_error: ``on_error(fun, exc)``, called (and awaited) when a call has raised; the timer then goes on. None: the
                exception crashes the worker.

        Raises:
            ValueError: (where it decorates) *interval* is not more than 0, or cannot be read.
        """

        def decorate(fun: Callable[..., Awaitable[Any]]) -> Task:
            job = self._job(fun, name=name, on_leader=on_leader, traced=traced, on_error=on_error)
            seconds = interval_of(interval, job.name)

            @functools.wraps(fun)
            async def timer() -> None:
                await run_timer(job, seconds, max_drift_correction=max_drift_correction)

            return self._declare(timer)

        return cast("TaskDecorator[Self]", decorate)

    def crontab(  # type: ignore[override]  # as above
        self,
        cron_format: str,
        *,
        timezone: tzinfo | str | None = None,
        on_leader: bool = False,
        traced: bool = True,
        on_error: OnTaskError | None = None,
    ) -> TaskDecorator[Self]:
        """Run the decorated coroutine function whenever the time of day matches. See `task` for the function.

        Slots that pass during a call are skipped. A format that cannot be read crashes the app when it starts.

        Arguments:
            cron_format: Minute, hour, day, month, day of week; a sixth field is seconds, a seventh years.
            timezone: Where the time of day is told, as an object or by its name (IANA); None: setting ``timezone``.
            on_leader: Only on the worker that is the leader, asked before each call.
            traced: Run each call inside `trace`.
            on_error: ``on_error(fun, exc)``, called (and awaited) when a call has raised; the job then goes on. None: the
                exception crashes the worker.

        Raises:
            ZoneInfoNotFoundError: (a `KeyError`) there is no time zone of that name.
        """
        zone = ZoneInfo(timezone) if isinstance(timezone, str) else timezone

        def decorate(fun: Callable[..., Awaitable[Any]]) -> Task:
            job = self._job(fun, name=None, on_leader=on_leader, traced=traced, on_error=on_error)

            @functools.wraps(fun)
            async def crontab() -> None:
                where = self.conf.timezone if zone is None else zone
                await run_crontab(job, cron_format, where)

            return self._declare(crontab)

        return cast("TaskDecorator[Self]", decorate)

    def service(self, cls: S) -> S:
        """Start the decorated `mode.Service`, class or instance, with the app, after tasks and timers."""
        self._extra_services.append(cls)
        return cls

    # -- helpers

    def _declare(self, task: Any) -> Task:
        self._declared_tasks.append(task)
        return cast("Task", task)

    def _job(
        self,
        fun: Callable[..., Awaitable[Any]],
        *,
        name: str | None,
        on_leader: bool,
        traced: bool,
        on_error: OnTaskError | None,
    ) -> Job:
        call = self._traced_task(fun, traced=traced)
        return Job(
            call if on_error is None else _forgiving(call, fun, on_error),
            name=name or str(getattr(fun, "__qualname__", fun)),
            should_stop=lambda: self.should_stop,
            may_call=lambda: self._may_run(on_leader),
            clock=lambda: self.clock,
        )

    def _traced_task(self, fun: Callable[..., Awaitable[Any]], *, traced: bool) -> Task:
        task = as_task(fun, self)
        return self.traced(task) if traced else task

    def _may_run(self, on_leader: bool) -> bool:
        consumer = self.consumer_or_none()
        return not on_leader or (consumer is not None and consumer.started and self.is_leader())


def _forgiving(call: Task, fun: Any, on_error: OnTaskError) -> Task:
    """Wrap *call* so that *on_error* takes its exceptions; what *on_error* raises counts."""

    @functools.wraps(call)
    async def task() -> Any:
        try:
            return await call()
        except Exception as exc:
            return await maybe_async(on_error(fun, exc))

    return task
