"""Memory stays flat under a steady load; the long run is ``python -m tests.soak.memory --minutes 20``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.memory import soak

MINUTES = 2.0


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_memory_stays_flat(tmp_path: Path) -> None:
    """20,000 events/s through group_by, table, sink and `ask`: resident memory, objects, files and threads stay."""
    result = await soak(f"local://{tmp_path / 'broker'}", MINUTES, 20_000)
    assert not result.faults, str(result)
