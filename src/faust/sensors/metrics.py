"""The figures of an application that people look at first: throughput, latency, lag (page ``/performance/``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from faust.messages import TP

__all__ = ["lag_of", "performance_metrics"]


def performance_metrics(app: Any) -> dict[str, Any]:
    """Return throughput, latencies (seconds), lag (messages), tables and errors of *app*, as plain types."""
    monitor = app.monitor
    shown = monitor.asdict()
    lag = lag_of(monitor)
    return {
        "app": {"id": app.conf.id, "web_port": app.conf.web_port},
        "throughput": {
            name: shown[name]
            for name in (
                "messages_active",
                "messages_received_total",
                "messages_s",
                "messages_sent",
                "events_active",
                "events_total",
                "events_s",
            )
        },
        "latency": {
            "events_runtime_avg": shown["events_runtime_avg"],
            "commit_latency": _summary(shown["commit_latency"]),
            "send_latency": _summary(shown["send_latency"]),
            "assignment_latency": _summary(shown["assignment_latency"]),
            "rebalance_return_avg": shown["rebalance_return_avg"],
            "rebalance_end_avg": shown["rebalance_end_avg"],
            "http_response_latency_avg": shown["http_response_latency_avg"],
        },
        "consumer": {
            "lag_total": sum(lag.values()),
            "lag_by_partition": _nested(lag),
            "read_offsets": shown["topic_read_offsets"],
            "committed_offsets": shown["topic_committed_offsets"],
            "end_offsets": shown["topic_end_offsets"],
            "rebalances": shown["rebalances"],
        },
        "tables": shown["tables"],
        "errors": {
            name: shown[name]
            for name in ("send_errors", "assignments_completed", "assignments_failed")
        },
        "topic_buffer_full": shown["topic_buffer_full"],
    }


def lag_of(monitor: Any) -> dict[TP, int]:
    """Return how many messages have not been read, where the end and the last one that was read are known."""
    read: Mapping[TP, int] = monitor.tp_read_offsets
    ends = monitor.tp_end_offsets.items()
    return {tp: max(0, end - read[tp] - 1) for tp, end in ends if tp in read}


def _nested(figures: Mapping[TP, int]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for tp, figure in figures.items():
        found.setdefault(tp.topic, {})[tp.partition] = figure
    return found


def _summary(samples: Iterable[float]) -> dict[str, Any]:
    ordered = sorted(samples)
    if not ordered:
        return {"count": 0, "p50": None, "p95": None, "max": None}
    last = len(ordered) - 1
    return {
        "count": len(ordered),
        "p50": ordered[round(0.5 * last)],
        "p95": ordered[round(0.95 * last)],
        "max": ordered[-1],
    }
