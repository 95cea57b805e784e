"""The log of the embedded broker: topics, partitions, record batches, committed offsets.

What is stored are Kafka's own record batches (message format v2, KIP-98), one row per batch; its
key is the partition's number shifted by 40 bits plus the offset of the batch's last record, so that
a fetch is a range of keys and a partition has room for 10**12 records. The base offset of a batch
stands outside its checksum: appending is writing eight bytes into the finished batch.

Appending is *optimistic*. The broker's thread remembers where each partition ends, numbers the
batches of many partitions accordingly, and inserts them with one statement, which is one
transaction; a trigger of the database moves the ends, and refuses a batch that does not fit to the
end as it is, because another process has appended meanwhile. Then the ends are read anew. So the
database is locked for as long as SQLite works, and never while Python waits for its turn.

Methods that write, or number, are called in the broker's thread; `look` in their names: in any
thread.
"""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from faust.exceptions import BrokerError, RecordTooLarge, UnknownTopic
from faust.messages import TP
from faust.transport.drivers.batching import seal
from faust.transport.drivers.local.database import Database
from faust.transport.drivers.local.topicconfig import TopicConfig, check_config
from faust.transport.tenure import Tenure

__all__ = ["OFFSET_BITS", "Appended", "Ends", "Log", "Outgoing", "Row", "Rows", "Withheld"]

OFFSET_BITS = 40
_OFFSETS = (1 << OFFSET_BITS) - 1

ROWS_AT_ONCE = 64
BYTES_AT_ONCE = 8 * 1024 * 1024
ATTEMPTS = 3
"""Optimistic ones, before the database is locked for reading and writing together."""

_INSERT = "INSERT INTO batches (id, base, stamp, written, data) VALUES "


class Outgoing(NamedTuple):
    """A finished batch that wants to be appended."""

    tp: TP
    data: bytearray
    size: int
    """How many offsets it takes."""
    tenure: Tenure | None = None
    """Appended only while it is certain."""


class Withheld(Exception):
    """A batch was not appended, because its tenure is not certain."""


class Appended(NamedTuple):
    """Where a batch is; *log_timestamp* is -1 unless the topic has the broker's timestamps."""

    base: int
    log_timestamp: int


class Ends(NamedTuple):
    """Log start and next offset of a partition."""

    start: int
    next: int


class Row(NamedTuple):
    """A stored batch; *end* is the offset after it, also when its last records were compacted."""

    base: int
    end: int
    data: bytes


Rows = list[Row]


class _Partition(NamedTuple):
    id: int
    config: TopicConfig


class Log:
    """All topics of one broker.

    Arguments:
        database: Where they are.
        default_partitions: Partitions of a topic that is made by being used.
        auto_create: Make a topic that records are appended to.
    """

    def __init__(
        self, database: Database, *, default_partitions: int = 8, auto_create: bool = True
    ) -> None:
        self.database = database
        self.default_partitions = default_partitions
        self.auto_create = auto_create
        self._known: dict[TP, _Partition] = {}
        self._next: dict[int, int] = {}
        self._topics_seen = -1

    # -- topics

    def topics_version(self) -> int:
        """Return a number that grows when topics are made or deleted."""
        return int(self.database.read("SELECT value FROM counters WHERE name='topics'")[0][0])

    def topics(self) -> dict[str, int]:
        """Return the number of partitions of each topic."""
        return dict(self.database.read("SELECT name, partitions FROM topics ORDER BY name"))

    def partitions(self, topic: str) -> int | None:
        """Return how many partitions a topic has; None when it does not exist."""
        rows = self.database.read("SELECT partitions FROM topics WHERE name=?", topic)
        return int(rows[0][0]) if rows else None

    def config(self, topic: str) -> dict[str, str]:
        """Return the options a topic was made with."""
        rows = self.database.read("SELECT config FROM topics WHERE name=?", topic)
        return dict(json.loads(rows[0][0])) if rows else {}

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> bool:
        """Make a topic, inside a transaction; False when it is there already.

        Raises:
            BrokerError: Kafka would refuse the name, the number or an option.
        """
        if not is_topic_name(name):
            raise BrokerError(f"{name!r} is no name for a topic: {_NAMES}")
        if partitions < 1:
            raise BrokerError(f"topic {name} cannot have {partitions} partitions: 1 or more")
        check_config(name, config)
        made = self.database.write(
            "INSERT OR IGNORE INTO topics VALUES (?, ?, ?)",
            (name, partitions, json.dumps(dict(config))),
        )
        if not made:
            return False
        self.database.write_many(
            "INSERT INTO partitions (topic, number) VALUES (?, ?)",
            [(name, number) for number in range(partitions)],
        )
        self._topics_changed()
        return True

    def delete_topic(self, name: str) -> list[int]:
        """Delete a topic and its committed offsets, inside a transaction.

        Returns the numbers of its partitions: their records are nobody's any more, see
        ``cleaning``.
        """
        ids = [id for (id,) in self.database.read("SELECT id FROM partitions WHERE topic=?", name)]
        for table, column in (("partitions", "topic"), ("topics", "name"), ("offsets", "topic")):
            self.database.write(f"DELETE FROM {table} WHERE {column}=?", (name,))  # noqa: S608
        self._topics_changed()
        return ids

    def _topics_changed(self) -> None:
        self.database.write("UPDATE counters SET value=value+1 WHERE name='topics'")
        self._next.clear()
        self._known.clear()
        self._topics_seen = -1  # the transaction may fail

    def forget(self) -> None:
        """Another process has written: ends may have moved, topics may have been made anew."""
        self._next.clear()
        self.look_at_topics()

    def look_at_topics(self) -> None:
        """Forget partitions if topics were made or deleted by whomever; inside a transaction nobody does after that."""
        version = self.topics_version()
        if version != self._topics_seen:
            self._topics_seen = version
            self._known.clear()

    def _partition(self, tp: TP) -> _Partition:
        found = self._known.get(tp)
        if found is None:
            rows = self.database.read(
                "SELECT id, config FROM partitions p JOIN topics t ON t.name = p.topic"
                " WHERE p.topic=? AND p.number=?",
                *tp,
            )
            if not rows:
                raise _unknown(tp, self.partitions(tp.topic))
            found = _Partition(rows[0][0], TopicConfig.of(json.loads(rows[0][1])))
            self._known[tp] = found
        return found

    def id_of(self, tp: TP) -> int:
        """Return the number of a partition.

        Raises:
            UnknownTopic: There is no such partition.
        """
        return self._partition(tp).id

    def topic_ids(self, names: Collection[str]) -> dict[str, str]:
        """Return the identities of those topics that exist: the database, and a number it never gives twice."""
        rows = self.database.read("SELECT topic, id FROM partitions WHERE number=0")
        ids = {name: number for name, number in rows if name in names}
        return {name: f"{self.database.identity}-{number}" for name, number in ids.items()}

    def look_id(self, tp: TP) -> int:
        """Return the number of a partition, in any thread; errors as `id_of`."""
        rows = self.database.look(
            "SELECT id FROM partitions WHERE topic=? AND number=?", tp.topic, tp.partition
        )
        if not rows:
            count = self.database.look("SELECT partitions FROM topics WHERE name=?", tp.topic)
            raise _unknown(tp, count[0][0] if count else None)
        return int(rows[0][0])

    # -- appending

    def append(self, batches: Sequence[Outgoing]) -> list[Appended | Exception]:
        """Append some of *batches*, the first ones, and tell of each where it is, or why not.

        The answer is shorter than *batches* when they are too many for one statement: come again
        with the rest. Inside a transaction all are appended.

        Raises:
            Busy: Another process is writing; nothing was done.
            StorageError: The database cannot be written; nothing was done.
        """
        if self.database.in_transaction:
            self.forget()
            answers: list[Appended | Exception] = []
            while len(answers) < len(batches):
                answers += self._append(_first(batches[len(answers) :]), fresh=False)
            self._next.clear()  # the transaction may fail
            return answers
        chosen = _first(batches)
        for attempt in range(ATTEMPTS):
            self._make_topics(chosen)
            try:
                return self._append(chosen, fresh=attempt > 0)
            except sqlite3.IntegrityError:  # the trigger: the ends have moved
                self.forget()
        with self.database.transaction():
            self.forget()
            return self._append(chosen, fresh=True)

    def _make_topics(self, batches: Sequence[Outgoing]) -> None:
        """Make the topics there are not, like a broker with ``auto.create.topics.enable``."""
        if not self.auto_create:
            return
        for topic in {batch.tp.topic for batch in batches if batch.tp not in self._known}:
            if self.partitions(topic) is None and is_topic_name(topic):
                with self.database.transaction():
                    self.create_topic(topic, self.default_partitions, {})

    def _append(self, batches: Sequence[Outgoing], *, fresh: bool) -> list[Appended | Exception]:
        now = time.time_ns() // 1_000_000
        answers: list[Appended | Exception] = []
        partitions: list[_Partition | None] = []
        for batch in batches:
            try:
                if batch.tenure is not None and not batch.tenure.certain():
                    raise Withheld
                partitions.append(self._admit(batch))
            except (UnknownTopic, RecordTooLarge, Withheld) as exc:
                partitions.append(None)
                answers.append(exc)
            else:
                answers.append(Appended(-1, -1))
        ends = self._ends({found.id for found in partitions if found is not None}, fresh=fresh)
        values: list[int | bytearray] = []
        for index, (batch, partition) in enumerate(zip(batches, partitions, strict=True)):
            if partition is None:
                continue
            base = ends[partition.id]
            ends[partition.id] = base + batch.size
            assert base + batch.size <= _OFFSETS, "a partition has room for 2**40 records"
            stamped = now if partition.config.log_append_time else -1
            stamp = _number(batch.data, base, stamped)
            key = partition.id << OFFSET_BITS | base + batch.size - 1
            values += (key, base, stamp, now, batch.data)
            answers[index] = Appended(base, stamped)
        if values:
            marks = ", ".join(["(?, ?, ?, ?, ?)"] * (len(values) // 5))
            self.database.write(_INSERT + marks, values)
            self._next.update(ends)
        return answers

    def _admit(self, batch: Outgoing) -> _Partition:
        partition = self._partition(batch.tp)
        limit = partition.config.max_message_bytes
        if len(batch.data) > limit:
            raise RecordTooLarge(
                f"a batch of {len(batch.data)} bytes for {batch.tp.topic}[{batch.tp.partition}] is "
                f"larger than the topic's max.message.bytes of {limit}"
            )
        return partition

    def _ends(self, ids: Collection[int], *, fresh: bool) -> dict[int, int]:
        """Return where partitions end, as far as we know."""
        known = {} if fresh else {id: self._next[id] for id in ids if id in self._next}
        for id in ids:
            if id not in known:
                rows = self.database.read("SELECT next FROM partitions WHERE id=?", id)
                known[id] = rows[0][0] if rows else -1  # just deleted: the trigger refuses
        return known

    # -- reading

    def ends(self, tp: TP) -> Ends:
        """Return log start and next offset (broker's thread); errors as `id_of`."""
        rows = self.database.read(_ENDS, *tp)
        if not rows:
            raise _unknown(tp, self.partitions(tp.topic))
        return Ends(*rows[0])

    def look_ends(self, ids: Collection[int]) -> dict[int, Ends]:
        """Return log start and next offset of partitions that exist."""
        marks = ", ".join("?" * len(ids))
        rows = self.database.look(
            f"SELECT id, start, next FROM partitions WHERE id IN ({marks})",  # noqa: S608
            *ids,
        )
        return {id: Ends(start, end) for id, start, end in rows}

    def look_rows(self, id: int, position: int, max_bytes: int) -> Rows:
        """Return the batches from an offset on, the first *max_bytes* of them; at least one.

        There is no upper bound on purpose: compaction may put the batch with the offset wanted and
        later ones together at any moment, and such a batch is found by its last offset.
        """
        room = max_bytes

        def enough(row: tuple[int, int, bytes]) -> bool:
            nonlocal room
            room -= len(row[2])
            return room <= 0

        rows = self.database.look_until(enough, _ROWS, *_range(id, position))
        return [Row(base, (key & _OFFSETS) + 1, data) for key, base, data in rows]

    # -- committed offsets

    def look_committed(self, group: str) -> dict[TP, int]:
        """Return the committed next offsets of a group."""
        rows = self.database.look("SELECT topic, partition, next FROM offsets WHERE grp=?", group)
        return {TP(topic, number): offset for topic, number, offset in rows}

    def commit(self, group: str, offsets: Mapping[TP, int]) -> None:
        """Write committed offsets, inside a transaction."""
        self.database.write_many(
            "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)",
            [(group, tp.topic, tp.partition, offset) for tp, offset in offsets.items()],
        )

    # -- transactional ids

    def take_over(self, transactional_id: str) -> int:
        """Raise the epoch of a transactional id, which fences older producers; return it (KIP-98)."""
        self.database.write(
            "INSERT INTO producers VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET epoch=epoch+1",
            (transactional_id,),
        )
        return self.epoch(transactional_id)

    def epoch(self, transactional_id: str) -> int:
        """Return the current epoch of a transactional id; 0 when it was never used."""
        rows = self.database.read("SELECT epoch FROM producers WHERE id=?", transactional_id)
        return int(rows[0][0]) if rows else 0


_NAMES = "1 to 249 letters of ASCII, digits, dots, underscores and hyphens"
_ENDS = "SELECT start, next FROM partitions WHERE topic=? AND number=?"
_ROWS = "SELECT id, base, data FROM batches WHERE id BETWEEN ? AND ? ORDER BY id"


def is_topic_name(name: str) -> bool:
    """Say whether Kafka would take *name* for a topic."""
    return re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) is not None and name not in {".", ".."}


def _range(id: int, position: int) -> tuple[int, int]:
    return id << OFFSET_BITS | max(position, 0), id << OFFSET_BITS | _OFFSETS


def _first(batches: Sequence[Outgoing]) -> Sequence[Outgoing]:
    """Return as many as one statement should carry."""
    size = 0
    for index, batch in enumerate(batches[:ROWS_AT_ONCE]):
        size += len(batch.data)
        if size > BYTES_AT_ONCE and index:
            return batches[:index]
    return batches[:ROWS_AT_ONCE]


def _number(data: bytearray, base: int, stamped: int) -> int:
    """Write base offset, and the broker's time if any, into a batch; return its largest time."""
    struct.pack_into(">q", data, 0, base)
    if stamped >= 0:
        data[22] |= 0x08  # attributes: log append time
        struct.pack_into(">q", data, 35, stamped)
        seal(data)
        return stamped
    return int.from_bytes(data[35:43], "big", signed=True)


def _unknown(tp: TP, count: int | None) -> UnknownTopic:
    if not is_topic_name(tp.topic):
        return UnknownTopic(f"{tp.topic!r} is no name for a topic: {_NAMES}")
    if count is None:
        return UnknownTopic(
            f"there is no topic {tp.topic!r}, wanted as {tp.topic}[{tp.partition}]: create it first"
        )
    return UnknownTopic(
        f"there is no partition {tp.topic}[{tp.partition}]: the topic has {count}, 0 to {count - 1}"
    )
