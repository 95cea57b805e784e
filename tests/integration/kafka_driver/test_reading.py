"""Both readers on the real broker: the same records, the same next offsets, whatever the log looks like."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from faust.messages import TP
from faust.transport.drivers.aiokafka import reader as readers
from faust.transport.drivers.aiokafka.reader import FastReader, PublicReader
from tests.support.driving import Reader, Stage, until

pytestmark = pytest.mark.kafka


@pytest.fixture(params=[True, False], ids=["fast", "public"])
def fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the fast reader is in use."""
    assert readers.fast_reader_works()
    if not request.param:
        monkeypatch.setattr(readers, "_verdict", False)
    wanted: bool = request.param
    return wanted


async def read_to_end(stage: Stage, tp: TP, fast: bool, **options: Any) -> tuple[list[Any], int]:
    """Read a partition to its end; return the records as plain values, and the position."""
    reader = await stage.reader([tp], gaps=True, slice_size=7, **options)
    kind = type(reader.consumer._pump._reader)  # type: ignore[attr-defined]  # the test is about it
    assert kind is (FastReader if fast else PublicReader)
    end = (await reader.consumer.end_offsets([tp]))[tp]
    await until(lambda: _at_end(reader, tp, end), f"{tp} is read to {end}")
    found = [(r.offset, r.key, r.value, tuple(r.headers)) for r in reader.records[tp]]
    return found, reader.next[tp]


async def _at_end(reader: Reader, tp: TP, end: int) -> bool:
    await reader.take(0.05)
    return reader.next.get(tp) == end


async def test_transactions(stage: Stage, fast: bool) -> None:
    """Aborted records and markers are left out for readers of committed records; others see them, never markers."""
    tp = TP(await stage.topic(1), 0)
    producer = await stage.producer(transactional_id=stage.name("tx"))
    plain = await stage.producer()
    wanted_committed, wanted_all = [], []
    for turn in range(6):
        await producer.begin_transaction()
        for number in range(turn + 1):
            value = b"%d-%d" % (turn, number)
            await producer.append(tp.topic, 0, b"k", value, headers=[("turn", b"%d" % turn)])
            wanted_all.append(value)
            if turn % 2:
                wanted_committed.append(value)
        outside = b"plain-%d" % turn
        await plain.append(tp.topic, 0, None, outside)
        wanted_all.append(outside)
        wanted_committed.append(outside)
        await (producer.commit_transaction() if turn % 2 else producer.abort_transaction())
    for committed, wanted in ((True, wanted_committed), (False, wanted_all)):
        found, position = await read_to_end(stage, tp, fast, read_committed=committed)
        assert [value for _, _, value, _ in found] == wanted
        assert position == len(wanted_all) + 6


async def test_start_inside_a_batch(stage: Stage, fast: bool) -> None:
    """A position inside a batch starts there, although the broker sends the whole batch."""
    tp = TP(await stage.topic(1), 0)
    await stage.fill({tp: 1000})
    reader = await stage.reader([tp], slice_size=7)
    for start in (500, 3, 998):
        await reader.seek({tp: start})
        records = await reader.read(2)
        assert [record.value for record in records[:2]] == [b"%d" % start, b"%d" % (start + 1)]
    assert fast is isinstance(reader.consumer._pump._reader, FastReader)  # type: ignore[attr-defined]


async def test_a_paused_partition_still_finds_its_place(stage: Stage, fast: bool) -> None:
    """A partition that was paused before it was read knows its position, and loses nothing."""
    tp = TP(await stage.topic(1), 0)
    await stage.fill({tp: 100})
    await (await stage.admin()).delete_records({tp: 40})
    reader = await stage.reader([tp])
    reader.consumer.pause([tp])
    assert await asyncio.wait_for(reader.consumer.position(tp), 10) == 40
    assert await reader.take(0.5) == []
    reader.consumer.resume([tp])
    assert len(await reader.read(60)) == 60
    assert reader.next[tp] == 100
    assert isinstance(fast, bool)


async def test_a_compacted_log(stage: Stage, fast: bool) -> None:
    """Compaction leaves gaps; they are stepped over, and the position reaches the end."""
    topic = await stage.topic(
        1,
        cleanup_policy="compact",
        segment_bytes=str(1024 * 1024),
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="100",
        delete_retention_ms="100",
    )
    tp = TP(topic, 0)
    producer = await stage.producer()
    for number in range(300):
        await producer.append(topic, 0, b"k%d" % (number % 3), b"%d" % number)
        if number % 100 == 99:
            await asyncio.sleep(0.3)

    async def compacted() -> bool:
        # Only closed segments are compacted; a record now and then closes the one before.
        await producer.append(topic, 0, b"tick", b"tock")
        reader = await stage.reader([tp], gaps=True)
        end = (await reader.consumer.end_offsets([tp]))[tp]
        await until(lambda: _at_end(reader, tp, end), "the log is read")
        await reader.consumer.close()
        return reader.count < 100

    await until(compacted, "the log is compacted", 40)
    found, position = await read_to_end(stage, tp, fast)
    assert len({key for _, key, _, _ in found if key != b"tick"}) == 3
    assert {b"297", b"298", b"299"} <= {value for _, _, value, _ in found}
    assert position == (await (await stage.admin()).offsets([tp]))[tp][1]
