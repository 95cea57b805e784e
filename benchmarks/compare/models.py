"""Models side by side: decoding, encoding and construction, in nanoseconds.

Two processes run ``benchmarks/models.py``, ours and the reference's; they take turns, operation sets
at a time, so that whatever else the machine does hits both. Ratios are taken within a turn. What a
constructor costs is compared with a dataclass in the same process and turn.

faust-streaming decodes the records inside of a record when they are first read, ours at once. So
there are two lines for those: *decode* stops at the outer record, *decode and read* when every field
has been read.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compare.runner import ROOT, python_of

__all__ = ["TARGETS", "Target", "judge", "measure"]

PROGRAM = Path(__file__).parents[1] / "models.py"


@dataclass(frozen=True)
class Target:
    """What the ratio of the costs of an operation has to be.

    Attributes:
        operation: What is measured on our side.
        against: ``reference``, or another operation on our side.
        bound: The ratio that is wanted.
        at_most: Ours may cost at most *bound* times the other; else the other costs at least that.
    """

    operation: str
    against: str
    bound: float | None
    at_most: bool = False


TARGETS = [
    Target("decode, 4 fields", "reference", 8),
    Target("decode, nested 12 fields", "reference", 8),
    Target("decode and read, nested 12 fields", "reference", 8),
    Target("decode, list of 3 records", "reference", None),
    Target("decode and read, list of 3 records", "reference", None),
    Target("encode, 4 fields", "reference", 5),
    Target("encode, nested 12 fields", "reference", 5),
    Target("encode, list of 3 records", "reference", 5),
    Target("construct, 4 fields", "dataclass, 4 fields", 2, at_most=True),
    Target("construct, 4 fields by name", "dataclass, 4 fields by name", 2, at_most=True),
    Target("construct, 12 fields", "dataclass, 12 fields", 2, at_most=True),
    Target("construct, 4 fields", "reference", None),
    Target("construct, 12 fields", "reference", None),
]


class _Side:
    """A process that measures when it is asked."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def measure(self) -> dict[str, float]:
        """Measure every operation once."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")
        found: dict[str, float] = json.loads(line)
        return found

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def measure(rounds: int) -> list[dict[str, Any]]:
    """Let both sides measure in turns; return a row per round and side."""
    sides = {"reference": _Side(str(python_of("reference"))), "ours": _Side(sys.executable)}
    rows = []
    try:
        for side in sides.values():
            side.measure()  # warming up
        for number in range(1, rounds + 1):
            for name, side in sides.items():
                rows.append({"round": number, "side": name, "nanoseconds": side.measure()})
    finally:
        for side in sides.values():
            side.stop()
    return rows


def judge(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what each target comes to."""
    by_round: dict[int, dict[str, dict[str, float]]] = {}
    for row in rows:
        by_round.setdefault(row["round"], {})[row["side"]] = row["nanoseconds"]
    judged = []
    for target in TARGETS:
        ours = [turn["ours"][target.operation] for turn in by_round.values()]
        if target.against == "reference":
            other = [turn["reference"][target.operation] for turn in by_round.values()]
        else:
            other = [turn["ours"][target.against] for turn in by_round.values()]
        pairs = zip(ours, other, strict=True)
        ratios = [mine / its if target.at_most else its / mine for mine, its in pairs]
        middle = statistics.median(ratios)
        holds = None
        if target.bound is not None:
            holds = middle <= target.bound if target.at_most else middle >= target.bound
        judged.append(
            {
                "operation": target.operation,
                "against": target.against,
                "ours": ours,
                "other": other,
                "ratios": ratios,
                "bound": target.bound,
                "at_most": target.at_most,
                "holds": holds,
            }
        )
    return judged
