"""OpenTelemetry metrics and traces, into its real SDK (livecheck-sensors.md 5; app.md 8)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import faust
import faust.testing
from faust.contrib import opentelemetry as otel
from faust.contrib.asgi import AsgiService, faust_lifespan
from faust.exceptions import ImproperlyConfigured
from faust.sensors.otel import OpenTelemetryMonitor
from tests.functional.sensors.test_exporters import an_app, moments
from tests.support.ports import free_port

Attributes = tuple[tuple[str, Any], ...]


def figures(reader: InMemoryMetricReader) -> dict[tuple[str, Attributes], Any]:
    """Return what a reader has collected: (instrument, attributes) -> value; of histograms the count."""
    found: dict[tuple[str, Attributes], Any] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    place = tuple(sorted((point.attributes or {}).items()))
                    value = point.value if hasattr(point, "value") else point.count
                    found[metric.name, place] = value
    return found


def total(found: dict[tuple[str, Attributes], Any], name: str) -> Any:
    """Return the sum of an instrument over all attributes."""
    return sum(value for (known, _), value in found.items() if known == name)


async def test_5_metrics() -> None:
    """livecheck-sensors.md 5: the SDK's reader collects every documented instrument, with its attributes."""
    reader = InMemoryMetricReader()
    meter = MeterProvider(metric_readers=[reader]).get_meter("test")
    monitor = OpenTelemetryMonitor(meter=meter)
    app = an_app(monitor)
    async with faust.testing.run(app) as t:
        for number in range(20):
            await t.send("orders", number, key=str(number))
        await t.idle()
        await app.commit()
        app.sensors.settle()
        found = figures(reader)
    assert total(found, "faust.messages.received") == total(found, "faust.events.total") == 20
    assert total(found, "faust.messages.active") == total(found, "faust.events.active") == 0
    assert found["faust.table.operations", (("operation", "set"), ("table", "totals"))] == 20
    assert found["faust.table.operations", (("operation", "get"), ("table", "totals"))] == 20
    assert found["faust.messages.sent", (("topic", "done"),)] == 20
    assert found["faust.assignments", (("result", "completed"),)] >= 1
    assert {
        "faust.events.runtime",
        "faust.commit.latency",
        "faust.send.latency",
        "faust.assignment.latency",
        "faust.rebalance.return_latency",
        "faust.rebalance.end_latency",
        "faust.offset.read",
        "faust.offset.committed",
    } <= {name for name, _ in found}
    monitor.on_batch_answered(None, "done", 2, 0.1, ValueError())
    monitor.on_threaded_producer_buffer_processed(None, 5)
    moments(monitor)
    found = figures(reader)
    place = ("partition", 1), ("topic", "orders")
    assert found["faust.offset.end", place] == 11
    assert found["faust.offset.committed", place] == 8
    assert found["faust.producer.buffer", ()] == 5
    assert found["faust.messages.send_errors", (("topic", "done"),)] == 2
    assert found["faust.send.error_latency", ()] == 1
    assert found["faust.http.requests", (("status_code", 404),)] == 1
    assert found["faust.http.latency", ()] == 1
    assert found["faust.custom.count", (("name", "mine"),)] == 3
    assert found["faust.assignments", (("result", "error"),)] == 1
    assert found["faust.rebalances.active", ()] == found["faust.rebalances.recovering", ()] == 0


class Traces:
    """A tracer provider, and the spans it has made."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def all(self) -> list[ReadableSpan]:
        """Return the finished spans."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the finished spans of a name."""
        return [span for span in self.all() if span.name == name]


@pytest.fixture
def traces() -> Traces:
    return Traces()


def trace_id(span: ReadableSpan | trace.Span) -> int:
    """Return the trace that a span is part of."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id


async def test_5_traces(traces: Traces) -> None:
    """livecheck-sensors.md 5: one trace over a topic, `group_by`, a table's changelog, a question and its answer."""
    app = faust.App("traced", broker="kafka://not-asked", topic_partitions=2)
    orders = app.topic("orders", key_type=str, value_type=str, internal=True)
    seen = app.topic("seen", key_type=str, value_type=str, internal=True)
    changelog = app.topic("traced-totals-changelog", value_serializer="raw")
    totals = app.Table("totals", default=int)
    sensor = otel.setup_opentelemetry(app, tracer=traces.tracer)
    assert sensor is not None
    before = trace.get_current_span()

    @app.agent(value_type=str)
    async def shout(stream: Any) -> Any:
        async for word in stream:
            yield word.upper()

    @app.agent(orders)
    async def count(stream: Any) -> None:
        async for word in stream.group_by(lambda value: value, name="word"):
            totals[word] += 1
            assert await shout.ask(word) == word.upper()
            await seen.send(key=word, value=word)

    async with faust.testing.run(app) as t:
        with traces.tracer.start_as_current_span("shop") as root:
            await t.send(orders, "apple", key="k1")
        await t.send(orders, "pear", key="k2")
        await t.idle()
        context = root.get_span_context()
        mine = f"{context.trace_id:032x}"
        (first,) = [s for s in traces.named("orders process") if trace_id(s) == context.trace_id]
        assert first.parent is not None
        assert first.parent.span_id == context.span_id
        assert first.kind is trace.SpanKind.CONSUMER
        attributes = dict(first.attributes or {})
        assert attributes.pop("messaging.destination.partition.id") in {"0", "1"}
        assert attributes == {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "orders",
            "messaging.kafka.message.offset": 0,
            "messaging.consumer.group.name": "traced",
            "messaging.kafka.message.key": "k1",
        }
        spans = [span for span in traces.all() if trace_id(span) == context.trace_id]
        assert (
            len({span.name for span in spans}) == 4
        )  # shop, orders, the repartition, the question
        (event,) = [event for event in t.messages(seen) if event.value == "apple"]
        assert event.headers["traceparent"].decode().split("-")[1] == mine
        told = {event.key: event.headers for event in t.messages(changelog)}
        assert sum(mine in str(headers.get("traceparent")) for headers in told.values()) == 1
        assert len(told) == 2
        others = {trace_id(span) for span in traces.named("orders process")} - {context.trace_id}
        assert len(others) == 1  # the other message brought none, and begins a trace of its own
    assert trace.get_current_span() is before


async def test_5_traces_of_what_waits_for_the_commit(traces: Traces) -> None:
    """livecheck-sensors.md 5: a message that ``stream_publish_on_commit`` holds back takes the context of its event along."""
    app = faust.App(
        "held", broker="kafka://not-asked", topic_partitions=1, stream_publish_on_commit=True
    )
    orders = app.topic("orders", value_type=str, internal=True)
    seen = app.topic("seen", value_type=str, internal=True)
    answers = app.topic("answers", value_type=str, internal=True)
    otel.setup_opentelemetry(app, tracer=traces.tracer)

    @app.agent(orders, sink=[answers])
    async def count(stream: Any) -> Any:
        async for word in stream:
            await seen.send(value=word)
            yield word.upper()

    async with faust.testing.run(app) as t:
        ids = {}
        for word in ("apple", "pear"):
            with traces.tracer.start_as_current_span("shop") as root:
                ids[word] = f"{root.get_span_context().trace_id:032x}"
                await t.send(orders, word)
        await t.idle()
        for topic in (seen, answers):
            found = {
                event.value.lower(): event.headers["traceparent"].decode().split("-")[1]
                for event in t.messages(topic)
            }
            assert found == ids


async def test_5_errors_are_recorded(traces: Traces) -> None:
    """livecheck-sensors.md 5: the span of an event whose agent raises has the error; the next one has not."""
    app = faust.App("raising", broker="kafka://not-asked", topic_partitions=1)
    topic = app.topic("work", value_type=int, internal=True)
    otel.setup_opentelemetry(app, tracer=traces.tracer)

    @app.agent(topic)
    async def divide(stream: Any) -> None:
        async for number in stream:
            assert 1 / number

    async with faust.testing.run(app) as t:
        await t.send("work", 0)
        await t.send("work", 1)
        await t.idle()
    bad, good = traces.named("work process")
    assert bad.status.status_code is trace.StatusCode.ERROR
    assert [event.name for event in bad.events] == ["exception"]
    assert good.status.status_code is trace.StatusCode.UNSET


@pytest.mark.parametrize(
    "headers", [{}, {"traceparent": b"\xff junk"}, {"Traceparent": b"00-x-y-z"}]
)
async def test_5_broken_headers_fail_nothing(traces: Traces, headers: dict[str, bytes]) -> None:
    """livecheck-sensors.md 5: what cannot be understood begins a new trace, and the event is processed."""
    app = faust.App("broken", broker="kafka://not-asked", topic_partitions=1)
    topic = app.topic("work", value_type=int, internal=True)
    otel.setup_opentelemetry(app, tracer=traces.tracer)
    seen: list[Any] = []

    @app.agent(topic)
    async def work(stream: Any) -> None:
        async for event in stream.events():
            seen.append(event.headers)

    async with faust.testing.run(app) as t:
        await t.send("work", 1, headers=headers)
        await t.idle()
    assert seen == [headers]
    assert len(traces.named("work process")) == 1


async def test_8_a_tracer_for_the_app(traces: Traces) -> None:
    """app.md 8: with `OpenTelemetryTracer` tasks, `app.trace`, `app.traced` and rebalances are spans."""
    app = faust.App("tasks", broker="kafka://not-asked", topic_partitions=1)
    app.tracer = otel.OpenTelemetryTracer(traces.provider)
    topic = app.topic("work", value_type=int, internal=True)
    ran = asyncio.Event()

    @app.agent(topic)
    async def work(stream: Any) -> None:
        async for _ in stream:
            pass

    @app.task
    async def once() -> None:
        with app.trace("inside", number=1, odd=[2]):
            ran.set()

    async def never() -> None:
        pass

    async with faust.testing.run(app) as t:
        await ran.wait()
        await app.traced(never, sample_rate=0.0)()
        await t.idle()
    (inside,) = traces.named("inside")
    assert dict(inside.attributes or {}) == {"number": 1, "odd": "[2]"}
    assert inside.parent is not None
    assert len(traces.named("rebalance")) == 1
    assert not [s for s in traces.all() if "never" in s.name]
    span = app.tracer.default_tracer.start_span("by hand")
    span.finish()
    assert traces.named("by hand")


async def test_5_asgi(traces: Traces) -> None:
    """livecheck-sensors.md 5: requests of an ASGI application are traced where spans go somewhere, or when forced."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert otel.opentelemetry_available()
    assert not otel.sdk_is_configured()
    assert otel.instrument_asgi_app(application) is application
    wrapped = otel.instrument_asgi_app(application, tracer_provider=traces.provider, force=True)
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/x", "scheme": "http",
        "headers": [], "query_string": b"", "client": ("127.0.0.1", 1), "server": ("localhost", 80),
    }  # fmt: skip
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    await wrapped(scope, receive, send)
    assert sent[0]["status"] == 204
    assert [s for s in traces.all() if s.kind is trace.SpanKind.SERVER]


async def test_9_requests_to_an_application_beside_ours(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """web.md 9: `faust_lifespan` and `AsgiService` trace requests where a provider is configured, or when told to; once each."""
    app = faust.App("beside", broker=f"memory://{uuid4()}", web_enabled=False)
    told: dict[str, bool | None] = {"opentelemetry": None}

    @asynccontextmanager
    async def lifespan(api: Any) -> AsyncIterator[None]:
        async with faust_lifespan(app, **told)(api):
            yield

    api = FastAPI(lifespan=lifespan)

    @api.get("/x")
    async def shown() -> int:
        return 1

    def requests() -> int:
        """Count the spans of requests; newer FastAPIs make some of their own, too."""
        found = [span for span in traces.all() if span.kind is trace.SpanKind.SERVER]
        scopes = [span.instrumentation_scope for span in found]
        return sum(scope is not None and scope.name.endswith(".asgi") for scope in scopes)

    def ask() -> None:
        with TestClient(api) as client:
            assert client.get("/x").json() == 1

    await asyncio.to_thread(ask)
    assert requests() == 0  # spans would go nowhere
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", traces.provider)
    told["opentelemetry"] = False
    await asyncio.to_thread(ask)
    assert requests() == 0
    told["opentelemetry"] = None
    for number in (1, 2):
        await asyncio.to_thread(ask)
        assert requests() == number
    plain = FastAPI()
    plain.get("/x")(shown)
    service = AsgiService(plain, host="127.0.0.1", port=free_port())
    async with (
        service,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{service.port}/x") as response,
    ):
        assert await response.json() == 1
    assert requests() == 3


async def test_9_tracing_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """web.md 9: with ``opentelemetry=True`` what cannot be traced is an error that says what to do."""
    app = faust.App("beside", broker="memory://", web_enabled=False)
    with pytest.raises(ImproperlyConfigured, match="instrument_asgi_app"):
        async with faust_lifespan(app, opentelemetry=True)(object()):
            pass
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    api = FastAPI()
    api.middleware_stack = api.build_middleware_stack()
    with pytest.raises(ImproperlyConfigured, match=r"faust\[otel\]"):
        async with faust_lifespan(app, opentelemetry=True)(api):
            pass


def test_5_without_the_library(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """livecheck-sensors.md 5: without the API nothing is traced, and the monitor says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(ImproperlyConfigured, match=r"faust\[otel\]"):
        OpenTelemetryMonitor()
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    assert not otel.opentelemetry_available()
    assert otel.setup_opentelemetry(faust.App("none", broker="memory://")) is None
    assert "faust[otel]" in caplog.text
    assert not otel.sdk_is_configured()
