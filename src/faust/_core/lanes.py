"""Tasks, lanes and the inbox: where a slice waits, and how far each reader has come.

A *task* is one partition in one assignment. Everything fetched belongs to a task, and a task that was revoked is
dead for ever: nothing of it is delivered or committed any more, however late somebody looks (rule C2).

A *lane* is one reader of one task: the stream of an agent, say. Its progress is one of two things, chosen when the
stream starts:

* in order (the common case): ``current`` is the lowest record that was handed out and is not finished, ``done`` the
  offset below which everything is finished. Moving on to the next record *is* the acknowledgement; it costs one store.
* in any order (several actors, manual acknowledgement): an `AckTracker`.

What may be committed of a task is the smallest ``safe()`` of its lanes, so a slow reader holds the offset for the
others, and the death of a process loses nothing that any of them had not finished.

An *inbox* collects the slices of all lanes of one reader and gives them out fairly: topics in turn, and partitions
within a topic in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import length_hint
from typing import Any

from faust._core.offsets import AckTracker
from faust._core.scheduling import ArrivalQueue, FairQueue
from faust.messages import TP, Message, Slice

__all__ = ["Inbox", "Lane", "PartitionTask"]


class PartitionTask:
    """One partition in one assignment.

    Attributes:
        tp: The partition.
        generation: The group generation it was assigned in.
        alive: False once revoked; then nothing more of it is handed out or committed.
        attached: Sends that wait for the commit of the record they were made for: offset -> in order, what makes the
            send and what gives it up.
        closed: Nothing more of it is committed.
        delivered: Next offset after everything that was given to the lanes; -1 before the first slice.
        committed: Last offset the broker has accepted; None when there is none.
        committed_at: When that was, in monotonic seconds; when it was opened if nothing has been committed yet.
        lanes: Its readers.
        seen: Next offset after what sensors were told of (``on_message_in``).
        taken: Messages that sensors were told of in runs (``on_stream_events``).
        full: Some lane has more than it can take for now.
        paused: The driver was asked to stop fetching it.
    """

    __slots__ = (
        "alive",
        "attached",
        "closed",
        "committed",
        "committed_at",
        "delivered",
        "full",
        "generation",
        "lanes",
        "partition",
        "paused",
        "seen",
        "taken",
        "tp",
    )

    def __init__(self, tp: TP, generation: int) -> None:
        self.tp: TP = tp
        self.partition: int = tp.partition
        self.generation: int = generation
        self.alive: bool = True
        self.delivered: int = -1
        self.committed: int | None = None
        self.committed_at: float = 0.0
        self.lanes: list[Lane] = []
        self.attached: dict[int, list[tuple[Callable[[], Any], Callable[[], Any]]]] = {}
        self.closed: bool = False
        self.seen: int = 0
        self.taken: int = 0
        self.full: bool = False
        self.paused: bool = False

    def __repr__(self) -> str:
        state = "alive" if self.alive else "dead"
        return f"<PartitionTask {self.tp.topic}[{self.partition}] {state} safe={self.safe()}>"

    def safe(self) -> int:
        """Return the next offset that may be committed: everything below is finished. -1: nothing known yet."""
        safe = self.delivered
        for lane in self.lanes:
            if lane.acks:
                lane_safe = lane.safe()
                if 0 <= lane_safe < safe:
                    safe = lane_safe
        return safe

    def acking(self) -> bool:
        """Say whether any reader wants offsets of this partition to be committed."""
        return any(lane.acks for lane in self.lanes)

    def finished(self, offset: int) -> bool:
        """Say whether every reader has finished the record at *offset*."""
        return all(lane.finished(offset) for lane in self.lanes if lane.acks)

    def attach(self, offset: int, send: Callable[[], Any], drop: Callable[[], Any]) -> None:
        """Hold *send* back until the record at *offset* is committed; call *drop* when it never is."""
        if self.closed:
            drop()
        else:
            self.attached.setdefault(offset, []).append((send, drop))

    def release(self, below: int) -> None:
        """Make the sends that were attached to records below *below*.

        In order of offsets, and of one record in the order they were made.
        """
        attached = self.attached
        for offset in sorted(offset for offset in attached if offset < below):
            for send, _ in attached.pop(offset):
                send()

    def close(self) -> None:
        """Give up what is still attached: whoever reads the records again sends it again."""
        self.closed = True
        attached, self.attached = self.attached, {}
        for offset in attached:
            for _, drop in attached[offset]:
                drop()

    def in_hand(self) -> int:
        """Return how many records are handed out and not finished."""
        return sum(lane.in_hand() for lane in self.lanes)


class Lane:
    """One reader of one task.

    Attributes:
        decode_key: Record -> key; None when the key is the record's bytes.
        decode_value: Record -> value.
        queued: Records waiting in the inbox.
        limit: Records that may wait before the partition counts as full.
        closed: Next offset after the last slice that was handed out whole.
        acks: False for topics whose offsets are never committed.
        taken: Events that its readers have taken, as far as anybody has counted them (sensors).
        undecoded: Records that could not be decoded.
        fault: What the last of them was; its content is not part of that.
        dropped: Records that a tracker holds as unfinished, of a task that died before they were handed out.
        watchers: Called with the lane and a message that was acknowledged by hand.
    """

    __slots__ = (
        "acks",
        "closed",
        "current",
        "decode_key",
        "decode_value",
        "done",
        "dropped",
        "fault",
        "inbox",
        "limit",
        "queued",
        "taken",
        "task",
        "tracker",
        "undecoded",
        "watchers",
    )

    def __init__(
        self,
        task: PartitionTask,
        inbox: Inbox,
        decode_value: Callable[[Any], Any],
        decode_key: Callable[[Any], Any] | None = None,
        *,
        acks: bool = True,
        limit: int = 1024,
    ) -> None:
        self.task: PartitionTask = task
        self.inbox: Inbox = inbox
        self.decode_value: Callable[[Any], Any] = decode_value
        self.decode_key: Callable[[Any], Any] | None = decode_key
        self.acks: bool = acks
        self.limit: int = limit
        self.undecoded: int = 0
        self.fault: str = ""
        self.queued: int = 0
        self.current: Any = None
        self.done: int = task.delivered
        self.closed: int = -1
        self.dropped: int = 0
        self.taken: int = max((lane.taken for lane in task.lanes), default=0)
        self.tracker: AckTracker | None = None
        self.watchers: tuple[Callable[[Lane, Any], None], ...] = ()
        if not inbox.ordered:
            self.track()
        task.lanes.append(self)

    def track(self) -> None:
        """From now on acknowledgements may come in any order."""
        if self.tracker is None:
            tracker = AckTracker(max(self.done, 0))
            if self.current is not None:
                tracker.deliver(self.current.offset)
            self.tracker = tracker

    def start_at(self, offset: int) -> None:
        """The first slice begins at *offset*; nothing below it is ours."""
        self.done = offset
        if self.tracker is not None:
            self.tracker = AckTracker(offset)

    def safe(self) -> int:
        """Return the offset below which this reader has finished everything."""
        if self.tracker is not None:
            return self.tracker.safe
        current = self.current
        return self.done if current is None else current.offset

    def in_hand(self) -> int:
        """Return how many records this reader was handed and has not finished."""
        if self.tracker is not None:
            return self.tracker.unfinished - self.dropped
        return 0 if self.current is None else 1

    def finished(self, offset: int) -> bool:
        """Say whether this reader has finished the record at *offset*."""
        if self.tracker is not None:
            return self.tracker.finished(offset)
        return offset < self.safe()

    def ack(self, offset: int) -> bool:
        """Finish the record at *offset*; True when it was not finished before."""
        if self.tracker is not None:
            return self.tracker.ack(offset)
        current = self.current
        if current is None or current.offset != offset:
            return False
        self.done = offset + 1
        self.current = None
        return True


class Inbox:
    """Slices and thrown errors that wait for one reader.

    Attributes:
        ordered: The reader takes one record at a time and finishes it before the next.
        shared: Several readers take from it: all of them are given the same iterator over a slice, so that each record
            goes to whoever is free.
        fair: Topics and partitions take turns; else what came first is first.
        wake: Called when something was put; set by whoever waits.
        relieved: Called with a task when a full lane has room again.
    """

    __slots__ = (
        "_open",
        "errors",
        "fair",
        "maxsize",
        "ordered",
        "queue",
        "relieved",
        "shared",
        "wake",
    )

    def __init__(
        self, *, ordered: bool = True, shared: bool = False, maxsize: int = 4096, fair: bool = True
    ) -> None:
        self.fair: bool = fair
        self.queue: FairQueue[tuple[Lane, Slice]] = FairQueue() if fair else ArrivalQueue()
        self.errors: deque[BaseException] = deque()
        self.ordered: bool = ordered and not shared
        self.shared: bool = shared
        self._open: tuple[Lane, Slice] | None = None
        self.maxsize: int = maxsize
        self.wake: Callable[[], None] = _nothing
        self.relieved: Callable[[PartitionTask], None] = _ignore

    def put(self, lane: Lane, batch: Slice) -> None:
        """Queue a slice for *lane*."""
        tp = batch.tp
        records = batch.records
        lane.queued += len(records)
        self.queue.put(tp, (lane, batch))
        if lane.queued >= lane.limit:
            lane.task.full = True
        self.wake()

    def pop(self) -> tuple[Lane, Slice] | None:
        """Take the next slice whose task is alive; None when nothing waits."""
        if self._open is not None and self._has_open():
            return self._open
        while (item := self.queue.pop()) is not None:
            lane, batch = item[1]
            task = lane.task
            if not task.alive:
                continue
            lane.queued -= len(batch.records)
            if self.shared:
                records: Any = iter(batch.records)
                batch = Slice(batch.tp, batch.generation, records, batch.next_offset)
                self._open = (lane, batch)
            if task.full and lane.queued * 2 <= lane.limit:
                self._relieve(task)
            return lane, batch
        return None

    def _has_open(self) -> bool:
        """Say whether the slice that all readers share has more to give."""
        if self._open is None:
            return False
        lane, batch = self._open
        if lane.task.alive and length_hint(batch.records):
            return True
        self._open = None
        return False

    def _relieve(self, task: PartitionTask) -> None:
        if all(lane.queued * 2 <= lane.limit for lane in task.lanes):
            task.full = False
            self.relieved(task)

    def throw(self, exc: BaseException) -> None:
        """Raise *exc* in the reader, before anything that is queued."""
        self.errors.append(exc)
        self.wake()

    def clear(self) -> None:
        """Forget what waits; nothing of it counts as finished."""
        while (item := self.queue.pop()) is not None:
            lane, batch = item[1]
            lane.queued -= len(batch.records)
        self.errors.clear()
        self._open = None

    def __len__(self) -> int:
        return len(self.queue) + self._has_open()


def message_of(lane: Lane, record: Any) -> Message:
    """Show a lane's record as the documented message."""
    return Message.from_record(lane.task.tp, record, lane.task.generation)


def _nothing() -> None:
    return None


def _ignore(_task: PartitionTask) -> None:
    return None
