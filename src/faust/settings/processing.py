"""Settings of what happens to events: serialization, replies, streams, tables, topics."""

from __future__ import annotations

from uuid import uuid4

from faust.settings.params import Bool, Codec, Int, Seconds, SectionType, Str, UnsignedInt
from faust.settings.table import SettingsTable

__all__ = [
    "RPCSettings",
    "SerializationSettings",
    "StreamSettings",
    "TableSettings",
    "TopicSettings",
]


class SerializationSettings(SettingsTable, section=SectionType.SERIALIZATION):
    """How keys and values become bytes."""

    key_serializer: Codec = Codec(default="raw", env="APP_KEY_SERIALIZER")
    """Codec of keys where a topic names none."""

    value_serializer: Codec = Codec(default="json", env="APP_VALUE_SERIALIZER")
    """Codec of values where a topic names none."""


class RPCSettings(SettingsTable, section=SectionType.RPC):
    """Asking agents and waiting for replies."""

    reply_create_topic: Bool = Bool(default=False, env="APP_REPLY_CREATE_TOPIC")
    """Create and read the reply topic at start, not at the first ``ask``."""

    reply_expires: Seconds = Seconds(default=86400.0, env="APP_REPLY_EXPIRES")
    """How long the reply topic keeps replies."""

    reply_to_prefix: Str = Str(default="f-reply-", env="APP_REPLY_TO_PREFIX")
    """How the names of generated reply topics begin."""

    reply_to: Str = Str(
        default=None,
        derived=lambda conf: f"{conf.reply_to_prefix}{uuid4()}",
        default_text="`reply_to_prefix` and a random UUID",
    )
    """Reply topic of this worker. The default is drawn once for each Settings object."""


class StreamSettings(SettingsTable, section=SectionType.STREAM):
    """Streams and the recovery of tables."""

    recovery_consistency_check: Bool = Bool(
        default=True, env="RECOVERY_CONSISTENCY_CHECK", since="0.4.7"
    )
    """Refuse to start when the local state of a table is ahead of its changelog topic."""

    stream_buffer_maxsize: UnsignedInt = UnsignedInt(default=4096, env="STREAM_BUFFER_MAXSIZE")
    """Events that may wait in front of a stream before the worker stops fetching for it."""

    stream_processing_timeout: Seconds = Seconds(
        default=300.0, env="STREAM_PROCESSING_TIMEOUT", since="1.10"
    )
    """Log an error when one event takes longer than this; 0: never. Nothing is cancelled."""

    stream_recovery_delay: Seconds = Seconds(default=0.0, env="STREAM_RECOVERY_DELAY", since="1.3")
    """How long to wait after a rebalance before tables are recovered."""

    stream_wait_empty: Bool = Bool(default=True, env="STREAM_WAIT_EMPTY")
    """Let the events in hand be finished when partitions are taken away and when the worker stops.

    False: they are dropped, and processed again by whoever has the partition next.
    """

    store_check_exists: Bool = Bool(
        default=True,
        env="STORE_CHECK_EXISTS",
        since="0.6.0",
    )
    """Ask the store whether it has a key before reading it.

    Both come to the same: a store is read once, and the answer says whether it has the key.
    """

    crash_app_on_aerospike_exception: Bool = Bool(
        default=True,
        env="CRASH_APP_ON_AEROSPIKE_EXCEPTION",
        not_built="the store aerospike://",
        since="0.6.3",
    )
    """Crash when Aerospike fails, so that no offset is committed past what was not stored."""

    aerospike_retries_on_exception: Int = Int(
        default=60,
        env="AEROSPIKE_RETRIES_ON_EXCEPTION",
        not_built="the store aerospike://",
        since="0.6.10",
    )
    """How often a call of Aerospike that failed is made again."""

    aerospike_sleep_seconds_between_retries_on_exception: Int = Int(
        default=1,
        env="AEROSPIKE_SLEEP_SECONDS_BETWEEN_RETRIES_ON_EXCEPTION",
        not_built="the store aerospike://",
        since="0.6.10",
    )
    """Seconds between those calls."""

    stream_publish_on_commit: Bool = Bool(default=False)
    """Hold back what is sent while an event is processed until its offset is committed.

    It is published just before the commit, in the order it was sent, and the commit waits until the broker has it. A crash
    between the two publishes it again: at least once, with fewer duplicates. ``force=True`` sends at once.
    """

    stream_ack_cancelled_tasks: Bool = Bool(default=True, deprecated=("1.0", "it has no effect"))
    """Has no effect; accepted for older programs."""

    stream_ack_exceptions: Bool = Bool(default=True, deprecated=("1.0", "it has no effect"))
    """Has no effect; accepted for older programs."""


class TableSettings(SettingsTable, section=SectionType.TABLE):
    """Tables."""

    table_standby_replicas: UnsignedInt = UnsignedInt(default=1, env="TABLE_STANDBY_REPLICAS")
    """Copies of every table partition that other workers keep ready.

    At most one less than there are workers. When the owner of a partition goes away a worker with a copy takes over, and
    reads only the end of the changelog. Each copy costs the disk (or memory), and the reading, of what it copies.
    """

    table_cleanup_interval: Seconds = Seconds(default=30.0, env="TABLE_CLEANUP_INTERVAL")
    """How often windows and keys that have expired are looked for and removed."""

    table_key_index_size: UnsignedInt = UnsignedInt(
        default=1000,
        env="TABLE_KEY_INDEX_SIZE",
        since="1.7",
    )
    """Keys whose partition a table remembers, at most, of those that are read outside of streams and in global tables.

    They are found again without looking through all partitions. 0: none.
    """

    table_set_changelog_format: Str = Str(
        default="members",
        env="TABLE_SET_CHANGELOG_FORMAT",
        choices=("members", "operations"),
    )
    """How tables of sets are written to their changelogs; both formats are always read.

    ``members``: one record per member, compacted. ``operations``: the log of operations of faust-streaming 0.15, for as long as its
    workers share the group, or may have to take it over again. That log cannot be compacted and grows for ever. Global tables of
    sets are always written as ``members``.
    """


class TopicSettings(SettingsTable, section=SectionType.TOPIC):
    """Topics that the application creates."""

    topic_allow_declare: Bool = Bool(default=True, env="TOPIC_ALLOW_DECLARE", since="1.5")
    """May the worker create topics. If not, somebody else must have."""

    topic_disable_leader: Bool = Bool(default=False, env="TOPIC_DISABLE_LEADER", since="1.7")
    """Do without the topic that elects a leader among the workers; then nobody is the leader."""

    topic_partitions: UnsignedInt = UnsignedInt(default=8, env="TOPIC_PARTITIONS")
    """Partitions of the topics that the worker creates: so many workers can share the work."""

    topic_replication_factor: UnsignedInt = UnsignedInt(default=1, env="TOPIC_REPLICATION_FACTOR")
    """Copies of the topics that the worker creates, the first included. 0 counts as 1."""
