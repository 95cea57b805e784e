"""A topic of the embedded broker that is deleted while it is used, and made anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.databases import memory_database
from tests.support.driving import Recorder, Stage, until
from tests.unit.transport.test_local_log import append, batch
from tests.unit.transport.test_local_membership import Broker, member

from faust.exceptions import CommitRefused, UnknownTopic
from faust.messages import TP
from faust.transport.base import ConsumerOptions, MemberSubscription
from faust.transport.drivers.local.fetching import Fetching
from faust.transport.drivers.local.groups import Groups
from faust.transport.drivers.local.log import Log


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A broker in a directory, as the second process to use it finds it: with the topic ``t``."""
    before = Stage(f"local://{tmp_path}", lambda *_: "t", None)
    await before.topic()
    await before.close()
    opened = Stage(f"local://{tmp_path}", lambda *_: "t", None)
    yield opened
    await opened.close()


async def test_nothing_is_remembered_of_a_topic_that_was_deleted(stage: Stage) -> None:
    """Neither a commit, nor a transaction, nor a question for its end finds what is no more."""
    tp = TP("t", 0)
    admin, listener = await stage.admin(), Recorder()
    consumer = await stage.member("g", ["t"], listener=listener)
    producer = await stage.producer(transactional_id="x")
    await until(lambda: tp in listener.assigned, "the topic was assigned")
    assert await consumer.commit({tp: 0}) == {tp: None}
    assert await consumer.end_offsets([tp]) == {tp: 0}
    await producer.begin_transaction()
    producer.append("t", 0, None, b"to a topic that is there")
    await producer.commit_transaction()
    await producer.begin_transaction()
    producer.append("t", 0, None, b"to a topic that is no more")
    await admin.delete_topics(["t"])
    with pytest.raises(UnknownTopic):
        await consumer.end_offsets([tp])
    with pytest.raises(UnknownTopic):
        await producer.commit_transaction()
    await producer.abort_transaction()
    assert (await admin.describe_group("g")).offsets == {}


@pytest.mark.parametrize("anew", [False, True])
def test_what_another_process_has_deleted_is_not_found_before_that_is_noticed(anew: bool) -> None:
    """A commit is refused, or is for the topic made anew; its end is that of the one that is there."""
    tp, told = TP("t", 0), MemberSubscription(("t",), b"")
    database = memory_database()
    ours, theirs = Log(database), Log(database)
    groups = Groups(database, ours)
    with database.transaction():
        theirs.create_topic("t", 1, {})
        groups.join("g", "m", told, instance=None, session=9, rebalance=9, now=0.0)
        groups.advance("g", 0.0)
        groups.assign("g", 1, {})
        assert groups.commit("g", "m", 1, {tp: 0}, {}) == {tp: None}
    assert ours.ends(tp) == (0, 0)
    with database.transaction():
        theirs.delete_topic("t")
        if anew:
            theirs.create_topic("t", 1, {})
    with database.transaction():
        (answer,) = groups.commit("g", "m", 1, {tp: 0}, {}).values()
        (appended,) = ours.append([batch(tp, [(None, b"v")])])
    if anew:
        assert (answer, appended, ours.ends(tp)) == (None, (0, -1), (0, 1))
        return
    assert isinstance(answer, UnknownTopic)
    assert isinstance(appended, UnknownTopic)
    assert ours.look_committed("g") == {}
    with pytest.raises(UnknownTopic):
        ours.ends(tp)


@pytest.mark.parametrize("generation", [-1, 1])
def test_a_topic_that_was_made_anew_unseen_is_read_from_its_start(generation: int) -> None:
    """Without a group at once, in a group in the next generation: in one no offset comes twice."""
    tp = TP("t", 0)
    log = Log(memory_database())
    with log.database.transaction():
        log.create_topic("t", 1, {})
    append(log, batch(tp, [(None, b"old")] * 3))
    fetching = Fetching(log, ConsumerOptions(), lambda _topic: True)
    fetching.assign({tp: 0}, generation)
    assert [r.value for piece in fetching.take() for r in piece.records] == [b"old"] * 3
    _make_anew(log)
    append(log, batch(tp, [(None, b"new")] * 5))
    if generation > 0:
        assert fetching.take() == []
        fetching.assign({tp: None}, generation + 1)
    assert [r.value for piece in fetching.take() for r in piece.records] == [b"new"] * 5


def test_a_group_makes_a_round_for_a_topic_that_was_made_anew_unseen() -> None:
    """What it had read of the topic that was deleted is not committed for its successor."""
    tp, other = TP("t", 0), TP("t", 1)
    broker, shares = Broker(), list[frozenset[TP]]()
    with broker.database.transaction():
        broker.log.create_topic("t", 2, {})
    reading = member(broker, shares)
    for now in (1.0, 2.0):
        reading.tick(now)
    assert shares == [frozenset({tp, other})]

    def commit() -> dict[TP, Exception | None]:
        with broker.database.transaction():
            return broker.groups.commit(
                "g", reading.id, reading.generation, {tp: 7}, reading.partition_ids
            )

    assert commit() == {tp: None}
    _make_anew(broker.log)
    assert isinstance(commit()[tp], CommitRefused)
    reading.tick(3.0)
    assert reading.state == "giving back"
    assert isinstance(commit()[tp], CommitRefused)
    reading.gave_back(4.0)
    for now in (5.0, 6.0):
        reading.tick(now)
    assert shares == [frozenset({tp, other})] * 2
    assert broker.log.look_committed("g") == {}
    assert commit() == {tp: None}
    reading.tick(7.0)
    assert reading.state == "stable"


def _make_anew(log: Log) -> None:
    """Delete the topic ``t`` and make it again, faster than anybody looks."""
    count = log.partitions("t")
    assert count is not None
    with log.database.transaction():
        log.delete_topic("t")
        log.create_topic("t", count, {})
