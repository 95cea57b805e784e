"""The callee's side: where what an agent yields goes.

For every value, in this order: the answer, if the message in hand asks for one; then every sink, one after another. The
function goes on only afterwards, so its message is not finished before.
"""

from __future__ import annotations

import inspect
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from faust.agents.models import ReqRepResponse, Request, request_of, wrap_response
from faust.ports import AppT
from faust.streams.stream import Stream
from faust.topics import Topic

__all__ = ["Answers"]

logger: logging.Logger = logging.getLogger(__name__)

MAX_TOPICS = 1000
"""Reply topics that are kept ready; each asking process has one."""


class Answers:
    """The sinks of an agent, and its answers.

    Arguments:
        name: Of the agent.
        app: The application.
    """

    def __init__(self, name: str, app: AppT) -> None:
        self.name = name
        self.app = app
        self._sinks: list[tuple[Any, Callable[[Any], Any], bool]] = []
        self._topics: OrderedDict[str, Any] = OrderedDict()

    @property
    def sinks(self) -> list[Any]:
        """The sinks, in the order in which they were added."""
        return [sink for sink, _, _ in self._sinks]

    def add(self, sink: Any, send: Callable[[Any], Any], *, waits: bool) -> None:
        """Give yielded values to *sink*, by calling *send*; adding it again changes nothing.

        *waits* says that the result must be awaited; else it is looked at.
        """
        if sink not in self.sinks:
            self._sinks.append((sink, send, waits))

    def remove(self, sink: Any) -> None:
        """Give nothing more to *sink*.

        Raises:
            ValueError: It is no sink.
        """
        self._sinks.pop(self.sinks.index(sink))

    def passing_on(self, stream: Stream[Any], channel: Any) -> Callable[[Any], Awaitable[None]]:
        """Return what is to be awaited with every value that the reader of *stream* yields."""
        sinks = self._sinks
        codec = channel.value_serializer if isinstance(channel, Topic) else None
        active: Any = stream

        async def pass_on(value: Any) -> None:
            nonlocal active
            while active._next is not None:  # the function has derived a stream and reads that
                active = active._next
            hand = active._hand
            record, key = hand.record, hand.key
            if record is None and hand.batch:
                record, key = _last_of(hand.batch)
            if record is not None:
                request = request_of(record, codec)
                if request is not None:
                    await self._answer(request, key(), value)
            for _, send, waits in tuple(sinks):
                result = send(value)
                if waits or (result is not None and inspect.isawaitable(result)):
                    await result

        return pass_on

    async def _answer(self, request: Request, key: Any, value: Any) -> None:
        topic = self._topics.get(request.reply_to)
        if topic is None:
            topic = self.app.topic(request.reply_to, value_type=ReqRepResponse)
            self._topics[request.reply_to] = topic
            if len(self._topics) > MAX_TOPICS:
                self._topics.popitem(last=False)
        try:
            await topic.send(value=wrap_response(key, value, request.correlation_id))
        except Exception as exc:
            logger.error(
                "Agent %s: the answer to request %s could not be sent to topic %s: %s: %s",
                self.name,
                request.correlation_id,
                request.reply_to,
                type(exc).__name__,
                exc,
            )


def _last_of(batch: list[Any]) -> tuple[Any, Callable[[], Any]]:
    """Return the last record of a list, and how to get its key: of a list one request can be answered."""
    lane, record, _ = batch[-1]
    return record, lambda: record.key if lane.decode_key is None else lane.decode_key(record)
