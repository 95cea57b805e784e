"""Finished batches on their way to the brokers. Everything here runs in the client thread.

Batches are filled in the application's thread (`batching.Accumulator`) and come here closed. aiokafka's sender takes
them from its accumulator as if they were its own: it numbers them (idempotence, KIP-98), groups them by leader, sends
one request per node at a time and at most one batch per partition, and repeats what fails in passing. `Sending`
submits them, holds back those of topics whose leaders are not known yet, gives up on those that are overdue, and tells
the application the answers of one turn of the loop together.

It also adds what aiokafka's idempotence lacks: after a batch that the broker has refused its sequence numbers are used
again, and after one whose fate is unknown the producer gets a new id. Without that, one refused batch would make the
broker refuse everything after it as out of order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aiokafka import errors as kafka
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from aiokafka.util import INTEGER_MAX_VALUE

from faust.exceptions import (
    BrokerError,
    BrokerUnavailable,
    CommitRefused,
    FaustError,
    NotAcknowledged,
    ProducerFenced,
    ProducerSendError,
    UnknownTopic,
)
from faust.messages import TP
from faust.transport.base import DriverState, ProducerOptions
from faust.transport.drivers.aiokafka.batches import (
    GroupMetadata,
    LostTransaction,
    Queue,
    SentBatch,
    Transactions,
)
from faust.transport.drivers.aiokafka.client import Backoff, KafkaClient
from faust.transport.drivers.aiokafka.credentials import client_security
from faust.transport.drivers.aiokafka.errors import (
    translate,
    translate_send,
    translate_transaction,
)
from faust.transport.drivers.aiokafka.sender import Sender
from faust.transport.drivers.batching import Batch
from faust.transport.tenure import Tenure

__all__ = ["Answer", "Sending"]

logger: logging.Logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = 30.0
"""Seconds to wait for one answer; batches are sent again until their own time is over."""
MISSING_TOPIC_PATIENCE = 3.0
"""Seconds until a topic that no broker knows is believed not to exist."""

OUT_OF_STEP = (
    "the log at the broker does not go with what was acknowledged to this producer ({}): it has lost records, or forgotten "
    "who wrote them"
)
_NUMBER_ERRORS = (kafka.OutOfOrderSequenceNumber, kafka.UnknownProducerId)
_DOUBTFUL = (
    *_NUMBER_ERRORS,
    kafka.InvalidProducerIdMapping,
    kafka.UnknownError,
    kafka.ProducerFenced,
    kafka.InvalidProducerEpoch,
)


class Answer(NamedTuple):
    """What became of a batch: where it is, or why not."""

    batch: Batch
    offset: int
    timestamp: int
    error: Exception | None


class Sending:
    """The client of one producer.

    Arguments:
        servers: ``host:port`` of the bootstrap servers.
        options: Of the producer.
        deliver: Called with the answers of one turn of the loop.
    """

    def __init__(
        self,
        servers: list[str],
        options: ProducerOptions,
        deliver: Callable[[list[Answer]], None],
    ) -> None:
        self.partitions: dict[str, tuple[int, ...]] = {}
        """Partition numbers by topic. Replaced as a whole, so that any thread may read it."""
        self.available: dict[str, tuple[int, ...]] = {}
        """The same, of those with a leader."""
        self.connection: KafkaClient
        self._state: DriverState
        self._servers = servers
        self._options = options
        self._deliver = deliver
        self._answers: list[Answer] = []
        self._held: dict[str, list[SentBatch]] = {}
        self._lookups: set[asyncio.Task[None]] = set()
        self._missing: dict[str, tuple[float, float]] = {}
        """When brokers said first, and when last, that they do not know a topic."""
        self._reaper: asyncio.Task[None] | None = None
        self._refusal: FaustError | None = None

    # -- life

    async def start(self, state: DriverState) -> None:
        """Connect; get a producer id."""
        options = self._options
        self._state = state
        self.connection = KafkaClient(
            self._servers,
            state=state,
            name=f"producer {options.transactional_id or options.client_id}",
            refused=self._refused,
            client_id=options.client_id,
            request_timeout_ms=self._request_timeout(),
            metadata_max_age_ms=round(options.metadata_max_age * 1000),
            retry_backoff_ms=random.randint(80, 120),
            connections_max_idle_ms=round(options.connections_max_idle * 1000),
            **client_security(options.credentials),
        )
        began = time.monotonic()
        try:
            await self.connection.connect(options.connect_timeout)
            await self._start_sender(began)
        except BaseException:
            await self.connection.close()
            raise
        self.connection.cluster.add_listener(self._metadata_changed)
        self._reaper = asyncio.get_running_loop().create_task(self._give_up_overdue())

    async def _start_sender(self, began: float) -> None:
        """Make aiokafka's sender; it asks for a producer id, which may take a while on a starting broker."""
        options = self._options
        limit = options.connect_timeout
        self._make_sender()
        try:
            async with asyncio.timeout(None if limit is None else began + limit - time.monotonic()):
                await self._sender.start()
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"Kafka at {', '.join(self._servers)} gave no producer id within {limit:g} s: "
                f"{self._state.last_error or 'is it still starting?'}"
            ) from error
        except kafka.KafkaError as error:
            name = options.transactional_id
            what = f"with transactional id {name}" if name else "with acks=-1 (idempotent)"
            raise translate(error, f"cannot start a producer {what}") from error

    def _request_timeout(self) -> int:
        return round(min(self._options.request_timeout, REQUEST_TIMEOUT) * 1000)

    def _make_sender(self) -> None:
        options = self._options
        self._transactions: Any = None
        if options.transactional_id is not None:
            self._transactions = Transactions(
                options.transactional_id, round(options.transaction_timeout * 1000)
            )
        elif options.acks == -1:
            self._transactions = Transactions(None, INTEGER_MAX_VALUE)
        self._queue = Queue(
            self.connection.cluster,
            options.max_batch_size,
            0,
            options.request_timeout,
            txn_manager=self._transactions,
        )
        self._sender = Sender(
            self.connection,
            self._deliver_answers,
            acks=options.acks,
            txn_manager=self._transactions,
            message_accumulator=self._queue,
            retry_backoff_ms=random.randint(80, 120),
            request_timeout_ms=self._request_timeout(),
        )

    async def close(self, timeout: float) -> None:
        """End in about *timeout* seconds; what is not sent yet is not sent any more."""
        if self._reaper is not None:
            self._reaper.cancel()
        for lookup in self._lookups:
            lookup.cancel()
        task = self._sender.sender_task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=timeout / 2)
        if task is not None and task.done() and not task.cancelled():
            task.exception()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout / 2):
                await self.connection.close()

    def abort(self) -> None:
        """Drop the connections, without a word to anybody."""
        for connection in list(self.connection._conns.values()):
            connection.close()

    def _refused(self, error: FaustError) -> None:
        """The broker refuses our credentials: nothing will ever be accepted."""
        self._refusal = error
        self._queue.fail_all(error)
        for batch in self._take_unsent():
            self.refuse(batch, error)

    # -- batches in

    def submit(self, batches: Iterable[Batch]) -> None:
        """Send closed *batches*, in order within a partition."""
        cluster = self.connection.cluster
        for batch in batches:
            tp = TopicPartition(*batch.tp)
            sent = SentBatch(self, tp, batch, batch.born + self._options.request_timeout)
            if tp.topic in self._held:
                self._held[tp.topic].append(sent)
            elif cluster.leader_for_partition(tp) is None:
                self._held[tp.topic] = [sent]
                self._look_up(tp.topic)
            else:
                self._enqueue(sent)
        self._sender.kick()

    def _enqueue(self, sent: SentBatch) -> None:
        fatal = self._refusal or self._queue._exception
        if fatal is not None:
            self.refuse(sent, fatal)
            return
        if self._transactions is not None:
            if self._transactions.transactional_id and not self._transactions.is_in_transaction():
                self.refuse(sent, ProducerSendError("the transaction is over"))
                return
            self._transactions.maybe_add_partition_to_txn(sent.tp)
        self._queue._batches[sent.tp].append(sent)

    def _look_up(self, topic: str) -> None:
        task = asyncio.get_running_loop().create_task(self._release_held(topic))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _release_held(self, topic: str) -> None:
        """Learn who leads *topic*, then send what was held back for it."""
        error: FaustError | None = None
        numbers: tuple[int, ...] = ()
        try:
            numbers = await self.load(topic)
        except FaustError as failure:
            error = failure
        for sent in self._held.pop(topic, ()):
            if error is None and sent.tp.partition in numbers:
                self._enqueue(sent)
            else:
                self.refuse(
                    sent,
                    error
                    or UnknownTopic(
                        f"topic {topic} has no partition {sent.tp.partition}; it has {len(numbers)}"
                    ),
                )
        self._sender.kick()

    async def load(self, topic: str) -> tuple[int, ...]:
        """Return the partitions of *topic*, created if the broker does so by itself.

        One that was there before is not: who has deleted it decides what comes in its place.

        Raises:
            UnknownTopic: no broker knows it, or it has no leader, for some seconds.
            AuthorizationFailed: it may not be looked at.
        """
        pauses = Backoff(0.02, 0.5)
        deadline = math.inf
        new = topic not in self._options.seen_topics
        while True:
            code, rows = (await self.connection.topic_metadata([topic], create=new))[topic]
            # Patience begins with the first answer, for which an outage may have to end.
            deadline = min(deadline, time.monotonic() + MISSING_TOPIC_PATIENCE)
            error = kafka.for_code(code)
            if error is kafka.NoError:
                await self._remember(topic)
                if topic in self.partitions:
                    return self.partitions[topic]
                # It is there, but the node that was asked next did not know it yet, or did not answer.
                deadline = time.monotonic() + MISSING_TOPIC_PATIENCE
            elif not error.retriable:
                raise translate(error(topic), f"cannot look up topic {topic}")
            if time.monotonic() > deadline:
                raise UnknownTopic(
                    f"topic {topic} does not exist {'and the broker does not create it by itself' if new else 'any more'} "
                    f"({error.message}, {len(rows)} partitions): create it first"
                )
            await asyncio.sleep(pauses.next())

    async def _remember(self, topic: str) -> None:
        self.connection._topics.add(topic)
        await self.connection.force_metadata_update()

    def _metadata_changed(self, cluster: Any) -> None:
        partitions = dict(self.partitions)
        available = dict(self.available)
        now = time.monotonic()
        for topic in self.connection._topics:
            known = cluster.partitions_for_topic(topic)
            if known is None:
                self._missing[topic] = self._missing.get(topic, (now, now))[0], now
                continue
            self._missing.pop(topic, None)
            partitions[topic] = tuple(sorted(known))
            self._options.seen_topics.add(topic)
            available[topic] = tuple(sorted(cluster.available_partitions_for_topic(topic)))
        self.partitions = partitions
        self.available = available

    def is_missing(self, topic: str) -> bool:
        """Say whether no broker has known *topic* for a while. One that is starting may not, and be the only one to answer."""
        first, last = self._missing.get(topic, (0.0, 0.0))
        return last - first > MISSING_TOPIC_PATIENCE

    def trouble(self, topic: str) -> str:
        """Say why records of *topic* are not acknowledged, as far as that is known. Any thread may ask."""
        if said := self._sender.troubles.get(topic):
            return said
        if self.is_missing(topic):
            return "no broker knows the topic"
        if len(self.available.get(topic, ())) < len(self.partitions.get(topic, ())):
            return "it has partitions that no broker leads"
        return ", ".join(self.connection.watch.reasons())

    # -- answers out

    def answer(self, sent: SentBatch, offset: int, timestamp: int, error: Any = None) -> None:
        """Tell the application, with the other answers of this turn."""
        if sent.future.done():
            return
        sent.future.set_result(None)
        if not self._answers and not self._sender.answering:
            asyncio.get_running_loop().call_soon(self._deliver_answers)
        self._answers.append(Answer(sent.batch, offset, timestamp, error))

    def _deliver_answers(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            self._deliver(answers)

    def refuse(self, sent: SentBatch, error: BaseException) -> None:
        """Tell that *sent* was not accepted and will not be tried again."""
        if sent.future.done():
            return
        topic, number = sent.tp
        if isinstance(error, kafka.NotLeaderForPartitionError) and self.is_missing(topic):
            error = UnknownTopic(f"topic {topic} does not exist (any more)")
        elif self._options.transactional_id and isinstance(
            error, (kafka.ProducerFenced, *_NUMBER_ERRORS)
        ):
            error = self._fenced(topic, number, error)
        self._mend_sequence(sent, error)
        if sent.retry_count:
            self._queue._pending_batches.add(sent)  # its future's callback expects it there
        told = translate_send(error, topic, number, records=sent.batch.count, size=sent.batch.size)
        if told is not error:
            told.__cause__ = error
        self.answer(sent, -1, -1, told)

    def number_anew(self, sent: SentBatch, error: BaseException) -> bool:
        """Have a batch sent again, under a new producer id, whose numbers the broker's log does not go with.

        The broker has lost records that it had acknowledged, as in an unclean election, or forgotten who wrote them. What
        comes now need not be lost as well (KIP-360).
        """
        manager = self._transactions
        if (
            not isinstance(error, _NUMBER_ERRORS)
            or manager is None
            or manager.transactional_id is not None
            or sent.renumbered
        ):
            return False
        logger.warning(
            "%s[%d]: %s; going on under a new producer id", *sent.tp, OUT_OF_STEP.format(error)
        )
        if sent.producer == manager.producer_id:
            self._renew_id()
        sent.renumbered, sent.producer, sent.in_doubt = True, -1, False
        self._queue.reenqueue(sent)
        return True

    def _fenced(self, topic: str, number: int, error: BaseException) -> ProducerFenced:
        before = self._sender.troubles.get(topic, "")
        why = f"a newer producer has it, or the transaction took longer than {self._options.transaction_timeout:g} s"
        if isinstance(error, LostTransaction):
            why = str(error)
        elif isinstance(error, _NUMBER_ERRORS):
            why = OUT_OF_STEP.format(error)
        return ProducerFenced(
            f"transactional id {self._options.transactional_id}: {why}; nothing more is written to {topic}[{number}]"
            + (f"; before: {before}" if before else "")
        )

    def _mend_sequence(self, sent: SentBatch, error: BaseException) -> None:
        """See to it that the broker accepts what comes after a failed batch."""
        manager = self._transactions
        if manager is None or sent.retry_count == 0 or sent.producer != manager.producer_id:
            return
        doubtful = (
            sent.in_doubt
            or not isinstance(error, kafka.BrokerResponseError)
            or isinstance(error, _DOUBTFUL)
        )
        if self._queue.draining and sent.retry_count == 1:
            doubtful = False  # it was taken out just now, to be failed, and never sent
        if not doubtful:
            # Only one batch of a partition travels at a time: its numbers are the last ones given.
            manager.increment_sequence_number(sent.tp, -sent.batch.count)
        elif manager.transactional_id is None:
            self._renew_id()
        elif self._queue._exception is None:
            self._queue._exception = self._in_doubt(error)

    def _renew_id(self) -> None:
        if self._queue.draining:  # which needs the one we have till its end
            asyncio.get_running_loop().call_soon(self._renew_id)
            return
        self._transactions.ask_for_new_id()
        self._sender.kick()

    def _in_doubt(self, error: BaseException) -> BaseException:
        if isinstance(error, ProducerFenced):
            return error
        return ProducerFenced(
            f"transactional id {self._options.transactional_id}: it is unknown whether a batch was written ({error}); "
            "start a new producer with this id, which aborts the transaction"
        )

    def withdraw(self) -> None:
        """Give up what must not be sent any more, because its partitions were given back or lost."""
        for sent in self._take_unsent(lambda sent: sent.batch.withdrawn):
            self.refuse(sent, Tenure.withdrawal(sent.batch.tp, sent.batch.count))

    async def _give_up_overdue(self) -> None:
        """Fail what was not acknowledged in time, or is for no topic; in flight batches when they come back."""
        pause = min(1.0, max(0.05, self._options.request_timeout / 10))
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            self.withdraw()  # what was under way when its tenure ended, and came back
            for sent in self._take_unsent(lambda sent: now > sent.deadline):  # noqa: B023 - used at once
                self.refuse(sent, self._overdue(sent))
            for sent in self._take_unsent(lambda sent: self.is_missing(sent.tp.topic)):
                if self._transactions is not None:
                    self._transactions.forget_partition(sent.tp)
                self.refuse(sent, UnknownTopic(f"topic {sent.tp.topic} does not exist (any more)"))

    def _overdue(self, sent: SentBatch) -> NotAcknowledged:
        return NotAcknowledged(
            f"{sent.batch.count} record(s) for {sent.tp.topic}[{sent.tp.partition}] were not acknowledged within "
            f"{self._options.request_timeout:g} s (producer_request_timeout); last trouble: "
            f"{self.trouble(sent.tp.topic) or 'none'}"
        )

    def _take_unsent(
        self, wanted: Callable[[SentBatch], bool] = lambda _sent: True
    ) -> list[SentBatch]:
        """Take back batches that are not in flight, in order."""
        found: list[SentBatch] = []
        for queues in (self._queue._batches, self._held):
            for key, queue in list(queues.items()):
                taken = [sent for sent in queue if wanted(sent)]
                if taken:
                    found += taken
                    rest = [sent for sent in queue if not wanted(sent)]
                    if rest or queues is self._held:
                        queue.clear()
                        queue.extend(rest)
                    else:
                        del queues[key]
        return found

    # -- transactions

    async def begin(self) -> None:
        """Open a transaction."""
        self._check_usable()
        if self._transactions.is_in_transaction():
            raise BrokerError("a transaction is open already: commit or abort it first")
        self._transactions.begin_transaction()

    async def send_offsets(self, offsets: dict[TP, int], group: GroupMetadata) -> None:
        """Make *offsets* part of the open transaction."""
        self._check_usable()
        if not self._transactions.is_in_transaction():
            raise BrokerError("there is no open transaction: begin one first")
        self._sender.group = group
        wanted = {
            TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()
        }
        done = self._transactions.add_offsets_to_txn(wanted, group.group_id)
        try:
            await asyncio.shield(done)
        except kafka.KafkaError as error:
            self._see_waiter()
            if isinstance(error, kafka.CommitFailedError):
                raise CommitRefused(
                    f"group {group.group_id} has refused the offsets of generation {group.generation}: it has moved "
                    "on; abort the transaction"
                ) from error
            what = f"cannot commit offsets of group {group.group_id}"
            raise translate_transaction(error, what) from error

    async def end(self, *, commit: bool) -> None:
        """Commit or abort the open transaction."""
        self._check_usable()
        manager = self._transactions
        what = f"cannot {'commit' if commit else 'abort'} the transaction of {manager.transactional_id}"
        try:
            if commit:
                if not manager.is_in_transaction():
                    manager.committing_transaction()  # raises what has failed
                manager.committing_transaction()
            else:
                for sent in self._take_unsent(lambda sent: sent.retry_count == 0):
                    self.refuse(sent, ProducerSendError("the transaction was aborted"))
                manager.aborting_transaction()
            await asyncio.shield(manager.wait_for_transaction_end())
        except kafka.KafkaError as error:
            raise translate_transaction(error, what) from error
        except AssertionError as error:
            raise BrokerError(f"{what}: {error}") from error

    def in_transaction(self) -> bool:
        """Say whether a transaction is open, or failed and not aborted yet."""
        return self._transactions is not None and self._transactions.state.name in {
            "IN_TRANSACTION",
            "ABORTABLE_ERROR",
        }

    def _check_usable(self) -> None:
        fatal = self._refusal or self._queue._exception
        if fatal is not None:
            raise translate(fatal, f"transactional id {self._options.transactional_id}")
        if self._transactions is None or self._transactions.transactional_id is None:
            raise BrokerError("this producer has no transactional id")

    def _see_waiter(self) -> None:
        """Look at the failed transaction's future, so that asyncio does not report it as forgotten."""
        waiter = self._transactions._transaction_waiter
        if waiter is not None and waiter.done() and not waiter.cancelled():
            waiter.exception()
