"""The embedded broker's log and what it forgets, against simple models; no thread, no file."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.databases import memory_database

from faust.exceptions import BrokerError, OffsetOutOfRange, RecordTooLarge, UnknownTopic
from faust.messages import TP, Record
from faust.transport.base import ConsumerOptions
from faust.transport.drivers.batching import Accumulator, batch_slices, open_batch
from faust.transport.drivers.local import cleaning
from faust.transport.drivers.local.cleaning import clean, compact_topic, delete_records
from faust.transport.drivers.local.database import LongWork
from faust.transport.drivers.local.fetching import Fetching
from faust.transport.drivers.local.log import Appended, Ends, Log, Outgoing
from faust.transport.drivers.local.topicconfig import TopicConfig, check_config

T = TypeVar("T")
A, B = TP("words", 0), TP("words", 1)

Pair = tuple[bytes | None, bytes | None]


def make_log(config: dict[str, str] | None = None, **options: Any) -> Log:
    """A log in memory with a topic of two partitions."""
    log = Log(memory_database(), **options)
    with log.database.transaction():
        log.create_topic("words", 2, config or {})
    return log


def batch(
    tp: TP, pairs: list[Pair], timestamp: int = 1000, compression: str | None = None
) -> Outgoing:
    """A finished batch."""
    accumulator = Accumulator(
        wake=lambda _delay: None, max_batch_size=10**6, compression=compression
    )
    for index, (key, value) in enumerate(pairs):
        accumulator.append(*tp, key, value, timestamp + index, [("n", b"%d" % index)])
    (made,) = accumulator.ready()
    return Outgoing(tp, made.build(), made.count)


def append(log: Log, *batches: Outgoing) -> list[Appended]:
    """Append all of them."""
    answers: list[Appended | Exception] = []
    while len(answers) < len(batches):
        answers += log.append(batches[len(answers) :])
    found = []
    for answer in answers:
        assert isinstance(answer, Appended), answer
        found.append(answer)
    return found


def do(log: Log, work: LongWork[T]) -> T:
    """Do long work as the broker's thread does it, in one go."""
    result = None
    while True:
        try:
            step = work.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        result = None
        if step is not None:
            with log.database.transaction():
                result = step()


def read(log: Log, tp: TP, position: int | None = None, **options: Any) -> list[Record]:
    """All records of a partition, as a consumer reads them."""
    fetching = Fetching(log, ConsumerOptions(**options), lambda _topic: True)
    fetching.assign({tp: position}, -1)
    records: list[Record] = []
    while slices := fetching.take():
        for piece in slices:
            records += piece.records
            assert all(record.offset < piece.next_offset for record in piece.records)
    assert fetching.position(tp) == log.ends(tp).next
    return records


# -- appending and reading

pairs = st.tuples(
    st.none() | st.sampled_from([b"a", b"b", b"c", b"d"]), st.none() | st.binary(max_size=9)
)
batches = st.lists(st.tuples(st.sampled_from([A, B]), st.lists(pairs, min_size=1, max_size=6)))


@given(batches, st.integers(0, 30), st.integers(1, 7), st.integers(1, 300))
def test_what_was_appended_is_read(
    script: list[tuple[TP, list[Pair]]], start: int, slice_size: int, fetch_size: int
) -> None:
    """From any position, in slices and fetches of any size: every record once, in order, at its offset."""
    log = make_log()
    model: dict[TP, list[Pair]] = {A: [], B: []}
    answers = append(log, *[batch(tp, content) for tp, content in script])
    for (tp, content), answer in zip(script, answers, strict=True):
        assert answer == Appended(len(model[tp]), -1)
        model[tp] += content
    for tp, content in model.items():
        assert log.ends(tp) == Ends(0, len(content))
        begin = min(start, len(content))
        found = read(log, tp, begin, slice_size=slice_size, max_fetch_size=fetch_size)
        assert [(record.key, record.value) for record in found] == content[begin:]
        assert [record.offset for record in found] == list(range(begin, len(content)))


def test_two_logs_of_one_database_number_their_batches_without_a_gap() -> None:
    """A writer whose idea of the end is old is refused by the database, looks again and succeeds."""
    one = make_log()
    other = Log(one.database)
    bases = [
        answer.base
        for round_ in range(5)
        for log in (one, other)
        for answer in append(log, batch(A, [(b"k", b"%d" % round_)] * 2), batch(B, [(b"k", b"v")]))
    ]
    assert bases == [base for n in range(10) for base in (2 * n, n)]
    assert [record.offset for record in read(one, A)] == list(range(20))


def test_an_append_says_of_each_batch_what_is_wrong_with_it() -> None:
    """One bad batch does not keep the others out."""
    log = make_log({"max.message.bytes": "300"}, auto_create=False)
    answers = log.append(
        [
            batch(A, [(b"k", b"v")]),
            batch(TP("words", 7), [(b"k", b"v")]),
            batch(A, [(b"k", b"v" * 400)]),
            batch(TP("no-such", 0), [(b"k", b"v")]),
            batch(A, [(b"k", b"w")]),
        ]
    )
    assert [type(answer) for answer in answers] == [
        Appended,
        UnknownTopic,
        RecordTooLarge,
        UnknownTopic,
        Appended,
    ]
    assert "words[7]" in str(answers[1])
    assert "0 to 1" in str(answers[1])
    assert "max.message.bytes of 300" in str(answers[2])
    assert "no-such" in str(answers[3])
    assert [record.value for record in read(log, A)] == [b"v", b"w"]


def test_a_topic_is_made_by_being_used_unless_that_is_switched_off() -> None:
    """With auto_create a topic appears with the default number of partitions."""
    log = make_log(auto_create=True, default_partitions=3)
    append(log, batch(TP("fresh", 2), [(b"k", b"v")]))
    assert log.partitions("fresh") == 3


def test_the_brokers_clock_is_written_into_the_batch() -> None:
    """With message.timestamp.type=LogAppendTime every record has the broker's time, and the checksum is right."""
    log = make_log({"message.timestamp.type": "LogAppendTime"})
    (answer,) = append(log, batch(A, [(b"k", b"v"), (b"k", b"w")], timestamp=5))
    assert answer.log_timestamp > 10**12
    assert {(r.timestamp, r.timestamp_type) for r in read(log, A)} == {(answer.log_timestamp, 1)}


def test_a_position_outside_the_log_follows_the_policy() -> None:
    """Without a usable offset a reader begins at the start or the end, or says what there is."""
    log = make_log()
    append(log, batch(A, [(b"k", b"v")] * 4))
    do(log, delete_records(log.database, log, {A: 2}))
    for policy, wanted in (("earliest", 2), ("latest", 4)):
        fetching = Fetching(log, ConsumerOptions(auto_offset_reset=policy), lambda _topic: False)
        fetching.assign({A: None}, -1)
        assert fetching.position(A) == wanted
        fetching.seek({A: 1})
        fetching.take()
        assert fetching.position(A) == 4
    refusing = Fetching(log, ConsumerOptions(auto_offset_reset="none"), lambda _topic: False)
    refusing.assign({A: 0}, -1)
    with pytest.raises(OffsetOutOfRange, match=r"words\[0\].*offset 0.*2 to 4"):
        refusing.take()
    refusing.seek({A: 3})
    assert [r.offset for s in refusing.take() for r in s.records] == [3]


# -- what is forgotten


@given(batches, st.integers(0, 2**16), st.booleans(), st.sampled_from([40, 400, 10**6]))
def test_compaction_keeps_the_last_of_each_key_at_its_offset(
    script: list[tuple[TP, list[Pair]]], cut: int, tombstones: bool, merged_bytes: int
) -> None:
    """Twice or once, with batches merged or not: keyless records, the last of each key, old tombstones gone."""
    log = make_log({"delete.retention.ms": "0" if not tombstones else "100000"})
    cut %= len(script) + 1
    model: list[tuple[int, Pair]] = []
    for tp, content in script:
        if tp == A:
            model += [(len(model) + n, pair) for n, pair in enumerate(content)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "MERGED_BYTES", merged_bytes)
        append(log, *[batch(tp, content) for tp, content in script[:cut]])
        do(log, compact_topic(log.database, log, "words"))
        append(log, *[batch(tp, content) for tp, content in script[cut:]])
        do(log, compact_topic(log.database, log, "words"))
    last = {key: offset for offset, (key, _) in model}
    wanted = [
        (offset, key, value)
        for offset, (key, value) in model
        if key is None or (last[key] == offset and (tombstones or value is not None))
    ]
    found = read(log, A)
    assert [(record.offset, record.key, record.value) for record in found] == wanted
    assert [bytes(record.headers[0][1]) for record in found] == [
        b"%d" % (record.timestamp - 1000) for record in found
    ]
    assert log.ends(A) == Ends(0, len(model))
    for start in range(len(model)):
        assert [r.offset for r in read(log, A, start)] == [o for o, _, _ in wanted if o >= start]


def test_compaction_puts_small_batches_together() -> None:
    """A log written record by record is read like one written in large batches."""
    log = make_log()
    append(log, *[batch(A, [(b"%d" % n, b"v" * 50)]) for n in range(300)])
    do(log, compact_topic(log.database, log, "words"))
    rows = log.look_rows(log.id_of(A), 0, 10**9)
    assert len(rows) < 10
    assert [r.value for r in read(log, A)] == [b"v" * 50] * 300


def test_compaction_leaves_alone_what_somebody_else_has_changed() -> None:
    """Between two steps another process may compact the same rows: then ours does nothing to them."""
    log = make_log()
    append(log, *[batch(A, [(b"%d" % (n % 3), b"%d" % n)]) for n in range(30)])
    ours = compact_topic(log.database, log, "words")
    step = None
    while step is None or "replace" not in getattr(step, "__name__", ""):
        result = None
        if step is not None:
            with log.database.transaction():
                result = step()
        step = ours.send(result)
    do(log, compact_topic(log.database, log, "words"))
    with log.database.transaction():
        step()
    ours.close()
    assert [(r.offset, r.value) for r in read(log, A)] == [(27, b"27"), (28, b"28"), (29, b"29")]


def test_compaction_understands_compressed_batches() -> None:
    """What producers have compressed is compacted like the rest."""
    log = make_log()
    append(log, *[batch(A, [(b"k", b"v" * 200)] * 20, compression="gzip") for _ in range(3)])
    do(log, compact_topic(log.database, log, "words"))
    assert [(r.offset, r.value) for r in read(log, A)] == [(59, b"v" * 200)]


@pytest.mark.parametrize("where", ["value", "header"])
def test_compaction_has_room_for_what_was_compressed_very_much(where: str) -> None:
    """A batch of much the same may take a thousandth of its size, and is stored unpacked."""
    log = make_log()
    much = b"0" * 40_000
    value, headers = (much, []) if where == "value" else (b"", [("n", much)])
    accumulator = Accumulator(
        wake=lambda _delay: None,
        max_batch_size=10**8,
        max_request_size=10**8,
        compression="gzip",
    )
    for number in range(200):
        accumulator.append("words", 0, b"%d" % (number % 199), value, 1000, headers)
    (made,) = accumulator.ready()
    append(log, Outgoing(A, made.build(), made.count))
    do(log, compact_topic(log.database, log, "words"))
    assert [record.offset for record in read(log, A)] == list(range(1, 200))


def test_retention_by_time_drops_old_batches_from_the_start() -> None:
    """Batches whose newest record is too old go, up to the first that is not."""
    log = make_log({"retention.ms": "60000"})
    young = 4_000_000_000_000
    append(
        log,
        batch(A, [(b"k", b"old")], timestamp=1000),
        batch(A, [(b"k", b"young")], timestamp=young),
        batch(A, [(b"k", b"old behind young")], timestamp=1000),
    )
    append(log, batch(B, [(b"k", b"old")], timestamp=1000))
    do(log, clean(log.database, log))
    assert [r.value for r in read(log, A)] == [b"young", b"old behind young"]
    assert log.ends(A) == Ends(1, 3)
    assert log.ends(B) == Ends(1, 1)


def test_retention_by_size_keeps_the_newest_batches() -> None:
    """As many of the newest batches stay as fit, and none when not even one does."""
    log = make_log({"retention.bytes": "1000"})
    append(log, *[batch(A, [(b"k", b"v" * 200)]) for _ in range(10)])
    do(log, clean(log.database, log))
    kept = log.ends(A)
    assert 10 - kept.start == 1000 // len(batch(A, [(b"k", b"v" * 200)]).data)
    assert len(read(log, A)) == 10 - kept.start
    append(log, batch(A, [(b"k", b"v" * 2000)]))
    do(log, clean(log.database, log))
    assert log.ends(A) == Ends(11, 11)


def test_a_topic_that_is_only_compacted_forgets_nothing_by_age() -> None:
    """Retention is for topics with delete in their cleanup.policy."""
    log = make_log({"retention.ms": "1", "cleanup.policy": "compact"})
    append(log, batch(A, [(b"k", b"v")], timestamp=1000))
    do(log, clean(log.database, log))
    assert len(read(log, A)) == 1


def test_compaction_starts_by_itself_when_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for as many records as it had left the last time; in between it lets the log be."""
    monkeypatch.setattr(cleaning, "COMPACT_AFTER", 10)
    log = make_log({"cleanup.policy": "compact"})
    append(log, batch(A, [(b"k", b"v")] * 9))
    do(log, clean(log.database, log))
    assert len(read(log, A)) == 9
    append(log, batch(A, [(b"k", b"v")]))
    do(log, clean(log.database, log))
    assert [r.offset for r in read(log, A)] == [9]
    append(log, batch(A, [(b"k", b"v")] * 9))
    do(log, clean(log.database, log))
    assert len(read(log, A)) == 10


@given(st.integers(0, 12), st.integers(0, 12))
def test_deleted_records_are_gone_also_from_the_middle_of_a_batch(first: int, second: int) -> None:
    """The log start is exactly where it was asked to be, never goes back, and never beyond the end."""
    log = make_log()
    append(log, *[batch(A, [(b"k", b"%d" % (3 * n + i)) for i in range(3)]) for n in range(3)])
    do(log, delete_records(log.database, log, {A: first}))
    do(log, delete_records(log.database, log, {A: second}))
    start = min(max(first, second), 9)
    assert log.ends(A) == Ends(start, 9)
    assert [r.offset for r in read(log, A)] == list(range(start, 9))


def test_records_of_deleted_topics_are_dropped_even_when_nobody_finished_it() -> None:
    """A topic made anew under the same name is empty; what is left of the old one is found and dropped."""
    log = make_log()
    append(log, batch(A, [(b"k", b"v")] * 4))
    with log.database.transaction():
        log.delete_topic("words")
        log.create_topic("words", 2, {})
    assert log.ends(A) == Ends(0, 0)
    append(log, batch(A, [(b"k", b"new")]))
    do(log, clean(log.database, log))
    assert [r.value for r in read(log, A)] == [b"new"]
    assert log.database.read("SELECT count(*) FROM batches") == [(1,)]


def test_a_batch_stays_readable_by_anybody_after_compaction() -> None:
    """What compaction writes is a proper record batch: its header says where it begins and ends."""
    log = make_log()
    append(log, batch(A, [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", None)]))
    do(log, compact_topic(log.database, log, "words"))
    (row,) = log.look_rows(log.id_of(A), 0, 10**6)
    opened = open_batch(row.data)
    assert (opened.base_offset, opened.next_offset) == (0, 4)
    (piece,) = batch_slices(A, -1, opened, 0, 10)
    assert [record.offset for record in piece.records] == [2, 3]


# -- options and names


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ä", "x" * 250, "a/b"])
def test_names_that_kafka_refuses_are_refused(name: str) -> None:
    """A topic made here can be made on Kafka."""
    log = make_log()
    with pytest.raises(BrokerError, match="no name for a topic"), log.database.transaction():
        log.create_topic(name, 1, {})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"retention.msec": "1"}, "unknown option 'retention.msec'"),
        ({"retention.ms": "soon"}, "retention.ms is 'soon'"),
        ({"cleanup.policy": "compcat"}, "cleanup.policy is 'compcat'"),
        ({"message.timestamp.type": "Now"}, "CreateTime or LogAppendTime"),
    ],
)
def test_options_that_kafka_refuses_are_refused(config: dict[str, str], words: str) -> None:
    """A misspelt option or value is not kept in silence."""
    with pytest.raises(BrokerError, match=words):
        check_config("words", config)


def test_options_without_effect_here_are_taken() -> None:
    """A topic with Kafka's options for replicas and segments can be made here as well."""
    check_config("words", {"segment.ms": "1000", "min.insync.replicas": "2"})
    config = TopicConfig.of({"cleanup.policy": "compact,delete", "retention.ms": "5"})
    assert config.compact
    assert config.delete
    assert config.retention_ms == 5
