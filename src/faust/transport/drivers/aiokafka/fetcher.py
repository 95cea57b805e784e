"""aiokafka's fetcher, with a shorter way from one fetch to the next.

aiokafka's own loop decides who is asked for what: it resets offsets, waits for leaders and for resumed partitions, and
starts a task for every fetch. Here that task is a *chain*: as long as all goes well the answer of one fetch is read in
the callback of the socket, what came is given to the pump at once, and the next fetch leaves from the same callback.
A chain ends, and aiokafka's loop decides again, when something it knows more about turns up: the assignment is over,
a partition of this node has no position, the pump has no room for all that came, there is nothing to ask for.
Answers that are no plain success are asked for again by aiokafka's own code, which knows what to make of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka import errors as kafka
from aiokafka.consumer.fetcher import Fetcher as AIOKafkaFetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from faust.transport.drivers.aiokafka.client import FETCH_GROUP
from faust.transport.drivers.aiokafka.connection import Connection, Exchange
from faust.transport.drivers.aiokafka.wire import (
    FETCH,
    FETCH_VERSION,
    Fetched,
    Unexpected,
    encode_fetch,
    read_fetch,
)

__all__ = ["Fetcher"]

logger: logging.Logger = logging.getLogger(__name__)

UNDERSTOOD: set[int] = {
    kafka.OffsetOutOfRangeError.errno,
    kafka.UnknownTopicOrPartitionError.errno,
    kafka.NotLeaderForPartitionError.errno,
    kafka.TopicAuthorizationFailedError.errno,
}
"""Answers to a fetch of which aiokafka makes something; after others, such as a disk that has failed, it asks again at once."""

Wanted = dict[str, list[tuple[int, int]]]
"""Partition and offset, by topic."""


class Fetcher(AIOKafkaFetcher):  # type: ignore[misc]  # aiokafka is untyped
    """Fetches in chains.

    Attributes:
        on_records: Called when records came, before the next fetch; takes what it has room for; must not raise.
    """

    on_records: Callable[[], None] | None = None
    _handing_over = False

    def consumed(self) -> None:
        """Note that a partition may be fetched again."""
        if not self._handing_over:  # else the chain looks next, and aiokafka's loop may sleep on
            self._notify(self._wait_consume_future)

    def hand_over(self) -> None:
        """Give what came to the pump."""
        if self.on_records is not None:
            self._handing_over = True
            try:
                self.on_records()
            finally:
                self._handing_over = False

    def _set_error(self, tp: Any, error: Exception) -> None:
        """Keep *error* for the reader. Its leader has changed while a position was looked for: then two find that out."""
        if tp not in self._records:
            super()._set_error(tp, error)

    async def _proc_fetch_request(self, assignment: Any, node_id: Any, request: Any) -> bool:
        """Fetch from a node again and again; say whether there is something to read. Replaces aiokafka's."""
        connection = await self._client._get_conn(node_id, group=FETCH_GROUP)
        if connection is None or not connection.speaks(FETCH, FETCH_VERSION):
            return bool(await super()._proc_fetch_request(assignment, node_id, request))
        chain = _Chain(self, connection, assignment, node_id)
        code = 0
        try:
            return await chain.run()
        except Unexpected as error:
            logger.debug("fetching from node %s again, the long way: %s", node_id, error)
            code = error.code
        except asyncio.CancelledError:
            return False
        except kafka.KafkaError as error:
            logger.error("Failed fetch messages from %s: %s", node_id, error)
            self._client.note_trouble(node_id, error)
            await asyncio.sleep(self._retry_backoff)
            return False
        wanted = chain.wanted()
        if not wanted:
            return bool(self._records)
        found = await super()._proc_fetch_request(assignment, node_id, self.long_request(wanted))
        if code and code not in UNDERSTOOD:
            self._client.force_metadata_update()
            await asyncio.sleep(self._retry_backoff)
        return bool(found)

    async def _proc_offset_request(self, node_id: Any, topic_data: Any) -> Any:
        """Ask for offsets, as aiokafka does, which asks a former leader again and again."""
        try:
            return await super()._proc_offset_request(node_id, topic_data)
        except kafka.KafkaError as error:
            if error.invalid_metadata:
                self._client.force_metadata_update()
            raise

    def long_request(self, wanted: Wanted) -> Any:
        """Return the request for *wanted* as aiokafka makes it."""
        topics = [
            (topic, [(number, offset, self._max_partition_fetch_bytes) for number, offset in rows])
            for topic, rows in wanted.items()
        ]
        return FetchRequest(
            self._fetch_max_wait_ms,
            self._fetch_min_bytes,
            self._fetch_max_bytes,
            self._isolation_level,
            topics,
        )

    def encode(self, wanted: Wanted) -> bytes:
        """Return the same request as bytes."""
        return encode_fetch(
            self._fetch_max_wait_ms,
            (self._fetch_min_bytes, self._fetch_max_bytes, self._max_partition_fetch_bytes),
            self._isolation_level,
            wanted,
        )

    def keep(self, tp: Any, assignment: Any, offset: int, came: Fetched) -> bool:
        """Keep what came of a partition for the reader, unless it was moved meanwhile."""
        state = assignment.state_value(tp)
        if not state.has_valid_position or state.position != offset:
            return False
        records = MemoryRecords(came.records)
        if not records.has_next():
            raise Unexpected(f"{tp} at {offset}: no whole batch in {len(came.records)} bytes")
        source = PartitionRecords(
            tp,
            records,
            came.aborted,
            offset,
            self._key_deserializer,
            self._value_deserializer,
            self._check_crcs,
            self._isolation_level,
        )
        self._records[tp] = FetchResult(
            tp, partition_records=source, assignment=assignment, backoff=self._prefetch_backoff
        )
        return True


class _Chain:
    """Fetches from one node, each sent by the answer of the one before."""

    def __init__(
        self, fetcher: Fetcher, connection: Connection, assignment: Any, node_id: Any
    ) -> None:
        self._fetcher = fetcher
        self._connection = connection
        self._assignment = assignment
        self._node_id = node_id
        self._ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked: dict[TopicPartition, int] = {}

    async def run(self) -> bool:
        """Fetch until the chain ends; say whether there is something to read.

        Raises:
            Unexpected: an answer that is not a plain success.
            aiokafka.errors.KafkaError: no answer.
        """
        self._ask()
        return await self._ended

    def wanted(self) -> Wanted | None:
        """Return what to ask for next, empty when there is nothing; None when aiokafka's loop has to look."""
        wanted: Wanted = {}
        self._asked = {}
        fetcher, assignment = self._fetcher, self._assignment
        fetched = fetcher._records
        for tp in assignment.tps:
            if fetcher._select_read_replica(tp) != self._node_id:
                continue
            if tp in fetched:
                if fetched[tp].calculate_backoff():
                    return None
                continue
            state = assignment.state_value(tp)
            if not state.has_valid_position:
                return None
            if not state.paused:
                self._asked[tp] = state.position
                wanted.setdefault(tp.topic, []).append((tp.partition, state.position))
        return wanted

    def _ask(self) -> None:
        wanted = self.wanted()
        if not wanted:
            self._end(bool(self._fetcher._records))
            return
        exchange = Exchange(self._answered, self._fail)
        try:
            self._connection.exchange(FETCH, FETCH_VERSION, self._fetcher.encode(wanted), exchange)
        except kafka.KafkaError as error:
            self._fail(error)

    def _answered(self, frame: bytes) -> None:
        fetcher = self._fetcher
        fetcher._client.watch.answered(self._node_id)
        if self._ended.done():
            return
        try:
            if self._assignment.active:
                found = [self._keep(came) for came in read_fetch(frame)]
                if any(found):
                    fetcher.hand_over()
            if self._assignment.active:  # still
                self._ask()
            else:
                self._end(False)
        except Exception as error:  # whoever waits for the end of this chain must hear of it
            self._fail(error)

    def _keep(self, came: Fetched) -> bool:
        tp = TopicPartition(came.topic, came.partition)
        return self._fetcher.keep(tp, self._assignment, self._asked[tp], came)

    def _end(self, something: bool) -> None:
        if not self._ended.done():
            self._ended.set_result(something)

    def _fail(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
