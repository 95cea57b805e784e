"""At least once, to the event: what was handled again, and what stood uncommitted when a partition changed hands. Pure.

With the default guarantee a worker that dies leaves an *uncommitted tail*: events that it has handled and not committed. Its
successor begins where the group's commits end, so it may handle that tail again, and nothing else. From the diaries of all
workers (`diary`) three numbers follow that are counted, not estimated:

* ``redone``: events handled minus different events handled;
* ``uncommitted``: at each takeover that steps back, how far the partition had been handled, minus what was acknowledged as
  committed by then;
* ``doubled``, from the output: each double was handled twice, so it is at most ``redone`` (summed over the topics it came through).

And four things must not be (`Account.problems`):

* a takeover that begins behind a commit which the broker had acknowledged to anybody: more than the tail would be redone;
* a takeover that steps back although nobody died, froze or was cut off: SIGTERM and rebalances leave no tail;
* a worker that goes on with what it has lost: one event that was in hand when it froze may still be finished;
* two workers that handle a partition at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from faust.messages import TP
from tests.functional.faults.diary import Run

__all__ = ["Account", "Harm", "Takeover", "settle"]

OVERLAP = 0.1
"""Seconds by which the last event of one worker may be later than the first of the next: they look at the clock themselves."""


class Harm(NamedTuple):
    """A time in which a worker may lose its partitions with a tail: from the beginning of a fault until the group has settled."""

    kind: str
    begin: float
    end: float


class Takeover(NamedTuple):
    """A run that begins behind what was handled before.

    Attributes:
        run: The run.
        handled: How far the partition had been handled.
        committed: How far that was acknowledged as committed.
        age: Seconds for which the former owner had worked since its last commit.
    """

    run: Run
    handled: int
    committed: int
    age: float

    @property
    def tail(self) -> int:
        """Events that were handled and not committed."""
        return self.handled - self.committed


@dataclass
class Account:
    """The sums.

    Attributes:
        handled: Events handed to agents.
        redone: Of those, events that had been handled before.
        uncommitted: The tails of all takeovers that stepped back, and the events in hand of those that woke up too late.
        takeovers: Those that stepped back.
        late: Events finished by workers that had lost them.
        problems: Broken promises, a sentence each.
    """

    handled: int = 0
    redone: int = 0
    uncommitted: int = 0
    late: int = 0
    takeovers: list[Takeover] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def oldest(self) -> float:
        """Seconds of work that the oldest tail stands for."""
        return max((takeover.age for takeover in self.takeovers), default=0.0)

    def __str__(self) -> str:
        return (
            f"handled again {self.redone:,} of {self.uncommitted:,} that were not committed at"
            f" {len(self.takeovers)} takeovers, the oldest for {self.oldest:.1f} s"
        )


def settle(runs: Iterable[Run], harms: Sequence[Harm]) -> Account:
    """Account for what all workers did.

    Arguments:
        runs: From their diaries.
        harms: When tails may be left.
    """
    account = Account()
    by_tp: defaultdict[TP, list[Run]] = defaultdict(list)
    for run in runs:
        by_tp[run.tp].append(run)
    for tp in sorted(by_tp):
        history = sorted(by_tp[tp], key=attrgetter("began"))
        handled = sum(run.reached - run.first for run in history)
        account.handled += handled
        account.redone += handled - _different(history)
        for index, run in enumerate(history):
            _judge(account, run, history[:index], harms)
    return account


def _different(history: Iterable[Run]) -> int:
    """Count the different offsets of some runs."""
    count, end = 0, -1
    for first, reached in sorted((run.first, run.reached) for run in history):
        count += max(0, reached - max(first, end))
        end = max(end, reached)
    return count


def _judge(account: Account, run: Run, before: Sequence[Run], harms: Sequence[Harm]) -> None:
    """Look at how one run begins."""
    others = [each for each in before if each.worker != run.worker]
    overlapping = [each for each in others if each.last > run.began + OVERLAP]
    committed = max((each.committed for each in before), default=0)
    handled = max((each.reached for each in before), default=0)
    place = f"{run.tp.topic}[{run.tp.partition}]: {run.worker} at {run.first}"
    if _is_late(run, before) and (overlapping or run.first < committed):
        events = run.reached - run.first
        account.late += events
        account.uncommitted += events
        if events > 1:
            account.problems.append(f"{place} handled {events} events that it had lost")
        return
    if overlapping:
        account.problems.append(
            f"{place} began while {overlapping[0].worker} handled the partition"
        )
    if run.first < committed:
        account.problems.append(f"{place} began behind {committed}, which was committed")
    if run.first >= handled:
        return
    owner = max(before, key=lambda each: (each.reached, each.last))
    since = max((e.committed_at for e in before if e.committed >= owner.first), default=owner.began)
    committed = max(0, committed)
    takeover = Takeover(run, handled, committed, max(0.0, owner.last - since))
    account.takeovers.append(takeover)
    account.uncommitted += max(takeover.tail, 0)
    if not any(harm.begin <= run.began and owner.last <= harm.end for harm in harms):
        account.problems.append(
            f"{place} stepped back from {handled} though nothing had happened that may leave a tail"
        )


def _is_late(run: Run, before: Sequence[Run]) -> bool:
    """Say whether a worker goes on where it was, although somebody else has begun since."""
    own = [each for each in before if each.worker == run.worker]
    if not own or own[-1].reached != run.first:
        return False
    return any(each.worker != run.worker and each.began > own[-1].last for each in before)
