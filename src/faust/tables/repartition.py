"""Give a table's changelog another number of partitions.

A key's partition follows from the number of partitions, so when the topic that the events come from has grown, every key of the
table has to move. Kafka can neither rename topics nor move records, so it is done in two copies, with a topic beside the changelog
between them (``{changelog}-repartition``)::

    copy     changelog --placed anew--> beside          the changelog is not touched
    check    read beside again: nothing missing, nothing changed
    seal     a last record in beside says that it is whole, and how the new changelog has to be
    switch   delete the changelog, make it anew, copy beside to it as it is, check
    clean    delete beside

Killed at any point, it is run again: without the seal it starts from the changelog, with the seal from beside, and a changelog that
is whole already is left alone. As long as beside exists no worker starts with the table (see `TableManager.declare`), so nobody
ever reads a changelog that is half there. Stores on disk notice by the topic's id that their changelog is another one, and are
rebuilt.

The number may also stay, and everything be written anew (``rewrite``): so a table of sets changes its format (see
`faust.tables.setcodec`), which one topic cannot have both of where workers of faust-streaming are to read it. What tells the new
changelog from the old one is the topic's id then.

What cannot be known is refused: a key that is *not* where it belongs by its old number of partitions was written by events with
another key, or by another partitioner, and nobody could say where its next event will be.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

from faust.exceptions import ImproperlyConfigured
from faust.messages import TP, Record
from faust.tables.base import Collection
from faust.tables.cures import repartition_topic
from faust.transport.base import (
    AdminDriver,
    ConsumerDriver,
    ProducerDriver,
    TopicDescription,
    TopicSpec,
)
from faust.utils import json

__all__ = ["Repartition", "RepartitionError"]

SEAL = b"__faust\0sealed"
"""Key of the record that says that the topic beside is whole."""
KEPT = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""Options of the topic beside: nothing is compacted away before it is counted."""
GONE_TIMEOUT = 30.0
"""Seconds that a broker may take to forget a topic."""
TAKE_TIMEOUT = 0.2

Place = Callable[[Any, bytes, int], int]
"""Return the partition of a key (as the table has it, and its bytes in the changelog) among so many."""


class RepartitionError(ImproperlyConfigured):
    """The table cannot be repartitioned; nothing was lost."""


class Seal(NamedTuple):
    """What the switch has to know."""

    records: list[int]
    """How many records each partition of the new changelog gets."""
    config: dict[str, str]
    replication: int
    replaces: str = ""
    """Id of the topic that was copied; empty: the number of partitions tells it from the new one."""


class Repartition:
    """One changelog on its way to another number of partitions.

    Arguments:
        table: The table; no worker uses it.
        count: The new number of partitions.
        group_id: The group of the workers, which has to be empty.
        place: Where a key belongs.
        rewrite: Write everything anew, also when the number of partitions stays.
        marks: The table says something about its partitions, not about keys: each new one gets the least of what the old ones say.
        admin: A started admin client.
        reader: A started consumer outside of groups.
        producer: A started producer.

    Attributes:
        on_progress: Told how many records were read just now.
    """

    def __init__(
        self,
        table: Collection[Any, Any],
        count: int,
        *,
        group_id: str,
        place: Place,
        rewrite: bool = False,
        marks: bool = False,
        admin: AdminDriver,
        reader: ConsumerDriver,
        producer: ProducerDriver,
    ) -> None:
        self.table = table
        self.count = count
        self.topic: str = table.changelog_topic_name
        self.beside: str = repartition_topic(self.topic)
        self._group_id = group_id
        self._place = place
        self._rewrite = rewrite
        self._marks = marks
        self._admin = admin
        self._reader = reader
        self._producer = producer
        self.on_progress: Callable[[int], None] = lambda _count: None

    async def run(self) -> int | None:
        """Do what is left to do.

        Returns:
            How many records the new changelog got; None when it has the right number of partitions already.

        Raises:
            RepartitionError: It cannot be done; the changelog is as it was.
            BrokerError: As raised by the clients; run it again.
        """
        seal = await self._read_seal()
        if seal is None:
            seal = await self._fill_beside()
        if seal is None:
            return None
        if len(seal.records) != self.count:
            raise RepartitionError(
                f"table {self.table.name!r}: a repartition to {len(seal.records)} partitions has begun and has to "
                f"be finished first; run it again with --partitions {len(seal.records)}"
            )
        await self._switch(seal)
        await self._delete(self.beside)
        return sum(seal.records)

    async def whole(self) -> int:
        """Return about how many records will be read or written, for a progress bar."""
        tps = [
            TP(name, number)
            for name in (self.topic, self.beside)
            for number in await self._numbers(name)
        ]
        found = await self._admin.offsets(tps)
        return 3 * sum(end - beginning for beginning, end in found.values())

    # -- first copy

    async def _fill_beside(self) -> Seal | None:
        """Copy the changelog, everything placed anew; None: there is nothing to do."""
        old = (await self._admin.describe_topics([self.topic]))[self.topic]
        if old is None:
            raise RepartitionError(
                f"table {self.table.name!r}: its changelog topic {self.topic} does not exist; there is nothing to move, the next "
                "worker creates it"
            )
        await self._want_empty_group()
        await self._delete(self.beside)
        stays = len(old.partitions) == self.count
        if stays and not self._rewrite:
            return None
        replaces = await self._id_of_changelog() if stays else ""
        await self._create(self.beside, KEPT, old.replication)
        await self._want_empty_group()  # who comes from now on finds the topic beside
        try:
            copy = self._copy_marks if self._marks and not stays else self._copy_anew
            written = await copy(len(old.partitions))
        except RepartitionError:
            await self._delete(self.beside)
            raise
        await self._check_beside(written)
        config = dict(old.config)
        if self._rewrite:
            config.update(self.table.changelog_config)
        seal = Seal([length for length, _ in written], config, old.replication, replaces)
        self._producer.append(self.beside, 0, SEAL, json.dumps(seal._asdict()))
        await self._producer.flush()
        return seal

    async def _copy_anew(self, old_count: int) -> list[tuple[int, int]]:
        """Copy the changelog to the topic beside; return number and sum of the records of each partition."""
        written = [(0, 0)] * self.count
        async for tp, records in self._read(self.topic):
            for record in records:
                for raw, value in self.table.changes_of(tp, record):
                    number = self._new_number(tp, raw, old_count)
                    entry = self.table.record_of(raw, value)
                    self._producer.append(self.beside, number, *entry, record.timestamp)
                    length, total = written[number]
                    written[number] = (length + 1, total + _sum_of(*entry))
            await self._make_room()
        await self._producer.flush()
        return written

    async def _copy_marks(self, old_count: int) -> list[tuple[int, int]]:
        """Write the least of what the old partitions say to every new one; nothing where one of them says nothing."""
        said: dict[bytes, dict[int, bytes]] = {}
        async for tp, records in self._read(self.topic):
            for record in records:
                if record.key is not None and record.value is not None:
                    said.setdefault(record.key, {})[tp.partition] = record.value
        written = [(0, 0)] * self.count
        for raw, values in said.items():
            if len(values) == old_count:
                least = min(values.values(), key=json.loads)
                for number, (length, total) in enumerate(written):
                    self._producer.append(self.beside, number, raw, least)
                    written[number] = (length + 1, total + _sum_of(raw, least))
        await self._producer.flush()
        return written

    def _new_number(self, tp: TP, raw: bytes, old_count: int) -> int:
        """Return the new partition of a key.

        Raises:
            RepartitionError: It is not where it should have been.
        """
        if old_count == self.count:
            return tp.partition
        key = self.table.placed_by(tp, raw)
        right = self._place(key, raw, old_count)
        if right != tp.partition:
            raise RepartitionError(
                f"table {self.table.name!r}: key {key!r} is in partition {tp.partition} of {self.topic}, but of {old_count} "
                f"partitions it belongs in {right}. So its events come with another key than the table's, or were placed by "
                f"another partitioner, and nobody can say in which of {self.count} partitions they will come. Rebuild the table by "
                "processing its source anew"
            )
        return self._place(key, raw, self.count)

    async def _check_beside(self, written: list[tuple[int, int]]) -> None:
        found = [(0, 0)] * self.count
        async for tp, records in self._read(self.beside):
            for record in records:
                assert record.key is not None
                length, total = found[tp.partition]
                found[tp.partition] = (length + 1, total + _sum_of(record.key, record.value))
        if found != written:
            raise RepartitionError(
                f"table {self.table.name!r}: the copy in {self.beside} is not what was written to it ({found} for {written}); "
                "the changelog is untouched. Does somebody else write to that topic? Run it again"
            )

    # -- second copy

    async def _switch(self, seal: Seal) -> None:
        """Put what is beside in the place of the changelog, unless it is there already."""
        if await self._is_whole(seal):
            return
        await self._want_empty_group()
        await self._delete(self.topic)
        await self._create(self.topic, seal.config, seal.replication)
        async for tp, records in self._read(self.beside):
            for record in records:
                if record.key != SEAL:
                    self._producer.append(
                        self.topic, tp.partition, record.key, record.value, record.timestamp
                    )
            await self._make_room()
        await self._producer.flush()
        if not await self._is_whole(seal):
            raise RepartitionError(
                f"table {self.table.name!r}: the new changelog {self.topic} has less than was written to it; everything is "
                f"still in {self.beside}. Run it again"
            )

    async def _is_whole(self, seal: Seal) -> bool:
        """Say whether the changelog is the new one, with everything."""
        if len(await self._numbers(self.topic)) != self.count:
            return False
        if seal.replaces and await self._id_of_changelog() == seal.replaces:
            return False
        tps = [TP(self.topic, number) for number in range(self.count)]
        ends = await self._admin.offsets(tps)
        return all(ends[tp][1] >= seal.records[tp.partition] for tp in tps)

    async def _read_seal(self) -> Seal | None:
        """Return the seal of the topic beside; None when there is no such topic, or it is not whole."""
        first = TP(self.beside, 0)
        if 0 not in await self._numbers(self.beside):
            return None
        _, end = (await self._admin.offsets([first]))[first]
        async for _tp, records in self._read(self.beside, {first: max(0, end - 1)}):
            for record in records:
                if record.key == SEAL and record.value is not None:
                    return Seal(**json.loads(record.value))
        return None

    # -- hands

    async def _want_empty_group(self) -> None:
        group = await self._admin.describe_group(self._group_id)
        if group.members:
            raise RepartitionError(
                f"table {self.table.name!r}: the group {self._group_id} has {len(group.members)} members ({group.state}). Stop "
                "all workers of the app first; one that was killed is a member until its session has timed out"
            )

    async def _id_of_changelog(self) -> str:
        """Return the id of the topic that is the changelog now.

        Raises:
            RepartitionError: The broker gives topics no ids (KIP-516).
        """
        found = (await self._reader.topic_ids([self.topic])).get(self.topic)
        if not found:
            raise RepartitionError(
                f"table {self.table.name!r}: this broker gives topics no ids (Kafka does since 2.8), without which a changelog of "
                f"as many partitions cannot be told from the one it replaces; {self.topic} is as it was"
            )
        return found

    async def _numbers(self, topic: str) -> tuple[int, ...]:
        found: TopicDescription | None = (await self._admin.describe_topics([topic]))[topic]
        return () if found is None else tuple(found.partitions)

    async def _create(self, topic: str, config: Mapping[str, str], replication: int) -> None:
        spec = TopicSpec(
            name=topic, partitions=self.count, replication=replication, config=dict(config)
        )
        await self._admin.create_topics([spec])
        await self._producer.load_partitions(topic)

    async def _delete(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""
        if not await self._numbers(topic):
            return
        await self._admin.delete_topics([topic])
        async with asyncio.timeout(GONE_TIMEOUT):
            while await self._numbers(topic):
                await asyncio.sleep(0.1)

    async def _make_room(self) -> None:
        if self._producer.full:
            await self._producer.wait_room()

    async def _read(
        self, topic: str, start: Mapping[TP, int] | None = None
    ) -> AsyncIterator[tuple[TP, tuple[Record, ...]]]:
        """Read partitions of *topic* to their ends: all from the beginning, or some from somewhere."""
        reader = self._reader
        tps = list(start or [TP(topic, number) for number in await self._numbers(topic)])
        await reader.assign(tps)
        where = dict(start or await reader.beginning_offsets(tps))
        ends = await reader.end_offsets(tps)
        await reader.seek(where)
        left = {tp for tp in tps if where[tp] < ends[tp]}
        while left:
            for batch in await reader.take(TAKE_TIMEOUT):
                records = tuple(each for each in batch.records if each.key is not None)
                if batch.tp in left and records:
                    self.on_progress(len(records))
                    yield batch.tp, records
            for tp in list(left):
                if await reader.position(tp) >= ends[tp]:
                    left.discard(tp)
        await reader.assign([])


def _sum_of(key: bytes, value: bytes | None) -> int:
    return hash((key, value)) & 0xFFFF_FFFF
