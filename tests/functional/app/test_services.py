"""service-framework.md: what users of services rely on, shown on mode as we depend on it, and on the app."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import mode
import pytest
from mode.threads import QueueServiceThread
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
