"""The recovery matrix: what can have happened to a changelog, times stores, standbys and reset policies (pain row 8).

Every case has two lives. In the first one the workers recover a good changelog, so that stores on disk (and copies on
standby) have reached its end. Then the changelog is damaged, and new workers have to become ready in bounded time with
contents that somebody who reads the changelog afresh would get, or that were right before and still are; and then an event
is processed in every partition.

All combinations::

    python -m tests.functional.faults.recovery_matrix --broker local
    python -m tests.functional.faults.recovery_matrix --broker kafka
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import faust
from faust.messages import TP
from faust.transport.base import (
    AdminDriver,
    ConsumerOptions,
    ProducerDriver,
    ProducerOptions,
    TopicSpec,
    Transport,
)
from tests.functional.faults.rebalance import broker_of
from tests.support.apps import running
from tests.support.driving import open_transport, until

__all__ = ["KINDS", "Case", "all_cases", "play"]

PARTITIONS = 12
KEYS = 40
BOUND = 30.0
"""Seconds in which everybody has to be ready."""

State = dict[str, int]


class Case(NamedTuple):
    """One cell of the matrix."""

    kind: str
    store: str
    standbys: int
    reset: str

    def __str__(self) -> str:
        return f"{self.kind:9} {self.store:8} standbys={self.standbys} reset={self.reset}"


class World:
    """A changelog, the topic that the app reads, and hands to do things to them."""

    def __init__(self, url: str, case: Case) -> None:
        self.url = url
        self.case = case
        self.id = f"matrix-{uuid.uuid4().hex[:8]}"
        self.source = f"{self.id}-events"
        self.changelog = f"{self.id}-counts-changelog"
        self.tps = [TP(self.changelog, number) for number in range(PARTITIONS)]
        self.transport: Transport = open_transport(url)
        self.admin: AdminDriver = self.transport.admin(client_id="matrix")
        self.counter = 0
        self.full: dict[int, State] = {number: {} for number in range(PARTITIONS)}
        """What everything that was ever written (and not made anew) comes to."""

    async def create(self, topic: str, policy: str) -> None:
        """Create a topic."""
        config = {"cleanup.policy": policy, "retention.ms": "-1", "delete.retention.ms": "0"}
        await self.admin.create_topics(
            [TopicSpec(name=topic, partitions=PARTITIONS, config=config)]
        )

    async def producer(self, **options: Any) -> ProducerDriver:
        """Make a producer that knows the changelog."""
        producer = self.transport.producer(ProducerOptions(client_id="matrix", **options))
        await producer.start()
        await producer.load_partitions(self.changelog)
        return producer

    def write(self, producer: ProducerDriver, rounds: int, *, empty: int | None = None) -> None:
        """Write every key of every partition *rounds* times, each with a value of its own."""
        for _ in range(rounds):
            for tp in self.tps:
                if tp.partition != empty:
                    for key in range(KEYS):
                        self.counter += 1
                        self.append(producer, tp, f"k{key}", self.counter)

    def append(self, producer: ProducerDriver, tp: TP, key: str, value: int | None) -> None:
        """Write one record."""
        raw = None if value is None else b"%d" % value
        producer.append(tp.topic, tp.partition, b'"%b"' % key.encode(), raw)
        state = self.full[tp.partition]
        state.pop(key, None)
        if value is not None:
            state[key] = value

    async def fresh(self) -> dict[int, State]:
        """Return what somebody makes of the changelog who reads it now, from the beginning, uncommitted as workers do."""
        consumer = self.transport.consumer(ConsumerOptions(client_id="fresh"))
        await consumer.start()
        state: dict[int, State] = {number: {} for number in range(PARTITIONS)}
        try:
            await consumer.assign(self.tps)
            ends = await consumer.end_offsets(self.tps)
            beginnings = await consumer.beginning_offsets(self.tps)
            await consumer.seek(beginnings)
            left = {tp for tp in self.tps if ends[tp] > beginnings[tp]}
            while left:
                for batch in await consumer.take(0.2):
                    for record in batch.records:
                        assert record.key is not None
                        key = record.key.decode().strip('"')
                        state[batch.tp.partition].pop(key, None)
                        if record.value is not None:
                            state[batch.tp.partition][key] = int(record.value)
                for tp in list(left):
                    if await consumer.position(tp) >= ends[tp]:
                        left.discard(tp)
        finally:
            await consumer.close()
        return state


# -- kinds of damage: what is done to the changelog between the lives


async def _no_damage(_world: World) -> None:
    pass


async def _truncate(world: World) -> None:
    """Retention has taken everything."""
    ends = {tp: end for tp, (_, end) in (await world.admin.offsets(world.tps)).items()}
    await world.admin.delete_records(ends)


async def _compact(world: World) -> None:
    """The last offset is missing: a tombstone that compaction has removed; on Kafka a marker stands there.

    (Of a key that no store has seen. A store that is older than ``delete.retention.ms`` cannot know what was deleted.)
    """
    producer = await world.producer()
    for tp in world.tps:
        world.append(producer, tp, "brief", 1)
        world.append(producer, tp, "brief", None)
    await producer.flush()
    await producer.close()
    if world.url.startswith("kafka"):
        await _markers(world)
    else:
        await world.admin.compact(world.changelog)


async def _grow(world: World) -> None:
    """There is more to read; `_while_reading` takes some of it away meanwhile."""
    producer = await world.producer()
    world.write(producer, 40)
    await producer.flush()
    await producer.close()


async def _markers(world: World) -> None:
    """The log ends in a commit marker, an aborted record and an abort marker."""
    producer = await world.producer(transactional_id=f"{world.id}-writer")
    await producer.begin_transaction()
    world.write(producer, 1)
    await producer.commit_transaction()
    await producer.begin_transaction()
    for tp in world.tps:
        producer.append(tp.topic, tp.partition, b'"aborted"', b"1")
    await producer.flush()
    await producer.abort_transaction()
    await producer.close()


async def _recreate(world: World) -> None:
    """Deleted and made anew, with less in it than the stores have reached."""
    await _recreate_empty(world)
    producer = await world.producer()
    world.write(producer, 1)
    await producer.flush()
    await producer.close()


async def _outgrow(world: World) -> None:
    """Deleted and made anew, with more in it than the stores have reached, of fewer keys: only the topic's id tells."""
    await _recreate_empty(world)
    producer = await world.producer()
    for tp in world.tps:
        for number in range(KEYS * 5):
            world.append(producer, tp, f"k{number % 7}", number)
    await producer.flush()
    await producer.close()


async def _recreate_empty(world: World) -> None:
    """Deleted and made anew: whatever offset a store has reached lies beyond the end."""
    await world.admin.delete_topics([world.changelog])

    async def gone() -> bool:
        return (await world.admin.describe_topics([world.changelog]))[world.changelog] is None

    await until(gone, "the topic was gone")
    await asyncio.sleep(0.5)
    await world.create(world.changelog, "compact,delete")
    world.full = {number: {} for number in range(PARTITIONS)}


DAMAGE: Mapping[str, Callable[[World], Awaitable[None]]] = {
    "empty": _truncate,
    "compacted": _compact,
    "truncated": _grow,
    "markers": _markers,
    "recreated": _recreate,
    "outgrown": _outgrow,
    "one-empty": _no_damage,
    "beyond": _recreate_empty,
}
KINDS = tuple(DAMAGE)


async def _while_reading(world: World, apps: Sequence[faust.App]) -> None:
    """Take away what the workers are reading: most of what was written, and then some more."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if any(app.tables.recovery and app.tables.recovery.records for app in apps):
            break
        await asyncio.sleep(0)
    for share in (0.6, 0.9):
        bounds = await world.admin.offsets(world.tps)
        await world.admin.delete_records({tp: int(end * share) for tp, (_, end) in bounds.items()})


# -- a case


def _app(world: World, directory: Path, number: int) -> tuple[faust.App, Any]:
    case = world.case
    app = faust.App(
        world.id,
        broker=world.url,
        store=f"{case.store}://",
        datadir=directory / f"w{number}",
        canonical_url=f"http://w{number}:6066",
        table_standby_replicas=case.standbys,
        consumer_auto_offset_reset=case.reset,
        recovery_consistency_check=False,
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        web_enabled=False,
        broker_commit_interval=0.1,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=0.5,
        broker_rebalance_timeout=6.0,
        broker_request_timeout=20.0,
    )
    events = app.topic(world.source, key_type=str, value_type=int)
    counts = app.Table("counts", default=int)

    @app.agent(events)
    async def count(stream: Any) -> None:
        async for _ in stream:
            counts["events"] += 1

    return app, counts


def _held(tables: Sequence[Any]) -> dict[int, State]:
    """Return what the owners hold, by partition."""
    return {
        partition.tp.partition: dict(partition.items())
        for table in tables
        for partition in table.complete()
        if partition.generation is not None
    }


async def _live(
    world: World, directory: Path, check: Callable[[dict[int, State]], None], *, cut: bool
) -> float:
    """Live once: start the workers, wait until they are ready, check, process events; return the seconds to be ready."""
    workers = [_app(world, directory, number) for number in range(1 + world.case.standbys)]
    apps, tables = [app for app, _ in workers], [table for _, table in workers]
    async with AsyncExitStack() as stack:
        started = time.monotonic()
        cutting = asyncio.create_task(_while_reading(world, apps)) if cut else None
        await asyncio.gather(*(stack.enter_async_context(running(app)) for app in apps))
        if cutting is not None:
            await cutting

        def ready() -> bool:
            for app in apps:
                if app.crash_reason is not None:
                    raise app.crash_reason
            return (
                not any(app.rebalancing or app.in_recovery for app in apps)
                and all(app.tables.standbys_ready for app in apps)
                and len(_held(tables)) == PARTITIONS
            )

        await until(ready, f"{world.case} is ready", BOUND)
        seconds = time.monotonic() - started
        check(_held(tables))
        if world.case.standbys:
            right = [await world.fresh(), world.full]
            await until(ready, "the copies are ready", BOUND)  # one may have been read again
            _check_copies(tables, right)
        await _process(world, apps[0], tables)
    return seconds


def _check_copies(tables: Sequence[Any], right: Sequence[Mapping[int, State]]) -> None:
    """Every partition has a copy, and it has what the owner has, what a fresh reader gets, or what was ever written.

    They differ when the log has lost what one of them had read before.
    """
    owned = _plain(_held(tables))
    copies = {
        number: dict(partition.items())
        for table in tables
        for number, partition in table.held.items()
        if partition.standby
    }
    assert copies.keys() == owned.keys(), f"copies of {sorted(copies)}"
    for number, state in _plain(copies).items():
        states = [owned[number], *(_plain(each)[number] for each in right)]
        assert state in states, f"the copy of partition {number} differs"


async def _process(world: World, app: faust.App, tables: Sequence[Any]) -> None:
    """Process one event in every partition."""
    before = {number: state.get("events", 0) for number, state in _held(tables).items()}
    for number in range(PARTITIONS):
        await app.send(world.source, value=1, partition=number)

    def processed() -> bool:
        now = _held(tables)
        return all(now.get(n, {}).get("events", 0) == before[n] + 1 for n in before)

    await until(processed, "an event of every partition was processed", BOUND)


async def play(url: str, case: Case, directory: Path) -> float:
    """Play a case.

    Returns:
        Seconds from the second start until everybody was ready.

    Raises:
        AssertionError: The contents are wrong, or it took too long.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    world = World(url, case)
    await world.admin.start()
    try:
        await world.create(world.source, "delete")
        await world.create(
            world.changelog, "compact" if case.kind == "compacted" else "compact,delete"
        )
        producer = await world.producer()
        world.write(producer, 3, empty=5 if case.kind == "one-empty" else None)
        await producer.flush()
        await producer.close()

        def as_written(held: dict[int, State]) -> None:
            assert _plain(held) == world.full

        await _live(world, directory, as_written, cut=False)
        before = _plain(await world.fresh())
        await DAMAGE[case.kind](world)

        held_after: dict[int, State] = {}
        seconds = await _live(world, directory, held_after.update, cut=case.kind == "truncated")
        fresh = _plain(await world.fresh())
        for number, state in _plain(held_after).items():
            right = [fresh[number], world.full[number]]
            if case.kind == "empty" and case.store == "rocksdb":
                right.append(before[number])
            assert state in right, (
                f"{case}: partition {number} holds {len(state)} keys that neither a fresh reader "
                f"({len(fresh[number])}) nor the history ({len(world.full[number])}) gives"
            )
        if case.kind == "empty" and case.store == "memory":
            assert not any(_plain(held_after).values())
        return seconds
    finally:
        await world.admin.delete_topics([world.source, world.changelog])
        await world.admin.close()


def _plain(states: Mapping[int, State]) -> dict[int, State]:
    """Leave out what the events of the test have counted."""
    return {
        number: {key: value for key, value in state.items() if key != "events"}
        for number, state in states.items()
    }


def all_cases() -> list[Case]:
    """Return the whole matrix."""
    return [
        Case(*cell)
        for cell in itertools.product(KINDS, ("memory", "rocksdb"), (0, 1), ("earliest", "latest"))
    ]


async def _main(options: argparse.Namespace) -> int:
    failed = 0
    with tempfile.TemporaryDirectory(prefix="faust-matrix-") as scratch:
        async with broker_of(options.broker, Path(scratch)) as url:
            for number, case in enumerate(all_cases()):
                if options.kind and case.kind != options.kind:
                    continue
                try:
                    seconds = await play(url, case, Path(scratch) / str(number))
                    print(f"{case}: ready in {seconds:.1f} s", flush=True)
                except Exception as exc:
                    failed += 1
                    print(f"{case}: FAILED: {type(exc).__name__}: {exc}", flush=True)
    print(f"{options.broker}://: {failed} failed")
    return failed


def main() -> None:
    """Play all combinations; end with 1 when one fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.faults.recovery_matrix", description=main.__doc__
    )
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--kind", choices=KINDS, help="only this kind of damage")
    raise SystemExit(1 if asyncio.run(_main(parser.parse_args())) else 0)


if __name__ == "__main__":
    main()
