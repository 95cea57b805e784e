"""Schemas: methods, compiled decoders, errors with their place (serialization.md section 4)."""

from __future__ import annotations

import asyncio
import logging
import timeit
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import orjson
import pytest

import faust
from faust.exceptions import (
    DecodeError,
    ImproperlyConfigured,
    KeyDecodeError,
    SecurityWarning,
    ValueDecodeError,
)
from faust.messages import TP, Message, merge_headers
from faust.models import Record
from faust.serializers.registry import Registry
from faust.serializers.schemas import Schema, locate


class Account(Record, namespace="test.schemas.Account", serializer="json"):
    id: str


class Move(msgspec.Struct):
    x: int


@dataclass
class Raw:
    """A record as drivers hand it over."""

    value: bytes | None = b'{"a":1}'
    key: bytes | None = b"k"
    offset: int = 7
    timestamp: int = 1000
    timestamp_type: int | None = 0
    headers: list[tuple[str, bytes]] = field(default_factory=list)


ORDERS = TP("orders", 3)


@pytest.fixture
def app() -> faust.App:
    """An application that is never started."""
    return faust.App("schemas", broker="memory://")


def message(record: Raw) -> Message:
    """Show a record as the message of a topic."""
    return Message.from_record(ORDERS, record, 5)


# -- facts


def test_serializers_come_from_the_types() -> None:
    """A model's serializer is used where none is given, for keys and values."""
    schema = Schema(key_type=Account, value_type=Account)
    assert (schema.key_serializer, schema.value_serializer) == ("json", "json")
    schema = Schema(key_type=Account, key_serializer="raw")
    assert (schema.key_serializer, schema.value_serializer) == ("raw", None)


def test_update_overwrites_what_is_given() -> None:
    """Only arguments that are not None change a schema; False is an argument."""
    schema = Schema(key_type=str, value_type=int, value_serializer="raw", allow_empty=True)
    schema.update(value_type=Account)
    assert (schema.key_type, schema.value_type, schema.value_serializer) == (str, Account, "raw")
    assert schema.allow_empty is True
    schema.update(allow_empty=False, key_serializer="json")
    assert (schema.allow_empty, schema.key_serializer) == (False, "json")


def test_class_attributes_are_defaults() -> None:
    """A subclass may state its facts as class attributes; arguments win."""

    class Mine(Schema):
        value_type = int
        value_serializer = "raw"
        allow_empty = True

    assert (Mine().value_type, Mine().value_serializer, Mine().allow_empty) == (int, "raw", True)
    assert repr(Mine(value_type=str)) == "<Mine: KT=*default* (*default*) VT=str (raw)>"


def test_copies_are_independent() -> None:
    """A copy can be changed without the original noticing."""
    schema = Schema(value_type=int)
    copy = schema.copy()
    copy.update(value_type=str)
    assert (schema.value_type, copy.value_type) == (int, str)


def test_repr() -> None:
    """A schema shows its types and serializers, and what is left to the application."""
    assert repr(Schema()) == "<Schema: KT=*default* (*default*) VT=*default* (*default*)>"
    assert (
        repr(Schema(key_type=str, value_type=Account))
        == "<Schema: KT=str (*default*) VT=Account (json)>"
    )


def test_pickle_in_a_schema_warns() -> None:
    """A schema that reads unrestricted pickles says so when it is made."""
    with pytest.warns(SecurityWarning, match="a schema's value"):
        Schema(value_serializer="pickle")


# -- one message


def test_loads(app: faust.App) -> None:
    """Keys and values are read with the schema's types, else with the application's codecs."""
    schema = Schema(key_type=str, value_type=Account)
    record = message(Raw(value=b'{"id":"a"}'))
    assert schema.loads_key(app, record) == "k"
    assert schema.loads_value(app, record) == Account("a")
    assert Schema().loads_value(app, record, serializer="raw") == b'{"id":"a"}'
    seen: list[Any] = []

    def loads(typ: Any, data: Any, *, serializer: Any) -> str:
        seen.append((typ, data, serializer))
        return "read"

    assert schema.loads_value(app, record, loads=loads) == "read"
    assert schema.loads_key(app, record, loads=loads, serializer="binary") == "read"
    assert seen == [(Account, b'{"id":"a"}', "json"), (str, b"k", "binary")]


def test_dumps(app: faust.App) -> None:
    """Payload and headers are returned together; an argument beats the schema's serializer."""
    schema = Schema(value_serializer="json|binary")
    assert schema.dumps_key(app, "k", headers=[]) == (b"k", [])
    assert schema.dumps_value(app, {"a": 1}, headers=[]) == (b"eyJhIjoxfQ==", [])
    assert schema.dumps_value(app, {"a": 1}, serializer="json", headers=[])[0] == b'{"a":1}'
    assert schema.dumps_value(app, None, headers={})[0] == b"bnVsbA=="


class Tagged(Schema):
    """Adds headers, as the documents show it."""

    def on_dumps_key_prepare_headers(self, key: Any, headers: Any) -> Any:
        return merge_headers(headers, {"key": str(key)})

    def on_dumps_value_prepare_headers(self, value: Any, headers: Any) -> Any:
        return merge_headers(headers, {"value": str(value)})


def test_header_hooks(app: faust.App) -> None:
    """What the hooks return is sent, with mappings and with lists of pairs."""
    schema = Tagged()
    assert schema.dumps_key(app, "k", headers=[])[1] == [("key", b"k")]
    assert schema.dumps_value(app, 1, headers={"x": b"y"})[1] == {"x": b"y", "value": b"1"}


async def test_decode_to_an_event(app: faust.App) -> None:
    """A message becomes an event with decoded key and value and the message's headers."""
    record = message(Raw(value=b'{"id":"a"}', headers=[("h", b"1")]))
    event = await Schema(key_type=str, value_type=Account).decode(app, record)
    assert (event.key, event.value, event.headers) == ("k", Account("a"), {"h": b"1"})
    assert event.message is record


async def test_decode_empty(app: faust.App) -> None:
    """With allow_empty a message without value is an event whose value is None."""
    event = await Schema(value_type=Account, allow_empty=True).decode(app, message(Raw(value=None)))
    assert event.value is None
    with pytest.raises(ValueDecodeError, match="allow_empty"):
        await Schema(value_type=Account).decode(app, message(Raw(value=None)), propagate=True)


async def test_decode_logs_what_it_swallows(
    app: faust.App, caplog: pytest.LogCaptureFixture
) -> None:
    """Without *propagate* a bad message is None, and the log says where it was."""
    with caplog.at_level(logging.ERROR):
        assert await Schema().decode(app, message(Raw(value=b"{"))) is None
    assert "cannot decode value of orders[3] offset 7" in caplog.text


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (Raw(key=b"x", value=b'{"id":"a"}'), KeyDecodeError),
        (Raw(key=b"5", value=b"[]"), ValueDecodeError),
        (Raw(key=b"x", value=b"[]"), KeyDecodeError),
    ],
)
async def test_compile(app: faust.App, record: Raw, kind: type[DecodeError]) -> None:
    """Errors go to the hook of their kind, key first, or are raised when that is wanted."""
    seen: list[Any] = []

    async def on_key(exc: Exception, bad: Message) -> None:
        await asyncio.sleep(0)
        seen.append((KeyDecodeError, exc, bad))

    async def on_value(exc: Exception, bad: Message) -> None:
        seen.append((ValueDecodeError, exc, bad))

    decode = Schema(key_type=int, value_type=Account).compile(
        app, on_key_decode_error=on_key, on_value_decode_error=on_value
    )
    good = await decode(message(Raw(key=b"5", value=b'{"id":"a"}')))
    assert (good.key, good.value) == (5, Account("a"))
    bad = message(record)
    assert await decode(bad) is None
    [(hook, exc, what)] = seen
    assert hook is type(exc) is kind
    assert what is bad
    assert (exc.topic, exc.partition, exc.offset) == ("orders", 3, 7)
    with pytest.raises(kind):
        await decode(bad, propagate=True)
    assert len(seen) == 1


# -- keys of another type


class Loose(Record, namespace="test.schemas.Loose"):
    id: str


def round_trip(app: faust.App, schema: Schema, key: Any) -> tuple[Any, Any]:
    """Return the bytes of a key, and what is read of them; an exception in the place of what failed."""
    encode, _ = schema.compile_encoders(app)
    assert encode is not None
    try:
        data = encode(key)
    except TypeError as exc:
        return exc, exc
    decode, _ = schema.compile_decoders(app)
    try:
        return data, data if decode is None else decode(Raw(key=data))
    except KeyDecodeError as exc:
        return data, exc


@pytest.mark.parametrize("default", ["raw", "json"])
@pytest.mark.parametrize("serializer", [None, "raw", "json"])
@pytest.mark.parametrize(
    "typ", [None, str, bytes, int, float, Decimal, UUID, Account, Loose, Move, list[int]], ids=str
)
def test_options_for_keys_of_a_field(default: str, serializer: str | None, typ: Any) -> None:
    """`group_by`: bytes stay what they were, what could be read is read as before, and the rest as the field's type."""
    app = faust.App("fields", broker="memory://", key_serializer=default)
    schema = Schema(key_type=typ, key_serializer=serializer)
    keys: list[Any] = ["ann", "7", b"k", 7, 1.5, Decimal("1.10"), True, UUID(int=1)]
    for key in keys:
        options = schema._key_options(app, type(key))
        changed = schema.copy()
        changed.update(**options)
        before, read_before = round_trip(app, schema, key)
        after, read = round_trip(app, changed, key)
        if not isinstance(before, Exception) and (type(key), before) != (int, b"7.0"):
            assert after == before
        if not isinstance(read_before, Exception):
            if typ in (None, str, bytes):
                assert options == {}
            assert not isinstance(read, Exception)
        if options:
            same = read == key and type(read) is type(key)
            assert same or isinstance(read, Exception)
        if isinstance(key, str) and typ in (int, float, Decimal):
            assert options == {}  # digits have always been read as a number
        elif serializer is None and type(key) in (str, int, float, Decimal):
            assert read in (key, str(key), str(key).encode())


def test_a_schema_with_methods_for_keys_is_left_alone(app: faust.App) -> None:
    """A subclass that reads and writes keys itself knows better."""

    class Mine(Schema):
        def dumps_key(self, app: Any, key: Any, *, serializer: Any = None, headers: Any) -> Any:
            return super().dumps_key(app, str(key), serializer=serializer, headers=headers)

    assert Mine()._key_options(app, int) == {}
    assert Schema()._key_options(app, int) == {"key_type": int}


# -- many records


@pytest.mark.parametrize(
    ("schema", "record", "key", "value"),
    [
        (Schema(), Raw(), b"k", {"a": 1}),
        (Schema(), Raw(key=None, value=None), None, None),
        (Schema(key_type=bytes, value_serializer="raw"), Raw(), b"k", b'{"a":1}'),
        (Schema(key_type=str, value_type=str, value_serializer="raw"), Raw(), "k", '{"a":1}'),
        (Schema(key_type=str), Raw(key=None), None, {"a": 1}),
        (Schema(key_serializer="json"), Raw(key=b'["a",1]'), ["a", 1], {"a": 1}),
        (Schema(key_type=int), Raw(key=b"5"), 5, {"a": 1}),
        (Schema(value_type=Account), Raw(value=b'{"id":"a"}'), b"k", Account("a")),
        (Schema(), Raw(value=Account("a").dumps()), b"k", Account("a")),
        (Schema(value_type=Move), Raw(value=b'{"x":1}'), b"k", Move(1)),
        (Schema(value_type=Account, allow_empty=True), Raw(value=None), b"k", None),
        (Schema(value_serializer="json|binary"), Raw(value=b"WzFd"), b"k", [1]),
    ],
)
async def test_compiled_decoders_agree_with_decode(
    app: faust.App, schema: Schema, record: Raw, key: Any, value: Any
) -> None:
    """The functions of the hot path give what `Schema.decode` gives."""
    decode_key, decode_value = schema.compile_decoders(app)
    assert (record.key if decode_key is None else decode_key(record)) == key
    assert decode_value(record) == value
    event = await schema.decode(app, message(record), propagate=True)
    assert (event.key, event.value) == (key, value)


@pytest.mark.parametrize(
    "schema", [Schema(), Schema(key_type=bytes), Schema(key_serializer="raw", value_type=int)]
)
def test_raw_keys_need_no_decoder(app: faust.App, schema: Schema) -> None:
    """Where keys are bytes there is nothing to call for each event."""
    assert schema.compile_decoders(app)[0] is None


@pytest.mark.parametrize(
    ("schema", "record", "kind"),
    [
        (Schema(key_type=int), Raw(key=b"x"), KeyDecodeError),
        (Schema(key_type=Account), Raw(key=None), KeyDecodeError),
        (Schema(), Raw(value=b"{"), ValueDecodeError),
        (Schema(), Raw(value=b'{"__faust":{"ns":"no.such"}}'), ValueDecodeError),
        (Schema(value_type=Account), Raw(value=b"{}"), ValueDecodeError),
        (Schema(value_type=Account), Raw(value=None), ValueDecodeError),
        (Schema(value_type=Move), Raw(value=b'{"x":"1"}'), ValueDecodeError),
    ],
)
@pytest.mark.parametrize("tp", [ORDERS, None])
def test_compiled_decoders_locate_errors(
    app: faust.App, schema: Schema, record: Raw, kind: type[DecodeError], tp: TP | None
) -> None:
    """An error says which record it was: at once with a partition, else after `locate`."""
    decode_key, decode_value = schema.compile_decoders(app, tp)
    decode = decode_key if kind is KeyDecodeError else decode_value
    assert decode is not None
    with pytest.raises(kind) as caught:
        decode(record)
    exc = caught.value
    assert exc.offset == 7
    if tp is None:
        assert exc.topic is None
        assert locate(exc, ORDERS, record) is exc
    assert str(exc).startswith(f"cannot decode {exc.part} of orders[3] offset 7: ")


def test_locate_keeps_what_is_known() -> None:
    """A place that an error has already is not overwritten; other errors are left alone."""
    known = ValueDecodeError("x", topic="t", partition=1, offset=2)
    assert str(locate(known, ORDERS, Raw())) == "cannot decode value of t[1] offset 2: x"
    other = RuntimeError("x")
    assert locate(other, ORDERS, Raw()) is other


class Envelope(Schema):
    """Reads the type of the value from a header, as the documents show it."""

    def loads_key(self, app: Any, message: Message, **options: Any) -> Any:
        return f"{message.topic}:{message.partition}:{message.key!r}"

    def loads_value(self, app: Any, message: Message, **options: Any) -> Any:
        kind = dict(message.headers)["kind"]  # type: ignore[arg-type]
        return kind.decode(), super().loads_value(app, message, **options)


def test_overridden_loads_are_honoured(app: faust.App) -> None:
    """A subclass that looks at the whole message sees it, also on the hot path."""
    decode_key, decode_value = Envelope().compile_decoders(app, ORDERS, 5)
    assert decode_key is not None
    record = Raw(headers=[("kind", b"order")])
    assert decode_key(record) == "orders:3:b'k'"
    assert decode_value(record) == ("order", {"a": 1})


def test_whatever_an_overridden_method_raises_is_a_decode_error(app: faust.App) -> None:
    """A bug of the subclass on one message is an error of that message."""
    _, decode_value = Envelope().compile_decoders(app, ORDERS)
    with pytest.raises(ValueDecodeError, match=r"orders\[3\] offset 7: .*KeyError: 'kind'"):
        decode_value(Raw())
    with pytest.raises(ValueDecodeError, match=r"orders\[3\] offset 7: .*JSONDecodeError"):
        decode_value(Raw(value=b"{", headers=[("kind", b"order")]))


def test_overridden_loads_do_not_see_empty_values(app: faust.App) -> None:
    """With allow_empty a missing value is None without asking the subclass."""
    _, decode_value = Envelope(allow_empty=True).compile_decoders(app)
    assert decode_value(Raw(value=None)) is None


class ByHand(Schema):
    """Makes its own events."""

    async def decode(self, app: Any, message: Message, *, propagate: bool = False) -> Any:
        assert propagate
        if message.value == b"none":
            return None
        if message.value == b"wait":
            await asyncio.sleep(0)
        if message.value == b"fail":
            raise RuntimeError("by hand")
        return app.create_event("key", message.value, message.headers, message)


def test_overridden_decode_is_honoured(app: faust.App) -> None:
    """A subclass that decodes whole messages is asked for key and value."""
    decode_key, decode_value = ByHand().compile_decoders(app, ORDERS)
    assert decode_key is not None
    assert (decode_key(Raw()), decode_value(Raw())) == ("key", b'{"a":1}')
    with pytest.raises(ValueDecodeError, match=r"orders\[3\] offset 7: .*RuntimeError: by hand"):
        decode_value(Raw(value=b"fail"))
    with pytest.raises(ValueDecodeError, match=r"ByHand\.decode returned None"):
        decode_value(Raw(value=b"none"))


def test_decode_cannot_wait(app: faust.App) -> None:
    """A subclass that waits in the middle of a slice is told where waiting belongs."""
    _, decode_value = ByHand().compile_decoders(app)
    with pytest.raises(ImproperlyConfigured, match=r"ByHand\.decode waits for something"):
        decode_value(Raw(value=b"wait"))


class Loud(Registry):
    """A registry of the user's own (setting ``Serializers``)."""

    def loads_value(self, typ: Any, value: bytes | None, *, serializer: Any = None) -> Any:
        return f"{super().loads_value(typ, value, serializer=serializer)}!"

    def dumps_value(
        self,
        typ: Any,
        value: Any,
        *,
        serializer: Any = None,
        skip: tuple[type, ...] = (bytes,),
    ) -> bytes | None:
        return b"loud"


def test_overridden_registry_is_honoured() -> None:
    """A registry of the user's own is asked for every message."""
    app = faust.App("loud", broker="memory://", Serializers=Loud)
    _, decode_value = Schema().compile_decoders(app)
    assert decode_value(Raw()) == "{'a': 1}!"
    encode_key, encode_value = Schema().compile_encoders(app)
    assert encode_key is not None
    assert encode_value is None


def test_impossible_schemas_are_refused_before_the_first_message(app: faust.App) -> None:
    """A misspelt codec or a type that cannot be built is an error when the topic is read."""
    with pytest.raises(KeyError, match="no codec 'jsno'"):
        Schema(value_serializer="jsno").compile_decoders(app)
    with pytest.raises(ImproperlyConfigured, match="type object"):
        Schema(key_type=type("object", (), {}), key_serializer="json").compile_decoders(app)


def test_compiled_encoders(app: faust.App) -> None:
    """The functions of the hot path write what the methods write."""
    schema = Schema(key_type=str, value_type=Account)
    encode_key, encode_value = schema.compile_encoders(app)
    assert encode_key is not None
    assert encode_value is not None
    assert encode_key("k") == b"k"
    assert encode_key(None) is None
    assert encode_value(Account("a")) == schema.dumps_value(app, Account("a"), headers=[])[0]
    assert encode_value({"a": 1}) == b'{"a":1}'
    assert Tagged().compile_encoders(app) == (None, None)


def test_untyped_json_decodes_at_the_speed_of_orjson(app: faust.App) -> None:
    """Decoding a JSON value to a dict costs at most three times orjson alone."""
    data = orjson.dumps({"account": "a" * 30, "n": 1, "amount": 12.5, "country": "DE", "to": "x"})
    record = Raw(value=data)
    _, decode_value = Schema().compile_decoders(app)

    def cost(function: Any, argument: Any) -> float:
        return min(timeit.repeat(lambda: function(argument), number=2000, repeat=7))

    assert cost(decode_value, record) < 3 * cost(orjson.loads, data)
