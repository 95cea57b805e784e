"""Recovery where changelogs have transactions: what was aborted was never written (recovery-rebalance.md 7.2 and BUG-R17)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

import faust
from faust.transport.base import ProducerDriver, ProducerOptions, TopicSpec
from faust.transport.exactly_once import TransactionalConsumer
from tests.support.apps import committed_everything, eventually, make_app, running
from tests.support.driving import open_transport

Name = Callable[..., str]


@asynccontextmanager
async def writing(url: str, topic: str, id: str) -> AsyncIterator[ProducerDriver]:
    """Give a producer in the middle of a transaction."""
    options = replace(ProducerOptions(client_id="test"), transactional_id=id)
    producer = open_transport(url).producer(options)
    await producer.start()
    try:
        await producer.load_partitions(topic)
        await producer.begin_transaction()
        yield producer
    finally:
        await producer.close()


def counting(url: str, id: str, store: str) -> tuple[faust.App, Any, Any]:
    """Make an app that counts numbers; return it, what it reads, and its table."""
    app = make_app(url, id, processing_guarantee="exactly_once", store=store)
    source = app.topic(f"{id}-source", value_type=int, partitions=1, internal=True)
    totals = app.Table("totals", key_type=int, value_type=int, default=int, partitions=1)

    @app.agent(source)
    async def count(stream: Any) -> None:
        async for number in stream:
            totals[number] += 1

    return app, source, totals


async def create(url: str, topic: str) -> None:
    """Create a topic."""
    admin = open_transport(url).admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name=topic, partitions=1)])
    await admin.close()


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_7_2_aborted_transactions_in_a_changelog(
    broker_url: str, topic_name: Name, store: str
) -> None:
    """Committed records are recovered, aborted ones and their markers at the end of the log are not, and keep nobody waiting."""
    app, source, totals = counting(broker_url, topic_name("app"), store)
    changelog = totals.changelog_topic_name
    await create(broker_url, changelog)
    async with writing(broker_url, changelog, topic_name("writer")) as producer:
        producer.append(changelog, 0, b"1", b"10")
        await producer.flush()
        await producer.commit_transaction()
        await producer.begin_transaction()
        producer.append(changelog, 0, b"1", b"99")
        producer.append(changelog, 0, b"2", b"99")
        await producer.flush()
        await producer.abort_transaction()
    async with running(app):
        await eventually(lambda: app.tables.actives_ready)
        assert dict(totals.items()) == {1: 10}
        await source.send(value=1)
        await source.send(value=2)
        await eventually(lambda: dict(totals.items()) == {1: 11, 2: 1})
        await committed_everything(app)


@pytest.mark.parametrize(
    "broker_url", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)
async def test_7_6_r17_an_open_transaction_is_waited_for(broker_url: str, topic_name: Name) -> None:
    """What a former owner's transaction may still write belongs to the table: recovery says that it waits, and has it."""
    app, _, totals = counting(broker_url, topic_name("app"), "memory://")
    changelog = totals.changelog_topic_name
    await create(broker_url, changelog)
    async with writing(broker_url, changelog, topic_name("writer")) as producer:
        producer.append(changelog, 0, b"1", b"10")
        await producer.flush()
        starting = asyncio.create_task(app.start())
        try:
            await eventually(lambda: "1 records to go" in app.tables.doing(), 40.0)
            assert not app.tables.actives_ready
            held_up = "a transaction that has not ended"
            await eventually(lambda: held_up in app.tables.doing(), 40.0)
            await producer.commit_transaction()
            await eventually(lambda: app.tables.actives_ready)
            assert dict(totals.items()) == {1: 10}
        finally:
            await starting
            await app.stop()


async def test_what_is_undone_while_partitions_change_hands_waits_for_the_next_ones(
    topic_name: Name,
) -> None:
    """A rebalance does what a restart would do: work that is undone meanwhile begins none, and comes again with the next tasks."""
    url = f"memory://{topic_name('broker')}"
    app, source, totals = counting(url, topic_name("app"), "memory://")
    async with running(app):
        await eventually(lambda: app.tables.actives_ready)
        consumer = app.consumer
        assert isinstance(consumer, TransactionalConsumer)
        await consumer.stop_restart()  # as the first step of giving back
        await source.send(value=1)
        await eventually(lambda: dict(totals.items()) == {1: 1})
        app.gate.spoilt = "an event was taken back"
        await consumer.commit()
        assert consumer._restarting is None
        await app._rebalance.restart()  # new tasks
        await source.send(value=2)
        await eventually(lambda: dict(totals.items()) == {1: 1, 2: 1})
