"""Retention and compaction: what the log may forget.

Retention drops whole batches from the start of a partition. Compaction keeps, of each key, the last record (offsets stay what
they are), and drops tombstones that are older than ``delete.retention.ms``; records without a key are kept. It runs when it
is asked for, and now and then by itself for topics with ``cleanup.policy=compact``. Names and meanings of the options are
Kafka's.
"""

from __future__ import annotations

import time
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from faust.messages import TP
from faust.transport.drivers.batching import open_batch
from faust.transport.drivers.local.storage import Storage

__all__ = ["clean", "compact", "expire"]

DELETE_RETENTION_MS = 86_400_000
COMPACT_AFTER = 20_000
"""Records appended since the last look, after which a compacted partition is compacted by itself."""


def clean(storage: Storage, done: dict[TP, int]) -> bool:
    """Do what is due on all topics; *done* remembers how far each partition is compacted. True: something was written."""
    wrote = False
    for topic, count in storage.topics().items():
        config = storage.config(topic)
        if "retention.ms" in config or "retention.bytes" in config:
            with storage.transaction():
                wrote |= expire(storage, topic)
        if "compact" in config.get("cleanup.policy", ""):
            for number in range(count):
                tp = TP(topic, number)
                _, end = storage.bounds(tp)
                if end - done.get(tp, 0) >= COMPACT_AFTER:
                    with storage.transaction():
                        compact_partition(storage, tp, config)
                    done[tp] = end
                    wrote = True
    return wrote


def expire(storage: Storage, topic: str) -> bool:
    """Drop batches beyond the topic's retention by time or size; True when there were any."""
    config = storage.config(topic)
    if "delete" not in config.get("cleanup.policy", "delete"):
        return False
    dropped = False
    for number in range(storage.partitions(topic) or 0):
        tp = TP(topic, number)
        start, _ = storage.bounds(tp)
        keep_from = max(_by_time(storage, tp, config), _by_size(storage, tp, config), start)
        if keep_from > start:
            storage.delete_records(tp, keep_from)
            dropped = True
    return dropped


def _by_time(storage: Storage, tp: TP, config: dict[str, str]) -> int:
    retention = int(config.get("retention.ms", -1))
    if retention < 0:
        return 0
    horizon = time.time_ns() // 1_000_000 - retention
    rows = storage.read(
        "SELECT min(base) FROM batches WHERE part=? AND stamp>=?", storage.part(tp), horizon
    )
    first = rows[0][0]
    return storage.bounds(tp)[1] if first is None else int(first)


def _by_size(storage: Storage, tp: TP, config: dict[str, str]) -> int:
    limit = int(config.get("retention.bytes", -1))
    if limit < 0:
        return 0
    total = 0
    rows = storage.read(
        "SELECT base, length(data) FROM batches WHERE part=? ORDER BY last DESC", storage.part(tp)
    )
    keep = storage.bounds(tp)[1]
    for base, size in rows:
        total += size
        if total > limit:
            break
        keep = base
    return int(keep)


def compact(storage: Storage, topic: str) -> None:
    """Compact all partitions of a topic."""
    config = storage.config(topic)
    for number in range(storage.partitions(topic) or 0):
        compact_partition(storage, TP(topic, number), config)


def compact_partition(storage: Storage, tp: TP, config: dict[str, str]) -> None:
    """Keep the last record of each key."""
    part = storage.part(tp)
    rows = storage.read(
        "SELECT base, last, stamp, data FROM batches WHERE part=? ORDER BY last", part
    )
    newest: dict[bytes, int] = {}
    for _, _, _, data in rows:
        for record in open_batch(data):
            if record.key is not None:
                newest[record.key] = record.offset
    horizon = time.time_ns() // 1_000_000 - int(
        config.get("delete.retention.ms", DELETE_RETENTION_MS)
    )
    for base, last, stamp, data in rows:
        records = list(open_batch(data))
        kept = [record for record in records if _is_kept(record, newest, horizon)]
        if len(kept) == len(records):
            continue
        storage.db.execute("DELETE FROM batches WHERE part=? AND last=?", (part, last))
        if kept:
            storage.db.execute(
                "INSERT INTO batches (part, base, last, stamp, data) VALUES (?, ?, ?, ?, ?)",
                (part, base, last, stamp, _rebuild(kept, base)),
            )


def _is_kept(record: Any, newest: dict[bytes, int], horizon: int) -> bool:
    key = record.key
    if key is None:
        return True
    if newest[key] != record.offset:
        return False
    return record.value is not None or record.timestamp >= horizon


def _rebuild(records: list[Any], base: int) -> bytearray:
    """Make a batch of records that keep their offsets."""
    size = sum(len(record.key or b"") + len(record.value or b"") + 200 for record in records)
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, size + 4096 * len(records))
    for record in records:
        builder.append(
            record.offset - base,
            record.timestamp,
            record.key,
            record.value,
            list(record.headers),
        )
    data: bytearray = builder.build()
    data[0:8] = base.to_bytes(8, "big")
    return data
