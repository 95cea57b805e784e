"""Prometheus: `faust.Monitor` whose figures can be scraped.

What happens per event is passed on in runs, so that scraping costs next to nothing; everything is brought up to date before
a page is written. Lags are worked out then, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from faust.messages import TP
from faust.sensors.exporting import RunMonitor, needed
from faust.sensors.metrics import lag_of
from faust.sensors.monitor import State

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
    "table_entries": ("table",),
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
_NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "messages_received": ("messages_received", ()),
    "topic_messages_received": ("messages_received_per_topic", ("{topic}",)),
    "read_offset": ("messages_received_per_topics_partition", ("{topic}", "{partition}")),
    "messages_active": ("active_messages", ()),
    "events": ("total_events", ()),
    "stream_events": ("total_events_per_stream", ("stream.{stream}.events",)),
    "events_active": ("total_active_events", ()),
    "events_runtime": ("events_runtime_ms", ()),
    "table_operations": ("table_operations", ("table.{table}", "{operation}")),
    "topic_messages_sent": ("topic_messages_sent", ("topic.{topic}",)),
    "messages_sent": ("total_sent_messages", ()),
    "messages_send_failed": ("total_error_messages_sent", ()),
    "send_latency": ("producer_send_latency", ()),
    "send_latency_for_error": ("producer_error_send_latency", ()),
    "commit_latency": ("consumer_commit_latency", ()),
    "committed_offset": ("topic_partition_offset_commited", ("{topic}", "{partition}")),
    "end_offset": ("topic_partition_end_offset", ("{topic}", "{partition}")),
    "assignments_complete": ("assignment_operations", ("completed",)),
    "assignments_error": ("assignment_operations", ("error",)),
    "assignment_latency": ("assign_latency", ()),
    "rebalances": ("total_rebalances", ()),
    "rebalances_recovering": ("total_rebalances_recovering", ()),
    "rebalance_return_latency": ("rebalance_done_consumer_latency", ()),
    "rebalance_end_latency": ("rebalance_done_latency", ()),
    "http_requests": ("http_status_codes", ("{status_code}",)),
    "http_response_latency": ("http_latency", ()),
    "custom": ("metrics_by_name", ("{name}",)),
}
"""Figure (`faust.sensors.exporting`) -> metric and its labels."""

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


class PrometheusMonitor(RunMonitor):
    """Keeps Prometheus metrics; see `setup_prometheus_sensors`.

    Arguments:
        metrics: The metrics.
        app: The application, to show the sizes of its tables, and whether they recover; None: that is not shown.
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
        for name, lags in self._lags().items():
            for tp, lag in lags.items():
                metrics[name].labels(tp.topic, tp.partition).set(lag)
        tables = {} if self._app is None else self._app.tables
        for name, table in tables.items():
            metrics["table_entries"].labels(name).set(table.about())
        metrics["in_recovery"].set(int(self._app is not None and self._app.in_recovery))
        page: bytes = client.generate_latest(metrics.registry)
        return page

    def _lags(self) -> dict[str, dict[TP, int]]:
        """Return lags by name; those of partitions of which nothing was read or committed yet are told by the app's health."""
        read, committed = lag_of(self), dict(self._behind())
        for row in [] if self._app is None else self._app.health.table():
            tp = TP(row["topic"], row["partition"])
            if row["lag"] is not None:
                read.setdefault(tp, row["lag"])
            if row["end"] is not None and row["committed"] is not None:
                committed.setdefault(tp, max(0, row["end"] - row["committed"]))
        return {"consumer_lag": read, "commit_lag": committed}

    def _behind(self) -> Iterator[tuple[TP, int]]:
        """Return by how many messages commits are behind the ends."""
        for tp, end in self.tp_end_offsets.items():
            committed = self.tp_committed_offsets.get(tp)
            if committed is not None:
                yield tp, max(0, end - committed)

    # -- passing on

    def add(self, figure: str, count: int = 1, **place: Any) -> None:
        """Add to a counter or a gauge."""
        self._series(figure, place).inc(count)

    def hold(self, figure: str, value: int, **place: Any) -> None:
        """Set a gauge."""
        if figure in _NAMES:
            self._series(figure, place).set(value)

    def took(self, figure: str, milliseconds: float, **place: Any) -> None:
        """Observe how long something took."""
        self._series(figure, place).observe(milliseconds)

    def _series(self, figure: str, place: Mapping[str, Any]) -> Any:
        name, labels = _NAMES[figure]
        metric = self.metrics[name]
        return metric.labels(*(label.format_map(place) for label in labels)) if labels else metric

    # -- partitions

    def on_rebalance_start(self, app: Any) -> State:
        """Forget partitions: they may not be ours any more."""
        state = super().on_rebalance_start(app)
        self.metrics.forget_partitions()
        return state

    def on_rebalance_end(self, app: Any, state: State | None) -> None:
        """Forget what was kept before the end."""
        super().on_rebalance_end(app, state)
        self.metrics.forget_partitions()


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
