"""Workers that die while words flow: nothing is lost, and only what was not committed is counted twice.

The books that are kept are told in `tests.functional.faults.crash`, which also runs the trial in full size.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.faults.crash import Report, run_trial

BROKERS = [
    pytest.param("local", id="local"),
    pytest.param("kafka", id="kafka", marks=pytest.mark.kafka),
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(params=BROKERS)
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a broker that processes can share."""
    if request.param == "local":
        return f"local://{tmp_path / 'broker'}"
    url: str = request.getfixturevalue("kafka_cluster").url
    return url


def kept(report: Report) -> None:
    """Check that every promise was kept; a failure shows the whole report."""
    assert not report.faults, str(report)


async def test_sigkill_loses_nothing(
    broker_url: str, tmp_path: Path, topic_name: Callable[..., str]
) -> None:
    """After four SIGKILLs every word is counted, and the surplus is no more than lay behind the commits."""
    report = await run_trial(
        broker_url,
        tmp_path,
        words=20_000,
        deaths=4,
        number=signal.SIGKILL,
        name=topic_name("counting"),
    )
    kept(report)
    assert [life.status for life in report.lives] == [-signal.SIGKILL] * 4
    assert report.surplus <= report.bound


async def test_sigterm_repeats_nothing(
    broker_url: str, tmp_path: Path, topic_name: Callable[..., str]
) -> None:
    """After five SIGTERMs every word is counted once, and each stop took less than 10 s with status 0."""
    report = await run_trial(
        broker_url,
        tmp_path,
        words=20_000,
        deaths=5,
        number=signal.SIGTERM,
        name=topic_name("counting"),
    )
    kept(report)
    assert [life.status for life in report.lives] == [0] * 5
    assert (report.surplus, report.repeated) == (0, 0)
