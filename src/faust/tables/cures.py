"""What to do about a changelog topic that is not as it should be; see also `faust.transport.cures`."""

from __future__ import annotations

__all__ = ["OTHER_COUNT", "missing_right", "repartition_topic", "unfinished_repartition"]


OTHER_COUNT = (
    "Declare the table with partitions={has} if the topics it is read with have {has}, too; to give it {wanted}, stop all "
    "workers and run: faust -A ... repartition TABLE --partitions {wanted}"
)
"""What to do about a changelog that has another number of partitions; for `faust.transport.cures.cure_of`."""


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
