"""A stage on the real Kafka, and brokers that nobody else disturbs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.driving import Stage
from tests.support.kafka import KafkaCluster


@pytest.fixture
async def stage(
    kafka_cluster: KafkaCluster, topic_name: Callable[..., str]
) -> AsyncIterator[Stage]:
    """The run's Kafka, and hands to open clients on it that are closed at the end."""
    opened = Stage(kafka_cluster.url, topic_name, kafka_cluster)
    yield opened
    await opened.close()
