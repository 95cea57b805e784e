"""What the documents take for granted: an application, a broker, a place for files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import faust
from tests.seeds.support import Project
from tests.support.apps import make_app


@pytest.fixture
def app(topic_name: Callable[..., str]) -> faust.App:
    """An application on a broker in memory; nothing is started."""
    return make_app(
        f"memory://{topic_name('broker')}", topic_name("app"), web_enabled=False, topic_partitions=2
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)
