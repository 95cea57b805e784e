"""Read along: everything that stands in the topics of a broker, without being a member of any group."""

from __future__ import annotations

from collections import defaultdict

from faust.messages import TP, Message
from faust.transport.base import AdminDriver, ConsumerDriver, ConsumerOptions, Transport

__all__ = ["Tail"]

PAUSE = 0.2


class Tail:
    """All messages of all topics of a broker, as far as `catch_up` has read.

    Arguments:
        transport: The broker.
    """

    def __init__(self, transport: Transport) -> None:
        self._admin: AdminDriver = transport.admin()
        self._driver: ConsumerDriver = transport.consumer(
            ConsumerOptions(client_id="faust-testing")
        )
        self._read: dict[TP, list[Message]] = defaultdict(list)

    async def start(self) -> None:
        """Connect."""
        await self._admin.start()
        await self._driver.start()

    async def close(self) -> None:
        """Disconnect."""
        await self._driver.close()
        await self._admin.close()

    def messages(self, topic: str) -> list[Message]:
        """Return the messages of a topic, by partition and offset."""
        return [
            message
            for tp in sorted(tp for tp in self._read if tp.topic == topic)
            for message in self._read[tp]
        ]

    async def catch_up(self) -> None:
        """Read up to what the partitions end with now."""
        described = await self._admin.describe_topics(await self._admin.list_topics())
        tps = {
            TP(name, partition)
            for name, topic in described.items()
            if topic is not None
            for partition in topic.partitions
        }
        new = tps - self._driver.assignment
        if new:
            known = {tp: await self._driver.position(tp) for tp in self._driver.assignment & tps}
            await self._driver.assign(tps)
            await self._driver.seek(known | dict.fromkeys(new, 0))
        ends = await self._driver.end_offsets(tps)
        while [tp for tp, end in ends.items() if await self._driver.position(tp) < end]:
            await self._take()

    async def _take(self) -> None:
        for batch in await self._driver.take(PAUSE):
            self._read[batch.tp] += [
                Message.from_record(batch.tp, record, batch.generation) for record in batch.records
            ]
