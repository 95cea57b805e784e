"""Acceptance 5 of issue 5: what runs on the leader runs once per tick, whoever is killed."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from pathlib import Path

import pytest

from tests.functional.faults.leading_app import INTERVAL, SESSION
from tests.support.processes import PythonProcess, start_python

MODULE = "tests.functional.faults.leading_app"
CHANGES = 3


class Crew:
    """Three workers, and what they wrote."""

    def __init__(self, broker: str, directory: Path) -> None:
        self.broker = broker
        self.directory = directory
        self.id = f"leader-{uuid.uuid4().hex[:8]}"
        self.workers: dict[str, PythonProcess] = {}
        self.count = 0

    async def hire(self) -> None:
        """Start one more worker."""
        self.count += 1
        name = f"w{self.count}"
        worker = start_python(None, self.broker, self.id, name, str(self.directory), module=MODULE)
        self.workers[name] = worker
        assert await worker.wait_line(60.0) == "ready"

    def notes(self, *kinds: str) -> list[tuple[float, str, str]]:
        """Return when who did what, in order."""
        found = []
        for file in self.directory.glob("*.ticks"):
            for line in file.read_text().splitlines():
                kind, _, stamp = line.partition(" ")
                if kind in kinds and stamp:
                    found.append((float(stamp), file.stem, kind))
        return sorted(found)

    def leader(self) -> str | None:
        """Return who leads now."""
        last = {name: kind for _, name, kind in self.notes("leads", "led")}
        return next((n for n, kind in last.items() if kind == "leads" and n in self.workers), None)

    async def wait_leader(self) -> str:
        """Wait until somebody leads."""
        deadline = time.monotonic() + 60
        while (name := self.leader()) is None:
            assert time.monotonic() < deadline, "nobody leads"
            await asyncio.sleep(0.05)
        return name

    def dismiss_all(self) -> None:
        """Kill whoever is left."""
        for worker in self.workers.values():
            worker.kill()


def missed(slots: list[int]) -> int:
    """Return how many slots are missing between the first and the last."""
    return (slots[-1] - slots[0]) + 1 - len(set(slots))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "broker_url", ["local", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)
async def test_once_per_tick_whoever_is_killed(broker_url: str, tmp_path: Path) -> None:
    """Issue 5, acceptance 5: cron and timer with on_leader run once per tick; a change of leader loses at most one."""
    crew = Crew(broker_url, tmp_path)
    try:
        for _ in range(3):
            await crew.hire()
        await crew.wait_leader()
        for number in range(CHANGES):
            await asyncio.sleep(INTERVAL * 1.6)
            name = await crew.wait_leader()
            worker = crew.workers.pop(name)
            if number == 1:
                worker.terminate()
                await worker.wait_end()
            else:
                worker.kill()
            await crew.hire()
        await asyncio.sleep(SESSION + INTERVAL * 2)
    finally:
        crew.dismiss_all()
    crons = [round(stamp / INTERVAL) for stamp, _, _ in crew.notes("cron")]
    assert len(crons) == len(set(crons)), "a slot was run twice"
    leaders = [name for _, name, _ in crew.notes("leads")]
    changes = sum(one != other for one, other in itertools.pairwise(leaders))
    assert changes >= CHANGES
    assert missed(crons) <= changes
    timers = crew.notes("timer")
    gaps = [late[0] - early[0] for early, late in itertools.pairwise(timers)]
    same = [
        gap
        for gap, early, late in zip(gaps, timers, timers[1:], strict=False)
        if early[1] == late[1]
    ]
    assert all(abs(gap - INTERVAL) < 1.0 for gap in same), same
    assert max(gaps) < 2 * INTERVAL + SESSION + 5.0
    turns = [name for _, name, _ in timers]
    assert sum(one != other for one, other in itertools.pairwise(turns)) <= changes


def test_a_missed_slot_is_counted() -> None:
    """The count of lost ticks can fail."""
    assert missed([1, 2, 3]) == 0
    assert missed([1, 3, 6]) == 3
