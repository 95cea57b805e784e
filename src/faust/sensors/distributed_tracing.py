"""OpenTracing: spans of messages, of the work on them, and of what is sent meanwhile.

The context follows messages in their headers. OpenTracing is history; new programs use OpenTelemetry
(`faust.contrib.opentelemetry`), whose shim lets it take the place of an OpenTracing tracer, too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from faust.messages import TP, Message, RecordMetadata
from faust.sensors.base import Sensor
from faust.sensors.exporting import needed

__all__ = ["TracingSensor", "current_span"]

logger: logging.Logger = logging.getLogger(__name__)

_current: ContextVar[Any] = ContextVar("faust.opentracing.span", default=None)


def current_span() -> Any:
    """Return the span of the event that the running code processes; None outside of it."""
    return _current.get()


class _Job(NamedTuple):
    span: Any
    before: Any


class TracingSensor(Sensor):
    """Traces messages with OpenTracing; needs ``pip install 'faust[opentracing]'``.

    Override `app_tracer` and `kafka_tracer` for tracers that are not the global one.

    Raises:
        ImproperlyConfigured: The library ``opentracing`` is not installed.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._opentracing = needed("opentracing", "opentracing", "opentracing")
        self._consumed: dict[tuple[TP, int], Any] = {}
        super().__init__(**kwargs)

    @property
    def app_tracer(self) -> Any:
        """Tracer of what the application does: ``job-{topic}``."""
        return self._opentracing.global_tracer()

    @property
    def kafka_tracer(self) -> Any:
        """Tracer of messages: ``consume-from-{topic}`` and ``produce-to-{topic}``."""
        return self._opentracing.global_tracer()

    # -- messages that are read

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        """Begin the span of a message; it follows the context that its headers bring."""
        carrier = _texts(message.headers)
        references = []
        try:
            found = self.kafka_tracer.extract(self._opentracing.Format.TEXT_MAP, carrier)
        except self._opentracing.SpanContextCorruptedException:
            logger.warning("OpenTracing: the context of %s[%s] offset %s is broken", *tp, offset)
            found = None
        if found is not None:
            references.append(self._opentracing.follows_from(found))
        self._consumed[tp, offset] = self.kafka_tracer.start_span(
            operation_name=f"consume-from-{tp.topic}",
            references=references,
            ignore_active_span=True,
            tags={"kafka-topic": tp.topic, "kafka-partition": tp.partition, "kafka-offset": offset},
        )

    def on_message_out(self, tp: TP, offset: int, message: Message) -> None:
        """End the span of a message."""
        span = self._consumed.pop((tp, offset), None)
        if span is not None:
            span.finish()

    # -- events

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> _Job:
        """Begin the span of the work of one stream; it is current until the event is finished."""
        parent = self._consumed.get((tp, offset))
        span = self.app_tracer.start_span(
            operation_name=f"job-{tp.topic}",
            child_of=parent,
            ignore_active_span=True,
            tags={"stream": str(stream.shortlabel)},
        )
        before = _current.get()
        _current.set(span)
        return _Job(span, before)

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: Any, event: Any, state: Any = None
    ) -> None:
        """End it."""
        if state is not None:
            state.span.finish()
            if _current.get() is state.span:
                _current.set(state.before)

    # -- messages that are sent

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> Any:
        """Begin the span of a send, and let its context travel with the message."""
        span = self.kafka_tracer.start_span(
            operation_name=f"produce-to-{topic}",
            child_of=_current.get(),
            ignore_active_span=True,
            tags={"kafka-topic": topic, "kafka-key-size": keysize, "kafka-value-size": valsize},
        )
        carrier: dict[str, str] = {}
        self.kafka_tracer.inject(span.context, self._opentracing.Format.TEXT_MAP, carrier)
        headers = message.headers
        if isinstance(headers, list):
            headers[:] = [pair for pair in headers if pair[0] not in carrier]
            headers.extend((name, str(value).encode()) for name, value in carrier.items())
        return span

    def on_send_completed(self, producer: Any, state: Any, metadata: RecordMetadata) -> None:
        """End it."""
        if state is not None:
            state.finish()

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        """End it, with the error."""
        if state is not None:
            state.set_tag("error", True)
            state.log_kv({"event": "error", "error.object": exc})
            state.finish()


def _texts(headers: Any) -> dict[str, str]:
    """Return *headers* (None, pairs or a mapping) as a text map."""
    pairs: Any = headers.items() if isinstance(headers, Mapping) else headers or ()
    return {
        str(name): value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for name, value in pairs
    }
