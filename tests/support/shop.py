"""A shop, to be looked at: topics, agents, a repartition, tables and a task, on ``local://``.

Started as a process, once per worker: ``python -m tests.support.shop DIRECTORY PORT``. The first worker (port as given by
``SHOP_ORDERS``) writes orders for ever.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from typing import Any

import faust

DIRECTORY, PORT = sys.argv[1], int(sys.argv[2])
del sys.argv[1:]


class Order(faust.Record):
    account: str
    product: str
    amount: float


app = faust.App(
    "shop",
    env={},
    broker=f"local://{DIRECTORY}/broker",
    datadir=f"{DIRECTORY}/{PORT}",
    web_host="127.0.0.1",
    web_bind="127.0.0.1",
    web_port=PORT,
    topic_partitions=4,
    broker_commit_interval=0.3,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=0.5,
)
orders = app.topic("orders", key_type=str, value_type=Order, internal=True)
invoices = app.topic("invoices", key_type=str, value_type=float, internal=True)
alerts = app.topic("alerts", value_type=str, internal=True)
totals: Any = app.Table("totals", default=float, key_type=str, help="Turnover per account.")
products: Any = app.Table("products", default=int, key_type=str, help="Pieces sold per product.")
per_minute: Any = app.Table(
    "per-minute", default=int, key_type=str, help="Orders per minute."
).tumbling(60.0, expires=3600.0)


@app.agent(orders, sink=[invoices])
async def bill(stream: Any) -> Any:
    """Adds up what each account has ordered, and makes invoices."""
    async for order in stream:
        totals[order.account] += order.amount
        per_minute[order.account] += 1
        yield order.amount


@app.agent(orders)
async def count_products(stream: Any) -> None:
    """Counts pieces per product, where the product lives."""
    async for order in stream.group_by(Order.product):
        products[order.product] += 1


@app.agent(invoices)
async def watch(stream: Any) -> None:
    """Looks out for big invoices."""
    async for amount in stream:
        if amount > 990:
            await alerts.send(value=f"big invoice: {amount:.2f}")


@app.agent(alerts)
async def ring(stream: Any) -> None:
    """Rings the bell."""
    async for _ in stream:
        pass


@app.task
async def customers() -> None:
    """Order things all day."""
    chance = random.Random(7)
    while "SHOP_ORDERS" in os.environ:
        for _ in range(chance.randint(2, 20)):
            account = f"account-{chance.randint(1, 400)}"
            order = Order(account, f"product-{chance.randint(1, 60)}", chance.random() * 1000)
            await orders.send(key=account, value=order)
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    faust.Worker(app, loglevel="info").execute_from_commandline()
