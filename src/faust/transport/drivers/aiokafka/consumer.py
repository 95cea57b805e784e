"""The consumer of ``kafka://``: the application's side of the client thread.

Everything public here runs on the application's loop. What belongs to the client thread is marked so, and kept to
`ConsumerClient` and to the methods whose docstrings begin with "Client thread".

Rebalance, step by step (eager protocol): the coordinator notices; on the application's loop hand-over stops and the
listener's revocation is awaited, heartbeats going on; tracks end; the member joins, the leader assigns; new tracks
are made and filled ahead; the listener's assignment is awaited, heartbeats going on; hand-over begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

from aiokafka.consumer.fetcher import OffsetResetStrategy
from aiokafka.errors import for_code
from aiokafka.structs import TopicPartition

from faust.exceptions import (
    BrokerError,
    CommitRefused,
    ConsumerNotStarted,
    FaustError,
    ImproperlyConfigured,
    UnknownTopic,
)
from faust.messages import TP, Slice
from faust.transport.base import (
    Assignor,
    ConsumerDriver,
    ConsumerOptions,
    DriverState,
    RebalanceListener,
)
from faust.transport.drivers.aiokafka.errors import translate
from faust.transport.drivers.aiokafka.fetching import ConsumerClient
from faust.transport.drivers.aiokafka.pump import HandOver, Pump, Track
from faust.transport.drivers.aiokafka.thread import ClientThread, await_from

__all__ = ["Consumer"]

logger: logging.Logger = logging.getLogger(__name__)

LEASE_STEP = 0.05
"""Seconds between two looks at an expired lease."""

Earliest = Callable[[str], bool]


class Consumer(ConsumerDriver):
    """See `ConsumerDriver`.

    Arguments:
        servers: ``host:port`` of the bootstrap servers.
        options: What it needs to know.
        thread: Where the client lives.
    """

    def __init__(self, servers: list[str], options: ConsumerOptions, thread: ClientThread) -> None:
        if options.auto_offset_reset not in {"earliest", "latest", "none"}:
            raise ImproperlyConfigured(
                f"auto_offset_reset is {options.auto_offset_reset!r}, expected earliest, latest or none"
            )
        self.state: DriverState = DriverState()
        self._servers = servers
        self._options = options
        self._thread = thread
        self._client: ConsumerClient | None = None
        self._pump: Pump | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hand_over = HandOver(options.slice_size, self._wake_from_client, self._wake_pump)
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._error: FaustError | None = None
        self._closed = False
        self._open = False
        self._by_hand = False
        self._changes = 0
        self._tracks: dict[TP, Track] = {}
        self._client_tracks: dict[Any, Track] = {}
        self._generation = -1
        self._member = ""
        self._listener: RebalanceListener | None = None
        self._earliest: Earliest | None = None
        self._seen_alive = 0.0
        self._pinged = False

    # -- life

    async def start(self) -> None:
        """Connect."""
        if self._closed:
            raise BrokerError("this consumer was closed; make another")
        if self._client is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._seen_alive = time.monotonic()
        self._thread.hold()
        try:
            self._client, self._pump = await self._thread.call(self._connect())
        except BaseException:
            self._thread.release()
            raise

    async def _connect(self) -> tuple[ConsumerClient, Pump]:
        """Client thread."""
        client = ConsumerClient(self._servers, self._options, self, self._app_idle)
        pump = await client.start(self.state, self, self._hand_over)
        return client, pump

    async def close(self, timeout: float = 10.0) -> None:
        """Leave the group and end."""
        if self._closed:
            return
        self._closed = True
        self._open = False
        self._end_tracks()
        self._wake()
        if self._alarm is not None:
            self._alarm.cancel()
        client = self._client
        if client is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._thread.call(client.close(timeout * 0.9))
        except (TimeoutError, BrokerError):
            logger.warning(
                "the Kafka consumer did not end in %.1f s; its connections are dropped", timeout
            )
            self._thread.post(client.abort)
        finally:
            self._thread.release()
            self._client_tracks = {}
            self._generation = -1
            self._member = ""
            self.state.connected = False

    # -- what is read

    async def subscribe(
        self,
        topics: Collection[str],
        *,
        pattern: str | None = None,
        listener: RebalanceListener,
        assignor: Assignor,
        earliest_topics: Earliest | None = None,
    ) -> None:
        """Join the group, or replace the subscription."""
        client = self._started()
        if self._options.group_id is None:
            raise ImproperlyConfigured("a consumer without group_id cannot subscribe: use assign")
        matcher = None
        if pattern is not None:
            try:
                matcher = re.compile(pattern)
            except re.error as error:
                raise ImproperlyConfigured(
                    f"the topic pattern {pattern!r} is no regular expression: {error}"
                ) from error
        if not topics and matcher is None:
            raise ImproperlyConfigured("subscribe needs at least one topic, or a pattern")
        self._listener = listener
        self._earliest = earliest_topics
        self._by_hand = False
        await self._thread.call(client.subscribe(frozenset(topics), matcher, assignor))

    async def assign(self, tps: Collection[TP]) -> None:
        """Read *tps* without a group."""
        client = self._started()
        self._end_tracks()
        self._by_hand = True
        self._generation = -1
        tracks = {TP(*tp): Track(TP(*tp), -1) for tp in tps}
        await self._thread.call(self._assign_in_client(client, tracks))
        self._tracks = tracks
        self._open = True
        self._changed()

    async def _assign_in_client(self, client: ConsumerClient, tracks: dict[TP, Track]) -> None:
        """Client thread."""
        self._client_tracks = {}
        await client.assign(list(tracks))
        self._client_tracks = {TopicPartition(*tp): track for tp, track in tracks.items()}

    @property
    def assignment(self) -> frozenset[TP]:
        """The partitions held now."""
        return frozenset(self._tracks)

    @property
    def generation(self) -> int:
        """Generation of the group."""
        return self._generation

    @property
    def member_id(self) -> str:
        """Name of this member."""
        return self._member

    def lease_until(self) -> float:
        """Until when the assignment is certain."""
        client = self._client
        if self._options.group_id is None or self._by_hand or client is None:
            return math.inf
        return client.lease_until

    # -- taking slices

    async def take(self, timeout: float) -> list[Slice]:
        """Take the slices that are ready."""
        self._started()
        now = time.monotonic()
        self._seen_alive = now
        self._check()
        found = self._collect(now)
        if found or timeout <= 0:
            return found
        loop = asyncio.get_running_loop()
        deadline = now + timeout
        changes = self._changes
        while not found and now < deadline and changes == self._changes and not self._closed:
            waiter = self._waiter = loop.create_future()
            self._hand_over.application_waits = True
            found = self._collect(now)
            if found:
                break
            patience = LEASE_STEP if self._lease_is_over(now) else deadline - now
            self._wake_before(loop, now + min(patience, deadline - now))
            await waiter
            now = time.monotonic()
            self._check()
            found = self._collect(now)
        self._hand_over.application_waits = False
        self._seen_alive = now
        return found

    def _wake_before(self, loop: asyncio.AbstractEventLoop, latest: float) -> None:
        """Have `take` look again at *latest*, or earlier: a timer that is set is left alone."""
        if self._alarm is not None:
            if self._alarm_at <= latest:
                return
            self._alarm.cancel()
        self._alarm_at = latest
        self._alarm = loop.call_later(latest - time.monotonic(), self._alarm_rings)

    def _alarm_rings(self) -> None:
        self._alarm = None
        self._wake()

    def _collect(self, now: float) -> list[Slice]:
        if not self._open or self._lease_is_over(now):
            return []
        try:
            return self._hand_over.collect()
        except FaustError as error:
            self._error = error
            raise

    def _lease_is_over(self, now: float) -> bool:
        return self._generation >= 0 and now >= self.lease_until()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _changed(self) -> None:
        self._changes += 1
        self._wake()
        self._wake_pump()

    def _wake(self) -> None:
        if self._waiter is not None:
            _settle(self._waiter)

    def _wake_from_client(self) -> None:
        """Client thread."""
        self._on_application(self._wake)

    def _wake_pump(self) -> None:
        if self._pump is not None:
            self._thread.post(self._pump.wake)

    # -- pause, resume, seek

    def pause(self, tps: Collection[TP]) -> None:
        """Stop fetching and handing over."""
        tracks = [t for tp in tps if (t := self._tracks.get(tp)) is not None and not t.paused]
        for track in tracks:
            track.paused = True
        if tracks and self._client is not None:
            self._thread.post(self._client.pause, [TopicPartition(*t.tp) for t in tracks])

    def resume(self, tps: Collection[TP]) -> None:
        """Undo `pause`."""
        tracks = [t for tp in tps if (t := self._tracks.get(tp)) is not None and t.paused]
        for track in tracks:
            track.paused = False
            self._hand_over.resume(track)
        if tracks and self._client is not None:
            self._thread.post(self._client.resume, [TopicPartition(*t.tp) for t in tracks])
            self._wake_pump()
            self._wake()

    async def seek(self, offsets: Mapping[TP, int]) -> None:
        """Go on at *offsets*."""
        client = self._started()
        for tp, offset in offsets.items():
            self._held(tp)
            if not isinstance(offset, int) or offset < 0:
                raise ValueError(
                    f"cannot seek {tp.topic}[{tp.partition}] to {offset!r}: expected an int from 0 on"
                )
        fresh: dict[Any, tuple[Track, int]] = {}
        for tp, offset in offsets.items():
            track = self._tracks[tp] = self._tracks[tp].successor(offset)
            fresh[TopicPartition(*tp)] = (track, offset)
        await self._thread.call(self._seek_in_client(client, fresh))

    async def _seek_in_client(
        self, client: ConsumerClient, fresh: dict[Any, tuple[Track, int]]
    ) -> None:
        """Client thread."""
        for tp, (track, offset) in fresh.items():
            if tp in self._client_tracks and track.alive:
                client.seek(tp, offset)
                self._client_tracks[tp] = track

    # -- asking

    async def position(self, tp: TP) -> int:
        """Return the offset of the next record to be handed over."""
        client = self._started()
        track = self._held(tp)
        if track.position is None:
            resolved = await self._thread.call(client.position(TopicPartition(*tp), track))
            if track.position is None:
                track.position = resolved
        return track.position

    async def committed(self, tps: Collection[TP]) -> dict[TP, int | None]:
        """Return the committed next offsets of the group."""
        client = self._started()
        membership = client.membership
        if membership is None:
            raise ImproperlyConfigured("a consumer without group_id has no committed offsets")
        if not tps:
            return {}
        return await self._thread.call(membership.committed([TP(*tp) for tp in tps]))

    async def beginning_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the log start offsets."""
        return await self._offsets(tps, OffsetResetStrategy.EARLIEST)

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the next offsets to be written."""
        return await self._offsets(tps, OffsetResetStrategy.LATEST)

    async def log_end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return high watermarks."""
        client = self._started()
        return await self._thread.call(client.high_watermarks([TP(*tp) for tp in tps]))

    async def _offsets(self, tps: Collection[TP], which: int) -> dict[TP, int]:
        client = self._started()
        return await self._thread.call(client.log_offsets([TP(*tp) for tp in tps], which))

    async def partitions_for(self, topic: str) -> frozenset[int] | None:
        """Return the partition numbers of *topic*; None when it does not exist."""
        client = self._started()
        found = await self._thread.call(client.connection.topic_metadata([topic]))
        code, rows = found[topic]
        if code == 0:
            return frozenset(row[1] for row in rows)
        error = for_code(code)
        if error.retriable:  # unknown, or its leader is being elected
            return None
        raise translate(error(topic), f"cannot look up topic {topic}")

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the identities of topics."""
        client = self._started()
        return await self._thread.call(client.connection.topic_ids(list(topics)))

    # -- commit

    async def commit(self, offsets: Mapping[TP, int]) -> dict[TP, Exception | None]:
        """Commit next offsets."""
        client = self._started()
        membership = client.membership
        if membership is None:
            raise ImproperlyConfigured("a consumer without group_id cannot commit")
        if not offsets:
            return {}
        if not self._by_hand and self._generation < 0:
            raise CommitRefused(
                f"group {self._options.group_id}: this consumer is not a member of the group now"
            )
        outcome: dict[TP, Exception | None] = {}
        ours: dict[TP, int] = {}
        for tp, offset in offsets.items():
            if tp in self._tracks:
                ours[tp] = offset
            else:
                outcome[tp] = CommitRefused(
                    f"{tp.topic}[{tp.partition}] is not assigned to this member of group {self._options.group_id}"
                )
        if ours:
            work = membership.commit(ours, self._generation, self._member)
            outcome |= await self._thread.call(work)
        return outcome

    def group_metadata(self) -> tuple[str, int, str, str | None]:
        """Return group, generation, member and instance for a transaction (KIP-447).

        Raises:
            CommitRefused: this consumer is not a member of a group now.
        """
        group = self._options.group_id
        if group is None or (self._generation < 0 and not self._by_hand):
            raise CommitRefused(f"group {group}: this consumer is not a member of the group now")
        return group, self._generation, self._member, self._options.group_instance_id

    # -- rebalance: hooks of the membership, in the client thread

    async def revoke(self, *, lost: bool) -> None:
        """Client thread. Give back everything that is held."""
        if self._client_tracks:
            await self._in_application(self._revoke(lost=lost), "on_partitions_revoked")
            self._client_tracks = {}
        else:
            await self._in_application(self._forget_membership(), "rebalance")

    async def assign_members(self, tps: frozenset[TP], generation: int) -> None:
        """Client thread. Take over *tps*."""
        tracks = {tp: Track(tp, generation) for tp in tps}
        self._client_tracks = {TopicPartition(*tp): track for tp, track in tracks.items()}
        member = (
            self._client.membership.member_id if self._client and self._client.membership else ""
        )
        await self._in_application(
            self._take_over(tracks, generation, member), "on_partitions_assigned"
        )

    async def _in_application(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Client thread. Run *work* on the application's loop and wait for it."""
        assert self._loop is not None
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            self.fail(BrokerError("the application's event loop has ended"))
            return
        try:
            await await_from(future, f"{name} was cancelled")
        except Exception as error:
            logger.exception("%s failed", name)
            failure = BrokerError(f"{name} failed: {error!r}")
            failure.__cause__ = error
            self.fail(failure)

    # -- rebalance, on the application's loop

    async def _revoke(self, *, lost: bool) -> None:
        self._open = False
        self._hand_over.clear()
        self._changed()
        revoked = frozenset(self._tracks)
        try:
            if revoked and self._listener is not None:
                await self._listener.on_partitions_revoked(revoked, lost)
        finally:
            self._end_tracks()
            self._generation = -1

    async def _forget_membership(self) -> None:
        self._open = False
        self._generation = -1

    async def _take_over(self, tracks: dict[TP, Track], generation: int, member: str) -> None:
        if self._closed:
            return
        self._tracks = tracks
        self._generation = generation
        self._member = member
        if self._listener is not None:
            await self._listener.on_partitions_assigned(frozenset(tracks), generation)
        self._open = not self._closed
        self._changed()

    def _end_tracks(self) -> None:
        for track in self._tracks.values():
            track.alive = False
        self._tracks = {}
        self._hand_over.clear()

    # -- what the client thread tells

    def client_tracks(self) -> Mapping[Any, Track]:
        """Client thread. Return the tracks by aiokafka's TopicPartition."""
        return self._client_tracks

    def reset_policy(self, topic: str) -> str:
        """Client thread. Return what to do where no record is."""
        if self._earliest is not None and self._earliest(topic):
            return "earliest"
        return self._options.auto_offset_reset

    def fail(self, error: FaustError) -> None:
        """Client thread. Make `take` raise *error* from now on."""
        if self._error is None:
            self._error = error
            self.state.last_error = str(error)
            self._on_application(self._wake)

    def check(self) -> None:
        """Client thread. Raise what background tasks have run into; ask whether the application is alive."""
        if self._client is not None:
            self._client.check()
        idle = time.monotonic() - self._seen_alive
        if idle > min(self._options.max_poll_interval / 4, 5.0) and not self._pinged:
            self._pinged = True
            self._on_application(self._pong)

    def _pong(self) -> None:
        self._seen_alive = time.monotonic()
        self._pinged = False

    def _app_idle(self) -> float:
        """Client thread. Seconds since the application's loop was seen alive; small ones count as none."""
        idle = time.monotonic() - self._seen_alive
        return idle if self._pinged else 0.0

    def _on_application(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # its loop has ended: nobody is there to be told
            self._loop.call_soon_threadsafe(callback)

    # -- checks

    def _started(self) -> ConsumerClient:
        if self._closed:
            raise BrokerError("this consumer was closed")
        if self._client is None:
            raise ConsumerNotStarted("start the consumer first")
        return self._client

    def _held(self, tp: TP) -> Track:
        track = self._tracks.get(tp)
        if track is None:
            raise UnknownTopic(f"{tp.topic}[{tp.partition}] is not assigned to this consumer")
        return track


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
