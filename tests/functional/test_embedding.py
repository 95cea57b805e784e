"""Issue 7, acceptance 7; pain row 47: the app in somebody else's event loop, under whatever runs it."""

from __future__ import annotations

import ast
import asyncio
import inspect
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import mode
import pytest
import uvloop
from aiohttp import web as aiohttp_web
from fastapi import FastAPI
from fastapi.testclient import TestClient

import faust
from faust.contrib.asgi import (
    LoopMismatch,
    bind_to_running_loop,
    faust_app_running,
    faust_lifespan,
)
from faust.exceptions import ImproperlyConfigured
from tests.support.apps import make_app, running
from tests.support.ports import free_port
from tests.support.processes import start_python


def asked_app(**options: Any) -> tuple[faust.App, Any]:
    """Make an app whose agent answers, and counts in a table."""
    name = f"embedded-{uuid.uuid4().hex[:8]}"
    app = make_app(f"memory://{name}", name, env={}, web_enabled=False, **options)
    counts: Any = app.Table("counts", default=int, key_type=str, partitions=1)

    @app.agent(app.topic("words", key_type=str, value_type=str, partitions=1, internal=True))
    async def shout(stream: Any) -> Any:
        async for value in stream:
            counts[value] += 1
            yield [value.upper(), counts[value]]

    return app, shout


# An app at module level, as programs have it: declared once, started in the loops of several tests.
app, shout = asked_app()
ticks: list[str] = []


@app.timer(0.01)
async def tick() -> None:
    """Show that timers run."""
    ticks.append("tick")


@app.service
class Extra(mode.Service):
    """Belongs to a loop only while it runs."""

    async def on_start(self) -> None:
        self.add_future(self.run_on())

    async def run_on(self) -> None:
        await self.wait_until_stopped()


@pytest.mark.parametrize("round", [1, 2])
async def test_one_app_in_several_tests(round: int) -> None:
    """Issue 7, acceptance 7: pytest-asyncio gives each test a loop of its own, and the app of the module runs in each."""
    del ticks[:]
    async with app:
        answer, _count = await shout.ask("hello", key="k")
        assert answer == "HELLO"
        assert app.loop is asyncio.get_running_loop()
        async with asyncio.timeout(10):
            while not ticks:
                await asyncio.sleep(0.01)
    assert not app.started


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop])
def test_asyncio_run_again_and_again(factory: Any) -> None:
    """Pain row 47: under asyncio.run, on asyncio's loop and on uvloop, one app after the other loop."""
    embedded, ask = asked_app()

    async def once() -> Any:
        async with embedded:
            return await ask.ask("x", key="k")

    counts = []
    for _ in range(3):
        with asyncio.Runner(loop_factory=factory) as runner:
            counts.append(runner.run(once()))
    assert counts == [["X", 1], ["X", 2], ["X", 3]]


def test_importing_touches_no_loop() -> None:
    """Pain row 47: declaring everything there is neither makes nor asks for an event loop."""
    program = """
import asyncio, sys, warnings
warnings.simplefilter("error")
def refuse(*args):
    raise AssertionError("an event loop is asked for at import")
asyncio.get_event_loop = asyncio.new_event_loop = asyncio.set_event_loop = refuse
import faust, mode
import mode.utils.loops
mode.utils.loops.get_event_loop = refuse
app = faust.App("x", broker="memory://", env={})
topic = app.topic("t", value_type=str)
channel = app.channel()
table = app.Table("table", default=int).tumbling(10)
sets = app.SetTable("sets", start_manager=True)
globals_ = app.GlobalTable("globals")
@app.agent(topic, concurrency=2, sink=[topic])
async def agent(stream):
    async for value in stream:
        yield value
@app.timer(1)
async def timer(): ...
@app.crontab("* * * * *")
async def cron(): ...
@app.task
async def task(): ...
@app.service
class Service(mode.Service): ...
app.service(mode.Service())
@app.page("/p/")
@app.table_route(sets, match_info="x")
async def page(web, request): ...
stream = app.stream(channel)
app.finalize(); app.web; app.cache; app.monitor; app.tables; app.topics; app.flow_control; app.health
assert app._loop is None
print("no loop")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("no loop", "")


def test_fastapi_test_client() -> None:
    """web.md 9: a lifespan starts and stops the app with every test client, each of which has a loop of its own."""
    embedded, ask = asked_app()
    api = FastAPI(lifespan=faust_lifespan(embedded, stop_timeout=5.0))

    @api.get("/shout/{word}")
    async def handler(word: str) -> Any:
        return await ask.ask(word, key=word)

    for round in (1, 2):
        with TestClient(api) as client:
            assert client.get("/shout/hey").json() == ["HEY", round]
            assert embedded.started
        assert not embedded.started


PROGRAM = """
import faust, sys
from fastapi import FastAPI
from faust.contrib.asgi import faust_lifespan

faust_app = faust.App("shop", broker="local:///" + sys.argv[1], datadir=sys.argv[1] + "/data", env={}, topic_partitions=1)
topic = faust_app.topic("words", key_type=str, value_type=str, partitions=1, internal=True)

@faust_app.agent(topic)
async def shout(stream):
    async for value in stream:
        yield value.upper()

@faust_app.on_before_shutdown.connect
async def bye(app, **kwargs):
    print("faust stops", flush=True)

api = FastAPI(lifespan=faust_lifespan(faust_app))

@api.get("/shout/{word}")
async def handler(word: str):
    return await shout.ask(word, key=word)

@api.get("/health/ready")
async def ready():
    return {"reasons": faust_app.health.why_not_ready()}

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(api, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""


async def test_fastapi_under_uvicorn(tmp_path: Any) -> None:
    """Issue 7, acceptance 7: uvicorn starts the app in the lifespan, requests ask an agent, TERM stops both cleanly."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with start_python(PROGRAM, str(tmp_path), str(port)) as process:
        async with aiohttp.ClientSession() as session:
            async with asyncio.timeout(40):
                while True:
                    try:
                        async with session.get(f"{base}/shout/hello") as response:
                            assert await response.json() == "HELLO"
                            break
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.05)
            words = [f"w{i}" for i in range(50)]

            async def ask(word: str) -> Any:
                async with session.get(f"{base}/shout/{word}") as response:
                    return await response.json()

            assert await asyncio.gather(*map(ask, words)) == [w.upper() for w in words]
            async with session.get(f"{base}/health/ready") as response:
                assert await response.json() == {"reasons": []}
        process.terminate()
        assert await asyncio.to_thread(process.read_line) == "faust stops"
        status = process.wait(30)
        said = "\n".join(process.errors)
    assert status in (0, -15)  # uvicorn ends by the signal that it was sent
    assert "Traceback" not in said


async def test_inside_an_aiohttp_application() -> None:
    """Issue 7: an aiohttp application runs the app in its cleanup context, and its handlers ask an agent."""
    embedded, ask = asked_app()

    async def with_faust(_application: Any) -> AsyncIterator[None]:
        async with faust_app_running(embedded):
            yield

    async def handler(request: Any) -> Any:
        return aiohttp_web.json_response(await ask.ask(request.match_info["word"], key="k"))

    application = aiohttp_web.Application()
    application.cleanup_ctx.append(with_faust)
    application.router.add_get("/{word}", handler)
    runner = aiohttp_web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await aiohttp_web.TCPSite(runner, "127.0.0.1", port).start()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/you") as response,
    ):
        assert await response.json() == ["YOU", 1]
    await runner.cleanup()
    assert not embedded.started


CELLS = """
app = faust.App(name, broker="memory://" + name, datadir=directory, env={}, web_enabled=False)
greetings = app.topic("greetings", key_type=str, value_type=str, partitions=1, internal=True)
counts = app.Table("counts", default=int, key_type=str, partitions=1)
#
@app.agent(greetings)
async def greet(stream):
    async for greeting in stream:
        counts[greeting] += 1
        yield greeting + "!"
#
await app.start()
#
answer = await greet.ask("hello", key="k")
#
value = counts["hello"]
#
await app.stop()
#
app.service_reset()
await app.start()
again = await greet.ask("hello", key="k")
await app.stop()
"""


async def test_cells_of_a_notebook(tmp_path: Any) -> None:
    """Issue 7, acceptance 7: declared, started, asked and stopped in cells with a top-level await, the loop running all along."""
    space: dict[str, Any] = {
        "faust": faust,
        "name": f"notebook-{uuid.uuid4().hex[:8]}",
        "directory": tmp_path,
    }
    for cell in CELLS.split("#\n"):  # what IPython does: each cell is code that may await
        code = compile(cell, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, space)
        else:
            exec(code, space)
        await asyncio.sleep(0)
    assert (space["answer"], space["value"], space["again"]) == ("hello!", 1, "hello!")


async def test_several_apps_in_one_process() -> None:
    """Issue 7: apps that share a loop keep agents, tables, monitors and signals apart."""
    made = [asked_app() for _ in range(3)]
    stopped: list[Any] = []
    first = made[0][0]

    @first.on_before_shutdown.connect
    async def note(sender: Any, **kwargs: Any) -> None:
        stopped.append(sender)

    async with asyncio.timeout(60):
        async with made[0][0], made[1][0], made[2][0]:
            for n, (_, ask) in enumerate(made):
                for i in range(n + 1):
                    assert await ask.ask("w", key="k") == ["W", i + 1]
    assert stopped == [first]
    assert len({id(each.monitor) for each, _ in made}) == 3


async def test_two_apps_of_a_process_want_one_port() -> None:
    """The message about a port that is taken says that an app of the same process may have it."""
    port = free_port()
    apps = [
        faust.App(
            f"port-{number}",
            broker=f"memory://{uuid.uuid4()}",
            env={},
            web_bind="127.0.0.1",
            web_port=port,
        )
        for number in range(2)
    ]
    with pytest.raises(ImproperlyConfigured, match="another app of this process"):
        async with apps[0], apps[1]:
            pytest.fail("both listen")


def test_apps_in_several_threads() -> None:
    """app.md 12: each thread may run an app of its own; from elsewhere one asks through the loop of the app."""
    import threading

    asking = [asked_app() for _ in range(2)]
    ready, done = threading.Barrier(3), threading.Event()

    def run(embedded: faust.App) -> None:
        async def main() -> None:
            async with embedded:
                await asyncio.to_thread(ready.wait, 20)
                await asyncio.to_thread(done.wait, 20)

        asyncio.run(main())

    threads = [threading.Thread(target=run, args=(embedded,)) for embedded, _ in asking]
    for thread in threads:
        thread.start()
    ready.wait(20)
    for embedded, ask in asking:
        answer = asyncio.run_coroutine_threadsafe(ask.ask("from afar", key="k"), embedded.loop)
        assert answer.result(20) == ["FROM AFAR", 1]
    done.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


async def test_an_app_belongs_to_one_loop() -> None:
    """web.md 9: an app that runs in another loop is refused with what to do; without a loop there is nothing to bind to."""
    embedded, _ = asked_app()
    async with running(embedded):

        def elsewhere() -> None:
            async def bind() -> None:
                bind_to_running_loop(embedded)

            asyncio.run(bind())

        with pytest.raises(LoopMismatch, match="belongs to another event loop"):
            await asyncio.to_thread(elsewhere)
        async with faust_app_running(embedded) as same:  # it runs already, and goes on
            assert same is embedded
        assert embedded.started
        assert bind_to_running_loop(embedded) is asyncio.get_running_loop()


def test_binding_needs_a_loop() -> None:
    """web.md 9: binding without a running loop is a RuntimeError."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        bind_to_running_loop(asked_app()[0])


def test_an_app_whose_loop_is_closed() -> None:
    """web.md 9: an app that was stopped, and not reset, is made fresh when its loop is closed."""
    embedded, ask = asked_app()

    async def start_and_stop() -> None:
        await embedded.start()
        await embedded.stop()

    async def again() -> Any:
        async with faust_app_running(embedded):
            return await ask.ask("x", key="k")

    asyncio.run(start_and_stop())
    assert asyncio.run(again()) == ["X", 1]


async def test_a_start_that_fails_leaves_nothing_behind() -> None:
    """web.md 9: when the app does not start, what had started is stopped, and the next start is a clean one."""
    embedded, ask = asked_app()
    fails = [True]

    @asynccontextmanager
    async def quiet() -> AsyncIterator[None]:
        before = {task for task in asyncio.all_tasks() if not task.done()}
        yield
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() <= before

    class Fragile(mode.Service):
        """Cannot start at first."""

        async def on_start(self) -> None:
            if fails:
                raise LookupError("no database")

    embedded.service(Fragile)
    async with quiet():
        with pytest.raises(LookupError):
            async with faust_app_running(embedded):
                pass
    assert not embedded.started
    fails.clear()
    async with faust_app_running(embedded, discover=False):
        assert (await ask.ask("x", key="k"))[0] == "X"


async def test_a_stop_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """web.md 9: after stop_timeout the stop is given up with a warning."""
    embedded, _ = asked_app(datadir=tempfile.mkdtemp())
    stuck = asyncio.Event()

    @embedded.on_before_shutdown.connect
    async def hang(sender: Any, **kwargs: Any) -> None:
        await stuck.wait()

    async with faust_app_running(embedded, stop_timeout=0.2):
        pass
    assert "did not stop within 0.2 s" in caplog.text
    stuck.set()
    await embedded.stop()
