"""The transport of ``kafka://`` and ``aiokafka://`` URLs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from yarl import URL

from faust.exceptions import FaustWarning, ImproperlyConfigured
from faust.transport import base

try:
    import aiokafka
except ImportError as _error:
    raise ImproperlyConfigured(
        "broker URLs kafka:// and aiokafka:// need aiokafka: pip install 'aiokafka>=0.14,<0.15'"
    ) from _error

from faust.transport.drivers.aiokafka.admin import Admin
from faust.transport.drivers.aiokafka.consumer import Consumer
from faust.transport.drivers.aiokafka.credentials import client_security
from faust.transport.drivers.aiokafka.logs import quieten
from faust.transport.drivers.aiokafka.producer import Producer
from faust.transport.drivers.aiokafka.thread import ClientThread

__all__ = ["Transport", "bootstrap_servers"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9092


def bootstrap_servers(urls: Sequence[URL]) -> list[str]:
    """Return ``host:port`` of each URL; IPv6 addresses stay in brackets, the path is ignored.

    Warns that user info is ignored, as nobody who writes a password expects.

    Raises:
        ImproperlyConfigured: there is no URL.
    """
    if not urls:
        raise ImproperlyConfigured("the broker setting is empty: expected kafka://host:9092")
    servers = []
    for url in urls:
        if url.user or url.password:
            warnings.warn(
                f"the user name and password in broker URL {url.scheme}://***@{url.host} are not used: "
                "give broker_credentials=faust.SASLCredentials(username=..., password=...)",
                FaustWarning,
                stacklevel=3,
            )
        host = url.host or DEFAULT_HOST
        port = url.explicit_port or DEFAULT_PORT
        servers.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return servers


class Transport(base.Transport):
    """Makes the clients of one Kafka cluster. They share one client thread."""

    default_port: ClassVar[int] = DEFAULT_PORT
    driver_version: ClassVar[str] = f"aiokafka={aiokafka.__version__}"

    def __init__(self, urls: Sequence[URL]) -> None:
        super().__init__(urls)
        self._servers = bootstrap_servers(self.urls)
        self._thread = ClientThread(f"kafka {self._servers[0]}")
        quieten()

    def consumer(self, options: base.ConsumerOptions) -> Consumer:
        """Make a consumer."""
        client_security(options.credentials)
        return Consumer(self._servers, options, self._thread)

    def producer(self, options: base.ProducerOptions) -> Producer:
        """Make a producer."""
        client_security(options.credentials)
        return Producer(self._servers, options, self._thread)

    def admin(
        self, *, client_id: str = "faust", request_timeout: float = 90.0, credentials: Any = None
    ) -> Admin:
        """Make an admin client; its `start` gives up after *request_timeout* seconds."""
        client_security(credentials)
        return Admin(
            self._servers,
            self._thread,
            client_id=client_id,
            request_timeout=request_timeout,
            credentials=credentials,
        )
