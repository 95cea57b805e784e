"""Latency producer -> topic -> agent -> topic -> consumer, beside producer -> topic -> consumer, in the same run.

Default settings of the worker. The probes' patience is ten seconds: a worker that cannot keep up shows as latencies
that grow to the length of the run.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.compare.on_kafka import OnKafka
from benchmarks.compare.report import spread
from benchmarks.compare.runner import python_of, running, wait_for

__all__ = ["ALLOWED_MS", "ALLOWED_P99", "RATES", "judge", "measure", "summary"]

RATES = (1_000, 10_000)
"""Events per second."""
ALLOWED_MS = {1_000: 1.0, 10_000: 2.0}
"""How much the median with a worker may lie above the one without, in milliseconds, by rate."""
ALLOWED_P99 = 1.5
"""How much larger the 99th percentile with a worker may be than the one without."""


def measure(
    kafka: OnKafka, side: str | None, rate: int, seconds: float, scratch: Path
) -> dict[str, Any]:
    """Run one chain; *side* None is the chain without a worker."""
    name = f"bench-{time.time_ns() // 1_000_000:x}-latency-{side or 'direct'}-{rate}"
    count = int(rate * seconds)
    source, out = f"{name}-in", f"{name}-out"
    kafka.create(source)
    kafka.create(out)
    base: dict[str, object] = {
        "SIDE": side or "direct",
        "WORKLOAD": "forward",
        "BROKER": kafka.url,
        "TOPIC": source,
        "OUT": out if side else source,
        "COUNT": count,
        "STORE": "memory://",
        "RATE": rate,
    }
    try:
        with running(
            python_of("probe"), "probe.py drain", scratch, {**base, "ID": f"{name}-drain"}
        ) as drain:
            wait_for(drain.result.with_suffix(".ready"), drain, 30)
            if side is None:
                report = _feed(base, name, drain, scratch, seconds)
                return {"side": "direct", "rate": rate, **report}
            with running(python_of(side), "app.py", scratch, {**base, "ID": name}) as worker:
                worker.report(timeout=60)
                time.sleep(1.0)
                cpu, switches = worker.usage()
                report = _feed(base, name, drain, scratch, seconds)
                cpu_after, switches_after = worker.usage()
                status = worker.stop()
            if status:
                raise RuntimeError(f"{name}: the worker ended with {status}:\n{worker.tail()}")
            cost = {
                "cpu_us_per_event": (cpu_after - cpu) / count * 1e6,
                "switches_per_event": (switches_after - switches) / count,
            }
            return {"side": side, "rate": rate, **cost, **report}
    finally:
        kafka.delete(name)


def _feed(
    base: dict[str, object], name: str, drain: Any, scratch: Path, seconds: float
) -> dict[str, Any]:
    with running(
        python_of("probe"), "probe.py feed", scratch, {**base, "ID": f"{name}-feed"}
    ) as feed:
        report: dict[str, Any] = drain.report(timeout=seconds * 10 + 60)
        if feed.stop(ask=False):
            raise RuntimeError(f"the feeder failed:\n{feed.tail()}")
    return {"sent": base["COUNT"], **report}


def summary(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return one line per rate and side."""
    lines = []
    for rate in RATES:
        for side in ("direct", "reference", "kafka"):
            mine = [row for row in rows if (row["rate"], row["side"]) == (rate, side)]
            if mine:
                times = [
                    spread([row[k] for row in mine], "{:.2f}")
                    for k in ("p50_ms", "p99_ms", "max_ms")
                ]
                cost = [
                    spread([row[k] for row in mine], form) if side != "direct" else "-"
                    for k, form in (
                        ("cpu_us_per_event", "{:.0f}"),
                        ("switches_per_event", "{:.2f}"),
                    )
                ]
                arrived = f"{sum(r['arrived'] for r in mine):,} of {sum(r['sent'] for r in mine):,}"
                lines.append([f"{rate}", side, *times, *cost, arrived])
    return lines


def judge(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare ours with the chain without a worker, medians over the rounds."""

    def middle(side: str, rate: int, name: str) -> float:
        return statistics.median(r[name] for r in rows if (r["side"], r["rate"]) == (side, rate))

    judged = []
    measured = {row["rate"] for row in rows if row["side"] == "kafka"}
    for rate in (rate for rate in RATES if rate in measured):
        above = middle("kafka", rate, "p50_ms") - middle("direct", rate, "p50_ms")
        ratio = middle("kafka", rate, "p99_ms") / middle("direct", rate, "p99_ms")
        lost = sum(
            r["sent"] - r["arrived"] for r in rows if (r["side"], r["rate"]) == ("kafka", rate)
        )
        for what, found, most in (
            ("p50 above, in ms", above, ALLOWED_MS[rate]),
            ("p99, times as large", ratio, ALLOWED_P99),
            ("events that did not arrive", float(lost), 0.0),
        ):
            judged.append(
                {"rate": rate, "what": what, "is": found, "most": most, "holds": found <= most}
            )
    return judged
