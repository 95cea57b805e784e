"""A member of a consumer group as a program of its own, so that it can be killed and frozen alone.

The program gets its orders as one JSON object on the command line and prints one JSON object per
line, each with ``kind`` and the monotonic time ``at`` (of one machine, so comparable between
processes):

``assigned``  ``tps``, ``generation``, ``told`` (what the assignor's leader said) ``revoked``
``tps``, ``lost`` ``slice``     ``tp``, ``first``, ``last``, ``generation``, ``lease`` (as it was
when `take` had returned) ``commit``    ``generation`` (before), ``refused`` (empty when accepted);
``at`` is when it was begun ``left``      closed in good order, after a line ``leave`` on its
standard input

Ten times a second it commits what was handed out, and before it gives partitions back as well.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from faust.exceptions import CommitRefused
from faust.messages import TP
from faust.transport.base import ConsumerDriver, ProducerOptions, TopicSpec, Transport
from tests.support.driving import Recorder, RoundRobin, fast_options, open_transport, until
from tests.support.processes import PythonProcess, start_python

__all__ = ["Member", "start_member"]


# -- the program


def _say(kind: str, at: float | None = None, **facts: Any) -> None:
    print(json.dumps({"kind": kind, "at": at or time.monotonic(), **facts}), flush=True)


class _Program:
    def __init__(self, consumer: ConsumerDriver, label: str) -> None:
        self.consumer = consumer
        self.handed: dict[TP, int] = {}
        self.assignor = RoundRobin(label)
        self.listener = Recorder(self.on_revoked, self.on_assigned)

    async def on_revoked(self, revoked: frozenset[TP], lost: bool) -> None:
        _say("revoked", tps=sorted(revoked), lost=lost)
        self.consumer.pause(revoked)
        if not lost:
            await self.commit()
        self.handed.clear()

    async def on_assigned(self, assigned: frozenset[TP], generation: int) -> None:
        _say("assigned", tps=sorted(assigned), generation=generation, told=self.assignor.told)

    async def take(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            slices = await self.consumer.take(0.1)
            facts: dict[str, Any] = {"at": time.monotonic(), "lease": self.consumer.lease_until()}
            for one in slices:
                self.handed[one.tp] = one.next_offset
                if one.records:
                    first, last = one.records[0].offset, one.records[-1].offset
                    span: dict[str, Any] = {"tp": one.tp, "first": first, "last": last}
                    _say("slice", **facts, **span, generation=one.generation)

    async def commit(self) -> None:
        at, generation = time.monotonic(), self.consumer.generation
        refused = ""
        try:
            for error in (await self.consumer.commit(self.handed)).values():
                refused = refused or (str(error) if error else "")
        except CommitRefused as error:
            refused = str(error) or "refused"
        _say("commit", at, generation=generation, refused=refused)

    async def commit_often(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            if self.handed and self.listener.generation is not None:
                await self.commit()


async def _feed(transport: Transport, topic: str, partitions: int) -> None:
    """Write 50,000 records to each partition, then one every 10 ms."""
    producer = transport.producer(ProducerOptions())
    await producer.start()
    await producer.load_partitions(topic)
    for number in range(50_000 * partitions):
        producer.append(topic, number % partitions, None, b"fed")
    while True:
        for partition in range(partitions):
            producer.append(topic, partition, None, b"fed")
        await producer.flush()
        await asyncio.sleep(0.01)


async def _until_told_to_leave() -> None:
    while (await asyncio.to_thread(sys.stdin.readline)).strip() != "leave":
        pass


async def _run(orders: dict[str, Any]) -> None:
    transport = open_transport(orders["url"])
    topic, feed = orders["topic"], orders["feed"]
    if feed:
        admin = transport.admin()
        await admin.start()
        await admin.create_topics([TopicSpec(name=topic, partitions=feed)])
        await admin.close()
    consumer = transport.consumer(fast_options(group_id=orders["group"], **orders["options"]))
    program = _Program(consumer, orders["label"])
    await consumer.start()
    await consumer.subscribe([topic], listener=program.listener, assignor=program.assignor)
    tasks = {
        asyncio.create_task(program.take(orders["pause"])),
        asyncio.create_task(program.commit_often()),
    }
    if feed:
        tasks.add(asyncio.create_task(_feed(transport, topic, feed)))
    leaving = asyncio.create_task(_until_told_to_leave())
    done, _ = await asyncio.wait({leaving, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await consumer.close()
    _say("left")


# -- its handle


class Member:
    """A running member program.

    Attributes:
        process: Its process, to be killed and frozen.
        events: What it said so far; call `listen` (or any ``wait``) to have it up to date.
    """

    def __init__(self, process: PythonProcess) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []

    def listen(self) -> list[dict[str, Any]]:
        """Take in what it said since, and return all."""
        self.events.extend(json.loads(line) for line in self.process.lines())
        return self.events

    def heard(self, kind: str, since: float = 0.0) -> list[dict[str, Any]]:
        """Return its events of one kind, from a monotonic time on."""
        return [e for e in self.listen() if e["kind"] == kind and e["at"] >= since]

    @property
    def assigned(self) -> frozenset[TP]:
        """Return the partitions that it holds, as far as it said."""
        held: frozenset[TP] = frozenset()
        for event in self.listen():
            if event["kind"] in {"assigned", "revoked"}:
                given = event["tps"] if event["kind"] == "assigned" else []
                held = frozenset(TP(*tp) for tp in given)
        return held

    async def wait(
        self, kind: str, since: float = 0.0, timeout: float = 20.0, count: int = 1
    ) -> dict[str, Any]:
        """Wait for the *count*-th event of a kind since a monotonic time, and return it."""

        def there() -> bool:
            assert self.process.returncode is None or kind == "left", self.process.errors[-30:]
            return len(self.heard(kind, since)) >= count

        await until(there, f"the member said {kind!r}", timeout)
        return self.heard(kind, since)[count - 1]

    async def leave(self) -> None:
        """Have it close its consumer and end."""
        self.process.write_line("leave")
        status = await self.process.wait_end()
        assert status == 0, self.process.errors[-30:]


def start_member(
    url: str,
    group: str,
    topic: str,
    *,
    label: str = "program",
    feed: int = 0,
    pause: float = 0.0,
    **options: Any,
) -> Member:
    """Start a member program.

    Args:
        url: The broker; ``memory://`` is a broker inside the program.
        group: Group to join.
        topic: Topic to read.
        label: What its assignor calls it.
        feed: If not 0: create the topic with so many partitions and write to it.
        pause: Seconds that it waits before each take.
        options: Consumer options.
    """
    orders: dict[str, Any] = {"url": url, "group": group, "topic": topic, "label": label}
    orders |= {"feed": feed, "pause": pause, "options": options}
    return Member(start_python(None, json.dumps(orders), module="tests.support.member"))


if __name__ == "__main__":
    asyncio.run(_run(json.loads(sys.argv[1])))
