"""Where a web server listens, and on which event loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Coroutine
from typing import Any, NoReturn, Protocol, TypeVar

from aiohttp import web

from faust.exceptions import ImproperlyConfigured

__all__ = ["SHUTDOWN_TIMEOUT", "Listener", "LoopListener", "ThreadListener", "listener_for"]

T = TypeVar("T")

logger: logging.Logger = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT = 2.0
"""Seconds that requests in hand may take to finish when the server stops."""


class Listener(Protocol):
    """Serves an application."""

    async def start(self, application: web.Application) -> None:
        """Listen."""
        ...

    async def stop(self) -> None:
        """Stop listening, and finish the requests in hand."""
        ...


def listener_for(conf: Any) -> Listener:
    """Return what listens as the settings say.

    Raises:
        ImproperlyConfigured: Setting ``web_transport`` is neither ``tcp://`` nor ``unix:///path``.
    """
    if conf.web_transport.scheme not in ("tcp", "unix"):
        raise ImproperlyConfigured(
            f"setting 'web_transport': {conf.web_transport.scheme}:// is no place to listen: tcp:// or unix:///path/to.sock"
        )
    listener = LoopListener(conf)
    return ThreadListener(listener) if conf.web_in_thread else listener


class LoopListener:
    """Serves on the loop that it is started in.

    Arguments:
        conf: Settings of the app.
    """

    def __init__(self, conf: Any) -> None:
        self.conf = conf
        self._runner: web.AppRunner | None = None

    async def start(self, application: web.Application) -> None:
        """Listen.

        Raises:
            ImproperlyConfigured: The port or the socket file cannot be used; says which, why, and what to do.
        """
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_TIMEOUT
        )
        await self._runner.setup()
        try:
            await self._site(self._runner).start()
        except OSError as exc:
            await self.stop()
            self._refuse(exc)

    async def stop(self) -> None:
        """Stop listening, and finish the requests in hand."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _site(self, runner: web.AppRunner) -> web.BaseSite:
        conf = self.conf
        if conf.web_transport.scheme == "unix":
            path = conf.web_transport.path
            if _answers(path):  # the event loop would take the file away from who is listening
                raise OSError(errno.EADDRINUSE, "address already in use", path)
            return web.UnixSite(runner, path, ssl_context=conf.web_ssl_context)
        return web.TCPSite(runner, conf.web_bind, conf.web_port, ssl_context=conf.web_ssl_context)

    def _refuse(self, exc: OSError) -> NoReturn:
        conf = self.conf
        unix = conf.web_transport.scheme == "unix"
        setting = "web_transport" if unix else "web_port"
        place = conf.web_transport.path if unix else f"port {conf.web_port} of {conf.web_bind}"
        remedy = (
            "option --web-transport or setting 'web_transport'"
            if unix
            else "option --web-port, setting 'web_port' or variable WEB_PORT"
        )
        in_use = exc.errno == errno.EADDRINUSE
        reason = (
            "another process is listening there (another worker on this machine?), or another app of this process"
            if in_use
            else exc.strerror or str(exc)
        )
        raise ImproperlyConfigured(
            f"the web server cannot listen on {place}, which setting {setting!r} (from {conf.source_of(setting)}) "
            f"says: {reason}. Choose another with {remedy}, or do without the web server: option --without-web, "
            "setting 'web_enabled'"
        ) from exc


def _answers(path: str) -> bool:
    """Say whether somebody listens on the socket file *path*."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


class ThreadListener:
    """Serves in a thread with an event loop of its own.

    Arguments:
        inner: What listens there.
    """

    def __init__(self, inner: Listener) -> None:
        self.inner = inner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def start(self, application: web.Application) -> None:
        """Start the thread and listen there; what is raised there is raised here."""
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="web server", daemon=True
        )
        self._thread.start()
        try:
            await self._there(self.inner.start(application))
        except BaseException:
            await self._end()
            raise

    async def stop(self) -> None:
        """Stop listening, and end the thread."""
        if self._loop is None:
            return
        try:
            await self._there(self.inner.stop())
        finally:
            await self._end()

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _end(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        assert loop is not None
        assert thread is not None
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join, SHUTDOWN_TIMEOUT)
        if thread.is_alive():
            logger.warning("The thread of the web server does not end: a view blocks it")

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
