"""What a table costs: nanoseconds per operation, and records per second in recovery.

    python -m benchmarks.bench_table

No broker: the table is driven by hand, one event in hand, as an agent drives it; the flush appends to
nothing, and recovery is fed with slices of 200 records. So these are the table's own costs. Figures are CPU time, the
best of several repetitions; the plain dict beside them is measured in the same process. Every result is checked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tests.support.changelogs import Entry, World, assign, event_of

from faust.messages import TP, Slice
from faust.tables.partition import PartitionFlush
from faust.tables.recovery import Recovery
from faust.tables.table import Table

LOG = TP("shop-totals-changelog", 0)
SOURCE = TP("orders", 0)
KEYS = 1_000
ROUNDS = 100
REPEAT = 7
RECOVERED = 1_000_000


def best(work: Callable[[], None], operations: int) -> float:
    """Return nanoseconds per operation, best of several repetitions."""
    times = []
    for _ in range(REPEAT):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times) / operations * 1e9


def row(what: str, ns: float, beside: float | None = None) -> None:
    extra = (
        "" if beside is None else f"   plain dict {beside:6.0f} ns   above it {ns - beside:6.0f} ns"
    )
    print(f"{what:<44}{ns:8.0f} ns{extra}")


def operations(keys: list[str], target: Any) -> dict[str, Callable[[], None]]:
    """Return what an agent does with a table, in loops over the keys."""

    def get() -> None:
        for _ in range(ROUNDS):
            for key in keys:
                target[key]

    def set_() -> None:
        for _ in range(ROUNDS):
            for key in keys:
                target[key] = 1

    def add() -> None:
        for _ in range(ROUNDS):
            for key in keys:
                target[key] += 1

    def contains() -> None:
        for _ in range(ROUNDS):
            for key in keys:
                key in target  # noqa: B015

    return {"get": get, "set": set_, "+= 1 (get and set)": add, "in": contains}


async def bench_operations(table: Table[Any, Any], world: World) -> None:
    keys = [f"word-{number}" for number in range(KEYS)]
    plain: dict[str, int] = dict.fromkeys(keys, 0)
    with event_of(world.tasks[SOURCE]):
        table.update(plain)
        ours, theirs = operations(keys, table), operations(keys, plain)
        for name, work in ours.items():
            row(name, best(work, KEYS * ROUNDS), best(theirs[name], KEYS * ROUNDS))
        assert table.copy() == plain
    assert sum(plain.values()) == KEYS * (1 + ROUNDS * REPEAT)


async def bench_flush(table: Table[Any, Any], world: World) -> None:
    count = 100_000
    await table.app.tables.flush()
    partition = table.held[0]
    sent = 0

    def append(_topic: str, _number: int, _key: bytes | None, value: bytes | None) -> Any:
        nonlocal sent
        sent += 1
        assert value is not None

    writes, flushes = [], []
    for turn in range(4):
        with event_of(world.tasks[SOURCE]):
            began = time.process_time()
            for number in range(count):
                table[number] = turn
            writes.append(time.process_time() - began)
        began = time.process_time()
        flush = PartitionFlush(partition)
        while flush.append_some(append, 1000):
            pass
        flushes.append(time.process_time() - began)
        await flush.settle()
        assert (sent, partition.dirty) == ((turn + 1) * count, {})
    row("first write of a key (it is encoded)", writes[0] / count * 1e9)
    row("flush, per changed key, without the producer", min(flushes) / count * 1e9)


async def bench_recovery(world: World) -> None:
    records = [Entry(n, b'"user-%d"' % n, b"%d" % n) for n in range(RECOVERED)]
    slices = [
        Slice(LOG, 1, records[at : at + 200], min(at + 200, RECOVERED))
        for at in range(0, RECOVERED, 200)
    ]
    world.log(LOG).entries, world.log(LOG).end = records, RECOVERED
    rates = []
    for _ in range(3):
        app = world.app()
        table = app.Table("totals")
        app.tables.counts.update({"orders": 1, LOG.topic: 1})
        partition = await table.open_partition(0)
        run = Recovery(
            {LOG: partition}, numbers=frozenset(), reader=app.consumer, generation=1, on_ready=print
        )
        app.consumer_driver.give([LOG])
        await run._begin([LOG.topic])
        began = time.process_time()
        for batch in slices:
            run.take(batch)
        rates.append(RECOVERED / (time.process_time() - began))
        partition.write_out()
        assert len(partition) == RECOVERED
        assert partition.find("user-999999") == 999_999
    print(f"{'recovery, memory store':<44}{max(rates):12,.0f} records/s")


async def bench_windows(world: World) -> None:
    """A million open windows: what a write costs, and how fast they close."""
    app = world.app()
    hits = app.Table("totals", default=int).tumbling(10, expires=60)
    app.tables.counts.update({"orders": 1, LOG.topic: 1})
    await assign(app, SOURCE, LOG)
    await app.tables.on_start()
    assert app.tables._flusher is not None
    app.tables._flusher.cancel()
    hits.table.max_dirty = 10**9  # nobody flushes
    keys = [f"word-{number}" for number in range(KEYS)]
    with event_of(world.tasks[SOURCE], at=12.0):

        def add() -> None:
            for _ in range(ROUNDS):
                for key in keys:
                    hits[key] += 1

        row("windowed += 1", best(add, KEYS * ROUNDS))
    windows = 100
    for window in range(windows):
        with event_of(world.tasks[SOURCE], at=10.0 * (window % 6)):
            for number in range(10_000):
                hits[window, number] += 1
    partition = hits.table.held[0]
    open_ones = len(partition.expiry)
    assert open_ones == windows * 10_000 + KEYS
    with event_of(world.tasks[SOURCE], at=1e6):
        hits["last"] += 1
    assert app.tables._cleaner is not None
    began = time.process_time()
    await app.tables._cleaner.clean(0.0)
    took = time.process_time() - began
    assert len(hits.table) == 1
    print(f"{f'windows closed, of {open_ones:,}':<44}{open_ones / took:12,.0f} windows/s")
    await app.consumer.stop()
    await app.tables.on_stop()


async def bench_sets(world: World) -> None:
    """What adding to sets costs."""
    app = world.app()
    members = app.SetTable("totals")
    app.tables.counts.update({"orders": 1, LOG.topic: 1})
    await assign(app, SOURCE, LOG)
    count = 200_000
    with event_of(world.tasks[SOURCE]):
        began = time.process_time()
        for number in range(count):
            members[number % 100].add(number)
        took = time.process_time() - began
        row("SetTable.add of a new member", took / count * 1e9)
        row("SetTable.add of a member", best(lambda: _add_again(members), 100_000))
    assert sum(map(len, members.values())) == count
    await app.consumer.stop()
    await app.tables.on_stop()


def _add_again(members: Any) -> None:
    for number in range(100_000):
        members[number % 100].add(number)


async def main() -> None:
    """Print the table."""
    world = World()
    world.make("orders", 1)
    world.make(LOG.topic, 1)
    app = world.app()
    table = app.Table("totals", default=int)
    await assign(app, SOURCE, LOG)
    await bench_operations(table, world)
    await bench_flush(table, world)
    await app.consumer.stop()
    fresh = World()
    fresh.make(LOG.topic, 1)
    await bench_recovery(fresh)
    for bench in (bench_windows, bench_sets):
        fresh = World()
        fresh.make("orders", 1)
        fresh.make(LOG.topic, 1)
        await bench(fresh)


if __name__ == "__main__":
    asyncio.run(main())
