"""Recovery where changelogs have transactions: what was aborted was never written (recovery-rebalance.md 7.2 and BUG-R17)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from faust.transport.base import ProducerDriver, ProducerOptions, TopicSpec
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


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_7_2_aborted_and_open_transactions_in_a_changelog(
    broker_url: str, topic_name: Name, store: str
) -> None:
    """Committed records are recovered, aborted ones are not, and nobody waits for a transaction that is open."""
    app = make_app(broker_url, topic_name("app"), processing_guarantee="exactly_once", store=store)
    source = app.topic(topic_name("source"), value_type=int, partitions=1, internal=True)
    totals = app.Table("totals", key_type=int, value_type=int, default=int, partitions=1)
    changelog = totals.changelog_topic_name

    @app.agent(source)
    async def count(stream: Any) -> None:
        async for number in stream:
            totals[number] += 1

    admin = open_transport(broker_url).admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name=changelog, partitions=1)])
    await admin.close()
    async with writing(broker_url, changelog, topic_name("writer")) as producer:
        producer.append(changelog, 0, b"1", b"10")
        await producer.flush()
        await producer.commit_transaction()
        await producer.begin_transaction()
        producer.append(changelog, 0, b"1", b"99")
        producer.append(changelog, 0, b"2", b"99")
        await producer.flush()
        await producer.abort_transaction()
    async with writing(broker_url, changelog, topic_name("other")) as producer:
        producer.append(changelog, 0, b"3", b"99")
        await producer.flush()
        async with running(app):
            await eventually(lambda: app.tables.actives_ready)
            assert dict(totals.items()) == {1: 10}
            await source.send(value=1)
            await source.send(value=2)
            await eventually(lambda: dict(totals.items()) == {1: 11, 2: 1})
            await producer.abort_transaction()
            await committed_everything(app)
