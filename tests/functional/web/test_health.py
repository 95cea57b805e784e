"""Issue 7, health: `/health/live` and `/health/ready` see what stands still, say why, and see it get on again."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faust
from faust._core.progress import Progress, Seen
from faust.messages import TP
from faust.serializers import codecs
from tests.support.apps import eventually
from tests.support.kafka import KafkaCluster
from tests.support.processes import start_python
from tests.support.web import Client, served, web_app

HERE = Path(__file__).name


def line_of(remark: str) -> int:
    """Return the number of the line of this file that ends with a remark."""
    lines = Path(__file__).read_text().splitlines()
    return 1 + next(number for number, line in enumerate(lines) if line.endswith(f" {remark}"))


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


def illegible(*looks: tuple[int, int]) -> float | None:
    """Look once per second at how much is finished and how much could not be decoded; return since when most could not."""
    progress = Progress(TP("t", 0), 0.0)
    for second, (finished, undecoded) in enumerate(looks, 1):
        progress.look(seen(finished=finished, undecoded=undecoded), float(second))
    return progress.illegible_since


def test_what_illegible_is() -> None:
    """Since when most records cannot be decoded: they are counted a moment before they are finished."""
    assert illegible((0, 0), (5, 0), (9, 1)) is None
    assert illegible((0, 0), (5, 5), (9, 9)) == 2
    assert illegible((0, 0), (4, 5), (9, 9), (10, 10)) == 2
    assert illegible((0, 0), (4, 5), (5, 5), (5, 5)) == 2
    assert illegible((0, 0), (5, 5), (6, 5)) is None
    assert illegible((0, 0), (10, 5), (20, 10)) == 2  # half are markers of transactions
    assert illegible((0, 0), (5, 5), (20, 6), (21, 7)) == 4
    assert illegible((0, 9), (5, 2), (6, 2)) is None  # the readers were made anew


def hanging_app(**options: Any) -> tuple[faust.App, Any, asyncio.Event]:
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
        assert f"{HERE}:{line_of('here it hangs')} in work" in shown["reasons"][0]
        (row,) = [row for row in shown["partitions"] if row["topic"] == "work"]
        assert row["still_for"] >= 1.0
        assert (await client.json("/health/live"))[0] == 200
        cure.set()
        await became(client, 200)


def amid(app: faust.App) -> bool:
    """Say whether the last look has found something delivered and not finished."""
    return any(
        row["delivered"] is not None and row["finished"] < row["delivered"]
        for row in app.health.table()
    )


@pytest.mark.parametrize("combined", [False, True])
async def test_a_stream_that_stops_amid_records(*, combined: bool) -> None:
    """Records that were taken from the mailbox together, and are not handed out, stand still; nobody has one in hand."""
    app = web_app(health_stall_timeout=1.0, topic_partitions=1)
    topic = app.topic("work", value_type=int, partitions=1, internal=True)
    other = app.topic("other", value_type=int, partitions=1, internal=True)
    begun = asyncio.Event()
    got: list[int] = []

    @app.agent(topic, name="worker")
    async def work(stream: Any) -> None:
        async for number in stream & other.stream() if combined else stream:
            begun.set()
            await asyncio.sleep(0.005)
            got.append(number)

    async with served(app) as client:
        await became(client, 200)
        for number in range(200):
            topic.send_soon(value=number)
        await asyncio.wait_for(begun.wait(), 20.0)
        app.gate.hold()
        shown = await became(client, 503, "work[0] is stalled: back-pressure: worker waits at")
        (row,) = [row for row in shown["partitions"] if row["topic"] == "work"]
        assert (row["in_hand"], row["waiting"], row["delivered"]) == (0, 1, 200)
        app.gate.open()
        await became(client, 200)
        await eventually(lambda: len(got) == 200)


@pytest.mark.parametrize("how", ["acknowledged early", "left", "in the body"])
async def test_who_does_not_ask_for_more_has_not_stopped(how: str) -> None:
    """A stream that acknowledges by hand, a loop that was left, and an event of elsewhere in hand: nothing is said."""
    app = web_app(health_stall_timeout=1.0, topic_partitions=1)
    topic = app.topic("work", value_type=int, partitions=1, internal=True)
    local = app.channel(value_type=int)
    begun = asyncio.Event()

    @app.agent(topic, name="worker")
    async def work(stream: Any) -> None:
        if how == "acknowledged early":
            async for event in stream.noack().events():
                event.ack()
                begun.set()
                await asyncio.sleep(3600.0)
        elif how == "left":
            async for _ in stream:
                break
        else:
            async for number in stream & local.stream():
                if number == -1:
                    begun.set()
                    await asyncio.sleep(3600.0)
                await local.put(-1)
        begun.set()
        await asyncio.sleep(3600.0)

    async with served(app) as client:
        await became(client, 200)
        for number in range(20):
            topic.send_soon(value=number)
        await asyncio.wait_for(begun.wait(), 20.0)
        await eventually(lambda: amid(app))
        looked = app.health.looked_at
        await eventually(lambda: app.health.looked_at > looked + 3.0)
        assert (await client.json("/health/ready"))[0] == 200, app.health.table()


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


async def test_a_blocked_loop_is_seen_from_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """With web_in_thread a blocked loop is told, ready first and then live, with the place; both are over with it."""
    monkeypatch.setattr("faust.app.health.BLOCKED", 2.0)
    app, _, _ = hanging_app(web_in_thread=True)
    block: Any = app.topic("block", value_type=float, partitions=1, internal=True)

    @app.agent(block)
    async def blocker(stream: Any) -> None:
        async for seconds in stream:
            time.sleep(seconds)  # noqa: ASYNC251 - here it blocks

    told: dict[str, list[str]] = {"ready": [], "live": []}
    over = threading.Event()

    def probe() -> None:
        while not over.wait(0.1):
            for name in told:
                url = f"http://127.0.0.1:{app.conf.web_port}/health/{name}"
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                except urllib.error.HTTPError as exc:
                    told[name] += json.loads(exc.read())["reasons"]
                    exc.close()

    async with served(app) as client:
        await became(client, 200)
        probing = threading.Thread(target=probe)
        probing.start()
        await app.send("block", value=4.0)
        await asyncio.sleep(0.5)
        await became(client, 200)
        over.set()
        await asyncio.to_thread(probing.join)
        assert (await client.json("/health/live"))[0] == 200
    place = f"{HERE}:{line_of('here it blocks')} in blocker"
    for name, after_ in (("ready", 1), ("live", 2)):
        blocked = [words for words in told[name] if "the event loop has been blocked" in words]
        assert blocked[0].startswith(f"the event loop has been blocked for {after_} s")
        assert blocked[-1].endswith(f"it is at {Path(__file__).parent}/{place}")


class Flaky(codecs.Codec):
    """A codec that cannot decode while it is broken, like one whose schema registry is gone."""

    broken = False

    def _loads(self, s: bytes) -> Any:
        if self.broken:
            raise ConnectionError(f"no registry; and the message was {s!r}")
        return s.decode()

    def _dumps(self, s: Any) -> bytes:
        return str(s).encode()


async def test_a_deserializer_that_raises() -> None:
    """A partition of which nothing can be decoded any more is told, without words of messages; one bad message is not."""
    app, _, _ = hanging_app(web_stats_enabled=True)
    flaky = Flaky()
    topic: Any = app.topic(
        "flaky", value_serializer=flaky, value_type=str, partitions=1, internal=True
    )
    got: list[str] = []

    @app.agent(topic)
    async def reader(stream: Any) -> None:
        async for value in stream:
            got.append(value)

    async with served(app) as client:
        await became(client, 200)
        flaky.broken = True
        await topic.send(value="secret-1")
        await asyncio.sleep(2.5)  # one bad message is no reason, however long nothing else comes
        await became(client, 200)
        sending = asyncio.ensure_future(feed(topic))
        shown = await became(client, 503, "flaky[0]: decoding: most records cannot be decoded")
        assert "secret" not in str(shown)
        assert "ValueDecodeError by ConnectionError" in shown["reasons"][0]
        assert (await client.json("/health/live"))[0] == 200
        flaky.broken = False
        await became(client, 200)
        sending.cancel()
    assert got
    assert "secret-1" not in got


async def feed(topic: Any) -> None:
    """Send ten messages a second."""
    while True:
        await topic.send(value="secret-2")
        await asyncio.sleep(0.1)


@pytest.mark.kafka
async def test_a_broker_that_bounces(topic_name: Callable[..., str]) -> None:
    """A broker that is down for longer than the limit is told; when it is back the worker is ready and gets on by itself."""
    cluster = KafkaCluster()
    await asyncio.to_thread(cluster.start)
    try:
        app, topic, _ = hanging_app(broker=cluster.url, id=topic_name())
        async with served(app) as client:
            await became(client, 200, timeout=40.0)
            await asyncio.to_thread(cluster.kill)
            await became(client, 503, "broker: it has not answered for")
            assert (await client.json("/health/live"))[0] == 200
            await asyncio.to_thread(cluster.restart)
            await became(client, 200, timeout=60.0)
            await (await topic.send(value="a"))
            await eventually(lambda: app.health.table()[0]["lag"] == 0)
    finally:
        await asyncio.to_thread(cluster.close)


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


def test_a_worker_whose_loop_is_blocked_ends(tmp_path: Path) -> None:
    """With health_exit_timeout a worker whose event loop does not come round ends, too, and says where it is."""
    program = PROGRAM.replace("await asyncio.sleep(3600)", "__import__('time').sleep(3600)")
    with start_python(program, str(tmp_path / "data"), "worker", "-l", "info") as process:
        assert process.wait(60) == 1
        said = "\n".join(process.errors)
    assert "The worker ends: its event loop has been blocked for 3 s" in said
    assert "in work" in said.splitlines()[-1]
