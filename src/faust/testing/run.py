"""Run a whole application inside a test: real agents, real tables, a real broker in memory.

Nothing is replaced but the address of the broker and the place of the state, so that what passes here is what a
worker does. *Idle* is not guessed by waiting: an application is idle when its group has committed everything that
stands in the topics it reads, and a commit waits for everything that the events have caused (sends acknowledged,
tables flushed). An event that causes another one keeps the application from being idle until that one is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from pathlib import Path
from typing import Any

from faust.app.base import App
from faust.channels import Channel
from faust.events import Event
from faust.exceptions import FaustError
from faust.messages import TP, HeadersArg, Message, RecordMetadata
from faust.testing.guest import Guest
from faust.testing.tail import Tail
from faust.topics.topic import Topic

__all__ = ["NotIdle", "TestRun", "run"]

LOOK = 0.01
"""Seconds between two looks at whether the application is idle."""

QUICK: Mapping[str, Any] = {
    "broker_commit_interval": 0.1,
    "broker_session_timeout": 6.0,
    "broker_heartbeat_interval": 0.5,
    "broker_rebalance_timeout": 6.0,
    "web_enabled": False,
}
"""Settings of a test: a small world needs no patience, and no port."""


class NotIdle(FaustError, AssertionError):
    """The application did not become idle in time; the text names what was unfinished."""


class TestRun:
    """A running application, from `run`.

    Attributes:
        app: The application.
        timeout: Seconds that `idle`, `restart` and `rebalance` wait at most.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, app: App, tail: Tail, timeout: float, given: Mapping[str, Any]) -> None:
        self.app = app
        self._given = given
        self.timeout = timeout
        self._tail = tail

    # -- in and out

    async def send(
        self,
        channel: Channel[Any] | str | Any,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
    ) -> RecordMetadata:
        """Send one message, and wait until it is in its topic.

        Arguments:
            channel: A topic, a channel, an agent, or the name of a topic that the application knows.
            value: Value; encoded as the topic says.
            key: Key; encoded as the topic says.
            partition: Partition; None: chosen by the key.
            timestamp: Unix time in seconds; None: now.
            headers: Headers.
        """
        target = self._topic(channel) if isinstance(channel, str) else channel
        sent: Awaitable[RecordMetadata] = await target.send(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers
        )
        return await sent

    def messages(self, topic: Topic[Any, Any] | str) -> list[Event[Any, Any]]:
        """Return what stood in a topic when the application was last `idle`, decoded, by partition and offset.

        Arguments:
            topic: A topic, or a name; of a name that the application does not know keys and values stay bytes.
        """
        name = topic if isinstance(topic, str) else topic.get_topic_name()
        described = self._known().get(name) if isinstance(topic, str) else topic
        return [self._event(described, message) for message in self._tail.messages(name)]

    def _event(self, topic: Any, message: Message) -> Event[Any, Any]:
        if topic is None:
            return Event(self.app, message.key, message.value, message.headers, message)
        schema = topic.schema
        return Event(
            self.app,
            schema.loads_key(self.app, message),
            None if message.value is None else schema.loads_value(self.app, message),
            message.headers,
            message,
        )

    @property
    def tables(self) -> Mapping[str, Any]:
        """The tables by name."""
        return self.app.tables

    # -- waiting

    async def idle(self) -> None:
        """Wait until everything in the topics that the application reads is processed and committed.

        Raises:
            NotIdle: That was not so within `timeout` seconds; names partitions and offsets.
            Exception: Whatever the application crashed with.
        """
        try:
            async with asyncio.timeout(self.timeout):
                while self._settling() or await self._behind():
                    self._raise_crash()
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            self._raise_crash()
            raise NotIdle(await self._why()) from None
        await self._tail.catch_up()

    def _settling(self) -> bool:
        app = self.app
        return app.rebalancing or app.in_recovery

    async def _behind(self) -> dict[TP, tuple[int, int]]:
        """Return committed and end offsets of the partitions that are not finished."""
        app = self.app
        await app.commit()
        await app.producer.flush()
        tps = list(app.consumer.tasks)
        ends = await app.consumer.end_offsets(tps)
        done = await app.consumer.committed(tps)
        return {tp: (done[tp] or 0, end) for tp, end in ends.items() if (done[tp] or 0) < end}

    async def _why(self) -> str:
        if self._settling():
            return f"the app did not finish its rebalance or recovery within {self.timeout:g} s"
        behind = await self._behind()
        parts = [
            f"{tp.topic}[{tp.partition}] has committed {done} of {end}"
            for tp, (done, end) in sorted(behind.items())
        ]
        return f"not idle within {self.timeout:g} s: {'; '.join(parts) or 'finished just now'}"

    def _raise_crash(self) -> None:
        if self.app.crash_reason is not None:
            raise self.app.crash_reason

    # -- what happens to workers

    async def restart(self) -> None:
        """Stop the application cleanly and start it again; its state comes back as it would in a new process."""
        await self.app.stop()
        self._raise_crash()
        self.app.service_reset()
        await self._start()

    @contextlib.asynccontextmanager
    async def rebalance(self, other: App | None = None) -> AsyncIterator[TestRun | None]:
        """Have a second worker for the length of a ``async with`` block.

        Partitions are revoked and given to the other one; at the end they come back, and their tables are recovered.

        Arguments:
            other: A second application of the same id, which works on its share; the block gets its `TestRun`. None: a
                member that only holds its share, so that what is sent to it waits.
        """
        async with self._guest() if other is None else self._second(other) as second:
            yield second

    @contextlib.asynccontextmanager
    async def _guest(self) -> AsyncIterator[None]:
        guest = Guest(self.app)
        await self._in_time(guest.join(), "the second member was given no partitions")
        await self._rebalanced(guest.generation)
        try:
            yield
        finally:
            await guest.leave()
            await self._rebalanced(guest.generation + 1)

    @contextlib.asynccontextmanager
    async def _second(self, app: App) -> AsyncIterator[TestRun]:
        with tempfile.TemporaryDirectory(prefix="faust-test-") as datadir:
            settings = {**self._given, "datadir": Path(datadir)}
            with _settings(app, settings):
                second = TestRun(app, self._tail, self.timeout, settings)
                await second._start()
                await self._rebalanced(app.consumer.generation)
                try:
                    yield second
                finally:
                    generation = app.consumer.generation
                    await app.stop()
                    await self._rebalanced(generation + 1)
                second._raise_crash()

    async def _rebalanced(self, generation: int) -> None:
        await self._in_time(self._joined(generation), "the app did not finish its rebalance")

    async def _joined(self, generation: int) -> None:
        """Wait until the app works in *generation* of its group, or a later one."""
        while self.app.consumer_generation_id < generation or self._settling():
            self._raise_crash()
            await asyncio.sleep(LOOK)

    async def _in_time(self, work: Awaitable[None], otherwise: str) -> None:
        try:
            async with asyncio.timeout(self.timeout):
                await work
        except TimeoutError:
            raise NotIdle(f"{otherwise} within {self.timeout:g} s") from None

    async def _start(self) -> None:
        await self._in_time(self.app.start(), "the app did not start")

    def _topic(self, name: str) -> Any:
        known = self._known().get(name)
        return self.app.topic(name) if known is None else known

    def _known(self) -> dict[str, Any]:
        """Return the topics of the application by name."""
        app = self.app
        topics = [agent.channel for agent in app.agents.values()]
        topics += [table.changelog_topic for table in app.tables.values()]
        topics += list(app.topics)
        return {
            name: topic for topic in topics if isinstance(topic, Topic) for name in topic.topics
        }


@contextlib.asynccontextmanager
async def run(
    app: App,
    *,
    broker: str | None = None,
    store: str = "memory://",
    timeout: float = 30.0,
    **conf: Any,
) -> AsyncIterator[TestRun]:
    """Run *app* on a broker in memory, for the length of a ``async with`` block.

    The application is used as it is, agents, tables, tasks and all; its data directory is a temporary one. It can be
    run again and again, by any number of tests, each in an event loop of its own: it starts empty every time.

    Arguments:
        app: The application.
        broker: Address of another broker; None: a new and empty one in this process.
        store: Where tables are kept.
        timeout: Seconds that `TestRun.idle` waits at most.
        conf: Other settings for the time of the test. Intervals and timeouts are short unless given here.

    Raises:
        Exception: Whatever the application crashed with.
    """
    login: dict[str, Any] = {}
    if broker is None:
        broker = f"memory://test-{uuid.uuid4().hex}"
        login = {"broker_credentials": None, "ssl_context": None}  # it knows no users
    with contextlib.ExitStack() as undo:
        datadir = undo.enter_context(tempfile.TemporaryDirectory(prefix="faust-test-"))
        place = {"store": store, "datadir": Path(datadir)}
        brokers = dict.fromkeys(("broker", "broker_consumer", "broker_producer"), broker)
        settings = {**QUICK, **brokers, **login, **place, **conf}
        undo.enter_context(_settings(app, settings))
        tail = Tail(app.transport)
        await tail.start()
        test = TestRun(app, tail, timeout, settings)
        try:
            await test._start()
            yield test
        finally:
            await app.stop()
            await tail.close()
        test._raise_crash()


@contextlib.contextmanager
def _settings(app: App, changes: Mapping[str, Any]) -> Iterator[None]:
    """Give the application other settings for a while."""
    before = app.conf
    app.conf = before.copy()
    for name, value in changes.items():
        app.conf.assign(name, value, "faust.testing.run")
    app.service_reset()
    try:
        yield
    finally:
        app.conf = before
        app.service_reset()
