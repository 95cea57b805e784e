"""The full soak under way: who feeds, who reads the sink, who asks the web server, who comes and goes. See `tests.soak.full`."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from faust.exceptions import FaustError
from faust.messages import Slice
from faust.testing.faults import Observer
from faust.testing.faults.observer import tps_of
from faust.transport.base import TopicSpec
from tests.soak.feeding import Feeder
from tests.soak.full_app import GRACE, GROUPS, KEPT, KEYS, PARTITIONS, SMALL, WINDOW
from tests.soak.minutes import Minute
from tests.support.driving import open_transport, until
from tests.support.ports import free_port
from tests.support.processes import PythonProcess, start_python

__all__ = ["Run"]

APP = Path(__file__).with_name("full_app.py")
SAMPLED = 97
"""Of so many numbers the latency of one is looked at."""
ASKED = 1.0
"""Seconds between two questions to the web server."""
PATHS = {"/health/ready": "/health/ready", "/metrics": "/metrics", "/table/": "/table/totals/%d/"}
INPUTS = (*tps_of("soak-numbers", PARTITIONS), *tps_of("soak-grouped", PARTITIONS))
DRAINED = 180.0
"""Seconds that it may take in the end until everything is committed."""


class Run:
    """One run.

    Attributes:
        lines: What was seen every so often.
        faults: What went wrong, in sentences.
        passed: Numbers that came out of the sink; doubled: that came again.
        windows: Closed windows that were compared with the truth.
        answers: Per path how often the web server answered what; 0: not at all.
        visits: How often a second worker has come and gone.
    """

    def __init__(
        self,
        broker: str,
        scratch: Path,
        *,
        rate: int,
        seconds: float,
        every: float,
        ahead: float | None = None,
    ) -> None:
        self.lines: list[Minute] = []
        self.faults: list[str] = []
        self.passed = self.doubled = self.windows = self.visits = 0
        self.answers: dict[str, Counter[int]] = {path: Counter() for path in PATHS}
        self._ahead = ahead
        room = None if ahead is None else lambda: self.passed + int(ahead * rate)
        self.feeder = Feeder(open_transport(broker), "soak-numbers", rate, PARTITIONS, room=room)
        self._broker, self._scratch = broker, scratch
        self._rate, self._seconds, self._every = rate, seconds, every
        self._seen = bytearray(int(rate * seconds) + 1)
        self._delays: list[float] = []
        self._closed: dict[str, int] = {}
        self._ports = {name: free_port() for name in ("stays", "visits")}
        self._observer = Observer(broker, "soak")
        self._sink = Observer(broker, "soak", on_slice=self._saw)

    async def run(self) -> None:
        """Run all of it."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._observer)
            await stack.enter_async_context(self._sink)
            await self._create("soak-passed", {**SMALL, "retention.ms": f"{KEPT * 1000:.0f}"})
            await self._create("soak-closed", {})
            worker = self._start("stays")
            stack.callback(worker.kill)
            http = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20))
            )
            await self._wait_ready(http, worker)
            await self._sink.follow(tps_of("soak-passed", PARTITIONS))
            reading = asyncio.create_task(self._read())
            helpers = [
                reading,
                *map(asyncio.create_task, (self._ask(http), self._visit(http), self._note(http))),
            ]
            feeding = asyncio.create_task(self.feeder.feed(self._seconds))
            await self._wait_fed(feeding, worker, helpers)
            for helper in helpers[1:]:
                await helper
            await self._drain()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            worker.terminate()
            if (status := await worker.wait_end(60.0)) != 0:
                self.faults.append(f"the worker ended with {status}: {worker.errors[-20:]}")
            await self._check()

    # -- who runs

    async def _create(self, topic: str, config: dict[str, str]) -> None:
        """Create a topic that the app only writes to."""
        spec = TopicSpec(name=topic, partitions=PARTITIONS, config=config)
        outcome = await self._observer.admin.create_topics([spec])
        assert outcome[topic].created

    def _start(self, name: str) -> PythonProcess:
        orders = {
            "broker": self._broker,
            "datadir": str(self._scratch / name),
            "web_port": self._ports[name],
            "rate": self._rate,
        }
        env = {"SOAK_ORDERS": json.dumps(orders), "APP_WEB_ENABLED": "yes"}
        return start_python(APP, "worker", env=env)

    async def _wait_ready(
        self, http: aiohttp.ClientSession, worker: PythonProcess, name: str = "stays"
    ) -> None:
        deadline = time.monotonic() + 60.0
        while await self._status(http, "/health/ready", name) != 200:
            if worker.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker that {name} was not ready: {worker.errors[-40:]}")
            await asyncio.sleep(0.1)

    def _url(self, path: str, name: str = "stays") -> str:
        return f"http://127.0.0.1:{self._ports[name]}{path}"

    async def _status(self, http: aiohttp.ClientSession, path: str, name: str = "stays") -> int:
        try:
            async with http.get(self._url(path, name)) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def _wait_fed(
        self,
        feeding: asyncio.Task[None],
        worker: PythonProcess,
        helpers: list[asyncio.Task[None]],
    ) -> None:
        while not feeding.done():
            await asyncio.sleep(0.2)
            worker.lines()  # what it prints is not to pile up
            del worker.errors[:-100]
            if worker.returncode is not None:
                raise RuntimeError(
                    f"the worker ended with {worker.returncode}: {worker.errors[-40:]}"
                )
            for helper in helpers:
                if helper.done():
                    helper.result()  # raises, if it does
        await feeding

    # -- what goes on all the time

    @property
    def _left(self) -> float:
        """Seconds that are left of the time."""
        if not self.feeder.began:
            return self._seconds
        return self.feeder.began + self._seconds - time.time()

    async def _visit(self, http: aiohttp.ClientSession) -> None:
        """A second worker comes after a sixth of each period, and stays for half of one."""
        await asyncio.sleep(self._every / 6)
        while self._left > self._every * 0.6:
            visitor = self._start("visits")
            try:
                await self._wait_ready(http, visitor, "visits")
                await asyncio.sleep(self._every / 2)
                visitor.terminate()
                status = await visitor.wait_end(60.0)
            finally:
                visitor.kill()
            self.visits += 1
            if status != 0:
                self.faults.append(
                    f"visit {self.visits} ended with {status}: {visitor.errors[-20:]}"
                )
            passed = time.time() - self.feeder.began
            await asyncio.sleep((self._every / 6 - passed) % self._every)

    async def _read(self) -> None:
        while True:
            await self._sink.read(0.2)

    def _saw(self, batch: Slice) -> None:
        now, due, seen = time.time(), self.feeder.due, self._seen
        for record in batch.records:
            number = int(record.value or b"-1")
            if seen[number]:
                self.doubled += 1
                continue
            seen[number] = 1
            self.passed += 1
            if not number % SAMPLED:
                self._delays.append(now - due(number))

    async def _ask(self, http: aiohttp.ClientSession) -> None:
        turn = 0
        while self._left > 0:
            for name, path in PATHS.items():
                where = path % (turn % GROUPS) if "%" in path else path
                self.answers[name][await self._status(http, where)] += 1
            turn += 1
            await asyncio.sleep(ASKED)

    async def _note(self, http: aiohttp.ClientSession) -> None:
        for turn in range(1, int(self._seconds / self._every) + 1):
            await asyncio.sleep(max(self._left - self._seconds + turn * self._every, 0.0))
            async with http.get(self._url("/soak/")) as answer:
                told = await answer.json()
            ends, committed = await asyncio.gather(
                self._observer.ends(INPUTS), self._observer.committed(INPUTS)
            )
            line = self._line(told, sum(ends.values()), sum(committed.values()))
            self.lines.append(line)
            base = self.lines[min(len(self.lines) - 1, int(self._seconds / self._every) // 4)]
            print(line.told(base), flush=True)

    def _line(self, told: dict[str, Any], ends: int, committed: int) -> Minute:
        delays, self._delays = sorted(self._delays), []
        return Minute(
            seconds=round(self._seconds - self._left, 1),
            **{name: told[name] for name in ("rss", "blocks", "files", "threads", "objects")},
            p50=statistics.median(delays) if delays else self._every,
            p99=delays[len(delays) * 99 // 100] if delays else self._every,
            sent=self.feeder.sent,
            passed=self.passed,
            late=told["late"],
            lag=ends - committed,
            committed=committed,
            load=os.getloadavg()[0],
        )

    # -- the end

    async def _drain(self) -> None:
        async def everything() -> bool:
            ends = await self._observer.ends(INPUTS)
            return self.passed >= self.feeder.sent and ends == await self._observer.committed(
                INPUTS
            )

        try:
            await until(everything, "everything was committed", DRAINED)
        except AssertionError as exc:
            self.faults.append(f"{exc}: {self.passed:,} of {self.feeder.sent:,} have come out")

    async def _check(self) -> None:
        """Compare sink, tables and closed windows with the truth."""
        sent = self.feeder.sent
        if lost := sent - self.passed:
            first = self._seen.find(0)
            self.faults.append(f"{lost:,} numbers are lost, the first is {first:,}")
        for name, groups in (("counts", KEYS), ("totals", GROUPS)):
            found = await self._last_values(f"soak-{name}-changelog")
            truth = {str(key): len(range(key, sent, groups)) for key in range(groups)}
            if short := [key for key, count in truth.items() if found.get(key, 0) < count]:
                self.faults.append(f"table {name}: {len(short)} keys have too little: {short[:5]}")
            surplus = sum(found.values()) - sent
            if surplus > self.doubled + self._rate * 2 * self.visits:
                self.faults.append(f"table {name} has {surplus:,} too many")
        if (
            not self._ahead
        ):  # else the numbers' time may be slower than the clock, which idle windows follow
            await self._check_windows()

    async def _check_windows(self) -> None:
        found = await self._last_values("soak-closed")
        width = int(WINDOW * self._rate)
        last = int((self.feeder.sent / self._rate - GRACE) / WINDOW) - 2
        short = []
        for window in range(last):
            numbers = range(window * width, (window + 1) * width)
            for group in range(GROUPS):
                first = numbers.start + (group - numbers.start) % GROUPS
                count = len(range(first, numbers.stop, GROUPS))
                name = f"{group}@{window * WINDOW:.0f}"
                self.windows += 1
                if found.get(name, 0) < count:
                    short.append((name, found.get(name, 0), count))
        if short:
            self.faults.append(f"{len(short)} closed windows have too little: {short[:5]}")

    async def _last_values(self, topic: str) -> dict[str, int]:
        """Return what stands last under each key of a topic."""
        found: dict[str, int] = {}

        def keep(batch: Slice) -> None:
            for record in batch.records:
                key = (record.key or b"").decode().strip('"')
                found[key] = int(record.value or b"0")

        async with Observer(self._broker, "soak", on_slice=keep) as reader:
            tps = tps_of(topic, PARTITIONS)
            await reader.follow(tps)
            try:
                await reader.catch_up(120.0)
            except FaustError as exc:
                self.faults.append(f"{topic}: {exc}")
        return found
