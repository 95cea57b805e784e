"""The programs that faults happen to, by ``FAULTS_APP``: ``pipe``, ``count``, ``group`` and ``rpc``.

The source has the numbers from 0 on. Number n has the key ``n % KEYS`` and stands in partition ``key % PARTITIONS``; so the
numbers of a key are in order, and which one is missing or there twice can be told from the output alone. See `chaos` for the
rest of the environment.

An empty file named ``hang`` in the directory ``FAULTS_CONTROL`` makes every agent wait until it is removed. With
``FAULTS_DIARIES``, a directory, every process keeps a `diary` there.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import faust
from faust.messages import TP
from tests.functional.faults.diary import Diary

PARTITIONS = 8
KEYS = 64
GROUPS = 16
"""Keys of the second topic of ``group``; all numbers of a key belong to one."""
WINDOW = 1000
"""Seconds of a window; the time of number n is n seconds."""
SESSION_TIMEOUT = 4.0
COMMIT_INTERVAL = 0.5

NAME = os.environ.get("FAULTS_NAME", "chaos")
KIND = os.environ.get("FAULTS_APP", "pipe")
CONTROL = Path(os.environ.get("FAULTS_CONTROL", "."))
DUMP = os.environ.get("FAULTS_DUMP")
DIARIES = os.environ.get("FAULTS_DIARIES")
SETTINGS: dict[str, Any] = {
    "broker_commit_interval": COMMIT_INTERVAL,
    "broker_session_timeout": SESSION_TIMEOUT,
    "broker_heartbeat_interval": 0.5,
    "broker_rebalance_timeout": 10.0,
    "broker_request_timeout": 10.0,
    "topic_partitions": PARTITIONS,
    "topic_disable_leader": True,
    "web_enabled": False,
    **json.loads(os.environ.get("FAULTS_SETTINGS", "{}")),
}

app = faust.App(NAME, **SETTINGS)
source = app.topic(f"{NAME}-in", key_type=str, value_type=int)
output = app.topic(f"{NAME}-out", key_type=str, value_type=int)
flows = asyncio.Event()
flows.set()  # `control` begins when the worker is ready; partitions may flow before


def group_of(number: int) -> str:
    """Return the group of a number."""
    return str(number % KEYS % GROUPS)


def keep_diary(directory: Path) -> Callable[[], None]:
    """Begin the diary of this process; return what writes down the event in hand."""
    worker = os.environ.get("FAULTS_WORKER", "worker")
    diary = Diary(directory / f"{worker}-{os.getpid()}.diary")

    class Commits(faust.Sensor):
        def on_tp_commit(self, tp_offsets: Mapping[TP, int]) -> None:
            diary.committed(tp_offsets)

    app.sensors.add(Commits())

    def note() -> None:
        event = faust.current_event()
        assert event is not None
        message = event.message
        diary.handles(message.topic, message.partition, message.offset)

    return note


note = keep_diary(Path(DIARIES)) if DIARIES else lambda: None


@app.task
async def control() -> None:
    """Hang while the file is there."""
    while True:
        if (CONTROL / "hang").exists():
            flows.clear()
        else:
            flows.set()
        await asyncio.sleep(0.05)


async def pipe(stream: Any) -> None:
    """Pass each number on."""
    async for key, number in stream.items():
        await flows.wait()
        note()
        await output.send(key=key, value=number)


async def rpc(stream: Any) -> AsyncIterator[int]:
    """Answer each number with itself."""
    async for number in stream:
        await flows.wait()
        note()
        yield number


def declare() -> Any:
    """Declare what the kind of app needs; return its table, if it has one."""
    if KIND in {"pipe", "rpc"}:
        app.agent(source, name="work")(pipe if KIND == "pipe" else rpc)
        return None
    table = app.Table("counts", default=int, key_type=str, value_type=int)
    if KIND == "count":

        async def count(stream: Any) -> None:
            async for key, number in stream.items():
                await flows.wait()
                note()
                table[key] += 1
                await output.send(key=key, value=number)

        app.agent(source, name="work")(count)
        return table
    assert KIND == "group", KIND
    windows = table.tumbling(WINDOW).relative_to(lambda event: float(event.value))
    grouped = app.topic(f"{NAME}-grouped", key_type=str, value_type=int, internal=True)

    def regroup(number: int) -> str:
        note()
        return group_of(number)

    async def group(stream: Any) -> None:
        async for number in stream.group_by(regroup, name="group", topic=grouped):
            await flows.wait()
            note()
            windows[group_of(number)] += 1
            await output.send(key=str(number % KEYS), value=number)

    app.agent(source, name="work")(group)
    return table


counted = declare()


def write_table(path: Path) -> None:
    """Write down the table; the file is there when all of it is."""
    path.with_suffix(".new").write_text(json.dumps([[key, it] for key, it in counted.items()]))
    path.with_suffix(".new").rename(path)


@app.task
async def dump() -> None:
    """Write down the table as it was recovered; for whoever compares it with its changelog."""
    if DUMP:
        write_table(Path(DUMP))


if __name__ == "__main__":
    app.main()
