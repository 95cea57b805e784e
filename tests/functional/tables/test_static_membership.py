"""Static membership (KIP-345) with tables: recovery-rebalance.md 1, pain row 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faust
from tests.support.apps import committed_everything, eventually, make_app, running


def make(directory: Path, name: str) -> tuple[faust.App, Any, Any]:
    """Make a worker that has a name of its own."""
    app = make_app(
        f"local://{directory / 'broker'}",
        "static",
        datadir=directory / name,
        store="rocksdb://",
        consumer_group_instance_id=name,
        canonical_url=f"http://{name}:6066",
        topic_disable_leader=True,
        broker_session_timeout=20.0,
        broker_request_timeout=30.0,
    )
    words = app.topic("static-words", key_type=str, value_type=str, internal=True)
    counts = app.Table("counts", default=int)

    @app.agent(words)
    async def count(stream: Any) -> None:
        async for word in stream:
            counts[word] += 1

    return app, words, counts


async def test_pain_06_static_ids_move_nothing(tmp_path: Path) -> None:
    """A worker with an instance id that restarts within its session: nobody rebalances, it gets its partitions back."""
    first, words, counts = make(tmp_path, "first")
    async with running(first):
        second, _, others = make(tmp_path, "second")
        async with running(second):
            await eventually(lambda: len(first.consumer.tasks) == len(second.consumer.tasks) == 2)
            for number in range(40):
                await words.send(key=f"w{number}", value=f"w{number}")
            await eventually(lambda: sum(counts.values()) + sum(others.values()) == 40)
            await committed_everything(second)
            held = set(second.consumer.tasks)
            mine = dict(others.items())
        count, generation = first.rebalancing_count, first.consumer_generation_id
        again, _, others = make(tmp_path, "second")
        async with running(again):
            await eventually(lambda: bool(again.consumer.tasks))
            assert set(again.consumer.tasks) == held
            assert dict(others.items()) == mine
            assert first.rebalancing_count == count
            assert first.consumer_generation_id == generation
