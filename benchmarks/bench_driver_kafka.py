"""Records per second of the bare kafka:// driver: ``append`` and ``take``, without anything above them.

    python -m tests.support.kafka &          # prints the URL of a broker
    python benchmarks/bench_driver_kafka.py kafka://127.0.0.1:PORT

Each line is one run; times are CPU time of the thread in question, so they say what the driver costs even on a
busy machine. The worker raises the garbage collector's thresholds, and so does this (``--gc`` leaves them alone).
What was read is counted and compared with what was written.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
import uuid
from typing import Any

from yarl import URL

from faust.messages import TP
from faust.transport.base import ConsumerOptions, ProducerOptions, TopicSpec
from faust.transport.drivers.aiokafka import Transport

VALUE = json.dumps({"id": 123456, "user": "user-1234", "text": "x" * 40, "amount": 12.5}).encode()
KEYS = [b"k%07d" % number for number in range(1000)]


class Clock:
    """Wall, this thread's and the process's time since the start, per record."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._thread = time.thread_time()
        self._process = time.process_time()

    def report(self, what: str, count: int) -> None:
        """Print one line."""
        wall = time.perf_counter() - self._wall
        mine = (time.thread_time() - self._thread) / count * 1e6
        every = (time.process_time() - self._process) / count * 1e6
        print(
            f"{what:40} {count / wall:12,.0f} records/s; CPU per record: "
            f"application {mine:.2f} us, client {every - mine:.2f} us, together {every:.2f} us"
        )


async def write(transport: Transport, topic: str, partitions: int, count: int, size: int) -> None:
    """Append *count* records in batches of *size* bytes, yielding to the loop now and then."""
    producer = transport.producer(ProducerOptions(max_batch_size=size))
    await producer.start()
    await producer.load_partitions(topic)
    append, clock = producer.append, Clock()
    for number in range(count):
        append(topic, number % partitions, KEYS[number % 1000], VALUE)
        if number % 200 == 199:
            if producer.full:
                await producer.wait_room()
            await asyncio.sleep(0)
    await producer.flush()
    clock.report(f"append, {partitions} partitions, batches of {size >> 10} KiB", count)
    await producer.close()


async def read(transport: Transport, topic: str, partitions: int, size: int) -> None:
    """Take everything in slices of *size* records."""
    tps = [TP(topic, number) for number in range(partitions)]
    consumer = transport.consumer(ConsumerOptions(slice_size=size))
    await consumer.start()
    wanted = sum((await consumer.end_offsets(tps)).values())
    clock = Clock()
    await consumer.assign(tps)
    count = 0
    while count < wanted:
        for some in await consumer.take(1.0):
            count += len(some.records)
    clock.report(f"take, {partitions} partitions, slices of {size}", count)
    if count != wanted:
        raise SystemExit(f"wrong result: read {count} records, expected {wanted}")
    await consumer.close()


async def main(options: Any) -> None:
    """Write, then read."""
    transport = Transport([URL(options.url)])
    admin = transport.admin()
    await admin.start()
    for partitions in (8, 1):
        topic = f"bench-driver-{uuid.uuid4().hex[:8]}"
        await admin.create_topics([TopicSpec(name=topic, partitions=partitions)])
        for size in (16, 64, 256):
            await write(transport, topic, partitions, options.records, size << 10)
        for size in (100, 200, 500):
            await read(transport, topic, partitions, size)
        await admin.delete_topics([topic])
    await admin.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", nargs="?", default="kafka://127.0.0.1:9092")
    parser.add_argument(
        "--records", type=int, default=200_000, help="per run (default: %(default)s)"
    )
    parser.add_argument("--gc", action="store_true", help="leave the garbage collector alone")
    chosen = parser.parse_args()
    if not chosen.gc:
        gc.set_threshold(50_000, 20, 50)
    asyncio.run(main(chosen))
