"""An inbox that a coroutine can wait on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from faust._core.lanes import Inbox

__all__ = ["Mailbox"]


class Mailbox(Inbox):
    """An `Inbox` whose readers sleep until something is put.

    Belongs to one event loop, the one its readers run on; `put` and `throw` are called there, too.
    """

    __slots__ = ("_waiters",)

    def __init__(self, *, ordered: bool = True, shared: bool = False, maxsize: int = 4096) -> None:
        super().__init__(ordered=ordered, shared=shared, maxsize=maxsize)
        self._waiters: list[asyncio.Future[None]] = []
        self.wake: Callable[[], None] = self._wake

    def _wake(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait(self, timeout: float | None = None) -> None:
        """Sleep until something is put or thrown, `wake` is called, or *timeout* seconds have passed."""
        if len(self.queue) or self.errors:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if timeout is None:
            await waiter
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(waiter, timeout)
