"""A table seen through a window: the same aggregate, once per stretch of time.

The table itself holds ``(key, (start, end)) -> value``. A write goes to every window that contains the time of the event; a
read looks into one of them. Which time that is says the *relativity* of the wrapper: the event's (its message's timestamp), a
field of it, whatever a function says, or the wall clock.

Time passes for each partition by the events that are written to it: its *time* is the latest of theirs. A window is open until
time has come ``grace`` seconds past its end; without ``grace``, until it expires. Then it is *closed*:
``on_window_close`` is called with its value, and once that has succeeded and what it has sent is acknowledged, it is
removed, with a tombstone in the changelog. (When it expires later than that it stays readable till then.) With ``grace``
a second table, ``{name}-closed``, keeps how far windows were closed, so that time does not go back with a restart. A
write to a closed window is dropped and counted in `faust.tables.base.Collection.late`; an event that is late for all of
its windows goes to ``late_topic``. Windows without ``expires`` and ``grace`` stay for ever.

While nothing is written to a partition for ``table_cleanup_interval``, and no event of its number is in hand or waits, its time
goes on as the wall clock does, so that the last window closes, too.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from datetime import datetime, timedelta
from time import time
from typing import IO, Any

from faust._core.iteration import current_cursor
from faust.events import Event, current_event
from faust.exceptions import ImproperlyConfigured
from faust.models.dates import parse_iso8601
from faust.models.fields import FieldDescriptor
from faust.tables.drawing import text_of
from faust.tables.expiry import WindowIndex
from faust.tables.partition import TablePartition
from faust.windows import Window, WindowRange

__all__ = ["WindowSet", "WindowWrapper"]

RelativeHandler = Callable[[Any], Any]
"""From an event to its time: seconds, a `datetime`, or ISO 8601 text."""


def wall_clock(_event: Any) -> float:
    """Return the time of the wall clock, whatever the event."""
    return time()


def message_time(event: Any) -> float:
    """Return the time of the event's message."""
    timestamp: float = event.message.timestamp
    if timestamp < 0:
        message = event.message
        raise ValueError(
            f"the message {message.topic}[{message.partition}] at offset {message.offset} has no timestamp; "
            "say relative_to_field(...) or relative_to_now()"
        )
    return timestamp


class WindowSet:
    """One key of a windowed table: its windows around an event.

    Attributes:
        key: The key.
        wrapper: The table, seen through a window.
        event: The event; None: the one in hand when it is asked for.
    """

    __slots__ = ("event", "key", "wrapper")

    def __init__(
        self, key: Any, wrapper: WindowWrapper, event: Event[Any, Any] | None = None
    ) -> None:
        self.key: Any = key
        self.wrapper: WindowWrapper = wrapper
        self.event: Event[Any, Any] | None = event

    # -- reading

    def value(self, event: Event[Any, Any] | None = None) -> Any:
        """Return the value of the window of the wrapper's time."""
        return self._at(self.wrapper.get_timestamp(event or self.event))

    def current(self, event: Event[Any, Any] | None = None) -> Any:
        """Return the value of the window of the event's message.

        Raises:
            RuntimeError: No event is in hand.
        """
        return self._at(message_time(_want_event(event or self.event)))

    def now(self) -> Any:
        """Return the value of the window of the wall clock."""
        return self._at(time())

    def delta(self, d: float | timedelta, event: Event[Any, Any] | None = None) -> Any:
        """Return the value of the window *d* seconds before the event.

        Relative to now or to a fixed time it counts from there, and needs no event.
        """
        wrapper = self.wrapper
        handler = wrapper.get_relative_timestamp
        if handler is not wall_clock and not isinstance(handler, _Moment):
            event = _want_event(event or self.event)
        return self[wrapper.window.delta(wrapper.get_timestamp(event), d)]

    def _at(self, timestamp: float) -> Any:
        return self.wrapper.table[self.key, self.wrapper.window.current(timestamp)]

    def __getitem__(self, where: Any) -> Any:
        """Return the value of the range *where*; or, for an event, the windows around it."""
        if isinstance(where, Event):
            return type(self)(self.key, self.wrapper, where)
        return self.wrapper.table[self.key, where]

    # -- writing

    def __setitem__(self, where: Any, value: Any) -> None:
        if isinstance(where, Event):
            raise NotImplementedError("cannot set the windows of an event; set the key instead")
        if self.wrapper.is_open(self.key, where):
            self.wrapper.table[self.key, where] = value

    def __delitem__(self, where: Any) -> None:
        if isinstance(where, Event):
            raise NotImplementedError(
                "cannot delete the windows of an event; delete the key instead"
            )
        del self.wrapper.table[self.key, where]

    def apply(
        self, op: Callable[[Any, Any], Any], value: Any, event: Event[Any, Any] | None = None
    ) -> WindowSet:
        """Set every window of the time to ``op(its value, value)``."""
        wrapper = self.wrapper
        table = wrapper.table
        key = self.key
        partition, ranges = wrapper.open_ranges(key, event or self.event)
        for window_range in ranges:
            table.change(partition, (key, window_range), op, value)
        return self

    def __iadd__(self, other: Any) -> WindowSet:
        return self.apply(operator.add, other)

    def __isub__(self, other: Any) -> WindowSet:
        return self.apply(operator.sub, other)

    def __imul__(self, other: Any) -> WindowSet:
        return self.apply(operator.mul, other)

    def __itruediv__(self, other: Any) -> WindowSet:
        return self.apply(operator.truediv, other)

    def __ifloordiv__(self, other: Any) -> WindowSet:
        return self.apply(operator.floordiv, other)

    def __imod__(self, other: Any) -> WindowSet:
        return self.apply(operator.mod, other)

    def __ipow__(self, other: Any) -> WindowSet:
        return self.apply(operator.pow, other)

    def __ilshift__(self, other: Any) -> WindowSet:
        return self.apply(operator.lshift, other)

    def __irshift__(self, other: Any) -> WindowSet:
        return self.apply(operator.rshift, other)

    def __iand__(self, other: Any) -> WindowSet:
        return self.apply(operator.and_, other)

    def __ixor__(self, other: Any) -> WindowSet:
        return self.apply(operator.xor, other)

    def __ior__(self, other: Any) -> WindowSet:
        return self.apply(operator.or_, other)

    # -- what it is not

    def keys(self) -> Any:
        """Refuse: the windows of a key cannot be listed."""
        raise NotImplementedError("the windows of a key cannot be listed")

    items: Callable[..., Any] = keys
    values: Callable[..., Any] = keys

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.wrapper.name}[{self.key!r}]>"


class WindowWrapper(MutableMapping[Any, Any]):
    """A table seen through a window; see the head of this module.

    Arguments:
        table: The table; it has a window.
        relative_to: Its time; see `relative_to`.
        key_index: Keep a second table of the keys that have windows.

    Attributes:
        table: The table.
        get_relative_timestamp: From an event to its time; None: the message's.
    """

    ValueType: type[WindowSet] = WindowSet

    def __init__(self, table: Any, *, relative_to: Any = None, key_index: bool = False) -> None:
        self.table = table
        self.window: Window = table.window
        self.get_relative_timestamp: RelativeHandler | None = _handler(relative_to)
        if key_index and table.key_index is None:
            table.add_key_index()
        closes = table.grace is not None and table.on_window_close is not None
        if closes and table.closed_marks is None:
            table.add_closed_marks()

    @property
    def name(self) -> str:
        """Name of the table."""
        name: str = self.table.name
        return name

    @property
    def key_index_table(self) -> Any:
        """The table of keys that have windows; None without ``key_index=True``."""
        return self.table.key_index

    def on_recover(self, fun: Any) -> Any:
        """Call *fun* when recovery is complete; see `faust.Table.on_recover`."""
        return self.table.on_recover(fun)

    # -- which time

    def clone(self, relative_to: Any) -> WindowWrapper:
        """Return another wrapper of the same table, with another time; None: the same."""
        copy = type(self)(self.table)
        copy.get_relative_timestamp = (
            self.get_relative_timestamp if relative_to is None else _handler(relative_to)
        )
        return copy

    def relative_to(self, ts: Any) -> WindowWrapper:
        """Take the time from *ts*: a field of a model, a function of the event, a `datetime`, or seconds."""
        return self.clone(ts)

    def relative_to_now(self) -> WindowWrapper:
        """Take the wall clock for the time."""
        return self.clone(wall_clock)

    def relative_to_field(self, field: Any) -> WindowWrapper:
        """Take the time from a field of the event's value, such as ``Click.created``."""
        return self.clone(field)

    def relative_to_stream(self) -> WindowWrapper:
        """Take the timestamp of the event's message."""
        return self.clone(message_time)

    def get_timestamp(self, event: Event[Any, Any] | None = None) -> float:
        """Return the time of *event*, in seconds; None: of the event in hand.

        Raises:
            RuntimeError: No event is in hand, and the wrapper's time needs one.
        """
        handler = self.get_relative_timestamp
        if handler is wall_clock:
            return time()
        if isinstance(handler, _Moment):
            return handler.seconds
        if handler is None and event is None:
            cursor = current_cursor.get()
            if cursor is not None and cursor.record is not None:
                stamp = getattr(cursor.record, "timestamp", None)
                if stamp.__class__ is int and stamp >= 0:  # a record of a topic, in milliseconds
                    seconds: float = stamp / 1000
                    return seconds
        return _seconds((handler or message_time)(_want_event(event)))

    def open_ranges(
        self, key: Any, event: Event[Any, Any] | None = None
    ) -> tuple[TablePartition, Any]:
        """Return the partition to write *key* to, and the ranges of the time that are not closed."""
        table = self.table
        cursor = current_cursor.get()
        stamp: Any = None
        if event is None and self.get_relative_timestamp is None and cursor is not None:
            stamp = getattr(cursor.record, "timestamp", None)
        if stamp.__class__ is int and stamp >= 0:  # of a record of a topic, in milliseconds
            timestamp: float = stamp / 1000
        else:
            timestamp = self.get_timestamp(event)
        ranges = self.window.find(timestamp)
        if stamp is not None and cursor.lane.task is table.write_task:  # type: ignore[union-attr]  # a record has a lane
            partition: TablePartition = table.write_to
        else:
            partition = table.place_to_write(cursor, (key, ranges[0]))
        index: Any = partition.expiry
        if index is not None:
            if timestamp > index.time:
                index.time = timestamp
            else:
                index.touched = True
                lateness = None if timestamp == index.time else table.lateness
                if lateness is not None and timestamp + lateness < index.time:
                    ranges = self._not_late(index, key, timestamp, ranges, event)
        return partition, ranges

    def is_open(self, key: Any, window_range: WindowRange) -> bool:
        """Say whether *window_range* still takes writes where the event in hand writes *key*; if not, that is counted."""
        table = self.table
        if table.lateness is None:
            return True
        partition = table.place_to_write(current_cursor.get(), (key, window_range))
        partition.codec.encode_key((key, window_range))  # complains of what is no range
        if table.end_of(window_range) > partition.expiry.time - table.lateness:
            return True
        table.note_late(key, window_range[0])
        table.pass_on_late(current_event())
        return False

    def _not_late(
        self,
        index: WindowIndex,
        key: Any,
        timestamp: float,
        ranges: Any,
        event: Event[Any, Any] | None,
    ) -> Any:
        limit = index.time - self.table.lateness
        still = [each for each in ranges if self.window.closes_at(each) > limit]
        for _ in range(len(ranges) - len(still)):
            self.table.note_late(key, timestamp)
        if not still:
            self.table.pass_on_late(event or current_event())
        return still

    # -- one key

    def __getitem__(self, key: Any) -> Any:
        return self.ValueType(key, self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, WindowSet):  # the end of ``table[key] += 1``
            return
        partition, ranges = self.open_ranges(key)
        for window_range in ranges:
            self.table.put(partition, (key, window_range), value)

    def __delitem__(self, key: Any) -> None:
        timestamp = self.get_timestamp()
        there = [each for each in self.window.find(timestamp) if (key, each) in self.table]
        if not there:
            raise KeyError(key)
        for window_range in there:
            del self.table[key, window_range]

    def __contains__(self, key: object) -> bool:
        return (key, self.window.current(self.get_timestamp())) in self.table

    # -- all keys

    def _keys(self) -> Any:
        index = self.table.key_index
        if index is None:
            raise NotImplementedError(
                f"table {self.name!r}: its keys cannot be listed without a key index; declare it with key_index=True"
            )
        return index

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    def __bool__(self) -> bool:
        return self.table.key_index is None or len(self) > 0

    def clear(self) -> None:
        """Remove every window of every key (of the partition of the event in hand)."""
        self._keys()
        self.table.clear()

    def keys(self) -> WindowedKeysView:
        """Return a view of the keys that have windows."""
        return WindowedKeysView(self)

    def items(self, event: Event[Any, Any] | None = None) -> WindowedItemsView:
        """Return a view of keys and values, in the windows of *event* (None: of the wrapper's time)."""
        return WindowedItemsView(self, event)

    def values(self, event: Event[Any, Any] | None = None) -> WindowedValuesView:
        """Return a view of the values, in the windows of *event* (None: of the wrapper's time)."""
        return WindowedValuesView(self, event)

    def select(self, read: Callable[[WindowSet], Any]) -> Iterator[tuple[Any, Any]]:
        """Iterate over the keys with what *read* finds; those whose window has nothing are left out."""
        for key in self._keys():
            try:
                value = read(WindowSet(key, self))
            except KeyError:
                continue
            yield key, value

    def as_ansitable(
        self,
        title: str = "{table.name}",
        *,
        key: str = "Key",
        value: str = "Value",
        sort: bool = False,
        sortkey: Callable[[Any], Any] = operator.itemgetter(0),
        target: IO[str] = sys.stdout,
    ) -> str:
        """Draw keys and values as a table of text; see `faust.Table.as_ansitable`."""
        return text_of(self, self.items(), title, (key, value), sortkey if sort else None, target)

    to_text = as_ansitable

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name} {self.window!r}>"


class WindowedKeysView(KeysView[Any]):
    """Keys that have windows; with the methods, those that have one there."""

    _mapping: WindowWrapper

    def now(self) -> Iterator[Any]:
        """Iterate over the keys that have a window at the wall clock."""
        return (key for key, _ in self._mapping.select(WindowSet.now))

    def current(self, event: Event[Any, Any] | None = None) -> Iterator[Any]:
        """Iterate over the keys that have a window at the event's time."""
        return (key for key, _ in self._mapping.select(lambda each: each.current(event)))

    def delta(self, d: float | timedelta, event: Event[Any, Any] | None = None) -> Iterator[Any]:
        """Iterate over the keys that had a window *d* seconds before."""
        return (key for key, _ in self._mapping.select(lambda each: each.delta(d, event)))


class WindowedItemsView(ItemsView[Any, Any]):
    """Keys and values, in the windows of a time."""

    _mapping: WindowWrapper

    def __init__(self, mapping: WindowWrapper, event: Event[Any, Any] | None = None) -> None:
        super().__init__(mapping)
        self._event = event

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        event = self._event
        return self._mapping.select(lambda each: each.value(event))

    def now(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over keys and values at the wall clock."""
        return self._mapping.select(WindowSet.now)

    def current(self, event: Event[Any, Any] | None = None) -> Iterator[tuple[Any, Any]]:
        """Iterate over keys and values at the event's time."""
        chosen = event or self._event
        return self._mapping.select(lambda each: each.current(chosen))

    def delta(
        self, d: float | timedelta, event: Event[Any, Any] | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Iterate over keys and values *d* seconds before."""
        chosen = event or self._event
        return self._mapping.select(lambda each: each.delta(d, chosen))


class WindowedValuesView(ValuesView[Any]):
    """Values, in the windows of a time."""

    _mapping: WindowWrapper

    def __init__(self, mapping: WindowWrapper, event: Event[Any, Any] | None = None) -> None:
        super().__init__(mapping)
        self._items = WindowedItemsView(mapping, event)

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._items)

    def now(self) -> Iterator[Any]:
        """Iterate over the values at the wall clock."""
        return (value for _, value in self._items.now())

    def current(self, event: Event[Any, Any] | None = None) -> Iterator[Any]:
        """Iterate over the values at the event's time."""
        return (value for _, value in self._items.current(event))

    def delta(self, d: float | timedelta, event: Event[Any, Any] | None = None) -> Iterator[Any]:
        """Iterate over the values *d* seconds before."""
        return (value for _, value in self._items.delta(d, event))


def _want_event(event: Event[Any, Any] | None) -> Event[Any, Any]:
    event = current_event() if event is None else event
    if event is None:
        raise RuntimeError(
            "no event is in hand: outside of a stream a windowed table is read by relative_to_now() or .now(), or with "
            "event=; it is written by agents only"
        )
    return event


class _Moment:
    """The same time for all events."""

    def __init__(self, moment: datetime | float) -> None:
        self.seconds = _seconds(moment)

    def __call__(self, _event: Any) -> float:
        return self.seconds


def _handler(relative_to: Any) -> RelativeHandler | None:
    if relative_to is None or relative_to is message_time:
        return None
    if isinstance(relative_to, FieldDescriptor):
        field = relative_to
        return lambda event: field.getattr(event.value)
    if callable(relative_to):
        handler: RelativeHandler = relative_to
        return handler
    if isinstance(relative_to, (datetime, int, float)) and not isinstance(relative_to, bool):
        return _Moment(relative_to)
    raise ImproperlyConfigured(
        f"relative_to wants a field of a model, a function of the event, a datetime or seconds, got {relative_to!r}"
    )


def _seconds(moment: Any) -> float:
    if isinstance(moment, datetime):
        return moment.timestamp()
    if isinstance(moment, str):
        return parse_iso8601(moment).timestamp()
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        return moment
    raise TypeError(
        f"the time of an event must be seconds, a datetime or ISO 8601 text, got {moment!r}"
    )
