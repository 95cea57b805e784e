"""Sensors in running applications (livecheck-sensors.md 1; app.md 7): who is told, and what is kept meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import faust
import faust.testing
from faust.messages import TP
from faust.streams.observing import Observer


class Told(faust.Sensor):
    """Notes the events it is told of, and what it has given for them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[int, Any] = {}
        self.ended: list[int] = []

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> Any:
        self.open[offset] = event
        return {"offset": offset}

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: Any, event: Any, state: Any = None
    ) -> None:
        assert state == {"offset": offset}
        del self.open[offset]
        self.ended.append(offset)


async def test_taken_by_hand_and_acknowledged_by_hand() -> None:
    """livecheck-sensors.md 1 [Q]: what `noack_take` hands out ends with `event.ack`; nothing of it is kept after that."""
    app = faust.App("by-hand", broker="kafka://not-asked", topic_partitions=1)
    topic = app.topic("work", value_type=int, internal=True)
    sensor = Told()
    app.sensors.add(sensor)
    streams: list[Any] = []
    held: list[Any] = []

    @app.agent(topic)
    async def keep(stream: Any) -> None:
        streams.append(stream)
        async for events in stream.noack_take(5, within=0.05):
            held.extend(events)

    async with faust.testing.run(app) as t:
        for number in range(10):
            await t.send("work", number)
        while len(held) < 10:
            await asyncio.sleep(0.01)
        assert sorted(sensor.open) == list(range(10))
        for event in reversed(held):
            event.ack()
        observer = streams[0].get_active_stream()._observer
        assert isinstance(observer, Observer)
        assert observer.unfinished == 0
        assert sensor.ended == list(reversed(range(10)))
        await t.idle()
    assert not sensor.open


async def test_what_is_never_acknowledged_is_given_up_with_its_partition() -> None:
    """livecheck-sensors.md 1: events of a partition that was given away are not kept for ever."""
    app = faust.App("never", broker="kafka://not-asked", topic_partitions=1)
    topic = app.topic("work", value_type=int, internal=True)
    sensor = Told()
    app.sensors.add(sensor)
    seen: list[int] = []

    @app.agent(topic)
    async def never(stream: Any) -> None:
        async for event in stream.noack().events():
            seen.append(event.value)

    async with faust.testing.run(app, stream_wait_empty=False) as t:
        for number in range(5):
            await t.send("work", number)
        while len(seen) < 5:
            await asyncio.sleep(0.01)
        async with t.rebalance():
            pass
        await t.send("work", 5)
        while seen[-1] != 5:  # the others come again, at each rebalance
            await asyncio.sleep(0.01)
        assert sorted(sensor.open) == list(range(6))
        assert len(sensor.ended) == len(seen) - 6 >= 5


async def test_the_first_assignment_is_a_rebalance() -> None:
    """app.md 7: also the first assignment begins with `on_rebalance_start`, and each beginning has its end."""

    class Counting(faust.App):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.moments: list[str] = []
            super().__init__(*args, **kwargs)

        def on_rebalance_start(self) -> None:
            self.moments.append("start")
            super().on_rebalance_start()

        def on_rebalance_return(self) -> None:
            self.moments.append("return")
            super().on_rebalance_return()

        def on_rebalance_end(self) -> None:
            self.moments.append("end")
            super().on_rebalance_end()

    app = Counting("first", broker="kafka://not-asked", topic_partitions=1)
    topic = app.topic("work", value_type=int, internal=True)

    @app.agent(topic)
    async def work(stream: Any) -> None:
        async for _ in stream:
            pass

    async with faust.testing.run(app) as t:
        await t.idle()
        assert app.moments == ["start", "return", "end"]
        assert app.monitor.rebalances == app.rebalancing_count == 1
        assert len(app.monitor.rebalance_end_latency) == 1
        async with t.rebalance():
            pass
        assert app.moments == ["start", "return", "end"] * 3  # somebody has come and gone
        assert app.monitor.rebalances == 3


def test_an_end_without_a_beginning_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """app.md 7: `on_rebalance_return` and `on_rebalance_end` without a start only warn."""
    app = faust.App("odd", broker="memory://")
    app.on_rebalance_return()
    app.on_rebalance_end()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


async def test_moments_nobody_overrides_cost_nothing() -> None:
    """livecheck-sensors.md 1: a sensor that overrides nothing leaves the loop as it is without any sensor."""
    app = faust.App("free", broker="kafka://not-asked", topic_partitions=1)
    app.sensors.add(faust.Sensor())
    topic = app.topic("work", value_type=int, internal=True)
    streams: list[Any] = []

    @app.agent(topic)
    async def work(stream: Any) -> None:
        streams.append(stream)
        async for _ in stream:
            pass

    async with faust.testing.run(app) as t:
        await t.send("work", 1)
        await t.idle()
        app.sensors.remove(app.monitor)
        hooks = app.sensors.hooks
        assert [name for name in hooks.__slots__ if getattr(hooks, name) is not None] == []
        cursor = streams[0].get_active_stream().cursor
        assert cursor.observe is None
        assert cursor.process is None
