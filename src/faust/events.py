"""Event: one message as a stream hands it out, and which one is current.

Nothing here is built unless somebody looks: a stream keeps a cursor, and `current_event` (or `Stream.events`) makes
the object from it.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic

from faust._core.iteration import current_cursor
from faust._core.lanes import Lane
from faust.messages import HeadersArg, K, Message, V, headers_dict
from faust.ports import AppT

__all__ = ["Event", "current_event"]


class _Same:
    """Stands for 'as in this event'."""

    def __repr__(self) -> str:
        return "..."


USE_EXISTING: Any = _Same()


class Event(Generic[K, V]):
    """A decoded message.

    Attributes:
        key: Decoded key.
        value: Decoded value.
        headers: Headers as a dict; of several values under one name the last.
        message: The message as it came from the broker: raw key and value, topic, partition, offset, timestamp.
    """

    __slots__ = ("__weakref__", "_lane", "acked", "app", "headers", "key", "message", "value")

    def __init__(
        self,
        app: AppT,
        key: K,
        value: V,
        headers: HeadersArg,
        message: Message,
    ) -> None:
        self.app: AppT = app
        self.key: K = key
        self.value: V = value
        self.message: Message = message
        self.headers: dict[str, bytes] = headers_dict(headers)
        self.acked: bool = False
        self._lane: Lane | None = None

    @property
    def offset(self) -> int:
        """Offset of the message."""
        return self.message.offset

    def ack(self) -> bool:
        """Count the event as processed by the stream it came from.

        Streams do this by themselves when their loop moves on; call it in `Stream.noack` loops.

        Returns:
            True when this was the last acknowledgement its message waited for, of all streams that read it.
        """
        lane, message = self._lane, self.message
        newly = not message.acked if lane is None else lane.ack(message.offset)
        message.acked = lane is None or lane.task.finished(message.offset)
        self.acked = True
        if lane is not None:
            for watch in lane.watchers:
                watch(lane, message)
        return newly and message.acked

    async def send(
        self,
        channel: Any,
        key: Any = USE_EXISTING,
        value: Any = USE_EXISTING,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: Any = USE_EXISTING,
        schema: Any = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Any = None,
        force: bool = False,
    ) -> Any:
        """Send this event's decoded key, value and headers to another channel or topic.

        Arguments given replace those of the event; None means none. Returns what `faust.Topic.send` returns.
        """
        return await self._send(
            channel,
            self.key if key is USE_EXISTING else key,
            self.value if value is USE_EXISTING else value,
            partition,
            timestamp,
            self.headers if headers is USE_EXISTING else headers,
            schema,
            key_serializer,
            value_serializer,
            callback,
            force,
        )

    async def forward(
        self,
        channel: Any,
        key: Any = USE_EXISTING,
        value: Any = USE_EXISTING,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: Any = USE_EXISTING,
        schema: Any = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Any = None,
        force: bool = False,
    ) -> Any:
        """Send this event's message to another channel or topic, its bytes unchanged.

        Arguments given replace those of the message; None means none.
        """
        message = self.message
        return await self._send(
            channel,
            message.key if key is USE_EXISTING else key,
            message.value if value is USE_EXISTING else value,
            partition,
            timestamp,
            message.headers if headers is USE_EXISTING else headers,
            schema,
            key_serializer,
            value_serializer,
            callback,
            force,
        )

    async def _send(
        self,
        channel: Any,
        key: Any,
        value: Any,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        schema: Any,
        key_serializer: Any,
        value_serializer: Any,
        callback: Any,
        force: bool,
    ) -> Any:
        target = self.app.topic(channel) if isinstance(channel, str) else channel
        return await target.send(
            key=key,
            value=value,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            schema=schema,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            callback=callback,
            force=force,
        )

    async def __aenter__(self) -> Event[K, V]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ack()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: k={self.key!r} v={self.value!r}>"


def current_event() -> Event[Any, Any] | None:
    """Return the event that the running task's stream has in hand; None outside stream processing."""
    cursor = current_cursor.get()
    event: Event[Any, Any] | None = None if cursor is None else cursor.event()
    return event
