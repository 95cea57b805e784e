"""Brokers that do not know a worker any more: another cluster at the same addresses (pain row 2), ids that have expired."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.faults.refusal_app import PARTITIONS
from tests.functional.faults.refusals import GUARANTEES, HALF, Trial, trial
from tests.support.kafka import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(240)]

Name = Callable[..., str]


async def replace(cluster: KafkaCluster, it: Trial) -> None:
    """Put another cluster in the place of one, with the same topics, and more in them than the worker has read before."""
    it.program.freeze()
    await asyncio.to_thread(cluster.replace)
    for topic in (it.source, it.sink):
        await it.create(topic)
    await it.create(it.changelog, **{"cleanup.policy": "compact"})
    it.fed.clear()
    await it.feed(4 * HALF)
    it.program.thaw()


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_pain_2_another_cluster(tmp_path: Path, topic_name: Name, guarantee: str) -> None:
    """A worker without tables goes on by itself, from the beginning of the new cluster's topics, and commits there."""
    with KafkaCluster() as cluster:
        async with trial(
            cluster.url,
            tmp_path,
            topic_name(),
            env={"FAULTS_TABLE": "no"},
            processing_guarantee=guarantee,
        ) as it:
            await replace(cluster, it)
            await it.said("w1", "the brokers belong to another Kafka cluster now")
            await it.processed()
            await it.well()
            await it.feed()
            await it.processed()
            await it.check(topics=[it.sink])


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_pain_2_another_cluster_and_tables(
    tmp_path: Path, topic_name: Name, store: str
) -> None:
    """A worker whose tables have what the new changelogs lack ends; started anew, it has what the new cluster has."""
    with KafkaCluster() as cluster:
        async with trial(cluster.url, tmp_path, topic_name(), store=f"{store}://") as it:
            await replace(cluster, it)
            await it.ends(it.changelog, "deleted and made anew")
            if store == "rocksdb":
                it.crew.wipe("w1")
            await it.hire()
            await it.processed()
            await it.check()


async def test_the_broker_forgets_an_idle_producer(tmp_path: Path, topic_name: Name) -> None:
    """A worker that had nothing to write for longer than producer and transactional ids are kept goes on by itself."""
    forgetful = {
        "transactional.id.expiration.ms": "1500",
        "transaction.remove.expired.transaction.cleanup.interval.ms": "300",
        "producer.id.expiration.ms": "1500",
        "producer.id.expiration.check.interval.ms": "300",
    }
    with KafkaCluster(properties=forgetful) as cluster:
        one, two = (
            trial(cluster.url, tmp_path / guarantee, topic_name(), processing_guarantee=guarantee)
            for guarantee in GUARANTEES
        )
        async with one as at_least_once, two as exactly_once:
            await asyncio.sleep(4.0)
            for it in (at_least_once, exactly_once):
                await it.feed()
            await exactly_once.said("w1", "does not know this transaction")
            for it in (at_least_once, exactly_once):
                await it.processed()
                await it.check()


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("what", ["sink", "changelog"])
async def test_the_broker_has_lost_records(
    kafka_cluster: KafkaCluster, tmp_path: Path, topic_name: Name, what: str, guarantee: str
) -> None:
    """A worker goes on writing to a topic that has lost its end; a table whose changelog has lost its end ends it."""
    kafka_cluster.heal()
    name = topic_name()
    async with trial(
        kafka_cluster.url,
        tmp_path,
        name,
        processing_guarantee=guarantee,
        broker_session_timeout=60.0,  # it keeps its partitions: who rejoins, recovers what is left
        broker_rebalance_timeout=60.0,
        broker_request_timeout=90.0,
    ) as it:
        await asyncio.to_thread(kafka_cluster.kill)
        lost = getattr(it, what)
        for partition in range(PARTITIONS):
            kafka_cluster.cut_log(lost, partition)
        await asyncio.to_thread(kafka_cluster.restart)
        await it.feed()
        if what == "changelog":
            await it.ends(lost, "has lost records")
            return
        await it.processed()
        await it.well()
        await it.crew.end()
        assert not it.crew.ended, it.crew.ended
        found = await it.keys(lost)
        assert set(range(HALF, 2 * HALF)) <= found.keys() < it.fed
        if guarantee == "exactly_once":
            assert set(found.values()) == {1}
