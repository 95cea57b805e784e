"""A worker that stood still must not write what it had on its way to changelogs that others go on with."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from faust.testing.faults import Crew, Observer, Proxy, tps_of
from tests.functional.faults.chaos_app import KEYS, PARTITIONS, SESSION_TIMEOUT
from tests.functional.faults.chaos_table import Changelog
from tests.support.driving import until
from tests.support.kafka import KafkaCluster
from tests.support.processes import ROOT

APP = Path(__file__).with_name("chaos_app.py")
ROUND = 10 * KEYS
"""Numbers that are fed at once."""


class Way(NamedTuple):
    """The way from the first worker to the broker, which can be blocked."""

    url: str
    first_url: str
    block: Callable[[], object]
    clear: Callable[[], object]


@asynccontextmanager
async def way_to(kind: str, directory: Path, request: pytest.FixtureRequest) -> AsyncIterator[Way]:
    """Give a broker, and a way to it."""
    if kind == "local":
        url = f"local://{directory / 'broker'}"
        async with Observer(url, "nobody"):
            pass
        database = sqlite3.connect(directory / "broker" / "broker.sqlite3", isolation_level=None)
        yield Way(
            url,
            url,
            partial(database.execute, "BEGIN IMMEDIATE"),
            partial(database.execute, "ROLLBACK"),
        )
        database.close()
        return
    cluster: KafkaCluster = request.getfixturevalue("kafka_cluster")
    cluster.heal()
    (ports,) = cluster.behind
    proxy = Proxy(ports[1], listen=ports[0])
    await proxy.start()
    yield Way(cluster.url, cluster.proxied_url, proxy.refuse, proxy.heal)
    await proxy.close()


def crew_of(url: str, name: str, directory: Path) -> Crew:
    """Return a crew of workers that count."""
    env = {
        "PYTHONPATH": str(ROOT),
        "BROKER_URL": url,
        "FAULTS_NAME": name,
        "FAULTS_APP": "count",
        "FAULTS_CONTROL": str(directory),
        "FAULTS_SETTINGS": json.dumps({"store": "memory://"}),
    }
    command = [sys.executable, "-u", str(APP), "-l", "info", "worker"]
    return Crew(command, directory, env=env, cwd=ROOT)


@pytest.mark.parametrize("kind", ["local", pytest.param("kafka", marks=pytest.mark.kafka)])
@pytest.mark.slow
async def test_what_was_on_its_way_when_a_worker_froze_is_not_written_when_it_wakes(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Its changelog records wait at a blocked broker; it freezes; another counts on; it wakes: the table is exact."""
    name, hang = f"late-{uuid.uuid4().hex[:8]}", tmp_path / "hang"
    source, changelog = tps_of(f"{name}-in", PARTITIONS), tps_of(f"{name}-counts-changelog", 8)
    async with way_to(kind, tmp_path, request) as way, Observer(way.url, name) as observer:
        for topic in (f"{name}-in", f"{name}-out"):
            await observer.create(topic, PARTITIONS)
        first, second = crew_of(way.first_url, name, tmp_path), crew_of(way.url, name, tmp_path)
        sent = 0

        async def feed() -> None:
            nonlocal sent
            for number in range(sent, sent + ROUND):
                key, value = number % KEYS, b"%d" % number
                observer.producer.append(f"{name}-in", key % PARTITIONS, b"%d" % key, value)
            sent += ROUND
            await observer.producer.flush()

        async def done() -> bool:
            return await observer.committed(source) == await observer.ends(source)

        try:
            await first.ready(first.hire("frozen"))
            await feed()
            await until(done, "the first round was counted", 60.0)
            hang.touch()
            await asyncio.sleep(0.2)
            await feed()
            await asyncio.sleep(1.0)  # fetched, and not counted
            way.block()
            hang.unlink()
            await asyncio.sleep(1.0)  # counted; what has changed cannot be written
            first.alive["frozen"].freeze()
            way.clear()
            second.hire("awake")
            await until(done, "another worker has counted it", SESSION_TIMEOUT + 60.0)
            await feed()
            await until(done, "and more", 60.0)
            first.alive["frozen"].thaw()
            await asyncio.sleep(
                2 * SESSION_TIMEOUT
            )  # back in the group, with half of the partitions
            await feed()
            await until(done, "both have counted on", 60.0)
            for crew in (first, second):
                await crew.end()
                assert not crew.ended, crew.ended
        finally:
            for crew in (first, second):
                crew.close()
        read = await Changelog.read(way.url, name, "count", changelog)
        difference = read.compare(sent)
        assert not difference.short
        assert not difference.unknown
        assert not difference.surplus
