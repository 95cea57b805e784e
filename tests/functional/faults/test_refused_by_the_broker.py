"""Acceptance 6 of issue 8: what a broker may refuse, under a whole app; `test_refusals` has the disks of this machine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.functional.faults.refusals import GUARANTEES, HALF, trial
from tests.support.disks import SmallDisk
from tests.support.kafka import GUEST, KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Name = Callable[..., str]
BROKERS = ["local", pytest.param("kafka", marks=pytest.mark.kafka)]
REWRITTEN = "deleted and made anew"
TOO_FEW = "NOT_ENOUGH_REPLICAS"


def address(request: pytest.FixtureRequest, broker: str, directory: Path) -> str:
    """Return the URL of a broker."""
    if broker == "local":
        return f"local://{directory / 'broker'}?auto_create=no"
    cluster: KafkaCluster = request.getfixturevalue("kafka_cluster")
    cluster.heal()
    return cluster.url


@pytest.mark.kafka
async def test_too_few_replicas(tmp_path: Path, topic_name: Name) -> None:
    """Workers commit nothing, name topic and cause, and end when told to; with the replica they go on by themselves."""
    with KafkaCluster(3, heap="256m") as cluster:
        trials = [
            trial(
                ";".join(cluster.urls),
                tmp_path / guarantee,
                topic_name(),
                replication=3,
                processing_guarantee=guarantee,
                topic_replication_factor=3,
            )
            for guarantee in GUARANTEES
        ]
        async with AsyncExitStack() as stack:
            both = await asyncio.gather(*map(stack.enter_async_context, trials))
            at_least_once, exactly_once = both
            for it in both:
                cluster.configure(it.sink, "min.insync.replicas", "3")
            await asyncio.to_thread(cluster.stop, 3)
            await asyncio.gather(*(it.feed() for it in both))
            await at_least_once.tells("sending", at_least_once.sink, TOO_FEW)
            # the last trouble is what the broker said, or that the leader that went was not answering
            await exactly_once.tells("transactions", exactly_once.sink, "none can be begun")
            await exactly_once.stops()
            await asyncio.gather(exactly_once.hire(), asyncio.to_thread(cluster.restart, 3))
            await asyncio.gather(*(it.processed() for it in both))
            await asyncio.gather(*(it.well() for it in both))
            await asyncio.gather(*(it.check() for it in both))


@pytest.mark.kafka
async def test_the_disk_of_the_broker_is_full(
    small_disk: SmallDisk, tmp_path: Path, topic_name: Name
) -> None:
    """Kafka ends when it cannot write; workers wait for it, health says so, and with room again they go on by themselves."""
    small_disk.grow()
    options = {"log.dirs": str(small_disk.path / "data"), "log.index.size.max.bytes": "65536"}
    with KafkaCluster(properties=options) as cluster:
        one, two = (
            trial(cluster.url, tmp_path / guarantee, topic_name(), processing_guarantee=guarantee)
            for guarantee in GUARANTEES
        )
        async with one as first, two as second:
            small_disk.fill()
            feeding = [asyncio.create_task(it.feed()) for it in (first, second)]
            for it in (first, second):
                await it.tells("broker: it has not answered")
            small_disk.clear()
            await asyncio.to_thread(cluster.restart)
            await asyncio.gather(*feeding)
            for it in (first, second):
                await it.processed()
                await it.well()
                await it.check()


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("what", "guarantee"),
    [
        ("sink", "at_least_once"),
        ("sink", "exactly_once"),
        ("changelog", "at_least_once"),
        ("changelog", "exactly_once"),
        ("source", "at_least_once"),
        ("group", "at_least_once"),
        ("group", "exactly_once"),
        ("transactional_id", "exactly_once"),
    ],
)
async def test_a_right_is_taken_away(
    kafka_cluster: KafkaCluster, tmp_path: Path, topic_name: Name, what: str, guarantee: str
) -> None:
    """Without its ACL the worker ends with 1 and names what it may not use; with it, nothing is missing."""
    kafka_cluster.heal()
    name, user = topic_name(), GUEST[0]
    for topic in ("in", "out", "seen-changelog"):
        kafka_cluster.allow(user, f"{name}-{topic}")
    kafka_cluster.allow(user, name, "group")
    kafka_cluster.allow(user, "*", "transactional_id")
    async with trial(
        kafka_cluster.url,
        tmp_path,
        name,
        worker_url=kafka_cluster.sasl_url,
        env={"FAULTS_USER": ":".join(GUEST)},
        processing_guarantee=guarantee,
    ) as it:
        resource, taken = {
            "group": ("group", name),
            "transactional_id": ("transactional_id", "*"),
        }.get(what) or ("topic", getattr(it, what))
        kafka_cluster.forbid(user, taken, resource)
        await it.feed()
        await it.ends(name if taken == "*" else taken, "ermi")
        kafka_cluster.allow(user, taken, resource)
        await it.hire()
        await it.processed()
        await it.check()


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("what", ["sink", "table"])
@pytest.mark.parametrize("broker", BROKERS)
async def test_a_value_that_is_too_large_for_the_topic(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    topic_name: Name,
    broker: str,
    what: str,
    guarantee: str,
) -> None:
    """The worker ends with 1 and names topic and limit, before anything is committed; with a higher limit nothing is missing."""
    name, limit = topic_name(), {"max.message.bytes": "20000"}
    url = address(request, broker, tmp_path)
    if broker == "kafka" and guarantee == "exactly_once" and what == "table":
        pytest.skip("covered by the others")
    async with trial(
        url,
        tmp_path,
        name,
        env={"FAULTS_LARGE": what},
        start=False,
        processing_guarantee=guarantee,
    ) as it:
        topic = it.changelog if what == "table" else it.sink
        await it.create(it.source)
        await it.create(it.sink, **(limit if what == "sink" else {}))
        await it.create(
            it.changelog, **{"cleanup.policy": "compact", **(limit if what == "table" else {})}
        )
        await it.hire()
        await it.feed()
        await it.processed()
        await it.feed()
        await it.ends(topic, "max.message.bytes")
        if broker == "kafka":
            request.getfixturevalue("kafka_cluster").configure(topic, "max.message.bytes", None)
            await it.hire()
        else:  # whose options stay as they are: the program sends less
            await it.hire(FAULTS_LARGE="")
        await it.processed()
        await it.check()


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("broker", BROKERS)
async def test_the_sink_is_deleted(
    request: pytest.FixtureRequest, tmp_path: Path, topic_name: Name, broker: str, guarantee: str
) -> None:
    """What cannot be written is not committed, and the worker ends with 1; when the topic is there again it gets everything."""
    url = address(request, broker, tmp_path)
    async with trial(url, tmp_path, topic_name(), processing_guarantee=guarantee) as it:
        await it.delete(it.sink)
        await it.feed()
        await it.ends(it.sink)
        await it.create(it.sink)
        await it.hire()
        await it.processed()
        await it.check(since={it.sink: HALF})


@pytest.mark.parametrize("broker", BROKERS)
async def test_the_source_is_deleted(
    request: pytest.FixtureRequest, tmp_path: Path, topic_name: Name, broker: str
) -> None:
    """The worker lives, health says what is missing, and what comes when the topic is there again is processed."""
    url = address(request, broker, tmp_path)
    async with trial(url, tmp_path, topic_name()) as it:
        await it.delete(it.source)
        await it.tells("topics", it.source, "does not exist")
        await it.create(it.source)
        await it.well()
        await it.feed()
        await it.processed()
        await it.check()


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
@pytest.mark.parametrize("broker", BROKERS)
async def test_the_changelog_is_deleted(
    request: pytest.FixtureRequest, tmp_path: Path, topic_name: Name, broker: str, store: str
) -> None:
    """The worker ends with 1 before it commits what the table cannot keep; what comes after is kept, what was there is gone."""
    url = address(request, broker, tmp_path)
    async with trial(url, tmp_path, topic_name(), store=f"{store}://") as it:
        await it.delete(it.changelog)
        await it.feed()
        await it.ends(it.changelog)
        if store == "rocksdb":
            it.crew.wipe("w1")
        await it.hire()
        await it.processed()
        await it.check(since={it.changelog: HALF})


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
@pytest.mark.parametrize("broker", BROKERS)
async def test_the_changelog_is_made_anew(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    topic_name: Name,
    broker: str,
    busy: bool,
    guarantee: str,
) -> None:
    """A worker does not go on with a changelog that lacks what its table has; not even one that has nothing to write."""
    url = address(request, broker, tmp_path)
    async with trial(url, tmp_path, topic_name(), processing_guarantee=guarantee) as it:
        await asyncio.sleep(0 if busy else 3.5)  # the worker has looked at its topics
        await it.delete(it.changelog)
        await it.create(it.changelog, **{"cleanup.policy": "compact"})
        if busy:
            await it.feed()
        await it.ends(it.changelog, REWRITTEN)


async def test_the_changelog_is_made_anew_in_a_rebalance(tmp_path: Path, topic_name: Name) -> None:
    """A worker that was not assigned the changelog while it was gone has not forgotten the one that it has used."""
    url = f"local://{tmp_path / 'broker'}"
    async with trial(url, tmp_path, topic_name(), processing_guarantee="exactly_once") as it:
        await it.delete(it.changelog)
        await it.said("w1", "revoked")
        await it.create(it.changelog, **{"cleanup.policy": "compact"})
        await it.feed()
        await it.ends(it.changelog, REWRITTEN)
        assert not await it.keys(it.changelog)


async def test_the_directory_of_the_broker_is_deleted(tmp_path: Path, topic_name: Name) -> None:
    """The worker ends with 1 within seconds, and says why: once, as its last word."""
    directory = tmp_path / "broker"
    url = f"local://{directory}"
    async with trial(url, tmp_path, topic_name(), processing_guarantee="exactly_once") as it:
        log = it.program.errors
        shutil.rmtree(directory)
        await it.ends(str(directory), "was deleted while it was in use", timeout=10.0)
        assert sum("was deleted while" in line for line in log) == 1, "\n".join(log)


async def test_the_data_directory_is_removed(tmp_path: Path, topic_name: Name) -> None:
    """A worker whose files are gone loses nothing: whoever starts next has the whole table, from its changelog."""
    url = f"local://{tmp_path / 'broker'}"
    async with trial(url, tmp_path, topic_name(), store="rocksdb://") as it:
        it.crew.wipe("w1")
        await it.feed()
        await it.processed()
        await it.crew.send_home("w1")
        assert not it.crew.ended, it.crew.ended
        await it.hire()
        await it.said("w1", f"Recovered {2 * HALF} records")
        await it.feed()
        await it.processed()
        await it.check()
