"""Fixtures of the tests about the worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.worker.programs import HEAD, Start
from tests.support.processes import start_python


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a program that knows ``app``."""
    return lambda text: start_python(HEAD + text, str(tmp_path))
