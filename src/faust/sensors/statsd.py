"""StatsD: `faust.Monitor` whose figures are also sent to a StatsD server, by UDP. Times are in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from faust.sensors.exporting import SingleMonitor, needed

__all__ = ["StatsdMonitor"]

_NAMES: Mapping[str, str] = {
    "topic_messages_received": "topic.{topic}.messages_received",
    "topic_messages_sent": "topic.{topic}.messages_sent",
    "read_offset": "read_offset.{topic}.{partition}",
    "committed_offset": "committed_offset.{topic}.{partition}",
    "end_offset": "end_offset.{topic}.{partition}",
    "stream_events": "stream.{stream}.events",
    "table_operations": "table.{table}.{operation}",
    "messages_send_failed": "messages_sent_error",
    "http_requests": "http_status_code.{status_code}",
    "custom": "{name}",
}
"""Figure -> its name, where it is not the figure's own."""


class StatsdMonitor(SingleMonitor):
    """Sends figures to StatsD; needs ``pip install 'faust[statsd]'``.

    Arguments:
        host: Host name of the server.
        port: UDP port.
        prefix: Begins every name, before a dot.
        rate: Share of the events that are sent, 0 to 1.
        options: As for `faust.Monitor`.

    Raises:
        ImproperlyConfigured: The library ``statsd`` is not installed.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8125,
        prefix: str = "faust-app",
        rate: float = 1.0,
        **options: Any,
    ) -> None:
        self._statsd = needed("statsd", "statsd", "statsd")
        self.host: str = host
        self.port: int = port
        self.prefix: str = prefix
        self.rate: float = rate
        super().__init__(**options)

    @cached_property
    def client(self) -> Any:
        """The client; made on first use."""
        return self._statsd.StatsClient(host=self.host, port=self.port, prefix=self.prefix)

    async def on_stop(self) -> None:
        """Close the socket."""
        self.close()

    def close(self) -> None:
        """Close the socket; the next figure opens another."""
        client = vars(self).pop("client", None)
        if client is not None:
            client.close()

    def add(self, figure: str, count: int = 1, **place: Any) -> None:
        """Send a counter."""
        self.client.incr(_name(figure, place), count, rate=self.rate)

    def hold(self, figure: str, value: int, **place: Any) -> None:
        """Send a gauge."""
        self.client.gauge(_name(figure, place), value)

    def took(self, figure: str, milliseconds: float, **place: Any) -> None:
        """Send a timing."""
        self.client.timing(_name(figure, place), milliseconds, rate=self.rate)


def _name(figure: str, place: Mapping[str, Any]) -> str:
    return _NAMES.get(figure, figure).format_map(place)
