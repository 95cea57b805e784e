"""Questions answered per second: one process asks many at once, another answers, over Kafka."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.report import spread
from benchmarks.compare.runner import python_of, running

__all__ = ["LEAST", "SIDES", "measure", "ratio", "summary"]

SIDES = ("reference", "kafka")
LEAST = 10.0
"""Times that we answer more questions per second than faust-streaming (issue 5, acceptance 3)."""

COUNTS = {"reference": 1000, "kafka": 10_000}
"""Questions at once: each side gets what keeps it busy for a while."""


def measure(kafka: Any, side: str, rounds: int, scratch: Path) -> dict[str, Any]:
    """Run both processes of a side; return the rate of each round, and the latency of questions one by one."""
    app = f"bench-rpc-{side}-{uuid.uuid4().hex[:8]}"
    count = COUNTS[side]
    common = {"BROKER": kafka.url, "APP": app}
    python = python_of(side)
    with running(python, "rpc_program.py answer", scratch, {**common, "ID": f"{app}-a"}) as callee:
        callee.report(120)
        variables = {**common, "ID": f"{app}-c", "COUNT": count, "ROUNDS": rounds}
        with running(python, "rpc_program.py ask", scratch, variables) as caller:
            report = caller.report(600)
            caller.stop(ask=False, timeout=20)
    kafka.delete(app)
    return {
        "side": side,
        "count": count,
        "rates": [answered / seconds for seconds, answered in report["rounds"]],
        "lost": sum(count - answered for _, answered in report["rounds"]),
        "latency_ms": report["latency_ms"],
        "max_rss_kb": report["max_rss_kb"],
    }


def summary(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Show one line per side."""
    return [
        [
            row["side"],
            f"{row['count']:,}",
            spread(row["rates"], "{:,.0f}"),
            str(row["lost"]),
            f"{row['latency_ms']:.1f}",
            f"{row['max_rss_kb'] / 1024:.0f}",
        ]
        for row in rows
    ]


def ratio(rows: Sequence[dict[str, Any]]) -> float | None:
    """Return how many times the reference's median rate ours is."""
    rates = {row["side"]: statistics.median(row["rates"]) for row in rows}
    return rates["kafka"] / rates["reference"] if len(rates) == 2 else None
