"""What exactly-once processing costs: at-least-once and exactly-once workers side by side, on a real Kafka.

``python -m benchmarks.bench_exactly_once [--events 500000] [--rounds 3] [--broker kafka|local]``

Two workloads, eight partitions, JSON values of about 110 bytes: *pipe* reads, changes a field and sends; *table* counts by key in a
table in memory. Each worker is a process of its own and runs from its first event until all offsets are committed; the
rate is events over that time. Guarantees and commit intervals are interleaved within a round, and the ratio is that of
neighbours in time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.driving import open_transport
from tests.support.kafka import KafkaCluster

import faust
from faust.transport.base import ProducerOptions, TopicSpec

PARTITIONS = 8
USERS = 10_000
INTERVALS = (0.1, 1.0)
WORKLOADS = ("pipe", "table")
GUARANTEES = ("at_least_once", "exactly_once")


# -- the worker


def worker_app() -> tuple[faust.App, Any]:
    """Make the app that the environment describes."""
    count = int(os.environ["BENCH_COUNT"])
    topic, workload = os.environ["BENCH_TOPIC"], os.environ["BENCH_WORKLOAD"]
    app = faust.App(
        f"bench-{uuid.uuid4().hex[:12]}",
        broker=os.environ["BENCH_BROKER"],
        datadir=os.environ["BENCH_DATADIR"],
        processing_guarantee=os.environ["BENCH_GUARANTEE"],
        broker_commit_interval=float(os.environ["BENCH_INTERVAL"]),
        broker_commit_every=2**31,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
    )
    source = app.topic(topic, key_type=str, value_type=None, value_serializer="json")
    target = app.topic(f"{topic}-out-{uuid.uuid4().hex[:8]}", key_type=str, value_serializer="json")
    counts = app.Table("counts", default=int) if workload == "table" else None
    state: dict[str, float] = {"first": 0.0, "seen": 0}

    @app.agent(source)
    async def work(stream: Any) -> None:
        state["first"] = 0.0
        async for value in stream:
            state["first"] = time.perf_counter()
            await one(value)
            break
        if counts is None:
            async for value in stream:
                value["n"] += 1
                await target.send(key=value["user"], value=value)
        else:
            async for value in stream:
                counts[value["user"]] += 1

    async def one(value: Any) -> None:
        if counts is None:
            await target.send(key=value["user"], value=value)
        else:
            counts[value["user"]] += 1

    async def until_done() -> None:
        while True:
            await asyncio.sleep(0.01)
            tasks = app.consumer.tasks.values()
            if sum(task.committed or 0 for task in tasks) >= count:
                return

    async def run() -> None:
        if counts is None:
            await target.declare()
        await app.start()
        await until_done()
        elapsed = time.perf_counter() - state["first"]
        aborted = getattr(app.consumer, "aborted", 0)
        await app.stop()
        sys.stdout.write(json.dumps({"elapsed": elapsed, "aborted": aborted}) + "\n")

    return app, run


# -- the runner


async def fill(url: str, topic: str, count: int) -> None:
    """Write *count* events."""
    transport = open_transport(url)
    admin = transport.admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name=topic, partitions=PARTITIONS)])
    await admin.close()
    producer = transport.producer(ProducerOptions(linger=0.01, max_batch_size=65536))
    await producer.start()
    await producer.load_partitions(topic)
    text = "x" * 60
    for number in range(count):
        user = f"user-{number * 7919 % USERS}"
        value = f'{{"id": {number}, "user": "{user}", "n": {number % 10}, "text": "{text}"}}'
        producer.append(topic, number % PARTITIONS, user.encode(), value.encode())
        if producer.full:
            await producer.wait_room()
        elif number % 2000 == 0:
            await asyncio.sleep(0)
    await producer.flush()
    await producer.close()


def measure(
    url: str, topic: str, count: int, workload: str, guarantee: str, interval: float
) -> float:
    """Run one worker; return its rate (events/s)."""
    with tempfile.TemporaryDirectory() as datadir:
        variables = {
            "BENCH_COUNT": str(count),
            "BENCH_TOPIC": topic,
            "BENCH_WORKLOAD": workload,
            "BENCH_GUARANTEE": guarantee,
            "BENCH_INTERVAL": str(interval),
            "BENCH_BROKER": url,
            "BENCH_DATADIR": datadir,
        }
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, "--worker"],
            env={**os.environ, **variables},
            cwd=Path(__file__).resolve().parents[1],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=300,
        )
    result = json.loads(done.stdout.splitlines()[-1])
    if result["aborted"]:
        sys.stdout.write(f"  ({result['aborted']} transactions aborted)\n")
    return count / float(result["elapsed"])


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--broker", choices=("kafka", "local"), default="kafka")
    parser.add_argument("--workload", choices=WORKLOADS, action="append")
    parser.add_argument("--interval", type=float, action="append")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        asyncio.run(worker_app()[1]())
        return
    with ExitStack() as stack:
        if options.broker == "kafka":
            url = stack.enter_context(KafkaCluster()).url
        else:
            url = f"local://{stack.enter_context(tempfile.TemporaryDirectory())}/broker"
        topic = "bench-events"
        asyncio.run(fill(url, topic, options.events))
        line = "{:8}{:>10}{:>18}{:>18}{:>10}\n"
        sys.stdout.write(
            line.format("workload", "interval", "at least once/s", "exactly once/s", "ratio")
        )
        for workload in options.workload or WORKLOADS:
            for interval in options.interval or INTERVALS:
                rates: dict[str, list[float]] = {guarantee: [] for guarantee in GUARANTEES}
                for _ in range(options.rounds):
                    for guarantee in GUARANTEES:
                        rates[guarantee].append(
                            measure(url, topic, options.events, workload, guarantee, interval)
                        )
                often, once = (rates[guarantee] for guarantee in GUARANTEES)
                ratio = statistics.median(b / a for a, b in zip(often, once, strict=True))
                sys.stdout.write(
                    line.format(
                        workload,
                        f"{interval:g} s",
                        f"{statistics.median(often):,.0f}",
                        f"{statistics.median(once):,.0f}",
                        f"{ratio:.2f}",
                    )
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
