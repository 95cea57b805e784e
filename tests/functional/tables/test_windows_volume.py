"""Acceptance 8 of issue 6 in small; `windows_volume` does it with a million windows and measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.tables.windows_volume import run_through


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_windows_close_as_fast_as_they_open(tmp_path: Path, store: str) -> None:
    """Each window of ever new keys closes once, no more stay than may be open, and ten thousand may end at once (windows.md 3)."""
    steps = await run_through(
        f"local://{tmp_path / 'broker'}", tmp_path, open_windows=10_000, rounds=3, store=store
    )
    *filled, at_once = steps
    assert max(step.open for step in filled) <= 11_000
    assert at_once.closed >= 8_000
    assert sum(step.events for step in steps) == 30_001
    assert sum(step.closed for step in steps) == 30_000
    assert sum(len(step.latencies) for step in steps) > 0
