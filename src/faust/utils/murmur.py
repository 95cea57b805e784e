"""Which partition a key lives on: murmur2 as Kafka's Java client computes it.

Every program that writes to a topic must agree on this function, else a key is found in two places.
It is the 32-bit MurmurHash2 of Austin Appleby with Kafka's seed
(``org.apache.kafka.common.utils.Utils.murmur2``); the sign bit of the result is dropped before the
remainder is taken (``Utils.toPositive``).

In Python a hash costs about a microsecond, which is more than the rest of a send. Streams see the
same keys again and again, so the hash (not the partition: that would have to be forgotten when a
topic grows) is kept in a bounded dictionary whose hit costs one look-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import choice
from struct import unpack_from

__all__ = ["KeyPartitioner", "murmur2"]

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash of *data*, unsigned (Java shows the same bits signed)."""
    length = len(data)
    whole = length & ~3
    h = _SEED ^ (length & _MASK)
    for k in unpack_from(f"<{length >> 2}I", data):
        k = (k * _M) & _MASK  # noqa: PLW2901 - the algorithm mixes the block in place
        k = ((k ^ (k >> 24)) * _M) & _MASK  # noqa: PLW2901
        h = ((h * _M) & _MASK) ^ k
    if whole != length:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


class _PositiveHashes(dict[bytes, int]):
    """Positive hashes by key; forgets everything when it is full, and so stays bounded."""

    def __init__(self, limit: int, longest: int) -> None:
        super().__init__()
        self.limit = limit
        self.longest = longest

    def __missing__(self, key: bytes) -> int:
        positive = murmur2(key) & 0x7FFFFFFF
        if len(key) <= self.longest:
            if len(self) >= self.limit:
                self.clear()
            self[key] = positive
        return positive


class KeyPartitioner:
    """The default partitioner: murmur2 of the serialized key, random without one.

    Arguments:
        limit: Keys whose hash is remembered, at most.
        longest: Length in bytes above which a key is not remembered, so that memory stays below
            ``limit * longest``.

    Attributes:
        hashes: The positive hash of any key, which is computed when it is not remembered.
    """

    def __init__(self, *, limit: int = 32768, longest: int = 256) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        self.hashes: Mapping[bytes, int] = _PositiveHashes(limit, longest)

    def __call__(self, key: bytes, partitions: Sequence[int]) -> int:
        """Choose among all *partitions* of a topic (sorted, not empty) where *key* lives."""
        return partitions[self.hashes[key] % len(partitions)]

    def any_of(self, partitions: Sequence[int]) -> int:
        """Choose one of *partitions* at random: where a record without a key goes."""
        return choice(partitions)
