"""Every setting of an application, once: type, default, environment variable and words.

The reference page ``docs/reference/settings.md`` is made from this file by
``scripts/settings_reference.py``; the signature of `faust.App` comes from it through `options_of`.
The machine that gives the settings their values is in `faust.settings.table`.

Times are in seconds unless the name ends in ``_ms``; sizes are in bytes.
"""

from __future__ import annotations

import enum
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC
from pathlib import Path as FilePath
from typing import Any, ClassVar, Concatenate, ParamSpec

from faust._version import __version__
from faust.exceptions import ImproperlyConfigured
from faust.settings.params import (
    URL,
    Bool,
    BrokerList,
    Codec,
    Credentials,
    Dict,
    Enum,
    Id,
    Int,
    LogHandlers,
    Param,
    Path,
    Port,
    Seconds,
    SectionType,
    Severity,
    Str,
    Timezone,
    UnsignedInt,
    _Symbol,
)
from faust.settings.table import SettingsTable

__all__ = ["ProcessingGuarantee", "Settings", "options_of"]

P = ParamSpec("P")


def options_of(
    settings: Callable[P, Any],  # noqa: ARG001 - read by type checkers
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a method the arguments of *settings*, for type checkers.

    At run time the method stays what it is. A constructor with keywords of its own names a subclass
    that declares them as plain annotated attributes.

    Example:
        ::

            class AppOptions(Settings):
                monitor: Any = None

            class App:
                @options_of(AppOptions)
                def __init__(self, id: str, **options: Any) -> None: ...
    """

    def same(method: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        return method

    return same


class ProcessingGuarantee(enum.Enum):
    """How often an event may have an effect when workers die."""

    AT_LEAST_ONCE = "at_least_once"
    EXACTLY_ONCE = "exactly_once"


class _DataDir(Path):
    def read(self, conf: Any, value: FilePath) -> FilePath:
        return FilePath(str(value).format(conf=conf))


class _TableDir(Path):
    def read(self, conf: Any, value: FilePath) -> FilePath:
        return FilePath(conf.relative_to_appdir(value))


class _Autodiscover(Param[Any, Any]):
    expected = "true, false, a list of module names, or a function that returns one"

    def convert(self, value: Any) -> Any:
        if isinstance(value, str):
            raise TypeError(f"one text is not a list; write [{value!r}]")
        if not callable(value) and not isinstance(value, Iterable | bool | int):
            raise TypeError(f"{type(value).__name__} names no modules")
        return value


class Settings(SettingsTable):
    """The configuration of an application.

    Every setting is an attribute; see the reference of settings. Reading the attribute of the class
    gives the descriptor.

    Arguments:
        id: Name of the application. With ``version`` it makes the consumer group and the prefix of
            all topics that the library creates.
        env: Environment to read instead of `os.environ`.
        config_source: A mapping, module or object with settings, or its import path.

    Raises:
        ImproperlyConfigured: an unknown setting, or a value that a setting cannot have.
    """

    DEFAULT_BROKER_URL: ClassVar[str] = "kafka://localhost:9092"
    NODE_HOSTNAME: ClassVar[str] = socket.gethostname()

    OLD_NAMES: ClassVar[Mapping[str, str]] = {
        "client_id": "broker_client_id",
        "commit_interval": "broker_commit_interval",
        "create_reply_topic": "reply_create_topic",
        "num_standby_replicas": "table_standby_replicas",
        "default_partitions": "topic_partitions",
        "replication_factor": "topic_replication_factor",
    }

    UNSUPPORTED: ClassVar[Mapping[str, str | None]] = {
        "ConsumerScheduler": None,
        "GlobalTable": None,
        "HttpClient": None,
        "Monitor": None,
        "Router": None,
        "SetGlobalTable": None,
        "SetTable": None,
        "aerospike_retries_on_exception": "AEROSPIKE_RETRIES_ON_EXCEPTION",
        "aerospike_sleep_seconds_between_retries_on_exception": (
            "AEROSPIKE_SLEEP_SECONDS_BETWEEN_RETRIES_ON_EXCEPTION"
        ),
        "broker_api_version": "BROKER_API_VERSION",
        "broker_max_poll_records": "BROKER_MAX_POLL_RECORDS",
        "cache": "CACHE_URL",
        "consumer_api_version": "CONSUMER_API_VERSION",
        "crash_app_on_aerospike_exception": "CRASH_APP_ON_AEROSPIKE_EXCEPTION",
        "cython_optimizations": "CYTHON_OPTIMIZATIONS",
        "producer_api_version": "PRODUCER_API_VERSION",
        "producer_threaded": "PRODUCER_THREADED",
        "reply_create_topic": "APP_REPLY_CREATE_TOPIC",
        "reply_expires": "APP_REPLY_EXPIRES",
        "reply_to": None,
        "reply_to_prefix": "APP_REPLY_TO_PREFIX",
        "ssl_context": None,
        "store_check_exists": "STORE_CHECK_EXISTS",
        "stream_ack_cancelled_tasks": None,
        "stream_ack_exceptions": None,
        "stream_publish_on_commit": None,
        "table_cleanup_interval": "TABLE_CLEANUP_INTERVAL",
        "table_key_index_size": "TABLE_KEY_INDEX_SIZE",
        "web": None,
        "web_application_options": None,
        "web_cors_options": None,
        "web_graph_enabled": "APP_WEB_GRAPH_ENABLED",
        "web_in_thread": None,
        "web_metrics_enabled": "APP_WEB_METRICS_ENABLED",
        "web_router_enabled": "APP_WEB_ROUTER_ENABLED",
        "web_ssl_context": None,
        "web_stats_enabled": "APP_WEB_STATS_ENABLED",
        "web_tables_enabled": "APP_WEB_TABLES_ENABLED",
        "web_transport": None,
    }
    """Documented settings whose feature is still to come -> environment variable."""

    id: Id = Id(kw_only=False)

    env: Mapping[str, str] | None = None

    config_source: Any = None

    # -- common

    env_prefix: Param[str | None, str | None] = Str(
        default=None, section=SectionType.COMMON, env="APP_ENV_PREFIX"
    )
    """Prefix of the names of all environment variables.

    With ``env_prefix="SHOP"`` the setting ``broker`` is read from ``SHOP_BROKER_URL``, and
    ``BROKER_URL`` is not looked at any more. ``APP_ENV_PREFIX`` itself never has a prefix.
    """

    version: Int = Int(default=1, section=SectionType.COMMON, env="APP_VERSION", min_value=1)
    """Version of the application, 1 or more.

    Raise it when the program changes so that it must start afresh: a new version has another id,
    hence another consumer group, other internal topics and another directory for its tables.
    """

    id_format: Str = Str(
        default="{id}-v{self.version}", section=SectionType.COMMON, env="APP_ID_FORMAT"
    )
    """How the version becomes part of the id, when it is not 1.

    A format text; ``{id}`` is the name that was given, ``{self}`` the settings.
    """

    autodiscover: _Autodiscover = _Autodiscover(default=False, section=SectionType.COMMON)
    """Modules that are imported at start so that their agents and tables are known.

    ``True``: the package named by ``origin`` and everything below it. Or a list of module names, or
    a function without arguments that returns such a list.
    """

    origin: Param[str | None, str | None] = Str(default=None, section=SectionType.COMMON)
    """Import path of the application, such as ``shop.app``.

    Used to find modules and to shorten names in listings. The command line fills it in from ``-A``.
    """

    datadir: _DataDir = _DataDir(
        default="{conf.name}-data",
        section=SectionType.COMMON,
        env="APP_DATADIR",
        process_default="DATADIR",
    )
    """Directory for everything the worker keeps on disk.

    ``~`` is expanded, and ``{conf.name}`` and other attributes of the settings may be used. A
    relative path starts at the current directory. All versions of the application share it. The
    default can also be given by the option ``--datadir``.
    """

    tabledir: _TableDir = _TableDir(
        default="tables", section=SectionType.COMMON, env="APP_TABLEDIR"
    )
    """Directory for the stores of tables.

    An absolute path is taken as it is; a relative one is below the directory of this version of the
    application (``<datadir>/v<version>``).
    """

    debug: Bool = Bool(default=False, section=SectionType.COMMON, env="APP_DEBUG")
    """Development mode: the worker warns at start that it is on.

    The option ``--debug`` of the command line is another thing and does not set it.
    """

    timezone: Timezone = Timezone(default=UTC, section=SectionType.COMMON, env="TIMEZONE")
    """Time zone of cron jobs: a ``tzinfo`` object or a name such as ``Europe/Vienna``."""

    blocking_timeout: Param[Any, float | None] = Seconds(
        default=None, section=SectionType.COMMON, env="BLOCKING_TIMEOUT"
    )
    """How long the event loop may be blocked before the worker logs who blocks it.

    None or 0: nobody watches. Used by the command line when ``--blocking-timeout`` is not given.
    The blocking code is interrupted by ``mode.debug.Blocking``: this is a tool for development.
    """

    url: Param[Any, Any] = URL(
        default=None,
        section=SectionType.COMMON,
        deprecated=("1.0", "use `broker`"),
    )
    """Old name of ``broker``; taken when ``broker`` is not given."""

    broker: BrokerList = BrokerList(
        default=DEFAULT_BROKER_URL,
        derived=lambda conf: conf._values.get("url"),
        section=SectionType.COMMON,
        env="BROKER_URL",
    )
    """Where the broker is. The scheme chooses the transport.

    ``kafka://host:9092`` (or ``aiokafka://``) is Apache Kafka; several hosts are separated by
    ``;``, and those without a scheme take that of the first that has one. ``local://`` keeps topics
    in a directory and serves the processes of one machine; ``memory://`` lives and dies with the
    process.
    """

    broker_credentials: Credentials = Credentials(
        default=None, section=SectionType.COMMON, env="BROKER_CREDENTIALS"
    )
    """How the worker identifies itself to the broker, and the encryption of the connection.

    A credentials object, or an ``ssl.SSLContext`` for encryption only. Never text: a password in an
    environment variable has no place to go, so the variable can only be refused.
    """

    processing_guarantee: Enum[ProcessingGuarantee] = Enum(
        ProcessingGuarantee,
        default=ProcessingGuarantee.AT_LEAST_ONCE,
        section=SectionType.COMMON,
        env="PROCESSING_GUARANTEE",
        refused={ProcessingGuarantee.EXACTLY_ONCE: "Use 'at_least_once'."},
    )
    """How often an event may have an effect when workers die.

    ``at_least_once``: every event is processed, and again after a crash between effect and commit.
    ``exactly_once`` is not supported yet.
    """

    store: URL = URL(default="memory://", section=SectionType.COMMON, env="APP_STORE")
    """Where tables live on this worker: ``memory://``. Changelog topics keep them safe."""

    logging_config: Param[Any, Mapping[str, Any] | None] = Dict(
        default=None, section=SectionType.COMMON
    )
    """Configuration of logging, as ``logging.config.dictConfig`` takes it, instead of ours.

    With a true item ``merge`` its formatters, filters, handlers, loggers and root are laid over
    ours.
    """

    loghandlers: LogHandlers = LogHandlers(default=(), section=SectionType.COMMON)
    """Further handlers that the worker gives to the root logger."""

    # -- agent

    agent_supervisor: _Symbol = _Symbol(
        default="mode.OneForOneSupervisor", section=SectionType.AGENT, env="AGENT_SUPERVISOR"
    )
    """Supervisor class of agents that name none; it restarts what crashes."""

    # -- broker

    broker_consumer: BrokerList = BrokerList(
        default=None,
        default_alias="broker",
        section=SectionType.BROKER,
        env="BROKER_CONSUMER_URL",
    )
    """Broker to read from, when it is not the one to write to."""

    broker_producer: BrokerList = BrokerList(
        default=None,
        default_alias="broker",
        section=SectionType.BROKER,
        env="BROKER_PRODUCER_URL",
    )
    """Broker to write to, when it is not the one to read from."""

    broker_check_crcs: Bool = Bool(
        default=True, section=SectionType.BROKER, env="BROKER_CHECK_CRCS"
    )
    """Check the checksums of what is fetched, so that damaged records are noticed."""

    broker_client_id: Str = Str(
        default=f"faust-{__version__}", section=SectionType.BROKER, env="BROKER_CLIENT_ID"
    )
    """Name that the broker's logs and quotas know this client by."""

    broker_commit_every: UnsignedInt = UnsignedInt(
        default=10_000, section=SectionType.BROKER, env="BROKER_COMMIT_EVERY"
    )
    """Commit when this many events have been processed since the last commit."""

    broker_commit_interval: Seconds = Seconds(
        default=2.8, section=SectionType.BROKER, env="BROKER_COMMIT_INTERVAL"
    )
    """Commit this often. Longer means fewer commits, and more to do again after a crash."""

    broker_commit_livelock_soft_timeout: Seconds = Seconds(
        default=300.0, section=SectionType.BROKER, env="BROKER_COMMIT_LIVELOCK_SOFT_TIMEOUT"
    )
    """Warn when the committed offset of a partition with work has not moved for this long."""

    broker_heartbeat_interval: Seconds = Seconds(
        default=3.0, section=SectionType.BROKER, env="BROKER_HEARTBEAT_INTERVAL"
    )
    """How often the worker tells its group that it lives. A third of the session timeout."""

    broker_max_poll_interval: Seconds = Seconds(
        default=1000.0, section=SectionType.BROKER, env="BROKER_MAX_POLL_INTERVAL"
    )
    """How long a member may not ask for records before its group takes it for dead."""

    broker_rebalance_timeout: Seconds = Seconds(
        default=60.0, section=SectionType.BROKER, env="BROKER_REBALANCE_TIMEOUT"
    )
    """How long the members of the group have to finish what they hold and join again."""

    broker_request_timeout: Seconds = Seconds(
        default=90.0, section=SectionType.BROKER, env="BROKER_REQUEST_TIMEOUT"
    )
    """How long the broker may take for an answer. Not less than the session timeout."""

    broker_session_timeout: Seconds = Seconds(
        default=60.0, section=SectionType.BROKER, env="BROKER_SESSION_TIMEOUT"
    )
    """After how long without heartbeats the partitions of a worker go to the others.

    Shorter means that the death of a worker is noticed sooner, and a slow network sooner mistaken
    for one. The broker limits it (``group.min.session.timeout.ms`` and ``...max...``).
    """

    # -- consumer

    consumer_max_fetch_size: UnsignedInt = UnsignedInt(
        default=1024 * 1024, section=SectionType.CONSUMER, env="CONSUMER_MAX_FETCH_SIZE"
    )
    """Bytes that one request fetches of one partition, at most."""

    consumer_auto_offset_reset: Str = Str(
        default="earliest",
        section=SectionType.CONSUMER,
        env="CONSUMER_AUTO_OFFSET_RESET",
        choices=("earliest", "latest", "none"),
    )
    """Where to begin in a partition without a committed offset: ``earliest`` or ``latest``.

    ``none`` makes it an error. Changelogs always begin at the earliest record.
    """

    consumer_group_instance_id: Param[str | None, str | None] = Str(
        default=None, section=SectionType.CONSUMER, env="CONSUMER_GROUP_INSTANCE_ID"
    )
    """Name of this worker as a static member of its group (KIP-345), different on every worker.

    A static member that comes back within the session timeout finds its partitions waiting.
    """

    consumer_metadata_max_age_ms: UnsignedInt = UnsignedInt(
        default=5 * 60 * 1000, section=SectionType.CONSUMER, env="CONSUMER_METADATA_MAX_AGE_MS"
    )
    """After how many milliseconds the consumer asks again which topics and partitions there are."""

    consumer_connections_max_idle_ms: UnsignedInt = UnsignedInt(
        default=9 * 60 * 1000,
        section=SectionType.CONSUMER,
        env="CONSUMER_CONNECTIONS_MAX_IDLE_MS",
    )
    """After how many milliseconds without use the consumer closes a connection."""

    # -- producer

    producer_acks: Int = Int(
        default=-1,
        section=SectionType.PRODUCER,
        env="PRODUCER_ACKS",
        words={"all": -1},
        choices=(-1, 0, 1),
    )
    """Who must have a record before it counts as written.

    -1 or ``all``: every in-sync replica; 1: the leader of the partition; 0: nobody, records may be
    lost without a word.
    """

    producer_compression_type: Param[str | None, str | None] = Str(
        default=None,
        section=SectionType.PRODUCER,
        env="PRODUCER_COMPRESSION_TYPE",
        choices=("gzip", "snappy", "lz4", "zstd"),
    )
    """Compression of batches: ``gzip``, ``snappy``, ``lz4`` or ``zstd``. None: no compression."""

    producer_linger_ms: UnsignedInt = UnsignedInt(
        default=0,
        section=SectionType.PRODUCER,
        env="PRODUCER_LINGER_MS",
        deprecated=("1.11", "use `producer_linger`, in seconds"),
    )
    """Milliseconds form of ``producer_linger``; taken when that is not given."""

    producer_linger: Seconds = Seconds(
        default=0.0,
        derived=lambda conf: conf._values["producer_linger_ms"] / 1000 or None,
        section=SectionType.PRODUCER,
        env="PRODUCER_LINGER",
    )
    """How long a batch waits for more records before it is sent.

    0: it is sent at the next turn of the event loop, together with all that came until then.
    """

    producer_max_batch_size: UnsignedInt = UnsignedInt(
        default=16 * 1024, section=SectionType.PRODUCER, env="PRODUCER_MAX_BATCH_SIZE"
    )
    """Bytes of a batch of one partition, at most; it is sent when it is full."""

    producer_max_request_size: UnsignedInt = UnsignedInt(
        default=1_000_000, section=SectionType.PRODUCER, env="PRODUCER_MAX_REQUEST_SIZE"
    )
    """Bytes of a request, at most. A single record that is larger is refused."""

    producer_partitioner: _Symbol = _Symbol(default=None, section=SectionType.PRODUCER)
    """Function ``(key, all_partitions, available_partitions) -> partition``, or its path.

    None: murmur2 of the key, as every Kafka client has it; records without key go round.
    """

    producer_request_timeout: Seconds = Seconds(
        default=1200.0, section=SectionType.PRODUCER, env="PRODUCER_REQUEST_TIMEOUT"
    )
    """How long a record may wait for its acknowledgement before it fails."""

    producer_metadata_max_age_ms: UnsignedInt = UnsignedInt(
        default=5 * 60 * 1000, section=SectionType.PRODUCER, env="PRODUCER_METADATA_MAX_AGE_MS"
    )
    """After how many milliseconds the producer asks again which topics and partitions there are."""

    producer_connections_max_idle_ms: UnsignedInt = UnsignedInt(
        default=9 * 60 * 1000,
        section=SectionType.PRODUCER,
        env="PRODUCER_CONNECTIONS_MAX_IDLE_MS",
    )
    """After how many milliseconds without use the producer closes a connection."""

    # -- serialization

    key_serializer: Codec = Codec(
        default="raw", section=SectionType.SERIALIZATION, env="APP_KEY_SERIALIZER"
    )
    """Codec of keys where a topic names none."""

    value_serializer: Codec = Codec(
        default="json", section=SectionType.SERIALIZATION, env="APP_VALUE_SERIALIZER"
    )
    """Codec of values where a topic names none."""

    # -- stream

    recovery_consistency_check: Bool = Bool(
        default=True, section=SectionType.STREAM, env="RECOVERY_CONSISTENCY_CHECK"
    )
    """Refuse to start when the local state of a table is ahead of its changelog topic."""

    stream_buffer_maxsize: UnsignedInt = UnsignedInt(
        default=4096, section=SectionType.STREAM, env="STREAM_BUFFER_MAXSIZE"
    )
    """Events that may wait in front of a stream before the worker stops fetching for it."""

    stream_processing_timeout: Seconds = Seconds(
        default=300.0, section=SectionType.STREAM, env="STREAM_PROCESSING_TIMEOUT"
    )
    """Log an error when one event takes longer than this. Nothing is cancelled."""

    stream_recovery_delay: Seconds = Seconds(
        default=0.0, section=SectionType.STREAM, env="STREAM_RECOVERY_DELAY"
    )
    """How long to wait after a rebalance before tables are recovered."""

    stream_wait_empty: Bool = Bool(
        default=True, section=SectionType.STREAM, env="STREAM_WAIT_EMPTY"
    )
    """Let the events in hand be finished when partitions are taken away and when the worker stops.

    False: they are dropped, and processed again by whoever has the partition next.
    """

    # -- table

    table_standby_replicas: UnsignedInt = UnsignedInt(
        default=1, section=SectionType.TABLE, env="TABLE_STANDBY_REPLICAS"
    )
    """Copies of every table partition that other workers keep ready."""

    # -- topic

    topic_allow_declare: Bool = Bool(
        default=True, section=SectionType.TOPIC, env="TOPIC_ALLOW_DECLARE"
    )
    """May the worker create topics. If not, somebody else must have."""

    topic_disable_leader: Bool = Bool(
        default=False, section=SectionType.TOPIC, env="TOPIC_DISABLE_LEADER"
    )
    """Do without the topic that elects a leader among the workers; then nobody is the leader."""

    topic_partitions: UnsignedInt = UnsignedInt(
        default=8, section=SectionType.TOPIC, env="TOPIC_PARTITIONS"
    )
    """Partitions of the topics that the worker creates: so many workers can share the work."""

    topic_replication_factor: UnsignedInt = UnsignedInt(
        default=1, section=SectionType.TOPIC, env="TOPIC_REPLICATION_FACTOR"
    )
    """Copies of the topics that the worker creates, the first included. 0 counts as 1."""

    # -- web server

    web_enabled: Bool = Bool(
        default=False,
        section=SectionType.WEB_SERVER,
        env="APP_WEB_ENABLED",
        refused={True: "The web server comes with a later release; leave the setting out."},
    )
    """Start the web server. Not supported yet, therefore off."""

    web_host: Str = Str(
        default=NODE_HOSTNAME,
        section=SectionType.WEB_SERVER,
        env="WEB_HOST",
        default_text="the name of this host",
    )
    """Name under which other workers reach this one."""

    web_port: Port = Port(
        default=6066, section=SectionType.WEB_SERVER, env="WEB_PORT", process_default="WEB_PORT"
    )
    """Port of the web server."""

    web_bind: Str = Str(
        default="0.0.0.0",  # noqa: S104 - as documented
        section=SectionType.WEB_SERVER,
        env="WEB_BIND",
        process_default="WEB_BIND",
    )
    """Address that the web server listens on."""

    canonical_url: URL = URL(
        default=None,
        derived=lambda conf: f"http://{conf.web_host}:{conf.web_port}",
        section=SectionType.WEB_SERVER,
        env="NODE_CANONICAL_URL",
        default_text="``http://{web_host}:{web_port}``",
    )
    """Where other workers reach this one; every member tells it to its group.

    The default is made once, from ``web_host`` and ``web_port`` at construction.
    """

    # -- worker

    worker_redirect_stdouts: Bool = Bool(
        default=True, section=SectionType.WORKER, env="WORKER_REDIRECT_STDOUTS"
    )
    """Send what is printed by the program to the log while the worker runs."""

    worker_redirect_stdouts_level: Severity = Severity(
        default="WARN", section=SectionType.WORKER, env="WORKER_REDIRECT_STDOUTS_LEVEL"
    )
    """Log level of what is printed."""

    # -- extension classes

    Agent: _Symbol = _Symbol(default="faust:Agent", section=SectionType.EXTENSION)
    """Class of agents."""

    Event: _Symbol = _Symbol(default="faust:Event", section=SectionType.EXTENSION)
    """Class of events."""

    Schema: _Symbol = _Symbol(default="faust:Schema", section=SectionType.EXTENSION)
    """Class of schemas."""

    Stream: _Symbol = _Symbol(default="faust:Stream", section=SectionType.EXTENSION)
    """Class of streams."""

    Table: _Symbol = _Symbol(default="faust:Table", section=SectionType.EXTENSION)
    """Class of tables."""

    TableManager: _Symbol = _Symbol(
        default="faust.tables:TableManager", section=SectionType.EXTENSION
    )
    """Class that manages the tables of the application."""

    Serializers: _Symbol = _Symbol(
        default="faust.serializers:Registry", section=SectionType.EXTENSION
    )
    """Class of the registry of serializers."""

    Worker: _Symbol = _Symbol(default="faust.worker:Worker", section=SectionType.EXTENSION)
    """Class of the worker that the command line starts."""

    PartitionAssignor: _Symbol = _Symbol(
        default="faust.assignor:PartitionAssignor", section=SectionType.EXTENSION
    )
    """Class that divides partitions among the workers."""

    LeaderAssignor: _Symbol = _Symbol(
        default="faust.assignor:LeaderAssignor", section=SectionType.EXTENSION
    )
    """Class that elects the leader."""

    Topic: _Symbol = _Symbol(default="faust:Topic", section=SectionType.EXTENSION)
    """Class of topics."""

    # -- identity and directories

    @property
    def name(self) -> str:
        """Name of the application as it was given, without version."""
        return self._name

    def _identify(self, id: str) -> None:
        if not isinstance(id, str):
            kind = type(id).__name__
            raise type(self).id.invalid(id, "the call", TypeError(f"{kind} is not text"))
        version = self._look(self.SETTINGS["version"])
        template = self._look(self.SETTINGS["id_format"])
        self._name = id
        try:
            self._id = id if version == 1 else template.format(id=id, self=self)
        except (LookupError, AttributeError, ValueError) as exc:
            raise ImproperlyConfigured(
                f"setting 'id_format': {template!r} cannot be filled in: {exc!r}; "
                f"it may use {{id}} and {{self.version}}"
            ) from exc

    @property
    def appdir(self) -> FilePath:
        """Directory of this version of the application: ``<datadir>/v<version>``."""
        return self.data_directory_for_version(self._look(self.SETTINGS["version"]))

    def relative_to_appdir(self, path: str | FilePath) -> FilePath:
        """Return *path* below `appdir`, or as it is when it is absolute."""
        return self.appdir / path

    def data_directory_for_version(self, version: int) -> FilePath:
        """Return the directory of a version of the application."""
        directory: FilePath = self._look(self.SETTINGS["datadir"])
        return directory / f"v{version}"

    def find_old_versiondirs(self) -> Iterator[FilePath]:
        """Yield the directories of earlier versions that exist, the latest first."""
        for version in range(self._look(self.SETTINGS["version"]) - 1, -1, -1):
            directory = self.data_directory_for_version(version)
            if directory.is_dir():
                yield directory

    def create_directories(self) -> None:
        """Create data directory, directory of this version and table directory, where missing.

        Raises:
            ImproperlyConfigured: one of them cannot be created or written to; says which and why.
        """
        for name, path in (
            ("datadir", self._look(self.SETTINGS["datadir"])),
            ("datadir", self.appdir),
            ("tabledir", self._look(self.SETTINGS["tabledir"])),
        ):
            try:
                path.mkdir(exist_ok=True)
            except OSError as exc:
                hint = "; its parent must exist" if isinstance(exc, FileNotFoundError) else ""
                raise self._unusable(name, path, f"{exc.strerror}{hint}") from exc
            if not os.access(path, os.W_OK | os.X_OK):
                raise self._unusable(name, path, "this user may not write there")

    def _unusable(self, name: str, path: FilePath, reason: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"setting {name!r} (from {self.source_of(name)}): the directory {path.absolute()} "
            f"cannot be used: {reason}"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._id}>"
