"""One line of a soak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Minute"]

SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Minute:
    """How the worker was at one moment, and how long numbers took since the line before."""

    seconds: float
    rss: int
    blocks: int
    files: int
    threads: int
    objects: Mapping[str, int]
    p50: float
    p99: float
    sent: int
    passed: int
    late: int
    """Writes to windows that had closed."""
    lag: int
    """Records that the group has not committed."""
    committed: int
    load: float
    """Of the machine, over the last minute."""

    def told(self, base: Minute) -> str:
        """Return the line; with the types that have grown most since *base*."""
        grown = {name: number - base.objects.get(name, 0) for name, number in self.objects.items()}
        most = sorted(grown.items(), key=lambda item: -item[1])[:SHOWN]
        growth = " ".join(f"{name}{number:+d}" for name, number in most if number)
        return (
            f"{self.seconds:6.0f} s  {self.rss / 1e6:6.1f} MB  {self.blocks:,} blocks  {self.files} files  "
            f"{self.threads} threads  p50 {self.p50:.3f} p99 {self.p99:.3f} s  sent {self.sent:,}  "
            f"passed {self.passed:,}  lag {self.lag:,}  committed {self.committed:,}  late {self.late}  "
            f"load {self.load:.1f}  {growth}"
        )
