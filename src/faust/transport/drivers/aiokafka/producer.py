"""The producer of ``kafka://``: the application's side of the client thread.

A record goes into its partition's open batch in the application's thread (`batching.Accumulator`, the compiled
builder). At the next turn of the loop, or after the linger, what may be sent goes to the client thread in one hop, and
answers come back in one hop as well, at the latest some milliseconds later: at once when somebody waits for them, or
when they make room, and else with what is sent next. Two batches per partition may be under way: the second
waits in the client, so that its connection does not idle while the answer to the first travels between threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from faust.exceptions import (
    BrokerError,
    CommitRefused,
    FaustError,
    ImproperlyConfigured,
    ProducerSendError,
)
from faust.messages import TP, Headers
from faust.transport.base import (
    BatchWatcher,
    ConsumerDriver,
    Delivery,
    DriverState,
    ProducerDriver,
    ProducerOptions,
)
from faust.transport.drivers.aiokafka.batches import GroupMetadata
from faust.transport.drivers.aiokafka.consumer import Consumer
from faust.transport.drivers.aiokafka.sending import Answer, Sending
from faust.transport.drivers.aiokafka.thread import ClientThread
from faust.transport.drivers.batching import Accumulator
from faust.transport.tenure import Tenure

__all__ = ["Producer"]

logger: logging.Logger = logging.getLogger(__name__)

ANSWER_DELAY = 0.01
"""Seconds after which the application hears of answers that nobody waits for. Each hop between the threads costs both."""
UNDER_WAY_WAIT = 1.0
"""Seconds to wait for batches under way before their transaction is aborted."""
UNDER_WAY = 2
"""Batches of a partition that the client thread has at most."""


class Producer(ProducerDriver):
    """See `ProducerDriver`.

    Idempotent when ``acks`` is -1 (KIP-98).

    Arguments:
        servers: ``host:port`` of the bootstrap servers.
        options: What it needs to know.
        thread: Where the client lives.
    """

    def __init__(self, servers: list[str], options: ProducerOptions, thread: ClientThread) -> None:
        if options.acks not in {0, 1, -1}:
            raise ImproperlyConfigured(f"producer_acks is {options.acks!r}, expected 0, 1 or -1")
        if options.transactional_id is not None and options.acks != -1:
            raise ImproperlyConfigured("transactions need producer_acks=-1 (all)")
        self.state: DriverState = DriverState()
        self.full: bool = False
        self._servers = servers
        self._options = options
        self._thread = thread
        self._client: Sending | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers: deque[Answer] = deque()
        self._reminder: asyncio.TimerHandle | None = None
        self._asked: float | None = None
        self._alarm: asyncio.Handle | None = None
        self._reaper: asyncio.Handle | None = None
        self._closed = False
        self._ended = False
        self._in_transaction = False
        """Records may be appended: to the open transaction, or behind the fence to the next one."""
        self._begun = False
        """The client has a transaction open."""
        self._accumulator = Accumulator(
            max_batch_size=options.max_batch_size,
            max_request_size=options.max_request_size,
            buffer_memory=options.buffer_memory,
            linger=options.linger,
            compression=options.compression,
            transactional=options.transactional_id is not None,
            in_flight=UNDER_WAY,
            wake=self._ask,
            on_full=self._set_full,
        )
        if options.transactional_id is None:
            # One call less per record.
            self.append = self._accumulator.append  # type: ignore[method-assign]

    # -- life

    async def start(self) -> None:
        """Connect."""
        if self._closed:
            raise BrokerError("this producer was closed; make another")
        if self._client is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._thread.hold()
        try:
            self._client = await self._thread.call(self._connect())
        except BaseException:
            self._thread.release()
            raise
        self._watch_overdue()
        if self._asked is not None:
            self._ask(self._asked)

    async def _connect(self) -> Sending:
        """Client thread."""
        client = Sending(self._servers, self._options, self._answered)
        await client.start(self.state)
        return client

    async def close(self, timeout: float = 10.0) -> None:
        """Flush and end."""
        if self._closed:
            return
        self._closed = True
        client = self._client
        if client is not None:
            try:
                async with asyncio.timeout(timeout):
                    await self._finish(client, timeout)
                    await self._thread.call(client.close(timeout * 0.3))
            except TimeoutError:
                logger.warning("the Kafka producer did not end in %.1f s", timeout)
                self._thread.post(client.abort)
            finally:
                self._thread.release()
                self.state.connected = False
        for alarm in (self._alarm, self._reaper):
            if alarm is not None:
                alarm.cancel()
        self._ended = True
        if self._accumulator.unfinished:
            logger.error(
                "the Kafka producer ends with %d batches that were not acknowledged",
                self._accumulator.unfinished,
            )
        self._fail_all()

    async def _finish(self, client: Sending, timeout: float) -> None:
        """Send what is left, or abort the open transaction."""
        try:
            async with asyncio.timeout(timeout * 0.6):
                if self._in_transaction:
                    await self._abort(client)
                else:
                    await self._accumulator.flush()
        except TimeoutError:
            logger.warning("the Kafka producer could not flush in %.1f s", timeout * 0.6)
        except FaustError as error:
            logger.error("the Kafka producer could not send everything: %s", error)

    def _fail_all(self) -> None:
        self._accumulator.fail_all(
            ProducerSendError("not sent: the producer was closed before the broker acknowledged")
        )

    # -- appending

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> Delivery:
        """Put a record into its partition's open batch; with a transactional id only in a transaction."""
        if not self._in_transaction:
            raise ProducerSendError(
                f"a record for {topic}[{partition}] outside a transaction: begin_transaction first"
            )
        return self._accumulator.append(topic, partition, key, value, timestamp, headers)

    async def wait_room(self) -> None:
        """Wait until the buffer is below its bound."""
        await self._accumulator.wait_room()

    async def flush(self) -> None:
        """Wait until everything appended before this call is acknowledged."""
        self._started()
        await self._accumulator.flush()

    def _set_full(self, full: bool) -> None:
        self.full = full

    def _ask(self, delay: float) -> None:
        """The accumulator has something to send, in *delay* seconds."""
        loop = self._loop
        if loop is None or self._client is None:
            self._asked = min(delay, self._asked or delay)
            return
        if self._alarm is not None:
            self._alarm.cancel()
        if delay > 0:
            self._alarm = loop.call_later(delay, self._send)
        else:
            self._alarm = loop.call_soon(self._send)

    def _send(self) -> None:
        self._alarm = None
        if self._ended:
            self._fail_all()
            return
        self._settle()
        batches = self._accumulator.ready()
        if batches and self._client is not None:
            self._thread.post(self._client.submit, batches)

    def _answered(self, answers: list[Answer]) -> None:
        """Client thread. Tell the application at once what somebody waits for; else it looks when it sends next."""
        self._answers.extend(answers)
        awaited = self._accumulator.is_awaited
        if any(error is not None or awaited(batch) for batch, _, _, error in answers):
            self._tell()
        elif self._reminder is None:
            loop = asyncio.get_running_loop()
            self._reminder = loop.call_later(ANSWER_DELAY, self._remind)

    def _remind(self) -> None:
        """Client thread."""
        self._reminder = None
        if self._answers:
            self._tell()

    def _tell(self) -> None:
        """Client thread."""
        if self._loop is not None:
            with contextlib.suppress(
                RuntimeError
            ):  # its loop has ended: nobody is there to be told
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        """Tell the batches what became of them."""
        answers = self._answers
        while answers:
            batch, offset, timestamp, error = answers.popleft()
            if error is None:
                batch.done(offset, timestamp)
            else:
                batch.fail(error)

    def _watch_overdue(self) -> None:
        """Fail what waits here for longer than the request timeout; what the client has it fails itself."""
        assert self._loop is not None
        self._accumulator.expire(self._options.request_timeout, self._trouble)
        pause = min(1.0, max(0.05, self._options.request_timeout / 10))
        self._reaper = self._loop.call_later(pause, self._watch_overdue)

    # -- records in the name of partitions

    def bind(self, topics: Iterable[str], tenure: Tenure) -> None:
        """Send what is appended to *topics* from now on only while *tenure* is certain."""
        self._accumulator.bind(topics, tenure)

    def withdraw(self, tenure: Tenure) -> None:
        """Send nothing more of what is bound to *tenure*."""
        self._accumulator.withdraw(tenure)
        if self._client is not None:
            self._thread.post(self._client.withdraw)

    # -- partitions

    def partitions(self, topic: str) -> Sequence[int] | None:
        """Return the sorted partition numbers of *topic* if they are known already."""
        client = self._client
        return client.partitions.get(topic) if client is not None else None

    async def load_partitions(self, topic: str) -> Sequence[int]:
        """Ask the broker."""
        return await self._thread.call(self._started().load(topic))

    def watch(self, told: BatchWatcher) -> None:
        """Call *told* for each batch that is answered or given up."""
        self._accumulator.told = told

    def unanswered(self) -> dict[str, int]:
        """Return how many records of each topic have no answer."""
        return self._accumulator.unanswered()

    def overdue(self, seconds: float) -> dict[str, str]:
        """Return the topics that wait for an answer, and what the brokers have said."""
        return {topic: self._trouble(topic) for topic in self._accumulator.overdue(seconds)}

    def _trouble(self, topic: str) -> str:
        return self._client.trouble(topic) if self._client is not None else ""

    def available_partitions(self, topic: str) -> Sequence[int]:
        """Return the partitions that have a leader now."""
        client = self._client
        return client.available.get(topic, ()) if client is not None else ()

    # -- transactions

    async def begin_transaction(self) -> None:
        """Open a transaction."""
        await self._thread.call(self._transactional().begin())
        self._in_transaction = self._begun = True
        self.append = self._accumulator.append  # type: ignore[method-assign]
        self._accumulator.lift()

    def fence(self) -> bool:
        """Keep what is appended from now on for the next transaction."""
        if not self._begun:
            raise BrokerError("there is no open transaction to be fenced: begin one first")
        self._accumulator.fence()
        return True

    async def flush_fenced(self) -> None:
        """Wait until everything appended before the fence is acknowledged."""
        self._started()
        await self._accumulator.flush(before_fence=True)

    async def send_offsets(self, offsets: Mapping[TP, int], consumer: ConsumerDriver) -> None:
        """Make *offsets* part of the transaction; the group refuses them when the consumer's generation is over."""
        client = self._transactional()
        if not isinstance(consumer, Consumer):
            raise ImproperlyConfigured(
                f"offsets of {type(consumer).__name__} cannot join a transaction on Kafka: other broker"
            )
        if not offsets:
            return
        group = GroupMetadata(*consumer.group_metadata())
        strange = [tp for tp in offsets if tp not in consumer.assignment]
        if strange:
            raise CommitRefused(
                f"group {group.group_id}: not assigned to this member (any more): {sorted(strange)}; abort the "
                "transaction"
            )
        await self._thread.call(client.send_offsets(dict(offsets), group))

    async def commit_transaction(self) -> None:
        """Flush and commit; after an error the transaction must be aborted."""
        client = self._transactional()
        await self._accumulator.flush(before_fence=True)
        await self._thread.call(client.end(commit=True))
        self._begun = False
        if not self._accumulator.fenced:
            self._end_appending()

    async def abort_transaction(self) -> None:
        """Drop everything since `begin_transaction`."""
        await self._abort(self._transactional())

    def _end_appending(self) -> None:
        """Until the next transaction `append` raises."""
        self._in_transaction = False
        self.__dict__.pop("append", None)

    async def _abort(self, client: Sending) -> None:
        self._end_appending()
        self._accumulator.drop_unsent(ProducerSendError("the transaction was aborted"))
        self._accumulator.lift()
        try:
            with contextlib.suppress(
                TimeoutError
            ):  # what is under way must not arrive after the end
                async with asyncio.timeout(UNDER_WAY_WAIT):
                    await self._drain()
            if self._begun:  # else it was committed, and the next one has only been dropped
                await self._thread.call(client.end(commit=False))
                self._begun = False
            await self._drain()
        finally:
            self._accumulator.forget_failure()

    async def _drain(self) -> None:
        """Wait for the answers that are on their way between the threads."""
        with contextlib.suppress(FaustError):
            await self._accumulator.flush()

    # -- checks

    def _started(self) -> Sending:
        if self._closed:
            raise BrokerError("this producer was closed")
        if self._client is None:
            raise BrokerError("start the producer first")
        return self._client

    def _transactional(self) -> Sending:
        client = self._started()
        if self._options.transactional_id is None:
            raise ImproperlyConfigured("this producer has no transactional id")
        return client
