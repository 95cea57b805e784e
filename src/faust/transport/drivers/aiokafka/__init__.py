"""``kafka://``: Apache Kafka through aiokafka."""

from faust.transport.drivers.aiokafka.transport import Transport

__all__ = ["Transport"]
