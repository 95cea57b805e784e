"""The two ends of the latency chain: ``probe.py feed`` sends at a steady rate, ``probe.py drain`` takes the times.

Both run in processes of their own, with confluent-kafka. A value is the moment of sending (``CLOCK_MONOTONIC`` is the
same clock in every process of a machine), filled up to 100 bytes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from meter import environment

PARTITIONS = 8
PATIENCE = 10.0
"""Seconds without a record after which the drain gives up: what is missing then counts as lost or late."""


def feed() -> None:
    """Send ``BENCH_COUNT`` events at ``BENCH_RATE`` a second: once a millisecond those that are due.

    What is due together goes to one partition, as the sticky partitioner of Kafka's own client does it (KIP-480);
    one request per event would measure how many requests the broker can take.
    """
    count, rate = int(environment("COUNT")), float(environment("RATE"))
    server, topic = environment("BROKER").removeprefix("kafka://"), environment("TOPIC")
    producer = Producer({"bootstrap.servers": server, "linger.ms": 0, "acks": "all"})
    producer.list_topics(topic, timeout=30)
    began = time.monotonic()
    sent = tick = 0
    while sent < count:
        tick += 1
        if (wait := began + tick / 1000 - time.monotonic()) > 0:
            time.sleep(wait)
        due = min(count, int((time.monotonic() - began) * rate))
        for _ in range(due - sent):
            stamp = b"%d " % time.monotonic_ns()
            producer.produce(topic, stamp.ljust(100, b"x"), partition=tick % PARTITIONS)
        sent = max(sent, due)
        producer.poll(0)
    producer.flush()


def drain() -> None:
    """Take the time of each event that arrives; report percentiles of the later four fifths."""
    count = int(environment("COUNT"))
    server, topic = environment("BROKER").removeprefix("kafka://"), environment("OUT")
    consumer = Consumer(
        {
            "bootstrap.servers": server,
            "group.id": environment("ID"),
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    consumer.poll(1.0)
    Path(environment("RESULT")).with_suffix(".ready").touch()
    latencies: list[int] = []
    last = time.monotonic()
    while len(latencies) < count and time.monotonic() - last < PATIENCE:
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        now = time.monotonic_ns()
        last = now / 1e9
        latencies.append(now - int(message.value().split(b" ", 1)[0]))
    consumer.close()
    kept = sorted(latencies[count // 5 :])
    report = {
        "arrived": len(latencies),
        **{
            f"p{part:g}_ms": kept[min(len(kept) - 1, int(len(kept) * part / 100))] / 1e6
            for part in (50, 90, 99, 99.9)
            if kept
        },
        "max_ms": kept[-1] / 1e6 if kept else None,
    }
    draft = Path(environment("RESULT")).with_suffix(".draft")
    draft.write_text(json.dumps(report))
    draft.rename(environment("RESULT"))


if __name__ == "__main__":
    {"feed": feed, "drain": drain}[sys.argv[1]]()
