"""OpenTelemetry metrics: `faust.Monitor` whose figures are also instruments of a meter. Times are in milliseconds.

What happens per event is passed on in runs, so that it costs next to nothing. For traces see
`faust.contrib.opentelemetry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faust.sensors.exporting import RunMonitor, needed

__all__ = ["OpenTelemetryMonitor"]

# Figure (`faust.sensors.exporting`) -> instrument and its attributes.

_PLACE = ("topic", "partition")

_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "messages_received": ("faust.messages.received", _PLACE),
    "events": ("faust.events.total", (*_PLACE, "stream")),
    "messages_sent": ("faust.messages.sent", ("topic",)),
    "messages_send_failed": ("faust.messages.send_errors", ("topic",)),
    "table_operations": ("faust.table.operations", ("table", "operation")),
    "assignments": ("faust.assignments", ("result",)),
    "http_requests": ("faust.http.requests", ("status_code",)),
    "custom": ("faust.custom.count", ("name",)),
}
_UP_DOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "messages_active": ("faust.messages.active", ()),
    "events_active": ("faust.events.active", ()),
    "rebalances": ("faust.rebalances.active", ()),
    "rebalances_recovering": ("faust.rebalances.recovering", ()),
}
_HISTOGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "events_runtime": ("faust.events.runtime", ("topic", "stream")),
    "commit_latency": ("faust.commit.latency", ()),
    "send_latency": ("faust.send.latency", ()),
    "send_latency_for_error": ("faust.send.error_latency", ()),
    "assignment_latency": ("faust.assignment.latency", ()),
    "rebalance_return_latency": ("faust.rebalance.return_latency", ()),
    "rebalance_end_latency": ("faust.rebalance.end_latency", ()),
    "http_response_latency": ("faust.http.latency", ()),
}
_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "read_offset": ("faust.offset.read", _PLACE),
    "committed_offset": ("faust.offset.committed", _PLACE),
    "end_offset": ("faust.offset.end", _PLACE),
    "threaded_producer_buffer": ("faust.producer.buffer", ()),
}

_OPERATIONS = {"keys_retrieved": "get", "keys_updated": "set", "keys_deleted": "del"}
_RESULTS = {"assignments_complete": "completed", "assignments_error": "error"}


class OpenTelemetryMonitor(RunMonitor):
    """Keeps OpenTelemetry metrics; needs ``pip install 'faust[otel]'``, and an SDK that exports them.

    Arguments:
        meter: The meter; None: one of the global provider, named *service_name*.
        service_name: Name of the meter.
        metrics: Instruments by name (``faust.events.total``), to be used instead of the meter's.
        options: As for `faust.Monitor`.

    Raises:
        ImproperlyConfigured: The library ``opentelemetry-api`` is not installed.
    """

    def __init__(
        self,
        *,
        meter: Any = None,
        service_name: str = "faust",
        metrics: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._api = needed("opentelemetry.metrics", "opentelemetry-api", "otel")
        self._meter = meter
        self.service_name: str = service_name
        self._instruments: dict[str, Any] = dict(metrics or {})
        super().__init__(**options)

    @property
    def meter(self) -> Any:
        """The meter; that of the global provider is looked for on first use."""
        if self._meter is None:
            self._meter = self._api.get_meter(self.service_name)
        return self._meter

    def add(self, figure: str, count: int = 1, **place: Any) -> None:
        """Add to a counter."""
        if figure in _RESULTS:
            figure, place = "assignments", {"result": _RESULTS[figure]}
        elif figure == "table_operations":
            place["operation"] = _OPERATIONS[place["operation"]]
        known = _COUNTERS.get(figure)
        if known is not None:
            self._instrument(known[0], self.meter.create_counter).add(count, _only(place, known[1]))
        elif figure in _UP_DOWN:
            name, wanted = _UP_DOWN[figure]
            make = self.meter.create_up_down_counter
            self._instrument(name, make).add(count, _only(place, wanted))

    def hold(self, figure: str, value: int, **place: Any) -> None:
        """Set a gauge."""
        name, wanted = _GAUGES[figure]
        self._instrument(name, self.meter.create_gauge).set(value, _only(place, wanted))

    def took(self, figure: str, milliseconds: float, **place: Any) -> None:
        """Record how long something took."""
        name, wanted = _HISTOGRAMS[figure]
        make = self.meter.create_histogram
        self._instrument(name, make, unit="ms").record(milliseconds, _only(place, wanted))

    def _instrument(self, name: str, make: Any, unit: str = "1") -> Any:
        instrument = self._instruments.get(name)
        if instrument is None:
            instrument = self._instruments[name] = make(name, unit=unit)
        return instrument


def _only(place: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    return {name: place[name] for name in wanted if name in place}
