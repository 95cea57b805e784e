"""Changelogs in the hand of the test: a driver whose logs have holes, markers, truncations and slow answers on demand.

The consumer and producer services, tables, manager and recovery above it are the real ones. What a
broker does to a log once in a month (compaction, retention, a deleted topic, a transaction marker
at the end) is a method of `Log`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, cast

from faust._core.iteration import Cursor, current_cursor
from faust._core.lanes import Lane, PartitionTask, message_of
from faust.events import Event
from faust.exceptions import RecordTooLarge, UnknownTopic
from faust.gate import Gate
from faust.mailbox import Mailbox
from faust.messages import TP, Headers, Message, RecordMetadata, Slice
from faust.sensors.base import SensorDelegate
from faust.serializers.registry import Registry
from faust.settings.settings import Settings
from faust.tables.manager import TableManager
from faust.tables.sets import SetGlobalTable, SetTable
from faust.tables.table import GlobalTable, Table
from faust.transport.base import (
    BatchWatcher,
    ConsumerDriver,
    Delivery,
    DriverState,
    ProducerDriver,
    TopicOutcome,
    TopicSpec,
)
from faust.transport.consumer import Consumer
from faust.transport.producer import Producer
from faust.transport.tenure import Tenure

__all__ = [
    "App",
    "Entry",
    "Log",
    "ScriptedConsumer",
    "ScriptedProducer",
    "World",
    "assign",
    "event_of",
    "worker",
]


class Entry(NamedTuple):
    """A record of a log."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    timestamp_type: int | None = 0
    headers: Headers = ()


class Log:
    """One partition: what is there, and the offsets ``beginning <= offset < end`` in which it is."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.beginning = 0
        self.end = 0
        self.topic_id = "topic-0"

    def append(self, key: bytes | None, value: bytes | None) -> int:
        """Write a record."""
        self.entries.append(Entry(self.end, key, value))
        self.end += 1
        return self.end - 1

    def mark(self) -> None:
        """Write what no consumer ever sees: a transaction marker, a record of an aborted transaction."""
        self.end += 1

    def compact(self) -> None:
        """Keep the last record of each key; offsets stay, also the end."""
        last = {entry.key: entry.offset for entry in self.entries}
        self.entries = [entry for entry in self.entries if last[entry.key] == entry.offset]

    def truncate(self, before: int) -> None:
        """Remove what lies before an offset, as retention and delete-records do."""
        self.beginning = min(max(self.beginning, before), self.end)
        self.entries = [entry for entry in self.entries if entry.offset >= self.beginning]

    def recreate(self) -> None:
        """Delete the topic and make it anew."""
        self.entries = []
        self.beginning = self.end = 0
        self.topic_id = f"topic-{int(self.topic_id.removeprefix('topic-')) + 1}"

    def read(self, position: int, limit: int) -> list[Entry]:
        """Return up to *limit* records from *position* on."""
        return [entry for entry in self.entries if entry.offset >= position][:limit]

    def contents(self) -> dict[bytes, bytes]:
        """Return what a fresh reader makes of it."""
        found: dict[bytes, bytes] = {}
        for entry in self.entries:
            if entry.key is not None:
                found.pop(entry.key, None)
                if entry.value is not None:
                    found[entry.key] = entry.value
        return found


class ScriptedConsumer(ConsumerDriver):
    """Reads the logs of a `World`.

    Attributes:
        calls: Names of the requests made.
        lease: Until when (monotonic seconds) the assignment is certain.
        slow: Requests by name that never answer, and how often.
        silent_jumps: What lies behind the last record shows in the position only, in no slice.
        on_slice: Called before each slice; the moment to change a log under the reader.
        mislaid: Partitions of which nothing comes until they are sought.
    """

    def __init__(self, world: World) -> None:
        self.state = DriverState(connected=True)
        self.world = world
        self.held: frozenset[TP] = frozenset()
        self.current_generation = 0
        self.positions: dict[TP, int] = {}
        self.paused: set[TP] = set()
        self.calls: list[str] = []
        self.lease = float("inf")
        self.slow: dict[str, int] = {}
        self.slice_size = 3
        self.silent_jumps = False
        self.on_slice: Callable[[TP], None] = lambda _tp: None
        self.mislaid: set[TP] = set()

    def give(self, tps: Collection[TP]) -> int:
        """Assign *tps* in a new generation; everything is paused, as the application does it."""
        self.held = frozenset(tps)
        self.current_generation += 1
        self.positions = {tp: self.world.log(tp).beginning for tp in tps}
        self.paused = set(tps)
        return self.current_generation

    async def _request(self, name: str) -> None:
        self.calls.append(name)
        if self.slow.get(name, 0) > 0:
            self.slow[name] -= 1
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def take(self, timeout: float) -> list[Slice]:
        for tp in sorted(self.held - self.paused - self.mislaid):
            self.on_slice(tp)
            batch = self._next_slice(tp)
            if batch is not None:
                await asyncio.sleep(0)
                return [batch]
        await asyncio.sleep(0.001)
        return []

    def _next_slice(self, tp: TP) -> Slice | None:
        log = self.world.log(tp)
        position = self.positions[tp]
        if position < log.beginning or position > log.end:
            position = log.beginning  # C6: changelogs always go on at the beginning
        records = log.read(position, self.slice_size)
        last = len(records) < self.slice_size
        after = records[-1].offset + 1 if records else position
        if last and not self.silent_jumps:
            after = log.end
        self.positions[tp] = log.end if last else after
        if not records and after == position:
            return None
        return Slice(tp, self.current_generation, tuple(records), after)

    def pause(self, tps: Collection[TP]) -> None:
        self.paused |= set(tps)

    def resume(self, tps: Collection[TP]) -> None:
        self.calls.append("resume")
        self.paused -= set(tps)

    async def seek(self, offsets: Mapping[TP, int]) -> None:
        await self._request("seek")
        self.positions.update(offsets)
        self.mislaid -= set(offsets)

    async def position(self, tp: TP) -> int:
        await self._request("position")
        return self.positions[tp]

    async def beginning_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        await self._request("beginning_offsets")
        return {tp: self.world.log(tp).beginning for tp in tps}

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        await self._request("end_offsets")
        return {tp: self.world.log(tp).end for tp in tps}

    async def log_end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        return await self.end_offsets(tps)

    async def partitions_for(self, topic: str) -> frozenset[int] | None:
        await self._request("partitions_for")
        numbers = frozenset(tp.partition for tp in self.world.logs if tp.topic == topic)
        return numbers or None

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        await self._request("topic_ids")
        ids: dict[str, str] = {}
        for tp in sorted(self.world.logs):
            if tp.topic in topics:
                ids[tp.topic] = ids.get(tp.topic, "") + self.world.log(tp).topic_id
        return ids

    @property
    def assignment(self) -> frozenset[TP]:
        return self.held

    @property
    def generation(self) -> int:
        return self.current_generation

    @property
    def member_id(self) -> str:
        return "scripted"

    def lease_until(self) -> float:
        return self.lease

    async def start(self) -> None:
        pass

    async def close(self, timeout: float = 10.0) -> None:
        pass

    async def subscribe(self, topics: Collection[str], **options: Any) -> None:
        raise NotImplementedError("assignments are given by the test")

    async def assign(self, tps: Collection[TP]) -> None:
        self.give(tps)
        self.current_generation = -1

    async def committed(self, tps: Collection[TP]) -> dict[TP, int | None]:
        return dict.fromkeys(tps)

    async def commit(self, offsets: Mapping[TP, int]) -> dict[TP, Exception | None]:
        return dict.fromkeys(offsets)


class ScriptedDelivery(Delivery):
    """A record that may be acknowledged."""

    __slots__ = ("error", "metadata")

    def __init__(self) -> None:
        self.metadata: RecordMetadata | None = None
        self.error: Exception | None = None

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        while not self.done():
            yield
        if self.error is not None:
            raise self.error
        assert self.metadata is not None
        return self.metadata

    def done(self) -> bool:
        return self.metadata is not None or self.error is not None


class ScriptedProducer(ProducerDriver):
    """Writes to the logs of a `World` when it is flushed.

    Attributes:
        gate: Closed: flushes wait.
        failure: Raised by the next flush, whose records are lost.
        too_large: Values longer than this are refused by `append`.
        auto_create: Partitions of a topic that is made because it was asked for; None: it is not.
    """

    def __init__(self, world: World) -> None:
        self.state = DriverState(connected=True)
        self.world = world
        self.full = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.too_large = 1_000_000
        self.auto_create: int | None = None
        self.flushes = 0
        self.told: BatchWatcher = lambda *_: None
        self.open: list[tuple[TP, bytes | None, bytes | None, ScriptedDelivery]] = []
        self.bound: dict[str, Tenure] = {}

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> Delivery:
        if value is not None and len(value) > self.too_large:
            raise RecordTooLarge(f"{topic}[{partition}]: {len(value)} bytes")
        delivery = ScriptedDelivery()
        self.open.append((TP(topic, partition), key, value, delivery))
        return delivery

    def bind(self, topics: Collection[str], tenure: Tenure) -> None:
        self.bound |= dict.fromkeys(topics, tenure)

    def withdraw(self, tenure: Tenure) -> None:
        kept = []
        for entry in self.open:
            if self.bound.get(entry[0].topic) is tenure:
                entry[3].error = tenure.withdrawal(entry[0], 1)
            else:
                kept.append(entry)
        self.open = kept

    def watch(self, told: BatchWatcher) -> None:
        self.told = told

    def unanswered(self) -> dict[str, int]:
        return Counter(tp.topic for tp, *_ in self.open)

    def overdue(self, seconds: float) -> dict[str, str]:
        return {}

    async def flush(self) -> None:
        self.flushes += 1
        await self.gate.wait()
        taken, self.open = self.open, []
        failure, self.failure = self.failure, None
        for tp, key, value, delivery in taken:
            self.told(tp.topic, 1, 0.0, failure)
            if failure is not None:
                delivery.error = failure
            else:
                offset = self.world.log(tp).append(key, value)
                delivery.metadata = RecordMetadata(tp.topic, tp.partition, tp, offset)
        if failure is not None:
            raise failure

    async def wait_room(self) -> None:
        await asyncio.sleep(0)

    def partitions(self, topic: str) -> Sequence[int] | None:
        return sorted(tp.partition for tp in self.world.logs if tp.topic == topic) or None

    async def load_partitions(self, topic: str) -> Sequence[int]:
        if self.partitions(topic) is None:
            if self.auto_create is None:
                raise UnknownTopic(topic)
            self.world.make(topic, self.auto_create)
        return self.partitions(topic) or ()

    def available_partitions(self, topic: str) -> Sequence[int]:
        return self.partitions(topic) or ()

    async def start(self) -> None:
        pass

    async def close(self, timeout: float = 10.0) -> None:
        pass

    async def begin_transaction(self) -> None:
        raise NotImplementedError("no transactions here")

    async def send_offsets(self, offsets: Mapping[TP, int], consumer: ConsumerDriver) -> None:
        raise NotImplementedError("no transactions here")

    async def commit_transaction(self) -> None:
        raise NotImplementedError("no transactions here")

    async def abort_transaction(self) -> None:
        raise NotImplementedError("no transactions here")


class App:
    """As much of an application as tables ask for."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        self.conf = Settings(id="shop", **settings)
        self.serializers = Registry()
        self.sensors = SensorDelegate()
        self.gate = Gate(self.lease_until)
        self.exactly_once = False
        self.readers: list[ScriptedConsumer] = []
        self.consumer_driver = ScriptedConsumer(world)
        self.producer_driver = ScriptedProducer(world)
        self.tables = TableManager(self)  # type: ignore[arg-type]  # as much as tables ask for
        self.consumer = Consumer(
            self.consumer_driver, before_commit=self.tables.flush, commit_interval=1000.0
        )
        self.producer = self.soon_producer = Producer(self.producer_driver)
        self.topics: list[Any] = []

    def Table(self, name: str, **options: Any) -> Table[Any, Any]:
        """Declare a table."""
        table: Table[Any, Any] = self.add(Table, name, options)
        return table

    def GlobalTable(self, name: str, **options: Any) -> Any:
        """Declare a global table."""
        return self.add(GlobalTable, name, options)

    def SetTable(self, name: str, **options: Any) -> Any:
        """Declare a table of sets."""
        return self.add(SetTable, name, options)

    def SetGlobalTable(self, name: str, **options: Any) -> Any:
        """Declare a global table of sets."""
        return self.add(SetGlobalTable, name, options)

    def add(self, cls: Any, name: str, options: dict[str, Any]) -> Any:
        """Declare a table as the application does."""
        window = options.pop("window", None)
        table = cls(self, name=name, **options)
        self.tables.add(table)
        return table if window is None else table.using_window(window)

    def consumer_or_none(self) -> Consumer:
        """Return the consumer."""
        return self.consumer

    def lease_until(self) -> float:
        """Return until when our partitions are certainly ours."""
        return self.consumer_driver.lease_until()

    def reader_driver(self) -> ScriptedConsumer:
        """Make a driver that reads in no group."""
        reader = ScriptedConsumer(self.world)
        self.readers.append(reader)
        return reader

    def create_event(self, key: Any, value: Any, headers: Any, message: Message) -> Event[Any, Any]:
        """Make an event."""
        return Event(self, key, value, headers, message)  # type: ignore[arg-type]

    async def declare_topic(self, spec: TopicSpec) -> TopicOutcome | None:
        """Create a topic in the world."""
        if not self.conf.topic_allow_declare:
            return None
        there = [tp for tp in self.world.logs if tp.topic == spec.name]
        if there:
            differs = len(there) != spec.partitions
            text = f"partitions: wanted {spec.partitions}, has {len(there)}"
            return TopicOutcome(created=False, differences=(text,) if differs else ())
        self.world.specs[spec.name] = spec
        self.world.make(spec.name, spec.partitions)
        return TopicOutcome(created=True)


class World:
    """Logs that outlive the applications that write to them."""

    def __init__(self) -> None:
        self.logs: dict[TP, Log] = {}
        self.specs: dict[str, TopicSpec] = {}
        self.tasks: dict[TP, PartitionTask] = {}

    def make(self, topic: str, partitions: int) -> None:
        """Create a topic."""
        for number in range(partitions):
            self.logs[TP(topic, number)] = Log()

    def log(self, tp: TP) -> Log:
        """Return the log of a partition."""
        return self.logs[tp]

    def app(self, **settings: Any) -> App:
        """Start a process, so to speak."""
        return App(self, **settings)


@asynccontextmanager
async def worker(world: World, **settings: Any) -> AsyncIterator[App]:
    """Run a process that has its consumer started; its tables are to be declared in the block."""
    app = world.app(**settings)
    try:
        yield app
    finally:
        await app.tables.on_stop()
        await app.consumer.stop()


async def assign(app: App, *tps: TP) -> list[frozenset[int]]:
    """Give partitions to *app* and recover its tables; return what was announced as ready, in order."""
    generation = app.consumer_driver.give(tps)
    ready: list[frozenset[int]] = []

    def on_ready(sources: frozenset[TP]) -> None:
        ready.append(frozenset(tp.partition for tp in sources))

    if not app.consumer.started:
        await app.consumer.start()
    await app.tables.recover(frozenset(tps), generation, on_ready)
    for tp in tps:
        app.world.tasks[tp] = PartitionTask(tp, generation)
    return ready


@contextmanager
def event_of(
    task: PartitionTask, *, shared: bool = False, at: float = 0.0, value: Any = b""
) -> Iterator[Any]:
    """Have an event of *task* in hand, of the time *at* (seconds); gives a function that returns it."""
    mailbox = Mailbox(shared=shared)
    lane = Lane(task, mailbox, lambda record: record.value, acks=False)

    async def nothing(*_: Any) -> None:
        return None

    cursor = Cursor(
        mailbox,
        wait=mailbox.wait,
        breathe=nothing,
        make_event=lambda lane, record, value: Event(
            cast("Any", None), record.key, value, (), message_of(lane, record)
        ),
        on_decode_error=nothing,
    )
    cursor.lane = lane
    cursor.record = Entry(0, b"", b"", round(at * 1000))
    cursor.value = value
    token = current_cursor.set(cursor)
    try:
        yield cursor.event
    finally:
        current_cursor.reset(token)
        task.lanes.remove(lane)
