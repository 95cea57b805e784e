"""How long it takes until a warm copy on standby has taken over from a worker that was killed.

``python -m tests.functional.faults.promotion --broker local|kafka --store memory|rocksdb`` has two workers with a table of many
keys and a copy on standby each, asks for a key of every partition every few milliseconds, and kills one of the workers by SIGKILL.
The time is taken from the end of its session (its last heartbeat, at the earliest, plus the session timeout: so the figure is too
large by up to one heartbeat interval) to the first answer of each partition that has moved. Every answer must be right: the count
of a key says that nothing was lost, and that nothing was counted again but what a kill has left uncommitted.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from faust.messages import TP, Slice
from faust.testing.faults.observer import Observer, tps_of
from tests.functional.faults.promotion_app import HEARTBEAT, PARTITIONS, SESSION_TIMEOUT
from tests.functional.faults.rebalance import broker_of
from tests.functional.faults.standby_chaos import Crew
from tests.support.driving import until

__all__ = ["PromotionReport", "play_promotion"]

APP = Path(__file__).with_name("promotion_app.py")
ASK_EVERY = 0.01
HOT = 200
"""Keys that are asked for again and again."""
WANTED = 2.0
"""Seconds after the end of the session in which everything has to flow again."""
WARM_UP = 3.0
"""Seconds in which the copies are made."""


@dataclass
class PromotionReport:
    """What came out; `faults` is empty when all promises were kept."""

    broker: str
    store: str
    keys: int
    first: list[float] = field(default_factory=list)
    """Seconds from the end of the session to the first answer of a partition that has moved; one figure per kill."""
    last: list[float] = field(default_factory=list)
    """The same until all partitions had answered."""
    reread: list[int] = field(default_factory=list)
    """Changelog records that the survivor read."""
    answers: int = 0
    surplus: int = 0
    """The most that a key was counted too often."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.broker}, {self.store}: {self.keys:,} keys, {len(self.last)} kills, {self.answers:,} answers",
            f"  after the end of the session the first partition answers in {_spread(self.first)}, all in {_spread(self.last)}",
            f"  changelog records read for it: at most {max(self.reread, default=0):,}",
        ]
        lines.append(f"  no key was counted more than {self.surplus} times too often")
        lines += [f"  FAULT: {fault}" for fault in self.faults] or ["  no fault"]
        return "\n".join(lines)


def _spread(seconds: list[float]) -> str:
    sorted_ = sorted(seconds) or [0.0]
    return f"{sorted_[len(sorted_) // 2]:.2f} s (at most {sorted_[-1]:.2f})"


class Answers:
    """What the workers have answered, partition by partition."""

    def __init__(self, report: PromotionReport) -> None:
        self.report = report
        self.latest: dict[int, tuple[str, float]] = {}
        """Of each partition: who has answered last, and when that came in."""

    def take(self, batch: Slice) -> None:
        """Check what was answered."""
        now = time.monotonic()
        for record in batch.records:
            key = int(record.key or b"")
            who, asked, count = orjson.loads(record.value or b"null")
            surplus = count - asked - 1  # it was counted once before it was asked for
            if surplus < 0:
                self.report.faults.append(f"key {key}, asked for {asked} times, has {count}: lost")
            self.report.surplus = max(surplus, self.report.surplus)
            self.latest[key % PARTITIONS] = (who, now)
            self.report.answers += 1


async def play_promotion(
    url: str, directory: Path, *, kills: int, keys: int = 100_000, store: str = "memory"
) -> PromotionReport:
    """Kill the owner of some partitions, *kills* times, and see how the other worker takes over.

    Arguments:
        url: The broker.
        directory: For the data of the workers.
        kills: How many.
        keys: Of the table.
        store: ``memory`` or ``rocksdb``.
    """
    group = f"promotion-{uuid.uuid4().hex[:8]}"
    events = tps_of(f"{group}-events", PARTITIONS)
    answers = tps_of(f"{group}-answers", 1)
    report = PromotionReport(url.partition(":")[0], store, keys)
    seen = Answers(report)
    crew = Crew(url, group, directory, APP, {"PROMOTION_STORE": f"{store}://"})
    async with Observer(url, group, on_slice=seen.take) as observer:
        await observer.create(events[0].topic, PARTITIONS)
        await observer.create(answers[0].topic, 1)
        await _ask(observer, events[0].topic, range(keys), 0)
        await observer.follow(answers)
        tasks: list[asyncio.Task[None]] = []
        try:
            for _ in range(2):
                await crew.hire()
            await _all_committed(observer, crew, events)
            tasks = [
                asyncio.create_task(_keep_reading(observer)),
                asyncio.create_task(_keep_asking(observer, events[0].topic, keys)),
            ]
            for _ in range(kills):
                await _kill_one(crew, seen)
        except AssertionError as exc:
            report.faults.append(str(exc))
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            report.faults += [repr(each) for each in results if isinstance(each, Exception)]
            await crew.end(report)
    if report.surplus > 2 * kills:
        report.faults.append(f"a key was counted {report.surplus} times too often")
    return report


async def _ask(observer: Observer, topic: str, keys: Iterable[int], asks: int) -> None:
    """Write one event for each of *keys*; it is the question of that number, or none if that is 0."""
    producer = observer.producer
    for number in keys:
        producer.append(topic, number % PARTITIONS, b"%d" % number, b"%d" % asks)
        if producer.full:
            await producer.wait_room()
    await producer.flush()


async def _keep_asking(observer: Observer, topic: str, keys: int) -> None:
    """Ask for a key of every partition: now for the next that was never asked for, now for one of a few."""
    cold = range(HOT, keys - PARTITIONS, PARTITIONS)
    for turn, first in enumerate(cold):
        hot = turn % (HOT // PARTITIONS) * PARTITIONS
        await _ask(observer, topic, range(first, first + PARTITIONS), 1)
        await _ask(observer, topic, range(hot, hot + PARTITIONS), 1 + turn // (HOT // PARTITIONS))
        await asyncio.sleep(ASK_EVERY)
    raise AssertionError(f"all {keys} keys were asked for: give it more")


async def _keep_reading(observer: Observer) -> None:
    while True:
        await observer.read(0.2)


async def _all_committed(observer: Observer, crew: Crew, tps: list[TP]) -> None:
    async def done() -> bool:
        crew.check()
        return await observer.committed(tps) == await observer.ends(tps)

    await until(done, "the table was filled", 120.0)


async def _kill_one(crew: Crew, seen: Answers) -> None:
    """Kill a worker that has partitions, wait until the other answers for them, and hire one in its place."""
    report = seen.report
    await asyncio.sleep(WARM_UP)
    await _everybody_answers(crew, seen, time.monotonic())
    victim = min(crew.alive)
    moved = [number for number, (who, _) in seen.latest.items() if victim in who]
    assert moved, f"{victim} has no partitions: {seen.latest}"
    crew.records_read()
    crew.kill(victim)
    ended = time.monotonic() - HEARTBEAT + SESSION_TIMEOUT
    answered: dict[int, float] = {}

    async def taken_over() -> bool:
        crew.check()
        for number in moved:
            who, when = seen.latest[number]
            if victim not in who:
                answered.setdefault(number, when)
        return len(answered) == len(moved)

    await until(taken_over, "the partitions have moved", 60.0)
    report.first.append(min(answered.values()) - ended)
    report.last.append(max(answered.values()) - ended)
    report.reread.append(crew.records_read())
    await crew.hire()


async def _everybody_answers(crew: Crew, seen: Answers, since: float) -> None:
    async def answered() -> bool:
        crew.check()
        names = {who for who, _ in seen.latest.values()}
        fresh = all(when > since for _, when in seen.latest.values())
        return len(seen.latest) == PARTITIONS and fresh and len(names) == len(crew.alive)

    await until(answered, "both workers answer", 60.0)


async def _main(options: argparse.Namespace) -> PromotionReport:
    with tempfile.TemporaryDirectory(prefix="faust-promotion-") as scratch:
        async with broker_of(options.broker, Path(scratch)) as url:
            return await play_promotion(
                url,
                Path(scratch),
                kills=options.kills,
                keys=options.keys,
                store=options.store,
            )


def main() -> None:
    """Kill and measure; end with 1 when an answer was wrong or a promotion took more than 2 s."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.faults.promotion", description=main.__doc__
    )
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--store", choices=("memory", "rocksdb"), default="memory")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--keys", type=int, default=100_000)
    report = asyncio.run(_main(parser.parse_args()))
    print(report)
    raise SystemExit(1 if report.faults or max(report.last) >= WANTED else 0)


if __name__ == "__main__":
    main()
