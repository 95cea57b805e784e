"""Timers and cron jobs on a clock of the test (app.md 3)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.app.tasks import Clock, Job, next_sleep, run_crontab, run_timer


class TestClock(Clock):
    """Time that passes only when somebody sleeps, and then *late* seconds more."""

    __test__ = False

    def __init__(self, start: datetime | None = None, late: float = 0.0) -> None:
        self.now = 0.0
        self.epoch = 0.0 if start is None else start.timestamp()
        self.late = late
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.epoch + self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(round(seconds, 6))
        self.now += seconds + self.late


def job_of(
    clock: TestClock, calls: list[Any], count: int, body: float = 0.0, **options: Any
) -> Job:
    """Make a job that notes when it is called, takes *body* seconds, and stops after *count* calls."""

    async def call() -> None:
        calls.append(clock.time())
        clock.now += body

    return Job(
        call,
        name="job",
        should_stop=lambda: len(calls) >= count,
        may_call=options.get("may_call", lambda: True),
        clock=lambda: clock,
    )


async def test_a_timer_sleeps_first_and_then_calls() -> None:
    """app.md 3: the first call is one interval after the start, and the interval counts from the end of a call."""
    clock, calls = TestClock(), list[float]()
    await run_timer(job_of(clock, calls, 3, body=0.25), 0.1)
    assert [round(call, 3) for call in calls] == [0.1, 0.45, 0.8]


async def test_a_timer_corrects_its_drift() -> None:
    """app.md 3: a sleep is shortened by what the last one was too long, by at most max_drift_correction."""
    clock, calls = TestClock(late=0.05), list[float]()
    await run_timer(job_of(clock, calls, 4), 1.0)
    assert clock.sleeps == [1.0, 0.95, 1.0, 0.95]
    clock, calls = TestClock(late=0.5), []
    await run_timer(job_of(clock, calls, 3), 1.0)
    assert clock.sleeps == [1.0, 0.9, 0.9]
    clock, calls = TestClock(late=0.05), []
    await run_timer(job_of(clock, calls, 3), 0.1)
    assert clock.sleeps == [0.1, 0.1, 0.1]


@given(st.floats(0.001, 100), st.floats(0.0, 1000), st.floats(0.0, 10).filter(lambda x: x < 5))
def test_no_correction_is_larger_than_allowed(interval: float, slept: float, most: float) -> None:
    """app.md 3: the next sleep is within max_drift_correction of the interval; small intervals are not corrected."""
    chosen = next_sleep(interval, slept, most)
    assert abs(chosen - interval) <= most + 1e-9
    if interval <= most:
        assert chosen == interval
    assert next_sleep(interval, None, most) == interval


@pytest.mark.parametrize(
    ("interval", "late", "level"),
    [(2.0, 0.7, "INFO"), (2.0, 0.3, "DEBUG"), (10.0, 1.3, "INFO"), (0.5, 0.4, "DEBUG")],
)
async def test_skew_is_logged(
    caplog: pytest.LogCaptureFixture, interval: float, late: float, level: str
) -> None:
    """app.md 3: drift of min(30 %, 1.2 s) of an interval of at least a second is told at INFO, else at DEBUG."""
    caplog.set_level(logging.DEBUG, logger="faust.app.tasks")
    clock, calls = TestClock(late=late), list[float]()
    await run_timer(job_of(clock, calls, 1), interval)
    (record,) = caplog.records
    assert record.levelname == level
    assert "late" in record.message


async def test_overlapping_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """app.md 3: a call that takes longer than the interval is a warning; calls never overlap."""
    clock, calls = TestClock(), list[float]()
    await run_timer(job_of(clock, calls, 1, body=3.0), timedelta(seconds=1))
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "overlapping" in record.message
    assert "3.000 s" in record.message


async def test_not_our_turn() -> None:
    """app.md 3: on_leader is asked before each call."""
    clock, calls = TestClock(), list[float]()
    turns = iter([False, True, False, True])
    await run_timer(job_of(clock, calls, 2, may_call=lambda: next(turns)), 1.0)
    assert calls == [2.0, 4.0]


def local(zone: tzinfo) -> Callable[[float], str]:
    """Show a time as people in *zone* do."""
    return lambda stamp: datetime.fromtimestamp(stamp, zone).strftime("%m-%d %H:%M:%S")


async def cron(
    clock: TestClock, format: str, zone: tzinfo, count: int, body: float = 0.0
) -> list[str]:
    """Run a cron job on the test's clock and show when it was called."""
    calls: list[float] = []
    await run_crontab(job_of(clock, calls, count, body), format, zone)
    return [local(zone)(call) for call in calls]


PACIFIC = ZoneInfo("US/Pacific")


async def test_cron_follows_the_time_zone() -> None:
    """app.md 3: half past six in the evening is that in the time zone given, also when the clocks change."""
    start = datetime(2026, 3, 6, 20, 0, tzinfo=PACIFIC)
    assert await cron(TestClock(start), "30 18 * * *", PACIFIC, 3) == [
        "03-07 18:30:00",
        "03-08 18:30:00",
        "03-09 18:30:00",
    ]
    start = datetime(2026, 10, 30, 20, 0, tzinfo=PACIFIC)
    assert await cron(TestClock(start), "30 18 * * *", PACIFIC, 3) == [
        "10-31 18:30:00",
        "11-01 18:30:00",
        "11-02 18:30:00",
    ]
    start = datetime(2026, 11, 1, 0, 30, tzinfo=PACIFIC)  # 1:00 to 2:00 comes twice
    assert await cron(TestClock(start), "30 * * * *", PACIFIC, 4) == [
        "11-01 01:30:00",
        "11-01 01:30:00",
        "11-01 02:30:00",
        "11-01 03:30:00",
    ]
    assert len(set(await cron(TestClock(start), "*/10 * * * *", PACIFIC, 30))) == 24
    assert await cron(TestClock(start), "30 1 * * *", PACIFIC, 2) == [
        "11-01 01:30:00",
        "11-02 01:30:00",
    ]
    start = datetime(2026, 3, 8, 0, 0, tzinfo=PACIFIC)  # 2:00 to 3:00 does not come
    assert await cron(TestClock(start), "30 2 * * *", PACIFIC, 2) == [
        "03-08 03:30:00",
        "03-09 02:30:00",
    ]
    vienna = ZoneInfo("Europe/Vienna")
    start = datetime(2026, 6, 1, 12, 0, tzinfo=ZoneInfo("UTC"))
    assert await cron(TestClock(start), "0 15 * * *", vienna, 1) == ["06-01 15:00:00"]


async def test_cron_with_seconds() -> None:
    """app.md 3: a sixth field is seconds."""
    start = datetime(2026, 1, 1, 0, 0, 3, tzinfo=PACIFIC)
    assert await cron(TestClock(start), "* * * * * */10", PACIFIC, 3) == [
        "01-01 00:00:10",
        "01-01 00:00:20",
        "01-01 00:00:30",
    ]


async def test_slow_cron_jobs_skip_slots() -> None:
    """app.md 3: the next time is computed from now after each call, so slots during a call are skipped."""
    start = datetime(2026, 1, 1, 0, 0, 30, tzinfo=PACIFIC)
    assert await cron(TestClock(start), "* * * * *", PACIFIC, 3, body=150.0) == [
        "01-01 00:01:00",
        "01-01 00:04:00",
        "01-01 00:07:00",
    ]


async def test_a_clock_that_is_set_costs_no_second_run() -> None:
    """A slot runs once, also when the clock is set back over it; set forward, the next slot is found in time."""
    start = datetime(2026, 1, 1, 0, 0, 30, tzinfo=PACIFIC)
    clock = TestClock(start)
    calls: list[float] = []
    plain = clock.sleep

    async def sleep(seconds: float) -> None:
        await plain(seconds)
        if len(calls) == 1 and clock.epoch == start.timestamp():
            clock.epoch -= 120.0

    clock.sleep = sleep  # type: ignore[method-assign]
    await run_crontab(job_of(clock, calls, 3), "* * * * *", PACIFIC)
    shown = [local(PACIFIC)(call) for call in calls]
    assert shown == ["01-01 00:01:00", "01-01 00:02:00", "01-01 00:03:00"]
    assert max(clock.sleeps) <= 60.0


async def test_cron_needs_a_real_time_zone() -> None:
    """app.md 3: a time zone by name is a TypeError when the job starts; a bad format is a ValueError."""
    clock, calls = TestClock(), list[float]()
    with pytest.raises(TypeError, match="timezone"):
        await run_crontab(job_of(clock, calls, 1), "* * * * *", "US/Pacific")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="99"):
        await run_crontab(job_of(clock, calls, 1), "99 * * * *", PACIFIC)
