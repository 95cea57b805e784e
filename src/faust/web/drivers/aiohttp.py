"""The web server on aiohttp.

Routes are kept, and the aiohttp application is made of them when it is needed: an aiohttp application can be started once,
in one event loop, and ours can be started again. A listener (`faust.web.drivers.listening`) runs it on the loop of the
app, or in a thread with a loop of its own (setting ``web_in_thread``).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import aiohttp_cors
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from faust.utils import json
from faust.web import base
from faust.web.drivers.forwarding import ask, forward, new_session
from faust.web.drivers.listening import Listener, listener_for
from faust.web.views import View

__all__ = ["Web"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Bytes = bytes  # `Web.bytes` is a method

NO_FILE_NAME = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP})

END = b"\r\n\r\n"

NOT_KEPT = frozenset({"content-length", "transfer-encoding", "date", "server"})
"""Headers that are not part of a response in a cache: they are made for each answer."""


class _Files(web.StaticResource):
    """Files below a directory; a name that no file can have is not found, which aiohttp takes for a fault of the server."""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await super()._handle(request)
        except OSError as exc:
            if exc.errno in NO_FILE_NAME:
                raise web.HTTPNotFound from exc
            raise


class Web(base.Web):
    """The web server of an app, on aiohttp."""

    driver_version: ClassVar[str] = f"aiohttp={aiohttp.__version__}"  # type: ignore[misc]

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self._taken: set[tuple[str, str]] = set()
        self._routes: list[Callable[[web.Application], None]] = []
        self._application: web.Application | None = None
        self._cors: aiohttp_cors.CorsConfig | None = None
        self._listener: Listener | None = None
        self._peers: aiohttp.ClientSession | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        super().__init__(app, **kwargs)

    # -- life

    async def on_start(self) -> None:
        """Mount the blueprints and listen."""
        self.home = asyncio.get_running_loop()
        self.init_server()
        self._listener = listener_for(self.app.conf)
        await self._listener.start(self.web_app)

    async def on_stop(self) -> None:
        """Stop listening, and finish the requests in hand for a bounded time."""
        listener, self._listener = self._listener, None
        self._application = None
        if listener is not None:
            await listener.stop()
        self.home = None

    @property
    def web_app(self) -> web.Application:
        """The aiohttp application that serves now, or will at the next start."""
        if self._application is None:
            options = self.app.conf.web_application_options or {}
            self._application = web.Application(**options)
            self._application.on_shutdown.append(self._end_events)
            self._application.on_cleanup.append(self._leave_loop)
            self._cors = aiohttp_cors.setup(self._application)
            for add in self._routes:
                add(self._application)
        return self._application

    _app = web_app

    async def wsgi(self) -> web.Application:
        """Make everything ready; return the aiohttp application, for a server that is not ours."""
        self.init_server()
        return self.web_app

    # -- routes

    def route(
        self, pattern: str, handler: Any, cors_options: Mapping[str, Any] | None = None
    ) -> None:
        """Let a view answer for *pattern*.

        Raises:
            RuntimeError: Something answers for that path and method already, or the server is running.
        """
        path = f"/{pattern.lstrip('/')}"
        shared = {**(self.app.conf.web_cors_options or {}), **(cors_options or {})}
        methods = handler.get_methods() if isinstance(handler, View) else {"*"}
        answer = self._answering(handler) if isinstance(handler, View) else handler
        options: dict[str, Any] = {}
        if shared:
            methods -= {"OPTIONS"}  # answered by the preflight
            make: Any = aiohttp_cors.ResourceOptions
            options = {origin: make(**given._asdict()) for origin, given in shared.items()}

        for method in sorted(methods):
            if (method, path) in self._taken:
                raise RuntimeError(f"{method} {path} is answered already: a path has one page")
        self._taken |= {(method, path) for method in methods}

        def add(application: web.Application) -> None:
            resource: Any = application.router.add_resource(path)
            cors: Any = self._cors
            if options:
                cors.add(resource)
            for method in sorted(methods):
                route = resource.add_route(method, answer)
                if options:
                    cors.add(route, options)

        self._add(add)

    def _answering(self, view: View) -> Handler:
        """Return what answers with *view*; a body that is not what its headers say is the fault of who has sent it."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                response: web.StreamResponse = await view.dispatch(request)
            except web.RequestPayloadError as exc:
                return self.error(400, f"The body cannot be read: {exc}")
            return response

        return answer

    def add_static(self, prefix: str, path: str | Path, **kwargs: Any) -> None:
        """Serve the files of a directory below *prefix*; nothing outside of it is served.

        Arguments:
            prefix: Path.
            path: The directory.
            kwargs: For `aiohttp.web.UrlDispatcher.add_static`.
        """
        directory = Path(path)

        def add(application: web.Application) -> None:
            application.router.register_resource(
                _Files(f"/{prefix.strip('/')}", directory, **kwargs)
            )

        self._add(add)

    def add_middleware(self, middleware: Any) -> None:
        """Let an aiohttp middleware (`aiohttp.web.middleware`) see every request."""
        self._add(lambda application: application.middlewares.append(middleware))

    def _add(self, add: Callable[[web.Application], None]) -> None:
        add(self.web_app)
        self._routes.append(add)

    # -- requests and responses

    async def forward(self, request: web.Request, base: URL) -> web.StreamResponse:
        """Answer *request* with what the worker at *base* answers; see `faust.web.drivers.forwarding.forward`."""
        return await forward(self._session(), request, base, self.app.conf.canonical_url)

    async def ask_worker(self, base: URL, path: str, timeout: float) -> Any:
        """Return the JSON that the worker at *base* answers; see `faust.web.drivers.forwarding.ask`."""
        return await ask(self._session(), base, path, timeout)

    def _session(self) -> aiohttp.ClientSession:
        if self._peers is None:
            self._peers = new_session()
        return self._peers

    async def send_events(
        self, request: web.Request, events: AsyncGenerator[Bytes, None]
    ) -> web.StreamResponse:
        """Answer with server-sent events, until there are no more, the client goes, or the server stops."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        pump = asyncio.get_running_loop().create_task(_pump(response, events), name="events")
        self._pumps.add(pump)
        try:
            await asyncio.wait([pump])
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            self._pumps.discard(pump)
        return response

    async def _end_events(self, _application: web.Application) -> None:
        """Let go of clients that listen for events: they would hold up the end."""
        for pump in self._pumps:
            pump.cancel()

    async def _leave_loop(self, _application: web.Application) -> None:
        """Close what belongs to the loop in which requests were answered."""
        await self.app.cache.leave_loop()
        peers, self._peers = self._peers, None
        if peers is not None:
            await peers.close()

    async def read_request_content(self, request: Any) -> bytes:
        """Return the body of a request.

        Raises:
            aiohttp.web.HTTPRequestEntityTooLarge: It is longer than ``client_max_size`` (1 MiB unless
                ``web_application_options`` say otherwise); answered with 413.
        """
        body: bytes = await request.read()
        return body

    def text(self, value: str, *, content_type: str | None = None, **options: Any) -> web.Response:
        """Answer with text."""
        return web.Response(
            text=value, content_type=content_type or "text/plain", charset="utf-8", **options
        )

    def html(self, value: str, *, content_type: str | None = None, **options: Any) -> web.Response:
        """Answer with HTML."""
        return self.text(value, content_type=content_type or "text/html", **options)

    def json(self, value: Any, *, content_type: str | None = None, **options: Any) -> web.Response:
        """Answer with JSON.

        Raises:
            TypeError: *value* has no form in JSON.
        """
        return web.Response(
            body=json.dumps(value),
            content_type=content_type or "application/json",
            charset="utf-8",
            **options,
        )

    def bytes(
        self, value: bytes, *, content_type: str | None = None, **options: Any
    ) -> web.Response:
        """Answer with bytes."""
        return web.Response(
            body=value, content_type=content_type or "application/octet-stream", **options
        )

    def error(
        self, status: int, reason: str, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> web.Response:
        """Answer with an error: JSON ``{"error": reason, ...}``."""
        return self.json({"error": reason, **extra}, status=status, headers=headers)

    def response_to_bytes(self, response: web.Response) -> Bytes:
        """Return a response as bytes: status, header lines and body, each ended by an empty line."""
        lines = "\r\n".join(
            f"{name}: {value}"
            for name, value in response.headers.items()
            if name.lower() not in NOT_KEPT
        )
        body = response.body if isinstance(response.body, Bytes) else b""
        return (
            str(response.status).encode()
            + END
            + lines.encode("utf-8", "surrogateescape")
            + END
            + body
        )

    def bytes_to_response(self, data: Bytes) -> web.Response:
        """Make a response of what `response_to_bytes` gave.

        Raises:
            ValueError: It did not.
        """
        status, lines, body = data.split(END, 2)
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines.decode("utf-8", "surrogateescape").split("\r\n"):
            if line:
                name, _, value = line.partition(": ")
                headers.add(name, value)
        return web.Response(body=body, status=int(status), headers=headers)


async def _pump(response: web.StreamResponse, events: AsyncGenerator[bytes, None]) -> None:
    """Send events as they come; a client that has gone is no error."""
    with contextlib.suppress(ConnectionError):
        async with contextlib.aclosing(events):
            async for event in events:
                await response.write(event)
