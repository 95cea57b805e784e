"""Does a whole application stay as it is? Everything at once, at a steady rate, for an hour, while a worker comes and goes.

``python -m tests.soak.full --minutes 60 --rate 20000 [--broker kafka]`` runs `tests.soak.full_app`: group_by, a plain table, one in
RocksDB, one with windows that close, a sink, and a web server that is asked once a second. In every minute a second worker joins
and leaves again. Every minute it prints a line about the worker that stays; at the end a verdict, and exit status 0 if all holds:

* every number came out of the sink, and is counted in every table and (without ``--ahead``) in every window that has closed;
* resident memory: the growth over the second half, by the median slope between any two lines (Theil-Sen), is at most 5 % and 4 MB;
* no type has over 20 % and 2,000 more live objects at the end than after the first quarter;
* files and threads: at most 10 % and 4 more at any time in the last quarter than at any time before half (RocksDB has more or
  fewer files before and after it merges them);
* latency from the time a number was due (with ``--ahead``: was sent) to the sink: the median of the last quarter is at most twice
  that of the second, and 0.1 s;
* ``/metrics`` always answered 200, ``/health/ready`` and the page of a table mostly (a rebalance takes a moment);
* the second worker always ended with status 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path

from tests.soak.fullrun import Run
from tests.soak.memory import broker_url
from tests.soak.meter import growing, slope
from tests.soak.minutes import Minute

__all__ = ["Verdict", "soak"]

MEMORY = (0.05, 4e6)
"""Share, and bytes, by which memory may grow over the second half."""
LATENCY = (2.0, 0.1)
"""Factor, and seconds, by which latency may grow from the second quarter to the last."""
ANSWERED = 0.7
"""Share of the answers of ``/health/ready`` and of a table's page that must be 200."""


class Verdict:
    """What came out.

    Attributes:
        faults: What did not hold; empty when all did.
        figures: What was measured, in sentences.
    """

    def __init__(self, run: Run) -> None:
        self.faults = list(run.faults)
        self.figures: list[str] = []
        self._lines = run.lines
        self._length = run.lines[-1].seconds
        self._judge_memory()
        self._judge_objects()
        self._judge_latency()
        self._judge_answers(run)
        self.figures.append(
            f"{run.feeder.sent:,} sent, {run.passed:,} different ones out of the sink, {run.doubled:,} twice; "
            f"{run.windows:,} closed windows looked at; {run.visits} visits of a second worker"
        )

    def _part(self, begin: float, end: float) -> list[Minute]:
        count = len(self._lines)
        return self._lines[round(begin * count) : round(end * count)]

    def _judge_memory(self) -> None:
        second = self._part(0.5, 1.0)
        for what, name in (("rss", "resident memory"), ("blocks", "small blocks of Python")):
            middle = statistics.median(getattr(m, what) for m in second)
            grown = slope([(m.seconds, getattr(m, what)) for m in second]) * self._length / 2
            self.figures.append(
                f"{name}: median of the second half {middle:,.0f}, growth over it {grown:+,.0f}"
            )
            if what == "rss" and grown > MEMORY[0] * middle + MEMORY[1]:
                self.faults.append(f"{name} grew by {grown / 1e6:.1f} MB in the second half")

    def _judge_objects(self) -> None:
        first, last = self._part(0.0, 0.25)[-1], self._lines[-1]
        for name, (was, number) in growing(first.objects, last.objects).items():
            self.faults.append(f"{name}: {was:,} objects became {number:,}")
        for what in ("files", "threads"):
            before = max(getattr(m, what) for m in self._part(0.0, 0.5))
            after = max(getattr(m, what) for m in self._part(0.75, 1.0))
            self.figures.append(
                f"{what}: at most {before} in the first half, {after} in the last quarter"
            )
            if after > before * 1.1 + 4:
                self.faults.append(f"{what}: {before} became {after}")

    def _judge_latency(self) -> None:
        for what in ("p50", "p99"):
            before, after = (
                statistics.median(getattr(m, what) for m in part)
                for part in (self._part(0.25, 0.5), self._part(0.75, 1.0))
            )
            self.figures.append(
                f"latency {what}: median of the second quarter {before:.3f} s, of the last {after:.3f} s"
            )
            if what == "p50" and after > before * LATENCY[0] + LATENCY[1]:
                self.faults.append(f"latency grew from {before:.3f} to {after:.3f} s")

    def _judge_answers(self, run: Run) -> None:
        for path, statuses in run.answers.items():
            share = statuses[200] / max(statuses.total(), 1)
            self.figures.append(f"{path}: {dict(statuses)}")
            if share < (1.0 if path == "/metrics" else ANSWERED):
                self.faults.append(f"{path} answered 200 only in {share:.1%} of the times")

    def __str__(self) -> str:
        rows = [*self.figures, *(f"FAULT: {fault}" for fault in self.faults or ["none"])]
        return "\n".join(rows)


async def soak(
    broker: str, minutes: float, rate: int, *, every: float = 60.0, ahead: float | None = None
) -> Verdict:
    """Run the application for so long, with a line and a visit of a second worker *every* so many seconds.

    With *ahead* no more numbers are under way than come in so many seconds.
    """
    with tempfile.TemporaryDirectory(prefix="faust-soak-") as scratch:
        run = Run(broker, Path(scratch), rate=rate, seconds=minutes * 60, every=every, ahead=ahead)
        await run.run()
    return Verdict(run)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.full", description="Does a whole application stay as it is?"
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=20_000, help="numbers per second")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two lines")
    parser.add_argument(
        "--ahead",
        type=float,
        help="on a machine that others use: let no more be under way than comes in so many seconds",
    )
    parser.add_argument("--broker", choices=["local", "kafka"], default="kafka")
    options = parser.parse_args()
    if options.minutes * 60 < options.every * 4:
        parser.error("there must be at least four lines: more --minutes, or a smaller --every")
    print(json.dumps(vars(options)), flush=True)
    with broker_url(options.broker) as url:
        running = soak(url, options.minutes, options.rate, every=options.every, ahead=options.ahead)
        verdict = asyncio.run(running)
    print(verdict)
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
