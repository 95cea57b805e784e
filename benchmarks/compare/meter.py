"""The clock of one worker: from its first event to its last, and on to the commit.

Only the standard library, because this file also runs in the virtualenv of faust-streaming.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

__all__ = ["Meter", "environment"]


def environment(name: str) -> str:
    """Return a variable that the runner sets; say which one is missing."""
    try:
        return os.environ[f"BENCH_{name}"]
    except KeyError:
        raise SystemExit(
            f"BENCH_{name} is not set: this program is started by `python -m benchmarks.compare`"
        ) from None


class Meter:
    """Take the time at the first event, at the last one, and when its offset is committed.

    Args:
        count: How many events make the job.
        result: The JSON file for the runner; written when everything is committed.
    """

    def __init__(self, count: int, result: Path) -> None:
        self.count = count
        self.result = result
        self.done = asyncio.Event()
        self.report: dict[str, Any] = {}
        self._first = (0.0, 0.0)

    def mark(self, number: int, total: int) -> int:
        """Take event *number* (1 or the last), return the number of the next event to be marked."""
        now, cpu = time.perf_counter(), time.process_time()
        if number == 1 < self.count:
            self._first = (now, cpu)
            return self.count
        wall = now - self._first[0]
        self.report |= {
            "count": number,
            "total": total,
            "seconds": wall,
            "cpu_seconds": cpu - self._first[1],
            "rate": (number - 1) / wall,
        }
        self.done.set()
        return number + 1

    def settled(self, **more: Any) -> None:
        """Note that the last event is committed, and write the report."""
        wall = time.perf_counter() - self._first[0]
        self.report |= {
            "settled_seconds": wall,
            "settled_cpu_seconds": time.process_time() - self._first[1],
            "settled_rate": (self.count - 1) / wall,
            **more,
        }
        self.write()

    def write(self) -> None:
        """Write the report in one step, so that the runner never reads half of it."""
        self.report["max_rss_kb"] = _peak_memory()
        draft = self.result.with_suffix(".draft")
        draft.write_text(json.dumps(self.report))
        draft.rename(self.result)


def _peak_memory() -> int:
    """Return the largest resident size in kB (``ru_maxrss`` would be inherited from the runner)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
