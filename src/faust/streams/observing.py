"""Telling sensors of the events of a stream, one by one or in runs; built only when a sensor listens.

One by one (`Observer`): the loop has no place for it: it is the first processor of the stream, and it is told when a
record is finished.

In runs (`Tally`): the loop counts what it hands out anyway. A run ends with its slice, or when the loop lets others run
(every 2 ms), or when somebody looks at a counter, so that what a `faust.Monitor` shows is exact whenever it is read,
and costs nothing per event.
"""

from __future__ import annotations

from typing import Any

from faust._core.iteration import Cursor
from faust._core.lanes import Lane
from faust.sensors.base import Hooks, Run

__all__ = ["Observer", "Tally", "wanted"]


def wanted(hooks: Hooks) -> bool:
    """Say whether any sensor listens to single events."""
    return any(
        (
            hooks.on_message_in,
            hooks.on_stream_event_in,
            hooks.on_stream_event_out,
            hooks.on_message_out,
        )
    )


class Observer:
    """What the sensors know of the events a stream has in hand.

    Arguments:
        stream: The stream, for the sensors.
        cursor: Its place.
        hooks: The functions of the sensors.

    Attributes:
        singly: The stream finishes each event before it takes the next.
    """

    def __init__(self, stream: Any, cursor: Cursor, hooks: Hooks) -> None:
        self._stream = stream
        self._cursor = cursor
        self._hooks = hooks
        self.singly = True
        self._lane: Lane | None = None
        self._states: dict[tuple[int, int], tuple[Lane, Any, Any, Any]] = {}

    @property
    def unfinished(self) -> int:
        """Events that were begun and have not ended."""
        return len(self._states)

    def begin(self, value: Any) -> Any:
        """As a processor: the record in hand is taken."""
        cursor, hooks = self._cursor, self._hooks
        lane, record = cursor.lane, cursor.record
        event = cursor.event()
        if self.singly and cursor.enable_acks:
            for known_lane, known, _, _ in list(self._states.values()):
                self.end(known_lane, known)
        if lane is None or event is None or not hasattr(event, "message"):
            return value
        if lane is not self._lane:
            self._enter(lane)
        tp, offset = lane.task.tp, getattr(record, "offset", -1)
        if hooks.on_message_in is not None and lane.acks and offset >= lane.task.seen:
            lane.task.seen = offset + 1
            hooks.on_message_in(tp, offset, event.message)
        into = hooks.on_stream_event_in
        state = None if into is None else into(tp, offset, self._stream, event)
        self._states[_key(lane, record)] = (lane, record, event, state)
        return value

    def _enter(self, lane: Lane) -> None:
        """Hear what is acknowledged by hand, and give up what cannot be any more: its partition was given away."""
        self._lane = lane
        if self.end not in lane.watchers:
            lane.watchers = (*lane.watchers, self.end)
        for known_lane, known, _, _ in list(self._states.values()):
            if not known_lane.task.alive:
                self.end(known_lane, known)

    def end(self, lane: Lane, record: Any) -> None:
        """The record has been finished; *record* is the record, or the message that shows it."""
        known = self._states.pop(_key(lane, record), None)
        if known is None:
            return
        hooks = self._hooks
        _, _, event, state = known
        tp, offset = lane.task.tp, getattr(record, "offset", -1)
        if hooks.on_stream_event_out is not None:
            hooks.on_stream_event_out(tp, offset, self._stream, event, state)
        if hooks.on_message_out is not None and lane.acks and lane.task.finished(offset):
            hooks.on_message_out(tp, offset, event.message)


class Tally:
    """How many events a stream has taken and finished, told in runs.

    Arguments:
        stream: The stream, for the sensors.
        cursor: Its place.
        hooks: The functions of the sensors.
    """

    def __init__(self, stream: Any, cursor: Cursor, hooks: Hooks) -> None:
        self._stream = stream
        self._cursor = cursor
        self._hooks = hooks
        self.singly = True
        """The stream finishes each event before it takes the next."""
        self._lanes: dict[Lane, None] = {}
        self._taken = cursor.count + cursor.passed
        self._finished = self._taken - self._in_hand()
        self._timed = self._finished
        self._since = cursor.clock()
        self._lane: Lane | None = cursor.lane

    def opened(self) -> None:
        """A run begins: time is measured from here."""
        cursor = self._cursor
        if cursor.lane is not None:
            self._lane = cursor.lane
            self._lanes[cursor.lane] = None
        self._since = cursor.clock()
        self._timed = self._finished

    def closing(self, *, whole: bool) -> None:
        """A run ends; the lane of its events is still known. *whole*: with its slice."""
        cursor, lane = self._cursor, self._cursor.lane
        if lane is None:
            lane = self._lane
        if lane is None:
            return
        taken = cursor.count + cursor.passed
        finished = max(self._finished, taken - self._in_hand())
        seconds = None
        if finished > self._timed and (self.singly or not whole):
            seconds = (cursor.clock() - self._since) / (finished - self._timed)
            self._timed = finished
        offset = cursor.last_offset() if whole else -1
        self._tell(lane, taken, finished, seconds, _last_of(lane) if offset < 0 else offset)

    def settle(self) -> None:
        """Somebody wants to know now."""
        cursor = self._cursor
        lane = self._lane if cursor.lane is None else cursor.lane
        if lane is None:
            return
        taken = cursor.count + cursor.passed
        finished = max(self._finished, taken - self._in_hand())
        self._tell(lane, taken, finished, None, _last_of(lane))
        for other in [one for one in self._lanes if one is not lane]:
            self._tell(other, taken, finished, None, -1)

    def _tell(
        self, lane: Lane, taken: int, finished: int, seconds: float | None, offset: int
    ) -> None:
        events, ends = taken - self._taken, finished - self._finished
        self._taken, self._finished = taken, finished
        lane.taken += events
        task = lane.task
        messages = unfinished = 0
        if task.alive:
            self._lanes[lane] = None
            readers = [one for one in task.lanes if one.acks]
            if readers:
                messages = max(one.taken for one in readers) - task.taken
                messages = max(messages, 0)
                task.taken += messages
                unfinished = task.taken - min(one.taken - one.in_hand() for one in readers)
                held = len(self._cursor.batch)
                if held > unfinished and lane is self._lane:
                    unfinished = held
        else:
            self._lanes.pop(lane, None)
            messages = events if lane.acks else 0
        hook = self._hooks.on_stream_events
        if hook is not None:
            run = Run(task.tp, events, ends, seconds, messages, unfinished, offset)
            hook(self._stream, run)

    def _in_hand(self) -> int:
        """Return how many events were taken and are not finished."""
        cursor = self._cursor
        if not cursor.enable_acks:
            return sum(lane.in_hand() for lane in self._lanes if lane.task.alive)
        return len(cursor.batch) + cursor.collected + (cursor.record is not None)


def _last_of(lane: Lane) -> int:
    """Return the offset of the last record that was taken; -1: none."""
    if lane.tracker is not None:
        return lane.tracker.high - 1
    return lane.done - 1 if lane.current is None else int(lane.current.offset)


def _key(lane: Lane, record: Any) -> tuple[int, int]:
    """Name a record of a lane; what was put into a channel by hand has no offset."""
    offset = getattr(record, "offset", -1)
    return id(lane), id(record) if offset < 0 else offset
