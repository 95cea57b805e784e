"""Pain rows 11, 14 and 39 with workers as processes, in small; `one_key`, `swapping` and `global_tables` play them in full size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.tables.global_tables import play_global_tables
from tests.functional.tables.one_key import play_one_key
from tests.functional.tables.swapping import play_swapping

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def test_pain_11_one_key_over_restarts(tmp_path: Path) -> None:
    """Increments of one key in RocksDB are exact over restarts, in changelog and database (pain row 11)."""
    report = await play_one_key(
        f"local://{tmp_path / 'broker'}", tmp_path, increments=50_000, restarts=2
    )
    assert not report.faults, str(report)
    assert report.changelog == report.database == 50_000


async def test_pain_14_two_workers_on_one_directory(tmp_path: Path) -> None:
    """Workers that share a data directory hand partitions over; nobody crashes, counts are exact (pain row 14)."""
    report = await play_swapping(f"local://{tmp_path / 'broker'}", tmp_path, times=3)
    assert not report.faults, str(report)
    assert report.times == 3


async def test_pain_39_the_same_on_every_worker(tmp_path: Path) -> None:
    """Three workers have the same global table on disk over restarts, and show updates soon (pain row 39)."""
    report = await play_global_tables(
        f"local://{tmp_path / 'broker'}", tmp_path, keys=3000, updates=5, store="rocksdb"
    )
    assert not report.faults, str(report)
    assert report.restarts == 3
    assert max(report.delays) < 5.0, str(report)
