"""Tables, targets, and the file that keeps a run."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.compare.runner import ROOT

__all__ = ["Target", "keep", "show", "spread"]


@dataclass(frozen=True)
class Target:
    """What a ratio has to be at least.

    Attributes:
        against: A side, or ``side:workload`` to compare with another workload of it.
    """

    title: str
    workload: str
    side: str
    against: str
    least: float


def spread(values: Sequence[float], form: str) -> str:
    """Show the median of *values*, and the smallest and largest when there are several."""
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))}..{form.format(max(values))})"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if os.isatty(1) else 140).print(table)


def keep(kind: str, content: dict[str, Any]) -> Path:
    """Write a run to ``benchmarks/results`` and return the file."""
    directory = ROOT / "benchmarks" / "results"
    directory.mkdir(exist_ok=True)
    path = directory / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{kind}.json"
    path.write_text(json.dumps({"machine": _machine(), **content}, indent=1) + "\n")
    print(f"kept in {path.relative_to(ROOT)}")
    return path


def _machine() -> dict[str, Any]:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit,
        "load": os.getloadavg()[0],
        **{name: version(name) for name in ("faust", "aiokafka", "confluent-kafka", "orjson")},
    }
