"""Acceptance 6 of issue 8, for a whole app: the broker refuses, is cured, and nothing is missing.

A worker copies numbers into a topic and a table. The first half is processed; then something is taken away, and the second half
comes. Either the worker ends with 1 and says why, or it lives and `/health/ready` says why. When what was taken is given back, and
who has ended was started again, every number is in the topic and in the table's changelog: with exactly-once processing once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from faust.messages import TP
from faust.testing.faults import Crew, Observer, Program, tps_of
from faust.transport.base import TopicSpec
from tests.functional.faults.refusal_app import PARTITIONS
from tests.support.driving import until
from tests.support.ports import free_port
from tests.support.processes import ROOT

__all__ = ["GUARANTEES", "HALF", "STOP_LIMIT", "Trial", "trial"]

APP = Path(__file__).with_name("refusal_app.py")
GUARANTEES = ["at_least_once", "exactly_once"]
HALF = 100
"""Numbers before the fault, and after it."""
STOP_LIMIT = 8.0
"""Seconds that a SIGTERM may take: setting ``worker_stop_timeout``, and one more."""


class Trial:
    """A worker, its topics, and somebody who looks on.

    Arguments:
        url: Where the test goes in.
        worker_url: Where the worker goes in.
        directory: For the worker's data.
        name: Of the app, and what its topics begin with.
        env: More environment variables of the worker.
        settings: More settings of the app.
    """

    def __init__(
        self,
        url: str,
        worker_url: str,
        directory: Path,
        name: str,
        *,
        env: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> None:
        self.url = url
        self.name = name
        self.source, self.sink = f"{name}-in", f"{name}-out"
        self.changelog = f"{name}-seen-changelog"
        self.exact = settings.get("processing_guarantee") == "exactly_once"
        self.port = free_port()
        variables = {
            "BROKER_URL": worker_url,
            "FAULTS_NAME": name,
            "FAULTS_SETTINGS": json.dumps({**settings, "web_port": self.port}),
            "APP_WEB_ENABLED": "yes",
        }
        python = [sys.executable, "-u", str(APP), "-l", "info", "worker"]
        directory.mkdir(exist_ok=True)
        self.crew = Crew(python, directory, env={**variables, **env}, cwd=ROOT)
        self.observer = Observer(url, name, read_committed=True)
        self.fed: set[int] = set()
        self._worker = "w1"

    # -- the worker

    @property
    def program(self) -> Program:
        """The worker's process."""
        return self.crew.alive[self._worker]

    async def hire(self, **env: str) -> None:
        """Start the worker, perhaps with a changed environment, and wait until it is ready."""
        self.crew._env.update(env)
        self.crew.hire(self._worker)
        await self.crew.ready(self._worker)

    async def said(self, name: str, words: str, timeout: float = 40.0) -> None:
        """Wait until a worker has said *words* in its log."""
        program = self.crew.alive[name]
        await until(
            lambda: any(words in line for line in program.errors), f"{name} says {words}", timeout
        )

    async def ends(self, *words: str, timeout: float = 40.0) -> str:
        """Wait until the worker has ended with 1 and has said why; return its last words."""
        program = self.program
        try:
            await until(lambda: program.returncode is not None, "the worker ends", timeout)
        except AssertionError as exc:
            log = "\n".join(program.errors[-40:])
            raise AssertionError(f"{exc}: health says {await self.reasons()}\n{log}") from None
        assert program.wait() == 1
        self.crew.alive.clear()
        said = [line for line in program.errors if "The worker ends" in line]
        assert said, "\n".join(program.errors[-30:])
        for word in words:
            assert word in said[-1], said[-1]
        return said[-1]

    async def stops(self, name: str = "w1") -> None:
        """SIGTERM, which must end a worker with 0 in time."""
        took = await self.crew.send_home(name)
        assert not self.crew.ended, self.crew.ended
        assert took < STOP_LIMIT

    async def tells(self, *words: str, timeout: float = 40.0) -> None:
        """Wait until `/health/ready` gives a reason with all of *words*."""
        reasons: list[str] = []

        async def told() -> bool:
            nonlocal reasons
            reasons = await self.reasons()
            return any(all(word in reason for word in words) for reason in reasons)

        try:
            await until(told, f"health says {words}", timeout)
        except AssertionError as exc:
            log = "\n".join(self.program.errors[-30:])
            raise AssertionError(f"{exc}: it says {reasons}\n{log}") from None

    async def well(self) -> None:
        """Wait until `/health/ready` has nothing to say."""

        async def told() -> bool:
            return not await self.reasons()

        await until(told, "health is well", 40.0)

    async def reasons(self) -> list[str]:
        """Ask `/health/ready`."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> list[str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/health/ready", timeout=5.0
            ) as answer:
                return list(json.load(answer)["reasons"])
        except urllib.error.HTTPError as error:
            return list(json.load(error)["reasons"])
        except OSError as error:
            return [f"no answer: {error}"]

    # -- the topics

    async def create(self, topic: str, **config: str) -> None:
        """Create a topic; one that is being deleted is waited for."""
        spec = TopicSpec(
            name=topic,
            partitions=PARTITIONS,
            replication=self.observer.replication,
            config=config,
        )

        async def made() -> bool:
            outcome = (await self.observer.admin.create_topics([spec]))[topic]
            return outcome.created

        await until(made, f"{topic} is there", 40.0)
        await self.observer.know(topic)

    async def delete(self, topic: str) -> None:
        """Delete a topic, if it is there."""
        if topic in await self.observer.admin.list_topics():
            await self.observer.admin.delete_topics([topic])

    async def feed(self, count: int = HALF) -> None:
        """Send the next *count* numbers."""
        new = range(len(self.fed), len(self.fed) + count)
        self.fed.update(new)
        await self.observer.feed(new, self.source, PARTITIONS)

    async def processed(self, timeout: float = 60.0) -> None:
        """Wait until everything in the source is processed and committed."""
        source = tps_of(self.source, PARTITIONS)
        ends = await self.observer.ends(source)

        async def committed() -> bool:
            done = await self.observer.committed(source)
            return all(done[tp] >= ends[tp] for tp in source)

        try:
            await until(committed, "everything is processed", timeout)
        except AssertionError as exc:
            log = "\n".join(line for p in self.crew.alive.values() for line in p.errors[-40:])
            raise AssertionError(f"{exc}\n{log}") from None

    async def keys(self, topic: str) -> Counter[int]:
        """Return how often each number is in a topic."""
        tps: list[TP] = tps_of(topic, PARTITIONS)
        async with Observer(self.url, self.name, read_committed=True) as reading:
            await reading.follow(tps)
            await reading.catch_up()
            return Counter(int(key or b"-1") for tp in tps for key, _ in reading.logs[tp])

    async def check(
        self, since: Mapping[str, int] | None = None, topics: Collection[str] = ()
    ) -> None:
        """Send the worker home; everything that was sent must be in sink and table.

        Arguments:
            since: By topic, the first number that it must have: it was deleted after the ones before.
            topics: Where to look, if not in both.
        """
        await self.crew.end()
        assert not self.crew.ended, self.crew.ended
        for topic in topics or (self.sink, self.changelog):
            wanted = {n for n in self.fed if n >= (since or {}).get(topic, 0)}
            found = await self.keys(topic)
            assert found.keys() == wanted, (topic, sorted(wanted ^ found.keys())[:10])
            if self.exact:
                assert set(found.values()) == {1}, (topic, found.most_common(5))


@asynccontextmanager
async def trial(
    url: str,
    directory: Path,
    name: str,
    *,
    worker_url: str = "",
    env: Mapping[str, str] | None = None,
    start: bool = True,
    replication: int = 1,
    **settings: Any,
) -> AsyncIterator[Trial]:
    """Begin a trial: the worker has processed the first half, unless *start* is off."""
    made = Trial(url, worker_url or url, directory, name, env=env or {}, settings=settings)
    made.observer.replication = replication
    try:
        async with made.observer:
            if start:
                for topic in (made.source, made.sink):
                    await made.create(topic)
                await made.hire()
                await made.feed()
                await made.processed()
            yield made
    finally:
        made.crew.close()
