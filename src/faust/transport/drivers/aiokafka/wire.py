"""Fetch and produce requests, as bytes: what a worker asks a thousand times a second.

aiokafka builds a request as objects, encodes them field by field, and reads an answer the same way: 0.1 to 0.3 ms
each. Here they are put together and taken apart with `struct`. Layouts are those of Kafka's protocol guide
(https://kafka.apache.org/protocol): Fetch 11 (Kafka 2.3 and later) and Produce 7 (Kafka 2.1 and later). What does not
look as expected raises `Unexpected`, and aiokafka is left to ask again and to see for itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from struct import Struct
from typing import Any, NamedTuple

__all__ = [
    "FETCH",
    "FETCH_VERSION",
    "PRODUCE",
    "PRODUCE_VERSION",
    "Fetched",
    "Produced",
    "Unexpected",
    "encode_fetch",
    "encode_produce",
    "read_fetch",
    "read_produce",
]

PRODUCE, PRODUCE_VERSION = 0, 7
FETCH, FETCH_VERSION = 1, 11

_INT16 = Struct(">h")
_INT32 = Struct(">i")
_TWO_INT32 = Struct(">ii")

_FETCH = Struct(">iiiibiii")
"""Replica -1, longest wait (ms), least bytes, most bytes, isolation level, no session: 0 and -1, number of topics."""
_FETCH_PARTITION = Struct(">iiqqi")
"""Partition, leader epoch -1, offset, log start -1, most bytes."""
_FETCH_END = b"\0\0\0\0" + b"\0\0"
"""No forgotten topics, empty rack."""

_FETCHED = Struct(">iihii")
"""Correlation id, throttle time, error code, session id, number of topics."""
_FETCHED_PARTITION = Struct(">ihqqqi")
"""Partition, error code, high watermark, last stable offset, log start, number of aborted transactions."""
_ABORTED = Struct(">qq")
"""Producer id, first offset."""

_PRODUCE = Struct(">hhii")
"""No transactional id (-1), acks, timeout (ms), number of topics."""
_PRODUCED_PARTITION = Struct(">ihqqq")
"""Partition, error code, offset, time of the log (ms, or -1), log start."""


class Unexpected(Exception):
    """An answer that is not a plain success.

    Attributes:
        code: The error code (Kafka protocol) of the first partition that has one; 0: none.
    """

    def __init__(self, said: str, code: int = 0) -> None:
        super().__init__(said)
        self.code: int = code


class Fetched(NamedTuple):
    """What came of one partition."""

    topic: str
    partition: int
    aborted: Sequence[tuple[int, int]]
    records: bytes


class Produced(NamedTuple):
    """Where a batch is now."""

    topic: str
    partition: int
    offset: int
    timestamp: int


def _string(text: str) -> bytes:
    data = text.encode()
    return _INT16.pack(len(data)) + data


def encode_fetch(
    wait_ms: int,
    limits: tuple[int, int, int],
    isolation: int,
    wanted: Mapping[str, Sequence[tuple[int, int]]],
) -> bytes:
    """Return the body of a fetch request.

    Arguments:
        wait_ms: How long the broker waits for something to send.
        limits: Least bytes, most bytes, most bytes per partition.
        isolation: 0 read uncommitted, 1 read committed.
        wanted: Partition and offset, by topic.
    """
    least, most, most_of_one = limits
    parts = [_FETCH.pack(-1, wait_ms, least, most, isolation, 0, -1, len(wanted))]
    pack = _FETCH_PARTITION.pack
    for topic, places in wanted.items():
        parts += (_string(topic), _INT32.pack(len(places)))
        parts += [pack(partition, -1, offset, -1, most_of_one) for partition, offset in places]
    parts.append(_FETCH_END)
    return b"".join(parts)


def read_fetch(frame: bytes) -> list[Fetched]:
    """Return what came of the partitions of which something came.

    Raises:
        Unexpected: an error code somewhere, or not the layout.
    """
    try:
        return _read_fetch(frame)
    except (struct.error, UnicodeDecodeError) as error:
        raise Unexpected(f"not a fetch answer of version {FETCH_VERSION}: {error}") from error


def _read_fetch(frame: bytes) -> list[Fetched]:
    found: list[Fetched] = []
    _, _, code, _, topics = _FETCHED.unpack_from(frame, 0)
    place = _FETCHED.size
    for _ in range(topics if not code else 0):
        topic, place = _read_string(frame, place)
        (partitions,) = _INT32.unpack_from(frame, place)
        place += 4
        for _ in range(partitions):
            number, code, _, _, _, count = _FETCHED_PARTITION.unpack_from(frame, place)
            if code:
                raise Unexpected(f"{topic}[{number}]: error code {code}", code)
            place += _FETCHED_PARTITION.size
            aborted: list[Any] = []
            for _ in range(count):
                aborted.append(_ABORTED.unpack_from(frame, place))
                place += _ABORTED.size
            _, size = _TWO_INT32.unpack_from(frame, place)  # the preferred replica, the records
            start = place + 8
            place = start + max(size, 0)
            if size > 0:
                found.append(Fetched(topic, number, aborted, frame[start:place]))
    if code or place != len(frame):
        raise Unexpected(f"error code {code}, {len(frame) - place} bytes left")
    return found


def encode_produce(
    acks: int,
    timeout_ms: int,
    batches: Mapping[str, Iterable[tuple[int, bytes | bytearray]]],
    transactional_id: str | None = None,
) -> bytes:
    """Return the body of a produce request.

    Arguments:
        acks: 1, or -1 for all replicas.
        timeout_ms: How long the broker waits for its replicas.
        batches: Partition and record batch, by topic.
        transactional_id: Whose transaction they belong to; None: to none.
    """
    head = _PRODUCE.pack(-1, acks, timeout_ms, len(batches))
    if transactional_id is not None:
        head = _string(transactional_id) + head[_INT16.size :]
    parts: list[bytes | bytearray] = [head]
    for topic, places in batches.items():
        rows = list(places)
        parts += (_string(topic), _INT32.pack(len(rows)))
        for partition, data in rows:
            parts += (_TWO_INT32.pack(partition, len(data)), data)
    return b"".join(parts)


def read_produce(frame: bytes) -> list[Produced]:
    """Return where every batch of a request is.

    Raises:
        Unexpected: an error code somewhere, or not the layout.
    """
    try:
        return _read_produce(frame)
    except (struct.error, UnicodeDecodeError) as error:
        raise Unexpected(f"not a produce answer of version {PRODUCE_VERSION}: {error}") from error


def _read_produce(frame: bytes) -> list[Produced]:
    found: list[Produced] = []
    (topics,) = _INT32.unpack_from(frame, 4)
    place = 8
    for _ in range(topics):
        topic, place = _read_string(frame, place)
        (partitions,) = _INT32.unpack_from(frame, place)
        place += 4
        for _ in range(partitions):
            number, code, offset, timestamp, _ = _PRODUCED_PARTITION.unpack_from(frame, place)
            if code:
                raise Unexpected(f"{topic}[{number}]: error code {code}", code)
            place += _PRODUCED_PARTITION.size
            found.append(Produced(topic, number, offset, timestamp))
    if place + 4 != len(frame):  # the throttle time
        raise Unexpected(f"{len(frame) - place - 4} bytes left")
    return found


def _read_string(frame: bytes, place: int) -> tuple[str, int]:
    (length,) = _INT16.unpack_from(frame, place)
    place += 2
    return frame[place : place + length].decode(), place + length
