"""The path of an event reads no settings."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import pytest

import faust
from faust.settings.params import Param
from tests.support.apps import QUICK, eventually, running


class CountingSettings(faust.Settings):
    """Settings that count who reads them."""

    reads: ClassVar[Counter[str]] = Counter()

    def _get(self, param: Param[Any, Any]) -> Any:
        self.reads[param.name] += 1
        return super()._get(param)


class CountingApp(faust.App):
    Settings = CountingSettings


class Order(faust.Record):
    account: str
    amount: int


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_more_events_do_not_mean_more_reads(concurrency: int, tmp_path: Any) -> None:
    """Typed events through an agent that writes a table and sends on: as many reads for 1 event as for 2,000."""
    app = CountingApp(
        f"hot-{concurrency}",
        broker=f"memory://hot-{concurrency}",
        datadir=tmp_path / "data",
        **QUICK,
    )
    orders = app.topic("orders", key_type=str, value_type=Order, internal=True, partitions=2)
    out = app.topic("out", value_type=Order, internal=True, partitions=2)
    totals = app.Table("totals", default=int, partitions=2)
    seen = 0

    @app.agent(orders, concurrency=concurrency)
    async def add(stream: faust.Stream[Order]) -> None:
        nonlocal seen
        async for order in stream:
            if concurrency == 1:
                totals[order.account] += order.amount
            await out.send(key=order.account, value=order)
            seen += 1

    async def process(count: int) -> Counter[str]:
        CountingSettings.reads.clear()
        before = seen
        for number in range(count):
            await orders.send(key=f"a{number % 7}", value=Order(account="a", amount=1))
        await eventually(lambda: seen == before + count)
        return Counter(CountingSettings.reads)

    async with running(app):
        await process(50)
        few, many = await process(1), await process(2000)
    assert sum(many.values()) <= sum(few.values()) + 20, many
