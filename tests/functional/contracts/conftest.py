"""The stage on which the contract is played: each test runs on every driver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from faust.transport.base import Transport
from tests.support.driving import Stage


@pytest.fixture
async def stage(
    broker_url: str, topic_name: Callable[..., str], request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    """A broker, and hands to open clients on it that are closed at the end."""
    cluster = request.getfixturevalue("kafka_cluster") if broker_url.startswith("kafka") else None
    opened = Stage(broker_url, topic_name, cluster)
    yield opened
    await opened.close()


@pytest.fixture
def transport(stage: Stage) -> Transport:
    """The transport of the stage, for tests that need nothing else."""
    return stage.transport
