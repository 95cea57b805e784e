"""Acceptances 1, 2, 3 and 8 of issue 8: numbered events flow through an app, everything that can go wrong does.

One run is one line::

    python -m tests.functional.faults.chaos --guarantee exactly_once --app count --broker kafka --seed 7
    python -m tests.functional.faults.chaos --app pipe --broker cluster --catalogue 100 --seed 1
    python -m tests.functional.faults.chaos --app group --broker kafka --minutes 60 --rate 20000 --kinds join --pause 60

The report ends with the line that repeats it. ``--plan`` takes the faults themselves, as a report has written them
(`faust.testing.faults.Plan`).

What is promised, and checked with a reader that sees only what was committed:

* every number comes out at least once; with ``exactly_once`` exactly once;
* the numbers of a key come out in order (``pipe``, ``count``, ``group``; answers have no keys);
* at least once: what comes out again is no more than what was handled again, and that is no more than what was handled and not
  committed when partitions changed hands, counted to the event (`tails`);
* the changelog holds the recomputed truth, or (at least once) no less, and no more than what was handled again;
* a fresh worker recovers the very contents of the changelog, without data or with those of a worker of the trial; every RocksDB
  directory holds what the changelog held at its offset (`chaos_table`);
* no worker ends by itself, and SIGTERM ends one with 0;
* with ``--catalogue`` everything is processed and committed 30 s after the end of each fault.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import shlex
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from faust.exceptions import FaustError
from faust.messages import TP, Slice
from faust.testing.faults import (
    BROKER_KINDS,
    NET_KINDS,
    WORKER_KINDS,
    Crew,
    Ledger,
    NotReached,
    Observer,
    Outcome,
    Plan,
    Proxy,
    Step,
    Usage,
    World,
    play,
    tps_of,
)
from tests.functional.faults.chaos_app import KEYS, PARTITIONS, SESSION_TIMEOUT
from tests.functional.faults.chaos_table import Changelog, check_directories, differing, recover
from tests.functional.faults.diary import read_diaries
from tests.functional.faults.tails import Account, Harm, settle
from tests.support.kafka import KafkaCluster
from tests.support.processes import ROOT

__all__ = ["CATCH_UP", "Report", "Scene", "command_of", "run", "stage"]

APP = Path(__file__).with_name("chaos_app.py")
CATCH_UP = 30.0
"""Seconds from the end of a fault within which all must be processed."""
FEED_EVERY = 0.1
"""Seconds between two handfuls of events: with five times as many, brokers need twice as much CPU."""
SAMPLE = 0.25
"""Seconds between two looks at what is committed."""
APP_KINDS: Mapping[str, tuple[float, float]] = {"hang": (1.0, 6.0), "poison": (0.0, 0.0)}
"""Faults of the application itself: an agent that hangs in an await, a record that cannot be decoded."""
REFUSED: Mapping[str, tuple[float, float]] = {"refuse": (2.0, 6.0)}
"""Brokers refuse to append to the output (pain row 22)."""
CLEAN = frozenset({"term", "join", "hang", "poison"})
"""Faults after which nothing may come out twice."""
SETTLING = 2 * SESSION_TIMEOUT + 2.0
"""Seconds after a fault within which partitions still change hands because of it."""
STOP_LIMIT = 10.0
"""Seconds that a worker may take to end after SIGTERM: `faust.worker.process.Process.stop_timeout`, and three on a busy machine."""
REPLY_TO, CORRELATION_ID = "Faust-Ag-ReplyTo", "Faust-Ag-CorrelationId"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is run. Times are in seconds."""

    app: str = "pipe"
    guarantee: str = "at_least_once"
    store: str = "memory"
    standbys: int = 0
    workers: int = 3
    events: int = 300_000
    rate: float = 5_000.0
    plan: Plan = field(default_factory=lambda: Plan(()))
    catch_up: bool = False
    """Wait after each fault until everything is processed, at most `CATCH_UP` seconds."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether nothing may come out twice."""
        return self.guarantee == "exactly_once"


@dataclass
class Report:
    """What came out; `problems` is empty when all promises were kept."""

    scene: Scene
    outcomes: list[Outcome] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    account: Account | None = None
    """At least once: what was handled again, and what may have been."""
    surplus: float = 0.0
    table: str = "-"
    """What became of the table; ``-``: the app has none."""
    directories: int = 0
    """RocksDB databases that were compared with the changelog."""
    sent: int = 0
    seconds: float = 0.0
    stops: list[float] = field(default_factory=list)
    usage: list[tuple[float, dict[str, Usage]]] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    """Seconds from sending to seeing, sampled."""
    again: str = ""

    def __str__(self) -> str:
        scene, ledger = self.scene, self.ledger
        resumed = sorted(o.resumed for o in self.outcomes if o.resumed is not None)
        title = f"{scene.app}, {scene.guarantee}, {scene.store}, standbys {scene.standbys}:"
        title += f" {self.sent:,} events, {len(self.outcomes)} faults, {self.seconds:.0f} s"
        counts = f"  lost {ledger.lost}, doubled {ledger.doubled:,}"
        counts += f", out of order {ledger.disordered}, invented {ledger.invented}"
        lines = [title, *(f"  {outcome}" for outcome in self.outcomes), counts]
        if self.account is not None:
            lines.append(f"  {self.account}")
        if self.table != "-":
            lines.append(
                f"  table {self.table}, surplus {self.surplus:,.0f}; {self.directories} databases compared"
            )
        if resumed:
            lines.append(
                f"  caught up after a fault: median {resumed[len(resumed) // 2]:.1f} s, at most {resumed[-1]:.1f} s"
            )
        if self.stops:
            lines.append(
                f"  {len(self.stops)} SIGTERMs, the longest stop took {max(self.stops):.1f} s"
            )
        lines += self._growth()
        lines += [f"  PROBLEM: {problem}" for problem in self.problems] or ["  no problem"]
        return "\n".join([*lines, f"  again: {self.again}"])

    def _growth(self) -> list[str]:
        """Compare the first third of a long run with the last."""
        if len(self.usage) < 30:
            return []
        third = len(self.usage) // 3
        rows = []
        for what in ("memory", "files", "threads"):
            first, last = (
                max((getattr(u, what) for _, each in part for u in each.values()), default=0)
                for part in (self.usage[third : 2 * third], self.usage[-third:])
            )
            rows.append(
                f"  {what} of a worker, at most: {first:,.0f} in the second third, {last:,.0f} in the last"
            )
        return rows


class Trial:
    """One run of a scene."""

    def __init__(
        self,
        scene: Scene,
        url: str,
        workers_url: str,
        directory: Path,
        *,
        brokers: KafkaCluster | None = None,
        proxies: Sequence[Proxy] = (),
    ) -> None:
        self.scene = scene
        self.report = Report(scene, ledger=Ledger())
        self.name = f"chaos-{uuid.uuid4().hex[:8]}"
        self.directory = directory
        self.source = tps_of(f"{self.name}-in", PARTITIONS)
        self.output = tps_of(f"{self.name}-out", PARTITIONS)
        self.changelog = tps_of(f"{self.name}-counts-changelog", PARTITIONS)
        self.inputs = list(self.source)
        if scene.app == "group":
            self.inputs += tps_of(f"{self.name}-grouped", PARTITIONS)
        self.poisoned = dict.fromkeys(range(PARTITIONS), 0)
        self.committed: dict[TP, int] = dict.fromkeys(self.inputs, 0)
        self._harms: list[tuple[Step, float]] = []
        self._wanted: dict[int, tuple[float, list[int]]] = {}
        """By fault: when it had ended, and what had been sent to each partition by then."""
        self._sent_at: dict[int, float] = {}
        self._url = url
        self._brokers = brokers
        self.observer = Observer(url, self.name)
        self.reader = Observer(url, self.name, read_committed=True, on_slice=self._saw)
        self.observer.replication = brokers.size if brokers is not None else 1
        python = [sys.executable, "-u", str(APP), "-l", "info", "worker"]
        self.crew = Crew(python, directory, env=self._env(workers_url), cwd=ROOT)
        self.world = World(
            self.crew,
            group=self.name,
            brokers=brokers,
            proxies=proxies,
            more={"hang": self._hang, "poison": self._poison, "refuse": self._refuse},
        )
        (directory / "diaries").mkdir()

    def _env(self, url: str) -> dict[str, str]:
        scene = self.scene
        settings = {
            "table_standby_replicas": scene.standbys,
            "store": f"{scene.store}://",
            "processing_guarantee": scene.guarantee,
            "topic_replication_factor": self.observer.replication,
            **scene.settings,
        }
        diaries = {} if scene.exact else {"FAULTS_DIARIES": str(self.directory / "diaries")}
        return {
            **diaries,
            "PYTHONPATH": str(ROOT),
            "BROKER_URL": url,
            "FAULTS_NAME": self.name,
            "FAULTS_APP": scene.app,
            "FAULTS_CONTROL": str(self.directory),
            "FAULTS_SETTINGS": json.dumps(settings),
        }

    # -- the run

    async def run(self) -> Report:
        """Run the whole scene."""
        began = time.monotonic()
        async with self.observer, self.reader:
            await self._create()
            helpers: list[asyncio.Task[None]] = []
            try:
                for name in [self.crew.hire() for _ in range(self.scene.workers)]:
                    await self.crew.ready(name, 120.0)
                feeding = asyncio.create_task(self._feed())
                helpers = [feeding, *map(asyncio.create_task, (self._read(), self._sample()))]
                await self._suffer()
                await feeding
                await self.caught_up(120.0)
                self._note_resumed()
                await self.crew.end()
            except (FaustError, TimeoutError) as exc:
                self.report.problems.append(f"{type(exc).__name__}: {exc}")
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                self.crew.close()
            await self.reader.catch_up()
            await self._close_books()
            if self.report.problems:
                self._keep_evidence()
        self.report.seconds = time.monotonic() - began
        return self.report

    async def _create(self) -> None:
        for tps in (self.source, self.output):
            await self.observer.create(tps[0].topic, PARTITIONS)
        await self.reader.follow(self.output)

    async def _suffer(self) -> None:
        """Carry out the plan while events flow, and what is left of it when they end."""
        wait = self.caught_up if self.scene.catch_up else None
        playing = asyncio.create_task(self._play(wait))
        try:
            await playing
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        self._stop_feeding = wait is not None

    async def _play(self, wait: Callable[[], Awaitable[None]] | None) -> None:
        number = itertools.count(1)

        def begins(step: Step) -> None:
            self._begin(step)
            told = f"  {next(number)}/{len(self.scene.plan)} {step}"
            print(told, file=sys.stderr, flush=True)

        await play(
            self.world, self.scene.plan, self.report.outcomes, caught_up=wait, on_begin=begins
        )

    _stop_feeding = False

    async def _feed(self) -> None:
        """Send the numbers at a steady rate."""
        producer, topic, rate = self.observer.producer, self.source[0].topic, self.scene.rate
        began, reply = time.monotonic(), self.output[0].topic.encode()
        report, rpc = self.report, self.scene.app == "rpc"
        while report.sent < self.scene.events and not self._stop_feeding:
            due = min(self.scene.events, int((time.monotonic() - began) * rate))
            for number in range(report.sent, due):
                key = number % KEYS
                headers = ((REPLY_TO, reply), (CORRELATION_ID, b"%d" % number)) if rpc else ()
                value = b"%d" % number
                producer.append(topic, key % PARTITIONS, b"%d" % key, value, None, headers)
            if due > report.sent:
                self._sent_at[due - 1] = time.monotonic()
            report.sent = max(due, report.sent)
            if producer.full:
                await producer.wait_room()
            await asyncio.sleep(FEED_EVERY)
        await producer.flush()

    # -- looking on

    async def _read(self) -> None:
        while True:
            await self.reader.read(0.5)

    def _saw(self, batch: Slice) -> None:
        ledger, rpc, sent_at = self.report.ledger, self.scene.app == "rpc", self._sent_at
        for record in batch.records:
            value = orjson.loads(record.value or b"null")
            number = value["value"] if rpc else value
            ledger.saw(number % KEYS, number // KEYS)
            if number in sent_at:
                self.report.delays.append(time.monotonic() - sent_at.pop(number))

    async def _sample(self) -> None:
        """Look how much is committed, and what the workers use."""
        looked = 0.0
        while True:
            now = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    self.committed = await self.observer.committed(self.inputs)
            self._note_resumed()
            if now - looked > 2.0:
                looked = now
                self.report.usage.append((now, self.crew.usage()))
            await asyncio.sleep(SAMPLE)

    def _note_resumed(self) -> None:
        """See behind which faults everything that had been sent is committed by now."""
        now, sent = time.monotonic(), self.report.sent
        for number, outcome in enumerate(self.report.outcomes):
            if outcome.lasted is None or outcome.resumed is not None:
                continue
            counts = [len(range(tp.partition, sent, PARTITIONS)) for tp in self.source]
            ended, wanted = self._wanted.setdefault(number, (now, counts))
            pairs = zip(self.source, wanted, strict=True)
            if all(self.committed[tp] >= count for tp, count in pairs):
                outcome.resumed = now - ended

    def _begin(self, step: Step) -> None:
        self._harms.append((step, time.monotonic()))

    def _account(self) -> Account:
        """Settle accounts of what was handled again."""
        harms = []
        for (step, begin), outcome in zip(self._harms, self.report.outcomes, strict=True):
            lasted = step.length if outcome.lasted is None else outcome.lasted
            if step.kind not in CLEAN:
                harms.append(Harm(step.kind, begin, begin + lasted + SETTLING))
        return settle(read_diaries(self.directory / "diaries"), harms)

    async def caught_up(self, timeout: float = CATCH_UP) -> None:
        """Wait until everything that has been sent by now is processed and committed."""
        deadline = time.monotonic() + timeout
        ends: dict[TP, int] = {}
        while not ends:
            self._hurry(deadline, timeout, {})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    ends = await self.observer.ends(self.source)
        sent = self.report.sent
        while True:
            behind = {tp: end for tp, end in ends.items() if self.committed[tp] < end}
            out = all(
                self.report.ledger.reached(key) * KEYS + key >= sent - KEYS for key in range(KEYS)
            )
            if not behind and out:
                return
            self._hurry(deadline, timeout, behind)
            await asyncio.sleep(0.05)

    def _hurry(self, deadline: float, timeout: float, behind: dict[TP, int]) -> None:
        for end in self.crew.look():
            said = str(end).splitlines()
            print(f"  {said[0]} {said[-1]}", file=sys.stderr, flush=True)
        if time.monotonic() > deadline:
            stands = ", ".join(
                f"{tp.topic}[{tp.partition}] {self.committed[tp]}/{end}"
                for tp, end in behind.items()
            )
            last = "\n".join(
                f"{name}:\n" + "\n".join(program.errors[-15:])
                for name, program in self.crew.alive.items()
            )
            raise NotReached(
                f"not everything was processed in {timeout} s: {stands or 'output'}\n{last}"
            )

    # -- faults of the application

    async def _hang(self, step: Step) -> None:
        file = self.directory / "hang"
        file.touch()
        await asyncio.sleep(step.length)
        file.unlink()

    async def _poison(self, step: Step) -> None:
        partition = step.target % PARTITIONS
        self.poisoned[partition] += 1
        self.observer.producer.append(self.source[0].topic, partition, b"0", b"\xff no JSON {")
        await self.observer.producer.flush()

    async def _refuse(self, step: Step) -> None:
        brokers = self._brokers
        if brokers is None:
            raise ValueError("refuse needs brokers")
        topic = self.output[0].topic
        await asyncio.to_thread(brokers.refuse_produce, topic, True)
        await asyncio.sleep(step.length)
        await asyncio.to_thread(brokers.refuse_produce, topic, False)

    # -- the books

    async def _close_books(self) -> None:
        report, scene, ledger = self.report, self.scene, self.report.ledger
        ledger.close({key: len(range(key, report.sent, KEYS)) for key in range(KEYS)})
        report.stops = self.crew.stops
        tell = report.problems.append
        for what in ("lost", "invented", *(["doubled"] if scene.exact else [])):
            if count := getattr(ledger, what):
                tell(f"{what}: {count} events, such as (key, number) {ledger.examples[what]}")
        if ledger.disordered and scene.app != "rpc":
            tell(f"out of order: {ledger.disordered}, such as {ledger.examples['out of order']}")
        if not scene.exact:
            report.account = self._account()
            report.problems += report.account.problems
            if ledger.doubled > report.account.redone:
                tell(f"{ledger.doubled} came out twice, {report.account.redone} were handled again")
        for end in self.crew.ended:
            tell(str(end))
        if max(report.stops, default=0.0) > STOP_LIMIT:
            tell(f"a worker took {max(report.stops):.1f} s to end after SIGTERM")
        if scene.app in {"count", "group"}:
            await self._check_table()

    async def _check_table(self) -> None:
        """Compare the changelog with the truth, and directories and what fresh workers recover with the changelog."""
        report, scene = self.report, self.scene
        tell, before = report.problems.append, len(report.problems)
        try:
            changelog = await Changelog.read(self._url, self.name, scene.app, self.changelog)
        except FaustError as exc:
            tell(f"the changelog cannot be read: {exc}")
            return
        difference = changelog.compare(report.sent)
        report.surplus = difference.surplus
        if difference.short or difference.unknown:
            short, unknown = dict(list(difference.short.items())[:5]), difference.unknown[:5]
            tell(f"table: too small {len(difference.short)} {short}, unknown {unknown}")
        if difference.surplus > (0 if report.account is None else report.account.redone):
            tell(f"table: {difference.surplus:.0f} counted twice")
        fresh = {"without data": self.directory / "fresh"}
        if scene.store == "rocksdb":
            directories = [self.crew.data_of(name) for name in self.crew.names]
            report.directories, wrong = await check_directories(changelog, directories)
            report.problems += wrong
            fresh["with the directory of w1"] = self.directory
        for how, directory in fresh.items():
            recovered, expected = (
                await recover(self.crew, directory, scene.app),
                changelog.contents(),
            )
            if isinstance(recovered, str):
                tell(f"a fresh worker {how} did not recover: {recovered}")
            elif keys := differing(recovered, expected):
                shown = [(key, expected.get(key), recovered.get(key)) for key in keys[:5]]
                tell(
                    f"a fresh worker {how} recovers {len(keys)} keys otherwise than the changelog has them: {shown}"
                )
        if len(report.problems) == before:
            report.table = "exact" if scene.exact else "no less, and equal when recovered"
        else:
            report.table = "wrong"

    async def tidy(self) -> None:
        """Have all brokers up, and the topics of the trial away."""
        for proxy in self.world.proxies:
            proxy.heal()
        if self._brokers is not None:
            await asyncio.to_thread(self._brokers.heal)
        async with Observer(self._url, self.name) as observer:
            topics = {tp.topic for tp in (*self.inputs, *self.output, *self.changelog)}
            await observer.admin.delete_topics(topics)

    def _keep_evidence(self) -> None:
        """Put logs of workers and brokers, and what brokers wrote of transactions, where they can be read after the trial."""
        directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.crew.write_logs(directory)
        if (brokers := self._brokers) is not None:
            for node in range(1, brokers.size + 1):
                (directory / f"kafka-{node}.log").write_text(brokers.log_tail(node, 10_000))
            topics = ["__transaction_state", "__consumer_offsets", self.changelog[0].topic]
            brokers.copy_logs(directory, topics)
        self.report.problems.append(f"(the logs of workers and brokers are in {directory})")


# -- by hand


@contextlib.asynccontextmanager
async def stage(kind: str, directory: Path) -> AsyncIterator[dict[str, Any]]:
    """Start the broker of a run: ``local``, ``kafka`` (one node) or ``cluster`` (three, behind proxies)."""
    if kind == "local":
        url = f"local://{directory / 'broker'}"
        yield {"url": url, "workers_url": url}
        return
    cluster = KafkaCluster(
        3 if kind == "cluster" else 1, heap="384m" if kind == "cluster" else "512m"
    )
    await asyncio.to_thread(cluster.start)
    proxies = [Proxy(behind, listen=listen) for listen, behind in cluster.behind]
    try:
        for proxy in proxies:
            await proxy.start()
        yield {
            "url": ";".join(cluster.urls),
            "workers_url": cluster.proxied_url,
            "brokers": cluster if kind == "cluster" else None,
            "proxies": proxies,
        }
    finally:
        for proxy in proxies:
            await proxy.close()
        await asyncio.to_thread(cluster.close)


async def run(
    scene: Scene, broker: str, directory: Path, stage_of: Mapping[str, Any] | None = None
) -> Report:
    """Run a scene on a broker of its own, or on the one of *stage_of*, which is left as it was."""
    if stage_of is not None:
        trial = Trial(scene, directory=directory, **stage_of)
        try:
            return await trial.run()
        finally:
            await trial.tidy()
    async with stage(broker, directory) as made:
        return await Trial(scene, directory=directory, **made).run()


def command_of(scene: Scene, broker: str) -> str:
    """Return the line that plays a scene again."""
    words = ["python", "-m", "tests.functional.faults.chaos", "--app", scene.app]
    words += ["--guarantee", scene.guarantee, "--broker", broker, "--store", scene.store]
    words += ["--standbys", str(scene.standbys), "--workers", str(scene.workers)]
    words += ["--rate", f"{scene.rate:g}", "--plan", str(scene.plan)]
    words += ["--one-by-one"] if scene.catch_up else ["--events", str(scene.events)]
    if scene.settings:
        words += ["--set", json.dumps(dict(scene.settings))]
    return shlex.join(words)


KINDS = {**WORKER_KINDS, **BROKER_KINDS, **NET_KINDS, **APP_KINDS, **REFUSED}


def kinds_for(broker: str, names: str = "") -> dict[str, tuple[float, float]]:
    """Return the kinds of faults that can be made with a kind of broker, or those of them that are named."""
    possible = {**WORKER_KINDS, **APP_KINDS}
    if broker != "local":
        possible |= NET_KINDS
    if broker == "cluster":
        possible |= {**BROKER_KINDS, **REFUSED}
    if not names:
        return possible
    return {name: KINDS[name] for name in names.split(",")}


def plan_of(options: argparse.Namespace) -> Plan:
    """Make the plan that the command line asks for."""
    if options.plan:
        return Plan.parse(options.plan)
    kinds = kinds_for(options.broker, options.kinds)
    if options.catalogue:
        return Plan.by_chance(options.seed, kinds, options.catalogue, pause=1.0, every_kind=True)
    if not options.kinds:
        kinds = {name: lengths for name, lengths in kinds.items() if name not in APP_KINDS}
    seconds = options.minutes * 60 or options.events / options.rate
    count = max(0, int((seconds - 5.0) / options.pause))
    return Plan.by_chance(options.seed, kinds, count, pause=options.pause)


def main() -> None:
    """Run once, print the report, and end with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.faults.chaos", description=main.__doc__
    )
    parser.add_argument("--app", choices=("pipe", "count", "group", "rpc"), default="pipe")
    parser.add_argument(
        "--guarantee", choices=("at_least_once", "exactly_once"), default="at_least_once"
    )
    parser.add_argument("--broker", choices=("local", "kafka", "cluster"), default="local")
    parser.add_argument("--store", choices=("memory", "rocksdb"), default="memory")
    parser.add_argument("--standbys", type=int, default=0)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rate", type=float, default=5_000.0, help="events per second")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long, instead of --events")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--pause", type=float, default=3.0, help="seconds from one fault to the next"
    )
    parser.add_argument("--kinds", default="", help="kinds of faults, separated by commas")
    parser.add_argument("--plan", default="", help="the faults themselves, as a report shows them")
    parser.add_argument(
        "--catalogue", type=int, default=0, help="so many faults, one after the other"
    )
    parser.add_argument(
        "--one-by-one",
        action="store_true",
        help="wait after each fault of --plan; events flow till the end",
    )
    parser.add_argument("--set", default="{}", help="more settings of the app, as JSON")
    options = parser.parse_args()
    plan = plan_of(options)
    events = int(options.minutes * 60 * options.rate) if options.minutes else options.events
    one_by_one = bool(options.catalogue or options.one_by_one)
    scene = Scene(
        app=options.app,
        guarantee=options.guarantee,
        store=options.store,
        standbys=options.standbys,
        workers=options.workers,
        events=sys.maxsize if one_by_one else events,
        rate=options.rate,
        plan=plan,
        catch_up=one_by_one,
        settings=json.loads(options.set),
    )
    with tempfile.TemporaryDirectory(prefix="faust-chaos-") as scratch:
        report = asyncio.run(run(scene, options.broker, Path(scratch)))
    report.again = command_of(scene, options.broker)
    print(report)
    raise SystemExit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
