"""Two workers share a counting table, one of them is stopped, and the other goes on: with which counts?

``python -m tests.integration.interop.handback --stayer reference --leaver ours --rounds 10`` plays it with faust-streaming 0.15.3
(``reference``, see `test_interop`) and with us, in any mixture; two workers of ``reference`` are the control without any part of
ours. One round, with a group of its own:

1. The first worker starts and counts a batch (an event per key); the second one joins; both count another batch together.
2. The one that leaves gets SIGTERM. When it has ended, what it hands over is read at the broker: the committed offsets, and the
   last value of each key in the changelog. Both are compared with what was fed.
3. The one that stays counts a third batch, over all partitions. When the group has committed it, the changelog and what the worker
   shows are compared with what was fed.

An event of batch n adds ``100 ** n`` to its key, so a count says itself which batch is missing in it, and which is counted twice.
With ``--flow`` events flow all the time, also while the group changes; then a count may only be too high.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from faust.testing.faults.observer import Observer, tps_of
from tests.integration.interop.test_interop import OURS, REFERENCE, python_of
from tests.support.driving import until
from tests.support.kafka import KafkaCluster
from tests.support.processes import PythonProcess, start_python

__all__ = ["Outcome", "Scene", "Worker", "play", "play_round"]

PROGRAM = Path(__file__).with_name("group.py")
PARTITIONS = 4
KEYS = [f"key-{number}" for number in range(40)]
BASE = 100
TAKES = 100.0
"""Seconds after which faust-streaming has found its group and its tables."""


class Worker:
    """A worker of a side, and what it said last."""

    def __init__(
        self, stack: ExitStack, side: str, broker: str, id: str, name: str = "", store: str = ""
    ) -> None:
        self.side = side
        self.counts: dict[str, int] = {}
        arguments = (broker, id, name or side, *((store,) if store else ()))
        self.process: PythonProcess = stack.enter_context(
            start_python(PROGRAM, *arguments, python=python_of(side))
        )

    def look(self) -> dict[str, int]:
        """Return what it counts."""
        for line in self.process.lines():
            if line.startswith('{"name"'):
                self.counts = json.loads(line)["counts"]
        assert self.process.returncode is None, "\n".join(self.process.errors[-40:])
        return self.counts

    async def end(self) -> int:
        """Stop it in good order; return its status."""
        self.process.terminate()
        return await self.process.wait_end(60.0)


@dataclass
class Scene:
    """Who plays, and how."""

    stays: str
    leaves: str
    first: str = "stays"
    """Who starts first, and so leads the group: ``stays`` or ``leaves``."""
    store: str = "memory://"
    flow: bool = False
    pause: float = 0.0
    """Seconds that both work together before one leaves."""

    @property
    def sides(self) -> tuple[str, str]:
        """Who plays."""
        return self.stays, self.leaves


@dataclass
class Outcome:
    """What came out of a round."""

    scene: Scene
    handed_over: Counter[str] = field(default_factory=Counter)
    """Mistakes when one had left: in the changelog (``lost``, ``doubled``), and events that were not committed."""
    after: Counter[str] = field(default_factory=Counter)
    """Mistakes in the changelog when the other had gone on."""
    shown: Counter[str] = field(default_factory=Counter)
    """Mistakes in what the worker that stays shows in the end."""
    of_ours: Counter[str] = field(default_factory=Counter)
    """Mistakes that only a worker of ours can have made: what it showed before it left is not in the changelog; or, when it went
    on, a key has not got the one event more that it should have."""
    examples: list[str] = field(default_factory=list)
    stuck: str = ""
    """What was waited for in vain."""

    @property
    def right(self) -> bool:
        """Nothing is wrong; where events flowed: nothing is missing."""
        mistakes = self.handed_over + self.after + self.shown
        if self.scene.flow:
            mistakes = Counter({"lost": mistakes["lost"]})
        return not self.stuck and not mistakes.total()

    def __str__(self) -> str:
        parts = [
            f"{name}: {', '.join(f'{n} {what}' for what, n in found.items() if n) or 'right'}"
            for name, found in (
                ("handed over", self.handed_over),
                ("changelog in the end", self.after),
                ("shown in the end", self.shown),
                *((("by ours", self.of_ours),) if OURS in self.scene.sides else ()),
            )
        ]
        text = "; ".join(parts)
        if self.stuck:
            text += f"; STUCK: {self.stuck}"
        return text + "".join(f"\n    {example}" for example in self.examples[:4])


class Round:
    """One round, with a group of its own."""

    def __init__(self, scene: Scene, observer: Observer, url: str, id: str) -> None:
        self.scene = scene
        self.observer = observer
        self.url = url
        self.id = id
        self.topic = f"{id}-events"
        self.sources = tps_of(self.topic, PARTITIONS)
        self.changelog = tps_of(f"{id}-counts-changelog", PARTITIONS)
        self.wanted: dict[str, int] = {}
        self.batch = 0
        self.outcome = Outcome(scene)
        self.workers: dict[str, Worker] = {}
        self.handed: dict[str, int] = {}

    async def send(self, keys: list[str] = KEYS) -> None:
        """Feed one event per key."""
        producer = self.observer.producer
        for key in keys:
            number = KEYS.index(key) % PARTITIONS
            amount = BASE**self.batch
            producer.append(self.topic, number, key.encode(), b"%d" % amount)
            self.wanted[key] = self.wanted.get(key, 0) + amount
        await producer.flush()

    async def flow(self, stop: asyncio.Event) -> None:
        """Feed a few events now and then, until told to stop."""
        chance = random.Random(self.id)
        while not stop.is_set():
            await self.send(chance.sample(KEYS, 4))
            await asyncio.sleep(0.02)

    async def done(self) -> bool:
        """Say whether the group has committed all that was fed."""
        return await self.observer.committed(self.sources) == await self.observer.ends(self.sources)

    async def contents(self) -> dict[str, int]:
        """Return what the changelog says."""
        observer = self.observer
        observer.logs.clear()
        await observer.follow(self.changelog)
        await observer.catch_up()
        said: dict[str, int] = {}
        for tp in self.changelog:
            for key, value in observer.logs[tp]:
                said[json.loads(key or b"")] = json.loads(value or b"0")
        return said

    def judge(self, when: str, found: dict[str, int], into: Counter[str]) -> None:
        """Compare counts with what was fed."""
        for key, wanted in self.wanted.items():
            got = found.get(key, 0)
            if got == wanted:
                continue
            digits = [(got // BASE**n % BASE, wanted // BASE**n % BASE) for n in range(self.batch)]
            low = got < wanted if self.scene.flow else any(a < b for a, b in digits)
            into["lost" if low else "doubled"] += 1
            self.outcome.examples.append(f"{when}: {key} is {got}, should be {wanted}")

    async def play(self, stack: ExitStack) -> None:
        """Play it."""
        stop = asyncio.Event()
        feeding: asyncio.Task[None] | None = None
        try:
            await self._come_together(stack)
            if self.scene.flow:
                feeding = asyncio.create_task(self.flow(stop))
            else:
                await self._count_a_batch("both")
            await asyncio.sleep(1.0 + self.scene.pause)  # a worker tells twice a second
            showed = dict(self.workers["leaves"].look())
            await self.workers["leaves"].end()
            if feeding is None:
                await self._look_at_what_is_handed_over(showed)
                await self._count_a_batch("the one that stays")
            else:
                await asyncio.sleep(5.0)
                stop.set()
                await feeding
            await self._look_at_the_end(self.workers["stays"])
        except AssertionError as exc:
            self.outcome.stuck = str(exc)[-300:]
        finally:
            stop.set()
            if feeding is not None:
                await asyncio.gather(feeding, return_exceptions=True)

    async def _come_together(self, stack: ExitStack) -> None:
        """Start one worker, have it count, and start the other; both own something in the end."""
        scene, workers = self.scene, self.workers
        order = ("stays", "leaves") if scene.first == "stays" else ("leaves", "stays")
        for role in order:
            side = scene.stays if role == "stays" else scene.leaves
            workers[role] = Worker(stack, side, self.url, self.id, role, scene.store)
            if role == order[0]:
                await self._count_a_batch("the first")
        await until(lambda: all(w.look() for w in workers.values()), "both have a part", TAKES)

    async def _count_a_batch(self, who: str) -> None:
        await self.send()
        await until(self.done, f"{who}: batch {self.batch} is counted and committed", TAKES)
        if not self.scene.flow:
            self.batch += 1

    async def _look_at_what_is_handed_over(self, showed: dict[str, int]) -> None:
        into = self.outcome.handed_over
        self.handed = await self.contents()
        self.judge("handed over", self.handed, into)
        if self.scene.leaves == OURS:
            wrong = {key for key in showed if self.handed.get(key) != showed[key]}
            self.outcome.of_ours["not handed over"] = len(wrong)
        committed = await self.observer.committed(self.sources)
        for tp, end in (await self.observer.ends(self.sources)).items():
            into["not committed"] += end - committed[tp]

    async def _look_at_the_end(self, stayer: Worker) -> None:
        await until(
            self.done, f"the one that stays ({stayer.side}) has committed everything", TAKES
        )
        deadline = time.monotonic() + 10.0
        while stayer.look() != self.wanted and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        self.judge("shown", stayer.counts, self.outcome.shown)
        found = await self.contents()
        self.judge("changelog", found, self.outcome.after)
        if self.scene.stays == OURS and not self.scene.flow:
            more = BASE ** (self.batch - 1)
            wrong = {key for key in KEYS if found.get(key) != self.handed.get(key, 0) + more}
            self.outcome.of_ours["not gone on with"] = len(wrong)


async def play_round(url: str, scene: Scene, logs: Path | None = None) -> Outcome:
    """Play one round at a broker; of a round that went wrong keep what the workers logged in *logs*."""
    id = f"handed-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        async with Observer(url, id) as observer:
            one = Round(scene, observer, url, id)
            await observer.create(one.topic, PARTITIONS)
            await one.play(stack)
            if logs is not None and not one.outcome.right:
                directory = logs / id
                directory.mkdir(parents=True)
                for role, worker in one.workers.items():
                    (directory / f"{role}.log").write_text("\n".join(worker.process.errors))
            return one.outcome


async def play(url: str, scene: Scene, rounds: int, logs: Path | None = None) -> list[Outcome]:
    """Play rounds, and print each."""
    outcomes = []
    for number in range(rounds):
        scene.pause = (number % 5) * 1.0
        outcome = await play_round(url, scene, logs)
        outcomes.append(outcome)
        print(f"round {number + 1}: {outcome}", flush=True)
    return outcomes


async def _main(options: argparse.Namespace) -> int:
    with KafkaCluster() as cluster:
        scene = Scene(
            options.stayer, options.leaver, options.first, options.store, flow=options.flow
        )
        outcomes = await play(cluster.url, scene, options.rounds, options.logs)
    wrong = [outcome for outcome in outcomes if not outcome.right]
    guilty = sum(bool(outcome.handed_over.total()) for outcome in outcomes)
    ours = sum(bool(outcome.of_ours.total()) for outcome in outcomes)
    print(
        f"{options.leaver} leaves, {options.stayer} stays, {options.store}"
        f"{', events flow' if options.flow else ''}: {len(wrong)} of {len(outcomes)} rounds wrong; "
        f"wrong already when handed over: {guilty}; by ours: {ours}"
    )
    return 1 if wrong else 0


def main() -> None:
    """Play rounds of one scene; end with 1 when a count was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.integration.interop.handback", description=main.__doc__
    )
    sides = (OURS, REFERENCE)
    parser.add_argument("--stayer", choices=sides, default=REFERENCE)
    parser.add_argument("--leaver", choices=sides, default=OURS)
    parser.add_argument("--first", choices=("stays", "leaves"), default="stays", help="who starts")
    parser.add_argument("--store", choices=("memory://", "rocksdb://"), default="memory://")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flow", action="store_true", help="events flow while the group changes")
    parser.add_argument(
        "--logs", type=Path, help="directory for the logs of rounds that went wrong"
    )
    raise SystemExit(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
