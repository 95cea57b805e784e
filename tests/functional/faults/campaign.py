"""Many trials of `chaos`, by seed, one after the other, told in a report that is part of the repository.

Acceptances 1 to 3 of issue 8::

    python -m tests.functional.faults.campaign --guarantee exactly_once --seeds 50 --minutes 60
    python -m tests.functional.faults.campaign --guarantee at_least_once --seeds 50 --minutes 60
    python -m tests.functional.faults.campaign --catalogue 100 --minutes 60

Each app is played with each seed: it draws the plan of faults, and says which kind of broker, which store and how many standbys
(all eight combinations come in turn). ``--brokers local,cluster`` plays each seed on all the brokers named instead. A catalogue's
seed stands for one random order of all kinds of faults, each made when everything has recovered from the one before.

What the report has already is not played again, unless a promise was broken there and the code is another one now. So the command
can be ended at any time and goes on where it was. Several processes share the work with ``--share 1/3``, ``2/3`` and ``3/3``. It
ends with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from faust.testing.faults import Plan
from tests.functional.faults.campaign_report import Books, Case, commit_now, row_of
from tests.functional.faults.chaos import Report, Scene, run, stage
from tests.support.processes import ROOT

__all__ = ["CATALOGUE", "CHOICES", "KINDS", "cases", "scene_of"]

APPS = ("pipe", "count", "group", "rpc")
BROKERS = ("cluster", "local")
CHOICES = (("memory", 0), ("rocksdb", 1), ("memory", 1), ("rocksdb", 0))
"""Store and standbys, in turn by seed."""
PAUSE = 3.0
"""Seconds from one fault to the next."""

_WORKERS: Mapping[str, tuple[float, float]] = {
    "kill": (0.5, 2.0),
    "term": (0.5, 2.0),
    "freeze": (5.0, 8.0),  # beyond session and transaction timeout, 4 s each
    "join": (2.0, 5.0),
}
KINDS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "local": _WORKERS,
    "cluster": {
        **_WORKERS,
        "broker-kill": (1.0, 4.0),
        "broker-freeze": (2.0, 6.0),
        "coordinator": (1.0, 4.0),
        "leader-move": (0.0, 0.0),
        "net-cut": (0.0, 0.0),
    },
}
"""What goes wrong while events flow, by kind of broker."""

CATALOGUE: Mapping[str, tuple[float, float]] = {
    "kill": (0.5, 1.0),
    "wipe": (0.5, 1.0),
    "term": (0.5, 1.0),
    "freeze": (5.0, 6.0),
    "join": (1.0, 2.0),
    "broker-kill": (1.0, 3.0),
    "broker-stop": (1.0, 3.0),
    "broker-freeze": (2.0, 6.0),
    "coordinator": (1.0, 3.0),
    "outage": (1.0, 3.0),
    "leaders": (0.0, 0.0),
    "leader-move": (0.0, 0.0),
    "refuse": (2.0, 5.0),
    "net-stall": (2.0, 6.0),
    "net-cut": (0.0, 0.0),
    "net-refuse": (2.0, 6.0),
    "net-delay": (1.0, 2.0),
    "net-slow": (1.0, 2.0),
    "net-heartbeat": (5.0, 6.0),
    "net-request": (1.0, 2.0),
    "hang": (1.0, 3.0),
    "poison": (0.0, 0.0),
}
"""Pain rows 1 to 5 and 22."""
STARTS_IN_AN_OUTAGE: Mapping[str, Any] = {"broker_request_timeout": 20.0}
"""A worker may be started while all brokers are away; on a busy machine they take more than ten seconds to come back."""

PROMISES = {
    "exactly_once": "Under faults every three seconds a reader that reads committed sees each event once, in order per key; tables,"
    " their changelogs, what is recovered from them and every RocksDB directory are exact.",
    "at_least_once": "Under faults every three seconds nothing is lost, the order per key is kept, and what comes twice was handled"
    " again out of the tails that were not committed when partitions changed hands, counted to the event.",
    "catalogue": "All kinds of faults in random order, one after the other: 30 s after the end of each everything is processed"
    " and committed, without a restart by hand, and nothing is lost.",
}


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Return what a campaign consists of, in the order in which it is played: the widest cover first."""
    for seed in range(1, (options.catalogue or options.seeds) + 1):
        store, standbys = CHOICES[seed % len(CHOICES)]
        if options.catalogue:
            app = APPS[seed % len(APPS)]
            yield Case(options.guarantee, app, "cluster", store, standbys, seed, 0)
            continue
        drawn = BROKERS[seed // len(CHOICES) % len(BROKERS)]
        for broker in options.brokers.split(",") if options.brokers else [drawn]:
            for app in options.apps.split(","):
                yield Case(options.guarantee, app, broker, store, standbys, seed, options.events)


def scene_of(case: Case, rate: float) -> Scene:
    """Return the scene that a case stands for; without events it is an order of the catalogue."""
    if case.events:
        kinds, count = KINDS[case.broker], int((case.events / rate - 4.0) / PAUSE)
        plan = Plan.by_chance(case.seed, kinds, count, pause=PAUSE, every_kind=True)
    else:
        count = len(CATALOGUE)
        plan = Plan.by_chance(case.seed, CATALOGUE, count, pause=0.3, every_kind=True)
    return Scene(
        app=case.app,
        guarantee=case.guarantee,
        store=case.store,
        standbys=case.standbys,
        events=case.events or sys.maxsize,
        rate=rate,
        plan=plan,
        catch_up=not case.events,
        settings={} if case.events else STARTS_IN_AN_OUTAGE,
    )


class Stages:
    """Brokers that serve several trials; one that a broken promise was seen on is not used again."""

    def __init__(self) -> None:
        self._open: dict[str, contextlib.AsyncExitStack] = {}
        self._made: dict[str, dict[str, Any]] = {}

    async def get(self, kind: str) -> dict[str, Any]:
        """Return the arguments of a trial on such a broker."""
        if kind not in self._made:
            stack = self._open[kind] = contextlib.AsyncExitStack()
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="faust-campaign-"))
            self._made[kind] = await stack.enter_async_context(stage(kind, Path(directory)))
        return self._made[kind]

    async def drop(self, kind: str) -> None:
        """End a broker."""
        self._made.pop(kind, None)
        if (stack := self._open.pop(kind, None)) is not None:
            await stack.aclose()

    async def close(self) -> None:
        """End all."""
        for kind in list(self._open):
            await self.drop(kind)


async def play(case: Case, rate: float, stages: Stages) -> Report:
    """Play one case."""
    broker = await stages.get(case.broker)
    with tempfile.TemporaryDirectory(prefix="faust-chaos-") as scratch:
        report = await run(scene_of(case, rate), case.broker, Path(scratch), broker)
    if report.problems or case.broker == "local":
        await stages.drop(case.broker)
    return report


async def campaign(options: argparse.Namespace, books: Books) -> int:
    """Play until the time is over or nothing is left to play; return how many cases broke a promise."""
    commit, ends = commit_now(), time.monotonic() + options.minutes * 60
    stages, broken, played = Stages(), 0, 0
    try:
        share, shares = options.share
        for case in itertools.islice(cases(options), share - 1, None, shares):
            if time.monotonic() >= ends or played == options.runs:
                break
            if case.broker not in options.only.split(",") or not books.wants(case, commit):
                continue
            print(f"{time.strftime('%H:%M:%S')} {' '.join(map(str, case))}", flush=True)
            report = await play(case, options.rate, stages)
            row = row_of(case, report, commit)
            report.again = row["again"]
            books.add(row)
            played += 1
            broken += row["verdict"] == "broken"
            print(report, flush=True)
    finally:
        await stages.close()
    return broken


def share_of(text: str) -> tuple[int, int]:
    """Return which share of how many ``2/3`` is."""
    share, shares = map(int, text.split("/"))
    if not 1 <= share <= shares:
        raise argparse.ArgumentTypeError(
            f"{text} is not one of the shares 1/{shares} to {shares}/{shares}"
        )
    return share, shares


def main() -> None:
    """Play what is not in the report yet, and write it there."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.faults.campaign", description=main.__doc__
    )
    parser.add_argument(
        "--guarantee", choices=("at_least_once", "exactly_once"), default="at_least_once"
    )
    parser.add_argument("--seeds", type=int, default=50, help="seeds 1 to this")
    parser.add_argument(
        "--catalogue", type=int, default=0, help="so many random orders of all kinds, instead"
    )
    parser.add_argument("--apps", default=",".join(APPS))
    parser.add_argument("--brokers", default="", help="each seed on all of these: local, cluster")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="events per second; 8,000, with --catalogue 1,000"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no run after these")
    parser.add_argument(
        "--only", default=",".join(BROKERS), help="leave out what other brokers are drawn for"
    )
    parser.add_argument("--share", type=share_of, default=(1, 1), help="2/3: the second third")
    parser.add_argument("--runs", type=int, default=-1, help="at most so many")
    parser.add_argument("--report", type=Path, default=None, help="the file of lines (.jsonl)")
    options = parser.parse_args()
    options.rate = options.rate or (1_000.0 if options.catalogue else 8_000.0)
    kind = "catalogue" if options.catalogue else options.guarantee
    what = f"--catalogue {options.catalogue}" if options.catalogue else f"--seeds {options.seeds}"
    path = options.report or ROOT / "docs/project" / f"campaign-{kind.replace('_', '-')}.jsonl"
    books = Books(
        path,
        f"Campaign: {kind.replace('_', ' ')}",
        PROMISES[kind],
        f"python -m tests.functional.faults.campaign --guarantee {options.guarantee} {what}",
    )
    raise SystemExit(1 if asyncio.run(campaign(options, books)) else 0)


if __name__ == "__main__":
    main()
