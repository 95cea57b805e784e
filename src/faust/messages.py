"""What flows: topic-partitions, records, slices, messages, headers, metadata.

Everything here is a plain value. A *record* is what a driver read from a partition: read-only, cheap, and
never copied. A *slice* is a run of records of one partition, the unit in which work moves inside the house.
A `Message` is the documented, user-facing view of one record; it is built only when somebody looks.

Timestamps are integer milliseconds in records and slices, and float seconds in everything users touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

__all__ = [
    "TP",
    "Headers",
    "HeadersArg",
    "K",
    "Message",
    "Record",
    "RecordMetadata",
    "Slice",
    "V",
    "header_pairs",
    "headers_dict",
    "merge_headers",
    "prepare_headers",
]

K = TypeVar("K")
V = TypeVar("V")

Headers: TypeAlias = Sequence[tuple[str, bytes]]
"""Headers as they travel: pairs, in order, names may repeat."""

HeadersArg: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]] | None
"""Headers as users may give them: a mapping or pairs; values are bytes or text."""


class TP(NamedTuple):
    """A topic and the number of one of its partitions."""

    topic: str
    partition: int


class Record(Protocol):
    """One record as a driver hands it over; read-only."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch; -1 when the broker has none."""
        ...

    @property
    def timestamp_type(self) -> int | None:
        """0: set by the producer, 1: set by the broker when it appended."""
        ...

    @property
    def key(self) -> bytes | None:
        """Key as it was sent."""
        ...

    @property
    def value(self) -> bytes | None:
        """Value as it was sent."""
        ...

    @property
    def headers(self) -> Headers:
        """Headers as they were sent; empty when there are none."""
        ...


class Slice:
    """At most a few hundred consecutive records of one partition.

    Attributes:
        tp: The partition.
        generation: The group generation under which it was fetched; -1 outside a group.
        records: The records, in offset order; may be empty (a run of markers or compacted offsets).
        next_offset: The position after the slice; may lie beyond the last record + 1.
    """

    __slots__ = ("generation", "next_offset", "records", "tp")

    def __init__(
        self, tp: TP, generation: int, records: Sequence[Record], next_offset: int
    ) -> None:
        self.tp: TP = tp
        self.generation: int = generation
        self.records: Sequence[Record] = records
        self.next_offset: int = next_offset

    def __repr__(self) -> str:
        return (
            f"<Slice {self.tp.topic}[{self.tp.partition}] {len(self.records)} records, "
            f"next {self.next_offset}, generation {self.generation}>"
        )


class RecordMetadata(NamedTuple):
    """Where the broker put a record. ``timestamp`` is in milliseconds."""

    topic: str
    partition: int
    topic_partition: TP
    offset: int
    timestamp: int | None = None
    timestamp_type: int | None = None


class Message:
    """One consumed message, as the documents show it. ``timestamp`` is in seconds."""

    __slots__ = (
        "__weakref__",
        "acked",
        "checksum",
        "generation_id",
        "headers",
        "key",
        "offset",
        "partition",
        "refcount",
        "serialized_key_size",
        "serialized_value_size",
        "span",
        "time_in",
        "time_out",
        "time_total",
        "timestamp",
        "timestamp_type",
        "topic",
        "tp",
        "tracked",
        "value",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        timestamp: float,
        timestamp_type: int | None,
        headers: HeadersArg,
        key: Any,
        value: Any,
        checksum: bytes | None = None,
        serialized_key_size: int | None = None,
        serialized_value_size: int | None = None,
        tp: TP | None = None,
        time_in: float | None = None,
        time_out: float | None = None,
        time_total: float | None = None,
        generation_id: int | None = None,
    ) -> None:
        self.topic: str = topic
        self.partition: int = partition
        self.offset: int = offset
        self.timestamp: float = timestamp
        self.timestamp_type: int | None = timestamp_type
        self.headers: HeadersArg = headers
        self.key: Any = key
        self.value: Any = value
        self.checksum: bytes | None = checksum
        self.serialized_key_size: int = (
            len(key or b"") if serialized_key_size is None else serialized_key_size
        )
        self.serialized_value_size: int = (
            len(value or b"") if serialized_value_size is None else serialized_value_size
        )
        self.tp: TP = TP(topic, partition) if tp is None else tp
        self.time_in: float | None = time_in
        self.time_out: float | None = time_out
        self.time_total: float | None = time_total
        self.generation_id: int | None = generation_id
        self.acked: bool = False
        self.refcount: int = 0
        self.tracked: bool = False
        self.span: Any = None

    @classmethod
    def from_record(cls, tp: TP, record: Record, generation: int) -> Message:
        """Show a driver's record as a message."""
        return cls(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp / 1000.0,
            record.timestamp_type,
            record.headers,
            record.key,
            record.value,
            tp=tp,
            generation_id=generation,
        )

    def __repr__(self) -> str:
        return f"<Message: {self.topic}[{self.partition}] offset={self.offset}>"


def prepare_headers(headers: HeadersArg) -> dict[str, Any] | list[tuple[str, Any]]:
    """Copy *headers*, so that more can be added: a mapping to a dict, pairs to a list, None to a dict."""
    if headers is None:
        return {}
    return dict(headers) if isinstance(headers, Mapping) else list(headers)


def header_pairs(headers: HeadersArg) -> list[tuple[str, bytes]]:
    """Copy *headers* into the list of pairs that travels; text values become UTF-8 bytes."""
    if not headers:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(str(name), _want_bytes(value)) for name, value in pairs]


def merge_headers(target: Any, source: HeadersArg) -> Any:
    """Add *source* to *target* (a mutable mapping or sequence) in place, and return *target*."""
    pairs = header_pairs(source)
    if isinstance(target, MutableMapping):
        target.update(pairs)
    elif isinstance(target, MutableSequence):
        target.extend(pairs)
    return target


def headers_dict(headers: HeadersArg) -> dict[str, bytes]:
    """Collapse headers to a dict; of several values under one name the last wins."""
    if not headers:
        return {}
    if isinstance(headers, dict):
        return headers
    return dict(headers)


def _want_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else value
