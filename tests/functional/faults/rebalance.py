"""Workers join, leave, die and freeze while numbered events flow; the files they write are checked in the end.

By hand, with a report::

    python -m tests.functional.faults.rebalance --broker local --events 300000 --seed 1 --minutes 4
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

from faust.messages import TP
from faust.transport.base import AdminDriver, ProducerOptions, TopicSpec, Transport
from tests.functional.faults.checking import Fault, Limits, Report, check
from tests.functional.faults.recording_app import (
    ASSIGNED,
    TIMEOUTS,
    Entry,
    read_entries,
    start_worker,
)
from tests.support.driving import open_transport, until
from tests.support.kafka import KafkaCluster
from tests.support.processes import PythonProcess

__all__ = ["PARTITIONS", "Feed", "any_faults", "broker_of", "play"]

PARTITIONS = 12
WORKERS = 3
SESSION: float = TIMEOUTS["broker_session_timeout"]
FREEZE = SESSION + 2.0
"""Seconds that a frozen worker stands still."""
SETTLE = 4.0
"""Seconds from the end of a fault to the next one; more than a partition that stays may be silent."""
LAST_FAULT = 20.0
"""Seconds before the end of the feed after which nothing is done any more: events must flow behind each fault."""


class Feed:
    """Writes numbered events to all partitions in turn, at a steady rate.

    Attributes:
        produced: Events by partition so far.
    """

    def __init__(self, transport: Transport, topic: str, rate: float, events: int | None) -> None:
        self.topic = topic
        self.rate = rate
        self.events = events
        self.produced = dict.fromkeys(range(PARTITIONS), 0)
        self._producer = transport.producer(ProducerOptions(client_id="feed"))
        self._stopping = False

    def ends_soon(self) -> bool:
        """Say whether there are events for less than `LAST_FAULT` seconds."""
        written = sum(self.produced.values())
        return self.events is not None and self.events - written < LAST_FAULT * self.rate

    def stop(self) -> None:
        """End soon."""
        self._stopping = True

    async def run(self) -> None:
        """Produce until `stop` is called or all events are written; return when the broker has them."""
        producer = self._producer
        await producer.start()
        await producer.load_partitions(self.topic)
        started, count = time.monotonic(), 0
        while not self._stopping and count != self.events:
            due = int((time.monotonic() - started) * self.rate)
            for number in range(count, due if self.events is None else min(due, self.events)):
                partition = number % PARTITIONS
                producer.append(self.topic, partition, None, b"%d" % self.produced[partition])
                self.produced[partition] += 1
                count += 1
            await asyncio.sleep(0.02)
        await producer.flush()
        await producer.close()


class Crew:
    """The workers, dead and alive.

    Attributes:
        faults: What was done to them so far.
        paths: File of each worker, by name.
    """

    def __init__(self, url: str, group: str, topic: str, directory: Path) -> None:
        self.faults: list[Fault] = []
        self.paths: dict[str, Path] = {}
        self.alive: dict[str, PythonProcess] = {}
        self._where = (url, group, topic)
        self._directory = directory

    def entries(self, worker: str) -> list[Entry]:
        """Return what a worker has written."""
        return read_entries(self.paths[worker])

    def hire(self) -> str:
        """Start one more worker; return its name."""
        name = f"w{len(self.paths) + 1}"
        self.paths[name] = self._directory / f"{name}.log"
        self.alive[name] = start_worker(*self._where, self.paths[name])
        return name

    async def assigned(self, worker: str, since: float) -> None:
        """Wait until *worker* has been assigned something since a moment."""

        def there() -> bool:
            process = self.alive[worker]
            assert process.returncode is None, "\n".join(process.errors[-40:])
            return any(e.kind == ASSIGNED and e.at > since for e in self.entries(worker))

        await until(there, f"{worker} was assigned partitions", 60.0)

    async def retire(self, worker: str) -> None:
        """End a worker by SIGTERM, and insist on a good end."""
        process = self.alive.pop(worker)
        process.terminate()
        status = await process.wait_end(60.0)
        assert status == 0, f"{worker} ended with {status}\n" + "\n".join(process.errors[-40:])

    def note(self, kind: str, worker: str) -> float:
        """Write a fault down; return its time."""
        at = time.monotonic()
        self.faults.append(Fault(kind, at, worker))
        return at

    async def begin(self) -> None:
        """Start the first workers and wait until each has partitions."""
        at = self.note("start", "everybody")
        for worker in [self.hire() for _ in range(WORKERS)]:
            await self.assigned(worker, at)
        await asyncio.sleep(SETTLE)

    async def suffer(self, kind: str, chance: random.Random) -> None:
        """Do one fault, to a worker chosen by chance, and give the group time to settle."""
        if kind == "join":
            at = self.note(kind, f"w{len(self.paths) + 1}")
            await self.assigned(self.hire(), at)
        else:
            worker = chance.choice(sorted(self.alive))
            at = self.note(kind, worker)
            await getattr(self, f"_{kind}")(worker)
        await asyncio.sleep(SETTLE)

    async def _leave(self, worker: str) -> None:
        await self.retire(worker)

    async def _kill(self, worker: str) -> None:
        self.alive.pop(worker).kill()
        await asyncio.sleep(SESSION + 1.0)

    async def _freeze(self, worker: str) -> None:
        process = self.alive[worker]
        process.freeze()
        await asyncio.sleep(FREEZE)
        at = self.note("thaw", worker)
        process.thaw()
        await self.assigned(worker, at)

    def end(self) -> None:
        """Kill whoever is left."""
        for process in self.alive.values():
            process.kill()


def any_faults(crew_size: Callable[[], int], chance: random.Random) -> Iterator[str]:
    """Choose faults for ever, such that two to four workers are there."""
    while True:
        count = crew_size()
        kinds = ["freeze"] if count > 1 else []
        kinds += ["join"] * 2 if count < 4 else []
        kinds += ["leave", "kill"] if count > 2 else []
        yield chance.choice(kinds)


async def play(
    url: str,
    directory: Path,
    *,
    rate: float,
    seed: int,
    events: int | None = None,
    faults: Iterable[str] | None = None,
) -> Report:
    """Let events flow through workers to whom faults happen, and check everything in the end.

    Arguments:
        url: The broker.
        directory: For the files of the workers.
        rate: Events per second.
        seed: Of the chance that chooses victims, and faults.
        events: How many; None: as long as the faults last.
        faults: Kinds in order; None: any, until all events are written.
    """
    chance = random.Random(seed)
    name = f"rebalance-{uuid.uuid4().hex[:8]}"
    transport = open_transport(url)
    admin = transport.admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name=name, partitions=PARTITIONS)])
    feed = Feed(transport, name, rate, events)
    crew = Crew(url, f"{name}-group", name, directory)
    feeding = asyncio.create_task(feed.run())
    try:
        await crew.begin()
        for kind in faults or any_faults(lambda: len(crew.alive), chance):
            if feeding.done() or feed.ends_soon():
                break
            await crew.suffer(kind, chance)
        await _finish(crew, feed, feeding, admin)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        crew.end()
        await admin.close()
    logs = {worker: crew.entries(worker) for worker in crew.paths}
    return check(logs, crew.faults, feed.produced, Limits(anybody=SESSION + 10.0))


async def _finish(crew: Crew, feed: Feed, feeding: asyncio.Task[None], admin: AdminDriver) -> None:
    """Stop the feed, wait until everything is committed, and end the workers in good order."""
    if feed.events is None:
        feed.stop()
    await feeding
    group = f"{feed.topic}-group"
    ends = {TP(feed.topic, number): count for number, count in feed.produced.items()}

    async def committed() -> bool:
        offsets = (await admin.describe_group(group)).offsets
        return all(offsets.get(tp) == end for tp, end in ends.items())

    await until(committed, "everything was committed", 60.0)
    for worker in sorted(crew.alive):
        await crew.retire(worker)


# -- by hand


@contextlib.asynccontextmanager
async def broker_of(kind: str, directory: Path) -> AsyncIterator[str]:
    """Start a broker of a kind; its URL."""
    if kind == "local":
        yield f"local://{directory / 'broker'}"
        return
    cluster = KafkaCluster()
    await asyncio.to_thread(cluster.start)
    try:
        yield cluster.url
    finally:
        await asyncio.to_thread(cluster.close)


async def _main(options: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory(prefix="faust-rebalance-") as scratch:
        async with broker_of(options.broker, Path(scratch)) as url:
            rate = options.events / (options.minutes * 60)
            return await play(
                url, Path(scratch), rate=rate, seed=options.seed, events=options.events
            )


def main() -> None:
    """Play once, print the report, and end with 1 when there was a problem."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.faults.rebalance", description=main.__doc__
    )
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=4.0, help="how long the events take")
    options = parser.parse_args()
    report = asyncio.run(_main(options))
    print(f"{options.broker}://, seed {options.seed}, {options.minutes} minutes")
    print(report)
    raise SystemExit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
