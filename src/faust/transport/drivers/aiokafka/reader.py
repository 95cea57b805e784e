"""From fetched bytes to records: two readers that give the same.

aiokafka makes a ``ConsumerRecord`` of ten fields per record, which costs more than everything else on the way. The
`FastReader` hands out the records of the compiled batch reader as they are (hot-path.md, sections 2 and 3.9). For that
it looks into aiokafka's fetcher; `fast_reader_works` reads a batch both ways once per process, and when the
internals differ from what is expected here the `PublicReader` does the work with the public ``getmany``.

Rules both keep: a run is some batches of one partition, and gives its records in offset order; markers and aborted records
are left out, batch by batch; the next offset may lie beyond the last record (compaction, markers).
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Protocol, TypeAlias

from aiokafka.consumer.fetcher import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    FetchError,
    FetchResult,
    PartitionRecords,
)
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

__all__ = ["FastReader", "PublicReader", "Reader", "Run", "fast_reader_works", "make_reader"]

logger: logging.Logger = logging.getLogger(__name__)


Batch: TypeAlias = tuple[Iterator[Any], int]
"""The records of a batch, and the offset after it."""


class Run:
    """Some consecutive batches of one partition, on their way to the application's thread, which makes records of them.

    What one thread makes, and the other keeps and frees, costs three times as much: the client's thread only looks at the
    heads of batches.

    Attributes:
        start: The position before them.
        end: The position after them.
        position: The offset of the next record to be cut off.
    """

    __slots__ = ("_batch_end", "_batches", "_records", "end", "position", "start")

    def __init__(self, batches: Iterable[Batch], start: int, end: int) -> None:
        self.start: int = start
        self.end: int = end
        self.position: int = start
        self._batches = iter(batches)
        self._records: Iterator[Any] | None = None
        self._batch_end = start

    @property
    def done(self) -> bool:
        """Nothing is left."""
        return self.position >= self.end

    @property
    def span(self) -> int:
        """How many offsets lie between begin and end."""
        return self.end - self.start

    def cut(self, size: int) -> list[Any]:
        """Return the next records, at most *size*; moves `position`."""
        found: list[Any] = []
        while len(found) < size:
            if self._records is None and not self._open_next():
                break
            wanted = size - len(found)
            some = list(islice(self._records, wanted))  # type: ignore[arg-type]
            ended = len(some) < wanted
            if some and some[0].offset < self.position:
                # The broker sends whole batches, from the one that holds the wanted offset on.
                some = [record for record in some if record.offset >= self.position]
            if some:
                self.position = some[-1].offset + 1
                found = found + some if found else some
            if ended:
                self._records = None
                self.position = max(self.position, self._batch_end)
        return found

    def _open_next(self) -> bool:
        following = next(self._batches, None)
        if following is None:
            self.position = max(self.position, self.end)
            return False
        self._records, self._batch_end = following
        return True


class Reader(Protocol):
    """Reads what the client has fetched. Lives in the client thread."""

    def waiting(self) -> Sequence[Any]:
        """Return the partitions that may have something to read."""
        ...

    def read(self, tp: Any, size: int) -> Run | None:
        """Read whole batches of *tp*, until they span *size* offsets.

        Returns:
            None when nothing is there, or when the position does not move.

        Raises:
            aiokafka.errors.KafkaError: what the broker answered for this partition.
        """
        ...


def make_reader(consumer: Any) -> Reader:
    """Return the fast reader of a started aiokafka consumer, else the public one."""
    if fast_reader_works():
        return FastReader(consumer._fetcher)
    return PublicReader(consumer)


# -- by aiokafka's public method


class PublicReader:
    """Reads with ``AIOKafkaConsumer.getmany``."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._positions: dict[Any, tuple[Any, int]] = {}

    def waiting(self) -> Sequence[Any]:
        """Return all partitions: only ``getmany`` knows."""
        return tuple(self._consumer.assignment())

    def read(self, tp: Any, size: int) -> Run | None:
        """Read at most *size* records of *tp*."""
        subscription = self._consumer._subscription
        if subscription.reassignment_in_progress:
            return None
        state = subscription.subscription.assignment.state_value(tp)
        start = state.position if state is not None and state.has_valid_position else None
        found = _at_once(self._consumer.getmany(tp, timeout_ms=0, max_records=size))
        if start is None or not state.has_valid_position:
            return None
        records = found.get(tp, ())
        end = state.position
        return None if end == start else Run([(iter(records), end)], start, end)


def _at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that waits for nothing: ``getmany`` without patience."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("aiokafka's getmany waits although it was told not to")


# -- by looking into the fetcher


class _Cursor:
    """How far one fetched run of batches has been read."""

    __slots__ = ("_source", "damaged", "entry", "exhausted", "position")

    def __init__(self, entry: Any) -> None:
        self.entry = entry
        self.exhausted = False
        self.damaged: CorruptRecordException | None = None
        self._source = entry._partition_records
        self.position: int = self._source.next_fetch_offset

    def take(self, size: int) -> list[Batch]:
        """Return the next batches, until they span *size* offsets; moves ``position``.

        Raises:
            CorruptRecordException: the next batch is damaged. What stands before it was returned by then.
        """
        if self.damaged is not None:
            raise self.damaged
        found: list[Batch] = []
        source, batches, enough = self._source, self._source._records, self.position + size
        while self.position < enough:
            if not batches.has_next():
                self.exhausted = True
                break
            batch = batches.next_batch()
            if source._check_crcs and not batch.validate_crc():
                tp = source._tp
                self.damaged = CorruptRecordException(
                    f"the checksum of the batch at {tp.topic}[{tp.partition}] offset {batch.base_offset} is wrong"
                )
                if found:
                    break
                raise self.damaged
            if not self._is_left_out(batch):
                found.append((_opened(batch), batch.next_offset))
            self.position = max(self.position, batch.next_offset)
        return found

    def _is_left_out(self, batch: Any) -> bool:
        """Say whether it is a marker, or belongs to an aborted transaction (KIP-98)."""
        source = self._source
        if source._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            source._consume_aborted_up_to(batch.base_offset)
            aborted = source._aborted_producers
            if batch.is_control_batch:
                if source._contains_abort_marker(batch):
                    aborted.discard(batch.producer_id)
            elif batch.is_transactional and batch.producer_id in aborted:
                return True
        return bool(batch.is_control_batch)


def _opened(batch: Any) -> Iterator[Any]:
    """Return the records of *batch*, as something that may be sliced again and again: a compiled batch may be iterated once only.

    What is compressed is expanded here, in the client's thread.
    """
    records = chain(batch)
    if getattr(batch, "compression_type", True):  # those of before KIP-98 do not tell
        return chain(tuple(islice(records, 1)), records)
    return records


class FastReader:
    """Reads the batches that aiokafka's fetcher holds."""

    def __init__(self, fetcher: Any) -> None:
        self._fetcher = fetcher
        self._cursors: dict[Any, _Cursor] = {}

    def waiting(self) -> Sequence[Any]:
        """Return the partitions with something fetched, or an error."""
        return tuple(self._fetcher._records)

    def read(self, tp: Any, size: int) -> Run | None:
        """Read whole batches of *tp*, until they span *size* offsets."""
        entry = self._fetcher._records.get(tp)
        if entry is None:
            return None
        if type(entry) is not FetchResult:
            self._drop(tp)
            entry.check_raise()
        cursor = self._cursors.get(tp)
        if cursor is None or cursor.entry is not entry:
            cursor = self._cursors[tp] = _Cursor(entry)
        assignment = entry._assignment
        state = assignment.state_value(tp)
        start = cursor.position
        if not assignment.active or not state.has_valid_position or state.position != start:
            self._drop(tp)
            return None
        if state.paused:
            return None
        try:
            batches = cursor.take(size)
        except Exception:
            self._drop(tp)
            raise
        end = cursor.position
        cursor._source.next_fetch_offset = end
        if end != start:
            state.consumed_to(end)
        if cursor.exhausted:
            self._drop(tp)
        return Run(batches, start, end) if end != start else None

    def _drop(self, tp: Any) -> None:
        """Forget what was fetched; the fetcher may ask for more."""
        self._cursors.pop(tp, None)
        del self._fetcher._records[tp]
        self._fetcher.consumed()


# -- is the fast reader safe to use?

_verdict: bool | None = None


def fast_reader_works() -> bool:
    """Read a batch both ways, once per process; False when anything differs, which is logged."""
    global _verdict
    if _verdict is None:
        try:
            _verdict = _reads_alike()
        except Exception as error:
            logger.warning("aiokafka's fetcher is not as expected: %r", error)
            _verdict = False
        if not _verdict:
            logger.warning(
                "records are read with aiokafka's getmany, which takes about three times as long: "
                "is this aiokafka version supported?"
            )
    return _verdict


def _reads_alike() -> bool:
    tp = TopicPartition("check", 0)
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10_000)
    for number in range(5):
        builder.append(number, 1000 + number, b"k", b"value", [("h", b"x")])
    data = bytes(builder.build())
    FetchError(error=CorruptRecordException(), backoff=0.0).check_raise  # noqa: B018 - must exist

    def fetched(isolation: int) -> Any:
        return PartitionRecords(tp, MemoryRecords(data), None, 2, None, None, True, isolation)

    for isolation in (READ_COMMITTED, READ_UNCOMMITTED):
        slow = fetched(isolation)
        expected = [(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in slow]
        result = FetchResult(tp, assignment=None, partition_records=fetched(isolation), backoff=0.0)
        cursor = _Cursor(result)
        run = Run(cursor.take(6), 2, cursor.position)
        fast = [
            (r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
            for _ in range(3)
            for r in run.cut(2)
        ]
        if fast != expected or run.position != slow.next_fetch_offset or not cursor.exhausted:
            return False
    return len(expected) == 3
