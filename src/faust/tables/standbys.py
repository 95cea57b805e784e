"""Copies on standby: partitions that another worker owns, kept as near to the end of their changelogs as possible.

They are read when the worker's own partitions are recovered, with the same consumer, for as long as the assignment lasts.
Nothing waits for them and no event sees them. When their owner goes away the assignor prefers a worker whose copy is *warm*
(at most `WARM` records behind), and that worker's recovery reads only the rest.

A copy is only a copy: one that is ahead of its changelog, or whose changelog was truncated or made anew, is wiped and read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from time import monotonic

from faust.messages import TP, Slice
from faust.tables.partition import TablePartition
from faust.tables.plan import FollowPlan, start_of
from faust.tables.reading import ChangelogReader, OnEvent, Reader

__all__ = ["WARM", "Standbys"]

logger: logging.Logger = logging.getLogger(__name__)

WARM = 10_000
"""Records that a warm copy may be behind; ``acceptable.recovery.lag`` of KIP-441 has this default."""
TICK = 0.25
"""Seconds between two moments at which what was read is written to the stores."""
LOOK_EVERY = 5.0
"""Seconds after which the bounds of a log are asked for again."""
REPORT_EVERY = 30.0
"""Seconds between two progress reports in the log."""
MANY = 100
"""Slices that may wait for those who want to hear of their records."""


class Standbys(ChangelogReader):
    """Follows the changelogs of some partitions until it is cancelled.

    Arguments:
        partitions: The copies by changelog partition.
        reader: The consumer.
        generation: Generation of the assignment; slices of another one are dropped.
        timeout: Seconds that one request may take.
        on_event: By topic, what is awaited with every record before it is applied.

    Attributes:
        plans: Where each copy is; complete after the first questions to the broker.
    """

    def __init__(
        self,
        partitions: Mapping[TP, TablePartition],
        *,
        reader: Reader,
        generation: int,
        timeout: float,
        on_event: Mapping[str, OnEvent] | None = None,
    ) -> None:
        super().__init__(reader, generation=generation, timeout=timeout)
        self.partitions: dict[TP, TablePartition] = dict(partitions)
        self.plans: dict[TP, FollowPlan] = {}
        self.records: int = 0
        self._on_event = dict(on_event or {})
        self._waiting: deque[Slice] = deque()
        self._full: bool = False
        self._moved: set[TP] = set()
        self._failure: Exception | None = None
        self._reported = monotonic()

    # -- what is known

    def lag(self) -> dict[TP, int]:
        """Return how many records each copy is behind, as far as that is known."""
        return {tp: plan.lag for tp, plan in self.plans.items() if tp in self.partitions}

    @property
    def ready(self) -> bool:
        """Every copy has, in its store, what its changelog had when it was last looked at."""
        known = len(self.plans) >= len(self.partitions)
        return known and not self._moved and not any(self.lag().values())

    # -- the work

    async def run(self) -> None:
        """Read, for ever.

        Raises:
            StoreError: A store refuses to be written to.
            Exception: Whatever a hook for changelog events raises.
        """
        topics = {tp.topic for tp in self.partitions}
        try:
            await self._begin(topics)
            while True:
                await asyncio.sleep(TICK)
                await self._tick()
        finally:
            for topic in topics:
                self.reader.route(topic, None)
            self._write_out()

    async def _begin(self, topics: Iterable[str]) -> None:
        for tp, bounds in (await self.bounds(self.partitions)).items():
            partition = self.partitions.get(tp)
            if partition is None:
                continue
            store = partition.store
            position, wipe, reason = start_of(
                tp, store.persisted_offset, bounds, check=False, topic_id=store.topic_id
            )
            if reason:
                logger.warning("Standby: reading %s[%d] again: %s", *tp, reason)
            partition.begin()
            if wipe:
                partition.wipe()
            store.identify(bounds.topic_id)
            self.plans[tp] = FollowPlan(position, bounds.end, bounds.topic_id)
        for topic in topics:
            self.reader.route(topic, self.take)
        await self.read_from({tp: self.plans[tp].position for tp in self.partitions})

    def forget(self, tp: TP) -> None:
        """Follow *tp* no longer: it is given up."""
        if self.partitions.pop(tp, None) is not None:
            self._hearing.discard(tp)
            self._moved.discard(tp)
            self.reader.pause([tp])

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        """Seek to *offsets*, and go on with what was not given up meanwhile."""
        await super().read_from(offsets)
        if given_up := offsets.keys() - self.partitions.keys():
            self._hearing -= given_up
            self.reader.pause(given_up)

    async def _tick(self) -> None:
        await self._hear_out()
        if self._failure is not None:
            raise self._failure
        self._write_out()
        now = monotonic()
        due = [
            tp
            for tp in self._hearing
            if self.plans[tp].doubtful or now - self._checked[tp] >= LOOK_EVERY
        ]
        if due:
            await self._poll(due)
            await self._look(due)
        if now - self._reported >= REPORT_EVERY:
            self._reported = now
            self._report()

    def take(self, batch: Slice) -> None:
        """Apply a slice of a changelog, or keep it for those who want to hear of its records."""
        if batch.tp not in self.partitions or not self.hears(batch):
            return
        if batch.tp.topic in self._on_event:
            self._waiting.append(batch)
            if len(self._waiting) >= MANY:
                self._full = True
                self.reader.pause(list(self._hearing))
        else:
            self._apply(batch)

    async def _hear_out(self) -> None:
        while self._waiting:
            batch = self._waiting.popleft()
            if batch.tp in self._hearing:
                for record in batch.records:
                    await self._on_event[batch.tp.topic](batch.tp, record)
                if batch.tp in self._hearing:
                    self._apply(batch)
        if self._full:
            self._full = False
            self.reader.resume(list(self._hearing))

    def _apply(self, batch: Slice) -> None:
        tp, records = batch.tp, batch.records
        first = records[0].offset if records else batch.next_offset
        try:
            if self.plans[tp].slice(first, batch.next_offset):
                self._heard[tp] = monotonic()
                self.partitions[tp].apply(records, batch.next_offset)
                self._moved.add(tp)
                self.records += len(records)
        except Exception as exc:
            self._hearing.discard(tp)
            self._moved.discard(tp)
            self._failure = exc

    def _write_out(self) -> None:
        """Bring the stores to where the plans are."""
        moved, self._moved = self._moved, set()
        for tp in moved:
            partition = self.partitions[tp]
            if not partition.closed:
                partition.write_out(self.plans[tp].position)

    async def _poll(self, tps: Iterable[TP]) -> None:
        """Ask the consumer where it is with partitions of which nothing comes: behind the last record there may be markers.

        What it has handed over may be on its way, or wait to be heard: it is asked twice, and not believed while something waits.
        """
        quiet = [tp for tp in tps if self.plans[tp].lag and monotonic() - self._heard[tp] >= TICK]
        for pause in (0.0, TICK) if quiet else ():
            await asyncio.sleep(pause)
            for tp in quiet:
                what = f"ask for the position in {tp.topic}[{tp.partition}]"
                where = await self.ask(what, partial(self.reader.position, tp))
                waits = any(batch.tp == tp for batch in self._waiting)
                if tp in self._hearing and not waits and self.plans[tp].polled(where):
                    self._moved.add(tp)

    async def _look(self, tps: Iterable[TP]) -> None:
        """Compare with the logs; what does not belong together is read again."""
        again = {}
        for tp, bounds in (await self.bounds(list(tps))).items():
            if tp not in self._hearing:
                continue
            self._checked[tp] = monotonic()
            if self.plans[tp].look(bounds):
                again[tp] = self.plans[tp].position
        if not again:
            return
        self._hearing.difference_update(again)
        self._moved.difference_update(again)
        self._waiting = deque(batch for batch in self._waiting if batch.tp not in again)
        self.reader.pause(list(again))
        for tp, position in again.items():
            logger.warning(
                "Standby: the log of %s[%d] was truncated or made anew; reading it again from offset %d",
                *tp,
                position,
            )
            self.partitions[tp].wipe()
            self.partitions[tp].store.identify(self.plans[tp].topic_id)
        await self.read_from({tp: again[tp] for tp in again if tp in self.partitions})

    def _report(self) -> None:
        behind = {tp: lag for tp, lag in self.lag().items() if lag > WARM}
        if behind:
            logger.info(
                "Standby: %d of %d copies are catching up, %d records to go",
                len(behind),
                len(self.partitions),
                sum(behind.values()),
            )
