"""Datadog: `faust.Monitor` whose figures are also sent to a DogStatsD agent, with tags. Times are in milliseconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from faust.sensors.exporting import SingleMonitor, needed

__all__ = ["DatadogMonitor"]

_ODD = re.compile(r"[^0-9a-zA-Z_]")

_NAMES: Mapping[str, str] = {
    "table_operations": "table_{operation}",
    "http_requests": "http_status_code.{status_code}",
    "custom": "{name}",
}
"""Figure -> its name, where it is not the figure's own."""

_NOT_SENT = frozenset({"stream_events"})
"""What is told by a tag of another figure."""

_TAGS = frozenset({"topic", "partition", "stream", "table"})


class DatadogMonitor(SingleMonitor):
    """Sends figures to Datadog; needs ``pip install 'faust[datadog]'``.

    Arguments:
        host: Host name of the agent.
        port: UDP port.
        prefix: Namespace: begins every name, before a dot.
        rate: Share of the events that are sent, 0 to 1.
        options: As for `faust.Monitor`.

    Raises:
        ImproperlyConfigured: The library ``datadog`` is not installed.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8125,
        prefix: str = "faust-app",
        rate: float = 1.0,
        **options: Any,
    ) -> None:
        self._dogstatsd = needed("datadog.dogstatsd", "datadog", "datadog")
        self.host: str = host
        self.port: int = port
        self.prefix: str = prefix
        self.rate: float = rate
        super().__init__(**options)

    @cached_property
    def client(self) -> Any:
        """The client; made on first use."""
        return self._dogstatsd.DogStatsd(
            host=self.host,
            port=self.port,
            namespace=self.prefix,
            disable_telemetry=True,
            disable_buffering=True,
        )

    async def on_stop(self) -> None:
        """Close the socket."""
        self.close()

    def close(self) -> None:
        """Close the socket; the next figure opens another."""
        client = vars(self).pop("client", None)
        if client is not None:
            client.close_socket()

    def add(self, figure: str, count: int = 1, **place: Any) -> None:
        """Send a counter."""
        if figure not in _NOT_SENT:
            self.client.increment(
                _name(figure, place), count, tags=_tags(place), sample_rate=self.rate
            )

    def hold(self, figure: str, value: int, **place: Any) -> None:
        """Send a gauge."""
        self.client.gauge(_name(figure, place), value, tags=_tags(place), sample_rate=self.rate)

    def took(self, figure: str, milliseconds: float, **place: Any) -> None:
        """Send a timing."""
        self.client.timing(
            _name(figure, place), milliseconds, tags=_tags(place), sample_rate=self.rate
        )


def _name(figure: str, place: Mapping[str, Any]) -> str:
    return _NAMES.get(figure, figure).format_map(place)


def _tags(place: Mapping[str, Any]) -> list[str]:
    return [f"{name}:{_ODD.sub('_', str(place[name]))}" for name in place if name in _TAGS]
