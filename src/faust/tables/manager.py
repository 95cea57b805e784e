"""The table manager: every table of the app, their flush, and their way through assignments.

A write to a table is finished in three steps: the changed keys are sent to the changelog (`flush`), the broker
acknowledges, the store is changed. Source offsets are committed only after that: the consumer notes what may be
committed, awaits `flush`, and then commits what it had noted. Between commits a background flush runs every `linger`
seconds, and as soon as a partition has `max_dirty` changed keys, so that neither memory nor the time of a commit
grows with the load. If a flush fails nothing is lost: the keys stay dirty, nothing is committed, the worker stops.

Assignments: a partition that stays with this worker keeps its state and its place in the changelog, and reads only
what has come since. One that goes away is dropped (after a last flush, unless it was lost). Changes that were never
flushed belong to events that nobody has finished: they are undone before the partition is used again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from mode import Service

from faust.exceptions import (
    CommitRefused,
    ConsistencyError,
    FaustError,
)
from faust.messages import TP
from faust.ports import AppT
from faust.tables.base import Collection
from faust.tables.changelogs import ChangelogTopics
from faust.tables.cleaning import Cleaner
from faust.tables.following import Following
from faust.tables.partition import HeadersOf, PartitionFlush, TablePartition
from faust.tables.reading import OnEvent
from faust.tables.recovery import Recovery
from faust.tables.standbys import WARM, Standbys
from faust.transport.tenure import Tenure
from faust.utils.crashes import crash_because

__all__ = ["TableManager"]

logger: logging.Logger = logging.getLogger(__name__)

AT_ONCE = 1000
"""Keys encoded before other coroutines get their turn."""
GIVE_WAY_EVERY = 0.5
"""Seconds between two looks at whether another process of this machine wants the files of a copy on standby."""


class TableManager(Service, Mapping[str, Collection[Any, Any]]):
    """The tables of an application, by name (``app.tables``).

    Arguments:
        app: The application.
        linger: Seconds between two background flushes.
        max_dirty: Changed keys of a partition that start a flush at once.
    """

    def __init__(
        self, app: AppT, *, linger: float = 0.5, max_dirty: int = 10_000, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.app = app
        self.linger = linger
        self.max_dirty = max_dirty
        self._changelogs = ChangelogTopics(app)
        self.counts: dict[str, int] = self._changelogs.counts
        """Partitions of the topics of the last assignment, and of all changelogs."""
        self.changelog_headers: HeadersOf | None = None
        """Asked for the headers of each record of a changelog; None: they have none."""
        self._tables: dict[str, Collection[Any, Any]] = {}
        self._tenure: Tenure | None = None
        self._finalized = False
        self._flushing = asyncio.Lock()
        self._prepared: list[PartitionFlush] = []
        self._full = asyncio.Event()
        self._failure: Exception | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[Any] | None = None
        self._cleaner: Cleaner | None = None
        self._cleaning: asyncio.Task[None] | None = None
        self._following: Following | None = None
        self.recovery: Recovery | None = None
        """The recovery under way, with its progress."""
        self.standbys: Standbys | None = None
        """The copies on standby of this assignment that are being followed."""
        self.actives_ready: bool = False
        """The partitions of the last assignment are recovered."""
        self._copies_open = False
        self._step = ""
        self._standing_by: asyncio.Task[None] | None = None
        self._giving_way: asyncio.Task[None] | None = None
        self._warm: frozenset[TP] = frozenset()

    # -- the tables

    def add(self, table: Collection[Any, Any]) -> Collection[Any, Any]:
        """Register *table*.

        Raises:
            ValueError: There is a table of that name.
            RuntimeError: The tables are in use already.
        """
        if self._finalized:
            raise RuntimeError(
                f"table {table.name!r}: too late, the worker has started; declare tables when modules are imported"
            )
        if table.name in self._tables:
            raise ValueError(f"there is a table {table.name!r} already; names are unique in an app")
        self._tables[table.name] = table
        table.counts = self.counts
        table.max_dirty = self.max_dirty
        table.on_full = self._full.set
        return table

    def finalize(self) -> None:
        """No table can be added from now on."""
        self._finalized = True

    def __getitem__(self, name: str) -> Collection[Any, Any]:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def changelog_topics(self) -> set[str]:
        """Names of the changelog topics."""
        return {table.changelog_topic_name for table in self._tables.values()}

    @property
    def global_topics(self) -> set[str]:
        """Names of the changelog topics of global tables, which every worker reads outside of the group."""
        return {table.changelog_topic_name for table in self._tables.values() if table.is_global}

    @property
    def group_topics(self) -> set[str]:
        """Names of the changelog topics whose partitions are assigned."""
        return self.changelog_topics - self.global_topics

    # -- life

    async def on_start(self) -> None:
        """Begin to flush in the background."""
        self.finalize()
        if self._tables:
            loop = asyncio.get_running_loop()
            self._flusher = loop.create_task(self._flush_regularly(), name="flush tables")
            self._cleaner = Cleaner(
                self._tables.values,
                interval=self.app.conf.table_cleanup_interval,
                sent=lambda: sum(producer.taken for producer in self._producers()),
                sync=self._sync,
                busy=self.app.consumer.busy,
                gate=self.app.gate,
            )
            self._cleaning = loop.create_task(self._clean_regularly(), name="clean tables")
            self._giving_way = loop.create_task(self._give_way_regularly(), name="give way")

    async def on_stop(self) -> None:
        """Close the stores. Flushing and committing come before, when the partitions are released."""
        tasks = (self._flusher, self._cleaning, self._giving_way)
        running = [task for task in tasks if task is not None]
        self._flusher = self._cleaning = self._giving_way = None
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._stop_recovery()
        await self.stop_standbys()
        following, self._following = self._following, None
        if following is not None:
            await following.stop()
        for table in self._tables.values():
            await table.close()

    async def declare(self) -> None:
        """Create the changelog topics that are missing; learn how many partitions each has.

        Raises:
            ImproperlyConfigured: A changelog topic does not exist and may not be created, or belongs to two tables.
            BrokerError: As raised by the admin client.
        """
        self.finalize()
        await self._changelogs.declare(tuple(self._tables.values()))

    # -- flush

    async def flush(self) -> None:
        """Send every changed key to its changelog, wait for the broker, and bring the stores up to it.

        Offsets that are to be committed afterwards must have been noted before this is called. Keys that are changed
        while it runs are part of the next flush.

        While our membership of the group is not certain nothing is sent (rule C17): others may own the partitions, and a
        changelog in which the past comes after the present says the past. The keys stay changed until the membership is
        confirmed, or the partitions are lost and what was changed with them.

        Raises:
            ProducerSendError: A record was not accepted; also one that is not ours, since the producer reports a
                failure only once.
            TypeError: A key or value cannot be encoded.
            ConsistencyError: A changelog has gone back; also of an earlier flush.
            Exception: What made an earlier background flush fail.
        """
        async with self._flushing:
            if self._failure is not None:
                raise self._failure
            flushes = [PartitionFlush(partition) for partition in self._dirty_partitions()]
            if not flushes:
                return
            try:
                if not await self._append(flushes):
                    for flush in flushes:
                        flush.undo()
                    return
                await self.app.producer.flush()
                for flush in flushes:
                    await flush.settle()
            except BaseException as exc:
                for flush in flushes:
                    flush.undo()
                if isinstance(
                    exc, ConsistencyError
                ):  # once more, and what is gone would not be noticed
                    self._failure = exc
                raise

    def _dirty_partitions(self) -> list[TablePartition]:
        return [
            partition
            for table in self._tables.values()
            for partition in table.held.values()
            if partition.dirty and partition.generation is not None
        ]

    async def prepare(self) -> None:
        """Exactly once: put every changed key into the open transaction; the stores follow when it is `settled`.

        Raises:
            TypeError: A key or value cannot be encoded.
            CommitRefused: Our membership of the group became uncertain.
        """
        async with self._flushing:
            self._prepared = [PartitionFlush(partition) for partition in self._dirty_partitions()]
            if not await self._append(self._prepared):
                raise CommitRefused("our membership of the group is no longer certain")

    async def settle(self) -> None:
        """The transaction is committed: bring the stores up to it.

        If it is not committed, everything that was `prepared` is undone when the partitions are used again.
        """
        prepared, self._prepared = self._prepared, []
        for flush in prepared:
            await flush.settle()

    async def _append(self, flushes: list[PartitionFlush]) -> bool:
        """Append everything; False: our membership became uncertain before that."""
        producer, lease_until = self.app.producer, self.app.lease_until
        for flush in flushes:
            if monotonic() >= lease_until() or flush.partition.generation is None:
                return False
            while flush.append_some(producer.append, AT_ONCE, self.changelog_headers):
                await asyncio.sleep(0)
                if producer.full:
                    await producer.wait_room()
                if monotonic() >= lease_until() or flush.partition.generation is None:
                    return False
        return True

    async def _sync(self) -> None:
        """Wait until what close callbacks have sent is acknowledged; in a transaction it is one with the deletion."""
        if not self.app.exactly_once:
            for producer in self._producers():
                await producer.flush()

    def _producers(self) -> set[Any]:
        """Return the producers that a close callback may have sent with."""
        return {self.app.producer, self.app.soon_producer}

    async def _clean_regularly(self) -> None:
        assert self._cleaner is not None
        try:
            await self._cleaner.run()
        except Exception as exc:
            logger.error("Tables: cannot remove what has expired: %s: %s", type(exc).__name__, exc)
            await self.crash(exc)

    async def _flush_in_time(self) -> None:
        """Flush; and take no more events meanwhile, when as many keys as start a flush have changed once again."""
        consumer = self.app.consumer_or_none()
        flush = asyncio.ensure_future(self._commit() if self.app.exactly_once else self.flush())
        full = asyncio.ensure_future(self._full.wait())
        try:
            await asyncio.wait((flush, full), return_when=asyncio.FIRST_COMPLETED)
            if not flush.done() and consumer is not None:
                consumer.hold()
            await flush
        finally:
            full.cancel()
            flush.cancel()
            if consumer is not None:
                consumer.release()

    async def _commit(self) -> None:
        """Exactly once: so many keys have changed that the transaction should be committed."""
        await self.app.consumer.commit()

    async def _flush_regularly(self) -> None:
        linger = None if self.app.exactly_once else self.linger
        while True:
            try:
                async with asyncio.timeout(linger):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            try:
                await self._flush_in_time()
            except CommitRefused as exc:
                # What was changed is lost, and done again by whoever has the partitions.
                logger.warning("Tables: %s", exc)
            except Exception as exc:
                self._failure = exc
                ours = isinstance(exc, FaustError)
                await crash_because(
                    "Tables: cannot write to a changelog", exc, self, explained=ours
                )
                return

    def on_commit(self, offsets: Mapping[TP, int]) -> None:
        """Source offsets were committed.

        Nothing is left to do: what the events changed was in the changelogs and stores before; with exactly-once
        processing `settle` has brought it there.
        """

    # -- assignments

    async def on_partitions_revoked(self, revoked: frozenset[TP], lost: bool) -> None:
        """Partitions go away: flush, and let no event use the tables until the next `recover`.

        The state of the partitions is kept until then, since most of them come back; not if they are *lost*: then
        others may have written to their changelogs already, nothing is flushed and everything of them is dropped. A
        copy on standby says what its changelog says, and is kept.
        """
        self.actives_ready = False
        if lost:  # from now on nothing of them is flushed, not in the background either
            self._suspend()
            self._end_tenure()
        await self._stop_recovery()
        await self.stop_standbys()
        async with self._not_cleaning(lost=lost):
            try:
                if not lost and not self.app.exactly_once:
                    await self.flush()
            finally:
                self._end_tenure()
                if lost:
                    self._drop(revoked)
                self._suspend()
                if self._following is not None:
                    self._following.open_to(None)

    def _begin_tenure(self) -> None:
        """At least once: records of changelogs are written while our membership of the group is certain, and not after its end.

        Transactions need none: the group refuses their offsets.
        """
        self._end_tenure()
        topics = self.group_topics
        if topics and not self.app.exactly_once:
            self._tenure = Tenure(self.app.lease_until)
            self.app.producer.driver.bind(topics, self._tenure)

    def _end_tenure(self) -> None:
        tenure, self._tenure = self._tenure, None
        if tenure is not None:
            tenure.end()
            self.app.producer.driver.withdraw(tenure)

    def _suspend(self) -> None:
        for table in self._tables.values():
            table.suspend()

    def _drop(self, revoked: frozenset[TP]) -> None:
        """Drop what is held of changelog partitions that are lost, but for copies on standby."""
        for table in self._tables.values():
            topic = table.changelog_topic_name
            for number, partition in list(table.held.items()):
                if TP(topic, number) in revoked and not partition.standby:
                    table.drop_partition(number)

    @asynccontextmanager
    async def _not_cleaning(self, *, lost: bool) -> AsyncIterator[None]:
        """Let the windows that are being closed be closed first; for a bounded time, and not if all is lost."""
        lock = None if self._cleaner is None or lost else self._cleaner.lock
        if lock is not None:
            try:
                async with asyncio.timeout(self.app.conf.broker_rebalance_timeout / 4):
                    await lock.acquire()
            except TimeoutError:
                logger.warning(
                    "Tables: close callbacks of windows are still running; those windows may be closed a second time"
                )
                lock = None
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    async def recover(
        self,
        assigned: frozenset[TP],
        generation: int,
        on_ready: Callable[[frozenset[TP]], None],
        standbys: frozenset[TP] = frozenset(),
    ) -> None:
        """Bring the tables of *assigned* partitions up to their changelogs; may be cancelled at any point.

        Then the copies on standby are followed, until `stop_standbys` or the next revocation.

        Arguments:
            assigned: Everything this worker holds now, changelogs and sources.
            generation: The generation of the group in which it was assigned.
            on_ready: Called, soon and then again and again, with partitions of sources that may flow: all their tables are
                there. Each one of *assigned* is named once.
            standbys: Those of *assigned* that are only to be held ready.

        Raises:
            ConsistencyError: A store is ahead of its changelog, and setting ``recovery_consistency_check`` is on.
        """
        await self._stop_recovery()
        await self.stop_standbys()
        self._begin_tenure()
        self._recovering = asyncio.current_task()
        try:
            self._step = "waiting for stream_recovery_delay"
            if self.app.conf.stream_recovery_delay:
                await asyncio.sleep(self.app.conf.stream_recovery_delay)
            self._step = "asking for the partitions of the topics"
            await self._learn_counts(assigned)
            self._step = "waiting for a flush"
            async with self._flushing:
                partitions = await self._take_over(assigned - standbys, standbys)
            self._step = "recovering global tables"
            await self._follow()
            self.recovery = Recovery(
                partitions,
                reader=self.app.consumer,
                generation=generation,
                on_ready=self._flow(assigned - standbys, on_ready),
                check=self.app.conf.recovery_consistency_check,
                timeout=self.app.conf.broker_request_timeout,
                on_event=self._listeners(),
                lasting={
                    table.changelog_topic_name
                    for table in self._tables.values()
                    if not table.changelog_forgets
                },
            )
            self._use_global_tables(assigned, generation)
            await self.recovery.run()
            self.actives_ready = True
            await self._call_back()
            await self._start_standbys(standbys, generation)
        finally:
            self.recovery = None
            self._recovering = None

    def _flow(
        self, assigned: frozenset[TP], on_ready: Callable[[frozenset[TP]], None]
    ) -> Callable[[frozenset[TP]], None]:
        """Return what is told which partitions of tables are still recovered, and tells *on_ready* which sources need not wait.

        A partition of a source waits for the partitions of its number of the tables that its topic uses.
        """
        topics = {tp.topic for tp in assigned} - self.changelog_topics
        used: dict[str, list[str]] = {topic: [] for topic in topics}
        for table in self._tables.values():
            if not table.is_global:
                table.strangers = frozenset(t for t in topics if not self._may_use(t, table))
                for topic in topics - table.strangers:
                    used[topic].append(table.changelog_topic_name)
        waiting = {tp for tp in assigned if tp.topic in used}

        def look(left: frozenset[TP]) -> None:
            ready = frozenset(
                tp
                for tp in waiting
                if not any(TP(changelog, tp.partition) in left for changelog in used[tp.topic])
            )
            if ready:
                waiting.difference_update(ready)
                for number in {tp.partition for tp in ready}:
                    for table in self._tables.values():
                        table.restore_time(number)
                on_ready(ready)

        return look

    def _may_use(self, topic: str, table: Collection[Any, Any]) -> bool:
        """Say whether events of *topic* may use *table*: all who read the topic say so, or one of them says nothing."""
        said = [each.tables for each in self.app.topics if each.acks and each.matches(topic)]
        if not said or any(names is None for names in said):
            return True
        names = {name for names in said for name in names}
        return table.name in names or any(
            table in other.companions for name, other in self._tables.items() if name in names
        )

    def _listeners(self) -> dict[str, OnEvent]:
        return {
            table.changelog_topic_name: table.announce_event
            for table in self._tables.values()
            if table.on_changelog_event is not None
        }

    def _use_global_tables(self, assigned: frozenset[TP], generation: int) -> None:
        """Open the global tables to events; own of them the partitions whose sources are ours."""
        if self._following is not None:
            self._following.open_to(generation)
        for table in self._tables.values():
            if table.is_global:
                table.forget_tasks()
                owned = self._owned(table.changelog_topic_name, assigned)
                for number, partition in table.held.items():
                    partition.owned = number in owned

    def _owned(self, changelog: str, assigned: frozenset[TP]) -> frozenset[int]:
        """Return which partitions of a global table are for us to clean: each is for exactly one worker.

        It is the one that has the partition of the topic that the events come from; where no topic has as many partitions (the
        table has a partitioner), they are dealt out with those of the first one.
        """
        count = self.counts.get(changelog, 0)
        sources = sorted(topic for topic in self._sources(assigned) if self.counts.get(topic))
        alike = [topic for topic in sources if self.counts[topic] == count]
        source = next(iter(alike or sources), None)
        if source is None:
            return frozenset()
        among = self.counts[source]
        return frozenset(n for n in range(count) if TP(source, n % among) in assigned)

    def _sources(self, assigned: frozenset[TP]) -> set[str]:
        """Return the topics that this app reads, whether anything of them is assigned to us or not."""
        leader = f"{self.app.conf.id}-__assignor-__leader"
        read = {name for topic in self.app.topics if topic.acks for name in topic.topics}
        return (read | {tp.topic for tp in assigned}) - self.changelog_topics - {leader}

    def doing(self) -> str:
        """Say in a sentence what keeps tables from being ready; empty when nothing does."""
        if self.recovery is not None:
            return self.recovery.doing()
        return self._step if self._recovering is not None else ""

    async def _stop_recovery(self) -> None:
        """End a recovery that somebody has left running."""
        running = self._recovering
        if running is not None and running is not asyncio.current_task():
            running.cancel()
            await asyncio.wait([running])

    async def _learn_counts(self, assigned: frozenset[TP]) -> None:
        if self._tables:
            topics = {tp.topic for tp in assigned} | self.changelog_topics
            if self.global_topics:
                topics |= self._sources(assigned)
            for topic in sorted(topics):
                await self._changelogs.count(topic)

    async def _take_over(
        self, actives: frozenset[TP], standbys: frozenset[TP]
    ) -> dict[TP, TablePartition]:
        """Drop what is not ours any more, open what is new, and undo what was never flushed; return the active ones."""
        taken: dict[TP, TablePartition] = {}
        own = [table for table in self._tables.values() if not table.is_global]
        ours: dict[str, set[int]] = {table.changelog_topic_name: set() for table in own}
        copies: dict[str, set[int]] = {topic: set() for topic in ours}
        for tps, wanted in ((actives, ours), (standbys, copies)):
            for tp in tps:
                if tp.topic in wanted:
                    wanted[tp.topic].add(tp.partition)
        for table in self._tables.values():
            table.suspend()
        for (
            table
        ) in own:  # let go of everything before waiting for anything: others may wait for it
            topic = table.changelog_topic_name
            for number in set(table.held) - ours[topic] - copies[topic]:
                table.drop_partition(number)
            for number in copies[topic] & set(table.held):
                table.held[number].roll_back()
                await table.open_standby(number)
        for table in own:
            for number in sorted(ours[table.changelog_topic_name]):
                self._step = f"opening the store of table {table.name!r}, partition {number}"
                partition = await table.open_partition(number)
                partition.roll_back()
                taken[partition.tp] = partition
        return taken

    # -- standbys

    @property
    def standbys_ready(self) -> bool:
        """Every copy on standby has reached the end of its changelog, as it was last seen."""
        return self._copies_open and (self.standbys is None or self.standbys.ready)

    def standby_lag(self) -> dict[TP, int]:
        """Return how many records each copy on standby is behind its changelog, as far as that is known."""
        return {} if self.standbys is None else self.standbys.lag()

    def is_warm(self, tp: TP) -> bool:
        """Say whether a copy on standby was near the end of its changelog when it was last followed.

        May be called in any thread.
        """
        return tp in self._warm

    async def _start_standbys(self, standbys: frozenset[TP], generation: int) -> None:
        """Open the copies, and follow them in the background."""
        self._warm &= standbys
        tables = {table.changelog_topic_name: table for table in self._tables.values()}
        copies: dict[TP, TablePartition] = {}
        kept_by_others = []
        for tp in sorted(standbys):
            if tp.topic in tables:
                copy = await tables[tp.topic].open_standby(tp.partition)
                if copy is None:
                    kept_by_others.append(tp)
                else:
                    copies[tp] = copy
        if kept_by_others:
            logger.info(
                "Standby: %d partitions are kept by another worker of this machine in the same data directory; no copy is "
                "made here (%s%s)",
                len(kept_by_others),
                ", ".join(f"{tp.topic}[{tp.partition}]" for tp in kept_by_others[:5]),
                ", ..." if len(kept_by_others) > 5 else "",
            )
        self._copies_open = True
        if not copies:
            return
        self.standbys = Standbys(
            copies,
            reader=self.app.consumer,
            generation=generation,
            timeout=self.app.conf.broker_request_timeout,
            on_event=self._listeners(),
        )
        self._standing_by = asyncio.get_running_loop().create_task(
            self._stand_by(self.standbys), name=f"standbys of generation {generation}"
        )

    async def _stand_by(self, standbys: Standbys) -> None:
        try:
            await standbys.run()
        except Exception as exc:
            logger.error("Cannot follow copies on standby: %s: %s", type(exc).__name__, exc)
            await self.crash(exc)

    async def stop_standbys(self) -> None:
        """Follow the copies on standby no longer; what was read of them is in their stores."""
        self._copies_open = False
        task, self._standing_by = self._standing_by, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        standbys, self.standbys = self.standbys, None
        if standbys is not None:
            lag = standbys.lag()
            self._warm = self._warm - lag.keys() | {tp for tp in lag if lag[tp] <= WARM}

    async def _give_way_regularly(self) -> None:
        """Close copies on standby whose files another worker of this machine wants: it owns the partition."""
        while True:
            await asyncio.sleep(GIVE_WAY_EVERY)
            for table in self._tables.values():
                for number, partition in list(table.held.items()):
                    if partition.standby and partition.store.is_wanted():
                        if self.standbys is not None:
                            self.standbys.forget(partition.tp)
                        table.drop_partition(number)

    async def _follow(self) -> None:
        """Have the global tables complete: at the first time read them, then undo what was never flushed."""
        tables = [table for table in self._tables.values() if table.is_global]
        if not tables:
            return
        following = self._following
        if following is None:
            conf = self.app.conf
            following = Following(
                tables,
                driver=self.app.reader_driver(),
                check=conf.recovery_consistency_check,
                timeout=conf.broker_request_timeout,
                crash=self.crash,
            )
            try:
                await following.start()
            except BaseException:
                await following.stop()
                raise
            self._following = following
            return
        unsent = [
            partition.tp
            for table in tables
            for partition in table.held.values()
            if partition.dirty or partition.sending
        ]
        if unsent:
            await following.undo(unsent)

    async def _call_back(self) -> None:
        """Tell everybody who asked that recovery is complete; report who fails."""
        calls = [(table, fun) for table in self._tables.values() for fun in table.recover_callbacks]
        results = await asyncio.gather(*(fun() for _, fun in calls), return_exceptions=True)
        for (table, fun), result in zip(calls, results, strict=True):
            if isinstance(result, BaseException):
                logger.error(
                    "Table %r: the recover callback %r failed", table.name, fun, exc_info=result
                )
