"""Topic: a channel that has a name on the broker."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import timedelta
from typing import Any, SupportsIndex, TypedDict, TypeVar, cast

from mode.utils.times import want_seconds

from faust._core.lanes import Lane, PartitionTask, message_of
from faust.channels import Channel
from faust.events import Event
from faust.exceptions import KeyDecodeError, ValueDecodeError
from faust.messages import TP, Message
from faust.ports import AppT
from faust.serializers.codecs import CodecArg
from faust.serializers.schemas import Schema, locate
from faust.topics.sending import SendingTopic
from faust.transport.base import TopicSpec
from faust.transport.cures import cure_of, is_fault
from faust.utils.signatures import show_options

__all__ = ["Topic", "TopicOptions"]

K = TypeVar("K")
V = TypeVar("V")

logger: logging.Logger = logging.getLogger(__name__)

MAX_TOPIC_NAME = 249
OTHER_COUNT = (
    "Declare it with partitions={has} (of a repartition topic: group_by(..., partitions={has}))"
)
"""What to do about a topic that has another number of partitions than declared."""


class TopicOptions(TypedDict, total=False):
    """The options of `Topic` that `faust.App.topic` passes on, without the two that make its type."""

    pattern: str | re.Pattern[str] | None
    schema: Schema | None
    key_serializer: CodecArg
    value_serializer: CodecArg
    partitions: int | None
    replicas: int | None
    retention: float | timedelta | str | None
    compacting: bool | None
    deleting: bool | None
    config: Mapping[str, Any] | None
    acks: bool
    internal: bool
    maxsize: int | None
    allow_empty: bool | None
    has_prefix: bool
    loop: asyncio.AbstractEventLoop | None
    tables: Iterable[Any] | None


class Topic(SendingTopic[K, V]):
    """A description of one or more topics, or of all topics whose names match a pattern.

    Arguments:
        app: The application.
        topics: Names.
        pattern: Regular expression instead of names.
        schema: How keys and values are read and written.
        key_type: Type of keys.
        value_type: Type of values.
        key_serializer: Codec of keys; None: that of the type, else setting ``key_serializer``.
        value_serializer: Codec of values; None: that of the type, else setting ``value_serializer``.
        partitions: Number of partitions when it is declared; None: setting ``topic_partitions``.
        replicas: Replication factor when it is declared; None: setting ``topic_replication_factor``.
        retention: Seconds that records are kept when it is declared; as a number, a `timedelta` or text.
        compacting: Declare it with cleanup policy ``compact``.
        deleting: Declare it with cleanup policy ``delete``.
        config: Further topic options when it is declared; they win over the others.
        acks: Whether offsets of this topic are committed.
        internal: Owned by the app: declared when it is subscribed.
        maxsize: Records that may wait per iterator; None: setting ``stream_buffer_maxsize``.
        allow_empty: A message without value gives None instead of a decode error for typed topics.
        has_prefix: The name carries the app's or agent's prefix already.
        tables: The tables (or their names) that its events use: after a rebalance they wait for the recovery of these only, and may
            use no others, but for global ones. None: any, so they wait for all. What ``group_by`` makes of it says the same.

    Raises:
        TypeError: Names and pattern together, or a number that is none.
        ValueError: ``partitions=0``, a *retention* that cannot be read, or a name longer than 249 characters.
    """

    drops_none = False

    def __init__(
        self,
        app: AppT,
        *,
        topics: Iterable[str] | None = None,
        pattern: str | re.Pattern[str] | None = None,
        schema: Schema | None = None,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        partitions: int | None = None,
        replicas: int | None = None,
        retention: float | timedelta | str | None = None,
        compacting: bool | None = None,
        deleting: bool | None = None,
        config: Mapping[str, Any] | None = None,
        acks: bool = True,
        internal: bool = False,
        maxsize: int | None = None,
        allow_empty: bool | None = None,
        has_prefix: bool = False,
        is_iterator: bool = False,
        root: Channel[V] | None = None,
        active_partitions: set[TP] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        tables: Iterable[Any] | None = None,
    ) -> None:
        names = tuple(topics or ())
        if names and pattern:
            raise TypeError("a topic has names or a pattern, not both")
        for option, number in (("partitions", partitions), ("replicas", replicas)):
            if number is not None and not isinstance(number, SupportsIndex):
                raise TypeError(
                    f"topic {','.join(names) or pattern}: {option} must be a whole number, got {number!r}"
                )
        if partitions == 0:
            raise ValueError(f"topic {','.join(names)}: partitions must be at least 1")
        for name in names:
            if len(name) > MAX_TOPIC_NAME:
                raise ValueError(f"topic name longer than {MAX_TOPIC_NAME} characters: {name!r}")
        schema = _schema(
            app, schema, key_type, value_type, key_serializer, value_serializer, allow_empty
        )
        super().__init__(
            app,
            schema=schema,
            key_type=schema.key_type,
            value_type=schema.value_type,
            key_serializer=schema.key_serializer,
            value_serializer=schema.value_serializer,
            is_iterator=is_iterator,
            maxsize=maxsize,
            root=root,
            active_partitions=active_partitions,
            loop=loop,
        )
        self.topics = names
        self.pattern: re.Pattern[str] | None = (
            re.compile(pattern) if isinstance(pattern, str) else pattern
        )
        self.partitions = partitions
        self.replicas = replicas
        self.retention: float | timedelta | None = (
            _seconds(retention, names) if isinstance(retention, str) else retention
        )
        self.compacting = compacting
        self.deleting = deleting
        self.config: dict[str, Any] = dict(config or {})
        self.acks = acks
        self.internal = internal
        self.allow_empty: bool = bool(schema.allow_empty)
        self.has_prefix = has_prefix
        self.tables: frozenset[str] | None = None
        if tables is not None:
            self.tables = frozenset(getattr(each, "name", each) for each in tables)
        self._declaration: asyncio.Task[None] | None = None
        self._told: set[str] = root._told if isinstance(root, Topic) else set()

    def clone_arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments that describe this topic."""
        return {
            **super().clone_arguments(),
            "topics": self.topics,
            "pattern": self.pattern,
            "partitions": self.partitions,
            "replicas": self.replicas,
            "retention": self.retention,
            "compacting": self.compacting,
            "deleting": self.deleting,
            "config": self.config,
            "acks": self.acks,
            "internal": self.internal,
            "allow_empty": self.allow_empty,
            "has_prefix": self.has_prefix,
            "tables": self.tables,
        }

    def get_topic_name(self) -> str:
        """Return the one name of this topic.

        Raises:
            TypeError: It is a pattern.
            ValueError: It has several names.
        """
        if len(self.topics) == 1:
            return self.topics[0]
        if self.topics:
            raise ValueError(f"topic with several names has no single one: {self}")
        raise TypeError(f"topic pattern has no name: {self}")

    # -- reading

    def matches(self, name: str) -> bool:
        """Say whether messages of the topic called *name* are for us."""
        return name in self.topics if self.pattern is None else bool(self.pattern.fullmatch(name))

    def __aiter__(self) -> AsyncIterator[Event[K, V]]:
        iterator: Any = self
        if not self.is_iterator:
            iterator = self.clone(is_iterator=True)
            self.app.flow_control.govern(iterator.mailbox)
            self.app.topics.add(iterator)
        return cast("AsyncIterator[Event[K, V]]", iterator)

    def on_stop_iteration(self) -> None:
        """A stream has stopped reading this iterator for good: nothing more is routed to it."""
        super().on_stop_iteration()
        self.app.topics.discard(self)

    def open_lane(self, task: PartitionTask, limit: int) -> Lane:
        """Begin to read a partition: decoders are chosen here, once."""
        decode_key, decode_value = self.schema.compile_decoders(self.app, task.tp, task.generation)
        return Lane(task, self.mailbox, decode_value, decode_key, acks=self.acks, limit=limit)

    def make_event(self, lane: Lane, record: Any, value: Any) -> Any:
        """Build the event of a record."""
        if isinstance(record, Event):
            return super().make_event(lane, record, value)
        key = record.key if lane.decode_key is None else lane.decode_key(record)
        message = message_of(lane, record)
        event = self.app.create_event(key, value, message.headers, message)
        event._lane = lane
        return event

    async def put(self, event: Any) -> None:
        """Give *event* to whoever reads this iterator.

        Raises:
            RuntimeError: This is a description of a topic, no iterator: use `send`.
        """
        if not self.is_iterator:
            raise RuntimeError(
                f"put: {self!r} is not an iterator; what is put into one stays in this process, use send()"
            )
        await self.wait_room()
        self.put_nowait(event)

    async def decode(self, message: Message, *, propagate: bool = False) -> Any:
        """Turn a message into an event; None when an error hook has swallowed the error."""
        decode = self.schema.compile(
            self.app,
            on_key_decode_error=self.on_key_decode_error,
            on_value_decode_error=self.on_value_decode_error,
            default_propagate=propagate,
        )
        return await decode(message)

    async def on_record_undecodable(self, lane: Lane, record: Any, exc: Exception) -> None:
        """Hand the failure to the documented hooks."""
        message = message_of(lane, record)
        if isinstance(exc, KeyDecodeError):
            await self.on_key_decode_error(locate(exc, message.tp, record), message)
        elif isinstance(exc, ValueDecodeError):
            await self.on_value_decode_error(locate(exc, message.tp, record), message)
        else:
            await self.throw(exc)

    async def on_key_decode_error(self, exc: Exception, message: Message) -> None:
        """Override to handle undecodable keys; the default raises in the stream. The message is skipped."""
        await self.on_decode_error(exc, message)
        await self.throw(exc)

    async def on_value_decode_error(self, exc: Exception, message: Message) -> None:
        """Override to handle undecodable values; the default raises in the stream. The message is skipped."""
        await self.on_decode_error(exc, message)
        await self.throw(exc)

    async def on_decode_error(self, exc: Exception, message: Message) -> None:
        """Override to be told of undecodable messages."""

    # -- declaring

    async def declare(self) -> None:
        """Create the topic on the broker unless it is there (or setting ``topic_allow_declare`` is off).

        One that is there and is not as declared is told in the log, with what mends it.
        """
        conf = self.app.conf
        for name in self.topics:
            outcome = await self.app.declare_topic(
                TopicSpec(
                    name=name,
                    partitions=self.partitions or conf.topic_partitions,
                    replication=self.replicas or conf.topic_replication_factor,
                    config=self._broker_config(),
                )
            )
            for difference in () if outcome is None else filter(is_fault, outcome.differences):
                if self.partitions or not difference.startswith("partitions:"):
                    cure = cure_of(name, difference, conf.broker, other_count=OTHER_COUNT)
                    self._tell(f"Topic {name} is not as declared: {difference}. {cure}")

    def _tell(self, words: str) -> None:
        """Say it once for all that read from this topic."""
        if words not in self._told:
            self._told.add(words)
            logger.warning("%s", words)

    async def maybe_declare(self) -> None:
        """Declare once; several callers share one attempt."""
        if self._declaration is None or (
            self._declaration.done() and self._declaration.exception()
        ):
            self._declaration = asyncio.get_running_loop().create_task(self.declare())
        await asyncio.shield(self._declaration)

    def _broker_config(self) -> dict[str, str]:
        config: dict[str, str] = {}
        policy = [
            name
            for name, wanted in (("compact", self.compacting), ("delete", self.deleting))
            if wanted
        ]
        if policy:
            config["cleanup.policy"] = ",".join(policy)
        if self.retention:
            seconds = (
                self.retention.total_seconds()
                if isinstance(self.retention, timedelta)
                else self.retention
            )
            config["retention.ms"] = str(int(seconds * 1000))
        return {**config, **{name: str(value) for name, value in self.config.items()}}

    # -- deriving

    def derive(self, **options: Any) -> Any:
        """Make a topic like this one; see `derive_topic`."""
        return self.derive_topic(**options)

    def derive_topic(
        self,
        name: str | None = None,
        *,
        topics: Iterable[str] | None = None,
        prefix: str = "",
        suffix: str = "",
        **options: Any,
    ) -> Any:
        """Make a topic like this one, with another name or other options (those of the constructor).

        *prefix* and *suffix* are added to every name.

        Raises:
            ValueError: *prefix* or *suffix* on a pattern.
        """
        if self.pattern is not None and (prefix or suffix):
            raise ValueError("cannot derive a name from a topic pattern")
        names = [name] if name is not None else list(topics or self.topics)
        changed = {key: value for key, value in options.items() if value is not None}
        arguments = {
            **self.clone_arguments(),
            "topics": [f"{prefix}{name}{suffix}" for name in names],
            "active_partitions": None,
            "has_prefix": bool(prefix) or self.has_prefix,
            "internal": False,
            "schema": changed.pop("schema", None) or self.schema,
            **changed,
        }
        if names and self.pattern is not None:
            arguments["pattern"] = None
        return type(self)(**arguments)

    def derive_repartition(  # type: ignore[override]
        self, *, prefix: str, suffix: str, partitions: int, **options: Any
    ) -> Any:
        """Make the topic that `Stream.group_by` forwards to; *options* are those of the constructor.

        It is never compacted, though the source may be: each of its events has to be processed.
        """
        config = {
            name: value
            for name, value in self.config.items()
            if name != "cleanup.policy" or "compact" not in str(value)
        }
        return self.derive_topic(
            prefix=prefix,
            suffix=suffix,
            partitions=partitions,
            compacting=False,
            config=config,
            internal=True,
            **options,
        )

    def __str__(self) -> str:
        return ",".join(self.topics) if self.pattern is None else str(self.pattern)


# -- helpers


def _seconds(retention: str, names: Iterable[str]) -> float:
    """Read a time that was given as text."""
    try:
        return want_seconds(retention)
    except (LookupError, ValueError) as exc:
        raise ValueError(
            f"topic {','.join(names)}: retention must be seconds, got {retention!r}"
        ) from exc


def _schema(
    app: AppT,
    schema: Schema | None,
    key_type: Any,
    value_type: Any,
    key_serializer: Any,
    value_serializer: Any,
    allow_empty: bool | None,
) -> Schema:
    """Copy or make the schema of one topic, so that no two topics change each other's."""
    import copy

    made = app.conf.Schema() if schema is None else copy.copy(schema)
    made.update(
        key_type=key_type,
        value_type=value_type,
        key_serializer=key_serializer,
        value_serializer=value_serializer,
        allow_empty=allow_empty,
    )
    return cast("Schema", made)


show_options(
    Topic.derive_topic,
    Topic,
    hidden=("app", "pattern", "is_iterator", "root", "active_partitions", "has_prefix"),
)
