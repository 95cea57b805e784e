"""What a consumer that reads by hand promises: C1, C3, C5, C6, C12 of the transport contract."""

from __future__ import annotations

import asyncio
import random

import psutil
import pytest

from faust.exceptions import OffsetOutOfRange
from faust.messages import TP
from faust.transport.base import TopicSpec
from tests.support.driving import Reader, Recorder, Stage, take_for, until

# -- C1: order


async def test_C01_offset_order_nothing_skipped_nothing_twice(stage: Stage) -> None:
    """Under random pauses and seeks each partition comes in offset order, without hole or repetition."""
    topic = await stage.topic(8)
    tps = [TP(topic, n) for n in range(8)]
    per_partition = 12_500
    await stage.fill(dict.fromkeys(tps, per_partition))
    chance = random.Random(1)
    reader = await stage.reader(tps, max_fetch_size=64 * 1024)
    consumer = reader.consumer
    reader.next = dict.fromkeys(tps, 0)
    paused: set[TP] = set()
    seeks = 60
    while any(reader.next[tp] < per_partition for tp in tps):
        for one in await reader.take(0.5 if not paused else 0.01):
            assert one.tp not in paused, "a slice of a paused partition"
            assert one.generation == -1
            assert [record.value for record in one.records] == [
                b"%d" % record.offset for record in one.records
            ]
        if chance.random() < 0.2:
            consumer.resume(paused)
            paused = set(chance.sample(tps, chance.randrange(8)))
            consumer.pause(paused)
        if seeks and chance.random() < 0.2:
            seeks -= 1
            chosen = chance.sample(tps, 2)
            await reader.seek({tp: chance.randrange(reader.next[tp] + 1) for tp in chosen})
    consumer.resume(paused)
    assert await consumer.take(0.3) == []
    assert [await consumer.position(tp) for tp in tps] == [per_partition] * 8


async def test_C01_a_seek_while_a_take_waits_drops_what_was_fetched(stage: Stage) -> None:
    """The first slice after a seek starts at the new place, also when a take is waiting meanwhile."""
    topic = await stage.topic()
    tp = TP(topic, 0)
    await stage.fill({tp: 2_000})
    reader = await stage.reader([tp])
    await reader.read(1)
    for target in (1_500, 3, 1_999, 700):
        await reader.seek({tp: target})
        waiting = asyncio.create_task(reader.take(5))
        await asyncio.sleep(0)
        other = (target * 7) % 2_000
        await reader.seek({tp: other})
        slices = await waiting or await reader.take(5)
        assert slices[0].records[0].offset == other


async def test_C01_a_take_given_up_loses_nothing(stage: Stage) -> None:
    """Who cancels a take, early or late, finds what it would have been handed in the next one."""
    topic = await stage.topic()
    tp = TP(topic, 0)
    await stage.fill({tp: 50_000})
    reader = await stage.reader([tp], slice_size=20)
    reader.next[tp] = 0
    chance = random.Random(1)
    while reader.next[tp] < 50_000:
        taking = asyncio.create_task(reader.consumer.take(5))
        await asyncio.sleep(chance.choice([0, 0, 0.0001, 0.0003, 0.001]))
        taking.cancel()
        await asyncio.wait([taking])
        if not taking.cancelled():
            for one in taking.result():
                reader.check(one)
        await reader.take(0.001)
    assert reader.values(tp) == [b"%d" % n for n in range(50_000)]


async def test_C01_records_are_what_was_written(stage: Stage) -> None:
    """Key, value, timestamp and headers come back as they went; what is missing comes back as None."""
    topic = await stage.topic()
    tp = TP(topic, 0)
    producer = await stage.producer()
    headers = [("a", b"1"), ("ä", b""), ("a", bytes(range(256)))]
    producer.append(topic, 0, b"key", b"value", 1_700_000_000_123, headers)
    producer.append(topic, 0, None, None, 1_700_000_000_124)
    producer.append(topic, 0, b"", b"", 1_700_000_000_125)
    await producer.flush()
    full, nothing, empty = await (await stage.reader([tp])).read(3)
    assert (full.key, full.value, full.timestamp) == (b"key", b"value", 1_700_000_000_123)
    assert [(name, bytes(value)) for name, value in full.headers] == headers
    assert full.timestamp_type == 0
    assert (nothing.key, nothing.value, list(nothing.headers)) == (None, None, [])
    assert (empty.key, empty.value) == (b"", b"")


# -- C3: pause


async def test_C03_a_paused_partition_is_not_handed_over_and_not_collected(stage: Stage) -> None:
    """Behind a pause nothing comes, memory stays bounded, others flow; after it nothing is missing."""
    topic = await stage.topic(2)
    still, moving = TP(topic, 0), TP(topic, 1)
    total, pad = 250_000, 150
    await stage.fill({still: total, moving: 30_000}, pad=pad)
    reader = await stage.reader([still, moving], max_fetch_size=256 * 1024)
    consumer = reader.consumer
    reader.next = {still: 0, moving: 0}
    await until(lambda: _took(reader, still), "the first slices of the partition came")
    consumer.pause([still])
    reached = reader.next[still]
    # what is fetched of a partition is bounded, whether it is paused or not: read the other one
    # twice, measure over the second time only, when the client has all it ever needs
    await until(lambda: _took(reader, moving, 30_000), "the other partition was read")
    await reader.seek({moving: 0})
    before = psutil.Process().memory_info().rss
    reader.records.clear()
    await until(lambda: _took(reader, moving, 30_000), "the other partition was read again")
    await asyncio.sleep(1.0)
    reader.records.clear()
    grown = psutil.Process().memory_info().rss - before
    assert reader.next[still] == reached
    assert grown < total * pad / 4, f"{grown / 1e6:.1f} MB more behind a pause"

    consumer.resume([still])
    while reader.next[still] < total:
        assert await reader.take(5), "nothing comes after resume"
        reader.records.clear()


async def _took(reader: Reader, tp: TP, count: int = 1) -> bool:
    await reader.take(0.1)
    return reader.next.get(tp, 0) >= count


async def test_C03_a_pause_counts_for_a_take_that_is_under_way(stage: Stage) -> None:
    """Once pause has returned nothing of the partition is handed over, also not to who was waiting."""
    topic = await stage.topic()
    tp = TP(topic, 0)
    await stage.fill({tp: 50_000})
    reader = await stage.reader([tp], slice_size=20)
    reader.next[tp] = 0
    chance = random.Random(1)
    while reader.next[tp] < 50_000:
        taking = asyncio.create_task(reader.take(0.01))
        await asyncio.sleep(chance.choice([0, 0, 0.0001, 0.0003, 0.001]))
        if not taking.done():
            reader.consumer.pause([tp])
            assert await taking == [], "handed over after pause"
            reader.consumer.resume([tp])
        await reader.take(0.1)


# -- C5: numbers


async def test_C05_numbers_of_an_empty_partition(stage: Stage) -> None:
    """An empty partition begins and ends at 0, nothing of it is committed, the position is 0."""
    tp = TP(await stage.topic(), 0)
    consumer = await stage.consumer(group_id=stage.name("group"))
    await consumer.assign([tp])
    assert await consumer.beginning_offsets([tp]) == {tp: 0}
    assert await consumer.end_offsets([tp]) == {tp: 0}
    assert await consumer.committed([tp]) == {tp: None}
    assert await consumer.position(tp) == 0


async def test_C05_numbers_of_a_truncated_partition(stage: Stage) -> None:
    """After records were deleted the beginning and the start position move, the end does not."""
    tp = TP(await stage.topic(), 0)
    await stage.fill({tp: 10})
    await (await stage.admin()).delete_records({tp: 4})
    reader = await stage.reader([tp])
    assert await reader.consumer.beginning_offsets([tp]) == {tp: 4}
    assert await reader.consumer.end_offsets([tp]) == {tp: 10}
    assert await reader.consumer.position(tp) == 4
    await reader.read(6)
    assert reader.values(tp) == [b"%d" % n for n in range(4, 10)]
    assert await reader.consumer.position(tp) == 10


async def test_C05_numbers_of_a_compacted_partition(stage: Stage) -> None:
    """Compaction takes records and no offsets: the next offset lies beyond the gaps, up to the end."""
    topic = await stage.topic(
        cleanup_policy="compact",
        min_cleanable_dirty_ratio="0.01",
        segment_ms="200",
        max_compaction_lag_ms="200",
    )
    tp = TP(topic, 0)
    producer = await stage.producer()
    for round_ in range(30):
        for key in range(10):
            producer.append(topic, 0, b"k%d" % key, b"%d" % round_)
    await producer.flush()
    await asyncio.sleep(0.5)
    producer.append(topic, 0, b"last", b"rolls the segment")
    await producer.flush()
    admin = await stage.admin()

    async def compacted() -> bool:
        if stage.kind != "kafka":
            await admin.compact(topic)
        reader = await stage.reader([tp], gaps=True)
        reader.next[tp] = 0
        while reader.next[tp] < 301:
            await reader.take(5)
        position = await reader.consumer.position(tp)
        await reader.consumer.close()
        assert position == 301
        offsets = {record.key: record.offset for record in reader.records[tp]}
        assert offsets == {b"k%d" % key: 290 + key for key in range(10)} | {b"last": 300}
        return reader.count < 301

    await until(compacted, "the log was compacted", timeout=40)
    consumer = await stage.consumer()
    assert await consumer.end_offsets([tp]) == {tp: 301}
    assert await consumer.beginning_offsets([tp]) == {tp: 0}


async def test_C05_numbers_of_a_transactional_partition(stage: Stage) -> None:
    """For a reader of committed records the end is the last stable offset, and reading reaches it."""
    tp = TP(await stage.topic(), 0)
    await stage.fill({tp: 5})
    writer = await stage.producer(transactional_id=stage.name("tx"))
    await writer.load_partitions(tp.topic)
    reader = await stage.reader([tp], gaps=True, read_committed=True)
    consumer = reader.consumer
    await writer.begin_transaction()
    writer.append(tp.topic, 0, None, b"open")
    await writer.flush()
    assert await consumer.end_offsets([tp]) == {tp: 5}
    await reader.read(5)
    await reader.take(0.5)
    assert reader.count == 5
    assert await consumer.position(tp) == 5
    await writer.abort_transaction()
    await writer.begin_transaction()
    writer.append(tp.topic, 0, None, b"committed")
    await writer.commit_transaction()
    await reader.read(1)
    assert reader.values(tp)[5:] == [b"committed"]

    async def at_end() -> bool:
        await reader.take(0.1)
        return await consumer.position(tp) == (await consumer.end_offsets([tp]))[tp]

    await until(at_end, "the position reached the end, over the markers")


async def test_C05_committed_offsets_are_exact(stage: Stage) -> None:
    """What was committed is what is read back, and where a new member of the group begins."""
    topic = await stage.topic(3)
    tps = [TP(topic, n) for n in range(3)]
    await stage.fill({tps[0]: 10, tps[1]: 10})
    group = stage.name("group")
    listener = Recorder()
    consumer = await stage.member(group, [topic], listener=listener)
    await until(lambda: listener.assigned == frozenset(tps), "all was assigned")
    assert await consumer.commit({tps[0]: 7, tps[1]: 0}) == {tps[0]: None, tps[1]: None}
    assert await consumer.committed(tps) == {tps[0]: 7, tps[1]: 0, tps[2]: None}
    await consumer.close()
    other = Reader(await stage.member(group, [topic]))
    await other.read(13)
    assert other.values(tps[0]) == [b"7", b"8", b"9"]
    assert other.values(tps[1]) == [b"%d" % n for n in range(10)]


# -- C6: out of range


@pytest.mark.parametrize("policy", ["earliest", "latest", "none"])
@pytest.mark.parametrize("wanted", [3, 1_000], ids=["below", "above"])
async def test_C06_offset_out_of_range_follows_the_policy(
    stage: Stage, policy: str, wanted: int
) -> None:
    """An offset that is not in the log leads to the start, to the end, or to an error that names it."""
    tp = TP(await stage.topic(), 0)
    await stage.fill({tp: 60})
    await (await stage.admin()).delete_records({tp: 50})
    reader = await stage.reader([tp], auto_offset_reset=policy)
    await reader.consumer.seek({tp: wanted})
    if policy == "none":
        with pytest.raises(OffsetOutOfRange, match=rf"{tp.topic}.*\b0\b.*\b{wanted}\b"):
            await take_for(reader.consumer, 10)
        return
    first = 50
    if policy == "latest":
        await take_for(reader.consumer, 1.0)
        reader.next[tp] = first = 60
        await stage.fill({tp: 1}, start=60)
    assert (await reader.read(1))[0].offset == first


async def test_C06_records_deleted_under_a_consumer(stage: Stage) -> None:
    """A consumer whose place is deleted while it pauses goes on at the new start of the log."""
    tp = TP(await stage.topic(), 0)
    await stage.fill({tp: 1_000})
    reader = await stage.reader([tp], max_fetch_size=4096, slice_size=50)
    await reader.read(1)
    reader.consumer.pause([tp])
    await (await stage.admin()).delete_records({tp: 900})
    reader.consumer.resume([tp])
    reader.gaps = True
    while reader.next[tp] < 1_000:
        assert await reader.take(5)
    offsets = [record.offset for record in reader.records[tp]]
    assert offsets[-100:] == list(range(900, 1_000))


async def test_C06_without_a_committed_offset_the_policy_decides(stage: Stage) -> None:
    """Policy ``none`` refuses to guess where to start; ``latest`` starts at the end."""
    tp = TP(await stage.topic(), 0)
    await stage.fill({tp: 5})
    nowhere = await stage.reader([tp], auto_offset_reset="none")
    with pytest.raises(OffsetOutOfRange, match=tp.topic):
        await take_for(nowhere.consumer, 10)
    late = await stage.reader([tp], auto_offset_reset="latest")
    assert await late.consumer.position(tp) == 5


async def test_C06_changelogs_always_start_at_the_beginning(stage: Stage) -> None:
    """Topics named by ``earliest_topics`` reset to the log start, whatever the policy of the app."""
    usual, changelog = await stage.topic(), await stage.topic(name=stage.name("changelog"))
    await stage.fill({TP(usual, 0): 5, TP(changelog, 0): 5})
    listener = Recorder()
    consumer = await stage.member(
        stage.name("group"),
        [usual, changelog],
        listener=listener,
        earliest_topics=lambda topic: topic.endswith("changelog"),
        auto_offset_reset="latest",
    )
    await until(lambda: len(listener.assigned) == 2, "both were assigned")
    assert await consumer.position(TP(usual, 0)) == 5
    reader = Reader(consumer)
    await reader.read(5)
    assert reader.values(TP(changelog, 0)) == [b"0", b"1", b"2", b"3", b"4"]
    await consumer.seek({TP(changelog, 0): 1_000})
    reader.next.clear()
    await reader.read(5)
    assert reader.values(TP(usual, 0)) == []


# -- C12: patterns


async def test_C12_a_pattern_follows_new_topics(stage: Stage) -> None:
    """A topic created after the subscription is read when its whole name matches, others are not."""
    prefix = stage.name("pattern")
    first = await stage.topic(name=f"{prefix}-1")
    await stage.topic(name=f"not-{prefix}-1")
    listener = Recorder()
    consumer = await stage.member(
        stage.name("group"), [], pattern=f"{prefix}-[0-9]", listener=listener
    )
    await until(lambda: listener.assigned == {TP(first, 0)}, "the topic was assigned")
    admin = await stage.admin()
    await admin.create_topics(
        [
            TopicSpec(name=f"{prefix}-2", partitions=2),
            TopicSpec(name=f"{prefix}-2-tail", partitions=1),
        ]
    )
    wanted = {TP(first, 0), TP(f"{prefix}-2", 0), TP(f"{prefix}-2", 1)}
    await until(lambda: listener.assigned == wanted, "the new topic was assigned")
    await stage.fill({TP(f"{prefix}-2", 1): 3})
    assert [r.value for r in await Reader(consumer).read(3)] == [b"0", b"1", b"2"]


async def test_C12_a_pattern_without_any_topic_waits_for_one(stage: Stage) -> None:
    """A pattern that matches nothing yet is no error; the first topic that matches is read."""
    prefix = stage.name("pattern")
    listener = Recorder()
    consumer = await stage.member(stage.name("group"), [], pattern=f"{prefix}.*", listener=listener)
    assert await consumer.take(0.5) == []
    topic = await stage.topic(name=f"{prefix}-new")
    await until(lambda: listener.assigned == {TP(topic, 0)}, "the new topic was assigned")
    assert consumer.assignment == {TP(topic, 0)}
