"""The transport of ``memory://`` and ``local://``: addresses, and what is made of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from yarl import URL

from faust.exceptions import ImproperlyConfigured
from faust.transport.base import (
    AdminDriver,
    ConsumerDriver,
    ConsumerOptions,
    ProducerDriver,
    ProducerOptions,
)
from faust.transport.base import Transport as BaseTransport
from faust.transport.drivers.local.admin import Admin
from faust.transport.drivers.local.consumer import Consumer
from faust.transport.drivers.local.engine import Engine
from faust.transport.drivers.local.producer import Producer

__all__ = ["Transport"]

KNOWN_OPTIONS = {"durable", "partitions", "auto_create"}


class Transport(BaseTransport):
    """The embedded broker at one address.

    ``memory://`` and ``memory://name`` live in this process; ``local:///absolute/path`` and
    ``local://./relative/path`` in a directory that any number of processes on this machine share;
    ``local://`` in ``$FAUST_DATADIR/broker``, else ``./faust-broker``. Options: ``?durable=full``
    waits for the disk at each commit; ``?partitions=N`` is the number of partitions of topics that
    are made by being used (8); ``?auto_create=no``: they are not made.

    Raises:
        ImproperlyConfigured: The address has an option that is not known, or a value that makes no
            sense.
    """

    driver_version: ClassVar[str] = f"embedded broker (SQLite {sqlite3.sqlite_version})"

    def __init__(self, urls: Sequence[URL]) -> None:
        super().__init__(urls)
        url = self.urls[0]
        unknown = set(url.query) - KNOWN_OPTIONS
        if unknown:
            raise ImproperlyConfigured(
                f"broker address {url}: unknown option {', '.join(sorted(unknown))}; known are"
                f" {', '.join(sorted(KNOWN_OPTIONS))}"
            )
        self.durable: bool = self._choice("durable", "normal", {"normal": False, "full": True})
        self.auto_create: bool = self._choice("auto_create", "yes", {"yes": True, "no": False})
        self.default_partitions: int = self._count("partitions", 8)
        self.directory: Path | None = None if url.scheme == "memory" else _directory(url)
        self.address: str = (
            f"memory:{url.host or ''}" if self.directory is None else str(self.directory)
        )

    def _choice(self, name: str, default: str, values: dict[str, bool]) -> bool:
        value = self.urls[0].query.get(name, default)
        if value not in values:
            raise ImproperlyConfigured(
                f"broker address {self.urls[0]}: {name} is {value!r}, expected one of {', '.join(values)}"
            )
        return values[value]

    def _count(self, name: str, default: int) -> int:
        value = self.urls[0].query.get(name, str(default))
        if not value.isdecimal() or int(value) < 1:
            raise ImproperlyConfigured(
                f"broker address {self.urls[0]}: {name} is {value!r}, expected a number of at least 1"
            )
        return int(value)

    def _acquire(self) -> Engine:
        return Engine.acquire(
            self.address,
            lambda: Engine(
                self.directory,
                durable=self.durable,
                default_partitions=self.default_partitions,
                auto_create=self.auto_create,
            ),
        )

    def _release(self, engine: Engine) -> None:
        engine.release(self.address)

    def _refuse_credentials(self, credentials: Any) -> None:
        if credentials is not None:
            raise ImproperlyConfigured(
                f"the embedded broker ({self.urls[0]}) knows no users: it takes no broker_credentials; access is that"
                " of its directory"
            )

    def consumer(self, options: ConsumerOptions) -> ConsumerDriver:
        """Make a consumer."""
        self._refuse_credentials(options.credentials)
        return Consumer(self._acquire, self._release, options)

    def producer(self, options: ProducerOptions) -> ProducerDriver:
        """Make a producer."""
        self._refuse_credentials(options.credentials)
        return Producer(self._acquire, self._release, options)

    def admin(
        self,
        *,
        client_id: str = "faust",  # noqa: ARG002 - part of the contract
        request_timeout: float = 90.0,
        credentials: Any = None,
    ) -> AdminDriver:
        """Make an admin client."""
        self._refuse_credentials(credentials)
        return Admin(self._acquire, self._release, request_timeout)


def _directory(url: URL) -> Path:
    """Return the directory of a ``local://`` address."""
    if url.host in (None, ""):
        if url.path in ("", "/"):
            datadir = os.environ.get("FAUST_DATADIR")
            return (Path(datadir) / "broker" if datadir else Path("faust-broker")).absolute()
        return Path(url.path)
    return Path(f"{url.host}{url.path}").absolute()
