"""The stage on which the contract is played: each test runs on every driver."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from faust.transport.base import Transport
from tests.support.driving import Stage
from tests.support.member import Member, start_member


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
def start_program(stage: Stage) -> Iterator[Callable[..., Member]]:
    """Start members of groups on the stage's broker as programs of their own; killed at the end."""
    with contextlib.ExitStack() as stack:

        def start(group: str, topic: str, **options: Any) -> Member:
            member = start_member(stage.url, group, topic, **options)
            stack.enter_context(member.process)
            return member

        yield start


@pytest.fixture
def transport(stage: Stage) -> Transport:
    """The transport of the stage, for tests that need nothing else."""
    return stage.transport
