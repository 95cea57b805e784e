"""What the types of streams, topics and channels promise (issue 5); read by type checkers, never run."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, assert_type

import faust
from faust.joins import Join
from faust.messages import RecordMetadata
from faust.types import FutureMessage

app = faust.App("streams")


class Order(faust.Record):
    """A value."""

    account: str


orders = app.topic("orders", key_type=str, value_type=Order)
numbers = app.topic("numbers", value_type=int)


async def lists(stream: faust.Stream[Order]) -> None:
    """The take family gives lists of values or of events."""
    async for values in stream.take(10):
        assert_type(values, list[Order])
    async for values in stream.take(10, timedelta(seconds=1)):
        assert_type(values, list[Order])
    async for events in stream.take_events(10, within=1):
        assert_type(events, list[faust.Event[Any, Order]])
    async for values in stream.take_with_timestamp(10, 1.0, "at"):
        assert_type(values, list[Order])
    async for events in stream.noack_take(10):
        assert_type(events, list[faust.Event[Any, Order]])


async def derived(stream: faust.Stream[Order], other: faust.Stream[int]) -> None:
    """Derived streams hand out the values of their origin; combined ones those of all parts."""
    assert_type(stream.group_by(Order.account), faust.Stream[Order])
    assert_type(stream.group_by(lambda order: order.account, name="a"), faust.Stream[Order])
    assert_type(stream.through("orders-copy"), faust.Stream[Order])
    assert_type(stream.clone(prefix="p"), faust.Stream[Order])
    assert_type(stream & other, faust.Stream[Order | int])
    assert_type(stream.inner_join(Order.account), faust.Stream[Order])
    assert_type(stream.join_strategy, Join | None)
    assert_type(stream.events_total, int)
    assert_type(stream.redeliver, bool)
    assert_type(await stream.ack(faust.Event(app, None, 1, None, None)), bool)  # type: ignore[arg-type]


async def sending() -> None:
    """What sending returns."""
    assert_type(await orders.send(key="k", value=Order(account="a")), Awaitable[RecordMetadata])
    assert_type(orders.send_soon(value=Order(account="a")), FutureMessage)
    assert_type(orders.as_future_message(value=Order(account="a")), FutureMessage)
    metadata = await (await numbers.send(value=1))
    assert_type(metadata, RecordMetadata)
    assert_type(await orders.send_soon(value=Order(account="a")), RecordMetadata)
    assert_type(metadata.offset, int)


async def reading() -> None:
    """Channels and topics know what they carry."""
    assert_type(orders.stream(), faust.Stream[Order])
    assert_type(app.channel(value_type=int).stream(), faust.Stream[int])
    assert_type(orders.get_topic_name(), str)
    assert_type(app.flow_control.is_active(), bool)
