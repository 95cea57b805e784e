"""Sensor: what may be told of the life of an application, and who tells it.

Reading `Sensor` is reading the life of a message: each moment is a method with no body. An application has one
`SensorDelegate` (``app.sensors``), which passes every moment on to the sensors that were added.

A moment nobody listens to costs nothing. `SensorDelegate.hooks` holds for each moment either None or one function;
only sensors that *override* a method take part in it. What runs once per event keeps the `Hooks` object (it stays the
same one as sensors come and go) and does this::

    hook = hooks.on_table_set
    if hook is not None:
        hook(table, key, value)

Even so a function call per event is a price, and who only counts need not pay it: the moments of events, of table operations and
of sends are also told in *runs* (`Sensor.on_stream_events`, `Sensor.on_table_operations`, `Sensor.on_messages_sent` with
`Sensor.on_batch_answered`). A sensor that overrides one of these is not told of the single moments behind it, unless
a subclass of it overrides one of those. Whoever counts is a *meter*; before a figure is read, `SensorDelegate.settle`
makes all meters tell what they have.

Everything else calls the method of the delegate: ``app.sensors.on_rebalance_start(app)``.

Moments come in pairs where something lasts. What a sensor returns at the beginning is its state; the delegate keeps
``{sensor: state}`` and gives each sensor its own state at the end. Methods are synchronous, are called on the event
loop that the moment happens on, and must not block; what they raise is raised where the moment happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

from mode import Service

from faust.messages import TP, Message, RecordMetadata

__all__ = ["Hooks", "Meter", "Run", "Sensor", "SensorDelegate"]

State = Mapping[Any, Any] | None
"""What a beginning has returned, by sensor."""


class Run(NamedTuple):
    """What has happened in a stream, within one partition, since it was last told.

    Attributes:
        tp: The partition.
        events: Events that were taken.
        finished: Events that were finished.
        seconds: Mean time an event took; None: not measured this time.
        messages: Messages that were taken for the first time by any stream.
        unfinished: Messages of the partition that some stream has taken and not all have finished.
        offset: Offset of the last message that was taken; -1: unknown.
    """

    tp: TP
    events: int
    finished: int
    seconds: float | None
    messages: int
    unfinished: int
    offset: int


class Meter(Protocol):
    """Somebody who counts, and tells sensors now and then."""

    def settle(self) -> None:
        """Tell what has not been told yet."""
        ...


class Sensor(Service):
    """Base class of sensors: a service that is started before, and stopped after, everything else of the app.

    Override the moments you want to be told of; none has to call ``super()``.
    """

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        """A message is taken by a stream for the first time. Keep no reference to it."""

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> Any:
        """A stream takes an event, before its processors run; the result is given to `on_stream_event_out`."""

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: Any, event: Any, state: dict[str, Any] | None = None
    ) -> None:
        """A stream has finished an event; *state* is None when it was acknowledged by hand."""

    def on_message_out(self, tp: TP, offset: int, message: Message) -> None:
        """The last stream that reads a message has finished it."""

    def on_topic_buffer_full(self, tp: TP) -> None:
        """A reader of a partition has as much waiting as it may."""

    def on_table_get(self, table: Any, key: Any) -> None:
        """A key of a table is read."""

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        """A key of a table is written."""

    def on_table_del(self, table: Any, key: Any) -> None:
        """A key of a table is deleted."""

    def on_table_late(self, table: Any, key: Any, timestamp: float) -> None:
        """A write to a window of *table* was dropped: the window is closed. *timestamp* is the event's, in seconds."""

    def on_table_close_error(self, table: Any, key: Any, exc: BaseException) -> None:
        """The callback ``on_window_close`` of *table* has raised for the windowed *key*; it is called again."""

    def on_commit_initiated(self, consumer: Any) -> Any:
        """A commit of offsets begins; the result is given to `on_commit_completed`."""

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        """A commit has ended, also when nothing was committed."""

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> Any:
        """A topic sends a message (`faust.types.PendingMessage`); sizes in bytes."""

    def on_send_completed(self, producer: Any, state: Any, metadata: RecordMetadata) -> None:
        """The broker has acknowledged a message."""

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        """A message could not be sent."""

    def on_assignment_start(self, assignor: Any) -> Any:
        """This worker leads its group and begins to assign partitions."""

    def on_assignment_completed(self, assignor: Any, state: dict[str, Any] | None) -> None:
        """Partitions have been assigned."""

    def on_assignment_error(
        self, assignor: Any, state: dict[str, Any] | None, exc: BaseException
    ) -> None:
        """Partitions could not be assigned."""

    def on_rebalance_start(self, app: Any) -> Any:
        """Partitions are being taken away."""

    def on_rebalance_return(self, app: Any, state: dict[str, Any] | None) -> None:
        """The new partitions are ours; tables may still have to be recovered."""

    def on_rebalance_end(self, app: Any, state: dict[str, Any] | None) -> None:
        """Tables are recovered and everything flows."""

    def on_web_request_start(self, app: Any, request: Any, *, view: Any = None) -> Any:
        """A view is about to answer a request."""

    def on_web_request_end(
        self,
        app: Any,
        request: Any,
        response: Any,
        state: dict[str, Any] | None,
        *,
        view: Any = None,
    ) -> None:
        """A view has answered; *response* is None when it raised."""

    def on_threaded_producer_buffer_processed(self, app: Any, size: int) -> None:
        """The threaded producer has taken a message; *size* is what still waits."""

    def on_stream_events(self, stream: Any, run: Run) -> None:
        """A stream has taken and finished events: instead of the four moments of single events."""

    def on_table_operations(self, table: Any, read: int, written: int, deleted: int) -> None:
        """So many operations on keys of a table: instead of the three moments of single operations."""

    def on_messages_sent(self, producer: Any, topic: str, count: int) -> None:
        """So many messages were sent: instead of `on_send_initiated`, with `on_batch_answered`."""

    def on_batch_answered(
        self, producer: Any, topic: str, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """The broker has a batch of *count* messages *seconds* after its first; or not: *error*."""

    def on_tp_commit(self, tp_offsets: Mapping[TP, int]) -> None:
        """Offsets were committed."""

    def track_tp_end_offset(self, tp: TP, offset: int) -> None:
        """The next message that is written to *tp* will have this *offset*."""

    def on_agent_error(self, agent: Any, exc: BaseException, tp: TP | None) -> None:
        """An agent has raised; *tp* is where its message comes from, None outside of processing one."""

    def asdict(self) -> Mapping[str, Any]:
        """Return what the stats page shows of this sensor."""
        return {}


class Hooks:
    """For each moment the function to call, or None when no sensor listens."""

    __slots__ = (
        "on_agent_error",
        "on_assignment_completed",
        "on_assignment_error",
        "on_assignment_start",
        "on_batch_answered",
        "on_commit_completed",
        "on_commit_initiated",
        "on_message_in",
        "on_message_out",
        "on_messages_sent",
        "on_rebalance_end",
        "on_rebalance_return",
        "on_rebalance_start",
        "on_send_completed",
        "on_send_error",
        "on_send_initiated",
        "on_stream_event_in",
        "on_stream_event_out",
        "on_stream_events",
        "on_table_close_error",
        "on_table_del",
        "on_table_get",
        "on_table_late",
        "on_table_operations",
        "on_table_set",
        "on_threaded_producer_buffer_processed",
        "on_topic_buffer_full",
        "on_tp_commit",
        "on_web_request_end",
        "on_web_request_start",
        "track_tp_end_offset",
    )

    on_message_in: Callable[[TP, int, Message], None] | None
    on_stream_event_in: Callable[[TP, int, Any, Any], State] | None
    on_stream_event_out: Callable[[TP, int, Any, Any, State], None] | None
    on_message_out: Callable[[TP, int, Message], None] | None
    on_topic_buffer_full: Callable[[TP], None] | None
    on_table_get: Callable[[Any, Any], None] | None
    on_table_set: Callable[[Any, Any, Any], None] | None
    on_table_del: Callable[[Any, Any], None] | None
    on_table_late: Callable[[Any, Any, float], None] | None
    on_table_close_error: Callable[[Any, Any, BaseException], None] | None
    on_commit_initiated: Callable[[Any], State] | None
    on_commit_completed: Callable[[Any, State], None] | None
    on_send_initiated: Callable[[Any, str, Any, int, int], State] | None
    on_send_completed: Callable[[Any, State, RecordMetadata], None] | None
    on_send_error: Callable[[Any, BaseException, State], None] | None
    on_assignment_start: Callable[[Any], State] | None
    on_assignment_completed: Callable[[Any, State], None] | None
    on_assignment_error: Callable[[Any, State, BaseException], None] | None
    on_rebalance_start: Callable[[Any], State] | None
    on_rebalance_return: Callable[[Any, State], None] | None
    on_rebalance_end: Callable[[Any, State], None] | None
    on_web_request_start: Callable[..., State] | None
    on_web_request_end: Callable[..., None] | None
    on_threaded_producer_buffer_processed: Callable[[Any, int], None] | None
    on_agent_error: Callable[[Any, BaseException, TP | None], None] | None
    on_stream_events: Callable[[Any, Run], None] | None
    on_table_operations: Callable[[Any, int, int, int], None] | None
    on_messages_sent: Callable[[Any, str, int], None] | None
    on_batch_answered: Callable[[Any, str, int, float, BaseException | None], None] | None
    on_tp_commit: Callable[[Mapping[TP, int]], None] | None
    track_tp_end_offset: Callable[[TP, int], None] | None

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, None)


_EVENTS = ("on_message_in", "on_stream_event_in", "on_stream_event_out", "on_message_out")
_RUNS: dict[str, tuple[str, ...]] = {
    "on_stream_events": _EVENTS,
    "on_table_operations": ("on_table_get", "on_table_set", "on_table_del"),
    "on_messages_sent": ("on_send_initiated", "on_send_completed", "on_send_error"),
    "on_batch_answered": ("on_send_initiated", "on_send_completed", "on_send_error"),
}
"""Moments that are told in runs -> the single moments they stand for."""

_BEGINNINGS = frozenset(
    {
        "on_stream_event_in",
        "on_commit_initiated",
        "on_send_initiated",
        "on_assignment_start",
        "on_rebalance_start",
        "on_web_request_start",
    }
)

_PLACE_OF_STATE = {
    "on_stream_event_out": 4,
    "on_commit_completed": 1,
    "on_send_completed": 1,
    "on_send_error": 2,
    "on_assignment_completed": 1,
    "on_assignment_error": 1,
    "on_rebalance_return": 1,
    "on_rebalance_end": 1,
    "on_web_request_end": 3,
}


class SensorDelegate:
    """All sensors of an application, as one.

    Arguments:
        app: The application; sensors that are added become part of its graph of services.

    Attributes:
        hooks: For what runs once per event: one function per moment, or None.
        single: The same, where nobody counts and every moment is told singly.
    """

    def __init__(self, app: Any = None) -> None:
        self.app = app
        self.hooks: Hooks = Hooks()
        self.single: Hooks = Hooks()
        self._meters: WeakValueDictionary[int, Meter] = WeakValueDictionary()
        self._sensors: dict[Any, None] = {}
        self._settling = False

    def add(self, sensor: Any) -> None:
        """Tell *sensor* of everything from now on; it is started with the app."""
        beacon = getattr(self.app, "beacon", None)
        if beacon is not None:
            sensor.beacon.reattach(beacon)
        self._sensors[sensor] = None
        if hasattr(sensor, "settle"):
            sensor.settle = self.settle
        self._bind()

    def remove(self, sensor: Any) -> None:
        """Tell *sensor* nothing more.

        Raises:
            KeyError: It was not added.
        """
        del self._sensors[sensor]
        self._bind()

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._sensors))

    def __len__(self) -> int:
        return len(self._sensors)

    def __contains__(self, sensor: object) -> bool:
        return sensor in self._sensors

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {list(self._sensors)!r}>"

    def _bind(self) -> None:
        passed_over = {sensor: _not_told(sensor) for sensor in self._sensors}
        for name in Hooks.__slots__:
            listeners = [
                (sensor, method)
                for sensor in self._sensors
                if (method := _overridden(sensor, name))
            ]
            setattr(self.single, name, _join(name, listeners))
            wanted = [one for one in listeners if name not in passed_over[one[0]]]
            setattr(self.hooks, name, _join(name, wanted))

    def add_meter(self, meter: Meter) -> None:
        """Ask *meter* for what it has counted, before figures are read, as long as it lives."""
        self._meters[id(meter)] = meter

    def settle(self) -> None:
        """Let everybody who counts tell what has not been told yet."""
        if self._settling:  # a sensor looks at its figures while it is told
            return
        self._settling = True
        try:
            for meter in list(self._meters.values()):
                meter.settle()
        finally:
            self._settling = False

    # -- the moments, one by one

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        """Pass on `Sensor.on_message_in`."""
        hook = self.hooks.on_message_in
        if hook is not None:
            hook(tp, offset, message)

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> State:
        """Pass on `Sensor.on_stream_event_in`."""
        hook = self.hooks.on_stream_event_in
        return None if hook is None else hook(tp, offset, stream, event)

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: Any, event: Any, state: State = None
    ) -> None:
        """Pass on `Sensor.on_stream_event_out`."""
        hook = self.hooks.on_stream_event_out
        if hook is not None:
            hook(tp, offset, stream, event, state)

    def on_message_out(self, tp: TP, offset: int, message: Message) -> None:
        """Pass on `Sensor.on_message_out`."""
        hook = self.hooks.on_message_out
        if hook is not None:
            hook(tp, offset, message)

    def on_topic_buffer_full(self, tp: TP) -> None:
        """Pass on `Sensor.on_topic_buffer_full`."""
        hook = self.hooks.on_topic_buffer_full
        if hook is not None:
            hook(tp)

    def on_table_get(self, table: Any, key: Any) -> None:
        """Pass on `Sensor.on_table_get`."""
        hook = self.hooks.on_table_get
        if hook is not None:
            hook(table, key)

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        """Pass on `Sensor.on_table_set`."""
        hook = self.hooks.on_table_set
        if hook is not None:
            hook(table, key, value)

    def on_table_del(self, table: Any, key: Any) -> None:
        """Pass on `Sensor.on_table_del`."""
        hook = self.hooks.on_table_del
        if hook is not None:
            hook(table, key)

    def on_table_late(self, table: Any, key: Any, timestamp: float) -> None:
        """Pass on `Sensor.on_table_late`."""
        hook = self.hooks.on_table_late
        if hook is not None:
            hook(table, key, timestamp)

    def on_table_close_error(self, table: Any, key: Any, exc: BaseException) -> None:
        """Pass on `Sensor.on_table_close_error`."""
        hook = self.hooks.on_table_close_error
        if hook is not None:
            hook(table, key, exc)

    def on_commit_initiated(self, consumer: Any) -> State:
        """Pass on `Sensor.on_commit_initiated`."""
        hook = self.hooks.on_commit_initiated
        return None if hook is None else hook(consumer)

    def on_commit_completed(self, consumer: Any, state: State) -> None:
        """Pass on `Sensor.on_commit_completed`."""
        hook = self.hooks.on_commit_completed
        if hook is not None:
            hook(consumer, state)

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> State:
        """Pass on `Sensor.on_send_initiated`."""
        hook = self.hooks.on_send_initiated
        return None if hook is None else hook(producer, topic, message, keysize, valsize)

    def on_send_completed(self, producer: Any, state: State, metadata: RecordMetadata) -> None:
        """Pass on `Sensor.on_send_completed`."""
        hook = self.hooks.on_send_completed
        if hook is not None:
            hook(producer, state, metadata)

    def on_send_error(self, producer: Any, exc: BaseException, state: State) -> None:
        """Pass on `Sensor.on_send_error`."""
        hook = self.hooks.on_send_error
        if hook is not None:
            hook(producer, exc, state)

    def on_assignment_start(self, assignor: Any) -> State:
        """Pass on `Sensor.on_assignment_start`."""
        hook = self.hooks.on_assignment_start
        return None if hook is None else hook(assignor)

    def on_assignment_completed(self, assignor: Any, state: State) -> None:
        """Pass on `Sensor.on_assignment_completed`."""
        hook = self.hooks.on_assignment_completed
        if hook is not None:
            hook(assignor, state)

    def on_assignment_error(self, assignor: Any, state: State, exc: BaseException) -> None:
        """Pass on `Sensor.on_assignment_error`."""
        hook = self.hooks.on_assignment_error
        if hook is not None:
            hook(assignor, state, exc)

    def on_rebalance_start(self, app: Any) -> State:
        """Pass on `Sensor.on_rebalance_start`."""
        hook = self.hooks.on_rebalance_start
        return None if hook is None else hook(app)

    def on_rebalance_return(self, app: Any, state: State) -> None:
        """Pass on `Sensor.on_rebalance_return`."""
        hook = self.hooks.on_rebalance_return
        if hook is not None:
            hook(app, state)

    def on_rebalance_end(self, app: Any, state: State) -> None:
        """Pass on `Sensor.on_rebalance_end`."""
        hook = self.hooks.on_rebalance_end
        if hook is not None:
            hook(app, state)

    def on_web_request_start(self, app: Any, request: Any, *, view: Any = None) -> State:
        """Pass on `Sensor.on_web_request_start`."""
        hook = self.hooks.on_web_request_start
        return None if hook is None else hook(app, request, view=view)

    def on_web_request_end(
        self, app: Any, request: Any, response: Any, state: State, *, view: Any = None
    ) -> None:
        """Pass on `Sensor.on_web_request_end`."""
        hook = self.hooks.on_web_request_end
        if hook is not None:
            hook(app, request, response, state, view=view)

    def on_threaded_producer_buffer_processed(self, app: Any, size: int) -> None:
        """Pass on `Sensor.on_threaded_producer_buffer_processed`."""
        hook = self.hooks.on_threaded_producer_buffer_processed
        if hook is not None:
            hook(app, size)

    def on_agent_error(self, agent: Any, exc: BaseException, tp: TP | None) -> None:
        """Pass on `Sensor.on_agent_error`."""
        hook = self.hooks.on_agent_error
        if hook is not None:
            hook(agent, exc, tp)

    # -- the moments in runs

    def on_stream_events(self, stream: Any, run: Run) -> None:
        """Pass on `Sensor.on_stream_events`."""
        hook = self.hooks.on_stream_events
        if hook is not None:
            hook(stream, run)

    def on_table_operations(self, table: Any, read: int, written: int, deleted: int) -> None:
        """Pass on `Sensor.on_table_operations`."""
        hook = self.hooks.on_table_operations
        if hook is not None:
            hook(table, read, written, deleted)

    def on_messages_sent(self, producer: Any, topic: str, count: int) -> None:
        """Pass on `Sensor.on_messages_sent`."""
        hook = self.hooks.on_messages_sent
        if hook is not None:
            hook(producer, topic, count)

    def on_batch_answered(
        self, producer: Any, topic: str, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """Pass on `Sensor.on_batch_answered`."""
        hook = self.hooks.on_batch_answered
        if hook is not None:
            hook(producer, topic, count, seconds, error)

    def on_tp_commit(self, tp_offsets: Mapping[TP, int]) -> None:
        """Pass on `Sensor.on_tp_commit`."""
        hook = self.hooks.on_tp_commit
        if hook is not None:
            hook(tp_offsets)

    def track_tp_end_offset(self, tp: TP, offset: int) -> None:
        """Pass on `Sensor.track_tp_end_offset`."""
        hook = self.hooks.track_tp_end_offset
        if hook is not None:
            hook(tp, offset)


# -- helpers


def _not_told(sensor: Any) -> set[str]:
    """Return the moments of which *sensor* is not told: single ones behind its runs, or runs behind its single ones."""
    names: set[str] = set()
    for run, singles in _RUNS.items():
        place = _place(sensor, run)
        if place is None:
            continue
        single = min(
            (at for name in singles if (at := _place(sensor, name)) is not None), default=None
        )
        if single is None or place <= single:
            names.update(singles)
        else:
            names.add(run)
    return names


def _place(sensor: Any, name: str) -> int | None:
    """Return how far up the classes of *sensor* a moment is overridden; None: nowhere."""
    for place, cls in enumerate(type(sensor).__mro__):
        if cls is Sensor:
            return None
        if name in vars(cls):
            return place
    return None


def _overridden(sensor: Any, name: str) -> Callable[..., Any] | None:
    """Return the sensor's method, unless it is the empty one of the base class."""
    method: Callable[..., Any] | None = getattr(sensor, name, None)
    if getattr(method, "__func__", None) is getattr(Sensor, name):
        return None
    return method


def _join(name: str, listeners: list[tuple[Any, Callable[..., Any]]]) -> Callable[..., Any] | None:
    """Make one function of many; None of none."""
    if not listeners:
        return None
    if name in _BEGINNINGS:

        def begin(*args: Any, **kwargs: Any) -> State:
            return {sensor: method(*args, **kwargs) for sensor, method in listeners}

        return begin
    place = _PLACE_OF_STATE.get(name)
    if place is not None:

        def end(*args: Any, **kwargs: Any) -> None:
            states: State = args[place]
            before, after = args[:place], args[place + 1 :]
            for sensor, method in listeners:
                state = None if states is None else states.get(sensor)
                method(*before, state, *after, **kwargs)

        return end
    if len(listeners) == 1:
        return listeners[0][1]

    def tell(*args: Any, **kwargs: Any) -> None:
        for _, method in listeners:
            method(*args, **kwargs)

    return tell
