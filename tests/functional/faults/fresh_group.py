"""A worker with a large changelog and waiting events: in full size what ``test_pain_09_*`` in `test_tables` shows in small.

Every waiting event has to be processed with the whole table in sight, and no offset may be committed while the table recovers::

    python -m tests.functional.faults.fresh_group --broker kafka --keys 1000000 --events 1000

The repetitions of pain row 9, each with other numbers, a store of its own choice (also one that is slow), and another moment::

    python -m tests.functional.faults.fresh_group --times 200 --keys 20000
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import faust
from faust.messages import TP
from faust.stores.base import Change
from faust.stores.memory import MemoryPartition
from faust.stores.memory import Store as MemoryStore
from faust.transport.base import AdminDriver, ProducerOptions, TopicSpec, Transport
from tests.functional.faults.rebalance import broker_of
from tests.support.apps import committed_everything, make_app, running
from tests.support.driving import open_transport, until

__all__ = ["STORES", "SlowStore", "play_fresh_group", "play_random_group"]

PARTITIONS = 4
STORES = ("memory://", "rocksdb://", "tests.functional.faults.fresh_group.SlowStore://")


class SlowPartition(MemoryPartition):
    """Takes its time for each write, and holds up everybody meanwhile."""

    def write(
        self, changes: Iterable[Change], next_offset: int | None, notes: Iterable[Change] = ()
    ) -> None:
        """Write."""
        time.sleep(random.uniform(0.001, 0.02))
        super().write(changes, next_offset, notes)


class SlowStore(MemoryStore):
    """A store of memory that is as slow as a bad disk."""

    async def open(self, partition: int) -> SlowPartition:
        """Open a partition."""
        await asyncio.sleep(random.uniform(0.0, 0.1))
        return SlowPartition()


async def _fill(transport: Transport, topic: str, count: int, value: bytes) -> None:
    producer = transport.producer(ProducerOptions(client_id="fill", max_batch_size=256 * 1024))
    await producer.start()
    await producer.load_partitions(topic)
    for number in range(count):
        producer.append(topic, number % PARTITIONS, b'"key-%d"' % number, value)
        if producer.full:
            await producer.wait_room()
    await producer.flush()
    await producer.close()


def _app(url: str, id: str, directory: Path, store: str) -> tuple[faust.App, list[int]]:
    app = make_app(url, id, datadir=directory, store=store, web_enabled=False)
    table: Any = app.Table("totals", default=int)
    seen: list[int] = []

    @app.agent(app.topic(f"{id}-events", key_type=bytes, value_type=int))
    async def look(stream: Any) -> None:
        length: dict[int, int] = {}
        async for event in stream.events():
            partition = event.message.partition
            if partition not in length:
                length[partition] = len(table)
            seen.append(length[partition])

    return app, seen


async def _watch(admin: AdminDriver, app: faust.App, commits: list[dict[TP, int]]) -> None:
    """Note what the group has committed, as long as the table recovers."""
    while True:
        offsets = dict((await admin.describe_group(app.conf.id)).offsets)
        if not app.in_recovery and app.tables.actives_ready:
            return
        commits.append(offsets)
        await asyncio.sleep(0.02)


async def play_fresh_group(
    url: str, directory: Path, *, store: str, known: bool, keys: int, events: int
) -> str:
    """Play it once; return a sentence with figures.

    Raises:
        AssertionError: An event was not processed, or saw too little, or something was committed early.
    """
    id = f"fresh-{uuid.uuid4().hex[:8]}"
    transport = open_transport(url)
    admin = transport.admin(client_id="fresh")
    await admin.start()
    source, log = f"{id}-events", f"{id}-totals-changelog"
    compact = {"cleanup.policy": "compact"}
    await admin.create_topics(
        [
            TopicSpec(name=source, partitions=PARTITIONS),
            TopicSpec(name=log, partitions=PARTITIONS, config=compact),
        ]
    )
    if known:
        await _fill(transport, source, PARTITIONS, b"0")
        async with running(_app(url, id, directory / "before", store)[0]) as app:
            await committed_everything(app)
    start = dict((await admin.describe_group(id)).offsets) if known else {}
    await _fill(transport, log, keys, b"1")
    await _fill(transport, source, events, b"1")

    app, seen = _app(url, id, directory / "after", store)
    commits: list[dict[TP, int]] = []
    began = time.monotonic()
    watching = asyncio.create_task(_watch(admin, app, commits))
    async with running(app):
        await watching
        ready = time.monotonic() - began
        await until(lambda: len(seen) >= events, "every waiting event was processed", 60.0)
        await committed_everything(app)
    await admin.close()
    early = [offsets for offsets in commits if offsets != start]
    assert not early, f"committed while the table recovered: {early[0]}"
    assert set(seen) == {keys // PARTITIONS}, f"events saw {sorted(set(seen))} keys"
    assert len(seen) == events, f"{len(seen)} of {events} events"
    return (
        f"{store} {'known' if known else 'fresh'} group: {keys:,} keys ready in {ready:.1f} s, {len(seen):,} of "
        f"{events:,} waiting events processed, {len(commits)} looks at the group before: nothing committed"
    )


async def play_random_group(url: str, directory: Path, seed: int, *, keys: int) -> str:
    """Play it once with numbers up to *keys* and a store as *seed* says."""
    rng = random.Random(seed)
    return await play_fresh_group(
        url,
        directory,
        store=rng.choice(STORES),
        known=rng.random() < 0.5,
        keys=rng.randint(0, keys // PARTITIONS) * PARTITIONS,
        events=rng.randint(PARTITIONS, 2000),
    )


async def _main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="faust-fresh-") as scratch:
        async with broker_of(options.broker, Path(scratch)) as url:
            for seed in range(options.times):
                directory = Path(scratch) / f"random-{seed}"
                await asyncio.to_thread(directory.mkdir)
                told = await play_random_group(url, directory, seed, keys=options.keys)
                print(f"{seed}: {options.broker}:// {told}", flush=True)
            if options.times:
                return
            for number, (store, known) in enumerate(
                [(s, k) for s in ("memory://", "rocksdb://") for k in (False, True)]
            ):
                directory = Path(scratch) / str(number)
                await asyncio.to_thread(directory.mkdir)
                told = await play_fresh_group(
                    url,
                    directory,
                    store=store,
                    known=known,
                    keys=options.keys,
                    events=options.events,
                )
                print(f"{options.broker}:// {told}", flush=True)


def main() -> None:
    """Play it with both stores, in a fresh group and in a known one; an error ends it with 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.faults.fresh_group", description=main.__doc__
    )
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--times", type=int, default=0, help="random repetitions instead")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
