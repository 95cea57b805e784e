"""Collection: what every kind of table is made of: a name, types, a store, a changelog, and partitions.

A collection holds one `TablePartition` per changelog partition that this worker owns. The table manager opens and
drops them as assignments change; the collection only knows how.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypedDict, cast

from yarl import URL

from faust.drivers import stores
from faust.exceptions import ImproperlyConfigured
from faust.messages import TP, K, V
from faust.ports import AppT
from faust.stores.base import Store
from faust.tables.codec import TableCodec, serializer_for
from faust.tables.partition import TablePartition
from faust.transport.base import TopicSpec

__all__ = ["Collection", "RecoverCallback"]

RecoverCallback = Callable[[], Awaitable[None]]


class TableOptions(TypedDict, total=False):
    """The options of `Collection` that `faust.App.Table` passes on, without those that make its type."""

    store: str | URL | None
    schema: Any
    partitions: int | None
    window: Any
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
        schema: Not supported yet.
        window: Not supported yet.
        standby_buffer_size: Not supported yet.
        on_changelog_event: Not supported yet.
        on_window_close: Not supported yet.
        use_partitioner: Not supported yet.
        is_global: Not supported yet.
        synchronize_all_active_partitions: Not supported yet.

    Raises:
        ImproperlyConfigured: An option is not supported yet.
        ValueError: *partitions* or *recovery_buffer_size* is not positive, or *name* is empty.
        TypeError: *default* or a callback cannot be called as it will be.
    """

    kind: ClassVar[str] = "Table"

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
        on_changelog_event: Any = None,
        recovery_buffer_size: int = 1000,
        standby_buffer_size: int | None = None,
        extra_topic_configs: Mapping[str, Any] | None = None,
        recover_callbacks: Iterable[RecoverCallback] | None = None,
        options: Mapping[str, Any] | None = None,
        use_partitioner: bool = False,
        on_window_close: Any = None,
        is_global: bool = False,
        synchronize_all_active_partitions: bool = False,
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
        _refuse(
            name,
            schema=schema,
            window=window,
            standby_buffer_size=standby_buffer_size,
            on_changelog_event=on_changelog_event,
            on_window_close=on_window_close,
            use_partitioner=use_partitioner,
            is_global=is_global,
            synchronize_all_active_partitions=synchronize_all_active_partitions,
        )
        self.app = app
        self.name = name
        self.default = default
        self.key_type = key_type
        self.value_type = value_type
        self.partitions = partitions
        self.help: str = help or ""
        self.recovery_buffer_size = recovery_buffer_size
        self.extra_topic_configs: dict[str, Any] = dict(extra_topic_configs or {})
        self.options: dict[str, Any] = dict(options or {})
        self.counts: Mapping[str, int] = {}
        """Partitions of topics, as far as they are known; kept by the table manager."""
        self.held: dict[int, TablePartition] = {}
        """The partitions of this worker, by number; also those that are being recovered."""
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
                key_type=self.key_type,
                value_type=self.value_type,
                key_serializer=self.key_serializer,
                value_serializer=self.value_serializer,
                partitions=self.partitions,
                compacting=True,
                config=self.extra_topic_configs,
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
        return serializer_for(self.key_type)

    @property
    def value_serializer(self) -> Any:
        """Codec of values: that of a model, raw for bytes, else JSON."""
        return serializer_for(self.value_type)

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
            self._codec = TableCodec(
                self.app.serializers,
                table=self.name,
                key_type=self.key_type,
                value_type=self.value_type,
            )
        return self._codec

    @property
    def label(self) -> str:
        """Short description for people."""
        return f"{self.kind}: {self.name}"

    shortlabel = label

    def __repr__(self) -> str:
        return f"<{self.label}>"

    # -- changelog

    def changelog_spec(self, partitions: int) -> TopicSpec:
        """Describe the changelog topic that is to be created."""
        config = {"cleanup.policy": "compact"}
        config.update((name, str(value)) for name, value in self.extra_topic_configs.items())
        return TopicSpec(
            name=self.changelog_topic_name,
            partitions=partitions,
            replication=self.app.conf.topic_replication_factor,
            config=config,
        )

    async def declare(self, partitions: int) -> Any:
        """Create the changelog topic, with so many partitions unless the table says otherwise.

        A store that cannot be had is noticed here, before anything is created.

        Returns:
            What `AppT.declare_topic` says; None for a ready-made topic, which declares itself.
        """
        assert self.data is not None
        if self._has_own_changelog:
            return await self.app.declare_topic(self.changelog_spec(self.partitions or partitions))
        await self.changelog_topic.declare()
        return None

    # -- recovery

    def on_recover(self, fun: RecoverCallback) -> RecoverCallback:
        """Call the decorated ``async def`` function, without arguments, when recovery is complete.

        Called once per assignment, after all tables of this worker hold what their changelogs hold.

        Raises:
            TypeError: It is not a coroutine function.
            ValueError: It is registered already.
        """
        if not (
            inspect.iscoroutinefunction(fun)
            or inspect.iscoroutinefunction(getattr(fun, "__call__", None))  # noqa: B004
        ):
            raise TypeError(
                f"table {self.name!r}: on_recover wants an `async def` function, got {fun!r}"
            )
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
            store = self.data
            partition = self.held[number] = TablePartition(
                TP(self.changelog_topic_name, number),
                self.codec,
                await store.open(number),
                volatile=store.volatile,
                buffer_size=self.recovery_buffer_size,
            )
        return partition

    def drop_partition(self, number: int) -> None:
        """Give partition *number* away, with whatever it has that was not flushed."""
        partition = self.held.pop(number, None)
        if partition is not None:
            partition.close()
        self.forget_tasks()

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
            "key_type": self.key_type,
            "value_type": self.value_type,
            "partitions": self.partitions,
            "changelog_topic": None if self._has_own_changelog else self._changelog_topic,
            "help": self.help,
            "recover_callbacks": self.recover_callbacks,
            "recovery_buffer_size": self.recovery_buffer_size,
            "extra_topic_configs": self.extra_topic_configs,
            "options": self.options,
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


def _refuse(table: str, **options: Any) -> None:
    for option, value in options.items():
        if value is not None and value is not False:
            raise ImproperlyConfigured(
                f"table {table!r}: the option {option}= is not supported yet; leave it out"
            )


def _nothing() -> None:
    return None
