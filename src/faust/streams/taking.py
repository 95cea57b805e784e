"""The ``take`` family: lists of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, TypeVar

from faust._core.batching import Item, batches
from faust.events import Event
from faust.exceptions import ImproperlyConfigured
from faust.streams.base import StreamBase

__all__ = ["TakingStream"]

T = TypeVar("T")


class TakingStream(StreamBase[T]):
    """A stream whose events can be taken in lists. See `faust.Stream`."""

    abstract = True

    async def take(
        self, max_: int, within: float | timedelta | None = None
    ) -> AsyncGenerator[list[T], None]:
        """Iterate over lists of at most *max_* values.

        A list is handed out when it is full, or when *within* seconds have passed since the first of its values
        arrived. All its events are acknowledged when the loop moves on or is left with ``break``. When the loop raises in
        an agent, the events come again in lists of one, so that only the one that cannot be processed is passed over.

        Arguments:
            max_: Values in a full list.
            within: Seconds; None or 0: only full lists (and what is left when the stream stops).
        """
        async for batch in self._take(max_, within):
            yield [item.value for item in batch]

    async def take_events(
        self, max_: int, within: float | timedelta | None = None
    ) -> AsyncGenerator[list[Event[Any, T]], None]:
        """Iterate over lists of at most *max_* events, with their original values; see `take`."""
        async for batch in self._take(max_, within):
            yield [self._event_of(item) for item in batch]

    async def take_with_timestamp(
        self, max_: int, within: float | timedelta | None, timestamp_field_name: str
    ) -> AsyncGenerator[list[T], None]:
        """As `take`; values that are dicts are given the message's timestamp (seconds) under *timestamp_field_name*."""
        async for batch in self._take(max_, within):
            for item in batch:
                if isinstance(item.value, dict):
                    item.value[timestamp_field_name] = self._event_of(item).message.timestamp
            yield [item.value for item in batch]

    async def noack_take(
        self, max_: int, within: float | timedelta | None = None
    ) -> AsyncGenerator[list[Event[Any, T]], None]:
        """As `take_events`, but nothing is acknowledged: call ``event.ack()`` for each event."""
        lists = self._take(max_, within, noack=True)
        try:
            async for batch in lists:
                yield [self._event_of(item) for item in batch]
        finally:
            await lists.aclose()

    def _event_of(self, item: Item) -> Event[Any, Any]:
        value = item.value
        if self.cursor.process is not None:  # the event shows what it was before
            value = item.lane.decode_value(item.record)
        event: Event[Any, Any] = self.cursor.make_event(item.lane, item.record, value)
        return event

    async def _take(
        self, max_: int, within: float | timedelta | None, *, noack: bool = False
    ) -> AsyncGenerator[list[Item], None]:
        if max_ < 1:
            raise ValueError(f"take: max_ must be at least 1, got {max_}")
        if self._source is None or self.combined:
            raise ImproperlyConfigured(
                "take needs events of one source: use it on a stream over a topic or channel"
            )
        self._begin(singly=False)
        if noack and self.enable_acks:
            self.enable_acks = False
            self._acks_again = True
        turn = self.cursor.claims + 1
        await self._before_iteration()
        lists = batches(self.cursor, max_, _seconds(within), self._source.mailbox.wait)
        try:
            async for batch in lists:
                yield batch
        finally:
            await lists.aclose()
            if self.cursor.claims == turn:  # else another iteration has begun, which has seen to it
                self._restore_acks()


def _seconds(value: float | timedelta | None) -> float | None:
    if not value:
        return None
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
