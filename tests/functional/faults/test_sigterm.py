"""Acceptance 7 of issue 8: SIGTERM in every state ends a worker with 0 in time, and doubles nothing that could be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faust.testing.faults import Proxy
from tests.functional.faults.refusals import GUARANTEES, HALF, STOP_LIMIT, Trial, trial
from tests.support.kafka import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Name = Callable[..., str]
OLD = 150_000
"""Records of the changelog before the first worker starts; their keys are `FIRST` and greater."""
FIRST = 1_000_000
NO_WEB = {"APP_WEB_ENABLED": "no"}


async def fill(it: Trial) -> None:
    """Write a large changelog."""
    producer = it.observer.producer
    for number in range(OLD):
        producer.append(it.changelog, number % 2, b"%d" % (FIRST + number), b'"old"')
        if producer.full:
            await producer.wait_room()
    await producer.flush()


async def check_once(it: Trial, surplus: int = 0) -> None:
    """Everything is in the sink, once; the table has it, and what it had."""
    await it.processed()
    await it.crew.end()
    assert not it.crew.ended, it.crew.ended
    assert max(it.crew.stops) < STOP_LIMIT
    copies = await it.keys(it.sink)
    assert copies.keys() == it.fed
    doubled = sum(copies.values()) - len(copies)
    assert doubled <= surplus, (doubled, copies.most_common(5))


@pytest.mark.parametrize(
    ("broker", "guarantee", "store"),
    [
        ("local", "at_least_once", "rocksdb"),
        ("local", "exactly_once", "memory"),
        pytest.param("kafka", "at_least_once", "memory", marks=pytest.mark.kafka),
        pytest.param("kafka", "exactly_once", "rocksdb", marks=pytest.mark.kafka),
    ],
)
async def test_starting_recovering_rebalancing_processing(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    topic_name: Name,
    broker: str,
    guarantee: str,
    store: str,
) -> None:
    """Before it has joined, while it reads a large changelog, while partitions move, among events: 0, in time, no double."""
    url = f"local://{tmp_path / 'broker'}"
    if broker == "kafka":
        cluster: KafkaCluster = request.getfixturevalue("kafka_cluster")
        cluster.heal()
        url = cluster.url
    settings: dict[str, Any] = {"processing_guarantee": guarantee, "store": f"{store}://"}
    env = {**NO_WEB, "FAULTS_WAIT": "0.002"}
    async with trial(url, tmp_path, topic_name(), env=env, start=False, **settings) as it:
        for topic, config in (
            (it.source, {}),
            (it.sink, {}),
            (it.changelog, {"cleanup.policy": "compact"}),
        ):
            await it.create(topic, **config)
        await fill(it)
        await it.feed()
        it.crew.hire("w1")
        await it.stops("w1")  # starting: it has said its first words
        program = it.crew.alive[it.crew.hire("w1")]
        await it.said("w1", "assigned")
        await it.stops("w1")
        recovered = [line for line in program.errors if "Recovered" in line or "Ready" in line]
        assert not recovered, "it was too fast for this test"
        assert not await it.keys(it.sink)
        it.crew.hire("w1")
        await it.crew.ready("w1")
        await it.feed()
        it.crew.hire("w2")
        await it.said("w1", "revoked")
        await it.stops("w1")
        await it.crew.ready("w2")
        await it.feed(5 * HALF)
        await asyncio.sleep(0.3)
        await it.stops("w2")
        assert len(await it.keys(it.sink)) < len(it.fed), "it was too fast for this test"
        it.crew.hire("w1")
        await it.crew.ready("w1")
        await check_once(it)
        found = await it.keys(it.changelog)
        assert found.keys() == it.fed | set(range(FIRST, FIRST + OLD))
        assert not it.exact or set(found.values()) == {1}


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_an_agent_hangs(tmp_path: Path, topic_name: Name, guarantee: str) -> None:
    """What hangs is given up and comes again: once more with the default guarantee, and as if nothing was exactly once."""
    url = f"local://{tmp_path / 'broker'}"
    env = {**NO_WEB, "FAULTS_WAIT": "600"}
    async with trial(
        url, tmp_path, topic_name(), env=env, start=False, processing_guarantee=guarantee
    ) as it:
        await it.create(it.source)
        await it.create(it.sink)
        await it.hire()
        await it.feed()
        await asyncio.sleep(1.0)
        await it.stops("w1")
        await it.hire(FAULTS_WAIT="0")
        await check_once(it, surplus=0 if it.exact else 1)


@pytest.mark.kafka
@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_the_broker_is_gone(
    kafka_cluster: KafkaCluster, tmp_path: Path, topic_name: Name, guarantee: str
) -> None:
    """What could not be committed comes again with the default guarantee, and only that; exactly once doubles nothing."""
    kafka_cluster.heal()
    ((listen, behind),) = kafka_cluster.behind
    proxy = Proxy(behind, listen=listen)
    await proxy.start()
    try:
        async with trial(
            kafka_cluster.url,
            tmp_path,
            topic_name(),
            worker_url=kafka_cluster.proxied_url,
            env={**NO_WEB, "FAULTS_WAIT": "0.002"},
            processing_guarantee=guarantee,
        ) as it:
            await it.feed(5 * HALF)
            await asyncio.sleep(0.3)
            proxy.refuse()
            await asyncio.sleep(0.5)
            await it.stops("w1")
            proxy.heal()
            await it.hire()
            await check_once(it, surplus=0 if it.exact else 5 * HALF)
            copies = await it.keys(it.sink)
            assert all(copies[number] == 1 for number in range(HALF)), (
                "what was committed came again"
            )
    finally:
        await proxy.close()
