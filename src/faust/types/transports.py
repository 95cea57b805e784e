"""Types of the way to the broker; names only."""

from __future__ import annotations

from faust.conductor import Conductor as ConductorT
from faust.transport.base import Transport as TransportT
from faust.transport.consumer import Consumer as ConsumerT
from faust.transport.producer import Producer as ProducerT

__all__ = ["ConductorT", "ConsumerT", "ProducerT", "TransportT"]
