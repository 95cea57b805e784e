"""Acceptance 7 of issue 6 in small: `benchmarks.bench_rocksdb_keys` fills, reads and checks; ten million keys are its default."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench_rocksdb_keys import ALLOWED, measure


async def test_keys_in_rocksdb_are_right_and_memory_is_bounded(tmp_path: Path) -> None:
    """What a table on disk holds is read back right, key by key and by a scan, within the memory that is allowed (stores.md 4)."""
    figures = await measure(tmp_path, keys=20_000, reads=2_000)
    assert (figures.found, figures.reads) == (20_000, 2_000)
    assert not [fault for fault in figures.faults() if fault.startswith(("contents", "memory"))]
    assert figures.peak <= figures.cache + ALLOWED
