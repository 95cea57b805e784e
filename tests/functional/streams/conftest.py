"""An embedded broker for each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

import faust
from tests.support.apps import make_app


@pytest.fixture
def make() -> Callable[..., faust.App]:
    """Make an app on an embedded broker of its own; ``make(**settings)``."""
    url = f"memory://{uuid.uuid4().hex}"

    def make(id: str = "", **options: Any) -> faust.App:
        return make_app(url, id or f"app-{uuid.uuid4().hex[:6]}", **options)

    return make


@pytest.fixture
def app(make: Callable[..., faust.App]) -> faust.App:
    """An app on an embedded broker of its own, not started."""
    return make()
