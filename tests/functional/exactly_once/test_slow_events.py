"""Events that are slower than a commit, and slower than a transaction may be: by rule, never silently (transport.md BUG-T28)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from faust.exceptions import GivenUp, TransactionTimeout
from faust.transport.exactly_once import TransactionalConsumer
from tests.functional.exactly_once.reading import read_all, read_until
from tests.functional.exactly_once.test_front_door import exactly_once_app
from tests.support.apps import eventually, running

Name = Callable[..., str]


async def test_a_slow_event_does_not_hold_up_the_others_for_long(topic_name: Name) -> None:
    """While one event takes three commits, the events of another agent flow, and all is committed in the end."""
    url = f"memory://{topic_name()}"
    app = exactly_once_app(url, topic_name("app"), broker_transaction_timeout=20.0)
    slow = app.topic(topic_name("slow"), value_type=int, internal=True)
    quick = app.topic(topic_name("quick"), value_type=int, internal=True)
    target = app.topic(topic_name("target"), value_type=str)
    state: Counter[str] = Counter()

    @app.agent(slow)
    async def take_time(stream: Any) -> None:
        async for number in stream:
            await target.send(value=f"slow {number}")
            state["begun"] += 1
            await asyncio.sleep(1.0)
            state["slow"] += 1

    @app.agent(quick)
    async def hurry(stream: Any) -> None:
        async for number in stream:
            await target.send(value=f"quick {number}")
            state["quick"] += 1

    async with running(app):
        await slow.send(value=0)
        await eventually(lambda: state["begun"] == 1)
        for number in range(30):
            await quick.send(value=number)
            await asyncio.sleep(0.01)
        assert not state["slow"]
        assert state["quick"] > 0
        assert await read_all(url, target.get_topic_name()) == []
        seen = await read_until(url, target.get_topic_name(), 31)
    assert len({one.value for one in seen}) == 31
    assert state == {"begun": 1, "slow": 1, "quick": 30}


async def test_an_event_slower_than_a_transaction_is_given_up_once(
    topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """The transaction is aborted, said in an error; the ghost sends nothing more; the event is done again, and counts once."""
    url = f"memory://{topic_name()}"
    app = exactly_once_app(url, topic_name("app"), broker_transaction_timeout=2.0)
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    target = app.topic(topic_name("target"), value_type=str)
    runs: list[int] = []
    ghosts: list[type[BaseException]] = []

    @app.agent(source)
    async def copy(stream: Any) -> None:
        async for number in stream:
            runs.append(number)
            await target.send(value=f"first {number}")
            if len(runs) == 1:
                await asyncio.sleep(3.0)
            try:
                await target.send(value=f"second {number}")
            except GivenUp as exc:
                ghosts.append(type(exc))

    with caplog.at_level(logging.ERROR):
        async with running(app):
            await source.send(value=7)
            seen = await read_until(url, target.get_topic_name(), 2)
            assert isinstance(app.consumer, TransactionalConsumer)
            assert app.consumer.aborted == 1
    assert [one.value for one in seen] == [b'"first 7"', b'"second 7"']
    assert runs == [7, 7]
    assert ghosts == [GivenUp]
    assert "offset 0 were not finished" in caplog.text
    assert "broker_transaction_timeout" in caplog.text


async def test_an_event_always_slower_than_a_transaction_stops_the_worker(topic_name: Name) -> None:
    """The second time the worker stops with a sentence that names event and setting; nothing of it was ever visible."""
    url = f"memory://{topic_name()}"
    app = exactly_once_app(url, topic_name("app"), broker_transaction_timeout=1.0)
    source = app.topic(topic_name("source"), value_type=int, internal=True)
    target = app.topic(topic_name("target"), value_type=int)

    @app.agent(source)
    async def copy(stream: Any) -> None:
        async for number in stream:
            await target.send(value=number)
            await asyncio.sleep(1.5)

    with pytest.raises(TransactionTimeout, match=r"offset 0.*second time.*at_least_once"):
        async with running(app):
            await source.send(value=7)
            await eventually(lambda: app.crash_reason is not None)
    assert await read_all(url, target.get_topic_name()) == []
