"""Whole applications in a test: started, fed, waited for, stopped."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust

__all__ = ["committed_everything", "eventually", "make_app", "running"]

QUICK: dict[str, Any] = {
    "broker_commit_interval": 0.1,
    "broker_session_timeout": 6.0,
    "broker_heartbeat_interval": 0.5,
    "broker_rebalance_timeout": 6.0,
    "broker_request_timeout": 30.0,
    "topic_partitions": 4,
}


def make_app(broker_url: str, id: str, **options: Any) -> faust.App:
    """Make an app with the short timeouts of tests."""
    datadir = Path(tempfile.gettempdir()) / "faust-tests" / id
    datadir.parent.mkdir(exist_ok=True)
    return faust.App(id, broker=broker_url, **{"datadir": datadir, **QUICK, **options})


@asynccontextmanager
async def running(app: faust.App) -> AsyncIterator[faust.App]:
    """Start *app*, and stop it in the end; an app that crashed fails the test with its reason."""
    await app.start()
    try:
        yield app
    finally:
        crash = app.crash_reason
        await app.stop()
    if crash is not None:
        raise crash


async def eventually(condition: Callable[[], Any], timeout: float = 20.0) -> None:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"did not become true within {timeout} s"
        await asyncio.sleep(0.01)


async def committed_everything(app: faust.App, timeout: float = 20.0) -> None:
    """Wait until the group has committed everything that is in the topics it reads."""
    deadline = time.monotonic() + timeout
    while True:
        await app.commit()
        consumer = app.consumer
        tps = list(consumer.tasks)
        ends = await consumer.end_offsets(tps)
        done = await consumer.committed(tps)
        behind = {tp: (done[tp], end) for tp, end in ends.items() if (done[tp] or 0) < end}
        if not behind:
            return
        assert time.monotonic() < deadline, f"not committed within {timeout} s: {behind}"
        await asyncio.sleep(0.02)
