"""Somebody who looks at a broker from outside: feeds topics, follows logs, reads what a group has committed.

It uses the drivers directly and is no member of any group, so it disturbs nobody and is disturbed by nobody's death. While
brokers are away its calls wait, as those of every client do; who wants to go on puts them under `asyncio.timeout`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from yarl import URL

from faust.drivers import transports
from faust.exceptions import FaustError
from faust.messages import TP, Slice
from faust.transport.base import (
    AdminDriver,
    ConsumerDriver,
    ConsumerOptions,
    ProducerDriver,
    ProducerOptions,
    TopicSpec,
    Transport,
)

__all__ = ["Entry", "NotReached", "Observer", "tps_of", "transport_of"]


class Entry(NamedTuple):
    """Key and value of a record."""

    key: bytes | None
    value: bytes | None


def tps_of(topic: str, partitions: int) -> list[TP]:
    """Return the partitions of a topic."""
    return [TP(topic, number) for number in range(partitions)]


class NotReached(FaustError, AssertionError):
    """What was waited for did not come in time."""


def transport_of(url: str) -> Transport:
    """Make the transport of a broker; several URLs are separated by ``;``."""
    urls = [URL(each) for each in url.split(";")]
    made: Transport = transports.by_url(urls[0])(urls)
    return made


class Observer:
    """Looks at one broker.

    Args:
        url: The broker; several URLs are separated by ``;``.
        group: The group whose commits are read.
        read_committed: See of transactions only what was committed.
        on_slice: Given what was read, instead of keeping it in `logs`.

    Attributes:
        logs: Every record of the followed partitions, as far as `catch_up` has come.
        replication: Copies of a topic that it creates.
    """

    def __init__(
        self,
        url: str,
        group: str,
        *,
        read_committed: bool = False,
        on_slice: Callable[[Slice], None] | None = None,
    ) -> None:
        self.logs: dict[TP, list[Entry]] = defaultdict(list)
        transport = transport_of(url)
        self.admin: AdminDriver = transport.admin(client_id="observer")
        self._reader: ConsumerDriver = transport.consumer(
            ConsumerOptions(client_id="observer", read_committed=read_committed)
        )
        self._group: ConsumerDriver = transport.consumer(
            ConsumerOptions(client_id="observer", group_id=group)
        )
        self.producer: ProducerDriver = transport.producer(
            ProducerOptions(client_id="observer", linger=0.005)
        )
        self.replication: int = 1
        self._followed: list[TP] = []
        self._on_slice = on_slice or self._keep

    def _keep(self, batch: Slice) -> None:
        self.logs[batch.tp].extend(Entry(r.key, r.value) for r in batch.records)

    async def __aenter__(self) -> Observer:
        for part in (self.admin, self._reader, self._group, self.producer):
            await part.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in (self.producer, self._group, self._reader, self.admin):
            await part.close()

    async def create(self, topic: str, partitions: int) -> None:
        """Create a topic that must not be there yet, in `replication` copies."""
        spec = TopicSpec(name=topic, partitions=partitions, replication=self.replication)
        outcome = await self.admin.create_topics([spec])
        assert outcome[topic].created
        await self.know(topic)

    async def know(self, topic: str) -> None:
        """Learn of a topic that is there, to be able to feed it."""
        await self.producer.load_partitions(topic)

    async def feed(self, numbers: Iterable[int], topic: str, partitions: int) -> None:
        """Write numbers as JSON strings: n is record ``n // partitions`` of partition ``n % partitions``."""
        producer = self.producer
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
            if time.monotonic() >= deadline:
                raise NotReached(f"could not read {behind} in {timeout} s")
            await self.read(0.2)

    async def read(self, timeout: float) -> None:
        """Read what there is of the followed partitions; wait up to *timeout* seconds for the first of it."""
        for one in await self._reader.take(timeout):
            self._on_slice(one)

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
