"""StatsD: `faust.Monitor` whose figures are also sent to a StatsD server, by UDP. Times are in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from faust.messages import TP, Message, RecordMetadata
from faust.sensors.exporting import SingleMonitor, needed, stream_label
from faust.sensors.monitor import State

__all__ = ["StatsdMonitor"]


class StatsdMonitor(SingleMonitor):
    """Sends figures to StatsD; needs ``pip install 'faust[statsd]'``.

    Arguments:
        host: Host name of the server.
        port: UDP port.
        prefix: Begins every name, before a dot.
        rate: Share of the events that are sent, 0 to 1.
        options: As for `faust.Monitor`.

    Raises:
        ImproperlyConfigured: The library ``statsd`` is not installed.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8125,
        prefix: str = "faust-app",
        rate: float = 1.0,
        **options: Any,
    ) -> None:
        self._statsd = needed("statsd", "statsd", "statsd")
        self.host: str = host
        self.port: int = port
        self.prefix: str = prefix
        self.rate: float = rate
        super().__init__(**options)

    @cached_property
    def client(self) -> Any:
        """The client; made on first use."""
        return self._statsd.StatsClient(host=self.host, port=self.port, prefix=self.prefix)

    async def on_stop(self) -> None:
        """Close the socket."""
        self.close()

    def close(self) -> None:
        """Close the socket; the next figure opens another."""
        client = vars(self).pop("client", None)
        if client is not None:
            client.close()

    def _incr(self, name: str, count: int = 1) -> None:
        self.client.incr(name, count, rate=self.rate)

    def _decr(self, name: str) -> None:
        self.client.decr(name, rate=self.rate)

    def _timing(self, name: str, milliseconds: float) -> None:
        self.client.timing(name, milliseconds, rate=self.rate)

    def _gauge(self, name: str, tp: TP, offset: int) -> None:
        self.client.gauge(f"{name}.{tp.topic}.{tp.partition}", offset)

    # -- events

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        """Pass on a message."""
        super().on_message_in(tp, offset, message)
        self._incr("messages_received")
        self._incr("messages_active")
        self._incr(f"topic.{tp.topic}.messages_received")
        self._gauge("read_offset", tp, offset)

    def on_message_out(self, tp: TP, offset: int, message: Message) -> None:
        """Pass on that a message is finished."""
        super().on_message_out(tp, offset, message)
        self._decr("messages_active")

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> State | None:
        """Pass on an event."""
        state = super().on_stream_event_in(tp, offset, stream, event)
        self._incr("events")
        self._incr(f"stream.{stream_label(stream)}.events")
        self._incr("events_active")
        return state

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: Any, event: Any, state: State | None = None
    ) -> None:
        """Pass on that an event is finished."""
        super().on_stream_event_out(tp, offset, stream, event, state)
        self._decr("events_active")
        if state is not None:
            self._timing("events_runtime", self.secs_to_ms(state["time_total"]))

    def on_key(self, table: Any, operation: str) -> None:
        """Pass on an operation on a table."""
        self._incr(f"table.{table.name}.{operation}")

    # -- the broker

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        """Pass on how long a commit took."""
        super().on_commit_completed(consumer, state)
        self._timing("commit_latency", self.ms_since(state))

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> Any:
        """Pass on a message that is sent."""
        self._incr(f"topic.{topic}.messages_sent")
        return super().on_send_initiated(producer, topic, message, keysize, valsize)

    def on_send_completed(self, producer: Any, state: Any, metadata: RecordMetadata) -> None:
        """Pass on how long a send took."""
        super().on_send_completed(producer, state, metadata)
        self._incr("messages_sent")
        self._timing("send_latency", self.ms_since(state))

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        """Pass on that a message was not sent."""
        super().on_send_error(producer, exc, state)
        self._incr("messages_sent_error")
        self._timing("send_latency_for_error", self.ms_since(state))

    def on_tp_commit(self, tp_offsets: Mapping[TP, int]) -> None:
        """Pass on committed offsets."""
        super().on_tp_commit(tp_offsets)
        for tp, offset in tp_offsets.items():
            self._gauge("committed_offset", tp, offset)

    def track_tp_end_offset(self, tp: TP, offset: int) -> None:
        """Pass on the end of a partition."""
        super().track_tp_end_offset(tp, offset)
        self._gauge("end_offset", tp, offset)

    def on_assignment_completed(self, assignor: Any, state: State | None) -> None:
        """Pass on an assignment."""
        super().on_assignment_completed(assignor, state)
        self._incr("assignments_complete")
        if state is not None:
            self._timing("assignment_latency", self.ms_since(state["time_start"]))

    def on_assignment_error(self, assignor: Any, state: State | None, exc: BaseException) -> None:
        """Pass on an assignment that failed."""
        super().on_assignment_error(assignor, state, exc)
        self._incr("assignments_error")
        if state is not None:
            self._timing("assignment_latency", self.ms_since(state["time_start"]))

    def on_rebalance_start(self, app: Any) -> State:
        """Pass on that a rebalance begins."""
        self._incr("rebalances")
        return super().on_rebalance_start(app)

    def on_rebalance_return(self, app: Any, state: State | None) -> None:
        """Pass on that tables recover."""
        super().on_rebalance_return(app, state)
        self._decr("rebalances")
        self._incr("rebalances_recovering")
        if state is not None:
            self._timing("rebalance_return_latency", self.secs_to_ms(state["latency_return"]))

    def on_rebalance_end(self, app: Any, state: State | None) -> None:
        """Pass on that a rebalance is over."""
        super().on_rebalance_end(app, state)
        self._decr("rebalances_recovering")
        if state is not None:
            self._timing("rebalance_end_latency", self.secs_to_ms(state["latency_end"]))

    # -- the rest

    def count(self, metric_name: str, count: int = 1) -> None:
        """Add to a figure of your own, and pass it on."""
        super().count(metric_name, count)
        self._incr(metric_name, count)

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
            self._incr(f"http_status_code.{int(state['status_code'])}")
            self._timing("http_response_latency", self.secs_to_ms(state["latency_end"]))
