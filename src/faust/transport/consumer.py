"""The consumer service: takes slices from the driver, deals them out, commits what is finished.

The journey of a slice: the driver builds it, `_pump` takes it, looks up the task of its partition (no task, a dead
one or another generation: it is dropped), and gives it to the task's lanes; slices of changelogs go to the sink that
recovery has registered. From there on the slice belongs to a stream.

Commits: what may be committed of a task is `PartitionTask.safe`. A commit first notes those offsets, *then* makes the
sends that were held back for them (setting ``stream_publish_on_commit``), *then* waits for `before_commit` (tables
flushed, everything sent acknowledged), and then commits what it had noted: so whatever an event caused is safe before the
event is called done. A commit that the broker did not accept changes nothing here and is part of the next one.

Back-pressure: a lane with too much waiting makes its partition *full*. When every partition is full nothing is taken
from the driver, whose own buffers are bounded; when only some are, and the driver still has more of them, those are
paused in the driver. Reading the lane down to half its limit opens the partition again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from time import monotonic
from typing import Any

from mode import Service

from faust._core.lanes import PartitionTask
from faust.exceptions import BrokerError, CommitRefused, FaustError
from faust.messages import TP, Slice
from faust.sensors.base import SensorDelegate
from faust.transport.base import ConsumerDriver
from faust.utils.crashes import crash_because

__all__ = ["CommitStep", "Consumer"]

logger: logging.Logger = logging.getLogger(__name__)

TAKE_TIMEOUT = 1.0
MIN_COMMIT_GAP = 0.25
"""Seconds between two commits that are triggered by the number of finished events."""

LOOK_GAP = 0.02
"""Seconds between two looks at how many events are finished: it counts those of all partitions."""

RENEW_INTERVAL = 600.0
"""Seconds after which the offset of an idle partition is committed once more, so that it does not expire."""

LAST_COMMIT = 3.0
"""Seconds that the commit before partitions are given back may take, beyond the time for events in hand."""
LAST_STEP = 0.25
"""Seconds that a part of the consumer has to end when the consumer stops, and again when it does not."""

AsyncHook = Callable[[], Awaitable[None]]
Arrange = Callable[[list[Slice]], Sequence[Slice]]


class CommitStep(Enum):
    """How far a commit has come; see `faust.App.on_commit_step`."""

    BEGUN = "begun"
    """It is known what is finished."""
    HELD = "held"
    """Exactly once: no event is handed out any more."""
    QUIET = "quiet"
    """Exactly once: no event is half done."""
    FLUSHED = "flushed"
    """What the events have caused is at the broker; exactly once: in the open transaction."""
    OFFSETS_SENT = "offsets sent"
    """Exactly once: the transaction has the offsets."""
    COMMITTED = "committed"
    """The broker has accepted."""
    SETTLED = "settled"
    """Exactly once: the tables' stores have what was committed."""
    NEXT_BEGUN = "next begun"
    """Exactly once: the next transaction is open."""


def _ignore(_step: CommitStep) -> None:
    return None


class Consumer(Service):
    """Owns the driver, the tasks of the assigned partitions, and their offsets.

    Arguments:
        driver: The transport's consumer.
        before_commit: Awaited before offsets are committed: flush tables and producer. If it raises, nothing is committed
            and the worker crashes.
        after_commit: Called with the offsets the broker has accepted.
        commit_interval: Seconds between commits.
        commit_every: Finished events after which a commit is made earlier.
        sensors: Told of commits, of full buffers, and where partitions end.
        arrange: Puts the slices of one poll into another order; None: they are delivered as they come.
        max_poll_records: Records that are delivered before others on the event loop have a turn; None: one poll.
        renew_interval: Seconds after which what was committed is committed once more if nothing new was: brokers forget
            offsets that nobody has committed for long (setting ``offsets.retention.minutes`` of Kafka).
        on_step: Told how far a commit has come.
        close_timeout: Returns how many seconds leaving the group may take; None: 10.
    """

    def __init__(
        self,
        driver: ConsumerDriver,
        *,
        before_commit: AsyncHook,
        after_commit: Callable[[Mapping[TP, int]], None] | None = None,
        commit_interval: float = 2.8,
        commit_every: int | None = 10_000,
        sensors: SensorDelegate | None = None,
        renew_interval: float = RENEW_INTERVAL,
        on_step: Callable[[CommitStep], None] = _ignore,
        close_timeout: Callable[[], float] | None = None,
        arrange: Arrange | None = None,
        max_poll_records: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.driver = driver
        self._arrange = arrange
        self._max_poll_records = max_poll_records
        self._sought: set[TP] = set()
        self.tasks: dict[TP, PartitionTask] = {}
        self.commit_interval = commit_interval
        self.commit_every = commit_every
        self.renew_interval = renew_interval
        self._close_timeout = close_timeout or _ten_seconds
        self.last_commit: float = 0.0
        self._look_at = 0.0
        self._sensors = SensorDelegate() if sensors is None else sensors
        self.on_step = on_step
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._sinks: dict[str, Callable[[Slice], None]] = {}
        self._commit_lock = asyncio.Lock()
        self._held = False
        self._room = asyncio.Event()
        self._progress = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []

    # -- life

    async def on_start(self) -> None:
        """Connect, and begin to take slices."""
        await self.driver.start()
        self.last_commit = monotonic()
        self._spawn(self._pump, "take slices")
        self._spawn(self._commit_regularly, "commit")

    async def on_stop(self) -> None:
        """Leave the group. Draining and committing is the application's business, before this."""
        left = set(self._running)
        # A commit that is cancelled begins an abort; cancelling it again breaks that off.
        for _ in range(2):
            for task in left:
                task.cancel()
            if left:
                _, left = await asyncio.wait(left, timeout=LAST_STEP)
        self._running.clear()
        await self.driver.close(self._close_timeout())

    def _spawn(self, part: Callable[[], Awaitable[None]], name: str) -> None:
        """Run a part of the consumer; when it ends in an error the worker crashes."""
        self._running.append(
            asyncio.get_running_loop().create_task(
                self._guard(part, name), name=f"consumer: {name}"
            )
        )

    async def _guard(self, part: Callable[[], Awaitable[None]], name: str) -> None:
        try:
            await part()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            if not self.should_stop:
                ours = isinstance(exc, FaustError)
                await crash_because(f"Consumer cannot go on ({name})", exc, self, explained=ours)

    # -- the driver's face

    @property
    def hindrance(self) -> str:
        """Why nothing can be worked on although partitions are ours; empty: nothing is known that hinders."""
        return ""

    @property
    def generation(self) -> int:
        """Generation of the group."""
        return self.driver.generation

    def assignment(self) -> set[TP]:
        """Return the partitions held now."""
        return set(self.driver.assignment)

    def pause(self, tps: Collection[TP]) -> None:
        """Stop fetching *tps*."""
        self.driver.pause(tps)

    def resume(self, tps: Collection[TP]) -> None:
        """Fetch *tps* again."""
        self.driver.resume(tps)

    async def seek(self, offsets: Mapping[TP, int]) -> None:
        """Go on at *offsets*."""
        self._sought.update(offsets)
        await self.driver.seek(offsets)

    async def position(self, tp: TP) -> int:
        """Return the offset of the next record to be taken."""
        return await self.driver.position(tp)

    async def committed(self, tps: Collection[TP]) -> dict[TP, int | None]:
        """Return committed next offsets."""
        return await self.driver.committed(tps)

    async def beginning_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return log start offsets."""
        return await self.driver.beginning_offsets(tps)

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the next offsets to be written."""
        return await self.driver.end_offsets(tps)

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the identities of topics, of those that have one."""
        return await self.driver.topic_ids(topics)

    async def log_end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the next offsets to be written, behind open transactions, too."""
        return await self.driver.log_end_offsets(tps)

    async def busy(self) -> frozenset[int]:
        """Return the numbers of the partitions of which something is in hand, waits here, or waits at the broker."""
        tasks = list(self.tasks.values())
        ends = await self.driver.end_offsets([task.tp for task in tasks])
        found = set()
        for task in tasks:
            unfinished = task.in_hand() or (task.acking() and task.safe() < task.delivered)
            here = unfinished or any(lane.queued for lane in task.lanes)
            if here or not task.alive or await self._has_more(task.tp, ends[task.tp]):
                found.add(task.tp.partition)
        return frozenset(found)

    async def _has_more(self, tp: TP, end: int) -> bool:
        try:
            return await self.driver.position(tp) < end
        except Exception:  # it is just being given away
            return True

    def hold(self) -> None:
        """Take nothing from the driver until `release`: what is there has to be digested first."""
        self._held = True

    def release(self) -> None:
        """Take from the driver again."""
        self._held = False
        self._room.set()

    def route(self, topic: str, sink: Callable[[Slice], None] | None) -> None:
        """Give the slices of *topic* to *sink* instead of to lanes; None: undo."""
        if sink is None:
            self._sinks.pop(topic, None)
        else:
            self._sinks[topic] = sink

    # -- tasks

    def open_tasks(self, tps: Iterable[TP], generation: int) -> list[PartitionTask]:
        """Make the tasks of newly assigned partitions; they take part at once."""
        made = []
        for tp in tps:
            task = self.tasks[tp] = PartitionTask(tp, generation)
            task.committed_at = monotonic()
            made.append(task)
        return made

    async def close_tasks(
        self,
        tps: Iterable[TP],
        *,
        lost: bool,
        timeout: float,
        commit_timeout: float = LAST_COMMIT,
    ) -> list[TP]:
        """Stop handing out *tps*, wait for what is in hand, commit, and forget them.

        Arguments:
            tps: The partitions that go away.
            lost: They are gone already: nothing is waited for and nothing is committed.
            timeout: Seconds to wait for events in hand.
            commit_timeout: Seconds that the commit may take, beyond what is left of *timeout*.

        Returns:
            The partitions with events that were still in hand at the end; of those only what was finished is committed.
        """
        tasks = [task for tp in tps if (task := self.tasks.get(tp)) is not None]
        for task in tasks:
            task.alive = False
        for inbox in {lane.inbox for task in tasks for lane in task.lanes}:
            inbox.wake()
        stuck: list[TP] = []
        if not lost:
            deadline = asyncio.get_running_loop().time() + timeout + commit_timeout
            stuck = await self._drain(tasks, timeout)
            try:
                async with asyncio.timeout_at(deadline):
                    await self._commit_tasks(tasks)
            except TimeoutError:
                logger.warning(
                    "The last commit before giving back %d partitions did not finish within %.1f s; what it"
                    " covers will be processed again",
                    len(tasks),
                    timeout + commit_timeout,
                )
        for task in tasks:
            self.tasks.pop(task.tp, None)
            task.close()
            task.lanes.clear()
        self._room.set()
        return stuck

    async def _drain(self, tasks: list[PartitionTask], timeout: float) -> list[TP]:
        deadline = monotonic() + timeout
        while any(task.in_hand() for task in tasks):
            left = deadline - monotonic()
            if left <= 0:
                break
            self._progress.clear()
            try:
                await asyncio.wait_for(self._progress.wait(), min(left, 0.02))
            except TimeoutError:
                continue
        return [task.tp for task in tasks if task.in_hand()]

    def note_progress(self, _task: PartitionTask) -> None:
        """A stream has finished a slice (or noticed that its task is dead)."""
        self._progress.set()

    def relieved(self, task: PartitionTask) -> None:
        """A full partition has room again."""
        if task.paused and task.alive:
            task.paused = False
            self.driver.resume([task.tp])
        self._room.set()

    # -- taking slices

    async def _pump(self) -> None:
        take = self.driver.take
        while not self.should_stop:
            if self._crowded():
                self._room.clear()
                await self._room.wait()
                continue
            batches = await take(TAKE_TIMEOUT)
            if self._arrange is not None:
                batches = self._arranged(batches, self._arrange)
            if self._max_poll_records:
                await self._deliver_in_turns(batches, self._max_poll_records)
            else:
                for batch in batches:
                    self._deliver(batch)
            if self.commit_every is not None:
                self._maybe_commit_early()

    def _arranged(self, batches: list[Slice], arrange: Arrange) -> list[Slice]:
        """Put what goes to streams into order; changelogs are read as they are."""
        streams = [batch for batch in batches if batch.tp.topic not in self._sinks]
        others = [batch for batch in batches if batch.tp.topic in self._sinks]
        return others + list(arrange(streams))

    async def _deliver_in_turns(self, batches: list[Slice], limit: int) -> None:
        """Deliver at most *limit* records in one turn of the event loop (slices are not longer than that)."""
        self._sought.clear()
        count = 0
        for batch in batches:
            count += len(batch.records)
            if count > limit:
                await asyncio.sleep(0)
                count = len(batch.records)
            if batch.tp not in self._sought:
                self._deliver(batch)

    def _crowded(self) -> bool:
        """Every partition that is being read has enough waiting."""
        if self._held:
            return True
        tasks = self.tasks.values()
        return bool(tasks) and not self._sinks_active and all(task.full for task in tasks)

    @property
    def _sinks_active(self) -> bool:
        return bool(self._sinks)

    def _deliver(self, batch: Slice) -> None:
        tp = batch.tp
        sink = self._sinks.get(tp.topic)
        if sink is not None:
            sink(batch)
            return
        task = self.tasks.get(tp)
        if task is None or not task.alive or task.generation != batch.generation:
            return
        if task.delivered < 0:
            self._first_slice(task, batch)
        task.delivered = batch.next_offset
        for lane in task.lanes:
            lane.inbox.put(lane, batch)
        if task.full and not task.paused:
            task.paused = True
            self.driver.pause([tp])
            self._sensors.on_topic_buffer_full(tp)

    def _first_slice(self, task: PartitionTask, batch: Slice) -> None:
        start = batch.records[0].offset if batch.records else batch.next_offset
        task.committed = start
        for lane in task.lanes:
            lane.start_at(start)

    # -- commits

    async def _commit_regularly(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(self.commit_interval)
            await self.commit()
            await self._renew()
            if self._sensors.hooks.track_tp_end_offset is not None:
                await self._tell_ends()

    async def _renew(self) -> None:
        """Commit once more what was committed, of partitions of which nothing was for long."""
        now = monotonic()
        due = [
            task
            for task in self.tasks.values()
            if task.alive and task.acking() and now - task.committed_at >= self.renew_interval
        ]
        if not due:
            return
        async with self._commit_lock:
            found = await self.driver.committed([task.tp for task in due])
            offsets = {}
            for task in due:
                task.committed_at = now
                offset = found.get(task.tp) if task.committed is None else task.committed
                if offset is not None and self.tasks.get(task.tp) is task and task.alive:
                    offsets[task.tp] = offset
            if offsets:
                await self._commit_offsets(offsets)

    async def _tell_ends(self) -> None:
        """Tell sensors where the partitions end that we read; what cannot be asked now is asked again."""
        try:
            async with asyncio.timeout(self.commit_interval):
                ends = await self.driver.end_offsets(list(self.tasks))
        except (OSError, TimeoutError, BrokerError) as exc:
            logger.debug("Cannot ask for the ends of partitions: %s", exc)
            return
        for tp, end in ends.items():
            if tp in self.tasks:
                self._sensors.track_tp_end_offset(tp, end)

    def _maybe_commit_early(self) -> None:
        now = monotonic()
        if now < self._look_at or now - self.last_commit < MIN_COMMIT_GAP:
            return
        self._look_at = now + LOOK_GAP
        if self._commit_lock.locked():
            return
        pending = sum(
            task.safe() - task.committed
            for task in self.tasks.values()
            if task.committed is not None
        )
        if self.commit_every is not None and pending >= self.commit_every:
            self.last_commit = now
            self._spawn_commit()

    def _spawn_commit(self) -> None:
        async def commit() -> None:
            await self.commit()

        self._running = [task for task in self._running if not task.done()]
        self._spawn(commit, "commit")

    async def commit(self, topics: Collection[str | TP] | None = None) -> bool:
        """Commit what is finished.

        Arguments:
            topics: Topic names or topic-partitions; None: all.

        Returns:
            Whether something was committed; False also when another commit was under way (it is waited for).
        """
        if self._commit_lock.locked():
            async with self._commit_lock:
                return False
        tasks = [
            task
            for task in self.tasks.values()
            if topics is None or task.tp in topics or task.tp.topic in topics
        ]
        return await self._commit_tasks(tasks)

    async def _commit_tasks(self, tasks: list[PartitionTask]) -> bool:
        async with self._commit_lock:
            state = self._sensors.on_commit_initiated(self)
            try:
                return await self._commit_noted(tasks)
            finally:
                self._sensors.on_commit_completed(self, state)

    async def _commit_noted(self, tasks: list[PartitionTask]) -> bool:
        """Note what is safe, make safe what it has caused, commit what was noted."""
        offsets = self._note(tasks)
        self.on_step(CommitStep.BEGUN)
        try:
            await self._before_commit()
        except CommitRefused as exc:
            logger.warning("Not committing: %s", exc)
            return False
        self.on_step(CommitStep.FLUSHED)
        self.last_commit = monotonic()
        for task in tasks:
            if self.tasks.get(task.tp) is not task:  # given back meanwhile: somebody else's now
                offsets.pop(task.tp, None)
        if not offsets:
            return False
        return await self._commit_offsets(offsets)

    def _note(self, tasks: list[PartitionTask]) -> dict[TP, int]:
        """Return what may be committed and is not yet; make the sends that wait for it.

        While the lease is uncertain no such sends are made, and what they wait for is not noted.
        """
        noted = [(task, task.safe()) for task in tasks]
        if monotonic() < self.driver.lease_until():
            for task, safe in noted:
                if task.attached:
                    task.release(safe)
        else:
            noted = [
                (task, safe) for task, safe in noted if not any(at < safe for at in task.attached)
            ]
        return {
            task.tp: safe
            for task, safe in noted
            if task.committed is not None and task.acking() and safe > task.committed
        }

    async def _commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        if monotonic() >= self.driver.lease_until():
            logger.warning("Not committing: our membership of the group is no longer certain")
            return False
        try:
            answers = await self.driver.commit(offsets)
        except CommitRefused as exc:
            logger.warning("The group refused a commit; it will be processed again: %s", exc)
            return False
        self.on_step(CommitStep.COMMITTED)
        accepted = {tp: offset for tp, offset in offsets.items() if answers.get(tp) is None}
        for tp, error in answers.items():
            if error is not None:
                logger.warning("Commit of %s[%d] at %d failed: %s", *tp, offsets[tp], error)
        self._accept(accepted)
        return bool(accepted)

    def _accept(self, accepted: Mapping[TP, int]) -> None:
        """The broker has these offsets."""
        for tp, offset in accepted.items():
            task = self.tasks.get(tp)
            if task is not None:
                task.committed = offset
                task.committed_at = self.last_commit
        if self._after_commit is not None:
            self._after_commit(accepted)
        if accepted:
            self._sensors.on_tp_commit(accepted)


def _ten_seconds() -> float:
    return 10.0
