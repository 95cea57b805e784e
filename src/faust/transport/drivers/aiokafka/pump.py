"""From the client thread to the application's: fetched batches through a bounded queue.

The *pump* runs in the client thread. It takes fetched batches of the partitions in turn, one run of them each, and puts
them into the *hand-over*, as many as there is room for; the application is woken once for all of them. `take` cuts slices
from the hand-over, and wakes the pump when that had run out of room. So the client's buffers stay full while the
application works, and no more is held than the queue's bound plus what the client has fetched.

A `Track` is one partition between two jumps: a seek or a new assignment ends it and begins another. What was fetched
on a track that has ended is dropped wherever it is found, on either side; this alone makes seeks exact (C1) and
keeps old generations out (C2). Partitions that are paused keep their slices on the track until they are resumed (C3).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from aiokafka import errors as kafka
from aiokafka.consumer.fetcher import OffsetResetStrategy
from aiokafka.structs import TopicPartition

from faust.exceptions import BrokerError, FaustError, OffsetOutOfRange
from faust.messages import TP, Slice
from faust.transport.drivers.aiokafka.errors import translate
from faust.transport.drivers.aiokafka.reader import Reader, Run

__all__ = ["CAPACITY", "HandOver", "Pump", "Track"]

logger: logging.Logger = logging.getLogger(__name__)

CAPACITY = 128
"""Slices' worth of offsets in the hand-over, above which nothing more is put into it; a run may span many."""
AT_ONCE = 8
"""Slices that are cut at once: few, so that their records are used while they are in the processor's cache."""
TURN = 16
"""Runs built before other work of the client thread gets its turn."""
CORRUPT_RETRIES = 3
IDLE_LOOK = 1.0
"""Seconds after which the pump looks at errors and at the application without being woken."""


Item: TypeAlias = Run | FaustError
"""What is handed over: a run of batches, or why there are no more of a partition."""


class Track:
    """One partition between two jumps.

    Attributes:
        tp: The partition.
        generation: The group generation, -1 outside a group.
        alive: False after the next jump. Written in the application's thread, except at the end of an assignment.
        paused: Asked for by the application; its thread's.
        position: Offset of the next record to be handed over; None while unknown.
        kept: What had come when the partition was paused; the application's thread's.
        stuck: Why it cannot be read on.
        corrupt: How often in a row a batch was damaged; the client thread's.
    """

    __slots__ = ("alive", "corrupt", "generation", "kept", "paused", "position", "stuck", "tp")

    def __init__(self, tp: TP, generation: int, position: int | None = None) -> None:
        self.tp: TP = tp
        self.generation: int = generation
        self.alive: bool = True
        self.paused: bool = False
        self.position: int | None = position
        self.kept: deque[Item] = deque()
        self.stuck: FaustError | None = None
        self.corrupt: int = 0

    def successor(self, position: int) -> Track:
        """End here and go on at *position*."""
        self.alive = False
        track = Track(self.tp, self.generation, position)
        track.paused = self.paused
        return track


class HandOver:
    """The bounded queue between the two threads; appends and pops of a deque are atomic.

    Arguments:
        slice_size: Records per slice at most.
        wake_application: Called in the client thread when something came while the application waited.
        wake_pump: Called in the application's thread when there is room again and the pump waited for it.
        capacity: Bound, in slices' worth of offsets.
    """

    def __init__(
        self,
        slice_size: int,
        wake_application: Callable[[], None],
        wake_pump: Callable[[], None],
        capacity: int = CAPACITY,
    ) -> None:
        self._queue: deque[tuple[Track, Item]] = deque()
        self._resumed: deque[tuple[Track, Item]] = deque()
        self._wake_application = wake_application
        self._wake_pump = wake_pump
        self._slice_size = slice_size
        self._capacity = capacity * slice_size
        self._put = self._taken = 0  # offsets; each is written by one thread only
        self.application_waits: bool = False
        self.pump_waits: bool = False

    # -- the client thread's side

    def room(self) -> int:
        """Return how many offsets fit in."""
        return self._capacity - self._put + self._taken

    def put(self, ready: list[tuple[Track, Item]]) -> None:
        """Hand over *ready*."""
        self._put += sum(map(_span, ready))
        self._queue.extend(ready)
        if self.application_waits:
            self.application_waits = False
            self._wake_application()

    # -- the application's side

    def collect(self) -> list[Slice]:
        """Cut the slices that may be handed out now, `AT_ONCE` at most.

        Raises:
            FaustError: a partition that is read cannot be read on. A seek or a pause in time avoids it.
        """
        found: list[Slice] = []
        for queue in (self._resumed, self._queue):
            while queue and len(found) < AT_ONCE:
                track, some = queue[0]
                if track.alive and not track.paused and isinstance(some, Run):
                    self._cut(track, some, found)
                    if not some.done:
                        continue
                popped = queue.popleft()
                if queue is self._queue:
                    self._taken += _span(popped)
                if track.alive and track.paused:
                    track.kept.append(some)
                elif track.alive and isinstance(some, FaustError):
                    raise some
        if self.pump_waits and self.room() > 0:
            self.pump_waits = False
            self._wake_pump()
        return found

    def _cut(self, track: Track, run: Run, found: list[Slice]) -> None:
        """Cut a slice off *run*."""
        before = run.position
        try:
            records = run.cut(self._slice_size)
        except Exception as error:
            tp = track.tp
            raise translate(
                error, f"cannot read {tp.topic}[{tp.partition}] from offset {before} on"
            ) from error
        track.position = run.position
        if run.position != before or not run.span:
            found.append(Slice(track.tp, track.generation, records, run.position))

    def resume(self, track: Track) -> None:
        """Hand out first what was kept while *track* was paused."""
        self._resumed.extend((track, some) for some in track.kept)
        track.kept.clear()

    def clear(self) -> None:
        """Drop everything: the assignment is over."""
        while self._queue:
            self._taken += _span(self._queue.popleft())
        self._resumed.clear()


def _span(handed: tuple[Track, Item]) -> int:
    """Return how many offsets lie between begin and end of what is handed over."""
    some = handed[1]
    return some.span if isinstance(some, Run) else 0


class PumpHost(Protocol):
    """What the pump needs of its consumer, in the client thread."""

    def client_tracks(self) -> Mapping[Any, Track]:
        """Return the tracks by aiokafka's TopicPartition."""
        ...

    def reset_policy(self, topic: str) -> str:
        """Return ``earliest``, ``latest`` or ``none``."""
        ...

    def fail(self, error: FaustError) -> None:
        """Make the next `take` raise *error*."""
        ...

    def check(self) -> None:
        """Raise what the client's background tasks have run into."""
        ...


class Pump:
    """Fills the hand-over. Lives in the client thread.

    Arguments:
        host: The consumer.
        consumer: aiokafka's consumer, started.
        reader: Reads what it has fetched.
        hand_over: Where slices go.
        slice_size: Offsets that a run spans at least, where there are so many.
    """

    def __init__(
        self, host: PumpHost, consumer: Any, reader: Reader, hand_over: HandOver, slice_size: int
    ) -> None:
        self._host = host
        self._consumer = consumer
        self._reader = reader
        self._hand_over = hand_over
        self._slice_size = slice_size
        self._woken = False
        self._sleep: asyncio.Future[None] | None = None
        self._data: asyncio.Future[None] | None = None
        self._last: Any = None
        self._resets: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look again: room, a resumed partition, a new assignment."""
        self._woken = True
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)

    def records_came(self) -> None:
        """Hand over at once what there is room for; called by the fetcher, before it asks for more."""
        try:
            if self._fill() and self._reader.waiting():
                self.wake()
        except Exception as error:
            self._host.fail(translate(error, "the Kafka consumer cannot go on"))

    async def run(self) -> None:
        """Pump until cancelled; whatever ends it otherwise is told to the host."""
        try:
            while True:
                self._woken = False
                self._listen()
                self._host.check()
                if self._fill():
                    await asyncio.sleep(0)
                elif not self._woken:
                    await self._rest()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._host.fail(translate(error, "the Kafka consumer cannot go on"))

    async def _rest(self) -> None:
        """Wait to be woken, for a second at most."""
        loop = asyncio.get_running_loop()
        self._sleep = loop.create_future()
        alarm = loop.call_later(IDLE_LOOK, self.wake)
        try:
            await self._sleep
        finally:
            alarm.cancel()

    def _listen(self) -> None:
        """Have the fetcher wake us when it has more."""
        if self._data is None or self._data.done():
            self._data = self._consumer._fetcher._create_fetch_waiter()
            self._data.add_done_callback(self._data_came)

    def _data_came(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled():
            future.exception()  # coordination errors come this way, too; `check` raises them
        self.wake()

    def _fill(self) -> bool:
        """Build runs, a turn's worth at most; say whether there may be more to do at once."""
        room = self._hand_over.room()
        if room <= 0:
            self._hand_over.pump_waits = True
            room = self._hand_over.room()
            if room <= 0:
                return False
            self._hand_over.pump_waits = False
        ready: list[tuple[Track, Item]] = []
        before = -1
        while room > 0 and before < len(ready) < TURN:
            before = len(ready)
            room = self._round(ready, room)
        if ready:
            self._hand_over.put(ready)
        return bool(ready)

    def _round(self, ready: list[tuple[Track, Item]], room: int) -> int:
        """Build one run of each partition that has something; return how many offsets still fit in."""
        tracks = self._host.client_tracks()
        for tp in self._in_turn():
            if room <= 0 or len(ready) >= TURN:
                break
            track = tracks.get(tp)
            if track is not None:
                self._last = tp
                run = self._read(tp, track)
                if run is not None:
                    ready.append((track, run))
                    room -= run.span
        return room

    def _in_turn(self) -> Iterable[Any]:
        """Return the partitions with something to read, beginning after the one read last."""
        waiting = list(self._reader.waiting())
        if self._last in waiting:
            cut = waiting.index(self._last) + 1
            return waiting[cut:] + waiting[:cut]
        return waiting

    def _read(self, tp: Any, track: Track) -> Run | None:
        try:
            run = self._reader.read(tp, self._slice_size)
        except kafka.KafkaError as error:
            self._partition_error(tp, track, error)
            return None
        if run is None or not track.alive:
            return None
        track.corrupt = 0
        if track.position is None:
            track.position = run.start
        return run

    # -- partitions that cannot be read on

    def _partition_error(self, tp: Any, track: Track, error: kafka.KafkaError) -> None:
        if isinstance(error, (kafka.OffsetOutOfRangeError, kafka.NoOffsetForPartitionError)):
            self._reset(tp, track, error)
        elif isinstance(error, kafka.CorruptRecordException) and track.corrupt < CORRUPT_RETRIES:
            track.corrupt += 1
            logger.warning("%s; fetching it again", error)
        else:
            stuck = translate(error, f"cannot read {tp.topic}[{tp.partition}]")
            stuck.__cause__ = error
            self._give_up(track, stuck)

    def _give_up(self, track: Track, error: FaustError) -> None:
        track.stuck = error
        self._hand_over.put([(track, error)])

    def _reset(self, tp: Any, track: Track, error: kafka.KafkaError) -> None:
        policy = self._host.reset_policy(tp.topic)
        offset = None
        if isinstance(error, kafka.OffsetOutOfRangeError) and error.args:
            offset = error.args[0].get(tp)
        place = f"{tp.topic}[{tp.partition}]"
        if policy == "none":
            reason = (
                "there is no committed offset"
                if offset is None
                else f"offset {offset} is not in the log (any more)"
            )
            stuck = OffsetOutOfRange(
                f"cannot read {place}: {reason}, and the reset policy is 'none'; seek, commit an offset, or set "
                "consumer_auto_offset_reset to 'earliest' or 'latest'"
            )
            self._give_up(track, stuck)
            return
        if offset is not None:
            logger.warning(
                "%s: offset %d is not in the log (any more), going on at the %s",
                place,
                offset,
                policy,
            )
        task = asyncio.get_running_loop().create_task(self._seek_to_end_of_log(tp, track, policy))
        self._resets.add(task)
        task.add_done_callback(self._reset_done)

    async def _seek_to_end_of_log(self, tp: TopicPartition, track: Track, policy: str) -> None:
        strategy = (
            OffsetResetStrategy.EARLIEST if policy == "earliest" else OffsetResetStrategy.LATEST
        )
        assignment = self._consumer._subscription.subscription.assignment
        state = None if assignment is None else assignment.state_value(tp)
        if state is None or not track.alive:
            return
        done = self._consumer._fetcher.request_offset_reset([tp], strategy)
        await asyncio.wait([done, assignment.unassign_future], return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        if track.alive and track.position is not None and state.has_valid_position:
            # Somebody waits for this partition to get somewhere: tell where it is now.
            self._hand_over.put([(track, Run((), state.position, state.position))])

    def _reset_done(self, task: asyncio.Task[None]) -> None:
        self._resets.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._host.fail(
                error if isinstance(error, FaustError) else BrokerError(f"offset reset: {error!r}")
            )
