"""Following the changelogs of global tables: every worker reads all their partitions, in no group.

The reader has a consumer of its own, so rebalances do not touch it. It first recovers all partitions, as any recovery does
(`faust.tables.recovery`), and then applies what comes, for ever. When a changelog goes back under it (the topic was made anew)
or a partition has to be undone, that partition is wiped and recovered again. Meanwhile the others rest, and are read on from where
their stores are: a recovery takes all slices of a topic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any

from faust.exceptions import UnknownTopic
from faust.messages import TP, Slice
from faust.tables.base import Collection as Table
from faust.tables.followed import FollowedPartition
from faust.tables.reading import retried
from faust.tables.recovery import MANY, Recovery
from faust.transport.base import ConsumerDriver
from faust.transport.consumer import Consumer

__all__ = ["Following"]

logger: logging.Logger = logging.getLogger(__name__)

GENERATION = -1
"""That of slices which are read outside a group."""


async def _nothing() -> None:
    return None


class Following:
    """Reads the changelogs of *tables*.

    Arguments:
        tables: The global tables.
        driver: A consumer driver outside of groups.
        check: A store ahead of its changelog is an error.
        timeout: Seconds that one request may take.
        crash: Awaited with what ends the following.

    Attributes:
        generation: Generation whose events may use the tables; None: no events may.
    """

    def __init__(
        self,
        tables: Iterable[Table[Any, Any]],
        *,
        driver: ConsumerDriver,
        check: bool,
        timeout: float,
        crash: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self.tables: dict[str, Table[Any, Any]] = {
            table.changelog_topic_name: table for table in tables
        }
        self.check = check
        self.timeout = timeout
        self.partitions: dict[TP, FollowedPartition] = {}
        self.generation: int | None = None
        self._crash = crash
        self._consumer = Consumer(driver, before_commit=_nothing, commit_interval=3600.0)
        self._slices: asyncio.Queue[Slice] = asyncio.Queue()
        self._full = False
        self._rebuild: set[TP] = set()
        self._hearing: set[TP] = set()
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Recover all partitions, and go on following them in the background."""
        consumer = self._consumer
        await consumer.maybe_start()
        for topic, table in self.tables.items():
            numbers = await retried(
                f"find all partitions of {topic}",
                partial(self._partitions_of, topic, table.counts.get(topic, 1)),
                self.timeout,
            )
            for number in sorted(numbers):
                opened = await table.open_partition(number)
                assert isinstance(opened, FollowedPartition)
                self.partitions[opened.tp] = opened
        await retried(
            "begin to read the changelogs of global tables",
            partial(consumer.driver.assign, self.partitions),
            self.timeout,
        )
        await self._recover(self.partitions)
        self._worker = asyncio.get_running_loop().create_task(
            self._follow(), name="follow global tables"
        )

    async def stop(self) -> None:
        """End."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        await self._consumer.stop()

    async def undo(self, tps: Collection[TP]) -> None:
        """Read *tps* anew: what was written to them here and not flushed does not count."""
        self._rebuild.update(tps)
        self._hearing.difference_update(tps)
        for tp in tps:
            self.partitions[tp].complete = False
        self._slices.put_nowait(Slice(next(iter(tps)), GENERATION, (), 0))
        while any(not self.partitions[tp].complete for tp in tps):
            if self._worker is None or self._worker.done():
                return
            await asyncio.sleep(0.01)

    def open_to(self, generation: int | None) -> None:
        """Let the events of *generation* use the tables, of those partitions that are complete."""
        self.generation = generation
        for partition in self.partitions.values():
            partition.generation = generation if partition.complete else None

    # -- the work

    async def _partitions_of(self, topic: str, count: int) -> frozenset[int]:
        """Return the partitions of *topic*, which are *count* at least.

        Raises:
            UnknownTopic: The broker that was asked does not know of all of them (yet).
        """
        numbers = await self._consumer.driver.partitions_for(topic) or frozenset()
        if len(numbers) < count:
            raise UnknownTopic(f"the broker knows of {len(numbers)} of {count}")
        return numbers

    async def _recover(self, tps: Collection[TP]) -> None:
        """Bring *tps* to the end of their changelogs, and listen to everything from there on."""
        consumer = self._consumer
        self._hearing.clear()
        consumer.pause(list(self.partitions))
        partitions = {tp: self.partitions[tp] for tp in tps}
        for partition in partitions.values():
            partition.generation = None
        await Recovery(
            partitions,
            reader=consumer,
            generation=GENERATION,
            on_ready=lambda _left: None,
            check=self.check,
            timeout=self.timeout,
            on_event={
                topic: table.announce_event
                for topic, table in self.tables.items()
                if table.on_changelog_event is not None
            },
            lasting={topic for topic, table in self.tables.items() if not table.changelog_forgets},
        ).run()
        for partition in partitions.values():
            partition.generation = self.generation
        for topic in self.tables:
            consumer.route(topic, self._hear)
        where = {tp: each.store.persisted_offset or 0 for tp, each in self.partitions.items()}
        await retried("seek in the changelogs", partial(consumer.seek, where), self.timeout)
        await asyncio.sleep(0.005)  # what was taken before the seek has come by
        while not self._slices.empty():
            self._slices.get_nowait()
        self._hearing.update(self.partitions)
        self._full = False
        consumer.resume(list(self.partitions))

    def _hear(self, batch: Slice) -> None:
        if batch.tp in self._hearing:
            self._slices.put_nowait(batch)
            if not self._full and self._slices.qsize() >= MANY:
                self._full = True
                self._consumer.pause(list(self.partitions))

    async def _follow(self) -> None:
        try:
            while True:
                batch = await self._slices.get()
                if batch.tp in self._hearing:
                    await self._apply(batch)
                if self._full and self._slices.empty():
                    self._full = False
                    self._consumer.resume(list(self.partitions))
                while self._rebuild:
                    tps, self._rebuild = self._rebuild, set()
                    for tp in tps:
                        self.partitions[tp].wipe()
                    await self._recover(tps)
        except Exception as exc:
            logger.error("Cannot follow global tables: %s: %s", type(exc).__name__, exc)
            await self._crash(exc)

    async def _apply(self, batch: Slice) -> None:
        partition = self.partitions[batch.tp]
        reached = partition.store.persisted_offset
        first = batch.records[0].offset if batch.records else batch.next_offset
        if reached is not None and (batch.next_offset <= reached or first < reached):
            logger.warning(
                "The changelog %s[%d] went back from offset %d to %d; reading it again",
                *batch.tp,
                reached,
                first,
            )
            self._hearing.discard(batch.tp)
            self._rebuild.add(batch.tp)
            return
        table = self.tables[batch.tp.topic]
        if table.on_changelog_event is not None:
            for record in partition.foreign(batch.records):
                await table.announce_event(batch.tp, record)
        partition.follow(batch.records, batch.next_offset)
