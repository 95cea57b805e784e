"""One worker program for both sides: the documented API is the same, so ``import faust`` decides who runs.

Started by the runner, which tells by ``BENCH_*`` variables what to do. The settings are the defaults of each side;
the reference alone gets two more, which switch off what the other side does not have (its web server, its leader
topic). `benchmarks.bench_exactly_once` also chooses the guarantee and the commit interval, and then commits by time alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from meter import Meter, environment

import faust

STARTED = time.perf_counter()
SIDE = environment("SIDE")
WORKLOAD = environment("WORKLOAD")

meter = Meter(int(environment("COUNT")), Path(environment("RESULT")))
extra = {"web_enabled": False} | ({"topic_disable_leader": True} if SIDE == "reference" else {})
if "BENCH_GUARANTEE" in os.environ:
    extra |= {
        "processing_guarantee": environment("GUARANTEE"),
        "broker_commit_interval": float(environment("INTERVAL")),
        "broker_commit_every": 2**31,
    }
if "BENCH_BATCH" in os.environ:
    extra["producer_max_batch_size"] = int(environment("BATCH"))
app = faust.App(
    environment("ID"),
    broker=environment("BROKER"),
    datadir=environment("DATADIR"),
    topic_partitions=8,
    topic_replication_factor=1,
    store=environment("STORE"),
    **extra,
)


def value_options():
    """Return the type of the values, and what else it needs."""
    if WORKLOAD in {"raw", "forward"}:
        return {"value_type": bytes, "value_serializer": "raw"}
    if WORKLOAD == "record":

        class Event(faust.Record):
            id: int
            user: str
            n: int
            text: str

        return {"value_type": Event}
    if WORKLOAD == "struct":
        import msgspec

        return {
            "value_type": msgspec.defstruct(
                "Event", [("id", int), ("user", str), ("n", int), ("text", str)]
            )
        }
    return {}


events = app.topic(environment("TOPIC"), key_type=str, **value_options())
out = app.topic(
    environment("OUT"),
    key_type=str,
    value_serializer="raw" if WORKLOAD == "forward" else "json",
    value_type=bytes if WORKLOAD == "forward" else None,
)


async def count_raw(stream):
    """Count the events and their bytes."""
    number = total = 0
    mark = 1
    async for value in stream:
        number += 1
        total += len(value)
        if number == mark:
            mark = meter.mark(number, total)


async def sum_json(stream):
    """Decode each value to a dict and add one field up."""
    number = total = 0
    mark = 1
    async for value in stream:
        number += 1
        total += value["n"]
        if number == mark:
            mark = meter.mark(number, total)


async def sum_field(stream):
    """Read typed values and add one field up."""
    number = total = 0
    mark = 1
    async for value in stream:
        number += 1
        total += value.n
        if number == mark:
            mark = meter.mark(number, total)


async def count_in_table(stream):
    """Count by key, in a table with a changelog."""
    number = total = 0
    mark = 1
    async for key, value in stream.items():
        counts[key] += 1
        number += 1
        total += value["n"]
        if number == mark:
            mark = meter.mark(number, total)


async def count_in_windows(stream):
    """Count by key and hour, in a windowed table with a changelog."""
    number = total = 0
    mark = 1
    async for key, value in stream.items():
        counts[key] += 1
        number += 1
        total += value["n"]
        if number == mark:
            mark = meter.mark(number, total)


async def add_to_sets(stream):
    """Add every event to the set of its key."""
    number = total = 0
    mark = 1
    async for key, value in stream.items():
        counts[key].add(number)
        number += 1
        total += value["n"]
        if number == mark:
            mark = meter.mark(number, total)


async def map_and_send(stream):
    """Change one field and send the value to another topic, under the same key."""
    number = total = 0
    mark = 1
    async for key, value in stream.items():
        number += 1
        total += value["n"]
        value["n"] += 1
        await out.send(key=key, value=value)
        if number == mark:
            mark = meter.mark(number, total)


async def forward(stream):
    """Send every value on as it is: the latency of the chain."""
    async for value in stream:
        await out.send(value=value)


class Counting:
    """Counts over all actors of an agent."""

    number = total = 0
    mark = 1

    def add(self, value):
        """Take one value."""
        self.number += 1
        self.total += value["n"]
        if self.number == self.mark:
            self.mark = meter.mark(self.number, self.total)


counting = Counting()
second = {"count": 0, "total": 0}
second_done = asyncio.Event()


async def count_again(stream):
    """Be the second agent on the topic."""
    async for value in stream:
        second["count"] += 1
        second["total"] += value["n"]
        if second["count"] == meter.count:
            second_done.set()


async def count_with_others(stream):
    """Share the events with other actors."""
    async for value in stream:
        counting.add(value)


async def count_events(stream):
    """Look at events instead of values."""
    async for event in stream.events():
        counting.add(event.value)


async def count_lists(stream):
    """Take lists of a hundred."""
    number = total = 0
    mark = 1
    async for values in stream.take(100, within=1):
        if mark == 1:
            mark = meter.mark(1, 0)
        number += len(values)
        total += sum(value["n"] for value in values)
        if number == mark:
            mark = meter.mark(number, total)


async def count_grouped(stream):
    """Repartition, and count what comes back."""
    grouped = stream.group_by(lambda value: str(value["n"] % 1000), name="n", partitions=8)
    async for value in grouped:
        counting.add(value)


async def yield_all(stream):
    """Yield each value to the sinks."""
    async for value in stream:
        counting.add(value)
        yield value


async def settle() -> None:
    """When the last event is done, commit, and report."""
    await meter.done.wait()
    if WORKLOAD == "fanout":
        await second_done.wait()
    await asyncio.sleep(0.01)  # the agent asks for the next event, which acknowledges the last
    if not await app.commit(None):  # another one was under way, and may have begun before the end
        await app.commit(None)
    meter.settled(table=of_table(), second=second)


def of_table():
    """Return what the table comes to."""
    if WORKLOAD in {"table", "rocksdb"}:
        return sum(counts.values())
    if WORKLOAD == "windowed":
        return sum(counts.table.values())
    if WORKLOAD == "sets":
        return sum(map(len, counts.values()))
    return None


async def ready() -> None:
    """Report that the app is up, which includes recovery: app tasks start after it."""
    meter.report |= {
        "ready_seconds": time.perf_counter() - STARTED,
        "cpu_seconds": time.process_time(),
    }
    if WORKLOAD == "recover":
        meter.report |= {"count": len(counts), "total": sum(counts.values())}
    meter.write()


if WORKLOAD == "windowed":
    counts = app.Table("counts", default=int, partitions=8).tumbling(3600, expires=86400)
elif WORKLOAD == "sets":
    counts = app.SetTable("counts", partitions=8)
elif WORKLOAD in {"table", "rocksdb", "recover"}:
    counts = app.Table("counts", default=int, partitions=8)

JOBS = {
    "raw": count_raw,
    "json": sum_json,
    "record": sum_field,
    "struct": sum_field,
    "table": count_in_table,
    "rocksdb": count_in_table,
    "windowed": count_in_windows,
    "sets": add_to_sets,
    "recover": count_in_table,
    "map": map_and_send,
    "forward": forward,
    "idle": sum_json,
    "fanout": sum_json,
    "concurrency": count_with_others,
    "events": count_events,
    "take": count_lists,
    "group_by": count_grouped,
    "sink": yield_all,
}
OPTIONS = {"concurrency": {"concurrency": 4}, "sink": {"sink": [out]}}
# the name is in that of the repartition topic, which must be new in every run
app.agent(events, name=f"{environment('ID')}-job", **OPTIONS.get(WORKLOAD, {}))(JOBS[WORKLOAD])
if WORKLOAD == "fanout":
    app.agent(events, name="second")(count_again)
app.task(ready if WORKLOAD in {"forward", "recover", "idle"} else settle)

if __name__ == "__main__":
    faust.Worker(app, loglevel="warn").execute_from_commandline()
