"""The default partitioner, against the vectors of the specification and of the Java client."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.utils.murmur import KeyPartitioner, murmur2

UNSIGNED = [
    (b"", 275646681),
    (b"a", 2731586172),
    (b"ab", 316155434),
    (b"abc", 479470107),
    (b"abcd", 2971317748),
    (b"21", 3321034988),
    (b"foobar", 3504634814),
    (b'"foobar"', 3203212610),
    (b"account-1", 1835529620),
    (b'{"x":1}', 2035407068),
    (b"\xc3\xa9", 186971271),
    (b"\x00\x00\x00\x01", 4121853488),
]
SIGNED = [
    (b"foo", 597841616),
    (b'"foo"', -581008763),
    (b"hello", 2132663229),
    (b"user-1", 1404122828),
    (b"user-2", -324981792),
    (b"123", -267702483),
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b'["k",[5.0,14.9]]', -137624005),
    (b"\x00", 375494588),
]
PARTITIONS = {  # key: partition of 1, 2, 3, 8, 10, 12, 100
    b"": (0, 1, 0, 1, 1, 9, 81),
    b"a": (0, 0, 1, 4, 4, 4, 24),
    b"ab": (0, 0, 2, 2, 4, 2, 34),
    b"abc": (0, 1, 0, 3, 7, 3, 7),
    b"abcd": (0, 0, 2, 4, 0, 8, 0),
    b"21": (0, 0, 0, 4, 0, 0, 40),
    b"foobar": (0, 0, 0, 6, 6, 6, 66),
    b'"foobar"': (0, 0, 0, 2, 2, 6, 62),
    b"account-1": (0, 0, 2, 4, 0, 8, 20),
    b'{"x":1}': (0, 0, 2, 4, 8, 8, 68),
    b"\xc3\xa9": (0, 1, 0, 7, 1, 3, 71),
    b"\x00\x00\x00\x01": (0, 0, 0, 0, 0, 0, 40),
}


@pytest.mark.parametrize(("key", "expected"), UNSIGNED)
def test_murmur2_of_channels_topics_9(key: bytes, expected: int) -> None:
    """The hashes are those of channels-topics.md section 9."""
    assert murmur2(key) == expected


@pytest.mark.parametrize(("key", "expected"), SIGNED)
def test_murmur2_of_transport_7(key: bytes, expected: int) -> None:
    """The hashes are those of transport.md section 7, which writes them signed as Java does."""
    assert murmur2(key) == expected & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "expected"), PARTITIONS.items())
def test_partitions(key: bytes, expected: tuple[int, ...]) -> None:
    """Keys land where every other Kafka client puts them, whatever the number of partitions."""
    partitioner = KeyPartitioner()
    assert tuple(partitioner(key, range(n)) for n in (1, 2, 3, 8, 10, 12, 100)) == expected


@given(st.binary(max_size=400), st.integers(1, 5000))
def test_choice_is_one_of_the_partitions(key: bytes, count: int) -> None:
    """Any key has a partition, and always the same one, remembered or not."""
    partitioner = KeyPartitioner()
    partitions = range(count)
    chosen = partitioner(key, partitions)
    assert chosen == (murmur2(key) & 0x7FFFFFFF) % count == partitioner(key, partitions)


def test_partitions_need_not_be_numbers_from_zero() -> None:
    """The remainder is an index into the partitions that were given."""
    assert KeyPartitioner()(b"foobar", [3, 5, 9, 11, 13, 15, 17, 19]) == 17


def test_memory_is_bounded() -> None:
    """A stream of ever new keys, also of huge ones, does not make the partitioner grow."""
    partitioner = KeyPartitioner(limit=100, longest=8)
    for number in range(1000):
        partitioner(b"%d" % number, range(8))
        assert len(partitioner.hashes) <= 100
    before = len(partitioner.hashes)
    assert partitioner(b"x" * 9, range(8)) == (murmur2(b"x" * 9) & 0x7FFFFFFF) % 8
    assert len(partitioner.hashes) == before


def test_limit_must_be_positive() -> None:
    """A cache without room is refused."""
    with pytest.raises(ValueError, match="at least 1, not 0"):
        KeyPartitioner(limit=0)


def test_records_without_key_are_spread() -> None:
    """Without a key every partition gets its share."""
    random.seed(1)
    partitioner = KeyPartitioner()
    counts = [0] * 4
    for _ in range(4000):
        counts[partitioner.any_of(range(4))] += 1
    assert all(800 < count < 1200 for count in counts)
