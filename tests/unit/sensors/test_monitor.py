"""`faust.Monitor` by itself (livecheck-sensors.md 2 and 6): figures, samples, and what is shown of them."""

from __future__ import annotations

import json
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest

import faust
from faust.messages import TP
from faust.sensors import performance_metrics
from faust.sensors.base import Run, SensorDelegate

KEYS = [
    "messages_active",
    "messages_received_total",
    "messages_sent",
    "messages_sent_by_topic",
    "messages_s",
    "messages_received_by_topic",
    "events_active",
    "events_total",
    "events_s",
    "events_runtime_avg",
    "events_by_task",
    "events_by_stream",
    "commit_latency",
    "send_latency",
    "send_errors",
    "assignment_latency",
    "assignments_completed",
    "assignments_failed",
    "topic_buffer_full",
    "tables",
    "metric_counts",
    "topic_committed_offsets",
    "topic_read_offsets",
    "topic_end_offsets",
    "rebalances",
    "rebalance_return_latency",
    "rebalance_end_latency",
    "rebalance_return_avg",
    "rebalance_end_avg",
    "http_response_codes",
    "http_response_latency",
    "http_response_latency_avg",
]

TP0, TP1 = TP("t", 0), TP("t", 1)


class Clock:
    """Says what it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Reader:
    """Stands where a stream would: it belongs to nobody."""

    task_owner = None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(clock: Clock) -> faust.Monitor:
    return faust.Monitor(time=clock)


def test_asdict_has_the_documented_keys(monitor: faust.Monitor) -> None:
    """livecheck-sensors.md 2: `asdict` has every key, in order, and is made of plain types."""
    monitor.on_topic_buffer_full(TP0)
    monitor.on_topic_buffer_full(TP1)
    monitor.on_tp_commit({TP0: 3, TP1: 4})
    monitor.track_tp_end_offset(TP0, 9)
    monitor.count("mine", 2)
    monitor.count("mine")
    monitor.on_table_operations(SimpleNamespace(name="tab"), 1, 2, 3)
    shown = monitor.asdict()
    assert list(shown) == KEYS
    json.dumps(shown)
    assert shown["topic_buffer_full"] == {"t[0]": 1, "t[1]": 1}
    assert shown["topic_committed_offsets"] == {"t": {0: 3, 1: 4}}
    assert shown["topic_end_offsets"] == {"t": {0: 9}}
    assert shown["metric_counts"] == {"mine": 3}
    assert shown["tables"] == {"tab": {"keys_retrieved": 1, "keys_updated": 2, "keys_deleted": 3}}


def test_single_events(monitor: faust.Monitor, clock: Clock) -> None:
    """livecheck-sensors.md 2: an event in and out, with its times in the state and in the message."""
    message: Any = SimpleNamespace(time_in=None, time_out=None, time_total=None)
    stream = Reader()
    monitor.on_message_in(TP0, 7, message)
    state = monitor.on_stream_event_in(TP0, 7, stream, None)
    assert (monitor.messages_active, monitor.events_active) == (1, 1)
    clock.now += 2
    monitor.on_stream_event_out(TP0, 7, stream, None, state)
    monitor.on_message_out(TP0, 7, message)
    assert state == {"time_in": 100.0, "time_out": 102.0, "time_total": 2.0}
    assert (message.time_in, message.time_out, message.time_total) == (100.0, 102.0, 2.0)
    assert (monitor.messages_active, monitor.events_active) == (0, 0)
    assert list(monitor.events_runtime) == [2.0]
    assert monitor.tp_read_offsets == {TP0: 7}


def test_sends_and_commits(monitor: faust.Monitor, clock: Clock) -> None:
    """livecheck-sensors.md 2: latencies of sends and commits; messages are counted when they are sent."""
    state = monitor.on_send_initiated(None, "t", None, 1, 1)
    commit = monitor.on_commit_initiated(None)
    clock.now += 0.5
    monitor.on_send_completed(None, state, None)  # type: ignore[arg-type]
    monitor.on_send_error(None, ValueError(), state)
    monitor.on_commit_completed(None, commit)
    monitor.on_batch_answered(None, "t", 10, 0.25, None)
    monitor.on_batch_answered(None, "t", 3, 0.25, ValueError())
    assert list(monitor.send_latency) == [0.5, 0.25]
    assert list(monitor.commit_latency) == [0.5]
    assert monitor.send_errors == 4
    assert (monitor.messages_sent, dict(monitor.messages_sent_by_topic)) == (1, {"t": 1})


def test_assignments(monitor: faust.Monitor, clock: Clock) -> None:
    """livecheck-sensors.md 2: the latency of an assignment counts also when it failed."""
    state = monitor.on_assignment_start(None)
    clock.now += 1
    monitor.on_assignment_completed(None, state)
    monitor.on_assignment_error(None, state, ValueError())
    assert (monitor.assignments_completed, monitor.assignments_failed) == (1, 1)
    assert list(monitor.assignment_latency) == [1.0, 1.0]


def test_rebalances(monitor: faust.Monitor, clock: Clock) -> None:
    """livecheck-sensors.md 2, 3 [Q]: latencies from the start of the rebalance; partitions are forgotten at both ends."""
    app = SimpleNamespace(rebalancing_count=3)

    def fill() -> None:
        monitor.tp_read_offsets[TP0] = 1
        monitor.on_tp_commit({TP0: 1})
        monitor.track_tp_end_offset(TP0, 1)
        monitor.on_topic_buffer_full(TP0)
        monitor.stream_inbound_time[TP0] = 1.0

    def empty() -> bool:
        return not (
            monitor.tp_read_offsets
            or monitor.tp_committed_offsets
            or monitor.tp_end_offsets
            or monitor.topic_buffer_full
            or monitor.stream_inbound_time
        )

    fill()
    state = monitor.on_rebalance_start(app)
    assert empty()
    clock.now += 1
    monitor.on_rebalance_return(app, state)
    clock.now += 2
    fill()
    monitor.on_rebalance_end(app, state)
    assert empty()
    assert monitor.rebalances == 3
    assert list(monitor.rebalance_return_latency) == [1.0]
    assert list(monitor.rebalance_end_latency) == [3.0]
    assert (state["latency_return"], state["latency_end"]) == (1.0, 3.0)
    assert (state["time_return"], state["time_end"]) == (101.0, 103.0)


def test_web_requests(monitor: faust.Monitor, clock: Clock) -> None:
    """livecheck-sensors.md 2: the status of a response is counted, 500 when there is none; latency from the start."""
    for response in (SimpleNamespace(status=201), None):
        state = monitor.on_web_request_start(None, None, view=None)
        clock.now += 0.25
        monitor.on_web_request_end(None, None, response, state, view=None)
    assert dict(monitor.http_response_codes) == {
        HTTPStatus.CREATED: 1,
        HTTPStatus.INTERNAL_SERVER_ERROR: 1,
    }
    assert list(monitor.http_response_latency) == [0.25, 0.25]
    assert monitor.asdict()["http_response_codes"] == {201: 1, 500: 1}


def test_samples(monitor: faust.Monitor) -> None:
    """livecheck-sensors.md 2: averages are medians, unchanged without samples; rates are differences of totals."""
    stream = Reader()
    monitor.on_stream_events(stream, Run(TP0, 5, 5, 0.1, 5, 0, 4))
    monitor.on_stream_events(stream, Run(TP0, 2, 2, 0.2, 1, 0, 5))
    monitor.on_stream_events(stream, Run(TP0, 1, 1, 9.0, 0, 0, 5))
    monitor.rebalance_end_avg = 7.0
    monitor.sample()
    assert (monitor.events_s, monitor.messages_s) == (8, 6)
    assert monitor.events_runtime_avg == 0.2
    assert monitor.rebalance_end_avg == 7.0
    monitor.sample()
    assert (monitor.events_s, monitor.messages_s) == (0, 0)


async def test_the_sampler_samples_every_second() -> None:
    """livecheck-sensors.md 2: while the monitor runs it samples once a second."""
    monitor = faust.Monitor()
    async with monitor:
        monitor.on_stream_events(Reader(), Run(TP0, 5, 5, None, 5, 0, 4))
        await monitor.sleep(1.3)
        assert monitor.events_s == 5


def test_history_limits() -> None:
    """livecheck-sensors.md 2: histories have the documented lengths, and the given ones."""
    usual = faust.Monitor()
    assert usual.events_runtime.maxlen == usual.http_response_latency.maxlen == 100
    assert usual.rebalance_return_latency.maxlen == usual.rebalance_end_latency.maxlen == 100
    assert usual.commit_latency.maxlen == usual.send_latency.maxlen == 30
    assert usual.assignment_latency.maxlen == 30
    small = faust.Monitor(max_avg_history=1, max_commit_latency_history=2)
    assert (small.events_runtime.maxlen, small.commit_latency.maxlen) == (1, 2)
    assert faust.Monitor(events_total=3, send_errors=2).events_total == 3
    with pytest.raises(TypeError, match="unexpected argument 'event_total'"):
        faust.Monitor(event_total=3)


def test_time_helpers(monitor: faust.Monitor) -> None:
    """livecheck-sensors.md 2: `secs_since`, `ms_since`, `secs_to_ms`."""
    assert monitor.secs_since(99.5) == 0.5
    assert monitor.ms_since(99.5) == 500.0
    assert monitor.secs_to_ms(1.5) == 1500.0


def test_a_subclass_that_looks_closer_is_told_of_single_events() -> None:
    """livecheck-sensors.md 1: overriding a single moment of a monitor works; of the others it is still told in runs."""

    class Closer(faust.Monitor):
        def on_table_set(self, table: Any, key: Any, value: Any) -> None:
            super().on_table_set(table, key, value)

    plain, closer = SensorDelegate(), SensorDelegate()
    plain.add(faust.Monitor())
    closer.add(Closer())
    assert plain.hooks.on_table_set is None
    assert plain.hooks.on_table_operations is not None
    assert closer.hooks.on_table_set is not None
    assert closer.hooks.on_table_operations is None
    assert closer.hooks.on_stream_event_in is plain.hooks.on_stream_event_in is None
    assert closer.hooks.on_stream_events is not None


def test_performance_metrics(monitor: faust.Monitor) -> None:
    """livecheck-sensors.md 6: percentiles of latencies, lag where both ends are known, everything as plain types."""
    monitor.tp_read_offsets.update({TP0: 5, TP1: 9})
    monitor.track_tp_end_offset(TP0, 8)
    monitor.track_tp_end_offset(TP1, 7)
    monitor.track_tp_end_offset(TP("other", 0), 70)
    for seconds in (0.5, 0.1, 0.4, 0.2, 0.3):
        monitor.on_batch_answered(None, "t", 1, seconds, None)
    app = SimpleNamespace(monitor=monitor, conf=SimpleNamespace(id="a", web_port=6066))
    shown = performance_metrics(app)
    json.dumps(shown)
    assert shown["app"] == {"id": "a", "web_port": 6066}
    assert shown["consumer"]["lag_by_partition"] == {"t": {0: 2, 1: 0}}  # offsets 6 and 7
    assert shown["consumer"]["lag_total"] == 2
    assert shown["latency"]["send_latency"] == {"count": 5, "p50": 0.3, "p95": 0.5, "max": 0.5}
    assert shown["latency"]["commit_latency"] == {"count": 0, "p50": None, "p95": None, "max": None}
    assert list(shown) == [
        "app",
        "throughput",
        "latency",
        "consumer",
        "tables",
        "errors",
        "topic_buffer_full",
    ]


@pytest.mark.parametrize(
    ("option", "default", "histories"),
    [
        (
            "max_avg_history",
            100,
            (
                *("events_runtime", "http_response_latency"),
                *("rebalance_return_latency", "rebalance_end_latency"),
            ),
        ),
        ("max_commit_latency_history", 30, ("commit_latency",)),
        ("max_send_latency_history", 30, ("send_latency",)),
        ("max_assignment_latency_history", 30, ("assignment_latency",)),
    ],
)
def test_histories_are_bounded(option: str, default: int, histories: tuple[str, ...]) -> None:
    """livecheck-sensors.md 2: how many samples are kept of each is an option with the documented default."""
    options: dict[str, Any] = {option: 7}
    for monitor, bound in ((faust.Monitor(), default), (faust.Monitor(**options), 7)):
        assert getattr(monitor, option) == bound
        for name in histories:
            assert getattr(monitor, name).maxlen == bound
