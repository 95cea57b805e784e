"""Where the producer service puts records without a key."""

from __future__ import annotations

import asyncio
from collections import Counter

import faust
from faust.transport.producer import RUN, Producer


async def test_records_without_a_key_share_a_partition_for_a_run() -> None:
    """Keyless records of one turn go to one partition in runs of at most `RUN`, over turns to all (transport.md 7)."""
    app = faust.App("runs", broker="memory://")
    producer = app.producer
    assert isinstance(producer, Producer)
    async with producer:
        chosen = [producer.partition_for("t", None, range(8)) for _ in range(RUN)]
        assert len(set(chosen)) == 1
        seen: Counter[int] = Counter()
        for _ in range(1000):
            await asyncio.sleep(0)
            seen[producer.partition_for("t", None, range(8))] += 1
    assert set(seen) == set(range(8))
    assert max(seen.values()) < 4 * min(seen.values())
