"""The consumer with exactly-once processing: offsets are committed in the transaction of what their events caused.

A commit is taken at a *quiet point* (`faust.gate`): hold the gate, let events in hand finish, note offsets, put changed keys into
the transaction, and put up a *fence*: what is appended from now on belongs to the next transaction. Then the gate is opened, and
while events go on, the old transaction is flushed, given its offsets and committed, the stores are brought up to it, and the next
one is begun, which lets go what the fence has held back. So processing stands still for the quiet point, not for the broker.
A driver that knows no fence keeps the gate held until all of that is done; so does a commit before partitions are given back. The
protocol is that of KIP-98; offsets carry the group's generation and member, so that a worker which has lost its partitions cannot
commit (KIP-447).

Undoing a transaction undoes what is behind its fence, too: its events stand on those that come again.

What goes wrong falls into three kinds:

* *not now*: an event in hand takes its time. The gate is opened again and the commit tried later, with more patience each
  time; when half of the transaction's time is over the gate stays held until the event is done;
* *undone*: fenced, refused by the group, the coordinator lost, the outcome unknown, or an event slower than the transaction may
  take. The transaction is aborted, everything since the last commit is forgotten and read again (`restart`), and the
  process lives. What really became of a commit with unknown outcome is read from the log: offsets and changelogs. While
  the broker cannot end the old transaction, because a partition of it lacks replicas, none can be begun: `hindrance`;
* *fatal*: a record that the broker does not accept, missing permission, a disk of the embedded broker that takes nothing
  more, an event that is too slow a second time. The transaction is aborted and the worker stops with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from time import monotonic
from typing import Any

from faust._core.lanes import PartitionTask
from faust.exceptions import (
    BrokerUnavailable,
    CommitRefused,
    ProducerFenced,
    TransactionTimeout,
)
from faust.gate import Gate, Where
from faust.messages import TP, Slice
from faust.transport.base import ConsumerDriver
from faust.transport.consumer import LAST_COMMIT, AsyncHook, CommitStep, Consumer
from faust.transport.transactions import TransactionalDriver

__all__ = ["TransactionalConsumer"]

logger: logging.Logger = logging.getLogger(__name__)

UNDONE = (ProducerFenced, CommitRefused, BrokerUnavailable, TimeoutError)
"""What costs the work since the last commit, and nothing else."""

FIRST_PATIENCE = 0.2
"""Share of the commit interval for which events in hand are waited for at first."""
LONGEST_PATIENCE = 0.5
"""Seconds, at first."""
LAST_PATIENCE = 0.3
"""Seconds to wait for a quiet point when partitions are given back and events were waited for already."""
WAIT_SHARE = 0.5
"""Share of the transaction's time after which nothing more is handed out before it is committed."""
GIVE_UP_SHARE = 0.8
"""Share of the transaction's time after which it is aborted."""

LAST_ABORT = 0.5
"""Seconds that aborting may take when partitions are given back and the last commit was not made in its time."""
READY_PAUSE = 0.5
"""Seconds between two attempts to begin a transaction while brokers are away."""

_Place = tuple[TP, int]


class TransactionalConsumer(Consumer):
    """See `Consumer`.

    Arguments:
        driver: The transport's consumer; it reads committed.
        producer: Where events send to.
        gate: Holds the streams.
        settle: Called when a transaction was committed: the tables' stores may have what is in it.
        restart: Awaited in a task of its own when work was undone: read again from what is committed.
        transaction_timeout: Seconds after which the broker aborts a transaction.
    """

    def __init__(
        self,
        driver: ConsumerDriver,
        *,
        producer: TransactionalDriver,
        gate: Gate,
        settle: Callable[[], Awaitable[None]],
        restart: Callable[[], Awaitable[None]],
        transaction_timeout: float,
        before_commit: AsyncHook,
        **options: Any,
    ) -> None:
        super().__init__(driver, before_commit=before_commit, **options)
        self.producer = producer
        self.gate = gate
        self.transaction_timeout = transaction_timeout
        self.aborted: int = 0
        """Transactions that were aborted."""
        self._settle = settle
        self._restart = restart
        self._undone = True
        """No transaction is open: there is nothing to commit before `ready`."""
        self._undone_by = self._unready = ""
        self._closing = False
        self._patience = self._first_patience()
        self._started_at: dict[TP, int] = {}
        self._slow: frozenset[_Place] = frozenset()
        self._restarting: asyncio.Task[None] | None = None
        self._may_restart = True
        """No rebalance is under way, which does what a restart would do."""

    last_commit: float

    def _first_patience(self) -> float:
        return min(max(self.commit_interval * FIRST_PATIENCE, 0.01), LONGEST_PATIENCE)

    # -- life

    async def on_stop(self) -> None:
        """Leave the group; a restart under way is not finished any more."""
        await self.stop_restart()
        await super().on_stop()

    async def ready(self, tps: Collection[TP]) -> None:
        """Have a transaction open for work on *tps*, and no offset of theirs in anybody else's.

        A former owner may have died between sending offsets and its commit's last marker. Asking for stable offsets waits
        for the outcome (KIP-447); only then it is known where to begin, and how far changelogs go.

        Waits, and says so, for as long as brokers are away or cannot end our last transaction for want of replicas.
        """
        while not await self._have_transaction():
            await asyncio.sleep(READY_PAUSE)
        if tps:
            await self.driver.committed(tps)
        self.gate.spoilt = self._undone_by = self._unready = ""
        self._undone = False

    async def _have_transaction(self) -> bool:
        async with (
            self._commit_lock
        ):  # a commit of what was ours before may still wait for the broker
            try:
                await self.producer.ready()
            except BrokerUnavailable as exc:
                logger.warning("No transaction can be begun yet; trying again: %s", exc)
                self._unready = str(exc)
                return False
        return True

    @property
    def hindrance(self) -> str:
        """Why there is no transaction to work in, as far as is known."""
        if not self._undone:
            return ""
        undone = self._undone_by and f"the last one was undone: {self._undone_by}"
        unready = self.producer.trouble or self._unready
        return "; ".join(filter(None, (undone, unready and f"none can be begun: {unready}")))

    async def rewind(self, tps: Iterable[TP]) -> None:
        """Go back to what is committed."""
        tps = list(tps)
        committed = await self.driver.committed(tps)
        offsets: dict[TP, int] = {}
        for tp in tps:
            offset = committed.get(tp)
            if offset is None:
                offset = self._started_at.get(tp)
            if offset is not None:
                offsets[tp] = offset
        if offsets:
            await self.driver.seek(offsets)

    def open_tasks(self, tps: Iterable[TP], generation: int) -> list[PartitionTask]:
        """Make the tasks of newly assigned partitions."""
        self._may_restart = True
        made = super().open_tasks(tps, generation)
        self._started_at = {
            task.tp: self._started_at[task.tp] for task in made if task.tp in self._started_at
        }
        return made

    def _deliver(self, batch: Slice) -> None:
        tp = batch.tp
        if tp not in self._started_at and tp in self.tasks:
            # Also of a task that is being undone: the slice is dropped, and `rewind` has to find where it began.
            self._started_at[tp] = batch.records[0].offset if batch.records else batch.next_offset
        super()._deliver(batch)

    def _first_slice(self, task: PartitionTask, batch: Slice) -> None:
        super()._first_slice(task, batch)
        assert task.committed is not None
        self._started_at[task.tp] = task.committed

    async def close_tasks(
        self,
        tps: Iterable[TP],
        *,
        lost: bool,
        timeout: float,
        commit_timeout: float = LAST_COMMIT,
    ) -> list[TP]:
        """Stop handing out *tps*, wait for what is in hand, commit, and forget them; abort what cannot be committed."""
        tps = list(tps)
        self._closing = True
        try:
            if lost:
                for tp in tps:
                    if (task := self.tasks.get(tp)) is not None:
                        task.alive = False
                await self._drop(LAST_COMMIT)
            stuck = await super().close_tasks(
                tps, lost=lost, timeout=timeout, commit_timeout=commit_timeout
            )
            if not lost and (self.producer.touched or self.producer.fenced):
                await self._drop(LAST_ABORT)  # the last commit was not made
            return stuck
        finally:
            self._closing = False

    async def _drop(self, timeout: float) -> None:
        """Partitions are not ours any more: what was done for them and not committed does not count."""
        self._undone = True
        try:
            async with asyncio.timeout(timeout), self._commit_lock:
                await self._abort()
        except TimeoutError:
            logger.warning(
                "A transaction of partitions that are given away is neither committed nor aborted yet: the broker does "
                "not answer. What it covers will be processed again"
            )

    # -- the commit

    async def commit(self, topics: Collection[str | TP] | None = None) -> bool:
        """Commit what is finished, of all partitions: a transaction cannot be committed in part.

        Returns:
            Whether something was committed. False from inside an event, which is not finished itself: the commit is
            made as soon as it is.
        """
        if self.gate.where() is not Where.OUTSIDE:
            self._spawn_commit()
            return False
        return await super().commit(topics)

    async def _commit_noted(self, tasks: list[PartitionTask]) -> bool:
        if self._undone:
            return False
        if await self._undo_spoilt():
            return False
        if not self.producer.touched:
            self.producer.began = monotonic()
        self.gate.hold()
        try:
            self.on_step(CommitStep.HELD)
            if not await self._quiet():
                return False
            self.on_step(CommitStep.QUIET)
            if await self._undo_spoilt():  # by what was in hand until now
                return False
            return await self._commit_quietly(tasks)
        except UNDONE as exc:
            logger.warning(
                "The transaction was not committed; what was done since the last commit is undone and done again: %s",
                exc,
            )
            await self._undo(str(exc) or type(exc).__name__)
            return False
        except BaseException:
            await self._abort()
            raise
        finally:
            self.last_commit = monotonic()
            self.gate.open()

    async def _commit_quietly(self, tasks: list[PartitionTask]) -> bool:
        """No event is half done: commit what all of them have caused."""
        tasks = list({**dict.fromkeys(tasks), **dict.fromkeys(self.tasks.values())})
        if monotonic() >= self.driver.lease_until():
            logger.warning("Not committing: our membership of the group is no longer certain")
            return False
        with self.gate.unit_now():
            offsets = self._note(tasks)
            self.on_step(CommitStep.BEGUN)
            await self._before_commit()
        if not self.producer.touched:
            await self.producer.flush()
            self.on_step(CommitStep.FLUSHED)
            if not self._closing:
                self.gate.open()
            return bool(offsets) and await self._commit_offsets(offsets)
        fenced = offsets or await self._any_offset(tasks)
        if not fenced:
            raise CommitRefused("no partition is held that the transaction could belong to")
        if not self._closing and self.producer.fence():
            self.gate.open()
        await self.producer.flush_fenced()
        self.on_step(CommitStep.FLUSHED)
        await self.producer.send_offsets(fenced, self.driver)
        self.on_step(CommitStep.OFFSETS_SENT)
        await self.producer.commit_transaction()
        self.on_step(CommitStep.COMMITTED)
        await self._settle()
        self.on_step(CommitStep.SETTLED)
        self._accept(offsets)
        self._slow = frozenset()
        if self._undone:  # partitions were lost meanwhile: what is behind the fence does not count
            await self._abort()
            return True
        await self.producer.begin_transaction()
        self.on_step(CommitStep.NEXT_BEGUN)
        return True

    async def _any_offset(self, tasks: list[PartitionTask]) -> Mapping[TP, int]:
        """Return an offset that changes nothing: with it the group fences the transaction of a worker it has given up."""
        for task in tasks:
            offset = task.committed
            if offset is None:
                offset = await self.driver.position(task.tp)
            return {task.tp: offset}
        return {}

    # -- the quiet point

    async def _quiet(self) -> bool:
        """Wait for events in hand as long as is right now; say whether all are finished."""
        if self._closing:
            if await self.gate.quiet(LAST_PATIENCE):
                return True
            if self.producer.touched:
                await self._abort()
            return False
        began = monotonic()
        age = began - self.producer.began
        limit = self.transaction_timeout * GIVE_UP_SHARE
        waits = age >= self.transaction_timeout * WAIT_SHARE
        patience = max(limit - age, 0.0) if waits else self._patience
        if await self.gate.quiet(patience):
            needed = 1.5 * (monotonic() - began)
            self._patience = max(self._first_patience(), needed)
            return True
        self._patience *= 2
        if not waits:
            return False
        await self._too_slow(age + patience)
        return False

    async def _too_slow(self, age: float) -> None:
        """Events in hand keep the transaction from being committed in time: undo; a second time stop the worker."""
        places = sorted({(lane.task.tp, offset) for lane, offset in self.gate.in_hand()})
        names = ", ".join(f"{tp.topic}[{tp.partition}] offset {offset}" for tp, offset in places)
        text = (
            f"the events {names or '(none: work between events)'} were not finished {age:.1f} s after the transaction "
            f"was begun, and it may last {self.transaction_timeout:g} s (setting broker_transaction_timeout)"
        )
        again = self._slow.intersection(places)
        self._slow = frozenset(places)
        if again:
            await self._abort()
            raise TransactionTimeout(
                f"exactly once: {text}; that is so for the second time. Raise the setting (and the broker's "
                "transaction.max.timeout.ms), make the event faster, or use processing_guarantee='at_least_once'"
            )
        logger.error("Exactly once: %s. It is aborted, and everything in it is done again", text)
        await self._undo(text)

    # -- undoing

    async def _undo_spoilt(self) -> bool:
        """Undo if something half done will be done again; say so."""
        if self.gate.spoilt:
            logger.warning("Undoing what was done since the last commit: %s", self.gate.spoilt)
            await self._undo(self.gate.spoilt)
        return bool(self.gate.spoilt)

    async def _abort(self) -> None:
        """Nothing of the open transaction counts."""
        if self.producer.touched or self.producer.fenced:
            self.aborted += 1
        self._undone = True
        await self.producer.give_up()

    async def _undo(self, why: str) -> None:
        """Abort, hand out nothing more of these tasks, and have everything read again."""
        self._undone_by = why
        for task in self.tasks.values():
            task.alive = False
        with contextlib.suppress(*UNDONE):
            await self._abort()
        if self._may_restart and not self._closing and not self.should_stop:
            self._restarting = asyncio.get_running_loop().create_task(
                self._guard(self._restart, "restart from what is committed"), name="restart"
            )

    async def stop_restart(self) -> None:
        """A rebalance does what a restart would do: end the one under way, and begin none before there are new tasks."""
        self._may_restart = False
        task, self._restarting = self._restarting, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
