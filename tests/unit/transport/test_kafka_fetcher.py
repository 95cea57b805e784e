"""What aiokafka's fetcher takes for impossible, and happens."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import NoOffsetForPartitionError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from faust.transport.base import DriverState
from faust.transport.drivers.aiokafka.client import KafkaClient
from faust.transport.drivers.aiokafka.fetcher import Fetcher
from faust.transport.drivers.aiokafka.membership import Subscriptions

TP0 = TopicPartition("topic", 0)
NONE = OffsetAndMetadata(-1, "")


async def test_a_leader_that_changes_while_a_position_is_looked_for() -> None:
    """The task for the old leader and the one for the new find out that there is no position: it is told once."""
    client = KafkaClient(["127.0.0.1:1"], state=DriverState(), name="test")
    subscriptions = Subscriptions(lambda: 0.0)
    fetcher = Fetcher(client, subscriptions, auto_offset_reset="none")
    await fetcher.close()  # its loop; here the test decides
    subscriptions.assign_from_user({TP0})
    assignment = subscriptions.subscription.assignment
    tasks = [
        asyncio.create_task(fetcher._update_fetch_positions(assignment, node, [TP0]))
        for node in (1, 2)
    ]
    await asyncio.sleep(0)
    assignment.state_value(TP0).update_committed(NONE)
    assert await asyncio.gather(*tasks) == [True, True]
    with pytest.raises(NoOffsetForPartitionError):
        fetcher._records[TP0].check_raise()
