"""One running instance of an agent, and what happens when it raises.

An exception in an agent's body is logged once, with the message that was in hand; that message counts as processed
(documented behaviour), the agent's error handlers are told, and the supervisor is woken. Usually that replaces the
actor: the function is called again over the *same* stream, so that it goes on with the very next message.

An actor that is stopped to be replaced, though it did nothing wrong (`mode.OneForAllSupervisor`), has its message taken
back instead: its successor begins with it.
"""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any, Protocol

from mode import Service, SupervisorStrategyT

from faust._core.places import Place
from faust.exceptions import GivenUp, ImproperlyConfigured
from faust.messages import TP
from faust.streams.stream import Stream

__all__ = ["Actor", "ActorOwner", "AsyncIterableActor", "AwaitableActor", "current_agent"]

logger: logging.Logger = logging.getLogger(__name__)

GRACE = 0.05
"""Seconds in which an actor that waits for input may see the end of its stream, before it is cancelled."""

_current: ContextVar[Any] = ContextVar("faust.current_agent", default=None)


def current_agent() -> Any:
    """Return the agent whose actor runs this; None outside of agents."""
    return _current.get()


class ActorOwner(Protocol):
    """What an actor asks of its agent."""

    name: str
    app: Any

    async def consume(self, actor: Actor) -> None:
        """Run the actor's function to its end, and pass on what it yields."""
        ...

    async def on_actor_error(self, exc: BaseException, place: Place | None) -> None:
        """Tell everybody who wants to know."""
        ...


class Actor(Service):
    """One running instance of an agent's function.

    Attributes:
        agent: The agent.
        stream: What it reads.
        it: What calling the function gave: a coroutine or an asynchronous iterable.
        index: Its number among the agent's actors; None when there is only one.
        active_partitions: The only partitions it reads; None: all.
        actor_task: The running task; None before the start.
    """

    mundane_level = "debug"
    supervisor: SupervisorStrategyT | None

    def __init__(
        self,
        agent: ActorOwner,
        stream: Stream[Any],
        it: Any,
        *,
        index: int | None = None,
        active_partitions: set[TP] | None = None,
        **kwargs: Any,
    ) -> None:
        self.agent = agent
        self.stream = stream
        self.it = it
        self.index = index
        self.active_partitions = active_partitions
        self.actor_task: asyncio.Task[None] | None = None
        self._cancelled = False
        super().__init__(**kwargs)

    @property
    def label(self) -> str:
        """Name for people and logs."""
        label = self.agent.name if self.index is None else f"{self.agent.name}#{self.index}"
        if self.active_partitions is None:
            return label
        shown = ",".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(self.active_partitions))
        return f"{label} of {shown or 'no partition yet'}"

    async def on_start(self) -> None:
        """Begin; from now on the stream's errors are ours."""
        self.stream.report = self.report
        self.actor_task = asyncio.get_running_loop().create_task(
            self._live(), name=f"agent {self.label}"
        )

    async def on_stop(self) -> None:
        """Cancel the function, and wait for its end; the stream is left as it is."""
        task = self.actor_task
        if task is None:
            _close(self.it)
        elif not task.done():
            if self._cancelled:
                await asyncio.wait([task], timeout=GRACE)
            self.stream.interrupt()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.stream.take_back()

    async def on_shutdown(self) -> None:
        """Leave the graph of services."""
        if self.beacon.parent is not None:
            self.beacon.detach(self.beacon.parent)

    def cancel(self) -> None:
        """End the stream: the function leaves its loop when it asks for the next message."""
        self._cancelled = True
        self.stream.get_active_stream().cursor.stop()

    async def _live(self) -> None:
        _current.set(self.agent)
        try:
            await self.agent.consume(self)
        except asyncio.CancelledError as exc:
            if self.should_stop or self._cancelled or self.agent.app.should_stop:
                raise
            await self._failed(exc)
        except Exception as exc:
            await self._failed(exc)

    async def _failed(self, error: BaseException) -> None:
        place = self.stream.place_of(error)
        # the traceback keeps the old generator alive; the message counts as processed now
        self.stream.failed()
        with self.stream.app.gate.unit_now():  # what is sent to tell of it belongs to the message
            await self.report(error, place)
        await self.crash(error)

    async def report(self, error: BaseException, place: Place | None) -> None:
        """Tell of an error that costs one message: once in the log, then sensors and handlers.

        One of an event that was given up costs nothing: it will come again.
        """
        if isinstance(error, GivenUp):
            logger.info("Agent %s: %s", self.label, error)
            return
        logger.error(
            "Agent %s raised %s: %s%s",
            self.label,
            type(error).__name__,
            error,
            f" (while it processed {place})" if place is not None else "",
            exc_info=error,
        )
        try:
            await self.agent.on_actor_error(error, place)
        except Exception:  # whoever listens must not keep the agent from going on
            logger.exception("Agent %s: telling of its error failed", self.label)

    async def crash(self, reason: BaseException) -> None:
        """Wake the supervisor; without one, and when the program itself is wrong, the worker goes down."""
        if self.supervisor is None or isinstance(reason, ImproperlyConfigured):
            self.supervisor: Any = None
            await super().crash(reason)
        else:
            self._crash(reason)
            self.supervisor.wakeup()

    def traceback(self) -> str:
        """Show where the function waits now."""
        task = self.actor_task
        if task is None or task.done():
            return f"Actor {self.label} does not run\n"
        out = io.StringIO()
        task.print_stack(file=out)
        waits = _awaits(self.it)
        return out.getvalue() + "".join(traceback.format_list(waits))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.state} {self.label}>"


class AsyncIterableActor(Actor, AsyncIterable[Any]):
    """An actor whose function yields."""

    def __aiter__(self) -> AsyncIterator[Any]:
        iterator: AsyncIterator[Any] = self.it.__aiter__()
        return iterator


class AwaitableActor(Actor, Awaitable[Any]):
    """An actor whose function is a coroutine."""

    def __await__(self) -> Generator[Any, None, Any]:
        result: Generator[Any, None, Any] = self.it.__await__()
        return result


def _close(it: Any) -> None:
    """Let go of a coroutine that was never run, without its warning."""
    close: Callable[[], None] | None = getattr(it, "close", None)
    if close is not None:
        close()


def _awaits(it: Any) -> list[traceback.FrameSummary]:
    """Return the frames of a suspended coroutine or generator, the outer one first."""
    frames: list[traceback.FrameSummary] = []
    while it is not None:
        frame = getattr(it, "ag_frame", None) or getattr(it, "cr_frame", None)
        if frame is not None:
            frames.extend(traceback.extract_stack(frame, limit=1))
        it = getattr(it, "ag_await", None) or getattr(it, "cr_await", None)
    return frames
