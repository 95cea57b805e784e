"""service-framework.md: what users of services rely on, shown on mode as we depend on it, and on the app."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import mode
import pytest
from mode.threads import QueueServiceThread
from mode.utils.locks import Event
from mode.utils.times import want_seconds

import faust
from tests.support.apps import eventually


def test_1_names() -> None:
    """service-framework.md 1: the names that programs import are there, and faust's are mode's."""
    for name in (
        *("Service", "ServiceT", "task", "timer", "Worker", "Signal", "SyncSignal"),
        *("SupervisorStrategy", "OneForOneSupervisor", "OneForAllSupervisor"),
        *("ForfeitOneForOneSupervisor", "ForfeitOneForAllSupervisor", "CrashingSupervisor"),
        *("Seconds", "want_seconds", "get_logger", "setup_logging", "flight_recorder"),
        *("label", "shortlabel"),
    ):
        assert hasattr(mode, name), name
    assert faust.Service is mode.Service
    assert faust.ServiceT is mode.ServiceT
    assert issubclass(faust.App, mode.Service)
    assert issubclass(faust.Agent, mode.Service)
    assert issubclass(faust.Worker, mode.Worker)
    assert issubclass(faust.Sensor, mode.Service)


class Child(mode.Service):
    """Notes its starts and stops."""

    def __init__(self, name: str, log: list[str], **kwargs: Any) -> None:
        self.name = name
        self.notes = log
        super().__init__(**kwargs)

    async def on_start(self) -> None:
        self.notes.append(f"start {self.name}")

    async def on_stop(self) -> None:
        self.notes.append(f"stop {self.name}")


async def test_9_order_of_children() -> None:
    """service-framework.md 2.1 and 9: children start c3, c1, c2 and stop c3, c2, c1."""
    log: list[str] = []

    class Parent(mode.Service):
        """Has children of three kinds."""

        def __post_init__(self) -> None:
            self.add_dependency(Child("c1", log))

        def on_init_dependencies(self) -> Any:
            return [Child("c2", log)]

        async def on_start(self) -> None:
            await self.add_runtime_dependency(Child("c3", log))

    async with Parent():
        pass
    assert log == ["start c3", "start c1", "start c2", "stop c3", "stop c2", "stop c1"]


async def test_9_a_task_that_raises() -> None:
    """service-framework.md 2.5 and 9: a task that raises crashes its service, its parents and their other children."""

    class Failing(mode.Service):
        """Has a task that raises."""

        @mode.Service.task
        async def fails(self) -> None:
            raise LookupError("task")

    parent = mode.Service()
    failing = parent.add_dependency(Failing(beacon=parent.beacon))
    sibling = parent.add_dependency(mode.Service(beacon=parent.beacon))
    await parent.start()
    await eventually(lambda: parent.crashed)
    for service in (failing, parent, sibling):
        assert service.crashed
        assert isinstance(service.crash_reason, LookupError)
    await parent.stop()


async def test_2_3_timers_of_services() -> None:
    """service-framework.md 2.3 and 9: a body of 0.25 s every 0.1 s runs at about 0.1, 0.45 and 0.8 s."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    runs: list[float] = []

    class Ticking(mode.Service):
        """Has a slow timer."""

        @mode.Service.timer(0.1)
        async def tick(self) -> None:
            runs.append(loop.time() - began)
            await asyncio.sleep(0.25)

    async with Ticking():
        await eventually(lambda: len(runs) == 3)
    for run, expected in zip(runs, (0.1, 0.45, 0.8), strict=True):
        assert expected - 0.02 < run < expected + 0.5


async def test_9_sleep_ends_with_the_service() -> None:
    """service-framework.md 2.4 and 9: sleep(10) returns as soon as the service is stopped."""
    loop = asyncio.get_running_loop()
    service = mode.Service()
    await service.start()
    loop.call_later(0.1, lambda: asyncio.ensure_future(service.stop()))
    began = loop.time()
    await service.sleep(10)
    assert loop.time() - began < 5


async def test_2_1_starting_twice() -> None:
    """service-framework.md 2.1: start of a started service is an AssertionError, maybe_start says whether it started."""
    service = mode.Service()
    assert await service.maybe_start()
    assert not await service.maybe_start()
    with pytest.raises(AssertionError):
        await service.start()
    await service.stop()
    with pytest.raises(TypeError):
        mode.Service(colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (3, 3),
        (None, None),
        (timedelta(minutes=1), 60.0),
        ("3", 3.0),
        ("3/s", 3.0),
        ("100/m", 1.6666666666666667),
        ("2/h", 0.0005555555555555556),
        ("1/d", 1.1574074074074073e-05),
    ],
)
def test_5_time_values(given: Any, seconds: Any) -> None:
    """service-framework.md 5: numbers and timedeltas are durations, texts are rates."""
    assert want_seconds(given) == seconds


def test_5_bad_time_values() -> None:
    """service-framework.md 5: what is no rate is an error."""
    with pytest.raises(ValueError, match="abc"):
        want_seconds("abc")
    with pytest.raises(KeyError):
        want_seconds("1/x")


async def test_7_threads() -> None:
    """service-framework.md 7: a service in a thread has a loop of its own, and is called through its queue."""

    class Threaded(QueueServiceThread):
        """Answers in its thread."""

        async def where(self) -> tuple[str, bool]:
            return threading.current_thread().name, asyncio.get_running_loop() is here

    here = asyncio.get_running_loop()
    service = Threaded()
    await service.start()
    name, same_loop = await service.call_thread(service.where)
    assert name != threading.current_thread().name
    assert not same_loop
    await service.stop()


async def test_2_1_hooks_in_order() -> None:
    """service-framework.md 2.1: the hooks of a life, and of a restart, in their documented order; dependencies once."""
    log: list[str] = []

    class Noting(mode.Service):
        """Notes its hooks."""

        def __post_init__(self) -> None:
            log.append("__post_init__")

        def on_init_dependencies(self) -> Any:
            log.append("on_init_dependencies")
            return [Child("child", log)]

        async def on_first_start(self) -> None:
            log.append("on_first_start")

        async def on_start(self) -> None:
            log.append("on_start")

        async def on_started(self) -> None:
            log.append("on_started")

        async def on_stop(self) -> None:
            log.append("on_stop")

        async def on_shutdown(self) -> None:
            log.append("on_shutdown")

        async def on_restart(self) -> None:
            log.append("on_restart")

    service = Noting()
    assert service.state == "init"
    start = ["on_start", "start child", "on_started"]
    stop = ["on_stop", "stop child", "on_shutdown"]
    await service.start()
    assert service.state == "running"
    assert log == ["__post_init__", "on_init_dependencies", "on_first_start", *start]
    log.clear()
    await service.restart()
    assert log == [*stop, "on_restart", *start]
    assert service.restart_count == 1
    log.clear()
    await service.stop()
    await service.stop()
    assert log == stop
    assert service.should_stop


async def test_2_2_children_come_and_go() -> None:
    """service-framework.md 2.2: a child that is added at run time is started at once, one that is removed is stopped."""
    log: list[str] = []
    parent = mode.Service()
    await parent.start()
    child = await parent.add_runtime_dependency(Child("late", log))
    assert log == ["start late"]
    assert child.beacon.parent is parent.beacon
    await parent.remove_dependency(child)
    assert log == ["start late", "stop late"]
    log.clear()
    await parent.join_services([Child("one", log), Child("two", log)])
    assert log == ["start one", "start two", "stop two", "stop one"]
    await parent.stop()


async def test_2_2_futures_and_contexts_end_with_the_service() -> None:
    """service-framework.md 2.2: futures are cancelled and contexts left on stop; what fails in a future crashes the service."""
    log: list[str] = []

    @contextmanager
    def plain() -> Iterator[str]:
        yield "plain"
        log.append("left plain")

    @asynccontextmanager
    async def asynchronous() -> AsyncIterator[str]:
        yield "async"
        log.append("left async")

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    service = mode.Service()
    await service.start()
    assert service.add_context(plain()) == "plain"
    assert await service.add_async_context(asynchronous()) == "async"
    with pytest.raises(TypeError):
        service.add_context(asynchronous())  # type: ignore[arg-type]
    service.add_future(forever())
    await asyncio.sleep(0)
    await service.stop()
    assert sorted(log) == ["cancelled", "left async", "left plain"]

    async def fails() -> None:
        raise LookupError("future")

    service = mode.Service()
    await service.start()
    service.add_future(fails())
    await eventually(lambda: service.crashed)
    assert isinstance(service.crash_reason, LookupError)
    assert service.state == "crashed"
    await service.stop()


async def test_2_2_a_service_of_a_coroutine() -> None:
    """service-framework.md 2.2: from_awaitable makes a service that runs a coroutine."""
    ran: list[str] = []

    async def work() -> None:
        ran.append("ran")

    async with mode.Service.from_awaitable(work(), name="worker"):
        await eventually(lambda: ran == ["ran"])


async def test_2_4_waiting() -> None:
    """service-framework.md 2.4: wait gives result and whether stopped, and what its argument raises; losers are cancelled."""

    async def soon(value: int) -> int:
        await asyncio.sleep(0.01)
        return value

    async def fails() -> None:
        raise LookupError("waited for")

    event = Event()
    service = mode.Service()
    await service.start()
    assert tuple(await service.wait(soon(6))) == (6, False)
    with pytest.raises(LookupError, match="waited for"):
        await service.wait(fails())
    first, never = asyncio.ensure_future(soon(7)), asyncio.ensure_future(event.wait())
    found = await service.wait_first(first, never)
    assert first in found.done
    assert not found.stopped
    await eventually(never.cancelled)
    assert not await service.wait_for_stopped(soon(8))
    waiting = asyncio.create_task(service.wait_until_stopped())
    await service.stop()
    await waiting
    assert await service.wait_for_stopped(event)
