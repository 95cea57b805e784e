"""Who gets which partition: pure decisions, without clock, network or configuration.

Topics that are read together must be divided alike: partition 3 of the orders belongs where
partition 3 of the order table is. So topics form *groups* (same partition count, same subscribers),
and one decision is taken for all topics of a group. A group that has fewer members than another one of
its count, as while workers are replaced by ones with one table more, follows that (`follow`): who has
partition 3 of the orders gets partition 3 of the new table, if it knows the table at all.

A decision has two halves.

*Actives.* Every partition has one owner, and the members' counts differ by at most one. Among all
such divisions those that move the fewest partitions are best, and one of them is taken: a member
keeps ``floor(n/m)`` of what it had, and as many members as there are remainders keep one more. What
is moved anyway goes first to a member that has a standby of it, and has caught up.

*Standbys.* Every partition has ``min(replicas, m - 1)`` of them, never with the owner, each on
another member, and again the members' counts differ by at most one. That is always possible when
the actives are balanced: any x members can be given ``min(r, x)`` standbys of each partition, less
what they own themselves, which is never below the sum of their floors; and the rest, which the
others must take, never above the sum of theirs (Gale's supply and demand condition). Slots are
dealt in turn, skipping ahead by the partition number, so that the standbys of one owner are spread
over the others. A slot that nobody may take is placed along the shortest chain of exchanges (an
augmenting path), which exists by the argument above.

Stickiness is a tie-break, never an excuse for imbalance: no worker stays idle while another has two
partitions of a group more than it. Standbys are kept where they are as far as balance allows, and a
member that loses an active partition is the first candidate for its standby, since it has the data;
but the number of moved standbys is not proved to be minimal.

All functions are deterministic: the result depends on the order of *members* and on what they hold,
not on the order of sets or mappings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

__all__ = ["Claims", "Group", "Share", "assign_group", "copartition_groups", "follow"]


class Group(NamedTuple):
    """Topics that are divided alike."""

    number: int
    """Rank of the partition count, from 0. Groups with equal counts and other subscribers share it."""
    partitions: int
    topics: tuple[str, ...]
    """Sorted."""
    members: tuple[str, ...]
    """Who subscribes to them, in the order of the members given."""


class Claims(NamedTuple):
    """What a member held of a group before: the input of stickiness."""

    actives: frozenset[int] = frozenset()
    standbys: frozenset[int] = frozenset()
    cold: frozenset[int] = frozenset()
    """Those of its standbys that are not near the end of their changelogs."""


class Share(NamedTuple):
    """What a member holds of a group from now on; sorted."""

    actives: tuple[int, ...]
    standbys: tuple[int, ...]


def copartition_groups(
    subscriptions: Mapping[str, Collection[str]], partitions: Mapping[str, int]
) -> list[Group]:
    """Divide the subscribed topics into groups, by partition count and subscribers.

    Args:
        subscriptions: Member -> topics it subscribes to.
        partitions: Topic -> number of partitions; topics without any are left out.

    Returns:
        The groups by ascending partition count, then by their first topic.
    """
    subscribers: dict[str, list[str]] = {}
    for member, topics in subscriptions.items():
        for topic in set(topics):
            subscribers.setdefault(topic, []).append(member)
    classes: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for topic in sorted(subscribers):
        if count := partitions.get(topic, 0):
            classes.setdefault((count, tuple(subscribers[topic])), []).append(topic)
    counts = sorted({count for count, _ in classes})
    groups = [
        Group(counts.index(count), count, tuple(topics), members)
        for (count, members), topics in classes.items()
    ]
    return sorted(groups, key=lambda group: (group.partitions, group.topics))


def follow(
    claims: Mapping[str, Claims], wider: Mapping[str, Share], partitions: int
) -> dict[str, Claims]:
    """Return *claims* of a group by which it is divided as a *wider* one of its count is, as far as its members go.

    Nobody gets too many by that: a member of the wider group has at most ``ceil(n/m)`` partitions, with m more than
    here, and no more members have one above the floor of here than there are remainders. What else was held before is
    claimed as far as balance goes, so nothing has to be given up.
    """
    floor, more = divmod(partitions, len(claims))
    given = {member: frozenset(wider[member].actives) for member in claims}
    more -= sum(len(numbers) > floor for numbers in given.values())
    followed = {}
    free = frozenset(range(partitions)).difference(*given.values())
    for member, before in claims.items():
        held, room = sorted(before.actives & free), floor - len(given[member])
        if 0 <= room < len(held) and more:
            room, more = room + 1, more - 1
        kept = frozenset(held[: max(0, room)])
        free -= kept
        actives = given[member] | kept
        followed[member] = Claims(
            actives, (before.standbys | before.actives) - actives, before.cold
        )
    return followed


def assign_group(
    partitions: int,
    members: Sequence[str],
    previous: Mapping[str, Claims] | None = None,
    replicas: int = 0,
    load: Mapping[str, int] | None = None,
) -> dict[str, Share]:
    """Divide one group's partitions among *members*.

    Args:
        partitions: Number of partitions of each of its topics.
        members: Who subscribes to them; the order breaks ties.
        previous: What they held before; unknown partition numbers and double claims are tolerated.
        replicas: Wanted standbys per partition; at most ``len(members) - 1`` are possible.
        load: What members have of other groups; who has less is given a remainder first.

    Returns:
        A share for each member, in the order of *members*.

    Raises:
        ValueError: There is no member, one is named twice, or a number is negative.

    Example:
        >>> assign_group(3, ["a", "b"], {"b": Claims(frozenset({0, 1, 2}))}, replicas=1)
        {'a': Share(actives=(0,), standbys=(1, 2)), 'b': Share(actives=(1, 2), standbys=(0,))}
    """
    if not members or len(set(members)) != len(members):
        raise ValueError(f"members: expected one or more different names, got {list(members)}")
    if partitions < 0 or replicas < 0:
        raise ValueError(
            f"expected 0 or more, got {partitions} (partitions) and {replicas} (replicas)"
        )
    claims = _claims_in_range(partitions, members, previous or {})
    actives = _divide_actives(partitions, members, claims, load or {})
    replicas = min(replicas, len(members) - 1)
    standbys = _divide_standbys(partitions, members, claims, actives, replicas)
    return {
        member: Share(tuple(sorted(actives[member])), tuple(sorted(standbys[member])))
        for member in members
    }


def _claims_in_range(
    partitions: int, members: Sequence[str], previous: Mapping[str, Claims]
) -> dict[str, Claims]:
    """Leave out what does not exist; what is claimed both ways counts as active."""
    known = frozenset(range(partitions))
    claims = {}
    for member in members:
        claimed = previous.get(member, Claims())
        actives = claimed.actives & known
        claims[member] = Claims(actives, claimed.standbys & known - actives, claimed.cold)
    return claims


class _Balance:
    """Things held by members, and how many each may hold: the floor, or one more.

    Attributes:
        held: Member -> partitions.
        floor: What everybody gets.
        quota: Member -> what it may hold, spare remainders apart.
        spare: Remainders that are not promised to anybody yet.
    """

    __slots__ = ("floor", "held", "members", "quota", "spare")

    def __init__(self, total: int, members: Sequence[str]) -> None:
        self.members = members
        self.floor, self.spare = divmod(total, len(members))
        self.held: dict[str, set[int]] = {member: set() for member in members}
        self.quota = dict.fromkeys(members, self.floor)

    def seat(
        self, claims: Mapping[str, Collection[int]], rank: Callable[[str], int]
    ) -> dict[str, int]:
        """Let everybody hold what is claimed; return how much each must give up again."""
        for member in self.members:
            self.held[member].update(claims[member])
        rich = [member for member in self.members if len(self.held[member]) > self.floor]
        self._promise(sorted(rich, key=rank))
        return {member: len(self.held[member]) - self.quota[member] for member in rich}

    def settle(self, rank: Callable[[str], int]) -> None:
        """Promise the remainders that are left to the members of the lowest *rank*."""
        plain = [member for member in self.members if self.quota[member] == self.floor]
        self._promise(sorted(plain, key=rank))

    def _promise(self, members: Sequence[str]) -> None:
        lucky = members[: self.spare]
        self.spare -= len(lucky)
        for member in lucky:
            self.quota[member] += 1

    def room(self, member: str) -> bool:
        """Say whether *member* may hold one more."""
        count, quota = len(self.held[member]), self.quota[member]
        return count < quota or (count == quota == self.floor and self.spare > 0)

    def give(self, member: str, partition: int) -> None:
        """Let *member*, which has room, hold *partition*."""
        if len(self.held[member]) == self.quota[member]:
            self._promise([member])
        self.held[member].add(partition)

    def by_count(self) -> list[str]:
        """Return the members, those that hold least first."""
        return sorted(self.members, key=lambda member: len(self.held[member]))


# -- actives


def _divide_actives(
    partitions: int, members: Sequence[str], claims: Mapping[str, Claims], load: Mapping[str, int]
) -> dict[str, set[int]]:
    """Give every partition one owner: balanced, fewest moves, standbys promoted."""

    def rank(member: str) -> int:
        return load.get(member, 0)

    balance = _Balance(partitions, members)
    owned = _one_owner_each(members, claims)
    surplus = balance.seat(owned, rank)
    moving = _promote(partitions, balance, claims, surplus)
    balance.settle(rank)
    turns = balance.by_count()
    turn = 0
    for partition in moving:
        while not balance.room(turns[turn % len(turns)]):
            turn += 1
        balance.give(turns[turn % len(turns)], partition)
        turn += 1
    return balance.held


def _one_owner_each(
    members: Sequence[str], claims: Mapping[str, Claims]
) -> dict[str, frozenset[int]]:
    """Of several claims on one partition the member with the fewest claims wins, then the last."""
    owner: dict[int, str] = {}
    for member in members:
        for partition in claims[member].actives:
            rival = owner.get(partition)
            if rival is None or len(claims[member].actives) <= len(claims[rival].actives):
                owner[partition] = member
    return {
        member: frozenset(p for p in claims[member].actives if owner[p] == member)
        for member in members
    }


def _promote(
    partitions: int, balance: _Balance, claims: Mapping[str, Claims], surplus: Mapping[str, int]
) -> list[int]:
    """Take the surplus away, hand over to standbys with room; return what still needs an owner.

    Partitions without an owner come first, since they have no choice. A member with a surplus gives
    up what a standby can take, then its lowest numbers. A standby that still has much to read takes over
    only when there is no better one.
    """
    standbys: dict[int, list[str]] = {}
    for member in balance.members:
        for partition in claims[member].standbys:
            standbys.setdefault(partition, []).append(member)

    def promoted(partition: int) -> bool:
        able = [member for member in standbys.get(partition, ()) if balance.room(member)]
        if able:
            balance.give(min(able, key=partial(fitness, partition)), partition)
        return bool(able)

    def fitness(partition: int, member: str) -> tuple[bool, int]:
        return partition in claims[member].cold, len(balance.held[member])

    def warmth(partition: int) -> bool:
        """Sort what a caught-up standby can take before what another one can."""
        return all(partition in claims[member].cold for member in standbys.get(partition, ()))

    owned = set().union(*balance.held.values())
    moving = [p for p in range(partitions) if p not in owned and not promoted(p)]
    for member, count in surplus.items():
        held = balance.held[member]
        left = count
        for partition in sorted(held, key=lambda p: (warmth(p), p)):
            if left and promoted(partition):
                held.remove(partition)
                left -= 1
        dropped = sorted(held)[:left]
        held.difference_update(dropped)
        moving.extend(dropped)
    return sorted(moving)


# -- standbys


def _divide_standbys(
    partitions: int,
    members: Sequence[str],
    claims: Mapping[str, Claims],
    actives: Mapping[str, set[int]],
    replicas: int,
) -> dict[str, set[int]]:
    """Give every partition *replicas* standbys: balanced, never with the owner."""
    balance = _Balance(partitions * replicas, members)
    if not replicas:
        return balance.held
    owner = {partition: member for member in members for partition in actives[member]}
    kept = _few_enough_claims(members, claims, owner, replicas)
    surplus = balance.seat(kept, rank=lambda member: len(actives[member]))
    for member, count in surplus.items():
        balance.held[member].difference_update(sorted(balance.held[member])[:count])
    lacking = dict.fromkeys(range(partitions), replicas)
    for held in balance.held.values():
        for partition in held:
            lacking[partition] -= 1
    _deal_standbys(
        balance, claims, owner, [p for p, count in lacking.items() for _ in range(count)]
    )
    return balance.held


def _few_enough_claims(
    members: Sequence[str], claims: Mapping[str, Claims], owner: Mapping[int, str], replicas: int
) -> dict[str, set[int]]:
    """Leave out standbys that their member owns now; of too many the last members keep theirs."""
    kept: dict[str, set[int]] = {member: set() for member in members}
    count: dict[int, int] = {}
    for member in reversed(members):
        for partition in claims[member].standbys:
            if owner[partition] != member and count.get(partition, 0) < replicas:
                count[partition] = count.get(partition, 0) + 1
                kept[member].add(partition)
    return kept


def _deal_standbys(
    balance: _Balance,
    claims: Mapping[str, Claims],
    owner: Mapping[int, str],
    slots: Sequence[int],
) -> None:
    """Fill *slots*: first by who owned the partition until now, then in turn, else by exchange."""
    turns = balance.by_count()
    turn = 0

    def fits(member: str, partition: int) -> bool:
        return (
            owner[partition] != member
            and partition not in balance.held[member]
            and balance.room(member)
        )

    others = []
    for partition in slots:
        had_it = [m for m in turns if partition in claims[m].actives and fits(m, partition)]
        if had_it:
            balance.give(had_it[0], partition)
        else:
            others.append(partition)
    for partition in others:
        turn += partition
        for step in range(len(turns)):
            member = turns[(turn + step) % len(turns)]
            if fits(member, partition):
                balance.give(member, partition)
                turn += step + 1
                break
        else:
            _exchange(balance, owner, partition)


def _exchange(balance: _Balance, owner: Mapping[int, str], partition: int) -> None:
    """Place *partition* with somebody who is full, along the shortest chain of relief.

    A full member can be relieved by one that takes a partition from it; or, when it is at the
    floor, by one that leaves its remainder to it. The chain ends with a member that has room.
    """
    relieved: dict[str, tuple[str, int | None] | None] = {
        member: None
        for member in balance.members
        if owner[partition] != member and partition not in balance.held[member]
    }
    queue = deque(relieved)
    while queue:
        member = queue.popleft()
        if balance.room(member):
            _shift(balance, relieved, member, partition)
            return
        for other, passed in _relief(balance, owner, member):
            if other not in relieved:
                relieved[other] = (member, passed)
                queue.append(other)
    raise AssertionError(
        f"no room for a standby of partition {partition}: actives are not balanced, "
        f"or this module's reasoning is wrong"
    )


def _relief(
    balance: _Balance, owner: Mapping[int, str], member: str
) -> list[tuple[str, int | None]]:
    """List who could relieve *member*, and of which partition; None: by leaving its remainder."""
    found: list[tuple[str, int | None]] = [
        (other, partition)
        for partition in sorted(balance.held[member])
        for other in balance.members
        if owner[partition] != other and partition not in balance.held[other]
    ]
    if balance.quota[member] == balance.floor:
        found += [
            (other, None) for other in balance.members if balance.quota[other] > balance.floor
        ]
    return found


def _shift(
    balance: _Balance,
    relieved: Mapping[str, tuple[str, int | None] | None],
    last: str,
    partition: int,
) -> None:
    """Carry the chain out, from its end to its beginning."""
    member = last
    while (link := relieved[member]) is not None:
        before, passed = link
        if passed is None:
            balance.quota[member] -= 1
            balance.quota[before] += 1
        else:
            balance.held[before].remove(passed)
            balance.give(member, passed)
        member = before
    balance.give(member, partition)
