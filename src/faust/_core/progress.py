"""Does a partition get on? Pure: fed with what is seen, and with the time.

A partition stands still when there is something to do (a record in hand, records waiting, or more at the broker than has been
read) and the offset below which everything is finished does not move. Commits stand still when something is finished and the
committed offset does not move. What has nothing to do gets on, by definition.
"""

from __future__ import annotations

from typing import NamedTuple

from faust.messages import TP

__all__ = ["Progress", "Seen"]


class Seen(NamedTuple):
    """What a look at a partition has shown.

    Attributes:
        delivered: Next offset after what streams were given; -1: nothing yet.
        finished: Next offset after what is finished; -1: not known yet.
        committed: Committed next offset; None: not known.
        end: Next offset to be written at the broker; None: not known.
        position: Next offset to be read; None: not known.
        in_hand: Records that were handed out and are not finished.
        waiting: Records that streams have not taken yet.
    """

    delivered: int
    finished: int
    committed: int | None
    end: int | None
    position: int | None
    in_hand: int
    waiting: int

    @property
    def busy(self) -> bool:
        """Whether there is something to do."""
        more = self.end is not None and self.position is not None and self.position < self.end
        return self.in_hand > 0 or self.waiting > 0 or more

    @property
    def uncommitted(self) -> bool:
        """Whether something is finished and not committed."""
        return self.committed is not None and self.finished > self.committed


class Progress:
    """One partition, over time.

    Arguments:
        tp: The partition.
        now: Monotonic seconds.

    Attributes:
        seen: The last look; None before the first.
        still_since: Since when (monotonic seconds) it stands still; the time of the last look if it does not.
        commits_still_since: The same of commits.
        in_hand_since: Since when the oldest record in hand is in hand, as far as looks can tell; the time of the last look if
            none is.
    """

    __slots__ = ("commits_still_since", "in_hand_since", "seen", "still_since", "tp")

    def __init__(self, tp: TP, now: float) -> None:
        self.tp: TP = tp
        self.seen: Seen | None = None
        self.still_since: float = now
        self.commits_still_since: float = now
        self.in_hand_since: float = now

    def look(self, seen: Seen, now: float) -> None:
        """Note what is seen now."""
        before = self.seen
        idle = not seen.in_hand and not seen.waiting  # then what is read next is all that can move
        moved = (
            before is None
            or before.finished != seen.finished
            or (idle and before.position != seen.position)
        )
        if moved or not seen.busy:
            self.still_since = now
        if before is None or before.committed != seen.committed or not seen.uncommitted:
            self.commits_still_since = now
        if before is None or before.finished != seen.finished or not seen.in_hand:
            self.in_hand_since = now
        self.seen = seen
