"""What an admin client promises: C11 of the transport contract."""

from __future__ import annotations

from faust.messages import TP
from faust.transport.base import ConsumerDriver, TopicSpec
from tests.support.driving import Reader, Recorder, Stage, until


async def test_C11_creation_is_idempotent_and_says_what_differs(stage: Stage) -> None:
    """A topic is created once; asked again the answer says what is different from what was wanted."""
    admin = await stage.admin()
    name, other = stage.name(), stage.name()
    spec = TopicSpec(name=name, partitions=4, config={"cleanup.policy": "compact"})
    outcome = await admin.create_topics([spec])
    assert outcome == {name: (True, ())}
    again = await admin.create_topics([spec, TopicSpec(name=other, partitions=1)])
    assert again == {name: (False, ()), other: (True, ())}
    wanted = {"cleanup.policy": "delete", "retention.ms": "60000"}
    [(created, differences)] = (
        await admin.create_topics([TopicSpec(name=name, partitions=8, config=wanted)])
    ).values()
    assert not created
    assert len(differences) == 3
    assert any("8" in d and "4" in d and "partition" in d for d in differences)
    assert any("cleanup.policy" in d and "delete" in d and "compact" in d for d in differences)
    assert any("retention.ms" in d and "60000" in d for d in differences)


async def test_C11_a_created_topic_can_be_used_at_once(stage: Stage) -> None:
    """When create_topics has returned, the topic is there for every client."""
    admin = await stage.admin()
    producer, consumer = await stage.producer(), await stage.consumer()
    for _ in range(5):
        name = await stage.topic(3)
        assert (await admin.describe_topics([name]))[name] is not None
        assert await consumer.partitions_for(name) == frozenset({0, 1, 2})
        assert list(await producer.load_partitions(name)) == [0, 1, 2]
        producer.append(name, 2, None, b"x")
        await producer.flush()


async def test_C11_topics_are_described_and_listed(stage: Stage) -> None:
    """A description has partitions and config, a missing topic is None, internal topics are not listed."""
    admin = await stage.admin()
    name = await stage.topic(3, cleanup_policy="compact", retention_ms="123456")
    missing = stage.name("missing")
    described = await admin.describe_topics([name, missing])
    assert described[missing] is None
    topic = described[name]
    assert topic is not None
    assert (topic.name, tuple(topic.partitions), topic.replication) == (name, (0, 1, 2), 1)
    assert topic.config["cleanup.policy"] == "compact"
    assert topic.config["retention.ms"] == "123456"
    assert not topic.internal
    listener = Recorder()
    consumer = await stage.member(stage.name("group"), [name], listener=listener)
    await until(lambda: len(listener.assigned) == 3, "the topic was assigned")
    await consumer.commit({TP(name, 0): 0})  # now a broker that has internal topics has them
    names = await admin.list_topics()
    assert name in names
    assert names == sorted(names)
    assert not [n for n in names if n.startswith("__")]


async def test_C11_a_deleted_topic_is_gone_with_its_records(stage: Stage) -> None:
    """After deletion the topic is missing, deleting it again is no error, and a new one is empty."""
    admin = await stage.admin()
    name = await stage.topic(2)
    await stage.fill({TP(name, 0): 10})
    await admin.delete_topics([name])
    await admin.delete_topics([name, stage.name("missing")])
    assert (await admin.describe_topics([name]))[name] is None
    assert name not in await admin.list_topics()
    await stage.topic(1, name=name)
    tp = TP(name, 0)
    assert await admin.offsets([tp]) == {tp: (0, 0)}
    await stage.fill({tp: 3}, start=100)
    reader = await stage.reader([tp])
    await reader.read(3)
    assert reader.values(tp) == [b"100", b"101", b"102"]


async def test_C11_a_group_survives_the_deletion_of_a_topic(stage: Stage) -> None:
    """Its members go on with their other topics, and read the topic from the start when it is made anew."""
    admin, group = await stage.admin(), stage.name("group")
    doomed, other = TP(await stage.topic(), 0), TP(await stage.topic(), 0)
    await stage.fill({doomed: 10, other: 10})
    listener = Recorder()
    consumer = await stage.member(group, [doomed.topic, other.topic], listener=listener)
    await until(lambda: listener.assigned == {doomed, other}, "all was assigned")
    reader = Reader(consumer)
    await reader.read(20)
    await consumer.commit({doomed: 10, other: 10})
    await admin.delete_topics([doomed.topic])
    await until(lambda: listener.assigned == {other}, "the deleted topic was taken away", 30)
    await stage.fill({other: 5}, start=10)
    await until(lambda: _has(consumer, other, 15), "the other went on")
    await stage.topic(1, name=doomed.topic)
    await stage.fill({doomed: 3}, start=100)
    await until(lambda: listener.assigned == {doomed, other}, "it was given again", 30)
    await until(lambda: _has(consumer, doomed, 3), "the new one was read")
    assert await consumer.commit({doomed: 3}) == {doomed: None}


async def _has(consumer: ConsumerDriver, tp: TP, position: int) -> bool:
    await consumer.take(0.1)
    return tp in consumer.assignment and await consumer.position(tp) == position


async def test_C11_deleted_records_move_the_log_start(stage: Stage) -> None:
    """delete_records moves the beginning of exactly the partitions named."""
    admin = await stage.admin()
    name = await stage.topic(2)
    tps = [TP(name, 0), TP(name, 1)]
    await stage.fill(dict.fromkeys(tps, 10))
    await admin.delete_records({tps[0]: 4})
    assert await admin.offsets(tps) == {tps[0]: (4, 10), tps[1]: (0, 10)}
    await admin.delete_records({tps[0]: 10})
    assert await admin.offsets(tps) == {tps[0]: (10, 10), tps[1]: (0, 10)}


async def test_C11_groups_are_listed_and_described(stage: Stage) -> None:
    """A group is described with state, members and committed offsets, and stays when the members have left."""
    admin = await stage.admin()
    topic, group = await stage.topic(2), stage.name("group")
    await stage.fill({TP(topic, 0): 10})
    unknown = await admin.describe_group(stage.name("unknown"))
    assert (unknown.state, unknown.members, dict(unknown.offsets)) == ("Dead", (), {})
    listener = Recorder()
    consumer = await stage.member(group, [topic], listener=listener)
    await until(lambda: len(listener.assigned) == 2, "all was assigned")
    await Reader(consumer).read(10)
    await consumer.commit({TP(topic, 0): 10})
    groups = await admin.list_groups()
    assert group in groups
    assert groups == sorted(groups)
    described = await admin.describe_group(group)
    assert described.group_id == group
    assert described.state == "Stable"
    assert len(described.members) == 1
    assert described.offsets == {TP(topic, 0): 10}
    await consumer.close()
    left = await admin.describe_group(group)
    assert (left.state, left.members) == ("Empty", ())
    assert left.offsets == {TP(topic, 0): 10}
