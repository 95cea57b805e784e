"""The consumer of ``memory://`` and ``local://``: the application's side.

Membership lives in the broker's thread (`membership.Membership`) and says, by callbacks, when
partitions must be given back and which come; positions and reading live here, on the application's
loop (`fetching.Fetching`). Partitions flow only between the return of ``on_partitions_assigned``
and the moment the broker's thread finds that they must be given back, and only while the lease
lasts (C17).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from math import inf

from faust.exceptions import CommitRefused, StorageError
from faust.messages import TP, Slice
from faust.transport.base import (
    Assignor,
    ConsumerDriver,
    ConsumerOptions,
    DriverState,
    RebalanceListener,
)
from faust.transport.drivers.local.engine import Engine, call_threadsafe, closed_error
from faust.transport.drivers.local.fetching import Fetching
from faust.transport.drivers.local.membership import Membership

__all__ = ["Consumer"]

logger: logging.Logger = logging.getLogger(__name__)

LEASE_PAUSE = 0.05
"""Seconds between two looks at a lease that is over."""


class Consumer(ConsumerDriver):
    """See `ConsumerDriver`.

    Arguments:
        acquire: Returns the broker; called by `start`.
        release: Gives it back.
        options: What it needs to know.
    """

    def __init__(
        self,
        acquire: Callable[[], Engine],
        release: Callable[[Engine], None],
        options: ConsumerOptions,
    ) -> None:
        self.state: DriverState = DriverState()
        self.options = options
        self._acquire = acquire
        self._release = release
        self._broker: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reading: Fetching | None = None
        self._membership: Membership | None = None
        self._listener: RebalanceListener | None = None
        self._earliest: Callable[[str], bool] = lambda _topic: False
        self._assignment: frozenset[TP] = frozenset()
        self._generation = -1
        self._flowing = False
        self._stopped = False  # set by the broker's thread: give back
        self._rebalancing: asyncio.Task[None] | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._watch: dict[int, int] | None = None  # looked at by the broker's thread
        self._takes = 0
        self._taken_at = time.monotonic()
        self._error: Exception | None = None
        self._closed = False

    # -- life

    async def start(self) -> None:
        """Connect."""
        if self._closed:
            raise closed_error()
        if self._broker is not None:
            return
        self._loop = asyncio.get_running_loop()
        broker = self._broker = await asyncio.to_thread(self._acquire)
        self._reading = Fetching(broker.log, self.options, self._is_earliest)
        self.state.connected = True
        self.state.since = time.monotonic()
        broker.post(lambda: broker.add(self))
        broker.courtesy(self._loop).keep()

    async def close(self, timeout: float = 10.0) -> None:
        """Leave the group and end."""
        if self._closed:
            return
        self._closed = True
        self._flowing = False
        self._wake()
        if self._rebalancing is not None:
            self._rebalancing.cancel()
            await asyncio.gather(self._rebalancing, return_exceptions=True)
        broker, membership = self._broker, self._membership
        if broker is None:
            return

        def leave() -> None:
            broker.remove(self)
            if membership is not None:
                membership.leave(time.monotonic())

        try:
            async with asyncio.timeout(timeout):
                await broker.call(leave, writes=membership is not None)
        except TimeoutError:
            logger.warning(
                "the embedded broker did not answer within %.1f s; leaving anyway", timeout
            )
            broker.post(lambda: broker.remove(self))
        except StorageError as exc:  # the group will notice by the heartbeats that do not come
            if str(exc) != str(self._error):
                logger.warning("cannot write that this member leaves its group: %s", exc)
            broker.post(lambda: broker.remove(self))
        self._assignment = frozenset()
        self._generation = -1
        self._broker = None
        broker.courtesy(asyncio.get_running_loop()).leave()
        await asyncio.to_thread(self._release, broker)
        self.state.connected = False

    def _is_earliest(self, topic: str) -> bool:
        return self._earliest(topic)

    def _open(self) -> Engine:
        if self._broker is None or self._closed:
            raise closed_error()
        return self._broker

    def _fetching(self) -> Fetching:
        if self._reading is None or self._closed:
            raise closed_error()
        return self._reading

    # -- the broker's thread

    def tick(self, now: float, changed: bool) -> float:
        """Keep the membership; wake a waiting `take` when there is something to read."""
        membership = self._membership
        due = now + 1.0
        if membership is not None and membership.state != "left":
            due = membership.tick(now)
        watch = self._watch
        if changed and watch and self._broker is not None:
            found = self._broker.log.look_ends(watch)
            if any(
                id not in found or found[id].next > position or found[id].start > position
                for id, position in watch.items()
            ):
                self._watch = None
                self._call_soon(self._wake)
        return due

    def fail(self, error: Exception) -> None:
        """End with an error that the next `take` raises."""
        self._error = error
        self._call_soon(self._wake)

    def _call_soon(self, call: Callable[[], None]) -> None:
        assert self._loop is not None
        call_threadsafe(self._loop, call)

    def _polled(self) -> float:
        return time.monotonic() if self._takes else self._taken_at

    def _on_revoke(self, lost: bool) -> None:
        self._stopped = True
        self._call_soon(lambda: self._then(lambda: self._revoke(lost)))

    def _on_assign(self, tps: frozenset[TP], generation: int) -> None:
        self._call_soon(lambda: self._then(lambda: self._assigned(tps, generation)))

    # -- rebalancing, on the application's loop

    def _then(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run one step of a rebalance after the former ones."""
        former = self._rebalancing

        async def run() -> None:
            if former is not None:
                await asyncio.gather(former, return_exceptions=True)
            try:
                await step()
            except asyncio.CancelledError:
                raise
            except Exception as exc:
                logger.exception("a rebalance failed")
                self.fail(exc)

        self._wake()  # the assignment changes: `take` returns
        if not self._closed:
            self._rebalancing = asyncio.get_running_loop().create_task(run(), name="rebalance")

    async def _revoke(self, lost: bool) -> None:
        listener, membership = self._listener, self._membership
        assert listener is not None
        assert membership is not None
        self._flowing = False
        if lost:
            self._generation = -1
        try:
            if self._assignment:
                await listener.on_partitions_revoked(self._assignment, lost)
        finally:
            self._assignment = frozenset()
            self._generation = -1
            self._fetching().clear()
            self._stopped = False
            self._open().post(lambda: membership.gave_back(time.monotonic()))

    async def _assigned(self, tps: frozenset[TP], generation: int) -> None:
        listener, fetching = self._listener, self._fetching()
        assert listener is not None
        committed = self._open().log.look_committed(self.options.group_id or "")
        fetching.assign({tp: committed.get(tp) for tp in tps}, generation)
        self._assignment = tps
        self._generation = generation
        await listener.on_partitions_assigned(tps, generation)
        self._flowing = True
        self._wake()

    # -- membership

    async def subscribe(
        self,
        topics: Collection[str],
        *,
        pattern: str | None = None,
        listener: RebalanceListener,
        assignor: Assignor,
        earliest_topics: Callable[[str], bool] | None = None,
    ) -> None:
        """Join the group, or replace the subscription."""
        if self.options.group_id is None:
            raise ValueError("subscribe needs a group: set ConsumerOptions.group_id, or use assign")
        self._listener = listener
        if earliest_topics is not None:
            self._earliest = earliest_topics
        broker, names = self._open(), frozenset(topics)
        self._taken_at = time.monotonic()

        def join() -> None:
            if self._membership is None:
                self._membership = Membership(
                    broker,
                    self.options,
                    assignor,
                    names,
                    pattern,
                    on_revoke=self._on_revoke,
                    on_assign=self._on_assign,
                    on_error=self.fail,
                    polled=self._polled,
                )
            else:
                self._membership.change(names, pattern, assignor)
            broker.note_change()

        await broker.call(join)

    async def assign(self, tps: Collection[TP]) -> None:
        """Read *tps* without a group.

        Raises:
            UnknownTopic: There is no such partition.
        """
        if self._membership is not None:
            raise ValueError("this consumer is a member of a group: its partitions are assigned")
        log = self._open().log
        for tp in tps:
            log.look_id(tp)
        self._fetching().assign(dict.fromkeys(tps), -1)
        self._assignment = frozenset(tps)
        self._flowing = True
        self._wake()

    @property
    def assignment(self) -> frozenset[TP]:
        """The partitions held now."""
        return self._assignment

    @property
    def generation(self) -> int:
        """Generation of the group."""
        return self._generation

    @property
    def member_id(self) -> str:
        """Name of this member."""
        return "" if self._membership is None or self._closed else self._membership.id

    @property
    def partition_ids(self) -> Mapping[TP, int]:
        """The broker's numbers of the partitions that were assigned last."""
        return {} if self._membership is None else self._membership.partition_ids

    def lease_until(self) -> float:
        """Until when the assignment is certain."""
        return inf if self._membership is None else self._membership.lease

    # -- reading

    async def take(self, timeout: float) -> list[Slice]:
        """Take what is ready, or wait for it."""
        fetching = self._fetching()
        deadline = time.monotonic() + timeout
        self._takes += 1
        try:
            await asyncio.sleep(0)  # who takes in a loop lets others run, also when there is plenty
            while True:
                if self._error is not None:
                    raise self._error
                self._watch = fetching.waiting_for()  # before looking: nothing slips through
                if self._may_hand_over():
                    slices = fetching.take()
                    if slices and self._may_hand_over():  # not frozen meanwhile
                        return slices
                    fetching.untake()
                left = deadline - time.monotonic()
                if left <= 0 or await self._sleep(left):
                    return []
        finally:
            self._watch = None
            self._takes -= 1
            self._taken_at = time.monotonic()

    def _may_hand_over(self) -> bool:
        return (
            self._flowing
            and not self._stopped
            and not self._closed
            and time.monotonic() < self.lease_until()
        )

    async def _sleep(self, timeout: float) -> bool:
        """Wait for something to happen; True when `take` should return empty-handed."""
        flowing, loop = self._flowing, asyncio.get_running_loop()
        if flowing and not self._may_hand_over():
            # the lease is over: the broker's thread renews it, and wakes nobody for that
            timeout = min(timeout, LEASE_PAUSE)
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.add(waiter)
        timer = loop.call_later(timeout, _settle, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)
        return self._flowing != flowing or self._closed or self._stopped

    def _wake(self) -> None:
        for waiter in self._waiters:
            _settle(waiter)

    def pause(self, tps: Collection[TP]) -> None:
        """Stop reading *tps*."""
        self._fetching().pause(tps)

    def resume(self, tps: Collection[TP]) -> None:
        """Read *tps* again."""
        self._fetching().resume(tps)
        self._wake()

    async def seek(self, offsets: Mapping[TP, int]) -> None:
        """Go on at *offsets*."""
        self._fetching().seek(offsets)
        self._wake()

    async def position(self, tp: TP) -> int:
        """Return the offset of the next record that `take` gives."""
        return self._fetching().position(tp)

    # -- offsets

    async def committed(self, tps: Collection[TP]) -> dict[TP, int | None]:
        """Return committed next offsets."""
        found = self._open().log.look_committed(self.options.group_id or "")
        return {tp: found.get(tp) for tp in tps}

    async def beginning_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return log start offsets."""
        broker = self._open()
        return await broker.call(lambda: {tp: broker.log.ends(tp).start for tp in tps})

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return next offsets."""
        broker = self._open()
        return await broker.call(lambda: {tp: broker.log.ends(tp).next for tp in tps})

    async def log_end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return next offsets: nothing of an open transaction is in the log."""
        return await self.end_offsets(tps)

    async def commit(self, offsets: Mapping[TP, int]) -> dict[TP, Exception | None]:
        """Commit next offsets."""
        membership, generation = self._membership, self._generation
        broker, chosen = self._open(), dict(offsets)
        if membership is None:
            raise CommitRefused("this consumer is in no group: there is nothing to commit to")
        if generation < 0:
            raise CommitRefused(f"group {membership.group}: this consumer holds no generation now")

        def commit() -> dict[TP, Exception | None]:
            return broker.groups.commit(
                membership.group, membership.id, generation, chosen, membership.partition_ids
            )

        return await broker.call(commit, writes=True)

    async def partitions_for(self, topic: str) -> frozenset[int] | None:
        """Return the partition numbers of *topic*."""
        broker = self._open()
        count = await broker.call(lambda: broker.log.partitions(topic))
        return None if count is None else frozenset(range(count))

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the identities of topics."""
        broker = self._open()
        return await broker.call(lambda: broker.log.topic_ids(topics))


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
