"""The embedded broker's thread: beside a loop that is never idle, beside other processes, and at rest."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from faust.messages import TP
from faust.transport.base import ConsumerDriver, ConsumerOptions, ProducerOptions, TopicSpec
from faust.transport.drivers.local.database import FILE
from tests.support.driving import Recorder, RoundRobin, fast_options, open_transport, until
from tests.support.processes import start_python

SESSION = 3.0


async def make_topic(url: str, partitions: int = 8) -> None:
    """Create the topic ``words``."""
    admin = open_transport(url).admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name="words", partitions=partitions)])
    await admin.close()


async def join(url: str, listener: Recorder, **options: object) -> ConsumerDriver:
    """Become a member that reads ``words``."""
    consumer = open_transport(url).consumer(fast_options(group_id="group", **options))
    await consumer.start()
    await consumer.subscribe(["words"], listener=listener, assignor=RoundRobin())
    deadline = time.monotonic() + 10
    while not listener.assigned:
        await consumer.take(0.1)
        assert time.monotonic() < deadline, "never assigned"
    return consumer


@pytest.mark.parametrize("turn", [0.0001, 0.0005, 0.002])
async def test_a_loop_that_is_never_idle_starves_nobody(tmp_path: Path, turn: float) -> None:
    """Heartbeats and acknowledgements come in time although the loop always has something to do."""
    url = f"local://{tmp_path / 'broker'}"
    await make_topic(url)
    listener = Recorder()
    consumer = await join(url, listener)
    producer = open_transport(url).producer(ProducerOptions())
    await producer.start()
    spinning = True

    async def spin() -> None:
        while spinning:
            until_then = time.perf_counter() + turn
            while time.perf_counter() < until_then:
                pass
            await asyncio.sleep(0)

    spinner = asyncio.create_task(spin())
    slowest, shortest = 0.0, SESSION
    end = time.monotonic() + 4
    while time.monotonic() < end:
        began = time.monotonic()
        for partition in range(8):
            producer.append("words", partition, None, b"v")
        await producer.flush()
        slowest = max(slowest, time.monotonic() - began)
        shortest = min(shortest, consumer.lease_until() - time.monotonic())
    spinning = False
    await spinner
    await producer.close()
    await consumer.close()
    assert shortest > SESSION / 3
    assert slowest < 1.0
    assert len(listener.assignments) == 1


_STOPPED_WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
print("released", flush=True)
time.sleep(600)
"""


async def test_a_stopped_writer_is_named_and_nobody_is_dropped_because_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While somebody else holds the lock for longer than a session, members stay, and the log says who it is."""
    url = f"local://{tmp_path / 'broker'}"
    await make_topic(url)
    first, second = Recorder(), Recorder()
    one = await join(url, first)
    two = await join(url, second)
    await until(lambda: len(first.assigned) == 4 == len(second.assigned), "they shared")
    assignments = len(first.events), len(second.events)
    with start_python(_STOPPED_WRITER, str(tmp_path / "broker" / FILE), str(SESSION + 1)) as writer:
        assert await writer.wait_line() == "locked"
        await until(lambda: not one.state.connected, "the state said so")
        assert f"process {writer.pid}" in one.state.last_error
        assert f"process {writer.pid}" in caplog.text
        assert await writer.wait_line() == "released"
        await until(lambda: one.state.connected, "it went on")
        await asyncio.sleep(1.0)
    assert (len(first.events), len(second.events)) == assignments
    assert await one.commit(dict.fromkeys(first.assigned, 0)) == dict.fromkeys(first.assigned)
    await one.close()
    await two.close()


_FOREIGN_WRITER = """
import asyncio, sys, time
from tests.support.driving import open_transport
from faust.transport.base import ProducerOptions

async def main():
    producer = open_transport(sys.argv[1]).producer(ProducerOptions())
    await producer.start()
    for _ in range(40):
        producer.append("words", 0, None, b"%.6f" % time.monotonic())
        await producer.flush()
        await asyncio.sleep(0.05)
    await producer.close()

asyncio.run(main())
"""


async def test_records_of_another_process_are_there_at_once(tmp_path: Path) -> None:
    """A reader that was idle hears of foreign records within some milliseconds."""
    url = f"local://{tmp_path / 'broker'}"
    await make_topic(url)
    consumer = open_transport(url).consumer(ConsumerOptions())
    await consumer.start()
    await consumer.assign([TP("words", 0)])
    late: list[float] = []
    with start_python(_FOREIGN_WRITER, url):
        deadline = time.monotonic() + 30
        while len(late) < 40:
            for piece in await consumer.take(0.5):
                now = time.monotonic()
                late += [now - float(record.value or b"") for record in piece.records]
            assert time.monotonic() < deadline
    await consumer.close()
    assert sorted(late)[20] < 0.05


async def test_an_idle_member_costs_next_to_nothing(tmp_path: Path) -> None:
    """A member of a group that waits for records uses a small part of a core."""
    url = f"local://{tmp_path / 'broker'}"
    await make_topic(url)
    consumer = await join(url, Recorder(), heartbeat_interval=3.0, session_timeout=60.0)
    process = psutil.Process()
    began, used = time.monotonic(), sum(process.cpu_times()[:2])
    while time.monotonic() < began + 4:
        await consumer.take(1.0)
    share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - began)
    await consumer.close()
    assert share < 0.05


# -- members


async def test_an_application_that_takes_no_more_leaves_and_comes_back() -> None:
    """After max_poll_interval without a take its partitions go to others; the next take brings it back."""
    url = "memory://poll-interval"
    await make_topic(url)
    busy, idle = Recorder(), Recorder()
    stays = await join(url, busy)
    sleeps = await join(url, idle, max_poll_interval=1.0)

    async def keep_taking() -> None:
        while True:
            await stays.take(0.1)

    taking = asyncio.create_task(keep_taking())
    await until(lambda: len(busy.assigned) == 8, "the other had all", 10)
    assert idle.revocations[-1].lost
    assert sleeps.lease_until() < time.monotonic()
    deadline = time.monotonic() + 10
    while not idle.assigned:
        await sleeps.take(0.1)
        assert time.monotonic() < deadline
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    await stays.close()
    await sleeps.close()
