"""How keys and values look in a changelog, and that they come back."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.changelogs import App

import faust
from faust.exceptions import KeyDecodeError, ValueDecodeError
from faust.messages import TP
from faust.serializers.registry import Registry
from faust.tables.codec import TableCodec, hashable
from faust.utils import json

HERE = TP("shop-totals-changelog", 3)


class Color(Enum):
    RED = "red"


def codec(key_type: Any = None, value_type: Any = None) -> TableCodec:
    """Make the codec of a table named totals."""
    return TableCodec(Registry(), table="totals", key_type=key_type, value_type=value_type)


@pytest.mark.parametrize(
    ("types", "key", "value", "raw_key", "raw_value"),
    [
        ((None, None), "x", 1, b'"x"', b"1"),
        ((None, None), "x", None, b'"x"', b"null"),
        ((int, int), 5, None, b"5", b"null"),
        (
            (None, None),
            ("a", 1),
            {"q": [1, 2.5, None, True]},
            b'["a",1]',
            b'{"q":[1,2.5,null,true]}',
        ),
        ((int, None), 5, 6, b"5", b"6"),
        ((str, str), "é", "ü", '"é"'.encode(), '"ü"'.encode()),
        ((bytes, bytes), b"\x00k", b"v\xff", b"\x00k", b"v\xff"),
        ((None, None), ("k", (10.0, 19.9)), 1, b'["k",[10.0,19.9]]', b"1"),
    ],
)
def test_the_documented_bytes(
    types: tuple[Any, Any], key: Any, value: Any, raw_key: bytes, raw_value: bytes
) -> None:
    """Keys and values look exactly as the documents say, and come back equal."""
    totals = codec(*types)
    assert totals.encode_key(key) == raw_key
    assert totals.encode_value(key, value) == raw_value
    assert totals.decode_key(HERE, raw_key) == key
    assert totals.decode_value(HERE, key, raw_value) == value


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ({1}, b"[1]"),
        ((1, 2), b"[1,2]"),
        (Decimal("1.10"), b'"1.10"'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), b'"2020-01-02T03:04:05Z"'),
        (date(2020, 1, 2), b'"2020-01-02"'),
        (Color.RED, b'"red"'),
    ],
)
def test_the_documented_conversions(value: Any, raw: bytes) -> None:
    """What JSON does not know is written as the documents say."""
    assert codec().encode_value("k", value) == raw


JSON_KEYS = st.recursive(
    st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.booleans()),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)


@given(JSON_KEYS)
def test_every_key_comes_back_hashable_and_equal(key: Any) -> None:
    """Text, numbers and tuples of them, however deep, are the same key after recovery."""
    totals = codec()
    raw = totals.encode_key(key)
    back = totals.decode_key(HERE, raw)
    assert back == key
    assert hash(back) == hash(key)
    assert totals.encode_key(back) == raw


@given(
    st.sampled_from([None, str, int]),
    st.one_of(st.text(), st.characters(categories=["Cs"]), st.integers(), st.booleans(), st.none()),
)
def test_the_short_way_to_the_bytes_of_a_key(key_type: Any, key: Any) -> None:
    """Bytes that are found without the serializer are the serializer's, and of a key that comes back as it is."""
    totals = codec(key_type)
    raw = totals.plain(key)
    if raw is None:
        assert key.__class__ is not str or key_type is int or not key.isprintable()
        return
    assert raw == json.dumps(key) == totals.encode_key(key)
    back = totals.decode_key(HERE, raw)
    assert (back, back.__class__) == (key, key.__class__)


def test_arrays_in_keys_become_tuples_at_any_depth() -> None:
    """A list is never part of a key."""
    assert hashable([1, [2, [3]], "x"]) == (1, (2, (3,)), "x")


@pytest.mark.parametrize("raw", [b"{", b"", b"\xff"])
def test_bad_bytes_say_which_table_and_partition(raw: bytes) -> None:
    """Key and value errors name the table, the changelog and the first bytes."""
    with pytest.raises(KeyDecodeError, match=r"'totals'.*shop-totals-changelog\[3\].*first bytes"):
        codec().decode_key(HERE, raw)
    with pytest.raises(ValueDecodeError, match=r"key 7 .*'totals'.*shop-totals-changelog\[3\]"):
        codec().decode_value(HERE, 7, raw)


@pytest.mark.parametrize(
    ("types", "key", "value", "part"),
    [
        ((None, None), "k", object(), "value of key 'k' .object. cannot be encoded"),
        ((None, None), b"k", 1, "key_type=bytes"),
        ((None, None), None, 1, "None cannot be a key"),
        ((None, None), "k", b"v", "value_type=bytes"),
        ((None, bytes), "k", None, "must be bytes"),
        ((None, bytes), "k", 7, "cannot be encoded|must be bytes"),
    ],
)
def test_what_cannot_be_written_says_why(
    types: tuple[Any, Any], key: Any, value: Any, part: str
) -> None:
    """A TypeError names table and key, and what to do."""
    totals = codec(*types)
    with pytest.raises(TypeError, match=part) as caught:
        (totals.encode_value(key, value), totals.encode_key(key))
    assert "'totals'" in str(caught.value)


async def test_1_schema(app: App) -> None:
    """A schema gives types and serializers that the table does not name, and its methods are used (tables.md 1)."""

    class Shouting(faust.Schema):
        def dumps_value(self, app: Any, value: Any, **options: Any) -> Any:
            body, headers = super().dumps_value(app, value, **options)
            assert body is not None
            return body.upper(), headers

        def loads_value(self, app: Any, message: Any, **options: Any) -> Any:
            return super().loads_value(app, message, **options).lower()

    table = app.Table(
        "totals", schema=Shouting(key_type=int, value_type=bytes, value_serializer="raw")
    )
    codec = table.codec
    assert (table.key_serializer, table.value_serializer) == ("json", "raw")
    assert codec.encode_key(5) == b"5"
    assert codec.encode_value(5, b"word") == b"WORD"
    assert codec.decode_key(HERE, b"5") == 5
    assert codec.decode_value(HERE, 5, b"WORD") == b"word"
    assert codec.scalars == frozenset()
    other = app.Table("other", key_type=str, schema=faust.Schema(key_type=int, value_type=str))
    assert other.codec.key_type is str
    assert other.codec.scalars == {str, type(None)}
    members = app.SetTable("sets", schema=faust.Schema(key_type=str, value_type=int))
    assert (members.codec.keys.key_type, members.codec.members.key_type) == (str, int)
