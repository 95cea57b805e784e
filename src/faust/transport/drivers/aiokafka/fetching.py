"""The aiokafka parts of a consumer, put together. Everything here runs in the client thread.

`AIOKafkaConsumer` is taken apart in one place only: its `start` makes the fetcher and the coordinator, and here it
makes ours. Everything else of it is used as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as kafka
from aiokafka.consumer.group_coordinator import NoGroupCoordinator
from aiokafka.structs import TopicPartition

from faust.exceptions import (
    AuthorizationFailed,
    BrokerError,
    ImproperlyConfigured,
    UnknownTopic,
)
from faust.messages import TP
from faust.transport.base import Assignor, ConsumerOptions, DriverState
from faust.transport.drivers.aiokafka.client import Backoff, KafkaClient
from faust.transport.drivers.aiokafka.credentials import client_security
from faust.transport.drivers.aiokafka.errors import is_passing, is_refusal, translate
from faust.transport.drivers.aiokafka.fetcher import Fetcher
from faust.transport.drivers.aiokafka.membership import Membership, RebalanceHooks, Subscriptions
from faust.transport.drivers.aiokafka.protocol import LogEnds
from faust.transport.drivers.aiokafka.pump import HandOver, Pump, PumpHost, Track
from faust.transport.drivers.aiokafka.reader import make_reader

__all__ = ["ConsumerClient", "TopicFilter"]

logger: logging.Logger = logging.getLogger(__name__)

FETCH_WAIT = 0.2
"""Seconds the broker holds an empty fetch. A resumed or moved partition waits for the one under way."""


class TopicFilter:
    """The topics of a subscription: some by name, others by pattern; takes the place of a regular expression."""

    def __init__(self, topics: Collection[str], pattern: re.Pattern[str]) -> None:
        self._topics = frozenset(topics)
        self._pattern = pattern

    def match(self, topic: str) -> bool:
        """Say whether *topic* is wanted; the pattern must match the whole name."""
        return topic in self._topics or self._pattern.fullmatch(topic) is not None


class ConsumerClient:
    """Connection, fetcher and membership of one consumer."""

    def __init__(
        self,
        servers: list[str],
        options: ConsumerOptions,
        hooks: RebalanceHooks,
        app_idle: Callable[[], float],
    ) -> None:
        self.membership: Membership | None = None
        self.connection: KafkaClient
        self._servers = servers
        self._options = options
        self._hooks = hooks
        self._app_idle = app_idle
        self._consumer: Any = None
        self._pump: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._wanted: frozenset[str] = frozenset()

    # -- life

    async def start(self, state: DriverState, host: PumpHost, hand_over: HandOver) -> Pump:
        """Connect, and begin to fill *hand_over*."""
        options = self._options
        self.connection = KafkaClient(
            self._servers,
            state=state,
            name=f"consumer {options.group_id or options.client_id}",
            refused=host.fail,
            client_id=options.client_id,
            request_timeout_ms=round(options.request_timeout * 1000),
            metadata_max_age_ms=round(options.metadata_max_age * 1000),
            retry_backoff_ms=random.randint(80, 120),
            connections_max_idle_ms=round(options.connections_max_idle * 1000),
            **client_security(options.credentials),
        )
        try:
            await self.connection.connect(options.connect_timeout)
            self._consumer = self._make_consumer()
        except BaseException:
            await self.connection.close()
            raise
        loop = asyncio.get_running_loop()
        pump = Pump(
            host, self._consumer, make_reader(self._consumer), hand_over, options.slice_size
        )
        self._consumer._fetcher.on_records = pump.records_came
        self._pump = loop.create_task(pump.run(), name="pump")
        self._watch = loop.create_task(self._watch_topics(host), name="missing topics")
        return pump

    def _make_consumer(self) -> Any:
        """Make aiokafka's consumer in its started state, with our parts."""
        options = self._options
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            group_id=options.group_id,
            enable_auto_commit=False,
            request_timeout_ms=round(options.request_timeout * 1000),
        )
        consumer._client = self.connection
        consumer._subscription = subscriptions = Subscriptions(self._app_idle)
        consumer._fetcher = Fetcher(
            self.connection,
            subscriptions,
            fetch_max_wait_ms=round(FETCH_WAIT * 1000),
            max_partition_fetch_bytes=options.max_fetch_size,
            check_crcs=options.check_crcs,
            retry_backoff_ms=random.randint(80, 120),
            auto_offset_reset="none",  # the pump resets, by topic
            isolation_level="read_committed" if options.read_committed else "read_uncommitted",
        )
        if options.group_id is None:
            consumer._coordinator = NoGroupCoordinator(self.connection, subscriptions)
        else:
            self.membership = Membership(self.connection, subscriptions, options, self._hooks)
            consumer._coordinator = self.membership
        return consumer

    async def close(self, timeout: float) -> None:
        """Leave the group and close everything, in about *timeout* seconds."""
        for task in (self._pump, self._watch):
            if task is not None:
                task.cancel()
        consumer = self._consumer
        if consumer is None:
            return
        consumer._closed = True
        if self.membership is not None:
            await self.membership.leave(timeout * 0.6)
        else:
            await consumer._coordinator.close()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError, kafka.KafkaError):
            async with asyncio.timeout(timeout * 0.2):
                await consumer._fetcher.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout * 0.2):
                await self.connection.close()

    def abort(self) -> None:
        """Drop the connections, without a word to anybody."""
        for connection in list(self.connection._conns.values()):
            connection.close()

    def check(self) -> None:
        """Raise what the background tasks have run into (C16); what passes by itself is let pass."""
        fetching = self._consumer._fetcher.error_future
        if fetching.done() and not fetching.cancelled():
            fetching.result()
            raise BrokerError("aiokafka's fetcher has ended without an error")
        try:
            self._consumer._coordinator.check_errors()
        except kafka.KafkaError as error:
            if is_passing(error) and not is_refusal(error):
                logger.warning("group %s: %s; trying again", self._options.group_id, error)
                return
            raise translate(error, f"group {self._options.group_id}") from error
        except asyncio.CancelledError:
            raise BrokerError(
                f"group {self._options.group_id}: the member has ended without an error"
            ) from None

    @property
    def lease_until(self) -> float:
        """See `Membership`."""
        return self.membership.lease_until if self.membership is not None else 0.0

    # -- what is read

    async def subscribe(
        self, topics: frozenset[str], pattern: re.Pattern[str] | None, assignor: Assignor
    ) -> None:
        """Join the group for *topics* and those that match *pattern*."""
        assert self.membership is not None
        self.membership.use_assignor(assignor)
        self._wanted = topics
        subscriptions = self._consumer._subscription
        if subscriptions.subscription is not None or subscriptions.subscribed_pattern is not None:
            subscriptions.unsubscribe()
        self.connection.all_topics = pattern is not None
        if pattern is None:
            subscriptions.subscribe(topics=set(topics))
            self.connection.set_topics(topics)
        else:
            subscriptions.subscribe_pattern(TopicFilter(topics, pattern))
            self.connection.set_topics([])

    async def assign(self, tps: list[TP]) -> None:
        """Read *tps* without a group."""
        await self._know([tp.topic for tp in tps])
        for tp in tps:
            self._check_exists(tp)
        if self._consumer._subscription.partitions_auto_assigned():
            raise ImproperlyConfigured("a consumer that has subscribed cannot assign as well")
        self._consumer.assign([TopicPartition(*tp) for tp in tps])

    def pause(self, tps: list[Any]) -> None:
        """Stop fetching those of *tps* that are still assigned."""
        for tp in tps:
            if self._consumer._subscription.is_assigned(tp):
                self._consumer._subscription.pause(tp)

    def resume(self, tps: list[Any]) -> None:
        """Undo `pause`."""
        for tp in tps:
            if self._consumer._subscription.is_assigned(tp):
                self._consumer._subscription.resume(tp)

    def seek(self, tp: Any, offset: int) -> None:
        """Fetch *tp* from *offset* on."""
        if self._consumer._subscription.is_assigned(tp):
            self._consumer.seek(tp, offset)

    async def position(self, tp: Any, track: Track) -> int:
        """Return where *tp* will be read next; waits until that is known, or known to be nowhere."""
        asked = asyncio.get_running_loop().create_task(self._consumer.position(tp))
        try:
            while not asked.done():
                await asyncio.wait([asked], timeout=0.1)
                if track.stuck is not None:
                    raise track.stuck
                if not track.alive:
                    raise UnknownTopic(
                        f"{tp.topic}[{tp.partition}] is not assigned to this consumer any more"
                    )
            return int(asked.result())
        except kafka.KafkaError as error:
            raise translate(error, f"position of {tp.topic}[{tp.partition}]") from error
        finally:
            asked.cancel()

    # -- topics

    async def log_offsets(self, tps: list[TP], which: int) -> dict[TP, int]:
        """Return log start (-2) or next (-1) offsets; retries what passes by itself, for ever."""
        wanted = {TopicPartition(*tp): which for tp in tps}

        async def attempt() -> dict[TP, int]:
            found = await self._consumer._fetcher._proc_offset_requests(wanted)
            return {tp: found[TopicPartition(*tp)][0] for tp in tps}

        return await self._look_up(tps, attempt)

    async def high_watermarks(self, tps: list[TP]) -> dict[TP, int]:
        """Return next offsets, whatever the isolation of what is read; retries what passes by itself, for ever."""

        async def attempt() -> dict[TP, int]:
            leaders = await self.connection.newest_leaders(sorted({tp.topic for tp in tps}))
            by_leader: dict[int, dict[str, list[tuple[int, int]]]] = {}
            for topic, number in tps:
                leader, epoch = leaders.get((topic, number), (-1, -1))
                if leader < 0:
                    raise kafka.LeaderNotAvailableError(f"{topic}[{number}]")
                by_leader.setdefault(leader, {}).setdefault(topic, []).append((number, epoch))
            found: dict[TP, int] = {}
            for leader, partitions in by_leader.items():
                answer = await self.connection.send(leader, LogEnds(partitions))
                for topic, number, code, offset in LogEnds.read(answer):
                    if code:
                        raise kafka.for_code(code)(f"{topic}[{number}]")
                    found[TP(topic, number)] = offset
            return found

        return await self._look_up(tps, attempt)

    async def _look_up(
        self, tps: list[TP], attempt: Callable[[], Awaitable[dict[TP, int]]]
    ) -> dict[TP, int]:
        if not tps:
            return {}
        await self._know([tp.topic for tp in tps])
        pauses = Backoff()
        while True:
            for tp in tps:
                self._check_exists(tp)
            try:
                return await attempt()
            except kafka.KafkaError as error:
                if not is_passing(error):
                    raise translate(error, f"cannot look up offsets of {tps}") from error
                if error.invalid_metadata:
                    await self.connection.force_metadata_update()
                await asyncio.sleep(pauses.next())

    async def _know(self, topics: list[str]) -> None:
        """Have the metadata of *topics*, or raise `UnknownTopic`."""
        cluster = self.connection.cluster
        for topic in topics:
            while cluster.partitions_for_topic(topic) is None:
                code, _ = (await self.connection.topic_metadata([topic]))[topic]
                error = kafka.for_code(code)
                if error is kafka.UnknownTopicOrPartitionError:
                    raise UnknownTopic(f"topic {topic} does not exist")
                if not (error is kafka.NoError or error.retriable):
                    raise translate(error(topic), f"cannot look up topic {topic}")
                self.connection._topics.add(topic)
                await self.connection.force_metadata_update()

    def _check_exists(self, tp: TP) -> None:
        numbers = self.connection.cluster.partitions_for_topic(tp.topic)
        if numbers is not None and tp.partition not in numbers:
            raise UnknownTopic(
                f"topic {tp.topic} has no partition {tp.partition}; it has {len(numbers)}"
            )

    async def _watch_topics(self, host: PumpHost) -> None:
        """Look soon again for subscribed topics that do not exist yet, and say that they are missing."""
        pauses = Backoff(0.5, 10.0)
        told: set[str] = set()
        cluster = self.connection.cluster
        while True:
            await asyncio.sleep(pauses.next())
            if refused := cluster.unauthorized_topics & self._wanted:
                host.fail(
                    AuthorizationFailed(
                        f"not permitted to read topics {', '.join(sorted(refused))}: give this user the ACLs "
                        "DESCRIBE and READ"
                    )
                )
                return
            known = cluster.topics(exclude_internal_topics=False)
            missing = (self._wanted | self.connection._topics) - known
            if not missing:
                pauses.reset()
                continue
            if news := (missing & self._wanted) - told:
                told |= news
                logger.warning(
                    "subscribed topics do not exist: %s; waiting for somebody to create them",
                    ", ".join(sorted(news)),
                )
            await self.connection.force_metadata_update()
