"""Recovery as decisions: what is left to read of a changelog, and when we are done. No I/O, no clock.

All numbers are *next offsets*: a position is the offset of the next record to be read, the end of a log is the offset
the next record will get, a store's persisted offset is the position it has reached. So there is one comparison for
"done", and none needs a -1 or a +1::

    done  <=>  position >= end

and the position is the consumer's, not that of the last record seen: a log may end in transaction markers, in records
of an aborted transaction, or in offsets that compaction has removed, and then no record ever arrives there.

Where to start, given the store's offset and the log ``[beginning, end)``:

=========================  ==================================================================
store knows nothing        wipe it, read from the beginning
offset > end               the topic lost records, or was made anew: refuse, or wipe and read all
offset < beginning         updates in between are gone for ever: wipe, read from the beginning
beginning <= offset < end  read on
offset == end              ready; nothing is read
of another topic           the topic was deleted and made anew (its id differs): wipe and read all
=========================  ==================================================================

A position that has reached the end is *confirmed* against fresh bounds, because the log lives on while it is read:

* it was cut back below the position, or the consumer found itself at an earlier place (the topic was deleted and
  made anew): what was read does not exist any more: start again;
* it was truncated at the front, beyond a place where we saw a gap: the gap may have held updates and deletions that
  a fresh reader would have to do without, too, but that contradict what we read before it: start again. (A gap alone
  is what compaction leaves behind, and means nothing.) If it happens time and again, the log is losing records
  faster than they can be read, and the state is as good as it gets;
* it has grown, by what the former owner still had in its hands: read on, once. Whoever is still writing to it then
  is not kept away by waiting.

A copy on standby is never done (`FollowPlan`). It reads what comes and asks for the bounds now and then; what makes
a recovery start again makes it start again, too.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from faust.exceptions import ConsistencyError
from faust.messages import TP

__all__ = ["Bounds", "FollowPlan", "PartitionPlan", "Phase", "Start", "Verdict", "start_of"]

MAX_REBUILDS = 3
"""How often a partition starts again because its log was truncated while it was read."""


class Bounds(NamedTuple):
    """A log holds the offsets ``beginning <= offset < end``."""

    beginning: int
    end: int
    topic_id: str = ""
    """Identity of the topic (KIP-516); empty: the broker gives none."""

    def is_of(self, topic_id: str) -> bool:
        """Say whether this is the log of the topic *topic_id*, as far as can be known."""
        return self.topic_id == topic_id or not topic_id or not self.topic_id


class Start(NamedTuple):
    """Where to begin, and whether what the store holds has to go first."""

    position: int
    wipe: bool
    reason: str = ""
    """Why a store that had something is wiped; a sentence for the log."""


def start_of(
    tp: TP, local: int | None, bounds: Bounds, *, check: bool, topic_id: str = ""
) -> Start:
    """Decide where to begin with a store that has reached *local*.

    Arguments:
        tp: The changelog partition, for the error.
        local: Persisted offset of the store; None when it knows nothing.
        bounds: The log as it is.
        check: A store that is ahead of its log is an error; else it is rebuilt.
        topic_id: Identity of the topic that the store was filled from; empty when that is not known.

    Raises:
        ConsistencyError: The store is ahead of its log.
    """
    beginning, end, _ = bounds
    if local is None:
        return Start(beginning, wipe=True)
    if local > end:
        if check:
            raise ConsistencyError(
                f"the local state of {tp.topic}[{tp.partition}] has reached offset {local}, but the topic ends at "
                f"{end}: it was deleted and made anew, or has lost records. To rebuild the table from the topic "
                "as it is, remove the local state (`faust reset`, or restart where the store is in memory) or set "
                "recovery_consistency_check=False"
            )
        return Start(beginning, wipe=True, reason=f"local offset {local} lies beyond the end {end}")
    if not bounds.is_of(topic_id):
        reason = (
            f"the topic was deleted and made anew: its id was {topic_id} and is {bounds.topic_id}"
        )
        return Start(beginning, wipe=True, reason=reason)
    if local < beginning:
        reason = f"local offset {local} lies before the beginning {beginning}"
        return Start(beginning, wipe=True, reason=reason)
    return Start(local, wipe=False)


class Phase(Enum):
    """How far a partition is."""

    READING = "reading"
    REACHED = "reached"
    """The end is reached, to be confirmed."""
    READY = "ready"


class Verdict(Enum):
    """What a confirmation says."""

    READY = "ready"
    READ_ON = "read on"
    REBUILD = "rebuild"
    """Wipe the store and seek to the plan's position."""


class PartitionPlan:
    """What is left to read of one changelog partition.

    Attributes:
        phase: How far it is.
        position: Next offset to be read.
        end: Offset at which it is done.
        rebuilds: How often it has started again.
        topic_id: Identity of the topic that is read; empty when it is not known.
    """

    __slots__ = (
        "_gap",
        "_polled",
        "_reread",
        "_went_back",
        "end",
        "phase",
        "position",
        "rebuilds",
        "topic_id",
    )

    def __init__(self, position: int, end: int, topic_id: str = "") -> None:
        self.position: int = position
        self.end: int = end
        self.topic_id: str = topic_id
        self.rebuilds: int = 0
        self.phase = Phase.READY if position >= end else Phase.READING
        self._gap: int | None = None
        self._polled: int | None = None
        self._reread = False
        self._went_back = False

    def __repr__(self) -> str:
        return f"<PartitionPlan {self.phase.value}: at {self.position} of {self.end}>"

    @property
    def remaining(self) -> int:
        """How many offsets lie before the end; more than there are records, where the log has holes."""
        return max(0, self.end - self.position)

    def slice(self, first: int, next_offset: int) -> bool:
        """A slice of the log has arrived, from offset *first* up to *next_offset*; say whether it is to be applied.

        One that ends at or below the position is not: the log has gone back under the consumer.
        """
        if self.phase is Phase.READY:
            return False
        self._polled = None
        if next_offset <= self.position:
            self._went_back = True
            self.phase = Phase.REACHED
            return False
        if first > self.position:
            self._gap = self.position
        self._move(next_offset)
        return True

    def polled(self, position: int) -> None:
        """The consumer says it has come to *position*.

        Believed when it says so twice with no slice in between: a slice that it has handed over may still be on its
        way to us the first time.
        """
        if self.phase is not Phase.READING or position < self.end:
            self._polled = None
        elif self._polled == position:
            self._gap = self.position
            self._move(position)
        else:
            self._polled = position

    def _move(self, position: int) -> None:
        self.position = position
        if position >= self.end:
            self.phase = Phase.REACHED

    def confirm(self, bounds: Bounds) -> Verdict:
        """The end is reached, or nothing comes any more; decide what that means in the light of fresh *bounds*."""
        anew = not bounds.is_of(self.topic_id) or bounds.end < self.position
        if anew or (self.rebuilds < MAX_REBUILDS and self._torn(bounds)):
            return self._rebuild(bounds)
        self._went_back = False
        self.end = min(self.end, bounds.end)
        if self.position >= self.end and bounds.end > self.position and not self._reread:
            self._reread = True
            self.end = bounds.end
        if self.position < self.end:
            self.phase = Phase.READING
            return Verdict.READ_ON
        self.phase = Phase.READY
        return Verdict.READY

    def _torn(self, bounds: Bounds) -> bool:
        """What was read does not belong together."""
        return self._went_back or (self._gap is not None and self._gap < bounds.beginning)

    def _rebuild(self, bounds: Bounds) -> Verdict:
        self.rebuilds += 1
        self.position, self.end, self.topic_id = bounds
        self._gap = self._polled = None
        self._went_back = False
        self.phase = Phase.READING if self.remaining else Phase.REACHED
        return Verdict.REBUILD


class FollowPlan:
    """Where a copy on standby is, in a log that others go on writing.

    Attributes:
        position: Next offset to be read.
        end: The end of the log when it was last looked at, or what was read since.
        topic_id: Identity of the topic that is read; empty when it is not known.
    """

    __slots__ = ("_gap", "_polled", "_went_back", "end", "position", "topic_id")

    def __init__(self, position: int, end: int, topic_id: str = "") -> None:
        self.topic_id: str = topic_id
        self.position: int = position
        self.end: int = max(position, end)
        self._gap: int | None = None
        self._polled: int | None = None
        self._went_back = False

    def __repr__(self) -> str:
        return f"<FollowPlan at {self.position} of {self.end}>"

    @property
    def lag(self) -> int:
        """How many offsets lie before the end."""
        return self.end - self.position

    @property
    def doubtful(self) -> bool:
        """What was read may not belong together: the bounds have to be asked for."""
        return self._went_back or self._gap is not None

    def slice(self, first: int, next_offset: int) -> bool:
        """A slice of the log has arrived, from offset *first* up to *next_offset*; say whether it is to be applied.

        One that begins below the position is not: the log has gone back under the consumer.
        """
        self._polled = None
        if self._went_back or first < self.position or next_offset <= self.position:
            self._went_back = True
            return False
        if first > self.position and self._gap is None:
            self._gap = self.position
        self._move(next_offset)
        return True

    def polled(self, position: int) -> bool:
        """The consumer says it has come to *position*; say whether that is news.

        Believed when it says so twice with no slice in between, as by `PartitionPlan.polled`.
        """
        if position <= self.position or self._polled != position:
            self._polled = position
            return False
        if self._gap is None:
            self._gap = self.position
        self._move(position)
        return True

    def _move(self, position: int) -> None:
        self.position = position
        self.end = max(self.end, position)

    def look(self, bounds: Bounds) -> bool:
        """Compare with fresh *bounds*; True: wipe the copy and seek to the position, which is the beginning now."""
        beginning, end, topic_id = bounds
        place = self.position if self._gap is None else self._gap
        anew = not bounds.is_of(self.topic_id) or end < self.position
        torn = self._went_back or anew or place < beginning
        self.topic_id = topic_id
        self._gap = self._polled = None
        self._went_back = False
        if torn:
            self.position = beginning
        self.end = max(self.position, end)
        return torn
