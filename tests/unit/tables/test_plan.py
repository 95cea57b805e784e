"""Recovery as decisions: where to start, when it is done, and what a log may do meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.changelogs import Log

from faust.exceptions import ConsistencyError
from faust.messages import TP
from faust.tables.plan import (
    MAX_REBUILDS,
    Bounds,
    PartitionPlan,
    Phase,
    Start,
    Verdict,
    start_of,
)

HERE = TP("shop-totals-changelog", 3)


@pytest.mark.parametrize(
    ("local", "bounds", "position", "wipe"),
    [
        (None, (0, 3), 0, True),
        (None, (7, 9), 7, True),
        (None, (0, 0), 0, True),
        (42, (0, 42), 42, False),
        (42, (0, 50), 42, False),
        (5, (9, 50), 9, True),
        (9, (9, 9), 9, False),
        (0, (0, 4), 0, False),
    ],
)
def test_where_to_start(
    local: int | None, bounds: tuple[int, int], position: int, wipe: bool
) -> None:
    """A store goes on where it is if the log still has that place, else it is wiped and reads all there is."""
    start = start_of(HERE, local, Bounds(*bounds), check=True)
    assert (start.position, start.wipe) == (position, wipe)


def test_another_topic_of_the_same_name() -> None:
    """A log that has outgrown the store's offset is told by the id of its topic, before and while it is read."""
    start = start_of(HERE, 3, Bounds(0, 5, "new"), check=True, topic_id="old")
    assert (start.position, start.wipe) == (0, True)
    assert "its id was old and is new" in start.reason
    for unknown in (Bounds(0, 5), Bounds(0, 5, "old")):
        assert not start_of(HERE, 3, unknown, check=True, topic_id="old").wipe
    assert not start_of(HERE, 3, Bounds(0, 5, "new"), check=True).wipe
    plan = PartitionPlan(0, 5, "old")
    plan.slice(0, 5)
    assert plan.confirm(Bounds(0, 9, "new")) is Verdict.REBUILD
    assert (plan.position, plan.topic_id) == (0, "new")


def test_a_store_ahead_of_its_log_is_an_error_with_a_remedy() -> None:
    """The error names topic, partition, both offsets and the setting that allows a rebuild."""
    with pytest.raises(ConsistencyError) as caught:
        start_of(HERE, 10, Bounds(0, 5), check=True)
    message = str(caught.value)
    for part in (
        "shop-totals-changelog[3]",
        "offset 10",
        "ends at 5",
        "recovery_consistency_check",
    ):
        assert part in message


def test_without_the_check_a_store_ahead_of_its_log_is_rebuilt() -> None:
    """With the setting off it is wiped and read again, and the reason is given for the log."""
    start = start_of(HERE, 10, Bounds(2, 5), check=False)
    assert start == Start(2, wipe=True, reason="local offset 10 lies beyond the end 5")


def test_nothing_to_read_is_ready_at_once() -> None:
    """A position at the end needs no reading."""
    assert PartitionPlan(42, 42).phase is Phase.READY
    assert PartitionPlan(0, 0).phase is Phase.READY


def test_a_slice_that_ends_behind_its_last_record_counts() -> None:
    """A log that ends in markers is done when the slice's next offset says so, not when a record does."""
    plan = PartitionPlan(0, 5)
    assert plan.slice(0, 5)
    assert plan.phase is Phase.REACHED
    assert plan.confirm(Bounds(0, 5)) is Verdict.READY


def test_a_position_is_believed_the_second_time() -> None:
    """A slice may still be on its way when the consumer says for the first time that it has passed the end."""
    plan = PartitionPlan(3, 5)
    phases = [plan.phase]
    plan.polled(5)
    phases.append(plan.phase)
    assert plan.slice(3, 4)
    for _ in range(2):
        plan.polled(5)
        phases.append(plan.phase)
    assert phases == [Phase.READING, Phase.READING, Phase.READING, Phase.REACHED]


def test_the_end_is_looked_at_once_more() -> None:
    """What the former owner wrote meanwhile is read, but nobody waits for a writer that never stops."""
    plan = PartitionPlan(0, 2)
    plan.slice(0, 2)
    assert plan.confirm(Bounds(0, 4)) is Verdict.READ_ON
    plan.slice(2, 4)
    assert plan.confirm(Bounds(0, 6)) is Verdict.READY


def test_a_truncation_over_a_gap_starts_again() -> None:
    """A jump over offsets that are gone by now may have skipped deletions: the partition is rebuilt."""
    plan = PartitionPlan(0, 10)
    plan.slice(0, 3)
    plan.slice(7, 10)
    assert plan.confirm(Bounds(7, 10)) is Verdict.REBUILD
    assert (plan.position, plan.end, plan.phase) == (7, 10, Phase.READING)


def test_a_gap_of_compaction_means_nothing() -> None:
    """Offsets that compaction removed are no reason to read again."""
    plan = PartitionPlan(0, 10)
    plan.slice(4, 10)
    assert plan.confirm(Bounds(0, 10)) is Verdict.READY


def test_a_log_made_anew_is_read_from_its_beginning() -> None:
    """When the consumer is suddenly at an earlier place the topic is another one."""
    plan = PartitionPlan(5, 10)
    assert not plan.slice(0, 2)
    assert plan.phase is Phase.REACHED
    assert plan.confirm(Bounds(0, 2)) is Verdict.REBUILD
    assert plan.slice(0, 2)
    assert plan.confirm(Bounds(0, 2)) is Verdict.READY


def test_an_earlier_place_means_another_log_whatever_its_length() -> None:
    """Also when the new log is as long as the old one was, what was read of the old one goes."""
    plan = PartitionPlan(5, 10)
    plan.slice(0, 2)
    assert plan.confirm(Bounds(0, 10)) is Verdict.REBUILD
    assert (plan.position, plan.end) == (0, 10)


def test_a_log_that_was_cut_back_is_read_again() -> None:
    """When the log ends below what was read, what was read does not exist any more."""
    plan = PartitionPlan(0, 10)
    plan.slice(0, 10)
    assert plan.confirm(Bounds(0, 4)) is Verdict.REBUILD
    assert (plan.position, plan.end) == (0, 4)


def test_a_log_that_is_always_truncated_ends_all_the_same() -> None:
    """Recovery gives up starting again after a few times; the state is as good as it gets."""
    plan = PartitionPlan(0, 10)
    verdicts = []
    for step in range(1, 10):
        plan.slice(plan.position + 1, 10 * step)
        verdicts.append(plan.confirm(Bounds(10 * step - 1, 10 * step)))
        if verdicts[-1] is Verdict.READY:
            break
        plan.end = 10 * step + 10
    assert verdicts == [Verdict.REBUILD] * MAX_REBUILDS + [Verdict.READY]


def test_nothing_is_applied_after_ready() -> None:
    """A slice that comes late does not overwrite what agents have written meanwhile."""
    plan = PartitionPlan(4, 4)
    assert not plan.slice(4, 6)


# -- any log, any reader

KEYS = st.sampled_from([b"a", b"b", b"c"])
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.one_of(st.none(), st.binary(max_size=2))),
    st.tuples(st.just("mark"), st.just(b""), st.none()),
    st.tuples(st.just("compact"), st.just(b""), st.none()),
    st.tuples(st.just("truncate"), st.just(b""), st.none()),
    st.tuples(st.just("recreate"), st.just(b""), st.none()),
)


class Reader:
    """A consumer that reads one log in slices, and a store that takes them: recovery without a loop."""

    def __init__(
        self, log: Log, local: int | None, store: dict[bytes, bytes], topic_id: str
    ) -> None:
        self.log = log
        self.store = store
        bounds = Bounds(log.beginning, log.end, log.topic_id)
        start = start_of(HERE, local, bounds, check=False, topic_id=topic_id)
        if start.wipe:
            store.clear()
        self.at = start.position
        self.plan = PartitionPlan(start.position, bounds.end, bounds.topic_id)

    def read(self, size: int, *, silent: bool) -> None:
        """Take one slice; what lies behind the last record may show in the position only."""
        log = self.log
        if not log.beginning <= self.at <= log.end:
            self.at = log.beginning
        records = log.read(self.at, size)
        after = records[-1].offset + 1 if records else self.at
        if len(records) < size:
            after = after if silent else log.end
        if (records or after > self.at) and self.plan.slice(
            records[0].offset if records else after, after
        ):
            for record in records:
                assert record.key is not None
                self.store.pop(record.key, None)
                if record.value is not None:
                    self.store[record.key] = record.value
        self.at = log.end if len(records) < size else after
        self.plan.polled(self.at)

    def confirm(self) -> None:
        """Do what the plan says when it has come to the end, or when nothing comes."""
        bounds = Bounds(self.log.beginning, self.log.end, self.log.topic_id)
        if self.plan.confirm(bounds) is Verdict.REBUILD:
            self.store.clear()
            self.at = self.plan.position


def change(log: Log, step: tuple[str, bytes, bytes | None], before: int) -> None:
    """Let time pass for a log."""
    kind, key, value = step
    if kind == "put":
        log.append(key, value)
    elif kind == "mark":
        log.mark()
    elif kind == "compact":
        log.compact()
    elif kind == "truncate":
        log.truncate(before)
    else:
        log.recreate()


@given(
    history=st.lists(STEPS, max_size=30),
    meanwhile=st.lists(st.one_of(st.none(), STEPS), max_size=12),
    cuts=st.lists(st.integers(0, 30), min_size=42, max_size=42),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    silent=st.booleans(),
    kept=st.one_of(st.none(), st.integers(0, 30)),
)
def test_any_log_becomes_ready_with_the_contents_of_a_fresh_read(
    history: list[tuple[str, bytes, bytes | None]],
    meanwhile: list[tuple[str, bytes, bytes | None] | None],
    cuts: list[int],
    sizes: list[int],
    silent: bool,
    kept: int | None,
) -> None:
    """Whatever a log went through, before and during recovery, it ends; if it rests, the contents are right."""
    log = Log()
    local: int | None = None
    store: dict[bytes, bytes] = {}
    topic_id = ""
    for index, step in enumerate(history):
        change(log, step, cuts[index % len(cuts)])
        if index == kept:
            local, store, topic_id = log.end, log.contents(), log.topic_id
    reader = Reader(log, local, store, topic_id)
    changes = [*meanwhile, *[None] * 200]
    for turn, event in enumerate(changes):
        if reader.plan.phase is Phase.READY:
            break
        if event is not None:
            change(log, event, cuts[turn % len(cuts)])
        reader.read(sizes[turn % len(sizes)], silent=silent)
        if reader.plan.phase is Phase.REACHED or turn % 10 == 9:
            reader.confirm()
    assert reader.plan.phase is Phase.READY
    if not any(meanwhile):
        assert reader.store == log.contents()
        assert reader.plan.position == log.end


@given(
    values=st.lists(
        st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=2))), min_size=1, max_size=40
    ),
    cut=st.integers(0, 40),
    when=st.integers(0, 10),
    size=st.integers(1, 5),
)
def test_a_truncation_during_recovery_leaves_nothing_stale(
    values: list[tuple[bytes, bytes | None]], cut: int, when: int, size: int
) -> None:
    """A key whose deletion was truncated away unread is not left behind: the log was read whole, or as it is."""
    log = Log()
    for key, value in values:
        log.append(key, value)
    whole = log.contents()
    reader = Reader(log, None, {}, "")
    for turn in range(200):
        if reader.plan.phase is Phase.READY:
            break
        if turn == when:
            log.truncate(cut)
        reader.read(size, silent=False)
        if reader.plan.phase is Phase.REACHED:
            reader.confirm()
    assert reader.plan.phase is Phase.READY
    assert reader.store in (whole, log.contents())
