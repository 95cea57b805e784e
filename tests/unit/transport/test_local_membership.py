"""A member of the embedded broker's groups, between whose reads another process writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any, cast

from tests.support.databases import memory_database
from tests.support.driving import RoundRobin

from faust.messages import TP
from faust.transport.base import ConsumerOptions, MemberAssignment, MemberSubscription
from faust.transport.drivers.local.engine import Engine
from faust.transport.drivers.local.groups import Groups, Member
from faust.transport.drivers.local.log import Log
from faust.transport.drivers.local.membership import Membership


class Interleaved(Groups):
    """Groups in which somebody else does something right after the next look at a member."""

    then: Callable[[], None] | None = None

    def member(self, name: str, member: str) -> Member | None:
        found = super().member(name, member)
        then, self.then = self.then, None
        if then is not None:
            then()
        return found


class Broker:
    """As much of the engine as a membership uses; the test turns it by hand."""

    grace_until = 0.0

    def __init__(self) -> None:
        self.database = memory_database()
        self.log = Log(self.database)
        self.groups = Interleaved(self.database, self.log)

    def note_change(self) -> None:
        """Nobody sleeps here."""


def test_an_answer_that_comes_between_two_reads_is_not_taken_for_nothing() -> None:
    """A follower that looks while its leader's answer is being written gets its share, not an empty one."""
    broker = Broker()
    database, groups = broker.database, broker.groups
    with database.transaction():
        broker.log.create_topic("t", 2, {})
        leader = MemberSubscription(("t",), b"{}")
        groups.join("g", "leader", leader, instance=None, session=9, rebalance=9, now=0.0)
    shares: list[frozenset[TP]] = []
    follower = member(broker, shares)
    follower.tick(1.0)  # joins; the barrier is complete, the leader is to answer
    assert groups.group("g").phase == "syncing"

    def answer() -> None:
        share: dict[str, Any] = {
            "leader": MemberAssignment({"t": (0,)}, b""),
            follower.id: MemberAssignment({"t": (1,)}, b""),
        }
        with database.transaction():
            groups.assign("g", groups.group("g").generation, share)

    groups.then = answer
    follower.tick(2.0)
    follower.tick(3.0)
    assert shares == [frozenset({TP("t", 1)})]


def test_a_static_member_that_comes_back_while_the_leader_divides_gets_its_share() -> None:
    """The leader's answer is for a name that is no more: the group makes another round."""
    broker = Broker()
    database, groups = broker.database, broker.groups
    told = MemberSubscription(("t",), b"{}")
    with database.transaction():
        broker.log.create_topic("t", 2, {})
        groups.join("g", "leader", told, instance=None, session=9, rebalance=9, now=0.0)
        groups.join("g", "killed", told, instance="x", session=9, rebalance=9, now=0.1)
        groups.advance("g", 0.2)
    generation = groups.group("g").generation
    assert groups.group("g").phase == "syncing"
    shares: list[frozenset[TP]] = []
    back = member(broker, shares, group_instance_id="x")
    back.tick(1.0)

    def answer(generation: int, *names: str) -> None:
        share: dict[str, Any] = {
            name: MemberAssignment({"t": (number,)}, b"") for number, name in enumerate(names)
        }
        with database.transaction():
            groups.assign("g", generation, share)

    answer(generation, "leader", "killed")
    with database.transaction():
        groups.join("g", "leader", told, instance=None, session=9, rebalance=9, now=1.5)
    back.tick(2.0)
    assert groups.group("g").phase == "syncing"
    answer(generation + 1, "leader", back.id)
    back.tick(3.0)
    assert shares == [frozenset({TP("t", 1)})]


def test_the_lease_of_a_member_that_is_late_for_a_rebalance_ends_with_its_assignment() -> None:
    """What it holds may be another's from the deadline on, however well its heart beats."""
    broker = Broker()
    database, groups = broker.database, broker.groups
    told = MemberSubscription(("t",), b"{}")
    with database.transaction():
        broker.log.create_topic("t", 1, {})
    shares: list[frozenset[TP]] = []
    late = member(broker, shares, session_timeout=60.0, rebalance_timeout=20.0)
    for now in (1.0, 2.0):
        late.tick(now)
    assert shares == [frozenset({TP("t", 0)})]
    assert late.lease > 60.0
    with database.transaction():
        groups.join("g", "other", told, instance=None, session=60, rebalance=20, now=10.0)
    late.tick(10.5)
    assert late.lease == groups.group("g").deadline == 30.0
    late.tick(25.0)
    assert late.state == "giving back"
    assert late.lease == 30.0
    with database.transaction():
        groups.advance("g", 30.0)
    late.tick(31.0)
    assert late.lease == -inf
    late.gave_back(32.0)
    late.tick(33.0)
    assert late.lease == 93.0


def member(broker: Broker, shares: list[frozenset[TP]], **options: Any) -> Membership:
    """A member that notes its shares, and is turned by hand."""
    return Membership(
        cast("Engine", broker),
        replace(ConsumerOptions(group_id="g", session_timeout=9.0), **options),
        RoundRobin(),
        frozenset({"t"}),
        None,
        on_revoke=lambda _lost: None,
        on_assign=lambda tps, _generation: shares.append(tps),
        on_error=_raise,
        polled=lambda: 1.0,
    )


def _raise(error: Exception) -> None:
    raise error
