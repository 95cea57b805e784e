"""Prometheus: `faust.Monitor` whose figures can be scraped.

What happens per event is passed on in runs, so that scraping costs next to nothing; everything is brought up to date before
a page is written. Lags are worked out then, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from faust.messages import TP
from faust.sensors.base import Run
from faust.sensors.exporting import needed, stream_label
from faust.sensors.metrics import lag_of
from faust.sensors.monitor import Monitor, State

__all__ = ["BUCKETS", "PrometheusMetrics", "PrometheusMonitor", "setup_prometheus_sensors"]

BUCKETS = (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
"""Upper ends of the buckets of all histograms, in milliseconds."""

_COUNTERS: dict[str, tuple[str, ...]] = {
    "messages_received": (),
    "total_events": (),
    "total_sent_messages": (),
    "total_error_messages_sent": (),
    "messages_received_per_topic": ("topic",),
    "total_events_per_stream": ("stream",),
    "table_operations": ("table", "operation"),
    "topic_messages_sent": ("topic",),
    "assignment_operations": ("operation",),
    "http_status_codes": ("status_code",),
}
_GAUGES: dict[str, tuple[str, ...]] = {
    "active_messages": (),
    "total_active_events": (),
    "total_rebalances": (),
    "total_rebalances_recovering": (),
    "messages_received_per_topics_partition": ("topic", "partition"),
    "metrics_by_name": ("metric",),
    "topic_partition_end_offset": ("topic", "partition"),
    "topic_partition_offset_commited": ("topic", "partition"),
    "consumer_lag": ("topic", "partition"),
    "commit_lag": ("topic", "partition"),
    "in_recovery": (),
}
_HISTOGRAMS = (
    "events_runtime_ms",
    "producer_send_latency",
    "producer_error_send_latency",
    "assign_latency",
    "rebalance_done_consumer_latency",
    "rebalance_done_latency",
    "http_latency",
    "consumer_commit_latency",
)
_OF_PARTITIONS = (
    "messages_received_per_topic",
    "messages_received_per_topics_partition",
    "topic_partition_end_offset",
    "topic_partition_offset_commited",
    "topic_messages_sent",
    "consumer_lag",
    "commit_lag",
)
"""Series that a rebalance removes: the partitions may not be ours any more."""


def setup_prometheus_sensors(
    app: Any, pattern: str = "/metrics", registry: Any = None, name_prefix: str | None = None
) -> None:
    """Let `app.monitor` keep Prometheus metrics, and serve them on a page; before the app is started.

    Arguments:
        app: The application.
        pattern: Path of the page.
        registry: Registry of ``prometheus_client``; None: the global one.
        name_prefix: Begins all names; None: the app's name. ``-`` and ``.`` become ``_``.

    Raises:
        ImproperlyConfigured: The library ``prometheus_client`` is not installed.
        ValueError: The registry has metrics of these names already.
    """
    client = needed("prometheus_client", "prometheus-client", "prometheus")
    if registry is None:
        registry = client.REGISTRY
    prefix = re.sub(r"[-.]", "_", name_prefix or app.conf.name)
    monitor = PrometheusMonitor(metrics=PrometheusMetrics(registry, prefix), app=app)
    app.monitor = monitor

    async def metrics(view: Any, request: Any) -> Any:  # noqa: ARG001 - what pages are given
        """Show all metrics in the text format of Prometheus."""
        return view.bytes(
            monitor.expose(), content_type=client.CONTENT_TYPE_LATEST.partition(";")[0]
        )

    app.page(pattern)(metrics)


class PrometheusMetrics:
    """The metrics, by their names without prefix.

    Arguments:
        registry: Where they are registered.
        prefix: Begins their names.
    """

    def __init__(self, registry: Any, prefix: str) -> None:
        client = needed("prometheus_client", "prometheus-client", "prometheus")
        self.registry: Any = registry
        self._metrics: dict[str, Any] = {}
        for name, labels in _COUNTERS.items():
            self._metrics[name] = client.Counter(
                f"{prefix}_{name}", _words(name), labels, registry=registry
            )
        for name, labels in _GAUGES.items():
            self._metrics[name] = client.Gauge(
                f"{prefix}_{name}", _words(name), labels, registry=registry
            )
        for name in _HISTOGRAMS:
            self._metrics[name] = client.Histogram(
                f"{prefix}_{name}", _words(name), registry=registry, buckets=BUCKETS
            )

    def __getitem__(self, name: str) -> Any:
        return self._metrics[name]

    def forget_partitions(self) -> None:
        """Remove what is kept per topic and partition."""
        for name in _OF_PARTITIONS:
            self._metrics[name].clear()


class PrometheusMonitor(Monitor):
    """Keeps Prometheus metrics; see `setup_prometheus_sensors`.

    Arguments:
        metrics: The metrics.
        app: The application, to show whether its tables recover; None: that is not shown.
        options: As for `faust.Monitor`.
    """

    def __init__(self, metrics: PrometheusMetrics, app: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.metrics: PrometheusMetrics = metrics
        self._app = app

    def expose(self) -> bytes:
        """Return all metrics of the registry in the text format of Prometheus."""
        client = needed("prometheus_client", "prometheus-client", "prometheus")
        self.settle()
        metrics = self.metrics
        for name, lags in (("consumer_lag", lag_of(self)), ("commit_lag", dict(self._behind()))):
            for tp, lag in lags.items():
                metrics[name].labels(tp.topic, tp.partition).set(lag)
        metrics["in_recovery"].set(int(self._app is not None and self._app.in_recovery))
        page: bytes = client.generate_latest(metrics.registry)
        return page

    def _behind(self) -> Iterator[tuple[TP, int]]:
        """Return by how many messages commits are behind the ends."""
        for tp, end in self.tp_end_offsets.items():
            committed = self.tp_committed_offsets.get(tp)
            if committed is not None:
                yield tp, max(0, end - committed)

    # -- in runs

    def on_stream_events(self, stream: Any, run: Run) -> None:
        """Count a run of events."""
        super().on_stream_events(stream, run)
        metrics, tp = self.metrics, run.tp
        if run.events:
            metrics["total_events"].inc(run.events)
            label = f"stream.{stream_label(stream)}.events"
            metrics["total_events_per_stream"].labels(label).inc(run.events)
        if run.messages:
            metrics["messages_received"].inc(run.messages)
            metrics["messages_received_per_topic"].labels(tp.topic).inc(run.messages)
            if run.offset >= 0:
                last = metrics["messages_received_per_topics_partition"]
                last.labels(tp.topic, tp.partition).set(run.offset)
        if run.seconds is not None:
            metrics["events_runtime_ms"].observe(self.secs_to_ms(run.seconds))
        metrics["total_active_events"].set(self._events_active)
        metrics["active_messages"].set(self._messages_active)

    def on_table_operations(self, table: Any, read: int, written: int, deleted: int) -> None:
        """Count operations on a table."""
        super().on_table_operations(table, read, written, deleted)
        metric, name = self.metrics["table_operations"], f"table.{table.name}"
        for operation, count in (
            ("keys_retrieved", read),
            ("keys_updated", written),
            ("keys_deleted", deleted),
        ):
            if count:
                metric.labels(name, operation).inc(count)

    def on_messages_sent(self, producer: Any, topic: str, count: int) -> None:
        """Count messages."""
        super().on_messages_sent(producer, topic, count)
        self.metrics["topic_messages_sent"].labels(f"topic.{topic}").inc(count)

    def on_batch_answered(
        self, producer: Any, topic: str, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """Count what was delivered and what was not."""
        super().on_batch_answered(producer, topic, count, seconds, error)
        metrics, milliseconds = self.metrics, self.secs_to_ms(seconds)
        if error is None:
            metrics["total_sent_messages"].inc(count)
            metrics["producer_send_latency"].observe(milliseconds)
        else:
            metrics["total_error_messages_sent"].inc(count)
            metrics["producer_error_send_latency"].observe(milliseconds)

    # -- one by one

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        """Observe how long a commit took."""
        super().on_commit_completed(consumer, state)
        self.metrics["consumer_commit_latency"].observe(self.ms_since(state))

    def on_assignment_completed(self, assignor: Any, state: State | None) -> None:
        """Count an assignment."""
        super().on_assignment_completed(assignor, state)
        self._observe_assignment("completed", state)

    def on_assignment_error(self, assignor: Any, state: State | None, exc: BaseException) -> None:
        """Count an assignment that failed."""
        super().on_assignment_error(assignor, state, exc)
        self._observe_assignment("error", state)

    def _observe_assignment(self, operation: str, state: State | None) -> None:
        self.metrics["assignment_operations"].labels(operation).inc()
        if state is not None:
            self.metrics["assign_latency"].observe(self.ms_since(state["time_start"]))

    def on_rebalance_start(self, app: Any) -> State:
        """A rebalance begins."""
        state = super().on_rebalance_start(app)
        self.metrics.forget_partitions()
        self.metrics["total_rebalances"].inc()
        return state

    def on_rebalance_return(self, app: Any, state: State | None) -> None:
        """Tables recover."""
        super().on_rebalance_return(app, state)
        self.metrics["total_rebalances_recovering"].inc()
        if state is not None:
            self.metrics["total_rebalances"].dec()
            latency = self.secs_to_ms(state["latency_return"])
            self.metrics["rebalance_done_consumer_latency"].observe(latency)

    def on_rebalance_end(self, app: Any, state: State | None) -> None:
        """Everything flows."""
        super().on_rebalance_end(app, state)
        self.metrics.forget_partitions()
        self.metrics["total_rebalances_recovering"].dec()
        if state is not None:
            latency = self.secs_to_ms(state["latency_end"])
            self.metrics["rebalance_done_latency"].observe(latency)

    def count(self, metric_name: str, count: int = 1) -> None:
        """Add to a figure of your own."""
        super().count(metric_name, count)
        self.metrics["metrics_by_name"].labels(metric_name).inc(count)

    def on_web_request_end(
        self,
        app: Any,
        request: Any,
        response: Any,
        state: State | None,
        *,
        view: Any = None,
    ) -> None:
        """Count a web request."""
        super().on_web_request_end(app, request, response, state, view=view)
        if state is not None:
            self.metrics["http_status_codes"].labels(int(state["status_code"])).inc()
            self.metrics["http_latency"].observe(self.secs_to_ms(state["latency_end"]))

    def on_tp_commit(self, tp_offsets: Mapping[TP, int]) -> None:
        """Keep committed offsets."""
        super().on_tp_commit(tp_offsets)
        metric = self.metrics["topic_partition_offset_commited"]
        for tp, offset in tp_offsets.items():
            metric.labels(tp.topic, tp.partition).set(offset)

    def track_tp_end_offset(self, tp: TP, offset: int) -> None:
        """Keep the end of a partition."""
        super().track_tp_end_offset(tp, offset)
        metric = self.metrics["topic_partition_end_offset"]
        metric.labels(tp.topic, tp.partition).set(offset)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
