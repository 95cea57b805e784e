"""Channel: an in-process broadcast queue of events.

Iterating a channel makes a *clone* with a mailbox of its own; whatever is put on the channel goes to every clone that
exists at that moment. A topic (`faust.topics`) is a channel whose messages come from the broker.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar, cast
from weakref import WeakSet

from faust._core.lanes import Lane, PartitionTask
from faust.events import Event
from faust.mailbox import Mailbox
from faust.messages import TP, Headers, HeadersArg, Message, RecordMetadata, Slice, header_pairs
from faust.ports import AppT
from faust.serializers.codecs import CodecArg
from faust.streams.stream import Stream

__all__ = ["Channel", "FutureMessage", "PendingMessage"]

T = TypeVar("T")


class PendingMessage:
    """What is to be sent; attribute ``message`` of a `FutureMessage`."""

    __slots__ = (
        "callback",
        "channel",
        "generation_id",
        "headers",
        "key",
        "key_serializer",
        "offset",
        "partition",
        "timestamp",
        "topic",
        "value",
        "value_serializer",
    )

    def __init__(
        self,
        channel: Any,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Callable[[Any], Any] | None = None,
        topic: str | None = None,
        offset: int | None = None,
        generation_id: int | None = None,
    ) -> None:
        self.channel: Any = channel
        self.key: Any = key
        self.value: Any = value
        self.partition: int | None = partition
        self.timestamp: float | None = timestamp
        self.headers: HeadersArg = headers
        self.key_serializer: Any = key_serializer
        self.value_serializer: Any = value_serializer
        self.callback: Callable[[Any], Any] | None = callback
        self.topic: str | None = topic
        self.offset: int | None = offset
        self.generation_id: int | None = generation_id

    def __repr__(self) -> str:
        return f"<PendingMessage: {self.channel} key={self.key!r}>"


class FutureMessage(asyncio.Future[RecordMetadata]):
    """A future for the `RecordMetadata` of a message that is being sent."""

    def __init__(self, message: PendingMessage) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.message = message


class Plain:
    """Something put into a channel that is no event, seen as a record."""

    __slots__ = ("value",)

    offset: int = -1
    key: None = None
    headers: Headers = ()

    def __init__(self, value: Any) -> None:
        self.value: Any = value


class Channel(Generic[T]):
    """An in-memory channel.

    Arguments:
        app: The application.
        schema: How keys and values are read and written.
        key_type: Type of keys.
        value_type: Type of values.
        key_serializer: Codec of keys, for whoever makes a topic like this channel: here objects stay what they are.
        value_serializer: Codec of values, likewise.
        maxsize: Records that may wait per iterator; None: setting ``stream_buffer_maxsize``.
    """

    drops_none = True

    def __init__(
        self,
        app: AppT,
        *,
        schema: Any = None,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        is_iterator: bool = False,
        maxsize: int | None = None,
        root: Channel[T] | None = None,
        active_partitions: set[TP] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.app = app
        self.loop = loop
        self.schema = schema
        self.key_type = key_type
        self.value_type = value_type
        self.key_serializer = key_serializer
        self.value_serializer = value_serializer
        self.is_iterator = is_iterator
        self.maxsize = maxsize
        self.active_partitions = active_partitions
        self._root = root
        self._subscribers: WeakSet[Channel[T]] = WeakSet()
        self._mailbox: Mailbox | None = None
        self._lane: Lane | None = None
        self._taken: tuple[Lane, int] | None = None
        self._alone: bool = True

    # -- iteration

    @property
    def mailbox(self) -> Mailbox:
        """Where this iterator's records wait; made on first use."""
        if self._mailbox is None:
            conf = self.app.conf
            self._mailbox = Mailbox(
                maxsize=self.maxsize or conf.stream_buffer_maxsize,
                fair=conf.is_default("ConsumerScheduler"),
            )
        return self._mailbox

    def clone(self, *, is_iterator: bool | None = None, **overrides: Any) -> Channel[T]:
        """Copy the description of this channel; the copy has a mailbox of its own."""
        root = self._root if self._root is not None else self
        clone = type(self)(
            **{
                **self.clone_arguments(),
                "is_iterator": self.is_iterator if is_iterator is None else is_iterator,
                "root": root,
                **overrides,
            }
        )
        if clone.is_iterator:
            root._subscribers.add(clone)
        return clone

    def clone_arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments that describe this channel."""
        return {
            "app": self.app,
            "schema": self.schema,
            "key_type": self.key_type,
            "value_type": self.value_type,
            "key_serializer": self.key_serializer,
            "value_serializer": self.value_serializer,
            "maxsize": self.maxsize,
            "active_partitions": self.active_partitions,
            "loop": self.loop,
        }

    def clone_using_queue(self, queue: Mailbox) -> Channel[T]:
        """Make an iterator that reads *queue*, which others may read as well."""
        clone = self.clone(is_iterator=True)
        clone._mailbox = queue
        root = self._root if self._root is not None else self
        for reader in root._subscribers:
            if reader._mailbox is queue:
                reader._alone = False
        return clone

    @property
    def queue(self) -> Mailbox:
        """Where this iterator's events wait; the same as `mailbox`."""
        return self.mailbox

    @property
    def subscriber_count(self) -> int:
        """Number of iterators that read this channel now."""
        root = self._root if self._root is not None else self
        return len(root._subscribers)

    def stream(self, **options: Any) -> Stream[T]:
        """Make a stream over this channel."""
        made: Stream[T] = self.app.stream(self, **options)
        return made

    def __aiter__(self) -> AsyncIterator[Event[Any, T]]:
        return cast(
            "AsyncIterator[Event[Any, T]]",
            self if self.is_iterator else self.clone(is_iterator=True),
        )

    async def __anext__(self) -> Event[Any, T]:
        if self._taken is not None:
            self._finish(*self._taken)
            self._taken = None
        return cast("Event[Any, T]", await self.get())

    def _finish(self, lane: Lane, next_offset: int) -> None:
        """Moving on is the acknowledgement, where nobody else takes from the same mailbox."""
        if self._alone and lane.tracker is None and lane.current is None:
            lane.done = next_offset

    async def get(self, *, timeout: float | None = None) -> Any:
        """Return the next event of this iterator.

        Raises:
            TimeoutError: Nothing came within *timeout* seconds.
            RuntimeError: This is not an iterator: use ``async for`` or a stream.
        """
        if not self.is_iterator:
            raise RuntimeError(
                "only an iterator of a channel can be read: use `async for` or a stream"
            )
        mailbox = self.mailbox
        async with asyncio.timeout(timeout or None):
            while True:
                if mailbox.errors:
                    raise mailbox.errors.popleft()
                work = mailbox.pop()
                if work is not None:
                    lane, batch = work
                    records: list[Any] = list(batch.records)
                    if len(records) > 1:
                        rest = Slice(batch.tp, batch.generation, records[1:], batch.next_offset)
                        mailbox.queue.put_front(batch.tp, (lane, rest))
                        lane.queued += len(records) - 1
                    last = len(records) <= 1
                    if records:
                        self._taken = lane, batch.next_offset if last else records[0].offset + 1
                        return self._item(lane, records[0])
                    if self._taken is None:
                        self._finish(lane, batch.next_offset)
                    continue
                await mailbox.wait()

    def _item(self, lane: Lane, record: Any) -> Any:
        value = lane.decode_value(record)
        return value if isinstance(record, Plain) else self.make_event(lane, record, value)

    def empty(self) -> bool:
        """Say whether nothing waits for this iterator."""
        return not len(self.mailbox) and not self.mailbox.errors

    async def decode(self, message: Message, *, propagate: bool = False) -> Any:  # noqa: ARG002 - nothing can fail
        """Make an event of a message; key and value stay what they are."""
        return self.app.create_event(message.key, message.value, message.headers, message)

    async def deliver(self, message: Message) -> None:
        """Decode a message and put it on the channel; an undecodable one goes to the error hooks."""
        event = await self.decode(message)
        if event is not None:
            await self.put(event)

    async def put(self, event: Any) -> None:
        """Give *event* to everyone who iterates this channel; with nobody there it is dropped.

        Waits while a reader has ``maxsize`` events waiting.
        """
        root = self._root if self._root is not None else self
        for subscriber in list(root._subscribers):
            await subscriber.wait_room()
            subscriber.put_nowait(event)

    def put_nowait(self, event: Any) -> None:
        """Append *event* to this iterator's mailbox."""
        lane = self._own_lane()
        record: Any = event if isinstance(event, Event) else Plain(event)
        lane.inbox.put(lane, Slice(lane.task.tp, -1, (record,), 0))

    async def wait_room(self) -> None:
        """Wait until fewer than ``maxsize`` events wait here."""
        lane = self._own_lane()
        while lane.queued >= self.mailbox.maxsize:
            await self.mailbox.wait_taken()

    def _own_lane(self) -> Lane:
        """The lane of events that were put by hand; nothing of it is ever committed."""
        if self._lane is None:
            task = PartitionTask(TP(str(self), -1), -1)
            self._lane = Lane(task, self.mailbox, _value_of, _key_of, acks=False)
            self._lane.tracker = None
        return self._lane

    def make_event(self, lane: Lane, record: Any, value: Any) -> Any:  # noqa: ARG002
        """Return the event that was put; None for anything else that was."""
        return record if isinstance(record, Event) else None

    async def on_record_undecodable(self, _lane: Lane, _record: Any, exc: Exception) -> None:
        """Throw the error into the reader."""
        await self.throw(exc)

    async def throw(self, exc: BaseException) -> None:
        """Raise *exc* in whoever reads this channel."""
        self._throw(exc)

    def _throw(self, exc: BaseException) -> None:
        if self.is_iterator:
            self.mailbox.throw(exc)
            return
        for subscriber in list(self._subscribers):
            subscriber.mailbox.throw(exc)

    def on_stop_iteration(self) -> None:
        """A stream has stopped reading this iterator for good."""
        root = self._root if self._root is not None else self
        root._subscribers.discard(self)

    # -- sending

    def get_topic_name(self) -> str:
        """Return the topic's name; a channel has none.

        Raises:
            NotImplementedError: always, for a channel.
        """
        raise NotImplementedError("an in-memory channel has no topic name")

    async def declare(self) -> None:
        """Do nothing: a channel needs no declaration."""

    async def maybe_declare(self) -> None:
        """Do nothing: a channel needs no declaration."""

    def derive(self, **_options: Any) -> Channel[T]:
        """Return this channel: there is nothing to derive."""
        return self

    def derive_topic(self, name: str, **_options: Any) -> Any:
        """Refuse: only topics have names.

        Raises:
            ValueError: always, for a channel.
        """
        raise ValueError(f"cannot derive a topic {name!r} from an in-memory channel")

    def derive_repartition(self, **_options: Any) -> Channel[T]:
        """Repartition onto the channel itself: in one process there is only one partition."""
        return Channel(
            self.app,
            schema=self.schema,
            key_type=self.key_type,
            value_type=self.value_type,
            maxsize=self.maxsize,
        )

    def bind_raw_send(self) -> Callable[[Any, Any, Any], Awaitable[None] | None]:
        """Return ``(key, value, headers) -> None or something to await``, for `Stream.group_by`."""

        def send(key: Any, value: Any, headers: HeadersArg) -> Awaitable[None]:
            return self.put(self._event(key, value, None, None, headers))

        return send

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Any = None,  # noqa: ARG002 - nothing is serialized
        key_serializer: Any = None,  # noqa: ARG002 - nothing is serialized
        value_serializer: Any = None,  # noqa: ARG002 - nothing is serialized
        callback: Callable[[Any], Any] | None = None,
        force: bool = False,  # noqa: ARG002 - always at once
    ) -> Awaitable[RecordMetadata]:
        """Put a new event on the channel; key and value stay the objects they are.

        Returns:
            A resolved future of `RecordMetadata` (topic ``<anon>``, offset -1).
        """
        message = PendingMessage(self, key, value, partition, timestamp, headers, callback=callback)
        return await self.publish_message(FutureMessage(message))

    def as_future_message(
        self,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Any = None,  # noqa: ARG002 - nothing is serialized
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Callable[[Any], Any] | None = None,
        eager_partitioning: bool = False,  # noqa: ARG002 - there are no partitions
    ) -> FutureMessage:
        """Hold a message; `publish_message` sends it. Arguments as for `send`."""
        return FutureMessage(
            PendingMessage(
                self,
                key,
                value,
                partition,
                timestamp,
                headers,
                key_serializer,
                value_serializer,
                callback,
            )
        )

    async def publish_message(
        self,
        fut: FutureMessage,
        wait: bool = True,  # noqa: ARG002 - it is done at once
    ) -> Awaitable[RecordMetadata]:
        """Put what `as_future_message` holds on the channel; returns *fut*, which is done."""
        message = fut.message
        partition, timestamp = message.partition, message.timestamp
        await self.put(
            self._event(message.key, message.value, partition, timestamp, message.headers)
        )
        where = TP("<anon>", -1 if partition is None else partition)
        stamp = None if timestamp is None else round(timestamp * 1000)
        fut.set_result(RecordMetadata(where.topic, where.partition, where, -1, stamp, 1))
        if message.callback is not None:
            result = message.callback(fut)
            if inspect.isawaitable(result):
                await result
        return fut

    def send_soon(self, **options: Any) -> FutureMessage:
        """Refuse: an in-memory channel can only be sent to with ``await``.

        Raises:
            NotImplementedError: always, for a channel.
        """
        raise NotImplementedError("send_soon needs a topic; use `await channel.send(...)`")

    def _event(
        self,
        key: Any,
        value: Any,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg,
    ) -> Any:
        pairs = header_pairs(headers)
        message = Message(
            cast("str", None),
            partition or 0,
            -1,
            time.time() if timestamp is None else timestamp,
            0 if timestamp is None else 1,
            pairs,
            key,
            value,
            serialized_key_size=0,
            serialized_value_size=0,
        )
        return self.app.create_event(key, value, pairs, message)

    # -- words

    def __str__(self) -> str:
        return "<ANON>"

    def __repr__(self) -> str:
        star = "(*)" if self.is_iterator else ""
        return f"<{star}{type(self).__name__}: {self}{self._repr_partitions()}@{id(self):#x}>"

    def _repr_partitions(self) -> str:
        if self.active_partitions is None:
            return ""
        if not self.active_partitions:
            return " active={<pending for assignment>}"
        shown = ", ".join(f"{tp.topic}:{tp.partition}" for tp in sorted(self.active_partitions))
        return f" active={{{shown}}}"


def _value_of(item: Any) -> Any:
    return item.value


def _key_of(item: Any) -> Any:
    return item.key
