"""From the files of all workers to a verdict: gaps, repetitions, silences, and who touched what it had lost.

Order. A partition has one owner in one generation, so its events are put in the order (generation, time); an event
that a frozen worker still had in hand when it woke up belongs to its old generation and is no step back of the new one.

What is checked, per partition:

* within a generation every sequence number is the one after the former;
* a new generation begins at the latest where the former ended (no gap) and at the earliest at the last offset that a
  former generation is known to have committed (never back by more than the uncommitted tail);
* commits never go back, and never beyond what was handed out;
* faults of a kind that must double nothing are followed by a generation that doubles nothing;
* silences, which are the times between two events, are below the limit of the fault they lie behind;
* a worker that was frozen past its session commits nothing of its old generation and hands out one event of it at most.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from tests.functional.faults.recording_app import ASSIGNED, COMMITTED, HANDED, Entry

__all__ = ["Fault", "Figures", "Limits", "Report", "check"]

DOUBLES_NOTHING = frozenset({"start", "join", "leave", "thaw"})


class Fault(NamedTuple):
    """Something done to a worker.

    Attributes:
        kind: ``start`` (the first workers), ``join``, ``leave`` (SIGTERM), ``kill``, ``freeze`` or ``thaw``.
        at: Monotonic seconds.
        worker: Name of the worker it was done to.
    """

    kind: str
    at: float
    worker: str


class Limits(NamedTuple):
    """Seconds that a partition may be silent."""

    anybody: float
    """Any partition after any fault: session timeout + 10."""
    staying: float = 3.0
    """A partition that stays where it is when a worker joins, or leaves by SIGTERM."""
    survivors: float = 5.0
    """A partition of another worker than the one that died."""


@dataclass
class Figures:
    """What was measured behind the faults of one kind; times in seconds, ``nan`` where nothing was."""

    faults: int = 0
    doubles: int = 0
    anybody: float = 0.0
    others: float = 0.0
    """Longest silence of partitions that were not the worker's and are where they were before."""


@dataclass
class Report:
    """The verdict.

    Attributes:
        problems: Broken promises, a sentence each.
        events: Different events handed out.
        doubles: Events handed out again.
        late: Events of an old generation handed out after a thaw (one in hand is allowed per thaw).
        figures: By kind of fault.
    """

    problems: list[str] = field(default_factory=list)
    events: int = 0
    doubles: int = 0
    late: int = 0
    generations: int = 0
    figures: dict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))

    def _summary(self) -> str:
        return (
            f"{self.events} events, {self.generations} generations, {self.doubles} handed out again, "
            f"{self.late} in hand at a thaw"
        )

    def __str__(self) -> str:
        lines = [
            self._summary(),
            f"{'fault':<8}{'times':>6}{'doubles':>9}{'longest silence':>17}{'of others':>11}",
        ]
        lines += [
            f"{kind:<8}{f.faults:>6}{f.doubles:>9}{f.anybody:>15.2f} s{f.others:>9.2f} s"
            for kind, f in self.figures.items()
        ]
        lines += [f"PROBLEM: {problem}" for problem in self.problems] or ["no problem"]
        return "\n".join(lines)


class _Did(NamedTuple):
    """An entry, and whose it is."""

    generation: int
    at: float
    number: int
    worker: str


def check(
    logs: Mapping[str, Sequence[Entry]],
    faults: Sequence[Fault],
    produced: Mapping[int, int],
    limits: Limits,
) -> Report:
    """Compare what the workers did with what was promised.

    Arguments:
        logs: Entries by worker.
        faults: In the order they were made; the first is ``start``.
        produced: Events by partition, numbered from 0.
        limits: Of silences.
    """
    report = Report()
    for fault in faults:
        report.figures[fault.kind].faults += 1
    report.generations = len({entry.generation for log in logs.values() for entry in log})
    handed = _by_partition(logs, HANDED)
    commits = _by_partition(logs, COMMITTED)
    for partition, count in produced.items():
        events = handed[partition]
        _check_sequence(report, faults, partition, events, commits[partition], count)
        _check_commits(report, partition, events, commits[partition])
        _check_silences(report, faults, partition, events, limits)
    for fault, thaw in pairwise(faults):
        if fault.kind == "freeze":
            _check_frozen(report, fault, thaw, logs[fault.worker])
    return report


def _by_partition(logs: Mapping[str, Sequence[Entry]], kind: str) -> defaultdict[int, list[_Did]]:
    found: defaultdict[int, list[_Did]] = defaultdict(list)
    for worker, log in logs.items():
        for entry in log:
            if entry.kind == kind:
                did = _Did(entry.generation, entry.at, entry.number, worker)
                found[entry.partition].append(did)
    for each in found.values():
        each.sort()
    return found


def _fault_before(faults: Sequence[Fault], at: float) -> Fault:
    return faults[max(0, bisect_right(faults, at, key=attrgetter("at")) - 1)]


def _check_sequence(
    report: Report,
    faults: Sequence[Fault],
    partition: int,
    events: Sequence[_Did],
    commits: Sequence[_Did],
    count: int,
) -> None:
    """No gap, no step back behind a commit, no doubles where there must be none."""
    expected = 0  # the next new number
    start = previous = None
    for event in events:
        if previous is None or event.generation != previous.generation:
            start = event
            floor = max((c.number for c in commits if c.generation < event.generation), default=0)
            if event.number < floor:
                report.problems.append(
                    f"partition {partition}: generation {event.generation} begins at {event.number}, but {floor} was"
                    " committed"
                )
        elif event.worker != previous.worker:
            report.problems.append(
                f"partition {partition}: {previous.worker} and {event.worker} both have it in generation"
                f" {event.generation}"
            )
        elif event.number != previous.number + 1:
            report.problems.append(
                f"partition {partition}: {event.number} follows {previous.number} in generation {event.generation}"
            )
        previous = event
        assert start is not None
        if event.number > expected:
            report.problems.append(
                f"partition {partition}: gap, {event.number} was handed out when {expected} was next"
            )
        if event.number < expected:
            _note_double(report, _fault_before(faults, start.at), partition, event)
        else:
            expected = event.number + 1
    report.events += expected
    if expected != count:
        report.problems.append(f"partition {partition}: {expected} of {count} events handed out")


def _note_double(report: Report, fault: Fault, partition: int, event: _Did) -> None:
    report.doubles += 1
    report.figures[fault.kind].doubles += 1
    if fault.kind in DOUBLES_NOTHING:
        report.problems.append(
            f"partition {partition}: {event.number} was handed out again by {event.worker} in generation"
            f" {event.generation}, after {fault.kind} of {fault.worker}"
        )


def _check_commits(
    report: Report, partition: int, events: Sequence[_Did], commits: Sequence[_Did]
) -> None:
    for former, commit in pairwise(commits):
        if commit.number < former.number:
            report.problems.append(
                f"partition {partition}: {commit.worker} committed {commit.number} in generation {commit.generation},"
                f" {former.number} had been committed by {former.worker} in generation {former.generation}"
            )
    reached: dict[int, int] = {}
    for event in events:
        reached[event.generation] = max(reached.get(event.generation, 0), event.number + 1)
    for commit in commits:
        if commit.number > reached.get(commit.generation, 0):
            report.problems.append(
                f"partition {partition}: {commit.worker} committed {commit.number} in generation {commit.generation},"
                f" which was handed events up to {reached.get(commit.generation, 0)} only"
            )


def _check_silences(
    report: Report,
    faults: Sequence[Fault],
    partition: int,
    events: Sequence[_Did],
    limits: Limits,
) -> None:
    by_time = sorted(events, key=attrgetter("at"))
    times = [event.at for event in by_time]
    for index, fault in enumerate(faults):
        if fault.kind == "start":
            continue
        end = faults[index + 1].at if index + 1 < len(faults) else math.inf
        first = max(0, bisect_right(times, fault.at) - 1)
        last = bisect_right(times, end)
        if last >= len(times):  # the last fault: up to the last event
            last = len(times) - 1
        if last <= first:
            report.problems.append(
                f"partition {partition}: nothing after {fault.kind} of {fault.worker}"
            )
            continue
        # What reaches over the next fault is that one's silence from there on.
        silence = max(min(b, end) - max(a, fault.at) for a, b in pairwise(times[first : last + 1]))
        before, after = by_time[first].worker, by_time[last - 1].worker
        others = before == after != fault.worker
        figures = report.figures[fault.kind]
        figures.anybody = max(figures.anybody, silence)
        allowed = limits.anybody
        if others:
            figures.others = max(figures.others, silence)
        if others and fault.kind in {"join", "leave"}:
            allowed = limits.staying
        elif before != fault.worker and fault.kind == "kill":
            allowed = limits.survivors
        whole = max(b - max(a, fault.at) for a, b in pairwise(times[first : last + 1]))
        if whole >= limits.anybody:
            silence, allowed = whole, limits.anybody
        if silence >= allowed:
            report.problems.append(
                f"partition {partition} ({before}, then {after}) was silent for {silence:.2f} s after {fault.kind} of"
                f" {fault.worker}, {allowed:.0f} s are allowed"
            )


def _check_frozen(report: Report, freeze: Fault, thaw: Fault, log: Sequence[Entry]) -> None:
    """C17: awake again, it leaves alone what it has lost."""
    assigned = [e.generation for e in log if e.kind == ASSIGNED and e.at < freeze.at]
    old = max(assigned, default=-1)
    late = [e for e in log if e.at >= thaw.at and e.generation <= old]
    handed = sum(e.kind == HANDED for e in late)
    report.late += handed
    if handed > 1:
        report.problems.append(
            f"{freeze.worker} handed out {handed} events of generation {old} after it was frozen past its session"
        )
    for entry in late:
        if entry.kind == COMMITTED:
            report.problems.append(
                f"{freeze.worker} committed {entry.number} of partition {entry.partition} in generation {old} after"
                " it was frozen past its session"
            )
