"""Acceptance 8 of issue 6 in small; `windows_volume` does it with a million windows and measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.tables.windows_volume import run_through


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_windows_close_as_fast_as_they_open(tmp_path: Path, store: str) -> None:
    """Each window of ever new keys closes once, and no more stay than may be open, in table and index (windows.md 3)."""
    steps = await run_through(tmp_path, open_windows=10_000, rounds=3, store=store)
    assert [step.events for step in steps] == [5000] * 6
    assert sum(step.closed for step in steps[:2]) == 0
    assert sum(step.closed for step in steps) >= 30_000 - 11_000
    assert max(step.open for step in steps) <= 11_000
