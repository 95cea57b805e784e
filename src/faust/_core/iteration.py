"""The stream's loop: take a slice, decode, hand out, move on.

This is the one loop of the house that runs once per event, and the only one. It keeps its place in a `Cursor`, not
in its own frame: an ``async for`` that is left by an exception closes its generator some time later, and the next
iteration (a restarted actor) must go on with the very next record, whatever the garbage collector does meanwhile.
So a new iteration first *claims* the cursor: what was in hand counts as finished, the rest of the slice is taken
over, and the old generator finds, when it is closed at last, that it has nothing left to say. `stop` is a claim, too:
by nobody.

Per event the loop looks at the clock once. That single look serves two purposes: the loop is yielded to every few
milliseconds so that timers and other agents live, and a process that was frozen past its lease notices before it
hands out another event (rule C17).

Time, waiting and yielding come in through the constructor; nothing here knows asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from itertools import chain
from time import monotonic
from typing import Any, Protocol

from faust._core.lanes import Inbox, Lane, PartitionTask
from faust._core.offsets import AckTracker
from faust._core.places import mark
from faust.exceptions import Skip
from faust.messages import Slice

__all__ = ["TURN", "Cursor", "Tally", "current_cursor"]

TURN = 0.002
"""Seconds after which a busy stream lets others run."""

current_cursor: ContextVar[Cursor | None] = ContextVar("faust.current_cursor", default=None)
"""The cursor of the stream that the running task iterates; set once per iteration, not per event."""


class Tally(Protocol):
    """Who counts the events of a stream in runs: within one slice, and for no longer than `TURN`."""

    def opened(self) -> None:
        """A run begins: of a slice, or after others were let run."""
        ...

    def closing(self, *, whole: bool) -> None:
        """The run ends; the lane is still known. *whole*: with its slice."""
        ...


class Cursor:
    """Where a stream stands: its lane, the record in hand, and its decoded value.

    Attributes:
        inbox: Where slices come from.
        lane: Lane of the record in hand; None between slices.
        record: The record in hand (a driver's record, or whatever a channel was given).
        value: Its decoded value, before processors.
        rest: Awaited between two looks at a lease that has run out; None: as *breathe*.
        process: Applied to each value; may return an awaitable, may raise `Skip`. None: nothing to apply.
        enable_acks: When false nothing is finished by moving on.
        redeliver: A record whose reader or processor has raised comes again, instead of being finished.
        batch: The list that `faust._core.batching` has handed out; empty when values are handed out singly.
        alone: Records of a list whose reader failed, which come again in lists of one.
        observe: Called with lane and record when a record is finished; None: nobody wants to know.
        on_end: Called when an iteration ends.
        on_again: Called before a record comes again because a processor has raised.
        count: Events handed out so far.
        passed: Events taken that processors have dropped or failed at.
        collected: Events of the list that `faust._core.batching` is filling.
        tally: Told of each run of events; None: nobody counts.
    """

    __slots__ = (
        "__weakref__",
        "_batch",
        "_claims",
        "_event",
        "_event_record",
        "_records",
        "_stopped_turn",
        "alone",
        "batch",
        "breathe",
        "clock",
        "collected",
        "count",
        "decoded_key",
        "enable_acks",
        "inbox",
        "lane",
        "lease_until",
        "make_event",
        "observe",
        "on_again",
        "on_decode_error",
        "on_done",
        "on_end",
        "passed",
        "process",
        "process_awaits",
        "record",
        "redeliver",
        "rest",
        "tally",
        "value",
        "wait",
    )

    def __init__(
        self,
        inbox: Inbox,
        *,
        wait: Callable[[], Awaitable[None]],
        breathe: Callable[[], Awaitable[None]],
        rest: Callable[[], Awaitable[None]] | None = None,
        make_event: Callable[[Lane, Any, Any], Any],
        on_decode_error: Callable[[Lane, Any, Exception], Awaitable[None]],
        lease_until: Callable[[], float] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.inbox: Inbox = inbox
        self.wait: Callable[[], Awaitable[None]] = wait
        self.breathe: Callable[[], Awaitable[None]] = breathe
        self.rest: Callable[[], Awaitable[None]] = breathe if rest is None else rest
        self.make_event: Callable[[Lane, Any, Any], Any] = make_event
        self.on_decode_error: Callable[[Lane, Any, Exception], Awaitable[None]] = on_decode_error
        self.lease_until: Callable[[], float] | None = lease_until
        self.clock: Callable[[], float] = clock
        self.on_done: Callable[[PartitionTask], None] | None = None
        self.on_end: Callable[[], None] = _nothing
        self.on_again: Callable[[], None] = _nothing
        self.observe: Callable[[Lane, Any], None] | None = None
        self.process: Callable[[Any], Any] | None = None
        self.process_awaits: bool = False
        self.enable_acks: bool = True
        self.redeliver: bool = False
        self.count: int = 0
        self.passed: int = 0
        self.collected: int = 0
        self.tally: Tally | None = None
        self.lane: Lane | None = None
        self.record: Any = None
        self.value: Any = None
        self.decoded_key: Any = None
        self._batch: Slice | None = None
        self._records: Iterator[Any] = iter(())
        self._claims = 0
        self._stopped_turn = 0
        self.batch: list[Any] = []
        self.alone: set[tuple[Lane, int]] = set()
        self._event: Any = None
        self._event_record: Any = None

    # -- the record in hand

    def event(self) -> Any:
        """Return the event in hand, built on first look; None between events."""
        record = self.record
        if record is None or self.lane is None:
            return None
        if self._event_record is not record:
            self._event = self.make_event(self.lane, record, self.value)
            self._event_record = record
        return self._event

    def key(self) -> Any:
        """Return the decoded key of the record in hand."""
        lane, record = self.lane, self.record
        if lane is None:
            return None
        return record.key if lane.decode_key is None else self.decoded_key

    def finish(self) -> None:
        """Count the record in hand as finished (unless acknowledgement is by hand)."""
        lane, record = self.lane, self.record
        self.record = self.value = None
        if lane is None or record is None or not self.enable_acks:
            return
        if lane.tracker is not None:
            lane.tracker.ack(record.offset)
        elif lane.current is record:
            lane.done = record.offset + 1
            lane.current = None
        if self.observe is not None:
            self.observe(lane, record)

    def retry(self) -> None:
        """Take the record in hand back: it is not finished, and the next iteration begins with it."""
        record, self.record, self.value = self.record, None, None
        if self.lane is not None and record is not None:
            if self.tally is not None:
                self.lane.taken -= 1
            self.put_back([record])

    def close_slice(self) -> None:
        """Count the whole slice as handed out, with what the log skips behind it."""
        if self.tally is not None:
            self.tally.closing(whole=True)
        lane, batch = self.lane, self._batch
        self._batch = None
        self._records = iter(())
        self.lane = None
        if lane is None or batch is None:
            return
        task = lane.task
        lane.closed = batch.next_offset
        if lane.tracker is not None:
            if task.alive:  # else the rest of it was not handed out
                lane.tracker.advance(batch.next_offset)
        elif task.alive and self.enable_acks and lane.current is None:
            lane.done = batch.next_offset
        if self.on_done is not None:
            self.on_done(task)

    # -- slices

    def last_offset(self) -> int:
        """Return the offset of the last record of the open slice; -1 where only an iterator over it is known."""
        records = () if self._batch is None else self._batch.records
        return records[-1].offset if hasattr(records, "__len__") and len(records) else -1

    @property
    def claims(self) -> int:
        """Number of the iteration that has the place now."""
        return self._claims

    def open_slice(self) -> bool:
        """Begin with the next slice; False when none waits."""
        work = self.inbox.pop()
        if work is None:
            return False
        self.lane, self._batch = work
        self._records = iter(self._batch.records)
        self.track_open_slice()
        if self.tally is not None:
            self.tally.opened()
        return True

    def rest_of_slice(self) -> Iterator[Any]:
        """Return the records of the open slice that nobody has taken; whoever takes one must handle it."""
        return self._records

    def put_back(self, records: list[Any]) -> None:
        """Read *records* of the open slice again, before the rest of it."""
        self._records = chain(records, self._records)

    def track_open_slice(self) -> None:
        """Note what is taken of the open slice, if its lane tracks."""
        if self.lane is not None and self.lane.tracker is not None:
            self._records = _noted(self._records, self.lane.tracker)

    def take_over(self, other: Cursor) -> None:
        """Go on where *other*, which reads the same inbox, has been left."""
        other.finish()
        if other.tally is not None:
            other.tally.closing(whole=False)
        other._claims += 1
        self.lane, self._batch, self._records = other.lane, other._batch, other._records
        other.lane, other._batch, other._records = None, None, iter(())

    def lease_expired(self) -> bool:
        """Say whether our partitions may have been given to somebody else."""
        return self.lease_until is not None and self.clock() >= self.lease_until()

    # -- the loop

    def claim(self) -> int:
        """Take the place over from an earlier iteration; what it had in hand is finished."""
        self.finish()
        self._stopped_turn = 0
        self._claims += 1
        current_cursor.set(self)
        return self._claims

    def stop(self) -> None:
        """End the iteration at its next step; what is in hand may be finished until then."""
        self._stopped_turn = self._claims
        self._claims += 1
        self.inbox.wake()

    def interrupt(self) -> None:
        """Take the place from whoever iterates; what is in hand stays so, until `retry` takes it back."""
        self._stopped_turn = 0
        self._claims += 1

    def was_stopped(self, turn: int) -> bool:
        """Say whether `stop` has ended iteration *turn*, which has not noticed yet."""
        return self._stopped_turn == turn

    def lost(self, turn: int) -> bool:
        """Say whether iteration *turn* must end; when it was stopped, what it had in hand is finished."""
        if self._claims == turn:
            return False
        if self._stopped_turn == turn:
            self.finish()
            self._stopped_turn = 0
            self.on_end()
        return True

    def thrown(self) -> BaseException | None:
        """Return the error to raise now; None when the iteration must end instead."""
        self.finish()
        exc = self.inbox.errors.popleft()
        return None if isinstance(exc, StopAsyncIteration) else exc

    async def values(self) -> AsyncGenerator[Any, None]:
        """Hand out values, one at a time, for ever."""
        inbox = self.inbox
        clock = self.clock
        turn = self.claim()
        turn_ends = 0.0 if self.lease_expired() else clock() + TURN
        try:
            while True:
                lane = self.lane
                if lane is None:
                    if inbox.errors:
                        if (thrown := self.thrown()) is None:
                            return
                        raise thrown
                    if not self.open_slice():
                        await self.wait()
                        # Frozen while it waited? Then the next record is not handed out before `_breathe` agrees.
                        turn_ends = 0.0 if self.lease_expired() else clock() + TURN
                        if self._claims != turn:
                            return
                        continue
                    lane = self.lane
                    assert lane is not None
                task = lane.task
                decode_key, decode = lane.decode_key, lane.decode_value
                tracker = lane.tracker
                for record in self._records:
                    if clock() >= turn_ends:
                        rest = self._records
                        self._records = chain((record,), rest)  # nobody has it yet
                        await self._breathe(task)
                        turn_ends = clock() + TURN
                        if self._claims != turn:
                            return
                        self._records = rest
                    if not task.alive:
                        lane.dropped += 1
                        break
                    if tracker is None:
                        lane.current = record
                    self.record = record
                    try:
                        if decode_key is not None:  # a bad key shows, whoever looks at it
                            self.decoded_key = decode_key(record)
                        value = decode(record)
                    except Exception as exc:
                        if await self.undecodable(lane, record, exc):
                            return
                        continue
                    self.value = value
                    if self.process is not None:
                        try:
                            value = self.process(value)
                            if self.process_awaits:
                                value = await value
                        except Skip:
                            self.skip(lane, record)
                            continue
                        except Exception as exc:
                            self.passed += 1
                            mark(exc, lane, record)
                            if self.redeliver:
                                self.on_again()
                                self.retry()
                            raise
                        except BaseException:  # cancelled: nobody has had it
                            if self._claims == turn or self.was_stopped(turn):
                                self.retry()
                            raise
                    self.count += 1
                    yield value
                    if self._claims != turn:
                        return
                    if inbox.errors:
                        if (thrown := self.thrown()) is None:
                            return
                        raise thrown
                    if tracker is not None and self.enable_acks:
                        tracker.ack(record.offset)
                self.finish()
                self.close_slice()
        finally:
            if not self.lost(turn):
                self.finish()
                self.on_end()

    async def _breathe(self, task: PartitionTask) -> None:
        """Let others run; and hand out nothing while the lease on the partition has run out."""
        self.finish()
        tally = self.tally
        if tally is not None:
            tally.closing(whole=False)
        await self.breathe()
        while task.alive and self.lease_expired():
            await self.rest()
        if tally is not None:
            tally.opened()

    async def undecodable(self, lane: Lane, record: Any, exc: Exception) -> bool:
        """Let the channel decide what a bad message means; by default it is raised in the reader.

        True when the iteration must end.
        """
        mark(exc, lane, record)
        lane.undecoded += 1
        lane.fault = f"offset {record.offset}, {_kind_of(exc)}"
        await self.on_decode_error(lane, record, exc)
        self.skip(lane, record)
        self.passed -= 1  # it has never been an event
        if self.inbox.errors:
            thrown = self.thrown()
            if thrown is None:
                return True
            raise thrown
        return False

    def skip(self, lane: Lane, record: Any) -> None:
        """A dropped event is finished, also where acknowledgement is by hand."""
        self.passed += 1
        self.record = self.value = None
        if lane.tracker is not None:
            lane.tracker.ack(record.offset)
        elif lane.current is record:
            lane.done = record.offset + 1
            lane.current = None
        if self.observe is not None:
            self.observe(lane, record)


def _noted(records: Iterator[Any], tracker: AckTracker) -> Iterator[Any]:
    """Give *records* on; each counts as handed out from the moment it is taken."""
    for record in records:
        if record.offset >= tracker.high:  # else it was given back, and is known
            tracker.deliver(record.offset)
        yield record


def _kind_of(exc: BaseException) -> str:
    """Return the classes of an error and its cause: unlike their words, they tell nothing of a message."""
    kinds = [exc] if exc.__cause__ is None else [exc, exc.__cause__]
    return " by ".join(type(each).__name__ for each in kinds)


def _nothing() -> None:
    return None
