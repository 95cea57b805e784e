"""The accounts of `tails`: what was handled again, and what may have been; with diaries as workers write them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from faust.messages import TP
from tests.functional.faults.diary import Run, read_diaries
from tests.functional.faults.tails import Harm, settle
from tests.support.processes import start_python

TOPIC = TP("numbers", 0)
KILL = Harm("kill", 10.0, 20.0)

WRITER = """
import time
from pathlib import Path
import sys
from faust.messages import TP
from tests.functional.faults import diary

diary.BREAK = 0.2
book = diary.Diary(Path(sys.argv[1]) / "w1.diary")
for offset in range(5, 10_005):
    book.handles("numbers", 3, offset)
    book.handles("words", 0, offset * 2)
book.committed({TP("numbers", 3): 9_000, TP("others", 1): 7})
time.sleep(0.3)
book.handles("numbers", 3, 10_005)
print("written", flush=True)
time.sleep(60)
"""


def run(worker: str, first: int, reached: int, began: float, last: float, committed: int) -> Run:
    """Make a run that committed at its end."""
    return Run(worker, TOPIC, first, began, reached, last, committed, last)


async def test_a_diary_survives_sigkill(tmp_path: Path) -> None:
    """What was written before SIGKILL can be read: consecutive offsets as one run, a pause or a gap begins another."""
    with start_python(WRITER, str(tmp_path)) as program:
        await program.wait_line()
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    runs = read_diaries(tmp_path)
    numbers = [each for each in runs if each.tp == TP("numbers", 3)]
    assert [(each.first, each.reached, each.committed) for each in numbers] == [
        (5, 10_005, 9_000),
        (10_005, 10_006, -1),
    ]
    assert numbers[0].began < numbers[0].last < numbers[1].began
    assert len([each for each in runs if each.tp == TP("words", 0)]) == 10_000


def test_a_tail_is_counted_to_the_event() -> None:
    """At least once: a successor that begins at the commit handles the tail again; both numbers are exact."""
    account = settle(
        [run("w1", 0, 100, 1.0, 10.0, 80), run("w2", 80, 300, 14.0, 20.0, 300)], [KILL]
    )
    assert not account.problems
    assert (account.handled, account.redone, account.uncommitted) == (320, 20, 20)


def test_a_commit_nobody_heard_of_only_makes_less_of_it() -> None:
    """An acknowledgement that died with the worker: less is handled again than the tail that was known."""
    account = settle(
        [run("w1", 0, 100, 1.0, 10.0, 80), run("w2", 95, 300, 14.0, 20.0, 300)], [KILL]
    )
    assert not account.problems
    assert (account.redone, account.uncommitted) == (5, 20)


def test_beginning_behind_a_commit_is_a_fault() -> None:
    """Who begins behind what was committed does more again than the guarantee allows."""
    account = settle(
        [run("w1", 0, 100, 1.0, 10.0, 80), run("w2", 70, 300, 14.0, 20.0, 300)], [KILL]
    )
    assert ["behind 80" in problem for problem in account.problems] == [True]


def test_stepping_back_without_a_reason_is_a_fault() -> None:
    """A rebalance or SIGTERM leaves no tail: stepping back far from any death is told."""
    runs = [run("w1", 0, 100, 1.0, 10.0, 80), run("w2", 80, 300, 14.0, 20.0, 300)]
    for harms in ([], [Harm("kill", 1.0, 5.0)], [Harm("kill", 15.0, 20.0)]):
        account = settle(runs, harms)
        assert ["stepped back" in problem for problem in account.problems] == [True]


def test_the_event_in_hand_of_a_frozen_worker() -> None:
    """C17: one event that was in hand may be finished after the partition was lost; a second one is a fault."""
    runs = [
        run("w1", 0, 100, 1.0, 10.0, 80),
        run("w2", 80, 300, 14.0, 20.0, 280),
        Run("w1", TOPIC, 100, 16.0, 101, 16.0, -1, 0.0),
    ]
    account = settle(runs, [KILL])
    assert not account.problems
    assert (account.late, account.redone, account.uncommitted) == (1, 21, 21)
    runs[2] = runs[2]._replace(reached=103)
    assert ["that it had lost" in problem for problem in settle(runs, [KILL]).problems] == [True]


def test_a_partition_that_comes_back() -> None:
    """A worker that is given a partition again where it was when it lost it, everything being committed, repeats nothing."""
    runs = [
        run("w1", 0, 100, 1.0, 2.0, 100),
        run("w2", 100, 200, 3.0, 4.0, 200),
        run("w1", 200, 300, 5.0, 6.0, 300),
    ]
    account = settle(runs, [])
    assert not account.problems
    assert account.redone == account.uncommitted == 0
    runs.append(run("w3", 200, 210, 5.5, 5.9, 210))
    assert any("while w1 handled" in problem for problem in settle(runs, [KILL]).problems)
