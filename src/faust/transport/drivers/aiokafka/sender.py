"""aiokafka's sender, with a shorter way for batches that simply have to go out.

aiokafka's own loop is a task that is woken for every change, and starts a task for every request. `Sender.kick` sends
from the place it is called at: what waits is numbered, put into one request per node, and written to the socket; the
answer is read in the socket's callback. The rules are aiokafka's: one batch of a partition travels at a time (so its
order and its sequence numbers are safe, whatever has to be repeated), the rest waits in the accumulator. But up to
`REQUESTS` requests per node are under way, of different partitions, so that one does not wait for the answer to another.

Everything else stays with aiokafka: missing leaders, connections and producer ids, what a transaction asks of its
coordinator (a partition that it does not know yet has to wait), ``acks=0``; and
answers that are no plain success, which its handler is shown as if it had asked.
"""

from __future__ import annotations

import asyncio
import collections
import io
import logging
from collections.abc import Callable, Collection
from typing import Any

from aiokafka import errors as kafka
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.protocol.produce import ProduceResponse_v7
from aiokafka.structs import TopicPartition

from faust.transport.drivers.aiokafka.batches import SentBatch, TransactionSender
from faust.transport.drivers.aiokafka.connection import Connection, Exchange
from faust.transport.drivers.aiokafka.wire import (
    PRODUCE,
    PRODUCE_VERSION,
    Unexpected,
    encode_produce,
    read_produce,
)

__all__ = ["Sender"]

logger: logging.Logger = logging.getLogger(__name__)

REQUESTS = 5
"""Requests that one node has not answered yet, at most; a broker remembers the last five of a producer (KIP-98)."""

NOT_WRITTEN: tuple[type[Exception], ...] = (
    kafka.NodeNotReadyError,
    kafka.UnknownTopicOrPartitionError,
    kafka.LeaderNotAvailableError,
    kafka.NotEnoughReplicasError,
    kafka.ConcurrentTransactions,
)
"""Failures in passing after which a batch is certainly not in the log. All others leave that open, as no answer does."""

Batches = dict[Any, SentBatch]


class Sender(TransactionSender):
    """Sends at once what may be sent at once.

    Arguments:
        client: aiokafka's client.
        answered: Called when all batches of a request have been told.
        options: Of aiokafka's sender.

    Attributes:
        answering: The batches of a request are being told.
    """

    def __init__(self, client: Any, answered: Callable[[], None], **options: Any) -> None:
        super().__init__(client, **options)
        self.answering: bool = False
        self._tell = answered
        self._under_way: collections.Counter[Any] = collections.Counter()
        self._repeats: set[asyncio.Task[None]] = set()

    def kick(self) -> None:
        """Send what waits; what cannot go at once is left to aiokafka's loop."""
        queue = self._message_accumulator
        if self._may_go():
            left = False
            by_node: dict[Any, Batches] = {}
            to_add = self._partitions_to_add()
            for tp in list(queue._batches):
                if tp in self._muted_partitions:
                    continue
                if tp in to_add:
                    left = True
                    continue
                if queue._batches[tp][0].remaining_linger() is not None:
                    left = True
                    continue
                node = queue._cluster.leader_for_partition(tp)
                if self._under_way[node] >= REQUESTS:
                    continue
                if node is None or self._connection(node) is None:
                    left = True
                    continue
                by_node.setdefault(node, {})[tp] = queue._pop_batch(tp)
            for node, batches in by_node.items():
                self._send_now(node, batches)
            if not left:
                return
        if not queue._waiter_future.done():
            queue._waiter_future.set_result(None)

    def _may_go(self) -> bool:
        manager = self._txn_manager
        return (
            self._acks != 0
            and self._sender_task is not None
            and not self._sender_task.done()
            and (
                manager is None
                or (
                    manager.has_pid()
                    and (manager.transactional_id is None or manager.is_in_transaction())
                )
            )
        )

    def _partitions_to_add(self) -> Collection[Any]:
        """Return the partitions that the transaction's coordinator must hear of before they are written to."""
        manager = self._txn_manager
        if manager is None or manager.transactional_id is None:
            return ()
        found: Collection[Any] = manager.partitions_to_add()
        return found

    def _connection(self, node: Any) -> Connection | None:
        connection: Connection | None = self.client.open_connection(node)
        if connection is None or not connection.speaks(PRODUCE, PRODUCE_VERSION):
            return None
        return connection

    def _send_now(self, node: Any, batches: Batches) -> None:
        self._under_way[node] += 1
        self._muted_partitions.update(batches)
        by_topic: dict[str, list[tuple[int, bytearray]]] = {}
        for tp, batch in batches.items():
            by_topic.setdefault(tp.topic, []).append((tp.partition, batch.get_data_buffer()))
        manager = self._txn_manager
        name = None if manager is None else manager.transactional_id
        body = encode_produce(self._acks, self._request_timeout_ms, by_topic, name)
        exchange = Exchange(
            lambda frame: self._answered(node, batches, frame),
            lambda error: self._repeat(node, batches, error),
        )
        connection = self._connection(node)
        assert connection is not None
        try:
            connection.exchange(PRODUCE, PRODUCE_VERSION, body, exchange)
        except kafka.KafkaError as error:
            self._repeat(node, batches, error)

    def _answered(self, node: Any, batches: Batches, frame: bytes) -> None:
        self.client.watch.answered(node)
        try:
            rows = read_produce(frame)
        except Unexpected:
            self._repeat(node, batches, ProduceResponse_v7.decode(io.BytesIO(frame[4:])))
            return
        self._free(node, batches)
        if self.troubles:
            for tp in batches:
                self.troubles.pop(tp.topic, None)
        self.answering = True
        for topic, partition, offset, timestamp in rows:
            batches[TopicPartition(topic, partition)].done(offset, timestamp)
        self.answering = False
        self._tell()
        if self._message_accumulator._batches:
            self.kick()

    def _free(self, node: Any, batches: Batches) -> None:
        self._under_way[node] -= 1
        self._muted_partitions.difference_update(batches)

    # -- what went wrong

    def _repeat(self, node: Any, batches: Batches, outcome: Any) -> None:
        """Have aiokafka's handler look at an answer, or at the error in its place."""
        if self._sender_task.done():
            self._free(node, batches)
            return
        if isinstance(outcome, kafka.KafkaError):
            self.client.note_trouble(node, outcome)
        task = asyncio.get_running_loop().create_task(self._handle(node, batches, outcome))
        self._repeats.add(task)
        task.add_done_callback(self._repeats.discard)

    async def _send_produce_req(self, node: Any, batches: Batches) -> None:
        """Send what aiokafka's loop has found, but for what may not be written by the time there is a connection."""
        connected = await self.client.ready(
            node
        )  # from here to the socket there is nothing to wait for
        going = {}
        for tp, batch in batches.items():
            if batch.remaining_linger() is None:
                going[tp] = batch
            else:
                self._message_accumulator.reenqueue(batch)
        if going:
            handler = _Handler(self, going)
            if not connected:
                handler._client = _NotConnected(self.client, kafka.NodeNotReadyError(node))
            await handler.do(node)
        self._in_flight.remove(node)
        self._muted_partitions.difference_update(batches)

    async def _handle(self, node: Any, batches: Batches, outcome: Any) -> None:
        handler = _Handler(self, batches)
        handler._client = _Answered(self.client, outcome)
        try:
            await handler.do(node)
        finally:
            self._free(node, batches)
            self.kick()


class _Handler(SendProduceReqHandler):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's handler, which notes the troubles of topics, and what may have been written all the same."""

    def handle_response(self, response: Any) -> None:
        """Tell batches of their answers, or have them sent again."""
        for topic, partitions in response.topics:
            errors = [kafka.for_code(row[1]) for row in partitions]
            passing = sorted(error.message for error in errors if error.retriable)
            if passing:
                self._sender.troubles[topic] = f"the broker says {passing[0]}"
            elif all(error is kafka.NoError for error in errors):
                self._sender.troubles.pop(topic, None)
        super().handle_response(response)

    def _can_retry(self, error: Any, batch: SentBatch) -> bool:
        again: bool = super()._can_retry(error, batch)
        if again and not isinstance(error, NOT_WRITTEN):
            batch.in_doubt = True
        return again


class _Answered:
    """aiokafka's client, for a handler whose request was answered already.

    The handler does not wait for fresh metadata: that may take seconds after a broken connection, and the partitions of the
    request would stand still. A batch that goes to the wrong leader comes back, and waits before it is tried again.
    """

    def __init__(self, client: Any, outcome: Any) -> None:
        self._client = client
        self._outcome = outcome

    async def send(self, _node: Any, _request: Any) -> Any:
        """Return the answer, or raise why there is none."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    async def _maybe_wait_metadata(self) -> None:
        """Go on."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _NotConnected(_Answered):
    """aiokafka's client, for a handler whose request cannot be sent: it waits for metadata, with its batches in the queue."""

    async def _maybe_wait_metadata(self) -> None:
        """Wait, as aiokafka does."""
        await self._client._maybe_wait_metadata()
