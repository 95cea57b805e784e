"""What to do about a changelog topic that is not as it should be: the command, ready to be typed."""

from __future__ import annotations

from collections.abc import Iterable

from yarl import URL

__all__ = ["cure_of", "missing_right", "repartition_topic", "unfinished_repartition"]


def cure_of(topic: str, difference: str, brokers: Iterable[URL]) -> str:
    """Return how to mend a *difference* ("cleanup.policy: wanted compact, has delete") of *topic*."""
    name, _, rest = difference.partition(": wanted ")
    wanted, _, has = rest.partition(", has ")
    if name == "partitions":
        return (
            f"Declare the table with partitions={has} if the topics it is read with have {has}, too; to give it "
            f"{wanted}, stop all workers and run: faust -A ... repartition TABLE --partitions {wanted}"
        )
    if name in {"replication", "existence"}:
        return "Data are safe as long as the broker that has them is"
    value = f"[{wanted}]" if "," in wanted else wanted
    servers = ",".join(f"{url.host}:{url.port or 9092}" for url in brokers if url.host)
    if not servers:
        return f"The embedded broker keeps {name}={has or 'nothing'}; delete the topic to have it made anew"
    return (
        f"To mend it: kafka-configs --bootstrap-server {servers} --alter --entity-type topics "
        f"--entity-name {topic} --add-config '{name}={value}'"
    )


def missing_right(table: str, topic: str, partitions: int, error: Exception) -> str:
    """Return what to tell when *topic* is missing and may not be created."""
    return (
        f"table {table!r}: its changelog topic {topic} does not exist and this worker may not create it ({error}). Let "
        f"somebody create it with {partitions} partitions and cleanup.policy=compact, or grant the right: kafka-acls --add "
        f"--allow-principal User:... --operation Create --topic {topic}"
    )


def repartition_topic(changelog: str) -> str:
    """Return the topic in which the records of *changelog* stand while it is given another number of partitions."""
    return f"{changelog}-repartition"


def unfinished_repartition(app: str, table: str, changelog: str) -> str:
    """Return what to tell a worker that finds such a topic."""
    return (
        f"table {table!r}: its changelog {changelog} is being repartitioned, or that was interrupted: there is a topic "
        f"{repartition_topic(changelog)}. Finish it with `faust -A {app} repartition {table}`, which goes on where it was"
    )
