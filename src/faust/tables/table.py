"""Table: a dictionary that is partitioned like a topic.

Where an operation looks is decided by where the running task stands:

* *inside* a stream (while an event is in hand): the partition of that event, for reading, writing, iteration and
  length alike. So what an event sees and does depends on its partition only, not on which other partitions this
  worker happens to hold. The topic of the event must be co-partitioned with the table: the same number of partitions.
  Where it is not, reading is as outside, and writing is a `PartitionsMismatch`.
* *outside* (timers, web views, tests): all partitions of this worker, one after the other; they cannot be written to.
  A key that lives on another worker is missing here. A key is found once per partition that has it; that is once,
  unless events of one key come in several partitions (use ``group_by``).

Reading or writing while an event of a revoked partition is in hand raises `NotReady`: that event will be processed
by the partition's new owner, and nothing it reads or writes here is right.

Speed: an operation inside a stream costs a context variable, a comparison and the dict access. The comparison is
with the task of the last operation; only when it differs the partition is looked up, and everything that can go wrong
is checked then. The hooks (`Table.on_key_get` ...) are called in subclasses that override them, and cost nothing in
others.

Values are kept as they are given, and encoded when they are flushed; after recovery they are what JSON (or
``value_type``) makes of them. Changing a value in place is not noticed: read, modify, assign back.
"""

from __future__ import annotations

import logging
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any, Generic, NoReturn, TypeVar, cast, overload

from faust._core.iteration import current_cursor
from faust._core.lanes import Lane, PartitionTask
from faust.exceptions import NotReady, PartitionsMismatch
from faust.messages import K, V
from faust.tables.base import Collection
from faust.tables.partition import MISSING, TablePartition

__all__ = ["Table"]

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

NOWHERE: Any = object()
"""Stands for a task that no event has."""


class Table(Collection[K, V], MutableMapping[K, V], Generic[K, V]):
    """A table; made by ``app.Table``. See `Collection` for the options.

    Example::

        totals = app.Table("totals", default=int)

        @app.agent(orders)
        async def count(stream):
            async for user, amount in stream.items():
                totals[user] += amount
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._read_task: PartitionTask = NOWHERE
        self._read_from: TablePartition | None = None
        self._read_live: dict[K, V] = {}
        self._write_task: PartitionTask = NOWHERE
        self._write_to: TablePartition | None = None
        self._write_live: dict[K, V] = {}
        self._write_dirty: dict[K, bytes | None] = {}
        self._warned = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook, method, hooked in _HOOKS:
            overridden = getattr(cls, hook) is not getattr(Table, hook)
            if overridden and getattr(cls, method) is getattr(Table, method):
                setattr(cls, method, hooked)

    # -- one key

    def __getitem__(self, key: K) -> V:
        cursor = current_cursor.get()
        if cursor is not None and cursor.record is not None:
            task = cursor.lane.task  # type: ignore[union-attr]  # a record has a lane
            if task is not self._read_task:
                self._enter_to_read(task)
            try:
                return self._read_live[key]
            except KeyError:
                pass
        value = self._find(key)
        if value is not MISSING:
            return cast("V", value)
        if self.default is None:
            raise KeyError(key)
        return self.default()

    def __setitem__(self, key: K, value: V) -> None:
        cursor = current_cursor.get()
        if cursor is None or cursor.record is None:
            self._refuse_write()
        lane: Lane = cursor.lane  # type: ignore[assignment]  # a record has a lane
        if lane.task is not self._write_task:
            self._enter_to_write(lane)
        if value.__class__ is bytes and not self.codec.plain_values:
            self.codec.refuse_bytes(key)
        live = self._write_live
        dirty = self._write_dirty
        # A key is checked when it is new; its bytes are kept for the flush, which is likely to come first.
        dirty[key] = None if key in live else self.codec.encode_key(key)
        live[key] = value
        if len(dirty) >= self.max_dirty:
            self.on_full()

    def __delitem__(self, key: K) -> None:
        partition = self._to_write()
        partition.delete(key)
        if len(partition.dirty) >= self.max_dirty:
            self.on_full()

    def __contains__(self, key: object) -> bool:
        here = self._here()
        if here is not None:
            return key in here.live or here.has(key)
        return any(partition.has(key) for partition in self.complete())

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: V) -> V: ...
    @overload
    def pop(self, key: K, default: T) -> V | T: ...

    def pop(self, key: K, default: Any = MISSING) -> Any:
        """Remove *key* and return its value; *default*, or `KeyError`, when it is not there.

        The table's own default is for reading; it has no say here.
        """
        partition = self._to_write()
        value = partition.find(key)
        if value is MISSING:
            if default is MISSING:
                raise KeyError(key)
            return default
        del self[key]
        return value

    # -- all keys

    def __iter__(self) -> Iterator[K]:
        here = self._here()
        if here is not None:
            yield from here.keys()
            return
        for partition in list(self.complete()):
            yield from partition.keys()

    def __len__(self) -> int:
        here = self._here()
        if here is not None:
            return len(here)
        return sum(len(partition) for partition in self.complete())

    def items(self) -> ItemsView[K, V]:
        """Return a view of the entries: a snapshot of the keys each time it is iterated, with present values."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return a view of the values."""
        return _Values(self)

    def iter_items(self) -> Iterator[tuple[K, V]]:
        """Iterate over the entries as they are now; those deleted meanwhile are left out."""
        here = self._here()
        partitions = list(self.complete()) if here is None else [here]
        for partition in partitions:
            yield from partition.items()

    def popitem(self) -> tuple[K, V]:
        """Remove and return the first entry in iteration order.

        Raises:
            KeyError: The table (that is, the partition of the event in hand) is empty.
        """
        key = self._to_write().first()
        if key is MISSING:
            raise KeyError("popitem(): the table is empty")
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove every entry of the partition of the event in hand."""
        partition = self._to_write()
        partition.clear()
        if len(partition.dirty) >= self.max_dirty:
            self.on_full()

    def copy(self) -> dict[K, V]:
        """Return the entries in a plain dict."""
        return dict(self.iter_items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return self is other or dict(self.items()) == dict(other.items())

    def __hash__(self) -> int:
        return object.__hash__(self)

    # -- hooks

    def on_key_get(self, key: K) -> None:
        """Override to be told before a key is read."""

    def on_key_set(self, key: K, value: V) -> None:
        """Override to be told before a key is set; an exception prevents it."""

    def on_key_del(self, key: K) -> None:
        """Override to be told before a key is deleted; an exception prevents it."""

    def on_clear(self) -> None:
        """Override to be told before the table is cleared; an exception prevents it."""

    # -- where we are

    def partition_for_key(self, key: K) -> int:  # noqa: ARG002 - documented signature
        """Return the partition that a write would go to now: that of the event in hand, whatever the key is.

        Raises:
            TypeError: No event of a topic is in hand.
            PartitionsMismatch: The event's topic is not co-partitioned with the table.
        """
        return self._to_write().tp.partition

    def forget_tasks(self) -> None:
        """Look up the partition of the next event anew."""
        self._read_task = self._write_task = NOWHERE
        self._read_from = self._write_to = None
        self._read_live, self._write_live, self._write_dirty = {}, {}, {}

    def _here(self) -> TablePartition | None:
        """Return the partition to read from; None: all of them."""
        cursor = current_cursor.get()
        if cursor is None or cursor.record is None or cursor.lane is None:
            return None
        task = cursor.lane.task
        if task is not self._read_task:
            self._enter_to_read(task)
        return self._read_from

    def _to_write(self) -> TablePartition:
        """Return the partition to write to."""
        cursor = current_cursor.get()
        if cursor is None or cursor.record is None or cursor.lane is None:
            self._refuse_write()
        if self._write_to is None or cursor.lane.task is not self._write_task:
            return self._enter_to_write(cursor.lane)
        return self._write_to

    def _find(self, key: K) -> Any:
        here = self._here()
        if here is not None:
            return here.find(key)
        for partition in self.complete():
            value = partition.find(key)
            if value is not MISSING:
                return value
        return MISSING

    def _enter_to_read(self, task: PartitionTask) -> None:
        """Events of *task* read now: remember its partition, or none and an empty dict if they read all."""
        partition = self._partition_of(task) if self._is_copartitioned(task.tp.topic) else None
        self._read_from = partition
        self._read_live = {} if partition is None else partition.live
        self._read_task = task

    def _enter_to_write(self, lane: Lane) -> TablePartition:
        """Events of *lane* write now: check everything that may be wrong about it."""
        task = lane.task
        topic = task.tp.topic
        if not self._is_copartitioned(topic):
            self._refuse_topic(topic)
        partition = self._partition_of(task)
        if lane.inbox.shared and not self._warned:
            self._warned = True
            logger.warning(
                "Table %r is written by an agent with concurrency > 1, reading %s: events of one key are processed "
                "at the same time, and updates such as += may be lost. Use concurrency=1, or group_by",
                self.name,
                topic,
            )
        self._write_to = partition
        self._write_live, self._write_dirty = partition.live, partition.dirty
        self._write_task = task
        return partition

    def _is_copartitioned(self, topic: str) -> bool:
        count = self.counts.get(topic)
        return count is not None and count == self.counts.get(self.changelog_topic_name)

    def _partition_of(self, task: PartitionTask) -> TablePartition:
        partition = self.held.get(task.partition)
        if partition is not None and partition.generation == task.generation:
            return partition
        where = f"{self.changelog_topic_name}[{task.partition}]"
        if partition is not None and partition.generation is None:
            state = "is being recovered, or was revoked"
        else:
            state = "does not belong to this worker in that assignment"
        raise NotReady(
            f"table {self.name!r} cannot be used for an event of {task.tp.topic}[{task.partition}] of generation "
            f"{task.generation}: its partition {where} {state}. The event is not committed, and will be "
            "processed again by the partition's owner"
        )

    # -- errors

    def _refuse_write(self) -> NoReturn:
        raise TypeError(
            f"table {self.name!r}: keys can be changed only while a stream is iterated, since a change belongs to the "
            "partition of the event in hand. Inside an agent, write within its `async for` loop; elsewhere (timers, "
            "tasks, views), send an event to the agent that owns the table"
        )

    def _refuse_topic(self, topic: str) -> NoReturn:
        changelog = self.changelog_topic_name
        mine, theirs = self.counts.get(changelog), self.counts.get(topic)
        if theirs is None:
            raise TypeError(
                f"table {self.name!r}: the event in hand comes from {topic!r}, which is no topic that this worker "
                "reads as a member of its group, and so has no partition to write to. Read a topic to "
                "change the table"
            )
        raise PartitionsMismatch(
            f"table {self.name!r}: its changelog {changelog} has {mine} partitions, but the event in hand comes from "
            f"{topic}, which has {theirs}; both must have the same number. Repartition the stream with "
            f"group_by(..., partitions={mine}), or declare the table with partitions={theirs} and delete the topic "
            f"{changelog}, or take another table name, if the topic exists already"
        )


class _Items(ItemsView[K, V]):
    def __iter__(self) -> Iterator[tuple[K, V]]:
        return cast("Table[K, V]", self._mapping).iter_items()  # type: ignore[attr-defined]


class _Values(ValuesView[V]):
    def __iter__(self) -> Iterator[V]:
        items = cast("Table[Any, V]", self._mapping).iter_items()  # type: ignore[attr-defined]
        return (value for _, value in items)


# -- what subclasses get that override a hook


def _hooked_get(self: Table[K, V], key: K) -> V:
    self.on_key_get(key)
    return Table.__getitem__(self, key)


def _hooked_set(self: Table[K, V], key: K, value: V) -> None:
    self.on_key_set(key, value)
    Table.__setitem__(self, key, value)


def _hooked_del(self: Table[K, V], key: K) -> None:
    self.on_key_del(key)
    Table.__delitem__(self, key)


def _hooked_clear(self: Table[K, V]) -> None:
    self.on_clear()
    Table.clear(self)


_HOOKS: tuple[tuple[str, str, Any], ...] = (
    ("on_key_get", "__getitem__", _hooked_get),
    ("on_key_set", "__setitem__", _hooked_set),
    ("on_key_del", "__delitem__", _hooked_del),
    ("on_clear", "clear", _hooked_clear),
)
