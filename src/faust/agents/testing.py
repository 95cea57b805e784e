"""Test one agent alone: events are put into it by hand, and what it makes of them is recorded.

The agent under test is a clone that reads a channel of its own. Keys and values are handed over as the objects they
are. What is written to tables while the context is open is kept in memory, can be read (and written) by the test as well,
and is forgotten at the end: neither store nor changelog see it. Everything else is real: topics the agent sends to are sent
to. To test a whole application on a broker in memory see `faust.testing`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from mode.utils.trees import Node

from faust.agents.actor import Actor, AsyncIterableActor
from faust.agents.agent import Agent
from faust.agents.calling import new_correlation_id, topic_name
from faust.agents.models import Request, request_headers
from faust.events import Event
from faust.messages import HeadersArg, Message, header_pairs
from faust.streams.stream import Stream
from faust.topics import Topic

__all__ = ["AgentTestWrapper"]

LOOK = 0.005
"""Seconds between two looks at whether the agent has finished without a result."""


class AgentTestWrapper(Agent[Any, Any]):
    """An agent under test, from `Agent.test_context`.

    Attributes:
        original_channel: The channel or topic that the agent reads outside of tests.
        results: What was yielded, by position; of an agent that does not yield: what came in.
        sent_offset: How many events have been put.
        processed_offset: How many results there are.
        new_value_processed: Notified of each result.
    """

    def __init__(self, *args: Any, original_channel: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.beacon.parent is not None:
            self.beacon.detach(self.beacon.parent)
        self._beacon = Node(self)  # a root: a crash here is no crash of the application
        self.original_channel = original_channel
        self.results: dict[int, Any] = {}
        self.sent_offset: int = 0
        self.processed_offset: int = 0
        self.new_value_processed: asyncio.Condition = asyncio.Condition()
        self._watched: set[Stream[Any]] = set()
        self._tables: list[Any] = []

    async def on_start(self) -> None:
        """Start the actors, and have the tables of the app keep what is written under test."""
        await super().on_start()
        for table in self.app.tables.values():
            await table.begin_test()
            self._tables.append(table)

    async def on_stop(self) -> None:
        """Stop the actors, and have the tables forget it."""
        try:
            await super().on_stop()
        finally:
            while self._tables:
                self._tables.pop().end_test()

    # -- recording

    async def consume(self, actor: Actor) -> None:
        """Run an actor's function to its end; pass on what it yields, then record it."""
        if not isinstance(actor, AsyncIterableActor):
            await actor.it
            return
        passed_on = self._answers.passing_on(actor.stream, self.channel)
        async for value in actor:
            await passed_on(value)
            await self._record(value)

    def _actor(self, stream: Stream[Any], index: int | None, beacon: Any = None) -> Actor:
        actor = super()._actor(stream, index, beacon)
        if not isinstance(actor, AsyncIterableActor) and stream not in self._watched:
            stream.add_processor(self._on_incoming)  # before those that its function adds
        self._watched.add(stream)
        return actor

    async def _on_incoming(self, value: Any) -> Any:
        await self._record(value)
        return value

    async def _record(self, value: Any) -> None:
        async with self.new_value_processed:
            self.results[self.processed_offset] = value
            self.processed_offset += 1
            self.new_value_processed.notify_all()

    # -- putting events in

    async def put(
        self,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        *,
        reply_to: Any = None,
        correlation_id: str | None = None,
        wait: bool = True,
    ) -> Event[Any, Any]:
        """Give the agent one event, and wait until it has made something of it.

        Arguments:
            value: Value, as the agent shall see it.
            key: Key, as the agent shall see it.
            partition: Partition of the message; None: 0.
            timestamp: Unix time in seconds; None: now.
            headers: Headers.
            key_serializer: Accepted for programs that give it; only None makes sense, since nothing is serialized.
            value_serializer: The same.
            reply_to: Where the agent shall send its answer: an agent, a topic, or the name of one.
            correlation_id: Id of the request; None: a new one.
            wait: Return after the next result, or when the agent asks for the next event without having
                yielded one.

        Raises:
            TypeError: A serializer was given.
            BaseException: Whatever the agent has crashed with.
        """
        if key_serializer is not None or value_serializer is not None:
            raise TypeError(
                "a test hands over objects, so there is nothing to serialize: put the decoded key and value, and leave"
                " key_serializer and value_serializer out"
            )
        if reply_to is not None:
            request = Request(topic_name(reply_to), correlation_id or new_correlation_id())
            headers = [*header_pairs(headers), *request_headers(request)]
        self._raise_crash()
        message = self.to_message(
            key,
            value,
            partition=partition,
            offset=self.sent_offset,
            timestamp=timestamp,
            headers=headers,
        )
        event: Event[Any, Any] = self.app.create_event(key, value, message.headers, message)
        before = self.processed_offset
        self.sent_offset += 1
        await self.channel.put(event)
        if wait:
            await self._wait_processed(before)
        return event

    def to_message(
        self,
        key: Any,
        value: Any,
        *,
        partition: int | None = None,
        offset: int = 0,
        timestamp: float | None = None,
        timestamp_type: int = 0,
        headers: HeadersArg = None,
    ) -> Message:
        """Make the message that an event of this test is said to come from."""
        channel = self.original_channel
        name = channel.get_topic_name() if isinstance(channel, Topic) else "<internal>"
        return Message(
            name,
            partition or 0,
            offset,
            time.time() if timestamp is None else timestamp,
            timestamp_type,
            header_pairs(headers),
            key,
            value,
            serialized_key_size=0,
            serialized_value_size=0,
        )

    async def _wait_processed(self, before: int) -> None:
        while self.processed_offset == before and not self._idle():
            self._raise_crash()
            async with self.new_value_processed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.new_value_processed.wait(), LOOK)
        self._raise_crash()

    def _idle(self) -> bool:
        """Say whether nothing waits, and nothing is in hand."""
        return all(
            stream.cursor.record is None
            and not stream.cursor.batch
            and not len(stream.cursor.inbox)
            for stream in self._streams()
        )

    def _streams(self) -> Iterator[Any]:
        """Yield the streams of the actors, with those derived from them."""
        for actor in self._actors:
            stream: Any = actor.stream.get_root_stream()
            while stream is not None:
                yield stream
                stream = stream._next

    def _raise_crash(self) -> None:
        if self.crash_reason is not None:
            raise self.crash_reason

    async def throw(self, exc: BaseException) -> None:
        """Raise *exc* in the agent's ``async for``."""
        await self.channel.throw(exc)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate what is put into the agent from now on."""
        async for value in self.stream():
            yield value
