"""A world of logs, and a worker that holds one table."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.changelogs import App, World, assign, worker

from faust.messages import TP

SOURCES = [TP("orders", number) for number in range(4)]
CHANGELOGS = [TP("shop-totals-changelog", number) for number in range(4)]


@pytest.fixture
def world() -> World:
    """A source topic of four partitions, and the changelog of a table named totals."""
    world = World()
    world.make("orders", 4)
    world.make("shop-totals-changelog", 4)
    return world


@pytest.fixture
async def app(world: World) -> AsyncIterator[App]:
    """A worker without tables yet."""
    async with worker(world) as app:
        yield app


__all__ = ["CHANGELOGS", "SOURCES", "assign"]
