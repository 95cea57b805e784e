"""The gate before the streams of an app: closed, nobody is handed another event, and a quiet point comes.

With exactly-once processing everything that events cause, and their offsets, goes into one transaction. It can be
committed when no event is half done: *hold* the gate, wait until nobody is `busy`, commit, *open* it again.

Nothing is looked at per event. A stream looks at its lease every few milliseconds (`faust._core.iteration`), and while the
gate is held the lease says "not now". Streams over in-memory channels are not held: what they read was caused by events
of topics, and belongs to the same transaction, so they are busy until they have read it.

What works on behalf of events without having one in hand (closing windows, telling of a failed event) is a `unit` of work:
the quiet point waits for it, and what it sends belongs to the transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from enum import Enum
from math import inf
from weakref import WeakKeyDictionary, WeakMethod

from faust._core.iteration import Cursor, current_cursor
from faust._core.lanes import Lane
from faust.exceptions import GivenUp

__all__ = ["Gate", "Where"]

LEASE_STEP = 0.02
"""Seconds between two looks at a membership that is no longer certain."""

_in_unit: ContextVar[bool] = ContextVar("faust.unit", default=False)


class Where(Enum):
    """What the running code works on."""

    OUTSIDE = "outside"
    """No event: a timer, a task, a view."""
    EVENT = "event"
    """An event of a topic, or a unit of work."""
    CHANNEL = "channel"
    """An event of an in-memory channel."""


class Gate:
    """Whether events are handed out, and who is busy with one.

    Arguments:
        lease: Until when (monotonic seconds) our partitions are certainly ours.

    Attributes:
        held: No event of a topic is handed out.
        spoilt: Why what was done since the last commit must be undone; empty when it must not.
    """

    def __init__(self, lease: Callable[[], float]) -> None:
        self.held: bool = False
        self.spoilt: str = ""
        self._lease = lease
        self._opened = asyncio.Event()
        self._opened.set()
        self._units = 0
        self._cursors: WeakKeyDictionary[Cursor, Callable[[], bool] | None] = WeakKeyDictionary()

    # -- for streams

    def watch(self, cursor: Cursor, *, reads: Callable[[], bool] | None = None) -> None:
        """Count *cursor* among those who may be busy.

        *reads*, a method, is given for an in-memory channel: whether somebody reads it, and so will empty it. It is held
        weakly, since its stream holds the cursor.
        """
        self._cursors[cursor] = None if reads is None else _weakly(reads)

    def lease_until(self) -> float:
        """Until when events of topics may be handed out."""
        return -inf if self.held else self._lease()

    async def rest(self) -> None:
        """Wait until it makes sense to look at the lease again."""
        if self.held:
            await self._opened.wait()
        else:
            await asyncio.sleep(LEASE_STEP)

    def reset(self) -> None:
        """Be open, and belong to no event loop."""
        self.held, self.spoilt, self._units = False, "", 0
        self._opened = asyncio.Event()
        self._opened.set()

    # -- the quiet point

    def hold(self) -> None:
        """Hand out nothing more."""
        self.held = True
        self._opened.clear()

    def open(self) -> None:
        """Hand out again."""
        self.held = False
        self._opened.set()

    def busy(self) -> bool:
        """Say whether an event, or a unit of work, is half done."""
        if self._units:
            return True
        for cursor, reads in list(self._cursors.items()):
            lane = _lane_in_hand(cursor)
            if lane is not None and not lane.task.closed:
                return True
            if reads is not None and (len(cursor.inbox) or cursor.lane is not None) and reads():
                return True
        return False

    def in_hand(self) -> list[tuple[Lane, int]]:
        """Return what is in hand: lane and offset, the first of a list."""
        found: list[tuple[Lane, int]] = []
        for cursor in list(self._cursors):
            lane = _lane_in_hand(cursor)
            if lane is not None and not lane.task.closed:
                record = cursor.batch[0].record if cursor.record is None else cursor.record
                found.append((lane, record.offset))
        return found

    async def quiet(self, patience: float) -> bool:
        """Wait until nobody is busy, for *patience* seconds at most; say whether that was reached."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        pause = 0.0
        while self.busy():
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(pause + 0.0002, 0.005)
        return True

    def drop_channels(self) -> None:
        """Forget what waits in in-memory channels: the events that caused it come again."""
        for cursor, reads in list(self._cursors.items()):
            if reads is not None:
                cursor.inbox.clear()

    # -- units of work

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[None]:
        """Work that belongs to the transaction; waits until the gate is open."""
        while self.held:
            await self._opened.wait()
        with self.unit_now():
            yield

    @contextmanager
    def unit_now(self) -> Iterator[None]:
        """Work that belongs to the transaction, and to an event that is just being finished."""
        self._units += 1
        token = _in_unit.set(True)
        try:
            yield
        finally:
            _in_unit.reset(token)
            self._units -= 1

    def where(self) -> Where:
        """Say what the running code works on.

        Raises:
            GivenUp: On an event that is not ours any more.
        """
        cursor = current_cursor.get()
        lane = None if cursor is None else _lane_in_hand(cursor)
        if lane is None:
            return Where.EVENT if _in_unit.get() else Where.OUTSIDE
        task = lane.task
        if task.closed:
            raise GivenUp(
                f"the event in hand, of {task.tp.topic}[{task.partition}], was given up: its transaction was aborted or "
                "its partition given away. Nothing more of it is sent; it will be processed again"
            )
        return Where.CHANNEL if task.partition < 0 else Where.EVENT


def _weakly(method: Callable[[], bool]) -> Callable[[], bool]:
    """Call *method* for as long as its object lives; then the answer is no."""
    held = WeakMethod(method)

    def call() -> bool:
        alive = held()
        return alive is not None and alive()

    return call


def _lane_in_hand(cursor: Cursor) -> Lane | None:
    """Return the lane of the event, or the list, that the reader has in hand."""
    if cursor.record is not None:
        return cursor.lane
    if cursor.batch:
        lane: Lane = cursor.batch[0].lane
        return lane
    return None
