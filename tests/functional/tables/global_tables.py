"""Pain row 39 in full: three workers have the same 300,000 keys in a global table, over restarts; updates show within a second.

``python -m tests.functional.tables.global_tables --keys 300000 --store memory|rocksdb``: each worker is a process of its own.
While the table is filled one of them is ended by SIGTERM and another by SIGKILL, and started again. Then the tables are compared
(by their digests), keys are changed one after the other, and the time is taken until every worker shows the new value.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from faust.testing.faults.observer import Observer, tps_of
from tests.functional.faults.rebalance import broker_of
from tests.functional.faults.standby_chaos import Crew, drained
from tests.functional.tables.global_app import PARTITIONS
from tests.support.driving import until
from tests.support.ports import free_port

__all__ = ["GlobalReport", "play_global_tables"]

APP = Path(__file__).with_name("global_app.py")
WORKERS = 3
WANTED = 1.0
"""Seconds until every worker shows an update."""


@dataclass
class GlobalReport:
    """What came out; `faults` is empty when all promises were kept."""

    broker: str
    store: str
    keys: int
    restarts: int = 0
    delays: list[float] = field(default_factory=list)
    """Seconds until all workers showed an update."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        delays = sorted(self.delays) or [0.0]
        head = (
            f"{self.broker}, {self.store}: {self.keys:,} keys on {WORKERS} workers, {self.restarts} restarts; {len(self.delays)} "
            f"updates seen everywhere after {delays[len(delays) // 2]:.3f} s, at most {delays[-1]:.3f} s"
        )
        return "\n".join([head, *(f"  FAULT: {fault}" for fault in self.faults)])


class Trial:
    """Three workers, and those who look at them."""

    def __init__(
        self, url: str, group: str, directory: Path, observer: Observer, report: GlobalReport
    ) -> None:
        self.ports = [free_port() for _ in range(WORKERS)]
        self.crews = [
            Crew(
                url,
                group,
                directory / str(port),
                APP,
                {
                    "GLOBAL_STORE": f"{report.store}://",
                    "APP_PORT": str(port),
                    "APP_WEB_ENABLED": "yes",  # tests say no
                    "NODE_CANONICAL_URL": f"http://127.0.0.1:{port}",
                },
                shared=True,
            )
            for port in self.ports
        ]
        self.observer = observer
        self.report = report
        self.events = tps_of(f"{group}-events", PARTITIONS)

    async def set(self, keys: range, value: Callable[[int], int]) -> None:
        """Write what keys are to be."""
        producer = self.observer.producer
        for key in keys:
            producer.append(self.events[0].topic, key % PARTITIONS, b"%d" % key, b"%d" % value(key))
            if producer.full:
                await producer.wait_room()
        await producer.flush()

    async def restart(self, crew: Crew, *, kill: bool) -> None:
        """End a worker, and start it again with its directory."""
        [name] = crew.alive
        if kill:
            crew.kill(name)
        else:
            await crew.stop(name, self.report)
        await crew.hire()
        self.report.restarts += 1

    async def ask(self, path: str) -> list[Any]:
        """Ask every worker."""
        return await asyncio.gather(*(asyncio.to_thread(_get, port, path) for port in self.ports))

    async def same(self) -> bool:
        """Say whether all have the same, and all of it."""
        for crew in self.crews:
            crew.check()
        try:
            found = await self.ask("/digest/")
        except URLError:  # a worker that was started a moment ago
            return False
        return all(each == found[0] and each["keys"] == self.report.keys for each in found)

    async def update(self, key: int, value: int) -> float:
        """Change a key; return after how many seconds all workers show it."""
        began = time.monotonic()
        await self.set(range(key, key + 1), lambda _: value)

        async def shown() -> bool:
            return await self.ask(f"/rate/{key}/") == [value] * WORKERS

        await until(shown, f"all show {value} for key {key}", 20.0)
        return time.monotonic() - began


async def play_global_tables(
    url: str, directory: Path, *, keys: int, updates: int = 50, store: str = "memory"
) -> GlobalReport:
    """Fill a global table over restarts, compare it, and change keys."""
    group = f"global-{uuid.uuid4().hex[:8]}"
    report = GlobalReport(url.partition(":")[0], store, keys)
    async with Observer(url, group) as observer:
        trial = Trial(url, group, directory, observer, report)
        await observer.create(trial.events[0].topic, PARTITIONS)
        first, second, third = trial.crews
        try:
            for port, crew in zip(trial.ports, trial.crews, strict=True):
                (directory / str(port)).mkdir()
                await crew.hire()
            await trial.set(range(keys // 3), lambda key: key)
            await trial.restart(second, kill=False)
            await trial.set(range(keys // 3, keys * 2 // 3), lambda key: key)
            await trial.restart(third, kill=True)
            await trial.set(range(keys * 2 // 3, keys), lambda key: key)
            await drained(observer, first, trial.events)
            await until(trial.same, f"all workers have the same {keys} keys", 60.0)
            await trial.restart(first, kill=True)
            await until(trial.same, f"all workers have the same {keys} keys again", 60.0)
            await trial.update(0, -1)  # connections are made, pages loaded
            for number in range(updates):
                key = number * (keys // updates)
                report.delays.append(await trial.update(key, keys + number))
        except AssertionError as exc:
            report.faults.append(str(exc))
        finally:
            for crew in trial.crews:
                await crew.end(report)
    return report


def _get(port: int, path: str) -> Any:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return json.load(answer)


async def _main(options: argparse.Namespace) -> GlobalReport:
    with tempfile.TemporaryDirectory(prefix="faust-global-") as scratch:
        async with broker_of(options.broker, Path(scratch)) as url:
            return await play_global_tables(
                url, Path(scratch), keys=options.keys, updates=options.updates, store=options.store
            )


def main() -> None:
    """Fill, compare and change; end with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.tables.global_tables", description=main.__doc__
    )
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--store", choices=("memory", "rocksdb"), default="memory")
    parser.add_argument("--keys", type=int, default=300_000)
    parser.add_argument("--updates", type=int, default=50)
    report = asyncio.run(_main(parser.parse_args()))
    print(report)
    raise SystemExit(1 if report.faults or max(report.delays) >= WANTED else 0)


if __name__ == "__main__":
    main()
