"""An inbox that a coroutine can wait on, and the switch that holds all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from weakref import WeakSet

from mode.utils.queues import FlowControlEvent

from faust._core.iteration import current_cursor
from faust._core.lanes import Inbox, Lane
from faust.exceptions import GivenUp
from faust.messages import Slice

__all__ = ["FlowControl", "Mailbox"]


class FlowControl(FlowControlEvent):
    """One switch for all streams of an app (``app.flow_control``): while suspended no stream takes an event.

    Nothing is dropped: what waits is handed out when the flow is resumed, unless its partition was given away meanwhile.
    Queues made by `faust.App.FlowControlQueue` are governed by it, too; those are cleared when the flow is resumed.
    Before the first partitions are assigned `is_active` is false.
    """

    def __init__(self) -> None:
        super().__init__(initially_suspended=True)
        self.suspended: bool = False
        self._mailboxes: WeakSet[Mailbox] = WeakSet()

    def govern(self, mailbox: Mailbox) -> None:
        """Hold *mailbox* while the flow is suspended."""
        mailbox.flow = self
        self._mailboxes.add(mailbox)

    def suspend(self) -> None:
        """Let no stream take another event."""
        super().suspend()
        self.suspended = True

    def resume(self) -> None:
        """Let events flow again."""
        super().resume()
        self.suspended = False
        for mailbox in list(self._mailboxes):
            mailbox.wake()


class Mailbox(Inbox):
    """An `Inbox` whose readers sleep until something is put, and whose writers may wait for room.

    Belongs to one event loop, the one its readers run on; `put` and `throw` are called there, too.
    """

    __slots__ = ("__weakref__", "_waiters", "_writers", "flow")

    def __init__(
        self, *, ordered: bool = True, shared: bool = False, maxsize: int = 4096, fair: bool = True
    ) -> None:
        super().__init__(ordered=ordered, shared=shared, maxsize=maxsize, fair=fair)
        self._waiters: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.Future[None]] = []
        self.flow: FlowControl | None = None
        self.wake: Callable[[], None] = self._wake

    def _wake(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def pop(self) -> tuple[Lane, Slice] | None:
        """Take the next slice; None when nothing waits, or the flow is suspended."""
        if self.flow is not None and self.flow.suspended:
            return None
        work = super().pop()
        if self._writers:
            self._wake_writers()
        return work

    def clear(self) -> None:
        """Forget what waits; there is room for more."""
        super().clear()
        self._wake_writers()

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)

    async def wait(self, timeout: float | None = None) -> None:
        """Sleep until something is put or thrown, `wake` is called, or *timeout* seconds have passed."""
        held = self.flow is not None and self.flow.suspended
        if (len(self) and not held) or self.errors:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            if timeout is None:
                await waiter
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waiter, timeout)
        finally:
            if waiter.cancelled() and waiter in self._waiters:  # nobody will wake it
                self._waiters.remove(waiter)

    async def wait_taken(self) -> None:
        """Sleep until a reader has taken something.

        Raises:
            GivenUp: On behalf of an event that is not ours any more: all that waits here was forgotten with it.
        """
        writer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writers.append(writer)
        await writer
        cursor = current_cursor.get()
        lane = None if cursor is None or cursor.record is None else cursor.lane
        if lane is not None and lane.task.closed:
            tp = lane.task.tp
            raise GivenUp(
                f"the event in hand, of {tp.topic}[{tp.partition}], was given up: nothing more is put into a channel for it"
            )
