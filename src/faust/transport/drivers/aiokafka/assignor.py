"""Our `Assignor`, as the class that aiokafka's coordinator wants.

aiokafka takes assignors as classes with class methods, so every consumer gets a class of its own that holds its
assignor. User data travels exactly as given, in Kafka's consumer protocol (``ConsumerProtocolSubscription`` and
``ConsumerProtocolAssignment``, version 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from faust.exceptions import FaustError
from faust.transport.base import Assignor, MemberAssignment, MemberSubscription

__all__ = ["adapt", "member_assignment"]

WIRE_VERSION = 0


def adapt(assignor: Assignor) -> type[Any]:
    """Return a class for aiokafka's ``partition_assignment_strategy`` that asks *assignor*."""

    class Adapted(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka is untyped
        name = assignor.name

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            wanted = frozenset(topics)
            data = assignor.subscription_user_data(wanted)
            return ConsumerProtocolMemberMetadata(WIRE_VERSION, sorted(wanted), data)

        @classmethod
        def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
            subscriptions = {
                member: MemberSubscription(tuple(sent.subscription), sent.user_data or b"")
                for member, sent in members.items()
            }
            topics = {topic for each in subscriptions.values() for topic in each.topics}
            counts = {
                topic: len(numbers)
                for topic in sorted(topics)
                if (numbers := cluster.partitions_for_topic(topic))
            }
            answer = assignor.assign(subscriptions, counts)
            missing = subscriptions.keys() - answer.keys()
            if missing:
                raise FaustError(
                    f"assignor {assignor.name!r} answered nothing for members {sorted(missing)}"
                )
            return {member: _on_the_wire(answer[member]) for member in subscriptions}

        @classmethod
        def on_assignment(cls, assignment: Any) -> None:
            """Nothing: the coordinator tells our assignor itself, with the generation."""

    return Adapted


def member_assignment(sent: Any) -> MemberAssignment:
    """Return what the leader sent as our type; partitions named twice count once."""
    partitions: dict[str, Any] = {}
    for topic, numbers in sent.assignment:
        known = partitions.get(topic, ())
        partitions[topic] = tuple(dict.fromkeys((*known, *numbers)))
    return MemberAssignment(partitions, sent.user_data or b"")


def _on_the_wire(assignment: MemberAssignment) -> ConsumerProtocolMemberAssignment:
    return ConsumerProtocolMemberAssignment(
        WIRE_VERSION,
        [(topic, list(numbers)) for topic, numbers in sorted(assignment.partitions.items())],
        assignment.user_data,
    )
