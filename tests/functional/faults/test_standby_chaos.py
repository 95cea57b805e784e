"""Workers with copies on standby die: nothing is lost; `standby_chaos` is the long version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.faults.standby_chaos import play_chaos

ON_BROKERS = pytest.mark.parametrize(
    "broker_url", ["local", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)


@ON_BROKERS
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_sigkill_of_one_of_three_workers_with_standbys(
    broker_url: str, tmp_path: Path
) -> None:
    """recovery-rebalance.md 9, 10: no key is lost, counts are at least once and exact after SIGTERM, partitions flow again soon."""
    kills = 3 if broker_url.startswith("local") else 10
    report = await play_chaos(broker_url, tmp_path, kills=kills, stops=1, pause=0.5)
    assert not report.faults, str(report)
    assert (len(report.delays), report.stops) == (kills, 1)
    assert max(report.delays) < 10.0, str(report)
