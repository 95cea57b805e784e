"""The clock of the machine is set while a worker runs: an hour forward, then two hours back.

The worker's program replaces `time.time` before anything else is imported, by the machine's clock and a step that a file says; so
all of Python in the process is told the new time, as after ``date -s``. `time.monotonic`, which no clock that is set moves, stays.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from faust.testing.faults import Crew, Observer, tps_of
from tests.support.driving import until

PROGRAM = """
import asyncio, os, time
from pathlib import Path

machine, step, told = time.time, 0.0, Path(os.environ["STEP"])
time.time = lambda: machine() + step

import faust

app = faust.App("clock", broker=os.environ["BROKER_URL"], web_enabled=False, broker_commit_interval=0.2,
                broker_session_timeout=3.0, broker_heartbeat_interval=0.3, topic_partitions=2,
                table_cleanup_interval=0.2)
numbers = app.topic("numbers", value_type=int)
copies = app.topic("copies", value_type=str)


async def closed(key, value):
    print(f"window closed: {key} {value}")

counts = app.Table("counts", default=int, on_window_close=closed).tumbling(600.0, expires=600.0)
counts = counts.relative_to(lambda event: 1000.0)


@app.agent(numbers)
async def copy(stream):
    async for number in stream:
        counts["all"] += 1
        await copies.send(key=str(number), value=str(counts["all"].value()))


@app.task
async def listen():
    global step
    while True:
        if told.exists():
            step = float(told.read_text() or 0)
        await asyncio.sleep(0.05)

app.main()
"""
NUMBERS = 300


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_the_clock_is_set(tmp_path: Path) -> None:
    """No lease is lost, no event comes twice, no window of stream time is closed, and commits go on."""
    url, told = f"local://{tmp_path / 'broker'}", tmp_path / "step"
    program = tmp_path / "clock.py"
    program.write_text(PROGRAM)
    crew = Crew(
        [sys.executable, str(program), "-l", "info", "worker"],
        tmp_path,
        env={"BROKER_URL": url, "STEP": str(told)},
    )
    numbers, copies = tps_of("numbers", 2), tps_of("copies", 2)
    try:
        async with Observer(url, "clock") as observer:
            for tps in (numbers, copies):
                await observer.create(tps[0].topic, 2)

            async def all_committed() -> bool:
                return await observer.committed(numbers) == await observer.ends(numbers)

            name = crew.hire()
            await crew.ready(name)
            for wave, step in enumerate((0, 3600, -3600)):
                told.write_text(str(step))
                await asyncio.sleep(0.2)
                part = range(wave * 100, wave * 100 + 100)
                await observer.feed(part, "numbers", 2)
                await until(all_committed, f"what came at {step} is processed", 30.0)
                await asyncio.sleep(0.6)
            log = "\n".join(crew.alive[name].errors)
            await crew.end()
            await observer.follow(copies)
            await observer.catch_up()
        found = [entry for tp in copies for entry in observer.logs[tp]]
        assert Counter(int(entry.key or b"-1") for entry in found) == Counter(range(NUMBERS))
        assert not crew.ended, crew.ended
        assert "window closed" not in log
        assert "no longer" not in log
        assert log.count("assigned") <= 1
        highest = max(int((entry.value or b"0").strip(b'"')) for entry in found)
        assert highest >= NUMBERS // 2 - 1  # a partition's window has counted on through both steps
    finally:
        crew.close()
