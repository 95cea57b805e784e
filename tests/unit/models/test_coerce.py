"""How values are converted: models.md sections 4.2 and 4.3."""

from __future__ import annotations

import datetime as dt
import types
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum, IntEnum
from typing import Any, NamedTuple, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.models import Record
from faust.serializers.registry import Registry
from faust.utils import json

DAY = dt.datetime(2020, 1, 2)  # noqa: DTZ001 - a date without zone is naive


class User(Record, namespace="coerce.User"):
    id: str


class Animal(Record, namespace="coerce.Animal", abstract=True):
    pass


class Dog(Animal, namespace="coerce.Dog"):
    name: str


class Cat(Animal, namespace="coerce.Cat"):
    lives: int


class Level(IntEnum):
    HIGH = 3


class Colour(Enum):
    RED = "red"


class Place(NamedTuple):
    who: User
    at: int = 0


DOG = {"name": "rex", "__faust": {"ns": "coerce.Dog"}}
USER = {"id": "7"}


def model(typ: Any, **keywords: Any) -> Any:
    """Make a model whose only field is *x* of type *typ*."""
    body = {"__annotations__": {"x": typ}, "__module__": __name__}
    keywords["namespace"] = "coerce.Holder"
    return types.new_class("Holder", (Record,), keywords, lambda space: space.update(body))


@pytest.mark.parametrize(
    ("typ", "value", "expected"),
    [
        (bool, "no", True),
        (bool, "", False),
        (int, "7", 7),
        (int, 1.9, 1),
        (Level, 3, 3),
        (float, "1.5", 1.5),
        (str, 5, "5"),
        (str, b"x", "b'x'"),
        (str, None, "None"),
        (str, "x", "x"),
        (bytes, b"x", b"x"),
        (bytes, "é", b"\xc3\xa9"),
        (Decimal, "1.10", Decimal("1.10")),
        (Decimal, 0.5, Decimal("0.5")),
        (dt.datetime, "2020-01-02", DAY),
        (dt.datetime, DAY, DAY),
        (dt.datetime, None, None),
        (int | None, "7", 7),
        (int | None, None, None),
        (Colour, "red", "red"),
        (dt.date, "2020-01-02", "2020-01-02"),
        (list[int], ["1"], ["1"]),
        (Any, "x", "x"),
    ],
)
def test_coerce(typ: Any, value: Any, expected: Any) -> None:
    """With ``coerce`` scalars are converted when made, read and assigned."""
    cls = model(typ, coerce=True)
    for made in (cls(value), cls.from_data({"x": value})):
        assert made.x == expected
        assert type(made.x) is type(expected)
    made = cls(value)
    made.x = value
    assert made.x == expected
    made.other = value
    assert made.other is value


@pytest.mark.parametrize(
    ("typ", "value", "error"),
    [
        (int, "x", ValueError),
        (int, None, TypeError),
        (float, None, TypeError),
        (Decimal, "x", InvalidOperation),
        (bytes, 3, AttributeError),
        (dt.datetime, "yesterday", ValueError),
    ],
)
def test_coercion_failures(typ: Any, value: Any, error: type[Exception]) -> None:
    """What cannot be converted raises the converter's own error, in every way of making one."""
    cls = model(typ, coerce=True)
    with pytest.raises(error):
        cls(value)
    with pytest.raises(error):
        cls.from_data({"x": value})


@pytest.mark.parametrize(
    "typ", [bool, int, float, str, bytes, Decimal, dt.datetime, Colour, list[int], set[int], tuple]
)
def test_without_options_scalars_stay_as_they_are(typ: Any) -> None:
    """Nothing is converted or checked that nobody asked for."""
    value = object()
    cls = model(typ)
    assert cls(value).x is value
    assert cls.from_data({"x": value}).x is value


@pytest.mark.parametrize(
    ("keywords", "typ", "value", "expected"),
    [
        ({"isodates": True}, dt.datetime, "2020-01-02", DAY),
        ({"isodates": True}, dt.datetime | None, None, None),
        ({"isodates": True}, dt.datetime, DAY, DAY),
        ({"decimals": True}, Decimal, "1.5", Decimal("1.5")),
        ({"decimals": True}, Decimal, 1.5, Decimal("1.5")),
        ({"coercions": {Colour: Colour}}, Colour, "red", Colour.RED),
        ({"coercions": {(Colour, Level): Colour}}, Colour, "red", Colour.RED),
        ({"coercions": {dt.date: lambda text: text[:4]}}, dt.datetime, "2020-01-02", "2020"),
        ({"isodates": True, "date_parser": int}, dt.datetime, "5", 5),
    ],
)
def test_options_for_decoded_data(
    keywords: dict[str, Any], typ: Any, value: Any, expected: Any
) -> None:
    """isodates, decimals and handlers convert decoded data, and leave alone what code gives."""
    cls = model(typ, **keywords)
    assert cls.from_data({"x": value}).x == expected
    assert cls(value).x is value


@pytest.mark.parametrize(
    ("typ", "value", "expected"),
    [
        (User, USER, User("7")),
        (User | None, USER, User("7")),
        (User, None, None),
        (list[User], [USER, None], [User("7"), None]),
        (Sequence[User], [USER], [User("7")]),
        (deque[User], [USER], [USER]),
        (list[list[User]], [[USER]], [[User("7")]]),
        (dict[str, User], {"a": USER}, {"a": User("7")}),
        (Mapping[Decimal, int], {"1.5": 1}, {Decimal("1.5"): 1}),
        (set[Decimal], ["1.5"], {Decimal("1.5")}),
        (frozenset[Decimal], ["1.5"], {Decimal("1.5")}),
        (tuple[User, int], [USER, 5], (User("7"), 5)),
        (tuple[User, int], [USER, 5, 6], (User("7"), 5)),
        (tuple[User, ...], [USER, USER], (User("7"), User("7"))),
        (list[dt.datetime], ["2020-01-02", DAY, None], [DAY, DAY, None]),
        (list[Decimal | None], ["1.5", None], [Decimal("1.5"), None]),
        (Place, [USER, 5], Place(User("7"), 5)),
        (Place, Place(User("7")), Place(User("7"))),
        (list[Place], [[USER]], [Place(User("7"))]),
        (Animal, DOG, Dog("rex")),
        (Record, DOG, Dog("rex")),
        (Animal, {"name": "?"}, {"name": "?"}),
        (list[Animal], [DOG], [Dog("rex")]),
        (Union[Dog, Cat], DOG, Dog("rex")),  # noqa: UP007 - both spellings must work
        (Dog | Cat, DOG, Dog("rex")),
        (Dog | Cat, {"name": "?"}, {"name": "?"}),
        (str | list[User], [USER], [USER]),
        (int | dt.datetime, "2020-01-02", "2020-01-02"),
        (list, [USER], [USER]),
        (tuple[int, int], [1, 2], [1, 2]),
    ],
)
def test_structure(typ: Any, value: Any, expected: Any) -> None:
    """Models, and containers of models, dates and decimals, are built whatever the options say."""
    for keywords in ({}, {"coerce": True}, {"isodates": True, "decimals": True}):
        cls = model(typ, **keywords)
        for made in (cls(value), cls.from_data({"x": value})):
            assert made.x == expected
            assert type(made.x) is type(expected)


@pytest.mark.parametrize(
    ("typ", "value", "error"),
    [
        (User, 3, TypeError),
        (User, {}, TypeError),
        (Animal, {"__faust": {"ns": "no.such"}}, KeyError),
        (list[Decimal], [1.5], TypeError),
        (list[Decimal], ["NaN"], ValueError),
        (list[Decimal], ["1" * 1001], ValueError),
        (list[dt.datetime], ["x"], ValueError),
        (tuple[User, int], [], IndexError),
        (list[User], 3, TypeError),
    ],
)
def test_structure_that_does_not_fit(typ: Any, value: Any, error: type[Exception]) -> None:
    """What has the wrong structure fails when the model is made, not when it is used."""
    cls = model(typ)
    for make in (cls, lambda x: cls.from_data({"x": x})):
        with pytest.raises(error):
            make(value)


def test_polymorphic_container() -> None:
    """A container with ``polymorphic_fields`` holds submodels of what its fields declare."""

    class Base(Record, namespace="coerce.Base"):
        id: str

    class Sub(Base, namespace="coerce.Sub"):
        more: int

    sub = {"id": "a", "more": 1, "__faust": {"ns": "coerce.Sub"}}
    stranger = {"id": "a", "__faust": {"ns": "coerce.User"}}
    assert type(model(Base).from_data({"x": sub}).x) is Base
    assert model(Base, polymorphic_fields=True).from_data({"x": sub}).x == Sub("a", 1)
    assert type(model(Base, polymorphic_fields=True).from_data({"x": stranger}).x) is Base


def test_handlers_are_inherited_and_extended() -> None:
    """Handlers of a base class are kept, and those of a subclass stand beside them."""

    class Base(Record, abstract=True, coercions={Colour: Colour}):
        pass

    class Both(Base, coercions={complex: complex}, namespace="coerce.Both"):
        c: Colour
        z: list[complex]

    read = Both.from_data({"c": "red", "z": ["1+2j", None]})
    assert (read.c, read.z) == (Colour.RED, [1 + 2j, None])
    assert Base._options.coercions == {Colour: Colour}


def test_defaults_go_through_the_same_conversion() -> None:
    """A container that is rebuilt is not shared between instances."""

    class Holder(Record, namespace="coerce.Defaults"):
        users: list[User] = []  # noqa: RUF012

    first, second = Holder(), Holder.from_data({})
    first.users.append(User("1"))
    assert (second.users, Holder().users) == ([], [])


TYPES: list[tuple[Any, Callable[[], st.SearchStrategy[Any]]]] = [
    (int, lambda: st.integers(-(2**60), 2**60)),
    (Decimal, lambda: st.decimals(allow_nan=False, allow_infinity=False, places=3)),
    (dt.datetime, lambda: st.datetimes(timezones=st.just(dt.UTC) | st.none())),
    (User, lambda: st.builds(User, st.text("abc"))),
]


@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    """Values of any nesting of convertible types come back from the wire as they went."""
    typ: Any
    typ, values = data.draw(st.sampled_from(TYPES))
    shape = data.draw(st.sampled_from(["plain", "list", "dict", "tuple", "optional"]))
    value = data.draw(values())
    typ, value = {
        "plain": (typ, value),
        "list": (list[typ], [value, value]),
        "dict": (dict[str, typ], {"a": value}),
        "tuple": (tuple[typ, ...], [value]),
        "optional": (typ | None, None),
    }[shape]
    cls = model(typ, isodates=True, decimals=True)
    made = cls(value)
    wire = json.dumps(made)
    read = Registry().loads_value(cls, wire)
    if typ is tuple[int, ...]:  # a container of plain scalars stays what JSON made of it
        read.x = made.x = list(read.x)
    assert read == made
