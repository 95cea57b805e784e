"""models.md 4: which descriptor stands for a type, the conversion matrix, type expressions, paths of errors."""

# Much here is what type checkers rightly refuse.
# mypy: disable-error-code="call-arg, arg-type, misc, assignment, attr-defined, valid-type"

from __future__ import annotations

import datetime as dt
import decimal
import types
import typing
import uuid
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple, NewType, Optional, TypeVar, Union

import pytest

from faust.exceptions import ValueDecodeError
from faust.models import Record
from faust.models.fields import (
    TYPE_TO_FIELD,
    BooleanField,
    BytesField,
    DatetimeField,
    DecimalField,
    FieldDescriptor,
    FloatField,
    IntegerField,
    StringField,
    field_for_type,
)
from faust.models.tags import Personal, Secret, Sensitive
from faust.models.typing import NodeType, TypeExpression
from faust.serializers.registry import Registry
from faust.utils import json

UserId = NewType("UserId", int)
T = TypeVar("T")
DAY = dt.datetime(2020, 1, 2)  # noqa: DTZ001 - naive on purpose


class Level(IntEnum):
    HIGH = 3


class Kind(str, Enum):  # noqa: UP042 - the spelling that is in use
    NEW = "new"


class Colour(Enum):
    RED = "red"


class Item(Record, namespace="spec4.Item"):
    price: Decimal
    at: Optional[dt.datetime] = None  # noqa: UP045


class Priced(Record, namespace="spec4.Priced", decimals=True, isodates=True):
    price: Decimal
    at: dt.datetime | None = None


class Basket(Record, namespace="spec4.Basket"):
    items: list[Priced]
    by_name: dict[str, Priced] = {}  # noqa: RUF012
    pair: tuple[Priced, int] | None = None


class Shop(Record, namespace="spec4.Shop"):
    order: Basket


class Stock(NamedTuple):
    item: Item
    count: int = 1


@dataclass
class Plain:
    x: int


def model(typ: Any, default: Any = ..., **keywords: Any) -> Any:
    """Make a model whose only field is *x* of type *typ*."""
    body: dict[str, Any] = {"__annotations__": {"x": typ}, "__module__": __name__}
    if default is not ...:
        body["x"] = default
    keywords.setdefault("namespace", "spec4.Holder")
    return types.new_class("Holder", (Record,), keywords, lambda space: space.update(body))


# -- 4.1

DESCRIPTORS = [
    (bool, BooleanField),
    (int, IntegerField),
    (Level, IntegerField),
    (float, FloatField),
    (Decimal, DecimalField),
    (str, StringField),
    (Kind, StringField),
    (bytes, BytesField),
    (dt.datetime, DatetimeField),
    *(
        (typ, FieldDescriptor)
        for typ in (
            dt.date,
            dt.time,
            uuid.UUID,
            Colour,
            Any,
            list,
            list[int],
            Item,
            Union[int, str],  # noqa: UP007
            Literal["a"],
            UserId,
            Plain,
            T,
        )
    ),
]


@pytest.mark.parametrize(("typ", "descriptor"), DESCRIPTORS)
def test_4_1_descriptor(typ: Any, descriptor: Any) -> None:
    """Each type has its descriptor, optional or not (models.md 4.1)."""
    assert type(model(typ).x) is descriptor
    assert type(model(Optional[typ]).x) is descriptor  # noqa: UP045
    assert field_for_type(typ) == (descriptor, None)


@pytest.mark.parametrize("tag", [Secret, Sensitive, Personal])
def test_4_1_descriptor_of_tagged_types(tag: Any) -> None:
    """A tagged type has the descriptor of the type, with the tag (models.md 4.1)."""
    assert field_for_type(tag[str]) == (StringField, tag)
    assert type(model(tag[str]).x) is StringField
    assert model(tag[str]).x.tag is tag
    assert model(Optional[tag[bytes]]).x.tag is tag  # noqa: UP045


def test_4_1_table() -> None:
    """The table of types is public (models.md 4.1)."""
    assert set(TYPE_TO_FIELD) == {bool, int, float, Decimal, str, bytes, dt.datetime}


# -- 4.2

UNTOUCHED = [
    bool,
    int,
    float,
    str,
    bytes,
    Decimal,
    dt.datetime,
    Colour,
    uuid.UUID,
    dt.date,
    dt.time,
    dt.timedelta,
    Plain,
    Literal["a"],
    Any,
    UserId,
    Level,
    Kind,
    list[int],
    set[str],
    tuple[int, int],
    tuple[int, ...],
    frozenset[int],
    dict[str, float],
    list,
    dict,
    set,
    tuple,
]


@pytest.mark.parametrize("typ", UNTOUCHED, ids=str)
def test_4_2_nothing_is_done_unasked(typ: Any) -> None:
    """Without options scalars, and containers of plain scalars, stay as they are (models.md 4.2)."""
    cls = model(typ)
    for value in (object(), [1, 2], "x", 1.5):
        assert cls(value).x is value
        assert cls.from_data({"x": value}).x is value
        made = cls(None)
        made.x = value
        assert made.x is value


@pytest.mark.parametrize(
    "typ",
    [t for t in UNTOUCHED if not isinstance(t, type) or t in {Colour, uuid.UUID, Plain}],
    ids=str,
)
def test_4_2_what_coerce_does_not_touch(typ: Any) -> None:
    """Everything but plain scalars is left alone by ``coerce`` (models.md 4.2)."""
    value = ["1"]
    cls = model(typ, coerce=True)
    assert cls(value).x is value
    assert cls.from_data({"x": value}).x is value


@pytest.mark.parametrize(
    ("typ", "value", "expected"),
    [
        (bool, "no", True),
        (bool, "", False),
        (int, "7", 7),
        (int, 1.9, 1),
        (Level, Level.HIGH, 3),
        (float, "1.5", 1.5),
        (str, 5, "5"),
        (str, None, "None"),
        (str, b"x", "b'x'"),
        (bytes, "é", b"\xc3\xa9"),
        (bytes, b"x", b"x"),
        (Decimal, 0.1, Decimal(0.1)),  # noqa: RUF032 - the full binary precision is the point
        (Decimal, "1.10", Decimal("1.10")),
        (dt.datetime, "2020-01-02", DAY),
        (dt.datetime, DAY, DAY),
        (dt.datetime, None, None),
        (Optional[int], None, None),  # noqa: UP045
        (Optional[str], None, None),  # noqa: UP045
    ],
)
def test_4_2_coerce(typ: Any, value: Any, expected: Any) -> None:
    """``coerce`` converts scalars by hand, from data, and on assignment (models.md 4.2)."""
    cls = model(typ, coerce=True)
    made = cls(value)
    read = cls.from_data({"x": value})
    again = cls(expected)
    again.x = value
    assert [made.x, read.x, again.x] == [expected] * 3
    assert type(made.x) is type(expected)


@pytest.mark.parametrize(
    ("typ", "value", "error"),
    [
        (int, "x", ValueError),
        (int, None, TypeError),
        (float, None, TypeError),
        (bytes, 3, AttributeError),
        (Decimal, "x", decimal.InvalidOperation),
        (dt.datetime, "x", ValueError),
    ],
)
def test_4_2_errors_are_the_converters(typ: Any, value: Any, error: type[Exception]) -> None:
    """What cannot be converted raises the converter's error, with the path (models.md 4.2)."""
    cls = model(typ, validation=True)
    other = model(typ)(value)
    for make in (
        lambda: cls(value),
        lambda: cls.from_data({"x": value}),
        lambda: setattr(cls.__new__(cls), "x", value),
    ):
        with pytest.raises(error) as caught:
            make()
        assert type(caught.value) is error
        assert str(caught.value).startswith("x: expected ")
        assert caught.value.field_path == "x"
    assert other.x is value
    with pytest.raises(ValueDecodeError, match=r"Holder\.x: expected") as decoding:
        Registry().loads_value(cls, json.dumps({"x": value}))
    assert decoding.value.field_path == "x"


def test_4_2_assignment_converts_and_does_not_validate() -> None:
    """Assignment coerces and builds models; it never validates (models.md 4.2)."""

    class Holder(Record, validation=True):
        item: Item
        name: str = "a"

    made = Holder(Item(1))
    made.name = ""
    made.item = {"price": 3}
    made.other = 7
    assert (made.name, made.item, made.other) == ("", Item(3), 7)
    with pytest.raises(TypeError, match="item: expected Item, got 3"):
        made.item = 3
    assert made.item == Item(3)


def test_4_2_assignment_with_own_setattr() -> None:
    """A class with ``__setattr__`` of its own gets converted values, once (models.md 4.2)."""
    seen: list[Any] = []

    class Watched(Record, coerce=True):
        x: int
        secret: Secret[str]

        def __setattr__(self, name: str, value: Any) -> None:
            seen.append((name, value))
            super().__setattr__(name, value)

    class Child(Watched):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)

    for cls in (Watched, Child):
        made = cls("1", "s")
        made.x = "2"
        made.secret = "t"
        assert made.x == 2
        assert made.secret.get_value() == "t"
        assert seen[0] == ("x", 2)
        assert len(seen) == 2
        seen.clear()


def test_4_2_fields_cannot_be_deleted() -> None:
    """Deleting a field is an AttributeError (models.md 4.2)."""
    made = Item.from_data({"price": 1, "more": 2})
    del made.more
    with pytest.raises(AttributeError, match="price"):
        del made.price


@pytest.mark.parametrize("typ", [Item, list[Item], dict[str, Item], Stock, tuple[Item, ...]])
def test_4_2_none_of_required_structures_stays(typ: Any) -> None:
    """A required model or container that is None stays None (models.md 4.2, deviation)."""
    cls = model(typ)
    assert cls(None).x is None
    assert cls.from_data({"x": None}).x is None
    assert Registry().loads_value(cls, b'{"x":null}').x is None


def test_4_2_bytes_on_the_wire() -> None:
    """Bytes are written as their repr, and come back as that text (models.md 4.2)."""
    cls = model(bytes)
    assert cls(b"xx").dumps(serializer="json").startswith(b'{"x":"b\'xx\'"')
    assert Registry().loads_value(cls, cls(b"xx").dumps(serializer="json")).x == "b'xx'"
    assert model(bytes, coerce=True).from_data({"x": "b'xx'"}).x == b"b'xx'"


# -- 4.3

LEAVES: list[tuple[Any, Any, Any]] = [
    (Item, {"price": 1}, Item(1)),
    (dt.datetime, "2020-01-02", DAY),
    (Decimal, "1.5", Decimal("1.5")),
    (complex, "1+2j", 1 + 2j),
]
LISTS = [typing.List, list, Sequence, typing.Sequence, MutableSequence]  # noqa: UP006
SETS = [typing.Set, set, typing.FrozenSet, frozenset, AbstractSet, MutableSet]  # noqa: UP006
MAPPINGS = [typing.Dict, dict, Mapping, typing.Mapping, MutableMapping]  # noqa: UP006


def built(typ: Any, value: Any) -> list[Any]:
    """Build the field in every way, whatever the options."""
    results = []
    for keywords in ({}, {"coerce": True}, {"isodates": True, "decimals": True}):
        cls = model(typ, coercions={complex: complex}, **keywords)
        results += [cls(value).x, cls.from_data({"x": value}).x]
        if isinstance(value, list | dict):
            results.append(Registry().loads_value(cls, json.dumps({"x": value})).x)
    return results


@pytest.mark.parametrize(("leaf", "raw", "expected"), LEAVES)
def test_4_3_containers(leaf: Any, raw: Any, expected: Any) -> None:
    """Every spelling of every container builds what is inside of it (models.md 4.3)."""
    for container in LISTS:
        assert built(container[leaf], [raw, None]).count([expected, None]) == 9
    for container in SETS:
        for result in built(container[leaf], [raw]):
            assert result == {expected}
            assert type(result) is set
    for container in MAPPINGS:
        assert all(result == {"k": expected} for result in built(container[str, leaf], {"k": raw}))
    assert all(r == (expected, raw) for r in built(tuple[leaf, Any], [raw, raw, 3]))
    assert all(r == (expected, expected) for r in built(tuple[leaf, ...], [raw, raw]))
    assert all(r == [{"k": [expected]}] for r in built(list[dict[str, list[leaf]]], [{"k": [raw]}]))
    assert all(r == [expected] for r in built(list[leaf | None], [raw]))


def test_4_3_keys_are_converted() -> None:
    """Keys of mappings are converted like their values (models.md 4.3)."""
    assert all(
        r == {Decimal(1): DAY} for r in built(dict[Decimal, dt.datetime], {"1": "2020-01-02"})
    )


@pytest.mark.parametrize(
    "typ",
    [
        Union[str, list[int]],  # noqa: UP007
        int | dt.datetime,
        str | bytes | int | float,
        list[int | dt.datetime],
        Any,
        Literal["a", 1],
        T,
        Plain,
        UserId,
        type,
        Callable,
    ],
)
def test_4_3_what_stays(typ: Any) -> None:
    """Unions of other things than models, and anything unknown, stay as they are (models.md 4.3)."""
    for value in ("2020-01-02", [1], {"a": 1}, 3):
        assert model(typ).from_data({"x": value}).x == value


@pytest.mark.parametrize(
    ("typ", "value", "error"),
    [
        (list[Decimal], [1.5], TypeError),
        (list[Decimal], ["NaN"], ValueError),
        (list[Decimal], ["1" * 1001], ValueError),
        (list[Decimal], ["x"], decimal.InvalidOperation),
        (tuple[Item, Item], [{"price": 1}], IndexError),
        (list[Record], [{"__faust": {"ns": "no.such"}}], KeyError),
        (list[Item], [3], TypeError),
        (dict[str, Item], [1], AttributeError),
    ],
)
def test_4_3_what_does_not_fit(typ: Any, value: Any, error: type[Exception]) -> None:
    """Structures that do not fit raise, where the instance is made (models.md 4.3)."""
    for make in (model(typ), lambda value: model(typ).from_data({"x": value})):
        with pytest.raises(error):
            make(value)


def test_4_3_handlers() -> None:
    """Handlers are asked first, in order, also for subclasses, and only for plain data (models.md 4.3)."""
    first: Any = {
        dt.date: lambda text: ("date", text),
        (dt.datetime, Colour): lambda text: text * 2,
    }
    cls = model(list[dt.datetime], coercions=first)
    assert cls(["2020"]).x == [("date", "2020")]
    assert model(list[Colour], coercions=first)(["a", None, b"b", Colour.RED]).x == [
        "aa",
        None,
        b"b",
        Colour.RED,
    ]
    for value, expected in ((1, 2), (1.5, 3.0), ([1], [1, 1]), (Decimal(1), Decimal(2))):
        assert model(list[Colour], coercions=first)([value]).x == [expected]
    scalar = model(Colour, coercions={Colour: Colour})
    assert scalar.from_data({"x": "red"}).x is Colour.RED
    assert scalar("red").x == "red"
    assert model(Kind, coercions={Kind: Kind}, coerce=True).from_data({"x": "new"}).x is Kind.NEW
    with pytest.raises(ValueError, match=r"x: expected Colour, got 'blue'"):
        scalar.from_data({"x": "blue"})


def test_4_3_type_expressions_by_themselves() -> None:
    """The machine that converts can be used without a model (models.md 1, 4.3)."""
    expression = TypeExpression(dict[str, list[Item]])
    assert expression.as_function()({"a": [{"price": 1}]}) == {"a": [Item(1)]}
    assert expression.as_function()(None) is None
    assert expression.has_models
    assert not expression.has_custom_types
    assert TypeExpression(list[complex], user_types={complex: complex}).has_custom_types
    assert TypeExpression(dt.datetime, date_parser=lambda text: DAY).as_function()("x") == DAY
    assert TypeExpression(list[int]).as_function()(["1"]) == ["1"]
    kinds = {
        Item: NodeType.MODEL,
        list[int]: NodeType.LIST,
        set[int]: NodeType.SET,
        dict[str, int]: NodeType.DICT,
        tuple[int, ...]: NodeType.TUPLE,
        Stock: NodeType.NAMEDTUPLE,
        Literal[1]: NodeType.LITERAL,
        int | str: NodeType.UNION,
        int: NodeType.ANY,
        Decimal: NodeType.DECIMAL,
        dt.datetime: NodeType.DATETIME,
    }
    assert {typ: TypeExpression(typ).node.kind for typ in kinds} == kinds


# -- paths

GOOD = {"price": "1"}
PATHS = [
    ({"order": {"items": [GOOD, GOOD, GOOD, {"price": "abc"}]}}, "order.items[3].price"),
    ({"order": {"items": [GOOD, {}]}}, "order.items[1]"),
    ({"order": {"items": [GOOD, 3]}}, "order.items[1]"),
    ({"order": {"items": [{"price": 1, "at": "?"}]}}, "order.items[0].at"),
    ({"order": {"items": [], "by_name": {"a.b": {"price": "abc"}}}}, "order.by_name['a.b'].price"),
    ({"order": {"items": [], "pair": [{"price": "abc"}, 1]}}, "order.pair[0].price"),
    ({"order": {"items": [], "pair": []}}, "order.pair"),
    ({"order": {}}, "order"),
    ({"order": []}, "order"),
    ({"order": {"items": 3}}, "order.items"),
]


@pytest.mark.parametrize(("data", "path"), PATHS)
def test_errors_carry_the_path(data: Any, path: str) -> None:
    """An error of conversion says in which field of which part of the message it is (issue 4)."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - many kinds; the path is what counts
        Shop.from_data(data)
    assert str(caught.value).startswith(f"{path}: expected ")
    with pytest.raises(ValueDecodeError) as decoding:
        Registry().loads_value(Shop, json.dumps(data))
    assert decoding.value.field_path == path
    assert f"Shop.{path}: expected" in str(decoding.value)
    with pytest.raises(type(caught.value)):
        Shop(**data)


def test_error_of_a_decimal() -> None:
    """The words of the issue: what was expected, and what was there."""
    with pytest.raises(decimal.InvalidOperation) as caught:
        Shop.from_data({"order": {"items": [GOOD] * 3 + [{"price": "abc"}]}})
    assert str(caught.value).startswith("order.items[3].price: expected decimal, got 'abc'")


def test_errors_of_other_types_get_a_note() -> None:
    """An exception of the user's own stays what it is, and learns the path (PEP 678)."""

    class Broken(Exception):
        pass

    def handler(text: Any) -> Any:
        raise Broken("no")

    inner = model(Colour, coercions={Colour: handler}, namespace="spec4.Inner")
    outer = model(list[inner], namespace="spec4.Outer")
    with pytest.raises(Broken) as caught:
        outer.from_data({"x": [{"x": "red"}]})
    assert caught.value.field_path == "x[0].x"
    assert [note for note in caught.value.__notes__ if "x[0].x" in note]
