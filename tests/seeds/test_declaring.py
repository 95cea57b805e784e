"""Shared seeds 001, 002 and 004: topics, channels, tables, agents, tasks and timers, as they are declared there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import mode
import pytest
import pytz

import faust
from faust import App
from faust.app.tasks import Clock
from tests.support.apps import eventually, make_app, running

Name = Callable[..., str]


def test_making_an_app() -> None:
    """An id, a broker and a store make an app; nothing is connected before it is started."""
    app = faust.App("example", broker="kafka://", store="rocksdb://")
    assert (str(app.conf.broker[0]), app.conf.store.scheme) == ("kafka:", "rocksdb")
    app = faust.App(
        "myid",
        broker="kafka://kafka.example.com",
        store="rocksdb://",
    )
    assert app.conf.id == "myid"


async def test_several_apps_in_one_process(topic_name: Name) -> None:
    """Two apps live, run and stop side by side."""
    app1 = make_app(f"memory://{topic_name('one')}", "demo1")
    app2 = make_app(f"memory://{topic_name('two')}", "demo2")
    async with running(app1), running(app2):
        assert (app1.conf.id, app2.conf.id) == ("demo1", "demo2")


def test_an_app_is_configured_in_a_second_step() -> None:
    """Settings that are assigned after the app was made count when it is run."""
    app = faust.App("myApp")
    app.conf.broker = "memory://"
    app.conf.web_enabled = False
    assert [url.scheme for url in app.conf.broker] == ["memory"]


async def test_an_agent_reads_a_topic(app: faust.App) -> None:
    """``app.topic`` describes what an agent reads."""
    seen: list[Any] = []
    topic = app.topic("name_of_topic", internal=True)

    @app.agent(topic)
    async def process(stream: faust.Stream[Any]) -> None:
        async for event in stream:
            seen.append(event)

    async with running(app):
        await topic.send(value={"x": 1})
        await eventually(lambda: seen == [{"x": 1}])


class MyValueModel(faust.Record):
    name: str
    value: float


async def test_a_topic_of_models(app: faust.App) -> None:
    """``key_type`` and ``value_type`` say what keys and values are read as; keys are bytes by default."""
    seen: list[Any] = []
    topic = app.topic(
        "name_of_topic",
        key_type=bytes,
        value_type=MyValueModel,
        internal=True,
    )

    @app.agent(topic)
    async def process(stream: faust.Stream[Any]) -> None:
        async for key, value in stream.items():
            seen.append((key, value))

    async with running(app):
        await topic.send(key=b"k", value=MyValueModel("ann", 1.5))
        await eventually(lambda: seen == [(b"k", MyValueModel("ann", 1.5))])


async def test_a_local_channel(app: faust.App) -> None:
    """An agent reads a channel of this process, which a timer fills."""
    seen: list[Any] = []

    class MyModel(faust.Record):
        x: int

    channel = app.channel(value_type=MyModel)

    @app.agent(channel)
    async def process(stream: faust.Stream[Any]) -> None:
        async for event in stream:
            seen.append(f"Received: {event!r}")

    @app.timer(0.1)
    async def populate() -> None:
        await channel.send(value=MyModel(303))

    async with running(app):
        await eventually(lambda: bool(seen))
    assert seen[0] == "Received: <MyModel: x=303>"


def test_a_channel_of_models(app: faust.App) -> None:
    """A channel takes the types of keys and values."""
    channel = app.channel(key_type=bytes, value_type=MyValueModel)
    assert (channel.key_type, channel.value_type) == (bytes, MyValueModel)


class Transfer(faust.Record):
    account: str
    amount: float


async def test_a_table_of_counts(app: faust.App) -> None:
    """An agent counts by account in a table with a default, of a stream that is grouped by account."""
    transfer_counts = app.Table(
        "transfer_counts",
        default=int,
        key_type=str,
        value_type=int,
        partitions=2,
    )
    transfers_topic = app.topic("transfers", value_type=Transfer, internal=True)

    @app.agent(transfers_topic)
    async def transfer(transfers: faust.Stream[Transfer]) -> None:
        async for transfer in transfers.group_by(Transfer.account):
            transfer_counts[transfer.account] += 1

    async with running(app):
        for account in ("ann", "bob", "ann"):
            await transfers_topic.send(value=Transfer(account, 1.0))
        await eventually(lambda: dict(transfer_counts.items()) == {"ann": 2, "bob": 1})
        assert transfer_counts["nobody"] == 0


@pytest.mark.parametrize("factory", ["Table", "GlobalTable"])
async def test_a_table_with_a_default(app: faust.App, factory: str) -> None:
    """A missing key has the default; adding to it stores it. Writes happen while a stream is read."""
    table = getattr(app, factory)("user_to_amount", default=int, partitions=2)
    seen: list[Any] = []
    topic = app.topic("names", internal=True, partitions=2)

    @app.agent(topic)
    async def count(names: faust.Stream[Any]) -> None:
        async for _ in names:
            seen.append(table["George"])
            table["Elaine"] += 1
            table["Elaine"] += 1
            seen.append(table["Elaine"])
            seen.append(table["missing"])
            table["also-missing"] += 1
            seen.append(table["also-missing"])

    async with running(app):
        await topic.send(value="go", partition=0)
        await eventually(lambda: seen == [0, 2, 0, 1])


async def test_a_table_without_a_default(app: faust.App) -> None:
    """Without a default a missing key is a `KeyError`."""
    nodefault = app.Table("nodefault", default=None, partitions=2)
    hasdefault = app.Table("hasdefault", default=int, partitions=2)
    async with running(app):
        with pytest.raises(KeyError, match="missing"):
            nodefault["missing"]
        assert hasdefault["missing"] == 0


def test_a_table_of_models(app: faust.App) -> None:
    """A table takes the types of keys and values."""
    table = app.Table("models", key_type=bytes, value_type=MyValueModel)
    assert (table.key_type, table.value_type) == (bytes, MyValueModel)


@pytest.mark.parametrize("decorator", ["agent", "actor"])
async def test_an_agent_with_and_without_yield(app: faust.App, decorator: str) -> None:
    """An agent is a coroutine function, or yields values, which go to its sinks; ``app.actor`` is its old name."""
    seen: list[Any] = []
    log_topic = app.topic("log", value_type=int, internal=True)
    declare: Any = app.agent if decorator == "agent" else app.actor

    @declare(log_topic)  # type: ignore[untyped-decorator]
    async def my_agent(stream: faust.Stream[int]) -> None:
        async for number in stream:
            seen.append(f"Received: {number!r}")

    @declare(sink=[log_topic])  # type: ignore[untyped-decorator]
    async def doubles(requests: faust.Stream[int]) -> Any:
        async for number in requests:
            yield number * 2

    async with running(app):
        await doubles.cast(21)
        await eventually(lambda: seen == ["Received: 42"])


async def test_tasks(app: faust.App, capsys: pytest.CaptureFixture[str]) -> None:
    """Tasks run once when the app is up; they take the app, or nothing, with parentheses or without."""

    @app.task
    async def on_startup(app: faust.App) -> None:
        print("STARTING UP: %r" % (app,))

    @app.task
    async def also_on_startup() -> None:
        print("STARTING UP")

    @app.task()
    async def mytask() -> None:
        print("APP STARTED AND OPERATIONAL")

    shown = ""
    async with running(app):
        while "OPERATIONAL" not in shown:
            await asyncio.sleep(0.01)
            shown += capsys.readouterr().out
        assert "STARTING UP: <App(" in shown
        assert "\nSTARTING UP\n" in shown


async def test_timers(app: faust.App, capsys: pytest.CaptureFixture[str]) -> None:
    """Timers run every interval, on all workers or on the leader."""

    @app.timer(interval=0.1)
    async def every_10_seconds() -> None:
        print("TEN SECONDS JUST PASSED")

    @app.timer(interval=0.05, on_leader=True)
    async def every_5_seconds() -> None:
        print("FIVE SECONDS JUST PASSED. ALSO, I AM THE LEADER!")

    @app.timer(0.1)
    async def my_periodic_task() -> None:
        print("THIRTY SECONDS PASSED")

    shown = ""
    async with running(app):
        for text in ("TEN SECONDS", "I AM THE LEADER", "THIRTY SECONDS"):
            while text not in shown:
                await asyncio.sleep(0.01)
                shown += capsys.readouterr().out


async def test_cron_jobs(app: faust.App) -> None:
    """Cron jobs run when the clocks of a time zone (of pytz, too) match, on all workers or on the leader."""
    seen: list[str] = []
    app.clock = FastClock(pytz.timezone("US/Pacific").localize(datetime(2026, 3, 2, 18, 29, 59)))

    @app.crontab(cron_format="30 18 * * *", timezone=pytz.timezone("US/Pacific"))
    async def every_6_30_pm_pacific() -> None:
        seen.append("IT IS 6:30pm")

    @app.crontab(cron_format="30 2 * * *", on_leader=True)
    async def every_2_30_am() -> None:
        seen.append("2:30am UTC; ALSO, I AM THE LEADER!")

    async with running(app):
        await eventually(lambda: len(seen) >= 2)
    assert set(seen) == {"IT IS 6:30pm", "2:30am UTC; ALSO, I AM THE LEADER!"}


class FastClock(Clock):
    """Time that begins when a test says, and passes as it does."""

    def __init__(self, begin: datetime) -> None:
        self._shift = begin.timestamp() - self.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.monotonic() + self._shift


async def test_a_service_class(app: faust.App) -> None:
    """A decorated service is started and stopped with the app."""
    seen: list[str] = []

    @app.service
    class Foo(mode.Service):
        async def on_start(self) -> None:
            seen.append("started")

        async def on_stop(self) -> None:
            seen.append("stopped")

    async with running(app):
        assert seen == ["started"]
    assert seen == ["started", "stopped"]
    assert issubclass(Foo, mode.Service)


async def test_services_of_a_subclass(topic_name: Name) -> None:
    """A subclass of `App` adds a service in its constructor, an instance this time."""
    seen: list[str] = []

    class SomeService(mode.Service):
        async def on_start(self) -> None:
            seen.append("started")

    class MyApp(App):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.some_service = self.service(SomeService())

    app = MyApp(topic_name("app"), broker=f"memory://{topic_name('broker')}", web_enabled=False)
    async with running(app):
        assert seen == ["started"]
        assert app.some_service.started
