"""What the runner does on the embedded broker: the face of `OnKafka`, through the transport contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from yarl import URL

from benchmarks.compare.data import PARTITIONS
from faust.drivers import transports
from faust.messages import TP
from faust.transport.base import AdminDriver, ConsumerOptions, ProducerOptions, TopicSpec

__all__ = ["OnLocal"]


class OnLocal:
    """Topics, records and committed offsets of a broker in a directory."""

    name = "local"

    def __init__(self, directory: Path) -> None:
        self.url = f"local://{directory}"
        self._transport = transports.by_url(self.url)([URL(self.url)])

    def create(self, topic: str, **config: str) -> None:
        """Create a topic with 8 partitions."""
        spec = TopicSpec(name=topic, partitions=PARTITIONS, config=config)
        self._ask(lambda admin: admin.create_topics([spec]))

    def topics(self) -> set[str]:
        """Return the names of all topics."""
        return set(self._ask(lambda admin: admin.list_topics()))

    def delete(self, prefix: str) -> None:
        """Delete the topics whose names start with *prefix*."""

        async def delete(admin: AdminDriver) -> None:
            names = [name for name in await admin.list_topics() if name.startswith(prefix)]
            await admin.delete_topics(names)

        self._ask(delete)

    def fill(self, topic: str, records: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Produce *records* (partition, key, value) in large batches."""

        async def fill() -> None:
            producer = self._transport.producer(
                ProducerOptions(linger=0.05, max_batch_size=128 * 1024)
            )
            await producer.start()
            try:
                await producer.load_partitions(topic)
                for partition, key, value in records:
                    producer.append(topic, partition, key, value)
                    if producer.full:
                        await producer.wait_room()
                await producer.flush()
            finally:
                await producer.close()

        asyncio.run(fill())

    def ends(self, topic: str) -> list[int]:
        """Return the next offset of each partition."""
        tps = [TP(topic, number) for number in range(PARTITIONS)]
        found = self._ask(lambda admin: admin.offsets(tps))
        return [found[tp][1] for tp in tps]

    def committed(self, group: str, topic: str) -> list[int]:
        """Return the committed next offset of each partition (negative: none)."""
        offsets = self._ask(lambda admin: admin.describe_group(group)).offsets
        return [offsets.get(TP(topic, number), -1) for number in range(PARTITIONS)]

    def sum_of(self, topic: str) -> tuple[int, int]:
        """Return how many records *topic* has, and the sum of their field ``n``."""
        values = [orjson.loads(value)["n"] for _key, value in self._read(topic) if value]
        return len(values), sum(values)

    def sum_of_changelog(self, topic: str) -> int:
        """Return the sum of the last value of each key."""
        last = dict(self._read(topic))
        return sum(orjson.loads(value) for value in last.values() if value is not None)

    def _read(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        async def read() -> list[tuple[bytes | None, bytes | None]]:
            consumer = self._transport.consumer(ConsumerOptions())
            await consumer.start()
            found: list[tuple[bytes | None, bytes | None]] = []
            try:
                tps = [TP(topic, number) for number in range(PARTITIONS)]
                await consumer.assign(tps)
                ends = await consumer.end_offsets(tps)
                left = {tp for tp in tps if ends[tp] > 0}
                while left:
                    for piece in await consumer.take(5.0):
                        found += [(record.key, record.value) for record in piece.records]
                        if piece.next_offset >= ends[piece.tp]:
                            left.discard(piece.tp)
            finally:
                await consumer.close()
            return found

        return asyncio.run(read())

    def _ask(self, question: Callable[[AdminDriver], Coroutine[Any, Any, Any]]) -> Any:
        async def ask() -> Any:
            async with self._admin() as admin:
                return await question(admin)

        return asyncio.run(ask())

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AdminDriver]:
        admin = self._transport.admin()
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()
