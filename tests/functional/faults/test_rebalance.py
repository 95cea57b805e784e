"""Acceptance 5 of the foundation in a minute per broker; `rebalance` is the long version.

The checks themselves are tested as well, on stories that are told to them: each broken promise must be seen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.faults.checking import Fault, Limits, Report, check
from tests.functional.faults.rebalance import play
from tests.functional.faults.recording_app import ASSIGNED, COMMITTED, HANDED, Entry

ON_BROKERS = pytest.mark.parametrize(
    "broker_url",
    ["local", pytest.param("kafka", marks=pytest.mark.kafka)],
    indirect=True,
)
"""``memory://`` lives in one process: it has no workers to be killed and frozen one by one."""


@ON_BROKERS
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_faults_of_every_kind_keep_the_promises(broker_url: str, tmp_path: Path) -> None:
    """Join, SIGTERM, SIGKILL and freeze: no gap, no needless double, short silences, nothing done to what was lost."""
    report = await play(
        broker_url, tmp_path, rate=1200, seed=1, faults=["join", "leave", "kill", "freeze"]
    )
    assert not report.problems, str(report)
    assert report.events > 0
    assert report.figures["kill"].doubles + report.figures["freeze"].doubles == report.doubles


# -- the checks can fail


def handed(numbers: range, generation: int, start: float, step: float = 0.1) -> list[Entry]:
    """Tell of events of partition 0 handed out at a steady pace."""
    return [
        Entry(HANDED, start + step * index, 0, number, generation)
        for index, number in enumerate(numbers)
    ]


def verdict(*faults: Fault, count: int = 20, **logs: list[Entry]) -> Report:
    """Check a story of one partition, with limits of 3, 5 and 13 s."""
    return check(logs, [Fault("start", 0.0, "-"), *faults], {0: count}, Limits(anybody=13.0))


def test_a_good_story_has_no_problem() -> None:
    """Going on where the former owner has committed is what is promised."""
    commit = Entry(COMMITTED, 2.0, 0, 10, 1)
    report = verdict(
        Fault("leave", 1.95, "a"),
        a=[*handed(range(10), 1, 1.0), commit],
        b=handed(range(10, 20), 2, 2.1),
    )
    assert report.problems == []
    assert (report.events, report.doubles) == (20, 0)


def test_doubles_behind_a_kill_are_counted_and_allowed() -> None:
    """The uncommitted tail of a worker that died comes again."""
    commit = Entry(COMMITTED, 1.75, 0, 7, 1)
    report = verdict(
        Fault("kill", 2.0, "a"),
        a=[*handed(range(10), 1, 1.0), commit],
        b=handed(range(7, 20), 2, 4.0),
    )
    assert report.problems == []
    assert report.figures["kill"].doubles == 3


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (handed(range(11, 20), 2, 2.1), "gap, 11 was handed out when 10 was next"),
        (handed(range(8, 20), 2, 2.1), "begins at 8, but 9 was committed"),
        (handed(range(9, 20), 2, 2.1), "handed out again by b"),
        (handed(range(10, 19), 2, 2.1), "19 of 20 events"),
        (handed(range(10, 20), 2, 6.0), "was silent for 4.05 s"),
        (handed(range(10, 20), 1, 2.1), "both have it in generation 1"),
        (
            [*handed(range(10, 20), 2, 2.1), Entry(COMMITTED, 4.0, 0, 21, 2)],
            "handed events up to 20 only",
        ),
        (
            [*handed(range(10, 20), 2, 2.1), Entry(COMMITTED, 4.0, 0, 8, 2)],
            "9 had been committed by a",
        ),
    ],
)
def test_a_broken_promise_is_seen(story: list[Entry], words: str) -> None:
    """Each way in which the new owner of a partition may go wrong is a problem, and says which."""
    commit = Entry(COMMITTED, 1.95, 0, 9, 1)
    bystander = handed(range(0), 1, 0.0)
    report = verdict(
        Fault("join", 1.95, "c"),
        a=[*handed(range(10), 1, 1.0), commit],
        b=story,
        c=bystander,
    )
    if "silent" in words:  # the limit of 3 s is for partitions that stay where they are
        report = verdict(Fault("join", 1.95, "c"), a=[*handed(range(10), 1, 1.0), *story])
    assert any(words in problem for problem in report.problems), str(report)


def test_a_worker_that_wakes_up_and_goes_on_is_seen() -> None:
    """One event in hand at a thaw is allowed, a second one and any commit are not."""
    faults = [Fault("freeze", 2.0, "a"), Fault("thaw", 7.0, "a")]
    before = [Entry(ASSIGNED, 0.5, 0, 0, 1), *handed(range(10), 1, 1.0)]
    others = handed(range(10, 20), 2, 5.0)
    one = handed(range(10, 11), 1, 7.0)
    two = handed(range(10, 12), 1, 7.0)
    commit = Entry(COMMITTED, 7.5, 0, 10, 1)
    assert verdict(*faults, a=[*before, *one], b=handed(range(10, 60), 2, 5.0), count=60).late == 1
    assert any(
        "2 events of generation 1" in p
        for p in verdict(*faults, a=[*before, *two], b=others).problems
    )
    assert any(
        "committed 10 of partition 0" in p
        for p in verdict(*faults, a=[*before, commit], b=others).problems
    )
