"""What a process uses: memory, files, threads, and how many objects of which type are alive."""

from __future__ import annotations

import gc
import os
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import psutil

__all__ = ["census", "growing", "look", "slope"]


def look() -> dict[str, int]:
    """Return what this process uses now: bytes (``rss``), small blocks of Python (``blocks``), files and threads."""
    process = psutil.Process()
    return {
        "rss": process.memory_info().rss,
        "blocks": sys.getallocatedblocks(),
        "files": len(os.listdir(f"/proc/{process.pid}/fd")),  # noqa: PTH208 - a number is all
        "threads": process.num_threads(),
    }


def census() -> dict[str, int]:
    """Count live objects by type; takes long."""
    gc.collect()
    return dict(Counter(type(thing).__qualname__ for thing in gc.get_objects()))


def growing(first: Mapping[str, int], last: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the types of which there are over 20 % and 2,000 more in the end."""
    return {
        name: (first.get(name, 0), number)
        for name, number in last.items()
        if number > first.get(name, 0) * 1.2 + 2000
    }


def slope(points: Sequence[tuple[float, Any]]) -> float:
    """Return the median slope between any two points (Theil-Sen): a few wild ones do not bend it."""
    found = [(b - a) / (y - x) for (x, a), (y, b) in combinations(points, 2) if y != x]
    return statistics.median(found) if found else 0.0
