"""Does memory stay flat? Numbers flow through group_by, a table, a sink and RPC at a steady rate, for a long time.

``python -m tests.soak.memory --minutes 20 --rate 20000 [--broker kafka]`` prints a line a minute and a verdict. The
first quarter of the time is for warming up. After that the median of the resident memory of the last quarter may be
above that of the second by 5 % and 4 MB at most, and no type may have over 20 % and 2,000 more live objects
at the end than at the end of the first quarter.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.feeding import TICK, Feeder
from tests.soak.meter import growing
from tests.soak.soaked_app import PARTITIONS
from tests.support.driving import open_transport
from tests.support.kafka import KafkaCluster
from tests.support.processes import PythonProcess, start_python

__all__ = ["Soak", "soak"]

APP = Path(__file__).with_name("soaked_app.py")
BEHIND = 5.0
"""Seconds of flow that may be unfinished at the end."""


@dataclass
class Soak:
    """What came out; `faults` is empty when memory was flat and everything flowed."""

    rate: int
    lines: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> int:
        """How many numbers have come through, as of the last line."""
        passed: int = self.lines[-1]["done"].get("passed", 0)
        return passed

    def judge(self) -> None:
        """Fill in the faults."""
        length = self.lines[-1]["seconds"]
        second = [line["rss"] for line in self.lines if 0.25 < line["seconds"] / length <= 0.5]
        last = [line["rss"] for line in self.lines if line["seconds"] / length > 0.75]
        before, after = statistics.median(second), statistics.median(last)
        if after > before * 1.05 + 4e6:
            self.faults.append(
                f"resident memory grew from {before / 1e6:.1f} to {after / 1e6:.1f} MB"
            )
        counted = [line for line in self.lines if "objects" in line]
        first = next(line for line in counted if line["seconds"] / length >= 0.25)["objects"]
        final = counted[-1]["objects"]
        for name, (was, number) in growing(first, final).items():
            self.faults.append(f"{name}: {was:,} objects became {number:,}")
        for what in ("files", "threads"):
            if (
                self.lines[-1][what]
                > max(line[what] for line in self.lines[: len(self.lines) // 2]) + 2
            ):
                self.faults.append(f"more {what} in the end: {self.lines[-1][what]}")
        done = self.lines[-1]["done"]
        for what in ("counted", "passed"):
            if self.sent - done.get(what, 0) > self.rate * BEHIND:
                self.faults.append(f"{what} only {done.get(what, 0):,} of {self.sent:,}")
        if done.get("answered", 0) < length:
            self.faults.append(f"answered only {done.get('answered', 0):,} questions")

    def __str__(self) -> str:
        last = self.lines[-1]
        rows = [
            f"{self.rate:,}/s for {last['seconds']:.0f} s: {self.sent:,} sent, done {last['done']}"
        ]
        step = max(len(self.lines) // 12, 1)
        rows += [
            f"  {line['seconds']:7.0f} s  {line['rss'] / 1e6:7.1f} MB  {line['files']:3} files"
            f"  {line['threads']:3} threads"
            for line in self.lines[::step]
        ]
        return "\n".join([*rows, *(f"  FAULT: {fault}" for fault in self.faults or ["none"])])


async def soak(
    broker: str, minutes: float, rate: int, *, show: bool = False, ahead: float | None = None
) -> Soak:
    """Run the application for *minutes* under *rate* numbers per second.

    With *ahead* no more numbers are under way than come in so many seconds: a machine that others use may be too slow for the rate.
    """
    result = Soak(rate)
    with tempfile.TemporaryDirectory(prefix="faust-soak-") as scratch:
        orders = {
            "broker": broker,
            "datadir": str(Path(scratch) / "data"),
            "every": min(minutes * 60 / 60, 10),
            "objects_every": minutes * 60 / 9,
        }
        process = start_python(APP, "worker", env={"SOAK_ORDERS": json.dumps(orders)})
        try:
            await _wait_for_line(process, result)
            room = None if ahead is None else lambda: result.passed + int(ahead * rate)
            feeder = Feeder(open_transport(broker), "soak-numbers", rate, PARTITIONS, room=room)
            feeding = asyncio.create_task(feeder.feed(minutes * 60))
            while not feeding.done():
                await _read(process, result, show=show)
                await asyncio.sleep(TICK)
            await feeding
            result.sent = feeder.sent
            await asyncio.sleep(BEHIND)
            await _read(process, result, show=show)
        finally:
            process.kill()
    result.judge()
    return result


async def _wait_for_line(process: PythonProcess, result: Soak) -> None:
    text = ""
    while not text.startswith("{"):  # the banner comes first
        text = await process.wait_line(60)
    result.lines.append(json.loads(text))


async def _read(process: PythonProcess, result: Soak, *, show: bool) -> None:
    if process.returncode is not None:
        await process.wait_line()  # raises, with the last words of the process
    for text in process.lines():
        line = json.loads(text)
        result.lines.append(line)
        if show:
            told = {name: what for name, what in line.items() if name != "objects"}
            print(json.dumps(told), flush=True)


@contextlib.contextmanager
def broker_url(kind: str) -> Iterator[str]:
    """Have a broker of that kind: ``local`` in a scratch directory, or ``kafka``."""
    if kind == "local":
        with tempfile.TemporaryDirectory(prefix="faust-soak-broker-") as directory:
            yield f"local://{directory}"
        return
    cluster = KafkaCluster(measured=True)
    cluster.start()
    try:
        yield cluster.url
    finally:
        cluster.close()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Does memory stay flat?")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=20_000, help="numbers per second")
    parser.add_argument("--broker", choices=["local", "kafka"], default="local")
    options = parser.parse_args()
    with broker_url(options.broker) as url:
        result = asyncio.run(soak(url, options.minutes, options.rate, show=True))
    print(result)
    return 1 if result.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
