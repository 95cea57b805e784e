"""What a member of a group promises: C2, C4, C7, C17 of the transport contract."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from math import inf

import pytest

from faust.exceptions import BrokerError, CommitRefused, FaustError
from faust.messages import TP
from faust.transport.base import ConsumerDriver, ProducerDriver
from tests.support.driving import (
    SESSION_TIMEOUT,
    Reader,
    Recorder,
    RoundRobin,
    Stage,
    take_for,
    until,
)
from tests.support.member import Member

TAKE_OVER = SESSION_TIMEOUT + 8
"""Seconds until the partitions of a dead member must flow again, on a busy machine."""


@contextlib.asynccontextmanager
async def feeding(
    producer: ProducerDriver, tps: Sequence[TP], every: float = 0.01, records: int = 5
) -> AsyncIterator[None]:
    """Write *records* records to each of *tps*, again and again, for the time of the block."""

    async def feed() -> None:
        for topic in {tp.topic for tp in tps}:
            await producer.load_partitions(topic)
        while True:
            for tp in tps:
                for _ in range(records):
                    producer.append(tp.topic, tp.partition, None, b"fed")
            await producer.flush()
            await asyncio.sleep(every)

    task = asyncio.create_task(feed())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


# -- C2: generations


class _Sharer:
    """A member that commits exactly what it was handed before it gives partitions back.

    So everybody together must be handed every offset exactly once; ``next`` is shared by all.
    """

    def __init__(self, next_: dict[TP, int]) -> None:
        self.listener = Recorder(self.give_back)
        self.next = next_
        self.mine: dict[TP, int] = {}
        self.taken = 0
        self.consumer: ConsumerDriver

    async def give_back(self, revoked: frozenset[TP], lost: bool) -> None:
        assert not lost, "partitions lost without any reason"
        self.consumer.pause(revoked)
        outcome = await self.consumer.commit(self.mine)
        assert set(outcome.values()) <= {None}
        self.mine.clear()

    async def take(self) -> None:
        while True:
            for one in await self.consumer.take(0.1):
                now = self.listener.generation
                assert now is not None, f"{one} handed over while nothing is assigned"
                assert one.generation == now, f"{one} handed over in generation {now}"
                assert one.tp in self.listener.assigned
                first = one.records[0].offset if one.records else one.next_offset
                assert first == self.next.get(one.tp, 0), f"{one} begins at {first}"
                self.next[one.tp] = self.mine[one.tp] = one.next_offset
                self.taken += len(one.records)


async def test_C02_no_slice_of_an_older_generation(stage: Stage) -> None:
    """In a storm of rebalances every record is handed over once, and in its generation."""
    topics = [await stage.topic(4), await stage.topic(4)]
    tps = [TP(topic, n) for topic in topics for n in range(4)]
    group, shared = stage.name("group"), dict[TP, int]()
    members = [_Sharer(shared), _Sharer(shared)]
    for member in members:
        member.consumer = await stage.member(
            group,
            topics,
            listener=member.listener,
            heartbeat_interval=0.05,
            session_timeout=10.0,
            max_fetch_size=16 * 1024,
        )
    restless, listener = members[0].consumer, members[0].listener
    await until(lambda: len(listener.assigned) == 4, "the two shared")
    async with feeding(await stage.producer(), tps):
        takers = [asyncio.create_task(member.take()) for member in members]
        for turn in range(40):
            before = len(listener.assignments)
            wanted = topics[: 1 + turn % 2]
            await restless.subscribe(wanted, listener=listener, assignor=RoundRobin())
            while len(listener.assignments) == before and not any(t.done() for t in takers):
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            assert not any(taker.done() for taker in takers), [t.exception() for t in takers]
        taken = [member.taken for member in members]
        await until(
            lambda: (
                any(taker.done() for taker in takers)
                or all(m.taken > b for m, b in zip(members, taken, strict=True))
            ),
            "everybody was handed something after the storm",
        )
        for taker in takers:
            if taker.done():
                taker.result()
            taker.cancel()
        await asyncio.gather(*takers, return_exceptions=True)
    assert len({event.generation for event in listener.assignments}) >= 40


async def test_C02_a_take_under_way_gets_nothing_of_what_was_revoked(stage: Stage) -> None:
    """Also who was waiting in take while partitions went is handed nothing of theirs any more."""
    topics = [await stage.topic(2), await stage.topic(2)]
    await stage.fill({TP(topic, n): 20_000 for topic in topics for n in range(2)})
    listener = Recorder()
    consumer = await stage.member(stage.name("group"), topics, listener=listener, slice_size=20)

    async def take() -> None:
        while True:
            for one in await consumer.take(0.1):
                assert one.generation == listener.generation, f"{one} in {listener.generation}"

    taker = asyncio.create_task(take())
    for turn in range(60):
        before = len(listener.assignments)
        await consumer.subscribe(topics[: 1 + turn % 2], listener=listener, assignor=RoundRobin())
        while len(listener.assignments) == before and not taker.done():
            await asyncio.sleep(0.001)
    if taker.done():
        taker.result()
    taker.cancel()
    await asyncio.wait([taker])


async def test_C02_nothing_is_handed_over_before_the_assignment_is_prepared(stage: Stage) -> None:
    """Slices of a generation wait until on_partitions_assigned has returned; its seek and pause count."""
    topic = await stage.topic(2)
    sought, paused = TP(topic, 0), TP(topic, 1)
    await stage.fill({sought: 100, paused: 100})
    prepared = asyncio.Event()
    consumer: ConsumerDriver | None = None

    async def prepare(assigned: frozenset[TP], _: int) -> None:
        assert consumer is not None
        await consumer.seek({sought: 42})
        consumer.pause([paused])
        await asyncio.sleep(0.5)
        prepared.set()

    consumer = await stage.consumer(group_id=stage.name("group"))
    await consumer.subscribe([topic], listener=Recorder(None, prepare), assignor=RoundRobin())
    reader = Reader(consumer)
    while not prepared.is_set():
        slices = await reader.take(0.05)
        assert prepared.is_set() or not slices
    await until(lambda: _took(reader, 58), "the partition was read")
    assert reader.values(sought)[0] == b"42"
    assert reader.values(paused) == []
    consumer.resume([paused])
    await reader.read(100)


async def _took(reader: Reader, count: int) -> bool:
    await reader.take(0.1)
    return reader.count >= count


# -- C4: commits


async def test_C04_a_commit_returns_when_the_broker_has_it(stage: Stage) -> None:
    """Once commit has returned everybody can read the offset, and it says so per partition."""
    topic = await stage.topic(2)
    tps = [TP(topic, 0), TP(topic, 1)]
    await stage.fill(dict.fromkeys(tps, 100))
    group = stage.name("group")
    listener = Recorder()
    consumer = await stage.member(group, [topic], listener=listener)
    admin = await stage.admin()
    await until(lambda: listener.assigned == set(tps), "all was assigned")
    for offset in range(1, 20):
        assert await consumer.commit(dict.fromkeys(tps, offset)) == dict.fromkeys(tps)
        assert (await admin.describe_group(group)).offsets == dict.fromkeys(tps, offset)


async def test_C04_a_commit_of_an_older_generation_is_refused(stage: Stage) -> None:
    """Who overslept the rebalance timeout cannot commit any more, is told so, and joins again."""
    topic = await stage.topic(2)
    tp = TP(topic, 0)
    await stage.fill({tp: 10, TP(topic, 1): 10})
    group = stage.name("group")
    outcome: list[BaseException | None] = []
    late: ConsumerDriver | None = None

    async def oversleep(revoked: frozenset[TP], _: bool) -> None:
        if outcome:
            return
        await asyncio.sleep(4.0)
        assert late is not None
        try:
            await late.commit({tp: 5})
            outcome.append(None)
        except FaustError as error:
            outcome.append(error)

    listener = Recorder(oversleep)
    late = await stage.member(group, [topic], listener=listener, rebalance_timeout=1.0)
    await until(lambda: len(listener.assigned) == 2, "all was assigned")
    punctual = Recorder()
    other = await stage.member(group, [topic], listener=punctual, rebalance_timeout=1.0)
    await until(lambda: len(punctual.assigned) == 2, "the other one got everything")
    assert await other.commit({tp: 7}) == {tp: None}
    await until(lambda: bool(outcome), "the late commit was answered")
    assert isinstance(outcome[0], CommitRefused), outcome
    assert group in str(outcome[0])
    await until(lambda: len(listener.assigned) == len(punctual.assigned) == 1, "it joined again")
    assert await other.committed([tp]) == {tp: 7}


async def test_C04_without_a_group_nothing_can_be_committed(stage: Stage) -> None:
    """A commit without a group is an error, never a silent nothing."""
    tp = TP(await stage.topic(), 0)
    await stage.fill({tp: 1})
    reader = await stage.reader([tp])
    await reader.read(1)
    with pytest.raises(FaustError, match="group"):
        await reader.consumer.commit({tp: 1})
    assert reader.consumer.generation == -1
    assert reader.consumer.member_id == ""


# -- C7: membership


async def test_C07_join_assign_leave(stage: Stage) -> None:
    """Members share by the app's assignor, whose data travels both ways; who leaves is missed at once."""
    topic = await stage.topic(6)
    group = stage.name("group")
    listeners = [Recorder() for _ in range(3)]
    assignors = [RoundRobin(label) for label in "abc"]
    consumers = [
        await stage.member(group, [topic], listener=listener, assignor=assignor)
        for listener, assignor in zip(listeners, assignors, strict=True)
    ]
    everything = {TP(topic, n) for n in range(6)}

    def shared_by(*members: int) -> bool:
        held = [listeners[n].assigned for n in members]
        generations = {listeners[n].generation for n in members}
        return (
            all(len(tps) == 6 // len(members) for tps in held)
            and set().union(*held) == everything
            and len(generations) == 1
        )

    await until(lambda: shared_by(0, 1, 2), "each had two")
    assert [consumer.assignment for consumer in consumers] == [li.assigned for li in listeners]
    assert {consumer.generation for consumer in consumers} == {listeners[0].generation}
    assert len({consumer.member_id for consumer in consumers} - {""}) == 3
    [leader] = [assignor for assignor in assignors if assignor.labels == ["a", "b", "c"]]
    assert [a.told for a in assignors] == [f"{leader.label} to {a.label}" for a in assignors]
    assert {a.generation for a in assignors} == {listeners[0].generation}
    description = await (await stage.admin()).describe_group(group)
    assert description.state == "Stable"
    assert len(description.members) == 3

    gone = time.monotonic()
    await consumers[1].close()
    await until(lambda: shared_by(0, 2), "two had three each")
    assert time.monotonic() - gone < SESSION_TIMEOUT, "noticed by the session timeout only"
    assert not any(event.lost for listener in listeners for event in listener.events)


async def test_C07_a_new_subscription_replaces_the_old(stage: Stage) -> None:
    """Subscribing again makes the member join with the new topics only."""
    first, second = await stage.topic(1), await stage.topic(1)
    listener = Recorder()
    consumer = await stage.member(stage.name("group"), [first], listener=listener)
    await until(lambda: listener.assigned == {TP(first, 0)}, "the first was assigned")
    await consumer.subscribe([second], listener=listener, assignor=RoundRobin())
    await until(lambda: listener.assigned == {TP(second, 0)}, "the second was assigned")
    assert [event.tps for event in listener.revocations] == [{TP(first, 0)}]


async def test_C07_user_code_that_blocks_the_loop_stays_a_member(stage: Stage) -> None:
    """Heartbeats go on while the application's loop stands still for two session timeouts."""
    topic = await stage.topic()
    tp = TP(topic, 0)
    listener = Recorder()
    session = 2.0
    consumer = await stage.member(
        stage.name("group"), [topic], listener=listener, session_timeout=session
    )
    await until(lambda: listener.assigned == {tp}, "the topic was assigned")
    generation = consumer.generation
    time.sleep(2 * session)  # noqa: ASYNC251 - user code does such things
    assert consumer.lease_until() > time.monotonic()
    assert await consumer.commit({tp: 0}) == {tp: None}
    await asyncio.sleep(0.5)
    assert consumer.generation == generation
    assert len(listener.events) == 1


async def test_C07_a_static_member_comes_back_to_its_partitions(stage: Stage) -> None:
    """With group.instance.id a restart within the session timeout disturbs nobody (KIP-345)."""
    topic = await stage.topic(4)
    group = stage.name("group")
    other, before, after = Recorder(), Recorder(), Recorder()
    consumer = await stage.member(group, [topic], listener=other, assignor=RoundRobin("other"))
    await until(lambda: len(other.assigned) == 4, "all was assigned")
    static = await stage.member(group, [topic], listener=before, group_instance_id="one")
    await until(lambda: len(before.assigned) == len(other.assigned) == 2, "both had two")
    mine, generation, disturbances = before.assigned, other.generation, len(other.events)
    await static.close()
    static = await stage.member(group, [topic], listener=after, group_instance_id="one")
    await until(lambda: len(after.assigned) == 2, "it was given partitions again")
    await asyncio.sleep(0.5)
    assert after.assigned == mine
    assert after.generation == consumer.generation == generation
    assert len(other.events) == disturbances


async def test_C07_a_second_member_with_the_same_instance_id_ends_the_first(stage: Stage) -> None:
    """Of two members with one group.instance.id the older gets an error, it does not sit there."""
    topic = await stage.topic(1)
    group = stage.name("group")
    listener = Recorder()
    old = await stage.member(group, [topic], listener=listener, group_instance_id="twin")
    await until(lambda: len(listener.assigned) == 1, "the first had it")
    listener = Recorder()
    await stage.member(group, [topic], listener=listener, group_instance_id="twin")
    await until(lambda: len(listener.assigned) == 1, "the second had it")
    with pytest.raises(BrokerError, match="twin"):
        await take_for(old, 10)


def _holes(members: Sequence[Member], tp: TP) -> list[range]:
    """Return what of *tp* nobody was handed, between the first and the last offset anybody was."""
    spans = sorted(
        (event["first"], event["last"])
        for member in members
        for event in member.heard("slice")
        if TP(*event["tp"]) == tp
    )
    holes, reached = [], 0
    for first, last in spans:
        if first > reached:
            holes.append(range(reached, first))
        reached = max(reached, last + 1)
    return holes


async def test_C07_members_die_freeze_and_leave(
    stage: Stage, start_program: Callable[..., Member]
) -> None:
    """What a killed or frozen member held goes to the others, who comes back starts anew, nothing is lost."""
    if stage.kind == "memory":
        pytest.skip("memory:// lives in one process: no member of it can die or freeze alone")
    topic = await stage.topic(6)
    tps = [TP(topic, n) for n in range(6)]
    group = stage.name("group")
    one, two, three = members = [
        start_program(group, topic, label=label) for label in ("one", "two", "three")
    ]

    def shared_by(*sharing: Member) -> bool:
        held = [member.assigned for member in sharing]
        return all(len(h) == 6 // len(sharing) for h in held) and set().union(*held) == set(tps)

    async with feeding(await stage.producer(), tps, every=0.05):
        await until(lambda: shared_by(one, two, three), "each had two", 30)
        await one.wait("slice")
        one.process.kill()
        await until(lambda: shared_by(two, three), "two members shared after a death", TAKE_OVER)

        two.process.freeze()
        await until(lambda: shared_by(three), "one had all after a freeze", TAKE_OVER)
        thawed = time.monotonic()
        two.process.thaw()
        await until(lambda: shared_by(two, three), "the frozen one came back")
        assert (await two.wait("revoked", since=thawed))["lost"] is True
        await two.wait("slice", since=(await two.wait("assigned", since=thawed))["at"])

        left = time.monotonic()
        await two.leave()
        await until(lambda: shared_by(three), "the last one had all", SESSION_TIMEOUT)
        await three.wait("slice", since=(await three.wait("assigned", since=left))["at"])
    await three.leave()
    assert {tp: holes for tp in tps if (holes := _holes(members, tp))} == {}


# -- C17: the lease


async def test_C17_the_lease_follows_the_heartbeats(stage: Stage) -> None:
    """Outside a group the assignment is certain for ever, inside until one session after the last heartbeat."""
    tp = TP(await stage.topic(), 0)
    assert (await stage.reader([tp])).consumer.lease_until() == inf
    listener = Recorder()
    consumer = await stage.member(stage.name("group"), [tp.topic], listener=listener)
    await until(lambda: listener.assigned == {tp}, "it was assigned")
    seen = []
    for _ in range(10):
        seen.append(consumer.lease_until())
        assert time.monotonic() < seen[-1] <= time.monotonic() + SESSION_TIMEOUT
        await asyncio.sleep(0.15)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 3


async def test_C17_a_frozen_process_hands_out_nothing_that_is_not_certain(
    stage: Stage, start_program: Callable[..., Member]
) -> None:
    """Frozen past its session, a member hands out and commits nothing before it is a member again."""
    # memory:// freezes as a whole, broker and all; on the others a rival takes over meanwhile
    topic, group = stage.name(), stage.name("group")
    # reading slowly what there is plenty of, it has something at hand whenever it freezes
    member = start_program(group, topic, feed=2, pause=0.002, slice_size=5)
    first = await member.wait("slice", timeout=30)
    assert first["at"] < first["lease"] <= first["at"] + SESSION_TIMEOUT
    rival = Recorder()
    if stage.kind != "memory":
        await stage.member(group, [topic], listener=rival)
        await until(lambda: len(rival.assigned) == 1, "the rival had its half")
        await until(lambda: len(member.assigned) == 1, "the member had its half")
        await member.wait("slice", since=time.monotonic())
    if await _stale_after_a_freeze(stage, member, rival):
        # Frozen between the hand-over and its own look at the clock: that take was in hand, which
        # is allowed. It is rare: a second time in a row nobody is that unlucky.
        assert not await _stale_after_a_freeze(stage, member, rival)


async def _stale_after_a_freeze(stage: Stage, member: Member, rival: Recorder) -> bool:
    """Freeze and thaw; say whether the first take it reports then was over its lease. No later one may be."""
    old = member.heard("assigned")[-1]["generation"]
    member.process.freeze()
    await asyncio.sleep(SESSION_TIMEOUT + 1.5)
    if stage.kind != "memory":
        await until(lambda: len(rival.assigned) == 2, "the rival had all", TAKE_OVER)
    thawed = time.monotonic()
    member.process.thaw()
    if stage.kind != "memory":
        await member.wait("assigned", since=thawed)
        commits = member.heard("commit", since=thawed)
        assert [c for c in commits if c["generation"] == old and not c["refused"]] == []
    await member.wait("slice", since=thawed, count=20)
    slices = member.heard("slice", since=thawed)
    stale = {
        event["at"]
        for event in slices
        if event["at"] > event["lease"] or (stage.kind != "memory" and event["generation"] == old)
    }
    assert stale <= {slices[0]["at"]}
    return bool(stale)
