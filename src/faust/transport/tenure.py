"""Until when records of changelogs may be written: for as long as their partitions are certainly ours.

A process that stands still (SIGSTOP, a suspended machine) may have records on their way to the broker. When it goes on, its
partitions may be somebody else's, whose newer records stand in the changelog already; and a changelog in which the past comes
after the present says the past. So whoever writes looks at the tenure last of all, in the thread that writes.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from faust.exceptions import CommitRefused
from faust.messages import TP

__all__ = ["LOOK_AGAIN", "Tenure"]

LOOK_AGAIN = 0.1
"""Seconds between two looks at a tenure that is not certain."""


class Tenure:
    """The time from an assignment of partitions to its end. Any thread may ask.

    Arguments:
        lease_until: Returns until when (monotonic seconds) what was assigned is certainly ours (C17).

    Attributes:
        over: The partitions were given back, or lost: what was not written by now is not written any more.
    """

    __slots__ = ("_lease_until", "over")

    def __init__(self, lease_until: Callable[[], float]) -> None:
        self._lease_until = lease_until
        self.over: bool = False

    def certain(self) -> bool:
        """Say whether what belongs to it may be written now."""
        return not self.over and monotonic() < self._lease_until()

    def end(self) -> None:
        """Nothing more may be written."""
        self.over = True

    @staticmethod
    def withdrawal(tp: TP, count: int) -> CommitRefused:
        """Return the error that records get which came too late."""
        return CommitRefused(
            f"{count} records for {tp.topic}[{tp.partition}] were not written before its partition was given back or lost; "
            "their events will be processed again"
        )
