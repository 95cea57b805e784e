"""Pain row 11 in full: a million increments of one key in RocksDB, over restarts, leave the exact count.

``python -m tests.functional.tables.one_key --increments 1000000 --restarts 20``: all events are in the topic; again and again the
worker, a process of its own, is ended by SIGTERM in the midst of them, and started again. In the end changelog and database
must have the number of events.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from faust.messages import TP
from faust.testing.faults.observer import Observer, tps_of
from tests.functional.faults.rebalance import broker_of
from tests.functional.faults.standby_chaos import Crew
from tests.functional.tables.shared_app import PARTITIONS
from tests.functional.tables.swapping import stored
from tests.support.driving import until

__all__ = ["OneKeyReport", "play_one_key"]

APP = Path(__file__).with_name("shared_app.py")
KEY = b"the key"


@dataclass
class OneKeyReport:
    """What came out; `faults` is empty when all promises were kept."""

    broker: str
    increments: int
    restarts: int = 0
    changelog: int = 0
    database: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        head = (
            f"{self.broker}: {self.increments:,} increments of one key over {self.restarts} restarts in {self.seconds:.0f} s: "
            f"{self.changelog:,} in the changelog, {self.database:,} in the database"
        )
        return "\n".join([head, *(f"  FAULT: {fault}" for fault in self.faults)])


async def play_one_key(
    url: str, directory: Path, *, increments: int, restarts: int
) -> OneKeyReport:
    """Have one key incremented, over restarts of the worker."""
    group = f"one-key-{uuid.uuid4().hex[:8]}"
    home = TP(f"{group}-events", 1)
    changelog = tps_of(f"{group}-totals-changelog", PARTITIONS)
    report = OneKeyReport(url.partition(":")[0], increments)
    crew = Crew(url, group, directory, APP, shared=True)
    began = time.monotonic()
    async with Observer(url, group) as observer:
        await observer.create(home.topic, PARTITIONS)
        for _ in range(increments):
            observer.producer.append(home.topic, home.partition, KEY, b"1")
            if observer.producer.full:
                await observer.producer.wait_room()
        await observer.producer.flush()
        try:
            for turn in range(1, restarts + 2):
                name = await crew.hire()
                await _reached(observer, crew, home, turn * increments // (restarts + 1))
                await crew.stop(name, report)
                report.restarts = turn - 1
        except AssertionError as exc:
            report.faults.append(str(exc))
        finally:
            await crew.end(report)
        await observer.follow(changelog)
        await observer.catch_up()
        report.changelog = int(
            dict(observer.logs[changelog[home.partition]]).get(b'"the key"') or 0
        )
    report.database = (await asyncio.to_thread(stored, directory / "all"))["the key"]
    report.seconds = time.monotonic() - began
    for where, count in (("changelog", report.changelog), ("database", report.database)):
        if count != increments:
            report.faults.append(f"the {where} has {count:,}, not {increments:,}")
    return report


async def _reached(observer: Observer, crew: Crew, tp: TP, offset: int) -> None:
    async def reached() -> bool:
        crew.check()
        return (await observer.committed([tp]))[tp] >= offset

    await until(reached, f"offset {offset} of {tp} was committed", 120.0)


async def _main(options: argparse.Namespace) -> OneKeyReport:
    with tempfile.TemporaryDirectory(prefix="faust-one-key-") as scratch:
        async with broker_of(options.broker, Path(scratch)) as url:
            return await play_one_key(
                url, Path(scratch), increments=options.increments, restarts=options.restarts
            )


def main() -> None:
    """Count, print the report, and end with 1 when the count is not exact."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.tables.one_key", description=main.__doc__
    )
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--increments", type=int, default=1_000_000)
    parser.add_argument("--restarts", type=int, default=20)
    report = asyncio.run(_main(parser.parse_args()))
    print(report)
    raise SystemExit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
