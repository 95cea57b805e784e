"""Acceptance 6 of issue 8: a disk that is full, or that may not be written.

Nothing is lost by it, and the worker ends and says why, instead of sitting there.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from faust.testing.faults import Crew, Observer, tps_of
from tests.support.disks import SmallDisk
from tests.support.driving import until

PROGRAM = """
import os
import faust

app = faust.App("shop", broker=os.environ["BROKER_URL"], store="rocksdb://", web_enabled=False,
                broker_commit_interval=0.2, broker_session_timeout=3.0, broker_heartbeat_interval=0.3,
                broker_request_timeout=5.0, topic_partitions=2, processing_guarantee=os.environ["GUARANTEE"])
numbers = app.topic("numbers", value_type=int)
copies = app.topic("copies", value_type=str)
table = app.Table("big", default=str, partitions=2)


@app.agent(numbers)
async def work(stream):
    async for number in stream:
        table[number] = os.urandom(1500).hex()
        await copies.send(key=str(number), value=os.urandom(1500).hex())

app.main()
"""
NUMBERS = 3_000


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("how", ["full", "read-only"])
@pytest.mark.parametrize("where", ["store", "broker"])
async def test_a_disk_that_takes_nothing_more(
    small_disk: SmallDisk, tmp_path: Path, where: str, how: str, guarantee: str
) -> None:
    """A worker that cannot write ends with 1 and names directory and reason; with room again nothing is missing, or doubled."""
    roomy = tmp_path / "roomy"
    roomy.mkdir()
    of_broker, of_state = (
        (small_disk.path, roomy) if where == "broker" else (roomy, small_disk.path)
    )
    url = f"local://{of_broker / 'broker'}"
    program = tmp_path / "shop.py"
    program.write_text(PROGRAM)
    crew = Crew(
        [sys.executable, str(program), "-l", "info", "worker"],
        of_state,
        env={"BROKER_URL": url, "GUARANTEE": guarantee},
    )
    numbers, copies = tps_of("numbers", 2), tps_of("copies", 2)
    try:
        async with Observer(url, "shop") as observer:
            for tps in (numbers, copies):
                await observer.create(tps[0].topic, 2)
            await observer.feed(range(NUMBERS), "numbers", 2)
        if how == "read-only":
            small_disk.protect()
        name = crew.hire()
        program_of = crew.alive[name]
        await until(lambda: program_of.returncode is not None, "the worker ends", 40.0)
        assert program_of.returncode == 1
        ends = next(line for line in program_of.errors if "The worker ends" in line)
        assert str(small_disk.path) in ends
        assert ("no space left" if how == "full" else "cannot be") in ends.lower()
        crew.alive.clear()
        program_of.wait()
        small_disk.grow()
        crew.hire(name)
        async with Observer(url, "shop") as observer:

            async def all_committed() -> bool:
                ends = await observer.ends(numbers)
                return await observer.committed(numbers) == ends

            await until(all_committed, "everything is processed", 40.0)
            await crew.end()
            await observer.follow([*copies, *tps_of("shop-big-changelog", 2)])
            await observer.catch_up()
            for tps in (copies, tps_of("shop-big-changelog", 2)):
                found = Counter(int(key or b"-1") for tp in tps for key, _ in observer.logs[tp])
                assert found.keys() == set(range(NUMBERS))
                assert guarantee == "at_least_once" or found.total() == NUMBERS
        assert not crew.ended, crew.ended
    finally:
        crew.close()
