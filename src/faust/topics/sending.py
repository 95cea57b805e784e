"""Sending to a topic: encode, choose a partition, append; or hold back until the commit.

A send goes into the open batch of its partition and does not wait for the broker. With setting
``stream_publish_on_commit`` what is sent while an event is processed is encoded at once but *attached* to that event: it is
published, in the order it was sent, when the event's offset is about to be committed, and the commit waits until the
broker has it. What is attached to an event that is never committed (its partition was given away) is never published:
whoever processes the event next sends it again.

Whoever wants to see what is sent (`faust.App.on_produce_message`, sensors) is looked for at each send, and costs nothing
when there is nobody.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from copy import copy
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar, cast

from faust._core.iteration import current_cursor
from faust._core.lanes import PartitionTask
from faust.channels import Channel, FutureMessage, PendingMessage
from faust.messages import HeadersArg, RecordMetadata, header_pairs, prepare_headers
from faust.serializers.codecs import CodecArg
from faust.serializers.schemas import Schema
from faust.transport.base import Delivery

__all__ = ["Sending", "SendingTopic"]

K = TypeVar("K")
V = TypeVar("V")

logger: logging.Logger = logging.getLogger(__name__)


class Sending(NamedTuple):
    """A message as it is given to the producer."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    timestamp: int | None
    headers: Any


_Way = tuple[Any, Any, str, Any, Any, Any, Any, Any, Any, Any]
"""Producer and its driver, topic, encoders of key and value, the producer's `append`, `partitions` and `hashes`, and who
may want to see what is sent."""


class SendingTopic(Channel[V], Generic[K, V]):
    """A topic that can be sent to. See `faust.Topic`."""

    schema: Schema
    _encoders: tuple[Any, Any] | None = None
    _attaches: bool | None = None
    _way: _Way | None = None

    # -- from coroutines

    async def send(
        self,
        *,
        key: K | Any = None,
        value: V | Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Schema | None = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Callable[[Any], Any] | None = None,
        force: bool = False,
    ) -> Awaitable[RecordMetadata]:
        """Send a message; returns as soon as it is accepted for sending.

        With setting ``stream_publish_on_commit``, while an event is processed: returns a `FutureMessage` that is done when
        that event has been committed.

        Arguments:
            key: Key; None: no key, any partition.
            value: Value.
            partition: Send it there whatever the key is.
            timestamp: Seconds since the epoch; None: now.
            headers: Mapping or pairs of text and bytes.
            schema: Use this instead of the topic's.
            key_serializer: Codec for this key.
            value_serializer: Codec for this value.
            callback: Called with a done `FutureMessage` when the broker has it; may be ``async``.
            force: Send now, whatever ``stream_publish_on_commit`` says.

        Returns:
            An awaitable of the `RecordMetadata`: ``metadata = await (await topic.send(...))``.

        Raises:
            faust.exceptions.ProducerSendError: The producer cannot take it.
            faust.exceptions.RecordTooLarge: It does not fit a request.
            TypeError: The serializers gave no bytes.
        """
        if schema is None and key_serializer is None and value_serializer is None:
            posted = (
                None if callback else self.post(key, value, partition, timestamp, headers, force)
            )
            if posted is not None:
                return posted
        producer = self.app.started_producer
        if producer is None:
            producer = await self.app.maybe_start_producer()
        raw_key, raw_value, pairs = self._encode(
            key, value, headers, schema, key_serializer, value_serializer
        )
        stamp = None if not timestamp else round(timestamp * 1000)
        name = self.get_topic_name()
        task = None if force else self._attach_to()
        watched = self._watched()
        if task is not None or watched:
            sending = Sending(name, raw_key, raw_value, partition, stamp, pairs)
            message = PendingMessage(
                self, key, value, partition, timestamp, headers, callback=callback, topic=name
            )
            if task is not None:
                return self._attach(task, sending, message)
            return await self._send_watched(producer, sending, message)
        if partition is None and producer.knows(name):
            partition = producer.partition_for(name, raw_key, producer.partitions(name))
        if partition is None or producer.full:
            delivery: Delivery = await producer.send(
                name, raw_key, raw_value, partition, stamp, pairs
            )
        else:
            delivery = producer.append(name, partition, raw_key, raw_value, stamp, pairs)
        if callback is not None:
            message = PendingMessage(
                self, key, value, partition, timestamp, headers, callback=callback
            )
            return settled_by(delivery, FutureMessage(message))
        return delivery

    def post(
        self,
        key: Any,
        value: Any,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        force: bool = False,
    ) -> Delivery | None:
        """Send a message if nothing has to be waited for and nobody wants to see it; else return None: use `send`.

        Nothing has to be waited for when the producer runs, has room and knows the topic's partitions.
        """
        way = self._way
        if way is None or way[0] is not self.app.started_producer:
            way = self._find_way()
            if way is None:
                return None
        producer, driver, name, encode_key, encode_value, append, known, hashes, hooks, heard = way
        if driver.full or hooks.on_send_initiated is not None or heard.heard:
            return None
        if self._attaches and not force and self._attach_to() is not None:
            return None
        partitions = ()
        if partition is None:
            partitions = known(name)
            if partitions is None or name in producer.held:
                return None
        if encode_key is None or encode_value is None:
            raw_key, raw_value, pairs = self._encode(key, value, headers, None, None, None)
        else:
            raw_key = None if key is None else encode_key(key)
            raw_value, pairs = encode_value(value), header_pairs(headers) if headers else ()
        if partition is None:
            if hashes is None or raw_key is None:
                partition = producer.partition_for(name, raw_key, partitions)
            else:
                partition = partitions[hashes[raw_key] % len(partitions)]
        stamp = None if not timestamp else round(timestamp * 1000)
        delivery: Delivery = append(name, partition, raw_key, raw_value, stamp, pairs)
        return delivery

    def _find_way(self) -> _Way | None:
        """Look up once what every `post` needs; None while there is no producer."""
        app = self.app
        producer = app.started_producer
        if producer is None:
            return None
        if self._encoders is None:
            self._encoders = self.schema.compile_encoders(app)
        self._attaches = app.conf.stream_publish_on_commit
        self._way = (
            producer,
            producer.driver,
            self.get_topic_name(),
            *self._encoders,
            producer.append,
            producer.partitions,
            producer.hashes,
            app.sensors.hooks,
            app.on_produce_message,
        )
        return self._way

    # -- from synchronous code

    def send_soon(  # type: ignore[override]  # a channel refuses whatever it is given
        self,
        *,
        key: K | Any = None,
        value: V | Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Schema | None = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Callable[[Any], Any] | None = None,
        force: bool = False,  # noqa: ARG002 - always at once
        eager_partitioning: bool = False,
    ) -> FutureMessage:
        """Send from synchronous code (on the app's loop, while the producer runs); see `send`.

        It is sent at once, also with ``stream_publish_on_commit``. With setting ``producer_threaded`` it goes through a
        producer of its own, so that its order relative to `send` is not defined. With *eager_partitioning*
        ``future.message.partition`` is known at once (if the topic's partitions are).
        """
        future = self.as_future_message(
            key,
            value,
            partition,
            timestamp,
            headers,
            schema,
            key_serializer,
            value_serializer,
            callback,
            eager_partitioning=eager_partitioning,
        )
        self._publish_soon(future)
        return future

    def as_future_message(
        self,
        key: K | Any = None,
        value: V | Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Schema | None = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Callable[[Any], Any] | None = None,
        eager_partitioning: bool = False,
    ) -> FutureMessage:
        """Encode a message and hold it; `publish_message` sends it. Arguments as for `send`.

        The message's key, value and headers are what will be sent.
        """
        raw_key, raw_value, pairs = self._encode(
            key, value, headers, schema, key_serializer, value_serializer
        )
        name = self.get_topic_name()
        if eager_partitioning and partition is None:
            producer = self.app.producer
            partitions = producer.partitions(name)
            if partitions is not None:
                partition = producer.partition_for(name, raw_key, partitions)
        message = PendingMessage(
            self,
            raw_key,
            raw_value,
            partition,
            timestamp,
            pairs,
            key_serializer,
            value_serializer,
            callback,
            name,
        )
        return FutureMessage(message)

    async def publish_message(
        self, fut: FutureMessage, wait: bool = False
    ) -> Awaitable[RecordMetadata]:
        """Send what `as_future_message` holds.

        Arguments:
            fut: From `as_future_message` of this topic or another.
            wait: Return only when the broker has it.

        Returns:
            *fut*.
        """
        if self.app.started_producer is None:
            await self.app.maybe_start_producer()
        self._publish_soon(fut)
        producer = self.app.soon_producer
        if producer.full:
            await producer.wait_room()
        if wait:
            await fut
        return fut

    def _publish_soon(self, future: FutureMessage) -> None:
        message = future.message
        stamp = None if not message.timestamp else round(message.timestamp * 1000)
        sending = Sending(
            message.topic or self.get_topic_name(),
            message.key,
            message.value,
            message.partition,
            stamp,
            message.headers,
        )
        self._release(sending, future)

    def _release(self, sending: Sending, future: FutureMessage) -> None:
        """Give a held message to the producer of `send_soon`."""
        producer = self.app.soon_producer
        if future.message.callback is not None:
            future.add_done_callback(call_back)
        future.add_done_callback(_log_failure)
        if self._watched():
            sending = self._announce(sending)
            future.message.headers = sending.headers
            self._watch(producer, sending, future)
        producer.send_soon(*sending, future)
        if self.app.conf.producer_threaded:
            self.app.sensors.on_threaded_producer_buffer_processed(self.app, producer.waiting)

    # -- publish on commit

    def _attach_to(self) -> PartitionTask | None:
        """Return the task of the event in hand if the message must wait for its commit."""
        if self._attaches is None:
            self._attaches = self.app.conf.stream_publish_on_commit
        if not self._attaches:
            return None
        cursor = current_cursor.get()
        if cursor is None or cursor.record is None or cursor.lane is None:
            return None
        return cursor.lane.task if cursor.lane.acks else None

    def _attach(
        self, task: PartitionTask, sending: Sending, message: PendingMessage
    ) -> FutureMessage:
        cursor = current_cursor.get()
        assert cursor is not None
        message.offset, message.generation_id = cursor.record.offset, task.generation
        future = FutureMessage(message)
        release: Callable[[], None] = partial(self._release, sending, future)
        if self._watched():  # who looks at the send sees its event, trace and test, not the commit
            context = copy_context()
            context.run(current_cursor.set, copy(cursor))
            release = partial(context.run, release)
        task.attach(cursor.record.offset, release, future.cancel)
        return future

    # -- who wants to see it

    def _watched(self) -> bool:
        app = self.app
        return app.sensors.hooks.on_send_initiated is not None or bool(app.on_produce_message.heard)

    def _announce(self, sending: Sending) -> Sending:
        """Tell `faust.App.on_produce_message`, whose receivers may change the headers."""
        headers = list(sending.headers)
        self.app.on_produce_message.send(
            key=sending.key,
            value=sending.value,
            partition=sending.partition,
            timestamp=None if sending.timestamp is None else sending.timestamp / 1000.0,
            headers=headers,
        )
        return sending._replace(headers=headers)

    async def _send_watched(
        self, producer: Any, sending: Sending, message: PendingMessage
    ) -> FutureMessage:
        future = FutureMessage(message)
        if message.callback is not None:
            future.add_done_callback(call_back)
        future.add_done_callback(_log_failure)
        sending = self._announce(sending)
        message.headers = sending.headers
        self._watch(producer, sending, future)
        return settled_by(await producer.send(*sending), future, calls=False)

    def _watch(self, producer: Any, sending: Sending, future: FutureMessage) -> None:
        """Tell sensors of the send, which may add to the headers of the message, and of how it ends."""
        sensors = self.app.sensors
        state = sensors.on_send_initiated(
            producer,
            sending.topic,
            future.message,
            len(sending.key or b""),
            len(sending.value or b""),
        )

        def done(future: asyncio.Future[RecordMetadata]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            if error is None:
                sensors.on_send_completed(producer, state, future.result())
            else:
                sensors.on_send_error(producer, error, state)

        future.add_done_callback(done)

    # -- bytes

    def _encode(
        self,
        key: Any,
        value: Any,
        headers: HeadersArg,
        schema: Schema | None,
        key_serializer: CodecArg,
        value_serializer: CodecArg,
    ) -> tuple[bytes | None, bytes | None, Any]:
        if schema is None and key_serializer is None and value_serializer is None:
            if self._encoders is None:
                self._encoders = self.schema.compile_encoders(self.app)
            encode_key, encode_value = self._encoders
            if encode_key is not None and encode_value is not None:
                raw_key = None if key is None else encode_key(key)
                return raw_key, encode_value(value), header_pairs(headers) if headers else ()
        pairs: Any = prepare_headers(headers)
        chosen = schema if schema is not None else self.schema
        app = self.app
        if key is not None:
            key, pairs = chosen.dumps_key(app, key, serializer=key_serializer, headers=pairs)
        value, pairs = chosen.dumps_value(app, value, serializer=value_serializer, headers=pairs)
        return key, value, header_pairs(pairs)

    def bind_raw_send(self) -> Callable[[Any, Any, Any], Awaitable[None] | None]:
        """Return ``(key, value bytes, headers) -> None or something to await``, for `Stream.group_by`.

        The record goes into its batch at once; what is returned must be awaited when the producer is full.
        """
        app, schema, name = self.app, self.schema, self.get_topic_name()
        producer = app.producer
        driver = producer.driver
        append, partitions_of, partition_for = (
            producer.append,
            producer.partitions,
            producer.partition_for,
        )
        encode_key, _ = schema.compile_encoders(app)
        slow = app.conf.stream_publish_on_commit or self._watched()

        def send(key: Any, value: bytes | None, headers: Any) -> Awaitable[None] | None:
            raw = key
            if key is not None and not isinstance(key, bytes):
                if encode_key is not None:
                    raw = encode_key(key)
                else:
                    raw, headers = schema.dumps_key(app, key, headers=list(headers))
            if slow:
                return self._send_raw(Sending(name, raw, value, None, None, headers))
            partitions = partitions_of(name)
            if partitions is None:
                return cast("Awaitable[None]", producer.send(name, raw, value, None, None, headers))
            append(name, partition_for(name, raw, partitions), raw, value, None, headers)
            return cast("Awaitable[None]", producer.wait_room()) if driver.full else None

        return send

    async def _send_raw(self, sending: Sending) -> None:
        """Send bytes, seen by those who watch, or attached to the event in hand."""
        message = PendingMessage(
            self, sending.key, sending.value, headers=sending.headers, topic=sending.topic
        )
        task = self._attach_to()
        if task is not None:
            self._attach(task, sending, message)
        else:
            await self._send_watched(self.app.producer, sending, message)


# -- helpers


def settled_by(delivery: Delivery, future: FutureMessage, *, calls: bool = True) -> FutureMessage:
    """Let *future* end as *delivery* does; *calls*: and then call its message's callback."""
    if calls:
        future.add_done_callback(call_back)

    def settle(metadata: RecordMetadata | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
            future.exception()  # flush reports it; nobody has to look here
        elif metadata is not None:
            future.set_result(metadata)

    delivery.add_done_callback(settle)
    return future


def call_back(future: asyncio.Future[RecordMetadata]) -> None:
    """Run the user's callback of a message that was delivered."""
    if future.cancelled() or future.exception() is not None:
        return
    message = cast("FutureMessage", future).message
    if message.callback is not None:
        result = message.callback(future)
        if inspect.isawaitable(result):
            asyncio.ensure_future(result)  # noqa: RUF006 - fire and forget, as documented


def _log_failure(future: asyncio.Future[RecordMetadata]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        message = cast("FutureMessage", future).message
        logger.warning("A message for %s was not sent: %s", message.topic, error)
