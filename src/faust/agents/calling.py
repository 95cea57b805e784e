"""The caller's side of an agent: sending it messages, and asking it for answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar, cast

from faust.agents.models import Request, fits_envelope, request_headers, wrap_request
from faust.agents.promises import BarrierState, ReplyPromise
from faust.channels import Channel
from faust.exceptions import ImproperlyConfigured
from faust.gate import Where
from faust.messages import HeadersArg, RecordMetadata, header_pairs
from faust.ports import AppT
from faust.topics import Topic
from faust.transport.base import Delivery

__all__ = ["Asked", "CallingApp"]

REQUESTS_PER_TURN = 100
"""Requests of `map` and `join` after which timers, agents and answers get their turn: a few milliseconds of sending."""

R = TypeVar("R")


class CallingApp(AppT, Protocol):
    """What asking needs of the application, besides what everybody needs."""

    @property
    def reply_consumer(self) -> Any:
        """Reads the answers (`faust.agents.replies.ReplyConsumer`)."""
        ...

    @property
    def supports_headers(self) -> bool:
        """Say whether records that the app sends and reads have headers."""
        ...

    async def maybe_start_client(self) -> None:
        """Start the app as a client unless it has been started."""
        ...


class Asked(Generic[R]):
    """Something that reads a channel and may answer.

    Attributes:
        app: The application.
        use_reply_headers: Put the address of the answer into headers; else into an envelope around the value.
    """

    app: AppT
    use_reply_headers: bool | None

    @property
    def channel(self) -> Any:
        """The channel or topic that is read."""
        raise NotImplementedError

    # -- without an answer

    async def cast(
        self,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
    ) -> None:
        """Send the agent a message; nothing is waited for."""
        await self.send(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers
        )

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Callable[[Any], Any] | None = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        force: bool = False,
    ) -> Awaitable[RecordMetadata]:
        """Send the agent a message; arguments and result are those of `faust.Topic.send`.

        With *reply_to* (an agent, a topic, or the name of one) it is a request, and that is where the answer goes;
        *correlation_id* is its id (None: a new one).

        Raises:
            ValueError: *reply_to* is an in-memory channel, which has no name.
            faust.exceptions.ImproperlyConfigured: The request would be an envelope, and the topic's type is not a model.
        """
        if reply_to is not None:
            request = Request(topic_name(reply_to), correlation_id or new_correlation_id())
            value, headers = self._as_request(request, value, headers)
        sent: Awaitable[RecordMetadata] = await self.channel.send(
            key=key,
            value=value,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            callback=callback,
            force=force,
        )
        return sent

    def _as_request(
        self, request: Request, value: Any, headers: HeadersArg
    ) -> tuple[Any, HeadersArg]:
        have_headers = cast("CallingApp", self.app).supports_headers
        channel = self.channel
        if (self.use_reply_headers and have_headers) or not isinstance(channel, Topic):
            pairs = request_headers(request)
            return value, [*header_pairs(headers), *pairs] if headers else pairs
        if not fits_envelope(channel.value_type):
            raise ImproperlyConfigured(
                f"{self} cannot be asked: without headers a request is an envelope around the value, and the value_type of "
                f"its topic, {channel.value_type!r}, cannot be read out of one. Give "
                + (
                    "@app.agent(..., use_reply_headers=True)"
                    if have_headers
                    else "setting broker_api_version 0.11 or newer, which has headers"
                )
                + ", or a topic without value_type, or with a model"
            )
        return wrap_request(value, request), headers

    # -- with an answer

    async def ask(
        self,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
    ) -> R:
        """Send the agent a request, at once, and wait for the first value it yields in answer.

        There is no time limit; use `asyncio.timeout`. An agent that raises does not answer.

        Arguments:
            value: The request.
            key: Its key.
            partition: Send it there whatever the key is.
            timestamp: Seconds since the epoch.
            headers: Further headers.
            reply_to: Where the answer goes; None: setting ``reply_to``.
            correlation_id: Id of the request; None: a new one.

        Raises:
            faust.exceptions.ReplyLost: The app stops before the answer has come.
            faust.exceptions.ProducerSendError: The request could not be sent.
            faust.exceptions.ImproperlyConfigured: Asked while an event is processed exactly once, whose transaction
                would have to be committed first; or the request would be an envelope (``use_reply_headers=False``), and the
                topic's type is not a model.
        """
        self._may_wait()
        app = cast("CallingApp", self.app)
        consumer = app.reply_consumer
        topic = self._reply_to(reply_to)
        if not consumer.reads(topic):
            await app.maybe_start_client()
            consumer = app.reply_consumer
        promise: ReplyPromise[R] = ReplyPromise(topic, correlation_id or new_correlation_id())
        if not consumer.reads(topic):
            await consumer.read(topic)
        consumer.expect(promise.correlation_id, promise, held=correlation_id is None)
        try:
            await self._request(
                promise,
                promise.correlation_id,
                key,
                value,
                partition,
                timestamp,
                headers,
                force=True,
            )
            return await promise
        finally:
            consumer.release(promise)

    async def ask_nowait(
        self,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        force: bool = False,
    ) -> ReplyPromise[R]:
        """Send the agent a request and return the promise of its answer.

        The promise is kept only if it is registered: ``await app.reply_consumer.add(correlation_id, promise)``.

        Raises:
            TypeError: There is no *reply_to*.
        """
        if reply_to is None:
            raise TypeError("ask_nowait needs reply_to: the topic that the answer goes to")
        promise: ReplyPromise[R] = ReplyPromise(
            topic_name(reply_to), correlation_id or new_correlation_id()
        )
        await self._request(
            promise, promise.correlation_id, key, value, partition, timestamp, headers, force=force
        )
        return promise

    async def _request(
        self,
        promise: ReplyPromise[Any],
        correlation_id: str,
        key: Any,
        value: Any,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg,
        *,
        force: bool,
    ) -> None:
        """Send a request; when it turns out that it could not be sent, the promise fails."""
        request = Request(promise.reply_to, correlation_id)
        value, headers = self._as_request(request, value, headers)
        sent: Any = None
        channel = self.channel
        if isinstance(channel, Topic):
            sent = channel.post(key, value, partition, timestamp, headers, force)
        if sent is None:
            sent = await channel.send(
                key=key,
                value=value,
                partition=partition,
                timestamp=timestamp,
                headers=headers,
                force=force,
            )
        if isinstance(sent, Delivery):
            sent.add_failure_callback(promise.fail)
        elif isinstance(sent, asyncio.Future):  # somebody watches what is sent

            def told(future: asyncio.Future[RecordMetadata]) -> None:
                error = None if future.cancelled() else future.exception()
                if isinstance(error, Exception):
                    promise.fail(error)

            sent.add_done_callback(told)

    # -- many answers

    def map(
        self,
        values: AsyncIterable[Any] | Iterable[Any],
        key: Any = None,
        reply_to: Any = None,
    ) -> AsyncIterator[R]:
        """Ask for every one of *values*, which may be endless; iterate over answers as they come."""
        return self.kvmap(_with_key(values, key), reply_to)

    async def kvmap(
        self,
        items: AsyncIterable[tuple[Any, Any]] | Iterable[tuple[Any, Any]],
        reply_to: Any = None,
    ) -> AsyncIterator[R]:
        """Ask for every value of the pairs ``(key, value)``; iterate over answers as they come."""
        barrier = await self._barrier(reply_to)
        async for _ in self._send_all(barrier, items):
            try:
                yield cast("R", barrier.get_nowait().value)
            except asyncio.QueueEmpty:
                continue
        barrier.finalize()
        async for reply in barrier.iterate():
            yield cast("R", reply.value)

    async def join(
        self,
        values: AsyncIterable[Any] | Iterable[Any],
        key: Any = None,
        reply_to: Any = None,
    ) -> list[R]:
        """Ask for every one of *values*; return all answers, in the order of *values*."""
        return await self.kvjoin(_with_key(values, key), reply_to)

    async def kvjoin(
        self,
        items: AsyncIterable[tuple[Any, Any]] | Iterable[tuple[Any, Any]],
        reply_to: Any = None,
    ) -> list[R]:
        """Ask for every value of the pairs ``(key, value)``; return all answers, in order."""
        barrier = await self._barrier(reply_to)
        order = [correlation_id async for correlation_id in self._send_all(barrier, items)]
        barrier.finalize()
        answers = {reply.correlation_id: reply.value async for reply in barrier.iterate()}
        return [answers[correlation_id] for correlation_id in order]

    def _may_wait(self) -> None:
        """Refuse to wait for an answer where none can come."""
        if self.app.exactly_once and self.app.gate.where() is not Where.OUTSIDE:
            raise ImproperlyConfigured(
                "an agent is asked while an event is processed exactly once: the question becomes visible when the "
                "event's transaction is committed, and that waits for the event. Ask from a task, a timer or a view; or "
                "send() to the agent and read its results from a topic; or use processing_guarantee='at_least_once'"
            )

    async def _barrier(self, reply_to: Any) -> BarrierState:
        self._may_wait()
        consumer = await self._reply_consumer()
        barrier = BarrierState(self._reply_to(reply_to))
        await consumer.read(barrier.reply_to)
        return barrier

    async def _send_all(
        self,
        barrier: BarrierState,
        items: AsyncIterable[tuple[Any, Any]] | Iterable[tuple[Any, Any]],
    ) -> AsyncIterator[str]:
        """Ask for each of *items*, and yield its correlation id; the event loop gets a turn every `REQUESTS_PER_TURN`.

        (Sending waits for nothing while there is room, so that otherwise no answer would come in before the buffers are full.)
        """
        expect = (await self._reply_consumer()).expect
        async for key, value in _aiter(items):
            if barrier.size % REQUESTS_PER_TURN == REQUESTS_PER_TURN - 1:
                await asyncio.sleep(0)
            if barrier.done():
                barrier.result()  # a request could not be sent: the group has failed
            correlation_id = new_correlation_id()
            barrier.add(correlation_id)
            expect(correlation_id, barrier)
            await self._request(barrier, correlation_id, key, value, None, None, None, force=True)
            yield correlation_id

    async def _reply_consumer(self) -> Any:
        app = cast("CallingApp", self.app)
        await app.maybe_start_client()
        return app.reply_consumer

    def _reply_to(self, reply_to: Any) -> str:
        return topic_name(self.app.conf.reply_to if reply_to is None else reply_to)


def topic_name(reply_to: Any) -> str:
    """Return the name of the topic that answers go to.

    Raises:
        ValueError: It is an in-memory channel, which has no name.
        TypeError: It is nothing that answers can be sent to.
    """
    if isinstance(reply_to, Asked):
        reply_to = reply_to.channel
    if isinstance(reply_to, str):
        return reply_to
    if isinstance(reply_to, Topic):
        return reply_to.get_topic_name()
    if isinstance(reply_to, Channel):
        raise ValueError(  # noqa: TRY004 - the documented error
            "reply_to cannot be an in-memory channel: answers travel through a topic; give a topic"
        )
    raise TypeError(f"reply_to must be an agent, a topic or a name, got {reply_to!r}")


def new_correlation_id() -> str:
    """Return a random UUID as text (RFC 9562 version 4), at half of what `uuid.uuid4` costs."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


async def _aiter(values: Any) -> AsyncIterator[Any]:
    if hasattr(values, "__aiter__"):
        async for value in values:
            yield value
    else:
        for value in values:
            yield value


async def _with_key(values: Any, key: Any) -> AsyncIterator[tuple[Any, Any]]:
    async for value in _aiter(values):
        yield key, value
