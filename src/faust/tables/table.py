"""Table: a dictionary that is partitioned like a topic.

Where an operation looks is decided by where the running task stands; see `faust.tables.placed`.

Speed: an operation inside a stream costs a context variable, a comparison and the dict access. The comparison is
with the task of the last operation; only when it differs the partition is looked up, and everything that can go wrong
is checked then. The hooks (`Table.on_key_get` ...) are called in subclasses that override them, and cost nothing in
others.

What is read is what would be read after a restart: values are kept in the form that the changelog gives them
(`faust.tables.codec`). Changing a value in place is not noticed: read, modify, assign back.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any, Generic, TypeVar, cast, overload

from faust._core.iteration import current_cursor
from faust.messages import K, V
from faust.tables.codec import LARGEST, Packed
from faust.tables.partition import MISSING, TablePartition
from faust.tables.windowable import WindowableCollection

__all__ = ["GlobalTable", "Table"]

T = TypeVar("T")


class Table(WindowableCollection[K, V], MutableMapping[K, V], Generic[K, V]):
    """A table; made by ``app.Table``. See `Collection` for the options.

    Example::

        totals = app.Table("totals", default=int)

        @app.agent(orders)
        async def count(stream):
            async for user, amount in stream.items():
                totals[user] += amount
    """

    keys_retrieved: int
    keys_updated: int
    keys_deleted: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook, method, hooked in _HOOKS:
            overridden = getattr(cls, hook) is not getattr(Table, hook)
            if overridden and getattr(cls, method) is getattr(Table, method):
                setattr(cls, method, hooked)

    # -- one key

    def __getitem__(self, key: K) -> V:
        self.keys_retrieved += 1
        hook = self._hooks.on_table_get
        if hook is not None:
            hook(self, key)
        cursor = current_cursor.get()
        if cursor is not None and cursor.record is not None:
            task = cursor.lane.task  # type: ignore[union-attr]  # a record has a lane
            if task is not self._read_task:
                self._enter_to_read(task)
            try:
                value: Any = self._read_live[key]
            except KeyError:
                pass
            else:
                return value if value.__class__ is not Packed else self._find(key)  # type: ignore[no-any-return]
        value = self._find(key)
        if value is not MISSING:
            return cast("V", value)
        if self.default is None:
            raise KeyError(key)
        return self.default()

    def __setitem__(self, key: K, value: V) -> None:
        cursor = current_cursor.get()
        if (
            cursor is None or cursor.record is None or cursor.lane.task is not self.write_task  # type: ignore[union-attr]  # a record has a lane
        ):
            self.place_to_write(cursor, key)
        held: Any = value
        if value.__class__ is not int or not self._smallest <= held < LARGEST:
            held = self._codec.admit(key, value)  # type: ignore[union-attr]  # made on entering
        live = self._write_live
        dirty = self._write_dirty
        if key in live:
            dirty[key] = None
        else:  # a key is checked when it is new; its bytes are kept for the flush, which is likely to come first
            key = self.write_to.new_key(key)  # type: ignore[union-attr]  # set on entering
        self.keys_updated += 1
        hook = self._hooks.on_table_set
        if hook is not None:
            hook(self, key, value)
        live[key] = held
        if len(dirty) >= self.max_dirty:
            self.on_full()

    def put(self, partition: Any, key: Any, value: Any) -> None:
        """Set *key* in *partition*, of which is known that it may be written to."""
        held = value
        if value.__class__ is not int or not self._smallest <= value < LARGEST:
            held = partition.codec.admit(key, value)
        live = partition.live
        dirty = partition.dirty
        if key in live:
            dirty[key] = None
        else:  # a key is checked when it is new; its bytes are kept for the flush, which is likely to come first
            key = partition.new_key(key)
        self.keys_updated += 1
        hook = self._hooks.on_table_set
        if hook is not None:
            hook(self, key, value)
        live[key] = held
        if len(dirty) >= self.max_dirty:
            self.on_full()

    def change(
        self, partition: TablePartition, key: Any, op: Callable[[Any, Any], Any], argument: Any
    ) -> None:
        """Set *key* in *partition*, which may be written to, to ``op(its value or the default, argument)``.

        Raises:
            KeyError: There is neither value nor default.
        """
        self.keys_retrieved += 1
        hook = self._hooks.on_table_get
        if hook is not None:
            hook(self, key)
        live = partition.live
        value = live.get(key, MISSING)
        known = True
        if value is MISSING:
            value = partition.fetch(key)
            known = value is not MISSING and key in live
            if value is MISSING:
                if self.default is None:
                    raise KeyError(key)
                value = self.default()
        elif value.__class__ is Packed:
            value = partition.find(key)
        held = value = op(value, argument)
        if value.__class__ is not int or not self._smallest <= value < LARGEST:
            held = partition.codec.admit(key, value)
        dirty = partition.dirty
        if known:
            dirty[key] = None
        else:
            key = partition.new_key(key)
        self.keys_updated += 1
        set_hook = self._hooks.on_table_set
        if set_hook is not None:
            set_hook(self, key, value)
        live[key] = held
        if len(dirty) >= self.max_dirty:
            self.on_full()

    def __delitem__(self, key: K) -> None:
        partition = self.place_to_write(current_cursor.get(), key)
        partition.delete(key)
        self.keys_deleted += 1
        hook = self._hooks.on_table_del
        if hook is not None:
            hook(self, key)
        if len(partition.dirty) >= self.max_dirty:
            self.on_full()

    def __contains__(self, key: object) -> bool:
        here = self.here()
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
        partition = self.place_to_write(current_cursor.get(), key)
        value = partition.find(key)
        if value is MISSING:
            if default is MISSING:
                raise KeyError(key)
            return default
        del self[key]
        return value

    # -- all keys

    def __iter__(self) -> Iterator[K]:
        for partition in self.readable():
            yield from partition.keys()

    def __len__(self) -> int:
        return sum(len(partition) for partition in self.readable())

    def items(self) -> ItemsView[K, V]:
        """Return a view of the entries: a snapshot of the keys each time it is iterated, with present values."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return a view of the values."""
        return _Values(self)

    def iter_items(self) -> Iterator[tuple[K, V]]:
        """Iterate over the entries as they are now; those deleted meanwhile are left out."""
        for partition in self.readable():
            yield from partition.items()

    def popitem(self) -> tuple[K, V]:
        """Remove and return the first entry in iteration order.

        Raises:
            KeyError: The table (that is, the partition of the event in hand) is empty.
        """
        for partition in self.writable():
            key = partition.first()
            if key is not MISSING:
                return key, self.pop(key)
        raise KeyError("popitem(): the table is empty")

    def clear(self) -> None:
        """Remove every entry of the partition of the event in hand."""
        for partition in self.writable():
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

    def _find(self, key: K) -> Any:
        here = self.here()
        if here is not None:
            return here.find(key)
        return self.find_anywhere(key)

    # -- hooks

    def on_key_get(self, key: K) -> None:
        """Override to be told before a key is read."""

    def on_key_set(self, key: K, value: V) -> None:
        """Override to be told before a key is set; an exception prevents it."""

    def on_key_del(self, key: K) -> None:
        """Override to be told before a key is deleted; an exception prevents it."""

    def on_clear(self) -> None:
        """Override to be told before the table is cleared; an exception prevents it."""


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


class GlobalTable(Table[K, V]):
    """A table of which every worker has all partitions; made by ``app.GlobalTable``.

    Each worker writes the partition of the event in hand, and follows what the others write. Reading sees all
    partitions. What another worker has written shows here when its changelog has it, and a moment later; nothing else
    is promised about the order of writes of different workers, but that all workers end with the same.

    Options are those of `faust.Table`.
    """

    kind = "GlobalTable"

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("is_global", True)
        options.setdefault("standby_buffer_size", 1)
        super().__init__(*args, **options)
