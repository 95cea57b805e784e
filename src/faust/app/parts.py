"""The parts of an application, made when they are first needed, and how they are joined.

Each property makes its part from the settings and hands it the few functions it needs; nothing here touches an event
loop before somebody asks for a part that does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from time import monotonic
from typing import Any

from mode import Service
from mode.utils.queues import FlowControlQueue

from faust._core.lanes import PartitionTask
from faust.agents.manager import AgentManager
from faust.agents.replies import ReplyConsumer
from faust.app import clients
from faust.app.configuration import ConfiguredApp
from faust.app.rebalance import Rebalance
from faust.conductor import Conductor
from faust.exceptions import ConsumerNotStarted, ImproperlyConfigured, UnknownTopic
from faust.gate import Gate
from faust.mailbox import FlowControl
from faust.messages import TP
from faust.sensors.base import SensorDelegate
from faust.tables.manager import TableManager
from faust.transport.base import AdminDriver, ConsumerDriver, ProducerDriver, TopicSpec, Transport
from faust.transport.consumer import CommitStep, Consumer
from faust.transport.exactly_once import TransactionalConsumer
from faust.transport.producer import Producer
from faust.transport.transactions import TransactionalDriver

__all__ = ["AppWithParts"]

logger: logging.Logger = logging.getLogger(__name__)

CLOSE_RESERVE = 1.0
"""Seconds of setting ``worker_stop_timeout`` that are not for the closing of clients."""

LEAST_CLOSE = 0.3
"""Seconds that a client may take to close even when there are none left."""


def _unbind(service: Service) -> None:
    """Let a service belong to no event loop, as if it were new."""
    service.loop = None
    service._started = service._new_started_event()
    service._stopped = service._new_stopped_event()
    service._shutdown = service._new_shutdown_event()
    service._crashed = service._new_crashed_event()


class AppWithParts(ConfiguredApp):
    """An application that has a transport, a consumer, a producer, agents, tables and sensors.

    Attributes:
        agents: Agents by name.
        sensors: Everything that is told of what happens.
        gate: Holds the streams of topics while a transaction is committed.
        flow_control: Holds all streams while it is suspended.
        started_producer: The producer once it runs.
        consumer_generation_id: Generation of the group in which our partitions were assigned.
    """

    abstract = True

    def __init__(self, id: str, **kwargs: Any) -> None:
        self._lay_down_parts()
        self._serializers: Any = None
        self._tables: TableManager | None = None
        super().__init__(id, **kwargs)
        self.agents: AgentManager = AgentManager(beacon=self.beacon)
        self.sensors: SensorDelegate = SensorDelegate(self)
        self._monitor: Any = None
        self.flow_control: FlowControl = FlowControl()
        self.gate: Gate = Gate(self.lease_until)

    def _lay_down_parts(self) -> None:
        """Have no part that was made for a broker; the next use makes them anew."""
        self.started_producer: Producer | None = None
        self.consumer_generation_id = 0
        self._producer: Producer | None = None
        self._threaded_producer: Producer | None = None
        self._stop_began: float | None = None
        self._consumer: Consumer | None = None
        self._conductor: Conductor | None = None
        self._transport: Transport | None = None
        self._producer_transport: Transport | None = None
        self._assignor: Any = None
        self._router: Any = None
        self._leader: Any = None
        self._admin: AdminDriver | None = None
        self._replies: ReplyConsumer | None = None
        self._producer_lock: asyncio.Lock | None = None
        self._rebalance = Rebalance(self)

    def service_reset(self) -> None:
        """Forget what was bound to a broker and an event loop: a stopped app can be started again, also in another.

        What was declared (agents, tables, tasks) stays; what tables hold is recovered at the next start.
        """
        super().service_reset()
        self._lay_down_parts()
        self.gate.reset()
        for service in (self, self.agents, self.tables, *self.agents.values(), *self.sensors):
            _unbind(service)

    @property
    def monitor(self) -> Any:
        """Counts what happens (`faust.Monitor`); its class is setting ``Monitor``. Set it before the app is started."""
        if self._monitor is None:
            self._monitor = self.conf.Monitor(beacon=self.beacon)
        return self._monitor

    @monitor.setter
    def monitor(self, monitor: Any) -> None:
        if self._monitor is not None and self._monitor in self.sensors:
            self.sensors.remove(self._monitor)
            self.sensors.add(monitor)
        self._monitor = monitor

    def _add_monitor(self) -> None:
        """Let the monitor be one of the sensors."""
        if self.monitor not in self.sensors:
            self.sensors.add(self.monitor)

    @property
    def transport(self) -> Transport:
        """The transport that is consumed from (setting ``broker_consumer``)."""
        if self._transport is None:
            self._transport = clients.make_transport(self.conf.broker_consumer, self.conf)
        return self._transport

    @transport.setter
    def transport(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def producer_transport(self) -> Transport:
        """The transport that is produced to (setting ``broker_producer``)."""
        if self._producer_transport is None:
            if self.conf.broker_producer == self.conf.broker_consumer:
                self._producer_transport = self.transport
            else:
                self._producer_transport = clients.make_transport(
                    self.conf.broker_producer, self.conf
                )
        return self._producer_transport

    @producer_transport.setter
    def producer_transport(self, producer_transport: Transport) -> None:
        self._producer_transport = producer_transport

    @property
    def producer(self) -> Producer:
        """The producer service."""
        if self._producer is None:
            self._producer = Producer(
                self._producer_driver(),
                partitioner=self.conf.producer_partitioner,
                headers=clients.has_headers(self.conf.producer_api_version),
                sensors=self.sensors,
                close_timeout=self.close_timeout,
                beacon=self.beacon,
            )
        return self._producer

    @producer.setter
    def producer(self, producer: Producer) -> None:
        self._producer = producer

    @property
    def exactly_once(self) -> bool:
        """Whether what an event causes is one transaction (setting ``processing_guarantee``)."""
        return clients.exactly_once(self.conf)

    def _producer_driver(self) -> ProducerDriver:
        """Make the producer's driver; with exactly-once processing it has a second one, for what events cause."""
        transport, conf = self.producer_transport, self.conf
        plain = transport.producer(clients.producer_options(conf))
        if not self.exactly_once:
            return plain
        if conf.broker_producer != conf.broker_consumer:
            raise ImproperlyConfigured(
                "exactly-once processing needs one broker: offsets and what events cause are one transaction, but the "
                "settings 'broker_consumer' and 'broker_producer' differ"
            )
        options = clients.transactional_options(conf)
        return TransactionalDriver(plain, partial(transport.producer, options), self.gate.where)

    @property
    def threaded_producer(self) -> Producer:
        """The producer for ``send_soon`` when setting ``producer_threaded`` is on: a client in a thread of its own."""
        if self._threaded_producer is None:
            transport = clients.make_transport(self.conf.broker_producer, self.conf)
            self._threaded_producer = Producer(
                transport.producer(clients.producer_options(self.conf)),
                partitioner=self.conf.producer_partitioner,
                headers=clients.has_headers(self.conf.producer_api_version),
                sensors=self.sensors,
                close_timeout=self.close_timeout,
                beacon=self.beacon,
            )
        return self._threaded_producer

    @property
    def soon_producer(self) -> Producer:
        """The producer that ``send_soon`` uses; with exactly-once processing always the one with the transactions."""
        threaded = self.conf.producer_threaded and not self.exactly_once
        return self.threaded_producer if threaded else self.producer

    @property
    def consumer(self) -> Consumer:
        """The consumer service."""
        if self._consumer is None:
            conf = self.conf
            options: dict[str, Any] = {
                "before_commit": self._before_commit,
                "after_commit": self.tables.on_commit,
                "sensors": self.sensors,
                "commit_interval": conf.broker_commit_interval,
                "commit_every": conf.broker_commit_every,
                "arrange": clients.arrangement(conf),
                "max_poll_records": conf.broker_max_poll_records,
                "on_step": self.on_commit_step,
                "close_timeout": self.close_timeout,
                "beacon": self.beacon,
            }
            driver = self.transport.consumer(clients.consumer_options(conf))
            producer = self.producer.driver
            if isinstance(producer, TransactionalDriver):
                self._consumer = TransactionalConsumer(
                    driver,
                    producer=producer,
                    gate=self.gate,
                    settle=self.tables.settle,
                    restart=self._rebalance.restart,
                    transaction_timeout=conf.broker_transaction_timeout,
                    **options,
                )
            else:
                self._consumer = Consumer(driver, **options)
        return self._consumer

    @consumer.setter
    def consumer(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def on_commit_step(self, step: CommitStep) -> None:
        """A commit has come to *step*; override to know. What it raises fails the commit."""

    def FlowControlQueue(  # noqa: N802 - the documented name
        self, maxsize: int | None = None, *, clear_on_resume: bool = False
    ) -> FlowControlQueue[Any]:
        """Make a queue that `flow_control` governs: putting waits while the flow is suspended.

        Arguments:
            maxsize: Items that may wait; None: setting ``stream_buffer_maxsize``.
            clear_on_resume: Forget what waits when the flow is resumed.
        """
        return FlowControlQueue(
            self.conf.stream_buffer_maxsize if maxsize is None else maxsize,
            flow_control=self.flow_control,
            clear_on_resume=clear_on_resume,
        )

    def reader_driver(self) -> ConsumerDriver:
        """Make a driver that reads in no group."""
        return self.transport.consumer(clients.reader_options(self.conf))

    def consumer_or_none(self) -> Consumer | None:
        """Return the consumer service if it has been made."""
        return self._consumer

    @property
    def reply_consumer(self) -> ReplyConsumer:
        """Reads the answers to what agents are asked; nothing is read before the first question."""
        if self._replies is None:
            self._replies = ReplyConsumer(
                make_driver=self.reader_driver,
                declare=self._declare_reply_topic,
                topic=lambda: self.conf.reply_to,
                eager=lambda: self.conf.reply_create_topic,
                close_timeout=self.close_timeout,
                beacon=self.beacon,
            )
        return self._replies

    _reply_consumer = reply_consumer

    @property
    def supports_headers(self) -> bool:
        """Say whether records that the app sends and reads have headers (setting ``broker_api_version``)."""
        conf = self.conf
        return clients.has_headers(conf.producer_api_version) and clients.has_headers(
            conf.consumer_api_version
        )

    @property
    def topics(self) -> Conductor:
        """The topics that are being read."""
        if self._conductor is None:
            self._conductor = Conductor(
                subscribe=self._subscribe,
                also=self._internal_topics,
                tasks=self._current_tasks,
                relieved=self._relieved,
                beacon=self.beacon,
            )
        return self._conductor

    @property
    def tables(self) -> TableManager:
        """All tables by name."""
        if self._tables is None:
            self._tables = self.conf.TableManager(self, beacon=self.beacon)
        return self._tables

    @property
    def serializers(self) -> Any:
        """The registry of serializers."""
        if self._serializers is None:
            self.finalize()
            self._serializers = self.conf.Serializers(
                key_serializer=self.conf.key_serializer, value_serializer=self.conf.value_serializer
            )
        return self._serializers

    @property
    def assignor(self) -> Any:
        """Decides who gets which partition, when this worker leads its group."""
        if self._assignor is None:
            self._assignor = self.make_assignor()
        return self._assignor

    def make_assignor(self) -> Any:
        """Make the assignor of one member of this app's group; its class is setting ``PartitionAssignor``."""
        return self.conf.PartitionAssignor(
            replicas=self.conf.table_standby_replicas,
            canonical_url=str(self.conf.canonical_url),
            changelog_topics=lambda: frozenset(self.tables.changelog_topics),
            global_topics=lambda: frozenset(self.tables.global_topics),
            is_warm=self.tables.is_warm,
            sensors=self.sensors,
        )

    @property
    def router(self) -> Any:
        """Knows which worker has a key; its class is setting ``Router``."""
        if self._router is None:
            self._router = self.conf.Router(self)
        return self._router

    @property
    def leader_assignor(self) -> Any:
        """Knows whether this worker is the leader."""
        if self._leader is None:
            self._leader = self.conf.LeaderAssignor(
                self.conf.id, enabled=not self.conf.topic_disable_leader
            )
        return self._leader

    def is_leader(self) -> bool:
        """Say whether this worker is the leader of the app.

        Raises:
            ConsumerNotStarted: The consumer has not been started.
        """
        consumer = self._consumer
        if consumer is None or not consumer.started:
            raise ConsumerNotStarted("is_leader: the consumer is not started")
        driver = consumer.driver  # who was frozen may not know yet that somebody else leads
        return (
            TP(self.leader_assignor.topic, 0) in driver.assignment
            and monotonic() < driver.lease_until()
        )

    def _current_tasks(self) -> list[PartitionTask]:
        return [] if self._consumer is None else list(self._consumer.tasks.values())

    def _relieved(self, task: PartitionTask) -> None:
        if self._consumer is not None:
            self._consumer.relieved(task)

    def _internal_topics(self) -> Iterable[str]:
        yield from self.tables.group_topics
        if not self.conf.topic_disable_leader:
            yield self.leader_assignor.topic

    def lease_until(self) -> float:
        """Return until when (monotonic seconds) our partitions are certainly ours."""
        return float("inf") if self._consumer is None else self._consumer.driver.lease_until()

    def close_timeout(self) -> float:
        """Return how many seconds a client may take to close: what a stop may take, less what it has taken."""
        if self._stop_began is None:
            self._stop_began = monotonic()
        left = self.conf.worker_stop_timeout - CLOSE_RESERVE - (monotonic() - self._stop_began)
        return max(LEAST_CLOSE, left)

    def on_process_resumed(self) -> None:
        """The process was stopped by a signal and goes on: streams look at their lease at the next event anyway."""
        logger.warning(
            "The process was stopped and has been resumed; checking the group membership"
        )

    # -- the broker

    async def maybe_start_producer(self) -> Producer:
        """Start the producer if it is not running; return it."""
        if self._producer_lock is None:
            self._producer_lock = asyncio.Lock()
        async with self._producer_lock:
            if self.started_producer is None:
                await self.producer.maybe_start()
                if self.conf.producer_threaded:
                    await self.threaded_producer.maybe_start()
                self.started_producer = self.producer
        return self.started_producer

    async def declare_topic(self, spec: TopicSpec) -> Any:
        """Create a topic on the broker unless it is there; None when setting ``topic_allow_declare`` is off."""
        if not self.conf.topic_allow_declare:
            return None
        admin = await self._started_admin()
        return (await admin.create_topics([spec]))[spec.name]

    async def _started_admin(self) -> AdminDriver:
        if self._admin is None:
            conf = self.conf
            admin = self.transport.admin(
                client_id=conf.broker_client_id,
                request_timeout=conf.broker_request_timeout,
                credentials=clients.credentials_of(conf),
            )
            await admin.start()
            self._admin = admin
        return self._admin

    async def _declare_reply_topic(self, name: str) -> None:
        conf = self.conf
        await self.declare_topic(
            TopicSpec(
                name=name,
                partitions=1,
                replication=conf.topic_replication_factor,
                config={
                    "cleanup.policy": "delete",
                    "retention.ms": str(int(conf.reply_expires * 1000)),
                },
            )
        )

    async def close_clients(self) -> None:
        """Close the clients that were started on demand: the producer of an app that was not started, the admin."""
        self.started_producer = None
        for producer in (self._threaded_producer, self._producer):
            if producer is not None and producer.started:
                await producer.stop()
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def _before_commit(self) -> None:
        """Make safe whatever the events to be committed have caused; or put all of it into their transaction.

        Raises:
            FaustError: Something was not accepted, now or before: what has caused it must never be committed.
        """
        await (self.tables.prepare() if self.exactly_once else self.tables.flush())
        if self._threaded_producer is not None:
            await self._flush(self._threaded_producer)
        if self.exactly_once:
            await self.producer.append_all()
        else:
            await self._flush(self.producer)

    async def _flush(self, producer: Producer) -> None:
        """Wait for the broker; raise what any flush has found since the worker began."""
        await producer.flush()
        if producer.failure is not None and not self.exactly_once:
            raise producer.failure

    async def _subscribe(self, topics: frozenset[str], pattern: str | None) -> None:
        """Declare what is ours, and join the group."""
        conf = self.conf
        await self.tables.declare()
        if not conf.topic_disable_leader:
            await self.declare_topic(
                TopicSpec(
                    name=self.leader_assignor.topic,
                    partitions=1,
                    replication=conf.topic_replication_factor,
                )
            )
        changelogs = self.tables.changelog_topics
        await self._look_for(topics - changelogs)
        await self.consumer.driver.subscribe(
            topics,
            pattern=pattern,
            listener=self._rebalance,
            assignor=self.assignor,
            earliest_topics=lambda topic: topic in changelogs,
        )

    async def _look_for(self, topics: Iterable[str]) -> None:
        """Ask for the topics we are going to read: brokers that create topics by themselves do so now."""
        missing = []
        for topic in sorted(topics):
            try:
                await self.producer.load_partitions(topic)
            except UnknownTopic:
                missing.append(topic)
        if missing:
            logger.error(
                "Topics that agents read do not exist, and the broker does not create them by itself: %s."
                " Nothing is read from them until somebody creates them (kafka-topics --create, or"
                " app.topic(..., internal=True) to let this app do it)",
                ", ".join(missing),
            )
