"""Shared seed 003 (a summary of the core): its examples; their indentation, lost in the document, is restored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import faust
from tests.seeds.support import Project
from tests.seeds.test_declaring import FastClock
from tests.support.apps import eventually, make_app, running
from tests.support.ports import free_port


def test_applications(tmp_path: Path) -> None:
    """An app with the defaults, and one with a port, partitions, a directory and a logging configuration."""
    # Basic application
    app = faust.App("my-app", broker="kafka://localhost:9092")
    assert app.conf.web_port == 6066

    # Application with custom configuration
    app = faust.App(
        "my-app",
        broker="kafka://localhost:9092",
        web_port=8080,
        topic_partitions=8,
        datadir=str(tmp_path / "faust-data"),
        logging_config={"level": "INFO"},
    )
    assert (app.conf.web_port, app.conf.topic_partitions) == (8080, 8)
    assert app.conf.logging_config == {"level": "INFO"}


async def test_agents(app: faust.App) -> None:
    """A plain agent, and one with five actors and a handler of errors."""
    seen: list[Any] = []
    errors: list[str] = []
    orders_topic = app.topic("orders", internal=True)
    payments_topic = app.topic("payments", internal=True)

    async def process_payment(payment: Any) -> None:
        raise LookupError(payment)

    # Basic agent
    @app.agent(orders_topic)
    async def process_orders(orders: faust.Stream[Any]) -> None:
        async for order in orders:
            seen.append(f"Processing order: {order}")

    # Agent with concurrency and error handling
    @app.agent(
        payments_topic,
        concurrency=5,
        on_error=lambda agent, exc: errors.append(f"Error: {exc}"),
    )
    async def process_payments(payments: faust.Stream[Any]) -> None:
        async for payment in payments:
            # Process payment
            await process_payment(payment)

    async with running(app):
        await orders_topic.send(value=1)
        await payments_topic.send(value="p1")
        await eventually(lambda: seen == ["Processing order: 1"])
        await eventually(lambda: errors == ["Error: p1"])


async def test_topics(app: faust.App) -> None:
    """A topic of text, and one with types, partitions and retention."""
    # Basic topic
    orders_topic = app.topic("orders", value_type=str)
    assert orders_topic.value_type is str

    # Typed topic with custom serialization
    from faust import Record

    class Order(Record):
        id: int
        amount: float
        customer: str

    orders_topic = app.topic(
        "orders",
        key_type=int,
        value_type=Order,
        partitions=16,
        retention=86400.0,  # 24 hours
    )
    assert (orders_topic.partitions, orders_topic.retention) == (16, 86400.0)
    async with running(app):
        await orders_topic.declare()
        metadata = await (await orders_topic.send(key=b"7", value=Order(7, 1.5, "ann")))
        assert metadata.topic == "orders"


async def test_tables(app: faust.App) -> None:
    """Tables with defaults, and a table of hours."""
    # Basic table
    word_counts = app.Table("word-counts", default=int)

    # Table with custom default
    user_profiles: faust.Table[str, Any] = app.Table("user-profiles", default=dict)

    # Windowed table for time-based aggregation
    from faust import TumblingWindow

    windowed_counts = app.Table(
        "hourly-counts",
        default=int,
        window=TumblingWindow(3600.0),  # 1 hour windows
    )
    words = app.topic("words", value_type=str, internal=True)
    counted: list[Any] = []

    @app.agent(words)
    async def count(stream: faust.Stream[str]) -> None:
        async for word in stream:
            word_counts[word] += 1
            windowed_counts[word] += 1
            user_profiles[word] = {"seen": word_counts[word]}
            counted.append(
                (word_counts[word], windowed_counts[word].current(), user_profiles[word])
            )

    async with running(app):
        for _ in range(2):
            await words.send(value="faust", key=b"k")
        await eventually(lambda: counted == [(1, 1, {"seen": 1}), (2, 2, {"seen": 2})])


async def test_timers(app: faust.App, capsys: pytest.CaptureFixture[str]) -> None:
    """A timer, and one whose errors go to a handler."""
    checked: list[str] = []

    async def check_system_health() -> None:
        checked.append("checked")
        raise LookupError("ill")

    # Basic timer
    @app.timer(interval=0.1)
    async def cleanup_task() -> None:
        print("Running cleanup...")
        # Cleanup logic here

    # Timer with error handling
    @app.timer(interval=0.1, on_error=lambda timer, exc: print(f"Timer error: {exc}"))
    async def health_check() -> None:
        # Health check logic
        await check_system_health()

    async with running(app):
        await eventually(lambda: len(checked) > 1)
    printed = capsys.readouterr().out
    assert "Running cleanup..." in printed
    assert "Timer error: ill" in printed


async def test_cron_jobs(app: faust.App) -> None:
    """A job of every day, and one in a time zone given by name."""
    ran: list[str] = []

    # Daily task at midnight
    @app.crontab("0 0 * * *")
    async def daily_report() -> None:
        ran.append("Generating daily report...")

    # Every 15 minutes with timezone
    @app.crontab("*/15 * * * *", timezone="UTC")
    async def sync_data() -> None:
        ran.append("Syncing")

    app.clock = FastClock(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    async with running(app):
        await eventually(lambda: set(ran) == {"Generating daily report...", "Syncing"})


async def test_pages(app: faust.App) -> None:
    """A page that answers JSON, and one with a part of its path as parameter."""
    app.conf.web_enabled, app.conf.web_port, app.conf.web_bind = True, free_port(), "127.0.0.1"

    class Order(faust.Record):
        id: str

    async def get_order_by_id(order_id: str) -> Order:
        return Order(order_id)

    # Basic web endpoint
    @app.page("/health")
    async def health_check(web: Any, request: Any) -> Any:
        return web.json({"status": "healthy"})

    # Endpoint with parameters
    @app.page("/orders/{order_id}")
    async def get_order(web: Any, request: Any, order_id: str) -> Any:
        order = await get_order_by_id(order_id)
        return web.json(order.asdict())

    base = f"http://127.0.0.1:{app.conf.web_port}"
    async with running(app), aiohttp.ClientSession() as client:
        async with client.get(f"{base}/health") as answer:
            assert await answer.json() == {"status": "healthy"}
        async with client.get(f"{base}/orders/17") as answer:
            assert await answer.json() == {"id": "17"}


def test_commands(project: Project) -> None:
    """A command without arguments, and one with click's."""
    project.write(
        {
            "proj.py": """
                import click
                import faust

                app = faust.App('commands')

                # Basic command
                @app.command()
                async def hello():
                    print("Hello from Faust!")

                # Command with arguments
                @app.command(
                    click.argument('name'),
                    click.option('--count', default=1, help='Number of greetings')
                )
                async def greet(name, count):
                    for i in range(count):
                        print(f"Hello {name}!")

                # Standard application entry point
                if __name__ == '__main__':
                    app.main()
            """
        }
    )
    assert "Hello from Faust!" in project.run("proj.py", "hello")
    assert project.run("proj.py", "greet", "Ann", "--count", "2").count("Hello Ann!") == 2


def test_programmatic_control(topic_name: Callable[..., str]) -> None:
    """``asyncio.run`` of a coroutine that starts and stops the app."""
    app = make_app(f"memory://{topic_name('broker')}", topic_name("app"))
    states: list[bool] = []

    # Programmatic control
    async def run_app() -> None:
        await app.start()
        # Application running...
        states.append(app.started)
        await app.stop()

    asyncio.run(run_app())
    assert states == [True]


async def test_the_type_interface(app: faust.App) -> None:
    """An app has what the interface ``AppT`` of the summary names; its loop is an attribute."""
    from faust.types import AppT

    assert isinstance(app, AppT)
    assert app.id == app.conf.id
    for name in ("agent", "topic", "table", "main"):
        assert callable(getattr(app, name))
    assert app.broker == app.conf.broker
    async with running(app):
        assert app.loop is asyncio.get_running_loop()
