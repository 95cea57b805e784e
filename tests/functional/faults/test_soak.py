"""Short versions of the soaks; the long ones are ``python -m tests.soak.memory`` and ``python -m tests.soak.full``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.full import Verdict
from tests.soak.fullrun import Run
from tests.soak.memory import soak
from tests.soak.minutes import Minute

MINUTES = 1.5
RATE = 10_000
"""Half of what the long soak sends: the machine has two cores, and other tests beside this one."""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_memory_stays_flat(tmp_path: Path) -> None:
    """Events at a rate, or what the machine can do, through group_by, table, sink and `ask`: memory, objects, files stay."""
    result = await soak(f"local://{tmp_path / 'broker'}", MINUTES, RATE, ahead=4.0)
    assert not result.faults, str(result)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_everything_is_counted_while_a_worker_comes_and_goes(tmp_path: Path) -> None:
    """Issue 8, acceptance 8, short: sink and tables have every number, and every visit of a second worker ends with status 0."""
    run = Run(
        f"local://{tmp_path / 'broker'}", tmp_path, rate=1000, seconds=20.0, every=5.0, ahead=1.0
    )
    await run.run()
    assert not run.faults
    assert run.passed == run.feeder.sent > 0
    assert run.visits >= 1
    assert len(run.lines) == 4
    assert run.answers["/metrics"][200] == run.answers["/metrics"].total() > 0


@pytest.mark.parametrize(
    ("grows", "fault"),
    [
        ({}, None),
        ({"rss": 400_000}, "resident memory grew by 12.0 MB"),
        ({"files": 1}, "files: 79 became 109"),
        ({"threads": 1}, "threads: 35 became 65"),
        ({"p50": 0.05}, "latency grew"),
        ({"objects": 1000}, "Leaked: 14,000 objects became 59,000"),
    ],
    ids=["flat", "rss", "files", "threads", "latency", "objects"],
)
def test_growth_is_found(tmp_path: Path, grows: dict[str, float], fault: str | None) -> None:
    """The verdict of a soak names what grows from minute to minute, and nothing else."""
    run = Run(f"local://{tmp_path}", tmp_path, rate=1000, seconds=3600.0, every=60.0)
    for minute in range(60):
        grown = {name: step * minute for name, step in grows.items()}
        run.lines.append(
            Minute(
                seconds=60.0 * (minute + 1),
                rss=100_000_000 + int(grown.get("rss", 0)) + minute % 3 * 500_000,
                blocks=300_000,
                files=50 + int(grown.get("files", 0)),
                threads=6 + int(grown.get("threads", 0)),
                objects={"Leaked": int(grown.get("objects", 0)), "dict": 5000},
                p50=0.02 + grown.get("p50", 0.0),
                p99=0.5,
                sent=0,
                passed=0,
                late=0,
                lag=0,
                committed=0,
                load=1.0,
            )
        )
    for statuses in run.answers.values():
        statuses[200] = 1
    faults = Verdict(run).faults
    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]
