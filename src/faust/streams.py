"""Stream: what an agent iterates over, and the operators on it.

A stream reads one source (an iterator of a channel or topic, or any iterable) through a `Cursor`; see
``_core/iteration.py`` for the loop itself. Operators either add a processor to the stream or derive a new stream
from it: `group_by` and `through` forward every event of this stream to another topic (a background *drain*) and
return a stream over that topic.

Where a processor runs: filters that stand before any value-changing processor run on this side of a repartition, so
that rejected events are never forwarded; everything from the first value-changing processor on runs on the derived
stream, because what is forwarded are the original bytes.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from typing import Any, Generic, NamedTuple, TypeVar, cast

from faust._core.batching import batches
from faust._core.iteration import Cursor, current_cursor
from faust._core.lanes import Lane
from faust.events import Event
from faust.exceptions import ImproperlyConfigured, Skip
from faust.mailbox import Mailbox
from faust.ports import AppT, Source

__all__ = ["Stream"]

T = TypeVar("T")
S = TypeVar("S")

logger: logging.Logger = logging.getLogger(__name__)

LEASE_STEP = 0.02
"""Seconds between two looks at a membership that is no longer certain."""


class Processor(NamedTuple):
    """A function applied to each value."""

    fun: Callable[[Any], Any]
    is_filter: bool = False


class Stream(Generic[T]):
    """An asynchronous iterable of the values of a channel, topic or iterable.

    Attributes:
        app: The application.
        channel: What is read: an iterator of a channel or topic, or the iterable.
        concurrency_index: Number of the actor this stream belongs to; None when the agent has only one.
        active_partitions: The only partitions this stream reads; None: all.
        prefix: Put before the names of topics derived by `group_by`.
        enable_acks: Whether moving on acknowledges the event.
    """

    def __init__(
        self,
        channel: Source | AsyncIterable[T] | Iterable[T],
        *,
        app: AppT,
        processors: Iterable[Callable[[Any], Any]] | None = None,
        on_start: Callable[[], Awaitable[None]] | None = None,
        concurrency_index: int | None = None,
        prev: Stream[Any] | None = None,
        active_partitions: set[Any] | None = None,
        enable_acks: bool = True,
        prefix: str = "",
        beacon: Any = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.app = app
        self.channel = channel
        self.concurrency_index = concurrency_index
        self.active_partitions = active_partitions
        self.prefix = prefix
        self.beacon = beacon
        self.loop = loop
        self.on_start = on_start
        self._prev = prev
        self._next: Stream[Any] | None = None
        self._processors = [Processor(fun) for fun in processors or ()]
        self._drain: asyncio.Task[None] | None = None
        self._drain_to: Callable[[Stream[Any]], Awaitable[None]] | None = None
        self._stopped = False
        self.started: asyncio.Event = asyncio.Event()
        self._source = channel if isinstance(channel, Source) else None
        mailbox = self._source.mailbox if self._source is not None else Mailbox()
        self.cursor: Cursor = Cursor(
            mailbox,
            wait=mailbox.wait,
            breathe=_breathe,
            rest=_rest,
            make_event=self._make_event,
            on_decode_error=self._on_decode_error,
            lease_until=app.lease_until,
        )
        self.cursor.on_done = self._on_slice_done
        if not enable_acks:
            self._acks_by_hand()

    # -- state

    @property
    def enable_acks(self) -> bool:
        """Whether moving on to the next event acknowledges the last one."""
        return self.cursor.enable_acks

    @property
    def events_total(self) -> int:
        """Number of events handed out so far."""
        return self.cursor.count

    @property
    def current_event(self) -> Event[Any, Any] | None:
        """The event in hand; None between events."""
        event: Event[Any, Any] | None = self.cursor.event()
        return event

    def get_active_stream(self) -> Stream[Any]:
        """Return the last stream derived from this one."""
        stream: Stream[Any] = self
        while stream._next is not None:
            stream = stream._next
        return stream

    def get_root_stream(self) -> Stream[Any]:
        """Return the first stream of the chain."""
        stream: Stream[Any] = self
        while stream._prev is not None:
            stream = stream._prev
        return stream

    def _make_event(self, lane: Lane, record: Any, value: Any) -> Any:
        if self._source is None:
            return None
        return self._source.make_event(lane, record, value)

    async def _on_decode_error(self, lane: Lane, record: Any, exc: Exception) -> None:
        if self._source is None:
            raise exc
        await self._source.on_record_undecodable(lane, record, exc)

    def _on_slice_done(self, task: Any) -> None:
        consumer = self.app.consumer_or_none()
        if consumer is not None and not task.alive:
            consumer.note_progress(task)

    # -- iteration

    def __aiter__(self) -> AsyncIterator[T]:
        return cast("AsyncIterator[T]", self._iterate())

    def _iterate(self) -> AsyncGenerator[T, None]:
        self._begin()
        if self._source is None:
            return self._iterate_plain()
        if self._drain_to is None and self.on_start is None:
            return self.cursor.values()
        return self._iterate_after_start()

    def _begin(self) -> None:
        """Bind the processors; the loop never looks at the list."""
        cursor = self.cursor
        cursor.process, cursor.process_awaits = _compose(self._processors)
        self._stopped = False
        self.started.set()

    async def _iterate_after_start(self) -> AsyncGenerator[T, None]:
        if self.on_start is not None:
            await self.on_start()
        await self._start_draining()
        async for value in self.cursor.values():
            yield value

    async def _iterate_plain(self) -> AsyncGenerator[T, None]:
        """Iterate something that is no channel: values only, no events, nothing to acknowledge."""
        cursor = self.cursor
        current_cursor.set(cursor)
        process, awaits = cursor.process, cursor.process_awaits
        async for value in _as_async(self.channel):
            if self._stopped:
                return
            if cursor.inbox.errors:
                raise cursor.inbox.errors.popleft()
            if process is not None:
                try:
                    value = process(value)  # noqa: PLW2901
                    if awaits:
                        value = await value  # noqa: PLW2901
                except Skip:
                    continue
            if value is not None:
                cursor.count += 1
                yield value

    def __iter__(self) -> Any:
        raise NotImplementedError("streams are asynchronous: use `async for`")

    async def items(self) -> AsyncGenerator[tuple[Any, T], None]:
        """Iterate over ``(key, value)``; the value is the original one, before processors."""
        cursor = self.cursor
        async for value in self:
            yield cursor.key(), self._original(value)

    async def events(self) -> AsyncGenerator[Event[Any, T], None]:
        """Iterate over `Event` objects; their value is the original one, before processors."""
        cursor = self.cursor
        async for value in self:
            if cursor.lane is None:
                continue  # a plain iterable has no events
            cursor.value = self._original(value)
            event = cursor.event()
            if event is not None:
                yield event

    def _original(self, value: T) -> T:
        cursor = self.cursor
        if cursor.process is None or cursor.lane is None:
            return value
        return cast("T", cursor.lane.decode_value(cursor.record))

    async def enumerate(self, start: int = 0) -> AsyncGenerator[tuple[int, T], None]:
        """Iterate over ``(n, value)``."""
        number = start
        async for value in self:
            yield number, value
            number += 1

    async def take(self, max_: int, within: float | None = None) -> AsyncGenerator[list[T], None]:
        """Iterate over lists of at most *max_* values.

        A list is handed out when it is full, or when *within* seconds have passed since the first of its values arrived
        (None or 0: only when it is full). All its events are acknowledged when the loop moves on.
        """
        async for batch in self._take(max_, within):
            yield [item.value for item in batch]

    async def take_events(
        self, max_: int, within: float | None = None
    ) -> AsyncGenerator[list[Event[Any, T]], None]:
        """Iterate over lists of at most *max_* events; see `take`."""
        make_event = self.cursor.make_event
        async for batch in self._take(max_, within):
            yield [make_event(item.lane, item.record, item.value) for item in batch]

    async def _take(self, max_: int, within: float | None) -> AsyncGenerator[list[Any], None]:
        if max_ < 1:
            raise ValueError(f"take: max_ must be at least 1, got {max_}")
        if self._source is None:
            raise ImproperlyConfigured(
                "take needs events: use it on a stream over a topic or channel"
            )
        self._begin()
        if self.on_start is not None:
            await self.on_start()
        await self._start_draining()
        async for batch in batches(self.cursor, max_, _seconds(within), self.cursor.inbox.wait):  # type: ignore[attr-defined]
            yield batch

    # -- processors

    def add_processor(self, processor: Callable[[T], Any]) -> None:
        """Apply *processor* (sync or async) to every value; what it returns takes the value's place.

        A processor that raises `faust.exceptions.Skip` drops the event.
        """
        self._add(Processor(processor))

    def filter(self, fun: Callable[[T], Any]) -> Stream[T]:
        """Drop the values for which *fun* (sync or async) is not true; returns this stream."""
        self._add(Processor(fun, is_filter=True))
        return self

    def _add(self, processor: Processor) -> None:
        self._processors.append(processor)
        if self.started.is_set():
            cursor = self.cursor
            cursor.process, cursor.process_awaits = _compose(self._processors)

    def echo(self, *channels: Any) -> Stream[T]:
        """Send every value, without its key, to all *channels* as well; returns this stream.

        A name stands for a topic like the one this stream reads.
        """
        targets = [self._topic_named(ch) if isinstance(ch, str) else ch for ch in channels]

        async def echo(value: T) -> T:
            results = await asyncio.gather(
                *(target.send(value=value) for target in targets), return_exceptions=True
            )
            for target, result in zip(targets, results, strict=True):
                if isinstance(result, Exception):
                    logger.error("echo to %s failed: %s", target, result)
            return value

        self.add_processor(echo)
        return self

    # -- acknowledgement by hand

    def noack(self) -> Stream[T]:
        """Return a stream over the same source that acknowledges nothing by itself."""
        stream = self._derive(self.channel, processors=self._processors, enable_acks=False)
        self._link(stream)
        return cast("Stream[T]", stream)

    def _acks_by_hand(self) -> None:
        self.cursor.enable_acks = False
        inbox = self.cursor.inbox
        inbox.ordered = False
        consumer = self.app.consumer_or_none()
        if consumer is not None:
            for task in consumer.tasks.values():
                for lane in task.lanes:
                    if lane.inbox is inbox:
                        lane.track()

    async def ack(self, event: Event[Any, Any]) -> bool:
        """Acknowledge *event*; True when it was not before."""
        return event.ack()

    async def throw(self, exc: BaseException) -> None:
        """Raise *exc* in whoever iterates this stream."""
        self.cursor.inbox.throw(exc)

    # -- derived streams

    def derive_topic(self, name: str, **options: Any) -> Any:
        """Make a topic like the one this stream reads, under another name.

        Raises:
            ValueError: This stream does not read a topic.
        """
        if self._source is None:
            raise ValueError("only a stream over a topic can derive a topic")
        return self._source.derive_topic(name, **options)

    def _topic_named(self, name: str) -> Any:
        return self.derive_topic(name)

    def group_by(
        self,
        key: Any,
        *,
        name: str | None = None,
        topic: Any = None,
        partitions: int | None = None,
    ) -> Stream[T]:
        """Repartition: forward every event under a new key, and read it back on the worker that owns that key.

        Arguments:
            key: A field of the model (``Order.account_id``) or a function of the value, sync or async.
            name: Part of the derived topic's name; required with a function.
            topic: Forward to this topic instead of the derived ``[prefix-]source-name-repartition``.
            partitions: Partitions of the derived topic; None: setting ``topic_partitions``.

        Raises:
            TypeError: *key* is a function and there is no *name*.
            ImproperlyConfigured: The agent has concurrency, or this stream was derived from already.
            ValueError: The stream reads a topic without a single name.
        """
        if self._has_been_derived():
            return cast("Stream[T]", self._next)
        self._may_derive("group_by")
        if name is None:
            name = getattr(key, "ident", None)
            if name is None:
                raise TypeError(
                    "group_by with a function needs name=: it names the repartition topic"
                )
        if topic is None:
            topic = self._repartition_topic(name, partitions)
        get_key = _key_function(key)
        awaits = inspect.iscoroutinefunction(get_key)

        async def forward(source: Stream[Any]) -> None:
            cursor = source.cursor
            send_raw = topic.bind_raw_send()
            async for value in source:
                try:
                    new_key = get_key(value)
                    if awaits:
                        new_key = await new_key
                except Exception:
                    logger.exception(
                        "group_by %r: the key function failed; %s is skipped", name, _where(cursor)
                    )
                    continue
                record = cursor.record
                room = send_raw(new_key, record.value, record.headers)
                if room is not None:
                    await room

        return self._forwarded(topic, forward)

    def through(self, channel: Any) -> Stream[T]:
        """Forward every event, unchanged, to *channel* (a topic or the name of one), and read it back from there."""
        if self._has_been_derived():
            return cast("Stream[T]", self._next)
        self._may_derive("through")
        topic = self._topic_named(channel) if isinstance(channel, str) else channel

        async def forward(source: Stream[Any]) -> None:
            cursor = source.cursor
            send_raw = topic.bind_raw_send()
            async for _ in source:
                record = cursor.record
                room = send_raw(record.key, record.value, record.headers)
                if room is not None:
                    await room

        return self._forwarded(topic, forward)

    def _has_been_derived(self) -> bool:
        """An agent that is restarted derives again: it gets what it has."""
        return self._next is not None and self.started.is_set()

    def _may_derive(self, operator: str) -> None:
        if self.concurrency_index is not None:
            raise ImproperlyConfigured(
                f"{operator} cannot be used in an agent with concurrency > 1: events of one key would be"
                " reordered; repartition in an agent of its own"
            )
        if self._next is not None:
            raise ImproperlyConfigured(f"{operator}: a stream can be repartitioned once only")

    def _repartition_topic(self, name: str, partitions: int | None) -> Any:
        source = self._source
        has_prefix = getattr(source, "has_prefix", False)
        prefix = f"{self.prefix}-" if self.prefix and not has_prefix else ""
        derive = getattr(source, "derive_repartition", None)
        if derive is None:
            raise ValueError("group_by needs a stream over a topic or channel")
        return derive(
            prefix=prefix,
            suffix=f"-{name}-repartition",
            partitions=partitions or self.app.conf.topic_partitions,
        )

    def _forwarded(
        self, topic: Any, forward: Callable[[Stream[Any]], Awaitable[None]]
    ) -> Stream[T]:
        """Make the stream that reads back what *forward* sends to *topic*."""
        at = next((i for i, p in enumerate(self._processors) if not p.is_filter), None)
        kept, moved = (
            (self._processors, []) if at is None else (self._processors[:at], self._processors[at:])
        )
        derived = self._derive(topic.__aiter__(), processors=moved, enable_acks=self.enable_acks)
        self._processors = kept
        derived._drain_to = forward
        self._link(derived)
        return cast("Stream[T]", derived)

    def _derive(
        self, channel: Any, *, processors: list[Processor], enable_acks: bool
    ) -> Stream[Any]:
        stream: Stream[Any] = type(self)(
            channel,
            app=self.app,
            on_start=self.on_start,
            concurrency_index=self.concurrency_index,
            prev=self,
            active_partitions=self.active_partitions,
            enable_acks=enable_acks,
            prefix=self.prefix,
            beacon=self.beacon,
            loop=self.loop,
        )
        stream._processors = list(processors)
        return stream

    def _link(self, stream: Stream[Any]) -> None:
        self._next = stream

    async def _start_draining(self) -> None:
        forward, source = self._drain_to, self._prev
        if (
            forward is None
            or source is None
            or (self._drain is not None and not self._drain.done())
        ):
            return
        await source._start_draining()
        self._drain = asyncio.get_running_loop().create_task(
            self._drain_source(forward, source), name=f"{source.shortlabel} -> {self.shortlabel}"
        )

    async def _drain_source(
        self, forward: Callable[[Stream[Any]], Awaitable[None]], source: Stream[Any]
    ) -> None:
        try:
            await forward(source)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            # whoever iterates the derived stream sees it, and is supervised
            self.cursor.inbox.throw(exc)

    async def stop(self) -> None:
        """Stop this stream and every other of its chain."""
        stream: Stream[Any] | None = self.get_root_stream()
        while stream is not None:
            await stream._stop()
            stream = stream._next

    async def _stop(self) -> None:
        self._stopped = True
        drain, self._drain = self._drain, None
        if drain is not None:
            drain.cancel()
            await asyncio.gather(drain, return_exceptions=True)
        if self._source is not None:
            self._source.on_stop_iteration()

    # -- words

    @property
    def label(self) -> str:
        """Description for people, with the whole channel."""
        return f"Stream: {self.channel!r}"

    @property
    def shortlabel(self) -> str:
        """Description for people."""
        return f"Stream: {type(self.channel).__name__}: {self.channel}"

    def __repr__(self) -> str:
        return f"<{self.label}>"


# -- helpers


async def _breathe() -> None:
    await asyncio.sleep(0)


async def _rest() -> None:
    await asyncio.sleep(LEASE_STEP)


async def _as_async(values: Any) -> AsyncGenerator[Any, None]:
    if hasattr(values, "__aiter__"):
        async for value in values:
            yield value
        return
    for value in values:
        yield value
        await asyncio.sleep(0)


def _compose(
    processors: list[Processor],
) -> tuple[Callable[[Any], Any] | None, bool]:
    """Turn a list of processors into one function; says whether its result must be awaited."""
    if not processors:
        return None, False
    if not any(_may_await(processor.fun) for processor in processors):
        steps = [_sync_step(processor) for processor in processors]
        if len(steps) == 1:
            return steps[0], False

        def process(value: Any) -> Any:
            for step in steps:
                value = step(value)
            return value

        return process, False

    async def process_async(value: Any) -> Any:
        for fun, is_filter in processors:
            result = fun(value)
            if inspect.isawaitable(result):
                result = await result
            if is_filter:
                if not result:
                    raise Skip
            else:
                value = result
        return value

    return process_async, True


def _may_await(fun: Callable[[Any], Any]) -> bool:
    """Only plain functions and lambdas are known not to return an awaitable; `partial`s and objects may."""
    return inspect.iscoroutinefunction(fun) or not inspect.isroutine(fun)


def _sync_step(processor: Processor) -> Callable[[Any], Any]:
    fun = processor.fun
    if not processor.is_filter:
        return fun

    def keep(value: Any) -> Any:
        if fun(value):
            return value
        raise Skip

    return keep


def _key_function(key: Any) -> Callable[[Any], Any]:
    getter = getattr(key, "getattr", None)
    if getter is not None:
        return cast("Callable[[Any], Any]", getter)
    if not callable(key):
        raise TypeError(f"group_by: expected a field of a model or a function, got {key!r}")
    return cast("Callable[[Any], Any]", key)


def _where(cursor: Cursor) -> str:
    lane, record = cursor.lane, cursor.record
    if lane is None or record is None:
        return "the event"
    return f"{lane.task.tp.topic}[{lane.task.partition}] offset {record.offset}"


def _seconds(value: Any) -> float | None:
    if not value:
        return None
    return float(value.total_seconds()) if hasattr(value, "total_seconds") else float(value)
