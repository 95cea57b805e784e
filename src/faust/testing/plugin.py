"""Fixtures for pytest: ``pytest_plugins = ["faust.testing.plugin"]`` in your ``conftest.py``.

A test that asks for ``faust_run`` gets a running application; which one says your fixture ``faust_app``::

    @pytest.fixture
    def faust_app():
        from shop.app import app

        return app


    async def test_totals(faust_run):
        await faust_run.send("orders", Order(account="a", amount=5))
        await faust_run.idle()
        assert faust_run.tables["totals"]["a"] == 5

Needs pytest-asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from faust.app.base import App
from faust.testing.run import TestRun, run

__all__ = ["faust_app", "faust_run"]


@pytest.fixture
def faust_app() -> App:
    """Return the application to test: yours to override."""
    raise pytest.UsageError(
        "fixture faust_run needs to know your application: write a fixture named faust_app that returns it"
    )


@pytest_asyncio.fixture
async def faust_run(faust_app: App) -> AsyncIterator[TestRun]:
    """Run the application for the length of a test; see `faust.testing.run`."""
    async with run(faust_app) as test:
        yield test
