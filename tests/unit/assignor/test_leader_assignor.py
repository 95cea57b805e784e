"""The leader topic, and who leads."""

from __future__ import annotations

from faust.assignor import LeaderAssignor
from faust.messages import TP
from faust.transport.base import TopicSpec


def test_topic_name() -> None:
    """The topic is named after the app, as in the reference."""
    assert LeaderAssignor("orders").topic == "orders-__assignor-__leader"


def test_whoever_holds_the_partition_leads() -> None:
    """The holder of partition 0 leads, nobody else does."""
    leader = LeaderAssignor("orders")
    assert leader.is_leader({TP("orders-__assignor-__leader", 0), TP("src", 1)})
    assert not leader.is_leader({TP("src", 0)})
    assert not leader.is_leader(frozenset())


def test_disabled() -> None:
    """Without the topic nobody leads, whatever is assigned."""
    leader = LeaderAssignor("orders", enabled=False)
    assert not leader.is_leader({leader.tp})


async def test_declare() -> None:
    """The topic is declared with one partition and the given replication; not at all when disabled."""
    created: list[TopicSpec] = []

    async def create(spec: TopicSpec) -> None:
        created.append(spec)

    await LeaderAssignor("orders").declare(create, replication=3)
    await LeaderAssignor("none", enabled=False).declare(create)
    assert created == [TopicSpec(name="orders-__assignor-__leader", partitions=1, replication=3)]
