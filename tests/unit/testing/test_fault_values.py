"""`faust.testing.faults`, what is pure of it: plans and ledgers. Each way in which something may be broken must be seen."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.testing.faults import (
    BROKER_KINDS,
    NET_KINDS,
    WORKER_KINDS,
    Ledger,
    Plan,
    Step,
    compare_table,
)

KINDS = {**WORKER_KINDS, **BROKER_KINDS, **NET_KINDS}


@given(seed=st.integers(0, 10**6), count=st.integers(0, 40), every_kind=st.booleans())
def test_a_plan_is_the_same_again(seed: int, count: int, every_kind: bool) -> None:
    """A plan follows from its seed alone, and its line is read as the plan that was written."""
    plan = Plan.by_chance(seed, KINDS, count, every_kind=every_kind)
    assert len(plan) == count
    assert Plan.by_chance(seed, KINDS, count, every_kind=every_kind) == plan
    assert Plan.parse(str(plan)) == plan
    for step in plan:
        shortest, longest = KINDS[step.kind]
        assert shortest <= step.length <= longest


def test_every_kind_comes_before_one_comes_again() -> None:
    """A catalogue has every kind once per round, in an order that the seed decides."""
    plan = Plan.by_chance(1, KINDS, 2 * len(KINDS), every_kind=True)
    kinds = [step.kind for step in plan]
    assert set(kinds[: len(KINDS)]) == set(kinds[len(KINDS) :]) == set(KINDS)
    other = Plan.by_chance(2, KINDS, len(KINDS), every_kind=True)
    assert [step.kind for step in other] != kinds[: len(KINDS)]


def test_what_may_be_left_out() -> None:
    """Target and length may be left out of a fault."""
    assert Plan.parse("3:kill:1 5:freeze:0:8 1.5:net-cut").steps == (
        Step(3, "kill", 1, 0),
        Step(5, "freeze", 0, 8),
        Step(1.5, "net-cut", 0, 0),
    )


@pytest.mark.parametrize("text", ["kill", "3", "x:kill", "3:kill:one", "3:kill:1:2:3", "3::1"])
def test_what_is_no_fault(text: str) -> None:
    """What cannot be read is shown, with what was expected."""
    with pytest.raises(ValueError, match=f"'{text}' is no fault: expected PAUSE:KIND"):
        Plan.parse(f"3:kill:1 {text}")


def ledger_of(*numbers: int, sent: int = 10) -> Ledger:
    """Close the books on one key."""
    ledger = Ledger()
    for number in numbers:
        ledger.saw("k", number)
    ledger.close({"k": sent})
    return ledger


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([*range(10)], (0, 0, 0, 0)),
        ([*range(7), 5, 6, 7, 8, 9], (0, 2, 0, 0)),
        ([*range(9)], (1, 0, 0, 0)),
        ([0, 1, 2, 4, 5, 6, 7, 8, 9], (1, 0, 0, 0)),
        ([0, 1, 3, 2, *range(4, 10)], (0, 0, 1, 0)),
        ([*range(11)], (0, 0, 0, 1)),
        ([], (10, 0, 0, 0)),
    ],
)
def test_a_ledger_sees(numbers: list[int], found: tuple[int, int, int, int]) -> None:
    """Lost, doubled, out of order and invented events are counted apart."""
    books = ledger_of(*numbers)
    assert (books.lost, books.doubled, books.disordered, books.invented) == found


@given(
    counts=st.dictionaries(st.integers(0, 5), st.integers(1, 30), min_size=1),
    seed=st.integers(0, 10**6),
)
def test_a_ledger_against_a_plain_count(counts: dict[int, int], seed: int) -> None:
    """Whatever is left out or repeated, a ledger counts what a plain count does."""
    chance = random.Random(seed)
    ledger, times = Ledger(), {}
    for key, count in counts.items():
        for number in range(count):
            times[key, number] = chance.choice((0, 1, 1, 1, 2, 3))
            for _ in range(times[key, number]):
                ledger.saw(key, number)
    ledger.close(counts)
    assert ledger.lost == sum(it == 0 for it in times.values())
    assert ledger.doubled == sum(max(0, it - 1) for it in times.values())
    assert (ledger.disordered, ledger.invented) == (0, 0)
    assert ledger.seen == sum(times.values())


def test_tables() -> None:
    """A table that has less is a loss, one that has more a surplus, and an unknown key is told."""
    difference = compare_table({"a": 3, "b": 2, "c": 1}, {"a": 2, "b": 5, "d": 1})
    assert difference.short == {"a": (2, 3), "c": (0, 1)}
    assert difference.surplus == 3
    assert difference.unknown == ["d"]
