"""Acknowledgements in any order -> the offset that may be committed.

The rule is *lowest unfinished wins*. A partition's records are handed out in offset order and
finished in any order (several actors, manual acknowledgement, events kept in a buffer). What may be
committed is the smallest offset that was delivered and is not finished; if there is none, the
position after the last delivery.

Offsets that were never delivered (transaction markers, compacted records, the head of the log that
retention took) need no bookkeeping at all: delivery is in order, so whatever lies below the lowest
unfinished delivery is either finished or does not exist. Guessing about gaps is how commits run
past unfinished work.

Two structures keep this cheap. The set ``_pending`` holds what is unfinished and answers "is this
acknowledgement new?". The queue ``_window`` holds deliveries in order, so its head, once finished
heads are dropped, is the smallest unfinished one. Finished offsets behind a slow head are swept out
as soon as they outnumber the unfinished ones, so

* every operation is O(1) amortised: an offset enters and leaves each structure once, and a sweep,
  which costs one step per offset in the window, removes at least half of them;
* memory is proportional to the number of *unfinished* records, even when one of them is stuck for
  ever while millions behind it are finished.

Invariants: ``_window`` is strictly ascending; ``_pending`` is a subset of it; its head is pending;
everything in it is below ``high``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import lt

__all__ = ["AckTracker"]

_SWEEP_FLOOR = 256
"""Finished offsets that a window may hold whatever its size; keeps sweeps of small windows rare."""


class AckTracker:
    """Which offsets of one partition are delivered and not finished, for one reader.

    Lives as long as one assignment of the partition: after a rebalance or a seek there is a new
    one.

    Example:
        >>> tracker = AckTracker(10)
        >>> tracker.deliver_many([10, 15, 16])
        >>> tracker.ack(10), tracker.ack(16), tracker.safe
        (True, True, 15)
        >>> tracker.ack(15), tracker.safe
        (True, 17)

    Args:
        position: Offset at which reading starts; what is below it is somebody else's.

    Attributes:
        high: Position after the last delivery, or further, if `advance` said so.
    """

    __slots__ = ("_pending", "_window", "high")

    def __init__(self, position: int = 0) -> None:
        if position < 0:
            raise ValueError(f"position: expected an offset of 0 or more, got {position}")
        self.high: int = position
        self._pending: set[int] = set()
        self._window: deque[int] = deque()

    def __repr__(self) -> str:
        return f"<AckTracker safe={self.safe} high={self.high} unfinished={self.unfinished}>"

    @property
    def safe(self) -> int:
        """The next offset that may be committed: everything below is finished or does not exist."""
        window = self._window
        return window[0] if window else self.high

    @property
    def unfinished(self) -> int:
        """How many delivered records are not finished."""
        return len(self._pending)

    def deliver(self, offset: int) -> None:
        """Note that the record at *offset* is handed out.

        Raises:
            ValueError: *offset* is below `high`; a commit may already have gone past it.
        """
        if offset < self.high:
            raise self._backwards(offset)
        window = self._window
        if len(window) > 2 * len(self._pending) + _SWEEP_FLOOR:
            self._sweep()
        self._pending.add(offset)
        window.append(offset)
        self.high = offset + 1

    def deliver_many(self, offsets: Sequence[int]) -> None:
        """Note that the records at *offsets* are handed out: `deliver` for each, but cheaper.

        Raises:
            ValueError: *offsets* do not ascend, or begin below `high`; then none of them is noted.
        """
        if not offsets:
            return
        if offsets[0] < self.high:
            raise self._backwards(offsets[0])
        if not all(map(lt, offsets, islice(offsets, 1, None))):
            raise ValueError(
                f"offsets of one delivery must ascend, got {list(islice(offsets, 20))}"
                f"{'...' if len(offsets) > 20 else ''}"
            )
        window = self._window
        if len(window) > 2 * len(self._pending) + _SWEEP_FLOOR:
            self._sweep()
        self._pending.update(offsets)
        window.extend(offsets)
        self.high = offsets[-1] + 1

    def advance(self, next_offset: int) -> None:
        """Move `high` to *next_offset*: up to there the log holds nothing more for us.

        A smaller *next_offset* changes nothing, since another actor may have been handed later
        records already.
        """
        self.high = max(self.high, next_offset)

    def ack(self, offset: int) -> bool:
        """Finish the record at *offset*.

        Returns:
            True when it was delivered and not finished before; False otherwise, and then nothing
            changes.
        """
        pending = self._pending
        if offset not in pending:
            return False
        pending.remove(offset)
        window = self._window
        if window[0] == offset:
            window.popleft()
            while window and window[0] not in pending:
                window.popleft()
        return True

    def ack_many(self, offsets: Iterable[int]) -> int:
        """Finish the records at *offsets*; return for how many `ack` would have been true."""
        pending = self._pending
        before = len(pending)
        pending.difference_update(offsets)
        window = self._window
        while window and window[0] not in pending:
            window.popleft()
        return before - len(pending)

    def finished(self, offset: int) -> bool:
        """Say whether the record at *offset* was delivered and is finished."""
        return offset < self.high and offset not in self._pending

    def _sweep(self) -> None:
        """Drop what is finished from the middle of the window."""
        pending = self._pending
        self._window = deque(offset for offset in self._window if offset in pending)

    def _backwards(self, offset: int) -> ValueError:
        return ValueError(
            f"offset {offset} was delivered after the position had reached {self.high}: "
            f"records of a partition must be delivered in ascending order, each once "
            f"(after a seek, start a new tracker)"
        )
