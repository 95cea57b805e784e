"""A producer of two: what events cause goes into the open transaction, all else is sent at once.

The face is that of any `ProducerDriver`, so nobody who sends has to know: `TransactionalDriver.append` asks *where*
the running code works, on an event or not, and chooses. Metadata and sends outside events belong to a plain, idempotent producer.

The transactional one is made when the first partitions are assigned (`ready`), and made anew, with the same transactional
id, when the broker has fenced it or its state is in doubt: its InitProducerId then aborts what the former had open (KIP-98).
There is one per worker, not one per partition: offsets are fenced by the group's generation and member (KIP-447), so its id
need not say which partitions are ours, and a thousand partitions cost what one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from time import monotonic

from faust._core.iteration import current_cursor
from faust._core.lanes import PartitionTask
from faust.exceptions import BrokerUnavailable, FaustError, GivenUp, NotAcknowledged
from faust.gate import Where
from faust.messages import TP, Headers
from faust.transport.base import (
    BatchWatcher,
    ConsumerDriver,
    Delivery,
    DriverState,
    ProducerDriver,
)
from faust.transport.tenure import Tenure

__all__ = ["TransactionalDriver"]

logger: logging.Logger = logging.getLogger(__name__)

ABORT_TIMEOUT = 5.0
"""Seconds that aborting may take; then the next producer does it, or the broker when the transaction's time is over."""
CLOSE_TIMEOUT = 2.0
"""Seconds that a producer which is of no use any more may take to end."""


@contextlib.contextmanager
def _may_be_aborted() -> Iterator[None]:
    """What was not acknowledged in time ends a transaction, not the worker: it can be aborted, and done again."""
    try:
        yield
    except NotAcknowledged as exc:
        raise BrokerUnavailable(str(exc)) from exc


class TransactionalDriver(ProducerDriver):
    """See `ProducerDriver`.

    Arguments:
        plain: Sends at once.
        make: Makes a transactional producer.
        where: Says what the running code works on; may raise why nothing must be sent at all.

    Attributes:
        touched: Something was appended to the open transaction; behind a fence: to the next one.
        began: When (monotonic seconds) that was begun, or last found to be empty.
        fenced: The open transaction is being committed, and what is appended belongs to the next one.
    """

    def __init__(
        self, plain: ProducerDriver, make: Callable[[], ProducerDriver], where: Callable[[], Where]
    ) -> None:
        self.plain = plain
        self.state: DriverState = plain.state
        self.touched: bool = False
        self.began: float = 0.0
        self.fenced: bool = False
        self._make = make
        self._where = where
        self._transactional: ProducerDriver | None = None
        self._starting: ProducerDriver | None = None
        self._ending: set[asyncio.Task[None]] = set()
        """Producers that nobody had the time to close."""
        self._begun = False
        self._told: BatchWatcher | None = None
        self._plain_append = plain.append
        self._task: PartitionTask | None = None
        """Its events append to the open transaction; None: nobody's do without a look."""
        self._append: Callable[..., Delivery] = plain.append
        # One call less per record.
        self.partitions = plain.partitions  # type: ignore[method-assign]

    # -- life

    async def start(self) -> None:
        """Connect; the transactional producer comes with `ready`."""
        await self.plain.start()

    async def close(self, timeout: float = 10.0) -> None:
        """Abort what is open, flush, end."""
        transactional, self._transactional = self._transactional, None
        self._begun = self.fenced = False
        self._task = None
        if transactional is not None:
            await transactional.close(timeout / 2)
        await self.plain.close(timeout / 2)
        await asyncio.gather(*self._ending)

    async def ready(self) -> None:
        """Have a transaction open; make a new producer first if there is none that can be used.

        Raises:
            BrokerUnavailable: Brokers are away, or cannot end the former transaction. The next call tries again.
        """
        if self._transactional is None:
            self._transactional = await self._start()
        if not self._begun:
            try:
                await self.begin_transaction()
            except BrokerUnavailable:
                await self._replace()
                raise

    async def _start(self) -> ProducerDriver:
        made = self._starting = self._make()
        if self._told is not None:
            made.watch(self._told)
        try:
            await made.start()
        except BaseException:
            await made.close(CLOSE_TIMEOUT)
            raise
        finally:
            self._starting = None
        return made

    async def _replace(self) -> None:
        """Have the next `ready` make another producer."""
        useless, self._transactional = self._transactional, None
        if useless is not None:
            await useless.close(CLOSE_TIMEOUT)

    @property
    def trouble(self) -> str:
        """What keeps a producer that is just being started, as far as is known."""
        return "" if self._starting is None else self._starting.state.last_error

    async def give_up(self) -> None:
        """Abort the open transaction; if it fails, or nobody waits for it, the next `ready` does it with a new producer."""
        transactional, begun = self._transactional, self._begun
        self._begun = self.touched = self.fenced = False
        self._task = None
        if transactional is None or not begun:
            return
        try:
            async with asyncio.timeout(ABORT_TIMEOUT):
                await transactional.abort_transaction()
        except (FaustError, TimeoutError) as exc:
            logger.info("The transactional producer has to be made anew: %s", exc or "no answer")
            await self._replace()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Somebody has stopped waiting for the producer, and what became of his wish is unknown: have another one made."""
        useless, self._transactional = self._transactional, None
        if useless is not None:
            ending = asyncio.get_running_loop().create_task(useless.close(CLOSE_TIMEOUT))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    # -- records

    @property
    def full(self) -> bool:  # type: ignore[override]  # it is asked for, never set
        """One of the two has more waiting than its bound allows."""
        return self.plain.full or (self._transactional is not None and self._transactional.full)

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> Delivery:
        """Append to the transaction, if the running code works on an event; else send at once."""
        task = self._task
        if task is not None and not task.closed:  # most likely this is one more event of it
            cursor = current_cursor.get()
            lane = None if cursor is None or cursor.record is None else cursor.lane
            if lane is not None and lane.task is task:
                self.touched = True
                return self._append(topic, partition, key, value, timestamp, headers)
        return self.appender()(topic, partition, key, value, timestamp, headers)

    def appender(self) -> Callable[..., Delivery]:
        """Return how what is sent now has to be appended."""
        where = self._where()
        if where is Where.OUTSIDE:
            return self._plain_append
        if self._transactional is None or not self._begun:
            if where is Where.CHANNEL:  # it may have been put there by a timer
                return self._plain_append
            raise GivenUp(
                "the event in hand was given up, with the transaction it belonged to; nothing more of it is sent, and "
                "it will be processed again"
            )
        self.touched = True
        if where is Where.EVENT:
            self._remember_task()
        return self._transactional.append

    def _remember_task(self) -> None:
        """Spare the next events of this partition the question of where they stand."""
        cursor = current_cursor.get()
        assert self._transactional is not None
        if cursor is not None and cursor.record is not None and cursor.lane is not None:
            self._task, self._append = cursor.lane.task, self._transactional.append

    async def wait_room(self) -> None:
        """Wait until both are below their bounds."""
        await self.plain.wait_room()
        if self._transactional is not None:
            await self._transactional.wait_room()

    async def flush(self) -> None:
        """Wait until everything is acknowledged, of the open transaction, too.

        Raises:
            BrokerUnavailable: A part of the transaction was not acknowledged in time. It can be aborted, and done again.
        """
        if self._transactional is not None and self._begun:
            with _may_be_aborted():
                await self._transactional.flush()
        await self.plain.flush()

    # -- topics

    def partitions(self, topic: str) -> Sequence[int] | None:
        """Return the partitions of *topic* if they are known."""
        return self.plain.partitions(topic)

    async def load_partitions(self, topic: str) -> Sequence[int]:
        """Ask the broker."""
        return await self.plain.load_partitions(topic)

    def available_partitions(self, topic: str) -> Sequence[int]:
        """Return the partitions that have a leader."""
        return self.plain.available_partitions(topic)

    def bind(self, topics: Collection[str], tenure: Tenure) -> None:
        """Bind what is sent outside of transactions; those are refused by the group when our partitions are not ours."""
        self.plain.bind(topics, tenure)

    def withdraw(self, tenure: Tenure) -> None:
        """Send nothing more of what is bound to *tenure*."""
        self.plain.withdraw(tenure)

    def watch(self, told: BatchWatcher) -> None:
        """Call *told* for each batch of either."""
        self._told = told
        self.plain.watch(told)

    def unanswered(self) -> Mapping[str, int]:
        """Return how many records of each topic have no answer."""
        if self._transactional is None:
            return self.plain.unanswered()
        return Counter(self.plain.unanswered()) + Counter(self._transactional.unanswered())

    def overdue(self, seconds: float) -> Mapping[str, str]:
        """Return the topics that have waited for an answer for long."""
        if self._transactional is None:
            return self.plain.overdue(seconds)
        return {**self.plain.overdue(seconds), **self._transactional.overdue(seconds)}

    # -- the transaction

    def _open(self) -> ProducerDriver:
        if self._transactional is None or not self._begun:
            raise FaustError("there is no open transaction")
        return self._transactional

    async def begin_transaction(self) -> None:
        """Open a transaction; what was kept behind the fence is in it."""
        assert self._transactional is not None
        try:
            await self._transactional.begin_transaction()
        except asyncio.CancelledError:
            self._abandon()
            raise
        self._begun = True
        if not self.fenced:
            self.touched, self.began = False, monotonic()
        self.fenced = False

    def fence(self) -> bool:
        """Keep what is appended from now on for the next transaction; False: the driver cannot."""
        if not self._open().fence():
            return False
        self.fenced, self.touched, self.began = True, False, monotonic()
        return True

    async def flush_fenced(self) -> None:
        """Wait until what is to be committed, and all that was sent outside, is acknowledged; raises as `flush`."""
        with _may_be_aborted():
            await self._open().flush_fenced()
        await self.plain.flush()

    async def send_offsets(self, offsets: Mapping[TP, int], consumer: ConsumerDriver) -> None:
        """Make offsets part of the transaction."""
        await self._open().send_offsets(offsets, consumer)

    async def commit_transaction(self) -> None:
        """Commit; what is behind the fence is not part of it."""
        with _may_be_aborted():
            await self._open().commit_transaction()
        if not self.fenced:
            self._begun = self.touched = False
            self._task = None

    async def abort_transaction(self) -> None:
        """Abort."""
        await self._open().abort_transaction()
        self._begun = self.touched = self.fenced = False
        self._task = None
