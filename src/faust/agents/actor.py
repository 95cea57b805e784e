"""One running instance of an agent, and what happens when it raises.

An exception in an agent's body is logged once, with the message that was in hand; that message counts as processed
(documented behaviour), the agent's ``on_error`` is told, and the function is called again over the *same* stream, so
that it goes on with the very next message. Restarts are immediate, within a budget: an agent that crashes more often
than 100 times a second without a pause takes the worker down instead of burning a core in silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from faust._core.places import Place
from faust.exceptions import ImproperlyConfigured
from faust.streams.stream import Stream

__all__ = ["Actor", "RestartBudget"]

logger: logging.Logger = logging.getLogger(__name__)


class RestartBudget:
    """At most *limit* restarts within *over* seconds."""

    def __init__(self, limit: int = 100, over: float = 1.0) -> None:
        self.limit = limit
        self.over = over
        self._times: deque[float] = deque()

    def spend(self, now: float) -> bool:
        """Take one restart; False when the budget is used up."""
        times = self._times
        while times and now - times[0] > self.over:
            times.popleft()
        times.append(now)
        return len(times) <= self.limit


class Actor:
    """One running instance of an agent's function.

    Arguments:
        name: The agent's name.
        index: Its number among the agent's actors; None when there is only one.
        stream: What it reads.
        run: Calls the agent's function over the stream; ends when the function ends.
        on_error: Awaited with an exception the function has raised.
        crash: Awaited when the worker must go down because of this actor.
        restart: Whether the function is called again after an exception.
        budget: Restarts allowed, shared by the agent's actors.
    """

    def __init__(
        self,
        name: str,
        index: int | None,
        stream: Stream[Any],
        run: Callable[[Stream[Any]], Awaitable[None]],
        on_error: Callable[[BaseException], Awaitable[None]],
        crash: Callable[[BaseException], Awaitable[None]],
        *,
        restart: bool,
        budget: RestartBudget,
    ) -> None:
        self.name = name
        self.index = index
        self.stream = stream
        stream.report = self._report
        self.actor_task: asyncio.Task[None] | None = None
        self._run = run
        self._on_error = on_error
        self._crash = crash
        self._restart = restart
        self._budget = budget
        self._stopping = False

    @property
    def label(self) -> str:
        """Name for people and logs."""
        return self.name if self.index is None else f"{self.name}#{self.index}"

    def start(self) -> None:
        """Begin."""
        self._stopping = False
        self.actor_task = asyncio.get_running_loop().create_task(
            self._live(), name=f"agent {self.label}"
        )

    async def stop(self) -> None:
        """Cancel the function and its streams, and wait for their end."""
        self._stopping = True
        task, self.actor_task = self.actor_task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.stream.stop()

    async def _live(self) -> None:
        while not self._stopping:
            try:
                await self.stream.rewind()
                await self._run(self.stream)
                return
            except asyncio.CancelledError as exc:
                if self._stopping:
                    raise
                error: BaseException = exc
            except Exception as exc:
                error = exc
            await self._failed(error)
            if isinstance(error, ImproperlyConfigured):
                await self._crash(error)
                return
            if not self._restart or not self._budget.spend(monotonic()):
                if self._restart:
                    logger.critical(
                        "Agent %s crashed more than %d times within %.0f s: the worker stops",
                        self.label,
                        self._budget.limit,
                        self._budget.over,
                    )
                await self._crash(error)
                return

    async def _failed(self, error: BaseException) -> None:
        place = self.stream.place_of(error)
        # the traceback keeps the old generator alive; the message counts as processed now
        self.stream.failed()
        await self._report(error, place)

    async def _report(self, error: BaseException, place: Place | None) -> None:
        """Tell of an error that costs one message: once in the log, and to the agent's handler."""
        logger.error(
            "Agent %s raised %s: %s%s",
            self.label,
            type(error).__name__,
            error,
            f" (while it processed {place})" if place is not None else "",
            exc_info=error,
        )
        try:
            await self._on_error(error)
        except Exception:
            logger.exception("Agent %s: its on_error handler raised", self.label)
