"""The stream's loop: order, acknowledgement, what happens when it is left, frozen or its task dies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust._core.batching import batches
from faust._core.iteration import Cursor
from faust._core.lanes import Lane, PartitionTask
from faust.exceptions import Skip
from faust.mailbox import Mailbox
from faust.messages import TP, Slice


class Rec:
    """A record with as little as the loop asks for."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.key = None
        self.value = b"%d" % offset


class Clock:
    """Monotonic time in the test's hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make(
    *counts: int, ordered: bool = True, per_slice: int = 3
) -> tuple[Cursor, list[Lane], Mailbox, Clock]:
    mailbox = Mailbox(ordered=ordered)
    clock = Clock()
    lanes = []
    for number, count in enumerate(counts):
        task = PartitionTask(TP("t", number), 1)
        lane = Lane(task, mailbox, lambda record: int(record.value))
        lane.start_at(0)
        lanes.append(lane)
        feed(lane, 0, count, per_slice)

    async def breathe() -> None:
        await asyncio.sleep(0)

    async def on_decode_error(_lane: Lane, _record: Any, exc: Exception) -> None:
        mailbox.throw(exc)

    cursor = Cursor(
        mailbox,
        wait=mailbox.wait,
        breathe=breathe,
        make_event=lambda lane, record, value: (lane.task.tp, record.offset, value),
        on_decode_error=on_decode_error,
        clock=clock,
    )
    return cursor, lanes, mailbox, clock


def feed(lane: Lane, start: int, end: int, per_slice: int = 3) -> None:
    for first in range(start, end, per_slice):
        stop = min(first + per_slice, end)
        lane.task.delivered = stop
        records: Any = [Rec(offset) for offset in range(first, stop)]
        lane.inbox.put(lane, Slice(lane.task.tp, 1, records, stop))


async def take_n(cursor: Cursor, n: int) -> list[Any]:
    got = []
    async for value in cursor.values():
        got.append((cursor.event()[0].partition, value))
        if len(got) == n:
            break
    return got


@given(counts=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_everything_comes_once_and_in_order_per_partition(counts: list[int]) -> None:
    """Every record is handed out once, in offset order within its partition."""

    async def run() -> None:
        cursor, _, _, _ = make(*counts)
        total = sum(counts)
        if not total:
            return
        got = await take_n(cursor, total)
        for number, count in enumerate(counts):
            assert [value for part, value in got if part == number] == list(range(count))

    asyncio.run(run())


async def test_moving_on_is_the_acknowledgement() -> None:
    """The record in hand is unfinished until the loop asks for the next one."""
    cursor, (lane,), _, _ = make(5)
    values = cursor.values()
    assert await anext(values) == 0
    assert lane.task.safe() == 0
    assert await anext(values) == 1
    assert lane.task.safe() == 1
    for _ in range(3):
        await anext(values)
    waiting = asyncio.ensure_future(anext(values))
    await asyncio.sleep(0)
    assert lane.task.safe() == 5
    waiting.cancel()


async def test_leaving_the_loop_acknowledges_and_the_next_loop_goes_on() -> None:
    """After an exception in the body the same stream goes on with the very next record."""
    cursor, (lane,), _, _ = make(6)
    seen = []
    with pytest.raises(RuntimeError):
        async for value in cursor.values():
            seen.append(value)
            if value == 1:
                raise RuntimeError
    async for value in cursor.values():
        seen.append(value)
        if value == 4:
            break
    assert seen == [0, 1, 2, 3, 4]
    cursor.finish()
    assert lane.task.safe() == 5


async def test_an_old_loop_that_is_closed_late_changes_nothing() -> None:
    """A generator that is closed after a new one took over does not touch the new one's place."""
    cursor, (lane,), _, _ = make(6)
    old = cursor.values()
    assert await anext(old) == 0
    new = cursor.values()
    assert await anext(new) == 1
    await old.aclose()
    assert lane.task.safe() == 1
    assert await anext(new) == 2
    assert lane.task.safe() == 2


async def test_a_dead_task_hands_out_nothing_more() -> None:
    """What was queued of a revoked partition is dropped, unacknowledged; the record in hand still counts."""
    cursor, (lane, other), _, _ = make(9, 2)
    values = cursor.values()
    got = [(cursor.lane, await anext(values))[1]]
    first = cursor.lane
    assert first is lane
    lane.task.alive = False
    got += [await anext(values) for _ in range(2)]
    assert got == [0, 0, 1]
    assert lane.safe() == 1
    assert lane.in_hand() == 0
    assert cursor.lane is other


async def test_a_frozen_process_hands_out_nothing_past_its_lease() -> None:
    """After a jump of the clock past the lease no event is handed out until membership is certain again."""
    cursor, _, _, clock = make(9)
    lease = 10.0
    cursor.lease_until = lambda: lease
    values = cursor.values()
    assert await anext(values) == 0
    clock.now = 60.0
    pending = asyncio.ensure_future(anext(values))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not pending.done()
    lease = 100.0
    assert await pending == 1


async def test_a_process_frozen_while_it_waits_hands_out_nothing_past_its_lease() -> None:
    """A slice that came just before the freeze is kept back as well, until membership is certain again."""
    cursor, (lane,), _, clock = make(0)
    lease = 10.0
    cursor.lease_until = lambda: lease
    pending = asyncio.ensure_future(anext(cursor.values()))
    await asyncio.sleep(0)
    feed(lane, 0, 3)
    clock.now = 60.0
    for _ in range(20):
        await asyncio.sleep(0)
    assert not pending.done()
    lease = 100.0
    assert await pending == 0


async def test_a_list_goes_on_when_the_lease_is_renewed() -> None:
    """What is left of a slice is handed out when membership is certain again, though nothing new arrives."""
    cursor, _, mailbox, clock = make(3)
    lease = 10.0
    cursor.lease_until = lambda: lease
    lists = batches(cursor, 1, None, mailbox.wait)
    assert [item.value for item in await anext(lists)] == [0]
    clock.now = 60.0
    pending = asyncio.ensure_future(anext(lists))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not pending.done()
    lease = 100.0
    assert [item.value for item in await asyncio.wait_for(pending, 10)] == [1]


@pytest.mark.parametrize("dies", [False, True])
async def test_a_list_that_falls_due_after_a_freeze_waits_for_the_lease(dies: bool) -> None:
    """What was collected before a freeze is handed out when membership is certain again, or never (C17)."""
    cursor, (lane,), mailbox, clock = make(2)
    lease = 10.0
    cursor.lease_until = lambda: lease
    lists = batches(cursor, 5, 1.0, mailbox.wait)
    pending = asyncio.ensure_future(anext(lists))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not pending.done()
    clock.now = 60.0  # frozen: the list is due, and nothing more has come
    mailbox.wake()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not pending.done()
    if dies:
        lane.task.alive = False
    lease = 100.0
    for _ in range(20):
        await asyncio.sleep(0)
    if dies:
        assert not pending.done()
        assert lane.task.safe() == 0
        pending.cancel()
    else:
        assert [item.value for item in await pending] == [0, 1]


async def test_skip_drops_and_finishes() -> None:
    """A processor that raises Skip drops the event, and it counts as finished."""
    cursor, (lane,), _, _ = make(4)

    def odd_only(value: int) -> int:
        if value % 2 == 0:
            raise Skip
        return value

    cursor.process = odd_only
    values = cursor.values()
    assert [await anext(values), await anext(values)] == [1, 3]
    assert lane.task.safe() == 3


async def test_undecodable_records_raise_once_and_are_passed_over() -> None:
    """A record that cannot be decoded raises in the loop; the next loop begins behind it."""
    cursor, (lane,), _, _ = make(4)

    def decode(record: Any) -> int:
        if record.offset == 1:
            raise ValueError("bad")
        return int(record.value)

    lane.decode_value = decode
    got = []
    with pytest.raises(ValueError, match="bad"):
        async for value in cursor.values():
            got.append(value)
    async for value in cursor.values():
        got.append(value)
        if value == 3:
            break
    assert got == [0, 2, 3]


async def test_thrown_errors_come_before_what_is_queued() -> None:
    """An error that was thrown in is raised before the next queued event."""
    cursor, _, mailbox, _ = make(4)
    mailbox.throw(KeyError("x"))
    with pytest.raises(KeyError):
        await anext(cursor.values())
    assert await anext(cursor.values()) == 0


async def test_several_readers_share_an_inbox() -> None:
    """With a shared inbox each record goes to one reader, and the slowest holds back the offset."""
    mailbox = Mailbox(shared=True)
    task = PartitionTask(TP("t", 0), 1)
    lane = Lane(task, mailbox, lambda record: record.offset)
    lane.start_at(0)
    cursors = [
        Cursor(
            mailbox,
            wait=mailbox.wait,
            breathe=lambda: asyncio.sleep(0),
            make_event=lambda *_: None,
            on_decode_error=lambda *_: asyncio.sleep(0),
        )
        for _ in range(2)
    ]
    feed(lane, 0, 5)
    slow, fast = (cursor.values() for cursor in cursors)
    assert await anext(slow) == 0
    assert [await anext(fast) for _ in range(4)] == [1, 2, 3, 4]
    assert task.safe() == 0
    pending = asyncio.ensure_future(anext(slow))
    await asyncio.sleep(0)
    assert task.safe() == 4
    pending.cancel()


async def test_take_finishes_a_batch_only_when_the_next_is_asked_for() -> None:
    """A list in hand is unfinished as a whole; it is finished when the loop moves on."""
    cursor, (lane,), mailbox, _ = make(7)
    lists = batches(cursor, 3, None, mailbox.wait)
    assert [item.value for item in await anext(lists)] == [0, 1, 2]
    assert lane.task.safe() == 0
    assert [item.value for item in await anext(lists)] == [3, 4, 5]
    assert lane.task.safe() == 3
    pending = asyncio.ensure_future(anext(lists))
    await asyncio.sleep(0.01)
    assert not pending.done()
    assert lane.task.safe() == 6
    feed(lane, 7, 9)
    assert [item.value for item in await pending] == [6, 7, 8]


async def test_take_hands_out_a_short_list_in_time() -> None:
    """A list that does not fill up is handed out when its time has come."""
    cursor, _, mailbox, clock = make(2)
    lists = batches(cursor, 100, 0.01, mailbox.wait)
    pending = asyncio.ensure_future(anext(lists))
    await asyncio.sleep(0)
    clock.now = 1.0
    mailbox.wake()
    assert [item.value for item in await pending] == [0, 1]


async def test_take_that_is_left_gives_back_what_it_collected() -> None:
    """What was collected and not handed out is read again by the next loop, in order."""
    cursor, lanes, mailbox, _ = make(4, 4)
    lists = batches(cursor, 100, None, mailbox.wait)
    pending = asyncio.ensure_future(anext(lists))
    for _ in range(5):
        await asyncio.sleep(0)
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    assert [lane.task.safe() for lane in lanes] == [0, 0]
    got = await take_n(cursor, 8)
    for number in range(2):
        assert [value for part, value in got if part == number] == [0, 1, 2, 3]


async def test_a_reader_that_is_cancelled_while_it_lets_others_run_loses_nothing() -> None:
    """Cancelled between two events, the stream hands out the next one to whoever reads it next."""
    cursor, (lane,), _, clock = make(6)
    values = cursor.values()
    got = [await anext(values)]
    clock.now += 1.0  # the loop lets others run before the next event
    pending = asyncio.ensure_future(anext(values))
    await asyncio.sleep(0)
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    assert lane.task.safe() == 1
    got += [value for _, value in await take_n(cursor, 5)]
    assert got == [0, 1, 2, 3, 4, 5]


async def test_what_an_actor_has_taken_holds_back_the_offset_at_once() -> None:
    """With several actors a record counts as unfinished from the moment it leaves the queue."""
    mailbox = Mailbox(shared=True)
    task = PartitionTask(TP("t", 0), 1)
    lane = Lane(task, mailbox, lambda record: record.offset)
    lane.start_at(0)
    feed(lane, 0, 3)
    first = mailbox.pop()
    second = mailbox.pop()
    assert first is not None
    assert second is not None
    lane.tracker.ack(1)  # type: ignore[union-attr]
    assert task.safe() == 0


async def test_what_was_not_handed_out_when_a_task_died_is_nobody_s() -> None:
    """With acknowledgement in any order, records behind the death of a task are neither finished nor waited for."""
    cursor, (lane,), _, _ = make(6, ordered=False, per_slice=6)
    cursor.enable_acks = False
    got = []
    async for value in cursor.values():
        got.append(value)
        if value == 2:
            lane.task.alive = False
            break
    assert got == [0, 1, 2]
    pending = asyncio.ensure_future(anext(cursor.values()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not pending.done()
    pending.cancel()
    assert (lane.in_hand(), lane.safe()) == (3, 0)
    for offset in got:
        lane.ack(offset)
    assert (lane.in_hand(), lane.safe()) == (0, 3)


async def test_readers_of_a_shared_inbox_divide_every_slice() -> None:
    """Each record of one slice goes to the reader who is free; one that is stuck holds only its own."""
    cursor, (lane,), mailbox, _ = make(0, ordered=False)
    mailbox.shared = True
    other = Cursor(
        mailbox,
        wait=mailbox.wait,
        breathe=cursor.breathe,
        make_event=cursor.make_event,
        on_decode_error=cursor.on_decode_error,
    )
    feed(lane, 0, 5, per_slice=5)
    stuck, free = cursor.values(), other.values()
    assert await anext(stuck) == 0
    assert [await anext(free) for _ in range(4)] == [1, 2, 3, 4]
    waiting = asyncio.ensure_future(anext(free))
    feed(lane, 5, 6)
    assert await waiting == 5
    assert lane.safe() == 0
    await stuck.aclose()
    assert lane.safe() == 5


async def slowly(value: int) -> int:
    """A processor that is cancelled at one value, the first time."""
    await asyncio.sleep(3600.0 if value == 2 else 0.0)
    return value


async def test_take_that_is_cancelled_while_a_value_is_processed_loses_nothing() -> None:
    """A record whose processor was cancelled is in nobody's hand: it comes again, with those that were collected."""
    cursor, (lane,), mailbox, _ = make(6)
    cursor.process, cursor.process_awaits = slowly, True
    pending = asyncio.ensure_future(anext(batches(cursor, 100, None, mailbox.wait)))
    await asyncio.sleep(0.05)
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    assert lane.task.safe() == 0
    cursor.process, cursor.process_awaits = None, False
    items = await anext(batches(cursor, 6, None, mailbox.wait))
    assert [item.value for item in items] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_loop_that_is_cancelled_while_a_value_is_processed_loses_nothing(
    stopped: bool,
) -> None:
    """A record whose processor was cancelled has been handed to nobody: it comes to the next loop."""
    cursor, (lane,), _, _ = make(5)
    cursor.process, cursor.process_awaits = slowly, True
    values = cursor.values()
    got = [await anext(values), await anext(values)]
    pending = asyncio.ensure_future(anext(values))
    await asyncio.sleep(0.05)
    if stopped:
        cursor.stop()
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    assert lane.task.safe() == 2
    cursor.process, cursor.process_awaits = None, False
    got += [value for _, value in await take_n(cursor, 3)]
    assert got == [0, 1, 2, 3, 4]


async def test_an_old_loop_that_was_stopped_and_is_closed_late_changes_nothing() -> None:
    """What the next loop has in hand stays there, whenever the stopped one is closed."""
    cursor, (lane,), _, _ = make(3)
    old = cursor.values()
    assert await anext(old) == 0
    cursor.stop()
    new = cursor.values()
    assert await anext(new) == 1
    await old.aclose()
    assert (lane.task.safe(), cursor.record.offset) == (1, 1)
