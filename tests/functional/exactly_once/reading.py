"""What a reader sees that reads committed: the judge of every test here."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import NamedTuple

from faust.messages import TP
from faust.transport.base import ConsumerDriver
from tests.support.driving import fast_options, open_transport

__all__ = ["Seen", "read_all", "read_until"]


class Seen(NamedTuple):
    """One record."""

    tp: TP
    offset: int
    key: bytes | None
    value: bytes | None


async def read_all(url: str, topic: str, *, committed: bool = True) -> list[Seen]:
    """Read *topic* up to what is its end for such a reader when this is called."""
    options = replace(fast_options(), read_committed=committed)
    consumer = open_transport(url).consumer(options)
    await consumer.start()
    try:
        return await _read(consumer, topic)
    finally:
        await consumer.close()


async def _read(consumer: ConsumerDriver, topic: str) -> list[Seen]:
    numbers = await consumer.partitions_for(topic)
    tps = [TP(topic, number) for number in sorted(numbers or ())]
    await consumer.assign(tps)
    ends = await consumer.end_offsets(tps)
    seen: list[Seen] = []
    while True:
        for batch in await consumer.take(0.2):
            seen += [Seen(batch.tp, r.offset, r.key, r.value) for r in batch.records]
        if all([await consumer.position(tp) >= end for tp, end in ends.items()]):
            return seen


async def read_until(url: str, topic: str, count: int, timeout: float = 30.0) -> list[Seen]:
    """Read *topic* until a committed reader sees *count* records at least."""
    deadline = time.monotonic() + timeout
    while True:
        seen = await read_all(url, topic)
        if len(seen) >= count:
            return seen
        assert time.monotonic() < deadline, f"{topic}: {len(seen)} of {count} after {timeout} s"
        await asyncio.sleep(0.05)
