"""OpenTelemetry traces: a span for each event, in the context that its message brings, and that its sends take along.

The context travels in headers, by whatever propagator is configured (W3C trace context by default): over topics,
`group_by`, questions and answers, and in the changelogs of tables: a change carries the context of the event that
made it last. The headers of a message that is read are never changed, and nothing that fails here fails the event.
"""

from __future__ import annotations

import importlib.util
import logging
import random
import sys
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from faust.messages import TP
from faust.sensors.base import Sensor
from faust.sensors.exporting import needed

__all__ = [
    "OpenTelemetrySensor",
    "OpenTelemetryTracer",
    "instrument_asgi_app",
    "opentelemetry_available",
    "sdk_is_configured",
    "setup_opentelemetry",
]

logger: logging.Logger = logging.getLogger(__name__)

TRACER_NAME = "faust"

MAX_CHANGES = 10_000
"""Changes of tables that are not flushed yet whose contexts are kept; older ones travel without."""


def opentelemetry_available() -> bool:
    """Say whether the OpenTelemetry API is installed."""
    try:
        return importlib.util.find_spec("opentelemetry.trace") is not None
    except ModuleNotFoundError:
        return False


def sdk_is_configured() -> bool:
    """Say whether spans go anywhere: the global tracer provider is that of an SDK."""
    if not opentelemetry_available():
        return False
    from opentelemetry import trace

    idle = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    return not isinstance(trace.get_tracer_provider(), idle)


def setup_opentelemetry(app: Any, *, tracer: Any = None) -> OpenTelemetrySensor | None:
    """Trace what *app* does with OpenTelemetry; before it is started.

    Arguments:
        app: The application.
        tracer: The tracer; None: one of the global provider.

    Returns:
        The sensor that was added; None: the OpenTelemetry API is not installed.
    """
    if not opentelemetry_available():
        logger.warning(
            "OpenTelemetry is not installed: pip install 'faust[otel]'; nothing is traced"
        )
        return None
    if any(type(sensor).__name__ == "TracingSensor" for sensor in app.sensors):
        logger.warning(
            "app %s is traced with OpenTracing, too: each event will have two spans", app
        )
    sensor = OpenTelemetrySensor(tracer=tracer, group=app.conf.id)
    app.sensors.add(sensor)
    app.on_produce_message.connect(sensor.inject)
    app.tables.changelog_headers = sensor.headers_of_change
    return sensor


class _Begun(NamedTuple):
    span: Any
    context: Any
    before: Any


class OpenTelemetrySensor(Sensor):
    """Makes a CONSUMER span of each event, current while the event is processed; needs ``pip install 'faust[otel]'``.

    Arguments:
        tracer: The tracer; None: one of the global provider.
        group: Name of the consumer group, for the spans.

    Raises:
        ImproperlyConfigured: The library ``opentelemetry-api`` is not installed.
    """

    def __init__(self, *, tracer: Any = None, group: str | None = None, **kwargs: Any) -> None:
        needed("opentelemetry.trace", "opentelemetry-api", "otel")
        self._tracer = tracer
        self.group: str | None = group
        self._changes: OrderedDict[tuple[str, Any], list[tuple[str, bytes]]] = OrderedDict()
        super().__init__(**kwargs)

    @property
    def tracer(self) -> Any:
        """The tracer; that of the global provider is looked for on first use."""
        if self._tracer is None:
            from opentelemetry import trace

            self._tracer = trace.get_tracer(TRACER_NAME)
        return self._tracer

    # -- events

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> _Begun | None:
        """Begin a span, in the context that the message brings."""
        try:
            return self._begin(tp, offset, event)
        except Exception:
            logger.exception("OpenTelemetry: the span of %s[%s] offset %s failed", *tp, offset)
            return None

    def _begin(self, tp: TP, offset: int, event: Any) -> _Begun:
        from opentelemetry import context, propagate, trace

        message = event.message
        brought = propagate.extract(_first_of(message.headers), context=context.Context())
        span = self.tracer.start_span(
            f"{tp.topic} process",
            context=brought,
            kind=trace.SpanKind.CONSUMER,
            attributes=self._attributes(tp, offset, message.key),
        )
        before = context.get_current()
        inside = trace.set_span_in_context(span, brought)
        context.attach(inside)
        return _Begun(span, inside, before)

    def _attributes(self, tp: TP, offset: int, key: Any) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": tp.topic,
            "messaging.destination.partition.id": str(tp.partition),
            "messaging.kafka.message.offset": offset,
        }
        if self.group is not None:
            attributes["messaging.consumer.group.name"] = self.group
        if key is not None:
            text = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            attributes["messaging.kafka.message.key"] = text
        return attributes

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: Any, event: Any, state: Any = None
    ) -> None:
        """End the span; with the error if the event ends because its agent has raised."""
        if state is None:
            return
        try:
            self._end(state)
        except Exception:
            logger.exception("OpenTelemetry: the span of %s[%s] offset %s failed", *tp, offset)

    def _end(self, begun: _Begun) -> None:
        from opentelemetry import context, trace

        error = sys.exc_info()[1]
        if isinstance(error, Exception):
            begun.span.record_exception(error)
            begun.span.set_status(trace.Status(trace.StatusCode.ERROR, repr(error)))
        begun.span.end()
        if (
            context.get_current() is begun.context
        ):  # an acknowledgement by hand may come from anywhere
            context.attach(begun.before)

    # -- what is sent

    def inject(self, sender: Any, *, headers: Any = None, **_kwargs: Any) -> None:
        """Let the current context travel with a message; handler of `faust.App.on_produce_message`."""
        carried = _carried()
        if carried and headers is not None:
            names = {name for name, _ in carried}
            headers[:] = [pair for pair in headers if pair[0].lower() not in names] + carried

    # -- changes of tables

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        """Keep the current context for the record of the changelog."""
        self._keep(table, key)

    def on_table_del(self, table: Any, key: Any) -> None:
        """Keep the current context for the record of the changelog."""
        self._keep(table, key)

    def _keep(self, table: Any, key: Any) -> None:
        carried = _carried()
        place = (table.changelog_topic_name, key)
        if carried:
            self._changes[place] = carried
            self._changes.move_to_end(place)
            if len(self._changes) > MAX_CHANGES:
                self._changes.popitem(last=False)
        else:
            self._changes.pop(place, None)

    def headers_of_change(self, topic: str, key: Any) -> list[tuple[str, bytes]]:
        """Return the headers of the record that a change of *key* writes into the changelog *topic*."""
        found = self._changes.pop((topic, key), None)
        if found is None and isinstance(key, tuple) and key:  # a window of a key, a member of a set
            found = self._changes.get((topic, key[0]))
        return found or []


def _first_of(headers: Any) -> dict[str, str]:
    """Return *headers* as propagators read them: lower-case names, of several values the first."""
    found: dict[str, str] = {}
    pairs: Any = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, value in pairs:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        found.setdefault(str(name).lower(), text)
    return found


def _carried() -> list[tuple[str, bytes]]:
    """Return the current context as headers."""
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return [(name.lower(), value.encode()) for name, value in carrier.items()]


# -- app.tracer


class _Span:
    """A span that ends by ``finish()``, as those of OpenTracing."""

    def __init__(self, span: Any) -> None:
        self.span: Any = span

    def finish(self) -> None:
        """End it."""
        self.span.end()


class _Service:
    """The tracer of one service."""

    def __init__(self, tracer: Any) -> None:
        self.tracer: Any = tracer

    def start_span(self, operation_name: str, tags: Mapping[str, Any] | None = None) -> _Span:
        """Begin a span that is not current."""
        return _Span(self.tracer.start_span(operation_name, attributes=dict(tags or {})))


class OpenTelemetryTracer:
    """What ``app.tracer`` may be: contexts of `faust.App.trace`, tasks, timers and rebalances become spans.

    Arguments:
        tracer_provider: Where tracers come from; None: the global one.

    Raises:
        ImproperlyConfigured: The library ``opentelemetry-api`` is not installed.
    """

    def __init__(self, tracer_provider: Any = None) -> None:
        self._api = needed("opentelemetry.trace", "opentelemetry-api", "otel")
        self._provider = tracer_provider

    def trace(
        self, name: str, sample_rate: float | None = None, **context: Any
    ) -> AbstractContextManager[Any]:
        """Return a context whose span is current; *sample_rate*: share of the contexts that have one, 0 to 1."""
        if sample_rate is not None and random.random() >= sample_rate:
            return nullcontext()
        attributes = {key: _plain(value) for key, value in context.items() if value is not None}
        made: AbstractContextManager[Any] = self._tracer(TRACER_NAME).start_as_current_span(
            name, attributes=attributes
        )
        return made

    def get_tracer(self, service_name: str) -> _Service:
        """Return the tracer of a service."""
        return _Service(self._tracer(service_name))

    @property
    def default_tracer(self) -> _Service:
        """The tracer of the library."""
        return self.get_tracer(TRACER_NAME)

    def _tracer(self, name: str) -> Any:
        return self._api.get_tracer(name, tracer_provider=self._provider)


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | bytes) else repr(value)


# -- ASGI


def instrument_asgi_app(asgi_app: Any, *, tracer_provider: Any = None, force: bool = False) -> Any:
    """Wrap an ASGI application so that its requests are traced.

    Arguments:
        asgi_app: The application.
        tracer_provider: Where tracers come from; None: the global one.
        force: Also when no SDK is configured.

    Returns:
        The wrapped application; *asgi_app* itself when spans would go nowhere, or the library
        ``opentelemetry-instrumentation-asgi`` is not installed.
    """
    if not (force or tracer_provider is not None or sdk_is_configured()):
        return asgi_app
    try:
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    except ImportError:
        logger.warning(
            "opentelemetry-instrumentation-asgi is not installed: pip install 'faust[otel]'; requests are not traced"
        )
        return asgi_app
    return OpenTelemetryMiddleware(asgi_app, tracer_provider=tracer_provider)
