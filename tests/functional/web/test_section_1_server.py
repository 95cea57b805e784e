"""web.md section 1: where the server listens, on which loop, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import io
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

import faust
from faust.exceptions import ImproperlyConfigured
from faust.web import ResourceOptions, View, Web
from tests.support.apps import make_app, running
from tests.support.ports import free_port
from tests.support.processes import start_python
from tests.support.web import served, web_app

pytestmark = pytest.mark.filterwarnings("ignore:.*NotAppKeyWarning.*")

PROGRAM = """
import sys
import faust

app = faust.App("shop", env={}, broker="memory://", datadir=sys.argv.pop(1))

@app.page("/hello/")
async def hello(web, request):
    return web.text("hello")

app.main()
"""


@pytest.fixture
def listener() -> Iterator[int]:
    """A port on which somebody listens already."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        yield other.getsockname()[1]


def test_importing_and_making_an_app_loads_no_http_library() -> None:
    """web.md 1: the stack is made when the first page is declared; an app without pages loads no HTTP library."""
    program = (
        "import sys, faust; faust.App('x', broker='memory://'); print('aiohttp' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_declaring_a_page_binds_no_loop() -> None:
    """web.md 1: pages are declared without an event loop, and served under any loop, again and again."""
    app = web_app()

    @app.page("/loop/")
    async def loop(web: View, request: Any) -> Any:
        return web.text("here")

    async def once() -> bytes:
        async with served(app) as client:
            return (await client("/loop/"))[1]

    for _ in range(2):
        assert asyncio.run(once()) == b"here"
        app.service_reset()


def test_unknown_driver() -> None:
    """web.md 1: a scheme that nobody drives is refused with the list of those that are known."""
    app = web_app(web="tornado://")
    with pytest.raises(ImproperlyConfigured, match="tornado://; known are aiohttp://"):
        app.web  # noqa: B018


async def test_unknown_transport() -> None:
    """web.md 1: web_transport is tcp or unix."""
    app = web_app(web_transport="udp://")
    with pytest.raises(ImproperlyConfigured, match=r"web_transport.*udp://.*tcp:// or unix://"):
        async with running(app):
            pass


async def test_unix_socket() -> None:
    """web.md 1: with unix:// the server listens on that socket file and on no port."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "web.sock"
        app = web_app(web_transport=f"unix://{path}")

        @app.page("/")
        async def page(web: View, request: Any) -> Any:
            return web.text("through the file")

        app.web.blueprints._enabled.clear()  # the page stands at the root
        async with running(app):
            connector = aiohttp.UnixConnector(str(path))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get("http://anything/") as response,
            ):
                assert await response.text() == "through the file"
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", app.conf.web_port)) != 0


async def test_unix_socket_in_use() -> None:
    """web.md 1: the socket file of another worker is not taken away from it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "web.sock"
        async with running(web_app(web_transport=f"unix://{path}")):
            second = web_app(web_transport=f"unix://{path}")
            with pytest.raises(
                ImproperlyConfigured, match=f"{path}.*another process.*--web-transport"
            ):
                async with running(second):
                    pass


async def test_a_thread_of_its_own() -> None:
    """web.md 1: with web_in_thread views run in another thread and loop than the app, whose coroutines they run there."""
    app = web_app(web_in_thread=True, topic_partitions=1)

    @app.agent(value_type=int)
    async def double(stream: Any) -> Any:
        async for number in stream:
            yield 2 * number

    @app.page("/double/")
    async def asked(web: View, request: Any) -> Any:
        answer = asyncio.run_coroutine_threadsafe(double.ask(21), web.app.loop)
        return web.json(await asyncio.wrap_future(answer))

    @app.page("/where/")
    async def where(web: View, request: Any) -> Any:
        here = asyncio.get_running_loop()
        return web.json([threading.current_thread().name, here is app.loop])

    async with served(app) as client:
        assert await client.json("/where/") == (200, ["web server", False])
        assert await client.json("/double/") == (200, 42)
    assert "web server" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("in_thread", [False, True])
async def test_port_in_use(listener: int, in_thread: bool) -> None:
    """web.md 1: a port that is in use is told at start, also when the server has a thread of its own."""
    app = make_app("memory://", "in-use", env={}, web_port=listener, web_in_thread=in_thread)
    words = f"port {listener}.*'web_port'.*another process.*--web-port.*WEB_PORT.*--without-web"
    with pytest.raises(ImproperlyConfigured, match=words):
        async with running(app):
            pass
    await app.stop()


@pytest.mark.parametrize("way", ["option", "variable", "default"])
def test_port_in_use_ends_the_worker(listener: int, way: str, tmp_path: Path) -> None:
    """Issue 3, acceptance 8: port in use is one message with port, setting and option, and status 1."""
    options = ["-p", str(listener)] if way == "option" else []
    env = {"FAUST_WEB_PORT": str(listener)} if way == "default" else {}
    program = PROGRAM
    if way == "variable":
        program = PROGRAM.replace("env={}", 'env={"WEB_PORT": "%d"}' % listener)  # noqa: UP031
    elif way == "default":
        program = PROGRAM.replace("env={}", "env=__import__('os').environ")
        env["APP_WEB_ENABLED"] = "yes"
    with start_python(program, str(tmp_path / "data"), "worker", *options, env=env) as process:
        assert process.wait(30) == 1
        said = "\n".join(process.errors)
    assert said.count("The worker ends: ") == 1
    for word in (f"port {listener}", "'web_port'", "--web-port", "--without-web"):
        assert word in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "answers"),
    [(["--with-web"], True), ([], True), (["--without-web"], False)],
)
async def test_with_and_without_web(options: list[str], answers: bool, tmp_path: Path) -> None:
    """web.md 1, worker-cli.md 5: the server starts by default, and not with --without-web; the banner says where."""
    port = free_port()
    command = [str(tmp_path / "data"), "worker", *options, "-p", str(port), "-h", "127.0.0.1"]
    with start_python(PROGRAM, *command) as process:
        banner = []
        while (line := await asyncio.to_thread(process.read_line)) != " OK ^":
            banner.append(line)
        text = "\n".join(banner)
        assert bool(re.search(rf"web +http://127.0.0.1:{port}", text)) is answers, text
        assert ("aiohttp=" in text) is answers
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://127.0.0.1:{port}/hello/") as response:
                    assert await response.text() == "hello"
            except aiohttp.ClientConnectorError:
                assert not answers
            else:
                assert answers
        process.terminate()
        assert process.wait(30) == 0


async def test_tls() -> None:
    """web.md 1: with web_ssl_context the server speaks HTTPS."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    app = web_app(web_ssl_context=context)

    @app.page("/secret/")
    async def secret(web: View, request: Any) -> Any:
        return web.text(request.scheme)

    async with running(app), aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{app.conf.web_port}/secret/"
        async with session.get(url, ssl=trusting) as response:
            assert await response.text() == "https"


async def test_application_options() -> None:
    """web.md 1: web_application_options reach the aiohttp application: a body may not be longer than it says."""
    app = web_app(web_application_options={"client_max_size": 10})

    @app.page("/size/")
    class Size(View):
        async def post(self, request: Any) -> Any:
            return self.json(len(await self.read_request_content(request)))

    async with served(app) as client:
        assert await client.json("/size/", "POST", data=b"x" * 9) == (200, 9)
        response, _ = await client("/size/", "POST", data=b"x" * 11)
        assert response.status == 413


async def test_oversized_bodies_are_refused_by_default() -> None:
    """web.md 1: without options a body of more than 1 MiB is answered with 413."""
    app = web_app()

    @app.page("/size/")
    class Size(View):
        async def post(self, request: Any) -> Any:
            return self.json(len(await request.read()))

    async with served(app) as client:
        assert await client.json("/size/", "POST", data=b"x" * 1_000_000) == (200, 1_000_000)
        response, _ = await client("/size/", "POST", data=io.BytesIO(b"x" * 1_100_000))
        assert response.status == 413


async def test_unhandled_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    """web.md 1: what a view raises is answered with 500 in plain text without the traceback, and logged."""
    app = web_app()

    @app.page("/bad/")
    async def bad(web: View, request: Any) -> Any:
        raise LookupError("the password is 123")

    async with served(app) as client:
        response, body = await client("/bad/")
    assert (response.status, response.content_type) == (500, "text/plain")
    assert b"123" not in body
    assert any("123" in str(r.exc_info) for r in caplog.records if r.levelname == "ERROR")


def test_url_and_driver_version() -> None:
    """web.md 1: url is localhost when canonical_url names this host; driver_version names the library."""
    here = faust.App("x", env={}, broker="memory://", web_port=7000)
    assert str(here.web.url) == "http://localhost:7000/"
    there = faust.App("x", env={}, broker="memory://", canonical_url="https://w1.example.com/x")
    assert str(there.web.url) == "https://w1.example.com/x"
    assert here.web.driver_version == f"aiohttp={aiohttp.__version__}"
    assert isinstance(here.web, Web)


async def test_wsgi() -> None:
    """web.md 1: wsgi() gives the aiohttp application with everything mounted, for another server."""
    from aiohttp.test_utils import TestClient, TestServer

    app = web_app(web_cors_options={"http://a.example": ResourceOptions()})

    @app.page("/w/")
    async def page(web: View, request: Any) -> Any:
        return web.text("elsewhere")

    application = await app.web.wsgi()  # type: ignore[attr-defined]
    assert application is app.web.web_app  # type: ignore[attr-defined]
    assert application is app.web._app  # type: ignore[attr-defined]
    async with TestClient(TestServer(application)) as client, client.get("/w/") as response:
        assert await response.text() == "elsewhere"


async def test_initialisation() -> None:
    """web.md 1: blueprints are applied once, the hook is told each time, and no blueprint can be added after it."""
    told = []

    class App(faust.App):
        def on_webserver_init(self, web: Web) -> None:
            told.append(web)
            super().on_webserver_init(web)

    port = free_port()
    app = App("init", env={}, broker="memory://init", datadir=tempfile.mkdtemp(), web_port=port)
    app.web.init_server()
    app.web.init_server()
    assert told == [app.web, app.web]
    with pytest.raises(RuntimeError, match="Cannot add blueprints after server started"):
        app.web.blueprints.add("/x/", "faust.web:Blueprint")


async def test_producer_only_serves_too() -> None:
    """web.md 1: an app that only produces has a web server, one that is a client has none."""
    for mode, answers in (("producer_only", True), ("client_only", False)):
        app = web_app()
        setattr(app, mode, True)
        async with running(app):
            with socket.socket() as probe:
                assert (probe.connect_ex(("127.0.0.1", app.conf.web_port)) == 0) is answers
    assert os.environ["APP_WEB_ENABLED"] == "no"
