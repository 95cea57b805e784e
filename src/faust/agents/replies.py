"""The reply consumer: reads the answers to our questions, and gives them to whoever asked.

It reads with a consumer of its own that is in no group: asking costs the group no rebalance, answers are not held up by
streams that are behind, and a program that only asks needs nothing else. It begins at the end of the reply topic, before
the first question is sent; an answer to a question of an earlier life is nobody's.

Promises are known weakly by the id of their request (see ``promises.py``). When this service stops, every promise that
waits fails with `ReplyLost`: nothing hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakValueDictionary

from mode import Service

from faust.agents.models import ReqRepResponse
from faust.agents.promises import ReplyPromise
from faust.exceptions import BrokerUnavailable, ReplyLost
from faust.messages import TP
from faust.serializers.typed import maybe_model
from faust.transport.base import ConsumerDriver
from faust.utils.json import loads

__all__ = ["ReplyConsumer"]

logger: logging.Logger = logging.getLogger(__name__)

TAKE_TIMEOUT = 1.0
FIND_TIMEOUT = 30.0
"""Seconds until a reply topic that was declared must be there."""


class ReplyConsumer(Service):
    """Reads reply topics.

    Arguments:
        make_driver: Makes the consumer, in no group.
        declare: Awaited with the name of a reply topic that is not read yet: create it.
        topic: Our own reply topic, read from the start if *eager*, else from the first question.
        eager: Whether to create and read *topic* at the start.
    """

    mundane_level = "debug"

    def __init__(
        self,
        *,
        make_driver: Callable[[], ConsumerDriver],
        declare: Callable[[str], Coroutine[Any, Any, Any]],
        topic: Callable[[], str],
        eager: Callable[[], bool],
        close_timeout: Callable[[], float],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._close_timeout = close_timeout
        self._make_driver = make_driver
        self._declare = declare
        self._topic = topic
        self._eager = eager
        self._driver: ConsumerDriver | None = None
        self._waiting: WeakValueDictionary[str, ReplyPromise[Any]] = WeakValueDictionary()
        self._held: dict[str, ReplyPromise[Any]] = {}
        self._topics: dict[str, asyncio.Task[None]] = {}
        self._assigned: set[TP] = set()
        self._reader: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Number of requests whose answer is waited for."""
        return len(self._waiting) + len(self._held)

    async def on_start(self) -> None:
        """Read our own reply topic, if that was wanted."""
        if self._eager():
            await self.read(self._topic())

    async def on_stop(self) -> None:
        """Stop reading; whoever waits is told."""
        tasks = [*self._topics.values(), *([self._reader] if self._reader else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._topics.clear()
        self._assigned.clear()
        self._reader = None
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close(self._close_timeout())
        for promise in [*self._waiting.values(), *self._held.values()]:
            promise.fail(ReplyLost("the app has stopped before the answer came"))
        self._waiting.clear()
        self._held.clear()

    # -- promises

    async def add(self, correlation_id: str, promise: ReplyPromise[Any]) -> None:
        """Give *promise* the answer to the request of that id; begins to read its topic when needed.

        Call it before the request is sent.

        Raises:
            ReplyLost: The app is stopping.
        """
        self.expect(correlation_id, promise)
        if not self.reads(promise.reply_to):
            await self.read(promise.reply_to)

    def expect(
        self, correlation_id: str, promise: ReplyPromise[Any], *, held: bool = False
    ) -> None:
        """Give *promise* the answer to the request of that id, whose topic is being read.

        With *held* the id is new, and whoever asks will `release` the promise.

        Raises:
            ReplyLost: The app is stopping.
        """
        if self.should_stop:
            raise ReplyLost("the app is stopping: nobody reads answers any more")
        if held:
            self._held[correlation_id] = promise
            return
        before = self._waiting.get(correlation_id)
        if before is not None and before is not promise and not before.done():
            before.add_done_callback(lambda done: _follow(promise, correlation_id, done))
            return
        self._waiting[correlation_id] = promise

    def release(self, promise: ReplyPromise[Any]) -> None:
        """Nobody waits for *promise* any more."""
        self._held.pop(promise.correlation_id, None)

    def reads(self, topic: str) -> bool:
        """Say whether *topic* is being read."""
        task = self._topics.get(topic)
        return task is not None and task.done() and not task.cancelled() and not task.exception()

    # -- reading

    async def read(self, topic: str) -> None:
        """Read the answers in *topic*, from now on; creates it when needed. Callers share one attempt."""
        task = self._topics.get(topic)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._topics[topic] = asyncio.get_running_loop().create_task(
                self._begin(topic), name=f"read replies of {topic}"
            )
        await asyncio.shield(task)

    async def _begin(self, topic: str) -> None:
        await self._declare(topic)
        async with self._lock:
            driver = self._driver
            if driver is None:
                driver = self._make_driver()
                await driver.start()
                self._driver = driver
            tps = {TP(topic, number) for number in await _partitions(driver, topic)}
            ends = await driver.end_offsets(tps)
            before = {tp: await driver.position(tp) for tp in self._assigned}
            self._assigned |= tps
            await driver.assign(self._assigned)
            await driver.seek({**before, **ends})
            if self._reader is None:
                self._reader = asyncio.get_running_loop().create_task(
                    self._read(driver), name="read replies"
                )

    async def _read(self, driver: ConsumerDriver) -> None:
        try:
            while True:
                for batch in await driver.take(TAKE_TIMEOUT):
                    for record in batch.records:
                        self._deliver(batch.tp, record)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            if not self.should_stop:
                logger.error("Replies cannot be read: %s: %s", type(exc).__name__, exc)
                await self.crash(exc)

    def _deliver(self, tp: TP, record: Any) -> None:
        try:
            answer = loads(record.value)
            correlation_id, value = answer["correlation_id"], answer["value"]
            promise = self._held.pop(correlation_id, None) or self._waiting.pop(
                correlation_id, None
            )
            if promise is not None:
                promise.fulfill(correlation_id, maybe_model(value))
        except Exception as exc:
            logger.error(
                "Not an answer: %s[%d] offset %d holds no %s (%s: %s); first bytes: %r",
                tp.topic,
                tp.partition,
                record.offset,
                ReqRepResponse.__name__,
                type(exc).__name__,
                exc,
                (record.value or b"")[:200],
            )


async def _partitions(driver: ConsumerDriver, topic: str) -> frozenset[int]:
    """Return the partitions of a topic that may have been created just now."""
    try:
        async with asyncio.timeout(FIND_TIMEOUT):
            while True:
                numbers = await driver.partitions_for(topic)
                if numbers:
                    return numbers
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise BrokerUnavailable(
            f"the reply topic {topic!r} did not appear within {FIND_TIMEOUT:.0f} s; create it, or let"
            " this app do it (setting topic_allow_declare)"
        ) from None


def _follow(promise: ReplyPromise[Any], correlation_id: str, done: asyncio.Future[Any]) -> None:
    """Give a second promise of the same request what the first was given."""
    if done.cancelled():
        promise.cancel()
    elif (exc := done.exception()) is not None:
        promise.fail(exc)
    else:
        promise.fulfill(correlation_id, done.result())
