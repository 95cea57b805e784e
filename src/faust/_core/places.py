"""Where an exception comes from: the message that was being read when it was raised.

By the time somebody logs an exception the stream has let go of its message, and an error of the source side of a
repartition surfaces on the other side. So whoever runs user code for a message marks what it raises.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from faust._core.lanes import Lane

__all__ = ["Place", "mark", "place_in", "take_place"]


class Place(NamedTuple):
    """One message: topic, partition and offset."""

    topic: str
    partition: int
    offset: int | None

    def __str__(self) -> str:
        return (
            f"{self.topic}[{self.partition}] offset {'?' if self.offset is None else self.offset}"
        )


def place_in(lane: Lane | None, record: Any) -> Place | None:
    """Name the record that a reader has in hand; None when it has none."""
    if lane is None or record is None:
        return None
    tp = lane.task.tp
    return Place(tp.topic, tp.partition, getattr(record, "offset", None))


def mark(exc: BaseException, lane: Lane | None, record: Any) -> None:
    """Note on *exc* which record it was raised for."""
    with contextlib.suppress(AttributeError):  # an exception class may have slots
        exc.__faust_place__ = place_in(lane, record)  # type: ignore[attr-defined]


def take_place(exc: BaseException) -> Place | None:
    """Return what `mark` has noted, and forget it: an exception object may be raised again elsewhere."""
    place: Place | None = getattr(exc, "__faust_place__", None)
    if place is not None:
        del exc.__faust_place__  # type: ignore[attr-defined]
    return place
