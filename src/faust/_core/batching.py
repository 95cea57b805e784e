"""The loop behind `Stream.take`: lists of events, finished together.

While a list is being filled and while the reader has it in hand, the lowest of its records per lane is that lane's
``current``: so nothing of an unfinished list is ever committed. What was collected but not handed out when a task
dies is let go without a trace; whoever owns the partition next reads it again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

from faust._core.iteration import TURN, Cursor
from faust._core.lanes import Lane
from faust.exceptions import Skip
from faust.messages import Slice

__all__ = ["Item", "batches"]


class Item(NamedTuple):
    """One event of a list."""

    lane: Lane
    record: Any
    value: Any


async def batches(
    cursor: Cursor,
    size: int,
    within: float | None,
    wait: Callable[[float | None], Awaitable[None]],
) -> AsyncGenerator[list[Item], None]:
    """Hand out lists of at most *size* items, never empty; each is finished when the next is asked for.

    Arguments:
        cursor: The stream's place.
        size: Items in a full list.
        within: Seconds after the first item of a list after which it is handed out though not full; None: never.
        wait: Sleeps until something is put, or for the seconds given.
    """
    clock = cursor.clock
    turn = cursor.claim()
    items: list[Item] = []
    due: float | None = None
    handed_out = False
    turn_ends = clock() + TURN
    try:
        while True:
            if cursor.inbox.errors:
                raise cursor.inbox.errors.popleft()
            item = await _next(cursor)
            if cursor.claims != turn:
                return
            now = clock()
            if item is not None:
                if not items and within is not None:
                    due = now + within
                items.append(item)
            items = _living(items, cursor)
            if items and (len(items) >= size or (due is not None and now >= due)):
                held = len(items)
                items = await _certain(items, cursor)
                if cursor.claims != turn:
                    return
                if len(items) < held:
                    continue
                handed_out = True
                yield items
                handed_out = False
                _finish(items, enable_acks=cursor.enable_acks)
                items, due = [], None
                if cursor.claims != turn:
                    return
            elif item is None and cursor.lane is None:  # else there is more, but not now
                await wait(None if due is None or not items else max(due - now, 0.0))
            if clock() >= turn_ends:
                await cursor.breathe()
                turn_ends = clock() + TURN
    finally:
        if handed_out:
            _finish(items, enable_acks=cursor.enable_acks)
        else:
            _let_go(items)
            _give_back(items, cursor)


async def _next(cursor: Cursor) -> Item | None:
    """Take one more record, decode and process it; None when nothing waits, or nothing may be taken now."""
    while True:
        lane = cursor.lane
        if lane is None:
            if not cursor.open_slice():
                return None
            lane = cursor.lane
            assert lane is not None
        if lane.task.alive and cursor.lease_expired():
            await cursor.rest()
            return None
        record = cursor.next_record() if lane.task.alive else None
        if record is None:
            cursor.close_slice()
            continue
        if lane.tracker is None and lane.current is None:
            lane.current = record
        try:
            if lane.decode_key is not None:
                lane.decode_key(record)
            value = lane.decode_value(record)
            if cursor.process is not None:
                value = cursor.process(value)
                if cursor.process_awaits:
                    value = await value
        except Skip:
            _drop(lane, record)
            continue
        except Exception as exc:
            await cursor.on_decode_error(lane, record, exc)
            _drop(lane, record)
            return None
        cursor.count += 1
        return Item(lane, record, value)


def _drop(lane: Lane, record: Any) -> None:
    """A dropped event is finished; one before it may still be waiting in the list."""
    if lane.tracker is not None:
        lane.tracker.ack(record.offset)
    elif lane.current is record:
        lane.done = record.offset + 1
        lane.current = None


def _living(items: list[Item], cursor: Cursor) -> list[Item]:
    """Let go of what was collected from tasks that have died."""
    dead = [item for item in items if not item.lane.task.alive]
    if not dead:
        return items
    _let_go(dead)
    if cursor.on_done is not None:
        cursor.on_done(dead[0].lane.task)
    return [item for item in items if item.lane.task.alive]


def _let_go(items: list[Item]) -> None:
    """Nobody has these in hand any more, and they are not finished: the offset stays at the first of them."""
    for lane, record, _ in reversed(items):
        if lane.tracker is None:
            lane.done = record.offset
            lane.current = None


async def _certain(items: list[Item], cursor: Cursor) -> list[Item]:
    """Wait until the lease on what was collected is certain (C17); return what is still ours."""
    while items and cursor.lease_expired():
        await cursor.rest()
        items = _living(items, cursor)
    return items


def _give_back(items: list[Item], cursor: Cursor) -> None:
    """Put what was not handed out back in front, so that the next loop reads it again, in order."""
    by_lane: dict[Lane, list[Any]] = {}
    for lane, record, _ in items:
        if lane.task.alive:
            by_lane.setdefault(lane, []).append(record)
    for lane, records in by_lane.items():
        if lane is cursor.lane:
            cursor.put_back(records)
        else:
            tp = lane.task.tp
            end = max(lane.closed, records[-1].offset + 1)
            again = Slice(tp, lane.task.generation, records, end)
            lane.queued += len(records)
            cursor.inbox.queue.put_front(tp, (lane, again))


def _finish(items: list[Item], *, enable_acks: bool) -> None:
    if not enable_acks:
        return
    for lane, record, _ in items:
        if lane.tracker is not None:
            lane.tracker.ack(record.offset)
        else:
            lane.done = lane.closed if record.offset < lane.closed else record.offset + 1
            lane.current = None
