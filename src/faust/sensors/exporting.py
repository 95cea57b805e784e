"""What monitors that pass figures on have in common: which moment is which figure.

A moment is told once here, in canonical names, to three methods: `ExportingMonitor.add` (something is more or less),
`ExportingMonitor.hold` (something is so much) and `ExportingMonitor.took` (something took milliseconds). A monitor for one
system is a table from these names to its own, and those three methods; a figure its table lacks is not passed on.

| figure | place | by |
|---|---|---|
| messages_received, messages_active | topic, partition | add |
| topic_messages_received, topic_messages_sent | topic | add |
| read_offset, committed_offset, end_offset | topic, partition | hold |
| events, events_active, stream_events | topic, partition, stream | add |
| events_runtime | topic, partition, stream | took |
| table_operations | table, operation (keys_retrieved, keys_updated, keys_deleted) | add |
| messages_sent, messages_send_failed | topic, where it is known | add |
| send_latency, send_latency_for_error, commit_latency, assignment_latency | - | took |
| assignments_complete, assignments_error, rebalances, rebalances_recovering | - | add |
| rebalance_return_latency, rebalance_end_latency, http_response_latency | - | took |
| http_requests | status_code | add |
| threaded_producer_buffer | - | hold |
| custom | name | add |

Events are told one by one (`SingleMonitor`) or in runs (`RunMonitor`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from faust.exceptions import ImproperlyConfigured
from faust.messages import TP, Message, RecordMetadata
from faust.sensors.base import Run
from faust.sensors.monitor import Monitor, State

__all__ = ["ExportingMonitor", "RunMonitor", "SingleMonitor", "needed", "stream_label"]

_ODD = re.compile(r"[<>:\s]+")


def stream_label(stream: Any) -> str:
    """Return a name for *stream* that is made of words and underscores: ``topic_orders``."""
    label = str(stream.shortlabel).removeprefix("Stream:")
    return _ODD.sub("_", label).strip("_").lower()


def needed(module: str, package: str, extra: str) -> Any:
    """Import *module*.

    Raises:
        ImproperlyConfigured: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as exc:
        raise ImproperlyConfigured(
            f"{package} is not installed: pip install 'faust[{extra}]' (or {package})"
        ) from exc


class ExportingMonitor(Monitor):
    """A monitor that passes on what it counts; see the module for the names of figures."""

    abstract = True

    # -- how: one system each

    def add(self, figure: str, count: int = 1, **place: Any) -> None:
        """*figure* is *count* more (or less, below 0)."""
        raise NotImplementedError

    def hold(self, figure: str, value: int, **place: Any) -> None:
        """*figure* is *value* now."""
        raise NotImplementedError

    def took(self, figure: str, milliseconds: float, **place: Any) -> None:
        """*figure* has taken *milliseconds*, once more."""
        raise NotImplementedError

    # -- what: commits

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        """Pass on how long a commit took."""
        super().on_commit_completed(consumer, state)
        if state is not None:
            self.took("commit_latency", self.ms_since(state))

    def on_tp_commit(self, tp_offsets: Mapping[TP, int]) -> None:
        """Pass on committed offsets."""
        super().on_tp_commit(tp_offsets)
        for tp, offset in tp_offsets.items():
            self.hold("committed_offset", offset, topic=tp.topic, partition=tp.partition)

    def track_tp_end_offset(self, tp: TP, offset: int) -> None:
        """Pass on the end of a partition."""
        super().track_tp_end_offset(tp, offset)
        self.hold("end_offset", offset, topic=tp.topic, partition=tp.partition)

    def on_threaded_producer_buffer_processed(self, app: Any, size: int) -> None:
        """Pass on what waits in the threaded producer."""
        self.hold("threaded_producer_buffer", size)

    # -- assignments and rebalances

    def on_assignment_completed(self, assignor: Any, state: State | None) -> None:
        """Pass on an assignment."""
        super().on_assignment_completed(assignor, state)
        self._pass_on_assignment("assignments_complete", state)

    def on_assignment_error(self, assignor: Any, state: State | None, exc: BaseException) -> None:
        """Pass on an assignment that failed."""
        super().on_assignment_error(assignor, state, exc)
        self._pass_on_assignment("assignments_error", state)

    def _pass_on_assignment(self, figure: str, state: State | None) -> None:
        self.add(figure)
        if state is not None:
            self.took("assignment_latency", self.ms_since(state["time_start"]))

    def on_rebalance_start(self, app: Any) -> State:
        """Pass on that a rebalance begins."""
        self.add("rebalances")
        return super().on_rebalance_start(app)

    def on_rebalance_return(self, app: Any, state: State | None) -> None:
        """Pass on that tables recover."""
        super().on_rebalance_return(app, state)
        if state is not None:
            self.add("rebalances", -1)
            self.add("rebalances_recovering")
            self.took("rebalance_return_latency", self.secs_to_ms(state["latency_return"]))

    def on_rebalance_end(self, app: Any, state: State | None) -> None:
        """Pass on that a rebalance is over."""
        super().on_rebalance_end(app, state)
        if state is not None:
            self.add("rebalances_recovering", -1)
            self.took("rebalance_end_latency", self.secs_to_ms(state["latency_end"]))

    # -- the rest

    def count(self, metric_name: str, count: int = 1) -> None:
        """Add to a figure of your own, and pass it on."""
        super().count(metric_name, count)
        self.add("custom", count, name=metric_name)

    def on_web_request_end(
        self,
        app: Any,
        request: Any,
        response: Any,
        state: State | None,
        *,
        view: Any = None,
    ) -> None:
        """Pass on a web request."""
        super().on_web_request_end(app, request, response, state, view=view)
        if state is not None:
            self.add("http_requests", status_code=int(state["status_code"]))
            self.took("http_response_latency", self.secs_to_ms(state["latency_end"]))


class SingleMonitor(ExportingMonitor):
    """A monitor that is told of every event, table operation and send by itself, to pass it on at once."""

    abstract = True

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        """Pass on a message."""
        super().on_message_in(tp, offset, message)
        place: dict[str, Any] = {"topic": tp.topic, "partition": tp.partition}
        self.add("messages_received", **place)
        self.add("messages_active", **place)
        self.add("topic_messages_received", topic=tp.topic)
        self.hold("read_offset", offset, **place)

    def on_message_out(self, tp: TP, offset: int, message: Message) -> None:
        """Pass on that a message is finished."""
        super().on_message_out(tp, offset, message)
        self.add("messages_active", -1, topic=tp.topic, partition=tp.partition)

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> State | None:
        """Pass on an event."""
        state = super().on_stream_event_in(tp, offset, stream, event)
        place = _place(tp, stream)
        self.add("events", **place)
        self.add("stream_events", **place)
        self.add("events_active", **place)
        return state

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: Any, event: Any, state: State | None = None
    ) -> None:
        """Pass on that an event is finished."""
        super().on_stream_event_out(tp, offset, stream, event, state)
        place = _place(tp, stream)
        self.add("events_active", -1, **place)
        if state is not None:
            self.took("events_runtime", self.secs_to_ms(state["time_total"]), **place)

    def on_table_get(self, table: Any, key: Any) -> None:
        """Pass on a key that is read."""
        super().on_table_get(table, key)
        self.add("table_operations", table=table.name, operation="keys_retrieved")

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        """Pass on a key that is written."""
        super().on_table_set(table, key, value)
        self.add("table_operations", table=table.name, operation="keys_updated")

    def on_table_del(self, table: Any, key: Any) -> None:
        """Pass on a key that is deleted."""
        super().on_table_del(table, key)
        self.add("table_operations", table=table.name, operation="keys_deleted")

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> Any:
        """Pass on a message that is sent."""
        self.add("topic_messages_sent", topic=topic)
        return super().on_send_initiated(producer, topic, message, keysize, valsize)

    def on_send_completed(self, producer: Any, state: Any, metadata: RecordMetadata) -> None:
        """Pass on how long a send took."""
        super().on_send_completed(producer, state, metadata)
        self.add("messages_sent")
        if state is not None:
            self.took("send_latency", self.ms_since(state))

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        """Pass on that a message was not sent."""
        super().on_send_error(producer, exc, state)
        self.add("messages_send_failed")
        if state is not None:
            self.took("send_latency_for_error", self.ms_since(state))


class RunMonitor(ExportingMonitor):
    """A monitor that passes on events, table operations and sends in runs."""

    abstract = True

    def on_stream_events(self, stream: Any, run: Run) -> None:
        """Pass on a run of events."""
        active, messages_active = self._events_active, self._messages_active
        super().on_stream_events(stream, run)
        tp = run.tp
        place = _place(tp, stream)
        if run.events:
            self.add("events", run.events, **place)
            self.add("stream_events", run.events, **place)
        if self._events_active != active:
            self.add("events_active", self._events_active - active, **place)
        if run.seconds is not None:
            self.took("events_runtime", self.secs_to_ms(run.seconds), **place)
        del place["stream"]
        if run.messages:
            self.add("messages_received", run.messages, **place)
            self.add("topic_messages_received", run.messages, topic=tp.topic)
            if run.offset >= 0:
                self.hold("read_offset", run.offset, **place)
        if self._messages_active != messages_active:
            self.add("messages_active", self._messages_active - messages_active, **place)

    def on_table_operations(self, table: Any, read: int, written: int, deleted: int) -> None:
        """Pass on operations on a table."""
        super().on_table_operations(table, read, written, deleted)
        for operation, count in (
            ("keys_retrieved", read),
            ("keys_updated", written),
            ("keys_deleted", deleted),
        ):
            if count:
                self.add("table_operations", count, table=table.name, operation=operation)

    def on_messages_sent(self, producer: Any, topic: str, count: int) -> None:
        """Pass on messages that are sent."""
        super().on_messages_sent(producer, topic, count)
        self.add("topic_messages_sent", count, topic=topic)

    def on_batch_answered(
        self, producer: Any, topic: str, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """Pass on what was delivered and what was not."""
        super().on_batch_answered(producer, topic, count, seconds, error)
        figure, latency = ("messages_sent", "send_latency")
        if error is not None:
            figure, latency = ("messages_send_failed", "send_latency_for_error")
        self.add(figure, count, topic=topic)
        self.took(latency, self.secs_to_ms(seconds))


def _place(tp: TP, stream: Any) -> dict[str, Any]:
    return {"topic": tp.topic, "partition": tp.partition, "stream": stream_label(stream)}
