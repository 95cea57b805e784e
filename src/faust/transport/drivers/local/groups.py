"""Consumer groups of the embedded broker: Kafka's eager rebalance protocol, on three tables.

A group is in one of four phases::

    empty --first join--> joining --all joined, or deadline--> syncing --leader's answer--> stable
                             ^                                    |                           |
                             +---- a member joins, leaves or dies, or wants a new round ------+

*joining* is the barrier: members finish what they hold and join again; those that do not come
before the rebalance timeout are dropped. *syncing*: the leader (the oldest member) divides the
partitions. There is no coordinator process: whoever looks carries the group one step further,
inside a write transaction, so that one step is made once.

Times are ``time.monotonic()``, which on Linux all processes of a machine share; after a reboot
stored heartbeats lie in the future and count as expired.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from faust.exceptions import CommitRefused
from faust.messages import TP
from faust.transport.base import MemberAssignment, MemberSubscription
from faust.transport.drivers.local.database import Database
from faust.transport.drivers.local.log import Log

__all__ = ["Group", "Groups", "Member"]


class Group(NamedTuple):
    """Where a group stands."""

    generation: int
    phase: str
    deadline: float
    leader: str


class Member(NamedTuple):
    """Where one member stands."""

    joined: bool
    assignment: MemberAssignment | None


class Groups:
    """All groups of one broker; call inside `Database.transaction` whatever is said to write."""

    def __init__(self, database: Database, log: Log) -> None:
        self.database = database
        self.log = log

    # -- looking

    def names(self) -> list[str]:
        """Return the names of all groups that have members or committed offsets."""
        rows = self.database.read(
            "SELECT name FROM groups UNION SELECT grp FROM offsets ORDER BY 1"
        )
        return [name for (name,) in rows]

    def group(self, name: str) -> Group:
        """Return where the group stands."""
        rows = self.database.read(
            "SELECT generation, phase, deadline, leader FROM groups WHERE name=?", name
        )
        return Group(*rows[0]) if rows else Group(0, "empty", 0.0, "")

    def member(self, name: str, member: str) -> Member | None:
        """Return where a member stands; None when it is no longer one."""
        rows = self.database.read(
            "SELECT joined, assignment, assigned_data FROM members WHERE grp=? AND id=?",
            name,
            member,
        )
        if not rows:
            return None
        joined, assignment, data = rows[0]
        answer = None if assignment is None else MemberAssignment(json.loads(assignment), data)
        return Member(bool(joined), answer)

    def fingerprint(self, name: str, member: str) -> tuple[Any, ...]:
        """Return what differs when `advance` or the member has something to do, time apart."""
        rows = self.database.read(
            "SELECT g.generation, g.phase, g.leader, count(m.id), sum(m.joined),"
            " max(m.id=?), max(m.joined AND m.id=?), (SELECT value FROM counters WHERE name='topics')"
            " FROM groups g LEFT JOIN members m ON m.grp=g.name WHERE g.name=?",
            member,
            member,
            name,
        )
        return tuple(rows[0])

    def has_instance(self, name: str, instance: str) -> bool:
        """Say whether somebody is the static member *instance*."""
        return bool(
            self.database.read("SELECT 1 FROM members WHERE grp=? AND instance=?", name, instance)
        )

    def member_ids(self, name: str) -> list[str]:
        """Return the members, the oldest first."""
        rows = self.database.read("SELECT id FROM members WHERE grp=? ORDER BY born, id", name)
        return [member for (member,) in rows]

    def subscriptions(self, name: str) -> dict[str, MemberSubscription]:
        """Return what the members have told their leader."""
        rows = self.database.read(
            "SELECT id, topics, user_data FROM members WHERE grp=? ORDER BY born, id", name
        )
        return {
            member: MemberSubscription(tuple(json.loads(topics)), user_data)
            for member, topics, user_data in rows
        }

    def due(self, name: str, now: float, *, grace: bool = False) -> bool:
        """Say whether `advance` would change something; with *grace* nobody is dead."""
        group = self.group(name)
        if not grace and self.expired(name, now):
            return True
        if group.phase != "joining":
            return False
        return now >= group.deadline or not self._missing(name)

    def expired(self, name: str, now: float) -> list[str]:
        """Return the members that have not been heard of for their session timeout."""
        rows = self.database.read(
            "SELECT id FROM members WHERE grp=? AND (heartbeat + session < ? OR heartbeat > ?)",
            name,
            now,
            now + 5.0,
        )
        return [member for (member,) in rows]

    def _missing(self, name: str) -> list[str]:
        rows = self.database.read("SELECT id FROM members WHERE grp=? AND joined=0", name)
        return [member for (member,) in rows]

    # -- changing (inside a transaction)

    def join(
        self,
        name: str,
        member: str,
        subscription: MemberSubscription,
        *,
        instance: str | None,
        session: float,
        rebalance: float,
        now: float,
    ) -> None:
        """Take part in the next generation."""
        if instance is not None and self._take_place(name, member, instance, subscription, now):
            return
        self.database.write(
            "INSERT INTO members (grp, id, instance, topics, user_data, session, rebalance, heartbeat, joined, born)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT (grp, id) DO UPDATE SET"
            " topics=excluded.topics, user_data=excluded.user_data, heartbeat=excluded.heartbeat",
            (
                name,
                member,
                instance,
                json.dumps(subscription.topics),
                subscription.user_data,
                session,
                rebalance,
                now,
                now,
            ),
        )
        if self.group(name).phase != "joining":
            self.new_round(name, now)
        self.database.write("UPDATE members SET joined=1 WHERE grp=? AND id=?", (name, member))

    def _take_place(
        self, name: str, member: str, instance: str, subscription: MemberSubscription, now: float
    ) -> bool:
        """A static member comes back (KIP-345): it gets what it had, without a rebalance, unless the leader is dividing."""
        rows = self.database.read(
            "SELECT id, topics FROM members WHERE grp=? AND instance=?", name, instance
        )
        if not rows:
            return False
        ((old, topics),) = rows
        group = self.group(name)
        same = json.loads(topics) == list(subscription.topics)
        self.database.write(
            "UPDATE members SET id=?, heartbeat=?, topics=?, user_data=? WHERE grp=? AND id=?",
            (member, now, json.dumps(subscription.topics), subscription.user_data, name, old),
        )
        if group.leader == old:
            self.database.write("UPDATE groups SET leader=? WHERE name=?", (member, name))
        if group.phase == "syncing" or (group.phase == "stable" and (not same or old == member)):
            self.new_round(name, now)  # syncing: the leader may know the old name only
        if group.phase != "stable" or not same or old == member:
            self.database.write("UPDATE members SET joined=1 WHERE grp=? AND id=?", (name, member))
        return True

    def new_round(self, name: str, now: float) -> None:
        """Ask everybody to join again."""
        database = self.database
        ((longest,),) = database.read(
            "SELECT coalesce(max(rebalance), 0) FROM members WHERE grp=?", name
        )
        database.write(
            "INSERT INTO groups (name, phase, deadline) VALUES (?, 'joining', ?) ON CONFLICT (name) DO UPDATE SET"
            " phase='joining', deadline=excluded.deadline",
            (name, now + longest),
        )
        database.write(
            "UPDATE members SET joined=0, assignment=NULL, assigned_data=NULL WHERE grp=?", (name,)
        )

    def heartbeat(self, name: str, member: str, now: float) -> bool:
        """Say that *member* lives; False when it is no longer a member. Needs no transaction."""
        done = self.database.write(
            "UPDATE members SET heartbeat=? WHERE grp=? AND id=?", (now, name, member)
        )
        return done > 0

    def leave(self, name: str, member: str, now: float) -> None:
        """Leave the group at once."""
        done = self.database.write("DELETE FROM members WHERE grp=? AND id=?", (name, member))
        if done:
            self._after_loss(name, now)

    def _after_loss(self, name: str, now: float) -> None:
        if not self.member_ids(name):
            self.database.write("UPDATE groups SET phase='empty', leader='' WHERE name=?", (name,))
        elif self.group(name).phase != "joining":
            self.new_round(name, now)

    def advance(self, name: str, now: float, *, grace: bool = False) -> None:
        """Drop the dead, and pass the barrier when it is complete or its time is over."""
        database = self.database
        expired = [] if grace else self.expired(name, now)
        if expired:
            database.write_many(
                "DELETE FROM members WHERE grp=? AND id=?", [(name, member) for member in expired]
            )
            self._after_loss(name, now)
        group = self.group(name)
        if group.phase != "joining":
            return
        missing = self._missing(name)
        if missing and now < group.deadline:
            return
        database.write_many(
            "DELETE FROM members WHERE grp=? AND id=?", [(name, member) for member in missing]
        )
        members = self.member_ids(name)
        if not members:
            database.write("UPDATE groups SET phase='empty', leader='' WHERE name=?", (name,))
            return
        database.write(
            "UPDATE groups SET phase='syncing', generation=generation+1, leader=? WHERE name=?",
            (members[0], name),
        )

    def assign(self, name: str, generation: int, answers: Mapping[str, MemberAssignment]) -> None:
        """Write the leader's answer, unless the group has moved on meanwhile."""
        group = self.group(name)
        if group.generation != generation or group.phase != "syncing":
            return
        for member, answer in answers.items():
            partitions = {topic: list(numbers) for topic, numbers in answer.partitions.items()}
            self.database.write(
                "UPDATE members SET assignment=?, assigned_data=? WHERE grp=? AND id=?",
                (json.dumps(partitions), answer.user_data, name, member),
            )
        self.database.write("UPDATE groups SET phase='stable' WHERE name=?", (name,))

    def commit(
        self,
        name: str,
        member: str,
        generation: int,
        offsets: Mapping[TP, int],
        ids: Mapping[TP, int],
    ) -> dict[TP, Exception | None]:
        """Commit as *member* of *generation*; per partition None or what is wrong with it.

        Arguments:
            name: The group.
            member: Who commits.
            generation: In which it was assigned what it commits.
            offsets: What it commits.
            ids: The numbers that the partitions had then.

        Raises:
            CommitRefused: The group has moved on, or the member is none any more.
        """
        group = self.group(name)
        if self.member(name, member) is None:
            raise CommitRefused(
                f"group {name}: this member was dropped (no heartbeat for the session timeout, or it was late for a"
                " rebalance)"
            )
        if group.generation != generation or group.phase == "syncing":
            raise CommitRefused(
                f"group {name} is in generation {group.generation} ({group.phase}); this commit is of generation"
                f" {generation}"
            )
        self.log.look_at_topics()
        answers: dict[TP, Exception | None] = {}
        accepted = {}
        for tp, offset in offsets.items():
            try:
                id = self.log.id_of(tp)
            except Exception as exc:
                answers[tp] = exc
                continue
            if ids.get(tp, id) != id:
                answers[tp] = CommitRefused(
                    f"{tp.topic}[{tp.partition}] was deleted and made anew: this commit is of the topic that was deleted"
                )
                continue
            answers[tp] = None
            accepted[tp] = offset
        self.log.commit(name, accepted)
        return answers
