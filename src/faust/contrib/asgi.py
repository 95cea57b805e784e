"""ASGI: an application of another web framework beside a Faust app, in one process and on one event loop.

Either side may be the host. *The worker hosts*: `serve_asgi` lets ``faust worker`` serve a FastAPI, Starlette or any other
ASGI application in place of the built-in web server. *The web server hosts*: `faust_lifespan` or
`FaustLifespanMiddleware` start the Faust app when uvicorn (or hypercorn, ...) starts, and stop it before that ends.

What makes this delicate are event loops. A Faust app belongs to the loop in which it is started, and to none before:
declaring binds nothing. `faust_app_running` therefore binds the app on entry and lets go of it on exit, so that it can be
started again in another loop, as test clients do. An app that *is* bound to another loop is refused with `LoopMismatch`
before anything waits for ever.

No framework is imported here; uvicorn is when something is served. The protocol is that of ASGI 3
(https://asgi.readthedocs.io/en/latest/specs/lifespan.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, NoReturn

from mode import Service
from mode.utils.imports import symbol_by_name
from yarl import URL

from faust.exceptions import ImproperlyConfigured

__all__ = [
    "AsgiService",
    "FaustLifespanMiddleware",
    "LoopMismatch",
    "bind_to_running_loop",
    "faust_app_running",
    "faust_lifespan",
    "serve_asgi",
]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

logger: logging.Logger = logging.getLogger(__name__)

_TRACED = "_faust_traced_stack"
"""Attribute of an application: the ``middleware_stack`` that is traced already."""

POLL = 0.01
"""Seconds between two looks at whether uvicorn, which tells nobody, has started."""


class LoopMismatch(ImproperlyConfigured):
    """A Faust app belongs to another event loop than the one that runs."""


def bind_to_running_loop(app: Any) -> asyncio.AbstractEventLoop:
    """Let *app* belong to the event loop that runs, and return it.

    An app that was stopped in a loop that is closed by now is made fresh first.

    Raises:
        LoopMismatch: The app belongs to another loop.
        RuntimeError: No loop runs.
    """
    running = asyncio.get_running_loop()
    bound = app._loop
    if bound is not None and bound is not running and bound.is_closed():
        app.service_reset()
        bound = None
    if bound is not None and bound is not running:
        raise LoopMismatch(
            f"{app!r} belongs to another event loop than the one that runs. An app belongs to the loop in which it is "
            "started: start it in one place only (a worker, or the lifespan of a web server), do not give it loop=, and "
            "stop it before another loop starts it"
        )
    app.loop = running
    return running


@asynccontextmanager
async def faust_app_running(
    app: Any,
    *,
    finalize: bool = True,
    discover: bool | None = None,
    stop_timeout: float | None = None,
) -> AsyncIterator[Any]:
    """Run *app* for the length of the block, in the event loop that runs; gives the app.

    An app that is running already (in a worker) is left alone, at the end too.

    Arguments:
        app: The Faust app.
        finalize: End its configuration first.
        discover: Import the modules of setting ``autodiscover`` first; None: if that is set.
        stop_timeout: Seconds that stopping may take, then it is given up with a warning; None: as long as it takes.

    Raises:
        LoopMismatch: The app belongs to another loop.
    """
    bind_to_running_loop(app)
    if finalize:
        app.finalize()
    if app.conf.autodiscover if discover is None else discover:
        app.discover()
    try:
        ours = await app.maybe_start()
    except BaseException:
        await _stop(app, stop_timeout)
        raise
    try:
        yield app
    finally:
        if ours:
            await _stop(app, stop_timeout)


async def _stop(app: Any, timeout: float | None) -> None:
    """Stop *app*, and let it be started again."""
    try:
        async with asyncio.timeout(timeout):
            await app.stop()
    except TimeoutError:
        logger.warning(
            "%r did not stop within %s s: what was not committed is processed again", app, timeout
        )
    finally:
        app.service_reset()


def faust_lifespan(
    app: Any, *, opentelemetry: bool | None = None, **kwargs: Any
) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Make a lifespan handler for FastAPI or Starlette: ``FastAPI(lifespan=faust_lifespan(app))``.

    Arguments:
        app: The Faust app.
        opentelemetry: Trace requests with OpenTelemetry: True; False: never; None: if its instrumentation of ASGI is
            installed and a tracer provider is configured.
        kwargs: For `faust_app_running`.
    """

    @asynccontextmanager
    async def lifespan(asgi_app: Any) -> AsyncIterator[None]:
        _trace_in_place(asgi_app, opentelemetry)
        async with faust_app_running(app, **kwargs):
            yield

    return lifespan


def _traced(asgi_app: Any, wanted: bool | None) -> Any:
    """Return *asgi_app* so that OpenTelemetry sees its requests, as far as that is wanted and there.

    Raises:
        ImproperlyConfigured: It is wanted, and the instrumentation is not installed.
    """
    if wanted is False:
        return asgi_app
    instrument: Any = symbol_by_name("faust.contrib.opentelemetry:instrument_asgi_app")
    traced = instrument(asgi_app, force=bool(wanted))
    if wanted and traced is asgi_app:
        raise ImproperlyConfigured(
            "opentelemetry=True: opentelemetry-instrumentation-asgi is not installed: pip install 'faust[otel]'"
        )
    return traced


def _trace_in_place(asgi_app: Any, wanted: bool | None) -> None:
    """Let OpenTelemetry see the requests to an application that has begun its lifespan: a Starlette, or a FastAPI.

    Nobody outside can be given a wrapped one any more; but every request goes through its attribute ``middleware_stack``.

    Raises:
        ImproperlyConfigured: It is wanted, and the application has no such attribute, or the instrumentation is not installed.
    """
    stack = getattr(asgi_app, "middleware_stack", None)
    if stack is not None:
        traced = stack if getattr(asgi_app, _TRACED, None) is stack else _traced(stack, wanted)
        if traced is not stack:
            asgi_app.middleware_stack = traced
            setattr(asgi_app, _TRACED, traced)
    elif wanted:
        raise ImproperlyConfigured(
            f"opentelemetry=True: {type(asgi_app).__name__} is neither Starlette nor FastAPI: wrap it by "
            "faust.contrib.opentelemetry.instrument_asgi_app"
        )


class FaustLifespanMiddleware:
    """An ASGI application around another one, for frameworks without lifespan handlers.

    It answers the ``lifespan`` scope itself, by starting and stopping the Faust app, and passes everything else on.

    Arguments:
        asgi_app: The inner application.
        faust_app: The Faust app.
        kwargs: For `faust_app_running`.
    """

    def __init__(self, asgi_app: ASGIApp, faust_app: Any, **kwargs: Any) -> None:
        self.asgi_app = asgi_app
        self.faust_app = faust_app
        self.kwargs = kwargs

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self.asgi_app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await _expect(receive, "lifespan.startup")
        running = faust_app_running(self.faust_app, **self.kwargs)
        try:
            await running.__aenter__()
        except Exception as exc:
            logger.exception("%r does not start", self.faust_app)
            await send({"type": "lifespan.startup.failed", "message": _words(exc)})
            return
        await send({"type": "lifespan.startup.complete"})
        await _expect(receive, "lifespan.shutdown")
        try:
            await running.__aexit__(None, None, None)
        except Exception as exc:
            logger.exception("%r does not stop", self.faust_app)
            await send({"type": "lifespan.shutdown.failed", "message": _words(exc)})
            return
        await send({"type": "lifespan.shutdown.complete"})


async def _expect(receive: Receive, kind: str) -> None:
    message = await receive()
    if message["type"] != kind:
        raise RuntimeError(f"ASGI lifespan: expected {kind}, the server sent {message['type']!r}")


def _words(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


def serve_asgi(
    app: Any,
    asgi_app: ASGIApp,
    *,
    host: str | None = None,
    port: int | None = None,
    **uvicorn_options: Any,
) -> type[AsgiService]:
    """Let the worker of *app* serve *asgi_app* with uvicorn, in place of the built-in web server (`App.web_server`).

    Arguments:
        app: The Faust app.
        asgi_app: An ASGI 3 application: FastAPI, Starlette, ...
        host: Address to listen on; None: setting ``web_bind``.
        port: Port; None: setting ``web_port``.
        uvicorn_options: Options of `uvicorn.Config`.

    Returns:
        The class of the service.

    Raises:
        ImproperlyConfigured: The app has another web server already.
    """
    members = {
        "__doc__": f"Serves {asgi_app!r}.",
        "__module__": __name__,
        "asgi_app": staticmethod(asgi_app),
        "faust_app": app,
        "host": host,
        "port": port,
        "uvicorn_options": uvicorn_options,
    }
    service: type[AsgiService] = type("AsgiService", (AsgiService,), members)
    app.web_server(service)
    return service


class AsgiService(Service):
    """Serves an ASGI application with uvicorn, on the event loop it is started in.

    Arguments given to the constructor win over attributes of the class.

    Attributes:
        asgi_app: The application.
        faust_app: The Faust app whose settings say where to listen.
        host: Address; None: setting ``web_bind``, without an app ``0.0.0.0``.
        port: Port; None: setting ``web_port``, without an app 8000.
        uvicorn_options: Options of `uvicorn.Config`.
        server_shutdown_timeout: Seconds that uvicorn may take to stop.
        opentelemetry: As in `faust_lifespan`.
    """

    asgi_app: Any = None
    faust_app: Any = None
    driver_version: str = "ASGI"
    host: str | None = None
    port: int | None = None
    uvicorn_options: Mapping[str, Any] = {}
    server_shutdown_timeout: float = 10.0
    opentelemetry: bool | None = None

    defaults: ClassVar[Mapping[str, Any]] = {
        "loop": "none",
        "lifespan": "on",
        "log_config": None,
        "timeout_graceful_shutdown": 2,
    }
    """Options of uvicorn when nothing else is said: our loop, our logging, and a stop that fits into the worker's."""

    def __init__(
        self,
        asgi_app: Any = None,
        *,
        host: str | None = None,
        port: int | None = None,
        uvicorn_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.asgi_app = self.asgi_app if asgi_app is None else asgi_app
        self.host = self.host if host is None else host
        self.port = self.port if port is None else port
        self.uvicorn_options = {**self.uvicorn_options, **(uvicorn_options or {})}
        self._server: Any = None
        self._serving: asyncio.Task[None] | None = None
        super().__init__(**kwargs)

    @classmethod
    def _place(cls, host: str | None, port: int | None) -> tuple[str, int]:
        conf = None if cls.faust_app is None else cls.faust_app.conf
        return (
            host or ("0.0.0.0" if conf is None else conf.web_bind),  # noqa: S104 - as the built-in server
            port if port is not None else (8000 if conf is None else conf.web_port),
        )

    @classmethod
    def get_web_url(cls) -> URL:
        """Return where this machine reaches the server."""
        host, port = cls._place(cls.host, cls.port)
        return URL.build(scheme="http", host="localhost" if host == "0.0.0.0" else host, port=port)  # noqa: S104

    async def on_start(self) -> None:
        """Listen, and return when requests are answered.

        Raises:
            ImproperlyConfigured: There is no application, or no uvicorn, or uvicorn does not start.
        """
        if self.asgi_app is None:
            raise ImproperlyConfigured(
                f"{type(self).__name__} has no asgi_app: use serve_asgi(app, asgi_app)"
            )
        self._server = self._make_server(_traced(self.asgi_app, self.opentelemetry))
        self._serving = asyncio.get_running_loop().create_task(self._serve(), name="uvicorn")
        while not self._server.started:
            if self._serving.done():
                serving, self._serving = self._serving, None
                await serving
                self._refuse(None)
            await asyncio.sleep(POLL)
        self._serving.add_done_callback(self._ended)

    def _make_server(self, asgi_app: Any) -> Any:
        try:
            import uvicorn
        except ImportError as exc:
            raise ImproperlyConfigured(
                "uvicorn serves ASGI applications, and is not installed: pip install 'faust[asgi]'"
            ) from exc

        class Server(uvicorn.Server):
            """Leaves signals to the worker."""

            @contextlib.contextmanager
            def capture_signals(self) -> Any:
                yield

        host, port = self._place(self.host, self.port)
        options = {**self.defaults, "host": host, "port": port, **self.uvicorn_options}
        return Server(uvicorn.Config(asgi_app, **options))

    async def _serve(self) -> None:
        """Serve; a task must not end in `SystemExit`, with which uvicorn says that it cannot start."""
        try:
            await self._server.serve()
        except SystemExit as exc:
            self._refuse(exc)

    def _refuse(self, exc: BaseException | None) -> NoReturn:
        host, port = self._place(self.host, self.port)
        raise ImproperlyConfigured(
            f"uvicorn does not serve on {host}:{port}: the log says why (the port is in use, or the application failed at its "
            "startup). Choose another port with serve_asgi(port=), option --web-port or setting 'web_port'"
        ) from exc

    def _ended(self, serving: asyncio.Task[None]) -> None:
        """Nothing is served any more: when nobody has asked for that, the worker must not look alive."""
        if self.should_stop or serving.cancelled():
            return
        failure = serving.exception() or ImproperlyConfigured(
            "uvicorn has ended by itself (option limit_max_requests?), and the worker with it"
        )
        self.add_future(self.crash(failure))

    async def on_stop(self) -> None:
        """Let uvicorn finish the requests in hand, for a bounded time."""
        serving, self._serving = self._serving, None
        if serving is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait([serving], timeout=self.server_shutdown_timeout)
        if not done:
            logger.warning(
                "uvicorn did not stop within %s s: its requests are given up",
                self.server_shutdown_timeout,
            )
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
