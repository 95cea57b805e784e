"""Monitor: the sensor that every application has, and that counts.

Events, table operations and sends are counted in runs (see ``base.py``), so that the monitor costs nothing per event. Figures
that are kept elsewhere until a run ends are `_Settled`: reading one makes everybody who counts tell what he has, so it
is exact at that moment. A subclass that overrides the moments of single events is told of single events, and what it
inherits counts them just the same.

"Averages" are medians of the last samples, as in faust-streaming: one outlier moves none of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from statistics import median
from time import monotonic
from typing import Any, Generic, TypeVar, cast, overload
from weakref import ref

from faust.messages import TP, Message, RecordMetadata
from faust.sensors.base import Run, Sensor

__all__ = ["MAX_AVG_HISTORY", "Monitor", "TableState"]

T = TypeVar("T")

MAX_AVG_HISTORY = 100
MAX_LATENCY_HISTORY = 30
MAX_NAMES = 1000
"""Streams whose texts are kept at the same time."""

SAMPLE_INTERVAL = 1.0
"""Seconds between two samples."""

State = dict[str, Any]


class TableState:
    """What was done to a table.

    Attributes:
        table: The table.
        keys_retrieved: Keys read.
        keys_updated: Keys written.
        keys_deleted: Keys deleted.
    """

    def __init__(
        self, table: Any, keys_retrieved: int = 0, keys_updated: int = 0, keys_deleted: int = 0
    ) -> None:
        self.table: Any = table
        self.keys_retrieved: int = keys_retrieved
        self.keys_updated: int = keys_updated
        self.keys_deleted: int = keys_deleted

    def asdict(self) -> dict[str, int]:
        """Return the three counts."""
        return {
            "keys_retrieved": self.keys_retrieved,
            "keys_updated": self.keys_updated,
            "keys_deleted": self.keys_deleted,
        }

    def __repr__(self) -> str:
        return f"<TableState {self.table} {self.asdict()}>"


class _Settled(Generic[T]):
    """A figure that is brought up to date when it is read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> _Settled[T]: ...
    @overload
    def __get__(self, instance: Monitor, owner: type) -> T: ...
    def __get__(self, instance: Monitor | None, owner: type) -> _Settled[T] | T:
        if instance is None:
            return self
        instance.settle()
        return cast("T", instance.__dict__[self._name])

    def __set__(self, instance: Monitor, value: T) -> None:
        instance.__dict__[self._name] = value


class Monitor(Sensor):
    """Counts what happens; ``app.monitor``. All latencies are in seconds.

    Arguments:
        max_avg_history: Samples kept of running times, rebalances and web requests.
        max_commit_latency_history: Samples kept of commits.
        max_send_latency_history: Samples kept of sends.
        max_assignment_latency_history: Samples kept of assignments.
        time: Clock, in seconds.
        initial: Initial values of attributes, by name; and ``beacon`` and ``loop``, as for any service.

    Raises:
        TypeError: *initial* names no attribute of a monitor.
    """

    messages_active: _Settled[int] = _Settled()
    messages_received_total: _Settled[int] = _Settled()
    messages_received_by_topic: _Settled[Counter[str]] = _Settled()
    messages_sent: _Settled[int] = _Settled()
    messages_sent_by_topic: _Settled[Counter[str]] = _Settled()
    events_active: _Settled[int] = _Settled()
    events_total: _Settled[int] = _Settled()
    events_by_stream: _Settled[Counter[str]] = _Settled()
    events_by_task: _Settled[Counter[str]] = _Settled()
    events_runtime: _Settled[deque[float]] = _Settled()
    tables: _Settled[dict[str, TableState]] = _Settled()
    tp_read_offsets: _Settled[dict[TP, int]] = _Settled()
    stream_inbound_time: _Settled[dict[TP, float]] = _Settled()

    def __init__(
        self,
        *,
        max_avg_history: int = MAX_AVG_HISTORY,
        max_commit_latency_history: int = MAX_LATENCY_HISTORY,
        max_send_latency_history: int = MAX_LATENCY_HISTORY,
        max_assignment_latency_history: int = MAX_LATENCY_HISTORY,
        time: Callable[[], float] = monotonic,
        beacon: Any = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **initial: Any,
    ) -> None:
        super().__init__(beacon=beacon, loop=loop)
        self.settle: Callable[[], None] = _nothing
        self.time: Callable[[], float] = time
        self.max_avg_history: int = max_avg_history
        self.max_commit_latency_history: int = max_commit_latency_history
        self.max_send_latency_history: int = max_send_latency_history
        self.max_assignment_latency_history: int = max_assignment_latency_history
        self._begin_counters()
        self._begin_latencies()
        self._unfinished: dict[TP, int] = {}
        self._sampled = (0, 0)
        self._names: dict[int, tuple[ref[Any], int, str, str]] = {}
        for name, value in initial.items():
            if name.startswith("_") or name not in _INITIAL:
                raise TypeError(f"Monitor: unexpected argument {name!r}")
            setattr(self, name, value)

    def _begin_counters(self) -> None:
        self._messages_active: int = 0
        self._messages_received_total: int = 0
        self._messages_received_by_topic: Counter[str] = Counter()
        self._messages_sent: int = 0
        self._messages_sent_by_topic: Counter[str] = Counter()
        self._events_active: int = 0
        self._events_total: int = 0
        self._events_by_stream: Counter[str] = Counter()
        self._events_by_task: Counter[str] = Counter()
        self._tables: dict[str, TableState] = {}
        self._tp_read_offsets: dict[TP, int] = {}
        self._stream_inbound_time: dict[TP, float] = {}
        self.messages_s: int = 0
        self.events_s: int = 0
        self.send_errors: int = 0
        self.assignments_completed: int = 0
        self.assignments_failed: int = 0
        self.rebalances: int = 0
        self.topic_buffer_full: Counter[TP] = Counter()
        self.metric_counts: Counter[str] = Counter()
        self.http_response_codes: Counter[int] = Counter()
        self.tp_committed_offsets: dict[TP, int] = {}
        self.tp_end_offsets: dict[TP, int] = {}

    def _begin_latencies(self) -> None:
        history = self.max_avg_history
        self._events_runtime: deque[float] = deque(maxlen=history)
        self.events_runtime_avg: float = 0.0
        self.commit_latency: deque[float] = deque(maxlen=self.max_commit_latency_history)
        self.send_latency: deque[float] = deque(maxlen=self.max_send_latency_history)
        self.assignment_latency: deque[float] = deque(maxlen=self.max_assignment_latency_history)
        self.rebalance_return_latency: deque[float] = deque(maxlen=history)
        self.rebalance_end_latency: deque[float] = deque(maxlen=history)
        self.rebalance_return_avg: float = 0.0
        self.rebalance_end_avg: float = 0.0
        self.http_response_latency: deque[float] = deque(maxlen=history)
        self.http_response_latency_avg: float = 0.0

    # -- time

    def secs_since(self, start_time: float) -> float:
        """Return the seconds since *start_time*, by the monitor's clock."""
        return self.time() - start_time

    def ms_since(self, start_time: float) -> float:
        """Return the milliseconds since *start_time*, by the monitor's clock."""
        return self.secs_to_ms(self.secs_since(start_time))

    def secs_to_ms(self, timestamp: float) -> float:
        """Convert seconds to milliseconds."""
        return timestamp * 1000.0

    @Sensor.task
    async def _sampler(self) -> None:
        while not self.should_stop:
            await self.sleep(SAMPLE_INTERVAL)
            self.sample()

    def sample(self) -> None:
        """Bring medians and figures per second up to date; called once a second."""
        self.settle()
        total, events = self._messages_received_total, self._events_total
        before = self._sampled
        self.messages_s, self.events_s = total - before[0], events - before[1]
        self._sampled = (total, events)
        for average, samples in (
            ("events_runtime_avg", self._events_runtime),
            ("rebalance_return_avg", self.rebalance_return_latency),
            ("rebalance_end_avg", self.rebalance_end_latency),
            ("http_response_latency_avg", self.http_response_latency),
        ):
            if samples:
                setattr(self, average, median(samples))

    # -- events, in runs

    def on_stream_events(self, stream: Any, run: Run) -> None:
        """Count a run of events."""
        tp, events = run.tp, run.events
        if events:
            self._events_total += events
            label, task = self._names_of(stream)
            self._events_by_stream[label] += events
            self._events_by_task[task] += events
            self._stream_inbound_time[tp] = monotonic()
        self._events_active += events - run.finished
        if run.seconds is not None:
            self._events_runtime.append(run.seconds)
        if run.messages:
            self._messages_received_total += run.messages
            self._messages_received_by_topic[tp.topic] += run.messages
            if run.offset >= 0:
                self._tp_read_offsets[tp] = run.offset
        self._messages_active += run.unfinished - self._unfinished.get(tp, 0)
        self._unfinished[tp] = run.unfinished

    def _names_of(self, stream: Any) -> tuple[str, str]:
        """Return the texts of *stream* and its task; made once, since that of a task is costly, and changes as it waits."""
        owner = stream.task_owner
        known = self._names.get(id(stream))
        if known is None or known[0]() is not stream or known[1] != id(owner):
            if len(self._names) > MAX_NAMES:
                self._names.clear()
            known = (ref(stream), id(owner), str(stream), str(owner))
            self._names[id(stream)] = known
        return known[2], known[3]

    def on_table_operations(self, table: Any, read: int, written: int, deleted: int) -> None:
        """Count operations on a table."""
        state = self._table_state(table)
        state.keys_retrieved += read
        state.keys_updated += written
        state.keys_deleted += deleted

    def on_messages_sent(self, producer: Any, topic: str, count: int) -> None:
        """Count messages."""
        self._messages_sent += count
        self._messages_sent_by_topic[topic] += count

    def on_batch_answered(
        self,
        producer: Any,
        topic: str,
        count: int,
        seconds: float,
        error: BaseException | None,
    ) -> None:
        """Remember how long it took, or count what failed."""
        if error is None:
            self.send_latency.append(seconds)
        else:
            self.send_errors += count

    # -- events, one by one: where a subclass wants it so

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        """Count a message."""
        self._messages_received_total += 1
        self._messages_active += 1
        self._messages_received_by_topic[tp.topic] += 1
        self._tp_read_offsets[tp] = offset
        message.time_in = self.time()

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> State | None:
        """Count an event; returns ``{"time_in": seconds}``."""
        self._events_total += 1
        self._events_active += 1
        label, task = self._names_of(stream)
        self._events_by_stream[label] += 1
        self._events_by_task[task] += 1
        self._stream_inbound_time[tp] = monotonic()
        return {"time_in": self.time(), "time_out": None, "time_total": None}

    def on_stream_event_out(
        self,
        tp: TP,
        offset: int,
        stream: Any,
        event: Any,
        state: State | None = None,
    ) -> None:
        """Remember how long an event took."""
        if state is not None:
            now = self.time()
            taken = now - state["time_in"]
            state.update(time_out=now, time_total=taken)
            self._events_active -= 1
            self._events_runtime.append(taken)

    def on_message_out(self, tp: TP, offset: int, message: Message) -> None:
        """A message is finished."""
        self._messages_active -= 1
        now = message.time_out = self.time()
        if message.time_in is not None:
            message.time_total = now - message.time_in

    def on_table_get(self, table: Any, key: Any) -> None:
        """Count a key that is read."""
        self._table_state(table).keys_retrieved += 1

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        """Count a key that is written."""
        self._table_state(table).keys_updated += 1

    def on_table_del(self, table: Any, key: Any) -> None:
        """Count a key that is deleted."""
        self._table_state(table).keys_deleted += 1

    def _table_state(self, table: Any) -> TableState:
        state = self._tables.get(table.name)
        if state is None:
            state = self._tables[table.name] = TableState(table)
        return state

    def on_send_initiated(
        self,
        producer: Any,
        topic: str,
        message: Any,
        keysize: int,
        valsize: int,
    ) -> Any:
        """Count a message; returns when it was."""
        self._messages_sent += 1
        self._messages_sent_by_topic[topic] += 1
        return self.time()

    def on_send_completed(self, producer: Any, state: Any, metadata: RecordMetadata) -> None:
        """Remember how long it took."""
        if state is not None:
            self.send_latency.append(self.secs_since(state))

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        """Count a message that was not sent."""
        self.send_errors += 1

    # -- the rest

    def on_topic_buffer_full(self, tp: TP) -> None:
        """Count it."""
        self.topic_buffer_full[tp] += 1

    def on_commit_initiated(self, consumer: Any) -> Any:
        """Return when it was."""
        return self.time()

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        """Remember how long it took."""
        if state is not None:
            self.commit_latency.append(self.secs_since(state))

    def on_tp_commit(self, tp_offsets: Mapping[TP, int]) -> None:
        """Remember what is committed."""
        self.tp_committed_offsets.update(tp_offsets)

    def track_tp_end_offset(self, tp: TP, offset: int) -> None:
        """Remember where a partition ends."""
        self.tp_end_offsets[tp] = offset

    def count(self, metric_name: str, count: int = 1) -> None:
        """Add to a figure of your own."""
        self.metric_counts[metric_name] += count

    def on_assignment_start(self, assignor: Any) -> State:
        """Return ``{"time_start": seconds}``."""
        return {"time_start": self.time()}

    def on_assignment_completed(self, assignor: Any, state: State | None) -> None:
        """Count it."""
        self.assignments_completed += 1
        self._assigned(state)

    def on_assignment_error(
        self,
        assignor: Any,
        state: State | None,
        exc: BaseException,
    ) -> None:
        """Count it."""
        self.assignments_failed += 1
        self._assigned(state)

    def _assigned(self, state: State | None) -> None:
        if state is not None:
            self.assignment_latency.append(self.secs_since(state["time_start"]))

    def on_rebalance_start(self, app: Any) -> State:
        """Count it, and forget partitions; returns ``{"time_start": seconds}``."""
        self.rebalances = app.rebalancing_count
        self._forget_partitions()
        return {"time_start": self.time()}

    def on_rebalance_return(self, app: Any, state: State | None) -> None:
        """Remember how long it took until partitions were ours."""
        if state is not None:
            now = self.time()
            latency = now - state["time_start"]
            state.update(time_return=now, latency_return=latency)
            self.rebalance_return_latency.append(latency)

    def on_rebalance_end(self, app: Any, state: State | None) -> None:
        """Remember how long it took until everything flowed."""
        self._forget_partitions()
        if state is not None:
            now = self.time()
            latency = now - state["time_start"]
            state.update(time_end=now, latency_end=latency)
            self.rebalance_end_latency.append(latency)

    def _forget_partitions(self) -> None:
        self.settle()
        self._tp_read_offsets.clear()
        self.tp_committed_offsets.clear()
        self.tp_end_offsets.clear()
        self.topic_buffer_full.clear()
        self._stream_inbound_time.clear()

    def on_web_request_start(self, app: Any, request: Any, *, view: Any = None) -> State:
        """Return ``{"time_start": seconds}``."""
        return {"time_start": self.time()}

    def on_web_request_end(
        self,
        app: Any,
        request: Any,
        response: Any,
        state: State | None,
        *,
        view: Any = None,
    ) -> None:
        """Count the status, and remember how long it took."""
        status = _status(500 if response is None else response.status)
        self.http_response_codes[status] += 1
        if state is not None:
            now = self.time()
            latency = now - state["time_start"]
            state.update(status_code=status, time_end=now, latency_end=latency)
            self.http_response_latency.append(latency)

    # -- showing it

    def asdict(self) -> Mapping[str, Any]:
        """Return every figure, by its documented name and in the documented order; made of plain types."""
        self.settle()
        return {
            "messages_active": self._messages_active,
            "messages_received_total": self._messages_received_total,
            "messages_sent": self._messages_sent,
            "messages_sent_by_topic": dict(self._messages_sent_by_topic),
            "messages_s": self.messages_s,
            "messages_received_by_topic": dict(self._messages_received_by_topic),
            "events_active": self._events_active,
            "events_total": self._events_total,
            "events_s": self.events_s,
            "events_runtime_avg": self.events_runtime_avg,
            "events_by_task": dict(self._events_by_task),
            "events_by_stream": dict(self._events_by_stream),
            "commit_latency": list(self.commit_latency),
            "send_latency": list(self.send_latency),
            "send_errors": self.send_errors,
            "assignment_latency": list(self.assignment_latency),
            "assignments_completed": self.assignments_completed,
            "assignments_failed": self.assignments_failed,
            "topic_buffer_full": {
                f"{tp.topic}[{tp.partition}]": count for tp, count in self.topic_buffer_full.items()
            },
            "tables": {name: state.asdict() for name, state in self._tables.items()},
            "metric_counts": dict(self.metric_counts),
            "topic_committed_offsets": _by_topic(self.tp_committed_offsets),
            "topic_read_offsets": _by_topic(self._tp_read_offsets),
            "topic_end_offsets": _by_topic(self.tp_end_offsets),
            "rebalances": self.rebalances,
            "rebalance_return_latency": list(self.rebalance_return_latency),
            "rebalance_end_latency": list(self.rebalance_end_latency),
            "rebalance_return_avg": self.rebalance_return_avg,
            "rebalance_end_avg": self.rebalance_end_avg,
            "http_response_codes": {int(code): n for code, n in self.http_response_codes.items()},
            "http_response_latency": list(self.http_response_latency),
            "http_response_latency_avg": self.http_response_latency_avg,
        }


_INITIAL = frozenset(
    {
        "assignment_latency",
        "assignments_completed",
        "assignments_failed",
        "commit_latency",
        "events_active",
        "events_by_stream",
        "events_by_task",
        "events_runtime",
        "events_runtime_avg",
        "events_s",
        "events_total",
        "http_response_codes",
        "http_response_latency",
        "http_response_latency_avg",
        "messages_active",
        "messages_received_by_topic",
        "messages_received_total",
        "messages_s",
        "messages_sent",
        "messages_sent_by_topic",
        "metric_counts",
        "rebalance_end_avg",
        "rebalance_end_latency",
        "rebalance_return_avg",
        "rebalance_return_latency",
        "rebalances",
        "send_errors",
        "send_latency",
        "stream_inbound_time",
        "tables",
        "topic_buffer_full",
        "tp_committed_offsets",
        "tp_end_offsets",
        "tp_read_offsets",
    }
)
"""What the constructor takes as initial values."""


def _by_topic(offsets: Mapping[TP, int]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for tp, offset in offsets.items():
        found.setdefault(tp.topic, {})[tp.partition] = offset
    return found


def _nothing() -> None:
    return None


def _status(code: int) -> int:
    """Return the member of `HTTPStatus` for a code; applications may use codes of their own, which stay numbers."""
    try:
        return HTTPStatus(code)
    except ValueError:
        return code
