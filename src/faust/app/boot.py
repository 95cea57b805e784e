"""Which services an application starts, and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["BootStrategy"]


class BootStrategy:
    """Startup order of an application; subclass it and set ``App.BootStrategy`` to change it.

    Arguments:
        app: The application.
        enable_kafka: Whether to connect to the broker at all.
        enable_kafka_producer: Whether to start the producer; None: as *enable_kafka*.
        enable_kafka_consumer: Whether to start the consumer; None: as *enable_kafka*.
        enable_sensors: Whether to start the sensors.
        enable_web: Whether to start the web server; None: setting ``web_enabled``.
    """

    enable_kafka: bool = True
    enable_kafka_producer: bool | None = None
    enable_kafka_consumer: bool | None = None
    enable_sensors: bool = True
    enable_web: bool | None = None

    def __init__(
        self,
        app: Any,
        *,
        enable_web: bool | None = None,
        enable_kafka: bool | None = None,
        enable_kafka_producer: bool | None = None,
        enable_kafka_consumer: bool | None = None,
        enable_sensors: bool | None = None,
    ) -> None:
        self.app = app
        if enable_kafka is not None:
            self.enable_kafka = enable_kafka
        if enable_kafka_producer is not None:
            self.enable_kafka_producer = enable_kafka_producer
        if enable_kafka_consumer is not None:
            self.enable_kafka_consumer = enable_kafka_consumer
        if enable_sensors is not None:
            self.enable_sensors = enable_sensors
        if enable_web is not None:
            self.enable_web = enable_web

    def server(self) -> Iterable[Any]:
        """Return the services of a worker, in start order; they stop in the reverse order."""
        yield from self.sensors()
        yield from self.kafka_producer()
        yield from self.web_server()
        yield from self.kafka_consumer()
        yield from self.agents()
        yield from self.tables()
        yield from self.kafka_conductor()
        yield from self.health()

    def client_only(self) -> Iterable[Any]:
        """Return the services of a program that asks agents, and runs none."""
        yield from self.kafka_producer()
        yield from self.kafka_client_consumer()

    def producer_only(self) -> Iterable[Any]:
        """Return the services of a program that only sends."""
        yield from self.web_server()
        yield from self.kafka_producer()

    def sensors(self) -> Iterable[Any]:
        """Return the sensors."""
        if self.enable_sensors:
            yield from self.app.sensors

    def kafka_producer(self) -> Iterable[Any]:
        """Return the producer."""
        if self._enabled(self.enable_kafka_producer):
            yield self.app.producer
            if self.app.conf.producer_threaded:
                yield self.app.threaded_producer

    def web_components(self) -> Iterable[Any]:
        """Return what the web server needs: the cache."""
        yield self.app.cache

    def web_server(self) -> Iterable[Any]:
        """Return the built-in web server, after what it needs; nothing when another one was declared."""
        if self.serves_web and not self.app.has_web_server:
            yield from self.web_components()
            yield self.app.web

    @property
    def serves_web(self) -> bool:
        """Whether HTTP is served, by the built-in server or another (`App.web_server`)."""
        return bool(self.app.conf.web_enabled if self.enable_web is None else self.enable_web)

    def kafka_consumer(self) -> Iterable[Any]:
        """Return the consumer."""
        if self._enabled(self.enable_kafka_consumer):
            yield self.app.consumer
            yield self.app.reply_consumer

    def kafka_client_consumer(self) -> Iterable[Any]:
        """Return what reads answers; it has a consumer of its own, and so needs no other."""
        yield self.app.reply_consumer

    def agents(self) -> Iterable[Any]:
        """Return the agents."""
        yield self.app.agents

    def tables(self) -> Iterable[Any]:
        """Return the tables."""
        if self._enabled(self.enable_kafka_consumer):
            yield self.app.tables

    def kafka_conductor(self) -> Iterable[Any]:
        """Return the conductor, whose start subscribes: it comes last, when everybody has said what they read."""
        if self._enabled(self.enable_kafka_consumer):
            yield self.app.topics

    def health(self) -> Iterable[Any]:
        """Return the watch over partitions that stand still."""
        if self._enabled(self.enable_kafka_consumer):
            yield self.app.health

    def _enabled(self, flag: bool | None) -> bool:
        return self.enable_kafka if flag is None else flag
