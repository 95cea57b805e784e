"""App: decorators and factories.

The application declares things and hands them their surroundings; how it boots, rebalances, discovers and talks to
the broker are rooms of their own beside this one. Nothing here touches an event loop before the app is started.

Three stairs lead to the roof, by name and only here: `App.Worker` (setting ``Worker``), `App.main` and `App.command`
(the command line).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta
from typing import Any, ClassVar, NoReturn, ParamSpec, TypeVar

from mode import Service, Signal, SyncSignal
from mode.utils.imports import symbol_by_name

from faust._core.lanes import PartitionTask
from faust.agents.agent import Agent
from faust.agents.manager import AgentManager
from faust.app import clients
from faust.app.boot import BootStrategy as _BootStrategy
from faust.app.discovery import discover, modules_of
from faust.app.rebalance import Rebalance
from faust.app.tasks import Task, as_task, run_timer
from faust.channels import Channel
from faust.conductor import Conductor
from faust.events import Event
from faust.exceptions import ConsumerNotStarted, ImproperlyConfigured, UnknownTopic
from faust.messages import TP, HeadersArg, Message, RecordMetadata
from faust.settings.settings import Settings as _Settings
from faust.settings.settings import options_of
from faust.streams import Stream
from faust.tables.manager import TableManager
from faust.tables.table import Table as _Table
from faust.topics import Topic
from faust.transport.base import AdminDriver, TopicSpec, Transport
from faust.transport.consumer import Consumer
from faust.transport.producer import Producer

__all__ = ["App"]

P = ParamSpec("P")
T = TypeVar("T")
TaskFun = TypeVar("TaskFun", bound=Callable[..., Awaitable[Any]])

logger = logging.getLogger(__name__)

SHUTDOWN_DRAIN = 5.0
"""Seconds that events in hand may take to finish when the worker stops."""


class App(Service):
    """A Faust application.

    Arguments:
        id: Name of the application; with setting ``version`` it names the consumer group and all generated topics.
        config_source: Where settings are read from; as `config_from_object`.
        loop: Event loop; normally left out.
        options: Settings.
    """

    SCAN_CATEGORIES: ClassVar[list[str]] = [
        "faust.agent",
        "faust.command",
        "faust.page",
        "faust.service",
        "faust.task",
    ]
    BootStrategy: ClassVar[type[_BootStrategy]] = _BootStrategy
    Settings: ClassVar[type[_Settings]] = _Settings

    client_only: bool = False
    producer_only: bool = False

    on_before_configured: SyncSignal[Any] = SyncSignal()
    on_configured: SyncSignal[Any] = SyncSignal()
    on_after_configured: SyncSignal[Any] = SyncSignal()
    on_worker_init: SyncSignal[Any] = SyncSignal()
    on_partitions_revoked: Signal[Any] = Signal()
    on_partitions_assigned: Signal[Any] = Signal()
    on_rebalance_complete: Signal[Any] = Signal()
    on_before_shutdown: Signal[Any] = Signal()

    @options_of(_Settings)
    def __init__(
        self,
        id: str,
        *,
        config_source: Any = None,
        loop: asyncio.AbstractEventLoop | None = None,
        beacon: Any = None,
        **options: Any,
    ) -> None:
        self._given_id = id
        self._options = options
        self._config_source = config_source
        self._conf: _Settings | None = None
        self.configured = False
        self.finalized = False
        self.in_worker = False
        self.rebalancing = False
        self.rebalancing_count = 0
        self.in_recovery = False
        self.unassigned = False
        self.consumer_generation_id = 0
        self.on_startup_finished: Callable[[], Awaitable[None]] | None = None
        self.started_producer: Producer | None = None
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None
        self._conductor: Conductor | None = None
        self._tables: TableManager | None = None
        self._transport: Transport | None = None
        self._producer_transport: Transport | None = None
        self._serializers: Any = None
        self._assignor: Any = None
        self._leader: Any = None
        self._admin: AdminDriver | None = None
        self._declared_tasks: list[Task] = []
        self._running_tasks: list[asyncio.Task[Any]] = []
        self._worker_initialized = False
        self._producer_lock: asyncio.Lock | None = None
        self._rebalance = Rebalance(self)
        self._init_signals()
        super().__init__(loop=loop, beacon=beacon)
        self.agents = AgentManager(beacon=self.beacon)
        self.boot_strategy = self.BootStrategy(self)

    def _init_signals(self) -> None:
        for name in (
            "on_before_configured",
            "on_configured",
            "on_after_configured",
            "on_worker_init",
            "on_partitions_revoked",
            "on_partitions_assigned",
            "on_rebalance_complete",
            "on_before_shutdown",
        ):
            setattr(self, name, getattr(self, name).with_default_sender(self))

    # -- configuration

    @property
    def conf(self) -> _Settings:
        """The settings; read on first use."""
        if self._conf is None:
            self._configure()
        assert self._conf is not None
        return self._conf

    @conf.setter
    def conf(self, conf: _Settings) -> None:
        self._conf = conf

    def _configure(self) -> None:
        self.on_before_configured.send()
        conf = self.Settings(self._given_id, config_source=self._config_source, **self._options)
        self.on_configured.send(conf)
        self._conf = conf
        self.configured = True
        self.on_after_configured.send()

    def config_from_object(self, obj: Any, *, silent: bool = False, force: bool = False) -> None:
        """Read settings from a mapping, module or object, or the import path of one.

        Arguments:
            obj: Where to read.
            silent: A path that cannot be imported counts as empty.
            force: Read now instead of when settings are first used.
        """
        if isinstance(obj, str) and silent:
            try:
                obj = symbol_by_name(obj)
            except (ImportError, AttributeError):
                obj = {}
        self._config_source = obj
        if force or self.configured:
            self._configure()

    def finalize(self) -> None:
        """End the configuration.

        Raises:
            ImproperlyConfigured: The app has no id.
        """
        if not self.conf.id:
            raise ImproperlyConfigured("App requires an id!")
        self.finalized = True

    @property
    def label(self) -> str:
        """Name for people and logs."""
        return f"{type(self).__name__}: {self.conf.id}@{self.conf.broker}"

    @property
    def shortlabel(self) -> str:
        """Short name for people and logs."""
        return type(self).__name__

    def __repr__(self) -> str:
        if not self.configured:
            return f"<{type(self).__name__}: <non-finalized> {id(self):#x}>"
        return (
            f"<{type(self).__name__}({self.conf.id}): {self.conf.broker} {self.state}"
            f" agents({len(self.agents)}) {id(self):#x}>"
        )

    # -- declaring

    def topic(self, *topics: str, **options: Any) -> Topic[Any, Any]:
        """Describe a topic; see `faust.Topic` for the options. Nothing is declared on the broker."""
        return self.conf.Topic(self, topics=topics, **options)  # type: ignore[no-any-return]

    def channel(self, **options: Any) -> Channel[Any]:
        """Make an in-memory channel; see `faust.Channel` for the options."""
        return Channel(self, **options)

    def stream(self, channel: Any, beacon: Any = None, **options: Any) -> Stream[Any]:
        """Make a stream over a topic, a channel or any iterable."""
        source = channel.__aiter__() if isinstance(channel, Channel) else channel
        return self.conf.Stream(source, app=self, beacon=beacon, **options)  # type: ignore[no-any-return]

    def agent(
        self,
        channel: Channel[Any] | str | None = None,
        *,
        name: str | None = None,
        concurrency: int = 1,
        supervisor_strategy: Any = None,
        sink: Iterable[Any] | None = None,
        isolated_partitions: bool = False,
        use_reply_headers: bool = True,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Agent[Any]]:
        """Make an agent of the decorated function; see `faust.Agent`."""
        if callable(channel):
            raise TypeError("use @app.agent() with parentheses")
        if isolated_partitions and concurrency > 1:
            raise ImproperlyConfigured("isolated_partitions and concurrency > 1 exclude each other")

        def decorate(fun: Callable[..., Any]) -> Agent[Any]:
            agent: Agent[Any] = self.conf.Agent(
                fun,
                app=self,
                name=name,
                channel=channel,
                concurrency=concurrency,
                supervisor_strategy=supervisor_strategy,
                sink=sink,
                isolated_partitions=isolated_partitions,
                use_reply_headers=use_reply_headers,
                **options,
            )
            self.agents[agent.name] = agent
            return agent

        return decorate

    actor = agent

    def Table(self, name: str, **options: Any) -> _Table[Any, Any]:  # noqa: N802 - the documented name
        """Make a table; see `faust.Table` for the options."""
        table: _Table[Any, Any] = self.conf.Table(self, name=name, **options)
        self.tables.add(table)
        return table

    def task(  # type: ignore[override]  # mode's decorator of the same name is for services
        self,
        fun: Callable[..., Awaitable[Any]] | None = None,
        *,
        on_leader: bool = False,
        traced: bool = True,  # noqa: ARG002 - no tracer yet: there is nothing to switch off
    ) -> Any:
        """Start the decorated coroutine function with the app.

        It takes no argument, or the app. An exception that leaves it crashes the worker.
        """
        if on_leader:
            return self._leader_task(fun)
        if fun is None:
            return self.task
        task = as_task(fun, self)
        self._declared_tasks.append(task)
        return task

    def _leader_task(self, fun: Callable[..., Awaitable[Any]] | None) -> Any:
        def decorate(fun: Callable[..., Awaitable[Any]]) -> Task:
            body = as_task(fun, self)

            async def task() -> Any:
                return await body() if self.is_leader() else None

            self._declared_tasks.append(task)
            return task

        return decorate if fun is None else decorate(fun)

    def timer(  # type: ignore[override]  # as above
        self,
        interval: float | timedelta,
        on_leader: bool = False,
        traced: bool = True,  # noqa: ARG002 - no tracer yet: there is nothing to switch off
        name: str | None = None,
        max_drift_correction: float = 0.1,
    ) -> Callable[[Callable[..., Awaitable[Any]]], Task]:
        """Call the decorated coroutine function every *interval* seconds, the first time after one interval.

        Arguments:
            interval: Seconds between the end of one call and the next call.
            on_leader: Only on the worker that is the leader.
            traced: Reserved for tracing.
            name: Name in log lines.
            max_drift_correction: Seconds by which a sleep may be corrected for the drift of the last.
        """

        def decorate(fun: Callable[..., Awaitable[Any]]) -> Task:
            call = as_task(fun, self)

            async def timer() -> None:
                await run_timer(
                    call,
                    interval,
                    name=name or str(getattr(fun, "__qualname__", fun)),
                    should_stop=lambda: self.should_stop,
                    may_call=self.is_leader if on_leader else lambda: True,
                    max_drift_correction=max_drift_correction,
                )

            self._declared_tasks.append(timer)
            return timer

        return decorate

    def command(
        self, *options: Any, base: Any = None, **attributes: Any
    ) -> Callable[[Callable[..., Any]], Any]:
        """Make a sub-command of the command line from the decorated coroutine function."""
        return symbol_by_name("faust.cli.base:app_command")(self, *options, base=base, **attributes)

    def create_event(
        self, key: Any, value: Any, headers: HeadersArg, message: Message
    ) -> Event[Any, Any]:
        """Make an event; its class is setting ``Event``."""
        return self.conf.Event(self, key, value, headers, message)  # type: ignore[no-any-return]

    # -- parts, made on first use

    @property
    def transport(self) -> Transport:
        """The transport that is consumed from (setting ``broker_consumer``)."""
        if self._transport is None:
            self._transport = clients.make_transport(self.conf.broker_consumer, self.conf)
        return self._transport

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

    @property
    def producer(self) -> Producer:
        """The producer service."""
        if self._producer is None:
            self._producer = Producer(
                self.producer_transport.producer(clients.producer_options(self.conf)),
                partitioner=self.conf.producer_partitioner,
                beacon=self.beacon,
            )
        return self._producer

    @property
    def consumer(self) -> Consumer:
        """The consumer service."""
        if self._consumer is None:
            conf = self.conf
            self._consumer = Consumer(
                self.transport.consumer(clients.consumer_options(conf)),
                before_commit=self._before_commit,
                after_commit=self.tables.on_commit,
                commit_interval=conf.broker_commit_interval,
                commit_every=conf.broker_commit_every,
                beacon=self.beacon,
            )
        return self._consumer

    def consumer_or_none(self) -> Consumer | None:
        """Return the consumer service if it has been made."""
        return self._consumer

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
            self._serializers = self.conf.Serializers(
                key_serializer=self.conf.key_serializer, value_serializer=self.conf.value_serializer
            )
        return self._serializers

    @property
    def assignor(self) -> Any:
        """Decides who gets which partition, when this worker leads its group."""
        if self._assignor is None:
            self._assignor = self.conf.PartitionAssignor(
                replicas=0,
                canonical_url=str(self.conf.canonical_url),
                changelog_topics=lambda: frozenset(self.tables.changelog_topics),
                global_topics=frozenset,
            )
        return self._assignor

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
        if self._consumer is None:
            raise ConsumerNotStarted("is_leader: the consumer is not started")
        return TP(self.leader_assignor.topic, 0) in self._consumer.driver.assignment

    def _current_tasks(self) -> list[PartitionTask]:
        return [] if self._consumer is None else list(self._consumer.tasks.values())

    def _relieved(self, task: PartitionTask) -> None:
        if self._consumer is not None:
            self._consumer.relieved(task)

    def _internal_topics(self) -> Iterable[str]:
        yield from self.tables.changelog_topics
        if not self.conf.topic_disable_leader:
            yield self.leader_assignor.topic

    def lease_until(self) -> float:
        """Return until when (monotonic seconds) our partitions are certainly ours."""
        return float("inf") if self._consumer is None else self._consumer.driver.lease_until()

    def on_process_resumed(self) -> None:
        """The process was stopped by a signal and goes on: streams look at their lease at the next event anyway."""
        logger.warning(
            "The process was stopped and has been resumed; checking the group membership"
        )

    # -- operations

    async def send(
        self,
        channel: Channel[Any] | str,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Any = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Callable[[Any], Any] | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Send a value to a channel, a topic, or the topic of that name; see `faust.Topic.send`."""
        target = self.topic(channel) if isinstance(channel, str) else channel
        return await target.send(
            key=key,
            value=value,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            schema=schema,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            callback=callback,
        )

    async def commit(self, topics: Collection[str | TP] | None = None) -> bool:
        """Commit what has been processed, of all topics or some; return whether something was committed."""
        return False if self._consumer is None else await self._consumer.commit(topics)

    async def maybe_start_producer(self) -> Producer:
        """Start the producer if it is not running; return it."""
        if self._producer_lock is None:
            self._producer_lock = asyncio.Lock()
        async with self._producer_lock:
            if self.started_producer is None:
                await self.producer.maybe_start()
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
                credentials=conf.broker_credentials,
            )
            await admin.start()
            self._admin = admin
        return self._admin

    async def _before_commit(self) -> None:
        """Make safe whatever the events to be committed have caused."""
        await self.tables.flush()
        await self.producer.flush()

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

    # -- life

    def on_init_dependencies(self) -> list[Any]:
        """Return the services to start, in order."""
        boot = self.boot_strategy
        return list(boot.producer_only() if self.producer_only else boot.server())

    async def on_first_start(self) -> None:
        """Make the data directories."""
        self.finalize()
        self.conf.create_directories()

    async def on_start(self) -> None:
        """End the configuration."""
        self.finalize()
        clients.check_store(self.conf)
        if self.client_only:
            raise ImproperlyConfigured(
                "client_only is not supported yet; use producer_only to send"
            )

    async def on_started(self) -> None:
        """Wait for the tables, then start tasks and timers."""
        self.started_producer = (
            self._producer if self._producer and self._producer.started else None
        )
        if not self.producer_only and await self._wait_recovered():
            return
        for task in self._declared_tasks:
            self._running_tasks.append(
                asyncio.get_running_loop().create_task(
                    self._guard(task), name=f"task {task.__name__}"
                )
            )
        if self.on_startup_finished is not None:
            await self.on_startup_finished()

    async def _wait_recovered(self) -> bool:
        """Wait for the first recovery; True when the app was stopped meanwhile."""
        if self._consumer is None or not len(self.topics.subscription()[0]):
            return False
        result = await self.wait_for_stopped(self._rebalance.recovered.wait())
        return bool(result)

    async def _guard(self, task: Task) -> None:
        try:
            await task()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            logger.exception("Task %s failed: the worker stops", task.__name__)
            await self.crash(exc)

    async def on_stop(self) -> None:
        """Stop handing out, let what is in hand finish, commit; children stop after this."""
        await self._rebalance.stop_recovery()
        consumer = self._consumer
        if consumer is not None and consumer.started:
            timeout = SHUTDOWN_DRAIN if self.conf.stream_wait_empty else 0.0
            try:
                stuck = await consumer.close_tasks(
                    list(consumer.tasks), lost=False, timeout=timeout
                )
            except Exception as exc:
                logger.error("Stopping: the last commit failed: %s: %s", type(exc).__name__, exc)
            else:
                if stuck and self.conf.stream_wait_empty:
                    logger.warning(
                        "Stopping: events of %s did not finish within %.0f s; they will be processed again",
                        ", ".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(stuck)),
                        timeout,
                    )
        await self.on_before_shutdown.send()
        for running in self._running_tasks:
            running.cancel()
        await asyncio.gather(*self._running_tasks, return_exceptions=True)
        self._running_tasks.clear()
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def on_shutdown(self) -> None:
        """Stop a producer that was started on demand."""
        producer, self.started_producer = self.started_producer, None
        if producer is not None and producer.started:
            await producer.stop()

    def on_rebalance_start(self) -> None:
        """Partitions are being taken away; override to be told, and call ``super()``."""
        self.rebalancing = True
        self.rebalancing_count += 1

    def on_rebalance_end(self) -> None:
        """The new partitions flow; override to be told, and call ``super()``."""
        self.rebalancing = False

    # -- command line

    def worker_init(self) -> None:
        """Prepare to run in a worker; once, however often it is called."""

    def worker_init_post_autodiscover(self) -> None:
        """Tell everybody that modules have been found; once, however often it is called."""
        if not self._worker_initialized:
            self._worker_initialized = True
            self.on_worker_init.send()

    def discover(self, *extra_modules: str, categories: Iterable[str] | None = None) -> None:
        """Import the modules that setting ``autodiscover`` names, and *extra_modules*."""
        modules = modules_of(self.conf.autodiscover, self.conf.origin)
        discover([*modules, *extra_modules], categories=categories or self.SCAN_CATEGORIES)

    def main(self) -> NoReturn:
        """Run the command line for this app; ends the process."""
        self.finalize()
        self.worker_init()
        if self.conf.autodiscover:
            self.discover()
        self.worker_init_post_autodiscover()
        symbol_by_name("faust.cli.main:main")(app=self)
        raise SystemExit(0)

    def Worker(self, *services: Any, **options: Any) -> Any:  # noqa: N802 - the documented name
        """Make a worker for this app; its class is setting ``Worker``."""
        return self.conf.Worker(self, *services, **options)
