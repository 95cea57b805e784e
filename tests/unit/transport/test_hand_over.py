"""The hand-over of ``kafka://`` between the two threads: order, bound, pauses, jumps, and what cannot be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.exceptions import BrokerError
from faust.messages import TP
from faust.transport.drivers.aiokafka.pump import AT_ONCE, HandOver, Track
from faust.transport.drivers.aiokafka.reader import Run

SIZE = 5
CAPACITY = 4


class Numbered(NamedTuple):
    """A record, as far as it matters."""

    offset: int


class Stage:
    """A hand-over, and who was woken."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.hand_over = HandOver(
            SIZE,
            lambda: self.woken.append("application"),
            lambda: self.woken.append("pump"),
            CAPACITY,
        )

    def put(self, track: Track, lengths: list[int], start: int) -> int:
        """Put a run of batches of so many records each; return the offset after it."""
        batches, begin = [], start
        for length in lengths:
            batches.append(
                (iter([Numbered(n) for n in range(start, start + length)]), start + length)
            )
            start += length
        self.hand_over.put([(track, Run(batches, begin, start))])
        return start

    def offsets(self) -> dict[TP, list[int]]:
        """Take everything that is handed out now."""
        found: dict[TP, list[int]] = {}
        while slices := self.hand_over.collect():
            assert len(slices) <= AT_ONCE
            for each in slices:
                assert len(each.records) <= SIZE
                found.setdefault(each.tp, []).extend(record.offset for record in each.records)
        return found


def track(partition: int = 0) -> Track:
    """Make a track that begins at 0."""
    return Track(TP("topic", partition), 1, 0)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(1, 23), max_size=4)), max_size=12)
)
def test_everything_comes_once_in_order_and_frees_its_room(
    runs: list[tuple[int, list[int]]],
) -> None:
    """Whatever the batches are, slices hold their records in order, and room is as it was when all is taken."""
    stage, tracks, ends = Stage(), [track(n) for n in range(3)], [0, 0, 0]
    for partition, lengths in runs:
        ends[partition] = stage.put(tracks[partition], lengths, ends[partition])
    assert stage.hand_over.room() == CAPACITY * SIZE - sum(ends)
    found = stage.offsets()
    for partition, end in enumerate(ends):
        assert found.get(TP("topic", partition), []) == list(range(end))
        assert tracks[partition].position == end
    assert stage.hand_over.room() == CAPACITY * SIZE


def test_the_pump_is_woken_when_there_is_room_again() -> None:
    """A run that is cut in part still takes its room."""
    stage = Stage()
    stage.put(track(), [SIZE * (AT_ONCE + 1)], 0)
    assert stage.hand_over.room() < 0
    stage.hand_over.pump_waits = True
    assert len(stage.hand_over.collect()) == AT_ONCE
    assert stage.woken == []
    assert len(stage.hand_over.collect()) == 1
    assert stage.woken == ["pump"]


def test_a_pause_in_the_middle_of_a_run_keeps_the_rest() -> None:
    """What a paused partition has takes no room, and comes first when it is resumed, behind nothing of its own."""
    stage, paused, other = Stage(), track(0), track(1)
    end = stage.put(paused, [SIZE * (AT_ONCE + 2)], 0)
    assert [each.next_offset for each in stage.hand_over.collect()][-1] == SIZE * AT_ONCE
    paused.paused = True
    stage.put(other, [3], 0)
    stage.put(paused, [3], end)
    assert stage.offsets() == {other.tp: [0, 1, 2]}
    assert stage.hand_over.room() == CAPACITY * SIZE
    paused.paused = False
    stage.hand_over.resume(paused)
    assert stage.offsets() == {paused.tp: list(range(SIZE * AT_ONCE, end + 3))}


@pytest.mark.parametrize("how", ["seek", "clear"])
def test_a_jump_drops_what_was_cut_in_part(how: str) -> None:
    """Behind a seek nothing of the old track comes, and an assignment that ends frees all room."""
    stage, old = Stage(), track()
    stage.put(old, [SIZE * (AT_ONCE + 2)], 0)
    stage.hand_over.collect()
    new = old.successor(7)
    if how == "clear":
        stage.hand_over.clear()
    stage.put(new, [2], 7)
    assert stage.offsets() == {new.tp: [7, 8]}
    assert stage.hand_over.room() == CAPACITY * SIZE


def test_what_cannot_be_read_names_its_place() -> None:
    """Records are made here; bytes that are none are an error with topic, partition and offset."""

    def damaged() -> Iterator[Numbered]:
        yield from map(Numbered, range(SIZE))
        raise ValueError("not a varint")

    stage = Stage()
    stage.hand_over.put([(track(), Run([(damaged(), 9)], 0, 9))])
    with pytest.raises(BrokerError, match=r"topic\[0\] from offset 5 on: .*not a varint"):
        stage.offsets()


def test_a_place_without_records_is_told() -> None:
    """After a reset, whoever waits for the partition to get somewhere learns where it is."""
    stage, reset = Stage(), track()
    stage.hand_over.put([(reset, Run((), 40, 40))])
    (only,) = stage.hand_over.collect()
    assert (only.records, only.next_offset, reset.position) == ([], 40, 40)
