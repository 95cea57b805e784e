"""The application that is soaked: group_by, table, sink and RPC at once; it says how it is, line by line.

Run by `tests.soak.memory` with one JSON object in the variable ``SOAK_ORDERS``: ``broker``, ``datadir``, ``every``
(seconds between two lines), ``objects_every`` (seconds between two counts of live objects). Each line it prints is one
JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from typing import Any

import faust
from tests.soak.meter import census, look

PARTITIONS = 4
KEYS = 5_000
KEPT = 20.0
"""Seconds that topics keep their records, so that the disk of a long run stays small."""
ASKERS = 8
PAUSE = 0.02
"""Seconds between two questions of one asker."""

_orders: dict[str, Any] = json.loads(os.environ.get("SOAK_ORDERS", "{}"))

app = faust.App(
    "soak",
    broker=_orders.get("broker", "memory://soak"),
    datadir=_orders.get("datadir", tempfile.gettempdir() + "/soak"),
    topic_partitions=PARTITIONS,
    broker_commit_interval=1.0,
    reply_expires=60.0,
)
numbers = app.topic("soak-numbers", value_type=int, internal=True, retention=KEPT)
grouped = app.topic("soak-grouped", key_type=str, value_type=int, internal=True, retention=KEPT)
passed = app.topic("soak-passed", value_type=int, internal=True, retention=KEPT)
questions = app.topic("soak-questions", value_type=int, internal=True, retention=KEPT)
counts = app.Table("counts", key_type=int, value_type=int, default=int)
done = Counter[str]()


@app.agent(numbers, sink=[passed])
async def count(stream: Any) -> Any:
    """Count numbers by key, and pass them on."""
    async for number in stream.group_by(lambda n: str(n % KEYS), name="key", topic=grouped):
        counts[number % KEYS] += 1
        done["counted"] += 1
        yield number


@app.agent(passed)
async def end(stream: Any) -> None:
    """Read what was passed on."""
    async for _ in stream:
        done["passed"] += 1


@app.agent(questions)
async def answer(stream: Any) -> Any:
    """Answer a number by its successor."""
    async for number in stream:
        yield number + 1


@app.task
async def ask() -> None:
    """Ask without end, and check each answer."""

    async def one() -> None:
        number = 0
        while not app.should_stop:
            assert await answer.ask(number) == number + 1
            done["answered"] += 1
            number += 1
            await asyncio.sleep(PAUSE)

    await asyncio.gather(*(one() for _ in range(ASKERS)))


@app.task
async def report() -> None:
    """Say every now and then how it is; count objects now and then, since that takes long."""
    began = time.monotonic()
    objects = float(_orders.get("objects_every", 30.0))
    counted = 0.0
    while not app.should_stop:
        await asyncio.sleep(float(_orders.get("every", 1.0)))
        seconds = time.monotonic() - began
        line: dict[str, Any] = {
            "seconds": round(seconds, 1),
            **look(),
            "done": dict(done),
        }
        if seconds - counted >= objects:
            counted = seconds
            line["objects"] = census()
        print(json.dumps(line), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    app.main()
