"""What to do about a topic that is there already and is not as declared: the command, ready to be typed."""

from __future__ import annotations

from collections.abc import Iterable

from yarl import URL

__all__ = ["cure_of", "is_fault"]

EMBEDDED = {"memory", "local"}
"""Schemes of the broker that has no such commands."""


def is_fault(difference: str) -> bool:
    """Say whether a *difference* ("replication: wanted 1, has 3") is for the worse: more copies than wanted are not."""
    name, wanted, has = _parts(difference)
    return name != "replication" or not (
        wanted.isdecimal() and has.isdecimal() and int(has) > int(wanted)
    )


def cure_of(topic: str, difference: str, brokers: Iterable[URL], *, other_count: str) -> str:
    """Return how to mend a *difference* ("cleanup.policy: wanted compact, has delete") of *topic*.

    Arguments:
        topic: Its name.
        difference: As in `faust.transport.base.TopicOutcome`.
        brokers: URLs of the setting ``broker``.
        other_count: What to do when it has another number of partitions; may name ``{wanted}`` and ``{has}``.
    """
    name, wanted, has = _parts(difference)
    if name == "partitions":
        return other_count.format(wanted=wanted, has=has)
    if name in {"replication", "existence"}:
        return "Data are safe as long as the broker that has them is"
    value = f"[{wanted}]" if "," in wanted else wanted
    servers = ",".join(
        f"{url.host}:{url.port or 9092}" for url in brokers if url.scheme not in EMBEDDED
    )
    if not servers:
        return f"The embedded broker keeps {name}={has or 'nothing'}; delete the topic to have it made anew"
    return (
        f"To mend it: kafka-configs --bootstrap-server {servers} --alter --entity-type topics "
        f"--entity-name {topic} --add-config '{name}={value}'"
    )


def _parts(difference: str) -> tuple[str, str, str]:
    name, _, rest = difference.partition(": wanted ")
    wanted, _, has = rest.partition(", has ")
    return name, wanted, has
