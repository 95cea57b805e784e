"""Ten million keys in RocksDB: what a table of them takes in memory, and how long a read takes.

    python -m benchmarks.bench_rocksdb_keys                       # 10 million keys, a quarter of a million reads
    python -m benchmarks.bench_rocksdb_keys --keys 100000 --reads 10000

The partitions of a table are filled as recovery fills them, from slices of changelog records, and read as an agent reads them, key
by key in random order, decoded. No broker takes part, so memory and times are the table's and its store's own. Resident memory is
looked at after every slice; it has to stay below the configured cache plus 300 MB. Every value that is read is checked, and in the
end all keys are counted and their values added up by a scan.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.changelogs import Entry, World

from faust.stores.rocksdb import CACHE
from faust.tables.partition import TablePartition

__all__ = ["Figures", "measure"]

PARTITIONS = 4
SLICE = 1000
ALLOWED = 300 * 10**6
"""Bytes of resident memory above the cache."""
WANTED = 0.001
"""Seconds that 99 of 100 reads may take at most."""


@dataclass
class Figures:
    """What was measured."""

    keys: int
    reads: int
    cache: int
    """Bytes of the configured cache."""
    fill: float
    """Seconds."""
    peak: int
    """Resident memory at most, in bytes."""
    p50: float
    """Seconds of a read."""
    p99: float
    found: int
    """Keys in the end."""
    total: int
    """What their values add up to."""

    def faults(self) -> list[str]:
        """Say which promises were broken."""
        faults = []
        if self.peak > self.cache + ALLOWED:
            faults.append(f"memory: {self.peak:,} bytes")
        if self.p99 >= WANTED:
            faults.append(f"p99 of a read: {self.p99 * 1000:.2f} ms")
        if (self.found, self.total) != (self.keys, sum(map(value_of, range(self.keys)))):
            faults.append(f"contents: {self.found:,} keys, sum {self.total:,}")
        return faults

    def __str__(self) -> str:
        head = (
            f"{self.keys:,} keys in {PARTITIONS} databases: filled at {self.keys / self.fill:,.0f} records/s; resident at most "
            f"{self.peak / 2**20:,.0f} MiB with a cache of {self.cache / 2**20:,.0f} MiB (allowed: "
            f"{(self.cache + ALLOWED) / 2**20:,.0f}); {self.reads:,} random reads: p50 {self.p50 * 1e6:.0f} us, "
            f"p99 {self.p99 * 1e6:.0f} us; "
            f"{self.found:,} keys found by a scan"
        )
        return "\n".join([head, *(f"  FAULT: {fault}" for fault in self.faults())])


def value_of(number: int) -> int:
    """Return the value of a key."""
    return number * 7919 % 1_000_003


async def measure(directory: Path, *, keys: int, reads: int, seed: int = 1) -> Figures:
    """Fill a table in *directory* with *keys*, and read *reads* of them."""
    app = World().app(datadir=directory, store="rocksdb://")
    app.conf.create_directories()
    table = app.Table("keys", default=int)
    partitions = [await table.open_partition(number) for number in range(PARTITIONS)]
    try:
        began = time.monotonic()
        peak = max(_fill(partition, keys) for partition in partitions)
        took = time.monotonic() - began
        times, after = _read(partitions, keys, reads, random.Random(seed))
        found = total = 0
        for partition in partitions:
            for _, raw in partition.store.items():  # noqa: PERF102 - a store is no dict
                found += 1
                total += int(raw)
        peak = max(peak, after, _resident())
    finally:
        await table.close()
    return Figures(
        keys,
        reads,
        CACHE.capacity,
        took,
        peak,
        times[len(times) // 2],
        times[len(times) * 99 // 100],
        found,
        total,
    )


def _fill(partition: TablePartition, keys: int) -> int:
    """Recover the keys of a partition, one of `PARTITIONS`; return resident memory at most."""
    peak = offset = 0
    numbers = range(partition.tp.partition, keys, PARTITIONS)
    for at in range(0, len(numbers), SLICE):
        records = [
            Entry(offset + n, _raw_key(number), b"%d" % value_of(number))
            for n, number in enumerate(numbers[at : at + SLICE])
        ]
        offset += len(records)
        partition.apply(records, offset)
        peak = max(peak, _resident())
    partition.write_out()
    return peak


def _read(
    partitions: list[TablePartition], keys: int, reads: int, chance: random.Random
) -> tuple[list[float], int]:
    """Read keys; return the times, sorted, and resident memory at most."""
    times: list[float] = []
    peak = 0
    clock = time.perf_counter
    for count in range(reads):
        number = chance.randrange(keys)
        partition, key = partitions[number % PARTITIONS], _key(number)
        began = clock()
        value: Any = partition.find(key)
        times.append(clock() - began)
        if value != value_of(number):
            raise AssertionError(f"key {key!r} has {value!r}, expected {value_of(number)}")
        if not count % SLICE:
            peak = max(peak, _resident())
    return sorted(times), peak


def _key(number: int) -> str:
    return f"customer-{number:012d}"


def _raw_key(number: int) -> bytes:
    return b'"customer-%012d"' % number


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def main() -> None:
    """Measure; end with 1 when memory, time or contents are not as promised."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_rocksdb_keys", description=main.__doc__
    )
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--reads", type=int, default=250_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faust-rocksdb-") as directory:
        figures = asyncio.run(measure(Path(directory), keys=options.keys, reads=options.reads))
    print(figures)
    raise SystemExit(1 if figures.faults() else 0)


if __name__ == "__main__":
    main()
