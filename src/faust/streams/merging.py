"""Streams combined into one: ``a & b`` hands out what arrives in either.

The parts keep their places, their processors and their acknowledgement: the merged stream takes one event at a time from
whoever has one, in turn, and finishes it in its own part. Nothing runs in the background, so nothing is in flight when
the loop is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import cycle, islice
from typing import Any, TypeVar

from faust._core.batching import Item, collect, give_back
from faust._core.iteration import TURN, Cursor, current_cursor
from faust._core.places import mark
from faust.exceptions import ImproperlyConfigured, Skip
from faust.streams.base import COMES_AGAIN, StreamBase

__all__ = ["MergingStream"]

T = TypeVar("T")


class MergingStream(StreamBase[T]):
    """A stream that others can be merged into. See `faust.Stream`."""

    abstract = True

    def _combine(self, *nodes: Any) -> Any:
        parts: list[Any] = []
        for node in (self, *nodes):
            parts.extend(node.combined or [node])
        for part in parts:
            if part._source is None:
                raise ImproperlyConfigured(
                    f"only streams over topics and channels can be combined, not {part!r}"
                )
        if self.reading.is_set() and self.combined:
            return self
        _take_up(parts)
        return self.clone(combined=parts, processors=None, join_strategy=self.join_strategy)

    async def _iterate_combined(self) -> AsyncGenerator[T, None]:
        self._begin()
        merged = self.cursor
        turn = merged.claim()
        parts = [part.get_active_stream() for part in self.combined]
        turns: dict[Any, int] = {}
        for part in parts:
            part._begin()
            await part._before_iteration()
            turns[part.cursor] = part.cursor.claim()
            part._merged = self
        hand = merged
        clock = merged.clock
        turn_ends = clock() + TURN
        try:
            while merged.claims == turn:
                if merged.inbox.errors and not self._goes_on(merged):
                    return
                item, parts = await self._next_of(parts)
                if item is None:
                    if any(part.cursor.lane is not None for part in parts):
                        await (
                            merged.breathe()
                        )  # a slice is open: the gate was held, or an event passed over
                        continue
                    await _wait_for_any([merged, *(part.cursor for part in parts)])
                    if not all(_has(part.cursor, turns) for part in parts):
                        return
                    continue
                hand = self._hand
                try:
                    value = await self._process(item)
                except Skip:
                    hand.finish()
                    continue
                merged.count += 1
                yield value
                if not _has(hand, turns):
                    return
                hand.finish()
                if clock() >= turn_ends:
                    await merged.breathe()
                    turn_ends = clock() + TURN
        finally:
            if _has(
                hand, turns
            ):  # else somebody else has the place, and what is in hand there is his
                hand.finish()
                if self._hand is hand:
                    self._hand = merged
            if not merged.lost(turn):
                self._on_end()

    # -- what an agent's function has combined

    _combined_with: tuple[Any, ...] = ()
    """What the chain that begins here was combined with last, itself included."""
    _left: tuple[Any, ...] = ()
    """Streams that an earlier call of the function has made and combined with this one, and nobody reads now."""

    def _note_left(self, task: asyncio.Task[Any] | None) -> None:
        """The function that ran in *task* has ended: what it has made itself and combined with this chain is left."""
        root = self.get_root_stream()
        parts, root._combined_with = root._combined_with, ()
        root._left += tuple(part for part in parts if _was_made_in(task, part))

    async def _stop_left(self, task: asyncio.Task[Any] | None) -> None:
        """Stop what is left: the function is not called again."""
        self._note_left(task)
        root = self.get_root_stream()
        left, root._left = root._left, ()
        for stream in left:
            await stream.stop()

    def _may_succeed(self, old: Any) -> bool:
        """Say whether this stream, which nobody has read yet, reads what *old* has read, in the same way."""
        new: Any = self
        source, left = new._source, old._source
        return (
            new.cursor.claims == 0
            and not new._has_succeeded
            and (old.task_owner is None or old.task_owner.done())
            and all(one._prev is None and one._next is None for one in (new, old))
            and all(one.enable_acks and one._source._alone for one in (new, old))
            and left in new.app.topics
            and source in new.app.topics
            and source._root is left._root is not None
            and source.active_partitions is left.active_partitions is None
        )

    _has_succeeded = False

    def _succeed(self, old: Any) -> None:
        """Read on where *old* has been left."""
        self._has_succeeded = True
        source: Any = self._source
        topics: Any = self.app.topics
        topics.succeed(old._source, source)
        self.cursor.inbox, self.cursor.wait = source.mailbox, source.mailbox.wait
        self.cursor.take_over(old.cursor)

    async def _stop(self) -> None:
        for part in self.combined:
            await part.stop()
        await super()._stop()

    @staticmethod
    def _goes_on(cursor: Any) -> bool:
        """Raise what was thrown in; False when the iteration must end instead."""
        exc = cursor.thrown()
        if exc is not None:
            raise exc
        return False

    async def _next_of(self, parts: list[Any]) -> tuple[Item | None, list[Any]]:
        """Take one event of whoever has one; says also whose turn is next."""
        for index, part in enumerate(parts):
            cursor = part.cursor
            if cursor.inbox.errors:
                exc = cursor.thrown()
                if exc is not None:
                    raise exc
                return None, [one for one in parts if one is not part]
            found: list[Item] = []
            try:
                await collect(cursor, found, 1, float("inf"))
            except BaseException:
                give_back(found, cursor)
                raise
            if found:
                item = found[0]
                cursor.lane, cursor.record = item.lane, item.record
                self._hand = cursor
                current_cursor.set(cursor)
                return item, list(islice(cycle(parts), index + 1, index + 1 + len(parts)))
        return None, parts

    async def _process(self, item: Item) -> Any:
        """Apply the merged stream's own processors."""
        cursor, hand = self.cursor, self._hand
        turn = hand.claims
        value = item.value
        if cursor.process is not None:
            try:
                value = cursor.process(value)
                if cursor.process_awaits:
                    value = await value
            except Skip:
                raise
            except Exception as exc:
                mark(exc, item.lane, item.record)
                if cursor.redeliver:
                    self._spoil(hand, COMES_AGAIN)
                    hand.retry()
                raise
            except BaseException:  # cancelled: nobody has had it
                if hand.claims == turn or hand.was_stopped(turn):
                    hand.retry()
                raise
        return value


def _take_up(parts: list[Any]) -> None:
    """Let those of *parts* that an agent's function has made again read on where an earlier call has left off."""
    for root in [part.get_root_stream() for part in parts]:
        left = [old for old in root._left if not any(old is part for part in parts)]
        for part in parts:
            old = next((one for one in left if part._may_succeed(one)), None)
            if old is not None:
                left.remove(old)
                part._succeed(old)
        root._left, root._combined_with = tuple(left), tuple(parts)


def _was_made_in(task: asyncio.Task[Any] | None, part: Any) -> bool:
    """Say whether *part*, and all it is derived from, was made by what ran in *task*."""
    return task is not None and all(stream._made_in() is task for stream in part._chain())


def _has(hand: Cursor, turns: dict[Any, int]) -> bool:
    """Say whether the place of *hand* is still that of the iteration that claimed it in *turns*."""
    turn = turns.get(hand, 0)
    return hand.claims == turn or hand.was_stopped(turn)


async def _wait_for_any(cursors: list[Any]) -> None:
    """Sleep until something is put into one of the inboxes."""
    waits = [asyncio.ensure_future(cursor.wait()) for cursor in cursors]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
