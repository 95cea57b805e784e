"""Windows of a transaction that is undone: their time and their close callbacks are undone with it (transport.md 9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import faust
from tests.functional.exactly_once.reading import read_all
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]
START = 1_700_000_000.0


def slow_app(url: str, name: str, store: str, **options: Any) -> faust.App:
    """Make an app that commits only when it is told to."""
    return make_app(
        url,
        name,
        store=store,
        processing_guarantee="exactly_once",
        broker_commit_interval=100.0,
        broker_transaction_timeout=300.0,
        web_enabled=False,
        **options,
    )


async def undo(app: faust.App) -> None:
    """Undo what was done since the last commit."""
    app.gate.spoilt = "by the test"
    await app.consumer.commit()


def count(app: faust.App, source: Any, totals: Any) -> list[int]:
    """Have an agent count what comes in windows; return the list of what it has seen."""
    seen: list[int] = []

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for number in stream:
            totals["k"] += 1
            seen.append(number)

    return seen


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_no_event_is_late_because_it_comes_again(
    broker_url: str, topic_name: Name, store: str
) -> None:
    """Events of an undone transaction count in their windows as they did before."""
    app = slow_app(broker_url, topic_name("app"), store)
    source = app.topic(topic_name("source"), value_type=int, partitions=1, internal=True)
    totals = app.Table("totals", default=int, partitions=1).tumbling(10.0, expires=10.0)
    seen = count(app, source, totals)

    async with running(app):
        await eventually(lambda: app.tables.actives_ready)
        await source.send(value=1, timestamp=START)
        await source.send(value=2, timestamp=START + 1000)
        await eventually(lambda: seen == [1, 2])
        await undo(app)
        await eventually(lambda: seen == [1, 2, 1, 2])
        await committed_everything(app)
        assert sorted(value for _, value in totals.table.items()) == [1, 1]
        assert totals.table.late == 0


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
@pytest.mark.parametrize("apart", [False, True])
async def test_an_undone_callback_is_called_again(
    broker_url: str, topic_name: Name, store: str, apart: bool
) -> None:
    """What a close callback has sent in an undone transaction is sent again; also if its table was not written to in it."""
    app = slow_app(broker_url, topic_name("app"), store, table_cleanup_interval=0.1)
    source = app.topic(topic_name("source"), value_type=int, partitions=1, internal=True)
    target = app.topic(topic_name("target"), value_type=int, partitions=1, internal=True)
    calls: list[int] = []
    may_close = not apart

    async def close(_key: Any, value: int) -> None:
        if not may_close:
            raise RuntimeError("not yet")
        calls.append(value)
        await target.send(value=value)

    totals = app.Table(
        "totals", default=int, partitions=1, grace=5.0, on_window_close=close
    ).tumbling(1000.0, expires=1e9)

    seen = count(app, source, totals)

    async with running(app):
        await eventually(lambda: app.tables.actives_ready)
        await source.send(value=1, timestamp=START)
        await eventually(lambda: seen == [1])
        await committed_everything(app)
        await source.send(value=2, timestamp=START + 5000)
        await eventually(lambda: seen == [1, 2])
        if apart:
            await committed_everything(app)
            may_close = True
        await eventually(lambda: totals.table.closed_until(0) > START)
        await undo(app)
        await eventually(lambda: len(calls) == 2)
        await committed_everything(app)
    assert calls == [1, 1]
    assert [each.value for each in await read_all(broker_url, target.get_topic_name())] == [b"1"]
