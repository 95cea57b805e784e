"""Batches in the making and batches being read, without a broker."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.exceptions import (
    CommitRefused,
    ImproperlyConfigured,
    ProducerSendError,
    RecordTooLarge,
)
from faust.messages import TP, Record, RecordMetadata, Slice
from faust.transport.drivers.batching import (
    HEADER_SIZE,
    Accumulator,
    Batch,
    CorruptBatch,
    batch_slices,
    compression_code,
    open_batch,
)
from faust.transport.tenure import LOOK_AGAIN, Tenure

TPS = [TP("words", 0), TP("words", 1), TP("counts", 0)]


class Clock:
    """A clock the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(clock: Callable[[], float] | None = None, **options: Any) -> Accumulator:
    """An accumulator whose wake-ups nobody hears: the test asks `ready` itself."""
    options.setdefault("wake", lambda _delay: None)
    return Accumulator(clock=clock or Clock(), **options)


def built(batch: Batch, base: int = 0) -> bytes:
    """The bytes of a batch as a broker would store them."""
    data = batch.build()
    data[0:8] = base.to_bytes(8, "big")
    return bytes(data)


def records_of(slices: list[Slice]) -> list[Record]:
    """All records, in order."""
    return [record for piece in slices for record in piece.records]


# -- what is sent, and when


async def test_a_lonely_record_is_ready_at_once() -> None:
    """Without linger a record asks for the next turn of the loop, and is handed out there."""
    asked: list[float] = []
    accumulator = make(wake=asked.append)
    accumulator.append("words", 0, b"k", b"v")
    assert asked == [0.0]
    (batch,) = accumulator.ready()
    assert batch.tp == TP("words", 0)
    assert batch.count == 1
    assert not accumulator.ready()


async def test_records_collect_while_a_batch_travels() -> None:
    """Natural batching: what comes while a batch is unanswered travels together in the next one."""
    accumulator = make()
    accumulator.append("words", 0, None, b"first")
    (first,) = accumulator.ready()
    for number in range(50):
        accumulator.append("words", 0, None, b"%d" % number)
    assert accumulator.ready() == []
    first.done(0)
    (second,) = accumulator.ready()
    assert second.count == 50


async def test_a_partition_does_not_wait_for_another() -> None:
    """An unanswered batch holds back its own partition only."""
    accumulator = make()
    accumulator.append("words", 0, None, b"a")
    accumulator.ready()
    accumulator.append("words", 0, None, b"b")
    accumulator.append("words", 1, None, b"c")
    assert [batch.tp for batch in accumulator.ready()] == [TP("words", 1)]


async def test_linger_holds_an_open_batch_for_its_time_only() -> None:
    """An open batch waits as long as linger says, and the driver is told when to come again."""
    clock, asked = Clock(), list[float]()
    accumulator = make(clock, wake=asked.append, linger=0.5)
    accumulator.append("words", 0, None, b"v")
    assert asked == [0.5]
    clock.now += 0.2
    assert accumulator.ready() == []
    assert asked[-1] == pytest.approx(0.3)
    clock.now += 0.3
    assert len(accumulator.ready()) == 1


async def test_a_full_batch_does_not_linger() -> None:
    """A batch that has no room left goes at once, the rest of the records keeps waiting."""
    clock, asked = Clock(), list[float]()
    accumulator = make(clock, wake=asked.append, linger=60.0, max_batch_size=1000)
    for _ in range(12):
        accumulator.append("words", 0, None, b"v" * 90)
    assert 0.0 in asked
    (batch,) = accumulator.ready()
    assert batch.count < 12


async def test_a_flush_does_not_linger() -> None:
    """A flush sends what is open, whatever linger says."""
    accumulator = make(linger=60.0)
    accumulator.append("words", 0, None, b"v")
    flushing = asyncio.ensure_future(accumulator.flush())
    await asyncio.sleep(0)
    (batch,) = accumulator.ready()
    batch.done(0)
    await flushing


@pytest.mark.parametrize("in_flight", [2, None])
async def test_several_batches_may_be_on_their_way(in_flight: int | None) -> None:
    """At most ``in_flight`` unanswered batches per partition are handed out, oldest first."""
    accumulator = make(in_flight=in_flight, max_batch_size=200)
    for number in range(5):
        accumulator.append("words", 0, None, b"%d" % number * 120)
    found = accumulator.ready()
    assert len(found) == (5 if in_flight is None else 2)
    assert [batch.born for batch in found] == sorted(batch.born for batch in found)


async def test_a_burst_hands_out_all_that_has_collected() -> None:
    """With ``burst`` a partition without unanswered batches gives all it has, and then waits for all."""
    accumulator = make(in_flight=1, burst=None, max_batch_size=200)
    for number in range(5):
        accumulator.append("words", 0, None, b"%d" % number * 120)
    found = accumulator.ready()
    assert len(found) == 5
    accumulator.append("words", 0, None, b"next")
    for batch in found:
        assert accumulator.ready() == []
        batch.done(0)
    assert len(accumulator.ready()) == 1


# -- a fence


async def test_what_is_behind_a_fence_is_held_back() -> None:
    """What was appended before a fence goes its way, also what was still open; what comes after it waits until it is lifted."""
    accumulator = make(linger=60.0)
    accumulator.append("words", 0, None, b"before")
    accumulator.fence()
    accumulator.append("words", 0, None, b"behind")
    accumulator.append("words", 1, None, b"behind")
    (first,) = accumulator.ready()
    assert (first.tp, first.count) == (TP("words", 0), 1)
    first.done(0)
    assert accumulator.ready() == []
    assert accumulator.fenced
    accumulator.lift()
    flushing = asyncio.ensure_future(accumulator.flush())
    await asyncio.sleep(0)
    behind = accumulator.ready()
    assert {batch.tp for batch in behind} == {TP("words", 0), TP("words", 1)}
    for batch in behind:
        batch.done(1)
    await flushing


async def test_a_flush_before_the_fence_does_not_wait_for_what_is_behind() -> None:
    """Two flushes over one fence: one is done when the old records are acknowledged, the other when all are."""
    accumulator = make(in_flight=1, max_batch_size=200)
    for number in range(4):
        accumulator.append("words", 0, None, b"%d" % number * 120)
    accumulator.fence()
    accumulator.append("words", 0, None, b"behind")
    everything = asyncio.ensure_future(accumulator.flush())
    before = asyncio.ensure_future(accumulator.flush(before_fence=True))
    await asyncio.sleep(0)
    for _ in range(4):
        (batch,) = accumulator.ready()
        batch.done(0)
    assert accumulator.ready() == []
    await before
    assert not everything.done()
    accumulator.lift()
    (batch,) = accumulator.ready()
    batch.done(4)
    await everything


async def test_what_is_behind_a_fence_does_not_grow_old() -> None:
    """The time in which a record must be acknowledged begins when it may be sent: behind a fence it does not run out."""
    clock = Clock()
    accumulator = make(clock)
    accumulator.fence()
    behind = accumulator.append("words", 0, None, b"behind")
    clock.now += 60.0
    accumulator.expire(10.0)
    accumulator.lift()
    clock.now += 5.0
    accumulator.expire(10.0)
    assert not behind.done()
    clock.now += 6.0
    accumulator.expire(10.0)
    with pytest.raises(ProducerSendError, match="within 10 s"):
        await behind


async def test_what_is_bound_to_a_tenure_waits_while_it_is_not_certain() -> None:
    """It is handed out in order when the tenure is certain again, and looked for until then; others do not wait."""
    delays: list[float] = []
    accumulator, lease = make(wake=delays.append), [0.0]
    tenure = Tenure(lambda: lease[0])
    accumulator.bind({"words"}, tenure)
    for number in range(3):
        accumulator.append("words", 0, None, b"%d" % number)
        accumulator.append("counts", 0, None, b"%d" % number)
    delays.clear()
    assert [batch.tp for batch in accumulator.ready()] == [TP("counts", 0)]
    assert delays == [pytest.approx(LOOK_AGAIN)]
    lease[0] = math.inf
    (batch,) = accumulator.ready()
    assert batch.count == 3
    assert batch.may_go()
    lease[0] = 0.0
    assert not batch.may_go()
    batch.done(7)
    assert accumulator.ready() == []


async def test_what_is_withdrawn_fails_and_no_flush_is_told() -> None:
    """The records of a tenure that is over are refused, also those on their way; those of the next one are not."""
    accumulator = make()
    first, second = Tenure(lambda: math.inf), Tenure(lambda: math.inf)
    accumulator.bind({"words"}, first)
    travelling = accumulator.append("words", 0, None, b"a")
    (batch,) = accumulator.ready()
    waiting = accumulator.append("words", 0, None, b"b")
    flush = asyncio.create_task(accumulator.flush())
    await asyncio.sleep(0)
    first.end()
    accumulator.withdraw(first)
    accumulator.bind({"words"}, second)
    later = accumulator.append("words", 0, None, b"c")
    assert waiting.done()
    batch.fail(first.withdrawal(batch.tp, batch.count))
    await flush
    for refused in (travelling, waiting):
        with pytest.raises(CommitRefused, match=r"1 records for words\[0\] were not written"):
            refused.result()
    (batch,) = accumulator.ready()
    batch.done(0)
    await accumulator.flush()
    assert later.result().offset == 0


async def test_what_came_between_two_tenures_takes_nothing_with_it() -> None:
    """Who is late for the end of a tenure is told; records of the next one are not put to those of before."""
    accumulator = make()
    first, second = Tenure(lambda: math.inf), Tenure(lambda: math.inf)
    accumulator.bind({"words"}, first)
    first.end()
    accumulator.withdraw(first)
    late = accumulator.append("words", 0, None, b"late")
    unbound = accumulator.append("counts", 0, None, b"unbound")
    accumulator.bind({"words", "counts"}, second)
    with pytest.raises(CommitRefused, match=r"1 records for words\[0\] were not written"):
        late.result()
    bound = [accumulator.append(topic, 0, None, b"bound") for topic in ("words", "counts")]
    found = []
    while batches := accumulator.ready():
        for batch in batches:
            found.append((batch.tp.topic, batch.count, batch.tenure))
            batch.done(0)
    assert found == [("words", 1, second), ("counts", 1, None), ("counts", 1, second)]
    assert all(delivery.done() for delivery in (unbound, *bound))
    await accumulator.flush()


async def test_an_aborted_transaction_drops_what_is_behind_its_fence() -> None:
    """Unsent records on both sides of a fence are dropped together, and whoever awaits one hears of it."""
    accumulator = make()
    accumulator.append("words", 0, None, b"before")
    accumulator.fence()
    behind = accumulator.append("words", 0, None, b"behind")
    accumulator.drop_unsent(ProducerSendError("aborted"))
    accumulator.lift()
    assert accumulator.ready() == []
    with pytest.raises(ProducerSendError, match="aborted"):
        await behind
    await accumulator.flush()


# -- what becomes of a record


async def test_a_delivery_knows_its_place() -> None:
    """The offset of a record is the base offset of its batch plus its index; its timestamp is its own."""
    accumulator = make()
    deliveries = [accumulator.append("words", 1, b"k", b"v", 1000 + i) for i in range(3)]
    assert not deliveries[0].done()
    accumulator.ready()[0].done(40)
    place = await deliveries[2]
    assert place == RecordMetadata("words", 1, TP("words", 1), 42, 1002, 0)


async def test_the_brokers_clock_counts_where_it_stamps() -> None:
    """With log append time the timestamp of every record is the broker's, and its type says so."""
    accumulator = make()
    delivery = accumulator.append("words", 0, None, b"v", 1000)
    accumulator.ready()[0].done(0, 7777)
    place = await delivery
    assert (place.timestamp, place.timestamp_type) == (7777, 1)


async def test_a_delivery_can_be_awaited_before_and_after() -> None:
    """Awaiting works before the answer, after it, several times, and survives a cancelled fellow."""
    accumulator = make()
    delivery = accumulator.append("words", 0, None, b"v")

    async def wait() -> RecordMetadata:
        return await delivery

    waiting = [asyncio.ensure_future(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    accumulator.ready()[0].done(5)
    assert [(await waiting[0]).offset, (await waiting[2]).offset, (await delivery).offset] == [
        5
    ] * 3


async def test_callbacks_are_told_once_and_do_not_disturb_each_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each callback hears metadata or error once, at once when it comes late; one that fails is logged."""
    accumulator = make()
    heard: list[tuple[Any, Any]] = []
    delivery = accumulator.append("words", 0, None, b"v")

    def broken(_metadata: RecordMetadata | None, _error: Exception | None) -> None:
        raise ZeroDivisionError

    delivery.add_done_callback(broken)
    delivery.add_done_callback(lambda metadata, error: heard.append((metadata, error)))
    accumulator.ready()[0].done(3)
    delivery.add_done_callback(lambda metadata, error: heard.append((metadata, error)))
    assert [metadata.offset for metadata, _ in heard] == [3, 3]
    assert "broken" in caplog.text


async def test_a_failed_batch_fails_its_records_and_no_others() -> None:
    """Who awaits a record of a failed batch gets the error; other partitions are not touched."""
    accumulator = make()
    bad = accumulator.append("words", 0, None, b"v")
    good = accumulator.append("words", 1, None, b"v")
    for batch in accumulator.ready():
        if batch.tp.partition == 0:
            batch.fail(ProducerSendError("refused"))
        else:
            batch.done(0)
    with pytest.raises(ProducerSendError, match="refused"):
        await bad
    assert (await good).offset == 0


# -- flush


async def test_failure_callbacks_hear_failures_only_and_hurry_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failure callback hears the error, at once when it comes late; a success is neither told nor hurried for it."""
    accumulator = make()
    heard: list[Exception] = []

    def broken(_error: Exception) -> None:
        raise ZeroDivisionError

    bad = accumulator.append("words", 0, None, b"v")
    good = accumulator.append("words", 1, None, b"v")
    bad.add_failure_callback(broken)
    for delivery in (bad, good):
        delivery.add_failure_callback(heard.append)
    refused = ProducerSendError("refused")
    for batch in accumulator.ready():
        assert not accumulator.is_awaited(batch)
        if batch.tp.partition == 0:
            batch.fail(refused)
        else:
            batch.done(0)
    for delivery in (bad, good):
        delivery.add_failure_callback(heard.append)
    assert heard == [refused, refused]
    assert "broken" in caplog.text


async def test_flush_waits_for_what_was_before_it_and_not_for_more() -> None:
    """A flush returns when everything appended before it is answered, also while more is appended."""
    accumulator = make()
    accumulator.append("words", 0, None, b"before")
    (first,) = accumulator.ready()
    flushing = asyncio.ensure_future(accumulator.flush())
    await asyncio.sleep(0)
    accumulator.append("words", 0, None, b"after")
    assert not flushing.done()
    first.done(0)
    await asyncio.wait_for(flushing, 1.0)
    assert accumulator.unfinished == 1


async def test_an_answer_is_awaited_when_somebody_would_notice() -> None:
    """An answer may come late unless a flush, a callback, more records of the partition or a full buffer wait for it."""
    accumulator = make(buffer_memory=400)
    delivery = accumulator.append("words", 0, None, b"v")
    accumulator.append("words", 1, None, b"v")
    first, other = accumulator.ready()
    assert not accumulator.is_awaited(first)
    delivery.add_done_callback(lambda _metadata, _error: None)
    assert accumulator.is_awaited(first)
    assert not accumulator.is_awaited(other)
    accumulator.append("words", 1, None, b"more")
    assert accumulator.is_awaited(other)
    other.done(0)
    (more,) = accumulator.ready()
    assert not accumulator.is_awaited(more)
    accumulator.append("counts", 0, None, b"x" * 500)
    assert accumulator.full
    assert accumulator.is_awaited(more)
    flush = asyncio.create_task(accumulator.flush())
    await asyncio.sleep(0)
    for batch in (first, more, *accumulator.ready()):
        assert accumulator.is_awaited(batch)
        batch.done(1)
    await flush


async def test_flush_raises_the_first_failure_once() -> None:
    """Of several failures the first is raised, by one flush: the next one has nothing to report."""
    accumulator = make()
    accumulator.append("words", 0, None, b"v")
    accumulator.append("words", 1, None, b"v")
    one, two = accumulator.ready()
    one.fail(ProducerSendError("one"))
    flushing = asyncio.ensure_future(accumulator.flush())
    await asyncio.sleep(0)
    assert not flushing.done()
    two.fail(ProducerSendError("two"))
    with pytest.raises(ProducerSendError, match="one"):
        await flushing
    await accumulator.flush()


async def test_two_flushes_at_once_both_hear_of_a_failure() -> None:
    """Nobody who waited for a batch that failed is told that all is well."""
    accumulator = make()
    accumulator.append("words", 0, None, b"v")
    (batch,) = accumulator.ready()
    flushing = [asyncio.ensure_future(accumulator.flush()) for _ in range(2)]
    await asyncio.sleep(0)
    batch.fail(ProducerSendError("gone"))
    answers = await asyncio.gather(*flushing, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["gone", "gone"]


async def test_a_cancelled_flush_does_not_swallow_the_failure() -> None:
    """The failure that a cancelled flush would have raised is raised by the next one."""
    accumulator = make()
    accumulator.append("words", 0, None, b"v")
    accumulator.append("words", 1, None, b"v")
    one, two = accumulator.ready()
    flushing = asyncio.ensure_future(accumulator.flush())
    await asyncio.sleep(0)
    one.fail(ProducerSendError("kept"))
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    two.done(0)
    with pytest.raises(ProducerSendError, match="kept"):
        await accumulator.flush()


# -- bounds


async def test_full_follows_the_bytes() -> None:
    """Above the bound the producer is full and `wait_room` waits; an answer makes room again."""
    changes: list[bool] = []
    accumulator = make(buffer_memory=1000, on_full=changes.append)
    while not accumulator.full:
        accumulator.append("words", 0, None, b"v" * 100)
    assert accumulator.pending_bytes > 1000
    waiting = asyncio.ensure_future(accumulator.wait_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    accumulator.ready()[0].done(0)
    await asyncio.wait_for(waiting, 1.0)
    assert changes == [True, False]
    assert accumulator.pending_bytes == 0


async def test_a_record_too_large_is_refused_at_once() -> None:
    """The error names topic, partition, size and bound, and the records around it are not touched."""
    accumulator = make(max_request_size=1000)
    accumulator.append("words", 2, None, b"small")
    with pytest.raises(RecordTooLarge, match=r"words\[2\].*\d+ bytes.*1000"):
        accumulator.append("words", 2, None, b"v" * 2000)
    accumulator.append("words", 2, None, b"small")
    (batch,) = accumulator.ready()
    assert batch.count == 2


async def test_a_record_larger_than_a_batch_travels_alone() -> None:
    """``max_batch_size`` bounds collecting, not the single record."""
    accumulator = make(max_batch_size=500)
    accumulator.append("words", 0, None, b"v" * 3000)
    accumulator.append("words", 0, None, b"w")
    (large,) = accumulator.ready()
    assert large.count == 1
    large.done(0)
    assert accumulator.ready()[0].count == 1


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [("text", b"v", ()), (b"k", "text", ()), (b"k", b"v", [("name", "text")])],
)
async def test_only_bytes_are_taken(key: Any, value: Any, headers: Any) -> None:
    """What is not bytes is refused at once, and leaves no trace in the batch."""
    accumulator = make()
    accumulator.append("words", 0, b"k", b"v")
    with pytest.raises(TypeError):
        accumulator.append("words", 0, key, value, None, headers)
    with pytest.raises(TypeError):
        accumulator.append("words", 1, key, value, None, headers)
    (batch,) = accumulator.ready()
    assert batch.count == 1


def test_compressions_are_known_by_name() -> None:
    """An unknown compression is refused with the names there are."""
    assert compression_code(None) == 0
    assert compression_code("gzip") == 1
    with pytest.raises(ImproperlyConfigured, match=r"brotli.*gzip, lz4, snappy, zstd"):
        compression_code("brotli")


# -- giving up


async def test_old_batches_expire_unless_they_travel() -> None:
    """A batch nobody could send fails after its time; one on its way is the driver's to judge."""
    clock = Clock()
    accumulator = make(clock)
    travelling = accumulator.append("words", 0, None, b"a")
    accumulator.ready()
    waiting = accumulator.append("words", 0, None, b"b")
    clock.now += 61.0
    accumulator.expire(60.0)
    assert not travelling.done()
    with pytest.raises(ProducerSendError, match=r"words\[0\].*60 s"):
        await waiting


async def test_dropped_batches_are_no_failure_of_the_next_flush() -> None:
    """An aborted transaction fails its records, and nothing else."""
    accumulator = make()
    delivery = accumulator.append("words", 0, None, b"a")
    accumulator.drop_unsent(ProducerSendError("aborted"))
    with pytest.raises(ProducerSendError, match="aborted"):
        await delivery
    await accumulator.flush()
    assert accumulator.pending_bytes == 0


async def test_the_end_of_a_producer_answers_everybody() -> None:
    """When a producer ends, records on their way and records waiting are answered with the error."""
    accumulator = make()
    travelling = accumulator.append("words", 0, None, b"a")
    accumulator.ready()
    waiting = accumulator.append("words", 0, None, b"b")
    accumulator.fail_all(ProducerSendError("closed"))
    assert travelling.done()
    assert waiting.done()
    assert accumulator.unfinished == 0


# -- the whole of it, against a simple model

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(0, 300)),
        st.tuples(st.just("ready"), st.just(0), st.just(0)),
        st.tuples(st.just("done"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("fail"), st.integers(0, 20), st.just(0)),
    ),
    max_size=80,
)


@given(steps, st.sampled_from([1, 2, None]))
def test_nothing_is_lost_doubled_or_reordered(
    script: list[tuple[str, int, int]], in_flight: int | None
) -> None:
    """Whatever the order of appends and answers: each record is in one batch, in order, and accounted for."""
    accumulator = make(max_batch_size=400, in_flight=in_flight)
    appended: dict[TP, list[bytes]] = {tp: [] for tp in TPS}
    seen: dict[TP, list[bytes]] = {tp: [] for tp in TPS}
    flying: list[Batch] = []
    deliveries = []
    serial = 0

    def hand_out() -> None:
        for batch in accumulator.ready():
            slices = list(batch_slices(batch.tp, -1, open_batch(built(batch)), 0, 3))
            seen[batch.tp] += [record.value or b"" for record in records_of(slices)]
            flying.append(batch)
        for tp in TPS:
            assert sum(batch.tp == tp for batch in flying) <= (in_flight or math.inf)

    for verb, which, size in script:
        if verb == "append":
            tp = TPS[which]
            value = b"%d." % serial + b"v" * size
            serial += 1
            deliveries.append(accumulator.append(*tp, None, value))
            appended[tp].append(value)
        elif verb == "ready":
            hand_out()
        elif flying:
            batch = flying.pop(which % len(flying))
            if verb == "done":
                batch.done(0)
            else:
                batch.fail(ProducerSendError("no"))
    while accumulator.unfinished:
        hand_out()
        while flying:
            flying.pop(0).done(0)
    assert seen == appended
    assert all(delivery.done() for delivery in deliveries)
    assert accumulator.pending_bytes == 0


# -- reading

some_records = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=20),
        st.none() | st.binary(max_size=50),
        st.integers(0, 2**40),
        st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3),
    ),
    min_size=1,
    max_size=30,
)


@given(some_records, st.integers(0, 2**40), st.integers(1, 10), st.integers(0, 35))
def test_what_is_read_is_what_was_written(
    written: list[tuple[Any, Any, int, list[tuple[str, bytes]]]], base: int, size: int, skip: int
) -> None:
    """From any offset on: the same keys, values, timestamps, headers and offsets, in bounded slices."""
    accumulator = make(max_batch_size=100_000)
    for key, value, timestamp, headers in written:
        accumulator.append("words", 0, key, value, timestamp, headers)
    (batch,) = accumulator.ready()
    slices = list(
        batch_slices(TP("words", 0), 4, open_batch(built(batch, base)), base + skip, size)
    )
    found = [
        (r.key, r.value, r.timestamp, [tuple(pair) for pair in r.headers])
        for r in records_of(slices)
    ]
    assert found == written[skip:]
    assert [r.offset for r in records_of(slices)] == list(
        range(base + min(skip, len(written)), base + len(written))
    )
    assert all(len(piece.records) <= size and piece.generation == 4 for piece in slices)
    if slices:
        assert slices[-1].next_offset == base + len(written)


@pytest.mark.parametrize("broken", ["cut", "long", "flipped"])
async def test_a_damaged_batch_is_not_read(broken: str) -> None:
    """A batch that is too short, too long or has a flipped bit is refused."""
    accumulator = make()
    accumulator.append("words", 0, b"key", b"value" * 20)
    data = bytearray(built(accumulator.ready()[0], 7))
    if broken == "cut":
        del data[-5:]
    elif broken == "long":
        data += b"x"
    else:
        data[HEADER_SIZE + 20] ^= 1
    with pytest.raises(CorruptBatch):
        open_batch(bytes(data))
