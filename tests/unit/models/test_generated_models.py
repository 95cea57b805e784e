"""Whole families of models: what is written is read back, and the short ways do what the long ones do."""

# Much here is what type checkers rightly refuse.
# mypy: disable-error-code="call-arg, arg-type, misc, valid-type, assignment"

from __future__ import annotations

import copy
import datetime as dt
import json as stdlib_json
import pickle
import sys
import types
import uuid
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple, Optional, Union

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faust.models import Record
from faust.models.fields import field_for_type
from faust.models.typing import strip_optional
from faust.models.wire import exact_loads
from faust.serializers.registry import Registry
from faust.utils.json import plain_loads


class Level(IntEnum):
    LOW = 1
    HIGH = 3


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Leaf(Record, namespace="gen.Leaf", isodates=True, decimals=True):
    id: str
    at: Optional[dt.datetime] = None  # noqa: UP045
    price: Decimal | None = None


class Base(Record, namespace="gen.Base", abstract=True):
    pass


class Cat(Base, namespace="gen.Cat"):
    lives: int


class Dog(Base, namespace="gen.Dog"):
    name: str = "rex"


class Node(Record, namespace="gen.Node"):
    value: int
    next: Optional[Node] = None  # noqa: UP045
    others: list[Node] = []  # noqa: RUF012


class Place(NamedTuple):
    leaf: Leaf
    day: dt.datetime


COERCIONS = {uuid.UUID: uuid.UUID, Colour: Colour, Level: Level}

Typed = tuple[Any, st.SearchStrategy[Any]]
TEXT = st.text(max_size=5)
INTEGERS = st.integers(-(2**70), 2**70)
SMALL = st.integers(-(2**63), 2**64 - 1)
DATETIMES = st.datetimes(timezones=st.none() | st.just(dt.UTC))
DECIMALS = st.decimals(
    allow_nan=False, allow_infinity=False, places=3, max_value=10**9, min_value=-(10**9)
)
LEAVES = st.builds(Leaf, TEXT, st.none() | DATETIMES, st.none() | DECIMALS)
PETS = st.builds(Cat, SMALL) | st.builds(Dog, TEXT)
NODES = st.recursive(
    st.builds(Node, SMALL),
    lambda inner: st.builds(Node, SMALL, st.none() | inner, st.lists(inner, max_size=2)),
    max_leaves=4,
)
SCALARS: list[Typed] = [
    (int, SMALL),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, TEXT),
    (bool, st.booleans()),
    (dt.datetime, DATETIMES),
    (Decimal, DECIMALS),
    (uuid.UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Any, st.none() | SMALL | TEXT | st.lists(TEXT, max_size=2)),
    (Leaf, LEAVES),
    (Base, PETS),
    (Union[Cat, Dog], PETS),  # noqa: UP007
    (Node, NODES),
    (Place, st.builds(Place, LEAVES, DATETIMES)),
]


def wrapped(inner: Typed) -> list[Typed]:
    """Put a type into each container that keeps what it holds on the way through JSON."""
    typ, values = inner
    shapes: list[Typed] = [
        (list[typ], st.lists(values, max_size=3)),
        (dict[str, typ], st.dictionaries(TEXT, values, max_size=3)),
    ]
    if typ in {Leaf, Cat, Decimal, dt.datetime, Place, Base, Node}:
        shapes += [
            (tuple[typ, ...], st.lists(values, max_size=3).map(tuple)),
            (tuple[typ, Leaf], st.tuples(values, LEAVES)),
        ]
    if typ is Decimal:
        shapes += [(set[typ], st.sets(values, max_size=3))]
    return shapes


TYPES: list[Typed] = [*SCALARS, *(shape for typed in SCALARS for shape in wrapped(typed))]
TYPES += [shape for typed in wrapped(SCALARS[11]) for shape in wrapped(typed)]
TYPES += [(Optional[typ], st.none() | values) for typ, values in TYPES]  # noqa: UP045


@st.composite
def models(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw a model class of some fields, and an instance."""
    count = draw(st.integers(0, 5))
    drawn = [draw(st.sampled_from(TYPES)) for _ in range(count)]
    body: dict[str, Any] = {"__annotations__": {}, "__module__": __name__}
    values = {}
    optional = False
    for number, (typ, strategy) in enumerate(drawn):
        name = f"f{number}"
        body["__annotations__"][name] = typ
        values[name] = draw(strategy)
        if draw(st.booleans()) and typ is Leaf:
            body[name] = Leaf("default")
            optional = True
        elif optional or draw(st.integers(0, 4)) == 0:
            alias = draw(st.sampled_from([None, f"Alias{number}"]))
            kind, _ = field_for_type(strip_optional(typ))
            body[name] = kind(required=False, default=None, input_name=alias)
            optional = True
    keywords: dict[str, Any] = {
        "namespace": "gen.Drawn",
        "isodates": True,
        "decimals": True,
        "coercions": COERCIONS,
        "include_metadata": draw(st.booleans()),
        "polymorphic_fields": draw(st.booleans()),
        "allow_blessed_key": draw(st.booleans()),
    }
    cls = types.new_class("Drawn", (Record,), keywords, lambda space: space.update(body))
    cls.__module__ = __name__
    return cls, cls(**values)


LESS = settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)


@LESS
@given(models())
def test_round_trip(drawn: tuple[Any, Any]) -> None:
    """``loads(dumps(x)) == x``, for generated classes and values, on every way (issue 4, acceptance 2)."""
    cls, model = drawn
    wire = model.dumps(serializer="json")
    assert cls.loads(wire, serializer="json") == model
    assert Registry().dumps_value(cls, model) == wire
    assert Registry().loads_value(cls, wire) == model
    assert cls.from_data(stdlib_json.loads(wire), preferred_type=cls) == model
    chained = Registry(value_serializer="json|binary")
    assert chained.loads_value(cls, chained.dumps_value(None, model)) == model
    if cls._options.include_metadata:
        assert Registry().loads_value(None, wire) == model


@LESS
@given(models())
def test_objects(drawn: tuple[Any, Any]) -> None:
    """Copies are equal, and what is equal hashes equal, if it hashes (models.md 9)."""
    cls, model = drawn
    for again in (copy.copy(model), copy.deepcopy(model), model.derive(), cls(**vars(model))):
        assert again == model
        assert not again != model  # noqa: SIM202 - both operators are tested
    setattr(sys.modules[__name__], cls.__name__, cls)
    cls.__qualname__ = cls.__name__
    assert pickle.loads(pickle.dumps(model)) == model
    try:
        assert hash(copy.deepcopy(model)) == hash(model)
    except TypeError:
        with pytest.raises(TypeError):
            hash(tuple(vars(model).values()))


MUTATIONS: list[Callable[[dict[str, Any]], Any]] = [
    lambda data: data.update(unknown=[1], another="x"),
    lambda data: data.update(__faust={"ns": "gen.Leaf"}),
    lambda data: data.update(__faust={"ns": "no.such"}),
    lambda data: data.update(__faust=3),
    lambda data: data.pop("__faust", None),
    lambda data: data and data.pop(next(iter(data))),
    lambda data: data and data.update({next(iter(data)): None}),
    lambda data: data and data.update({next(iter(data)): 3}),
    lambda data: data and data.update({next(iter(data)): {"id": 1}}),
    lambda data: data and data.update({next(iter(data)): [{"id": 1}, 2]}),
    lambda data: data.update(list(data.items())[::-1]),
]


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call gives: attributes and types at any depth, or the type of the error."""
    try:
        made = call()
    except Exception as exc:
        return type(exc)
    return type(made), {name: repr(value) for name, value in vars(made).items()}


@LESS
@given(models(), st.lists(st.sampled_from(MUTATIONS), max_size=3))
def test_short_and_long_way(drawn: tuple[Any, Any], mutations: list[Any]) -> None:
    """Reading straight from JSON is `from_data` of it: the same instance, or the same kind of error."""
    cls, model = drawn
    data = stdlib_json.loads(model.dumps(serializer="json"))
    for mutate in mutations:
        mutate(data)
    wire = stdlib_json.dumps(data).encode()
    load = cls._compile_loads(plain_loads)
    long = outcome(lambda: cls.from_data(exact_loads(wire), preferred_type=cls))
    assert outcome(lambda: load(wire)) == long
    if isinstance(long, tuple):
        again = load(wire)
        assert Registry().dumps_value(None, again) == again.dumps(serializer="json")


def test_many_unknown_keys_switch_to_the_long_way() -> None:
    """Where most messages have an unknown key nothing is lost, before and after the switch."""
    load = Leaf._compile_loads(plain_loads)
    for number in range(100):
        assert load(b'{"id":"%d","more":1}' % number).more == 1
    assert load(b'{"id":"a"}') == Leaf("a")


@given(INTEGERS)
def test_integers_stay_exact(number: int) -> None:
    """Integers of any size are read exactly, on the short and on the long way."""
    load = Cat._compile_loads(plain_loads)
    assert load(b'{"lives":%d}' % number).lives == number
    assert load(b'{"lives":%d,"more":1}' % number).lives == number


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1", b'{"id":"\xff"}', b'{"id":"\\ud800"}', b"[" * 2000, b'{"id":NaN}']
)
def test_what_is_no_json(data: bytes) -> None:
    """What is no JSON is the error that JSON gives everywhere (serialization.md 2.2)."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the class is compared below
        plain_loads(data)
    with pytest.raises(type(caught.value)):
        Leaf._compile_loads(plain_loads)(data)
