"""The monitor in running applications (livecheck-sensors.md 2): counted in runs, and exact whenever it is read."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import faust
import faust.testing
from faust.messages import TP
from faust.sensors import performance_metrics
from faust.sensors.base import Run


class Single(faust.Monitor):
    """A monitor that is told of single moments, since it overrides some."""

    def on_message_in(self, tp: TP, offset: int, message: Any) -> None:
        super().on_message_in(tp, offset, message)

    def on_table_get(self, table: Any, key: Any) -> None:
        super().on_table_get(table, key)

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        super().on_send_error(producer, exc, state)


def shop(**options: Any) -> faust.App:
    """An app that counts numbers per key, passes them on, and drops every tenth."""
    app = faust.App("monitored", broker="kafka://not-asked", topic_partitions=2, **options)
    numbers = app.topic("numbers", key_type=str, value_type=int, internal=True)
    big = app.topic("big", key_type=str, value_type=int, internal=True)
    totals = app.Table("totals", default=int)

    @app.agent(numbers, name="adding")
    async def adding(stream: Any) -> None:
        async for key, number in stream.filter(lambda value: value % 10).items():
            totals[key] += number
            await big.send(key=key, value=number)
            if number == 1:
                del totals[key]

    return app


@pytest.mark.parametrize("monitor", [faust.Monitor, Single])
async def test_counters_are_exact(monitor: type[faust.Monitor]) -> None:
    """livecheck-sensors.md 2: messages, events, table operations and sends are counted, in runs as one by one."""
    app = shop(Monitor=monitor)
    async with faust.testing.run(app) as t:
        for number in range(1, 101):
            await t.send("numbers", number, key=str(number))
        await t.idle()
        seen = app.monitor
        assert seen.messages_received_total == 100
        assert seen.messages_received_by_topic == Counter(numbers=100)
        assert seen.events_total == 100
        assert list(seen.events_by_stream.values()) == [100]
        assert "numbers" in next(iter(seen.events_by_stream))
        assert list(seen.events_by_task.values()) == [100]
        assert seen.tables["totals"].asdict() == {
            "keys_retrieved": 90,
            "keys_updated": 90,
            "keys_deleted": 1,
        }
        assert seen.messages_sent_by_topic["big"] == 90
        assert seen.messages_sent == sum(seen.messages_sent_by_topic.values())
        assert seen.messages_active == seen.events_active == 0
        assert 0 < len(seen.events_runtime) <= 100
        assert all(0 <= seconds < 10 for seconds in seen.events_runtime)
        assert seen.send_latency
        assert seen.send_errors == 0
        read = {tp: offset for tp, offset in seen.tp_read_offsets.items() if tp.topic == "numbers"}
        assert sum(offset + 1 for offset in read.values()) == 100
        assert set(seen.stream_inbound_time) >= set(read)


async def test_what_is_in_hand_is_active() -> None:
    """livecheck-sensors.md 2: an event that an agent works on counts as taken and as active, and so does its message."""
    app = faust.App("in-hand", broker="kafka://not-asked", topic_partitions=1)
    topic = app.topic("work", value_type=int, internal=True)
    gate = asyncio.Event()

    @app.agent(topic)
    async def slow(stream: Any) -> None:
        async for _ in stream:
            await gate.wait()

    async with faust.testing.run(app) as t:
        for number in range(5):
            await t.send("work", number)
        while not app.monitor.events_total:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert (app.monitor.events_total, app.monitor.events_active) == (1, 1)
        assert (app.monitor.messages_received_total, app.monitor.messages_active) == (1, 1)
        gate.set()
        await t.idle()
        assert (app.monitor.events_total, app.monitor.events_active) == (5, 0)
        assert app.monitor.messages_active == 0
        assert max(app.monitor.events_runtime) > 0.04


async def test_two_readers_of_a_topic_receive_a_message_once() -> None:
    """livecheck-sensors.md 1: a message is received once, however many streams take it; events count per stream."""
    app = faust.App("readers", broker="kafka://not-asked", topic_partitions=2)
    topic = app.topic("work", value_type=int, internal=True)

    @app.agent(topic, name="first")
    async def first(stream: Any) -> None:
        async for _ in stream:
            pass

    @app.agent(topic, name="second")
    async def second(stream: Any) -> None:
        async for _ in stream.take(7, within=0.05):
            pass

    @app.agent(topic, name="third", concurrency=3)
    async def third(stream: Any) -> None:
        async for _ in stream:
            await asyncio.sleep(0)

    async with faust.testing.run(app) as t:
        for number in range(60):
            await t.send("work", number)
        await t.idle()
        seen = app.monitor
        assert seen.messages_received_total == 60
        assert seen.events_total == 180
        assert seen.messages_active == seen.events_active == 0


async def test_acknowledged_by_hand() -> None:
    """livecheck-sensors.md 1 [Q]: what is acknowledged by hand is active until then, and not for ever."""
    app = faust.App("by-hand", broker="kafka://not-asked", topic_partitions=1)
    topic = app.topic("work", value_type=int, internal=True)
    held: list[Any] = []

    @app.agent(topic)
    async def keep(stream: Any) -> None:
        async for event in stream.noack().events():
            held.append(event)

    async with faust.testing.run(app) as t:
        for number in range(4):
            await t.send("work", number)
        while len(held) < 4:
            await asyncio.sleep(0.01)
        seen = app.monitor
        assert (seen.events_total, seen.events_active, seen.messages_active) == (4, 4, 4)
        for event in held:
            event.ack()
        assert (seen.events_total, seen.events_active, seen.messages_active) == (4, 0, 0)
        await t.idle()


async def test_bad_messages_are_no_events() -> None:
    """livecheck-sensors.md 1: what cannot be decoded never was an event."""
    app = faust.App("bad", broker="kafka://not-asked", topic_partitions=1)
    topic = app.topic("work", value_type=int, internal=True)

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async with faust.testing.run(app) as t:
        raw = app.topic("work", value_serializer="raw")
        await raw.send(value=b"{")
        await t.send("work", 1)
        while app.monitor.events_total < 1:
            await asyncio.sleep(0.01)
        assert app.monitor.messages_received_total == 1


async def test_commits_rebalances_and_ends() -> None:
    """livecheck-sensors.md 2: commits, rebalances, assignments and the ends of partitions are kept, by partition."""
    app = shop(broker_commit_interval=0.1)
    async with faust.testing.run(app) as t:
        for number in range(1, 31):
            await t.send("numbers", number, key=str(number))
        await t.idle()
        seen = app.monitor

        def of_numbers(offsets: dict[TP, int]) -> int:
            return sum(offset for tp, offset in offsets.items() if tp.topic == "numbers")

        await app.commit()
        async with asyncio.timeout(10):
            while of_numbers(seen.tp_end_offsets) < 30:
                await asyncio.sleep(0.02)
        assert of_numbers(seen.tp_committed_offsets) == 30
        assert seen.commit_latency
        assert seen.rebalances == app.rebalancing_count
        assert seen.assignments_completed >= 1
        assert seen.assignments_failed == 0
        assert seen.assignment_latency
        shown = performance_metrics(app)
        assert shown["consumer"]["lag_by_partition"]["numbers"].keys() == {0, 1}
        assert shown["consumer"]["lag_total"] == 0
        assert shown["throughput"]["events_total"] == 30
        assert shown["latency"]["commit_latency"]["count"] == len(seen.commit_latency)


async def test_runs_are_for_everybody() -> None:
    """Any sensor may be told in runs instead of singly; together they say what the single moments would."""

    class Runs(faust.Sensor):
        def __init__(self) -> None:
            super().__init__()
            self.runs: list[Run] = []

        def on_stream_events(self, stream: Any, run: Run) -> None:
            self.runs.append(run)

    app = shop()
    sensor = Runs()
    app.sensors.add(sensor)
    async with faust.testing.run(app) as t:
        for number in range(1, 51):
            await t.send("numbers", number, key=str(number))
        await t.idle()
        app.sensors.settle()
        assert sum(run.events for run in sensor.runs) == 50
        assert sum(run.finished for run in sensor.runs) == 50
        assert sum(run.messages for run in sensor.runs) == 50
        assert sensor.runs[-1].unfinished == 0
