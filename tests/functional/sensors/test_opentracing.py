"""OpenTracing, with its real library (livecheck-sensors.md 5)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest
from opentracing.mocktracer import MockTracer

import faust
import faust.testing
from faust.contrib.opentelemetry import setup_opentelemetry
from faust.exceptions import ImproperlyConfigured
from faust.messages import TP
from faust.sensors.distributed_tracing import TracingSensor, current_span


class Sensor(TracingSensor):
    """Traces into a tracer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.tracer = MockTracer()

    @property
    def app_tracer(self) -> Any:
        return self.tracer

    @property
    def kafka_tracer(self) -> Any:
        return self.tracer

    def named(self, name: str) -> list[Any]:
        return [span for span in self.tracer.finished_spans() if span.operation_name == name]


async def test_5_spans_follow_messages() -> None:
    """livecheck-sensors.md 5: consume, job and produce spans of a message are one trace, over topics."""
    app = faust.App("opentraced", broker="kafka://not-asked", topic_partitions=1)
    first = app.topic("first", value_type=int, internal=True)
    second = app.topic("second", value_type=int, internal=True)
    sensor = Sensor()
    app.sensors.add(sensor)

    @app.agent(first)
    async def pass_on(stream: Any) -> None:
        async for number in stream:
            assert current_span().operation_name == "job-first"
            await second.send(value=number)

    @app.agent(second)
    async def end(stream: Any) -> None:
        async for _ in stream:
            pass

    async with faust.testing.run(app) as t:
        await t.send("first", 1)
        await t.idle()
    (job,) = sensor.named("job-first")
    (consumed,) = sensor.named("consume-from-first")
    (sent,) = sensor.named("produce-to-second")
    (received,) = sensor.named("consume-from-second")
    assert job.parent_id == consumed.context.span_id
    assert sent.parent_id == job.context.span_id
    assert received.parent_id == sent.context.span_id
    assert {span.context.trace_id for span in (job, consumed, sent, received)} == {
        consumed.context.trace_id
    }
    assert consumed.tags["kafka-topic"] == "first"
    assert current_span() is None
    assert not sensor._consumed


@pytest.mark.parametrize("headers", [None, [], {}, {"a": b"\xff"}, [("b", b"1"), ("b", b"2")]])
def test_5_headers_of_every_kind(headers: Any) -> None:
    """livecheck-sensors.md 5 [Q]: headers may be None, pairs or a mapping."""
    sensor = Sensor()

    class Message:
        def __init__(self, headers: Mapping[str, bytes] | None) -> None:
            self.headers = headers

    message: Any = Message(headers)
    sensor.on_message_in(TP("t", 0), 7, message)
    sensor.on_message_out(TP("t", 0), 7, message)
    assert len(sensor.named("consume-from-t")) == 1


def test_5_errors_of_sends() -> None:
    """livecheck-sensors.md 5: the span of a send that failed says so."""
    sensor = Sensor()

    class Message:
        headers: list[tuple[str, bytes]] = []  # noqa: RUF012

    span = sensor.on_send_initiated(None, "t", Message(), 1, 2)
    assert [name for name, _ in Message.headers]
    sensor.on_send_error(None, ValueError("x"), span)
    assert sensor.named("produce-to-t")[0].tags["error"] is True


def test_5_two_tracings_warn(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """livecheck-sensors.md 5: OpenTelemetry beside OpenTracing warns; a missing library is named."""
    app = faust.App("both", broker="memory://")
    app.sensors.add(TracingSensor())
    setup_opentelemetry(app)
    assert "OpenTracing" in caplog.text
    monkeypatch.setitem(sys.modules, "opentracing", None)
    with pytest.raises(ImproperlyConfigured, match=r"faust\[opentracing\]"):
        TracingSensor()
