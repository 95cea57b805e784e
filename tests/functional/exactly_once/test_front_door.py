"""Every effect of an event and its offset are one transaction (transport.md 9; pain row 23), as a user would see it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import mode
import pytest

import faust
from faust.exceptions import ImproperlyConfigured, ProducerFenced
from faust.messages import TP
from faust.transport.consumer import CommitStep
from faust.transport.exactly_once import TransactionalConsumer
from tests.functional.exactly_once.reading import read_all, read_until
from tests.support.apps import committed_everything, eventually, make_app, running
from tests.support.driving import fast_options, open_transport
from tests.support.kafka import KafkaCluster

Name = Callable[..., str]
COUNT = 400
STORES = ["memory://", "rocksdb://"]


def exactly_once_app(url: str, name: str, **options: Any) -> faust.App:
    """Make an app with exactly-once processing and short timeouts."""
    return make_app(url, name, processing_guarantee="exactly_once", **options)


def undo_at(app: faust.App, step: CommitStep, times: int = 1) -> list[CommitStep]:
    """Have a commit of *app* fail at *step*, as a fenced producer's does; return the failures as they come."""
    failed: list[CommitStep] = []
    consumer = app.consumer
    assert isinstance(consumer, TransactionalConsumer)

    def touched() -> bool:
        return consumer.producer.touched or consumer.producer.fenced

    def on_commit_step(reached: CommitStep) -> None:
        done = step in (CommitStep.COMMITTED, CommitStep.SETTLED)
        if reached is step and len(failed) < times and (done or touched()):
            failed.append(reached)
            raise ProducerFenced(f"injected at {reached.value}")

    consumer.on_step = on_commit_step
    return failed


async def test_one_to_one(broker_url: str, topic_name: Name) -> None:
    """A committed reader sees each id once, also when a transaction is undone under way."""
    app = exactly_once_app(broker_url, topic_name("app"), broker_transaction_timeout=10.0)
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    target = app.topic(topic_name("target"), value_type=int)
    failed = undo_at(app, CommitStep.OFFSETS_SENT)

    @app.agent(source)
    async def copy(stream: Any) -> None:
        async for number in stream:
            await target.send(value=number)

    async with running(app):
        for number in range(COUNT):
            await source.send(value=number, partition=number % 4)
        seen = await read_until(broker_url, target.get_topic_name(), COUNT)
        await committed_everything(app)
    assert failed
    seen = await read_all(broker_url, target.get_topic_name())
    assert sorted(int(one.value or b"") for one in seen) == list(range(COUNT))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("step", [CommitStep.FLUSHED, CommitStep.COMMITTED])
async def test_count_in_a_table(
    broker_url: str, topic_name: Name, store: str, step: CommitStep
) -> None:
    """Sums in memory, store and changelog are exact when a transaction is undone, and when its outcome was not heard."""
    app = exactly_once_app(broker_url, topic_name("app"), store=store)
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    totals = app.Table("totals", key_type=int, value_type=int, default=int)
    failed = undo_at(app, step)

    @app.agent(source)
    async def count(stream: Any) -> None:
        async for number in stream:
            totals[number % 8] += 1

    async with running(app):
        for number in range(COUNT):
            await source.send(value=number, partition=number % 4)
        await eventually(lambda: bool(failed))
        seen = await read_until(broker_url, totals.changelog_topic_name, 8)
        await committed_everything(app)
        await eventually(lambda: dict(totals.items()) == dict.fromkeys(range(8), COUNT // 8))
    latest = {one.key: int(one.value or b"") for one in seen}
    assert latest == {b"%d" % key: COUNT // 8 for key in range(8)}


async def test_group_by_and_windowed_table(broker_url: str, topic_name: Name) -> None:
    """Repartitioning and a windowed table: each event is counted once, whichever transaction was undone."""
    app = exactly_once_app(broker_url, topic_name("app"))
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    counts = app.Table("counts", key_type=str, value_type=int, default=int).tumbling(
        10.0, expires=3600.0
    )
    failed = undo_at(app, CommitStep.FLUSHED, times=2)

    @app.agent(source)
    async def count(stream: Any) -> None:
        async for number in stream.group_by(lambda n: str(n % 5), name="five"):
            counts[str(number % 5)] += 1

    stamp = 1_700_000_000.0
    async with running(app):
        for number in range(COUNT):
            await source.send(value=number, partition=number % 4, timestamp=stamp)

        await eventually(lambda: len(failed) == 2)
        await read_until(broker_url, counts.table.changelog_topic_name, 5)
        await committed_everything(app)
        await eventually(lambda: _windows(counts) == {str(k): COUNT // 5 for k in range(5)})


def _windows(counts: Any) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (key, _window), value in counts.table.items():
        found[key] += value
    return dict(found)


@pytest.mark.kafka
@pytest.mark.parametrize("step", [CommitStep.FLUSHED, CommitStep.OFFSETS_SENT, CommitStep.SETTLED])
async def test_events_go_on_while_a_transaction_is_committed(
    kafka_cluster: KafkaCluster, topic_name: Name, step: CommitStep
) -> None:
    """What comes while a transaction is committed is in the next one; undone with it, each event still counts once."""
    url = kafka_cluster.url
    app = exactly_once_app(url, topic_name("app"), broker_commit_interval=0.05)
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    target = app.topic(topic_name("target"), value_type=int)
    counts = app.Table("counts", key_type=int, value_type=int, default=int)
    consumer = app.consumer
    assert isinstance(consumer, TransactionalConsumer)
    behind: list[CommitStep] = []

    def on_commit_step(reached: CommitStep) -> None:
        producer = consumer.producer
        if producer.fenced:
            assert not app.gate.held
        if reached is step and producer.fenced and producer.touched and len(behind) < 2:
            behind.append(reached)
            raise ProducerFenced(f"injected at {reached.value}")

    consumer.on_step = on_commit_step

    @app.agent(source)
    async def copy(stream: Any) -> None:
        async for number in stream:
            counts[number % 8] += 1
            await target.send(value=number)
            await asyncio.sleep(0.001)

    count = 5 * COUNT
    async with running(app):
        for number in range(count):
            await source.send(value=number, partition=number % 4)
        await read_until(url, target.get_topic_name(), count)
        await committed_everything(app)
        assert sum(counts.values()) == count
    assert len(behind) == 2
    seen = await read_all(url, target.get_topic_name())
    assert sorted(int(one.value or b"") for one in seen) == list(range(count))
    latest = {
        one.key: int(one.value or b"") for one in await read_all(url, counts.changelog_topic_name)
    }
    assert sum(latest.values()) == count


async def test_rpc(broker_url: str, topic_name: Name) -> None:
    """An answer comes once, with the transaction of the question; from outside of events it may be asked for."""
    app = exactly_once_app(broker_url, topic_name("app"))
    questions = app.topic(topic_name("questions"), value_type=int, internal=True)
    answered: Counter[int] = Counter()

    @app.agent(questions)
    async def double(stream: Any) -> Any:
        async for number in stream:
            answered[number] += 1
            yield number * 2

    async with running(app):
        for number in range(5):
            assert await double.ask(number) == number * 2
    assert answered == Counter(range(5))


async def test_asking_inside_an_event_is_refused(topic_name: Name) -> None:
    """A question that could never be answered stops the worker with a sentence, instead of hanging it."""
    app = exactly_once_app(f"memory://{topic_name()}", topic_name("app"))
    source = app.topic(topic_name("source"), value_type=int, internal=True)

    @app.agent(app.topic(topic_name("questions"), value_type=int, internal=True))
    async def double(stream: Any) -> Any:
        async for number in stream:
            yield number * 2

    @app.agent(source)
    async def ask(stream: Any) -> None:
        async for number in stream:
            await double.ask(number)

    with pytest.raises(
        ImproperlyConfigured, match="asked while an event is processed exactly once"
    ):
        async with running(app):
            await source.send(value=1)
            await eventually(lambda: app.crash_reason is not None)


@pytest.mark.kafka
async def test_markers_are_written_where_the_app_reads_nothing(
    kafka_cluster: KafkaCluster, topic_name: Name
) -> None:
    """What is sent to a topic that the app does not consume is in transactions: the log has their markers (BUG-T23).

    faust-streaming writes none there: such sends stand outside of every transaction.
    """
    url = kafka_cluster.url
    app = exactly_once_app(url, topic_name("app"))
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    target = app.topic(topic_name("target"), value_type=int)

    @app.agent(source)
    async def copy(stream: Any) -> None:
        async for number in stream:
            await target.send(value=number, partition=0)

    name = target.get_topic_name()
    async with running(app):
        for wave in range(3):
            await source.send(value=wave, partition=0)
            await read_until(url, name, wave + 1)
    reader = open_transport(url).consumer(fast_options())
    await reader.start()
    end = (await reader.log_end_offsets([TP(name, 0)]))[TP(name, 0)]
    await reader.close()
    assert len(await read_all(url, name)) == 3
    assert end == 3 + 3, "three transactions, and a marker for each"


async def test_events_of_a_channel_are_waited_for_while_their_reader_is_restarted(
    topic_name: Name,
) -> None:
    """What waits in a channel belongs to the transaction, also in the moment when its agent has raised."""
    app = exactly_once_app(f"memory://{topic_name('broker')}", topic_name("app"))
    source = app.topic("source", value_type=int, internal=True)
    channel = app.channel()
    waited_for: list[bool] = []
    got: list[int] = []

    class Looking(mode.OneForOneSupervisor):
        async def restart_services(self, services: list[mode.ServiceT]) -> None:
            waited_for.append(app.gate.busy())
            await super().restart_services(services)

    @app.agent(source)
    async def pass_on(stream: Any) -> None:
        async for number in stream:
            for each in range(3):
                await channel.put(number + each)

    @app.agent(channel, supervisor_strategy=Looking)
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)
            if number == 0:
                raise ValueError(number)

    async with running(app):
        await source.send(value=0)
        await eventually(lambda: got == [0, 1, 2])
        await committed_everything(app)
        assert waited_for == [True]
        assert not app.gate.busy()
