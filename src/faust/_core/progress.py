"""Does a partition get on? Pure: fed with what is seen, and with the time.

A partition stands still when there is something to do (a record in hand, records waiting, or more at the broker than has been
read) and the offset below which everything is finished does not move. Commits stand still when something is finished and the
committed offset does not move. What has nothing to do gets on, by definition.

A partition is *illegible* while more of its records cannot be decoded than can: they are passed over, so it does not stand still,
and yet nothing is done.
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
        waiting: Records that streams have not taken yet; 1 when a stream has stopped amid some that it has begun with.
        undecoded: Records that could not be decoded, so far.
    """

    delivered: int
    finished: int
    committed: int | None
    end: int | None
    position: int | None
    in_hand: int
    waiting: int
    undecoded: int = 0

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
        illegible_since: Since when most records cannot be decoded; None: most can.
        undecoded_at: When the last one that cannot was seen.
    """

    __slots__ = (
        "_owed",
        "commits_still_since",
        "illegible_since",
        "in_hand_since",
        "seen",
        "still_since",
        "tp",
        "undecoded_at",
    )

    def __init__(self, tp: TP, now: float) -> None:
        self.tp: TP = tp
        self.seen: Seen | None = None
        self.still_since: float = now
        self.commits_still_since: float = now
        self.in_hand_since: float = now
        self.illegible_since: float | None = None
        self.undecoded_at: float = now
        self._owed = 0

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
        if before is not None:
            self._look_for_illegible(before, seen, now)
        self.seen = seen

    def _look_for_illegible(self, before: Seen, seen: Seen, now: float) -> None:
        """Compare what could be decoded since the last look with what could not.

        A record that cannot be decoded is counted first and finished later, perhaps in the next look: it is owed until then.
        """
        failed = max(0, seen.undecoded - before.undecoded)
        passed = max(0, seen.finished - before.finished)
        owed = self._owed + failed
        good, self._owed = max(0, passed - owed), max(0, owed - passed)
        if failed:
            self.undecoded_at = now
        if good > failed:
            self.illegible_since = None
        elif failed and self.illegible_since is None:
            self.illegible_since = now
