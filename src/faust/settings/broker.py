"""Settings of the connection to the broker: what is common, consuming, producing."""

from __future__ import annotations

from typing import Any

from faust._version import __version__
from faust.settings.params import (
    ApiVersion,
    Bool,
    BrokerList,
    Int,
    Param,
    Seconds,
    SectionType,
    Str,
    UnsignedInt,
    _Symbol,
)
from faust.settings.table import SettingsTable

__all__ = ["BrokerSettings", "ConsumerSettings", "ProducerSettings"]


class BrokerSettings(SettingsTable, section=SectionType.BROKER):
    """The connection to the broker, and the consumer group."""

    broker_consumer: BrokerList = BrokerList(
        default=None, default_alias="broker", env="BROKER_CONSUMER_URL", since="1.7"
    )
    """Broker to read from, when it is not the one to write to."""

    broker_producer: BrokerList = BrokerList(
        default=None, default_alias="broker", env="BROKER_PRODUCER_URL", since="1.7"
    )
    """Broker to write to, when it is not the one to read from."""

    broker_check_crcs: Bool = Bool(default=True, env="BROKER_CHECK_CRCS")
    """Check the checksums of what is fetched, so that damaged records are noticed."""

    broker_client_id: Str = Str(default=f"faust-{__version__}", env="BROKER_CLIENT_ID")
    """Name that the broker's logs and quotas know this client by."""

    broker_commit_every: UnsignedInt = UnsignedInt(default=10_000, env="BROKER_COMMIT_EVERY")
    """Commit when this many events have been processed since the last commit."""

    broker_commit_interval: Seconds = Seconds(default=2.8, env="BROKER_COMMIT_INTERVAL")
    """Commit this often. Longer means fewer commits, and more to do again after a crash."""

    broker_commit_livelock_soft_timeout: Seconds = Seconds(
        default=300.0, env="BROKER_COMMIT_LIVELOCK_SOFT_TIMEOUT"
    )
    """Log an error when the committed offset of a partition with finished work has not moved for this long; 0: never."""

    broker_heartbeat_interval: Seconds = Seconds(
        default=3.0, env="BROKER_HEARTBEAT_INTERVAL", since="1.0.11"
    )
    """How often the worker tells its group that it lives. A third of the session timeout."""

    broker_max_poll_interval: Seconds = Seconds(
        default=1000.0, env="BROKER_MAX_POLL_INTERVAL", since="1.7"
    )
    """How long a member may not ask for records before its group takes it for dead."""

    broker_rebalance_timeout: Seconds = Seconds(
        default=60.0, env="BROKER_REBALANCE_TIMEOUT", since="1.10"
    )
    """How long the members of the group have to finish what they hold and join again."""

    broker_request_timeout: Seconds = Seconds(
        default=90.0, env="BROKER_REQUEST_TIMEOUT", since="1.4"
    )
    """How long the broker may take for an answer. Not less than the session timeout."""

    broker_transaction_timeout: Param[Any, float] = Seconds(
        default=None,
        default_alias="broker_session_timeout",
        env="BROKER_TRANSACTION_TIMEOUT",
        since="1.0",
    )
    """Exactly once: after how long the broker aborts a transaction that is not committed.

    An event that is not finished after four fifths of it makes the worker abort the transaction itself. When a worker dies,
    what it had open holds up the readers of its output, and whoever takes over its tables, for so long.
    """

    broker_session_timeout: Seconds = Seconds(
        default=60.0, env="BROKER_SESSION_TIMEOUT", since="1.0.11"
    )
    """After how long without heartbeats the partitions of a worker go to the others.

    Shorter means that the death of a worker is noticed sooner, and a slow network sooner mistaken
    for one. The broker limits it (``group.min.session.timeout.ms`` and ``...max...``).
    """

    broker_api_version: ApiVersion = ApiVersion(
        default="auto", env="BROKER_API_VERSION", since="1.10"
    )
    """Version of the protocol: ``auto``, or the version of a broker, such as ``2.8``.

    The versions of single requests are always negotiated with the broker (KIP-35). What a version here decides
    is what records may have: below 0.11 they have no headers, neither those that are sent nor those that are read.
    """

    broker_max_poll_records: Param[Any, int | None] = UnsignedInt(
        default=None, env="BROKER_MAX_POLL_RECORDS", since="1.4"
    )
    """Records that are handed to streams before timers, views and other tasks get their turn. None: all of a poll.

    Less keeps a worker responsive that has much to read; it costs throughput. 0 is no limit, as None.
    """


class ConsumerSettings(SettingsTable, section=SectionType.CONSUMER):
    """Consuming."""

    consumer_max_fetch_size: UnsignedInt = UnsignedInt(
        default=1024 * 1024, env="CONSUMER_MAX_FETCH_SIZE", since="1.4"
    )
    """Bytes that one request fetches of one partition, at most."""

    consumer_auto_offset_reset: Str = Str(
        default="earliest",
        env="CONSUMER_AUTO_OFFSET_RESET",
        choices=("earliest", "latest", "none"),
        since="1.5",
    )
    """Where to begin in a partition without a committed offset: ``earliest`` or ``latest``.

    ``none`` makes it an error. Changelogs always begin at the earliest record.
    """

    consumer_group_instance_id: Param[str | None, str | None] = Str(
        default=None, env="CONSUMER_GROUP_INSTANCE_ID", since="2.1"
    )
    """Name of this worker as a static member of its group (KIP-345), different on every worker.

    A static member that comes back within the session timeout finds its partitions waiting.
    """

    consumer_metadata_max_age_ms: UnsignedInt = UnsignedInt(
        default=5 * 60 * 1000, env="CONSUMER_METADATA_MAX_AGE_MS", since="0.8.5"
    )
    """After how many milliseconds the consumer asks again which topics and partitions there are."""

    consumer_connections_max_idle_ms: UnsignedInt = UnsignedInt(
        default=9 * 60 * 1000, env="CONSUMER_CONNECTIONS_MAX_IDLE_MS", since="0.8.5"
    )
    """After how many milliseconds without use the consumer closes a connection."""

    consumer_api_version: ApiVersion = ApiVersion(
        default="auto",
        default_alias="broker_api_version",
        env="CONSUMER_API_VERSION",
        since="1.10",
    )
    """Version of the protocol for consuming; see ``broker_api_version``."""

    ConsumerScheduler: _Symbol = _Symbol(
        default="faust.transport.utils:DefaultSchedulingStrategy",
        since="1.5",
    )
    """Class that orders fetched records; by default topics take turns, and within a topic its partitions.

    A class of one's own has ``iterate(records)``, which takes all records of one poll by partition, and yields pairs of
    partition and record: of one partition in the order given. It costs throughput, and orders what is in one poll: a
    small ``stream_buffer_maxsize`` lets it decide sooner.
    """


class ProducerSettings(SettingsTable, section=SectionType.PRODUCER):
    """Producing."""

    producer_acks: Int = Int(
        default=-1,
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
        env="PRODUCER_COMPRESSION_TYPE",
        choices=("gzip", "snappy", "lz4", "zstd"),
    )
    """Compression of batches: ``gzip``, ``snappy``, ``lz4`` or ``zstd``. None: no compression."""

    producer_linger_ms: UnsignedInt = UnsignedInt(
        default=0,
        env="PRODUCER_LINGER_MS",
        deprecated=("1.11", "use `producer_linger`, in seconds"),
    )
    """Milliseconds form of ``producer_linger``; taken when that is not given."""

    producer_linger: Seconds = Seconds(
        default=0.0,
        derived=lambda conf: conf._values["producer_linger_ms"] / 1000 or None,
        env="PRODUCER_LINGER",
    )
    """How long a batch waits for more records before it is sent.

    0: it is sent at the next turn of the event loop, together with all that came until then.
    """

    producer_max_batch_size: UnsignedInt = UnsignedInt(
        default=16 * 1024, env="PRODUCER_MAX_BATCH_SIZE"
    )
    """Bytes of a batch of one partition, at most; it is sent when it is full.

    A worker that sends as fast as it can is about ten percent faster with 65536: one batch of a partition is under way at a time.
    """

    producer_max_request_size: UnsignedInt = UnsignedInt(
        default=1_000_000, env="PRODUCER_MAX_REQUEST_SIZE"
    )
    """Bytes of a request, at most. A single record that is larger is refused."""

    producer_partitioner: _Symbol = _Symbol(default=None, since="1.2")
    """Function ``(key, all_partitions, available_partitions) -> partition``, or its path.

    None: murmur2 of the key, as every Kafka client has it; records without key go round.
    """

    producer_request_timeout: Seconds = Seconds(
        default=1200.0, env="PRODUCER_REQUEST_TIMEOUT", since="1.4"
    )
    """How long a record may wait for its acknowledgement before it fails."""

    producer_metadata_max_age_ms: UnsignedInt = UnsignedInt(
        default=5 * 60 * 1000, env="PRODUCER_METADATA_MAX_AGE_MS", since="0.8.5"
    )
    """After how many milliseconds the producer asks again which topics and partitions there are."""

    producer_connections_max_idle_ms: UnsignedInt = UnsignedInt(
        default=9 * 60 * 1000, env="PRODUCER_CONNECTIONS_MAX_IDLE_MS", since="0.8.5"
    )
    """After how many milliseconds without use the producer closes a connection."""

    producer_api_version: ApiVersion = ApiVersion(
        default="auto",
        default_alias="broker_api_version",
        env="PRODUCER_API_VERSION",
        since="1.5.3",
    )
    """Version of the protocol for producing; see ``broker_api_version``."""

    producer_threaded: Bool = Bool(
        default=False,
        env="PRODUCER_THREADED",
        since="0.4.5",
    )
    """Have a second producer, with a client thread of its own, for what ``send_soon`` is given.

    Futures and callbacks stay on the loop of the app, and commits wait for both producers. The order between ``send`` and
    ``send_soon`` is not defined then.
    """
