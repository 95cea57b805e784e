"""What every test of a transport leaves behind is put away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.databases import close_databases


@pytest.fixture(autouse=True)
def _closed_databases() -> Iterator[None]:
    yield
    close_databases()
