"""Stream: what an agent iterates over, and the operators on it.

Operators either add a processor to the stream, or derive a new stream from it (``repartition.py``), or are forms of
iteration: `items`, `events`, `enumerate` and the ``take`` family (``taking.py``) end a chain of operators.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from faust.events import Event
from faust.joins import InnerJoin, Join, LeftJoin, OuterJoin, RightJoin
from faust.streams.merging import MergingStream
from faust.streams.processors import Processor
from faust.streams.repartition import RepartitionStream
from faust.streams.taking import TakingStream

__all__ = ["Stream"]

T = TypeVar("T")
S = TypeVar("S")

logger: logging.Logger = logging.getLogger(__name__)


class Stream(TakingStream[T], RepartitionStream[T], MergingStream[T]):
    """An asynchronous iterable of the values of a channel, topic or iterable.

    Arguments:
        channel: An iterator of a channel or topic, or any iterable, asynchronous or not.
        app: The application.
        processors: Applied to each value, in order.
        combined: The streams this one merges; see `combine`.
        on_start: Awaited before the first event.
        join_strategy: Applied to each value after the processors; see `faust.joins`.
        concurrency_index: Number of the actor this stream belongs to; None when the agent has only one.
        prev: The stream this one is derived from.
        active_partitions: The only partitions this stream reads; None: all.
        enable_acks: Whether moving on acknowledges the event.
        prefix: Put before the names of topics derived by `group_by`.

    Attributes:
        reading: Set when the stream has been iterated.
        report: Awaited with an exception and the message it was raised for, when that message is skipped and the
            stream goes on.
        task_owner: The task that iterates.
    """

    # -- forms of iteration

    async def items(self) -> AsyncGenerator[tuple[Any, T], None]:
        """Iterate over ``(key, value)``; the value is the original one, before processors."""
        values = self._iterate()
        try:
            async for value in values:
                cursor = self._hand
                yield cursor.key(), value if cursor.lane is None else cursor.value
        finally:
            await values.aclose()

    async def events(self) -> AsyncGenerator[Event[Any, T], None]:
        """Iterate over `Event` objects; their value is the original one, before processors.

        What comes from a plain iterable has no events and is passed over.
        """
        values = self._iterate()
        try:
            async for _ in values:
                event = self._hand.event()
                if event is not None:
                    yield event
        finally:
            await values.aclose()

    async def enumerate(self, start: int = 0) -> AsyncGenerator[tuple[int, T], None]:
        """Iterate over ``(n, value)``."""
        number = start
        values = self._iterate()
        try:
            async for value in values:
                yield number, value
                number += 1
        finally:
            await values.aclose()

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
        if self.reading.is_set():
            self._bind()

    def echo(self, *channels: Any) -> Stream[T]:
        """Send every value, without its key, to all *channels* as well; returns this stream.

        A name stands for a topic like the one this stream reads. All sends are waited for; one that fails is logged, and
        the value goes on.
        """
        targets = [self.derive_topic(ch) if isinstance(ch, str) else ch for ch in channels]

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

    # -- several streams

    def combine(self, *nodes: Stream[Any]) -> Stream[Any]:
        """Return a stream of the events of this one and of *nodes*, in order of arrival.

        Each event is acknowledged through the stream it came from, and processed by that stream's processors first.

        Raises:
            ImproperlyConfigured: A part is no stream over a topic or channel.
        """
        made: Stream[Any] = self._combine(*nodes)
        return made

    def __and__(self, other: Stream[S]) -> Stream[T | S]:
        return self.combine(other)

    def join(self, *fields: Any) -> Stream[T]:
        """Return a clone with a `faust.joins.RightJoin` over *fields*."""
        return self._join(RightJoin(stream=self, fields=fields))

    def left_join(self, *fields: Any) -> Stream[T]:
        """Return a clone with a `faust.joins.LeftJoin` over *fields*."""
        return self._join(LeftJoin(stream=self, fields=fields))

    def inner_join(self, *fields: Any) -> Stream[T]:
        """Return a clone with a `faust.joins.InnerJoin` over *fields*."""
        return self._join(InnerJoin(stream=self, fields=fields))

    def outer_join(self, *fields: Any) -> Stream[T]:
        """Return a clone with a `faust.joins.OuterJoin` over *fields*."""
        return self._join(OuterJoin(stream=self, fields=fields))

    def _join(self, strategy: Join) -> Stream[T]:
        made: Stream[T] = self.clone(join_strategy=strategy)
        return made
