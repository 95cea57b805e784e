"""What the rooms ask of one another, where one may not import the other.

A Protocol stands here only because a lower room must name something that lives higher up: a stream the app that
made it, an event the topic it is sent to. Each lists exactly what is used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, runtime_checkable

from faust._core.lanes import Lane
from faust.gate import Gate
from faust.mailbox import FlowControl, Mailbox
from faust.messages import HeadersArg, Message
from faust.sensors.base import SensorDelegate
from faust.settings.settings import Settings

__all__ = ["AppT", "Sendable", "Source"]


class Sendable(Protocol):
    """Something a value can be sent to: a topic, a channel, an agent."""

    async def send(self, *, key: Any = None, value: Any = None, **options: Any) -> Any:
        """Send a value; see `faust.Topic.send`."""
        ...


@runtime_checkable
class Source(Protocol):
    """Something a stream can read: an iterator of a channel or topic."""

    mailbox: Mailbox
    drops_none: bool
    """A plain None that was put into it is passed over; the None of an event is not."""

    def make_event(self, lane: Lane, record: Any, value: Any) -> Any:
        """Build the event of a record."""
        ...

    async def on_record_undecodable(self, lane: Lane, record: Any, exc: Exception) -> None:
        """Decide what an undecodable record means; by default it is thrown into the mailbox."""
        ...

    def on_stop_iteration(self) -> None:
        """The stream has stopped for good."""
        ...

    def derive_topic(self, name: str, **options: Any) -> Any:
        """Make a topic like this one under another name; ValueError where that makes no sense."""
        ...


class AppT(Protocol):
    """The application, as its parts see it."""

    conf: Settings
    flow_control: FlowControl
    gate: Gate
    sensors: SensorDelegate

    @property
    def producer(self) -> Any:
        """The producer service (`faust.transport.producer.Producer`)."""
        ...

    @property
    def soon_producer(self) -> Any:
        """The producer of ``send_soon``: `producer`, or one of its own (setting ``producer_threaded``)."""
        ...

    @property
    def on_produce_message(self) -> Any:
        """Signal: a message is about to be given to the producer."""
        ...

    @property
    def consumer(self) -> Any:
        """The consumer service (`faust.transport.consumer.Consumer`)."""
        ...

    @property
    def started_producer(self) -> Any:
        """The producer service if it is running, else None."""
        ...

    def reader_driver(self) -> Any:
        """Make a consumer driver that reads in no group."""
        ...

    def consumer_or_none(self) -> Any:
        """The consumer service if there is one already."""
        ...

    @property
    def topics(self) -> Any:
        """The conductor."""
        ...

    @property
    def serializers(self) -> Any:
        """The registry of serializers."""
        ...

    @property
    def tables(self) -> Any:
        """The table manager."""
        ...

    @property
    def agents(self) -> MutableMapping[str, Any]:
        """Agents by name."""
        ...

    @property
    def topic(self) -> Callable[..., Any]:
        """Make a topic description."""
        ...

    @property
    def channel(self) -> Callable[..., Any]:
        """Make an in-memory channel."""
        ...

    @property
    def stream(self) -> Callable[..., Any]:
        """Make a stream over a channel, topic or iterable."""
        ...

    def create_event(self, key: Any, value: Any, headers: HeadersArg, message: Message) -> Any:
        """Make an event."""
        ...

    @property
    def send(self) -> Callable[..., Awaitable[Any]]:
        """Send a value to a channel, topic or topic name."""
        ...

    async def maybe_start_producer(self) -> Any:
        """Start the producer if it is not running; return it."""
        ...

    async def declare_topic(self, spec: Any) -> Any:
        """Create a topic on the broker unless it is there; see `faust.transport.base.TopicSpec`."""
        ...

    @property
    def exactly_once(self) -> bool:
        """Whether what an event causes is one transaction (setting ``processing_guarantee``)."""
        ...

    def lease_until(self) -> float:
        """Until when (monotonic seconds) the partitions we hold are certainly ours."""
        ...
