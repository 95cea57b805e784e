"""Acceptance 5 of issue 6: group, changelogs and data directory go from faust-streaming 0.15.3 to us, and back."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from faust.messages import TP
from faust.transport.base import AdminDriver, ProducerDriver, ProducerOptions, TopicSpec
from tests.integration.interop.test_interop import OURS, REFERENCE, python_of
from tests.support.driving import open_transport
from tests.support.kafka import KafkaCluster
from tests.support.processes import PythonProcess, start_python

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = Path(__file__).with_name("migration.py")
KEYS = [f"key-{number}" for number in range(40)]
TAKES = 90.0
"""Seconds after which faust-streaming has found its group and its tables."""


class Move:
    """An app that is run by one side after the other, and what its tables should hold."""

    def __init__(self, url: str, store: str, directory: Path, kinds: str) -> None:
        self.url = url
        self.id = f"moving-{uuid.uuid4().hex[:8]}"
        self.store = store
        self.directory = directory
        self.arguments = (url, self.id, store, str(directory), kinds)
        self.kinds = kinds.split(",")
        self.topic = f"{self.id}-events"
        self.counts: dict[str, int] = {}
        self.members: dict[str, set[int]] = {}
        self.sent = 0

    async def send(self, producer: ProducerDriver) -> None:
        """Send an event of each key, with an amount that tells the rounds apart."""
        self.sent += 1
        for number, key in enumerate(KEYS):
            amount = 10**self.sent + number
            producer.append(self.topic, number % 4, key.encode(), b"%d" % amount)
            self.counts[key] = self.counts.get(key, 0) + amount
            self.members.setdefault(key, set()).add(amount)
        await producer.flush()

    def right(self, seen: int) -> dict[str, Any]:
        """Return what a worker should say."""
        sets = {key: sorted(members) for key, members in self.members.items()}
        return {
            "seen": seen,
            "ready": True,
            "plain": self.counts,
            "windowed": self.counts,
            "sets": sets if "sets" in self.kinds else {},
        }

    async def says(self, worker: PythonProcess, seen: int) -> None:
        """Wait until a worker says what is right, and for a moment longer."""
        deadline = time.monotonic() + TAKES
        said: dict[str, Any] = {}
        good = 0
        while good < 3:
            for line in worker.lines():
                if line.startswith('{"seen"'):
                    said = json.loads(line)
                    good = good + 1 if said == self.right(seen) else 0
            assert worker.returncode is None, "\n".join(worker.errors[-40:])
            assert time.monotonic() < deadline, (
                f"{ {k: v if not isinstance(v, dict) else _difference(v, self.right(seen)[k]) for k, v in said.items()} }\n"
                + "\n".join(line[:300] for line in worker.errors[-40:])
            )
            await asyncio.sleep(0.1)

    async def committed(self, admin: AdminDriver) -> int:
        """Return how many events the group has committed."""
        offsets = (await admin.describe_group(self.id)).offsets
        return sum(offsets.get(TP(self.topic, number), 0) for number in range(4))


def _difference(found: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    wrong = {k: (found.get(k), right[k]) for k in right if found.get(k) != right[k]}
    return dict(list(wrong.items())[:4])


@asynccontextmanager
async def clients(url: str, move: Move) -> AsyncIterator[tuple[AdminDriver, ProducerDriver]]:
    """Make the topic, and give clients."""
    transport = open_transport(url)
    admin = transport.admin(client_id="test")
    await admin.start()
    await admin.create_topics([TopicSpec(name=move.topic, partitions=4)])
    producer = transport.producer(ProducerOptions(client_id="test"))
    await producer.start()
    await producer.load_partitions(move.topic)
    try:
        yield admin, producer
    finally:
        await producer.close()
        await admin.close()


async def live(
    move: Move, side: str, admin: AdminDriver, producer: ProducerDriver, **env: str
) -> None:
    """Run one side: it has what the one before has left, processes a round of events, and is stopped."""
    with start_python(PROGRAM, *move.arguments, python=python_of(side), env=env) as worker:
        if move.sent:
            await move.says(worker, 0)
        await move.send(producer)
        await move.says(worker, len(KEYS))
        worker.terminate()
        await worker.wait_end(60.0)
    assert await move.committed(admin) == move.sent * len(KEYS)


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_there_and_back(kafka_cluster: KafkaCluster, tmp_path: Path, store: str) -> None:
    """Plain and windowed tables go to us and back again: contents are equal, offsets go on, nothing is processed twice."""
    move = Move(kafka_cluster.url, store, tmp_path, "plain,windowed")
    async with clients(kafka_cluster.url, move) as (admin, producer):
        for side in (REFERENCE, OURS, REFERENCE, OURS):
            await live(move, side, admin, producer)


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_sets_come_over(kafka_cluster: KafkaCluster, tmp_path: Path, store: str) -> None:
    """Set tables are taken over in the older format, and written in ours (tables.md 8)."""
    move = Move(kafka_cluster.url, store, tmp_path, "plain,windowed,sets")
    async with clients(kafka_cluster.url, move) as (admin, producer):
        for side in (REFERENCE, OURS, OURS):
            await live(move, side, admin, producer)


OPERATIONS = {"TABLE_SET_CHANGELOG_FORMAT": "operations"}


def without_databases_of_sets(move: Move) -> None:
    """Delete them: faust-streaming builds them anew. Its own lack the last change of each set after every restart (BUG-16)."""
    databases = list(move.directory.glob("**/sets-*.db"))
    assert bool(databases) == (move.store == "rocksdb://")
    for database in databases:
        shutil.rmtree(database)


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_sets_go_back(kafka_cluster: KafkaCluster, tmp_path: Path, store: str) -> None:
    """With the setting set tables go to us and back, with nothing to be done to the changelog (serialization.md 6.6)."""
    move = Move(kafka_cluster.url, store, tmp_path, "plain,windowed,sets")
    async with clients(kafka_cluster.url, move) as (admin, producer):
        await live(move, REFERENCE, admin, producer)
        await live(move, OURS, admin, producer, **OPERATIONS)
        without_databases_of_sets(move)
        await live(move, REFERENCE, admin, producer)


async def test_sets_go_back_when_rewritten(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    """Sets that were written as members here go back after ``faust repartition --rewrite`` (tables.md 8)."""
    move = Move(kafka_cluster.url, "memory://", tmp_path, "plain,windowed,sets")
    async with clients(kafka_cluster.url, move) as (admin, producer):
        await live(move, OURS, admin, producer)
        command = ("repartition", "sets", "--rewrite", "--partitions", "4")
        with start_python(PROGRAM, *move.arguments, *command, env=OPERATIONS) as rewriting:
            assert await rewriting.wait_end(60.0) == 0, "\n".join(rewriting.errors[-20:])
        await live(move, REFERENCE, admin, producer)
