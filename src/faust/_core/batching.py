"""The loop behind `Stream.take`: lists of events, finished together.

While a list is being filled and while the reader has it in hand, the lowest of its records per lane is that lane's
``current``: so nothing of an unfinished list is ever committed. What was collected but not handed out goes back to the
front when the loop is left; when its task has died it is let go without a trace, and whoever owns the partition next
reads it again.

A list whose reader failed is not finished either. Its records come again, in order, in lists of one: so that of a
hundred events only the one is passed over that cannot be processed (see `fail`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

from faust._core.iteration import TURN, Cursor
from faust._core.lanes import Lane
from faust._core.places import mark
from faust.exceptions import Skip
from faust.messages import Slice

__all__ = ["Item", "batches", "collect", "fail", "finish_items", "give_back", "take_back"]


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
    try:
        while True:
            if cursor.inbox.errors:
                exc = cursor.thrown()
                if exc is not None:
                    raise exc
                cursor.stop()
            began = len(items)
            limit = 1 if cursor.alone else size
            turn_ends = clock() + TURN
            more = await collect(cursor, items, limit, turn_ends)
            now = clock()
            if not began and items and within is not None:
                due = now + within
            items = _living(items, cursor)
            cursor.collected = len(items)
            left = cursor.claims != turn
            if left and not cursor.was_stopped(turn):
                return
            if items and (left or len(items) >= limit or (due is not None and now >= due)):
                held = len(items)
                items = await _certain(items, cursor)
                if cursor.claims != turn and not cursor.was_stopped(turn):
                    return
                if len(items) < held:
                    continue
                batch, items, due = items, [], None
                cursor.batch, cursor.collected = batch, 0
                if cursor.tally is not None:
                    cursor.tally.opened()
                yield batch
                if cursor.batch is not batch:  # its reader failed, and it comes again
                    return
                finish_items(batch, cursor)
                if cursor.tally is not None:
                    cursor.tally.closing(whole=False)
                left = cursor.claims != turn
            elif not more and not left:
                await wait(None if due is None or not items else max(due - now, 0.0))
            if left:
                return
            if clock() >= turn_ends:
                await cursor.breathe()
    finally:
        if cursor.claims == turn and cursor.batch:
            finish_items(cursor.batch, cursor)
        cursor.collected = 0
        give_back(items, cursor)
        if not cursor.lost(turn):
            cursor.on_end()


async def collect(cursor: Cursor, items: list[Item], size: int, until: float) -> bool:
    """Append to *items* until there are *size*, or the clock says *until*.

    Returns:
        False when nothing more waits now.
    """
    process, clock = cursor.process, cursor.clock
    while True:
        if len(items) >= size:
            return True
        lane = cursor.lane
        if lane is None:
            if cursor.inbox.errors or not cursor.open_slice():
                return False
            lane = cursor.lane
            assert lane is not None
        task = lane.task
        if task.alive and cursor.lease_expired():
            await cursor.rest()
            return True
        decode_key, decode = lane.decode_key, lane.decode_value
        records = cursor.rest_of_slice() if task.alive else ()
        for record in records:
            if lane.tracker is None and lane.current is None:
                lane.current = record
            try:
                if decode_key is not None:
                    decode_key(record)
                value = decode(record)
            except Exception as exc:
                cursor.record = record  # it is in hand as long as hooks are told of it
                if await cursor.undecodable(lane, record, exc):
                    cursor.stop()
                return True
            if process is not None:
                try:
                    cursor.record, cursor.value = record, value  # a processor may look at the event
                    value = process(value)
                    if cursor.process_awaits:
                        value = await value
                except Skip:
                    cursor.skip(lane, record)
                    continue
                except Exception as exc:
                    mark(exc, lane, record)
                    if cursor.redeliver:
                        cursor.on_again()
                        items.append(Item(lane, record, value))  # it goes back with the others
                    else:
                        cursor.skip(lane, record)
                    raise
                except BaseException:  # cancelled: nobody has had it
                    items.append(Item(lane, record, value))
                    raise
                finally:
                    cursor.record = None
            cursor.count += 1
            items.append(Item(lane, record, value))
            if len(items) >= size or not task.alive or clock() >= until:
                return True
        cursor.close_slice()


def fail(cursor: Cursor) -> bool:
    """Take back the list in hand, whose reader has raised.

    Returns:
        Whether it comes again; False when there is none, or when it had one item only, which is finished.
    """
    items, cursor.batch = cursor.batch, []
    if len(items) < 2 and not cursor.redeliver:
        finish_items(items, cursor)
        return False
    if not cursor.redeliver:
        living = [item for item in items if item.lane.task.alive]
        cursor.alone.update((item.lane, item.record.offset) for item in living)
    give_back(items, cursor)
    return True


def take_back(cursor: Cursor) -> None:
    """Take back the list in hand, whose reader was stopped: its records come again, in lists as before."""
    items, cursor.batch = cursor.batch, []
    give_back(items, cursor)


def finish_items(items: list[Item], cursor: Cursor) -> None:
    """Count *items* as finished, unless acknowledgement is by hand."""
    cursor.batch = []
    if cursor.alone:
        cursor.alone.difference_update((item.lane, item.record.offset) for item in items)
        cursor.alone = {one for one in cursor.alone if one[0].task.alive}
    if not cursor.enable_acks:
        return
    observe = cursor.observe
    for lane, record, _ in items:
        if lane.tracker is not None:
            lane.tracker.ack(record.offset)
        else:
            lane.done = lane.closed if record.offset < lane.closed else record.offset + 1
            lane.current = None
        if observe is not None:
            observe(lane, record)


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
        elif not lane.task.alive:
            lane.dropped += 1


async def _certain(items: list[Item], cursor: Cursor) -> list[Item]:
    """Wait until the lease on what was collected is certain (C17); return what is still ours."""
    while items and cursor.lease_expired():
        await cursor.rest()
        items = _living(items, cursor)
    return items


def give_back(items: list[Item], cursor: Cursor) -> None:
    """Put what is not finished back in front, so that the next loop reads it again, in order."""
    _let_go(items)
    by_lane: dict[Lane, list[Any]] = {}
    for lane, record, _ in items:
        if lane.task.alive:
            by_lane.setdefault(lane, []).append(record)
    if by_lane and cursor.tally is not None:
        cursor.tally.closing(whole=False)
        for lane, records in by_lane.items():
            lane.taken -= len(records)
    for lane, records in by_lane.items():
        if lane is cursor.lane:
            cursor.put_back(records)
        else:
            tp = lane.task.tp
            end = max(lane.closed, records[-1].offset + 1)
            again = Slice(tp, lane.task.generation, records, end)
            lane.queued += len(records)
            cursor.inbox.queue.put_front(tp, (lane, again))
        lane.closed = min(lane.closed, records[0].offset)
