"""The producer service: the application's way to the broker.

Everything that is sent goes through `append`, into the open batch of its partition; nothing waits for the broker
but `flush`. A send to a topic whose partitions are not known yet is kept back, in order, until they are: so
synchronous code may send to any topic at any time, and `flush` covers those records, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from mode import Service

from faust.exceptions import FaustError
from faust.messages import TP, Headers, RecordMetadata
from faust.sensors.base import SensorDelegate
from faust.transport.base import Delivery, ProducerDriver
from faust.utils.murmur import KeyPartitioner

__all__ = ["Partitioner", "Producer"]

logger: logging.Logger = logging.getLogger(__name__)

RUN = 16
"""Records without a key, sent in one turn of the loop, that share a partition at most.

Kafka's own clients fill a batch before they choose again (sticky partitioner, KIP-480): a batch per record would cost
the broker and us ten times as much. This many are enough for that, and few enough to spread a burst of work.
"""

Partitioner = Callable[[bytes | None, Sequence[int], Sequence[int]], int]
"""``(key, all partitions, available partitions) -> partition``"""


class _Waiting(NamedTuple):
    """A record whose topic's partitions are being asked for."""

    key: bytes | None
    value: bytes | None
    timestamp: int | None
    headers: Headers
    future: asyncio.Future[RecordMetadata]
    append: Callable[..., Delivery]


class _Run:
    """Records without a key that go to one partition, and so into one batch."""

    __slots__ = ("left", "partition")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.left = RUN


class Producer(Service):
    """Sends records; one per application.

    Arguments:
        driver: The transport's producer.
        sensors: Told of what is sent.
        partitioner: Chooses a partition; None: murmur2 of the key as in Kafka's Java client; without a key a random
            one for up to `RUN` records that are sent together.
        close_timeout: Returns how many seconds sending what is left and closing may take; None: 10.
        headers: Records may have headers; else those they are given are left out.

    Attributes:
        waiting: Records given to `send_soon` that the broker has not acknowledged.
        failure: The first that there was. A flush raises each failure once, to whoever happens to ask first; but what an
            event has caused was not sent, whoever has heard of it, so no offset may be committed any more.
        hashes: The positive hash of a key, which modulo the number of partitions is where it lives; None: ask
            `partition_for`.
        held: Topics whose records are kept back until their partitions are known.
    """

    def __init__(
        self,
        driver: ProducerDriver,
        *,
        partitioner: Partitioner | None = None,
        sensors: SensorDelegate | None = None,
        close_timeout: Callable[[], float] | None = None,
        headers: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.driver = driver
        self._close_timeout = close_timeout or _ten_seconds
        self.append: Callable[..., Delivery] = driver.append if headers else self._append_bare
        self.partitions: Callable[[str], Sequence[int] | None] = driver.partitions
        self._partitioner = partitioner
        self._default = KeyPartitioner()
        self.hashes: Mapping[bytes, int] | None = (
            self._default.hashes if partitioner is None else None
        )
        self.waiting: int = 0
        self.failure: Exception | None = None
        self._runs: dict[str, _Run] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        self.held: Collection[str] = self._waiting.keys()
        self._loaders: dict[str, asyncio.Task[None]] = {}
        self._answered: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._sensors = SensorDelegate() if sensors is None else sensors
        self._sensors.add_meter(self)
        driver.watch(self._on_batch)

    def _append_bare(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None = None,
        headers: Headers = (),  # noqa: ARG002 - the protocol that was asked for has none
    ) -> Delivery:
        return self.driver.append(topic, partition, key, value, timestamp, ())

    # -- sensors

    def _on_batch(self, topic: str, count: int, seconds: float, error: Exception | None) -> None:
        """A batch of records was answered or given up."""
        self._answered[topic] += count
        hook = self._sensors.hooks.on_batch_answered
        if hook is not None:
            hook(self, topic, count, seconds, error)

    def settle(self) -> None:
        """Tell sensors how many records were appended since they were last told."""
        hook = self._sensors.hooks.on_messages_sent
        total = self._answered + Counter(self.driver.unanswered())
        told, self._told = self._told, total
        if hook is not None:
            for topic, count in (total - told).items():
                hook(self, topic, count)

    @property
    def taken(self) -> int:
        """How many records it was given so far."""
        held = sum(map(len, self._waiting.values()))
        return self._answered.total() + sum(self.driver.unanswered().values()) + held

    # -- life

    async def on_start(self) -> None:
        """Connect."""
        await self.driver.start()

    async def on_stop(self) -> None:
        """Send what is left, and close."""
        try:
            if self._waiting:
                await asyncio.wait_for(self._settle(), self._close_timeout() / 2)
        except TimeoutError:
            logger.error(
                "Producer: gave up waiting for the partitions of %s", sorted(self._waiting)
            )
        finally:
            await self.driver.close(self._close_timeout())

    @property
    def full(self) -> bool:
        """More is waiting for the broker than the bound allows: await `wait_room`."""
        return self.driver.full

    async def wait_room(self) -> None:
        """Wait until less is waiting than the bound allows."""
        await self.driver.wait_room()

    async def flush(self) -> None:
        """Wait until everything sent before is acknowledged; raise the first failure since the last flush."""
        try:
            await self.append_all()
            await self.driver.flush()
        except FaustError as exc:
            self.failure = self.failure or exc
            raise

    async def append_all(self) -> None:
        """Wait until everything sent before was appended, of topics that were not known, too."""
        if self._waiting:
            await self._settle()

    def knows(self, topic: str) -> bool:
        """Say whether a record for *topic* can be appended at once, behind all that was sent to it before."""
        return topic not in self._waiting and self.partitions(topic) is not None

    async def load_partitions(self, topic: str) -> Sequence[int]:
        """Ask the broker for the partitions of *topic*."""
        return await self.driver.load_partitions(topic)

    def partition_for(self, topic: str, key: bytes | None, partitions: Sequence[int]) -> int:
        """Choose the partition of a serialized *key*."""
        if self._partitioner is not None:
            return self._partitioner(key, partitions, self.driver.available_partitions(topic))
        if key is not None:
            return self._default(key, partitions)
        run = self._runs.get(topic)
        if run is None or run.left == 0:
            run = self._start_run(topic, partitions)
        run.left -= 1
        return run.partition

    def _start_run(self, topic: str, partitions: Sequence[int]) -> _Run:
        """Choose where the next records without a key go; until the next turn of the loop, at the longest."""
        if not self._runs:
            asyncio.get_running_loop().call_soon(self._runs.clear)
        chosen = self._default.any_of(self.driver.available_partitions(topic) or partitions)
        run = self._runs[topic] = _Run(chosen)
        return run

    def key_partition(self, topic: str, key: bytes) -> TP:
        """Return where the default partitioner puts *key*.

        Raises:
            KeyError: The partitions of *topic* are not known; await `load_partitions` first.
        """
        partitions = self.partitions(topic)
        if partitions is None:
            raise KeyError(f"the partitions of topic {topic!r} are not known yet")
        return TP(topic, self.partition_for(topic, key, partitions))

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> Delivery:
        """Append a record; waits only for room and for a topic not known yet. *timestamp* in milliseconds."""
        if partition is None:
            partitions = self.partitions(topic)
            if partitions is None:
                partitions = await self._partitions_in_order(topic)
            partition = self.partition_for(topic, key, partitions)
        delivery = self.append(topic, partition, key, value, timestamp, headers)
        if self.driver.full:
            await self.driver.wait_room()
        return delivery

    def send_soon(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers = (),
        future: asyncio.Future[RecordMetadata] | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Append a record from synchronous code; the future is done when the broker has answered."""
        if future is None:
            future = asyncio.get_running_loop().create_future()
        self.waiting += 1
        future.add_done_callback(self._acknowledged)
        partitions = self.partitions(topic)
        if partition is None and (partitions is None or topic in self._waiting):
            self._waiting.setdefault(topic, []).append(
                _Waiting(key, value, timestamp, headers, future, self.driver.appender())
            )
            self._load(topic)
            return future
        if partition is None:
            partition = self.partition_for(topic, key, partitions or ())
        self._settle_future(self.append(topic, partition, key, value, timestamp, headers), future)
        return future

    def _acknowledged(self, _future: asyncio.Future[RecordMetadata]) -> None:
        self.waiting -= 1

    # -- records whose topic is not known yet

    async def _partitions_in_order(self, topic: str) -> Sequence[int]:
        """Wait until what `send_soon` kept back for *topic* has gone first."""
        if topic in self._waiting:
            await asyncio.shield(self._load(topic))
        return self.partitions(topic) or await self.driver.load_partitions(topic)

    def _load(self, topic: str) -> asyncio.Task[None]:
        task = self._loaders.get(topic)
        if task is None:
            task = self._loaders[topic] = asyncio.get_running_loop().create_task(
                self._send_waiting(topic), name=f"partitions of {topic}"
            )
        return task

    async def _send_waiting(self, topic: str) -> None:
        try:
            partitions = await self.driver.load_partitions(topic)
        except Exception as exc:
            self.failure = self.failure or exc
            for waiting in self._waiting.pop(topic, []):
                if not waiting.future.done():
                    waiting.future.set_exception(exc)
            raise
        finally:
            self._loaders.pop(topic, None)
        for key, value, timestamp, headers, future, append in self._waiting.pop(topic, []):
            partition = self.partition_for(topic, key, partitions)
            self._settle_future(append(topic, partition, key, value, timestamp, headers), future)

    async def _settle(self) -> None:
        await asyncio.gather(*(asyncio.shield(self._load(topic)) for topic in list(self._waiting)))

    @staticmethod
    def _settle_future(delivery: Delivery, future: asyncio.Future[RecordMetadata]) -> None:
        def settle(metadata: RecordMetadata | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
                future.exception()  # flush reports it; nobody has to look here
            elif metadata is not None:
                future.set_result(metadata)

        delivery.add_done_callback(settle)


def _ten_seconds() -> float:
    return 10.0
