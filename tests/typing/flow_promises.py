"""The value type flows from the topic to the loop (issue 4, Types)."""

from typing import Any, assert_type

import faust


class Order(faust.Record):
    account: str


async def loops(orders: faust.Stream[Order]) -> None:
    """A stream hands out values of its type, singly and in lists."""
    async for order in orders:
        assert_type(order, Order)
    async for event in orders.events():
        assert_type(event, faust.Event[Any, Order])
        assert_type(event.value, Order)
    async for chunk in orders.take(10, within=1.0):
        assert_type(chunk, list[Order])
    assert_type(orders.filter(bool), faust.Stream[Order])


async def topics(topic: faust.Topic[str, Order]) -> None:
    """A topic is a channel of its values."""
    assert_type(topic.get_topic_name(), str)
