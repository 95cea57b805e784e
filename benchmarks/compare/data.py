"""The events of the benchmark: 100 bytes of JSON with 4 fields, keys of 8 bytes, 8 partitions."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["KEYS", "PARTITIONS", "TEMPLATE_SIZE", "events", "total_of"]

PARTITIONS = 8
KEYS = 10_000
"""Different keys; a key stays in one partition."""
TEMPLATE_SIZE = 100


def events(count: int, keys: int = KEYS) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield partition, key and value of *count* events; neighbours lie in different partitions."""
    for number in range(count):
        key = number % keys
        value = b'{"id":%d,"user":"u%07d","n":%d,"text":"' % (number, key, number % 1000)
        padding = TEMPLATE_SIZE - len(value) - 2
        yield key % PARTITIONS, b"%08d" % key, value + b"x" * padding + b'"}'


def total_of(workload: str, count: int) -> int:
    """Return the sum that a worker must arrive at: of bytes for ``raw``, else of the field ``n``."""
    if workload == "raw":
        return count * TEMPLATE_SIZE
    whole, rest = divmod(count, 1000)
    return whole * (999 * 1000 // 2) + rest * (rest - 1) // 2
