"""Acceptance 6 of the foundation: an agent that blocks the event loop keeps its partitions.

Heartbeats are sent by the client's own thread. A second worker stands by that would be given the partitions.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from faust.transport.base import ProducerOptions, TopicSpec
from tests.functional.faults.recording_app import (
    ASSIGNED,
    BLOCKED,
    HANDED,
    REVOKED,
    TIMEOUTS,
    read_entries,
    start_worker,
)
from tests.support.driving import open_transport, until

PARTITIONS = 4
BLOCK = 2 * TIMEOUTS["broker_session_timeout"]


@pytest.mark.parametrize(
    "broker_url", ["local", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)
@pytest.mark.slow
async def test_a_blocked_loop_keeps_its_partitions(broker_url: str, tmp_path: Path) -> None:
    """Two session timeouts in time.sleep: no rebalance, the same generation, and work goes on behind it."""
    topic = f"blocked-{uuid.uuid4().hex[:8]}"
    transport = open_transport(broker_url)
    admin = transport.admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name=topic, partitions=PARTITIONS)])
    producer = transport.producer(ProducerOptions(client_id="feed"))
    await producer.start()
    await producer.load_partitions(topic)
    paths = [tmp_path / "one.log", tmp_path / "two.log"]

    def held() -> list[set[int]]:
        """Return the partitions each worker holds, by what it says."""
        found = []
        for path in paths:
            holding: set[int] = set()
            for entry in read_entries(path):
                if entry.kind == ASSIGNED:
                    holding.add(entry.partition)
                elif entry.kind == REVOKED:
                    holding.discard(entry.partition)
            found.append(holding)
        return found

    with (
        start_worker(broker_url, topic, topic, paths[0]) as one,
        start_worker(broker_url, topic, topic, paths[1]) as two,
    ):
        await until(
            lambda: all(len(each) == PARTITIONS // 2 for each in held()),
            "both workers have half of the partitions",
            60.0,
        )
        before = time.monotonic()
        mine = min(held()[0])
        generation = max(entry.generation for entry in read_entries(paths[0]))
        producer.append(topic, mine, None, b"%d" % -round(BLOCK * 1000))
        for number in range(100):
            producer.append(topic, number % PARTITIONS, None, b"%d" % number)
        await producer.flush()
        await until(
            lambda: (
                sum(entry.kind == HANDED for path in paths for entry in read_entries(path)) == 101
            ),
            "all events were handed out",
            BLOCK + 30.0,
        )
        story = [e for path in paths for e in read_entries(path) if e.at > before]
        for process in (one, two):
            process.terminate()
        for process in (one, two):
            assert await process.wait_end(30.0) == 0, "\n".join(process.errors[-40:])
    await producer.close()
    await admin.close()
    blocked = [e.at for e in story if e.kind == BLOCKED]
    started = next(e.at for e in story if e.kind == HANDED and e.number < 0)
    assert len(blocked) == 1
    assert blocked[0] - started >= BLOCK
    assert not [e for e in story if e.kind in {ASSIGNED, REVOKED}]
    assert {e.generation for e in story} == {generation}
    assert sorted(e.number for e in story if e.kind == HANDED and e.number >= 0) == list(range(100))
