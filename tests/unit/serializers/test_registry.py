"""The registry: which codec, which type, which error (serialization.md section 3)."""

from __future__ import annotations

import timeit
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, TypedDict

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.exceptions import (
    ImproperlyConfigured,
    KeyDecodeError,
    SecurityWarning,
    ValueDecodeError,
)
from faust.models import Record
from faust.serializers import codecs
from faust.serializers.registry import Registry


class Account(Record, namespace="test.registry.Account", serializer="json"):
    id: str
    balance: float = 0.0


class Loose(Record, namespace="test.registry.Loose"):
    x: int


class Packed(Record, namespace="test.registry.Packed", serializer="json|binary"):
    x: int


class Duck:
    """Not one of our models, but built the same way."""

    def __init__(self, data: Any) -> None:
        self.data = data

    @classmethod
    def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
        assert preferred_type is cls
        return cls(data)


@dataclass
class Point:
    x: int
    y: float = 0.5


class Move(msgspec.Struct):
    to: Point
    when: str | None = None


class Options(TypedDict):
    a: int


class Pair(NamedTuple):
    left: int
    right: str


class Colour(Enum):
    RED = "red"


@pytest.fixture
def registry() -> Registry:
    """The registry that an application has by default."""
    return Registry(key_serializer="raw", value_serializer="json")


# -- reading


@pytest.mark.parametrize(
    ("typ", "serializer", "data", "expected"),
    [
        (None, None, b'{"a":1}', {"a": 1}),
        (None, None, b"null", None),
        (None, "raw", b"\xff", b"\xff"),
        (int, None, b"5", 5),
        (int, None, b"1.5", 1),
        (int, None, b'"5"', 5),
        (int, "raw", b"5", 5),
        (float, None, b"1", 1.0),
        (float, "raw", b"1.5", 1.5),
        (Decimal, None, b'"1.10"', Decimal("1.10")),
        (Decimal, "raw", b"1.10", Decimal("1.10")),
        (str, "raw", b"\xc3\xa9", "é"),
        (bytes, "raw", b"\xff", b"\xff"),
        # bytes and str under JSON: the payload is JSON first of all
        (str, None, b'"abc"', "abc"),
        (bytes, None, b'"abc"', b"abc"),
        (str, None, b"1", 1),
        (bytes, None, b"1", 1),
        (str, None, b'{"x":1}', {"x": 1}),
        (str, "binary", b"YWJj", "abc"),
        (int, "binary", b"MTI=", 12),
        (Account, None, b'{"id":"a"}', Account("a")),
        (Packed, "json|binary", b"eyJ4IjoxfQ==", Packed(1)),
        (Point, None, b'{"x":1}', Point(1)),
        (Point, "json|binary", b"eyJ4IjoxfQ==", Point(1)),
        (Move, None, b'{"to":{"x":1,"y":2.0}}', Move(Point(1, 2.0))),
        (Options, None, b'{"a":1}', {"a": 1}),
        (Pair, None, b'[1,"b"]', Pair(1, "b")),
        (Colour, None, b'"red"', Colour.RED),
        (bool, None, b"true", True),
        (dict, None, b'{"__faust":{"ns":"no"}}', {"__faust": {"ns": "no"}}),
        (list[int], None, b"[1,2]", [1, 2]),
        (list[Loose], None, b'[{"x":1}]', [Loose(1)]),
        (dict[str, Loose | None], None, b'{"a":{"x":1},"b":null}', {"a": Loose(1), "b": None}),
        (Loose | None, None, b"null", None),
        (Any, None, b"[1]", [1]),
    ],
)
def test_loads_value(
    registry: Registry, typ: Any, serializer: str | None, data: bytes, expected: Any
) -> None:
    """Every type makes of decoded data what serialization.md 3.2 (or msgspec) says."""
    value = registry.loads_value(typ, data, serializer=serializer)
    assert value == expected
    assert type(value) is type(expected)
    assert registry.compile_loads(typ, serializer)(data) == expected


def test_anything_with_from_data_is_built_by_it(registry: Registry) -> None:
    """A class with ``from_data`` is a model as far as the registry is concerned."""
    assert registry.loads_value(Duck, b"[1]").data == [1]
    assert registry.loads_value(list[Duck], b"[[1]]")[0].data == [1]


def test_untyped_payload_with_a_known_namespace_becomes_the_model(registry: Registry) -> None:
    """Without a type the blessed key decides."""
    payload = Account("a", 1.5).dumps()
    assert registry.loads_value(None, payload) == Account("a", 1.5)
    assert registry.loads_key(None, payload, serializer="json") == Account("a", 1.5)


@pytest.mark.parametrize("blessed", [b"1", b"null", b"{}", b'{"ns":1}', b"[]", b'"x"'])
def test_malformed_blessed_keys_count_as_none(registry: Registry, blessed: bytes) -> None:
    """What merely looks like a blessed key is data."""
    payload = b'{"a":1,"__faust":%s}' % blessed
    assert registry.loads_value(None, payload) == orjson.loads(payload)


def test_unknown_namespace_is_a_decode_error(registry: Registry) -> None:
    """Without a type an unknown model cannot be read, and the error names it."""
    with pytest.raises(ValueDecodeError, match=r"namespace 'no\.such'") as caught:
        registry.loads_value(None, b'{"__faust":{"ns":"no.such"}}')
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    "typ",
    [None, int, float, Decimal, str, bytes, Any, Loose | None, int | None],
    ids=str,
)
def test_null_where_it_is_fine(registry: Registry, typ: Any) -> None:
    """A missing payload is None for plain types, and for those that have None."""
    assert registry.loads_value(typ, None) is None
    assert registry.loads_key(typ, None, serializer="json") is None


@pytest.mark.parametrize("typ", [Account, Duck, Point, Move, Options, list[int], dict, bool])
def test_null_where_something_was_promised(registry: Registry, typ: Any) -> None:
    """A missing payload is an error for models, and for every type without None."""
    with pytest.raises(ValueDecodeError, match=r"it is null, and .* was expected.*allow_empty"):
        registry.loads_value(typ, None)
    with pytest.raises(KeyDecodeError, match=r"it is null, and .* was expected"):
        registry.loads_key(typ, None, serializer="json")


@pytest.mark.parametrize(
    ("typ", "data", "words"),
    [
        (None, b"{", "not readable: JSONDecodeError"),
        (None, b'"\xff"', "UTF-8"),
        (str, b"abc", "not readable as str: JSONDecodeError"),
        (int, b'"x"', "not readable as int: ValueError"),
        (int, b"null", "TypeError"),
        (Decimal, b'"x"', "InvalidOperation"),
        (Account, b"[]", "Account is built from an object"),
        (Account, b"null", "Account is built from an object"),
        (Account, b'{"balance":1}', "misses required field.s.: id"),
        (Point, b'{"x":"1"}', r"Point\.x: expected int, got '1'"),
        (
            list[Loose],
            b'[{"y":1}]',
            r"\[0\].*misses required field.s.: x",
        ),
        (dict, b"[]", "not readable as dict: expected object, got \\[\\]"),
        (Colour, b'"blue"', "invalid enum value 'blue'"),
    ],
)
def test_undecodable_values(registry: Registry, typ: Any, data: bytes, words: str) -> None:
    """Whatever goes wrong is a decode error with reason, payload and cause."""
    with pytest.raises(ValueDecodeError, match=words) as caught:
        registry.loads_value(typ, data)
    assert caught.value.payload == data
    assert caught.value.__cause__ is not None
    with pytest.raises(KeyDecodeError, match=words):
        registry.loads_key(typ, data, serializer="json")


def test_memory_errors_are_not_decode_errors(registry: Registry) -> None:
    """Running out of memory says nothing about the message, and is passed on."""

    class Hungry(Duck):
        @classmethod
        def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
            raise MemoryError

    with pytest.raises(MemoryError):
        registry.loads_value(Hungry, b"1")


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_raise_a_decode_error(data: bytes) -> None:
    """Garbage never surprises: it is a value or a ValueDecodeError."""
    registry = Registry()
    for typ in (None, int, str, Decimal, Account, Point, list[int]):
        for serializer in ("json", "raw", "binary", "pickle_restricted", "json|binary"):
            try:
                registry.loads_value(typ, data, serializer=serializer)
            except ValueDecodeError as exc:
                assert exc.payload == data  # noqa: PT017 - not every input fails


class Plain:
    """Nothing is known about how to build one."""


@pytest.mark.parametrize("typ", [Plain, 5, "Account", Point | Move])
def test_impossible_types_are_refused_before_the_first_message(
    registry: Registry, typ: Any
) -> None:
    """A type that nothing can be decoded to is an error of the program, not of a message."""
    with pytest.raises(ImproperlyConfigured, match="cannot be decoded to the type"):
        registry.compile_loads(typ)


def test_unknown_codec_is_refused_before_the_first_message(registry: Registry) -> None:
    """A misspelt serializer is an error of the program."""
    with pytest.raises(KeyError, match="no codec 'jsno'"):
        registry.compile_loads(None, "jsno")
    with pytest.raises(KeyError, match="no codec 'jsno'"):
        registry.compile_dumps(None, "jsno")


# -- which codec


def test_defaults() -> None:
    """A bare registry leaves keys alone and writes values as JSON."""
    registry = Registry()
    assert (registry.key_serializer, registry.value_serializer) == (None, "json")
    assert registry.loads_key(None, b"\xff") == b"\xff"
    assert registry.loads_key(str, b"abc") == "abc"
    assert registry.dumps_key(str, "abc") == b"abc"
    assert registry.loads_value(None, b"[1]") == [1]
    assert repr(registry) == "<Registry: key_serializer=None value_serializer='json'>"


def test_an_argument_beats_the_default(registry: Registry) -> None:
    """The serializer that is given is used, name or codec."""
    assert registry.loads_value(None, b"YWJj", serializer="binary") == b"abc"
    assert registry.loads_value(None, b"YWJj", serializer=codecs.binary()) == b"abc"
    assert registry.dumps_value(None, "abc", serializer="binary") == b"YWJj"
    assert registry.dumps_key(None, {"a": 1}, serializer="json") == b'{"a":1}'


def test_a_model_beats_the_argument(registry: Registry) -> None:
    """A model that names its serializer is written with it; reading is up to the reader."""
    assert registry.dumps_value(None, Packed(1), serializer="json") == codecs.dumps(
        "json|binary", Packed(1)
    )
    assert registry.dumps_value(Packed, Loose(1)) == (
        b'{"x":1,"__faust":{"ns":"test.registry.Loose"}}'
    )
    assert registry.dumps_key(Account, Account("a")) == Account("a").dumps()


def test_a_replaced_codec_is_used_from_then_on(registry: Registry) -> None:
    """What was compiled for a codec is forgotten when the codec is replaced."""
    codecs.register("mine", codecs.json())
    try:
        assert registry.dumps_value(None, "a", serializer="mine") == b'"a"'
        assert registry.loads_value(None, b'"a"', serializer="mine") == "a"
        codecs.register("mine", codecs.binary())
        assert registry.dumps_value(None, "a", serializer="mine") == b"YQ=="
        assert registry.loads_value(None, b"YQ==", serializer="mine") == b"a"
    finally:
        del codecs.codecs["mine"]


def test_pickle_as_a_default_warns() -> None:
    """An application that pickles by default is warned when it is configured."""
    with pytest.warns(SecurityWarning, match="the default of values"):
        Registry(value_serializer="pickle")


# -- writing


@pytest.mark.parametrize(
    ("key", "wire"),
    [("k", b"k"), (b"k", b"k"), (None, None), (Account("a"), Account("a").dumps())],
)
def test_keys_by_default(registry: Registry, key: Any, wire: bytes | None) -> None:
    """Keys are written as the table of serialization.md 3.3 says."""
    assert registry.dumps_key(None, key) == wire
    assert registry.compile_dumps(None, key=True)(key) == wire


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("v", b'"v"'),
        (b"v", b"v"),
        (5, b"5"),
        (None, b"null"),
        (Point(1), b'{"x":1,"y":0.5}'),
        (Move(Point(1)), b'{"to":{"x":1,"y":0.5},"when":null}'),
        (Account("a"), b'{"id":"a","balance":0.0,"__faust":{"ns":"test.registry.Account"}}'),
    ],
)
def test_values_by_default(registry: Registry, value: Any, wire: bytes) -> None:
    """Values are written as the table of serialization.md 3.3 says; bytes are never encoded."""
    assert registry.dumps_value(None, value) == wire
    assert registry.compile_dumps(None)(value) == wire


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("word", b'"word"'),
        (("a", 1), b'["a",1]'),
        (b"bytes", b"bytes"),
        (Decimal("1.0"), b'"1.0"'),
        ({1, 2}, b"[1,2]"),
        ({"a": 1}, b'{"a":1}'),
        (("w", (1234560.0, 1234569.9)), b'["w",[1234560.0,1234569.9]]'),
        ((1, "k"), b'[1,"k"]'),
        ((["a"], []), b'[["a"],[]]'),
        (
            {"key": b"kk", "value": 5, "correlation_id": "c-1"},
            b'{"key":"b\'kk\'","value":5,"correlation_id":"c-1"}',
        ),
    ],
)
def test_wire_formats_of_tables_and_replies(registry: Registry, value: Any, wire: bytes) -> None:
    """What changelogs, windowed keys, set tables and replies hold is written as in section 6."""
    assert registry.dumps_key(None, value, serializer="json") == wire
    assert registry.dumps_value(None, value, serializer="json") == wire


def test_tombstones(registry: Registry) -> None:
    """Only the codec raw writes a null value."""
    assert registry.dumps_value(None, None, serializer="raw") is None


def test_other_kinds_of_bytes_become_bytes(registry: Registry) -> None:
    """Drivers take bytes only, so bytearray and memoryview are copied into bytes."""
    assert registry.dumps_value(None, bytearray(b"x"), serializer="raw") == b"x"
    assert type(registry.dumps_key(None, memoryview(b"x"))) is bytes


@pytest.mark.parametrize(
    ("key", "serializer", "words"),
    [
        (5, None, "key of type int is not bytes under the serializer raw.*key_serializer='json'"),
        (Loose(1), "raw", "key of type Loose is not bytes"),
        (object(), "json", "not JSON serializable"),
    ],
)
def test_keys_that_are_no_bytes(
    registry: Registry, key: Any, serializer: str | None, words: str
) -> None:
    """What the codec cannot turn into bytes is a clear TypeError, before the producer sees it."""
    with pytest.raises(TypeError, match=words):
        registry.dumps_key(None, key, serializer=serializer)


class Own(Record, namespace="test.registry.Own"):
    x: int

    def to_representation(self) -> Any:
        return str(self.x).encode()

    @classmethod
    def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
        return cls(int(data))


@pytest.mark.parametrize(
    ("typ", "key", "wire", "read"),
    [
        (int, 7, b"7", 7),
        (int, -(2**70), b"-1180591620717411303424", -(2**70)),
        (int, "7", b"7", 7),
        (int, b"007", b"007", 7),
        (float, 1.5, b"1.5", 1.5),
        (float, 2, b"2.0", 2.0),
        (float, "1e3", b"1e3", 1000.0),
        (Decimal, Decimal("1.10"), b"1.10", Decimal("1.10")),
        (Decimal, 3, b"3", Decimal(3)),
        (Loose, Loose(1), b'{"x":1,"__faust":{"ns":"test.registry.Loose"}}', Loose(1)),
        (Loose, b'{"x":2}', b'{"x":2}', Loose(2)),
        (Loose, '{"x":2}', b'{"x":2}', Loose(2)),
        (Own, Own(3), b"3", Own(3)),
        (int, None, None, None),
    ],
    ids=str,
)
def test_declared_keys_under_the_default(
    registry: Registry, typ: Any, key: Any, wire: bytes | None, read: Any
) -> None:
    """A topic can be sent keys of its own key type, though the default is raw; bytes and text go as they are."""
    assert registry.dumps_key(typ, key) == wire
    assert registry.compile_dumps(typ, key=True)(key) == wire
    found = registry.loads_key(typ, wire)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("typ", "key", "serializer"),
    [
        (int, 1.5, None),
        (int, Loose(1), None),
        (float, Decimal(1), None),
        (Loose, 5, None),
        (Loose, {"x": 1}, None),
        (str, 5, None),
        (None, Loose(1), None),
        (int, 5, "raw"),
        (Loose, Loose(1), "raw"),
    ],
    ids=str,
)
def test_what_is_not_declared_is_refused(
    registry: Registry, typ: Any, key: Any, serializer: str | None
) -> None:
    """What is neither of the declared type nor bytes or text is no key, nor is anything else where raw was asked for."""
    with pytest.raises(TypeError, match="is not bytes under the serializer raw"):
        registry.dumps_key(typ, key, serializer=serializer)


def test_skip(registry: Registry) -> None:
    """Instances of *skip* are left alone."""
    value: Any = registry.dumps_value(None, "v", skip=(str,))
    key: Any = registry.dumps_key(None, 5, skip=(int,))
    assert (key, value) == (5, "v")


def test_overridden_dumps_of_a_model_is_called(registry: Registry) -> None:
    """A model with a `dumps` of its own is written by it."""

    class Special(Record, namespace="test.registry.Special"):
        x: int

        def dumps(self, *, serializer: Any = None) -> bytes:
            return f"{self.x} {serializer}".encode()

    assert registry.dumps_value(None, Special(1)) == b"1 json()"


@given(st.recursive(st.integers(-9, 9) | st.text("ab"), lambda s: st.lists(s, max_size=3)))
def test_round_trip(value: Any) -> None:
    """What is written is read again, whatever the chain of codecs."""
    registry = Registry()
    for serializer in ("json", "json|binary", "pickle_restricted", "yaml"):
        data = registry.dumps_value(None, value, serializer=serializer)
        assert registry.loads_value(None, data, serializer=serializer) == value


# -- types that cannot be hashed, and speed


def test_annotated_types_that_cannot_be_hashed(registry: Registry) -> None:
    """A type that no dictionary can hold is compiled each time, and works."""
    from typing import Annotated

    typ = Annotated[int, msgspec.Meta(gt=0, extra={"a": []})]
    assert registry.loads_value(typ, b"5") == 5
    with pytest.raises(ValueDecodeError, match="expected int >= 1, got 0"):
        registry.loads_value(typ, b"0")


def test_structs_decode_at_the_speed_of_msgspec(registry: Registry) -> None:
    """A compiled decoder of a Struct costs at most three times msgspec alone."""
    data = b'{"to":{"x":1,"y":2.0},"when":"2020-01-01T00:00:00"}'
    ours = registry.compile_loads(Move)
    bare = msgspec.json.Decoder(Move).decode

    def cost(function: Any) -> float:
        return min(timeit.repeat(lambda: function(data), number=2000, repeat=7))

    assert cost(ours) < 3 * cost(bare)
