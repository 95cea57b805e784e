"""The tracker of acknowledgements, against the vectors of the specification and a simple model."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from faust._core.offsets import AckTracker


class Model:
    """What the tracker should do, said as plainly as possible: two sets and a maximum."""

    def __init__(self, position: int) -> None:
        self.high = position
        self.delivered: set[int] = set()
        self.acked: set[int] = set()

    @property
    def unfinished(self) -> set[int]:
        return self.delivered - self.acked

    @property
    def safe(self) -> int:
        return min(self.unfinished, default=self.high)

    def ack(self, offset: int) -> bool:
        new = offset in self.unfinished
        if new:
            self.acked.add(offset)
        return new


@pytest.mark.parametrize(
    ("delivered", "acked", "safe"),
    [
        ([0, 1, 2, 3, 4], [4], 0),
        ([0, 1, 2, 3, 4], [0, 1, 4], 2),
        ([10, 15, 16], [10, 16], 15),
        ([10, 15, 16], [10, 16, 15], 17),
        ([0, 5, 6, 7], [0, 5, 6, 7], 8),
        ([3, 4], [4], 3),
        ([10, 15, 16], [16], 10),
        ([], [], 3),
    ],
)
@pytest.mark.parametrize("many", [False, True])
def test_vectors(delivered: list[int], acked: list[int], safe: int, many: bool) -> None:
    """The vectors of transport.md 5.2 (and T10 to T13) give what its column NEW says."""
    tracker = AckTracker(delivered[0] if delivered else 3)
    if many:
        tracker.deliver_many(delivered)
        assert tracker.ack_many(acked) == len(acked)
    else:
        for offset in delivered:
            tracker.deliver(offset)
        assert [tracker.ack(offset) for offset in acked] == [True] * len(acked)
    assert tracker.safe == safe
    assert tracker.unfinished == len(delivered) - len(acked)


def test_position_far_below_log_start() -> None:
    """A log whose head was removed by retention costs nothing per missing offset (BUG-T16)."""
    tracker = AckTracker(0)
    tracker.deliver(10**15)
    assert tracker.safe == 10**15
    assert tracker.ack(10**15)
    assert tracker.safe == 10**15 + 1


def test_nothing_delivered_is_safe_at_the_position() -> None:
    """Before the first delivery the safe offset is where reading starts."""
    assert AckTracker(42).safe == 42


def test_advance_over_a_run_of_markers() -> None:
    """What the log skips behind the last record is safe only once that record is finished."""
    tracker = AckTracker(5)
    tracker.deliver(5)
    tracker.advance(9)
    assert tracker.safe == 5
    tracker.ack(5)
    assert tracker.safe == 9


def test_advance_never_goes_back() -> None:
    """A slice that ends below what another actor was handed does not move the position back."""
    tracker = AckTracker(0)
    tracker.deliver_many([0, 1, 2])
    tracker.advance(1)
    assert tracker.high == 3


def test_ack_says_whether_it_was_new() -> None:
    """Only the first acknowledgement of a delivered offset counts."""
    tracker = AckTracker(0)
    tracker.deliver(0)
    assert not tracker.ack(1)
    assert tracker.ack(0)
    assert not tracker.ack(0)
    assert not tracker.ack(-1)
    assert tracker.ack_many([0, 1, 2]) == 0


@pytest.mark.parametrize("offsets", [[4], [5, 5], [6, 5], [5, 7, 6]])
def test_delivery_out_of_order_is_refused(offsets: list[int]) -> None:
    """Offsets below the position, twice, or descending are an error that changes nothing."""
    tracker = AckTracker(5)
    with pytest.raises(ValueError, match="ascend"):
        tracker.deliver_many(offsets)
    assert (tracker.high, tracker.safe, tracker.unfinished) == (5, 5, 0)


def test_single_delivery_out_of_order_is_refused() -> None:
    """A single delivery below the position names the offset and the position."""
    tracker = AckTracker(0)
    tracker.deliver(7)
    with pytest.raises(ValueError, match=r"offset 3 .* reached 8"):
        tracker.deliver(3)
    with pytest.raises(ValueError, match="offset 7 "):
        tracker.deliver(7)


def test_negative_position_is_refused() -> None:
    """A logical offset such as -1 is not a position."""
    with pytest.raises(ValueError, match="position"):
        AckTracker(-1)


def test_memory_is_bounded_by_what_is_unfinished() -> None:
    """One record that never finishes does not make the tracker remember all that come after it."""

    def size(tracker: AckTracker) -> int:
        return sys.getsizeof(tracker._window) + sys.getsizeof(tracker._pending)

    tracker = AckTracker(0)
    tracker.deliver(0)
    for offset in range(1, 300_000, 100):
        tracker.deliver_many(range(offset, offset + 100))
        for ours in range(offset, offset + 100):
            assert tracker.ack(ours)
    assert tracker.unfinished == 1
    assert tracker.safe == 0
    assert size(tracker) < 64 * 1024
    assert tracker.ack(0)
    assert tracker.safe == tracker.high


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """Make a position, ascending offsets with gaps, and acknowledgements in any order."""
    position = draw(st.integers(0, 50))
    steps = draw(st.lists(st.integers(1, 5), max_size=60))
    offsets = [position + sum(steps[: i + 1]) - 1 for i in range(len(steps))]
    acks = draw(st.permutations(offsets))
    strange = draw(st.lists(st.integers(0, 400), max_size=10))
    return position, offsets, [*acks, *strange]


@given(histories(), st.randoms(use_true_random=False))
def test_interleaved_history_equals_the_model(
    history: tuple[int, list[int], list[int]], rng: random.Random
) -> None:
    """Whatever the gaps, duplicates and interleaving, the tracker says what two sets would say."""
    position, offsets, acks = history
    tracker, model = AckTracker(position), Model(position)
    while offsets or acks:
        if offsets and (not acks or rng.random() < 0.5):
            run = offsets[: rng.randint(1, 6)]
            del offsets[: len(run)]
            if len(run) == 1:
                tracker.deliver(run[0])
            else:
                tracker.deliver_many(run)
            model.delivered.update(run)
            model.high = run[-1] + 1
        else:
            offset = acks.pop(0)
            assert tracker.ack(offset) == model.ack(offset)
        assert tracker.safe == model.safe
        assert tracker.unfinished == len(model.unfinished)


class TrackerMachine(RuleBasedStateMachine):
    """Deliveries, acknowledgements and advances in any order, beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = AckTracker(7)
        self.model = Model(7)
        self.last_safe = 7

    @rule(gap=st.integers(0, 9))
    def deliver(self, gap: int) -> None:
        offset = self.model.high + gap
        self.tracker.deliver(offset)
        self.model.delivered.add(offset)
        self.model.high = offset + 1

    @rule(steps=st.lists(st.integers(1, 4), max_size=400))
    def deliver_many(self, steps: list[int]) -> None:
        offsets = []
        offset = self.model.high - 1
        for step in steps:
            offset += step
            offsets.append(offset)
        self.tracker.deliver_many(offsets)
        self.model.delivered.update(offsets)
        self.model.high = offset + 1

    @rule(by=st.integers(-5, 5))
    def advance(self, by: int) -> None:
        self.tracker.advance(self.model.high + by)
        self.model.high = max(self.model.high, self.model.high + by)

    @rule(offset=st.integers(0, 1000))
    def ack_anything(self, offset: int) -> None:
        assert self.tracker.ack(offset) == self.model.ack(offset)

    @precondition(lambda self: self.model.unfinished)
    @rule(data=st.data())
    def ack_one(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.model.unfinished)))
        assert self.tracker.ack(offset)
        assert self.model.ack(offset)

    @precondition(lambda self: self.model.unfinished)
    @rule(share=st.floats(0, 1), seed=st.integers(0, 99))
    def ack_many(self, share: float, seed: int) -> None:
        offsets = sorted(self.model.unfinished)
        chosen = random.Random(seed).sample(offsets, int(share * len(offsets)))
        assert self.tracker.ack_many(chosen) == len(chosen)
        self.model.acked.update(chosen)

    @invariant()
    def same_as_model(self) -> None:
        assert self.tracker.safe == self.model.safe
        assert self.tracker.high == self.model.high
        assert self.tracker.unfinished == len(self.model.unfinished)

    @invariant()
    def never_goes_back(self) -> None:
        assert self.tracker.safe >= self.last_safe
        self.last_safe = self.tracker.safe


TestTrackerMachine = TrackerMachine.TestCase
TestTrackerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
