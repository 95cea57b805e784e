"""Several processes at one log of the embedded broker: any order of their steps, against a simple model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.databases import memory_database
from tests.unit.transport.test_local_log import A, Pair, append, batch, do, read

from faust.messages import TP
from faust.transport.base import ConsumerOptions
from faust.transport.drivers.local import cleaning
from faust.transport.drivers.local.cleaning import clean, compact_topic, delete_records
from faust.transport.drivers.local.database import Database, LongWork
from faust.transport.drivers.local.fetching import Fetching
from faust.transport.drivers.local.log import Log, Rows

YOUNG = 4_000_000_000_000

keys = st.none() | st.sampled_from([b"a", b"b", b"c"])
contents = st.lists(st.tuples(keys, st.none() | st.just(b"v" * 30)), min_size=1, max_size=4)


class Interrupted(Log):
    """A log whose reader is overtaken between looking at the ends and reading the rows."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.meanwhile: Callable[[], None] = lambda: None

    def look_rows(self, id: int, position: int, max_bytes: int) -> Rows:
        """Let the others go first, once."""
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().look_rows(id, position, max_bytes)


class OneLog(RuleBasedStateMachine):
    """Two writers, compaction and deletion in steps, and a reader that follows.

    The model is the list of all that was ever appended, and the log start.
    """

    def __init__(self) -> None:
        super().__init__()
        database = memory_database()
        self.logs = [Log(database), Log(database)]
        with database.transaction():
            self.logs[0].create_topic("words", 1, {"delete.retention.ms": "0"})
        self.model: list[Pair] = []
        self.start = 0
        self.works: list[tuple[LongWork[None], Callable[[], Any] | None]] = []
        self.reading = Interrupted(database)
        self.follower = Fetching(
            self.reading, ConsumerOptions(slice_size=3, max_fetch_size=150), lambda _topic: True
        )
        self.follower.assign({A: 0}, -1)
        self.seen: dict[int, Pair] = {}
        self.begun = 0

    # -- what processes do

    @rule(writer=st.integers(0, 1), content=contents)
    def write(self, writer: int, content: list[Pair]) -> None:
        """Append one batch."""
        (answer,) = append(self.logs[writer], batch(A, content))
        assert answer.base == len(self.model)
        self.model += content

    @rule()
    def begin_compaction(self) -> None:
        """Begin to compact; nothing is done yet."""
        log = self.logs[len(self.works) % 2]
        self.works.append((compact_topic(log.database, log, "words"), None))

    @rule(which=st.integers(0, 3), steps=st.integers(1, 6))
    def go_on(self, which: int, steps: int) -> None:
        """Do some steps of a work that was begun, in the order the broker's thread does them."""
        for _ in range(steps):
            if not self.works:
                return
            which %= len(self.works)
            work, step = self.works[which]
            result = None
            if step is not None:
                with self.logs[0].database.transaction():
                    result = step()
            try:
                self.works[which] = work, work.send(result)
            except StopIteration:
                del self.works[which]

    @rule(before=st.integers(0, 30))
    def delete(self, before: int) -> None:
        """Move the log start."""
        log = self.logs[1]
        self.start = max(self.start, min(before, len(self.model)))
        do(log, delete_records(log.database, log, {A: before}))

    @rule(
        content=st.none() | contents,
        compact=st.booleans(),
        before=st.none() | st.integers(0, 30),
        takes=st.integers(1, 3),
    )
    def follow(
        self, content: list[Pair] | None, compact: bool, before: int | None, takes: int
    ) -> None:
        """Read on; between two looks of the reader others write, compact and delete."""

        def meanwhile() -> None:
            if content is not None:
                self.write(0, content)
            if compact:
                do(self.logs[0], compact_topic(self.logs[0].database, self.logs[0], "words"))
            if before is not None:
                self.delete(before)

        self.reading.meanwhile = meanwhile
        for _ in range(takes):
            for piece in self.follower.take():
                for record in piece.records:
                    assert record.offset not in self.seen
                    assert record.offset >= max(self.seen, default=-1)
                    self.seen[record.offset] = (record.key, record.value)
        self.reading.meanwhile = lambda: None

    # -- what is promised

    def may_be_missing(self, offset: int) -> bool:
        """Deleted, a tombstone, or overwritten later."""
        key, value = self.model[offset]
        later = any(pair[0] == key for pair in self.model[offset + 1 :])
        return offset < self.start or (key is not None and (value is None or later))

    @invariant()
    def nothing_is_skipped(self) -> None:
        """The reader has seen everything before its position that was to be kept, as it was written."""
        for offset, pair in self.seen.items():
            assert pair == self.model[offset]
        for offset in range(min(self.follower.position(A), len(self.model))):
            assert offset in self.seen or self.may_be_missing(offset), offset

    @invariant()
    def nothing_is_lost(self) -> None:
        """What is to be kept is in the log, in order, under its offset."""
        found = read(self.logs[0], A, self.start)
        offsets = [record.offset for record in found]
        assert offsets == sorted(set(offsets))
        for record in found:
            assert (record.key, record.value) == self.model[record.offset]
        for offset in range(len(self.model)):
            assert offset in offsets or self.may_be_missing(offset), offset


TestOneLog = OneLog.TestCase
TestOneLog.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("config", [{"retention.ms": "60000"}, {"retention.bytes": "1"}])
def test_what_comes_while_retention_looks_is_kept(config: dict[str, str]) -> None:
    """Records appended between the look at what is too old and the deletion are not deleted with it."""
    database = memory_database()
    log = Log(database)
    with database.transaction():
        log.create_topic("words", 1, config)
    append(log, batch(A, [(b"k", b"old")], timestamp=1000))
    cleaning_up = clean(database, log)
    step = next(cleaning_up)
    append(log, batch(A, [(b"k", b"young")], timestamp=YOUNG))
    assert step is not None
    with database.transaction():
        result = step()
    do(log, _rest(cleaning_up, result))
    assert [record.value for record in read(log, A)] == [b"young"]


def test_cleaning_judges_a_topic_made_anew_by_its_own_options() -> None:
    """What was found out about a deleted topic is not done to its successor of the same name."""
    database = memory_database()
    log = Log(database)
    with database.transaction():
        log.create_topic("words", 1, {"retention.ms": "60000"})
    append(log, batch(A, [(b"k", b"old")], timestamp=1000))
    cleaning_up = clean(database, log)
    step = next(cleaning_up)
    with database.transaction():
        log.delete_topic("words")
        log.create_topic("words", 1, {})
    append(log, batch(A, [(b"k", b"kept for ever")], timestamp=1000))
    assert step is not None
    with database.transaction():
        result = step()
    do(log, _rest(cleaning_up, result))
    assert [record.value for record in read(log, A)] == [b"kept for ever"]


def test_a_deleted_key_stays_deleted_when_compaction_is_disturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compaction that has let old values be, because somebody was there, lets their tombstones be, too."""
    monkeypatch.setattr(cleaning, "ROWS_PER_STEP", 4)
    database = memory_database()
    log = Log(database)
    with database.transaction():
        log.create_topic("words", 1, {"delete.retention.ms": "0"})
    append(log, *[batch(A, [(b"%d" % n, b"value")]) for n in range(4)])
    append(log, *[batch(A, [(b"%d" % n, None)]) for n in range(4)])
    compacting = compact_topic(database, log, "words")
    step = next(compacting)
    while "replace" not in getattr(step, "__name__", ""):
        result = None
        if step is not None:
            with database.transaction():
                result = step()
        step = compacting.send(result)
    do(log, delete_records(database, log, {A: 1}))
    assert step is not None
    with database.transaction():
        result = step()
    do(log, _rest(compacting, result))
    left = {record.key: record.value for record in read(log, A)}
    assert {key for key, value in left.items() if value is not None} == set()
    do(log, compact_topic(database, log, "words"))
    assert read(log, A) == []


def test_a_damaged_partition_does_not_keep_the_others_from_being_cleaned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Compaction passes it over, says which it is, and leaves it as it is."""
    monkeypatch.setattr(cleaning, "COMPACT_AFTER", 1)
    database = memory_database()
    log = Log(database)
    other = TP("words", 1)
    with database.transaction():
        log.create_topic("words", 2, {"cleanup.policy": "compact"})
    append(log, *[batch(tp, [(b"k", b"v")] * 3) for tp in (A, other)])
    damaged = bytearray(log.look_rows(log.id_of(A), 0, 10**6)[0].data)
    damaged[-1] ^= 1
    database.write("UPDATE batches SET data=? WHERE id=?", (damaged, log.id_of(A) << 40 | 2))
    do(log, clean(database, log))
    assert "words[0] is damaged at offset 0" in caplog.text
    assert [record.offset for record in read(log, other)] == [2]
    assert log.look_rows(log.id_of(A), 0, 10**6)[0].data == bytes(damaged)


def test_what_was_built_beside_a_damaged_partition_comes_again() -> None:
    """The error of one partition takes nothing of another with it."""
    database = memory_database()
    log = Log(database)
    other = TP("words", 1)
    with database.transaction():
        log.create_topic("words", 2, {})
    append(log, batch(A, [(b"k", b"v")] * 3), batch(other, [(b"k", b"v")]))
    database.write("UPDATE batches SET data=x'00' WHERE id=?", (log.id_of(other) << 40,))
    fetching = Fetching(log, ConsumerOptions(), lambda _topic: True)
    fetching.assign({A: 0, other: 0}, -1)
    with pytest.raises(Exception, match=r"words\[1\] is damaged near offset 0"):
        fetching.take()
    assert (fetching.position(A), fetching.position(other)) == (0, 0)
    fetching.seek({other: 1})
    found = [(piece.tp, record.offset) for piece in fetching.take() for record in piece.records]
    assert found == [(A, 0), (A, 1), (A, 2)]


def test_a_topic_that_is_deleted_while_it_is_read_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its reader says so once, waits, and goes on when it is made anew."""
    database = memory_database()
    log = Interrupted(database)
    with database.transaction():
        log.create_topic("words", 1, {})
    append(log, batch(A, [(b"k", b"v")] * 3))

    def delete() -> None:
        with database.transaction():
            log.delete_topic("words")
        database.write("DELETE FROM batches")

    log.meanwhile = delete
    fetching = Fetching(log, ConsumerOptions(), lambda _topic: True)
    fetching.assign({A: 0}, -1)
    for _ in range(3):
        assert fetching.take() == []
    assert caplog.text.count("there is no topic 'words'") == 1
    with database.transaction():
        log.create_topic("words", 1, {})
    append(log, batch(A, [(b"k", b"new")]))
    assert [r.value for piece in fetching.take() for r in piece.records] == [b"new"]


def _rest(work: LongWork[None], result: Any) -> LongWork[None]:
    """What is left of a work whose last step gave *result*."""
    while True:
        try:
            step = work.send(result)
        except StopIteration:
            return
        result = yield step
