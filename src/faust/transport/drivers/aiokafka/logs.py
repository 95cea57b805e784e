"""What aiokafka may say in the application's log.

aiokafka reports every attempt of every retry as an error: a broker that restarts fills the log with thousands of
equal lines, and an ordinary rebalance looks like a fault. The driver reports connections itself (first time, then at
growing intervals), so here the library's loggers are set to WARNING, events that are no fault go down to DEBUG, and
what repeats is shown at growing intervals with a count. Nothing else is dropped.
"""

from __future__ import annotations

import logging
import threading
import time

__all__ = ["Repeats", "quieten"]

_LOGGERS = (
    "aiokafka",
    "aiokafka.admin.client",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.consumer.subscription_state",
    "aiokafka.producer.message_accumulator",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)

_NO_FAULT = (
    "Heartbeat failed for group %s because it is rebalancing",
    "Topic %s is not available during auto-create initialization",
    "Topic %s not found in cluster metadata",
    "Sending username and password in the clear",
    "Marking the coordinator dead (node %s)for group %s.",
    "No broker metadata found in MetadataResponse -- ignoring.",
)
"""Formats of records that tell of ordinary events, or of what the driver reports itself."""

_REPORTED = (
    "Error sending %s to node %s [%s] -- marking coordinator dead",
    "Failed fetch messages from %s: %s",
    "Failed fetch offsets from %s: %s",
    "Got error produce response: %s",
    "Group Coordinator Request failed: %s",
    "Heartbeat send request failed: %s. Will retry.",
    "Heartbeat session expired - marking coordinator dead",
    "Unable connect to node with id %s: %s",
    "Unable to request metadata from node with id %s: %r",
    "Unable to update metadata from %s",
    "Cannot send %r to %s: %r",
    "Could not send %r: %r",
)
"""Formats of records about connections, which `DriverState` and the driver's own log lines tell better."""

_PATIENT = (
    "Got error produce response on topic-partition %s, retrying. Error: %s",
    "OffsetCommit failed for group %s because group is initializing (%s), will retry",
)
"""Formats that are ordinary once or twice, say after a leader was elected, and worth a line when they go on."""

_PATIENCE = 10
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0

_lock = threading.Lock()
_installed = False


class Repeats(logging.Filter):
    """Let a format pass the first time, then at growing intervals, saying how often it was held back."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, int], tuple[float, float, int]] = {}
        self._ordinary: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether *record* is shown."""
        message = record.msg if isinstance(record.msg, str) else ""
        if message in _NO_FAULT or message in _REPORTED or self._is_ordinary(message):
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
            return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        key = (message, record.levelno)
        now = time.monotonic()
        until, pause, held = self._seen.get(key, (0.0, _FIRST_PAUSE, 0))
        if now < until:
            self._seen[key] = (until, pause, held + 1)
            return False
        if now > until + 2 * _LONGEST_PAUSE:
            pause = _FIRST_PAUSE
        if held:
            record.msg = f"{message} (and {held} more like it)"
        self._seen[key] = (now + pause, min(pause * 2, _LONGEST_PAUSE), 0)
        return True

    def _is_ordinary(self, message: str) -> bool:
        """Say whether a format that may happen now and then has not happened often lately."""
        if message not in _PATIENT:
            return False
        now = time.monotonic()
        last, count = self._ordinary.get(message, (0.0, 0))
        count = count + 1 if now < last + _LONGEST_PAUSE else 1
        self._ordinary[message] = (now, count)
        return count < _PATIENCE


def quieten() -> None:
    """Set up aiokafka's loggers, once per process; a level that somebody has set is left alone."""
    global _installed
    with _lock:
        if _installed:
            return
        _installed = True
        root = logging.getLogger("aiokafka")
        if root.level == logging.NOTSET:
            root.setLevel(logging.WARNING)
        filter = Repeats()
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(filter)
