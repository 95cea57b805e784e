"""Pain row 14 in full: two workers on one data directory hand partitions to each other, a hundred times.

``python -m tests.functional.tables.swapping --times 100``: each time one of the two is ended by SIGTERM, so that the other opens
its databases, or started, so that it opens some of the other's. Events flow all the while. Nobody may end by itself, every
partition must flow again each time, and in the end the counts are exact, in changelog and databases.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from yarl import URL

from faust.stores.rocksdb import Store
from faust.testing.faults.observer import Observer, tps_of
from tests.functional.faults.rebalance import broker_of
from tests.functional.faults.standby_chaos import Crew, drained, flows
from tests.functional.tables.shared_app import PARTITIONS

__all__ = ["SwapReport", "play_swapping", "stored"]

APP = Path(__file__).with_name("shared_app.py")
RATE = 500
"""Events per second."""
KEYS = 1000


@dataclass
class SwapReport:
    """What came out; `faults` is empty when all promises were kept."""

    broker: str
    times: int = 0
    events: int = 0
    pauses: list[float] = field(default_factory=list)
    """Seconds until every partition flowed again."""
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        pauses = sorted(self.pauses) or [0.0]
        head = (
            f"{self.broker}: partitions handed over {self.times} times in {self.seconds:.0f} s, {self.events:,} events; all flow "
            f"again after {pauses[len(pauses) // 2]:.2f} s, at most {pauses[-1]:.2f} s"
        )
        faults = [f"  FAULT: {fault}" for fault in self.faults]
        return "\n".join([head, *(faults or ["  counts exact in changelog and databases"])])


async def play_swapping(url: str, directory: Path, *, times: int) -> SwapReport:
    """Have two workers hand partitions over, *times* times."""
    group = f"swapping-{uuid.uuid4().hex[:8]}"
    events = tps_of(f"{group}-events", PARTITIONS)
    changelog = tps_of(f"{group}-totals-changelog", PARTITIONS)
    report = SwapReport(url.partition(":")[0])
    crew = Crew(url, group, directory, APP, shared=True)
    fed: Counter[str] = Counter()
    began = time.monotonic()
    async with Observer(url, group) as observer:
        await observer.create(events[0].topic, PARTITIONS)
        stop = asyncio.Event()
        feeding = asyncio.create_task(_feed(observer, events[0].topic, stop, fed))
        try:
            await crew.hire()
            await crew.hire()
            await flows(observer, crew, events)
            while report.times < times:
                since = time.monotonic()
                if len(crew.alive) == 2:
                    await crew.stop(min(crew.alive, key=lambda name: int(name[1:])), report)
                else:
                    await crew.hire()
                await flows(observer, crew, events)
                report.times += 1
                report.pauses.append(time.monotonic() - since)
            stop.set()
            await feeding
            await drained(observer, crew, events)
        except AssertionError as exc:
            report.faults.append(str(exc))
        finally:
            stop.set()
            await asyncio.gather(feeding, return_exceptions=True)
            await crew.end(report)
        await observer.follow(changelog)
        await observer.catch_up()
        report.events = fed.total()
        logged = Counter(
            {
                orjson.loads(key): orjson.loads(value)
                for tp in changelog
                for key, value in dict(observer.logs[tp]).items()
                if key is not None and value is not None
            }
        )
    in_databases = await asyncio.to_thread(stored, directory / "all")
    report.seconds = time.monotonic() - began
    for where, counts in (("changelog", logged), ("databases", in_databases)):
        if counts != fed:
            wrong = [key for key in fed | counts if fed[key] != counts[key]]
            report.faults.append(
                f"the {where} have {counts.total()} of {fed.total()} events; {len(wrong)} keys differ, such as {wrong[:5]}"
            )
    return report


async def _feed(observer: Observer, topic: str, stop: asyncio.Event, fed: Counter[str]) -> None:
    began, number = time.monotonic(), 0
    while not stop.is_set():
        while number < (time.monotonic() - began) * RATE:
            key = number % KEYS
            observer.producer.append(topic, key % PARTITIONS, b"%d" % key, b"1")
            fed[str(key)] += 1
            number += 1
        await observer.producer.flush()
        await asyncio.sleep(0.02)


def stored(directory: Path) -> Counter[str]:
    """Read the databases of the table, below *directory*."""
    [root] = {path.parent for path in directory.rglob("totals-*.db")}
    store = Store(URL("rocksdb://"), table="totals", directory=root)

    async def read() -> Counter[str]:
        found: Counter[str] = Counter()
        for number in range(PARTITIONS):
            for key, value in (await store.open(number)).items():
                found[orjson.loads(key)] += orjson.loads(value)
        await store.close()
        return found

    return asyncio.run(read())


async def _main(options: argparse.Namespace) -> SwapReport:
    with tempfile.TemporaryDirectory(prefix="faust-swapping-") as scratch:
        async with broker_of(options.broker, Path(scratch)) as url:
            return await play_swapping(url, Path(scratch), times=options.times)


def main() -> None:
    """Swap, print the report, and end with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.tables.swapping", description=main.__doc__
    )
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--times", type=int, default=100)
    report = asyncio.run(_main(parser.parse_args()))
    print(report)
    raise SystemExit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
