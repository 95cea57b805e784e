"""Was anything lost, doubled, out of order? Pure: fed with what was sent and with what came out.

Every event carries a key and a number; the numbers of a key begin at 0 and have no gap. So a `Ledger` needs a byte per event,
and what came out may be read in any order of keys and partitions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Ledger", "TableDifference", "compare_table"]

SHOWN = 5
"""Examples that are kept of each kind of fault."""


@dataclass
class Ledger:
    """The books on one output topic.

    Attributes:
        seen: Records that came out.
        doubled: Records that came out again.
        disordered: Records that came out for the first time after a later one of their key.
        invented: Records that were never sent; known after `close`.
        lost: Records that never came out; known after `close`.
        examples: A few of each, as (key, number).
    """

    seen: int = 0
    doubled: int = 0
    disordered: int = 0
    invented: int = 0
    lost: int = 0
    examples: dict[str, list[tuple[Any, int]]] = field(default_factory=lambda: defaultdict(list))
    _times: dict[Any, bytearray] = field(default_factory=lambda: defaultdict(bytearray))

    def saw(self, key: Hashable, number: int) -> None:
        """Note that the event of *key* with *number* came out."""
        self.seen += 1
        times = self._times[key]
        if number < len(times):
            if times[number]:
                times[number] = min(255, times[number] + 1)
                self.doubled += 1
                self._note("doubled", key, number)
                return
            self.disordered += 1
            self._note("out of order", key, number)
        else:
            times.extend(bytes(number + 1 - len(times)))
        times[number] = 1

    def reached(self, key: Hashable) -> int:
        """Return the number after the last one that was seen of *key*."""
        return len(self._times[key])

    def close(self, sent: Mapping[Any, int]) -> None:
        """Compare with how many events of each key were sent."""
        for key in sent.keys() | self._times.keys():
            times, count = self._times[key], sent.get(key, 0)
            missing = [
                number for number in range(count) if number >= len(times) or not times[number]
            ]
            self.lost += len(missing)
            for number in missing[:SHOWN]:
                self._note("lost", key, number)
            for number in range(count, len(times)):
                self.invented += 1
                self._note("invented", key, number)

    def _note(self, what: str, key: Any, number: int) -> None:
        if len(self.examples[what]) < SHOWN:
            self.examples[what].append((key, number))


@dataclass
class TableDifference:
    """How a table of counts differs from the truth.

    Attributes:
        short: Keys with less than the truth, each with what it has and what it should have: that is a loss.
        surplus: By how much all keys together are above the truth: what was counted twice.
        unknown: Keys that should not be there.
    """

    short: dict[Any, tuple[float, float]]
    surplus: float
    unknown: list[Any]


def compare_table(truth: Mapping[Any, float], found: Mapping[Any, float]) -> TableDifference:
    """Compare a table of counts or sums with what it should hold."""
    return TableDifference(
        {
            key: (found.get(key, 0), value)
            for key, value in truth.items()
            if found.get(key, 0) < value
        },
        sum(max(0, value - truth[key]) for key, value in found.items() if key in truth),
        [key for key in found if key not in truth],
    )
