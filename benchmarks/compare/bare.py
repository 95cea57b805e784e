"""The bare client loop: what one Python process can get out of Kafka with nothing around it.

``confluent_kafka.Consumer.consume(500)``, and what the workload needs: nothing (raw), ``orjson.loads`` (json), and
``orjson.dumps`` with ``produce`` (map). One commit at the end. This is the limit that we compare with.
"""

from __future__ import annotations

from pathlib import Path

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from meter import Meter, environment

PARTITIONS = 8


def main() -> None:
    """Run one workload to its end."""
    server = environment("BROKER").removeprefix("kafka://")
    meter = Meter(int(environment("COUNT")), Path(environment("RESULT")))
    consumer = Consumer(
        {
            "bootstrap.servers": server,
            "group.id": environment("ID"),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
        }
    )
    topic = environment("TOPIC")
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    job = {"raw": _raw, "json": _json, "map": _map}[environment("WORKLOAD")]
    job(consumer, meter, server)
    consumer.commit(asynchronous=False)
    meter.settled()
    consumer.close()


def _batch(consumer: Consumer) -> list[bytes]:
    messages = consumer.consume(500, 1.0)
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
    return messages


def _raw(consumer: Consumer, meter: Meter, _server: str) -> None:
    number = total = 0
    while number < meter.count:
        messages = _batch(consumer)
        if number == 0 and messages:
            meter.mark(1, 0)
        for message in messages:
            total += len(message.value())
        number += len(messages)
    meter.mark(number, total)


def _json(consumer: Consumer, meter: Meter, _server: str) -> None:
    number = total = 0
    loads = orjson.loads
    while number < meter.count:
        messages = _batch(consumer)
        if number == 0 and messages:
            meter.mark(1, 0)
        for message in messages:
            total += loads(message.value())["n"]
        number += len(messages)
    meter.mark(number, total)


def _map(consumer: Consumer, meter: Meter, server: str) -> None:
    number = total = 0
    failed: list[object] = []
    producer = Producer(
        {
            "bootstrap.servers": server,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "delivery.report.only.error": True,
            "on_delivery": lambda error, _message: failed.append(error),
        }
    )
    out = environment("OUT")
    while number < meter.count:
        messages = _batch(consumer)
        if number == 0 and messages:
            meter.mark(1, 0)
        for message in messages:
            value = orjson.loads(message.value())
            total += value["n"]
            value["n"] += 1
            while True:
                try:
                    producer.produce(out, orjson.dumps(value), message.key())
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.poll(0)
        number += len(messages)
    meter.mark(number, total)
    producer.flush()
    if failed:
        raise SystemExit(f"{len(failed)} records were not delivered, the first: {failed[0]}")


if __name__ == "__main__":
    main()
