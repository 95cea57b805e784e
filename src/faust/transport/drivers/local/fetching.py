"""Reading partitions for one consumer: positions, pauses, whose turn it is.

Reading is done where the records are wanted, on the application's thread: SQLite's readers wait for
nobody, a fetch is a few hundred microseconds, and there is no queue between threads in which
records could grow stale. So a slice that `take` returns was assigned, wanted and next in line at
that very moment.

Of each partition at most one fetch (``max_fetch_size`` bytes, or one batch) is held, as bytes;
records are built slice by slice.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, dropwhile, islice

from faust.exceptions import OffsetOutOfRange, StorageError, UnknownTopic
from faust.messages import TP, Record, Slice
from faust.transport.base import ConsumerOptions
from faust.transport.drivers.batching import CorruptBatch, open_batch
from faust.transport.drivers.local.log import Ends, Log, Rows

__all__ = ["Fetching"]

logger: logging.Logger = logging.getLogger(__name__)

SLICES_AT_ONCE = 16
"""Slices that one `Fetching.take` builds at most: about half a millisecond of work."""
LOOK_AGAIN = 0.001
"""Seconds after which partitions that had nothing are asked again while others have plenty."""


class _Reader:
    """One partition."""

    __slots__ = ("gone", "id", "paused", "position", "slices", "tp")

    def __init__(self, tp: TP, id: int, position: int | None) -> None:
        self.tp = tp
        self.id = id
        """Negative: there is no such partition, so far."""
        self.position = position
        """None: the reset policy refuses to say where to begin."""
        self.paused = False
        self.gone = False
        """The topic was deleted, and we have said so."""
        self.slices: Iterator[Slice] | None = None


class Fetching:
    """The partitions one consumer reads.

    Arguments:
        log: The broker's log.
        options: Slice size, checksums, reset policy.
        reset_earliest: Says of a topic whether it always resets to the log start.
    """

    def __init__(
        self, log: Log, options: ConsumerOptions, reset_earliest: Callable[[str], bool]
    ) -> None:
        self._log = log
        self._options = options
        self._reset_earliest = reset_earliest
        self._generation = -1
        self._readers: dict[TP, _Reader] = {}
        self._turn: deque[_Reader] = deque()
        self._looked_at = 0.0
        self._before: dict[_Reader, int] = {}

    # -- what is read

    def assign(self, committed: Mapping[TP, int | None], generation: int) -> None:
        """Read these partitions from now on, and nothing else.

        They begin at the committed offset, where there is none by the reset policy. A partition
        that is not there is waited for.
        """
        self.clear()
        self._generation = generation
        for number, (tp, offset) in enumerate(sorted(committed.items())):
            reader = self._readers[tp] = _Reader(tp, ~number, offset)
            self._find(reader)
        ends = self._log.look_ends([reader.id for reader in self._readers.values()])
        for reader in self._readers.values():
            found = ends.get(reader.id)
            if reader.position is None and found is not None:
                reader.position = self._start(reader.tp, found)
        self._turn.extend(self._readers.values())

    def clear(self) -> None:
        """Forget everything."""
        self._readers = {}
        self._turn.clear()

    def seek(self, offsets: Mapping[TP, int]) -> None:
        """Go on at *offsets*; what was fetched is dropped.

        Raises:
            ValueError: A partition is not assigned, or an offset negative; nothing was done.
        """
        for tp, offset in offsets.items():
            self._reader(tp)
            if offset < 0:
                raise ValueError(f"cannot seek {tp.topic}[{tp.partition}] to offset {offset}")
        for tp, offset in offsets.items():
            reader = self._readers[tp]
            reader.position, reader.slices = offset, None

    def pause(self, tps: Collection[TP]) -> None:
        """Stop reading *tps*; what is not assigned is passed over."""
        for tp in tps:
            if tp in self._readers:
                self._readers[tp].paused = True

    def resume(self, tps: Collection[TP]) -> None:
        """Read *tps* again."""
        for tp in tps:
            if tp in self._readers:
                self._readers[tp].paused = False

    def position(self, tp: TP) -> int:
        """Return the offset of the next record that `take` will return.

        Raises:
            OffsetOutOfRange: There is none, and the reset policy is ``none``.
            ValueError: The partition is not assigned.
        """
        reader = self._reader(tp)
        if reader.position is None:
            reader.position = self._reset(reader, Ends(*self._ends_of(reader)))
        return reader.position

    def _reader(self, tp: TP) -> _Reader:
        reader = self._readers.get(tp)
        if reader is None:
            raise ValueError(f"{tp.topic}[{tp.partition}] is not assigned to this consumer")
        return reader

    def _ends_of(self, reader: _Reader) -> Ends:
        found = self._log.look_ends([reader.id]).get(reader.id)
        if found is None:
            raise UnknownTopic(f"{reader.tp.topic}[{reader.tp.partition}] was deleted")
        return found

    # -- reading

    def take(self) -> list[Slice]:
        """Build the next slices, of partitions in turn.

        Raises:
            OffsetOutOfRange: A position is not in the log, and the reset policy is ``none``.
            StorageError: A stored batch is damaged.
        """
        self._before.clear()
        try:
            self._fetch(hurry=False)
            found = self._in_turn()
            if not found:
                self._fetch(hurry=True)
                found = self._in_turn()
        except BaseException:
            self.untake()  # what was built of other partitions is handed to nobody
            raise
        return found

    def untake(self) -> None:
        """Take back the slices of the last `take`: they will come again."""
        for reader, position in self._before.items():
            reader.position, reader.slices = position, None

    def _in_turn(self) -> list[Slice]:
        found: list[Slice] = []
        turn = self._turn
        idle = 0
        while len(found) < SLICES_AT_ONCE and idle < len(turn):
            reader = turn[0]
            turn.rotate(-1)
            piece = None if reader.slices is None or reader.paused else self._next(reader)
            if piece is None:
                idle += 1
                continue
            idle = 0
            assert reader.position is not None
            self._before.setdefault(reader, reader.position)
            reader.position = piece.next_offset
            found.append(piece)
        return found

    def _next(self, reader: _Reader) -> Slice | None:
        assert reader.slices is not None
        try:
            piece = next(reader.slices, None)
        except CorruptBatch as exc:
            raise StorageError(
                f"the log of {reader.tp.topic}[{reader.tp.partition}] is damaged near offset "
                f"{reader.position}: {exc}. Nothing is passed over in silence: seek beyond it, or "
                "delete the records up to there, to go on without them"
            ) from exc
        if piece is None:
            reader.slices = None
        return piece

    def _fetch(self, *, hurry: bool) -> None:
        """Fetch for partitions that have nothing at hand; unless in a *hurry* not too often."""
        empty = {r.id: r for r in self._turn if r.slices is None and not r.paused}
        if not empty:
            return
        now = time.monotonic()
        if not hurry and now < self._looked_at + LOOK_AGAIN:
            return
        self._looked_at = now
        # The ends are read before the rows: what is missing below an end was compacted away.
        found = self._log.look_ends(empty)
        for id, reader in empty.items():
            ends = found.get(id)
            if ends is None:
                self._find(reader)
                ends = self._log.look_ends([reader.id]).get(reader.id)
                if ends is not None and id >= 0:
                    reader.position = ends.start
            if ends is None:
                continue
            if reader.position is None or not ends.start <= reader.position <= ends.next:
                reader.position = self._reset(reader, ends)
            if reader.position < ends.next:
                self._fetch_one(reader, ends)

    def _find(self, reader: _Reader) -> None:
        """Look up the number of a partition; its topic may have been deleted, and made anew.

        In a group what was made anew waits for the next generation: no offset comes twice in one.
        """
        try:
            found = self._log.look_id(reader.tp)
        except UnknownTopic as exc:
            if not reader.gone:
                reader.gone = True
                logger.warning("Cannot go on reading: %s", exc)
            return
        reader.gone = False
        if reader.id < 0 or self._generation < 0:
            reader.id = found

    def _fetch_one(self, reader: _Reader, ends: Ends) -> None:
        position = reader.position
        assert position is not None
        rows = self._log.look_rows(reader.id, position, self._options.max_fetch_size)
        if not rows or rows[0].base > position:
            now = self._log.look_ends([reader.id]).get(reader.id)
            if now is None or now.start > position:  # topic or records were deleted just now
                return
        reader.slices = self._slices(reader.tp, rows, position, ends.next)

    def _slices(self, tp: TP, rows: Rows, position: int, end: int) -> Iterator[Slice]:
        """Cut what was fetched into slices; small batches share one."""
        generation, size = self._generation, self._options.slice_size
        if rows:
            end = rows[-1].end
        records = chain.from_iterable(self._opened(rows, position))
        while True:
            found = list(islice(records, size))
            if len(found) == size:
                position = found[-1].offset + 1
                yield Slice(tp, generation, found, position)
                continue
            if found or position < end:
                yield Slice(tp, generation, found, end)
            return

    def _opened(self, rows: Rows, start: int) -> Iterator[Iterator[Record]]:
        check = self._options.check_crcs
        for base, _, data in rows:
            batch: Iterator[Record] = chain(open_batch(data, check_crc=check))
            if base < start:
                yield dropwhile(lambda record: record.offset < start, batch)
            else:
                yield batch

    # -- waiting

    def waiting_for(self) -> dict[int, int]:
        """Return where partitions go on from which `take` has nothing: number -> position."""
        return {
            reader.id: reader.position or 0
            for reader in self._turn
            if reader.slices is None and not reader.paused
        }

    # -- where to begin

    def _start(self, tp: TP, ends: Ends) -> int | None:
        policy = "earliest" if self._reset_earliest(tp.topic) else self._options.auto_offset_reset
        return {"earliest": ends.start, "latest": ends.next}.get(policy)

    def _reset(self, reader: _Reader, ends: Ends) -> int:
        start = self._start(reader.tp, ends)
        if start is None:
            position = reader.position
            what = "no committed offset" if position is None else f"offset {position} is not there"
            raise OffsetOutOfRange(
                f"{reader.tp.topic}[{reader.tp.partition}]: {what} (the log has {ends.start} to "
                f"{ends.next}), and auto_offset_reset is 'none': seek, or choose 'earliest' or "
                "'latest'"
            )
        if reader.position is not None:
            logger.warning(
                "%s[%s]: offset %s is not in the log (%s to %s); going on at %s",
                reader.tp.topic,
                reader.tp.partition,
                reader.position,
                ends.start,
                ends.next,
                start,
            )
        return start
