"""Windows: the vectors of windows.md section 1, and what must hold for every window and time."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faust
from faust.windows import HoppingWindow, SlidingWindow, TumblingWindow, Window, WindowRange

H10_5, H10_3, T10 = HoppingWindow(10, 5), HoppingWindow(10, 3), TumblingWindow(10)

VECTORS: list[tuple[Window, float, list[WindowRange]]] = [
    (T10, 0, [(0.0, 9.9)]),
    (T10, 9.95, [(0.0, 9.9)]),
    (T10, 10, [(10.0, 19.9)]),
    (T10, 603.7, [(600.0, 609.9)]),
    (H10_5, 0, [(-5.0, 4.9), (0.0, 9.9)]),
    (H10_5, 4.9, [(-5.0, 4.9), (0.0, 9.9)]),
    (H10_5, 5, [(0.0, 9.9), (5.0, 14.9)]),
    (H10_5, 12, [(5.0, 14.9), (10.0, 19.9)]),
    (H10_5, 14.999, [(5.0, 14.9), (10.0, 19.9)]),
    (H10_5, 15, [(10.0, 19.9), (15.0, 24.9)]),
    (H10_5, -3, [(-10.0, -0.1), (-5.0, 4.9)]),
    (H10_3, 0, [(-7.0, 2.9), (-4.0, 5.9), (-1.0, 8.9)]),
    (H10_3, 8, [(-1.0, 8.9), (2.0, 11.9), (5.0, 14.9), (8.0, 17.9)]),
    (H10_3, 10, [(2.0, 11.9), (5.0, 14.9), (8.0, 17.9)]),
    (H10_3, 11, [(2.0, 11.9), (5.0, 14.9), (8.0, 17.9), (11.0, 20.9)]),
    (H10_3, 12, [(5.0, 14.9), (8.0, 17.9), (11.0, 20.9)]),
    (TumblingWindow(10), 1234567.89, [(1234560.0, 1234569.9)]),
    (TumblingWindow(2.5), 3.2, [(2.5, 4.9)]),
    (HoppingWindow(0.5, 0.5), 100.25, [(100.0, 100.4)]),
    (TumblingWindow(1.5), 100.25, [(99.0, 100.4)]),
    (TumblingWindow(0.1), 0.3, [(0.3, 0.3 + 0.1 - 0.1)]),
    (SlidingWindow(10, 5, 60), 1700000000.123, [(1699999990.123, 1700000005.123)]),
]

sizes = st.one_of(
    st.integers(1, 100_000).map(float),
    st.integers(1, 100_000).map(lambda ms: ms / 1000),
    st.floats(0.001, 1e6),
)
times = st.one_of(
    st.integers(-(10**12), 4 * 10**12).map(lambda ms: ms / 1000), st.floats(-1e9, 4e9)
)


@pytest.mark.parametrize(("window", "timestamp", "expected"), VECTORS)
def test_1_1_ranges(window: Window, timestamp: float, expected: list[WindowRange]) -> None:
    """Ranges, current and earliest are those of the confirmed table (windows.md 1.1, BUG-W2, BUG-W4)."""
    assert window.ranges(timestamp) == expected
    assert window.current(timestamp) == expected[-1]
    assert window.earliest(timestamp) == expected[0]


@pytest.mark.parametrize("window", [T10, H10_5, H10_3, SlidingWindow(1, 1, None)])
def test_1_1_ranges_are_floats(window: Window) -> None:
    """Bounds are floats for whole timestamps too, so keys have one encoding (windows.md 1.1, BUG-W3)."""
    bounds = [bound for window_range in window.ranges(10) for bound in window_range]
    assert [type(bound) for bound in bounds] == [float] * len(bounds)


def test_1_1_ranges_are_the_callers() -> None:
    """A caller that changes the list of ranges changes nothing else (windows.md 1)."""
    window = TumblingWindow(10)
    window.ranges(5).clear()
    assert window.ranges(5) == [(0.0, 9.9)]


@pytest.mark.parametrize(
    ("window", "timestamp", "d", "expected"),
    [
        (H10_5, 12, 5, (5.0, 14.9)),
        (T10, 3, 10, (-10.0, -0.1)),
        (T10, 3, timedelta(seconds=10), (-10.0, -0.1)),
        (SlidingWindow(10, 5, 60), 100, 20, (70.0, 85.0)),
    ],
)
def test_1_1_delta(window: Window, timestamp: float, d: Any, expected: WindowRange) -> None:
    """The delta of a time is the current range of the time before it (windows.md 1.1)."""
    assert window.delta(timestamp, d) == expected


@pytest.mark.parametrize(
    ("window", "timestamp", "now", "stale"),
    [
        (HoppingWindow(10, 5, 60), 39, 100, True),
        (HoppingWindow(10, 5, 60), 40, 100, True),
        (HoppingWindow(10, 5, 60), 40.1, 100, False),
        (HoppingWindow(10, 5, 60), 45, 100, False),
        (HoppingWindow(10, 5, 60), 35, 99.9, True),
        (HoppingWindow(10, 5), 0, 1e9, False),
        (HoppingWindow(10, 5, 0), 0, 1e9, False),
        (SlidingWindow(1, 1, 60), 40, 100, True),
        (SlidingWindow(1, 1, 60), 41, 100, False),
        (SlidingWindow(1, 1, None), 0, 1e9, False),
    ],
)
def test_1_2_staleness(window: Window, timestamp: float, now: float, stale: bool) -> None:
    """Times are stale at or before the window that has expired, never without expiry (windows.md 1.2)."""
    assert window.stale(timestamp, now) is stale


def test_1_attributes() -> None:
    """Windows show what they were made of, in seconds; no expiry is None (windows.md 1, BUG-W1)."""
    hopping = HoppingWindow(timedelta(minutes=1), step=timedelta(seconds=5), expires=timedelta(1))
    assert (hopping.size, hopping.step, hopping.expires, hopping.tz) == (60.0, 5.0, 86400.0, None)
    tumbling = TumblingWindow(60)
    assert (tumbling.size, tumbling.step, tumbling.expires) == (60.0, 60.0, None)
    assert TumblingWindow(60, expires=0).expires is None
    sliding = SlidingWindow(1, timedelta(seconds=2), expires=3)
    assert (sliding.before, sliding.after, sliding.expires) == (1.0, 2.0, 3.0)
    assert isinstance(tumbling, HoppingWindow)


def test_1_exported() -> None:
    """The window types are names of the package (windows.md 1)."""
    assert faust.Window is Window
    assert faust.HoppingWindow is HoppingWindow
    assert faust.TumblingWindow is TumblingWindow
    assert faust.SlidingWindow is SlidingWindow


@pytest.mark.parametrize("bad", ["1/m", None, True, [1]])
def test_1_only_numbers_and_timedeltas(bad: Any) -> None:
    """A size is a number or a timedelta; rates as text are refused (windows.md 1)."""
    with pytest.raises(TypeError, match="number of seconds or a timedelta"):
        TumblingWindow(bad)
    with pytest.raises(TypeError, match="number of seconds or a timedelta"):
        T10.delta(1, bad)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), timedelta(0)])
def test_1_only_sensible_sizes(bad: Any) -> None:
    """A size that no window can have is refused, by the name of the argument (windows.md 1)."""
    with pytest.raises(ValueError, match="size must be a positive"):
        TumblingWindow(bad)
    with pytest.raises(ValueError, match="step must be a positive"):
        HoppingWindow(10, bad)


def test_1_1_gaps_are_refused() -> None:
    """A step larger than the size would lose the times between two windows: refused (windows.md 1.1 NEW)."""
    with pytest.raises(ValueError, match="would belong to none"):
        HoppingWindow(5, 10)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e300])
def test_1_1_times_that_are_none(bad: float) -> None:
    """What is no time is an error at once, not a search without end (windows.md 1.1)."""
    with pytest.raises(ValueError, match="is no time"):
        T10.ranges(bad)


def test_equality() -> None:
    """Windows are equal when they divide time in the same way and keep it as long."""
    assert TumblingWindow(10, 60) == TumblingWindow(10.0, timedelta(minutes=1))
    assert TumblingWindow(10) == HoppingWindow(10, 10)
    assert hash(TumblingWindow(10)) == hash(HoppingWindow(10, 10))
    assert TumblingWindow(10) != TumblingWindow(10, 60)
    assert SlidingWindow(1, 2, 3) == SlidingWindow(1, 2, 3)
    assert hash(SlidingWindow(1, 2, 3)) == hash(SlidingWindow(1, 2, 3))
    assert SlidingWindow(1, 2, 3) != TumblingWindow(3)
    assert repr(T10) == "TumblingWindow(size=10.0, expires=None)"
    assert repr(H10_5) == "HoppingWindow(size=10.0, step=5.0, expires=None)"
    assert repr(SlidingWindow(1, 2, 3)) == "SlidingWindow(before=1.0, after=2.0, expires=3.0)"


@pytest.mark.parametrize(
    ("window", "window_range", "end"),
    [
        (T10, (0.0, 9.9), 10.0),
        (H10_3, (-1.0, 8.9), 9.0),
        (TumblingWindow(0.1), (0.2, 0.2), 0.3),
        (SlidingWindow(1, 2, 3), (0.0, 3.0), 3.0),
    ],
)
def test_closes_at(window: Window, window_range: WindowRange, end: float) -> None:
    """A window closes where the first one begins that shares no time with it."""
    assert window.closes_at(window_range) == end


@given(sizes, times)
def test_pain_34_exactly_one_tumbling_window_contains_a_time(size: float, time: float) -> None:
    """A time is in one tumbling window, and at its end begins another one (windows.md 1.1, pain row 34)."""
    window = TumblingWindow(size)
    [(start, end)] = window.ranges(time)
    after = window.closes_at((start, end))
    assert start <= time < after
    assert window.ranges(start) == [(start, end)]
    assert window.current(after)[0] == after
    assert window.current(time) == window.earliest(time) == (start, end)


@given(st.integers(1, 1000), st.integers(1, 12), st.sampled_from([1, 10, 1000]), times)
def test_pain_34_exactly_size_by_step_hopping_windows_contain_a_time(
    step: int, times_step: int, scale: int, time: float
) -> None:
    """A time is in as many windows as steps fit into the size, sub-second ones too (windows.md 1.1, pain row 34)."""
    window = HoppingWindow(step * times_step / scale, step / scale)
    ranges = window.ranges(time)
    assert len(ranges) == times_step
    for window_range in ranges:
        assert window_range[0] <= time < window.closes_at(window_range)
        assert window.ranges(window_range[0])[-1] == window_range


@given(sizes, st.fractions(Fraction(1, 50), 1), st.lists(times, min_size=1, max_size=5))
def test_pain_34_hopping_windows_of_any_step(
    size: float, share: Fraction, several: list[float]
) -> None:
    """All windows that contain a time and no other are its ranges, whatever was asked before (windows.md 1.1)."""
    window = HoppingWindow(size, max(float(size * share), 0.0001))
    for time in several:
        ranges = window.ranges(time)
        assert ranges == HoppingWindow(window.size, window.step).ranges(time)
        assert ranges == sorted(set(ranges))
        assert all(start <= time < window.closes_at((start, end)) for start, end in ranges)
        count = window.size / window.step
        assert count - 1 < len(ranges) + 1e-3
        assert len(ranges) < count + 1 + 1e-3
        assert window.closes_at((window.earliest(time)[0] - window.step, 0)) <= time
        assert window.current(time) == ranges[-1]
