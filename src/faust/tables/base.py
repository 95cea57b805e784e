"""Collection: what every kind of table is made of: a name, types, a store, a changelog, and partitions.

A collection holds one `TablePartition` per changelog partition that this worker owns. The table manager opens and
drops them as assignments change; the collection only knows how.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil, inf
from typing import Any, ClassVar, Generic, TypedDict, cast

from yarl import URL

from faust.drivers import stores
from faust.messages import TP, K, Message, V
from faust.ports import AppT
from faust.stores.base import Change, PartitionStore, Store
from faust.tables.codec import Compiler, TableCodec, WindowedCodec
from faust.tables.expiry import TtlIndex, WindowIndex
from faust.tables.followed import FollowedPartition
from faust.tables.partition import Expiry, TablePartition
from faust.tables.schemacodec import SchemaCompiler
from faust.transport.base import TopicSpec
from faust.windows import Window, WindowRange, positive_seconds, seconds_not_negative

logger: logging.Logger = logging.getLogger(__name__)

__all__ = ["Collection", "RecoverCallback"]

CLOSED = "closed"
"""The key under which a table of closed marks keeps its time."""

RecoverCallback = Callable[[], Awaitable[None]]


class TableOptions(TypedDict, total=False):
    """The options of `Collection` that `faust.App.Table` passes on, without those that make its type."""

    store: str | URL | None
    schema: Any
    partitions: int | None
    window: None
    changelog_topic: Any
    help: str | None
    on_recover: RecoverCallback | None
    on_changelog_event: Any
    recovery_buffer_size: int
    standby_buffer_size: int | None
    extra_topic_configs: Mapping[str, Any] | None
    recover_callbacks: Iterable[RecoverCallback] | None
    options: Mapping[str, Any] | None
    use_partitioner: bool
    on_window_close: Any
    is_global: bool
    synchronize_all_active_partitions: bool
    aliasing: bool
    ttl: float | timedelta | None
    grace: float | timedelta | None
    late_topic: Any


class Collection(Generic[K, V]):
    """A table without the ways to read and write it.

    Arguments:
        app: The application.
        name: Unique in the application.
        default: Called without arguments for the value of a missing key; None: a missing key is a `KeyError`.
        store: URL of the storage driver; None: setting ``store``.
        key_type: Type of keys; None: whatever JSON gives, arrays as tuples.
        value_type: Type of values; None: whatever JSON gives.
        partitions: Partitions of the changelog topic when it is created; None: as many as the topics that the agents
            read have, else setting ``topic_partitions``.
        changelog_topic: A ready-made topic; its own name and options apply then.
        help: What the table is for; shown by ``faust tables``.
        on_recover: Registered as by `on_recover`.
        recover_callbacks: The same for several.
        recovery_buffer_size: Changelog records collected before they are written to the store during recovery.
        extra_topic_configs: Further options of the changelog topic; they win over the others.
        options: Options of the storage driver.
        schema: A `faust.Schema`; its types and serializers count where the table names none, and its methods are used
            where a subclass overrides them. They see key or value alone; a changelog has no headers.
        window: A `faust.Window`, as with `faust.Table.using_window`.
        standby_buffer_size: The same as *recovery_buffer_size* for copies on standby; None: as that.
        on_changelog_event: ``async def (event)``, awaited before a record of the changelog is applied, in recovery
            and where a global table follows. Not called for what this worker writes itself.
        on_window_close: ``(key, value)``, plain or ``async``, called when a window of a key is closed; *key* is
            ``(key, (start, end))``. If it raises it is called again later.
        use_partitioner: The changelog partition is chosen by the key's bytes, and not by the event in hand; then
            keys can be written anywhere, on the worker that holds their partition.
        is_global: Every worker has all partitions; said by ``app.GlobalTable``.
        synchronize_all_active_partitions: Global tables only: partitions written by this worker are followed, too. They
            always are; accepted for older programs.
        aliasing: Hold the objects that are written, and give the same ones out: what is changed in place shows
            in the table at once, but reaches the changelog only when it is assigned back. Without, reading gives what
            would be read after a restart.
        ttl: Seconds after its last change for which a key is kept; then it is deleted, in the changelog as well. Tables
            without a window only.
        grace: Windowed tables: seconds of event time after its end for which a window takes late events. Then it
            is closed; see `faust.tables.windowed`. None: until it expires.
        late_topic: Windowed tables: a topic to which events are sent that come too late for all of their windows, with their key,
            value, headers and timestamp. None: they are only counted.

    Raises:
        ValueError: A number is not positive, *name* is empty, or two options exclude each other.
        TypeError: *default* or a callback cannot be called as it will be.
    """

    kind: ClassVar[str] = "Table"

    keys_retrieved: int = 0
    """Operations that have read a key; a `faust.Monitor` is told of them in runs."""

    keys_updated: int = 0
    """Operations that have written a key."""

    keys_deleted: int = 0
    """Operations that have deleted a key."""

    def __init__(
        self,
        app: AppT,
        *,
        name: str,
        default: Callable[[], V] | None = None,
        store: str | URL | None = None,
        schema: Any = None,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        window: Any = None,
        changelog_topic: Any = None,
        help: str | None = None,
        on_recover: RecoverCallback | None = None,
        on_changelog_event: Callable[[Any], Awaitable[Any]] | None = None,
        recovery_buffer_size: int = 1000,
        standby_buffer_size: int | None = None,
        extra_topic_configs: Mapping[str, Any] | None = None,
        recover_callbacks: Iterable[RecoverCallback] | None = None,
        options: Mapping[str, Any] | None = None,
        use_partitioner: bool = False,
        on_window_close: Callable[[Any, Any], Any] | None = None,
        is_global: bool = False,
        synchronize_all_active_partitions: bool = False,
        aliasing: bool = False,
        ttl: float | timedelta | None = None,
        grace: float | timedelta | None = None,
        late_topic: Any = None,
    ) -> None:
        if not name:
            raise ValueError("a table needs a name")
        if default is not None and not callable(default):
            raise TypeError(
                f"table {name!r}: default must be a function without arguments (such as int or list), "
                f"got {default!r}"
            )
        _want_positive(name, "partitions", partitions)
        _want_positive(name, "recovery_buffer_size", recovery_buffer_size)
        _want_positive(name, "standby_buffer_size", standby_buffer_size)
        _want_coroutine_function(name, "on_changelog_event", on_changelog_event)
        if synchronize_all_active_partitions and not is_global:
            raise ValueError(
                f"table {name!r}: synchronize_all_active_partitions= belongs to global tables (app.GlobalTable)"
            )
        if ttl is not None and window is not None:
            raise ValueError(f"table {name!r}: ttl= and window= exclude each other; use expires=")
        if late_topic is not None and not hasattr(late_topic, "get_topic_name"):
            raise TypeError(
                f"table {name!r}: late_topic= wants an app.topic(...), got {late_topic!r}"
            )
        self.app = app
        self.name = name
        self.default = default
        self.key_type = key_type
        self.value_type = value_type
        self.partitions = partitions
        self.help: str = help or ""
        self.schema = schema
        self.window: Window | None = None
        self.key_index: Any = None
        """The table of keys that have windows; None: there is none."""
        self.closed_marks: Any = None
        """The table of how far windows were closed; None: that is not kept."""
        self.on_changelog_event = on_changelog_event
        self.on_window_close = on_window_close
        self.use_partitioner = use_partitioner
        self.is_global = is_global
        self.synchronize_all_active_partitions = synchronize_all_active_partitions
        self.aliasing = aliasing
        self.ttl: float | None = None if ttl is None else positive_seconds("ttl", ttl)
        self.grace: float | None = None if grace is None else seconds_not_negative("grace", grace)
        self.late_topic = late_topic
        self._passed_on: tuple[str, int, int] | None = None
        self.late: int = 0
        """Writes to windows that were closed already; they were dropped."""
        self.standby_buffer_size = standby_buffer_size
        self.recovery_buffer_size = recovery_buffer_size
        self.extra_topic_configs: dict[str, Any] = dict(extra_topic_configs or {})
        self.options: dict[str, Any] = dict(options or {})
        self.counts: Mapping[str, int] = {}
        """Partitions of topics, as far as they are known; kept by the table manager."""
        self.held: dict[int, TablePartition] = {}
        """The partitions of this worker, by number; also those that are being recovered."""
        self.strangers: frozenset[str] = frozenset()
        """Topics whose events may not use this table: they say so (``tables=`` of a topic); kept by the table manager."""
        self.on_full: Callable[[], None] = _nothing
        """Called when a partition has `max_dirty` changed keys or more; set by the table manager."""
        self.max_dirty = 10_000
        self._store_url = None if store is None else URL(store)
        self._store: Store | None = None
        self._codec: TableCodec | None = None
        self._changelog_topic = changelog_topic
        self._has_own_changelog = changelog_topic is None
        self._recover_callbacks: dict[RecoverCallback, None] = {}
        for callback in (
            *(recover_callbacks or ()),
            *(() if on_recover is None else (on_recover,)),
        ):
            self.on_recover(callback)
        if window is not None:
            self.attach_window(window)

    # -- what it is

    @property
    def changelog_topic_name(self) -> str:
        """Name of the changelog topic."""
        if self._has_own_changelog:
            return f"{self.app.conf.id}-{self.name}-changelog"
        return cast("str", self._changelog_topic.get_topic_name())

    @property
    def changelog_topic(self) -> Any:
        """The changelog topic; made when it is first looked at."""
        if self._changelog_topic is None:
            self._changelog_topic = self.app.topic(
                self.changelog_topic_name,
                schema=self.schema,
                key_type=self.key_type,
                value_type=self.value_type,
                key_serializer=self.key_serializer,
                value_serializer=self.value_serializer,
                partitions=self.partitions,
                config=self.changelog_config,
                acks=False,
                internal=True,
                allow_empty=True,
            )
        return self._changelog_topic

    @changelog_topic.setter
    def changelog_topic(self, topic: Any) -> None:
        self._changelog_topic = topic
        self._has_own_changelog = False

    @property
    def key_serializer(self) -> Any:
        """Codec of keys: that of a model, raw for bytes, else JSON."""
        return self.codec.key_serializer

    @property
    def value_serializer(self) -> Any:
        """Codec of values: that of a model, raw for bytes, else JSON."""
        return self.codec.value_serializer

    @property
    def store_url(self) -> URL:
        """URL that chooses the storage driver."""
        return self.app.conf.store if self._store_url is None else self._store_url

    @property
    def data(self) -> Store:
        """The store; made when it is first looked at.

        Raises:
            ImproperlyConfigured: There is no driver for the URL's scheme, or it does not know one of the options.
        """
        if self._store is None:
            url = self.store_url
            driver = cast("type[Store]", stores.by_url(url))
            self._store = driver(
                url, table=self.name, directory=self.app.conf.tabledir, options=self.options
            )
        return self._store

    @property
    def codec(self) -> TableCodec:
        """How keys and values look in the changelog; compiled when it is first needed."""
        if self._codec is None:
            self._codec = self.make_codec()
        return self._codec

    def make_codec(self) -> TableCodec:
        """Compile the codec."""
        kind = TableCodec if self.window is None else WindowedCodec
        return kind(
            self.compiler(),
            table=self.name,
            key_type=self.key_type,
            value_type=self.value_type,
            schema=self.schema,
            aliasing=self.aliasing,
        )

    def compiler(self) -> Compiler:
        """Return what makes functions of types: the registry, or the schema where it has methods of its own."""
        if self.schema is None:
            registry: Compiler = self.app.serializers
            return registry
        return SchemaCompiler(self.app, self.schema)

    def attach_window(self, window: Window) -> None:
        """See the table through *window* from now on.

        Raises:
            ValueError: It has another window, or ``ttl=``.
            RuntimeError: It is in use.
        """
        if not isinstance(window, Window):
            raise TypeError(f"table {self.name!r}: window= wants a faust.Window, got {window!r}")
        if self.window is not None and self.window != window:
            raise ValueError(
                f"table {self.name!r} has the window {self.window!r} already; declare another table for {window!r}"
            )
        if self.ttl is not None:
            raise ValueError(
                f"table {self.name!r}: ttl= is for tables without a window; use expires="
            )
        if self.held:
            raise RuntimeError(f"table {self.name!r} is in use: too late for a window")
        self.window = window
        self._codec = None
        if self._has_own_changelog:
            self._changelog_topic = None

    @property
    def lateness(self) -> float | None:
        """Seconds of event time after its end for which a window is open; None: for ever."""
        if self.window is None or self.grace is not None:
            return self.grace
        return self.window.expires

    @property
    def retention(self) -> float | None:
        """Seconds of event time after its end for which a window is kept; None: for ever."""
        if self.lateness is None or self.window is None:
            return None
        return max(self.lateness, self.window.expires or 0.0)

    def changes_of(self, tp: TP, record: Any) -> list[Change]:  # noqa: ARG002 - of partitions sets speak in errors
        """Return what a record of the changelog, which has a key, changes in a store."""
        return [(record.key, record.value)]

    def record_of(self, raw: bytes, value: bytes | None) -> tuple[bytes, bytes | None]:
        """Return the record of the changelog that says what stands in a store: the same."""
        return raw, value

    def placed_by(self, tp: TP, raw: bytes) -> Any:
        """Return the key by which the entry with the changelog key *raw* is in its partition: without its window."""
        key = self.codec.decode_key(tp, raw)
        return key if self.window is None else key[0]

    @property
    def label(self) -> str:
        """Short description for people."""
        return f"{self.kind}: {self.name}"

    shortlabel = label

    def __repr__(self) -> str:
        return f"<{self.label}>"

    # -- windows

    @property
    def companions(self) -> tuple[Any, ...]:
        """Tables that are written together with this one, by itself."""
        return tuple(each for each in (self.key_index, self.closed_marks) if each is not None)

    def end_of(self, window_range: WindowRange) -> float:
        """Return the first time that no longer belongs to *window_range*."""
        assert self.window is not None
        return self.window.closes_at(window_range)

    def closed_until(self, number: int) -> float:
        """Return the end of the latest window of partition *number* that was closed, where that is kept."""
        marks = None if self.closed_marks is None else self.closed_marks.held.get(number)
        value = -inf if marks is None else marks.find(CLOSED)
        return value if isinstance(value, float) else -inf

    def closed_ahead(self, number: int) -> set[WindowRange]:
        """Return the ranges of partition *number* that were closed though one that ends before them is not."""
        marks = None if self.closed_marks is None else self.closed_marks.held.get(number)
        return set() if marks is None else set(marks.keys()) - {CLOSED}

    def note_closed(self, number: int, end: float) -> None:
        """Remember that windows of partition *number* were closed up to *end*."""
        if self.closed_marks is not None and end > self.closed_until(number):
            self.closed_marks.put(self.closed_marks.held[number], CLOSED, end)

    def restore_time(self, number: int) -> None:
        """Partition *number* was recovered: windows that were closed stay closed, though nothing of them may be left."""
        partition = self.held.get(number)
        if partition is None or not isinstance(partition.expiry, WindowIndex):
            return
        closed = max(self.closed_until(number), *map(self.end_of, self.closed_ahead(number)), -inf)
        if self.app.exactly_once:  # what the callbacks have sent may have been undone
            partition.expiry.called.clear()
        if closed > -inf:
            assert self.lateness is not None
            partition.expiry.restore(closed + self.lateness)

    def note_late(self, key: Any, timestamp: float) -> None:
        """A write at *timestamp* was dropped: the window is closed."""
        self.late += 1
        self.app.sensors.on_table_late(self, key, timestamp)
        if self.late == 1:
            logger.warning(
                "Table %r drops events that come too late: key %r at %s is more than %g s behind its partition (this is "
                "said once; the number is table.late). Give it more grace= or expires= to take them",
                self.name,
                key,
                datetime.fromtimestamp(timestamp, UTC).isoformat(),
                self.lateness,
            )

    def pass_on_late(self, event: Any) -> None:
        """No window takes *event*: send it to ``late_topic``, if there is one, and once. Its offset is committed after that."""
        if self.late_topic is None or event is None:
            return
        message = event.message
        place = (message.topic, message.partition, message.offset)
        if place != self._passed_on:
            self._passed_on = place
            self.late_topic.send_soon(
                key=event.key,
                value=event.value,
                timestamp=message.timestamp if message.timestamp >= 0 else None,
                headers=message.headers,
            )

    # -- changelog

    @property
    def changelog_config(self) -> dict[str, str]:
        """Options of the changelog topic.

        What a windowed table has to remember ends with its windows, also when nobody is there to delete it: the broker
        keeps records for as long as a window that begins with them may be kept; for ever where windows are.
        """
        config = {"cleanup.policy": "compact"}
        window, retention = self.window, self.retention
        if window is not None:
            config["cleanup.policy"] = "compact,delete"
            if retention is None:
                config["retention.ms"] = "-1"
            else:
                longest = window.closes_at(window.current(0.0)) - window.earliest(0.0)[0]
                config["retention.ms"] = str(ceil((longest + retention) * 1000))
        config.update((name, str(value)) for name, value in self.extra_topic_configs.items())
        return config

    @property
    def changelog_forgets(self) -> bool:
        """Say whether the broker, as it is told, removes old records of the changelog, and not only replaced ones."""
        config = self.changelog_config
        return "delete" in config["cleanup.policy"] and config.get("retention.ms") != "-1"

    def changelog_spec(self, partitions: int) -> TopicSpec:
        """Describe the changelog topic that is to be created."""
        return TopicSpec(
            name=self.changelog_topic_name,
            partitions=partitions,
            replication=self.app.conf.topic_replication_factor,
            config=self.changelog_config,
        )

    async def declare(self, partitions: int) -> Any:
        """Create the changelog topic, with so many partitions unless the table says otherwise.

        A store that cannot be had is noticed here, before anything is created.

        Returns:
            What `AppT.declare_topic` says; of a ready-made topic, which declares itself, only what it says of the policy.
        """
        assert self.data is not None
        if self.late_topic is not None:
            await self.late_topic.maybe_declare()
        spec = self.changelog_spec(self.partitions or partitions)
        if self._has_own_changelog:
            return await self.app.declare_topic(spec)
        await self.changelog_topic.declare()
        policy = {"cleanup.policy": self.changelog_config["cleanup.policy"]}
        outcome = await self.app.declare_topic(replace(spec, config=policy))
        if outcome is None:
            return None
        return outcome._replace(
            differences=tuple(each for each in outcome.differences if each.startswith("cleanup."))
        )

    # -- recovery

    async def announce_event(self, tp: TP, record: Any) -> None:
        """Await ``on_changelog_event`` with the event of a record of the changelog."""
        if self.on_changelog_event is None or record.key is None:
            return
        key = self.codec.decode_key(tp, record.key)
        raw = record.value
        value = None if raw is None else self.codec.decode_value(tp, key, raw)
        message = Message.from_record(tp, record, -1)
        await self.on_changelog_event(self.app.create_event(key, value, message.headers, message))

    def on_recover(self, fun: RecoverCallback) -> RecoverCallback:
        """Call the decorated ``async def`` function, without arguments, when recovery is complete.

        Called once per assignment, after all tables of this worker hold what their changelogs hold.

        Raises:
            TypeError: It is not a coroutine function.
            ValueError: It is registered already.
        """
        _want_coroutine_function(self.name, "on_recover", fun)
        if fun in self._recover_callbacks:
            raise ValueError(f"table {self.name!r}: {fun!r} is registered with on_recover already")
        self._recover_callbacks[fun] = None
        return fun

    @property
    def recover_callbacks(self) -> tuple[RecoverCallback, ...]:
        """Functions called when recovery is complete, in the order they were registered."""
        return tuple(self._recover_callbacks)

    def persisted_offset(self, tp: TP) -> int | None:
        """Return the next changelog offset that *tp* has not reached; None when that is not known."""
        partition = self.held.get(tp.partition)
        return None if partition is None else partition.store.persisted_offset

    # -- partitions

    async def open_partition(self, number: int) -> TablePartition:
        """Hold partition *number* from now on; it has to be recovered before it is used."""
        partition = self.held.get(number)
        if partition is None:
            partition = self._hold(number, await self.data.open(number))
        partition.standby = False
        partition.buffer_size = self.recovery_buffer_size
        return partition

    async def open_standby(self, number: int) -> TablePartition | None:
        """Hold a copy of partition *number* from now on; None: another process of this machine keeps its files."""
        partition = self.held.get(number)
        if partition is None:
            opened = await self.data.open_standby(number)
            if opened is None:
                return None
            partition = self._hold(number, opened)
        partition.standby = True
        partition.complete = False
        partition.buffer_size = self.standby_buffer_size or self.recovery_buffer_size
        return partition

    def _hold(self, number: int, store: PartitionStore) -> TablePartition:
        tp = TP(self.changelog_topic_name, number)
        partition = self.held[number] = self.make_partition(tp, store)
        if isinstance(partition.expiry, WindowIndex):
            partition.expiry.unsent = partition.dirty
        return partition

    def make_partition(self, tp: TP, store: PartitionStore) -> TablePartition:
        """Make the object that holds a partition."""
        kind = FollowedPartition if self.is_global else TablePartition
        return kind(
            tp,
            self.codec,
            store,
            volatile=self.data.volatile,
            buffer_size=self.recovery_buffer_size,
            expiry=self.make_expiry(tp.partition),
        )

    def make_expiry(self, number: int) -> Expiry | None:
        """Make what knows when keys of a partition have to go; None: they stay."""
        if self.ttl is not None:
            return TtlIndex(self.ttl, self.codec)
        return self.make_window_index(number, self.codec)

    def make_window_index(self, number: int, codec: Any) -> WindowIndex | None:
        """Make the index of the windows of a partition; None: they stay, and nobody asks."""
        if self.window is None or (self.lateness is None and self.key_index is None):
            return None
        return WindowIndex(
            codec,
            self.window,
            on_key=partial(self._index_key, number),
            counts=self.key_index is not None,
            keeps_keys=self.data.volatile,
        )

    def _index_key(self, number: int, key: Any, there: bool) -> None:
        """A key got its first window, or lost its last."""
        index = None if self.key_index is None else self.key_index.held.get(number)
        if index is None or index.has(key) == there:
            return
        if there:
            index.live[index.new_key(key)] = 1
        else:
            index.delete(key)

    def drop_partition(self, number: int) -> None:
        """Give partition *number* away, with whatever it has that was not flushed."""
        partition = self.held.pop(number, None)
        if partition is not None:
            partition.close()
        self.forget_tasks()

    def about(self) -> int:
        """Return about how many entries this worker holds, copies on standby included, without scanning a store."""
        return sum(partition.about() for partition in self.held.values())

    def suspend(self) -> None:
        """No event may use the table until its partitions are recovered again."""
        for partition in self.held.values():
            partition.generation = None
        self.forget_tasks()

    def forget_tasks(self) -> None:
        """Look up the partition of the next event anew. Called whenever `held` or a generation changes."""

    def complete(self) -> Iterator[TablePartition]:
        """Iterate over the partitions that can be read, by number."""
        for number in sorted(self.held):
            partition = self.held[number]
            if partition.complete:
                yield partition

    async def close(self) -> None:
        """Drop every partition and close the store."""
        for number in list(self.held):
            self.drop_partition(number)
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    async def reset_state(self) -> None:
        """Delete what the store keeps on this machine; the changelog is not touched.

        Raises:
            RuntimeError: The table is in use.
        """
        if self.held:
            raise RuntimeError(
                f"table {self.name!r} is in use: stop the worker before resetting its state"
            )
        await self.data.destroy()

    # -- copies

    def info(self) -> dict[str, Any]:
        """Return the arguments with which `clone` makes a copy."""
        return {
            "app": self.app,
            "name": self.name,
            "default": self.default,
            "store": self._store_url,
            "schema": self.schema,
            "key_type": self.key_type,
            "value_type": self.value_type,
            "partitions": self.partitions,
            "window": self.window,
            "changelog_topic": None if self._has_own_changelog else self._changelog_topic,
            "help": self.help,
            "recover_callbacks": self.recover_callbacks,
            "on_changelog_event": self.on_changelog_event,
            "on_window_close": self.on_window_close,
            "recovery_buffer_size": self.recovery_buffer_size,
            "standby_buffer_size": self.standby_buffer_size,
            "extra_topic_configs": self.extra_topic_configs,
            "options": self.options,
            "use_partitioner": self.use_partitioner,
            "is_global": self.is_global,
            "synchronize_all_active_partitions": self.synchronize_all_active_partitions,
            "aliasing": self.aliasing,
            "ttl": self.ttl,
            "grace": self.grace,
            "late_topic": self.late_topic,
        }

    def clone(self, **overrides: Any) -> Any:
        """Make a table like this one; it is not registered with the application."""
        return type(self)(**{**self.info(), **overrides})

    def __copy__(self) -> Any:
        return self.clone()

    # -- joins

    def join(self, *_fields: Any) -> Any:
        """Refuse: tables cannot be joined; iterate the stream and read the table.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "tables cannot be joined: iterate the stream, and read the table of the same key"
        )

    left_join = join
    inner_join: Callable[..., Any] = join
    outer_join: Callable[..., Any] = join
    combine: Callable[..., Any] = join

    def __and__(self, other: Any) -> Any:
        return self.combine(other)


def _want_positive(table: str, option: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"table {table!r}: {option} must be at least 1, got {value}")


def _want_coroutine_function(table: str, option: str, fun: Any) -> None:
    if fun is not None and not (
        inspect.iscoroutinefunction(fun)
        or inspect.iscoroutinefunction(getattr(fun, "__call__", None))  # noqa: B004
    ):
        raise TypeError(f"table {table!r}: {option} wants an `async def` function, got {fun!r}")


def _nothing() -> None:
    return None
