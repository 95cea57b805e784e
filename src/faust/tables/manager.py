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
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from mode import Service

from faust.exceptions import BrokerError, ImproperlyConfigured
from faust.messages import TP
from faust.ports import AppT
from faust.tables.base import Collection
from faust.tables.cleaning import Cleaner
from faust.tables.following import Following
from faust.tables.partition import PartitionFlush, TablePartition
from faust.tables.recovery import OnReady, Recovery, retried

__all__ = ["TableManager"]

logger: logging.Logger = logging.getLogger(__name__)

AT_ONCE = 1000
"""Keys encoded before other coroutines get their turn."""


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
        self.counts: dict[str, int] = {}
        """Partitions of the topics of the last assignment, and of all changelogs."""
        self._tables: dict[str, Collection[Any, Any]] = {}
        self._finalized = False
        self._flushing = asyncio.Lock()
        self._full = asyncio.Event()
        self._failure: Exception | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[Any] | None = None
        self._cleaner: Cleaner | None = None
        self._cleaning: asyncio.Task[None] | None = None
        self._following: Following | None = None
        self.recovery: Recovery | None = None
        """The recovery under way, with its progress."""

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
                sync=self._sync,
            )
            self._cleaning = loop.create_task(self._clean_regularly(), name="clean tables")

    async def on_stop(self) -> None:
        """Close the stores. Flushing and committing come before, when the partitions are released."""
        running = [task for task in (self._flusher, self._cleaning) if task is not None]
        self._flusher = self._cleaning = None
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._stop_recovery()
        following, self._following = self._following, None
        if following is not None:
            await following.stop()
        for table in self._tables.values():
            await table.close()

    # -- changelog topics

    async def declare(self) -> None:
        """Create the changelog topics that are missing; learn how many partitions each has.

        Raises:
            ImproperlyConfigured: A changelog topic does not exist and may not be created, or belongs to two tables.
            BrokerError: As raised by the admin client.
        """
        self.finalize()
        owners = {table.changelog_topic_name: table for table in self._tables.values()}
        for table in self._tables.values():
            topic = table.changelog_topic_name
            if owners[topic] is not table:
                raise ImproperlyConfigured(
                    f"the tables {table.name!r} and {owners[topic].name!r} have the same changelog topic {topic}"
                )
            await self._declare(table)

    async def _declare(self, table: Collection[Any, Any]) -> None:
        topic = table.changelog_topic_name
        wanted = (
            table.partitions or await self._count(topic) or await self._wanted_partitions(table)
        )
        outcome = await table.declare(wanted)
        for difference in () if outcome is None else outcome.differences:
            logger.warning(
                "Table %r: its changelog topic %s is not as declared: %s",
                table.name,
                topic,
                difference,
            )
        if table.use_partitioner:
            await self.app.producer.load_partitions(topic)
        if await self._count(topic) is None and not self.app.conf.topic_allow_declare:
            raise ImproperlyConfigured(
                f"table {table.name!r}: its changelog topic {topic} does not exist, and the setting "
                f"topic_allow_declare is off. Create it with cleanup.policy=compact and {wanted} partitions, or "
                "allow the worker to"
            )

    async def _wanted_partitions(self, table: Collection[Any, Any]) -> int:
        """Choose the number of partitions of a new changelog: that of the topics that the agents read."""
        await asyncio.sleep(
            0
        )  # agents that were started just now may still have topics to announce
        counts: dict[str, int] = {}
        for topic in self.app.topics:
            if topic.acks:
                for name in topic.topics:
                    count = await self._count(name) or topic.partitions or await self._created(name)
                    if count:
                        counts[name] = count
        different = set(counts.values())
        if len(different) == 1:
            return different.pop()
        default: int = self.app.conf.topic_partitions
        if different:
            logger.info(
                "Table %r: the topics that the agents read differ in their number of partitions (%s); its changelog "
                "gets %d (setting topic_partitions). Say partitions= if another number is right",
                table.name,
                ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())),
                default,
            )
        return default

    async def _count(self, topic: str) -> int | None:
        """Ask how many partitions *topic* has, and remember it."""
        numbers = await retried(
            f"ask for the partitions of {topic}",
            partial(self.app.consumer.driver.partitions_for, topic),
            self.app.conf.broker_request_timeout,
        )
        if numbers:
            self.counts[topic] = len(numbers)
        return len(numbers) if numbers else None

    async def _created(self, topic: str) -> int | None:
        """Have the broker create *topic* now, if it is one that does so when a topic is first asked for.

        Otherwise the first message would, when it is too late for a changelog that should have the same count.
        """
        try:
            async with asyncio.timeout(self.app.conf.broker_request_timeout):
                return len(await self.app.producer.load_partitions(topic))
        except (TimeoutError, BrokerError) as exc:
            logger.info("The topic %s, which agents read, is not there yet: %s", topic, exc)
            return None

    # -- flush

    async def flush(self) -> None:
        """Send every changed key to its changelog, wait for the broker, and bring the stores up to it.

        Offsets that are to be committed afterwards must have been noted before this is called. Keys that are changed
        while it runs are part of the next flush.

        Raises:
            ProducerSendError: A record was not accepted; also one that is not ours, since the producer reports a
                failure only once.
            TypeError: A key or value cannot be encoded.
            Exception: What made an earlier background flush fail.
        """
        async with self._flushing:
            if self._failure is not None:
                raise self._failure
            flushes = [PartitionFlush(partition) for partition in self._dirty_partitions()]
            if not flushes:
                return
            try:
                await self._send(flushes)
                for flush in flushes:
                    await flush.settle()
            except BaseException:
                for flush in flushes:
                    flush.undo()
                raise

    def _dirty_partitions(self) -> list[TablePartition]:
        return [
            partition
            for table in self._tables.values()
            for partition in table.held.values()
            if partition.dirty and partition.generation is not None
        ]

    async def _send(self, flushes: list[PartitionFlush]) -> None:
        producer = self.app.producer
        for flush in flushes:
            while flush.append_some(producer.append, AT_ONCE):
                await asyncio.sleep(0)
                if producer.full:
                    await producer.wait_room()
        await producer.flush()

    async def _sync(self) -> None:
        """Wait until what close callbacks have sent is acknowledged."""
        await self.app.producer.flush()

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
        flush = asyncio.ensure_future(self.flush())
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

    async def _flush_regularly(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.linger):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            try:
                await self._flush_in_time()
            except Exception as exc:
                self._failure = exc
                logger.error("Tables: cannot write to a changelog: %s: %s", type(exc).__name__, exc)
                await self.crash(exc)
                return

    def on_commit(self, offsets: Mapping[TP, int]) -> None:
        """Source offsets were committed.

        Nothing is left to do: what the events changed was in the changelogs and stores before. (With exactly-once
        this is where stores will learn of the transaction.)
        """

    # -- assignments

    async def on_partitions_revoked(self, revoked: frozenset[TP], lost: bool) -> None:
        """Partitions go away: flush, and let no event use the tables until the next `recover`.

        The state of the partitions is kept until then, since most of them come back; not if they are *lost*: then
        others may have written to their changelogs already, nothing is flushed and everything of them is dropped.
        """
        await self._stop_recovery()
        async with self._not_cleaning(lost=lost):
            try:
                if not lost:
                    await self.flush()
            finally:
                for table in self._tables.values():
                    if lost:
                        topic = table.changelog_topic_name
                        for number in [n for n in table.held if TP(topic, n) in revoked]:
                            table.drop_partition(number)
                    table.suspend()

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

    async def recover(self, assigned: frozenset[TP], generation: int, on_ready: OnReady) -> None:
        """Bring the tables of *assigned* partitions up to their changelogs; may be cancelled at any point.

        Arguments:
            assigned: Everything this worker holds now, changelogs and sources.
            generation: The generation of the group in which it was assigned.
            on_ready: Called, soon and then again and again, with partition numbers that may flow: all their tables are
                there. Every number of *assigned* is named once.

        Raises:
            ConsistencyError: A store is ahead of its changelog, and setting ``recovery_consistency_check`` is on.
        """
        await self._stop_recovery()
        self._recovering = asyncio.current_task()
        try:
            if self.app.conf.stream_recovery_delay:
                await asyncio.sleep(self.app.conf.stream_recovery_delay)
            await self._learn_counts(assigned)
            async with self._flushing:
                partitions = await self._take_over(assigned)
            await self._follow()
            self.recovery = Recovery(
                partitions,
                numbers=frozenset(tp.partition for tp in assigned),
                reader=self.app.consumer,
                generation=generation,
                on_ready=on_ready,
                check=self.app.conf.recovery_consistency_check,
                timeout=self.app.conf.broker_request_timeout,
                on_event={
                    table.changelog_topic_name: table.announce_event
                    for table in self._tables.values()
                    if table.on_changelog_event is not None
                },
            )
            for table in self._tables.values():
                if table.is_global:
                    for partition in table.held.values():
                        partition.generation = generation
            await self.recovery.run()
            await self._call_back()
        finally:
            self.recovery = None
            self._recovering = None

    async def _stop_recovery(self) -> None:
        """End a recovery that somebody has left running."""
        running = self._recovering
        if running is not None and running is not asyncio.current_task():
            running.cancel()
            await asyncio.wait([running])

    async def _learn_counts(self, assigned: frozenset[TP]) -> None:
        if self._tables:
            for topic in sorted({tp.topic for tp in assigned} | self.changelog_topics):
                await self._count(topic)

    async def _take_over(self, assigned: frozenset[TP]) -> dict[TP, TablePartition]:
        """Drop what is not ours any more, open what is new, and undo what was never flushed."""
        taken: dict[TP, TablePartition] = {}
        own = [table for table in self._tables.values() if not table.is_global]
        ours: dict[str, set[int]] = {table.changelog_topic_name: set() for table in own}
        for tp in assigned:
            if tp.topic in ours:
                ours[tp.topic].add(tp.partition)
        for table in self._tables.values():
            table.suspend()
        for (
            table
        ) in own:  # let everything go before anything is waited for: others may wait for it, too
            for number in set(table.held) - ours[table.changelog_topic_name]:
                table.drop_partition(number)
        for table in own:
            for number in sorted(ours[table.changelog_topic_name]):
                partition = await table.open_partition(number)
                partition.roll_back()
                taken[partition.tp] = partition
        return taken

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
