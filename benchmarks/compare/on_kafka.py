"""What the runner does on Kafka, by confluent-kafka: a client that is neither ours nor the reference's."""

from __future__ import annotations

import time
from collections.abc import Iterable

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.compare.data import PARTITIONS

__all__ = ["OnKafka"]

QUIET = {"log_level": 3}
"""Errors only: librdkafka would tell of every topic that we delete."""


class OnKafka:
    """Topics, records and committed offsets of one cluster.

    Args:
        server: ``host:port``.
    """

    name = "kafka"

    def __init__(self, server: str) -> None:
        self.server = server
        self.url = f"kafka://{server}"
        self._admin = AdminClient({**QUIET, "bootstrap.servers": server})

    def create(self, topic: str, **config: str) -> None:
        """Create a topic with 8 partitions and wait until it can be used."""
        new = NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1, config=config)
        self._admin.create_topics([new])[topic].result(30)
        deadline = time.monotonic() + 30
        while True:
            partitions = self._admin.list_topics(topic, timeout=30).topics[topic].partitions
            if len(partitions) == PARTITIONS and all(p.leader >= 0 for p in partitions.values()):
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"topic {topic} was created and has no leaders after 30 s")
            time.sleep(0.05)

    def topics(self) -> set[str]:
        """Return the names of all topics."""
        return set(self._admin.list_topics(timeout=30).topics)

    def delete(self, prefix: str) -> None:
        """Delete the topics whose names start with *prefix*, so that the disk does not fill up."""
        names = self._admin.list_topics(timeout=30).topics
        doomed = [name for name in names if name.startswith(prefix)]
        for future in self._admin.delete_topics(doomed).values() if doomed else ():
            future.result(30)

    def fill(self, topic: str, records: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Produce *records* (partition, key, value) in large batches."""
        failed: list[object] = []
        producer = Producer(
            {
                **QUIET,
                "bootstrap.servers": self.server,
                "linger.ms": 50,
                "batch.size": 128 * 1024,
                "queue.buffering.max.messages": 500_000,
                "delivery.report.only.error": True,
                "on_delivery": lambda error, _message: failed.append(error),
            }
        )
        for partition, key, value in records:
            while True:
                try:
                    producer.produce(topic, value, key, partition)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush()
        if failed:
            raise SystemExit(f"{len(failed)} records were not accepted, the first: {failed[0]}")

    def ends(self, topic: str) -> list[int]:
        """Return the next offset of each partition."""
        consumer = Consumer({**QUIET, "bootstrap.servers": self.server, "group.id": "bench-ends"})
        try:
            return [
                consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
                for number in range(PARTITIONS)
            ]
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> list[int]:
        """Return the committed next offset of each partition (negative: none)."""
        consumer = Consumer({**QUIET, "bootstrap.servers": self.server, "group.id": group})
        try:
            tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            return [tp.offset for tp in consumer.committed(tps, timeout=30)]
        finally:
            consumer.close()

    def sum_of(self, topic: str) -> tuple[int, int]:
        """Return how many records *topic* has, and the sum of their field ``n``."""
        values = [orjson.loads(value)["n"] for _key, value in self._read(topic) if value]
        return len(values), sum(values)

    def sum_of_changelog(self, topic: str) -> int:
        """Return the sum of the last value of each key."""
        last = dict(self._read(topic))
        return sum(orjson.loads(value) for value in last.values() if value is not None)

    def _read(self, topic: str) -> Iterable[tuple[bytes, bytes | None]]:
        ends = self.ends(topic)
        left = {number: end for number, end in enumerate(ends) if end}
        consumer = Consumer(
            {
                **QUIET,
                "bootstrap.servers": self.server,
                "group.id": "bench-reader",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 5,
            }
        )
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        try:
            while left:
                for message in consumer.consume(5000, 0.2):
                    error = message.error()
                    if error is None:
                        yield message.key(), message.value()
                    elif error.code() == -191:  # end of the partition
                        left.pop(message.partition(), None)
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()
