"""JSON on the wire: the table of serialization.md 2.1, as literal bytes."""

from __future__ import annotations

import collections
import datetime as dt
import json as stdlib_json
import math
import re
import uuid
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.utils import json


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Text(str, Enum):  # noqa: UP042 - users write it this way
    A = "a"


class Pair(NamedTuple):
    left: int
    right: str


@dataclass
class Point:
    x: int
    y: int


class Struct(msgspec.Struct):
    x: int
    inner: Any = None


class Says:
    """Represents itself as whatever it was given."""

    def __init__(self, representation: Any) -> None:
        self.representation = representation

    def __json__(self) -> Any:
        return self.representation


CEST = dt.timezone(dt.timedelta(hours=2))
MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001 - naive on purpose
ID = uuid.UUID(int=1)
ID_TEXT = b"00000000-0000-0000-0000-000000000001"

TABLE: list[tuple[Any, bytes]] = [
    (None, b"null"),
    (True, b"true"),
    (False, b"false"),
    (1, b"1"),
    (1.0, b"1.0"),
    (1e100, b"1e+100"),
    (2**64 - 1, b"18446744073709551615"),
    (-(2**63), b"-9223372036854775808"),
    (math.nan, b"null"),
    (math.inf, b"null"),
    ("é", '"é"'.encode()),
    (Decimal("1.10"), b'"1.10"'),
    (Decimal("NaN"), b'"NaN"'),
    (ID, b'"' + ID_TEXT + b'"'),
    (b"abc", b"\"b'abc'\""),
    (MOMENT.replace(microsecond=6), b'"2020-01-02T03:04:05.000006"'),
    (MOMENT, b'"2020-01-02T03:04:05"'),
    (MOMENT.replace(tzinfo=dt.UTC), b'"2020-01-02T03:04:05Z"'),
    (MOMENT.replace(tzinfo=CEST), b'"2020-01-02T03:04:05+02:00"'),
    (dt.date(2020, 1, 2), b'"2020-01-02"'),
    (dt.time(1, 2, 3), b'"01:02:03"'),
    (dt.time(1, 2, 3, 4), b'"01:02:03.000004"'),
    (Colour.RED, b'"red"'),
    (Level.HIGH, b"3"),
    (Text.A, b'"a"'),
    ((1, 2), b"[1,2]"),
    ({1}, b"[1]"),
    (frozenset({1}), b"[1]"),
    (collections.deque([1, 2]), b"[1,2]"),
    (Pair(1, "b"), b'[1,"b"]'),
    (collections.Counter("a"), b'{"a":1}'),
    (collections.OrderedDict(b=1, a=2), b'{"b":1,"a":2}'),
    (collections.defaultdict(int, a=1), b'{"a":1}'),
    (Point(1, 2), b'{"x":1,"y":2}'),
    (Struct(1, Decimal("1.5")), b'{"x":1,"inner":"1.5"}'),
    (Says({"a": Says((1, b"x"))}), b'{"a":[1,"b\'x\'"]}'),
    ({1: 1}, b'{"1":1}'),
    ({1.5: 1}, b'{"1.5":1}'),
    ({True: 1}, b'{"true":1}'),
    ({None: 1}, b'{"null":1}'),
    ({dt.date(2020, 1, 2): 1}, b'{"2020-01-02":1}'),
    ({MOMENT.replace(tzinfo=dt.UTC): 1}, b'{"2020-01-02T03:04:05Z":1}'),
    ({ID: 1}, b'{"' + ID_TEXT + b'":1}'),
    ({Colour.RED: 1}, b'{"red":1}'),
    ({"a": {1: [{2}]}}, b'{"a":{"1":[[2]]}}'),
    ([{"a": 1, "b": [None, {}]}], b'[{"a":1,"b":[null,{}]}]'),
]


def _name(value: object) -> str:
    """Name a case; without addresses, which differ between the processes of one run."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:40]


@pytest.mark.parametrize(("value", "expected"), TABLE, ids=_name)
def test_encoding_table(value: Any, expected: bytes) -> None:
    """Every value is written as the table of serialization.md 2.1 says."""
    assert json.dumps(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        "\ud800",
        dt.timedelta(1),
        1j,
        range(3),
        iter([1]),
        ValueError("x"),
        bytearray(b"x"),
        object(),
        Says,
        {(1, 2): 1},
        {b"a": 1},
        {Decimal(1): 1},
        {Says(1): 1},
    ],
    ids=_name,
)
def test_what_has_no_form_in_json(value: Any) -> None:
    """What cannot be read back as anything sensible is refused, never guessed."""
    with pytest.raises(TypeError):
        json.dumps([value])


@pytest.mark.parametrize("loads", [json.loads, json.plain_loads])
@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"NaN", b"Infinity", b"1e999", b'"\\ud800"', b"[1,]", b"'a'", b'{"a":1} x'],
    ids=_name,
)
def test_malformed(loads: Any, data: bytes) -> None:
    """What is not JSON raises the error that the standard library would raise."""
    with pytest.raises(stdlib_json.JSONDecodeError):
        loads(data)


def test_not_utf8() -> None:
    """Bytes that are not UTF-8 are named as such, and not as bad JSON."""
    with pytest.raises(UnicodeDecodeError):
        json.loads(b'"\xff"')
    with pytest.raises(ValueError, match="UTF-8"):
        json.plain_loads(b'"\xff"')


def test_integers_beyond_64_bits_become_floats() -> None:
    """A number that no 64-bit integer holds is read as the nearest float."""
    assert json.loads(b"[18446744073709551615,18446744073709551616]") == [2**64 - 1, 2.0**64]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_decodes_any_bytes_and_text(kind: Any) -> None:
    """Bytes of every kind and text are read alike."""
    assert json.loads(kind(b'{"a":[1,null]}')) == {"a": [1, None]} == json.loads('{"a":[1,null]}')


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_round_trip(value: Any) -> None:
    """What JSON can say comes back equal, in compact form, and as the standard library reads it."""
    data = json.dumps(value)
    assert json.loads(data) == value == stdlib_json.loads(data)


def test_str_to_decimal() -> None:
    """Text becomes a finite decimal of bounded length, or an error that says why not."""
    assert json.str_to_decimal(None) is None
    assert json.str_to_decimal("1.10") == Decimal("1.10")
    with pytest.raises(ValueError, match="1001 characters is too long"):
        json.str_to_decimal("1" * 1001)
    assert json.str_to_decimal("1" * 1000) is not None
    for text in ("NaN", "Infinity", "-inf"):
        with pytest.raises(ValueError, match="not a finite decimal"):
            json.str_to_decimal(text)
    with pytest.raises(InvalidOperation):
        json.str_to_decimal("one")
