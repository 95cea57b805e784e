"""agents.md 3, service-framework.md 3 and 9: what happens when an actor raises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import mode
import pytest
from mode.exceptions import MaxRestartsExceeded

import faust
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


class Ear(faust.Sensor):
    """Hears what agents raise."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, str, Any]] = []

    def on_agent_error(self, agent: Any, exc: BaseException, tp: Any) -> None:
        self.heard.append((agent.name, str(exc), tp))


async def test_five_actors_crash_at_once(
    memory_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """service-framework.md 9: five actors that crash together are all replaced, at once, and go on."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    together = asyncio.Barrier(5)
    got: list[int] = []

    @app.agent(concurrency=5, name="crowd")
    async def crowd(stream: Any) -> None:
        async for value in stream:
            if value < 5:
                await together.wait()
                raise ValueError(f"value {value}")
            got.append(value)

    async with running(app):
        first = crowd.actors
        for value in range(105):
            await crowd.cast(value)
        began = monotonic()
        await eventually(lambda: len(got) == 100)
        assert monotonic() - began < 4, "replacing must not wait for a poll"
        await committed_everything(app)
        assert sorted(got) == list(range(5, 105))
        assert not set(first) & set(crowd.actors)
        assert [actor.index for actor in crowd.actors] == [0, 1, 2, 3, 4]
        assert [actor.stream for actor in crowd.actors] == [actor.stream for actor in first]
        assert len(crowd.beacon.children) == 6, "actors that are gone are let go"
    assert len([r for r in caplog.records if "crowd#" in r.message and "raised" in r.message]) == 5


async def test_one_for_all(memory_url: str, topic_name: Name) -> None:
    """agents.md 3: OneForAllSupervisor replaces all actors; what the healthy had in hand is not lost."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    calls: list[int] = []
    got: list[int] = []
    waiting = asyncio.Event()

    @app.agent(concurrency=3, supervisor_strategy=mode.OneForAllSupervisor, name="crowd")
    async def crowd(stream: Any) -> None:
        calls.append(stream.concurrency_index)
        async for value in stream:
            if value < 2 and not waiting.is_set():
                await asyncio.Event().wait()
            if value == 2:
                waiting.set()
                raise ValueError("two")
            got.append(value)

    async with running(app):
        for value in range(10):
            await crowd.cast(value)
        await eventually(lambda: len(got) == 9)
        await committed_everything(app)
    assert sorted(calls) == [0, 0, 1, 1, 2, 2]
    assert sorted(got) == [0, 1, 3, 4, 5, 6, 7, 8, 9]


async def test_forfeit_one_for_one(
    memory_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """agents.md 3: ForfeitOneForOneSupervisor gives up the actor that crashed, says so, and no other."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    got: list[tuple[int, int]] = []
    gave_up: list[int] = []

    @app.agent(concurrency=3, supervisor_strategy=mode.ForfeitOneForOneSupervisor, name="crowd")
    async def crowd(stream: Any) -> None:
        async for value in stream:
            await asyncio.sleep(0.001)
            if value == 0:
                gave_up.append(stream.concurrency_index)
                raise ValueError("zero")
            got.append((stream.concurrency_index, value))

    async with running(app):
        for value in range(60):
            await crowd.cast(value)
        await eventually(lambda: len(got) == 59)
        await committed_everything(app)
        assert [actor.should_stop for actor in crowd.actors].count(True) == 1
    left = {index for index, value in got if value > 30}
    assert left == {0, 1, 2} - set(gave_up)
    assert len([r for r in caplog.records if r.levelname == "CRITICAL"]) == 1


async def test_forfeit_one_for_all(memory_url: str, topic_name: Name) -> None:
    """agents.md 3: ForfeitOneForAllSupervisor gives up all actors of the agent, and no other agent."""
    app = make_app(memory_url, topic_name("app"))
    got: list[int] = []

    @app.agent(concurrency=2, supervisor_strategy=mode.ForfeitOneForAllSupervisor, name="crowd")
    async def crowd(stream: Any) -> None:
        async for value in stream:
            raise ValueError(value)

    @app.agent(name="other")
    async def other(stream: Any) -> None:
        async for value in stream:
            got.append(value)

    async with running(app):
        await crowd.cast(1)
        await eventually(lambda: all(actor.should_stop for actor in crowd.actors))
        await other.cast(1)
        await eventually(lambda: got == [1])


async def test_crashing_supervisor(memory_url: str, topic_name: Name) -> None:
    """agents.md 3: CrashingSupervisor lets the crash go up: agent, app and worker go down with its reason."""
    app = make_app(memory_url, topic_name("app"), agent_supervisor="mode.CrashingSupervisor")

    @app.agent(name="fragile")
    async def fragile(stream: Any) -> None:
        async for value in stream:
            raise LookupError(value)

    await app.start()
    await fragile.cast(7)
    await eventually(lambda: app.crashed)
    assert isinstance(app.crash_reason, LookupError)
    assert fragile.crashed
    await app.stop()


async def test_too_many_crashes_stop_the_worker(memory_url: str, topic_name: Name) -> None:
    """agents.md 3: more than 100 crashes within a second take the worker down; 100 do not."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    crashes: list[int] = []

    @app.agent(name="broken")
    async def broken(stream: Any) -> None:
        async for value in stream:
            crashes.append(value)
            raise ValueError(value)

    await app.start()
    for value in range(100):
        await broken.cast(value)
    await eventually(lambda: len(crashes) == 100)
    await asyncio.sleep(0.1)
    assert not app.crashed
    for value in range(400):
        await broken.cast(value)
    await eventually(lambda: app.crashed)
    assert isinstance(app.crash_reason, MaxRestartsExceeded)
    assert len(crashes) < 500
    await app.stop()


async def test_a_strategy_of_ones_own(memory_url: str, topic_name: Name) -> None:
    """service-framework.md 8: classes derived from mode's strategies are used, with what they override."""
    helped: list[Any] = []

    class Mine(mode.OneForOneSupervisor):
        async def restart_services(self, services: list[Any]) -> None:
            helped.extend(services)
            await super().restart_services(services)

    app = make_app(memory_url, topic_name("app"))
    got: list[int] = []

    @app.agent(supervisor_strategy=Mine, name="mine")
    async def mine(stream: Any) -> None:
        async for value in stream:
            if value == 1:
                raise ValueError("one")
            got.append(value)

    async with running(app):
        (first,) = mine.actors
        assert isinstance(mine.supervisor, Mine)
        await mine.send(value=1, partition=0)
        await mine.send(value=2, partition=0)
        await eventually(lambda: got == [2])
    assert helped == [first]


async def test_cancelling_oneself_is_a_crash(memory_url: str, topic_name: Name) -> None:
    """agents.md 3: CancelledError while the agent is not being stopped restarts the actor."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    got: list[int] = []

    @app.agent(name="cancels")
    async def cancels(stream: Any) -> None:
        async for value in stream:
            if value == 1:
                raise asyncio.CancelledError
            got.append(value)

    async with running(app):
        for value in range(3):
            await cancels.cast(value)
        await eventually(lambda: got == [0, 2])
        await committed_everything(app)


class Poisoned(faust.Record):
    """What values should look like."""

    number: int


POISONS = ["key", "value", "processor", "filter", "group_by", "body", "sink", "take", "yield"]


@pytest.mark.parametrize("where", POISONS)
async def test_pain_21_no_agent_dies_silently(
    memory_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """Pain 21, agents.md 3: whatever raises gives one log record with place, one sensor call, one on_error; on it goes."""
    app = make_app(memory_url, topic_name("app"))
    ear = Ear()
    app.sensors.add(ear)
    errors: list[BaseException] = []
    got: list[int] = []
    topic = app.topic(
        topic_name("in"),
        key_type=int,
        value_type=Poisoned,
        key_serializer="json",
        partitions=1,
        internal=True,
    )

    async def on_error(agent: Any, exc: BaseException) -> None:
        assert agent.name == "reader"
        errors.append(exc)

    def fail_at(step: str, number: int) -> None:
        if where == step and number == 1:
            raise RuntimeError("poison")

    def sink(number: int) -> None:
        fail_at("sink", number)
        got.append(number)

    def processor(value: Poisoned) -> Poisoned:
        fail_at("processor", value.number)
        return value

    def predicate(value: Poisoned) -> bool:
        fail_at("filter", value.number)
        return True

    def key(value: Poisoned) -> int:
        fail_at("group_by", value.number)
        return 0

    @app.agent(topic, name="reader", on_error=on_error, sink=[sink])
    async def reader(stream: Any) -> AsyncIterator[int]:
        stream.add_processor(processor)
        stream = stream.filter(predicate)
        if where == "group_by":
            stream = stream.group_by(key, name="zero", partitions=1)
        if where == "take":
            async for values in stream.take(1):
                for value in values:
                    fail_at("take", value.number)
                    yield value.number
            return
        async for value in stream:
            fail_at("body", value.number)
            yield value.number
            fail_at("yield", value.number)

    raw = app.topic(topic.get_topic_name(), key_serializer="raw", value_serializer="raw")
    async with running(app):
        for number in range(4):
            poisoned = number == 1
            await raw.send(
                key=b"{" if poisoned and where == "key" else b"1",
                value=b"{" if poisoned and where == "value" else b'{"number":%d}' % number,
                partition=0,
            )
        expected = [0, 1, 2, 3] if where == "yield" else [0, 2, 3]
        await eventually(lambda: got == expected)
        await committed_everything(app)
    (record,) = [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    assert record.name.startswith("faust.agents")
    assert f"{topic.get_topic_name()}[0] offset 1" in record.message
    assert len(errors) == 1
    assert [(name, tp) for name, _, tp in ear.heard] == [
        ("reader", faust.TP(topic.get_topic_name(), 0))
    ]


async def test_pain_21_a_window_that_cannot_be_closed(
    memory_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """Pain 21: on_window_close that raises gives one log record and one sensor call, is called again, and the agent goes on."""
    app = make_app(memory_url, topic_name("app"), table_cleanup_interval=0.1, topic_partitions=1)
    told: list[tuple[Any, BaseException]] = []
    closed: list[Any] = []

    class Counter(faust.Sensor):
        def on_table_close_error(self, table: Any, key: Any, exc: BaseException) -> None:
            assert table.name == "hits"
            told.append((key, exc))

    app.sensors.add(Counter())

    def close(key: Any, value: Any) -> None:
        if not told:
            raise RuntimeError("not now")
        closed.append((key[0], value))

    hits = app.Table("hits", default=int, on_window_close=close).tumbling(10, expires=10)
    topic = app.topic(topic_name("in"), value_type=str, internal=True)

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for word in stream:
            hits[word] += 1

    async with running(app):
        await topic.send(value="first", timestamp=1_700_000_000)
        await topic.send(value="much later", timestamp=1_700_000_300)
        await eventually(lambda: closed == [("first", 1)])
        await topic.send(value="much later", timestamp=1_700_000_301)
        await committed_everything(app)
        await eventually(
            lambda: [v for (w, _), v in hits.table.items() if w == "much later"] == [2]
        )
    (key, exc) = told[0]
    assert (len(told), key[0], str(exc)) == (1, "first", "not now")
    (record,) = [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    assert "on_window_close failed for key 'first'" in record.message


async def test_pain_21_a_timer_that_raises_ends_the_worker(
    memory_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """Pain 21: a timer that raises gives one log record and ends the worker; with on_error everybody goes on."""
    caught: list[BaseException] = []
    for careful in (True, False):
        app = make_app(memory_url, topic_name("app"))

        async def tick() -> None:
            raise LookupError("tick")

        app.timer(0.05, on_error=lambda _fun, exc: caught.append(exc))(
            tick
        ) if careful else app.timer(0.05)(tick)
        caplog.clear()
        await app.start()
        if careful:
            await eventually(lambda: len(caught) >= 2)
            assert app.crash_reason is None
        else:
            await eventually(lambda app=app: app.crash_reason is not None)  # type: ignore[misc]
            assert isinstance(app.crash_reason, LookupError)
            errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
            assert errors.count("Task tick failed: the worker stops") == 1
            assert len(errors) == 2, "and one that the app has crashed, of mode"
        await app.stop()


async def test_a_bad_error_handler_harms_nobody(
    memory_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """agents.md 3: an on_error that raises itself is logged; the agent is restarted all the same."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    got: list[int] = []

    async def on_error(_agent: Any, _exc: BaseException) -> None:
        raise KeyError("handler")

    @app.agent(name="reader", on_error=on_error)
    async def reader(stream: Any) -> None:
        async for value in stream:
            if value == 0:
                raise ValueError("zero")
            got.append(value)

    async with running(app):
        await reader.cast(0)
        await reader.cast(1)
        await eventually(lambda: got == [1])
    assert "telling of its error failed" in caplog.text


async def test_a_bad_sensor_harms_nobody(
    memory_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """agents.md 3: a sensor that raises is logged; on_error is told, and the agent is restarted all the same."""
    app = make_app(memory_url, topic_name("app"), topic_partitions=1)
    got: list[int] = []
    errors: list[BaseException] = []

    class Broken(faust.Sensor):
        def on_agent_error(self, agent: Any, exc: BaseException, tp: Any) -> None:
            raise KeyError("sensor")

    async def on_error(_agent: Any, exc: BaseException) -> None:
        errors.append(exc)

    app.sensors.add(Broken())

    @app.agent(name="reader", on_error=on_error)
    async def reader(stream: Any) -> None:
        async for value in stream:
            if value == 0:
                raise ValueError("zero")
            got.append(value)

    async with running(app):
        await reader.cast(0)
        await reader.cast(1)
        await eventually(lambda: got == [1])
    assert [str(error) for error in errors] == ["zero"]
    assert "telling of its error failed" in caplog.text
