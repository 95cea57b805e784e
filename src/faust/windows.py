"""Tumbling, hopping and sliding windows: pure arithmetic, no clock and no state.

A window contains the times ``start <= t < start + size``: half open, so that neighbours never share a time. What
stands in a table's key is the documented *range*, ``(start, start + size - 0.1)``; its end is only a name. A time
between the named end and the next start (9.95 in ``(0.0, 9.9)``) belongs to the window all the same.

Hopping windows end at the multiples of the step: window *j* is ``[j * step - size, j * step)``. Tumbling windows are
hopping windows whose step is their size. From this the rest follows: the earliest window that contains a time is the
first that ends after it, the latest is the last that begins at or before it.

Floats: a size such as ``0.1`` means one tenth, not the binary number next to it. So bounds are computed as exact
fractions of the decimals that were given and rounded once, to the nearest float; times are compared with those floats.
Thereby the bounds cut the floats into disjoint pieces: every time is in exactly one tumbling window, and in exactly
``size / step`` hopping windows where the step divides the size, whatever their magnitude. For whole seconds the results
are those of plain float arithmetic, and of faust-streaming.

Times of one partition are mostly neighbours, so a window remembers the ranges of its last time together with the
bounds within which they hold; most calls are two comparisons.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from math import floor, inf, isfinite
from typing import ClassVar, TypeAlias

__all__ = [
    "HoppingWindow",
    "SlidingWindow",
    "TumblingWindow",
    "Window",
    "WindowRange",
    "positive_seconds",
    "seconds_not_negative",
]

WindowRange: TypeAlias = tuple[float, float]
"""Start and named end, in seconds since the epoch."""

Seconds: TypeAlias = float | timedelta
"""A number of seconds, or a `timedelta`."""


class Window(abc.ABC):
    """A way to divide time; the base class of all windows.

    Attributes:
        expires: Seconds for which a range is kept after it began; None: for ever.
        tz: Unused; times are seconds since the epoch.
    """

    expires: float | None = None
    tz: ClassVar[None] = None

    @abc.abstractmethod
    def ranges(self, timestamp: float) -> list[WindowRange]:
        """Return the ranges that contain *timestamp*, the earliest first."""

    @abc.abstractmethod
    def current(self, timestamp: float) -> WindowRange:
        """Return the latest range that contains *timestamp*."""

    @abc.abstractmethod
    def earliest(self, timestamp: float) -> WindowRange:
        """Return the first range that contains *timestamp*."""

    @abc.abstractmethod
    def stale(self, timestamp: float, latest_timestamp: float) -> bool:
        """Say whether *timestamp* is too old to be kept when it is *latest_timestamp*; never without `expires`."""

    def delta(self, timestamp: float, d: Seconds) -> WindowRange:
        """Return the latest range of the time *d* (seconds or a `timedelta`) before *timestamp*."""
        return self.current(timestamp - _seconds("delta", d))

    def closes_at(self, window_range: WindowRange) -> float:
        """Return the first time that no longer belongs to *window_range*."""
        return window_range[1]

    def find(self, timestamp: float) -> Sequence[WindowRange]:
        """Return what `ranges` returns, not to be changed: it may be the same object several times."""
        return self.ranges(timestamp)


class HoppingWindow(Window):
    """Windows of *size* seconds; a new one begins every *step* seconds, so they overlap.

    Arguments:
        size: Length of a window, in seconds.
        step: Time from one beginning to the next, in seconds; at most *size*.
        expires: Seconds for which a window is kept after it began; None or 0: for ever.

    Raises:
        TypeError: An argument is neither a number nor a `timedelta`.
        ValueError: An argument is not positive and finite, or *step* is larger than *size*: times in the gaps would
            belong to no window.
    """

    def __init__(self, size: Seconds, step: Seconds, expires: Seconds | None = None) -> None:
        self.size: float = positive_seconds("size", size)
        self.step: float = positive_seconds("step", step)
        self.expires: float | None = positive_seconds("expires", expires) if expires else None
        if self.step > self.size:
            raise ValueError(
                f"a hopping window of {self.size:g} s cannot step by {self.step:g} s: "
                f"times between two windows would belong to none; choose a step of at most {self.size:g} s"
            )
        exact_size, exact_step = Fraction(repr(self.size)), Fraction(repr(self.step))
        self._scale = exact_size.denominator * exact_step.denominator
        self._size_units = int(exact_size * self._scale)
        self._step_units = int(exact_step * self._scale)
        self._from = self._until = inf
        self._cached: tuple[WindowRange, ...] = ()

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """Return the ranges that contain *timestamp*, the earliest first."""
        return list(self.find(timestamp))

    def current(self, timestamp: float) -> WindowRange:
        """Return the latest range that contains *timestamp*."""
        return self.find(timestamp)[-1]

    def earliest(self, timestamp: float) -> WindowRange:
        """Return the first range that contains *timestamp*."""
        return self.find(timestamp)[0]

    def stale(self, timestamp: float, latest_timestamp: float) -> bool:
        """Say whether *timestamp* lies at or before the window that expires at *latest_timestamp*."""
        if self.expires is None:
            return False
        return timestamp <= self.current(latest_timestamp - self.expires)[0]

    def closes_at(self, window_range: WindowRange) -> float:
        """Return the start of the first window that shares no time with *window_range*."""
        number = round((window_range[0] + self.size) / self.step)
        return self._time(number * self._step_units)

    def find(self, timestamp: float) -> tuple[WindowRange, ...]:
        """Return the ranges that contain *timestamp*; the same tuple as long as they are the same.

        Raises:
            ValueError: Floats as large as *timestamp* are further apart than two windows.
        """
        if self._from <= timestamp < self._until:
            return self._cached
        return self._find(timestamp)

    def _find(self, timestamp: float) -> tuple[WindowRange, ...]:
        if not abs(timestamp) < self.step * 2**52:
            raise ValueError(
                f"{timestamp!r} is no time that {self!r} can tell from its neighbours; "
                "times are seconds since the epoch"
            )
        time, size, step = self._time, self._size_units, self._step_units
        first = (
            floor(timestamp / self.step) + 1
        )  # the first to end after it, give or take a rounding
        while time(first * step) <= timestamp:
            first += 1
        while time((first - 1) * step) > timestamp:
            first -= 1
        after = first
        while time(after * step - size) <= timestamp:
            after += 1
        starts = [time(number * step - size) for number in range(first, after)]
        self._cached = tuple((start, start + self.size - 0.1) for start in starts)
        self._from = max(time((first - 1) * step), starts[-1])
        self._until = min(time(first * step), time(after * step - size))
        return self._cached

    def _time(self, units: int) -> float:
        """Return the float nearest to so many units."""
        return units / self._scale

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, HoppingWindow)
            and self.size == other.size
            and self.step == other.step
            and self.expires == other.expires
        )

    def __hash__(self) -> int:
        return hash((self.size, self.step, self.expires))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, step={self.step}, expires={self.expires})"


class TumblingWindow(HoppingWindow):
    """Windows of *size* seconds, one after the other: every time belongs to exactly one.

    Arguments:
        size: Length of a window, in seconds.
        expires: Seconds for which a window is kept after it began; None or 0: for ever.
    """

    def __init__(self, size: Seconds, expires: Seconds | None = None) -> None:
        super().__init__(size, size, expires)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, expires={self.expires})"


class SlidingWindow(Window):
    """One range around each time: from *before* seconds earlier to *after* seconds later.

    Every distinct time has a range of its own, so values of several events do not come together by themselves.

    Arguments:
        before: Seconds before the time, not negative.
        after: Seconds after it, not negative.
        expires: Seconds for which a range is kept; None or 0: for ever.
    """

    def __init__(self, before: Seconds, after: Seconds, expires: Seconds | None) -> None:
        self.before: float = seconds_not_negative("before", before)
        self.after: float = seconds_not_negative("after", after)
        self.expires: float | None = positive_seconds("expires", expires) if expires else None

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """Return the range around *timestamp*."""
        return [self.current(timestamp)]

    def current(self, timestamp: float) -> WindowRange:
        """Return the range around *timestamp*."""
        return (float(timestamp - self.before), float(timestamp + self.after))

    def earliest(self, timestamp: float) -> WindowRange:
        """Return the range around *timestamp*."""
        return self.current(timestamp)

    def stale(self, timestamp: float, latest_timestamp: float) -> bool:
        """Say whether *timestamp* lies `expires` or more before *latest_timestamp*."""
        return self.expires is not None and timestamp <= latest_timestamp - self.expires

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SlidingWindow)
            and self.before == other.before
            and self.after == other.after
            and self.expires == other.expires
        )

    def __hash__(self) -> int:
        return hash((self.before, self.after, self.expires))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(before={self.before}, after={self.after}, "
            f"expires={self.expires})"
        )


def _seconds(name: str, value: object) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or a timedelta, got {value!r}")
    return float(value)


def seconds_not_negative(name: str, value: object) -> float:
    """Return *value*, a number or `timedelta`, as seconds; ValueError when it is negative."""
    seconds = _seconds(name, value)
    if not (isfinite(seconds) and seconds >= 0):
        raise ValueError(
            f"{name} must be a finite number of seconds and not negative, got {value!r}"
        )
    return seconds


def positive_seconds(name: str, value: object) -> float:
    """Return *value*, a number or `timedelta`, as seconds; ValueError when it is not positive."""
    seconds = _seconds(name, value)
    if not (isfinite(seconds) and seconds > 0):
        raise ValueError(f"{name} must be a positive, finite number of seconds, got {value!r}")
    return seconds
