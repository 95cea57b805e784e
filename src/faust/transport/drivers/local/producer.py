"""The producer of ``memory://`` and ``local://``.

Records collect in batches on the application's thread (`batching.Accumulator`); what is ready goes
to the broker's thread, which appends what waits with one statement. While it does, further records
collect.

A transaction is staged here, in memory, and written with its offsets in one SQLite transaction when
it is committed: so nobody, whatever the isolation level, ever sees half of one, there are no markers
in the log, and an aborted one leaves no trace. A record of it has no offset before that: its
delivery is done when it is staged, and says offset -1 until the commit has given it one. A commit
that fails has written nothing; as on Kafka, such a transaction must be aborted before the next one
begins.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from faust.exceptions import (
    BrokerError,
    BrokerUnavailable,
    CommitRefused,
    ImproperlyConfigured,
    NotAcknowledged,
    ProducerFenced,
    ProducerSendError,
    UnknownTopic,
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
from faust.transport.drivers.batching import Accumulator, Batch
from faust.transport.drivers.local.consumer import Consumer
from faust.transport.drivers.local.engine import Answer, Engine, call_threadsafe, closed_error
from faust.transport.drivers.local.log import Outgoing, Withheld
from faust.transport.tenure import LOOK_AGAIN, Tenure

__all__ = ["Producer"]

logger: logging.Logger = logging.getLogger(__name__)

SWEEP = 0.5
"""Seconds between two looks for batches that have waited too long."""


_Built = tuple[Batch, bytearray]
"""A batch, and its bytes."""


@dataclass(slots=True, eq=False)
class _Transaction:
    """What was done since `Producer.begin_transaction`."""

    staged: list[_Built] = field(default_factory=list)
    offsets: dict[TP, int] = field(default_factory=dict)
    group: tuple[str, str, int] | None = None
    """Group, member and generation of the offsets."""
    partition_ids: Mapping[TP, int] = field(default_factory=dict)
    """The broker's numbers of what is assigned in that generation."""
    commit: asyncio.Future[list[Answer]] | None = None
    """The commit under way, or the one that failed."""
    withdrawn: bool = False
    """Read by the broker's thread: do not commit any more."""


class Producer(ProducerDriver):
    """See `ProducerDriver`.

    Arguments:
        acquire: Returns the broker; called by `start`.
        release: Gives it back.
        options: What it needs to know.
    """

    def __init__(
        self,
        acquire: Callable[[], Engine],
        release: Callable[[Engine], None],
        options: ProducerOptions,
    ) -> None:
        if options.acks not in {0, 1, -1}:
            raise ImproperlyConfigured(f"producer_acks is {options.acks!r}, expected 0, 1 or -1")
        self.state: DriverState = DriverState()
        self.full: bool = False
        self.options = options
        self._acquire = acquire
        self._release = release
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._partitions: dict[str, tuple[int, ...]] = {}
        self._alarm: asyncio.Handle | None = None
        self._asked: float | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._withheld: list[_Built] = []
        self._closed = False
        self._epoch = 0
        self._transaction: _Transaction | None = None
        self._accumulator = Accumulator(
            max_batch_size=options.max_batch_size,
            max_request_size=options.max_request_size,
            buffer_memory=options.buffer_memory,
            linger=options.linger,
            compression=options.compression,
            in_flight=1,
            burst=None,
            wake=self._ask,
            on_full=self._set_full,
        )
        if options.transactional_id is None:
            self.append = self._accumulator.append  # type: ignore[method-assign]

    def _set_full(self, full: bool) -> None:
        self.full = full

    # -- life

    async def start(self) -> None:
        """Connect; with a transactional id fence older producers."""
        if self._closed:
            raise closed_error()
        if self._engine is not None:
            return
        self._loop = asyncio.get_running_loop()
        engine = self._engine = await asyncio.to_thread(self._acquire)
        transactional_id = self.options.transactional_id
        if transactional_id is not None:
            self._epoch = await engine.call(
                lambda: engine.log.take_over(transactional_id), writes=True
            )
        engine.post(lambda: engine.add(self))
        self.state.connected = True
        self.state.since = time.monotonic()
        if self._asked is not None:
            self._ask(self._asked)

    def tick(self, now: float, changed: bool) -> float:  # noqa: ARG002 - part of `Client`
        """Nothing is ever due; the engine keeps `state` for us."""
        return inf

    def fail(self, error: Exception) -> None:
        """Note that the broker's thread looks after nobody any more; records get their own answers."""
        self.state.connected = False
        self.state.since = time.monotonic()
        self.state.last_error = str(error)

    def _sweep(self) -> None:
        """Give up what has waited too long; look again as long as anything waits."""
        self._sweeper = None
        self._accumulator.expire(self.options.request_timeout)
        if self._accumulator.unfinished:
            self._sweep_later()

    def _sweep_later(self) -> None:
        if self._sweeper is None and self._loop is not None:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    async def close(self, timeout: float = 10.0) -> None:
        """Flush and end; an open transaction is aborted."""
        if self._closed:
            return
        engine = self._engine
        if engine is not None:
            try:
                async with asyncio.timeout(timeout):
                    if self._transaction is not None:
                        await self.abort_transaction()
                    else:
                        await self._accumulator.flush()
            except TimeoutError:
                logger.error(
                    "the producer of the embedded broker ends with %d batches that were not written",
                    self._accumulator.unfinished,
                )
            except Exception as exc:
                if str(exc) != self.state.last_error:
                    logger.error(
                        "the producer of the embedded broker: the last flush failed: %s", exc
                    )
        self._closed = True
        for handle in (self._alarm, self._sweeper):
            if handle is not None:
                handle.cancel()
        self._accumulator.fail_all(ProducerSendError("the producer was closed"))
        self._engine = None
        if engine is not None:
            engine.post(lambda: engine.remove(self))
            await asyncio.to_thread(self._release, engine)
        self.state.connected = False

    # -- records

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> Delivery:
        """Put a record into its partition's open batch."""
        self._in_transaction()
        return self._accumulator.append(topic, partition, key, value, timestamp, headers)

    async def wait_room(self) -> None:
        """Wait until the buffer is below its bound."""
        await self._accumulator.wait_room()

    async def flush(self) -> None:
        """Wait until everything appended before is written (in a transaction: staged)."""
        await self._accumulator.flush()

    def _ask(self, delay: float) -> None:
        self._asked = delay
        if self._loop is None:
            return
        self._sweep_later()
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = (
            self._loop.call_soon(self._send)
            if delay <= 0
            else self._loop.call_later(delay, self._send)
        )

    def _send(self) -> None:
        self._alarm = None
        engine = self._engine
        if engine is None:
            return  # `start` asks again
        self._asked = None
        batches = self._accumulator.ready()
        if not batches:
            return
        built = self._build(batches)
        if self._transaction is not None:
            self._transaction.staged.extend(built)
            for batch, _ in built:
                batch.done(-1)
        elif built:
            self._append(engine, built)

    def _build(self, batches: Sequence[Batch]) -> list[_Built]:
        """Return the batches with their bytes; those that cannot be built, for want of memory or by the compressor, fail."""
        built = []
        for batch in batches:
            try:
                built.append((batch, batch.build()))
            except Exception as exc:
                batch.fail(_explained(batch, exc))
        return built

    def _append(self, engine: Engine, built: Sequence[_Built]) -> None:
        loop = self._loop
        assert loop is not None

        def done(answers: list[Answer]) -> None:
            call_threadsafe(loop, lambda: self._answered(built, answers))

        engine.append(
            [Outgoing(batch.tp, data, batch.count, batch.tenure) for batch, data in built],
            done,
            time.monotonic() + self.options.request_timeout,
        )

    def _answered(self, built: Sequence[_Built], answers: Sequence[Answer]) -> None:
        """Tell the batches what has become of them."""
        for (batch, data), answer in zip(built, answers, strict=True):
            if not isinstance(answer, Exception):
                batch.done(answer.base, answer.log_timestamp)
                continue
            if isinstance(answer, Withheld):
                self._withhold(batch, data)
                continue
            if isinstance(answer, UnknownTopic):
                self._partitions.pop(batch.tp.topic, None)  # deleted, or made anew: ask again
            batch.fail(_explained(batch, answer))

    def _withhold(self, batch: Batch, data: bytearray) -> None:
        """Keep a batch whose tenure is not certain; it was handed out already, and keeps its place."""
        if not self._withheld and self._loop is not None:
            self._loop.call_later(LOOK_AGAIN, self._look_at_withheld)
        self._withheld.append((batch, data))

    def _look_at_withheld(self) -> None:
        withheld, self._withheld = self._withheld, []
        engine, again = self._engine, []
        for batch, data in withheld:
            if batch.withdrawn:
                batch.fail(Tenure.withdrawal(batch.tp, batch.count))
            elif not batch.finished:
                again.append((batch, data))
        if again and engine is not None:
            self._append(engine, again)

    def bind(self, topics: Iterable[str], tenure: Tenure) -> None:
        """Write what is appended to *topics* from now on only while *tenure* is certain."""
        self._accumulator.bind(topics, tenure)

    def withdraw(self, tenure: Tenure) -> None:
        """Write nothing more of what is bound to *tenure*."""
        self._accumulator.withdraw(tenure)
        self._look_at_withheld()

    # -- topics

    def partitions(self, topic: str) -> Sequence[int] | None:
        """Return the partitions of *topic* if they are known."""
        return self._partitions.get(topic)

    async def load_partitions(self, topic: str) -> Sequence[int]:
        """Ask the broker; a topic that does not exist is made."""
        engine = self._engine
        if engine is None:
            raise closed_error()

        log = engine.log

        def make() -> int:
            log.create_topic(topic, log.default_partitions, {})
            return log.partitions(topic) or 0

        count = await engine.call(lambda: log.partitions(topic))
        if count is None:
            if not log.auto_create:
                raise UnknownTopic(
                    f"there is no topic {topic!r}, and ?auto_create=no says not to make one"
                )
            count = await engine.call(make, writes=True)
        found = self._partitions[topic] = tuple(range(count))
        return found

    def watch(self, told: BatchWatcher) -> None:
        """Call *told* for each batch that is answered or given up."""
        self._accumulator.told = told

    def unanswered(self) -> dict[str, int]:
        """Return how many records of each topic have no answer."""
        return self._accumulator.unanswered()

    def overdue(self, seconds: float) -> dict[str, str]:
        """Return the topics that wait for an answer; this broker answers, or cannot be written at all."""
        return dict.fromkeys(self._accumulator.overdue(seconds), "")

    def available_partitions(self, topic: str) -> Sequence[int]:
        """Return all partitions: each has a leader."""
        return self._partitions.get(topic, ())

    # -- transactions

    async def begin_transaction(self) -> None:
        """Open a transaction."""
        if self.options.transactional_id is None:
            raise BrokerError("begin_transaction needs a producer with a transactional_id")
        if self._transaction is not None:
            raise BrokerError("a transaction is open already: commit or abort it first")
        await self._check_epoch()
        self._transaction = _Transaction()

    async def _check_epoch(self) -> None:
        engine, transactional_id = self._open()
        current = await engine.call(lambda: engine.log.epoch(transactional_id))
        self._compare(current)

    def _compare(self, current: int) -> None:
        if current != self._epoch:
            raise ProducerFenced(
                f"transactional id {self.options.transactional_id!r} was taken over by a newer producer"
                f" (epoch {current}, ours is {self._epoch})"
            )

    def _open(self) -> tuple[Engine, str]:
        if self._engine is None or self.options.transactional_id is None:
            raise closed_error()
        return self._engine, self.options.transactional_id

    def _in_transaction(self) -> _Transaction:
        transaction = self._transaction
        if transaction is None:
            raise BrokerError(
                "no transaction is open: a transactional producer sends inside one, "
                "begin_transaction first"
            )
        if transaction.commit is not None:
            raise BrokerError(
                "the transaction is being committed, or that has failed: abort it, and begin another"
            )
        return transaction

    async def send_offsets(self, offsets: Mapping[TP, int], consumer: ConsumerDriver) -> None:
        """Make offsets part of the transaction."""
        transaction = self._in_transaction()
        if not isinstance(consumer, Consumer) or consumer.options.group_id is None:
            raise BrokerError("send_offsets needs a consumer of this broker that is in a group")
        engine, _ = self._open()
        group = (consumer.options.group_id, consumer.member_id, consumer.generation)
        ids = consumer.partition_ids
        if consumer.generation < 0:
            raise CommitRefused(f"group {group[0]}: the consumer holds no generation now")
        await self._check_epoch()
        current = await engine.call(lambda: engine.groups.group(group[0]))
        if current.generation != group[2]:
            raise CommitRefused(
                f"group {group[0]} is in generation {current.generation}, the offsets are of generation {group[2]}"
            )
        transaction.group, transaction.partition_ids = group, ids
        transaction.offsets.update(offsets)

    async def commit_transaction(self) -> None:
        """Write everything at once; after an error nothing is written, and `abort_transaction` is due."""
        transaction = self._in_transaction()
        await self._accumulator.flush()
        engine, transactional_id = self._open()
        outgoing = [Outgoing(batch.tp, data, batch.count) for batch, data in transaction.staged]

        def commit() -> list[Answer]:
            if transaction.withdrawn:
                raise BrokerError("the transaction was aborted")
            self._compare(engine.log.epoch(transactional_id))
            if transaction.offsets and transaction.group is not None:
                refused = engine.groups.commit(
                    *transaction.group, transaction.offsets, transaction.partition_ids
                )
                _raise_first(refused.values())
            answers: list[Answer] = list(engine.log.append(outgoing))
            _raise_first(answers)
            return answers

        transaction.commit = asyncio.ensure_future(engine.call(commit, writes=True))
        answers = await asyncio.shield(transaction.commit)
        self._transaction = None
        for (batch, _), answer in zip(transaction.staged, answers, strict=True):
            assert not isinstance(answer, Exception)
            batch.place(answer.base, answer.log_timestamp)

    async def abort_transaction(self) -> None:
        """Drop everything since `begin_transaction`.

        Raises:
            ProducerFenced: A newer producer has the transactional id.
            BrokerError: There is no transaction; or a commit that was cancelled could not be held
                up: it is committed.
        """
        transaction = self._transaction
        if transaction is None:
            raise BrokerError("no transaction is open: there is nothing to abort")
        self._accumulator.drop_unsent(ProducerSendError("the transaction was aborted"))
        self._accumulator.forget_failure()
        transaction.withdrawn = True
        if transaction.commit is not None:
            await asyncio.wait([transaction.commit])
        self._transaction = None
        if transaction.commit is not None and transaction.commit.exception() is None:
            raise BrokerError("the transaction was committed before it could be aborted")
        await self._check_epoch()


def _raise_first(answers: Iterable[object]) -> None:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _explained(batch: Batch, error: Exception) -> Exception:
    """Say whose records were not written, unless the error says so."""
    if isinstance(error, UnknownTopic | ProducerSendError):
        return error
    tp = batch.tp
    kind = NotAcknowledged if isinstance(error, BrokerUnavailable) else ProducerSendError
    explained = kind(
        f"{batch.count} records for {tp.topic}[{tp.partition}] were not written: {error}"
    )
    explained.__cause__ = error
    return explained
