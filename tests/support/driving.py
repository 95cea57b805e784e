"""Hands to hold a driver with: open it by URL, remember what it says, check every slice it hands over.

Nothing here knows which driver it holds, except `Stage.outage`, which must know how to take a
broker away.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import pytest
from yarl import URL

from faust.messages import TP, Record, Slice
from faust.transport.base import (
    AdminDriver,
    Assignor,
    ConsumerDriver,
    ConsumerOptions,
    MemberAssignment,
    MemberSubscription,
    ProducerDriver,
    ProducerOptions,
    RebalanceListener,
    TopicSpec,
    Transport,
)
from tests.support.kafka import KafkaCluster
from tests.support.processes import start_python

__all__ = [
    "SESSION_TIMEOUT",
    "Event",
    "Login",
    "Reader",
    "Recorder",
    "RoundRobin",
    "Stage",
    "fast_options",
    "open_transport",
    "take_for",
    "until",
]

TRANSPORTS = {
    "memory": "faust.transport.drivers.local:Transport",
    "local": "faust.transport.drivers.local:Transport",
    "kafka": "faust.transport.drivers.aiokafka:Transport",
}

SESSION_TIMEOUT = 3.0
"""Seconds; short enough for a test that waits for it, long enough for a busy machine."""


def open_transport(*urls: str) -> Transport:
    """Make the transport of one or more broker URLs."""
    module, _, name = TRANSPORTS[URL(urls[0]).scheme].partition(":")
    made: Transport = getattr(import_module(module), name)([URL(url) for url in urls])
    return made


def fast_options(**changes: Any) -> ConsumerOptions:
    """Make consumer options whose timeouts suit a test."""
    options = ConsumerOptions(
        client_id="contract-test",
        session_timeout=SESSION_TIMEOUT,
        rebalance_timeout=6.0,
        heartbeat_interval=0.2,
        request_timeout=10.0,
        metadata_max_age=0.5,
        connect_timeout=20.0,
    )
    return replace(options, **changes)


class Login:
    """The attributes of ``faust.SASLCredentials`` that a driver reads."""

    mechanism = "PLAIN"
    ssl_context = None

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.password = password


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, timeout: float = 20.0
) -> None:
    """Wait until *condition* holds; fail with the sentence *what* after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while True:
        held = condition()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return
        assert time.monotonic() < deadline, f"waited {timeout} s in vain until {what}"
        await asyncio.sleep(0.02)


async def take_for(consumer: ConsumerDriver, seconds: float) -> None:
    """Take and forget for about *seconds*, or until something is raised."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await consumer.take(0.1)


# -- group membership


class RoundRobin:
    """An assignor for tests: deals partitions like cards, and writes names into all user data.

    Attributes:
        labels: As the leader: what every member said about itself in the last round.
        told: What the leader last told this member.
        generation: In which generation.
    """

    name = "round-robin-for-tests"
    version = 1

    def __init__(self, label: str = "somebody") -> None:
        self.label = label
        self.labels: list[str] = []
        self.told = ""
        self.generation = -1

    def subscription_user_data(self, topics: frozenset[str]) -> bytes:
        return json.dumps({"label": self.label, "topics": sorted(topics)}).encode()

    def assign(
        self, members: Mapping[str, MemberSubscription], partitions: Mapping[str, int]
    ) -> Mapping[str, MemberAssignment]:
        names = {m: json.loads(members[m].user_data)["label"] for m in members}
        self.labels = sorted(names.values())
        given: dict[str, dict[str, list[int]]] = {m: defaultdict(list) for m in members}
        turn = 0
        for topic, count in sorted(partitions.items()):
            wanting = sorted(m for m in members if topic in members[m].topics)
            for partition in range(count if wanting else 0):
                given[wanting[turn % len(wanting)]][topic].append(partition)
                turn += 1
        return {
            m: MemberAssignment(given[m], f"{self.label} to {names[m]}".encode()) for m in members
        }

    def on_assignment(self, assignment: MemberAssignment, generation: int) -> None:
        self.told = assignment.user_data.decode()
        self.generation = generation


class Event(NamedTuple):
    """One call of a listener; ``at`` is monotonic time when it was called."""

    kind: str
    tps: frozenset[TP]
    generation: int
    lost: bool
    at: float


class Recorder:
    """A listener that remembers, and lets a test do something of its own meanwhile.

    Attributes:
        events: Every call so far. assigned: What is assigned now; empty from a revocation on.
        generation: Generation whose slices may be handed over now; None between the end of a
        revocation and the
            end of the assignment that follows.
    """

    def __init__(
        self,
        on_revoked: Callable[[frozenset[TP], bool], Awaitable[object]] | None = None,
        on_assigned: Callable[[frozenset[TP], int], Awaitable[object]] | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.assigned: frozenset[TP] = frozenset()
        self.generation: int | None = None
        self._on_revoked = on_revoked
        self._on_assigned = on_assigned

    async def on_partitions_revoked(self, revoked: frozenset[TP], lost: bool) -> None:
        self.events.append(Event("revoked", revoked, -1, lost, time.monotonic()))
        if self._on_revoked is not None:
            await self._on_revoked(revoked, lost)
        self.assigned = frozenset()
        self.generation = None

    async def on_partitions_assigned(self, assigned: frozenset[TP], generation: int) -> None:
        self.events.append(Event("assigned", assigned, generation, False, time.monotonic()))
        if self._on_assigned is not None:
            await self._on_assigned(assigned, generation)
        self.assigned = assigned
        self.generation = generation

    @property
    def assignments(self) -> list[Event]:
        """Return the assignments so far."""
        return [event for event in self.events if event.kind == "assigned"]

    @property
    def revocations(self) -> list[Event]:
        """Return the revocations so far."""
        return [event for event in self.events if event.kind == "revoked"]


# -- reading


class Reader:
    """Takes from a consumer and checks of every slice what holds for all slices.

    Attributes:
        next: Per partition the offset that must come next; a lower one is a repetition. gaps:
        Whether offsets may be missing (compaction, markers); if not, the next offset must be the
        next. records: Everything read, per partition.
    """

    def __init__(self, consumer: ConsumerDriver, *, slice_size: int = 200, gaps: bool = False):
        self.consumer = consumer
        self.slice_size = slice_size
        self.gaps = gaps
        self.next: dict[TP, int] = {}
        self.records: dict[TP, list[Record]] = defaultdict(list)
        self.count = 0

    async def take(self, timeout: float = 0.2) -> list[Slice]:
        """Take once."""
        slices = await self.consumer.take(timeout)
        for one in slices:
            self.check(one)
        return slices

    async def read(self, count: int, timeout: float = 20.0) -> list[Record]:
        """Take until *count* more records are here; fail after *timeout* seconds."""
        wanted = self.count + count
        deadline = time.monotonic() + timeout
        fresh: list[Record] = []
        while self.count < wanted:
            for one in await self.take():
                fresh.extend(one.records)
            assert time.monotonic() < deadline, (
                f"{wanted - self.count} of {count} records missing after {timeout} s"
            )
        return fresh

    async def seek(self, offsets: Mapping[TP, int]) -> None:
        """Seek, and expect the new places."""
        await self.consumer.seek(offsets)
        self.next.update(offsets)

    def check(self, one: Slice) -> None:
        """Check order, continuity and size of one slice."""
        offsets = [record.offset for record in one.records]
        start = self.next.get(one.tp)
        assert len(offsets) <= self.slice_size
        assert all(a < b for a, b in itertools.pairwise(offsets)), "not in order"
        if offsets:
            assert one.next_offset > offsets[-1]
        if start is not None:
            assert one.next_offset >= start, f"{one} goes back behind {start}"
            if offsets:
                assert offsets[0] >= start, f"{one} repeats from {offsets[0]}, expected {start}"
        if not self.gaps and offsets:
            assert offsets == list(range(offsets[0], offsets[0] + len(offsets))), "a hole"
            assert one.next_offset == offsets[-1] + 1
            assert start is None or offsets[0] == start, f"{one} skips from {start}"
        self.next[one.tp] = one.next_offset
        self.records[one.tp].extend(one.records)
        self.count += len(offsets)

    def values(self, tp: TP) -> list[bytes | None]:
        """Return the values read from *tp*."""
        return [record.value for record in self.records[tp]]


# -- the stage


class Stage:
    """A broker of some kind, and everything that a test opens on it; closed at the end, last first.

    Attributes:
        kind: ``memory``, ``local`` or ``kafka``.
        url: Address of the broker.
        transport: A transport for it.
        cluster: The real Kafka; None on the embedded broker.
    """

    def __init__(self, url: str, name: Callable[..., str], cluster: KafkaCluster | None) -> None:
        self.kind = URL(url).scheme
        self.url = url
        self.cluster = cluster
        self.name = name
        self.transport = open_transport(*cluster.urls) if cluster else open_transport(url)
        self._admin: AdminDriver | None = None
        self._stack = contextlib.AsyncExitStack()

    async def close(self) -> None:
        """Close whatever was opened."""
        await self._stack.aclose()

    # -- clients

    async def admin(self) -> AdminDriver:
        """Return the admin client of the stage, started."""
        if self._admin is None:
            self._admin = self.transport.admin(client_id="contract-test", request_timeout=20.0)
            await self._admin.start()
            self._stack.push_async_callback(self._admin.close)
        return self._admin

    async def topic(
        self, partitions: int = 1, *, name: str = "", replication: int = 1, **config: str
    ) -> str:
        """Create a topic and return its name; underscores in *config* names stand for dots."""
        name = name or self.name()
        settings = {key.replace("_", "."): value for key, value in config.items()}
        spec = TopicSpec(name=name, partitions=partitions, replication=replication, config=settings)
        outcome = await (await self.admin()).create_topics([spec])
        assert outcome[name].created
        return name

    async def consumer(self, **options: Any) -> ConsumerDriver:
        """Make and start a consumer; closed with the stage."""
        consumer = self.transport.consumer(fast_options(**options))
        await consumer.start()
        self._stack.push_async_callback(consumer.close, 5.0)
        return consumer

    async def reader(self, tps: Iterable[TP], *, gaps: bool = False, **options: Any) -> Reader:
        """Make a consumer that reads *tps* by hand."""
        consumer = await self.consumer(**options)
        await consumer.assign(list(tps))
        return Reader(consumer, slice_size=options.get("slice_size", 200), gaps=gaps)

    async def member(
        self,
        group: str,
        topics: Collection[str],
        *,
        listener: RebalanceListener | None = None,
        assignor: Assignor | None = None,
        pattern: str | None = None,
        earliest_topics: Callable[[str], bool] | None = None,
        **options: Any,
    ) -> ConsumerDriver:
        """Make a consumer that joins *group*; returns before it has partitions."""
        consumer = await self.consumer(group_id=group, **options)
        await consumer.subscribe(
            topics,
            pattern=pattern,
            listener=listener or Recorder(),
            assignor=assignor or RoundRobin(),
            earliest_topics=earliest_topics,
        )
        return consumer

    async def producer(
        self, *, transport: Transport | None = None, **options: Any
    ) -> ProducerDriver:
        """Make and start a producer; closed with the stage."""
        options = {"client_id": "contract-test", "connect_timeout": 20.0, **options}
        producer = (transport or self.transport).producer(ProducerOptions(**options))
        await producer.start()
        self._stack.push_async_callback(producer.close, 5.0)
        return producer

    # -- records

    async def fill(self, counts: Mapping[TP, int], *, start: int = 0, pad: int = 0) -> None:
        """Write numbered records: the values of a partition are ``start``, ``start + 1`` ..., padded to *pad*."""
        producer = self.transport.producer(ProducerOptions(max_batch_size=256 * 1024))
        await producer.start()
        for tp, count in counts.items():
            await producer.load_partitions(tp.topic)
            for number in range(start, start + count):
                producer.append(tp.topic, tp.partition, None, b"%d" % number + b" " * pad)
                if producer.full:
                    await producer.wait_room()
        await producer.flush()
        await producer.close()

    # -- trouble

    @contextlib.asynccontextmanager
    async def outage(self, *, restart: bool = False) -> AsyncIterator[None]:
        """Take the broker away for the time of the block.

        Kafka is frozen, or with *restart* stopped and started again; somebody else locks the files
        of ``local://``. On ``memory://`` the test ends here, skipped.
        """
        if self.cluster is not None:
            go, come = (
                (self.cluster.stop, self.cluster.restart)
                if restart
                else (self.cluster.pause, self.cluster.cont)
            )
            await asyncio.to_thread(go)
            try:
                yield
            finally:
                await asyncio.to_thread(come)
        else:
            if self.kind == "memory":
                pytest.skip("memory:// lives in this process: it cannot be away or out of reach")
            with start_python(_LOCKER, URL(self.url).path) as locker:
                assert (await locker.wait_line()).startswith("locked")
                yield


_LOCKER = """
import pathlib, sqlite3, sys, time
held = []
# Looking at a file and closing it drops this process's locks on it (POSIX), so: look first, lock
# then.
files = [f for f in pathlib.Path(sys.argv[1]).rglob("*") if f.is_file()]
files = [f for f in files if f.open("rb").read(15) == b"SQLite format 3"]
for file in files:
    connection = sqlite3.connect(file, isolation_level=None, timeout=30)
    connection.execute("BEGIN IMMEDIATE")
    held.append(connection)
assert held, "no SQLite file found in " + sys.argv[1]
print("locked", len(held))
time.sleep(600)
"""
