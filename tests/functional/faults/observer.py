"""Somebody who looks at a broker from outside: feeds topics, follows logs, reads what a group has committed.

It uses the drivers directly and is no member of any group, so it disturbs nobody and is disturbed by nobody's death.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from faust.messages import TP
from faust.transport.base import ConsumerDriver, ConsumerOptions, ProducerOptions, TopicSpec
from tests.support.driving import open_transport

__all__ = ["Entry", "Observer", "tps_of"]


class Entry(NamedTuple):
    """Key and value of a record."""

    key: bytes | None
    value: bytes | None


def tps_of(topic: str, partitions: int) -> list[TP]:
    """Return the partitions of a topic."""
    return [TP(topic, number) for number in range(partitions)]


class Observer:
    """Looks at one broker.

    Args:
        url: The broker.
        group: The group whose commits are read.

    Attributes:
        logs: Every record of the followed partitions, as far as `catch_up` has come.
    """

    def __init__(self, url: str, group: str) -> None:
        self.logs: dict[TP, list[Entry]] = defaultdict(list)
        transport = open_transport(url)
        self._admin = transport.admin(client_id="observer")
        self._reader: ConsumerDriver = transport.consumer(ConsumerOptions(client_id="observer"))
        self._group: ConsumerDriver = transport.consumer(
            ConsumerOptions(client_id="observer", group_id=group)
        )
        self._producer = transport.producer(ProducerOptions(client_id="observer", linger=0.005))
        self._followed: list[TP] = []

    async def __aenter__(self) -> Observer:
        for part in (self._admin, self._reader, self._group, self._producer):
            await part.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in (self._producer, self._group, self._reader, self._admin):
            await part.close()

    async def create(self, topic: str, partitions: int) -> None:
        """Create a topic."""
        outcome = await self._admin.create_topics([TopicSpec(name=topic, partitions=partitions)])
        assert outcome[topic].created
        await self.know(topic)

    async def know(self, topic: str) -> None:
        """Learn of a topic that is there, to be able to feed it."""
        await self._producer.load_partitions(topic)

    async def feed(self, numbers: Iterable[int], topic: str, partitions: int) -> None:
        """Write numbers as JSON strings: n is record ``n // partitions`` of partition ``n % partitions``."""
        producer = self._producer
        for number in numbers:
            producer.append(topic, number % partitions, None, b'"%d"' % number)
            if producer.full:
                await producer.wait_room()
        await producer.flush()

    async def follow(self, tps: Collection[TP]) -> None:
        """Read *tps* from their beginning; `catch_up` does the reading."""
        self._followed = list(tps)
        await self._reader.assign(self._followed)
        await self._reader.seek(dict.fromkeys(self._followed, 0))

    async def catch_up(self, timeout: float = 60.0) -> None:
        """Read the followed partitions to where they end now."""
        reader, deadline = self._reader, time.monotonic() + timeout
        ends = await reader.end_offsets(self._followed)
        behind = set(self._followed)
        while True:
            behind = {tp for tp in behind if await reader.position(tp) < ends[tp]}
            if not behind:
                return
            assert time.monotonic() < deadline, f"could not read {behind} in {timeout} s"
            for one in await reader.take(0.2):
                self.logs[one.tp].extend(Entry(r.key, r.value) for r in one.records)

    async def ends(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return where *tps* end."""
        return await self._reader.end_offsets(tps)

    async def committed(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return what the group has committed; 0 where it has not."""
        found = await self._group.committed(tps)
        return {tp: offset or 0 for tp, offset in found.items()}

    async def settled(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return what the group has committed, when a dead member's last requests have been worked off.

        What a process wrote to its sockets before it died is still read by a broker.
        """
        before: dict[TP, int] = {}
        while (now := await self.committed(tps)) != before:
            before = now
            await asyncio.sleep(0.2)
        return before
