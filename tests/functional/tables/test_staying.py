"""What a rebalance does to partitions that stay: the client rebalances eagerly, so this is what stands in for KIP-429 (row 6)."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import faust
from tests.support.apps import committed_everything, eventually, make_app, running

PARTITIONS = 6
KEYS = [f"k{number}" for number in range(60)]


class Worker:
    """A worker that counts, and remembers when it processed what."""

    def __init__(self, url: str, id: str, directory: Path, store: str) -> None:
        self.app: faust.App = make_app(
            url,
            id,
            datadir=directory,
            store=store,
            topic_partitions=PARTITIONS,
            web_enabled=False,
            table_standby_replicas=0,
        )
        self.events = self.app.topic(f"{id}-events", key_type=str, value_type=int, internal=True)
        self.counts = self.app.Table("counts", default=int)
        self.times: dict[int, list[float]] = defaultdict(list)
        self.numbers: dict[int, list[int]] = defaultdict(list)
        self.starts = 0

        @self.app.agent(self.events)
        async def count(stream: Any) -> None:
            self.starts += 1
            async for event in stream.events():
                self.counts[event.key] += 1
                self.times[event.message.partition].append(time.monotonic())
                self.numbers[event.message.partition].append(event.value)

    @property
    def owned(self) -> set[int]:
        """Partitions of the events that this worker has."""
        return {tp.partition for tp in self.app.consumer.tasks}


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_pain_06_what_stays_goes_on(tmp_path: Path, store: str) -> None:
    """Partitions that stay keep actor and table state, recover nothing, and lose or repeat no event; they pause for a moment."""
    url, id = f"memory://{uuid.uuid4().hex}", "staying"
    first = Worker(url, id, tmp_path / "first", store)
    second = Worker(url, id, tmp_path / "second", store)
    sent = 0
    going = True

    async def feed() -> None:
        nonlocal sent
        while going:
            for key in KEYS:
                await first.events.send(key=key, value=sent)
                sent += 1
            await asyncio.sleep(0.01)

    async with running(first.app):
        feeding = asyncio.create_task(feed())
        await eventually(lambda: len(first.times) == PARTITIONS)
        held = dict(first.counts.held)
        async with running(second.app):
            await eventually(lambda: len(first.owned) == len(second.owned) == PARTITIONS // 2)
            await eventually(lambda: len(second.times) == PARTITIONS // 2)
            stayed = first.owned
            assert all(first.counts.held[number] is held[number] for number in stayed)
            await asyncio.sleep(0.2)
        await eventually(lambda: len(first.owned) == PARTITIONS)
        going = False
        await feeding
        await eventually(lambda: sum(first.counts.values()) == sent)
        await committed_everything(first.app)
    assert first.starts == 1  # the same actor all along
    for number in stayed:
        numbers = first.numbers[number]
        assert numbers == sorted(set(numbers)), "lost its order, or came twice"
        times = first.times[number]
        pause = max(later - earlier for earlier, later in itertools.pairwise(times))
        print(f"{store}: partition {number} stood still for {pause * 1000:.0f} ms at most")
        assert pause < 5.0
    processed = [n for worker in (first, second) for each in worker.numbers.values() for n in each]
    assert sorted(processed) == list(range(sent))
