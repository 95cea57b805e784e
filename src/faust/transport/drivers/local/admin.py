"""The admin client of ``memory://`` and ``local://``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from faust.exceptions import BrokerUnavailable
from faust.messages import TP
from faust.transport.base import (
    AdminDriver,
    GroupDescription,
    TopicDescription,
    TopicOutcome,
    TopicSpec,
)
from faust.transport.drivers.local.cleaning import (
    compact_topic,
    delete_records,
    drop_partitions,
)
from faust.transport.drivers.local.database import LongWork
from faust.transport.drivers.local.engine import Engine, closed_error
from faust.transport.drivers.local.log import Ends

__all__ = ["Admin"]

T = TypeVar("T")

PHASES = {
    "empty": "Empty",
    "joining": "PreparingRebalance",
    "syncing": "CompletingRebalance",
    "stable": "Stable",
}


class Admin(AdminDriver):
    """See `AdminDriver`.

    Arguments:
        acquire: Returns the broker; called by `start`.
        release: Gives it back.
        request_timeout: Seconds that one request may take.
    """

    def __init__(
        self,
        acquire: Callable[[], Engine],
        release: Callable[[Engine], None],
        request_timeout: float,
    ) -> None:
        self._acquire = acquire
        self._release = release
        self._timeout = request_timeout
        self._engine: Engine | None = None

    async def start(self) -> None:
        """Connect."""
        if self._engine is None:
            self._engine = await asyncio.to_thread(self._acquire)

    async def close(self) -> None:
        """End."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(self._release, engine)

    async def _call(self, run: Callable[[Engine], T], *, writes: bool = False) -> T:
        engine = self._engine
        if engine is None:
            raise closed_error()
        try:
            async with asyncio.timeout(self._timeout):
                return await engine.call(lambda: run(engine), writes=writes)
        except TimeoutError as exc:
            raise BrokerUnavailable(
                f"the embedded broker did not answer within {self._timeout:g} s: another process holds its file"
            ) from exc

    async def _work(self, steps: Callable[[Engine], LongWork[T]]) -> T:
        """Do long work; however long it takes, it goes on step by step."""
        engine = self._engine
        if engine is None:
            raise closed_error()
        return await engine.work(lambda: steps(engine))

    async def create_topics(self, specs: Sequence[TopicSpec]) -> dict[str, TopicOutcome]:
        """Create what is missing; say what differs of what is there."""

        def create(engine: Engine) -> dict[str, TopicOutcome]:
            return {
                spec.name: TopicOutcome(True)
                if engine.log.create_topic(spec.name, spec.partitions, spec.config)
                else TopicOutcome(False, _differences(engine, spec))
                for spec in specs
            }

        return await self._call(create, writes=True)

    async def list_topics(self) -> list[str]:
        """Return the names of all topics."""
        return await self._call(lambda engine: sorted(engine.log.topics()))

    async def describe_topics(self, names: Collection[str]) -> dict[str, TopicDescription | None]:
        """Describe topics."""

        def describe(engine: Engine) -> dict[str, TopicDescription | None]:
            counts = engine.log.topics()
            return {
                name: TopicDescription(name, tuple(range(counts[name])), 1, engine.log.config(name))
                if name in counts
                else None
                for name in names
            }

        return await self._call(describe)

    async def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics with their records."""

        def delete(engine: Engine) -> list[int]:
            return [id for name in names for id in engine.log.delete_topic(name)]

        ids = await self._call(delete, writes=True)
        await self._work(lambda engine: drop_partitions(engine.database, ids))

    async def delete_records(self, before: Mapping[TP, int]) -> None:
        """Move the log start forward."""
        await self._work(lambda engine: delete_records(engine.database, engine.log, before))

    async def offsets(self, tps: Collection[TP]) -> dict[TP, tuple[int, int]]:
        """Return log start and next offset."""
        return await self._call(lambda engine: {tp: _pair(engine.log.ends(tp)) for tp in tps})

    async def list_groups(self) -> list[str]:
        """Return the names of all groups."""
        return await self._call(lambda engine: engine.groups.names())

    async def describe_group(self, group_id: str) -> GroupDescription:
        """Describe one group."""

        def describe(engine: Engine) -> GroupDescription:
            now = time.monotonic()
            group = engine.groups.group(group_id)
            # Who looks drops nobody: it may know less than the members of what has held them up.
            dead = () if engine.has_grace(now) else engine.groups.expired(group_id, now)
            members = tuple(
                member for member in engine.groups.member_ids(group_id) if member not in dead
            )
            offsets = engine.log.look_committed(group_id)
            known = bool(members or offsets or group.generation)
            phase = PHASES[group.phase if members else "empty"]
            return GroupDescription(group_id, phase if known else "Dead", members, offsets)

        return await self._call(describe, writes=True)

    async def compact(self, topic: str) -> None:
        """Compact a topic now, and drop what its retention no longer keeps."""
        await self._work(lambda engine: compact_topic(engine.database, engine.log, topic))


def _pair(ends: Ends) -> tuple[int, int]:
    return ends.start, ends.next


def _differences(engine: Engine, spec: TopicSpec) -> tuple[str, ...]:
    """Say in sentences how an existing topic differs from what was wanted."""
    has = engine.log.partitions(spec.name)
    config = engine.log.config(spec.name)
    found = []
    if has != spec.partitions:
        found.append(f"partitions: wanted {spec.partitions}, has {has}")
    found += [
        f"{name}: wanted {wanted}, has {config.get(name, 'nothing')}"
        for name, wanted in sorted(spec.config.items())
        if config.get(name) != wanted
    ]
    return tuple(found)
