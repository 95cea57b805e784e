"""The consumer of ``memory://`` and ``local://``: the application's side of the broker's thread."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from math import inf
from typing import TypeVar

from faust.exceptions import CommitRefused, OffsetOutOfRange, UnknownTopic
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

T = TypeVar("T")

_numbers = itertools.count(1)


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
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fetching: Fetching | None = None
        self._membership: Membership | None = None
        self._listener: RebalanceListener | None = None
        self._earliest: Callable[[str], bool] = lambda _topic: False
        self._assignment: frozenset[TP] = frozenset()
        self._generation = -1
        self._wake: asyncio.Event | None = None
        self._told = False
        self._error: Exception | None = None
        self._rebalancing: asyncio.Task[None] | None = None
        self._closed = False
        self._out_of_range: OffsetOutOfRange | None = None
        self._paused: set[TP] = set()  # by the application, as it knows it
        self._seeks: dict[TP, int] = {}  # the last seek asked for, by partition
        self._sought: dict[TP, int] = {}  # the last seek done (broker's thread)

    # -- life

    async def start(self) -> None:
        """Connect."""
        if self._closed:
            raise closed_error()
        if self._engine is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        engine = self._engine = await asyncio.to_thread(self._acquire)
        self._fetching = Fetching(engine.storage, self.options, self._is_earliest)
        await self._call(lambda: engine.add(self))
        self.state.connected = True
        self.state.since = time.monotonic()

    async def close(self, timeout: float = 10.0) -> None:
        """Leave the group and end."""
        if self._closed:
            return
        self._closed = True
        engine = self._engine
        if self._rebalancing is not None:
            self._rebalancing.cancel()
            await asyncio.gather(self._rebalancing, return_exceptions=True)
        if engine is None:
            return
        membership = self._membership

        def leave() -> None:
            engine.remove(self)
            if membership is not None:
                membership.leave(time.monotonic())

        try:
            async with asyncio.timeout(timeout):
                await engine.call(leave, writes=membership is not None)
        except TimeoutError:
            logger.warning(
                "the embedded broker did not answer within %.1f s; leaving anyway", timeout
            )
            engine.post(lambda: engine.remove(self))
        self._assignment = frozenset()
        self._generation = -1
        self._engine = None
        await asyncio.to_thread(self._release, engine)
        self.state.connected = False
        if self._wake is not None:
            self._wake.set()

    async def _call(self, run: Callable[[], T], *, writes: bool = False) -> T:
        if self._engine is None or self._closed:
            raise closed_error()
        return await self._engine.call(run, writes=writes)

    def _post(self, run: Callable[[], None]) -> None:
        if self._engine is not None and not self._closed:
            self._engine.post(run)

    # -- the broker's thread

    def tick(self, now: float, changed: bool) -> float:
        """Keep the membership, build slices ahead, wake the application."""
        membership, fetching = self._membership, self._fetching
        assert fetching is not None
        due = now + 1.0
        if membership is not None and membership.state != "left":
            due = membership.tick(now)
        if self._error is not None or self._out_of_range is not None:
            return due
        try:
            ready = fetching.fill(changed=changed)
        except OffsetOutOfRange as exc:  # a seek may still help
            self._out_of_range = exc
            self._notify()
            return due
        except Exception as exc:
            if type(exc).__name__ == "Busy":
                raise
            self.fail(exc)
            return due
        if ready and not self._told:
            self._told = True
            self._notify()
        return due

    def _notify(self) -> None:
        assert self._loop is not None
        assert self._wake is not None
        call_threadsafe(self._loop, self._wake.set)

    def fail(self, error: Exception) -> None:
        """End with an error that the next `take` raises."""
        self._error = error
        self._notify()

    def _on_revoke(self, lost: bool) -> None:
        """The membership asks (broker's thread); nothing is fetched meanwhile."""
        assert self._fetching is not None
        assert self._loop is not None
        fetching = self._fetching
        fetching.ready.clear()
        fetching.paused |= set(fetching.positions)
        call_threadsafe(self._loop, lambda: self._spawn(lambda: self._revoke(lost)))

    def _on_assign(self, tps: frozenset[TP], generation: int) -> None:
        assert self._fetching is not None
        assert self._loop is not None
        assert self._engine is not None
        fetching = self._fetching
        committed = self._engine.storage.committed(self.options.group_id or "")
        positions = {
            tp: offset if (offset := committed.get(tp)) is not None else fetching.start_of(tp)
            for tp in tps
        }
        fetching.assign(positions, generation)
        held = frozenset(tps)
        fetching.paused |= held  # nothing is handed over before the listener has returned
        call_threadsafe(self._loop, lambda: self._spawn(lambda: self._assigned(held, generation)))

    # -- rebalancing, on the application's loop

    def _spawn(self, step: Callable[[], Awaitable[None]]) -> None:
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
                logger.exception("a rebalance listener failed")
                self.fail(exc)

        if self._closed:
            return
        self._rebalancing = asyncio.get_running_loop().create_task(run(), name="rebalance")

    async def _revoke(self, lost: bool) -> None:
        revoked, self._to_resume = self._assignment, set()
        assert self._listener is not None
        membership = self._membership
        assert membership is not None
        if lost:
            self._generation = -1
        try:
            if revoked:
                await self._listener.on_partitions_revoked(revoked, lost)
        finally:
            self._assignment = frozenset()
            self._generation = -1
            fetching = self._fetching

            def gave_back() -> None:
                assert fetching is not None
                fetching.clear()
                membership.gave_back(time.monotonic())

            self._post(gave_back)

    async def _assigned(self, tps: frozenset[TP], generation: int) -> None:
        assert self._listener is not None
        self._assignment = tps
        self._generation = generation
        self._paused = set()
        self._app_paused: set[TP] = set()
        self._in_callback = True
        try:
            await self._listener.on_partitions_assigned(tps, generation)
        finally:
            self._in_callback = False
        flowing = tps - self._app_paused
        fetching = self._fetching

        def flow() -> None:
            assert fetching is not None
            if fetching.generation == generation:
                fetching.resume(flowing)

        self._post(flow)
        if self._wake is not None:
            self._wake.set()

    _in_callback = False
    _to_resume: set[TP]
    _app_paused: set[TP]

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
        engine, names = self._engine, frozenset(topics)

        def join() -> None:
            assert engine is not None
            if self._membership is None:
                self._membership = Membership(
                    engine,
                    self.options,
                    assignor,
                    names,
                    pattern,
                    on_revoke=self._on_revoke,
                    on_assign=self._on_assign,
                    on_error=self.fail,
                )
            else:
                self._membership.change(names, pattern, assignor)
            engine.note_change()

        await self._call(join)

    async def assign(self, tps: Collection[TP]) -> None:
        """Read *tps* without a group."""
        fetching, engine = self._fetching, self._engine
        held = frozenset(tps)

        def assign() -> None:
            assert fetching is not None
            assert engine is not None
            fetching.assign({tp: fetching.start_of(tp) for tp in held}, -1)
            engine.note_change()

        await self._call(assign)
        self._paused = set()
        self._assignment = held

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

    def lease_until(self) -> float:
        """Until when the assignment is certain."""
        return inf if self._membership is None else self._membership.lease

    # -- reading

    async def take(self, timeout: float) -> list[Slice]:
        """Take what is ready, or wait for it."""
        wake, fetching = self._wake, self._fetching
        if wake is None or fetching is None or self._closed:
            raise closed_error()
        if self._error is not None:
            raise self._error
        slices = await self._take_ready()
        if slices:
            return slices
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await wake.wait()
        wake.clear()
        if self._error is not None:
            raise self._error
        return [] if self._closed else await self._take_ready()

    async def _take_ready(self) -> list[Slice]:
        """Take what is ready, less what a `seek` or a `pause` has overtaken."""
        slices, seeks, starts = await self._call(self._take)
        latest = self._seeks
        if seeks != latest:
            slices = [batch for batch in slices if seeks.get(batch.tp) == latest.get(batch.tp)]
        late = {batch.tp for batch in slices}
        if time.monotonic() < self.lease_until():
            late &= self._paused  # else the process was frozen since they were taken
        if late:
            slices = [batch for batch in slices if batch.tp not in late]
            self._give_back({tp: starts[tp] for tp in late})
        return slices

    def _give_back(self, starts: dict[TP, int]) -> None:
        """Partitions were paused while they were being taken: they go on where they were."""
        fetching = self._fetching
        assert fetching is not None

        def give_back() -> None:
            for tp, offset in starts.items():
                if tp in fetching.positions:
                    fetching.seek(tp, offset)

        self._post(give_back)

    def _is_earliest(self, topic: str) -> bool:
        return self._earliest(topic)

    def _take(self) -> tuple[list[Slice], dict[TP, int], dict[TP, int]]:
        assert self._fetching is not None
        self._told = False
        if self._out_of_range is not None:
            raise self._out_of_range
        if time.monotonic() >= self.lease_until():
            return [], self._sought, {}
        starts = dict(self._fetching.positions)
        return self._fetching.taken(), self._sought, starts

    def pause(self, tps: Collection[TP]) -> None:
        """Stop reading *tps*."""
        fetching, chosen = self._fetching, set(tps)
        assert fetching is not None
        self._paused |= chosen
        if self._in_callback:
            self._app_paused |= chosen
        self._post(lambda: fetching.pause(chosen))

    def resume(self, tps: Collection[TP]) -> None:
        """Read *tps* again."""
        fetching, engine, chosen = self._fetching, self._engine, set(tps)
        assert fetching is not None
        self._paused -= chosen
        if self._in_callback:
            self._app_paused -= chosen
            return

        def resume() -> None:
            fetching.resume(chosen & set(fetching.positions))
            if engine is not None:
                engine.note_change()

        self._post(resume)

    async def seek(self, offsets: Mapping[TP, int]) -> None:
        """Go on at *offsets*."""
        fetching, engine = self._fetching, self._engine
        chosen = dict(offsets)
        number = next(_numbers)
        self._seeks = seeks = {**self._seeks, **dict.fromkeys(chosen, number)}

        def seek() -> None:
            self._sought = seeks
            self._out_of_range = None
            assert fetching is not None
            assert engine is not None
            for tp, offset in chosen.items():
                if tp not in fetching.positions:
                    raise ValueError(f"cannot seek {tp.topic}[{tp.partition}]: it is not assigned")
                fetching.seek(tp, offset)
            engine.note_change()

        await self._call(seek)

    async def position(self, tp: TP) -> int:
        """Return the offset of the next record that `take` gives."""
        fetching = self._fetching

        def position() -> int:
            assert fetching is not None
            if tp not in fetching.positions:
                raise ValueError(f"no position of {tp.topic}[{tp.partition}]: it is not assigned")
            return fetching.positions[tp]

        return await self._call(position)

    # -- offsets

    async def committed(self, tps: Collection[TP]) -> dict[TP, int | None]:
        """Return committed next offsets."""
        engine = self._engine

        def committed() -> dict[TP, int | None]:
            assert engine is not None
            found = engine.storage.committed(self.options.group_id or "")
            return {tp: found.get(tp) for tp in tps}

        return await self._call(committed)

    async def beginning_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return log start offsets."""
        engine = self._engine
        return await self._call(lambda: {tp: engine.storage.bounds(tp)[0] for tp in tps})  # type: ignore[union-attr]

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return next offsets."""
        engine = self._engine
        return await self._call(lambda: {tp: engine.storage.bounds(tp)[1] for tp in tps})  # type: ignore[union-attr]

    async def commit(self, offsets: Mapping[TP, int]) -> dict[TP, Exception | None]:
        """Commit next offsets."""
        membership, generation = self._membership, self._generation
        if membership is None:
            raise CommitRefused("this consumer is in no group: there is nothing to commit to")
        if generation < 0:
            raise CommitRefused(f"group {membership.group}: this consumer holds no generation now")
        engine, chosen = self._engine, dict(offsets)

        def commit() -> dict[TP, Exception | None]:
            assert engine is not None
            return engine.groups.commit(membership.group, membership.id, generation, chosen)

        return await self._call(commit, writes=True)

    async def partitions_for(self, topic: str) -> frozenset[int] | None:
        """Return the partition numbers of *topic*."""
        engine = self._engine

        def partitions() -> frozenset[int] | None:
            assert engine is not None
            count = engine.storage.partitions(topic)
            return None if count is None else frozenset(range(count))

        try:
            return await self._call(partitions)
        except UnknownTopic:
            return None
