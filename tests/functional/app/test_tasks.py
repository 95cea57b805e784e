"""app.md 3, 6 and 13: tasks, timers, cron jobs, services and hooks of a running app."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import mode
import pytest
from croniter import CroniterBadCronError

import faust
from faust.exceptions import ConsumerNotStarted
from tests.support.apps import eventually, make_app, running

Name = Callable[..., str]


def crashed_of(app: faust.App) -> Callable[[], bool]:
    """Return what says whether *app* has crashed."""
    return lambda: app.crashed


async def test_tasks_start_when_all_is_ready(memory_url: str, topic_name: Name) -> None:
    """app.md 3 and 6: a task runs once after recovery, in the order of declaration; it takes the app, or nothing."""
    app = make_app(memory_url, topic_name("app"))
    ran: list[Any] = []

    @app.task
    async def first() -> int:
        ran.append("first")
        return 7

    @app.task()
    async def second(app: faust.App) -> None:
        ran.append(app)

    @app.task(traced=False)
    async def third() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ran.append("cancelled")

    async with running(app):
        await eventually(lambda: len(ran) == 2)
        assert await first() == 7
    assert ran == ["first", app, "first", "cancelled"]
    assert first.__name__ == "first"
    assert first.__wrapped__ is not first  # type: ignore[attr-defined]


async def test_a_task_that_raises_stops_the_worker(memory_url: str, topic_name: Name) -> None:
    """app.md 3: an exception that leaves a task or a timer crashes the app with it."""
    for declare in ("task", "timer"):
        app = make_app(memory_url, topic_name("app"))

        async def fails() -> None:
            raise LookupError("task")

        if declare == "task":
            app.task(fails)
        else:
            app.timer(0.05)(fails)
        await app.start()
        await eventually(crashed_of(app))
        assert isinstance(app.crash_reason, LookupError)
        await app.stop()


async def test_timers_and_cron_jobs_run(memory_url: str, topic_name: Name) -> None:
    """app.md 3: a timer runs every interval, a cron job when the time of day matches; both end with the app."""
    app = make_app(memory_url, topic_name("app"))
    ran: list[str] = []

    @app.timer(0.05)
    async def often() -> None:
        ran.append("timer")

    @app.timer(interval=0.05, on_leader=True, name="leaders")
    async def leads(app: faust.App) -> None:
        assert app.is_leader()
        ran.append("leader")

    @app.crontab("* * * * * *")
    async def every_second() -> None:
        ran.append("cron")

    @app.crontab("* * * * * *", on_leader=True)
    async def every_second_on_leader(app: faust.App) -> None:
        ran.append("leader cron")

    @app.task(on_leader=True)
    async def once_on_leader() -> None:
        ran.append("leader task")

    async with running(app):
        await eventually(lambda: {"timer", "leader", "cron", "leader cron"} <= set(ran))
    count = len(ran)
    await asyncio.sleep(0.15)
    assert len(ran) == count
    assert ran.count("leader task") == 1


async def test_without_a_leader_nothing_leads(memory_url: str, topic_name: Name) -> None:
    """app.md 4: with topic_disable_leader nobody leads; before the start asking is an error."""
    app = make_app(memory_url, topic_name("app"), topic_disable_leader=True)
    ran: list[str] = []

    @app.timer(0.02, on_leader=True)
    async def leads() -> None:
        ran.append("leader")

    @app.timer(0.02)
    async def all_do() -> None:
        ran.append("all")

    with pytest.raises(ConsumerNotStarted):
        app.is_leader()
    async with running(app):
        assert app.is_leader() is False
        await eventually(lambda: ran.count("all") > 3)
    assert "leader" not in ran


@pytest.mark.parametrize(
    ("declare", "arguments"), [("task", ()), ("timer", (0.05,)), ("crontab", ("* * * * * *",))]
)
async def test_what_is_no_coroutine_function(
    memory_url: str, topic_name: Name, declare: str, arguments: tuple[Any, ...]
) -> None:
    """app.md 3: a function without ``async`` is named when it has been called; what returns an awaitable will do."""
    app = make_app(memory_url, topic_name("app"))
    ran: list[str] = []

    async def real() -> None:
        ran.append("real")

    def calling() -> Any:
        return real()

    def plain() -> None:
        ran.append("plain")

    getattr(app, declare)(*arguments)(calling)
    await app.start()
    await eventually(lambda: "real" in ran)
    assert not app.crashed
    await app.stop()
    app = make_app(memory_url, topic_name("app"))
    getattr(app, declare)(*arguments)(plain)
    await app.start()
    await eventually(lambda: app.crashed)
    assert isinstance(app.crash_reason, TypeError)
    assert str(app.crash_reason).endswith(".plain cannot be awaited: write it as `async def`")
    await app.stop()


@pytest.mark.parametrize("interval", [0, -1, timedelta(0), "0/m", "x", "1/x", float("nan"), None])
def test_bad_intervals_are_refused(interval: Any) -> None:
    """app.md 3: the interval of a timer is a time; what is none is refused where it is declared."""
    app = faust.App("t")

    async def tick() -> None: ...

    with pytest.raises(ValueError, match=r"timer .*\.tick: the interval must be more than 0"):
        app.timer(interval)(tick)
    with pytest.raises(ValueError, match="timer ticking: the interval"):
        app.timer(interval, name="ticking")(tick)
    app.timer(0.001)(tick)
    app.timer("10/m")(tick)


@pytest.mark.parametrize("format", ["99 * * * *", "junk", None])
async def test_bad_cron_formats_crash_the_app(
    memory_url: str, topic_name: Name, format: Any
) -> None:
    """app.md 3: a format that cannot be read is seen when the app runs, and crashes it; the reason names the job."""
    app = make_app(memory_url, topic_name("app"))

    @app.crontab(format)
    async def never() -> None:
        raise AssertionError

    await app.start()
    await eventually(lambda: app.crashed)
    assert isinstance(app.crash_reason, CroniterBadCronError)
    assert re.match(
        r"crontab .*\.never: cannot read " + re.escape(repr(format)), str(app.crash_reason)
    )
    await app.stop()


class Counting(mode.Service):
    """A service that counts its starts."""

    instances: int = 0

    def __post_init__(self) -> None:
        type(self).instances += 1
        self.starts = 0
        self.stops = 0

    async def on_start(self) -> None:
        self.starts += 1

    async def on_stop(self) -> None:
        self.stops += 1


async def test_services_live_with_the_app(memory_url: str, topic_name: Name) -> None:
    """app.md 3 and 6: a service class is made once with the app's place in the graph, and kept over restarts."""
    app = make_app(memory_url, topic_name("app"))

    @app.service
    class Mine(Counting):
        """A service of one's own."""

    given = app.service(Counting())
    assert isinstance(Mine, type)
    Mine.instances = 0
    async with running(app):
        (mine,) = [child for child in app._children if type(child) is Mine]
        assert mine.started
        assert mine.beacon.parent is app.beacon
        assert given.started
        assert app._children[-2:] == [mine, given]
    assert (mine.starts, mine.stops) == (1, 1)
    await app.restart()
    assert (Mine.instances, mine.starts, given.starts) == (1, 2, 2)
    await app.stop()
    assert (mine.stops, given.stops) == (2, 2)


async def test_hooks_are_called_in_order(memory_url: str, topic_name: Name) -> None:
    """app.md 6 and 13: every hook of a sub-class, in the order of start and stop."""
    order: list[str] = []

    class Hooked(faust.App):
        """Notes its hooks."""

        def on_init_dependencies(self) -> Any:
            order.append("on_init_dependencies")
            return super().on_init_dependencies()

        async def on_first_start(self) -> None:
            order.append("on_first_start")
            await super().on_first_start()

        async def on_start(self) -> None:
            order.append("on_start")
            await super().on_start()

        async def on_started(self) -> None:
            order.append("on_started")
            await super().on_started()

        async def on_started_init_extra_tasks(self) -> None:
            order.append("extra_tasks")
            await super().on_started_init_extra_tasks()

        async def on_started_init_web_server(self) -> None:
            order.append("web_server")
            await super().on_started_init_web_server()

        async def on_started_init_extra_services(self) -> None:
            order.append("extra_services")
            await super().on_started_init_extra_services()

        async def on_init_extra_service(self, service: Any) -> Any:
            order.append("extra_service")
            return await super().on_init_extra_service(service)

        async def on_stop(self) -> None:
            order.append("on_stop")
            await super().on_stop()

        def on_rebalance_start(self) -> None:
            order.append("rebalance start")
            super().on_rebalance_start()

        def on_rebalance_return(self) -> None:
            order.append("rebalance return")
            super().on_rebalance_return()

        def on_rebalance_end(self) -> None:
            order.append("rebalance end")
            super().on_rebalance_end()

    plain = make_app(memory_url, topic_name("app"))
    app = Hooked(topic_name("app"), broker=memory_url, datadir=plain.conf.datadir)
    app.service(Counting)

    async def on_startup_finished() -> None:
        order.append("finished")

    @app.agent()
    async def reader(stream: Any) -> None:
        async for _ in stream:
            pass

    app.on_startup_finished = on_startup_finished
    async with running(app):
        pass
    started = [name for name in order if not name.startswith("rebalance")]
    assert started == [
        "on_init_dependencies",
        "on_first_start",
        "on_start",
        "on_started",
        "extra_tasks",
        "web_server",
        "extra_services",
        "extra_service",
        "finished",
        "on_stop",
    ]
    rebalances = [name for name in order if name.startswith("rebalance")]
    assert rebalances[:3] == ["rebalance start", "rebalance return", "rebalance end"]


async def test_tracing(memory_url: str, topic_name: Name) -> None:
    """app.md 8: tasks, and what is asked to be, run inside contexts of app.tracer, named after the function."""
    app = make_app(memory_url, topic_name("app"))
    spans: list[str] = []

    class Tracer:
        """Notes spans."""

        default_tracer = None

        @contextmanager
        def trace(self, name: str, sample_rate: float | None = None, **context: Any) -> Any:
            spans.append(f"+{name}{context or ''}")
            yield
            spans.append(f"-{name}")

        def get_tracer(self, service_name: str) -> Any:
            return None

    @app.task
    async def traced_task() -> None:
        pass

    @app.task(traced=False)
    async def plain_task() -> None:
        pass

    def plain(x: int) -> int:
        return x + 1

    async def coroutine(x: int) -> int:
        return x + 1

    with app.trace("nothing"):
        assert spans == []
    app.tracer = Tracer()
    with app.trace("mine", a=1):
        pass
    with app.trace("off", trace_enabled=False):
        pass
    assert app.traced(plain, name="plain")(1) == 2
    assert await app.traced(coroutine, sample_rate=0.5)(1) == 2
    assert spans[:4] == ["+mine{'a': 1}", "-mine", "+plain", "-plain"]
    assert spans[4].startswith("+")
    assert "coroutine" in spans[4]
    del spans[:]
    async with running(app):
        await eventually(lambda: len(spans) == 2)
    assert "traced_task" in spans[0]


async def test_a_client_runs_its_tasks(memory_url: str, topic_name: Name) -> None:
    """app.md 10: clients and producers run tasks and services, but neither agents nor tables."""
    for attribute in ("client_only", "producer_only"):
        app = make_app(memory_url, topic_name("app"))
        ran: list[str] = []

        @app.agent(name="reader")
        async def reader(stream: Any) -> AsyncIterator[Any]:
            async for value in stream:
                yield value

        @app.task
        async def task(ran: list[str] = ran) -> None:
            ran.append("task")

        setattr(app, attribute, True)
        async with running(app):
            await eventually(ran.copy)
            assert not reader.started
            assert app.consumer_or_none() is None
            assert not app.tables.started
            await reader.cast(1)


async def test_a_producer_may_ask(memory_url: str, topic_name: Name) -> None:
    """A producer-only app gets a reader of answers when it first asks, and stops it with the rest."""
    id = topic_name("app")

    def build() -> tuple[faust.App, Any]:
        app = make_app(memory_url, id)

        @app.agent(name="echo")
        async def echo(stream: Any) -> AsyncIterator[Any]:
            async for value in stream:
                yield value

        return app, echo

    worker, _ = build()
    producer, echo = build()
    producer.producer_only = True
    async with running(worker), running(producer):
        assert await asyncio.wait_for(echo.ask(3), 20) == 3
        assert producer.reply_consumer in producer._children
    assert producer.reply_consumer.should_stop


async def test_tasks_of_a_subclass(memory_url: str, topic_name: Name) -> None:
    """app.md 6: `Service.task` methods of an App subclass are started with the app, before its children."""
    ran: list[str] = []

    class MyApp(faust.App):
        """Has a background task of its own."""

        @faust.Service.task
        async def background(self) -> None:
            ran.append("background")
            await self.wait_until_stopped()
            ran.append("stopped")

    plain = make_app(memory_url, topic_name("app"))
    app = MyApp(topic_name("app"), broker=memory_url, datadir=plain.conf.datadir)
    async with running(app):
        await eventually(lambda: ran == ["background"])
    assert ran == ["background", "stopped"]
