"""Reading partitions for one consumer, in the broker's thread: positions, pauses, slices ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator

from faust.exceptions import OffsetOutOfRange
from faust.messages import TP, Slice
from faust.transport.base import ConsumerOptions
from faust.transport.drivers.batching import batch_slices, open_batch
from faust.transport.drivers.local.storage import Storage

__all__ = ["Fetching"]

AHEAD = 48
"""Slices built ahead of `take`, of all partitions together."""
BATCHES = 8
"""Record batches read from the database at once, per partition."""


class Fetching:
    """The partitions one consumer reads.

    Arguments:
        storage: The broker's log.
        options: Slice size, checksums, reset policy.
        reset_earliest: Topics that always reset to the log start.
    """

    def __init__(
        self, storage: Storage, options: ConsumerOptions, reset_earliest: Callable[[str], bool]
    ) -> None:
        self.storage = storage
        self.options = options
        self.reset_earliest = reset_earliest
        self.generation: int = -1
        self.positions: dict[TP, int] = {}
        self.paused: set[TP] = set()
        self.ready: deque[Slice] = deque()
        self._reading: dict[TP, Iterator[Slice]] = {}
        self._fetched: dict[TP, int] = {}
        self._turn: deque[TP] = deque()
        self._at_end: set[TP] = set()

    def assign(self, positions: dict[TP, int], generation: int) -> None:
        """Read these partitions from now on, and nothing else."""
        self.clear()
        self.generation = generation
        self.positions = dict(positions)
        self._fetched = dict(positions)
        self._turn = deque(sorted(positions))
        self._at_end.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.positions = {}
        self.paused.clear()
        self.ready.clear()
        self._reading.clear()
        self._fetched.clear()
        self._turn.clear()

    def seek(self, tp: TP, offset: int) -> None:
        """Go on at *offset*; what was built ahead is dropped."""
        self.positions[tp] = self._fetched[tp] = offset
        self._reading.pop(tp, None)
        self._at_end.discard(tp)
        self._drop_ready({tp})

    def pause(self, tps: Collection[TP]) -> None:
        """Stop reading *tps*; what was built ahead is read again later."""
        tps = {tp for tp in tps if tp in self.positions}
        self.paused |= tps
        for tp in tps:
            self._reading.pop(tp, None)
            self._fetched[tp] = self.positions[tp]
        self._drop_ready(tps)

    def resume(self, tps: Collection[TP]) -> None:
        """Read *tps* again."""
        self.paused -= set(tps)
        self._at_end -= set(tps)

    def _drop_ready(self, tps: set[TP]) -> None:
        if any(batch.tp in tps for batch in self.ready):
            self.ready = deque(batch for batch in self.ready if batch.tp not in tps)

    def taken(self) -> list[Slice]:
        """Give out what is ready; positions move with it."""
        slices = list(self.ready)
        self.ready.clear()
        for batch in slices:
            self.positions[batch.tp] = batch.next_offset
        return slices

    def fill(self, *, changed: bool) -> bool:
        """Build slices ahead, partition by partition in turn; True when there are any."""
        if changed:
            self._at_end.clear()
        idle = 0
        turn = self._turn
        while len(self.ready) < AHEAD and idle < len(turn):
            tp = turn[0]
            turn.rotate(-1)
            batch = None if tp in self.paused or tp in self._at_end else self._next(tp)
            if batch is None:
                idle += 1
                continue
            idle = 0
            if batch.records or batch.next_offset > self._fetched[tp]:
                self._fetched[tp] = batch.next_offset
                self.ready.append(batch)
        return bool(self.ready)

    def _next(self, tp: TP) -> Slice | None:
        reading = self._reading.get(tp)
        if reading is not None:
            batch = next(reading, None)
            if batch is not None:
                return batch
            del self._reading[tp]
        end = self._in_range(tp)  # read before the rows: another process may append in between
        rows = self.storage.fetch(tp, self._fetched[tp], BATCHES)
        if not rows:
            self._at_end.add(tp)
            # What is missing below that end was compacted away.
            return Slice(tp, self.generation, [], end) if end > self._fetched[tp] else None
        self._reading[tp] = self._slices(tp, rows)
        return next(self._reading[tp], None)

    def _slices(self, tp: TP, rows: list[tuple[int, bytes]]) -> Iterator[Slice]:
        start = self._fetched[tp]
        for next_offset, data in rows:
            batch = open_batch(data, check_crc=self.options.check_crcs)
            last: Slice | None = None
            for piece in batch_slices(tp, self.generation, batch, start, self.options.slice_size):
                if last is not None:
                    yield last
                last = piece
            if last is None:
                last = Slice(tp, self.generation, [], next_offset)
            last.next_offset = next_offset
            yield last
            start = next_offset

    def _in_range(self, tp: TP) -> int:
        """Apply the reset policy to a position that is not in the log; return where the log ends.

        Raises:
            OffsetOutOfRange: The policy is ``none``.
        """
        start, end = self.storage.bounds(tp)
        position = self._fetched[tp]
        if not start <= position <= end:
            position = self.reset(tp, None if position < 0 else position)
            self.positions[tp] = self._fetched[tp] = position
        return end

    def start_of(self, tp: TP) -> int:
        """Return where to begin without a committed offset; -1: the policy refuses, which the next fetch says."""
        try:
            return self.reset(tp, None)
        except OffsetOutOfRange:
            return -1

    def reset(self, tp: TP, position: int | None) -> int:
        """Return where to begin without a usable offset."""
        start, end = self.storage.bounds(tp)
        policy = "earliest" if self.reset_earliest(tp.topic) else self.options.auto_offset_reset
        if policy == "earliest":
            return start
        if policy == "latest":
            return end
        what = "no committed offset" if position is None else f"offset {position} is not in the log"
        raise OffsetOutOfRange(
            f"{tp.topic}[{tp.partition}]: {what} ({start} to {end}), and auto_offset_reset is 'none': seek, or choose"
            " 'earliest' or 'latest'"
        )
