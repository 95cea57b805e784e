"""A worker that writes down all it does, in a way that outlives any death of the process.

One line of its file is one `Entry`, written by one ``os.write`` at the moment it happens: what a SIGKILL leaves behind
is in the file, and an event is in the file before it counts as finished. Times are monotonic, which on one machine
all processes share, so the files of several workers tell one story.

The program gets its orders as one JSON object on the command line (see `start_worker`). An event whose value is
negative makes the agent block the event loop with ``time.sleep`` for that many milliseconds.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import faust
from faust.messages import TP
from faust.tables.manager import TableManager
from tests.support.processes import PythonProcess, start_python

__all__ = [
    "ASSIGNED",
    "BLOCKED",
    "COMMITTED",
    "HANDED",
    "REVOKED",
    "TIMEOUTS",
    "Entry",
    "build",
    "read_entries",
    "start_worker",
]

HANDED, COMMITTED, ASSIGNED, REVOKED, BLOCKED = "E", "C", "A", "R", "B"
TIMEOUTS: dict[str, Any] = {
    "broker_session_timeout": 3.0,
    "broker_heartbeat_interval": 0.3,
    "broker_rebalance_timeout": 10.0,
    "broker_commit_interval": 0.5,
    "broker_request_timeout": 30.0,
}
"""Settings of every worker, in seconds."""

_ENTRY = struct.Struct("=cdiqi")


class Entry(NamedTuple):
    """One thing that a worker did.

    Attributes:
        kind: ``HANDED`` an event to the agent, ``COMMITTED`` (the broker has accepted), ``ASSIGNED``, ``REVOKED``, or
            ``BLOCKED``: the agent has been blocking the loop until now.
        at: Monotonic seconds.
        partition: Which; -1 for an assignment of nothing.
        number: Sequence number of the event, or the committed next offset; else 0.
        generation: Of the group.
    """

    kind: str
    at: float
    partition: int
    number: int
    generation: int


def read_entries(path: Path) -> list[Entry]:
    """Return what a worker has written so far; empty when it has not begun."""
    data = path.read_bytes() if path.exists() else b""
    whole = len(data) // _ENTRY.size * _ENTRY.size
    return [Entry(kind.decode(), *rest) for kind, *rest in _ENTRY.iter_unpack(data[:whole])]


def build(orders: Mapping[str, Any]) -> faust.App:
    """Make the app that *orders* describe."""
    file = os.open(orders["path"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    topic_name = orders["topic"]

    def write(kind: str, partition: int, number: int, generation: int) -> None:
        entry = _ENTRY.pack(kind.encode(), time.monotonic(), partition, number, generation)
        os.write(file, entry)

    class RecordingTables(TableManager):
        def on_commit(self, offsets: Mapping[TP, int]) -> None:
            super().on_commit(offsets)
            for tp, offset in offsets.items():
                write(COMMITTED, tp.partition, offset, app.consumer_generation_id)

    app = faust.App(
        orders["group"],
        broker=orders["url"],
        datadir=orders["datadir"],
        TableManager=RecordingTables,
        web_enabled=False,
        **TIMEOUTS,
    )
    numbers = app.topic(topic_name, value_type=int)

    @app.agent(numbers)
    async def record(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            write(HANDED, message.partition, event.value, message.generation_id)
            if event.value < 0:
                time.sleep(-event.value / 1000)  # noqa: ASYNC251 - blocking the loop is the point
                write(BLOCKED, message.partition, 0, message.generation_id)

    @app.on_partitions_assigned.connect
    async def on_assigned(_app: Any, /, *args: Any, signal: Any, **_: Any) -> None:
        assigned: set[TP] = args[0]
        ours = [tp.partition for tp in assigned if tp.topic == topic_name]
        for partition in ours or [-1]:
            write(ASSIGNED, partition, 0, app.consumer_generation_id)

    @app.on_partitions_revoked.connect
    async def on_revoked(_app: Any, /, *args: Any, signal: Any, **_: Any) -> None:
        revoked: set[TP] = args[0]
        for tp in revoked:
            if tp.topic == topic_name:
                write(REVOKED, tp.partition, 0, app.consumer_generation_id)

    return app


def start_worker(url: str, group: str, topic: str, path: Path) -> PythonProcess:
    """Start a worker of *group* that writes to *path*."""
    datadir = path.with_suffix(".data")
    orders = {"url": url, "group": group, "topic": topic, "path": str(path)}
    orders["datadir"] = str(datadir)
    return start_python(None, json.dumps(orders), module=__name__)


if __name__ == "__main__":
    faust.Worker(build(json.loads(sys.argv[1])), loglevel="info").execute_from_commandline()
