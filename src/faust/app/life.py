"""How an application starts and stops.

The order is the documented one: what others need comes first, tasks and timers come when the tables are recovered, and
everything stops in the reverse order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any, ClassVar, TypeVar

from mode import Service

from faust.app import clients, tracing
from faust.app.boot import BootStrategy as _BootStrategy
from faust.app.parts import AppWithParts, _unbind
from faust.app.tasks import Clock, Task
from faust.transport.producer import Producer

__all__ = ["LivingApp"]

F = TypeVar("F", bound=Callable[..., Any])

logger: logging.Logger = logging.getLogger(__name__)

STOP_RESERVE = 2.0
"""Seconds of the time for a stop (setting ``worker_stop_timeout``) that are left for everything but events in hand."""

LAST_COMMIT = 0.5
"""Of those, seconds that the last commit may take when events in hand have taken all the time there was."""


class LivingApp(AppWithParts):
    """An application that can be started and stopped.

    Attributes:
        in_worker: Started by a `faust.Worker`.
        rebalancing: Our partitions are changing.
        rebalancing_count: How often they have.
        in_recovery: Tables are being recovered.
        unassigned: The last assignment was empty.
        on_startup_finished: Awaited when everything runs.
        clock: Time, for timers and cron jobs.
        tracer: Makes the contexts of `trace`; None: nothing is traced.
    """

    abstract = True

    BootStrategy: ClassVar[type[_BootStrategy]] = _BootStrategy

    client_only: bool = False
    producer_only: bool = False
    tracer: tracing.Tracer | None = None

    def __init__(self, id: str, **kwargs: Any) -> None:
        self.in_worker = False
        self.rebalancing: bool = False
        self.rebalancing_count: int = 0
        self.in_recovery: bool = False
        self.unassigned: bool = False
        self.on_startup_finished: Callable[[], Awaitable[None]] | None = None
        self._client_lock: asyncio.Lock | None = None
        self._rebalance_state: Any = None
        self._rebalance_span: Any = None
        self._booted: list[Any] = []
        self.clock: Clock = Clock()
        self._declared_tasks: list[Task] = []
        self._extra_services: list[Any] = []
        self._running_tasks: list[asyncio.Task[Any]] = []
        super().__init__(id, **kwargs)
        self.boot_strategy: _BootStrategy = self.BootStrategy(self)

    def on_init_dependencies(self) -> list[Any]:
        """Return the services to start, in order."""
        self._add_monitor()
        boot = self.boot_strategy
        if self.producer_only:
            self._booted = list(boot.producer_only())
        elif self.client_only:
            self._booted = list(boot.client_only())
        else:
            self._booted = list(boot.server())
        return self._booted

    def service_reset(self) -> None:
        """Forget what was bound to a broker and an event loop, and the services that were made at the start."""
        super().service_reset()
        made = (*self._booted, *self._extra_services)
        self._children = [child for child in self._children if child not in made]
        for service in self._extra_services:
            if isinstance(service, Service):
                _unbind(service)
        self._booted = []
        self._client_lock = None
        self._stop_began = None
        self.rebalancing = self.in_recovery = self.unassigned = False

    @property
    def in_transaction(self) -> bool:
        """Whether what the worker causes is committed in transactions (setting ``processing_guarantee``)."""
        return self.in_worker and self.exactly_once

    async def on_start(self) -> None:
        """End the configuration, make the data directories."""
        self.finalize()
        self.conf.create_directories()
        if not self._booted:  # a second start: mode asks for the services at the first one only
            for service in self.on_init_dependencies():
                self.add_dependency(service)
        if self.conf.debug:
            logger.warning("Setting debug is on: switch it off in production")
        clients.check_store(self.conf)

    async def on_started(self) -> None:
        """Wait for the tables, then start tasks and timers."""
        self.started_producer: Producer | None = (
            self._producer if self._producer and self._producer.started else None
        )
        if not (self.producer_only or self.client_only) and await self._wait_recovered():
            return
        await self.on_started_init_extra_tasks()
        await self.on_started_init_web_server()
        await self.on_started_init_extra_services()
        if self.on_startup_finished is not None:
            await self.on_startup_finished()

    async def on_started_init_extra_tasks(self) -> None:
        """Start tasks, timers and cron jobs; override to start more, and call ``super()``."""
        for task in self._declared_tasks:
            self._running_tasks.append(
                asyncio.get_running_loop().create_task(
                    self._guard(task), name=f"task {task.__name__}"
                )
            )

    async def on_started_init_web_server(self) -> None:
        """Override to start a web server of your own; called between tasks and services."""

    async def on_started_init_extra_services(self) -> None:
        """Start the services that were declared, one by one; override to start more, and call ``super()``."""
        self._extra_services = [
            await self.on_init_extra_service(service) for service in self._extra_services
        ]

    async def on_init_extra_service(self, service: Any) -> Any:
        """Start one declared service, as a child of the app; a class is made an instance first."""
        if isinstance(service, type):
            service = service(loop=self.loop, beacon=self.beacon)
        else:
            service.beacon.reattach(self.beacon)
        return await self.add_runtime_dependency(service)

    # -- tracing

    def trace(
        self, name: str, trace_enabled: bool = True, **extra_context: Any
    ) -> AbstractContextManager[Any]:
        """Return a context in which what runs is traced under *name*; it does nothing without `tracer`."""
        return tracing.trace(self.tracer, name, enabled=trace_enabled, **extra_context)

    def traced(
        self, fun: F, name: str | None = None, sample_rate: float = 1.0, **context: Any
    ) -> F:
        """Wrap a function, or a coroutine function, so that it is traced.

        Arguments:
            fun: The function.
            name: Name of the trace; None: the function's, after the label of its object if it is a method.
            sample_rate: Share of the calls to be traced, for the tracer.
            context: What else the tracer is told.
        """
        label = name or tracing.name_of(fun)
        return tracing.traced(fun, lambda: self.trace(label, sample_rate=sample_rate, **context))

    # -- clients

    async def start_client(self) -> None:
        """Start as a client: a producer, and a reader of answers; no agents, tables or group.

        Such an app cannot become a worker any more.
        """
        self.client_only = True
        await self.start()

    async def maybe_start_client(self) -> None:
        """Start as a client unless the app has been started, in whatever way; callers share one start."""
        if self.started:
            if self.producer_only and not self.reply_consumer.started:
                await self.add_runtime_dependency(self.reply_consumer)
            return
        if self._client_lock is None:
            self._client_lock = asyncio.Lock()
        async with self._client_lock:
            if not self.started:
                await self.start_client()

    async def _wait_recovered(self) -> bool:
        """Wait for the first recovery; True when the app was stopped meanwhile."""
        if self._consumer is None or not len(self.topics.subscription()[0]):
            return False
        result = await self.wait_for_stopped(self._rebalance.recovered.wait())
        return bool(result)

    async def _guard(self, task: Task) -> None:
        try:
            await task()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            logger.error("Task %s failed: the worker stops", task.__name__)
            await self.crash(exc)

    async def on_stop(self) -> None:
        """Stop handing out, let what is in hand finish, commit; children stop after this."""
        self._stop_began = monotonic()
        await self._rebalance.stop_restart()
        await self._rebalance.stop_recovery()
        consumer = self._consumer
        if consumer is not None and consumer.started:
            whole = max(0.0, self.conf.worker_stop_timeout - STOP_RESERVE)
            timeout = whole if self.conf.stream_wait_empty else 0.0
            try:
                stuck = await consumer.close_tasks(
                    list(consumer.tasks),
                    lost=False,
                    timeout=timeout,
                    commit_timeout=whole - timeout + LAST_COMMIT,
                )
            except Exception as exc:
                if str(exc) != str(self.crash_reason):
                    logger.error(
                        "Stopping: the last commit failed: %s: %s", type(exc).__name__, exc
                    )
            else:
                if stuck and self.conf.stream_wait_empty:
                    topics = sorted({tp.topic for tp in stuck})
                    logger.warning(
                        "Stopping: events of %s did not finish within %.0f s, and are given up; they will be"
                        " processed again. %s",
                        ", ".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(stuck)),
                        timeout,
                        "; ".join(place for topic in topics for place in self.agents.places(topic)),
                    )
        await self.on_before_shutdown.send()
        for running in self._running_tasks:
            running.cancel()
        await asyncio.gather(*self._running_tasks, return_exceptions=True)
        self._running_tasks.clear()

    async def on_shutdown(self) -> None:
        """Close the clients that were started on demand."""
        await self.close_clients()

    def on_rebalance_start(self) -> None:
        """Partitions are being taken away, or the first are coming; override to be told, and call ``super()``."""
        self.rebalancing = True
        self.rebalancing_count += 1
        self._rebalance_span = tracing.start_span(
            self.tracer, "rebalance", rebalancing_count=self.rebalancing_count
        )
        self._rebalance_state = self.sensors.on_rebalance_start(self)

    def on_rebalance_return(self) -> None:
        """The new partitions are ours and their tables recover; override to be told, and call ``super()``."""
        if not self.rebalancing:
            logger.warning("on_rebalance_return: no rebalance has begun")
            return
        self.sensors.on_rebalance_return(self, self._rebalance_state)

    def on_rebalance_end(self) -> None:
        """The new partitions flow; override to be told, and call ``super()``."""
        if not self.rebalancing:
            logger.warning("on_rebalance_end: no rebalance has begun")
            return
        self.rebalancing = False
        state, self._rebalance_state = self._rebalance_state, None
        span, self._rebalance_span = self._rebalance_span, None
        if span is not None:
            span.finish()
        self.sensors.on_rebalance_end(self, state)
