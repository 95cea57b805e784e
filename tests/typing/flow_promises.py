"""The value type flows from the topic to the loop (issue 4, Types)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

import msgspec

import faust
from faust.tables.setwindows import SetWindowWrapper
from faust.tables.windowed import WindowWrapper


class Order(faust.Record):
    account: str


class Pair(msgspec.Struct):
    left: int


class Named(TypedDict):
    name: str


@dataclass
class Point:
    x: float


app = faust.App("shop")

# -- topics: the types given are the type arguments

assert_type(app.topic("a", key_type=str, value_type=Order), faust.Topic[str, Order])
assert_type(app.topic("a", value_type=Order, partitions=3, retention=60.0), faust.Topic[Any, Order])
assert_type(app.topic("a", key_type=bytes), faust.Topic[bytes, Any])
assert_type(app.topic("a", "b", acks=False), faust.Topic[Any, Any])
assert_type(app.topic("a", value_type=Pair), faust.Topic[Any, Pair])
assert_type(app.topic("a", value_type=Point), faust.Topic[Any, Point])
assert_type(app.topic("a", value_type=Named), faust.Topic[Any, Named])
assert_type(app.topic("a", value_type=list[int]), faust.Topic[Any, list[int]])
assert_type(app.topic("a", value_type=dict[str, float]), faust.Topic[Any, dict[str, float]])
assert_type(app.channel(value_type=Order), faust.Channel[Order])
assert_type(app.channel(), faust.Channel[Any])

orders = app.topic("orders", key_type=str, value_type=Order)
assert_type(orders.get_topic_name(), str)

# -- streams

assert_type(app.stream(orders), faust.Stream[Order])
assert_type(orders.stream(), faust.Stream[Order])
assert_type(app.stream([1, 2, 3]), faust.Stream[int])


async def events_of_a_topic() -> None:
    """Whoever iterates a topic or a channel gets events."""
    async for event in orders:
        assert_type(event, faust.Event[str, Order])
        assert_type(event.key, str)
        assert_type(event.value, Order)
    async for item in app.channel(value_type=int):
        assert_type(item, faust.Event[Any, int])


async def loops(stream: faust.Stream[Order]) -> None:
    """A stream hands out values of its type, singly and in lists."""
    async for order in stream:
        assert_type(order, Order)
    async for event in stream.events():
        assert_type(event, faust.Event[Any, Order])
    async for key, value in stream.items():
        assert_type(key, Any)
        assert_type(value, Order)
    async for number, value in stream.enumerate():
        assert_type(number, int)
        assert_type(value, Order)
    async for chunk in stream.take(10, within=1.0):
        assert_type(chunk, list[Order])
    async for order in app.topic("orders", value_type=Order).stream():
        assert_type(order, Order)
    assert_type(stream.filter(bool), faust.Stream[Order])
    assert_type(stream.echo("copies"), faust.Stream[Order])
    assert_type(stream.noack(), faust.Stream[Order])


# -- agents


@app.agent(orders)
async def process(stream: faust.Stream[Order]) -> None:
    """Read typed values."""
    async for order in stream:
        assert_type(order, Order)


@app.agent(orders, concurrency=2, name="doubler")
async def double(stream: faust.Stream[Order]) -> AsyncIterator[str]:
    """Yield to sinks."""
    async for order in stream:
        yield order.account * 2


@app.agent(value_type=int)
async def count(stream: faust.Stream[int]) -> None:
    """Read a topic of its own."""
    async for number in stream:
        assert_type(number, int)


@app.agent("names")
async def anything(stream: Any) -> None:
    """Read whatever JSON gives."""


assert_type(process, faust.Agent[Order])
assert_type(double, faust.Agent[Order, str])
assert_type(count, faust.Agent[int])
assert_type(anything, faust.Agent[Any])
assert_type(process.stream(), faust.Stream[Order])

# -- tables

assert_type(app.Table("a", key_type=str, value_type=Order), faust.Table[str, Order])
assert_type(app.Table("b", key_type=str, default=int), faust.Table[str, int])
assert_type(app.Table("c", default=int), faust.Table[Any, int])
assert_type(app.Table("d", value_type=Order), faust.Table[Any, Order])
assert_type(app.Table("e"), faust.Table[Any, Any])
assert_type(app.GlobalTable("f", default=int), faust.GlobalTable[Any, int])
assert_type(app.GlobalTable("g", key_type=str, value_type=Order), faust.GlobalTable[str, Order])
assert_type(app.SetTable("h", key_type=str, value_type=int), faust.SetTable[str, int])
assert_type(app.SetTable("i", value_type=int), faust.SetTable[Any, int])
assert_type(app.SetTable("i2", value_type=int)["k"].pop(), int)
assert_type(app.SetGlobalTable("j", key_type=str, value_type=int), faust.SetGlobalTable[str, int])
assert_type(app.Table("k", default=int).tumbling(10), WindowWrapper)
assert_type(app.Table("l", default=int, window=faust.TumblingWindow(10)), WindowWrapper)
assert_type(app.SetTable("m", window=faust.TumblingWindow(10)), SetWindowWrapper)

totals = app.Table("totals", key_type=str, value_type=int, default=int, partitions=4)
assert_type(totals["a"], int)
assert_type(totals.get("a"), int | None)
assert_type(totals.pop("a", None), int | None)
assert_type(list(totals.items()), list[tuple[str, int]])
