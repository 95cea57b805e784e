"""The time of windows in a running application (windows.md, BUG-W12)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.apps import committed_everything, eventually, make_app, running

INTERVAL = 0.1
START = 1_000_000.0


async def test_events_that_wait_are_not_late(tmp_path: Path) -> None:
    """BUG-W12: while an agent is held up the time of its windows stands still; then it goes on by itself, and the last closes."""
    app = make_app(
        "memory://held-up",
        "held-up",
        datadir=tmp_path,
        topic_partitions=1,
        table_cleanup_interval=INTERVAL,
        web_enabled=False,
    )
    closed: list[tuple[float, int]] = []
    hits: Any = app.Table(
        "hits", default=int, on_window_close=lambda key, n: closed.append((key[1][0], n)), grace=0.3
    ).tumbling(1.0)
    clicks = app.topic("clicks", value_type=str, internal=True)
    held_up = asyncio.Event()

    @app.agent(clicks)
    async def count(stream: Any) -> None:
        async for page in stream:
            if page == "slow":
                held_up.set()
                # as long as twenty looks at the windows, in which the clock passes ten of them
                await asyncio.sleep(20 * INTERVAL)
            hits[page] += 1

    async with running(app):
        await clicks.send(value="first", timestamp=START)
        await eventually(lambda: len(hits.table) == 1)
        await clicks.send(value="slow", timestamp=START)
        await held_up.wait()
        for number in range(20):
            await clicks.send(value="page", timestamp=START + number / 10)
        await eventually(lambda: (START + 1.0, 10) in closed)
    assert hits.table.late == 0
    assert sorted(closed) == [(START, 1), (START, 1), (START, 10), (START + 1.0, 10)]


async def test_late_events_go_to_a_topic_of_their_own(tmp_path: Path) -> None:
    """An event that all its windows are closed for goes to late_topic, once and as it came; others do not (pain row 33)."""
    app = make_app("memory://late", "late", datadir=tmp_path, topic_partitions=1, web_enabled=False)
    clicks = app.topic("late-clicks", key_type=str, value_type=str, internal=True)
    late = app.topic("late-late", key_type=str, value_type=str, internal=True)
    hits: Any = app.Table("hits", default=int, grace=20, late_topic=late).hopping(10, 5)
    users: Any = app.SetTable("users", grace=20, late_topic=late).tumbling(10)
    seen: list[Any] = []

    @app.agent(clicks)
    async def count(stream: Any) -> None:
        async for user, page in stream.items():
            hits[page] += 1
            hits[user] += 1
            users[page].add(user)

    @app.agent(late)
    async def collect(stream: Any) -> None:
        async for event in stream.events():
            seen.append((event.key, event.value, event.message.timestamp, dict(event.headers)))

    async with running(app):
        for second in (100.0, 75.1, 50.0, 100.0):  # the second one is late for one window of two
            await clicks.send(
                key=f"u{second:g}", value="/", timestamp=START + second, headers={"n": b"1"}
            )
        await eventually(lambda: len(seen) == 3)
        await committed_everything(app)
    of_hits = ("u50", "/", START + 50, {"n": b"1"})
    of_users = ("u75.1", "/", START + 75.1, {"n": b"1"})
    assert sorted(seen) == sorted([of_hits, of_hits, of_users])
    assert (hits.table.late, users.table.late) == (2 + 4, 2)
