"""Acceptance 7 of issue 6 in small: a warm copy on standby takes over; `promotion` is the long version, and measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.faults.promotion import play_promotion

ON_BROKERS = pytest.mark.parametrize(
    "broker_url", ["local", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)


@ON_BROKERS
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_warm_copy_takes_over(broker_url: str, tmp_path: Path) -> None:
    """recovery-rebalance.md 9: after SIGKILL of the owner the copy answers at once, next to nothing is read again."""
    store = "rocksdb" if broker_url.startswith("local") else "memory"
    report = await play_promotion(broker_url, tmp_path, kills=1, keys=20_000, store=store)
    assert not report.faults, str(report)
    assert report.reread[0] < 5_000, str(report)
    assert report.last[0] < 8.0, str(report)
