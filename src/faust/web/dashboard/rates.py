"""Figures per second, and spreads of latencies: arithmetic without clock or app."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

__all__ = ["BUCKETS", "Rates", "spread"]

BUCKETS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Upper ends of the buckets of a histogram, in seconds; the last bucket is open."""

WEIGHT = 0.4
"""Share of the newest sample in a smoothed rate."""


class Rates:
    """Turns totals that grow into smoothed figures per second."""

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[float, float, float | None]] = {}

    def of(self, what: Hashable, total: float, now: float) -> float | None:
        """Return by how much *total* grows per second; None while only one sample is known.

        Arguments:
            what: Name of the total.
            total: Its value; one that has become smaller begins anew.
            now: Monotonic seconds at which it had that value.
        """
        before = self._before.get(what)
        if before is None or total < before[0]:
            self._before[what] = (total, now, None)
            return None
        last, then, smoothed = before
        if now <= then:
            return smoothed
        rate = (total - last) / (now - then)
        smoothed = rate if smoothed is None else smoothed + WEIGHT * (rate - smoothed)
        if smoothed < 0.05 and not rate:
            smoothed = 0.0
        self._before[what] = (total, now, smoothed)
        return smoothed

    def forget_others(self, known: Iterable[Hashable]) -> None:
        """Keep only the totals that are *known*."""
        kept = set(known)
        self._before = {what: before for what, before in self._before.items() if what in kept}


def spread(samples: Iterable[float]) -> dict[str, Any]:
    """Return count, median, 95th percentile and maximum of *samples* (seconds), and how many lie in each bucket."""
    ordered = sorted(samples)
    counts = [0] * (len(BUCKETS) + 1)
    number = 0
    for sample in ordered:
        while number < len(BUCKETS) and sample > BUCKETS[number]:
            number += 1
        counts[number] += 1
    last = len(ordered) - 1
    return {
        "count": len(ordered),
        "p50": ordered[round(0.5 * last)] if ordered else None,
        "p95": ordered[round(0.95 * last)] if ordered else None,
        "max": ordered[-1] if ordered else None,
        "buckets": counts,
    }
