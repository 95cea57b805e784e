"""The fast reader gives exactly what aiokafka's own reader gives, on every shape a fetch can have."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.consumer.fetcher import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    FetchResult,
    PartitionRecords,
)
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from faust.transport.drivers.aiokafka import reader
from faust.transport.drivers.aiokafka.reader import FastReader, Run, _Cursor

TP0 = TopicPartition("topic", 0)
ATTRIBUTES, CRC, CRC_START, LAST_DELTA, PRODUCER = 21, 17, 21, 23, 43
CONTROL_BIT, TRANSACTION_BIT = 0x20, 0x10


@dataclass(frozen=True)
class Shape:
    """One batch: which relative offsets are left, how many there were, whose it is."""

    offsets: tuple[int, ...]
    length: int
    producer: int = -1
    transactional: bool = False
    marker: int | None = None
    compression: int = 0


def batch_bytes(shape: Shape, base: int) -> bytes:
    """Build one record batch of message format v2 by hand where the builder cannot."""
    builder = DefaultRecordBatchBuilder(2, shape.compression, 0, -1, -1, -1, 1 << 20)
    if shape.marker is not None:
        builder.append(0, 5, struct.pack(">hh", 0, shape.marker), b"\0" * 6, [])
    else:
        for offset in shape.offsets:
            value = None if offset % 5 == 4 else b"v%d" % (base + offset)
            builder.append(offset, 1000 + offset, b"k%d" % offset, value, [("h", b"%d" % offset)])
    data = bytearray(builder.build())
    attributes = struct.unpack_from(">h", data, ATTRIBUTES)[0]
    if shape.transactional or shape.marker is not None:
        attributes |= TRANSACTION_BIT
    if shape.marker is not None:
        attributes |= CONTROL_BIT
    struct.pack_into(">q", data, 0, base)
    struct.pack_into(">h", data, ATTRIBUTES, attributes)
    struct.pack_into(">i", data, LAST_DELTA, shape.length - 1)
    struct.pack_into(">q", data, PRODUCER, shape.producer)
    struct.pack_into(">I", data, CRC, calc_crc32c(bytes(data[CRC_START:])))
    return bytes(data)


def fetched(shapes: list[Shape], skip: int, isolation: int, aborted: list[tuple[int, int]]) -> Any:
    """Make what aiokafka's fetcher makes of an answer; the fetch asked for an offset *skip* into the first batch."""
    data, base = b"", 100
    for shape in shapes:
        data += batch_bytes(shape, base)
        base += shape.length
    return PartitionRecords(
        TP0, MemoryRecords(data), list(aborted), 100 + skip, None, None, True, isolation
    )


def view(record: Any) -> tuple[Any, ...]:
    """Return what our contract promises of a record."""
    return (
        record.offset,
        record.timestamp,
        record.timestamp_type,
        record.key,
        record.value,
        tuple(record.headers),
    )


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Shape], list[tuple[int, int]]]:
    """Make a piece of a log: plain and transactional batches, markers, gaps, and the aborted transactions of it."""
    shapes: list[Shape] = []
    aborted: list[tuple[int, int]] = []
    open_since: dict[int, int] = {}
    base = 100
    for _ in range(draw(st.integers(1, 8))):
        length = draw(st.integers(1, 12))
        producer = draw(st.sampled_from([-1, 7, 8]))
        kept = tuple(sorted(draw(st.sets(st.integers(0, length - 1)))))
        if producer in open_since and draw(st.booleans()):
            commits = draw(st.booleans())
            if not commits:
                aborted.append((producer, open_since[producer]))
            del open_since[producer]
            shape = Shape((), 1, producer, transactional=True, marker=int(commits))
        elif producer > 0 and draw(st.booleans()):
            open_since.setdefault(producer, base)
            shape = Shape(kept, length, producer, transactional=True)
        else:
            shape = Shape(kept, length, compression=draw(st.sampled_from([0, 1])))
        shapes.append(shape)
        base += shape.length
    return shapes, aborted


@given(
    log=logs(),
    skip=st.integers(0, 3),
    span=st.integers(1, 30),
    size=st.integers(1, 30),
    isolation=st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]),
)
def test_fast_and_public_reader_give_the_same(
    log: tuple[list[Shape], list[tuple[int, int]]], skip: int, span: int, size: int, isolation: int
) -> None:
    """Whatever is in a fetch (markers, aborted ranges, gaps, half-read batches), records and next offset are equal."""
    shapes, aborted = log
    skip = min(skip, shapes[0].length - 1)
    theirs = fetched(shapes, skip, isolation, aborted)
    expected = [view(record) for record in theirs]
    ours = fetched(shapes, skip, isolation, aborted)
    cursor = _Cursor(FetchResult(TP0, assignment=None, partition_records=ours, backoff=0.0))
    found = []
    while not cursor.exhausted:
        start = cursor.position
        run = Run(cursor.take(span), start, cursor.position)
        while not run.done:
            position = run.position
            some = run.cut(size)
            assert len(some) <= size
            assert position <= run.position <= run.end
            found += [view(record) for record in some]
        assert run.position == cursor.position
    assert found == expected
    assert cursor.position == theirs.next_fetch_offset


def test_a_damaged_batch_is_an_error_that_names_its_place() -> None:
    """A wrong checksum is never handed out: the error names topic, partition and offset."""
    good = batch_bytes(Shape((0, 1), 2), 100)
    bad = bytearray(batch_bytes(Shape((0, 1), 2), 102))
    bad[-1] ^= 1
    source = PartitionRecords(
        TP0, MemoryRecords(good + bytes(bad)), None, 100, None, None, True, READ_UNCOMMITTED
    )
    cursor = _Cursor(FetchResult(TP0, assignment=None, partition_records=source, backoff=0.0))
    run = Run(cursor.take(200), 100, cursor.position)
    assert [record.offset for record in run.cut(200)] == [100, 101]
    assert run.done
    with pytest.raises(CorruptRecordException, match=r"topic\[0\] offset 102"):
        cursor.take(200)


def test_the_fast_reader_fits_this_aiokafka() -> None:
    """With the aiokafka installed here the fast reader is in use, not the slow one."""
    assert reader.fast_reader_works()


def test_other_internals_mean_the_public_reader(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When aiokafka's internals are not as expected, the public reader is chosen, and the log says so."""

    class Consumer:
        _fetcher = object()

    monkeypatch.setattr(reader, "_verdict", None)
    monkeypatch.setattr(PartitionRecords, "__init__", lambda *_: None)
    assert not isinstance(reader.make_reader(Consumer()), FastReader)
    assert "getmany" in caplog.text
