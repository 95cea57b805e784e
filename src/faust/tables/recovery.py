"""Carries the plan of recovery out: one cancellable run per assignment.

The run reads the changelogs with the application's own consumer: it seeks, resumes the partitions that are behind,
takes their slices through `Reader.route`, and pauses each again when `faust.tables.plan` says that it is ready. Source
partitions need not wait for all of them: what is still to be waited for is told each time (see `TableManager.recover`).

A request that times out or fails for a reason that may pass is repeated for ever, with growing pauses, and said in
the log each time; a run that makes no progress says that, too. Whatever else goes wrong ends the run with an error,
which the caller makes the worker's.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Mapping
from functools import partial
from time import monotonic

from faust.messages import TP, Slice
from faust.tables.partition import TablePartition
from faust.tables.plan import PartitionPlan, Phase, Verdict, start_of
from faust.tables.reading import ChangelogReader, OnEvent, Reader

__all__ = ["MANY", "OnReady", "Recovery"]

logger: logging.Logger = logging.getLogger(__name__)

OnReady = Callable[[frozenset[TP]], Awaitable[None] | None]
"""Called with the partitions that are still recovered: at first, and whenever there are fewer."""

MANY = 100
"""Slices that may wait for those who want to hear of their records."""
FIRST_POLL = 0.02
LAST_POLL = 0.5
"""Seconds between two looks at partitions that send nothing; it doubles from the first to the last."""
STALLED_AFTER = 5.0
"""Seconds without a slice after which a partition's bounds are asked for again, and what may be read of it is fetched again."""
REPORT_EVERY = 5.0
"""Seconds between two progress reports in the log."""


class Recovery(ChangelogReader):
    """One run: brings the partitions of one assignment up to the end of their changelogs.

    Arguments:
        partitions: Table partitions by changelog partition.
        reader: The consumer.
        generation: Generation of the assignment; slices of another one are dropped.
        on_ready: Told which partitions are still to be waited for.
        check: A store ahead of its changelog is an error.
        timeout: Seconds that one request may take.
        on_event: By topic, what is awaited with every record before it is applied.
        lasting: Topics of which the broker should remove nothing that is not replaced.
    """

    def __init__(
        self,
        partitions: Mapping[TP, TablePartition],
        *,
        reader: Reader,
        generation: int,
        on_ready: OnReady,
        check: bool = True,
        timeout: float = 90.0,
        on_event: Mapping[str, OnEvent] | None = None,
        lasting: Container[str] = (),
    ) -> None:
        super().__init__(reader, generation=generation, timeout=timeout)
        self._lasting = lasting
        self._on_event: dict[str, OnEvent] = dict(on_event or {})
        self._heard_out: deque[Slice] = deque()
        self._full: bool = False
        self._asked: float = 0.0
        self.partitions: dict[TP, TablePartition] = dict(partitions)
        self.check = check
        self.plans: dict[TP, PartitionPlan] = {}
        self.records: int = 0
        self._on_ready = on_ready
        self._pending: set[TP] = set(self.partitions)
        self._failure: Exception | None = None
        self._look = asyncio.Event()
        self._readable: dict[TP, int] = {}
        """Of partitions of which nothing comes: up to where they may be read."""
        self._started = self._reported = monotonic()

    # -- the run

    async def run(self) -> None:
        """Read until every partition is ready.

        Raises:
            ConsistencyError: A store is ahead of its changelog.
            DecodeError: A key in a changelog could not be decoded (only where decoded state had to be corrected).
        """
        topics = {tp.topic for tp in self.partitions}
        self.reader.pause(self._pending)
        try:
            await self._announce()
            await self._begin(topics)
            await self._read_all()
        finally:
            for topic in topics:
                self.reader.route(topic, None)
        if self.records:
            logger.info(
                "Recovered %d records of %d table partitions in %.1f s",
                self.records,
                len(self.partitions),
                monotonic() - self._started,
            )

    async def _begin(self, topics: Iterable[str]) -> None:
        cut: dict[str, list[int]] = {}
        for tp, bounds in (await self.bounds(self.partitions)).items():
            partition = self.partitions[tp]
            store = partition.store
            if store.persisted_offset is None:
                start_of(tp, partition.wiped_at, bounds, check=self.check)
            position, wipe, reason = start_of(
                tp, store.persisted_offset, bounds, check=self.check, topic_id=store.topic_id
            )
            if reason:
                logger.warning("Recovery: rebuilding %s[%d]: %s", *tp, reason)
            partition.begin()
            if wipe:
                partition.wipe()
                if bounds.beginning and tp.topic in self._lasting:
                    cut.setdefault(tp.topic, []).append(tp.partition)
            store.identify(bounds.topic_id)
            self.plans[tp] = PartitionPlan(position, bounds.end, bounds.topic_id)
        for topic, numbers in cut.items():
            logger.warning(
                "The changelog %s has lost its beginning (partitions %s), and no store here has what stood there: keys that were "
                "not written since are missing. It loses records only while its cleanup.policy has delete in it, or by hand",
                topic,
                ", ".join(map(str, sorted(numbers))),
            )
        await self._finish(tp for tp, plan in self.plans.items() if plan.phase is Phase.READY)
        for topic in topics:
            self.reader.route(topic, self.take)
        await self._read_on(self._pending)

    async def _read_all(self) -> None:
        poll = FIRST_POLL
        while self._pending:
            records = self.records
            self._look.clear()
            reached = self._reached()
            if not reached and not self._heard_out and self._failure is None:
                poll = await self._wait(poll)
            await self._hear_out()
            if self._failure is not None:
                raise self._failure
            self._report()
            reached = self._reached()
            if reached:
                await self._confirm(reached)
            elif self.records == records:
                await self._poll()
            else:
                poll = FIRST_POLL
            if stalled := self._stalled():
                await self._look_into(stalled)

    async def _wait(self, poll: float) -> float:
        """Wait until a partition has reached its end, or for *poll* seconds; return how long to wait next."""
        try:
            async with asyncio.timeout(poll):
                await self._look.wait()
        except TimeoutError:
            return min(poll * 2, LAST_POLL)
        return FIRST_POLL

    def _reached(self) -> list[TP]:
        return [tp for tp in self._pending if self.plans[tp].phase is Phase.REACHED]

    def _stalled(self) -> list[TP]:
        now = monotonic()
        return [
            tp
            for tp in self._pending
            if now - max(self._heard[tp], self._checked[tp]) >= STALLED_AFTER
        ]

    async def _poll(self) -> None:
        """Ask the consumer where it is with partitions of which nothing comes.

        What it has handed over may be on its way, or wait to be heard: it is not believed while something waits, nor asked
        again before what was on its way has come by.
        """
        now = monotonic()
        if now - self._asked < FIRST_POLL:
            return
        for tp in [tp for tp in self._pending if now - self._heard[tp] >= FIRST_POLL]:
            what = f"ask for the position in {tp.topic}[{tp.partition}]"
            where = await self.ask(what, partial(self.reader.position, tp))
            if not any(batch.tp == tp for batch in self._heard_out):
                self.plans[tp].polled(where)
        self._asked = monotonic()

    async def _look_into(self, stalled: Collection[TP]) -> None:
        """Nothing comes of these partitions: ask again where they end, and fetch again what may be read."""
        heard = {tp: self._heard[tp] for tp in stalled}
        what = "ask how far the changelogs may be read"
        self._readable.update(await self.ask(what, partial(self.reader.end_offsets, stalled)))
        await self._confirm(stalled)
        silent = {tp for tp in self._pending.intersection(heard) if self._heard[tp] == heard[tp]}
        for tp in heard.keys() - silent:
            self._readable.pop(tp, None)
        if again := {tp: heard[tp] for tp in silent if not self._is_held_up(tp)}:
            self.reader.pause(again)
            await self._read_on(again)
            self._heard.update(again)

    def _is_held_up(self, tp: TP) -> bool:
        """Say whether what stands next belongs to a transaction that has not ended."""
        return self._readable[tp] <= self.plans[tp].position

    # -- slices

    def take(self, batch: Slice) -> None:
        """Apply a slice of a changelog; what is not ours (any more) is dropped."""
        tp = batch.tp
        if not self.hears(batch):
            return
        if tp.topic in self._on_event:
            self._heard_out.append(batch)
            self._heard[tp] = monotonic()
            if len(self._heard_out) >= MANY:
                self._full = True
                self.reader.pause(self._hearing)
            self._look.set()
        else:
            self._take(batch)

    async def _hear_out(self) -> None:
        """Tell of records that somebody wants to hear of, and apply them."""
        while self._heard_out:
            batch = self._heard_out.popleft()
            tp = batch.tp
            if tp not in self._hearing:
                continue
            for record in batch.records:
                await self._on_event[tp.topic](tp, record)
            self._take(batch)
        if self._full:
            self._full = False
            self.reader.resume(self._hearing)

    def _take(self, batch: Slice) -> None:
        tp = batch.tp
        records = batch.records
        plan = self.plans[tp]
        self._heard[tp] = monotonic()
        self._readable.pop(tp, None)
        try:
            if plan.slice(records[0].offset if records else batch.next_offset, batch.next_offset):
                keyless = self.partitions[tp].apply(records, batch.next_offset)
                self.records += len(records)
                if keyless:
                    logger.error(
                        "Changelog %s[%d] has %d records without a key below offset %d; they say nothing about "
                        "the table and are left out",
                        *tp,
                        keyless,
                        batch.next_offset,
                    )
        except Exception as exc:
            self._failure = exc
        if self._failure is not None or plan.phase is Phase.REACHED:
            self._look.set()

    # -- steps

    async def _read_on(self, tps: Iterable[TP]) -> None:
        await self.read_from({tp: self.plans[tp].position for tp in tps})

    async def _confirm(self, tps: Collection[TP]) -> None:
        rebuild: list[TP] = []
        ready: list[TP] = []
        for tp, bounds in (await self.bounds(tps)).items():
            self._checked[tp] = monotonic()
            verdict = self.plans[tp].confirm(bounds)
            if verdict is Verdict.REBUILD:
                rebuild.append(tp)
            elif verdict is Verdict.READY:
                ready.append(tp)
        if rebuild:
            self.reader.pause(rebuild)
            self._heard_out = deque(batch for batch in self._heard_out if batch.tp not in rebuild)
            for tp in rebuild:
                logger.warning(
                    "Recovery: the log of %s[%d] was truncated or made anew while it was read; reading it again "
                    "from offset %d",
                    *tp,
                    self.plans[tp].position,
                )
                self.partitions[tp].wipe()
                self.partitions[tp].store.identify(self.plans[tp].topic_id)
            await self._read_on(rebuild)
        await self._finish(ready)

    async def _finish(self, tps: Iterable[TP]) -> None:
        """These partitions are ready: open them to the events of this generation."""
        ready = list(tps)
        if not ready:
            return
        self.reader.pause(ready)
        for tp in ready:
            partition = self.partitions[tp]
            partition.write_out(self.plans[tp].position)
            if not partition.derived:
                for _ in partition.recovered():
                    await asyncio.sleep(0)
                partition.derived = True
            partition.complete = True
            partition.generation = self.generation
        self._pending.difference_update(ready)
        self._hearing.difference_update(ready)
        await self._announce()

    async def _announce(self) -> None:
        """Tell what is left to wait for."""
        result = self._on_ready(frozenset(self._pending))
        if inspect.isawaitable(result):
            await result

    # -- words

    @property
    def remaining(self) -> int:
        """Offsets that are still to be read."""
        return sum(self.plans[tp].remaining for tp in self._pending if tp in self.plans)

    def doing(self) -> str:
        """Say in a sentence what is being waited for."""
        if self.trouble:
            return self.trouble
        if not self.plans:
            return "asking where the changelogs begin and end"
        now = monotonic()
        text = f"reading {len(self._pending)} changelog partitions, {self.remaining} records to go"
        quiet = {tp: now - self._heard[tp] for tp in self._pending if tp in self._heard}
        if (
            quiet
            and (longest := max(quiet, key=quiet.__getitem__))
            and quiet[longest] >= REPORT_EVERY
        ):
            plan = self.plans[longest]
            text += (
                f"; nothing has come from {longest.topic}[{longest.partition}] for {quiet[longest]:.0f} s, at offset "
                f"{plan.position} of {plan.end}{self._because(longest)}"
            )
        return text

    def _because(self, tp: TP) -> str:
        """Say why nothing comes of a partition, as far as is known."""
        if tp not in self._readable:
            return ""
        if self._is_held_up(tp):
            return (
                ": what stands there belongs to a transaction that has not ended; the broker ends it when it is older than its "
                "producer's transaction timeout"
            )
        return f", though it may be read up to {self._readable[tp]}; it is fetched again"

    def _report(self) -> None:
        now = monotonic()
        if now - self._reported < REPORT_EVERY:
            return
        self._reported = now
        rate = self.records / (now - self._started)
        done = len(self.partitions) - len(self._pending)
        about = f"about {self.remaining / rate:.0f} s" if rate else "nothing has come yet"
        logger.info(
            "Recovering tables: %d of %d partitions ready, %d records to go (%d/s, %s)",
            done,
            len(self.partitions),
            self.remaining,
            rate,
            about,
        )
        silent = [tp for tp in self._pending if now - self._heard[tp] >= REPORT_EVERY * 0.9]
        for tp in silent[:5]:
            plan = self.plans[tp]
            logger.warning(
                "Recovering tables: nothing has come from %s[%d] for %.0f s, at offset %d of %d%s",
                *tp,
                now - self._heard[tp],
                plan.position,
                plan.end,
                self._because(tp),
            )
