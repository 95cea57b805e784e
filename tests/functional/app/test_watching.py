"""transport.md 10, livelock detector: an event that takes too long and a commit that does not come are told as errors."""

from __future__ import annotations

import asyncio
import logging
import uuid
from pathlib import Path
from typing import Any

import pytest

import faust
from tests.support.apps import eventually


def watched_app(tmp_path: Path, **options: Any) -> tuple[faust.App, Any, asyncio.Event]:
    """Make an app whose agent takes as long over each event as the event in the answer says."""
    app = faust.App(
        "watched", broker=f"memory://{uuid.uuid4().hex}", datadir=tmp_path, env={}, web_enabled=False, **options
    )  # fmt: skip
    topic = app.topic("work", value_type=str, partitions=1, internal=True)
    go_on = asyncio.Event()

    @app.agent(topic, name="worker")
    async def work(stream: Any) -> None:
        async for _ in stream:
            await go_on.wait()

    return app, topic, go_on


def errors(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    """Return the errors in the log that have *words* in them."""
    found = [r for r in caplog.records if r.levelno == logging.ERROR and words in r.getMessage()]
    return [record.getMessage() for record in found]


async def test_an_event_that_takes_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """transport.md 10: stream_processing_timeout tells topic, partition, offset and place, once, and cancels nothing."""
    app, topic, go_on = watched_app(
        tmp_path, stream_processing_timeout=0.5, broker_commit_interval=0.1
    )
    async with app:
        await (await topic.send(value="a"))
        await (await topic.send(value="b"))
        await eventually(lambda: errors(caplog, "stream_processing_timeout"), 10.0)
        await asyncio.sleep(2.2)  # two more looks
        (told,) = errors(caplog, "stream_processing_timeout")
        assert "work[0]: the event at offset 0" in told
        assert "worker waits at" in told
        go_on.set()
        await eventually(lambda: app.health.table()[0]["committed"] == 2, 10.0)


async def test_commits_that_do_not_come(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """transport.md 10: broker_commit_livelock_soft_timeout tells of finished events that nobody commits, once."""
    app, topic, go_on = watched_app(
        tmp_path, broker_commit_livelock_soft_timeout=0.5, broker_commit_interval=60.0
    )
    go_on.set()
    async with app:
        await (await topic.send(value="a"))
        await eventually(lambda: errors(caplog, "broker_commit_livelock_soft_timeout"), 10.0)
        await asyncio.sleep(2.2)
        (told,) = errors(caplog, "broker_commit_livelock_soft_timeout")
        assert told.startswith("work[0]: the committed offset has not moved for more than 0.5 s")


async def test_zero_is_never(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """settings.md: a timeout of 0 switches either watch off."""
    app, topic, go_on = watched_app(
        tmp_path,
        broker_commit_livelock_soft_timeout=0.0,
        stream_processing_timeout=0.0,
        broker_commit_interval=60.0,
    )
    async with app:
        await (await topic.send(value="a"))
        await asyncio.sleep(2.5)
        go_on.set()
        await asyncio.sleep(1.5)
    assert errors(caplog, "") == []
