"""The thread in which the Kafka client lives, with a loop of its own.

Heartbeats, fetches and sends go on while the application's loop is busy or blocked. There is one such thread per
transport, shared by its consumers, producers and admin clients: a second one would mostly wait for the interpreter
lock that the first one holds, and one turn of a shared loop serves them all. It starts with the first client and
ends with the last.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from faust.exceptions import BrokerError

__all__ = ["ClientThread"]

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")


class ClientThread:
    """A daemon thread that runs an event loop for as long as somebody holds it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._holders = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def hold(self) -> None:
        """Start the thread unless it runs; pairs with `release`."""
        with self._lock:
            self._holders += 1
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._loop = loop
                self._thread = threading.Thread(
                    target=_run, args=(loop,), name=self._name, daemon=True
                )
                self._thread.start()

    def release(self) -> None:
        """Let go; with the last holder the loop's tasks are cancelled and the thread ends by itself."""
        with self._lock:
            self._holders -= 1
            if self._holders or self._loop is None:
                return
            loop, self._loop, self._thread = self._loop, None, None
        loop.call_soon_threadsafe(loop.stop)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The client's loop.

        Raises:
            BrokerError: when nobody holds the thread.
        """
        loop = self._loop
        if loop is None:
            raise BrokerError("the Kafka client is not running: start it first")
        return loop

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Call *callback* soon in the client thread; does nothing after the end."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(callback, *args)
            except RuntimeError:
                logger.debug("the client's loop has ended, %r is not called", callback)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* in the client thread and wait for it; cancelling the caller cancels the work.

        Raises:
            BrokerError: when the client was closed meanwhile.
        """
        try:
            loop = self.loop
            future = asyncio.run_coroutine_threadsafe(work, loop)
        except BaseException:
            work.close()
            raise
        return await await_from(future, "the Kafka client was closed")


async def await_from(future: concurrent.futures.Future[T], ended: str) -> T:
    """Await a future of another thread; its being cancelled there is an error here, not a cancellation."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if future.cancelled() and task is not None and not task.cancelling():
            raise BrokerError(ended) from None
        raise


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.wait(pending, timeout=1.0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(_last_turns())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _last_turns() -> None:
    """Let transports that were closed, or aborted in their handshake, close their sockets."""
    for _ in range(5):
        await asyncio.sleep(0)
