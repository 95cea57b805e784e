"""What exactly-once processing costs, ours and that of quixstreams: whole workers side by side, each result checked.

    python -m benchmarks.bench_exactly_once [--rounds 3] [--workload pipe] [--interval 0.1] [--kafka HOST:PORT]

Two workloads over one topic of eight partitions (see `benchmarks/README.md` for the events): *pipe* reads JSON, changes a field
and sends to another topic; *table* counts by key, with a changelog, in RocksDB on both sides (``--store memory`` for ours in
memory). Both guarantees and both sides take turns within a round, commit by time alone, and read so many events that they work
for ten seconds or more.

Our clock runs from the first event until the last one is committed with all it has caused; that of quixstreams until its
last event only, since nothing public says when its last commit is done. Ratios by CPU time stand beside those by the clock:
the broker, which runs on the same machine, takes CPU from both sides, and not the same from each.

Checked with a reader that reads committed: number and sum of what was sent, sum of the last values in the changelog, committed
offsets.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.kafka import KafkaCluster

from benchmarks.compare import report
from benchmarks.compare.data import events, total_of
from benchmarks.compare.on_kafka import OnKafka
from benchmarks.compare.on_local import OnLocal
from benchmarks.compare.runner import python_of, running
from benchmarks.compare.throughput import quix_changelog

WORKLOADS = {"pipe": "map", "table": "rocksdb"}
"""What `benchmarks.compare` calls them."""
SIDES = {"ours": "app.py", "quix": "quix.py"}
GUARANTEES = ("at_least_once", "exactly_once")
INTERVALS = (0.1, 1.0)
EVENTS = {("ours", "pipe"): 2_000_000, ("ours", "table"): 5_000_000, ("quix", "pipe"): 400_000}
QUIX_TABLE = 400_000
LEAST_OF_OWN = {0.1: 0.5, 1.0: 0.8}
"""What exactly-once has to keep of at-least-once, by commit interval (issue 8, acceptance 9)."""
LEAST_OF_QUIX = 3.0
"""How many times its rate ours has to be (issue 6, acceptance 7; issue 8, acceptance 9)."""


@dataclass(frozen=True)
class Job:
    """One worker's run."""

    side: str
    workload: str
    guarantee: str
    interval: float


class Bench:
    """Runs workers on one broker.

    Args:
        broker: The broker, seen by the runner.
        scratch: A directory for logs and data.
        smaller: Divides the numbers of events.
        store: Of our table: ``rocksdb`` or ``memory``.
        batch: Our ``producer_max_batch_size``; 0: the default.
    """

    def __init__(
        self, broker: OnKafka | OnLocal, scratch: Path, *, smaller: int, store: str, batch: int = 0
    ) -> None:
        self.broker = broker
        self.scratch = scratch
        self.smaller = smaller
        self.store = store
        self.batch = batch
        self._run = f"bench-eos-{time.time_ns() // 1_000_000:x}"
        self._serial = 0

    def size(self, side: str, workload: str) -> int:
        """Return how many events a side reads."""
        return EVENTS.get((side, workload), QUIX_TABLE) // self.smaller

    def topic(self, workload: str) -> str:
        """Return the topic that both sides read; its name says how much is in it, so that a later run finds it."""
        return f"bench-exactly-once-{self.size('ours', workload)}"

    def prepare(self, workload: str) -> None:
        """Write the topic, unless it is there."""
        topic, count = self.topic(workload), self.size("ours", workload)
        if topic not in self.broker.topics():
            self.broker.create(topic)
            self.broker.fill(topic, events(count))
        if sum(self.broker.ends(topic)) != count:
            raise SystemExit(f"topic {topic} does not hold {count} events: delete it")

    def run(self, job: Job) -> dict[str, Any]:
        """Run one worker, check what it did, return its report."""
        self._serial += 1
        name = f"{self._run}-{self._serial}-{job.side}"
        count, workload = self.size(job.side, job.workload), WORKLOADS[job.workload]
        out = f"{name}-out"
        if workload == "map":
            self.broker.create(out)
        variables = {
            "SIDE": "kafka",
            "WORKLOAD": workload,
            "ID": name,
            "BROKER": self.broker.url,
            "TOPIC": self.topic(job.workload),
            "OUT": out,
            "COUNT": count,
            "STORE": f"{self.store}://",
            "GUARANTEE": job.guarantee,
            "INTERVAL": job.interval,
            **({"BATCH": self.batch} if self.batch else {}),
        }
        try:
            with running(python_of(job.side), SIDES[job.side], self.scratch, variables) as worker:
                found = worker.report(timeout=240)
                status = worker.stop(ask=job.side == "ours")
            self._check(job, variables, found, status)
        finally:
            self.broker.delete(name)
            self.broker.delete(f"changelog__{name}")
        return {**job.__dict__, "exit": status, **found}

    def _check(
        self, job: Job, variables: dict[str, Any], found: dict[str, Any], status: int
    ) -> None:
        count, name, topic = variables["COUNT"], variables["ID"], variables["TOPIC"]
        offsets = self.broker.committed(name, topic)
        checks: dict[str, tuple[Any, Any]] = {
            "exit status": (status, 0),
            "events": (found["count"], count),
            "committed": (sum(offset for offset in offsets if offset > 0), count),
        }
        if job.side == "ours":
            checks["sum"] = (found["total"], total_of("json", count))
        if job.workload == "pipe":
            checks["topic written to"] = (
                self.broker.sum_of(variables["OUT"]),
                (count, found["total"] + count),
            )
        else:
            changelog = (
                f"{name}-counts-changelog" if job.side == "ours" else quix_changelog(name, topic)
            )
            checks["changelog"] = (self.broker.sum_of_changelog(changelog), count)
        wrong = [
            f"{what}: {got}, not {wanted}"
            for what, (got, wanted) in checks.items()
            if got != wanted
        ]
        if wrong:
            raise SystemExit(f"{job} gave wrong results: " + "; ".join(wrong))


def rate(row: dict[str, Any]) -> float:
    """Return events per second: until the last commit; quixstreams until its last event."""
    return float(row["settled_rate"] if row["side"] == "ours" else row["rate"])


def per_cpu_second(row: dict[str, Any]) -> float:
    """Return events per second of CPU time of the worker's process, between the same moments."""
    seconds = row["settled_cpu_seconds"] if row["side"] == "ours" else row["cpu_seconds"]
    return float(row["count"] / seconds)


def judge(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each ratio that has a target, by clock and by CPU time, round by round."""
    judged = []
    by_job: dict[Job, dict[int, dict[str, Any]]] = {}
    for row in rows:
        job = Job(row["side"], row["workload"], row["guarantee"], row["interval"])
        by_job.setdefault(job, {})[row["round"]] = row
    for job, ours in by_job.items():
        if job.side != "ours":
            continue
        others = [(Job("quix", job.workload, job.guarantee, job.interval), LEAST_OF_QUIX)]
        if job.guarantee == "exactly_once":
            own = Job("ours", job.workload, "at_least_once", job.interval)
            others.append((own, LEAST_OF_OWN.get(job.interval, 0.0)))
        for other, least in others:
            theirs = by_job.get(other, {})
            rounds = sorted(ours.keys() & theirs.keys())
            if rounds:
                judged.append(
                    {
                        "what": f"{job.workload}, {job.interval:g} s, {job.guarantee}",
                        "against": f"{other.side}, {other.guarantee}",
                        "ratios": [rate(ours[n]) / rate(theirs[n]) for n in rounds],
                        "cpu_ratios": [
                            per_cpu_second(ours[n]) / per_cpu_second(theirs[n]) for n in rounds
                        ],
                        "least": least,
                    }
                )
    return judged


def show(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print rates and ratios; return the ratios."""
    jobs = dict.fromkeys((r["workload"], r["interval"], r["side"], r["guarantee"]) for r in rows)
    lines = []
    for workload, interval, side, guarantee in jobs:
        mine = [
            row
            for row in rows
            if (row["workload"], row["interval"], row["side"], row["guarantee"])
            == (workload, interval, side, guarantee)
        ]
        lines.append(
            [
                f"{workload} {interval:g} s",
                side,
                guarantee,
                report.spread([rate(row) for row in mine], "{:,.0f}"),
                report.spread([per_cpu_second(row) for row in mine], "{:,.0f}"),
                f"{statistics.median(row['seconds'] for row in mine):.1f}",
                f"{max(row['max_rss_kb'] for row in mine) / 1024:.0f}",
            ]
        )
    report.show(
        "events per second; the median (and the spread) of the rounds",
        ["workload", "side", "guarantee", "by the clock", "by CPU time", "seconds", "RSS MiB"],
        lines,
    )
    judged = judge(rows)
    report.show(
        "ratios",
        ["what", "against", "by the clock", "by CPU time", "at least", "holds"],
        [
            [
                each["what"],
                each["against"],
                report.spread(each["ratios"], "{:.2f}"),
                report.spread(each["cpu_ratios"], "{:.2f}"),
                f"{each['least']:g}",
                "yes" if statistics.median(each["ratios"]) >= each["least"] else "MISSED",
            ]
            for each in judged
        ],
    )
    return judged


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smaller", type=int, default=1, help="divide the numbers of events")
    parser.add_argument("--broker", choices=("kafka", "local"), default="kafka")
    parser.add_argument("--kafka", help="host:port of a Kafka that runs; default: start one")
    parser.add_argument("--store", choices=("rocksdb", "memory"), default="rocksdb")
    parser.add_argument("--workload", choices=sorted(WORKLOADS), action="append")
    parser.add_argument("--interval", type=float, action="append")
    parser.add_argument("--side", choices=sorted(SIDES), action="append")
    parser.add_argument("--guarantee", choices=GUARANTEES, action="append")
    parser.add_argument(
        "--batch", type=int, default=0, help="our producer_max_batch_size (quixstreams: a megabyte)"
    )
    parser.add_argument("--fill", action="store_true", help="write the topics, and end")
    options = parser.parse_args()
    sides = options.side or list(SIDES)
    rows = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faust-bench-")))
        broker: OnKafka | OnLocal
        if options.broker == "local":
            broker, sides = OnLocal(scratch / "broker"), ["ours"]
        else:
            server = (
                options.kafka
                or stack.enter_context(KafkaCluster(heap="1g", measured=True)).bootstrap
            )
            broker = OnKafka(server)
        bench = Bench(
            broker, scratch, smaller=options.smaller, store=options.store, batch=options.batch
        )
        workloads = options.workload or list(WORKLOADS)
        for workload in workloads:
            bench.prepare(workload)
        for number in () if options.fill else range(1, options.rounds + 1):
            for job in [
                Job(side, workload, guarantee, interval)
                for workload in workloads
                for interval in options.interval or INTERVALS
                for side in sides
                for guarantee in options.guarantee or GUARANTEES
            ]:
                row = bench.run(job)
                rows.append({"round": number, **row})
                sys.stdout.write(
                    f"  round {number} {job.workload:6}{job.interval:4g} s {job.side:5} {job.guarantee:14}"
                    f"{rate(row):10,.0f}/s, by CPU time {per_cpu_second(row):10,.0f}/s, {row['seconds']:5.1f} s\n"
                )
                sys.stdout.flush()
    if rows:
        report.keep("exactly-once", {"batch": options.batch, "rows": rows, "targets": show(rows)})


if __name__ == "__main__":
    main()
