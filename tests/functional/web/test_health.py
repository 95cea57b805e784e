"""Issue 7, health: `/health/live` and `/health/ready` see what stands still, say why, and see it get on again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faust._core.progress import Progress, Seen
from faust.messages import TP
from tests.support.apps import eventually
from tests.support.kafka import KafkaCluster
from tests.support.processes import start_python
from tests.support.web import Client, served, web_app

HERE = Path(__file__).name
HANGS_AT = 1 + next(
    number
    for number, line in enumerate(Path(__file__).read_text().splitlines())
    if line.endswith("# here it hangs")
)


def seen(**changes: Any) -> Seen:
    """Make a look at a partition that has nothing to do."""
    nothing: dict[str, Any] = {
        "delivered": 5, "finished": 5, "committed": 5, "end": 5, "position": 5, "in_hand": 0, "waiting": 0,
    }  # fmt: skip
    return Seen(**{**nothing, **changes})


def after(*looks: Seen) -> tuple[float, float]:
    """Look once per second; return for how long partition and commits stand still."""
    progress = Progress(TP("t", 0), 0.0)
    for second, look in enumerate(looks, 1):
        progress.look(look, float(second))
    return len(looks) - progress.still_since, len(looks) - progress.commits_still_since


def test_what_standing_still_is() -> None:
    """Only who has something to do stands still: in hand, waiting, or at the broker; what moves does not."""
    assert after(*[seen()] * 5) == (0, 0)
    assert after(*[seen(end=9)] * 5) == (4, 0)
    assert after(*[seen(in_hand=1, finished=4)] * 5) == (4, 0)
    assert after(*[seen(waiting=1, finished=4)] * 5) == (4, 0)
    assert after(*[seen(finished=i, in_hand=1, committed=None) for i in range(5)]) == (0, 0)
    assert after(*[seen(position=i, end=99) for i in range(5)]) == (0, 0)
    fetching = [seen(position=i, end=99, in_hand=1, finished=0, committed=0) for i in range(5)]
    assert after(*fetching) == (4, 0)  # reading ahead is no progress
    assert after(*[seen(committed=3)] * 5) == (0, 4)
    assert after(*[seen(committed=i) for i in range(5)]) == (0, 0)
    assert after(*[seen(position=None, end=None)] * 5) == (0, 0)


def hanging_app(**options: Any) -> tuple[Any, Any, asyncio.Event]:
    """Make an app whose agent hangs in an await at the value ``hang`` until the event is set."""
    app = web_app(health_stall_timeout=1.0, topic_partitions=1, **options)
    topic = app.topic("work", value_type=str, partitions=1, internal=True)
    cure = asyncio.Event()

    @app.agent(topic, name="worker")
    async def work(stream: Any) -> None:
        async for value in stream:
            if value == "hang":
                await cure.wait()  # here it hangs

    return app, topic, cure


async def became(client: Client, status: int, words: str = "", timeout: float = 20.0) -> Any:
    """Wait until `/health/ready` answers with *status* and a reason that has *words* in it."""
    deadline = time.monotonic() + timeout
    while True:
        answer, shown = await client.json("/health/ready")
        if answer == status and (not words or any(words in reason for reason in shown["reasons"])):
            return shown
        assert time.monotonic() < deadline, (answer, shown)
        await asyncio.sleep(0.05)


async def test_ready_and_every_partition() -> None:
    """A worker that has its partitions is ready, and shows their offsets; live all the time."""
    app, topic, _ = hanging_app()
    async with served(app) as client:
        await (await topic.send(value="a"))
        await became(client, 200)
        await eventually(lambda: app.health.table() and app.health.table()[0]["lag"] == 0)
        (row,) = [
            row for row in (await became(client, 200))["partitions"] if row["topic"] == "work"
        ]
        assert (row["partition"], row["delivered"], row["finished"], row["end"]) == (0, 1, 1, 1)
        assert (row["stalled"], row["in_hand"]) == (None, 0)
        assert await client.json("/health/live") == (200, {"status": "live", "reasons": []})


async def test_a_hung_agent() -> None:
    """An agent that hangs in an await is told with agent, file and line; it is gone after the cure."""
    app, topic, cure = hanging_app()
    async with served(app) as client:
        await (await topic.send(value="hang"))
        shown = await became(client, 503, "work[0] is stalled: agent: worker waits at")
        assert f"{HERE}:{HANGS_AT} in work" in shown["reasons"][0]
        (row,) = [row for row in shown["partitions"] if row["topic"] == "work"]
        assert row["still_for"] >= 1.0
        assert (await client.json("/health/live"))[0] == 200
        cure.set()
        await became(client, 200)


async def test_back_pressure() -> None:
    """A flow that is suspended while records wait is told as back-pressure."""
    app, topic, cure = hanging_app()
    async with served(app) as client:
        await became(client, 200)
        app.flow_control.suspend()
        await (await topic.send(value="a"))
        await became(client, 503, "back-pressure: the flow is suspended")
        app.flow_control.resume()
        cure.set()
        await became(client, 200)


async def test_recovery_and_rebalance() -> None:
    """While partitions move, or tables are recovered, the worker is live and not ready."""
    app, _, _ = hanging_app()
    async with served(app) as client:
        await became(client, 200)
        app.rebalancing = True
        await became(client, 503, "rebalance: partitions are moving")
        app.in_recovery = True
        await became(client, 503, "recovery: tables are being recovered")
        assert (await client.json("/health/live"))[0] == 200
        app.rebalancing = app.in_recovery = False
        await became(client, 200)


@pytest.mark.kafka
async def test_a_broker_that_is_gone(
    kafka_cluster: KafkaCluster, topic_name: Callable[..., str]
) -> None:
    """A broker that is frozen for longer than the limit is told; it is gone after the cure."""
    kafka_cluster.heal()
    app, _, _ = hanging_app(broker=kafka_cluster.url, id=topic_name())
    async with served(app) as client:
        await became(client, 200, timeout=40.0)
        kafka_cluster.pause()
        try:
            await became(client, 503, "broker: it has not answered for")
        finally:
            kafka_cluster.cont()
        await became(client, 200, timeout=40.0)


async def test_a_blocked_loop_is_seen_from_the_thread() -> None:
    """With web_in_thread `/health/live` answers 503 while the loop of the app is blocked."""
    app, _, _ = hanging_app(web_in_thread=True)

    async with served(app) as client:
        assert (await client.json("/health/live"))[0] == 200
        app.health.looked_at = time.monotonic() - 3600
        status, shown = await client.json("/health/live")
        assert status == 503
        assert "blocked" in shown["reasons"][0]


PROGRAM = """
import asyncio, sys
import faust

app = faust.App("shop", env={}, broker="memory://", datadir=sys.argv.pop(1), web_enabled=False,
                health_stall_timeout=1.0, health_exit_timeout=2.0)
topic = app.topic("work", value_type=str, partitions=1, internal=True)

@app.agent(topic, name="worker")
async def work(stream):
    async for value in stream:
        await asyncio.sleep(3600)

@app.task
async def begin():
    await topic.send(value="x")

app.main()
"""


def test_a_worker_that_stands_still_ends(tmp_path: Path) -> None:
    """With health_exit_timeout a worker that stands still ends with status 1 and one message with the reason."""
    with start_python(PROGRAM, str(tmp_path / "data"), "worker", "-l", "info") as process:
        assert process.wait(60) == 1
        said = "\n".join(process.errors)
    assert "work[0] is stalled: agent: worker waits at" in said
    assert (
        "The worker ends: nothing has moved for more than 2 s (setting health_exit_timeout)" in said
    )
