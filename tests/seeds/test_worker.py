"""Shared seeds 000 (Worker API), 002 and 004 (guide, "Starting the App"): the ways to start an application."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import mode
import pytest

import faust
from faust.worker import Worker
from tests.seeds.support import Project, wait_for
from tests.support.apps import eventually, make_app, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

HEAD = """
    import asyncio
    import faust
    from faust import Worker

    app = faust.App('started')

    @app.timer(0.1)
    async def once_it_runs():
        print('IT RUNS')
"""


def test_a_worker_from_synchronous_code(project: Project) -> None:
    """``Worker(app).execute_from_commandline()`` runs until a signal comes, and ends the process with 0."""
    project.write(
        {
            "main.py": HEAD
            + """
    worker = Worker(app)
    worker.execute_from_commandline()
"""
        }
    )
    with project.start("main.py") as process:
        wait_for(process, "IT RUNS")
        process.terminate()
        assert process.wait(30.0) == 0


def test_a_worker_from_a_coroutine(project: Project) -> None:
    """``await worker.start()`` in a loop of one's own; ``stop_and_shutdown_loop`` ends worker and loop."""
    project.write(
        {
            "main.py": HEAD
            + """
    async def start_worker(worker: Worker) -> None:
        await worker.start()

    def manage_loop():
        loop = asyncio.new_event_loop()
        worker = Worker(app, loop=loop)
        try:
            loop.run_until_complete(start_worker(worker))
        finally:
            worker.stop_and_shutdown_loop()
        print('LOOP CLOSED', loop.is_closed())

    manage_loop()
"""
        }
    )
    with project.start("main.py") as process:
        wait_for(process, "IT RUNS")
        process.terminate()
        process.wait(30.0)
        shown = "\n".join([*process.lines(), *process.errors])
        assert "LOOP CLOSED True" in shown


def test_a_worker_of_several_apps(topic_name: Callable[..., str]) -> None:
    """The first app is the worker's; the others are started with it. Each has a web server, so each gets a port."""
    app1, app2, app3, app4 = (make_app("memory://", topic_name(f"app{n}")) for n in range(4))
    worker = Worker(app1, app2, app3, app4)
    assert worker.app is app1
    apps = [app1, app2, app3, app4]
    for i, app in enumerate(apps):
        app.conf.web_port = 6066 + i
    worker = Worker(*apps)
    assert worker.app is app1
    assert [app.conf.web_port for app in apps] == [6066, 6067, 6068, 6069]
    assert list(worker.services) == [app2, app3, app4, app1]


async def test_an_app_started_directly(app: faust.App) -> None:
    """``await app.start()`` starts the app and returns; nothing of the process is touched."""
    handlers = list(__import__("logging").getLogger().handlers)

    async def start_app(app: faust.App) -> None:
        await app.start()

    await start_app(app)
    assert app.started
    assert __import__("logging").getLogger().handlers == handlers
    await app.stop()


async def test_an_app_started_in_the_background(app: faust.App) -> None:
    """A task of the running loop starts the app beside what else the program does."""
    started: list[asyncio.Task[Any]] = []

    def start_in_loop(app: faust.App) -> None:
        loop = asyncio.get_event_loop()
        started.append(loop.create_task(app.start()))

    start_in_loop(app)
    await eventually(lambda: app.started)
    await started[0]
    await app.stop()


async def test_an_app_as_a_dependency(app: faust.App) -> None:
    """A service that names the app among its dependencies starts and stops it."""
    faust_app = app

    class MyService(mode.Service):
        def on_init_dependencies(self) -> Any:
            return [faust_app]

    service = MyService()
    await service.start()
    assert faust_app.started
    await service.stop()
    assert faust_app.should_stop


async def test_client_only_mode(topic_name: Callable[..., str]) -> None:
    """``await app.start_client()``: an app that asks agents, and runs none itself."""
    broker = f"memory://{topic_name('broker')}"
    name = topic_name("app")

    def declare(id: str) -> tuple[faust.App, Any]:
        app = make_app(broker, id, topic_partitions=1)

        @app.agent(app.topic(f"{name}-numbers", internal=True, value_type=int), name="double")
        async def double(numbers: faust.Stream[int]) -> Any:
            async for number in numbers:
                yield number * 2

        return app, double

    worker, _ = declare(name)
    app, double = declare(f"{name}-client")
    async with running(worker):
        await app.start_client()
        assert app.client_only
        assert await asyncio.wait_for(double.ask(21), 20) == 42
        await app.stop()
