"""A world of logs, and a worker that holds one table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

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
def store() -> str:
    """URL of the store; modules whose every test holds for all stores give it several values (pain row 36)."""
    return "memory://"


@pytest.fixture
async def app(world: World, store: str, tmp_path: Path) -> AsyncIterator[App]:
    """A worker without tables yet."""
    async with worker(world, store=store, datadir=tmp_path) as app:
        app.conf.create_directories()
        yield app


__all__ = ["CHANGELOGS", "SOURCES", "assign"]
