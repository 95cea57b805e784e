"""A worker whose timer and cron job run on the leader only; each run is a line in a file. See ``test_leader.py``."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import faust

__all__ = ["INTERVAL", "SESSION", "build"]

INTERVAL = 4
"""Seconds between two runs: more than it takes until a leader that was killed is replaced."""
SESSION = 1.5


def build(broker: str, id: str, name: str, directory: Path) -> faust.App:
    """Make the app of the worker called *name*, which writes into *directory*."""
    app = faust.App(
        id,
        broker=broker,
        datadir=directory / f"data-{name}",
        topic_partitions=3,
        broker_session_timeout=SESSION,
        broker_heartbeat_interval=0.3,
        broker_rebalance_timeout=3.0,
        broker_request_timeout=30.0,
    )
    file = (directory / f"{name}.ticks").open("a", buffering=1)

    def note(kind: str) -> None:
        file.write(f"{kind} {time.time():.3f}\n")

    @app.agent(name="something")
    async def something(stream: faust.Stream[object]) -> None:
        async for _ in stream:
            pass

    @app.timer(INTERVAL, on_leader=True)
    async def timer() -> None:
        note("timer")

    @app.crontab(f"* * * * * */{INTERVAL}", on_leader=True)
    async def cron() -> None:
        note("cron")

    @app.timer(0.05)
    async def leadership() -> None:
        if app.is_leader() is not leading[0]:
            leading[0] = not leading[0]
            note("leads" if leading[0] else "led")

    leading = [False]
    return app


async def main() -> None:
    """Run until killed."""
    broker, id, name, directory = sys.argv[1:5]
    await build(broker, id, name, Path(directory)).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
