"""One member of a group, as a small state machine in the broker's thread.

::

    out -> joined -> stable -> giving back -> joined -> ...

*joined*: waiting for the barrier and the leader's answer. *giving back*: the application's listener
is finishing what it holds; heartbeats go on meanwhile. A member that finds its row gone was
dropped: what it holds is lost, and it joins again under a new name.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from math import inf
from typing import Any

from faust.exceptions import BrokerError, UnknownTopic
from faust.messages import TP
from faust.transport.base import Assignor, ConsumerOptions, MemberSubscription
from faust.transport.drivers.local.engine import Engine
from faust.transport.drivers.local.groups import Groups

__all__ = ["Membership"]

logger: logging.Logger = logging.getLogger(__name__)

_LOOK_EVERY = 0.2
"""Seconds between two looks for dead members and passed deadlines."""


class Membership:
    """Keeps one consumer in its group.

    Arguments:
        engine: The broker.
        options: Group, time-outs, static name.
        assignor: Divides the partitions when this member leads.
        topics: Names to read.
        pattern: Regular expression of names to read as well.
        on_revoke: Called with ``lost`` when what is held must be given back; answer with
            `gave_back`.
        on_assign: Called with partitions and generation.
        on_error: Called with an error that ends the member.
        polled: Returns when (monotonic) the application asked for records last.
    """

    def __init__(
        self,
        engine: Engine,
        options: ConsumerOptions,
        assignor: Assignor,
        topics: frozenset[str],
        pattern: str | None,
        *,
        on_revoke: Callable[[bool], None],
        on_assign: Callable[[frozenset[TP], int], None],
        on_error: Callable[[Exception], None],
        polled: Callable[[], float],
    ) -> None:
        assert options.group_id is not None
        self.engine = engine
        self.groups: Groups = engine.groups
        self.group: str = options.group_id
        self.options = options
        self.assignor: Assignor = assignor
        self.topics: frozenset[str] = topics
        self.pattern: re.Pattern[str] | None = re.compile(pattern) if pattern is not None else None
        self.on_revoke = on_revoke
        self.on_assign = on_assign
        self.on_error = on_error
        self.polled = polled
        self.id: str = ""
        self.state: str = "out"
        self.generation: int = -1
        self.lease: float = -inf
        self.partition_ids: Mapping[TP, int] = {}
        self._holds = False
        self._next_heartbeat = 0.0
        self._told: tuple[str, ...] = ()
        self._counts: dict[str, int] = {}
        self._topics_version = -1
        self._again = False
        self._asleep_since: float | None = None
        self._seen: tuple[Any, ...] = ()
        self._look_at = 0.0

    # -- called in the broker's thread

    def change(self, topics: frozenset[str], pattern: str | None, assignor: Assignor) -> None:
        """Replace the subscription; the group makes a new round."""
        self.topics = topics
        self.pattern = re.compile(pattern) if pattern is not None else None
        self.assignor = assignor
        self._again = True

    def tick(self, now: float) -> float:
        """Do what is due; return when to come again."""
        if self._asleep_since is not None:
            if self.polled() <= self._asleep_since:
                return now + _LOOK_EVERY
            self._asleep_since = None
        if self.state == "out":
            self._join(now)
        if now >= self._next_heartbeat:
            self._beat(now)
        seen = self.groups.fingerprint(self.group, self.id)
        news = seen != self._seen or self._again
        if news or now >= self._look_at:
            self._advance(now)
            self._look_at = now + _LOOK_EVERY
        if news:
            self._look(now)
            self._seen = seen
        return min(self._next_heartbeat, self._look_at)

    def _advance(self, now: float) -> None:
        grace = now < self.engine.grace_until
        if self.groups.due(self.group, now, grace=grace):
            with self.engine.database.transaction():
                self.groups.advance(self.group, now, grace=grace)
            self.engine.note_change()

    def _beat(self, now: float) -> None:
        lease = now + self.options.session_timeout
        if self.state == "giving back":
            lease = min(lease, self._barrier())  # before the heartbeat: who is late has no row then
        alive = self.groups.heartbeat(self.group, self.id, now)
        self._next_heartbeat = now + self._interval()
        self.lease = lease if alive else -inf
        silent = now - self.polled()
        if alive and self.state == "stable" and silent > self.options.max_poll_interval:
            self._fall_asleep(now, silent)

    def _barrier(self) -> float:
        """Return when (monotonic) those are dropped that have not joined again."""
        group = self.groups.group(self.group)
        return group.deadline if group.phase == "joining" else inf

    def _interval(self) -> float:
        return min(self.options.heartbeat_interval, self.options.session_timeout / 3)

    def _fall_asleep(self, now: float, silent: float) -> None:
        """Leave until the application asks for records again (Kafka's ``max.poll.interval.ms``)."""
        logger.error(
            "Leaving group %s: the application has not asked for records for %.1f s, and "
            "broker_max_poll_interval is %g s",
            self.group,
            silent,
            self.options.max_poll_interval,
        )
        with self.engine.database.transaction():
            self.groups.leave(self.group, self.id, now)
        self.lease = -inf
        self._asleep_since = now
        self.engine.note_change()
        self._give_back(lost=True)

    def _look(self, now: float) -> None:
        # The group first: another process may write in between, and then what we read of ourselves
        # must be the newer. (The other way round the leader's answer could come between, and we
        # would take "nothing" for our share.)
        group = self.groups.group(self.group)
        member = self.groups.member(self.group, self.id)
        if member is None:
            self._dropped(now)
            return
        if self.state == "stable":
            if group.phase == "joining" and not member.joined:
                self._give_back(lost=False)
            elif self._wants_new_round():
                with self.engine.database.transaction():
                    self.groups.new_round(self.group, now)
                self.engine.note_change()
                self._give_back(lost=False)
        elif self.state == "joined":
            if group.phase == "joining" and not member.joined:
                self._join(now)
            elif group.phase == "syncing" and group.leader == self.id:
                self._divide(group.generation)
            elif group.phase == "stable" and member.joined:
                self._take(member.assignment, group.generation)

    def _dropped(self, now: float) -> None:
        instance = self.options.group_instance_id
        if instance is not None and self.groups.has_instance(self.group, instance):
            self.lease = -inf
            self._fail(
                BrokerError(
                    f"group {self.group}: another process has taken the place of the static member "
                    f"{instance!r}; give each process a consumer_group_instance_id of its own"
                )
            )
        elif self.state == "stable":
            logger.warning(
                "Dropped from group %s: no heartbeat within the session timeout, or too late for "
                "a rebalance",
                self.group,
            )
            self.lease = -inf
            self._give_back(lost=True)
        elif self.state == "joined":
            self._join(now)

    def _give_back(self, *, lost: bool) -> None:
        self.state = "giving back"
        self.lease = min(self.lease, self._barrier())
        if self._holds:
            self.on_revoke(lost)
        else:
            self.gave_back(0.0)

    def gave_back(self, now: float) -> None:
        """The application has finished what it held: join the next round."""
        self.state = "out"
        self._holds = False
        self._next_heartbeat = min(self._next_heartbeat, now)
        self._seen = ()
        self.engine.note_change()

    def _join(self, now: float) -> None:
        groups, log = self.groups, self.engine.log
        version, counts = log.topics_version(), log.topics()
        topics = self._resolved(counts)
        told = MemberSubscription(topics, self.assignor.subscription_user_data(frozenset(topics)))
        with self.engine.database.transaction():
            if not self.id or groups.member(self.group, self.id) is None:
                self.id = f"{self.options.client_id}-{uuid.uuid4().hex}"
            groups.join(
                self.group,
                self.id,
                told,
                instance=self.options.group_instance_id,
                session=self.options.session_timeout,
                rebalance=self.options.rebalance_timeout,
                now=now,
            )
        self._told, self._counts, self._topics_version = topics, counts, version
        self._again = False
        self.lease = now + self.options.session_timeout
        self.state = "joined"
        self._next_heartbeat = now + self._interval()
        self.engine.note_change()

    def _resolved(self, counts: Mapping[str, int]) -> tuple[str, ...]:
        names = set(self.topics)
        if self.pattern is not None:
            names |= {name for name in counts if self.pattern.fullmatch(name)}
        return tuple(sorted(names))

    def _wants_new_round(self) -> bool:
        """The subscription has changed, or topics we read were made, deleted or grew."""
        if self._again:
            return True
        version = self.engine.log.topics_version()
        if version == self._topics_version:
            return False
        counts = self.engine.log.topics()
        told = self._resolved(counts)
        if told != self._told or any(counts.get(name) != self._counts.get(name) for name in told):
            return True
        if self._numbers(self.partition_ids) != self.partition_ids:  # made anew
            return True
        self._topics_version = version
        return False

    def _numbers(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the broker's numbers of those partitions that exist."""
        log = self.engine.log
        log.look_at_topics()
        found = {}
        for tp in tps:
            with suppress(UnknownTopic):
                found[tp] = log.id_of(tp)
        return found

    def _divide(self, generation: int) -> None:
        """As the leader, ask the assignor, and write its answer."""
        members = self.groups.subscriptions(self.group)
        counts = self.engine.log.topics()
        wanted = {topic for told in members.values() for topic in told.topics}
        try:
            answers = self.assignor.assign(
                members, {topic: count for topic, count in counts.items() if topic in wanted}
            )
        except Exception as exc:
            self._fail(exc)
            return
        with self.engine.database.transaction():
            self.groups.assign(self.group, generation, answers)
        self.engine.note_change()

    def _take(self, assignment: Any, generation: int) -> None:
        self.state = "stable"
        self.generation = generation
        partitions = {} if assignment is None else assignment.partitions
        counts = self.engine.log.topics()
        tps = frozenset(
            TP(topic, number)
            for topic, numbers in partitions.items()
            for number in numbers
            if number < counts.get(topic, 0)
        )
        if assignment is not None:
            try:
                self.assignor.on_assignment(assignment, generation)
            except Exception as exc:
                self._fail(exc)
                return
        self._holds = bool(tps)
        self.partition_ids = self._numbers(tps)
        self.on_assign(tps, generation)

    def _fail(self, error: Exception) -> None:
        """End, and do not keep the others waiting."""
        with self.engine.database.transaction():
            self.groups.leave(self.group, self.id, time.monotonic())
        self.state = "left"
        self.on_error(error)

    def leave(self, now: float) -> None:
        """Leave the group; a static member only stops its heartbeats."""
        if self.id and self.options.group_instance_id is None:
            self.groups.leave(self.group, self.id, now)
        self.state = "left"
        self.generation = -1
