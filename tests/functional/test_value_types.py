"""Types of other libraries through whole applications: topics, channels, agents and tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

import faust
from faust.exceptions import ValidationError, ValueDecodeError
from faust.models.fields import StringField
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


class Colour(Enum):
    RED = "red"


class Item(msgspec.Struct, frozen=True):
    price: Decimal


@dataclass(frozen=True)
class Order:
    account: str
    items: list[Item] = field(default_factory=list)


class Options(TypedDict):
    a: int


class Pair(NamedTuple):
    left: int
    right: str


class Account(pydantic.BaseModel, frozen=True):
    id: UUID
    opened: dt.datetime


class Model(faust.Record, serializer="json", namespace="test.value_types.Model"):
    x: int


VALUES: list[tuple[Any, Any]] = [
    (Order, Order("a", [Item(Decimal("1.10"))])),
    (Item, Item(Decimal("1.10"))),
    (Options, {"a": 1}),
    (Pair, Pair(1, "b")),
    (Account, Account(id=UUID(int=1), opened=dt.datetime(2020, 1, 2, tzinfo=dt.UTC))),
    (Model, Model(x=1)),
    (list[int], [1, 2]),
    (dict[str, float], {"a": 1.5}),
    (tuple[int, str], (1, "a")),
    (Colour, Colour.RED),
    (UUID, UUID(int=7)),
    (dt.datetime, dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)),
    (dt.timedelta, dt.timedelta(minutes=1)),
    (bool, True),
]
IDS = [getattr(typ, "__name__", str(typ)) for typ, _ in VALUES]


def same(read: Any, value: Any) -> bool:
    """Equal, and of one type."""
    return read == value and type(read) is type(value)


def _more_than(seen: list[Any], number: int) -> bool:
    return len(seen) > number


@pytest.mark.parametrize(("typ", "value"), VALUES, ids=IDS)
async def test_through_topic_table_and_recovery(typ: Any, value: Any, topic_name: Name) -> None:
    """As key and value of a topic, as value of a table and out of its changelog: the same object comes back."""
    broker = f"memory://{topic_name('b')}"
    names = topic_name("app"), topic_name("in")
    seen: list[tuple[Any, Any, Any]] = []

    def program() -> tuple[faust.App, Any]:
        app = make_app(broker, names[0], topic_partitions=1)
        source = app.topic(names[1], key_type=typ, value_type=typ)
        kept = app.Table("kept", key_type=str, value_type=typ)

        @app.agent(source)
        async def keep(stream: Any) -> None:
            async for event in stream.events():
                seen.append((event.key, event.value, kept.get("k")))
                kept["k"] = event.value

        return app, source

    for _ in range(2):
        app, source = program()
        async with running(app):
            before = len(seen)
            await source.send(key=value, value=value)
            await eventually(partial(_more_than, seen, before))
            await committed_everything(app)
    first, second = seen
    assert same(first[0], value)
    assert same(first[1], value)
    assert first[2] is None
    assert all(same(read, value) for read in second)


@pytest.mark.parametrize(("typ", "value"), VALUES, ids=IDS)
async def test_through_agents_and_channels(typ: Any, value: Any, topic_name: Name) -> None:
    """As value type of an agent of its own topic, and of a channel that it yields to."""
    app = make_app(f"memory://{topic_name('b')}", topic_name("app"), topic_partitions=1)
    results: Any = app.channel(value_type=typ)
    heard: list[Any] = []

    @app.agent(value_type=typ, sink=[results])
    async def passes(stream: Any) -> Any:
        async for item in stream:
            yield item

    @app.agent(results)
    async def hears(stream: Any) -> None:
        async for item in stream:
            heard.append(item)

    async with running(app):
        await passes.send(value=value)
        await eventually(lambda: heard)
    assert same(heard[0], value)


async def test_errors_carry_their_place(topic_name: Name) -> None:
    """What does not fit is a decode error with topic, partition, offset, type, bytes and field path."""
    app = make_app(f"memory://{topic_name('b')}", topic_name("app"), topic_partitions=1)
    errors: list[ValueDecodeError] = []
    good: list[Order] = []

    class Watched(faust.Topic[Any, Any]):
        async def on_value_decode_error(self, exc: Any, message: Any) -> None:
            errors.append(exc)

    source = Watched(app, topics=[topic_name("in")], value_type=Order)
    raw = app.topic(source.get_topic_name(), value_serializer="raw")

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for order in stream:
            good.append(order)

    async with running(app):
        await raw.send(
            value=b'{"account":"a","items":[{"price":"1"},{"price":"abc"}]}', partition=1
        )
        await source.send(value=Order("b"), partition=1)
        await eventually(lambda: good)
    (error,) = errors
    assert (error.topic, error.partition, error.offset) == (source.get_topic_name(), 1, 0)
    assert (error.type, error.field_path) == (Order, "items[1].price")
    assert error.payload == b'{"account":"a","items":[{"price":"1"},{"price":"abc"}]}'
    assert "Order.items[1].price: expected decimal, got 'abc'" in str(error)
    assert good == [Order("b")]


class Checked(faust.Record, validation=True, namespace="test.value_types.Checked"):
    name: str = StringField(max_length=3)


async def test_validation_errors_carry_their_place(topic_name: Name) -> None:
    """A model that refuses its values says where the message was, on the ValidationError itself, too."""
    app = make_app(f"memory://{topic_name('b')}", topic_name("app"), topic_partitions=1)
    errors: list[Any] = []

    class Watched(faust.Topic[Any, Any]):
        async def on_value_decode_error(self, exc: Any, message: Any) -> None:
            errors.append(exc)

    source = Watched(app, topics=[topic_name("in")], value_type=Checked)
    raw = app.topic(source.get_topic_name(), value_serializer="raw")

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async with running(app):
        await raw.send(value=b'{"name":"abcd"}', partition=1)
        await eventually(lambda: errors)
    for error in (errors[0], errors[0].__cause__):
        assert (error.topic, error.partition, error.offset) == (source.get_topic_name(), 1, 0)
        assert (error.type, error.field_path) == (Checked, "name")
        assert error.payload == b'{"name":"abcd"}'
    assert isinstance(errors[0].__cause__, ValidationError)
    assert "Checked.name: name must be at most 3 long" in str(errors[0])
