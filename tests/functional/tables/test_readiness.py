"""Who waits for the recovery of which table (recovery-rebalance.md, BUG-R20)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faust
from faust.exceptions import ImproperlyConfigured
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


@pytest.mark.parametrize("broker_url", ["memory"], indirect=True)
async def test_topics_say_which_tables_their_events_use(
    broker_url: str, topic_name: Name, tmp_path: Path
) -> None:
    """Without tables a stream starts at once, also what group_by makes of it; and it may use none (see `test_recovery`, too)."""
    gate = asyncio.Event()
    gate.set()
    seen: list[str] = []

    async def hold(_event: Any) -> None:
        await gate.wait()

    def make(number: int) -> tuple[faust.App, Any, Any]:
        app = make_app(
            broker_url, topic_name("app"), datadir=tmp_path / str(number), web_enabled=False
        )
        totals = app.Table("totals", default=int, on_changelog_event=hold)
        names = app.GlobalTable("names", default=int)
        orders = app.topic(topic_name("orders"), key_type=str, value_type=str, internal=True)
        clicks = app.topic(
            topic_name("clicks"), key_type=str, value_type=str, internal=True, tables=()
        )

        @app.agent(orders, name="of-orders")
        async def of_orders(stream: Any) -> None:
            async for word in stream:
                totals[word] += 1
                seen.append(f"order {totals[word]}")

        @app.agent(clicks, name="of-clicks")
        async def of_clicks(stream: Any) -> None:
            async for word in stream.group_by(lambda word: word, name="itself"):
                for use in (lambda: totals[word], lambda: totals.update({word: 1})):  # noqa: B023
                    try:
                        use()
                    except ImproperlyConfigured as exc:
                        seen.append(f"click {names[word]} {str(exc)[:14]}")

        return app, orders, clicks

    app, orders, _ = make(0)
    async with running(app):
        await orders.send(key="k", value="w")
        await eventually(lambda: seen == ["order 1"])
        await committed_everything(app)
    seen.clear()
    gate.clear()
    app, orders, clicks = make(1)
    starting = asyncio.create_task(app.start())  # which takes as long as the recovery
    await eventually(lambda: app.in_recovery and app.tables.recovery is not None)
    await orders.send(key="k", value="w")
    await clicks.send(key="k", value="w")
    await eventually(lambda: len(seen) == 2)
    assert not starting.done()
    assert seen == ["click 0 table 'totals'"] * 2
    gate.set()
    await starting
    await eventually(lambda: seen[2:] == ["order 2"])
    await app.stop()
