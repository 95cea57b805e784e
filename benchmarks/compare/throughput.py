"""Events per second of whole workers, side by side, interleaved, each result checked.

A worker's own clock runs from its first event to its last ("rate"), and on until the offset of the last event and
all that hangs on it (changelog, sends) is committed ("settled"). Ratios are taken within a round, between neighbours
in time; the table shows their median, and the smallest and largest in brackets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.compare.data import events, total_of
from benchmarks.compare.on_kafka import OnKafka
from benchmarks.compare.report import Target, spread
from benchmarks.compare.runner import python_of, running

__all__ = [
    "MISSING",
    "OPERATORS",
    "SIDES",
    "TABLES",
    "TARGETS",
    "WORKLOADS",
    "Sizes",
    "Throughput",
    "per_cpu_second",
    "quix_changelog",
    "rate",
    "ratios",
    "summary",
]

WORKLOADS = ("raw", "json", "record", "struct", "table", "map")
OPERATORS = ("fanout", "events", "concurrency", "take", "group_by", "sink")
TABLES = ("rocksdb", "windowed", "sets")
MISSING = {
    ("reference", "struct"),
    *(("bare", workload) for workload in ("record", "struct", "table", *TABLES, *OPERATORS)),
    *(
        ("quix", workload)
        for workload in ("raw", "record", "struct", "windowed", "sets", *OPERATORS)
    ),
}
"""What a side does not have, or is not asked for: a client has neither types nor tables nor streams, faust-streaming no
structs."""
SIDES = ("reference", "quix", "bare", "kafka", "local")

TARGETS = [
    Target("count raw events", "raw", "kafka", "reference", 40.0),
    Target("count raw events", "raw", "kafka", "bare:json", 0.35),
    Target("JSON values to dict", "json", "kafka", "reference", 30.0),
    Target("JSON values to faust.Record", "record", "kafka", "reference", 25.0),
    Target("JSON values to msgspec.Struct", "struct", "kafka", "reference:record", 35.0),
    Target("table += 1, with changelog", "table", "kafka", "reference", 50.0),
    Target("table += 1, in RocksDB", "rocksdb", "kafka", "reference", 60.0),
    Target("table += 1, in RocksDB", "rocksdb", "kafka", "quix", 3.0),
    Target("windowed table += 1", "windowed", "kafka", "reference", 60.0),
    Target("SetTable.add", "sets", "kafka", "reference", 40.0),
    Target("read, map, send", "map", "kafka", "reference", 30.0),
    Target("two agents on one topic", "fanout", "kafka", "reference", 15.0),
    Target("stream.events()", "events", "kafka", "reference", 15.0),
    Target("concurrency=4", "concurrency", "kafka", "reference", 15.0),
    Target("take(100, within=1)", "take", "kafka", "reference", 15.0),
    Target("group_by", "group_by", "kafka", "reference", 15.0),
    Target("agent with a topic as sink", "sink", "kafka", "reference", 15.0),
    *(Target(f"{name} on local://", name, "local", "kafka", 0.6) for name in WORKLOADS),
]


@dataclass(frozen=True)
class Sizes:
    """How many events each side gets of each workload: enough for seconds of work, not for minutes."""

    fast: dict[str, int] = field(
        default_factory=lambda: {
            "raw": 2_000_000,
            "json": 2_000_000,
            "record": 2_000_000,
            "struct": 2_000_000,
            "table": 1_000_000,
            "map": 500_000,
            **dict.fromkeys(TABLES, 1_000_000),
            **dict.fromkeys(("fanout", "events", "concurrency", "take"), 1_000_000),
            **dict.fromkeys(("group_by", "sink"), 400_000),
        }
    )
    reference: dict[str, int] = field(
        default_factory=lambda: {
            **dict.fromkeys(("raw", "json", "record", "events", "take"), 40_000),
            **dict.fromkeys(("table", "fanout", "concurrency"), 20_000),
            **dict.fromkeys(TABLES, 16_000),
            **dict.fromkeys(("map", "group_by", "sink"), 16_000),
        }
    )

    quix: int = 400_000

    def of(self, side: str, workload: str) -> int:
        """Return the number of events."""
        if side == "quix":
            return self.quix
        return (self.reference if side == "reference" else self.fast)[workload]

    def smaller(self, divisor: int) -> Sizes:
        """Return the same with fewer events for the fast sides."""
        fast = {name: count // divisor for name, count in self.fast.items()}
        return Sizes(fast, self.reference, self.quix // divisor)


class Throughput:
    """One comparison.

    Args:
        kafka: The cluster, seen by the runner.
        local: The embedded broker, seen by the runner; None when its side is left out.
        scratch: A directory for logs and data.
    """

    def __init__(self, kafka: OnKafka, local: Any, sizes: Sizes, scratch: Path) -> None:
        self.sizes = sizes
        self.scratch = scratch
        self._brokers = {
            "reference": kafka,
            "quix": kafka,
            "bare": kafka,
            "kafka": kafka,
            "local": local,
        }
        self._filled: dict[str, set[str]] = {"kafka": set(), "local": set()}
        self._run = f"bench-{time.time_ns() // 1_000_000:x}"
        self._serial = 0

    def prepare(self, sides: list[str], workloads: list[str]) -> None:
        """Write the topics that will be read."""
        for side in sides:
            broker = self._brokers[side]
            for workload in workloads:
                if (side, workload) in MISSING:
                    continue
                count = self.sizes.of(side, workload)
                topic = f"{self._run}-events-{count}"
                if topic in self._filled[broker.name]:
                    continue
                self._filled[broker.name].add(topic)
                began = time.perf_counter()
                broker.create(topic)
                broker.fill(topic, events(count))
                rate = count / (time.perf_counter() - began)
                print(f"  {broker.name}: topic {topic} filled at {rate:,.0f}/s", flush=True)

    def clean(self) -> None:
        """Delete the topics of this run."""
        for broker in {id(each): each for each in self._brokers.values() if each}.values():
            broker.delete(self._run)

    def run(self, side: str, workload: str) -> dict[str, Any]:
        """Run one worker to the end of its topic, check what it did, return its report."""
        broker = self._brokers[side]
        count = self.sizes.of(side, workload)
        self._serial += 1
        name = f"{self._run}-{self._serial}-{workload}-{side}"
        topic, out = f"{self._run}-events-{count}", f"{name}-out"
        if workload in {"map", "sink"}:
            broker.create(out)
        variables = {
            "SIDE": side,
            "WORKLOAD": workload,
            "ID": name,
            "BROKER": broker.url,
            "TOPIC": topic,
            "OUT": out,
            "COUNT": count,
            "STORE": "rocksdb://" if workload == "rocksdb" else "memory://",
        }
        program = {"bare": "bare.py", "quix": "quix.py"}.get(side, "app.py")
        try:
            with running(python_of(side), program, self.scratch, variables) as worker:
                report = worker.report(timeout=240)
                status = worker.stop(ask=program == "app.py")
            self._check(broker, variables, report, status)
        finally:
            broker.delete(name)
            if side == "quix":
                broker.delete(f"changelog__{name}")
        return {"side": side, "workload": workload, "exit": status, **report}

    def _check(
        self, broker: Any, variables: dict[str, Any], report: dict[str, Any], status: int
    ) -> None:
        workload, count, name = variables["WORKLOAD"], variables["COUNT"], variables["ID"]
        changelog = f"{name}-counts-changelog"
        total = total_of(workload, count)
        found: dict[str, tuple[Any, Any]] = {
            "exit status": (status, 0),
            "events": (report["count"], count),
            "sum": (report["total"], total),
            "committed offsets": (
                broker.committed(name, variables["TOPIC"]),
                broker.ends(variables["TOPIC"]),
            ),
        }
        if workload == "sink":
            found["topic written to"] = (broker.sum_of(variables["OUT"]), (count, total))
        if workload == "fanout":
            found["second agent"] = (report["second"], {"count": count, "total": total})
        if workload == "map":
            found["topic written to"] = (broker.sum_of(variables["OUT"]), (count, total + count))
        if variables["SIDE"] == "quix":
            changelog = quix_changelog(name, variables["TOPIC"])
        elif workload in {"table", *TABLES}:
            found["table"] = (report["table"], count)
        if workload in {"table", "rocksdb", "windowed"}:
            found["changelog"] = (broker.sum_of_changelog(changelog), count)
        wrong = [
            f"{what}: {got}, not {wanted}" for what, (got, wanted) in found.items() if got != wanted
        ]
        if wrong:
            raise RuntimeError(f"{name} gave wrong results: " + "; ".join(wrong))


def quix_changelog(group: str, topic: str) -> str:
    """Return the changelog topic that quixstreams makes for the state of *topic*."""
    return f"changelog__{group}--{topic}--default"


def ratios(
    rows: list[dict[str, Any]], target: Target, measure: Callable[[dict[str, Any]], float]
) -> list[float]:
    """Return our *measure* divided by the other's, round by round."""
    other, _, workload = target.against.partition(":")
    rates = {(row["round"], row["side"], row["workload"]): measure(row) for row in rows}
    found = []
    for number in sorted({row["round"] for row in rows}):
        ours = rates.get((number, target.side, target.workload))
        theirs = rates.get((number, other, workload or target.workload))
        if ours and theirs:
            found.append(ours / theirs)
    return found


def rate(row: dict[str, Any]) -> float:
    """Return events per second."""
    return float(row["rate"])


def per_cpu_second(row: dict[str, Any]) -> float:
    """Return events per second of CPU time: hardly moved by what else the machine is doing."""
    return float(row["count"] / row["cpu_seconds"])


def summary(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return one line per workload and side for the table of rates."""
    lines = []
    for workload in (*WORKLOADS, *TABLES, *OPERATORS):
        for side in SIDES:
            mine = [row for row in rows if (row["workload"], row["side"]) == (workload, side)]
            if mine:
                cpu = [row["cpu_seconds"] / row["count"] * 1e6 for row in mine]
                lines.append(
                    [
                        workload,
                        side,
                        spread([row["rate"] for row in mine], "{:,.0f}"),
                        spread([row["settled_rate"] for row in mine], "{:,.0f}"),
                        spread(cpu, "{:.2f}"),
                        f"{max(row['max_rss_kb'] for row in mine) / 1024:.0f}",
                    ]
                )
    return lines
