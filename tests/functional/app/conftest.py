"""A broker in memory for tests that need no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def memory_url(topic_name: Callable[..., str]) -> str:
    """A broker in memory, new and empty."""
    return f"memory://{topic_name('broker')}"
