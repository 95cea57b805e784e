"""A shop whose orders are tested while it works: on a broker that several processes share."""

from __future__ import annotations

import os
from typing import Any

import faust
from faust.livecheck import Case, Signal


class Order(faust.Record):
    id: str
    region: str = "eu"


def make_shop(broker: str, **options: Any) -> tuple[faust.App, Any]:
    """Make the shop, and its case; ``case.app`` is the LiveCheck application."""
    given = {"topic_partitions": 2, "web_enabled": False, "broker_commit_interval": 0.1, **options}
    app = faust.App("shop", broker=broker, **given)
    orders = app.topic("orders", key_type=str, value_type=Order, internal=True)
    paid = app.topic("paid", key_type=str, value_type=Order, internal=True)
    livecheck = app.LiveCheck()

    @livecheck.case(probability=1.0, warn_stalled_after=100.0)
    class test_order(Case):
        created: Signal[Order]
        shipped: Signal[None]

        async def run(self, order: Order) -> None:
            seen = await self.created.wait(timeout=20.0)
            assert seen == order
            await self.shipped.wait(timeout=20.0)

    @app.agent(orders)
    async def pay(stream: Any) -> None:
        async for order in stream:
            await test_order.created.send(order)
            await paid.send(key=order.id, value=order)

    @app.agent(paid)
    async def ship(stream: Any) -> None:
        async for _ in stream.group_by(Order.region):
            await test_order.shipped.send()

    return app, test_order


if "SHOP_BROKER" in os.environ:
    app, test_order = make_shop(os.environ["SHOP_BROKER"], autodiscover=False)

    @app.task
    async def order_something() -> None:
        order = Order("o1")
        async with test_order.maybe_trigger("order-1", order):
            await app.topic("orders", key_type=str, value_type=Order).send(key="o1", value=order)
