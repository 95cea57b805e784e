"""A worker that dies at any step of the commit leaves all or nothing of it (issue 8, acceptance 5)."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faust.transport.base import ProducerOptions, TopicSpec
from faust.transport.consumer import CommitStep
from tests.functional.exactly_once.crashing_app import KEYS, PARTITIONS
from tests.functional.exactly_once.reading import Seen, read_all, read_until
from tests.support.driving import open_transport
from tests.support.processes import start_python

Name = Callable[..., str]
APP = Path(__file__).with_name("crashing_app.py")
BROKERS = [
    pytest.param("local", id="local"),
    pytest.param("kafka", id="kafka", marks=pytest.mark.kafka),
]

STEPS = {
    "at_least_once": [CommitStep.BEGUN, CommitStep.FLUSHED, CommitStep.COMMITTED],
    "exactly_once": list(CommitStep),
}
PER_LIFE = 250
"""Numbers that are fed while a worker lives."""


async def feed(url: str, topic: str, numbers: range) -> None:
    """Send *numbers* over about a second."""
    producer = open_transport(url).producer(ProducerOptions())
    await producer.start()
    try:
        await producer.load_partitions(topic)
        for number in numbers:
            producer.append(topic, number % PARTITIONS, None, b"%d" % number)
            if number % 10 == 9:
                await producer.flush()
                await asyncio.sleep(0.04)
        await producer.flush()
    finally:
        await producer.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("broker_url", BROKERS, indirect=True)
@pytest.mark.parametrize("guarantee", STEPS)
async def test_killed_at_every_step(
    broker_url: str, topic_name: Name, tmp_path: Path, guarantee: str
) -> None:
    """One worker after the other dies at the next step; in the end nothing is lost, and with exactly-once nothing doubled."""
    name = topic_name("crashing")
    source, target = f"{name}-numbers", f"{name}-passed"
    admin = open_transport(broker_url).admin()
    await admin.start()
    await admin.create_topics(
        [TopicSpec(name=topic, partitions=PARTITIONS) for topic in (source, target)]
    )
    await admin.close()
    environment = {
        "BROKER_URL": broker_url,
        "APP_DATADIR": str(tmp_path / "data"),
        "PROCESSING_GUARANTEE": guarantee,
        "CRASH_NAME": name,
        "APP_STORE": "rocksdb://",
    }
    steps = STEPS[guarantee]
    total = 0
    for step in steps:
        with start_python(
            APP, "worker", "-l", "warn", env={**environment, "CRASH_AT": step.value}
        ) as worker:
            await feed(broker_url, source, range(total, total + PER_LIFE))
            total += PER_LIFE
            status = await asyncio.to_thread(worker.wait, 40.0)
            assert status == -signal.SIGKILL, f"{step}: {worker.lines()}"
    with start_python(APP, "worker", "-l", "warn", env={**environment, "CRASH_AT": ""}) as worker:
        await feed(broker_url, source, range(total, total + PER_LIFE))
        total += PER_LIFE
        await read_until(broker_url, target, total, timeout=60.0)
        if guarantee == "exactly_once":
            passed = await read_all(broker_url, target)
        else:
            passed = await _all_passed(broker_url, target, total)
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 20.0) == 0
    changelog = f"{name}-counts-changelog"
    table = Counter(
        {one.key: int(one.value or b"") for one in await read_all(broker_url, changelog)}
    )
    times = Counter(int(one.value or b"") for one in passed)
    assert sorted(times) == list(range(total)), "numbers are missing"
    wanted = Counter(b"%d" % (number % KEYS) for number in range(total))
    if guarantee == "exactly_once":
        assert max(times.values()) == 1
        assert table == wanted
    else:
        assert all(table[key] >= count for key, count in wanted.items())
        assert times.total() <= total + PER_LIFE * len(steps)


async def _all_passed(url: str, topic: str, total: int) -> list[Seen]:
    """Read until each number has come at least once."""
    while True:
        seen = await read_all(url, topic)
        if len({one.value for one in seen}) == total:
            return seen
        await asyncio.sleep(0.1)
