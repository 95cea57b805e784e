"""Where logs end is asked of those who lead them now (KIP-320): who was replaced refuses to answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from faust.messages import TP
from faust.transport.base import ConsumerOptions, DriverState, TopicSpec
from faust.transport.drivers.aiokafka.client import KafkaClient
from faust.transport.drivers.aiokafka.protocol import LogEnds
from tests.support.driving import open_transport, until
from tests.support.kafka import KafkaCluster

FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH = 74, 75

pytestmark = pytest.mark.kafka


@asynccontextmanager
async def connected(cluster: KafkaCluster, topic: str) -> AsyncIterator[KafkaClient]:
    """Give a client that knows a topic."""
    client = KafkaClient([cluster.bootstrap], state=DriverState(), name="test")
    await client.connect(30.0)
    try:
        await client.set_topics([topic])
        yield client
    finally:
        await client.close()


async def test_who_leads_in_another_epoch_does_not_tell_where_a_log_ends(
    kafka_cluster: KafkaCluster, topic_name: Callable[..., str]
) -> None:
    """The epoch grows with every election; a leader answers in its own, and to those who know none."""
    kafka_cluster.heal()
    topic = topic_name("log")
    transport = open_transport(kafka_cluster.url)
    admin = transport.admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name=topic, partitions=1)])
    await admin.close()

    async def ask(client: KafkaClient, epoch: int) -> tuple[int, int]:
        answer = await client.send(1, LogEnds({topic: [(0, epoch)]}))
        ((_, _, code, offset),) = LogEnds.read(answer)
        return code, offset

    async with connected(kafka_cluster, topic) as client:
        leader, before = (await client.newest_leaders([topic]))[topic, 0]
        assert leader == 1
        assert await ask(client, before) == await ask(client, -1) == (0, 0)
        assert (await ask(client, before + 1))[0] == UNKNOWN_LEADER_EPOCH
    await asyncio.to_thread(kafka_cluster.restart)
    async with connected(kafka_cluster, topic) as client:

        async def leads_again() -> bool:
            leader, after = (await client.newest_leaders([topic]))[topic, 0]
            return leader == 1 and after > before and await ask(client, after) == (0, 0)

        await until(leads_again, "the node leads in a new epoch, and knows it", 30.0)
        assert (await ask(client, before))[0] == FENCED_LEADER_EPOCH
    consumer = transport.consumer(ConsumerOptions())
    await consumer.start()
    assert await consumer.log_end_offsets([TP(topic, 0)]) == {TP(topic, 0): 0}
    await consumer.close()
