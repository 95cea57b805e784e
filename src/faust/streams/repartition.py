"""Streams derived from streams: `group_by` and `through` forward every event to another topic and read it back.

A background *drain* iterates the source stream and sends; the derived stream reads the topic. The drain lives as long as
the derived stream is iterated.

Where a processor runs: filters that stand before any value-changing processor run on the source side, so that
rejected events are never forwarded; everything from the first value-changing processor on runs on the derived
stream, because what is forwarded are the original bytes.

An agent that is restarted calls its function again over the same stream. It finds the streams it has derived before,
and its processors are not added a second time (`RepartitionStream.rewind`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, Self, TypeVar, cast

from faust._core.places import mark, take_place
from faust.exceptions import ImproperlyConfigured
from faust.joins import Join
from faust.models.typing import strip_optional
from faust.streams.base import StreamBase
from faust.streams.processors import split

__all__ = ["RepartitionStream"]

T = TypeVar("T")

Forward = Callable[[Any], Awaitable[None]]
"""Iterates a source stream and sends what it hands out."""

LAST_EVENT = 1.0
"""Seconds that forwarding may take to end with the event it has in hand."""


class RepartitionStream(StreamBase[T]):
    """A stream that others can be derived from. See `faust.Stream`."""

    abstract = True

    _drain: asyncio.Task[None] | None = None
    _drain_to: Forward | None = None

    def derive_topic(
        self,
        name: str,
        *,
        schema: Any = None,
        key_type: Any = None,
        value_type: Any = None,
        prefix: str = "",
        suffix: str = "",
    ) -> Any:
        """Make a topic like the one this stream reads, under another name.

        Raises:
            ValueError: This stream does not read a topic.
        """
        return self._source_topic().derive_topic(
            name,
            schema=schema,
            key_type=key_type,
            value_type=value_type,
            prefix=prefix,
            suffix=suffix,
        )

    def _source_topic(self) -> Any:
        if self._source is None:
            raise ValueError("only a stream over a topic can derive a topic")
        return self._source

    def group_by(
        self,
        key: Callable[[T], Any] | Any,
        *,
        name: str | None = None,
        topic: Any = None,
        partitions: int | None = None,
    ) -> Self:
        """Repartition: forward every event under a new key, and read it back on the worker that owns that key.

        An event whose key cannot be computed or serialized is reported and skipped. The derived topic is like the source. Where
        that could not hold what is in the field, it has the field's type as key type.

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
        get_key = _key_function(key)
        if name is None:
            name = getattr(key, "ident", None)
        if name is None:
            raise TypeError("group_by with a function needs name=: it names the repartition topic")
        if self._has_been_derived():
            return self._derived_before()
        self._may_derive("group_by")
        if topic is None:
            target = self._repartition_topic(name, partitions, self._key_options(key))
        elif isinstance(topic, str):
            target = self._source_topic().derive_topic(topic, **self._key_options(key))
        else:
            target = topic

        async def forward(source: Any) -> None:
            cursor = source.cursor
            send = target.bind_raw_send()
            async for value in source:
                try:
                    new_key = get_key(value)
                    if isinstance(new_key, CoroutineType):
                        new_key = await new_key
                    record = cursor.record
                    room = send(new_key, *source._raw(record))
                except asyncio.CancelledError:
                    cursor.retry()
                    raise
                except Exception as exc:
                    mark(exc, cursor.lane, cursor.record)
                    await source.report(exc, take_place(exc))
                    continue
                if room is not None:
                    await _sent(room, source, target)

        return self._forwarded(target, forward)

    def through(self, channel: Any) -> Self:
        """Forward every event, unchanged, to *channel* (a topic or the name of one), and read it back from there.

        Raises:
            ImproperlyConfigured: The agent has concurrency, or this stream was derived from already.
        """
        if self._has_been_derived():
            return self._derived_before()
        self._may_derive("through")
        target = self.derive_topic(channel) if isinstance(channel, str) else channel

        async def forward(source: Any) -> None:
            cursor = source.cursor
            send = target.bind_raw_send()
            async for _ in source:
                record = cursor.record
                room = send(source._raw_key(record), *source._raw(record))
                if room is not None:
                    await _sent(room, source, target)

        return self._forwarded(target, forward)

    @staticmethod
    def _raw(record: Any) -> tuple[Any, Any]:
        """Return value and headers as they came."""
        message = getattr(record, "message", record)
        return message.value, message.headers

    @staticmethod
    def _raw_key(record: Any) -> Any:
        return getattr(record, "message", record).key

    # -- the chain

    def _has_been_derived(self) -> bool:
        """An agent that is restarted derives again: it gets what it has."""
        return self._next is not None and (self.reading.is_set() or self._next.reading.is_set())

    def _derived_before(self) -> Self:
        """Return the stream derived in an earlier life; this stream's processors are divided anew."""
        following: Self = self._next
        if following._same_source:
            following._processors = list(self._processors)
        else:
            self._processors, following._processors = split(self._processors)
        self._bind()
        return following

    async def rewind(self) -> None:
        """Forget what a function has added to this chain of streams: it is about to be called again."""
        for stream in self._chain():
            if stream._drain is not None:
                stream._prev.cursor.stop()
            await stream._stop_draining()
            stream._processors = list(stream._first_processors) if stream._prev is None else []

    def _may_derive(self, operator: str) -> None:
        if self.concurrency_index is not None:
            raise ImproperlyConfigured(
                f"{operator} cannot be used in an agent with concurrency > 1: events of one key would be"
                " reordered; repartition in an agent of its own"
            )
        if self.active_partitions is not None:
            raise ImproperlyConfigured(
                f"{operator} cannot be used in an agent with isolated partitions: each of its actors would"
                " read all of the other topic; repartition in an agent of its own"
            )
        if self.combined:
            raise ImproperlyConfigured(
                f"{operator} needs one source: repartition the streams before they are combined"
            )
        if self._next is not None:
            raise ImproperlyConfigured(f"{operator}: a stream can be repartitioned once only")
        if self._source is None:
            raise ValueError(f"{operator} needs a stream over a topic or channel")

    def _key_options(self, key: Any) -> dict[str, Any]:
        """Return the options of the topic whose keys are what the field *key* holds; none for a function."""
        schema = getattr(self._source, "schema", None)
        if schema is None or not hasattr(key, "getattr"):
            return {}
        options: dict[str, Any] = schema._key_options(self.app, strip_optional(key.type))
        return options

    def _repartition_topic(self, name: str, partitions: int | None, options: dict[str, Any]) -> Any:
        source: Any = self._source
        prefix = (
            f"{self.prefix}-" if self.prefix and not getattr(source, "has_prefix", False) else ""
        )
        return source.derive_repartition(
            prefix=prefix,
            suffix=f"-{name}-repartition",
            partitions=partitions or self.app.conf.topic_partitions,
            **options,
        )

    def _forwarded(self, target: Any, forward: Forward) -> Self:
        """Make the stream that reads back what *forward* sends to *target*."""
        derived = self._next = self.clone(channel=target.__aiter__(), prev=self, on_start=None)
        self._processors, derived._processors = split(self._processors)
        self.join_strategy: Join | None = None  # it is the derived stream's
        derived._drain_to = forward
        derived._declare = target.maybe_declare
        self.cursor.enable_acks = True  # what was forwarded is done, whoever acknowledges it there
        return derived

    def noack(self) -> Self:
        """Return a stream over the same source that acknowledges nothing by itself: call ``event.ack()``."""
        if self._has_been_derived():
            return self._derived_before()
        derived = self._next = self.clone(prev=self)
        derived._same_source = True
        derived.cursor.take_over(self.cursor)
        derived.enable_acks = False
        return derived

    # -- draining

    _declare: Callable[[], Awaitable[None]] | None = None
    _same_source = False
    """This stream goes on where the previous one of the chain has been left (`noack`)."""

    def _has_to_start(self) -> bool:
        return (
            self._drain_to is not None
            or self._given_on_start is not None
            or (self._same_source and self._prev._has_to_start())
        )

    async def _before_iteration(self) -> None:
        await super()._before_iteration()
        await self._start_draining()

    async def _start_draining(self) -> None:
        if self._same_source:
            await self._prev._start_draining()
            return
        forward, source = self._drain_to, self._prev
        if forward is None or (self._drain is not None and not self._drain.done()):
            return
        if self._declare is not None:
            await self._declare()
        await source._start_draining()
        self._drain = asyncio.get_running_loop().create_task(
            self._drain_source(forward, source), name=f"{source.shortlabel} -> {self.shortlabel}"
        )

    async def _drain_source(self, forward: Forward, source: Any) -> None:
        try:
            await forward(source)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            # whoever iterates the derived stream sees it, and is supervised
            self.cursor.inbox.throw(exc)

    async def _stop_draining(self) -> None:
        drain, self._drain = self._drain, None
        if drain is None:
            return
        try:
            if hasattr(
                self._source, "topics"
            ):  # a channel may have no room before it is read again
                await asyncio.wait([drain], timeout=LAST_EVENT)
        finally:
            drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)

    async def _stop(self) -> None:
        await self._stop_draining()
        await super()._stop()


# -- helpers


async def _sent(room: Awaitable[None], source: Any, target: Any) -> None:
    """Wait until the event in hand is sent; when that is broken off, it may not have been, and comes again."""
    try:
        await room
    except asyncio.CancelledError:
        if hasattr(target, "topics"):  # else nothing was put
            source._spoil(source.cursor, "an event was being forwarded, and is to come again")
        source.cursor.retry()
        raise


def _key_function(key: Any) -> Callable[[Any], Any]:
    getter = getattr(key, "getattr", None)
    if getter is not None:
        return cast("Callable[[Any], Any]", getter)
    if not callable(key):
        raise TypeError(f"group_by: expected a field of a model or a function, got {key!r}")
    return cast("Callable[[Any], Any]", key)
