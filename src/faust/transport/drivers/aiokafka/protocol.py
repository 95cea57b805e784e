"""Requests in versions that aiokafka 0.14 does not speak yet.

Schemas are those of Kafka's protocol guide (https://kafka.apache.org/protocol). What they are for:

* Heartbeat 3 and OffsetCommit 7 carry the ``group.instance.id`` (KIP-345): the broker then tells a static member that
  another process has taken its name (FENCED_INSTANCE_ID); without it the two would evict each other for ever.
* OffsetFetch 7 asks for stable offsets (KIP-447): an offset whose transaction is still open is not answered with the
  older one, which would make a new owner process the same records again.
* Metadata 10 answers the identity of a topic (KIP-516), by which one that was deleted and made anew is told from the old one,
  and the epoch of each leader (KIP-320).
* ListOffsets 5 names the epoch in which the asked broker is believed to lead (KIP-320): one that was replaced refuses.
* TxnOffsetCommit 3 carries member and generation (KIP-447): a zombie's transaction is fenced by the group.

Each request still offers the versions aiokafka has, for older brokers.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import (
    OffsetCommitRequest_v3,
    OffsetFetchRequest_v3,
)
from aiokafka.protocol.group import HeartbeatRequest_v1
from aiokafka.protocol.metadata import MetadataRequest_v1
from aiokafka.protocol.offset import OffsetRequest_v2, OffsetResponse_v5
from aiokafka.protocol.transaction import TxnOffsetCommitRequest_v0
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

__all__ = [
    "GroupHeartbeat",
    "GroupOffsetCommit",
    "LogEnds",
    "StableOffsetFetch",
    "TopicDetails",
    "TransactionOffsetCommit",
]

Offsets = list[tuple[str, list[tuple[int, int, str]]]]
"""Topic, then partition, next offset and metadata."""

UNKNOWN_EPOCH = -1


# -- Heartbeat


class _HeartbeatAnswer3(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class _Heartbeat3(RequestStruct):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = _HeartbeatAnswer3
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class GroupHeartbeat(Request[HeartbeatRequest_v1 | _Heartbeat3]):  # type: ignore[misc]
    """A heartbeat that names the static member."""

    API_KEY = 12

    def __init__(self, group: str, generation: int, member: str, instance: str | None) -> None:
        self._fields = (group, generation, member)
        self._instance = instance

    def build(self, request_struct_class: type[Any]) -> Any:
        """Make the request in the version agreed on."""
        if request_struct_class.API_VERSION >= 3:
            return request_struct_class(*self._fields, self._instance)
        return request_struct_class(*self._fields)


# -- OffsetCommit


class _OffsetCommitAnswer7(Response):  # type: ignore[misc]
    API_KEY = 8
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                ("partitions", Array(("partition", Int32), ("error_code", Int16))),
            ),
        ),
    )


class _OffsetCommit7(RequestStruct):  # type: ignore[misc]
    API_KEY = 8
    API_VERSION = 7
    RESPONSE_TYPE = _OffsetCommitAnswer7
    SCHEMA = Schema(
        ("consumer_group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", String("utf-8")),
                    ),
                ),
            ),
        ),
    )


class GroupOffsetCommit(Request[OffsetCommitRequest_v3 | _OffsetCommit7]):  # type: ignore[misc]
    """A commit that names the static member."""

    API_KEY = 8

    def __init__(
        self, group: str, generation: int, member: str, instance: str | None, offsets: Offsets
    ) -> None:
        self._fields = (group, generation, member)
        self._instance = instance
        self._offsets = offsets

    def build(self, request_struct_class: type[Any]) -> Any:
        """Make the request in the version agreed on."""
        if request_struct_class.API_VERSION < 7:
            return request_struct_class(*self._fields, -1, self._offsets)
        topics = [
            (topic, [(number, offset, UNKNOWN_EPOCH, text) for number, offset, text in partitions])
            for topic, partitions in self._offsets
        ]
        return request_struct_class(*self._fields, self._instance, topics)


# -- OffsetFetch


class _OffsetFetchAnswer7(Response):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _OffsetFetch7(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetFetchAnswer7
    SCHEMA = Schema(
        ("consumer_group", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class StableOffsetFetch(Request[OffsetFetchRequest_v3 | _OffsetFetch7]):  # type: ignore[misc]
    """Ask for committed offsets; those of an open transaction make the broker answer "later"."""

    API_KEY = 9

    def __init__(self, group: str, partitions: list[tuple[str, list[int]]]) -> None:
        self._group = group
        self._partitions = partitions

    def build(self, request_struct_class: type[Any]) -> Any:
        """Make the request in the version agreed on."""
        if request_struct_class.API_VERSION < 7:
            return request_struct_class(self._group, self._partitions)
        topics: list[Any] = [(topic, numbers, {}) for topic, numbers in self._partitions]
        return request_struct_class(self._group, topics, True, {})

    @staticmethod
    def read(answer: Any) -> list[tuple[str, int, int, int]]:
        """Return topic, partition, offset (-1: none) and error code of an answer in any version."""
        if answer.API_VERSION >= 7:
            return [
                (topic, number, offset, code)
                for topic, partitions, _ in answer.topics
                for number, offset, _epoch, _text, code, _tags in partitions
            ]
        return [
            (topic, number, offset, code)
            for topic, partitions in answer.topics
            for number, offset, _text, code in partitions
        ]


# -- TxnOffsetCommit


class _TxnOffsetCommitAnswer3(Response):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "errors",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partition_errors",
                    CompactArray(
                        ("partition", Int32), ("error_code", Int16), ("tags", TaggedFields)
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _TxnOffsetCommit3(RequestStruct):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TxnOffsetCommitAnswer3
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("group_id", CompactString("utf-8")),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", CompactString("utf-8")),
        ("group_instance_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TransactionOffsetCommit(Request[TxnOffsetCommitRequest_v0 | _TxnOffsetCommit3]):  # type: ignore[misc]
    """Offsets for a transaction, with the group's member and generation."""

    API_KEY = 28

    def __init__(
        self,
        producer: tuple[str, int, int],
        group: str,
        membership: tuple[int, str, str | None],
        offsets: Offsets,
    ) -> None:
        self._producer = producer
        self._group = group
        self._membership = membership
        self._offsets = offsets

    def build(self, request_struct_class: type[Any]) -> Any:
        """Make the request in the version agreed on."""
        transactional_id, producer_id, epoch = self._producer
        if request_struct_class.API_VERSION < 3:
            return request_struct_class(
                transactional_id, self._group, producer_id, epoch, self._offsets
            )
        topics: list[Any] = [
            (topic, [(n, offset, UNKNOWN_EPOCH, text, {}) for n, offset, text in partitions], {})
            for topic, partitions in self._offsets
        ]
        return request_struct_class(
            transactional_id, self._group, producer_id, epoch, *self._membership, topics, {}
        )

    @staticmethod
    def read(answer: Any) -> list[tuple[str, int, int]]:
        """Return topic, partition and error code of an answer in any version."""
        return [
            (topic, number, code)
            for topic, partitions, *_ in answer.errors
            for number, code, *_ in partitions
        ]


# -- ListOffsets


class _LogEnds5(RequestStruct):  # type: ignore[misc]
    API_KEY = 2
    API_VERSION = 5
    RESPONSE_TYPE = (
        OffsetResponse_v5  # aiokafka's request has the epoch in eight bytes instead of four
    )
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("isolation_level", Int8),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32), ("current_leader_epoch", Int32), ("timestamp", Int64)
                    ),
                ),
            ),
        ),
    )


class LogEnds(Request[OffsetRequest_v2 | _LogEnds5]):  # type: ignore[misc]
    """Asks a leader for high watermarks. Partitions come with the epoch in which it is believed to lead."""

    API_KEY = 2

    def __init__(self, partitions: dict[str, list[tuple[int, int]]]) -> None:
        self._partitions = partitions

    def build(self, request_struct_class: type[Any]) -> Any:
        """Make the request in the version agreed on."""
        consumer, uncommitted, latest = -1, 0, -1
        with_epoch = request_struct_class.API_VERSION >= 5
        topics: list[Any] = [
            (topic, [(n, epoch, latest) if with_epoch else (n, latest) for n, epoch in partitions])
            for topic, partitions in self._partitions.items()
        ]
        return request_struct_class(consumer, uncommitted, topics)

    @staticmethod
    def read(answer: Any) -> list[tuple[str, int, int, int]]:
        """Return topic, partition, error code and offset of an answer in any version."""
        return [
            (topic, number, code, offset)
            for topic, partitions in answer.topics
            for number, code, _time, offset, *_ in partitions
        ]


# -- Metadata


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataAnswer10(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _Metadata10(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataAnswer10
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicDetails(Request[MetadataRequest_v1 | _Metadata10]):  # type: ignore[misc]
    """Asks for the identities of topics, and who leads them in which epoch."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[Any]) -> Any:
        """Make the request in the version agreed on."""
        if request_struct_class.API_VERSION < 10:
            return request_struct_class([])  # such a broker knows neither
        topics: list[Any] = [(UUID(int=0), topic, {}) for topic in self._topics]
        return request_struct_class(topics, False, False, False, {})

    @staticmethod
    def read_leaders(answer: Any) -> dict[tuple[str, int], tuple[int, int]]:
        """Return leader (-1: none) and its epoch by topic and partition; none are in an answer of an older version."""
        if answer.API_VERSION < 10:
            return {}
        return {
            (topic, number): (leader, epoch)
            for _code, topic, _id, _internal, partitions, *_ in answer.topics
            for _error, number, leader, epoch, *_ in partitions
        }

    @staticmethod
    def read_ids(answer: Any) -> dict[str, str]:
        """Return the identities by topic; none are in an answer of an older version."""
        if answer.API_VERSION < 10:
            return {}
        return {name: str(id) for code, name, id, *_ in answer.topics if code == 0 and id.int}
