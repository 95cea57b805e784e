"""Our batches and our transactions, as aiokafka's sender wants to see them.

aiokafka's sender knows batches by the face of its own ``MessageBatch``; `SentBatch` gives that face to a batch that was
filled in the application's thread. Around its transaction manager two faults are mended, see `Transactions`, and the
commit of offsets in a transaction carries the group's generation (KIP-447), see `TransactionSender`.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from aiokafka import errors as kafka
from aiokafka.client import CoordinationType
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import (
    AddPartitionsToTxnHandler,
    InitPIDHandler,
    Sender,
    TxnOffsetCommitHandler,
)
from aiokafka.producer.transaction_manager import PidAndEpoch, TransactionManager

from faust.transport.drivers.aiokafka.errors import FENCED_INSTANCE_ID, is_generation_error
from faust.transport.drivers.aiokafka.protocol import TransactionOffsetCommit
from faust.transport.drivers.batching import Batch, seal
from faust.transport.tenure import LOOK_AGAIN

__all__ = ["GroupMetadata", "Queue", "SentBatch", "TransactionSender", "Transactions"]

PRODUCER_AT = 43
"""Where a record batch (version 2, KIP-98) has producer id, epoch and first sequence number."""

_UNENDED = "CONCURRENT_TRANSACTIONS: it has not ended the last transaction of this id yet"
"""It writes the end of a transaction to every partition of it, which waits for their replicas (KIP-98)."""


class GroupMetadata(NamedTuple):
    """Who commits offsets with a transaction (KIP-447)."""

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None


class BatchOwner(Protocol):
    """Who is told what became of a batch."""

    def is_missing(self, topic: str) -> bool:
        """Say whether no broker has known *topic* for a while."""
        ...

    def answer(self, sent: SentBatch, offset: int, timestamp: int, error: Any = None) -> None:
        """Take note of an answer."""
        ...

    def refuse(self, sent: SentBatch, error: BaseException) -> None:
        """Take note that a batch was not accepted and will not be tried again."""
        ...

    def number_anew(self, sent: SentBatch, error: BaseException) -> bool:
        """Say whether a batch is sent again, under another producer id, after an answer that is no passing one."""
        ...


class SentBatch:
    """One of our batches, with the face of aiokafka's ``MessageBatch``."""

    __slots__ = (
        "_data",
        "_owner",
        "batch",
        "deadline",
        "future",
        "in_doubt",
        "producer",
        "renumbered",
        "retry_count",
        "tp",
    )

    def __init__(self, owner: BatchOwner, tp: Any, batch: Batch, deadline: float) -> None:
        self._owner = owner
        self._data: Any = None
        self.batch: Batch = batch
        self.tp: Any = tp
        self.deadline: float = deadline
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.retry_count: int = 0
        self.producer: int = -1
        self.in_doubt: bool = False
        """It may have been written by an attempt that was not acknowledged: whatever had its numbers would be taken for it."""
        self.renumbered: bool = False
        """It has a number of its second producer id, or waits for one."""

    @property
    def record_count(self) -> int:
        """Number of records."""
        return self.batch.count

    @property
    def _builder(self) -> SentBatch:
        return self

    def close(self) -> None:
        """Nothing: it is closed."""

    def is_empty(self) -> bool:
        """Say no: an empty batch is never handed over."""
        return False

    def remaining_linger(self) -> float | None:
        """Return for how many seconds to leave it where it is; None: it may be sent."""
        return None if self.batch.may_go() else LOOK_AGAIN

    def set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        """Number the batch (KIP-98); called before its first attempt, and when it is numbered anew."""
        self.producer = producer_id
        if self._data is None:
            self.batch.set_producer_state(producer_id, producer_epoch, base_sequence)
            return
        struct.pack_into(
            ">qhi", self._data, PRODUCER_AT, producer_id, producer_epoch, base_sequence
        )
        seal(self._data)

    def drain_ready(self) -> None:
        """Count an attempt."""
        self.retry_count += 1

    def reset_drain(self) -> None:
        """Nothing: nobody waits for a batch to be taken."""

    def get_data_buffer(self) -> Any:
        """Return the finished bytes, the same for every attempt."""
        if self._data is None:
            self._data = self.batch.build()
        return self._data

    def expired(self) -> bool:
        """Say whether to give up; aiokafka asks when a leader is missing, and without idempotence before each retry."""
        return time.monotonic() > self.deadline or self._owner.is_missing(self.tp.topic)

    def done(self, base_offset: int, timestamp: int | None = None, _start: Any = None) -> None:
        """Tell that the broker has it."""
        self._owner.answer(self, base_offset, -1 if timestamp is None else timestamp)

    def done_noack(self) -> None:
        """Tell that it was sent; without acknowledgements nobody knows more."""
        self._owner.answer(self, -1, -1)

    def failure(self, exception: BaseException) -> None:
        """Tell that it will not be tried again, unless it is under another number."""
        if not self._owner.number_anew(self, exception):
            self._owner.refuse(self, exception)


class Queue(MessageAccumulator):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's queue of batches, in which nothing stands twice, and some are numbered twice.

    Attributes:
        draining: aiokafka's loop takes batches out, and numbers them; it must not lose the producer id meanwhile.
    """

    draining: bool = False

    def drain_by_nodes(self, *args: Any, **kwargs: Any) -> Any:
        """Take out what may be sent, and fail what has no leader and is too old."""
        self.draining = True
        try:
            return super().drain_by_nodes(*args, **kwargs)
        finally:
            self.draining = False

    def _pop_batch(self, tp: Any) -> Any:
        batch, manager = self._batches[tp][0], self._txn_manager
        if batch.renumbered and batch.producer == -1:
            first = manager.sequence_number(tp)
            manager.increment_sequence_number(tp, batch.record_count)
            batch.set_producer_state(manager.producer_id, manager.producer_epoch, first)
        return super()._pop_batch(tp)

    def reenqueue(self, batch: Any) -> None:
        """Have *batch* sent again, unless it was given up while its handler waited to do so."""
        if batch in self._pending_batches:
            super().reenqueue(batch)


class Transactions(TransactionManager):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's manager of producer id, sequence numbers and the transaction, with two faults mended.

    Sequence numbers wrap as the broker expects: to 0 after 2**31 - 1 (KIP-98). And a transaction that has failed
    remembers what is in it, so that aborting it tells the broker; else the next commit would commit that as well.
    """

    _txn_consumer_group: str | None

    def error_transaction(self, exc: BaseException) -> None:
        """Note a failure that only aborting the transaction mends."""
        partitions, group = set(self._txn_partitions), self._txn_consumer_group
        super().error_transaction(exc)
        self._txn_partitions.update(partitions)
        self._txn_consumer_group = group

    def fatal_error(self, exc: BaseException) -> None:
        """Note that the sender has ended; aiokafka's expects a transaction."""
        if self.transactional_id is not None:
            super().fatal_error(exc)

    def partition_added(self, tp: Any) -> None:
        """Note that the coordinator has added a partition; also one that was given up while it was asked."""
        self._pending_txn_partitions.add(tp)
        super().partition_added(tp)

    def forget_partition(self, tp: Any) -> None:
        """Do not add a partition to the transaction that does not exist."""
        self._pending_txn_partitions.discard(tp)

    def ask_for_new_id(self) -> None:
        """Forget the producer id and all numbers: what the broker has seen of them is in doubt."""
        self._pid_and_epoch = PidAndEpoch(-1, -1)
        self._pid_waiter = asyncio.get_running_loop().create_future()
        self._sequence_numbers.clear()

    def increment_sequence_number(self, tp: Any, increment: int) -> None:
        """Count *increment* records of a partition, or give their numbers back."""
        self._sequence_numbers[tp] = (self._sequence_numbers[tp] + increment) % 2**31


class LostTransaction(kafka.ProducerFenced):  # type: ignore[misc]
    """The broker does not know our transaction, or not as one that is open; only a new producer of the id can go on.

    It forgets an id that was not used for ``transactional.id.expiration.ms`` (a week), and another cluster has never known
    it (KIP-98, KIP-360).
    """


async def _lost(request: Awaitable[Any]) -> Any:
    """Await a request of a transaction."""
    try:
        return await request
    except (kafka.InvalidProducerIdMapping, kafka.InvalidTxnState) as error:
        raise LostTransaction(
            f"the broker does not know this transaction (any more): {error}"
        ) from error


class TransactionSender(Sender):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka's sender, whose offset commits carry the group's generation (KIP-447), and which says what it waits for.

    Attributes:
        group: Who commits offsets.
        troubles: By topic, why the last attempt to write to it has failed in passing.
    """

    group: GroupMetadata | None = None

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.troubles: dict[str, str] = {}

    async def _do_init_pid(self, node_id: Any) -> Any:
        return await _IdHandler(self).do(node_id)

    def _maybe_do_transactional_request(self) -> asyncio.Task[Any] | None:
        request = super()._maybe_do_transactional_request()
        return None if request is None else asyncio.get_running_loop().create_task(_lost(request))

    async def _do_add_partitions_to_txn(self, tps: Any) -> Any:
        node_id = await self._find_coordinator(
            CoordinationType.TRANSACTION, self._txn_manager.transactional_id
        )
        return await _PartitionsHandler(self, tps).do(node_id)

    async def _do_txn_offset_commit(self, offsets: Any, group_id: str) -> None:
        try:
            node_id = await self._find_coordinator(CoordinationType.GROUP, group_id)
        except kafka.GroupAuthorizationFailedError as error:
            self._txn_manager.error_transaction(error)
            return
        assert self.group is not None
        await _OffsetCommitHandler(self, offsets, self.group).do(node_id)


class _IdHandler(InitPIDHandler):  # type: ignore[misc]
    """Asks for a producer id (KIP-98), and notes the answer when there is none for now."""

    def handle_response(self, response: Any) -> Any:
        """Return None when done, else the seconds until the next attempt."""
        error = kafka.for_code(response.error_code)
        said = _UNENDED if error is kafka.ConcurrentTransactions else error.message
        self._sender.client.watch.note("" if error is kafka.NoError else f"the broker says {said}")
        return super().handle_response(response)


class _PartitionsHandler(AddPartitionsToTxnHandler):  # type: ignore[misc]
    """Adds partitions to the transaction; has the client look for a topic that the coordinator does not know."""

    def handle_response(self, response: Any) -> Any:
        """Return None when done, else the seconds until the next attempt."""
        unknown = kafka.UnknownTopicOrPartitionError
        for topic, partitions in response.errors:
            if any(code == unknown.errno for _number, code in partitions):
                self._sender.troubles[topic] = f"the broker says {unknown.message}"
                self._sender.client.force_metadata_update()
        return super().handle_response(response)


class _OffsetCommitHandler(TxnOffsetCommitHandler):  # type: ignore[misc]
    """Commits offsets in a transaction, fenced by member and generation."""

    def __init__(self, sender: Any, offsets: Any, group: GroupMetadata) -> None:
        super().__init__(sender, offsets, group.group_id)
        self._group = group

    def create_request(self) -> TransactionOffsetCommit:
        """Make the request in the newest version both sides know."""
        by_topic: dict[str, list[tuple[int, int, str]]] = {}
        for tp, offset in sorted(self._offsets.items()):
            by_topic.setdefault(tp.topic, []).append((tp.partition, offset.offset, ""))
        manager = self._sender._txn_manager
        return TransactionOffsetCommit(
            (manager.transactional_id, manager.producer_id, manager.producer_epoch),
            self._group.group_id,
            (self._group.generation, self._group.member_id, self._group.instance_id),
            list(by_topic.items()),
        )

    def handle_response(self, response: Any) -> Any:
        """Return None when done, else the seconds until the next attempt."""
        rows = TransactionOffsetCommit.read(response)
        for _topic, _number, code in rows:
            if code == FENCED_INSTANCE_ID or is_generation_error(kafka.for_code(code)()):
                self._sender._txn_manager.error_transaction(kafka.CommitFailedError())
                return None
        plain = SimpleNamespace(errors=[(topic, [(number, code)]) for topic, number, code in rows])
        return super().handle_response(plain)
