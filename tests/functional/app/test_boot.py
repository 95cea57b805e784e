"""app.md 1, 4 and 6: parts that are put in place of the app's own, and other orders of starting."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import mode
import pytest

import faust
from faust.app import BootStrategy
from tests.support.apps import eventually, make_app, running

Name = Callable[..., str]


class Extra(mode.Service):
    """Started by a boot strategy."""


class Mine(BootStrategy):
    """Starts a service of its own first, and no web server whatever the settings say."""

    enable_web = False

    def server(self) -> Iterable[Any]:
        yield self.app.extra
        yield from super().server()


class MyApp(faust.App):
    """An app that starts in its own way."""

    BootStrategy = Mine

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra = Extra()


async def test_a_boot_strategy_of_ones_own(memory_url: str, topic_name: Name) -> None:
    """app.md 6: a subclass sets BootStrategy, whose methods say what is started, in order; attributes switch things off."""
    datadir = make_app(memory_url, topic_name("x")).conf.datadir
    app = MyApp(topic_name("app"), broker=memory_url, datadir=datadir, web_enabled=True)
    assert isinstance(app.boot_strategy, Mine)
    async with running(app):
        assert app.extra.started
        assert app._children[0] is app.extra
        assert not app.web.started
        assert app.consumer.started
        (first, *_) = [child for child in app._children if child in (app.producer, app.consumer)]
        assert first is app.producer
    assert app.extra.should_stop


async def test_switches_of_the_boot_strategy(memory_url: str, topic_name: Name) -> None:
    """app.md 6: without Kafka neither producer nor consumer, agents' topics nor tables are started."""
    app = make_app(memory_url, topic_name("app"))
    for switches, names in (
        ({}, {"producer", "consumer", "topics", "tables"}),
        ({"enable_kafka": False}, set()),
        ({"enable_kafka": False, "enable_kafka_producer": True}, {"producer"}),
        ({"enable_kafka_consumer": False}, {"producer"}),
    ):
        boot: Any = BootStrategy(app, enable_web=False, **switches)
        started = list(boot.server())
        parts = {"producer", "consumer", "topics", "tables"}
        assert {name for name in parts if getattr(app, name) in started} == names
        assert app.monitor not in list(BootStrategy(app, enable_sensors=False).sensors())


async def test_parts_can_be_put_in_place(memory_url: str, topic_name: Name) -> None:
    """app.md 1: transport, producer and others may be assigned before the start; the app then works on them."""
    elsewhere = make_app(f"memory://{uuid.uuid4().hex}", topic_name("other"))
    app = make_app(memory_url, topic_name("app"))
    app.transport = elsewhere.transport
    app.producer_transport = elsewhere.producer_transport
    got: list[str] = []
    topic = app.topic("shared", value_type=str, partitions=1, internal=True)

    @app.agent(topic)
    async def reader(stream: Any) -> None:
        async for value in stream:
            got.append(value)

    async with running(app), running(elsewhere):
        assert app.producer.driver is not elsewhere.producer.driver
        await (await elsewhere.topic("shared", value_type=str).send(value="from there"))
        await eventually(lambda: got == ["from there"])
    for name in ("producer", "consumer", "cache", "monitor", "http_client"):
        part = object() if name == "http_client" else getattr(elsewhere, name)
        fresh = make_app(memory_url, topic_name("fresh"))
        setattr(fresh, name, part)
        if name != "http_client":
            assert getattr(fresh, name) is part


@pytest.mark.parametrize("in_worker", [True, False])
def test_in_transaction(memory_url: str, topic_name: Name, in_worker: bool) -> None:
    """app.md 1: in_transaction is true in a worker with exactly-once processing, and nowhere else."""
    for guarantee, expected in (("at_least_once", False), ("exactly_once", in_worker)):
        app = make_app(memory_url, topic_name("app"), processing_guarantee=guarantee)
        app.in_worker = in_worker
        assert app.in_transaction is expected


async def test_events_are_acknowledged_from_other_threads(
    memory_url: str, topic_name: Name
) -> None:
    """app.md 12: what a thread has worked on is acknowledged through the loop of the app, and committed."""
    app = make_app(memory_url, topic_name("app"))
    topic = app.topic("work", value_type=int, partitions=1, internal=True)

    @app.agent(topic)
    async def reader(stream: Any) -> None:
        async for event in stream.noack().events():
            await asyncio.to_thread(app.loop.call_soon_threadsafe, event.ack)

    async with running(app):
        for number in range(20):
            await topic.send(value=number)
        await eventually(
            lambda: (
                [task.safe() for tp, task in app.consumer.tasks.items() if tp.topic == "work"]
                == [20]
            )
        )
