"""Telling sensors of every event of a stream; built only when a sensor listens to one of these moments.

The loop has no place for it: it is the first processor of the stream, and it is told when a record is finished.
"""

from __future__ import annotations

from typing import Any

from faust._core.iteration import Cursor
from faust._core.lanes import Lane
from faust.sensors.base import Hooks

__all__ = ["Observer", "wanted"]


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
        singly: The stream finishes each event before it takes the next.
    """

    def __init__(self, stream: Any, cursor: Cursor, hooks: Hooks, *, singly: bool) -> None:
        self._stream = stream
        self._cursor = cursor
        self._hooks = hooks
        self._singly = singly
        self._states: dict[tuple[int, int], tuple[Lane, Any, Any, Any]] = {}

    def begin(self, value: Any) -> Any:
        """As a processor: the record in hand is taken."""
        cursor, hooks = self._cursor, self._hooks
        lane, record = cursor.lane, cursor.record
        event = cursor.event()
        if self._singly and cursor.enable_acks:
            for known_lane, known, _, _ in list(self._states.values()):
                self.end(known_lane, known)
        if lane is None or event is None or not hasattr(event, "message"):
            return value
        tp, offset = lane.task.tp, getattr(record, "offset", -1)
        if hooks.on_message_in is not None and lane.acks and offset >= lane.task.seen:
            lane.task.seen = offset + 1
            hooks.on_message_in(tp, offset, event.message)
        into = hooks.on_stream_event_in
        state = None if into is None else into(tp, offset, self._stream, event)
        self._states[_key(lane, record)] = (lane, record, event, state)
        return value

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


def _key(lane: Lane, record: Any) -> tuple[int, int]:
    """Name a record of a lane; what was put into a channel by hand has no offset."""
    offset = getattr(record, "offset", -1)
    return id(lane), id(record) if offset < 0 else offset
