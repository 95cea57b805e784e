"""What the members of a group tell each other, and what the leader answers.

Every worker has one `PartitionAssignor`. The transport asks it for the words with which the worker
joins the group, asks the leader's one for the division (see `faust.assignor.assignment` for the
decision itself), and tells each what it was given. Here are the rules that are about topics and not
about numbers:

* topics of one co-partition group get the same partition numbers, actives and standbys;
* only standbys of changelogs are really read, so only they are part of a member's partitions on the
  broker's level;
* of a *global* table's changelog every member is given all partitions as active, and all that would
  not be its own also as standbys (all, when the topic is to be synchronized), so that writes of
  others keep flowing in;
* members are known by their id; the maps for the router are keyed by URL, because that is what the
  wire carries. Two workers that announce one URL share an entry there, and each still gets its own
  partitions.

A global changelog partition in both roles is listed twice in a member's partitions on the broker's
level. That looks wrong, and is what faust-streaming members insist on (they refuse an assignment
whose list is not exactly actives + standbys); whoever receives an assignment here takes the list as
a set.

The transport may call from its own thread. What was assigned is one immutable value that is
replaced as a whole, so readers in the application's thread never see half of it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property

from faust.assignor.assignment import (
    Claims,
    Group,
    Share,
    assign_group,
    copartition_groups,
    follow,
)
from faust.assignor.wire import (
    Distribution,
    Holdings,
    MemberData,
    SharedData,
    WireError,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from faust.messages import TP
from faust.sensors.base import SensorDelegate
from faust.transport.base import MemberAssignment, MemberSubscription

__all__ = ["PartitionAssignor"]

logger: logging.Logger = logging.getLogger(__name__)

TopicNames = Callable[[], Collection[str]]


class PartitionAssignor:
    """Sticky, balanced, co-partitioned assignment with standbys; implements the transport's ``Assignor``.

    Args:
        canonical_url: How other workers reach this one.
        replicas: Standbys per table partition.
        changelog_topics: Gives the names of all tables' changelog topics.
        global_topics: Gives those among them that belong to global tables.
        synchronized_topics: Gives the global ones of which also the own partitions are followed.
        is_warm: Says whether a standby of this worker is near the end of its changelog. It may be asked in
            the client's thread.
        sensors: Told when this worker, as the leader, divides the partitions; in the client's thread, too.

    Attributes:
        missing_topics: Subscribed topics that had no partitions when this worker last led an
            assignment, and were left out. When the broker knows them, the group should rebalance.
    """

    name: str = "faust"
    version: int = 4

    def __init__(
        self,
        *,
        canonical_url: str,
        replicas: int = 0,
        changelog_topics: TopicNames = frozenset,
        global_topics: TopicNames = frozenset,
        synchronized_topics: TopicNames = frozenset,
        is_warm: Callable[[TP], bool] = lambda _tp: True,
        sensors: SensorDelegate | None = None,
    ) -> None:
        if replicas < 0:
            raise ValueError(f"replicas: expected 0 or more standbys, got {replicas}")
        self.canonical_url: str = str(canonical_url)
        self.replicas = replicas
        self.missing_topics: frozenset[str] = frozenset()
        self._changelog_topics = changelog_topics
        self._global_topics = global_topics
        self._synchronized_topics = synchronized_topics
        self._is_warm = is_warm
        self._sensors = SensorDelegate() if sensors is None else sensors
        self._given = _Given.nothing()

    def __repr__(self) -> str:
        return f"<PartitionAssignor {self.canonical_url} replicas={self.replicas}>"

    # -- as a member

    def subscription_user_data(self, topics: frozenset[str]) -> bytes:
        """Say what this member held of *topics*, and its URL."""
        held = self._given.holdings
        standbys = {topic: held.standbys[topic] for topic in held.standbys if topic in topics}
        cold = {
            topic: [number for number in numbers if not self._is_warm(TP(topic, number))]
            for topic, numbers in standbys.items()
            if topic in self._changelog_topics()
        }
        return encode_subscription(
            Holdings(
                {topic: held.actives[topic] for topic in held.actives if topic in topics}, standbys
            ),
            self.canonical_url,
            {topic: numbers for topic, numbers in cold.items() if numbers},
        )

    def on_assignment(self, assignment: MemberAssignment, generation: int) -> None:
        """Remember what this member was given.

        The partitions on the broker's level are what will be fetched, so they have the last word:
        user data that contradicts them, or cannot be read, is logged, and partitions without a role
        are active.
        """
        try:
            data = decode_assignment(assignment.user_data)
        except WireError as exc:
            logger.error(
                "Generation %s: the group's leader sent data that cannot be read; all assigned "
                "partitions count as active, and the router knows no other workers: %s",
                generation,
                exc,
            )
            data = MemberData(Holdings(_sorted_lists(assignment.partitions)), self.canonical_url)
        given = _Given(data, assignment.partitions)
        if data.url != self.canonical_url:
            logger.warning(
                "Generation %s: the group's leader answered to %s, but this worker is %s",
                generation,
                data.url,
                self.canonical_url,
            )
        if given.contradictions:
            logger.warning(
                "Generation %s: roles and partitions sent by the group's leader differ for %s; "
                "going on with the partitions",
                generation,
                ", ".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(given.contradictions)),
            )
        self._given = given

    def forget(self) -> None:
        """Forget what was assigned: the group has given it away, so nothing of it is claimed at the next join."""
        self._given = _Given.nothing()

    # -- as the leader

    def assign(
        self, members: Mapping[str, MemberSubscription], partitions: Mapping[str, int]
    ) -> Mapping[str, MemberAssignment]:
        """Divide *partitions* (topic -> count) among *members*.

        Subscribed topics that *partitions* does not know are left out with a warning.
        """
        state = self._sensors.on_assignment_start(self)
        try:
            answer = self._assign(members, partitions)
        except Exception as exc:
            self._sensors.on_assignment_error(self, state, exc)
            raise
        self._sensors.on_assignment_completed(self, state)
        return answer

    def _assign(
        self, members: Mapping[str, MemberSubscription], partitions: Mapping[str, int]
    ) -> Mapping[str, MemberAssignment]:
        sent = {member: _read(member, said) for member, said in members.items()}
        order = sorted(members, key=lambda member: (sent[member].url, member))
        _warn_of_shared_urls(data.url for data in sent.values())
        subscriptions = {member: members[member].topics for member in order}
        self._note_missing(subscriptions.values(), partitions)
        groups = copartition_groups(subscriptions, partitions)
        holdings = self._divide(order, sent, groups)
        changelogs = frozenset(self._changelog_topics())
        shared = _shared(holdings, sent, groups, changelogs)
        return {
            member: MemberAssignment(
                _broker_level(held, changelogs),
                encode_assignment(held, sent[member].url, shared, compact=sent[member].compact),
            )
            for member, held in holdings.items()
        }

    def _note_missing(
        self, subscriptions: Iterable[Sequence[str]], partitions: Mapping[str, int]
    ) -> None:
        wanted = {topic for topics in subscriptions for topic in topics}
        self.missing_topics = frozenset(topic for topic in wanted if not partitions.get(topic))
        if self.missing_topics:
            logger.warning(
                "Topics without partitions are not assigned to anybody; create them, or check "
                "their names: %s",
                ", ".join(sorted(self.missing_topics)),
            )

    def _divide(
        self, order: Sequence[str], sent: Mapping[str, MemberData], groups: Sequence[Group]
    ) -> dict[str, Holdings]:
        """Decide group after group; return what each member holds, topics sorted."""
        global_topics = frozenset(self._global_topics())
        synchronized = frozenset(self._synchronized_topics())
        load = dict.fromkeys(order, 0)
        roles: dict[str, dict[str, tuple[list[int], list[int]]]] = {member: {} for member in order}
        divided: list[tuple[Group, dict[str, Share]]] = []
        for group in sorted(groups, key=lambda group: (group.partitions, -len(group.members))):
            claims = {
                member: _claims(sent[member], group.topics, global_topics)
                for member in group.members
            }
            for wider, shares in divided:
                if wider.partitions == group.partitions and set(group.members) < set(wider.members):
                    claims = follow(claims, shares, group.partitions)
                    break
            shares = assign_group(group.partitions, group.members, claims, self.replicas, load)
            divided.append((group, shares))
            for member, share in shares.items():
                load[member] += len(share.actives)
                for topic in group.topics:
                    roles[member][topic] = (
                        _global_roles(group.partitions, share, topic in synchronized)
                        if topic in global_topics
                        else (list(share.actives), list(share.standbys))
                    )
        return {
            member: Holdings(
                {topic: topics[topic][0] for topic in sorted(topics)},
                {topic: topics[topic][1] for topic in sorted(topics)},
            )
            for member, topics in roles.items()
        }

    # -- what was assigned

    def assigned_actives(self) -> set[TP]:
        """Return the partitions that this worker is active for."""
        return set(self._given.actives)

    def assigned_standbys(self) -> set[TP]:
        """Return the changelog partitions that this worker follows; of global tables also active ones."""
        return set(self._given.standbys)

    def is_active(self, tp: TP) -> bool:
        """Say whether this worker is active for *tp*."""
        return tp in self._given.actives

    def is_standby(self, tp: TP) -> bool:
        """Say whether this worker follows *tp*."""
        return tp in self._given.standbys

    def group_for_topic(self, topic: str) -> int:
        """Return the number of the co-partition group of *topic*.

        Raises:
            KeyError: the topic is not part of the current assignment.
        """
        return self._given.data.topic_groups[topic]

    # -- where the others are

    def tables_metadata(self) -> Distribution:
        """Return worker's URL -> changelog topic -> its active partitions."""
        return self._given.data.changelog_distribution

    def table_metadata(self, topic: str) -> Distribution:
        """Return `tables_metadata` of one changelog topic; only workers that subscribe to it."""
        return {
            url: {topic: topics[topic]}
            for url, topics in self.tables_metadata().items()
            if topic in topics
        }

    def external_topics_metadata(self) -> Distribution:
        """Return worker's URL -> topic that is no changelog -> its active partitions."""
        return self._given.data.external_topic_distribution

    def owner_url(self, tp: TP) -> str:
        """Return the URL of the worker that is active for *tp*; of several, this one if it is among them.

        Raises:
            KeyError: nobody is known to be.
        """
        if tp in self._given.actives:
            return self.canonical_url
        return self._given.owners[tp]


class _Given:
    """What a member was given, taken apart for those who ask. Never changed."""

    def __init__(self, data: MemberData, partitions: Mapping[str, Iterable[int]]) -> None:
        self.data = data
        self.holdings = data.assignment
        actives = _tps(data.assignment.actives)
        standbys = _tps(data.assignment.standbys)
        held = _tps(partitions)
        self.contradictions = (held - actives - standbys) | (actives - held)
        self.actives = held - (standbys - actives)
        self.standbys = held & standbys

    @classmethod
    def nothing(cls) -> _Given:
        return cls(MemberData(Holdings(), ""), {})

    @cached_property
    def owners(self) -> dict[TP, str]:
        """Active partition -> URL of the first worker that has it."""
        data = self.data
        owners: dict[TP, str] = {}
        for distribution in (data.changelog_distribution, data.external_topic_distribution):
            for url, topics in distribution.items():
                for tp in _tps(topics):
                    owners.setdefault(tp, url)
        return owners


def _tps(partitions: Mapping[str, Iterable[int]]) -> frozenset[TP]:
    return frozenset(TP(topic, number) for topic in partitions for number in partitions[topic])


def _sorted_lists(partitions: Mapping[str, Iterable[int]]) -> dict[str, list[int]]:
    return {topic: sorted(set(partitions[topic])) for topic in sorted(partitions)}


def _read(member: str, said: MemberSubscription) -> MemberData:
    """Read a member's data; a member that cannot be understood joins as if it were new."""
    try:
        return decode_subscription(said.user_data)
    except WireError as exc:
        logger.error(
            "Member %s joined with data that cannot be read; it is treated as new, and the router "
            "will not find it: %s",
            member,
            exc,
        )
        return MemberData(Holdings(), "")


def _warn_of_shared_urls(urls: Iterable[str]) -> None:
    for url, count in Counter(urls).items():
        if url and count > 1:
            logger.warning(
                "%s workers of this group announce the URL %s, so requests for a key may reach the "
                "wrong one: give each its own web_port, web_host or canonical_url",
                count,
                url,
            )


def _claims(sent: MemberData, topics: Sequence[str], global_topics: Collection[str]) -> Claims:
    """Return what a member held of a group, said by the group's first topic that it held anything of.

    Everybody holds all of a global topic, so these are asked last, and what is active and not
    standby is the claim.
    """
    held = sent.assignment
    cold = frozenset(number for topic in topics for number in sent.catching_up.get(topic, ()))
    for topic in sorted(topics, key=lambda topic: topic in global_topics):
        actives = frozenset(held.actives.get(topic, ()))
        standbys = frozenset(held.standbys.get(topic, ()))
        if topic in global_topics:
            actives -= standbys
            standbys = frozenset()
        if actives or standbys:
            return Claims(actives, standbys, cold)
    return Claims()


def _global_roles(partitions: int, share: Share, synchronized: bool) -> tuple[list[int], list[int]]:
    own = () if synchronized else share.actives
    return list(range(partitions)), [p for p in range(partitions) if p not in own]


def _broker_level(held: Holdings, changelogs: Collection[str]) -> dict[str, list[int]]:
    """Return a member's partitions as the group protocol has them: actives, then standbys of changelogs."""
    return {
        topic: actives + (held.standbys[topic] if topic in changelogs else [])
        for topic, actives in held.actives.items()
    }


def _shared(
    holdings: Mapping[str, Holdings],
    sent: Mapping[str, MemberData],
    groups: Sequence[Group],
    changelogs: Collection[str],
) -> SharedData:
    """Make the maps that every member gets; members with one URL share an entry."""
    tables: Distribution = {}
    others: Distribution = {}
    for member, held in holdings.items():
        url = sent[member].url
        if not url:
            continue
        for distribution in (tables, others):
            distribution.setdefault(url, {})
        for topic, actives in held.actives.items():
            entry = (tables if topic in changelogs else others)[url]
            entry[topic] = sorted({*entry.get(topic, ()), *actives})
    numbers = {topic: group.number for group in groups for topic in group.topics}
    return SharedData(tables, others, {topic: numbers[topic] for topic in sorted(numbers)})
