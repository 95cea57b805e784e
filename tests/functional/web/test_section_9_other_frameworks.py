"""web.md section 9: a server of one's own in place of the built-in one, and ASGI applications."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import aiohttp
import mode
import pytest
from aiohttp import web as aiohttp_web
from fastapi import FastAPI

import faust
import faust.contrib.fastapi
from faust.app import BootStrategy
from faust.contrib.asgi import AsgiService, FaustLifespanMiddleware, serve_asgi
from faust.exceptions import ImproperlyConfigured
from faust.web import View
from tests.support.apps import running
from tests.support.ports import free_port
from tests.support.web import served, web_app


class Own(mode.Service):
    """A web server of one's own, on aiohttp."""

    driver_version = "own=1"
    order: list[str]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.runner: aiohttp_web.AppRunner | None = None
        self.starts = 0

    async def on_start(self) -> None:
        self.starts += 1
        application = aiohttp_web.Application()
        application.router.add_get("/own/", self.answer)
        self.runner = aiohttp_web.AppRunner(application)
        await self.runner.setup()
        await aiohttp_web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def answer(self, _request: Any) -> Any:
        return aiohttp_web.Response(text="own")

    async def on_stop(self) -> None:
        assert self.runner is not None
        await self.runner.cleanup()

    @property
    def port(self) -> int:
        return type(self).port_number

    port_number = 0


async def test_a_server_of_ones_own(caplog: pytest.LogCaptureFixture) -> None:
    """web.md 9, app.md 3: the service replaces server, cache, pages and built-in endpoints; it lives and restarts with the app."""
    app = web_app()
    caplog.set_level(logging.WARNING)

    @app.page("/page/")
    async def page(web: View, request: Any) -> Any:
        return web.text("never")

    @app.web_server
    class Mine(Own):
        """Mine."""

        port_number = app.conf.web_port

    assert isinstance(Mine, type)
    started: list[str] = []

    @app.task
    async def task() -> None:
        started.append("task")

    @app.service
    class Extra(mode.Service):
        """Comes after the web server."""

        async def on_start(self) -> None:
            (server,) = [child for child in app._children if isinstance(child, Mine)]
            started.append(f"service, server {server.started}")

    async with served(app) as client:
        assert (await client("/own/"))[1] == b"own"
        assert [(await client(path))[0].status for path in ("/page/", "/", "/table/")] == [404] * 3
        assert not app.web.started
        assert not app.cache.started
    assert started[-1] == "service, server True"
    assert "Pages are declared, and not served" in caplog.text
    (server,) = [child for child in app._children if isinstance(child, Mine)]
    await app.restart()
    assert (server.starts, app._children.count(server)) == (2, 1)
    await app.stop()


def test_only_one_server() -> None:
    """app.md 3: the same registration twice is nothing new, a second one is refused; it must be a service."""
    app = web_app()
    service = Own()
    assert app.web_server(service) is service
    assert app.web_server(service) is service
    with pytest.raises(ImproperlyConfigured, match="has a web server already"):
        app.web_server(Own)
    with pytest.raises(TypeError, match=r"mode\.Service is needed"):
        app.web_server(object())  # type: ignore[type-var]


async def test_without_web_it_is_not_started() -> None:
    """web.md 9: the service is started only if web is enabled, by the setting or by the boot strategy."""

    class NoWeb(BootStrategy):
        """Serves nothing."""

        enable_web = False

    class Quiet(faust.App):
        """Has no web server."""

        BootStrategy = NoWeb

    off = web_app(web_enabled=False)
    quiet = Quiet("quiet", broker="memory://quiet", env={}, datadir=off.conf.datadir)
    for app in (off, quiet):
        service = app.web_server(Own())
        async with running(app):
            assert not service.started


def test_url_and_version_of_the_server() -> None:
    """web.md 9: get_web_url or web_url, and driver_version, of class or instance; else canonical_url and the name."""

    class Bare(mode.Service):
        """Says nothing of itself."""

    class Telling(mode.Service):
        """Says where it is."""

        web_url = "http://there:1/"
        driver_version = "telling=2"

    class Asked(mode.Service):
        """Says where it is when asked."""

        def get_web_url(self) -> str:
            return "http://asked:2/"

    shown = []
    for server in (Bare, Telling, Telling(), Asked(), Asked):
        app = web_app(canonical_url="http://canonical:3")
        app.web_server(server)
        shown.append((str(app.web_server_url), app.web_server_driver_version))
    assert shown == [
        ("http://canonical:3", "Bare"),
        ("http://there:1/", "telling=2"),
        ("http://there:1/", "telling=2"),
        ("http://asked:2/", "Asked"),
        ("http://canonical:3", "Asked"),
    ]
    plain = web_app()
    assert plain.web_server_url == plain.web.url
    assert plain.web_server_driver_version == plain.web.driver_version


def echo_app(app: faust.App) -> Any:
    """Declare an agent that answers, and return it."""

    @app.agent(app.topic("echo", value_type=str, partitions=1, internal=True), name="echo")
    async def echo(stream: Any) -> Any:
        async for value in stream:
            yield value.upper()

    return echo


async def test_serve_asgi() -> None:
    """web.md 9: a FastAPI app is served on the worker's loop, its lifespan included, and asks an agent."""
    app = web_app(web_bind="127.0.0.1")
    echo = echo_app(app)
    seen: list[Any] = []
    api = FastAPI(lifespan=faust.contrib.fastapi.faust_lifespan(app))

    @api.get("/echo/{word}")
    async def ask(word: str) -> str:
        seen.append(asyncio.get_running_loop() is app.loop)
        return str(await echo.ask(word))

    service = serve_asgi(app, api)
    assert issubclass(service, AsgiService)
    assert str(app.web_server_url) == f"http://127.0.0.1:{app.conf.web_port}"
    assert app.web_server_driver_version == "ASGI"
    async with served(app) as client:
        assert await client.json("/echo/hello") == (200, "HELLO")
        assert (await client("/"))[0].status == 404
        assert app.started
    assert seen == [True]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", app.conf.web_port)) != 0


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer everything with 204, and no lifespan at all."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_options_of_uvicorn() -> None:
    """web.md 9: host, port and options of uvicorn are passed on."""
    port = free_port()
    app = web_app()
    serve_asgi(
        app, plain_asgi, host="127.0.0.1", port=port, lifespan="off", headers=[("X-Mine", "1")]
    )
    async with (
        running(app),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/") as response,
    ):
        assert (response.status, response.headers["X-Mine"]) == (204, "1")


@pytest.mark.parametrize("fault", ["port in use", "lifespan fails", "no application"])
async def test_a_server_that_does_not_start(fault: str) -> None:
    """web.md 9: what uvicorn cannot do stops the start of the app with a sentence, not with SystemExit."""
    app = web_app(web_bind="127.0.0.1")

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        if fault == "port in use":
            serve_asgi(app, plain_asgi, port=other.getsockname()[1], lifespan="off")
        elif fault == "lifespan fails":
            serve_asgi(app, failing)
        else:
            app.web_server(AsgiService)
        words = "no asgi_app" if fault == "no application" else "uvicorn does not serve on 127"
        with pytest.raises(ImproperlyConfigured, match=words):
            await app.start()
        await app.stop()


async def test_a_server_that_ends_by_itself() -> None:
    """web.md 9: when uvicorn ends without being told to, the app crashes: no worker without its web server."""
    app = web_app(web_bind="127.0.0.1")
    serve_asgi(app, plain_asgi, lifespan="off", limit_max_requests=1)
    await app.start()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{app.conf.web_port}/") as response,
    ):
        assert response.status == 204
    async with asyncio.timeout(20):
        while not app.crashed:
            await asyncio.sleep(0.01)
    assert "uvicorn has ended by itself" in str(app.crash_reason)
    await app.stop()


async def lifespan_of(application: Any, *kinds: str) -> list[dict[str, Any]]:
    """Send lifespan messages to an application, one after the other; return what it answered."""
    asked = asyncio.Queue[dict[str, Any]]()
    answers: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        answers.append(message)
        if len(answers) < len(kinds):
            asked.put_nowait({"type": kinds[len(answers)]})

    asked.put_nowait({"type": kinds[0]})
    await application({"type": "lifespan"}, asked.get, send)
    return answers


async def test_the_middleware() -> None:
    """web.md 9: the wrapper answers the lifespan scope itself, tells what fails, and passes other scopes on."""
    app = web_app(web_enabled=False)
    wrapped = FaustLifespanMiddleware(plain_asgi, app)
    during: list[bool] = []

    @app.task
    async def note() -> None:
        during.append(app.started)

    for _ in range(2):
        answers = await lifespan_of(wrapped, "lifespan.startup", "lifespan.shutdown")
        assert [a["type"] for a in answers] == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]
    assert during == [True, True]
    assert not app.started
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await wrapped({"type": "http"}, asyncio.Queue().get, send)
    assert sent == ["http.response.start", "http.response.body"]
    broken = FaustLifespanMiddleware(plain_asgi, web_app(web="tornado://"))
    (answer,) = await lifespan_of(broken, "lifespan.startup")
    assert answer["type"] == "lifespan.startup.failed"
    assert "ImproperlyConfigured: there is no web server for tornado://" in answer["message"]
    with pytest.raises(RuntimeError, match=r"expected lifespan\.startup"):
        await lifespan_of(wrapped, "lifespan.shutdown")
