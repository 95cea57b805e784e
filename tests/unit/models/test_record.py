"""Records: models.md sections 2, 3, 5, 6, 7 and 9, on the wire as literal bytes."""

# Much here is what type checkers rightly refuse: arguments left out, orders of fields, dynamic classes.
# mypy: disable-error-code="call-arg, arg-type, misc"

from __future__ import annotations

import copy
import pickle
import timeit
import types
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import faust
from faust.models import Model, Record, maybe_model, registry
from faust.serializers.registry import Registry
from faust.utils import json


class Point(Record, namespace="shop.Point"):
    x: int
    y: int


class User(Record, namespace="shop.User"):
    id: str


class Account(Record, namespace="shop.Account", serializer="json", decimals=True):
    user: User
    bal: Decimal


class Order(Record, namespace="shop.Order"):
    a: int
    b: Optional[int]  # noqa: UP045 - both spellings must work
    c: int
    d: int = 5
    e: list[int] = []  # noqa: RUF012 - shared, as documented
    kind: ClassVar[str] = "order"
    plain = 3


class Bare(Record, namespace="shop.Bare", include_metadata=False):
    x: int


class Nothing(Record, namespace="shop.Nothing"):
    pass


class Masked(Record, namespace="shop.Masked"):
    card: str

    def _prepare_dict(self, payload: dict[str, Any]) -> dict[str, Any]:
        payload["card"] = "***"
        return payload


class Other(Record, namespace="shop.Other"):
    x: Masked

    def to_representation(self) -> Any:
        return [self.x]


class Node(Record, namespace="shop.Node"):
    value: int
    next: Node | None = None


# -- wire


@pytest.mark.parametrize(
    ("model", "wire"),
    [
        (Point(1, 2), b'{"x":1,"y":2,"__faust":{"ns":"shop.Point"}}'),
        (
            Account(User("7"), Decimal("1.5")),
            (
                b'{"user":{"id":"7","__faust":{"ns":"shop.User"}},"bal":"1.5",'
                b'"__faust":{"ns":"shop.Account"}}'
            ),
        ),
        (Bare(1), b'{"x":1}'),
        (Nothing(), b'{"__faust":{"ns":"shop.Nothing"}}'),
        (
            Node(1, Node(2)),
            (
                b'{"value":1,"next":{"value":2,"next":null,"__faust":{"ns":"shop.Node"}},'
                b'"__faust":{"ns":"shop.Node"}}'
            ),
        ),
        (
            Order(c=2, a=1),
            b'{"a":1,"b":null,"c":2,"d":5,"e":[],"__faust":{"ns":"shop.Order"}}',
        ),
    ],
)
def test_wire(model: Record, wire: bytes) -> None:
    """A model is written in declaration order, the blessed key last, and read back equal."""
    assert model.dumps(serializer="json") == wire == json.dumps(model)
    assert type(model).loads(wire, serializer="json") == model
    assert type(model).loads(wire.decode(), serializer="json") == model
    registry_ = Registry()
    assert registry_.dumps_value(type(model), model) == wire
    assert registry_.loads_value(type(model), wire) == model


def test_declaration_order_governs_the_wire_whatever_came_in() -> None:
    """A payload with its keys in another order is written in ours."""
    order = Order.from_data({"e": [1], "d": 4, "c": 3, "b": 2, "a": 1})
    assert json.dumps(order).startswith(b'{"a":1,"b":2,"c":3,"d":4,"e":[1]')
    assert repr(order) == "<Order: a=1, b=2, c=3, d=4, e=[1]>"


def test_dumps_prefers_its_argument_and_loads_the_model() -> None:
    """The asymmetry of models.md 5: writing obeys the argument, reading the class."""
    account = Account(User("7"), Decimal("1.5"))
    assert account.dumps() == account.dumps(serializer="json")
    binary = account.dumps(serializer="json|binary")
    assert binary == b"eyJ1c2VyIj" + binary[10:]
    assert Account.loads(account.dumps(), serializer="binary") == account
    assert User("7").dumps() == {"id": "7", "__faust": {"ns": "shop.User"}}
    with pytest.warns(DeprecationWarning, match="use serializer"):
        assert Point.loads(b'{"x":1,"y":2}', default_serializer="json") == Point(1, 2)


@given(
    st.builds(
        Node,
        st.integers(-(2**63), 2**63),
        st.none() | st.builds(Node, st.integers(-9, 9), st.none()),
    )
)
def test_round_trip(node: Node) -> None:
    """Nested models survive the wire, typed and untyped."""
    wire = json.dumps(node)
    assert Registry().loads_value(Node, wire) == node
    assert Registry().loads_value(None, wire) == node


# -- declaring


def test_fields() -> None:
    """Annotated attributes are fields; class variables and plain attributes are not."""
    options = Order._options
    assert list(options.fields) == ["a", "b", "c", "d", "e"]
    assert options.fieldset == frozenset("abcde")
    assert options.fieldpos == {0: "a", 1: "b", 2: "c", 3: "d", 4: "e"}
    assert options.optionalset == frozenset("bde")
    assert options.defaults == {"b": None, "d": 5, "e": []}
    assert (Order.kind, Order.plain) == ("order", 3)


def test_namespace_is_the_qualified_name() -> None:
    """Without a namespace the module and the full name of the class are used, per class."""

    class Local(Record):
        x: int

    class Sub(Point):
        z: int = 0

    assert Local._options.namespace == f"{__name__}.{Local.__qualname__}"
    assert Sub._options.namespace == f"{__name__}.{Sub.__qualname__}"
    assert registry[Local._options.namespace] is Local


def test_later_definitions_replace_earlier_ones() -> None:
    """The registry holds the last class of a namespace."""

    class First(Record, namespace="shop.replaced"):
        x: int

    first: Any = registry["shop.replaced"]
    assert first is First

    class Second(Record, namespace="shop.replaced"):
        x: int

    second: Any = registry["shop.replaced"]
    assert second is Second


def test_keywords_are_inherited() -> None:
    """Subclasses inherit fields, defaults and keywords; abstract and namespace they do not."""

    class Base(Record, abstract=True, serializer="json", include_metadata=False, coerce=True):
        id: str
        n: int = 1

    class Child(Base):
        m: int
        n = 2

    class Reset(Child, coerce=False):
        id: int  # type: ignore[assignment]

    assert Base.__is_abstract__
    assert not Child.__is_abstract__
    assert Base._options.namespace not in registry
    assert Child("i", "7").dumps() == b'{"id":"i","n":2,"m":7}'
    assert list(Reset._options.fields) == ["id", "n", "m"]
    assert Reset("x", "y").asdict() == {"id": "x", "n": 2, "m": "y"}


def test_options_class() -> None:
    """An inner class Options says the same as class keywords, which win over it."""

    class Configured(Record, namespace="shop.Configured"):
        x: int

        class Options:
            serializer = "json"
            namespace = "shop.loses"
            include_metadata = False

    assert Configured(1).dumps() == b'{"x":1}'
    assert Configured._options.namespace == "shop.Configured"
    assert not hasattr(Configured, "Options")


@pytest.mark.parametrize("make", [Record, lambda: Record.from_data({})])
def test_abstract_models_have_no_instances(make: Callable[[], Any]) -> None:
    """Record, and what is declared abstract, cannot be made."""
    with pytest.raises(NotImplementedError, match="abstract"):
        make()


def test_abstract_child_of_a_concrete_model() -> None:
    """A model may be followed by an abstract one, and that by a concrete one again."""

    class Middle(Point, abstract=True):
        z: int

    class Leaf(Middle):
        pass

    with pytest.raises(NotImplementedError, match="Middle is abstract"):
        Middle(1, 2, 3)
    with pytest.raises(NotImplementedError, match="Middle is abstract"):
        Middle.from_data({"x": 1, "y": 2, "z": 3})
    assert Leaf(1, 2, 3).asdict() == {"x": 1, "y": 2, "z": 3}


def test_mixins_bring_fields() -> None:
    """Annotations of plain base classes are fields, too, the outermost first."""

    class Timed:
        at: float = 0.0

    class Event(Timed, Record):
        name: str

    assert list(Event._options.fields) == ["at", "name"]
    assert Event("x").asdict() == {"at": 0.0, "name": "x"}


def test_required_behind_default_is_refused() -> None:
    """A required field behind one with a default is a mistake, where the class is made."""
    with pytest.raises(TypeError, match="'b' has no default, and stands behind 'a'"):

        class Wrong(Record):
            a: int = 1
            b: int

    class Fine(Record):
        a: int = 1
        b: int | None

    assert Fine().asdict() == {"a": 1, "b": None}


def test_unknown_keywords_are_refused() -> None:
    """No keyword is accepted and ignored."""
    with pytest.raises(TypeError, match=r"unknown class keyword.* serialiser; known are"):
        types.new_class("Wrong", (Record,), {"serialiser": "json"})


def test_asdict_must_not_be_overridden() -> None:
    """What a body must not hold is refused where the class is made (models.md 3.3)."""
    with pytest.raises(RuntimeError, match="must not override asdict"):

        class Over(Record):
            def asdict(self) -> Any:
                return {}


def test_maybe_model() -> None:
    """Data becomes the model that it names, if there is one; never an error."""
    assert maybe_model({"id": "i", "__faust": {"ns": "shop.User"}}) == User("i")
    for data in ({"__faust": {"ns": "no.such"}}, {"__faust": 1}, [1], None, "x", 3):
        assert maybe_model(data) is data


# -- descriptors


def test_field_descriptors() -> None:
    """On the class a field is its descriptor, which selects; on an instance it is the value."""
    order = Order(1, 2, 3)
    assert Order.a.ident == "Order.a"  # type: ignore[attr-defined]
    assert Order.b.getattr(order) == 3  # type: ignore[union-attr]
    assert repr(Order.d) == "<IntegerField: Order.d: int = 5>"
    assert repr(Order.a) == "<IntegerField: Order.a: int>"
    assert Order._options.descriptors["a"] is Order.a
    assert order.a == 1


def test_nested_descriptors() -> None:
    """A field of a nested model is reached through its parent, and keeps its own model's name."""
    nested: Any = Account.user.id
    assert nested.ident == "User.id"
    assert nested.parent is Account.user
    assert nested.getattr(Account(User("7"), Decimal(1))) == "7"
    next_: Any = Node.next
    assert next_.next.value.getattr(Node(1, Node(2, Node(3)))) == 3
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = nested.nope
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = next_.nope


def test_inherited_descriptors_name_the_subclass() -> None:
    """Each class has descriptors of its own, so topic names say which model was meant."""

    class Child(Point, namespace="shop.PointChild"):
        pass

    assert (Child.x.ident, Point.x.ident) == ("Child.x", "Point.x")  # type: ignore[attr-defined]


def test_missing_value_is_an_attribute_error() -> None:
    """An instance that lost a value says so instead of showing the descriptor."""
    point = Point(1, 2)
    del vars(point)["x"]
    with pytest.raises(AttributeError, match="this Point has no value for the field 'x'"):
        _ = point.x
    with pytest.raises(AttributeError, match="the field 'y' of Point cannot be deleted"):
        del point.y
    point.extra = 1  # type: ignore[attr-defined]
    del point.extra  # type: ignore[attr-defined]


# -- as objects


def test_comparison() -> None:
    """Instances of the very same class compare by their fields, in declaration order."""

    class Child(Point, namespace="shop.PointChild2"):
        pass

    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert Point(1, 2) < Point(1, 3) <= Point(1, 3) < Point(2, 0)
    assert Point(2, 0) > Point(1, 9) >= Point(1, 9)
    assert Point(1, 2) != Child(1, 2)
    assert Point(1, 2) != (1, 2)
    with pytest.raises(TypeError):
        _ = Point(1, 2) < Child(1, 2)
    assert Nothing() == Nothing()


def test_hash() -> None:
    """The hash is that of the fields; unhashable ones and own ``__eq__`` take it away."""

    class OwnEq(Record, namespace="shop.OwnEq"):  # noqa: PLW1641 - that is the point
        x: int

        def __eq__(self, other: object) -> bool:
            return True

    assert hash(Point(1, 2)) == hash((1, 2))
    assert hash(User("7")) == hash(("7",))
    assert len({Point(1, 2), Point(1, 2), Point(2, 1)}) == 2
    with pytest.raises(TypeError):
        hash(Order(1, 2))
    with pytest.raises(TypeError):
        hash(OwnEq(1))
    assert OwnEq(1) == 5
    assert not OwnEq(1)._model_eq(OwnEq(2))


def test_derive() -> None:
    """A changed copy: models first, then keywords; names must be fields."""
    order = Order(1, 2)
    changed = order.derive(Order(5, 6, e=[1]), c=9)
    assert changed.asdict() == {"a": 5, "b": None, "c": 9, "d": 5, "e": [1]}
    assert order == Order(1, 2)
    with pytest.raises(TypeError, match="unexpected keyword"):
        order.derive(zz=9)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_copies(duplicate: Callable[[Any], Any]) -> None:
    """Models can be copied and pickled, with what they carry besides their fields."""
    order = Order.from_data({"a": 1, "c": 2, "zz": [3]})
    again = duplicate(order)
    assert again == order
    assert again is not order
    assert again.zz == [3]


def test_public_addresses() -> None:
    """The class has one home and several addresses."""
    assert faust.Record is Record
    assert faust.Model is Model
    assert Record.__is_model__
    assert Record.__is_abstract__


def test_decoding_costs_little_more_than_json() -> None:
    """A model of five fields is decoded within the order of magnitude of its JSON."""

    class Wide(Record, namespace="shop.Wide"):
        account: str
        n: int
        amount: float
        country: str
        at: str

    data = Wide("a" * 30, 1, 12.5, "DE", "2020-01-02T03:04:05").dumps(serializer="json")
    loads = Registry().compile_loads(Wide)

    def cost(function: Any) -> float:
        return min(timeit.repeat(lambda: function(data), number=2000, repeat=7))

    assert cost(loads) < 15 * cost(json.plain_loads)
