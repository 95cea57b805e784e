"""The crash trial: a worker that counts numbered words is ended again and again while words flow.

``python -m tests.functional.faults.crash --broker local|kafka --words 200000 --kills 20`` runs it in full size, once
with SIGKILL and once with SIGTERM, and prints a report; the same ``--seed`` ends the workers at the same moments.

The journey of word n: record ``n // 4`` of partition ``n % 4`` of *numbers*, then *grouped* (under itself as key),
then the changelog of the table. After each death, when nobody is alive and the broker is quiet, these logs and the
committed offsets are compared. Let c be the offsets committed at this death, c' at the last one, S and S' the counts
in the changelog now and then:

* *lost*: a word below c of *numbers* is not in *grouped*; or S(w) is less than S'(w) plus how often w is in
  grouped[c':c]. Every commit is checked like this, not just the last.
* *invented*: S(w) is more than S'(w) plus how often w is in grouped[c':end].
* *tail*, "what lay between the last commit and the kill": of *numbers* what this life forwarded at or behind c; of
  *grouped* what it has at or behind c.

In the end every word has been counted, and the surplus (the sum of all counts less the number of words) is no more
than the sum of the tails; a life that died before it counted anything adds no tail of *grouped*. After a SIGTERM
nothing may be repeated at all: each word is once in *grouped*, and once in the table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from faust.messages import TP
from faust.testing.faults.observer import Observer, tps_of
from tests.functional.faults.counting_app import PARTITIONS, SESSION_TIMEOUT
from tests.support.kafka import KafkaCluster
from tests.support.processes import PythonProcess, start_python

__all__ = ["Report", "run_trial"]

APP = Path(__file__).with_name("counting_app.py")

STOP_LIMIT = 10.0
"""Seconds that SIGTERM may take."""
LONG = 2.0
"""Seconds (20 commit intervals) after which a ready worker must have committed something."""


class Names:
    """The partitions of one trial, and all that begins with its name.

    Args:
        group: Name of the app, and so of its group.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self.numbers = tps_of(f"{group}-numbers", PARTITIONS)
        self.grouped = tps_of(f"{group}-grouped", PARTITIONS)
        self.sources = [*self.numbers, *self.grouped]
        self.logs = [*self.grouped, *tps_of(f"{group}-counts-changelog", PARTITIONS)]


@dataclass
class Life:
    """One life of the worker, and what its end left behind.

    Attributes:
        ready: Seconds from ready to the signal; None: it came before the worker was ready.
        forwarded: Records it added to *grouped*.
        tail: Records of *numbers* and *grouped* between the last commit and the end.
        counted: Records it added to the changelog.
        recounted: Counts in the changelog for records behind the commit; the next life counts them again.
        status: Exit status.
        stop: Seconds from the signal to the end.
    """

    ready: float | None
    forwarded: int
    tail: tuple[int, int]
    counted: int
    recounted: int
    status: int
    stop: float


@dataclass
class Report:
    """What came out of a trial; `faults` is empty when all promises were kept."""

    broker: str
    signal: signal.Signals
    words: int
    seed: int
    lives: list[Life] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    repeated: int = 0
    surplus: int = 0
    seconds: float = 0.0

    @property
    def bound(self) -> int:
        """Return the sum of all tails, of *grouped* only those of lives that have counted something."""
        return sum(life.tail[0] + (life.tail[1] if life.counted else 0) for life in self.lives)

    def __str__(self) -> str:
        lines = [
            f"{self.broker} {self.signal.name}: {self.words:,} words, {len(self.lives)} deaths",
            f"  seed {self.seed}, {self.seconds:.0f} s",
            "  death  ready for  forwarded  tail numbers  tail grouped  recounted  status  stop",
        ]
        for number, life in enumerate(self.lives, 1):
            ready = "not yet" if life.ready is None else f"{life.ready:.2f} s"
            lines.append(
                f"  {number:5}  {ready:>9}  {life.forwarded:9,}  {life.tail[0]:12,}  {life.tail[1]:12,}"
                f"  {life.recounted:9,}  {life.status:6}  {life.stop:.2f} s"
            )
        lines.append(
            f"  words forwarded twice: {self.repeated:,}; counts too many: {self.surplus:,};"
            f" between last commit and death: {self.bound:,}"
        )
        lines.append("\n".join(f"  FAULT: {fault}" for fault in self.faults) or "  no fault")
        return "\n".join(lines)


def _some(numbers: Sequence[int]) -> str:
    return (
        f"{len(numbers)} words ({', '.join(map(str, numbers[:5]))}{' ...' if numbers[5:] else ''})"
    )


# -- the books


class Books:
    """Compares logs and committed offsets after each death."""

    def __init__(self, observer: Observer, names: Names, report: Report) -> None:
        self.report = report
        self._names = names
        self._observer = observer
        self._read: dict[TP, int] = dict.fromkeys(names.logs, 0)
        self._committed: dict[TP, int] = dict.fromkeys(names.sources, 0)
        self._forwarded: set[int] = set()
        self.grouped: dict[TP, list[int]] = {tp: [] for tp in names.grouped}
        self.counts: Counter[int] = Counter()

    async def close_life(
        self, ready: float | None, status: int, stop: float, *, keep: bool = True
    ) -> None:
        """Take stock; the worker is dead."""
        committed = await self._observer.settled(self._names.sources)
        await self._observer.catch_up()
        for tp, end in (await self._observer.ends(self._names.grouped)).items():
            assert len(self._observer.logs[tp]) == end, f"the observer missed records of {tp}"
        before = self.counts.copy()
        forwarded = self._take_grouped()
        counted = self._take_changelog()
        tail = sum(self._tails_of_numbers(forwarded, committed))
        waiting = sum(len(self.grouped[tp]) - committed[tp] for tp in self._names.grouped)
        recounted = self._compare_counts(before, committed)
        self._compare_forwarded(committed)
        life = Life(ready, len(forwarded), (tail, waiting), counted, recounted, status, stop)
        self._look_at_progress(life, committed)
        self._committed = committed
        if keep:
            self.report.lives.append(life)

    def fault(self, text: str) -> None:
        """Note a broken promise."""
        self.report.faults.append(f"death {len(self.report.lives) + 1}: {text}")

    def _new(self, tp: TP) -> Iterator[tuple[bytes | None, bytes | None]]:
        log = self._observer.logs[tp]
        start, self._read[tp] = self._read[tp], len(log)
        return iter(log[start:])

    def _take_grouped(self) -> list[int]:
        forwarded = []
        for tp in self._names.grouped:
            words = [int(orjson.loads(value or b"")) for _, value in self._new(tp)]
            self.grouped[tp] += words
            forwarded += words
        self._forwarded.update(forwarded)
        return forwarded

    def _take_changelog(self) -> int:
        taken = 0
        for tp in self._names.logs[PARTITIONS:]:
            for key, value in self._new(tp):
                self.counts[int(orjson.loads(key or b""))] = orjson.loads(value or b"0")
                taken += 1
        return taken

    def _tails_of_numbers(self, forwarded: list[int], committed: dict[TP, int]) -> Iterator[int]:
        """What this life forwarded of a partition at or behind the commit."""
        for tp in self._names.numbers:
            mine = (n // PARTITIONS for n in forwarded if n % PARTITIONS == tp.partition)
            yield max(0, max(mine, default=-1) + 1 - committed[tp])

    def _compare_forwarded(self, committed: dict[TP, int]) -> None:
        lost = [
            number
            for tp in self._names.numbers
            for number in range(tp.partition, committed[tp] * PARTITIONS, PARTITIONS)
            if number not in self._forwarded
        ]
        if lost:
            self.fault(f"lost: {_some(lost)} committed in numbers are not in grouped")

    def _compare_counts(self, least: Counter[int], committed: dict[TP, int]) -> int:
        """Compare the changelog with what may be in it; return how much lies behind the commit."""
        most = least.copy()
        for tp in self._names.grouped:
            since = self._committed[tp]
            if committed[tp] < since:
                self.fault(f"the commit of {tp} went back from {since} to {committed[tp]}")
            least.update(self.grouped[tp][since : committed[tp]])
            most.update(self.grouped[tp][since:])
        lost = [word for word, count in least.items() if self.counts[word] < count]
        invented = [word for word, count in self.counts.items() if count > most[word]]
        if lost:
            self.fault(f"lost: {_some(lost)} committed in grouped are not in the changelog")
        if invented:
            self.fault(f"invented: {_some(invented)} are counted more often than they were there")
        return self.counts.total() - least.total()

    def _look_at_progress(self, life: Life, committed: dict[TP, int]) -> None:
        moved = any(committed[tp] > self._committed[tp] for tp in self._names.numbers)
        if (life.ready or 0) >= LONG and life.forwarded and not moved:
            self.fault(f"nothing was committed in {life.ready:.1f} s")

    def close(self) -> None:
        """Everything has drained: compare with what was fed."""
        report = self.report
        missing = [word for word in range(report.words) if not self.counts[word]]
        unknown = [word for word in self.counts if word >= report.words]
        report.repeated = sum(map(len, self.grouped.values())) - report.words
        report.surplus = self.counts.total() - report.words
        if missing:
            self.fault(f"lost: {_some(missing)} were not counted in the end")
        if unknown:
            self.fault(f"invented: {_some(unknown)}")
        if report.signal == signal.SIGTERM:
            self._close_terms()
        elif report.surplus > report.bound:
            self.fault(f"{report.surplus} too many, but only {report.bound} behind commits")

    def _close_terms(self) -> None:
        report = self.report
        twice = [word for word, count in self.counts.items() if count > 1]
        if twice or report.repeated:
            self.fault(f"repeated after SIGTERM: {_some(twice)}, {report.repeated} forwarded twice")
        for life in report.lives:
            if life.status != 0 or life.stop > STOP_LIMIT:
                self.fault(f"SIGTERM: status {life.status} after {life.stop:.1f} s")


# -- the trial


class Feeder:
    """Writes the words evenly over a time, until it is told to write the rest at once."""

    def __init__(self, observer: Observer, topic: str, words: int, seconds: float) -> None:
        self._observer = observer
        self._topic = topic
        self._words = words
        self._rate = words / seconds
        self._hurry = asyncio.Event()
        self._task = asyncio.create_task(self._feed())

    async def _feed(self) -> None:
        began, fed = time.monotonic(), 0
        while fed < self._words:
            due = self._rate * (time.monotonic() - began) + 1
            until = self._words if self._hurry.is_set() else min(self._words, int(due))
            await self._observer.feed(range(fed, until), self._topic, PARTITIONS)
            fed = until
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), 0.02)

    async def finish(self) -> None:
        """Write the rest."""
        self._hurry.set()
        await self._task

    def cancel(self) -> None:
        """Write no more."""
        self._task.cancel()


class Trial:
    """Lets workers live and die."""

    def __init__(self, url: str, names: Names, report: Report, directory: Path) -> None:
        self.report = report
        self._names = names
        self._random = random.Random(report.seed)
        self._env = {
            "BROKER_URL": url,
            "APP_DATADIR": str(directory / "data"),
            "CRASH_NAME": names.group,
        }
        self._observer = Observer(url, names.group)

    async def run(self, deaths: int) -> None:
        """Run the whole trial."""
        began = time.monotonic()
        # A dead member holds its partitions until its session has expired; one that left does not.
        per_life = 4.0 if self.report.signal == signal.SIGTERM else 3.0 + SESSION_TIMEOUT
        async with self._observer as observer:
            for topic in {tp.topic for tp in self._names.sources}:
                await observer.create(topic, PARTITIONS)
            books = Books(observer, self._names, self.report)
            source = self._names.numbers[0].topic
            feeder = Feeder(observer, source, self.report.words, deaths * per_life)
            try:
                for number in range(deaths):
                    await self._live(books, may_be_early=number > 0)
                await feeder.finish()
                await self._drain(books)
            finally:
                feeder.cancel()
            books.close()
        self.report.seconds = time.monotonic() - began

    async def _live(self, books: Books, *, may_be_early: bool) -> None:
        """Start a worker and end it at a random moment: one in four before it is ready."""
        early = self._random.random() < 0.25 and may_be_early
        moment = self._random.uniform(0.1, 2.5)
        with start_python(APP, "worker", env=self._env) as worker:
            ready = await self._wait(worker, early=early, moment=moment)
            if not may_be_early:
                await self._observer.follow(self._names.logs)
            self._must_run(worker)
            began = time.monotonic()
            worker.send_signal(self.report.signal)
            status = await worker.wait_end(30.0)
            stop = time.monotonic() - began
        if self.report.signal == signal.SIGTERM and status != 0:
            books.fault(f"SIGTERM: status {status}: {worker.errors[-20:]}")
        await books.close_life(ready, status, stop)

    async def _wait(self, worker: PythonProcess, *, early: bool, moment: float) -> float | None:
        """Wait for the moment; return for how long the worker has been ready."""
        await worker.wait_line(60.0)  # the banner: from here on signals have their meaning
        if early:
            await asyncio.sleep(moment / 2)
            return None if not _is_ready(worker.lines()) else moment / 2
        while not _is_ready(worker.lines()):
            self._must_run(worker)
            await asyncio.sleep(0.01)
        await asyncio.sleep(moment)
        return moment

    async def _drain(self, books: Books, timeout: float = 120.0) -> None:
        """Let a last worker finish everything, and end it."""
        tps = self._names.sources
        deadline = time.monotonic() + timeout
        with start_python(APP, "worker", env=self._env) as worker:
            await self._wait(worker, early=False, moment=0.0)
            while True:
                # First the ends of numbers: when all of it is committed grouped does not grow any more.
                done, ends = await self._observer.committed(tps), await self._observer.ends(tps)
                if (
                    done == ends
                    and sum(ends[tp] for tp in self._names.numbers) == self.report.words
                ):
                    break
                self._must_run(worker)
                assert time.monotonic() < deadline, f"not drained in {timeout} s: {done} of {ends}"
                await asyncio.sleep(0.1)
            began = time.monotonic()
            worker.terminate()
            status = await worker.wait_end(30.0)
        if status != 0:
            books.fault(f"the last worker ended with {status}: {worker.errors[-20:]}")
        await books.close_life(None, status, time.monotonic() - began, keep=False)

    @staticmethod
    def _must_run(worker: PythonProcess) -> None:
        if worker.returncode is not None:
            raise AssertionError(
                f"the worker ended by itself with {worker.returncode}:\n"
                + "\n".join(worker.errors[-40:])
            )


def _is_ready(lines: list[str]) -> bool:
    return any("OK ^" in line for line in lines)


async def run_trial(
    url: str,
    directory: Path,
    *,
    words: int,
    deaths: int,
    number: signal.Signals,
    seed: int | None = None,
    name: str = "counting",
) -> Report:
    """Run a trial.

    Args:
        url: Address of the broker.
        directory: For the data of the workers.
        words: How many words flow.
        deaths: How often the worker is ended while they do.
        number: The signal.
        seed: Makes the moments the same as in another trial; None: random.
        name: Of the app, and what the names of its topics begin with; nobody has used it on this broker.
    """
    seed = random.randrange(10**6) if seed is None else seed
    report = Report(url.partition(":")[0], number, words, seed)
    await Trial(url, Names(name), report, directory).run(deaths)
    return report


# -- by hand


@contextlib.contextmanager
def _broker(kind: str, directory: Path) -> Iterator[str]:
    if kind == "local":
        yield f"local://{directory / 'broker'}"
        return
    with KafkaCluster() as cluster:
        yield cluster.url


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial in full size; the status is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.functional.faults.crash")
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--words", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20, help="deaths by SIGKILL, and by SIGTERM")
    parser.add_argument("--signal", choices=("kill", "term", "both"), default="both")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args(arguments)
    names = ("kill", "term") if options.signal == "both" else (options.signal,)
    faults = 0
    for name in names:
        number = signal.Signals[f"SIG{name.upper()}"]
        with tempfile.TemporaryDirectory(prefix="faust-crash-") as scratch:
            directory = Path(scratch)
            with _broker(options.broker, directory) as url:
                trial = run_trial(
                    url,
                    directory,
                    words=options.words,
                    deaths=options.kills,
                    number=number,
                    seed=options.seed,
                )
                report = asyncio.run(trial)
        print(report, flush=True)
        faults += len(report.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
