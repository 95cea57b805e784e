"""Waits between attempts."""

from __future__ import annotations

import math
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust._core.backoff import Backoff


def test_doubles_up_to_the_bound() -> None:
    """Without jitter the waits double and stay at the bound."""
    delays = Backoff(0.5, 3.0, jitter=0.0)
    assert list(islice(delays, 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert delays.failures == 5


def test_reset_begins_anew() -> None:
    """After a success the next failure waits the shortest time again."""
    delays = Backoff(0.5, 3.0, jitter=0.0)
    list(islice(delays, 4))
    delays.reset()
    assert (delays.failures, next(delays)) == (0, 0.5)


def test_jitter_is_the_injected_chance() -> None:
    """The jitter shortens each wait by the drawn share, also at the bound."""
    draws = iter([0.0, 1.0, 0.5, 0.5])
    delays = Backoff(1.0, 2.0, jitter=0.5, random=lambda: next(draws))
    assert list(islice(delays, 4)) == [1.0, 1.0, 1.5, 1.5]


@given(
    st.floats(0.001, 10),
    st.floats(1, 1000),
    st.floats(1, 10),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_every_wait_is_within_its_bounds(
    initial: float, stretch: float, factor: float, jitter: float, chance: float
) -> None:
    """However many failures, no wait is over the bound or under its share without jitter."""
    maximum = initial * stretch
    delays = Backoff(initial, maximum, factor=factor, jitter=jitter, random=lambda: chance)
    bare = initial
    for delay in islice(delays, 2000):
        assert math.isfinite(delay)
        assert bare * (1 - jitter) * 0.999 <= delay <= maximum
        bare = min(maximum, bare * factor)


def test_default_chance_differs() -> None:
    """Two workers that failed at the same time do not come back at the same time."""
    assert list(islice(Backoff(), 10)) != list(islice(Backoff(), 10))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"initial": 0}, "initial"),
        ({"initial": -1.0}, "initial"),
        ({"initial": 5.0, "maximum": 1.0}, "maximum"),
        ({"factor": 0.5}, "factor"),
        ({"jitter": 1.5}, "jitter"),
        ({"jitter": -0.1}, "jitter"),
        ({"initial": float("nan")}, "initial"),
    ],
)
def test_senseless_arguments_are_named(arguments: dict[str, float], name: str) -> None:
    """An argument out of range is refused with its name."""
    with pytest.raises(ValueError, match=f"^{name}:"):
        Backoff(**arguments)  # type: ignore[arg-type]
