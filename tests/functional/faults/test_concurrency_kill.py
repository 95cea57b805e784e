"""Several actors of one agent finish events out of order, and the process dies: nothing may be committed too far."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faust.messages import TP
from faust.testing.faults.observer import Observer, tps_of
from tests.functional.faults.slow_app import PARTITIONS
from tests.support.processes import PythonProcess, start_python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = Path(__file__).with_name("slow_app.py")
KILLS = 3
NUMBERS = 6_000


@pytest.fixture(
    params=[
        pytest.param("local", id="local"),
        pytest.param("kafka", id="kafka", marks=pytest.mark.kafka),
    ]
)
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a broker that processes can share."""
    if request.param == "local":
        return f"local://{tmp_path / 'broker'}"
    url: str = request.getfixturevalue("kafka_cluster").url
    return url


def finished(path: Path) -> Counter[int]:
    """Return how often each number was finished, as far as the file says."""
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


def unfinished(counts: Counter[int]) -> set[int]:
    """Return the numbers that were overtaken: they are not finished, but a later one of their partition is."""
    last = {n % PARTITIONS: n for n in sorted(counts)}
    return {n for p, end in last.items() for n in range(p, end, PARTITIONS)} - counts.keys()


def below(committed: dict[TP, int]) -> set[int]:
    """Return the numbers that a commit calls done."""
    return {
        number
        for tp, offset in committed.items()
        for number in range(tp.partition, offset * PARTITIONS, PARTITIONS)
    }


async def wait_until(condition: Callable[[], bool], worker: PythonProcess) -> None:
    """Wait until *condition* holds, as long as the worker lives."""
    deadline = time.monotonic() + 60
    while not condition():
        assert worker.returncode is None, worker.errors[-30:]
        assert time.monotonic() < deadline, worker.errors[-30:]
        await asyncio.sleep(0.02)


async def test_pain_15_sigkill_loses_nothing_of_eight_actors(
    broker_url: str, tmp_path: Path, topic_name: Callable[..., str]
) -> None:
    """With concurrency=8 no commit passes an unfinished event, and after three SIGKILLs every event is finished."""
    # given numbers, several seconds of work
    name, done = topic_name("slow"), tmp_path / "done"
    env = {"BROKER_URL": broker_url, "CRASH_NAME": name, "CRASH_DONE": str(done)}
    env["APP_DATADIR"] = str(tmp_path / "data")
    tps = tps_of(f"{name}-numbers", PARTITIONS)
    moments = random.Random()
    jumped = repeatable = 0
    async with Observer(broker_url, name) as observer:
        await observer.create(tps[0].topic, PARTITIONS)
        await observer.feed(range(NUMBERS), tps[0].topic, PARTITIONS)

        # when workers are killed at random moments of their work
        for _ in range(KILLS):
            before = finished(done).total()
            with start_python(APP, "worker", env=env) as worker:
                await wait_until(lambda was=before: finished(done).total() > was, worker)  # type: ignore[misc]
                await asyncio.sleep(moments.uniform(0.2, 1.2))
                worker.kill()
            committed = await observer.settled(tps)

            # then what is committed was finished
            counts = finished(done)
            assert below(committed) <= counts.keys(), below(committed) - counts.keys()
            repeatable += len(counts.keys() - below(committed))
            jumped += len(unfinished(counts))
        with start_python(APP, "worker", env=env) as worker:
            await wait_until(lambda: len(finished(done)) == NUMBERS, worker)
            deadline = time.monotonic() + 20
            ends = await observer.ends(tps)
            while await observer.committed(tps) != ends:
                assert time.monotonic() < deadline, (await observer.committed(tps), ends)
                await asyncio.sleep(0.1)
            worker.terminate()
            assert await worker.wait_end(20) == 0, worker.errors[-30:]

    # then nothing is missing, and nothing was repeated that had been committed
    counts = finished(done)
    assert set(counts) == set(range(NUMBERS))
    assert counts.total() - NUMBERS <= repeatable
    assert jumped, "no event was overtaken when the kills came; the test shows nothing"
