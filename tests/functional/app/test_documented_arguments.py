"""Names and arguments that only one document shows: they do what it says, or say why not."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import Any

import pytest

import faust
from faust.exceptions import ImproperlyConfigured
from tests.support.apps import eventually, make_app, running

Name = Callable[..., str]


async def test_errors_of_timers_go_to_their_handler(memory_url: str, topic_name: Name) -> None:
    """Shared seed 003: a timer or cron job with ``on_error`` goes on; the handler gets function and exception."""
    app = make_app(memory_url, topic_name("app"))
    told: list[tuple[Any, str]] = []

    @app.timer(interval=0.05, on_error=lambda timer, exc: told.append((timer.__name__, str(exc))))
    async def often() -> None:
        raise LookupError("timer")

    async def on_error(job: Any, exc: Exception) -> None:
        told.append((job.__name__, str(exc)))

    @app.crontab("* * * * * *", on_error=on_error)
    async def every_second() -> None:
        raise LookupError("cron")

    async with running(app):
        await eventually(lambda: told.count(("often", "timer")) > 2)
        await eventually(lambda: ("every_second", "cron") in told)
        assert not app.crashed


async def test_what_the_handler_of_a_timer_raises_counts(memory_url: str, topic_name: Name) -> None:
    """Shared seed 003: a handler that raises crashes the app, as a timer without one does."""
    app = make_app(memory_url, topic_name("app"))

    async def on_error(_timer: Any, exc: Exception) -> None:
        raise RuntimeError("handler") from exc

    @app.timer(0.05, on_error=on_error)
    async def often() -> None:
        raise LookupError("timer")

    await app.start()
    await eventually(lambda: app.crashed)
    assert isinstance(app.crash_reason, RuntimeError)
    await app.stop()


def test_time_zones_have_names() -> None:
    """Shared seed 003: a cron job takes the name of a time zone; one that does not exist is an error at once."""
    app = faust.App("zones", broker="memory://")
    app.crontab("*/15 * * * *", timezone="UTC")
    with pytest.raises(zoneinfo.ZoneInfoNotFoundError, match="Mars"):
        app.crontab("*/15 * * * *", timezone="Mars/Olympus_Mons")


async def test_handlers_of_agents_may_be_plain_functions(memory_url: str, topic_name: Name) -> None:
    """Shared seeds 002, 003: ``on_error`` of an agent is any callable of agent and exception."""
    app = make_app(memory_url, topic_name("app"))
    told: list[tuple[Any, str]] = []
    topic = app.topic(topic_name("numbers"), value_type=int, partitions=1, internal=True)

    @app.agent(topic, on_error=lambda agent, exc: told.append((agent, str(exc))), help="Divides.")
    async def divide(numbers: faust.Stream[int]) -> None:
        async for number in numbers:
            raise LookupError(str(number))

    assert divide.help == "Divides."
    async with running(app):
        await topic.send(value=7)
        await eventually(lambda: told == [(divide, "7")])


def test_a_topic_has_the_guarantee_of_its_app() -> None:
    """Shared seed 003: ``delivery_guarantee`` of a topic is that of the app; another is an error that names the setting."""
    app = faust.App("guarantees", broker="memory://")
    assert app.topic("orders", delivery_guarantee="at_least_once").topics == ("orders",)
    with pytest.raises(ImproperlyConfigured, match="processing_guarantee"):
        app.topic("orders", delivery_guarantee="at_most_once")


def test_the_summary_names() -> None:
    """Shared seed 003: ``app.table`` is ``app.Table``; the app shows its id and its broker."""
    app = faust.App("summary", broker="memory://", version=2)
    assert type(app.table("counts", default=int)) is type(app.Table("more", default=int))
    assert (app.id, app.broker) == ("summary-v2", app.conf.broker)


def test_parts_can_be_assigned() -> None:
    """app.md 1: transport, producer, consumer, cache, monitor and HTTP client of an app may be others than it would make."""
    app, other = faust.App("one", broker="memory://"), faust.App("other", broker="memory://")
    for part in ("transport", "producer_transport", "producer", "consumer", "cache", "monitor"):
        setattr(app, part, getattr(other, part))
        assert getattr(app, part) is getattr(other, part)


def test_only_workers_of_exactly_once_are_in_transactions() -> None:
    """app.md 1: ``in_transaction`` is true of an app that a worker runs with exactly-once."""
    app = faust.App("once", broker="memory://", processing_guarantee="exactly_once")
    assert not app.in_transaction
    app.in_worker = True
    assert app.in_transaction
    plain = faust.App("plain", broker="memory://")
    plain.in_worker = True
    assert not plain.in_transaction


def test_channels_describe_their_serializers() -> None:
    """Shared seed 002: a channel takes serializers; copies of it have them, too."""
    app = faust.App("channels", broker="memory://")
    channel = app.channel(key_serializer="raw", value_serializer="json", value_type=int)
    assert (channel.key_serializer, channel.value_serializer) == ("raw", "json")
    assert channel.clone().value_serializer == "json"
