"""Headers, payloads of models and tables, and the tree of errors: serialization.md sections 3 to 7."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.support.apps import eventually, make_app, running

import faust
from faust import exceptions
from faust.exceptions import SecurityWarning
from faust.messages import TP, Message
from faust.serializers.registry import Registry
from faust.tables.codec import TableCodec
from faust.types.codecs import CodecArg, CodecT
from faust.types.core import merge_headers, prepare_headers


class Order(faust.Record, namespace="shop.wire.Order"):
    acc: str
    n: int


class Keyed(faust.Record, namespace="shop.wire.Keyed", serializer="json"):
    id: str


class Holder(faust.Record, namespace="shop.wire.Holder", serializer="json"):
    order: Order
    orders: list[Order]


class Pickled(faust.Record, namespace="shop.wire.Pickled", serializer="pickle"):
    x: int


@pytest.fixture
def registry() -> Registry:
    """The registry that an application has by default."""
    return Registry(key_serializer="raw", value_serializer="json")


# -- 3.1 value_type=bytes and str without a serializer


@pytest.mark.parametrize(
    ("typ", "wire", "value"),
    [
        (bytes, b'"abc"', b"abc"),
        (str, b'"abc"', "abc"),
        (bytes, b"1", 1),
        (str, b'{"x":1}', {"x": 1}),
    ],
)
def test_3_1_bytes_and_text_are_json_first(
    registry: Registry, typ: Any, wire: bytes, value: Any
) -> None:
    """The default codec json applies to bytes and str as well; raw payloads need value_serializer='raw'."""
    assert registry.loads_value(typ, wire) == value
    with pytest.raises(exceptions.ValueDecodeError):
        registry.loads_value(typ, b"\xff no json")
    assert registry.dumps_value(str, "abc") == b'"abc"'
    assert registry.dumps_value(bytes, b"abc") == b"abc"
    assert registry.loads_value(typ, b"\xc3\xa9", serializer="raw") == typ(
        "é", *["utf-8"] * (typ is bytes)
    )


# -- 1.5 warnings of the unrestricted pickle


def test_1_5_a_model_that_pickles_warns_where_it_is_used() -> None:
    """Not the class of a model warns, but the topic that takes its serializer from it."""
    app = faust.App("pickles", broker="memory://")
    with pytest.warns(SecurityWarning, match="codec 'pickle'"):
        app.topic("t", value_type=Pickled)


# -- 4 schemas of topics


def test_4_allow_empty_of_a_schema_is_kept() -> None:
    """app.topic overrides allow_empty only when it is given."""
    app = faust.App("schemas", broker="memory://")
    schema = faust.Schema(value_type=Order, allow_empty=True)
    assert app.topic("a", schema=schema).schema.allow_empty is True
    assert app.topic("a", schema=schema, allow_empty=False).schema.allow_empty is False


def test_4_topics_do_not_share_a_schema() -> None:
    """Another value type for one topic changes neither its parent nor the schema it was made from."""
    app = faust.App("schemas", broker="memory://")
    schema = faust.Schema(value_type=Order)
    first = app.topic("a", schema=schema)
    second = app.topic("b", schema=schema, value_type=int)
    third = first.derive(value_type=str)
    assert [topic.schema.value_type for topic in (first, second, third)] == [Order, int, str]
    assert schema.value_type is Order


# -- 5 headers


@pytest.mark.parametrize(
    ("given", "copied"),
    [
        (None, {}),
        ({}, {}),
        ({"a": b"1"}, {"a": b"1"}),
        ([("a", b"1")], [("a", b"1")]),
        ((("a", b"1"),), [("a", b"1")]),
        (iter([("a", b"1")]), [("a", b"1")]),
    ],
)
def test_5_prepare_headers(given: Any, copied: Any) -> None:
    """A mapping becomes a new dict, pairs a new list, None a dict."""
    made = prepare_headers(given)
    assert made == copied
    assert made is not given


@pytest.mark.parametrize(
    ("target", "merged"),
    [
        ({"a": b"1"}, {"a": b"2", "b": "é".encode()}),
        ([("a", b"1")], [("a", b"1"), ("a", b"2"), ("b", "é".encode())]),
        ((), ()),
    ],
)
def test_5_merge_headers(target: Any, merged: Any) -> None:
    """Headers are added in place, text as UTF-8, and the target is returned."""
    assert merge_headers(target, {"a": b"2", "b": "é"}) is target
    assert target == merged


class Stamped(faust.Schema):
    """Adds headers in both ways that programs use."""

    def on_dumps_key_prepare_headers(self, key: Any, headers: Any) -> Any:
        return merge_headers(headers, {"key": repr(key)})

    def on_dumps_value_prepare_headers(self, value: Any, headers: Any) -> Any:
        if isinstance(headers, dict):
            headers["value"] = b"v"
        return headers


@pytest.mark.parametrize(
    ("given", "received"),
    [
        (None, {"key": b"'k'", "value": b"v"}),
        ({"x": b"1"}, {"x": b"1", "key": b"'k'", "value": b"v"}),
        ([("x", b"1")], {"x": b"1", "key": b"'k'"}),
    ],
)
async def test_5_headers_through_a_topic(
    given: Any, received: dict[str, bytes], topic_name: Callable[..., str]
) -> None:
    """Header hooks get a dict or a list of their own; what they return arrives, and nothing of the caller's is changed."""
    app = make_app(f"memory://{topic_name('b')}", topic_name("app"))
    topic = app.topic(topic_name("in"), schema=Stamped(key_type=str), internal=True)
    events: list[Any] = []
    before = None if given is None else given.copy()

    @app.agent(topic)
    async def read(stream: faust.Stream[Any]) -> None:
        async for event in stream.events():
            events.append(event)

    async with running(app):
        await topic.send(key="k", value=1, headers=given)
        await eventually(lambda: events)
    assert events[0].headers == received
    assert given == before


async def test_5_without_a_key_its_hook_is_not_called(topic_name: Callable[..., str]) -> None:
    """A message without key has no headers of a key."""
    app = make_app(f"memory://{topic_name('b')}", topic_name("app"))
    topic = app.topic(topic_name("in"), schema=Stamped(key_type=str), internal=True)
    events: list[Any] = []

    @app.agent(topic)
    async def read(stream: faust.Stream[Any]) -> None:
        async for event in stream.events():
            events.append(event)

    async with running(app):
        await topic.send(value=1)
        await eventually(lambda: events)
    assert (events[0].key, events[0].headers) == (None, {"value": b"v"})


def test_5_of_equal_headers_the_last_wins() -> None:
    """An event's headers are a dict, also where the message has a name twice."""
    message = Message("t", 0, 1, 1.0, 0, [("a", b"1"), ("a", b"2")], None, b"1", tp=TP("t", 0))
    event = faust.App("h", broker="memory://").create_event(None, 1, message.headers, message)
    assert event.headers == {"a": b"2"}


# -- 6 wire formats

FLAT = b'{"acc":"a","n":1,"__faust":{"ns":"shop.wire.Order"}}'


@pytest.mark.parametrize(
    ("model", "wire"),
    [
        (Order(acc="a", n=1), FLAT),
        (
            Holder(order=Order(acc="a", n=1), orders=[Order(acc="b", n=2)]),
            b'{"order":%s,"orders":[{"acc":"b","n":2,"__faust":{"ns":"shop.wire.Order"}}],'
            b'"__faust":{"ns":"shop.wire.Holder"}}' % FLAT,
        ),
    ],
    ids=["flat", "nested"],
)
def test_6_1_models(registry: Registry, model: Any, wire: bytes) -> None:
    """The blessed key comes last, and nested models carry their own."""
    assert registry.dumps_value(None, model) == wire
    assert registry.loads_value(None, wire) == model
    assert registry.loads_value(type(model), wire) == model


@pytest.mark.parametrize(
    ("key_type", "value_type", "key", "value", "wire"),
    [
        (None, None, "word", 3, (b'"word"', b"3")),
        (str, int, "word", 3, (b'"word"', b"3")),
        (None, None, 5, {"a": 1}, (b"5", b'{"a":1}')),
        (None, None, ("a", 1), 1, (b'["a",1]', b"1")),
        (
            Keyed,
            Order,
            Keyed(id="k"),
            Order(acc="a", n=1),
            (
                b'{"id":"k","__faust":{"ns":"shop.wire.Keyed"}}',
                b'{"acc":"a","n":1,"__faust":{"ns":"shop.wire.Order"}}',
            ),
        ),
        (bytes, bytes, b"\xff", b"\x00", (b"\xff", b"\x00")),
        (None, None, "d", Decimal("1.0"), (b'"d"', b'"1.0"')),
        (None, None, "s", {1, 2}, (b'"s"', b"[1,2]")),
        (None, None, ("w", (1234560.0, 1234569.9)), 1, (b'["w",[1234560.0,1234569.9]]', b"1")),
    ],
)
def test_6_4_and_6_5_tables(
    registry: Registry,
    key_type: Any,
    value_type: Any,
    key: Any,
    value: Any,
    wire: tuple[bytes, bytes],
) -> None:
    """Changelog records of tables and windowed keys, byte for byte; keys come back hashable and equal."""
    codec = TableCodec(registry, table="t", key_type=key_type, value_type=value_type)
    tp = TP("t-changelog", 0)
    assert (codec.encode_key(key), codec.encode_value(key, value)) == wire
    read = codec.decode_key(tp, wire[0])
    assert read == key
    assert hash(read) == hash(key)


@pytest.mark.parametrize(
    ("key", "value", "wire"),
    [
        ([1, "k"], "m1", (b'[1,"k"]', b'"m1"')),
        ([2, "k"], "m1", (b'[2,"k"]', b'"m1"')),
        ([15, "k"], [["a"], []], (b'[15,"k"]', b'[["a"],[]]')),
        ([15, "k"], [[], ["a"]], (b'[15,"k"]', b'[[],["a"]]')),
    ],
    ids=["add", "discard", "update", "clear"],
)
def test_6_6_set_tables(
    registry: Registry, key: Any, value: Any, wire: tuple[bytes, bytes]
) -> None:
    """Changelog records of set tables, byte for byte."""
    codec = TableCodec(registry, table="t", key_type=None, value_type=None)
    assert (codec.encode_key(key), codec.encode_value(key, value)) == wire


# -- 7 exceptions

TREE = {
    "FaustError": (Exception,),
    "FaustWarning": (UserWarning,),
    "FaustPredicate": (exceptions.FaustError,),
    "Skip": (exceptions.FaustPredicate,),
    "SameNode": (exceptions.FaustPredicate,),
    "NotReady": (exceptions.FaustPredicate,),
    "ConsumerNotStarted": (exceptions.NotReady,),
    "ImproperlyConfigured": (exceptions.FaustError,),
    "AlreadyConfiguredWarning": (exceptions.FaustWarning,),
    "ValidationError": (exceptions.FaustError, ValueError),
    "DecodeError": (exceptions.FaustError,),
    "KeyDecodeError": (exceptions.DecodeError,),
    "ValueDecodeError": (exceptions.DecodeError,),
    "SecurityError": (exceptions.FaustError,),
    "SecurityWarning": (exceptions.FaustWarning,),
    "ProducerSendError": (exceptions.FaustError,),
    "PartitionsMismatch": (exceptions.FaustError,),
    "ConsistencyError": (exceptions.FaustError,),
}


@pytest.mark.parametrize(("name", "bases"), TREE.items(), ids=list(TREE))
def test_7_exceptions(name: str, bases: tuple[type, ...]) -> None:
    """Every documented error is there, with its documented bases."""
    error = getattr(exceptions, name)
    assert all(issubclass(error, base) for base in bases)
    assert name in exceptions.__all__


def test_documented_addresses() -> None:
    """Types of codecs are imported from where the documents show them."""
    assert CodecT is faust.Codec
    assert str in getattr(CodecArg, "__args__", ())
