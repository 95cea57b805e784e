"""What happens when our partitions change: the order of steps, for revoke and for assign.

Revoke: stop handing out, let what is in hand finish (for a bounded time), flush tables and producer, commit, and only
then give the partitions back. So a worker that joins or leaves makes nobody process anything twice.

Assign: new tasks, everything paused; tables recover; a partition flows as soon as the tables of its number are there.
One recovery runs at a time; a new assignment cancels the former one and waits for its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from time import monotonic
from typing import Any

from faust.exceptions import FaustError, UnknownTopic
from faust.messages import TP
from faust.transport.exactly_once import TransactionalConsumer
from faust.utils.crashes import crash_because

__all__ = ["Rebalance"]

logger: logging.Logger = logging.getLogger(__name__)

DRAIN_SHARE = 0.5
"""Share of the rebalance timeout that events in hand may take to finish."""

COMMIT_SHARE = 0.15
"""Share of the rebalance timeout that the commit may take besides."""

FLUSH_SHARE = 0.15
"""Share of the rebalance timeout that tables may take to be flushed after that."""

MISSING_PATIENCE = 3.0
"""Seconds until a changelog that no broker knows is believed not to exist."""

MISSING_LOOK = 0.2
"""Seconds between two looks."""


class Rebalance:
    """The application's `RebalanceListener`."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.recovered: asyncio.Event = asyncio.Event()
        self._recovery: asyncio.Task[None] | None = None
        self._held: frozenset[TP] = frozenset()

    async def on_partitions_revoked(self, revoked: frozenset[TP], lost: bool) -> None:
        """Finish, flush and commit what we hold."""
        app = self.app
        try:
            app.on_rebalance_start()
            await self.stop_restart()
            await self.stop_recovery()
            await self.release(revoked, lost=lost)
            await self._revoke_tables(revoked, lost=lost)
            await app.on_partitions_revoked.send(set(revoked))
        except Exception as exc:
            await self._crash("Rebalance: giving back partitions failed", exc)

    async def _revoke_tables(self, revoked: frozenset[TP], *, lost: bool) -> None:
        """Let go of tables; what cannot be flushed in time is dropped: its events are not committed and come again."""
        tables, timeout = self.app.tables, self.app.conf.broker_rebalance_timeout * FLUSH_SHARE
        try:
            async with asyncio.timeout(timeout):
                await tables.on_partitions_revoked(revoked, lost)
        except TimeoutError:
            logger.warning(
                "Rebalance: tables could not be flushed within %.1f s; what was not committed will be processed again",
                timeout,
            )
            await tables.on_partitions_revoked(revoked, True)

    async def release(self, revoked: Collection[TP], *, lost: bool) -> None:
        """Stop handing out *revoked*, wait for what is in hand, and commit it."""
        conf = self.app.conf
        timeout = conf.broker_rebalance_timeout * DRAIN_SHARE if conf.stream_wait_empty else 0.0
        stuck = await self.app.consumer.close_tasks(
            revoked,
            lost=lost,
            timeout=timeout,
            commit_timeout=conf.broker_rebalance_timeout * COMMIT_SHARE,
        )
        if stuck and conf.stream_wait_empty:
            logger.warning(
                "Rebalance: events of %s were still being processed after %.0f s; they are not committed"
                " and will be processed again",
                ", ".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(stuck)),
                timeout,
            )

    async def on_partitions_assigned(self, assigned: frozenset[TP], generation: int) -> None:
        """Prepare the new partitions and let them flow as their tables are recovered."""
        try:
            await self.stop_restart()
            await self.stop_recovery()
            await self._take_over(assigned, generation)
        except Exception as exc:
            await self._crash("Rebalance: taking over partitions failed", exc)

    async def stop_restart(self) -> None:
        """Exactly once: cancel the `restart` that is under way, if any, and wait for its end."""
        consumer = self.app.consumer_or_none()
        if isinstance(consumer, TransactionalConsumer):
            await consumer.stop_restart()

    async def restart(self) -> None:
        """Exactly once: work was undone; go back to what is committed, and read on from there."""
        app = self.app
        consumer = app.consumer
        app.on_rebalance_start()
        await self.stop_recovery()
        assigned = frozenset(consumer.driver.assignment)
        generation = consumer.generation
        consumer.pause(assigned)
        await consumer.close_tasks(list(consumer.tasks), lost=True, timeout=0.0)
        app.gate.drop_channels()
        await app.tables.on_partitions_revoked(assigned, lost=False)
        if assigned:  # else the group is about to tell what is ours
            sources = self._sources(assigned)
            await consumer.ready(sources)
            await consumer.rewind(sources)
            await self._take_over(assigned, generation)

    def _sources(self, assigned: Collection[TP]) -> frozenset[TP]:
        """Return the partitions that streams read."""
        app = self.app
        changelogs = app.tables.changelog_topics
        return frozenset(
            tp for tp in assigned if tp.topic not in changelogs and tp.topic in app.topics
        )

    async def _take_over(self, assigned: frozenset[TP], generation: int) -> None:
        """New tasks for *assigned*; they flow as their tables are recovered."""
        app = self.app
        consumer = app.consumer
        consumer.pause(assigned)
        if not app.flow_control.is_active() and not app.flow_control.suspended:
            app.flow_control.resume()
        if app.should_stop:  # the last commit is made: what is handed out now would come twice
            return
        if not app.rebalancing:  # a worker that joins has nothing to give back
            app.on_rebalance_start()
        sources = self._sources(assigned)
        held, self._held = self._held, sources
        await app.agents.on_rebalance(held - sources, sources - held)
        tasks = consumer.open_tasks(sources, generation)
        app.topics.open_lanes(tasks)
        app.consumer_generation_id = generation
        app.unassigned = not assigned
        self._recovery = asyncio.get_running_loop().create_task(
            self._recover(assigned, sources, self._standbys(assigned), generation),
            name=f"recovery of generation {generation}",
        )
        await app.on_partitions_assigned.send(set(assigned))
        app.on_rebalance_return()

    def _standbys(self, assigned: frozenset[TP]) -> frozenset[TP]:
        """Return those of *assigned* of which this worker only keeps a copy."""
        return frozenset(tp for tp in assigned if not self.app.assignor.is_active(tp))

    async def _recover(
        self,
        assigned: frozenset[TP],
        sources: frozenset[TP],
        standbys: frozenset[TP],
        generation: int,
    ) -> None:
        app = self.app
        waiting = set(sources)

        def on_ready(tps: Collection[TP]) -> None:
            ready = [tp for tp in tps if tp in waiting]
            if ready:
                waiting.difference_update(ready)
                app.consumer.resume(ready)

        try:
            app.in_recovery = True
            if isinstance(app.consumer, TransactionalConsumer):
                await app.consumer.ready(sources)
            await self._find_changelogs(assigned)
            await app.health.check_changelogs()
            await app.tables.recover(assigned, generation, on_ready, standbys)
            app.in_recovery = False
            await app.on_rebalance_complete.send()
            if waiting:
                app.consumer.resume(list(waiting))
            app.on_rebalance_end()
            self.recovered.set()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            await self._crash("Recovery of tables failed", exc)

    async def _find_changelogs(self, assigned: frozenset[TP]) -> None:
        """Let no event flow without its table: a changelog that was deleted is in nobody's assignment.

        Raises:
            UnknownTopic: There is no such topic, for some seconds.
        """
        app = self.app
        for topic in sorted(app.tables.group_topics - {tp.topic for tp in assigned}):
            deadline = monotonic() + MISSING_PATIENCE
            while await app.consumer.driver.partitions_for(topic) is None:
                if monotonic() > deadline:
                    raise UnknownTopic(
                        f"the changelog {topic} does not exist any more: it was deleted while this app used it. Nothing that "
                        "needs its table is processed; a worker that starts creates it anew, with what comes from then on"
                    )
                await asyncio.sleep(MISSING_LOOK)

    async def _crash(self, what: str, reason: Exception) -> None:
        await crash_because(what, reason, self.app, explained=isinstance(reason, FaustError))

    async def stop_recovery(self) -> None:
        """Cancel the recovery that is running, if any, and wait for its end; follow no copies either."""
        recovery, self._recovery = self._recovery, None
        if recovery is not None:
            recovery.cancel()
            await asyncio.gather(recovery, return_exceptions=True)
        await self.app.tables.stop_standbys()
