"""Acceptance 6 of issue 7, pain row 1: what makes workers stand still is told by `/health/ready`, and is over after the cure.

A cluster of three nodes, a worker with eight partitions, and somebody who sends all the time. In turn: heartbeats are not
answered, the coordinator goes away, a broker bounces, all brokers go away, the deserializer raises, an agent hangs in an await.
Each is told with the right reason within the limit; when it is over, everything that was sent is processed within `PATIENCE`
seconds without a restart.

By hand, as often as wanted, in random order::

    python -m tests.functional.faults.health --rounds 5
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import faust
from faust.serializers import codecs
from tests.support.kafka import KafkaCluster
from tests.support.web import Client, served, web_app

__all__ = ["HealthReport", "play"]

PARTITIONS = 8
LIMIT = 2.0
PATIENCE = 30.0


@dataclass
class HealthReport:
    """What was told, and when.

    Attributes:
        lines: One per fault.
        problems: Broken promises, in words; none if all is well.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([*self.lines, *(self.problems or ["every fault was told, and was over"])])


class Flaky(codecs.Codec):
    """A codec that cannot decode while it is broken."""

    broken = False
    unread: set[int] = set()  # noqa: RUF012 - there is one

    def _loads(self, s: bytes) -> Any:
        if self.broken:
            self.unread.add(int(s))
            raise LookupError("no schema")
        return int(s)

    def _dumps(self, s: Any) -> bytes:
        return b"%d" % s


class Stage:
    """A worker, and what can be done to it.

    Arguments:
        cluster: The brokers; None: an embedded one, which has no faults of its own.
    """

    def __init__(self, cluster: KafkaCluster | None) -> None:
        self.cluster = cluster
        broker = f"memory://{uuid.uuid4().hex}" if cluster is None else ";".join(cluster.urls)
        self.app: faust.App = web_app(
            broker=broker, id=f"health-{uuid.uuid4().hex[:8]}", health_stall_timeout=LIMIT
        )
        self.codec = Flaky()
        self.hanging: asyncio.Event = asyncio.Event()
        self.hanging.set()
        self.seen: set[int] = set()
        self.sent = 0
        self.topic: Any = self.app.topic(
            "work",
            key_type=str,
            value_type=int,
            value_serializer=self.codec,
            partitions=PARTITIONS,
            replicas=1 if cluster is None else 3,
            internal=True,
        )

        @self.app.agent(self.topic, name="worker")
        async def work(stream: Any) -> None:
            async for number in stream:
                await self.hanging.wait()
                self.seen.add(number)

    async def feed(self) -> None:
        """Send a number to each partition, five times a second."""
        while True:
            for partition in range(PARTITIONS):
                await self.topic.send(key="k", value=self.sent, partition=partition)
                self.sent += 1
            await asyncio.sleep(0.2)

    def coordinator(self) -> int:
        """Return the node that coordinates the group."""
        client: Any = self.app.consumer.driver
        return int(client._client.membership.coordinator_id or 1)

    @asynccontextmanager
    async def fault(self, name: str) -> AsyncIterator[None]:
        """Let something be broken for the length of the block."""
        do, undo = self._faults()[name]
        await do()
        try:
            yield
        finally:
            await undo()

    def _faults(self) -> dict[str, tuple[Callable[[], Awaitable[None]], ...]]:
        cluster = self.cluster

        def on(action: str, *args: Any) -> Callable[[], Awaitable[None]]:
            return lambda: asyncio.to_thread(getattr(cluster, action), *args)

        async def set_hanging() -> None:
            self.hanging.clear()

        async def set_broken() -> None:
            self.codec.broken = True

        async def mend() -> None:
            self.codec.broken = False

        async def release() -> None:
            self.hanging.set()

        node = 1 if cluster is None else self.coordinator()
        return {
            "the agent hangs": (set_hanging, release),
            "the deserializer raises": (set_broken, mend),
            "heartbeats are not answered": (on("pause"), on("cont")),
            "the coordinator goes away": (on("kill", node), on("restart", node)),
            "a broker bounces": (on("stop", 1 + node % 3), on("restart", 1 + node % 3)),
            "all brokers go away": (on("kill"), on("restart")),
        }


EXPECTED: dict[str, tuple[str, ...]] = {
    "the agent hangs": ("agent: worker waits at",),
    "the deserializer raises": ("decoding: most records cannot be decoded",),
    "heartbeats are not answered": ("broker:", "membership:"),
    "all brokers go away": ("broker:", "membership:"),
    "the coordinator goes away": (),  # the others take over, often before the limit
    "a broker bounces": (),
}
"""Fault -> words of the reason; nothing: it may be over before it is told."""


async def _reasons(client: Client) -> list[str]:
    return list((await client.json("/health/ready"))[1]["reasons"])


async def _try(stage: Stage, client: Client, name: str, report: HealthReport) -> None:
    """Break something, wait until it is told, mend it, and wait until everything is processed."""
    words, told = EXPECTED[name], ""
    began = time.monotonic()
    async with stage.fault(name):
        deadline = time.monotonic() + (LIMIT + 13.0 if words else LIMIT + 3.0)
        while not told and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            reasons = await _reasons(client)
            fitting = [r for r in reasons if any(word in r for word in words)] if words else reasons
            told = fitting[0] if fitting else ""
        after = time.monotonic() - began
    if words and not told:
        report.problems.append(f"{name}: not told within {after:.1f} s: {await _reasons(client)}")
    mended, wanted = time.monotonic(), stage.sent
    while missing := (set(range(wanted)) - stage.seen - stage.codec.unread) or await _reasons(
        client
    ):
        if time.monotonic() - mended > PATIENCE:
            shown = missing if isinstance(missing, list) else f"{len(missing)} not processed"
            report.problems.append(f"{name}: {PATIENCE:.0f} s after the cure: {shown}")
            break
        await asyncio.sleep(0.1)
    over = time.monotonic() - mended
    report.lines.append(f"{name}: told after {after:.1f} s: {told or '-'}; over after {over:.1f} s")
    print(report.lines[-1], flush=True)


async def play(cluster: KafkaCluster | None, rounds: int) -> HealthReport:
    """Play every fault in random order, so many times."""
    report, stage = HealthReport(), Stage(cluster)
    names = list(EXPECTED) if cluster is not None else list(EXPECTED)[:2]
    async with served(stage.app) as client:
        feeding = asyncio.ensure_future(stage.feed())
        while await _reasons(client) or not stage.seen:
            await asyncio.sleep(0.1)
        for _ in range(rounds):
            for name in random.sample(names, len(names)):
                await _try(stage, client, name, report)
        if feeding.done():
            report.problems.append(f"sending ended: {feeding.exception()!r}")
        feeding.cancel()
    return report


def main() -> None:
    """Run it by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with KafkaCluster(3, heap="256m") as cluster:
        report = asyncio.run(play(cluster, options.rounds))
    print(report)
    raise SystemExit(bool(report.problems))


if __name__ == "__main__":
    main()
