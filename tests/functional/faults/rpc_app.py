"""The two processes of the RPC trial: who answers, and who asks. See ``rpc.py``.

The asking process is told what to do, line by line, and answers each line with JSON:

* ``ask N``: ask N questions at once, wait until every promise has ended, and count how;
* ``restart``: stop the app, and start it again; what was asked before must end;
* ``wait``: report on the last ``ask`` that was started with ``begin N``;
* ``memory``: collect garbage, and say what is left.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
from faust.agents.promises import ReplyPromise

__all__: list[str] = []


def build(broker: str, id: str) -> tuple[faust.App, Any]:
    """Make the app, which both processes share."""
    app = faust.App(
        id,
        broker=broker,
        datadir=tempfile.mkdtemp(prefix="faust-rpc-"),
        topic_partitions=4,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=0.5,
        broker_rebalance_timeout=6.0,
        broker_request_timeout=30.0,
        broker_commit_interval=0.2,
    )

    @app.agent(name="double", value_type=int)
    async def double(numbers: faust.Stream[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number * 2

    return app, double


async def answer(app: faust.App) -> None:
    """Answer until killed."""
    await app.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def ask_many(double: Any, count: int) -> dict[str, Any]:
    """Ask *count* questions at once; say how the promises ended, and how long that took."""
    began = time.monotonic()
    ended = await asyncio.gather(
        *(double.ask(number) for number in range(count)), return_exceptions=True
    )
    outcome: collections.Counter[str] = collections.Counter()
    for number, result in enumerate(ended):
        if isinstance(result, BaseException):
            outcome[type(result).__name__] += 1
        else:
            outcome["right" if result == number * 2 else "wrong"] += 1
    return {**outcome, "seconds": time.monotonic() - began}


def memory() -> dict[str, Any]:
    """Say what is left."""
    gc.collect()
    objects = gc.get_objects()
    promises = sum(isinstance(one, ReplyPromise) for one in objects)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"promises": promises, "objects": len(objects), "rss_mb": pages * 4096 / 2**20}


async def asking(app: faust.App, double: Any) -> None:
    """Obey the lines of the trial."""
    loop = asyncio.get_running_loop()
    running: asyncio.Task[dict[str, Any]] | None = None
    await double.ask(0)
    print(json.dumps("ready"), flush=True)
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        result: Any = "done"
        if line[0] == "ask":
            result = await ask_many(double, int(line[1]))
        elif line[0] == "begin":
            running = asyncio.create_task(ask_many(double, int(line[1])))
            await asyncio.sleep(float(line[2]))
        elif line[0] == "wait" and running is not None:
            result, running = await running, None
        elif line[0] == "restart":
            await app.restart()
        elif line[0] == "memory":
            result = {**memory(), "waiting": app.reply_consumer.waiting}
        print(json.dumps(result), flush=True)
    await app.stop()


if __name__ == "__main__":
    part, broker, id = sys.argv[1:4]
    made = build(broker, id)
    asyncio.run(answer(made[0]) if part == "answer" else asking(*made))
