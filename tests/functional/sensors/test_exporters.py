"""Monitors that pass figures on, each into its real library (livecheck-sensors.md 3, 4 and 5)."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import faust
import faust.testing
from faust.exceptions import ImproperlyConfigured
from faust.messages import TP
from faust.sensors.datadog import DatadogMonitor
from faust.sensors.exporting import stream_label
from faust.sensors.prometheus import (
    BUCKETS,
    PrometheusMetrics,
    PrometheusMonitor,
    setup_prometheus_sensors,
)
from faust.sensors.statsd import StatsdMonitor
from tests.support.apps import eventually

PARTITION = TP("orders", 1)


class Listener:
    """A UDP socket that hears what is sent to StatsD."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def lines(self) -> list[str]:
        """Return what has been heard so far."""
        self.socket.settimeout(0.2)
        found: list[str] = []
        while True:
            try:
                found += self.socket.recv(65536).decode().splitlines()
            except TimeoutError:
                return found


@pytest.fixture
def listener() -> Iterator[Listener]:
    heard = Listener()
    yield heard
    heard.socket.close()


def an_app(monitor: faust.Monitor | None = None) -> faust.App:
    """An app that sums up, and passes on."""
    app = faust.App("exported", broker="kafka://not-asked", topic_partitions=2, monitor=monitor)
    orders = app.topic("orders", key_type=str, value_type=int, internal=True)
    done = app.topic("done", value_type=int, internal=True)
    totals = app.Table("totals", default=int)

    @app.agent(orders)
    async def add(stream: Any) -> None:
        async for key, number in stream.items():
            totals[key] += number
            await done.send(value=number)

    return app


async def feed(app: faust.App, count: int = 20) -> None:
    """Let *app* process *count* orders."""
    async with faust.testing.run(app) as t:
        for number in range(count):
            await t.send("orders", number, key=str(number))
        await t.idle()
        await app.commit()
        await asyncio.sleep(0)


def moments(monitor: faust.Monitor) -> None:
    """Tell *monitor* of everything that is not in the app above."""
    app = SimpleNamespace(rebalancing_count=1)
    assignor = monitor.on_assignment_start(None)
    monitor.on_assignment_completed(None, assignor)
    monitor.on_assignment_error(None, assignor, ValueError())
    state = monitor.on_rebalance_start(app)
    monitor.on_rebalance_return(app, state)
    monitor.on_rebalance_end(app, state)
    request = monitor.on_web_request_start(None, None)
    monitor.on_web_request_end(None, None, SimpleNamespace(status=404), request)
    monitor.count("mine", 3)
    monitor.on_tp_commit({PARTITION: 8})
    monitor.track_tp_end_offset(PARTITION, 11)


async def test_3_statsd(listener: Listener) -> None:
    """livecheck-sensors.md 3: a StatsD server hears every documented name, once per event."""
    monitor = StatsdMonitor(host="127.0.0.1", port=listener.port, prefix="shop")
    await feed(an_app(monitor))
    monitor.on_send_error(None, ValueError(), monitor.time())
    moments(monitor)
    monitor.close()
    lines = listener.lines()
    counted: Counter[str] = Counter()
    for line in lines:
        name, _, figure = line.partition(":")
        if figure.endswith("|c"):
            counted[name] += int(figure.split("|")[0])
    assert counted["shop.messages_received"] == counted["shop.events"] == 20
    assert counted["shop.topic.orders.messages_received"] == 20
    assert counted["shop.messages_active"] == counted["shop.events_active"] == 0
    assert counted["shop.stream.topic_orders.events"] == 20
    assert counted["shop.table.totals.keys_retrieved"] == 20
    assert counted["shop.table.totals.keys_updated"] == 20
    assert counted["shop.topic.done.messages_sent"] == 20
    assert counted["shop.messages_sent"] >= 20
    assert counted["shop.messages_sent_error"] == 1
    assert counted["shop.assignments_error"] == 1
    assert counted["shop.assignments_complete"] >= 1
    assert counted["shop.mine"] == 3
    assert counted["shop.http_status_code.404"] == 1
    names = {line.partition(":")[0] for line in lines}
    assert {
        "shop.events_runtime",
        "shop.commit_latency",
        "shop.send_latency",
        "shop.send_latency_for_error",
        "shop.assignment_latency",
        "shop.rebalance_return_latency",
        "shop.rebalance_end_latency",
        "shop.http_response_latency",
    } <= names
    assert "shop.committed_offset.orders.1:8|g" in lines
    assert "shop.end_offset.orders.1:11|g" in lines


async def test_4_datadog(listener: Listener) -> None:
    """livecheck-sensors.md 4: an agent hears names with tags."""
    monitor = DatadogMonitor(host="127.0.0.1", port=listener.port, prefix="shop")
    await feed(an_app(monitor))
    moments(monitor)
    monitor.on_threaded_producer_buffer_processed(None, 5)
    monitor.close()
    lines = [line.strip() for line in listener.lines()]
    received = [line for line in lines if line.startswith("shop.messages_received:1|c")]
    assert len(received) == 20
    assert all("topic:orders" in line and "partition:" in line for line in received)
    assert sum("shop.events:1|c" in line and "stream:topic_orders" in line for line in lines) == 20
    keys = [line for line in lines if line.startswith("shop.table_keys_updated:1|c")]
    assert len(keys) == 20
    assert "table:totals" in keys[0]
    assert any(line.startswith("shop.committed_offset:8|g") for line in lines)
    assert any(line.startswith("shop.threaded_producer_buffer:5|g") for line in lines)
    assert any(line.startswith("shop.http_status_code.404:1|c") for line in lines)
    assert any(line.startswith("shop.mine:3|c") for line in lines)


def samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read a page with Prometheus' own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


async def test_5_prometheus() -> None:
    """livecheck-sensors.md 5: Prometheus' parser reads every documented metric, exact at the moment of the scrape."""
    monitor = PrometheusMonitor(PrometheusMetrics(CollectorRegistry(), "shop"))
    app = an_app(monitor)
    async with faust.testing.run(app) as t:
        for number in range(20):
            await t.send("orders", number, key=str(number))
        await t.idle()
        await app.commit()
        found = samples(monitor.expose())
        assert found["shop_messages_received_total", ()] == 20
        assert found["shop_total_events_total", ()] == 20
        assert (
            found["shop_total_events_per_stream_total", (("stream", "stream.topic_orders.events"),)]
            == 20
        )
        assert found["shop_messages_received_per_topic_total", (("topic", "orders"),)] == 20
        assert found["shop_topic_messages_sent_total", (("topic", "topic.done"),)] == 20
        assert found["shop_active_messages", ()] == found["shop_total_active_events", ()] == 0
        table = ("operation", "keys_updated"), ("table", "table.totals")
        assert found["shop_table_operations_total", table] == 20
        assert found["shop_total_sent_messages_total", ()] >= 20
        assert found["shop_consumer_commit_latency_count", ()] >= 1
        assert found["shop_producer_send_latency_count", ()] >= 1
        assert found["shop_events_runtime_ms_count", ()] >= 1
        assert found["shop_in_recovery", ()] == 0
    moments(monitor)
    found = samples(monitor.expose())
    place = ("partition", "1"), ("topic", "orders")
    assert found["shop_topic_partition_end_offset", place] == 11
    assert found["shop_topic_partition_offset_commited", place] == 8
    assert found["shop_commit_lag", place] == 3
    assert ("shop_messages_received_per_topic_total", (("topic", "orders"),)) not in found
    assert found["shop_metrics_by_name", (("metric", "mine"),)] == 3
    assert found["shop_http_status_codes_total", (("status_code", "404"),)] == 1
    assert found["shop_assignment_operations_total", (("operation", "error"),)] == 1
    assert found["shop_total_rebalances", ()] == 0
    assert (
        found["shop_rebalance_done_latency_count", ()] == 2
    )  # the first assignment, and `moments`


async def test_5_lags_of_prometheus() -> None:
    """Pain row 54: who has read everything has no lag, who reads nothing shows how much waits, also if it never read any."""
    registry = CollectorRegistry()
    app = faust.App("lagging", broker="kafka://not-asked", topic_partitions=1)
    setup_prometheus_sensors(app, registry=registry)
    orders = app.topic("orders", value_type=int, internal=True)
    reads = asyncio.Event()
    reads.set()

    @app.agent(orders)
    async def read(stream: Any) -> None:
        await reads.wait()
        async for _ in stream:
            pass

    def lags() -> list[float]:
        assert isinstance(app.monitor, PrometheusMonitor)
        found = samples(app.monitor.expose())
        place = ("partition", "0"), ("topic", "orders")
        return [found[f"lagging_{name}_lag", place] for name in ("consumer", "commit")]

    async with faust.testing.run(app) as t:
        for number in range(3):
            await t.send("orders", number)
        await t.idle()
        await eventually(lambda: faust.TP("orders", 0) in app.monitor.tp_end_offsets)
        assert lags() == [0, 0]
        reads.clear()
        await t.restart()
        for number in range(5):
            await t.send("orders", number)
        await app.health.look()
        assert lags() == [5, 5]
        reads.set()
        await t.idle()


def test_5_every_metric_of_prometheus() -> None:
    """livecheck-sensors.md 5: the documented metrics, each of its kind; times in milliseconds, in the documented buckets."""
    registry = CollectorRegistry()
    PrometheusMetrics(registry, "shop")
    found: dict[str, set[str]] = {}
    for family in registry.collect():
        found.setdefault(family.type, set()).add(family.name.removeprefix("shop_"))
    assert found["counter"] == {
        *("messages_received", "total_events", "total_sent_messages", "total_error_messages_sent"),
        *("messages_received_per_topic", "total_events_per_stream", "table_operations"),
        *("topic_messages_sent", "assignment_operations", "http_status_codes"),
    }
    assert found["gauge"] >= {
        *("active_messages", "total_active_events", "total_rebalances"),
        *("total_rebalances_recovering", "messages_received_per_topics_partition"),
        *("metrics_by_name", "topic_partition_end_offset", "topic_partition_offset_commited"),
    }
    assert found["histogram"] == {
        *("events_runtime_ms", "producer_send_latency", "producer_error_send_latency"),
        *("assign_latency", "rebalance_done_consumer_latency", "rebalance_done_latency"),
        *("http_latency", "consumer_commit_latency"),
    }
    ends = (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
    assert ends == BUCKETS


def test_5_setting_up_prometheus() -> None:
    """livecheck-sensors.md 5: the monitor is set and a page added; a registry takes an app's metrics once."""
    registry = CollectorRegistry()
    app = faust.App("my-shop.v2", broker="memory://")
    setup_prometheus_sensors(app, pattern="/scrape", registry=registry)
    assert isinstance(app.monitor, PrometheusMonitor)
    assert ("my_shop_v2_messages_received_total", ()) in samples(app.monitor.expose())
    with pytest.raises(ValueError, match="Duplicated"):
        setup_prometheus_sensors(app, registry=registry)


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("statsd", StatsdMonitor),
        ("datadog.dogstatsd", DatadogMonitor),
        ("prometheus_client", lambda: setup_prometheus_sensors(faust.App("x"))),
    ],
)
def test_a_missing_library_is_named(
    module: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """livecheck-sensors.md 3 to 5: without its library an exporter says what to install, and when it is made."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImproperlyConfigured, match="pip install 'faust"):
        make()


def test_labels_of_streams() -> None:
    """livecheck-sensors.md 3: the label of a stream has words and underscores only."""
    assert stream_label(SimpleNamespace(shortlabel="Stream: <Topic: Orders>")) == "topic_orders"
