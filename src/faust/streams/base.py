"""What every stream is: a place in a source, processors, a link in a chain, a service.

A stream reads one source (an iterator of a channel or topic, or any iterable) through a `Cursor`; see
``_core/iteration.py`` for the loop itself. Streams that were derived from one another form a chain, from the root, which
reads what the program named, to the active one, which is iterated.

What raises belongs to a message, and whoever reports it asks for both: `StreamBase.place_of` names the message,
`StreamBase.failed` lets go of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from time import monotonic
from typing import Any, Generic, Self, TypeVar, cast
from weakref import ref

from mode import Service

from faust._core import batching
from faust._core.iteration import Cursor, current_cursor
from faust._core.lanes import Lane, PartitionTask
from faust._core.places import Place, place_in, take_place
from faust.events import Event
from faust.exceptions import Skip
from faust.joins import Join
from faust.mailbox import Mailbox
from faust.ports import AppT, Source
from faust.sensors.base import Hooks
from faust.streams.observing import Observer, Tally, wanted
from faust.streams.processors import Processor, compose, drop_none

__all__ = ["StreamBase"]

T = TypeVar("T")

logger: logging.Logger = logging.getLogger(__name__)

COMES_AGAIN = "an event was not processed, and is to come again"
RESTARTS_WITHIN = 2.0
"""Seconds in which a function that has raised is taken to be about to read on; most are called again at once."""

Report = Callable[[BaseException, Place | None], Awaitable[None]]


class StreamBase(Service, Generic[T]):
    """A place in a source. See `faust.Stream`."""

    abstract = True
    mundane_level = "debug"

    _observer: Observer | None = None
    _tally: Tally | None = None

    def __init__(
        self,
        channel: Source | AsyncIterable[T] | Iterable[T],
        *,
        app: AppT,
        processors: Iterable[Callable[[Any], Any]] | None = None,
        combined: list[Any] | None = None,
        on_start: Callable[[], Awaitable[None]] | None = None,
        join_strategy: Join | None = None,
        concurrency_index: int | None = None,
        prev: Any = None,
        active_partitions: set[Any] | None = None,
        enable_acks: bool = True,
        prefix: str = "",
        beacon: Any = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(beacon=beacon, loop=loop)
        self.app: AppT = app
        self.channel: Any = channel
        self.combined: list[Any] = [] if combined is None else combined
        self.join_strategy: Join | None = join_strategy
        self.concurrency_index: int | None = concurrency_index
        self.active_partitions: set[Any] | None = active_partitions
        self.prefix: str = prefix
        self.task_owner: asyncio.Task[Any] | None = None
        self.reading: asyncio.Event = asyncio.Event()
        self.report: Report = self._log_failure
        self._given_beacon = beacon
        self._given_on_start = on_start
        self._prev: Any = prev
        self._next: Any = None
        self._processors = [Processor(fun) for fun in processors or ()]
        self._first_processors = list(self._processors)
        self._started_by_iteration = False
        self._restarts_by: float = 0.0
        task = _current_task()
        self._made_in: Callable[[], Any] = _nobody if task is None else ref(task)
        self._source = channel if isinstance(channel, Source) else None
        mailbox = self._source.mailbox if self._source is not None else Mailbox()
        channel_only = self._source is not None and not hasattr(self._source, "topics")
        self.cursor: Cursor = Cursor(
            mailbox,
            wait=mailbox.wait,
            breathe=_breathe,
            rest=app.gate.rest,
            make_event=self._make_event,
            on_decode_error=self._on_decode_error,
            lease_until=app.lease_until if channel_only else app.gate.lease_until,
        )
        app.gate.watch(self.cursor, reads=self._is_read if channel_only else None)
        self._hand = self.cursor
        self.cursor.on_done = self._on_slice_done
        self.cursor.on_end = self._on_end
        self.cursor.on_again = self._on_again
        if not enable_acks:
            self._acks_by_hand()

    # -- state

    @property
    def enable_acks(self) -> bool:
        """Whether moving on to the next event acknowledges the last one."""
        return self.cursor.enable_acks

    @enable_acks.setter
    def enable_acks(self, enabled: bool) -> None:
        if enabled:
            self.cursor.enable_acks = True
        else:
            self._acks_by_hand()

    @property
    def redeliver(self) -> bool:
        """Whether an event that was not processed, since an agent or a processor has raised, comes again.

        Off: it is reported and skipped. On: order is kept and nothing is passed over, and an event that always fails holds
        up its stream: wait in the agent's ``on_error`` before it comes again.
        """
        return self.cursor.redeliver

    @redeliver.setter
    def redeliver(self, enabled: bool) -> None:
        self.cursor.redeliver = enabled

    @property
    def events_total(self) -> int:
        """Number of events handed out so far."""
        return self.cursor.count

    @property
    def outbox(self) -> Any:
        """Where what is to be read waits."""
        return self.cursor.inbox

    @property
    def current_event(self) -> Event[Any, Any] | None:
        """The event in hand; None between events."""
        event: Event[Any, Any] | None = self._hand.event()
        return event

    def get_active_stream(self) -> Any:
        """Return the last stream derived from this one.

        Raises:
            RuntimeError: The chain is a ring.
        """
        return self._end_of_chain("_next")

    def get_root_stream(self) -> Any:
        """Return the first stream of the chain.

        Raises:
            RuntimeError: The chain is a ring.
        """
        return self._end_of_chain("_prev")

    def _end_of_chain(self, link: str) -> Any:
        stream: Any = self
        seen = {id(stream)}
        while (following := getattr(stream, link)) is not None:
            if id(following) in seen:
                raise RuntimeError(f"the streams derived from {self!r} form a ring")
            seen.add(id(following))
            stream = following
        return stream

    def _chain(self) -> list[Any]:
        """Return all streams of the chain, the root first."""
        streams = [self.get_root_stream()]
        while streams[-1]._next is not None:
            streams.append(streams[-1]._next)
        return streams

    def info(self) -> Mapping[str, Any]:
        """Return what a clone is made of: the constructor's arguments."""
        return {
            "app": self.app,
            "channel": self.channel,
            "processors": [processor.fun for processor in self._processors],
            "on_start": self._given_on_start,
            "loop": self._loop,
            "combined": self.combined,
            "beacon": self._given_beacon,
            "concurrency_index": self.concurrency_index,
            "prev": self._prev,
            "active_partitions": self.active_partitions,
            "enable_acks": self.enable_acks,
            "prefix": self.prefix,
            "join_strategy": self.join_strategy,
        }

    def clone(self, **overrides: Any) -> Self:
        """Make a stream like this one, over the same channel; *overrides* are arguments of the constructor."""
        options = {**self.info(), **overrides}
        processors = options.pop("processors")
        made = type(self)(options.pop("channel"), **options)
        if "processors" in overrides:
            made._processors = [Processor(fun) for fun in processors or ()]
        else:
            made._processors = list(self._processors)
        made._first_processors = list(made._processors)
        made.report = self.report
        return made

    def __copy__(self) -> Self:
        return self.clone()

    # -- what the cursor asks

    def _make_event(self, lane: Lane, record: Any, value: Any) -> Any:
        if self._source is None:
            return None
        return self._source.make_event(lane, record, value)

    async def _on_decode_error(self, lane: Lane, record: Any, exc: Exception) -> None:
        if self._source is None:
            raise exc
        await self._source.on_record_undecodable(lane, record, exc)

    def _is_read(self) -> bool:
        """Say whether somebody iterates this stream, or is just being restarted, and so takes what waits for it."""
        if self.task_owner is not None and not self.task_owner.done():
            return True
        return monotonic() < self._restarts_by

    def _on_slice_done(self, task: Any) -> None:
        consumer = self.app.consumer_or_none()
        if consumer is not None and not task.alive:
            consumer.note_progress(task)

    def _on_again(self) -> None:
        self._spoil(self.cursor, COMES_AGAIN)

    def _on_end(self) -> None:
        """An iteration has ended: one that had started the stream leaves it as it was."""
        if self._tally is not None:
            self._tally.settle()
        self.task_owner = None
        if self._started_by_iteration:
            self._started_by_iteration = False
            self.service_reset()

    # -- iteration

    def __aiter__(self) -> AsyncIterator[T]:
        return cast("AsyncIterator[T]", self._iterate())

    def _iterate(self) -> AsyncGenerator[T, None]:
        if self.combined:
            return self._iterate_combined()
        self._begin()
        if self._source is None:
            return self._iterate_plain()
        if self._has_to_start():
            return self._iterate_after_start()
        return self.cursor.values()

    def _begin(self, *, singly: bool = True) -> None:
        """Bind the processors; the loop never looks at the list."""
        self._restore_acks()
        cursor, self._merged = self.cursor, None
        self.task_owner = _current_task()
        self._restarts_by = 0.0
        if self._stopped.is_set():
            self.service_reset()
        if not self._started.is_set():
            self._started_by_iteration = True
            self._started.set()
        sensors = self.app.sensors
        in_runs = self._source is None or bool(self.combined) or hasattr(self._source, "topics")
        hooks = sensors.hooks if in_runs else sensors.single
        if not wanted(hooks):
            self._observer = None
        elif self._observer is None:
            self._observer = Observer(self, cursor, hooks)
        if self._observer is not None:
            self._observer.singly = singly
        cursor.observe = None if self._observer is None else self._observer.end
        self._count(sensors.hooks, singly=singly, wanted=in_runs)
        self._bind()
        self.reading.set()

    def _count(self, hooks: Hooks, *, singly: bool, wanted: bool) -> None:
        """Count events in runs, if a sensor wants to know."""
        if hooks.on_stream_events is None or not wanted or self.combined or self._source is None:
            self.cursor.tally = self._tally = None
            return
        if self._tally is None:
            self._tally = Tally(self, self.cursor, hooks)
            self.app.sensors.add_meter(self._tally)
        else:
            self._tally.settle()
        self._tally.singly = singly
        self.cursor.tally = self._tally

    def _bind(self) -> None:
        """Compose the processors, with what comes before and after them."""
        steps = list(self._processors)
        if self._observer is not None:
            steps.insert(0, Processor(self._observer.begin))
        if self.join_strategy is not None:
            steps.append(Processor(self.on_merge))
        if self._source is not None and self._source.drops_none:
            steps.append(Processor(self._drop_none))
        self.cursor.process, self.cursor.process_awaits = compose(steps, self._becomes_async)

    def _becomes_async(self) -> None:
        self.cursor.process_awaits = True

    def _drop_none(self, value: Any) -> Any:
        """None is swallowed, unless it is the value of an event."""
        return value if value is not None or self.cursor.event() is not None else drop_none(value)

    async def on_merge(self, value: Any = None) -> Any:
        """Apply the join strategy to a value; override to join in a way of your own."""
        return value if self.join_strategy is None else await self.join_strategy.process(value)

    def _has_to_start(self) -> bool:
        return self._given_on_start is not None

    async def _before_iteration(self) -> None:
        if self._given_on_start is not None:
            await self._given_on_start()

    async def _iterate_after_start(self) -> AsyncGenerator[T, None]:
        await self._before_iteration()
        values = self.cursor.values()
        try:
            async for value in values:
                yield value
        finally:
            await values.aclose()

    async def _iterate_plain(self) -> AsyncGenerator[T, None]:
        """Iterate something that is no channel: values only, no events, nothing to acknowledge."""
        cursor = self.cursor
        turn = cursor.claim()
        current_cursor.set(cursor)
        try:
            await self._before_iteration()
            async for value in _as_async(self.channel):
                if cursor.inbox.errors:
                    if (exc := cursor.thrown()) is None:
                        return
                    raise exc
                if cursor.process is not None:
                    try:
                        value = cursor.process(value)  # noqa: PLW2901
                        if cursor.process_awaits:
                            value = await value  # noqa: PLW2901
                    except Skip:
                        continue
                if value is not None:
                    cursor.count += 1
                    yield value
                if cursor.claims != turn:
                    return
        finally:
            if not cursor.lost(turn):
                self._on_end()

    def _iterate_combined(self) -> AsyncGenerator[T, None]:
        raise NotImplementedError

    def __iter__(self) -> Any:
        raise NotImplementedError("streams are asynchronous: use `async for`")

    # -- acknowledgement by hand

    def _acks_by_hand(self) -> None:
        self.cursor.enable_acks = False
        inbox = self.cursor.inbox
        inbox.ordered = False
        consumer = self.app.consumer_or_none()
        if consumer is not None:
            for task in consumer.tasks.values():
                for lane in task.lanes:
                    if lane.inbox is inbox and lane.tracker is None:
                        lane.track()
                        if lane is self.cursor.lane:
                            self.cursor.track_open_slice()

    _acks_again = False

    def _restore_acks(self) -> None:
        """Acknowledge again, if only the last iteration was not to."""
        if self._acks_again:
            self._acks_again = False
            self.cursor.enable_acks = True

    async def ack(self, event: Event[Any, Any]) -> bool:
        """Acknowledge *event*; True when that was the last acknowledgement its message waited for."""
        return event.ack()

    async def throw(self, exc: BaseException) -> None:
        """Raise *exc* in whoever iterates this stream."""
        self.cursor.inbox.throw(exc)

    # -- failures

    _merged: Any = None
    """The combined stream that reads this one."""

    def _reader(self) -> Any:
        """Return the stream that is iterated: the last of the chain, or what it was combined into."""
        active = self.get_active_stream()
        return active if active._merged is None else active._merged

    def place_of(self, exc: BaseException) -> Place | None:
        """Name the message that *exc* was raised for; None when there was none."""
        hand = self._reader()._hand
        return take_place(exc) or place_in(hand.lane, hand.record) or _first_of(hand.batch)

    def failed(self) -> None:
        """Let go of what is in hand: the function that read it has raised.

        One event counts as processed. A list does not: its events come again, one by one. With `redeliver` what was in
        hand comes again as it was.
        """
        for stream in self._chain():
            stream._restarts_by = monotonic() + RESTARTS_WITHIN
        reader = self._reader()
        cursor = reader._hand
        again = cursor.redeliver or reader.redeliver
        if again:
            self._spoil(cursor, COMES_AGAIN)
        batching.fail(cursor)
        if again:
            cursor.retry()
        else:
            cursor.finish()

    def _halted(self) -> list[PartitionTask]:
        """Return the tasks of which records were begun with and wait, though whoever iterates this has nothing in hand.

        Only those that are acknowledged by moving on: of others nobody knows what the reader still has.
        """
        reader = self._reader()
        owner = reader.task_owner
        parts = [part.get_active_stream() for part in reader.combined] or [reader]
        cursors: list[Cursor] = [part.cursor for part in parts]
        if owner is None or owner.done():
            return []
        if any(one.record is not None or one.batch or one.collected for one in cursors):
            return []
        open_lanes = [(one.lane, one.last_offset()) for one in cursors if one.lane is not None]
        return [
            lane.task
            for lane, last in open_lanes
            if lane.acks and lane.tracker is None and lane.done <= last and lane in lane.task.lanes
        ]

    def interrupt(self) -> None:
        """Whoever reads this is about to be cancelled: what it has in hand is not finished by that."""
        self._reader()._hand.interrupt()

    def take_back(self) -> None:
        """Take back what is in hand: who read it was cancelled, and the next iteration begins with it."""
        cursor = self._reader()._hand
        self._spoil(cursor, "an agent was stopped while it had an event in hand")
        batching.take_back(cursor)
        cursor.retry()

    def _spoil(self, cursor: Cursor, reason: str) -> None:
        """What the event in hand has caused so far must not count, since it comes again (exactly-once only)."""
        if cursor.record is not None or cursor.batch:
            self.app.gate.spoilt = f"{self.shortlabel}: {reason}"

    async def _log_failure(self, exc: BaseException, place: Place | None) -> None:
        logger.error(
            "%s: %s: %s (while it processed %s, which is skipped)",
            self.shortlabel,
            type(exc).__name__,
            exc,
            place,
            exc_info=exc,
        )

    # -- life

    async def on_start(self) -> None:
        """Nothing to do: reading begins with the iteration."""

    async def stop(self) -> None:
        """Stop this stream and every other of its chain; an iteration ends at its next step."""
        for stream in self._chain():
            await stream._stop()

    async def _stop(self) -> None:
        self._started_by_iteration = False
        self._restarts_by = 0.0
        await super().stop()
        self.cursor.stop()
        if self._source is not None:
            self._source.on_stop_iteration()

    # -- words

    @property
    def label(self) -> str:
        """Description for people, with the whole channel."""
        return f"Stream: {self._describe(repr)}"

    @property
    def shortlabel(self) -> str:
        """Description for people."""
        return f"Stream: {self._describe(_name_of)}"

    def _describe(self, say: Callable[[Any], str]) -> str:
        parts = [part.channel for part in self.combined] or [self.channel]
        return " & ".join(say(part) for part in parts)

    def __repr__(self) -> str:
        return f"<{self.label}>"


# -- helpers


def _first_of(batch: list[Any]) -> Place | None:
    return place_in(batch[0].lane, batch[0].record) if batch else None


def _name_of(channel: Any) -> str:
    return f"{type(channel).__name__}: {channel}"


def _nobody() -> None:
    return None


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


async def _breathe() -> None:
    await asyncio.sleep(0)


async def _as_async(values: Any) -> AsyncGenerator[Any, None]:
    if hasattr(values, "__aiter__"):
        async for value in values:
            yield value
        return
    for value in values:
        yield value
        await asyncio.sleep(0)
