"""One of three workers with copies on standby is killed, again and again, while words are counted.

``python -m tests.functional.faults.standby_chaos --broker local|kafka --kills 200`` runs it in full size. After each
SIGKILL a new worker (with an empty data directory, as on a new machine) is hired when the group has settled. Told in the
report: how long after the session timeout the last partition flowed again, and how many changelog records the survivors had to
read for that.

Every second word is new, so one that is lost shows; the others are a few hundred that come again and again, so that a copy that is
not complete when it is promoted shows in their counts.

When everything is processed all words have been counted at least once, and none is invented: said by the changelogs, read from
their beginning. Then workers are stopped by SIGTERM (``--stops``), and others hired, while words go on flowing: not a single one
more is counted twice. In the end the workers that are left end in good order.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from faust.messages import TP
from faust.testing.faults.observer import Observer, tps_of
from tests.functional.faults.counting_app import PARTITIONS, SESSION_TIMEOUT
from tests.functional.faults.rebalance import broker_of
from tests.support.driving import until
from tests.support.processes import PythonProcess, start_python

__all__ = ["ChaosReport", "Crew", "drained", "flows", "play_chaos"]

APP = Path(__file__).with_name("counting_app.py")
WORKERS = 3
HOT = 499
"""Words that come again and again."""
RECOVERED = re.compile(r"Recovered (\d+) records of")


@dataclass
class ChaosReport:
    """What came out; `faults` is empty when all promises were kept."""

    broker: str
    words: int = 0
    surplus: int = 0
    """Words counted too often, by SIGKILL."""
    stops: int = 0
    surplus_of_stops: int = 0
    """Words counted too often while workers were stopped in good order."""
    delays: list[float] = field(default_factory=list)
    """Seconds from the end of a victim's session until the last partition flowed."""
    reread: list[int] = field(default_factory=list)
    """Changelog records that the survivors read after a kill."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        delays = sorted(self.delays) or [0.0]
        lines = [
            f"{self.broker}: {len(self.delays)} SIGKILLs of one of {WORKERS} workers, {self.words:,} words",
            f"  flowing after the session timeout: {delays[len(delays) // 2]:.2f} s, at most {delays[-1]:.2f} s",
            f"  changelog records read by survivors, most at once: {max(self.reread, default=0):,}",
            f"  counted too often: {self.surplus:,}",
            f"  {self.stops} SIGTERMs after that; counted too often: {self.surplus_of_stops:,}",
        ]
        lines += [f"  FAULT: {fault}" for fault in self.faults] or ["  no fault"]
        return "\n".join(lines)


def word_of(number: int) -> int:
    """Return the word that is fed as the *number*-th."""
    return number if number % 2 == 0 else -(number % HOT) - 1


class Report(Protocol):
    """What faults are told to."""

    faults: list[str]


class Crew:
    """The workers; of another program where *app* says so, with *env* in its environment.

    With *shared* all have the same data directory.
    """

    def __init__(
        self,
        url: str,
        group: str,
        directory: Path,
        app: Path = APP,
        env: Mapping[str, str] | None = None,
        shared: bool = False,
    ) -> None:
        self.alive: dict[str, PythonProcess] = {}
        self._app = app
        self._env = {"BROKER_URL": url, "CRASH_NAME": group, **(env or {})}
        self._directory = directory
        self._shared = shared
        self._hired = 0
        self._seen: dict[str, int] = {}

    async def hire(self) -> str:
        """Start one more worker, on a data directory of its own unless it is shared; wait until it works, and return its name."""
        self._hired += 1
        name = f"w{self._hired}"
        env = {
            "APP_DATADIR": str(self._directory / ("all" if self._shared else name)),
            "NODE_CANONICAL_URL": f"http://{name}:6066",
            **self._env,
        }
        worker = start_python(self._app, "--loglevel", "info", "worker", env=env)
        self.alive[name] = worker
        deadline = time.monotonic() + 60
        while not any("[^Worker]: Ready" in line for line in worker.errors):
            self.check()
            assert time.monotonic() < deadline, f"{name} was not ready in 60 s"
            await asyncio.sleep(0.02)
        return name

    def check(self) -> None:
        """Insist that all are alive."""
        for name, worker in self.alive.items():
            if worker.returncode is not None:
                raise AssertionError(
                    f"{name} ended by itself with {worker.returncode}:\n"
                    + "\n".join(worker.errors[-40:])
                )

    def kill(self, name: str) -> None:
        """End a worker by SIGKILL."""
        self.alive.pop(name).kill()

    def records_read(self) -> int:
        """Return how many changelog records were recovered since the last call."""
        read = 0
        for name, worker in self.alive.items():
            lines = worker.errors[self._seen.get(name, 0) :]
            self._seen[name] = self._seen.get(name, 0) + len(lines)
            read += sum(int(m[1]) for line in lines if (m := RECOVERED.search(line)))
        return read

    async def stop(self, name: str, report: Report) -> None:
        """End a worker by SIGTERM."""
        worker = self.alive.pop(name)
        worker.terminate()
        status = await worker.wait_end(30.0)
        if status != 0:
            report.faults.append(f"{name} ended with {status}: {worker.errors[-20:]}")

    async def end(self, report: Report) -> None:
        """End everybody by SIGTERM."""
        for name in sorted(self.alive):
            await self.stop(name, report)


async def play_chaos(
    url: str,
    directory: Path,
    *,
    kills: int,
    stops: int = 0,
    rate: int = 600,
    seed: int = 1,
    pause: float = 1.5,
) -> ChaosReport:
    """Kill workers while words flow, and check the counts in the end.

    Arguments:
        url: The broker.
        directory: For the data of the workers.
        kills: How many.
        stops: How many are stopped by SIGTERM after that.
        rate: Words per second.
        seed: Of the chance that chooses victims.
        pause: Seconds between two kills, besides what waiting for the group takes.
    """
    group = f"chaos-{uuid.uuid4().hex[:8]}"
    numbers = tps_of(f"{group}-numbers", PARTITIONS)
    grouped = tps_of(f"{group}-grouped", PARTITIONS)
    changelog = tps_of(f"{group}-counts-changelog", PARTITIONS)
    report = ChaosReport(url.partition(":")[0])
    crew = Crew(url, group, directory)
    chance = random.Random(seed)
    async with Observer(url, group) as observer:
        for topic in (numbers[0].topic, grouped[0].topic):
            await observer.create(topic, PARTITIONS)
        try:
            async with _feeding(observer, numbers[0].topic, rate, report):
                for _ in range(WORKERS):
                    await crew.hire()
                await flows(observer, crew, [*numbers, *grouped])
                await asyncio.sleep(3.0)  # the copies catch up
                for _ in range(kills):
                    await _kill_one(observer, crew, chance, [*numbers, *grouped], report, pause)
            await drained(observer, crew, [*numbers, *grouped])
            report.surplus = await _check_counts(observer, changelog, report)
            if stops:
                async with _feeding(observer, numbers[0].topic, rate, report):
                    for _ in range(stops):
                        await _stop_one(observer, crew, chance, [*numbers, *grouped], report)
                await drained(observer, crew, [*numbers, *grouped])
        except AssertionError as exc:
            report.faults.append(str(exc))
        finally:
            await crew.end(report)
        if stops:
            report.surplus_of_stops = (
                await _check_counts(observer, changelog, report) - report.surplus
            )
            if report.surplus_of_stops:
                report.faults.append("counted twice, though nobody was killed")
    return report


@asynccontextmanager
async def _feeding(
    observer: Observer, topic: str, rate: int, report: ChaosReport
) -> AsyncIterator[None]:
    """Feed words all the while."""
    stop = asyncio.Event()
    feeding = asyncio.create_task(_feed(observer, topic, rate, stop, report))
    try:
        yield
        stop.set()
        await feeding
    finally:
        stop.set()
        await asyncio.gather(feeding, return_exceptions=True)


async def _feed(
    observer: Observer, topic: str, rate: int, stop: asyncio.Event, report: ChaosReport
) -> None:
    began, first = time.monotonic(), report.words
    while not stop.is_set():
        due = first + int((time.monotonic() - began) * rate)
        await observer.feed(map(word_of, range(report.words, due)), topic, PARTITIONS)
        report.words = max(due, report.words)
        await asyncio.sleep(0.02)


async def flows(observer: Observer, crew: Crew, tps: list[TP], timeout: float = 60.0) -> float:
    """Wait until something more of every partition is committed than now; return the moment."""
    before = await observer.committed(tps)

    async def moved() -> bool:
        crew.check()
        now = await observer.committed(tps)
        return all(now[tp] > before[tp] for tp in tps)

    await until(moved, "every partition flows", timeout)
    return time.monotonic()


async def _kill_one(
    observer: Observer,
    crew: Crew,
    chance: random.Random,
    tps: list[TP],
    report: ChaosReport,
    pause: float,
) -> None:
    crew.records_read()
    victim = chance.choice(sorted(crew.alive))
    crew.kill(victim)
    killed = time.monotonic()
    report.delays.append(await flows(observer, crew, tps) - killed - SESSION_TIMEOUT)
    report.reread.append(crew.records_read())
    await crew.hire()
    await flows(observer, crew, tps)
    await asyncio.sleep(pause)  # the copies catch up


async def _stop_one(
    observer: Observer, crew: Crew, chance: random.Random, tps: list[TP], report: ChaosReport
) -> None:
    await crew.stop(chance.choice(sorted(crew.alive)), report)
    report.stops += 1
    await crew.hire()
    await flows(observer, crew, tps)


async def drained(observer: Observer, crew: Crew, tps: list[TP]) -> None:
    """Wait until everything is committed, and stays so."""

    async def done() -> bool:
        crew.check()
        return await observer.committed(tps) == await observer.ends(tps)

    await until(done, "everything was processed", 60.0)
    await asyncio.sleep(0.5)
    await until(done, "everything was processed", 60.0)


async def _check_counts(observer: Observer, changelog: list[TP], report: ChaosReport) -> int:
    """Read the changelogs; report what is missing; return how many words were counted too often."""
    observer.logs.clear()
    await observer.follow(changelog)
    await observer.catch_up()
    counts: Counter[int] = Counter()
    where: dict[int, set[int]] = {}
    for tp in changelog:
        state: dict[Any, int] = {}
        for key, value in observer.logs[tp]:
            state[orjson.loads(key or b"")] = orjson.loads(value or b"0")
        for word, count in state.items():
            counts[int(word)] += count
            where.setdefault(int(word), set()).add(tp.partition)
    fed = Counter(map(word_of, range(report.words)))
    missing = [word for word, count in fed.items() if counts[word] < count]
    unknown = [word for word in counts if word not in fed]
    twice = [word for word, places in where.items() if len(places) > 1]
    for what, words in (("lost", missing), ("invented", unknown), ("in two partitions", twice)):
        if words:
            report.faults.append(f"{what}: {len(words)} words ({words[:5]} ...)")
    return counts.total() - report.words


async def _main(options: argparse.Namespace) -> ChaosReport:
    with tempfile.TemporaryDirectory(prefix="faust-chaos-") as scratch:
        async with broker_of(options.broker, Path(scratch)) as url:
            return await play_chaos(
                url,
                Path(scratch),
                kills=options.kills,
                stops=options.stops,
                rate=options.rate,
                seed=options.seed,
                pause=options.pause,
            )


def main() -> None:
    """Run the chaos, print the report, and end with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.faults.standby_chaos", description=main.__doc__
    )
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--stops", type=int, default=20, help="SIGTERMs after the kills")
    parser.add_argument("--rate", type=int, default=600, help="words per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between kills")
    report = asyncio.run(_main(parser.parse_args()))
    print(report)
    raise SystemExit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
