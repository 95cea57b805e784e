"""What the log may forget: retention, compaction, deleted records and topics.

Names and meanings are Kafka's.

*Retention* drops whole batches from the start of a partition. *Compaction* keeps, of each key, the
last record; offsets stay what they are; records without a key are kept; a tombstone (a key without
a value) goes when it has been in the log for ``delete.retention.ms``. What is left of neighbouring
batches is put together, so that a compacted log is read fast, however it was written.

All of it is long work in short steps (`database.LongWork`): between two steps heartbeats are sent,
records appended, and other processes write. So a step may trust nothing that was read before it:
one that replaces batches looks first whether they are what they were, and lets them be if not; no
tombstone goes after that, for what it has deleted may be among them.

Compaction holds the keys of one partition in memory while it runs. It starts by itself when as many
records have come as it had left the last time, at least `COMPACT_AFTER`; ``partitions.cleaned``
says how far it came, and whoever moves it does the work, so that of several processes one does.
"""

from __future__ import annotations

import json
import logging
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from faust.exceptions import StorageError, UnknownTopic
from faust.messages import TP, Record
from faust.transport.drivers.batching import HEADER_SIZE, CorruptBatch, open_batch, seal
from faust.transport.drivers.local.database import Database, LongWork
from faust.transport.drivers.local.log import OFFSET_BITS, Log
from faust.transport.drivers.local.topicconfig import TopicConfig

__all__ = ["clean", "compact_topic", "delete_records", "drop_partitions"]

logger: logging.Logger = logging.getLogger(__name__)

COMPACT_AFTER = 10_000
"""Records appended since the last time, at least, before a partition is compacted by itself."""
ROWS_PER_STEP = 500
BYTES_PER_STEP = 512 * 1024
MERGED_BYTES = 64 * 1024
"""Neighbouring batches are put together up to about this size."""
LONGEST_BATCH = 2**31 - 1
"""Offsets that one batch may span (KIP-98)."""

_OFFSETS = (1 << OFFSET_BITS) - 1
_SELECT = "SELECT id, base, stamp, written, data FROM batches WHERE id>=? AND id<? ORDER BY id"


class _Stored(NamedTuple):
    """A row of ``batches``."""

    key: int
    base: int
    stamp: int
    written: int
    data: bytes


class _Partition(NamedTuple):
    """A partition as it was when we looked.

    Every step names it by its number, which is never used again: so nothing is done to a topic that
    was made anew under the same name.
    """

    tp: TP
    id: int
    end: int
    config: TopicConfig


# -- all topics, now and then


def clean(database: Database, log: Log) -> LongWork[None]:
    """Do what is due on all topics."""
    for topic in log.topics():
        for partition in _partitions(database, topic):
            yield from _expire(database, partition)
            if partition.config.compact and (
                yield partial(_claim, database, partition.id, unless_little=True)
            ):
                try:
                    yield from _compact(database, partition)
                except StorageError as exc:  # of one partition; the others are cleaned all the same
                    logger.error("%s", exc)
        yield None
    yield from _drop_orphans(database)


def compact_topic(database: Database, log: Log, topic: str) -> LongWork[None]:
    """Compact a topic, and drop what its retention no longer keeps.

    Raises:
        UnknownTopic: There is no such topic.
    """
    if log.partitions(topic) is None:
        raise UnknownTopic(f"there is no topic {topic!r}")
    for partition in _partitions(database, topic):
        yield from _expire(database, partition)
        yield partial(_claim, database, partition.id, unless_little=False)
        yield from _compact(database, partition)


def _partitions(database: Database, topic: str) -> Iterator[_Partition]:
    """Look up the partitions of a topic, each when its turn comes."""
    number = 0
    while rows := database.read(
        "SELECT p.id, p.next, t.config FROM partitions p JOIN topics t ON t.name = p.topic"
        " WHERE p.topic=? AND p.number=?",
        topic,
        number,
    ):
        id, end, config = rows[0]
        yield _Partition(TP(topic, number), id, end, TopicConfig.of(json.loads(config)))
        number += 1


# -- the start of a partition


def delete_records(database: Database, log: Log, before: Mapping[TP, int]) -> LongWork[None]:
    """Move log starts forward.

    Raises:
        UnknownTopic: There is no such partition; nothing was done.
    """
    ids = {tp: log.id_of(tp) for tp in before}
    for tp, offset in before.items():
        yield from _move_start(database, ids[tp], offset)


def _move_start(database: Database, id: int, before: int) -> LongWork[None]:
    """Move a log start forward at once, then drop what is before it."""
    yield partial(
        database.write,
        "UPDATE partitions SET start=max(start, min(next, ?)) WHERE id=?",
        (before, id),
    )
    rows = database.read("SELECT start FROM partitions WHERE id=?", id)
    if rows:
        yield from _drop_rows(database, id << OFFSET_BITS, (id << OFFSET_BITS) + rows[0][0])


def _drop_rows(database: Database, first: int, beyond: int) -> LongWork[None]:
    dropped = ROWS_PER_STEP
    while dropped == ROWS_PER_STEP:
        dropped = yield partial(
            database.write,
            "DELETE FROM batches WHERE id IN"
            " (SELECT id FROM batches WHERE id>=? AND id<? ORDER BY id LIMIT ?)",
            (first, beyond, ROWS_PER_STEP),
        )


def _expire(database: Database, partition: _Partition) -> LongWork[None]:
    """Drop batches beyond the topic's retention by time or size."""
    config = partition.config
    if not config.delete or config.retention_ms < 0 > config.retention_bytes:
        return
    first = partition.id << OFFSET_BITS
    keep = max(_kept_by_time(database, first, config), _kept_by_size(database, first, config))
    # Not beyond the end as it was *before* we looked: what has come since is judged next time.
    keep = min(keep, partition.end)
    if keep:
        yield from _move_start(database, partition.id, keep)


def _kept_by_time(database: Database, first: int, config: TopicConfig) -> int:
    """Return the first offset of the first batch that is young enough."""
    if config.retention_ms < 0:
        return 0
    horizon = time.time_ns() // 1_000_000 - config.retention_ms
    rows = database.read(
        "SELECT base FROM batches WHERE id>=? AND id<=? AND stamp>=? ORDER BY id LIMIT 1",
        first,
        first | _OFFSETS,
        horizon,
    )
    return int(rows[0][0]) if rows else _OFFSETS


def _kept_by_size(database: Database, first: int, config: TopicConfig) -> int:
    """Return the first offset of the newest batches that together are small enough."""
    if config.retention_bytes < 0:
        return 0
    room = config.retention_bytes
    keep = _OFFSETS
    rows = database.read(
        "SELECT base, length(data) FROM batches WHERE id>=? AND id<=? ORDER BY id DESC",
        first,
        first | _OFFSETS,
    )
    for base, size in rows:
        room -= size
        if room < 0:
            return keep
        keep = base
    return 0


# -- deleted topics


def drop_partitions(database: Database, ids: Sequence[int]) -> LongWork[None]:
    """Drop the records of partitions that are no more."""
    for id in ids:
        yield from _drop_rows(database, id << OFFSET_BITS, (id + 1) << OFFSET_BITS)


def _drop_orphans(database: Database) -> LongWork[None]:
    """Finish what a process that died has begun."""
    known = {id for (id,) in database.read("SELECT id FROM partitions")}
    at = 0
    while rows := database.read("SELECT id FROM batches WHERE id>=? ORDER BY id LIMIT 1", at):
        id = rows[0][0] >> OFFSET_BITS
        at = (id + 1) << OFFSET_BITS
        if id not in known and not database.read("SELECT 1 FROM partitions WHERE id=?", id):
            yield from drop_partitions(database, [id])
        yield None


# -- compaction


def _claim(database: Database, id: int, *, unless_little: bool) -> bool:
    """Take the work of compacting a partition; False: there is little to do, or somebody does it."""
    enough = " AND next - cleaned >= max(?, kept)" if unless_little else " AND ? >= 0"
    return bool(
        database.write(
            f"UPDATE partitions SET cleaned=next WHERE id=?{enough}",  # noqa: S608
            (id, COMPACT_AFTER),
        )
    )


def _compact(database: Database, partition: _Partition) -> LongWork[None]:
    """Keep the last record of each key."""
    tp, id, end, config = partition
    now = time.time_ns() // 1_000_000
    young = now - config.min_compaction_lag_ms
    newest: dict[bytes, int] = {}
    for group in _neighbours(_stored(database, id, end), now):
        for stored in group:
            for record in _records(tp, stored):
                if record.key is not None:
                    newest[record.key] = record.offset
        yield None
    horizon = now - config.delete_retention_ms
    kept, complete = 0, True
    for group in _neighbours(_stored(database, id, end), young):
        records = [
            record
            for stored in group
            for record in _records(tp, stored)
            if _is_kept(record, newest, tombstones=stored.written > horizon or not complete)
        ]
        kept += len(records)
        if (yield _replacing(database, group, records)) is False:
            complete = False  # an older record may have stayed: its tombstone stays, too
    yield partial(database.write, "UPDATE partitions SET kept=? WHERE id=?", (kept, id))


def _stored(database: Database, id: int, end: int) -> Iterator[_Stored]:
    """Read the batches of a partition below *end*."""
    at, beyond = id << OFFSET_BITS, (id << OFFSET_BITS) + end
    while True:
        room = BYTES_PER_STEP

        def enough(row: tuple[Any, ...]) -> bool:
            nonlocal room
            room -= len(row[4]) + 100
            return room < 0

        rows = database.look_until(enough, _SELECT, at, beyond)
        if not rows:
            return
        at = rows[-1][0] + 1
        yield from map(_Stored._make, rows)


def _records(tp: TP, stored: _Stored) -> Iterator[Record]:
    try:
        yield from open_batch(stored.data)
    except CorruptBatch as exc:
        raise StorageError(
            f"the log of {tp.topic}[{tp.partition}] is damaged at offset {stored.base}, and is not "
            f"compacted: {exc}"
        ) from exc


def _neighbours(rows: Iterator[_Stored], young: int) -> Iterator[list[_Stored]]:
    """Put neighbouring batches together, up to the first that is too young to be compacted."""
    group: list[_Stored] = []
    size = 0
    for stored in rows:
        if stored.written > young:
            break
        if group and (
            len(group) == ROWS_PER_STEP
            or size + len(stored.data) > BYTES_PER_STEP
            or (stored.key & _OFFSETS) - group[0].base > LONGEST_BATCH
            or _log_append_time(stored.data)
            or _log_append_time(group[0].data)
        ):
            yield group
            group, size = [], 0
        group.append(stored)
        size += len(stored.data)
    if group:
        yield group


def _log_append_time(data: bytes) -> bool:
    return bool(data[22] & 0x08)


def _is_kept(record: Record, newest: Mapping[bytes, int], *, tombstones: bool) -> bool:
    if record.key is None:
        return True
    # a record that came after the keys were read is not ours to judge
    if newest.get(record.key, -1) > record.offset:
        return False
    return record.value is not None or tombstones


def _replacing(
    database: Database, group: list[_Stored], records: list[Record]
) -> Callable[[], bool] | None:
    """Return the step that writes what is kept of a group, and says False when it did not; None: there is nothing to do."""
    offsets = sum(int.from_bytes(stored.data[57:61], "big") for stored in group)
    small = len(group) > 1 and any(len(stored.data) < MERGED_BYTES // 2 for stored in group)
    if len(records) == offsets and not small:
        return None
    rows = _rebuilt(group, records)

    def replace() -> bool:
        found = database.read(
            "SELECT id, base, length(data) FROM batches WHERE id>=? AND id<=? ORDER BY id",
            group[0].key,
            group[-1].key,
        )
        if found != [(stored.key, stored.base, len(stored.data)) for stored in group]:
            return False  # somebody else was here
        keep = {row.key: row for row in rows}
        for stored in group:
            row = keep.get(stored.key)
            if row is None:
                database.write("DELETE FROM batches WHERE id=?", (stored.key,))
            else:  # not an insertion: those are for the end of the log
                database.write(
                    "UPDATE batches SET base=?, stamp=?, written=?, data=? WHERE id=?",
                    (row.base, row.stamp, row.written, row.data, row.key),
                )
        return True

    return replace


def _rebuilt(group: list[_Stored], records: list[Record]) -> list[_Stored]:
    """Return the batches that hold *records* in place of those of *group*.

    Each takes the key of one of the old batches, the last of those whose records it holds.
    """
    rows: list[_Stored] = []
    at = 0
    chunk: list[Record] = []
    first = 0
    size = 0
    for index, stored in enumerate(group):
        last = stored.key & _OFFSETS
        while at < len(records) and records[at].offset <= last:
            record = records[at]
            chunk.append(record)
            size += len(record.key or b"") + len(record.value or b"") + 20
            at += 1
        if chunk and (size >= MERGED_BYTES or index == len(group) - 1):
            rows.append(_batch(group[first : index + 1], chunk))
            chunk, size, first = [], 0, index + 1
    return rows


def _largest_size(record: Record) -> int:
    headers: Any = record.headers
    size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(record.key, record.value, headers)
    return size


def _batch(old: Sequence[_Stored], records: Sequence[Record]) -> _Stored:
    """Make one batch of records that keep their offsets and timestamps."""
    base, last = old[0].base, old[-1].key & _OFFSETS
    stamped = _log_append_time(old[-1].data)
    # uncompressed they may be a thousand times as large as they were
    room = HEADER_SIZE + sum(map(_largest_size, records))
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, room)
    for record in records:
        headers: Any = record.headers
        place = builder.append(
            record.offset - base, record.timestamp, record.key, record.value, headers
        )
        assert place is not None
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    struct.pack_into(">i", data, 23, last - base)
    if stamped:
        data[22] |= 0x08
        struct.pack_into(">q", data, 35, old[-1].stamp)
    seal(data)
    stamp = max(record.timestamp for record in records)
    return _Stored(old[-1].key, base, stamp, max(stored.written for stored in old), bytes(data))
