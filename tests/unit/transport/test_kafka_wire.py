"""Hand-made requests are byte for byte aiokafka's, and hand-read answers say the same as aiokafka's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v7, ProduceResponse_v7
from hypothesis import given
from hypothesis import strategies as st

from faust.transport.drivers.aiokafka.connection import Frames
from faust.transport.drivers.aiokafka.wire import (
    Fetched,
    Produced,
    Unexpected,
    encode_fetch,
    encode_produce,
    read_fetch,
    read_produce,
)

names = st.text(min_size=1, max_size=12)
int32 = st.integers(0, 2**31 - 1)
int64 = st.integers(-1, 2**63 - 1)
partitions = st.integers(0, 99)


def by_topic(row: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, list[Any]]]:
    """Rows of some topics."""
    return st.dictionaries(names, st.lists(row, max_size=4), max_size=3)


fetched_rows = st.tuples(
    partitions, st.lists(st.tuples(int64, int64), max_size=3), st.binary(max_size=50)
)
produced_rows = st.tuples(partitions, int64, int64)


def fetch_answer(topics: dict[str, list[Any]], *, code: int = 0, code_of_all: int = 0) -> bytes:
    """A fetch answer as aiokafka writes it, behind a correlation id."""
    rows = [
        (
            topic,
            [(number, code, 9, 8, 0, aborted, -1, data) for number, aborted, data in rows],
        )
        for topic, rows in topics.items()
    ]
    return b"\0\0\0\7" + bytes(FetchResponse_v11(0, code_of_all, 0, rows).encode())


def produce_answer(topics: dict[str, list[Any]], *, code: int = 0) -> bytes:
    """A produce answer as aiokafka writes it, behind a correlation id."""
    rows = [
        (topic, [(number, code, offset, time, 0) for number, offset, time in rows])
        for topic, rows in topics.items()
    ]
    return b"\0\0\0\7" + bytes(ProduceResponse_v7(rows, 0).encode())


@given(
    int32,
    st.tuples(int32, int32, int32),
    st.sampled_from([0, 1]),
    by_topic(st.tuples(partitions, int64)),
)
def test_fetch_request_is_what_aiokafka_writes(
    wait: int, limits: tuple[int, int, int], isolation: int, wanted: dict[str, list[Any]]
) -> None:
    """A fetch request of version 11 has exactly the bytes of aiokafka's (transport.md 2)."""
    least, most, most_of_one = limits
    rows = [
        (topic, [(n, offset, most_of_one) for n, offset in rows]) for topic, rows in wanted.items()
    ]
    theirs = FetchRequest(wait, least, most, isolation, rows).build(FetchRequest_v11).encode()
    assert encode_fetch(wait, limits, isolation, wanted) == theirs


@given(by_topic(fetched_rows))
def test_fetch_answer_is_read_as_written(topics: dict[str, list[Any]]) -> None:
    """What a fetch answer of version 11 holds is found again: partitions with records, and aborted transactions."""
    assert read_fetch(fetch_answer(topics)) == [
        Fetched(topic, *row) for topic, rows in topics.items() for row in rows if row[-1]
    ]


@given(st.sampled_from([1, -1]), int32, by_topic(st.tuples(partitions, st.binary(max_size=50))))
def test_produce_request_is_what_aiokafka_writes(
    acks: int, timeout: int, batches: dict[str, list[Any]]
) -> None:
    """A produce request of version 7 has exactly the bytes of aiokafka's (transport.md 6)."""
    request = ProduceRequest(None, acks, timeout, list(batches.items()))
    assert encode_produce(acks, timeout, batches) == request.build(ProduceRequest_v7).encode()


@given(by_topic(produced_rows))
def test_produce_answer_is_read_as_written(topics: dict[str, list[Any]]) -> None:
    """Every batch's offset and log time in a produce answer of version 7 is found again."""
    assert read_produce(produce_answer(topics)) == [
        Produced(topic, *row) for topic, rows in topics.items() for row in rows
    ]


ONE_FETCHED = {"t": [(0, [(1, 2)], b"records")]}
ONE_PRODUCED = {"t": [(0, 5, -1)]}


@pytest.mark.parametrize(
    "frame",
    [
        fetch_answer(ONE_FETCHED, code=6),
        fetch_answer({}, code_of_all=70),
        fetch_answer(ONE_FETCHED)[:-1],
        fetch_answer(ONE_FETCHED) + b"\0",
        b"\0\0\0\7",
    ],
)
def test_fetch_answers_with_trouble_are_left_to_aiokafka(frame: bytes) -> None:
    """An error code, or a frame that is cut short or too long, is never taken for records."""
    with pytest.raises(Unexpected):
        read_fetch(frame)


@pytest.mark.parametrize(
    "frame",
    [
        produce_answer(ONE_PRODUCED, code=6),
        produce_answer(ONE_PRODUCED)[:-5],
        produce_answer(ONE_PRODUCED) + b"\0",
        b"\0\0\0\7",
    ],
)
def test_produce_answers_with_trouble_are_left_to_aiokafka(frame: bytes) -> None:
    """An error code, or a frame that is cut short or too long, is never taken for an acknowledgement."""
    with pytest.raises(Unexpected):
        read_produce(frame)


@given(st.lists(st.binary(max_size=20), max_size=8), st.data())
def test_frames_come_whole_however_the_socket_cuts_them(
    frames: list[bytes], data: st.DataObject
) -> None:
    """Whatever pieces the socket gives, every frame is handed out once, whole and in order."""
    stream = b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
    found: list[bytes] = []
    cutter = Frames(found.append, asyncio.Protocol())
    start = 0
    while start < len(stream):
        end = data.draw(st.integers(start + 1, len(stream)))
        cutter.data_received(stream[start:end])
        start = end
    assert found == frames
