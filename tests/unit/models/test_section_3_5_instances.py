"""models.md 3, 5, 6 and 9: making instances, hooks, representations, which class is meant, comparing."""

# Much here is what type checkers rightly refuse.
# mypy: disable-error-code="call-arg, arg-type, misc, assignment, comparison-overlap"

from __future__ import annotations

import copy
import json as stdlib_json
import operator
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from faust.exceptions import ValueDecodeError
from faust.models import Record, maybe_model, registry
from faust.models.fields import FieldDescriptor, StringField
from faust.serializers.registry import Registry


class Mixed(Record, namespace="spec3.Mixed"):
    a: int
    b: int = 5
    c: list[int] = []  # noqa: RUF012 - shared, as documented


class Aliased(Record, namespace="spec3.Aliased"):
    kind: str = FieldDescriptor[str](input_name="type")
    size: int = FieldDescriptor[int](input_name="Size", output_name="SIZE")
    note: str = StringField(required=False, default="-", input_name="Note")
    hidden: int = FieldDescriptor[int](exclude=True, required=False, default=1)


def read(cls: Any, data: dict[str, Any]) -> list[Any]:
    """Make an instance in each way that decoded data can take."""
    load = Registry().compile_loads(cls)
    return [
        cls.from_data(data),
        cls.from_data(MappingProxyType(data)),
        cls.from_data(data, preferred_type=cls),
        cls.loads(stdlib_json.dumps(data), serializer="json"),
        load(stdlib_json.dumps(data).encode()),
        Registry(value_serializer="json|binary").loads_value(
            cls, Registry(value_serializer="json|binary").dumps_value(None, data)
        ),
    ]


# -- 3.1


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "missing 1 required positional argument: 'a'"),
        ((1, 2, [], 4), {}, "positional arguments"),
        ((1,), {"z": 1, "y": 2}, r"unexpected keyword argument\(s\): y, z"),
        ((1,), {"a": 1}, "multiple values for argument 'a'"),
    ],
)
def test_3_1_wrong_arguments(args: Any, kwargs: Any, words: str) -> None:
    """Wrong arguments of a constructor are a TypeError that names them (models.md 3.1)."""
    with pytest.raises(TypeError, match=words):
        Mixed(*args, **kwargs)


def test_3_1_none_selects_the_default() -> None:
    """None for an optional field selects its default; defaults are shared (models.md 3.1)."""
    assert Mixed(1, None, None).asdict() == {"a": 1, "b": 5, "c": []}
    assert Mixed(None).a is None
    assert Mixed(1).c is Mixed(2).c
    assert Mixed(a="as it is").a == "as it is"


# -- 3.2


def test_3_2_from_data() -> None:
    """Data becomes an instance; what is no field is kept beside; data is not changed (models.md 3.2)."""
    data = {"a": 1, "b": None, "more": [1], "__faust": {"ns": "spec3.Mixed"}}
    before = copy.deepcopy(data)
    for made in read(Mixed, data):
        assert made == Mixed(1)
        assert made.more == [1]
        assert repr(made) == "<Mixed: a=1, b=5, c=[], more=[1]>"
        assert "more" not in made.asdict()
        assert hash(Aliased("x", 1)) == hash(Aliased("x", 1))
    assert data == before
    assert Mixed.from_data(made) is made


@pytest.mark.parametrize("data", [[1], 3, None, "x", b"x"])
def test_3_2_only_mappings(data: Any) -> None:
    """What is no mapping is a TypeError (models.md 3.2)."""
    with pytest.raises(TypeError, match="is built from an object"):
        Mixed.from_data(data)


def test_3_2_missing_fields() -> None:
    """A missing required field is a TypeError that names it (models.md 3.2)."""
    with pytest.raises(TypeError, match=r"Mixed misses required field\(s\): a"):
        Mixed.from_data({"b": 1})
    with pytest.raises(ValueDecodeError, match=r"Mixed misses required field\(s\): a"):
        Registry().loads_value(Mixed, b"{}")


def test_3_2_unknown_keys_never_hide_methods() -> None:
    """Unknown keys that are names of methods are left out (models.md 3.2, deviation)."""
    for made in read(Mixed, {"a": 1, "dumps": 3, "_options": 4, "x": 5}):
        assert callable(made.dumps)
        assert made._options.namespace == "spec3.Mixed"
        assert made.x == 5


def test_3_2_aliases_are_of_the_selected_class() -> None:
    """The class that a payload names translates the payload (models.md 3.2, deviation)."""
    data = {"type": "t", "Size": 3, "__faust": {"ns": "spec3.Aliased"}}
    assert Mixed.from_data(data) == Aliased("t", 3)


# -- 3.3


class Hooked(Record, namespace="spec3.Hooked", coerce=True):
    x: int
    y: int = 0

    def __post_init__(self) -> None:
        self.total = self.x + self.y


class OwnInit(Record, namespace="spec3.OwnInit", coerce=True):
    x: int
    y: int = 2

    def __init__(self, x: int, **kwargs: Any) -> None:
        self._model_init(x=x, **kwargs)
        self.seen = kwargs.get("__strict__", True)


class OwnMethods(Record, namespace="spec3.OwnMethods"):
    x: int

    def __eq__(self, other: object) -> bool:
        return NotImplemented

    def __lt__(self, other: object) -> bool:
        return True

    __hash__ = None


def test_3_3_post_init() -> None:
    """``__post_init__`` runs in both modes, with converted values (models.md 3.3)."""
    assert Hooked("1", "2").total == 3
    assert [made.total for made in read(Hooked, {"x": "1", "y": "3"})] == [4] * 6


def test_3_3_own_init() -> None:
    """A class with its own constructor calls the written one, with all arguments (models.md 3.3)."""
    assert OwnInit("1").asdict() == {"x": 1, "y": 2}
    assert OwnInit("1").seen is True
    for made in read(OwnInit, {"x": "1", "z": 3}):
        assert (made.x, made.y, made.z, made.seen) == (1, 2, 3, False)
    with pytest.raises(TypeError, match="unexpected keyword"):
        OwnInit(1, z=3)

    class Child(OwnInit):
        z: int

    assert Child("1", "2").asdict() == {"x": 1, "y": 2, "z": 2}


def test_3_3_generated_methods_stay_reachable() -> None:
    """Written methods have a second name, and give way to those of the body (models.md 3.3)."""
    for name in ("init", "hash", "eq", "ne", "lt", "le", "gt", "ge"):
        assert callable(getattr(OwnMethods, f"_model_{name}"))
    assert OwnMethods(2) < OwnMethods(1)
    assert OwnMethods(1)._model_eq(OwnMethods(1))
    assert not OwnMethods(1) == OwnMethods(1)  # noqa: SIM201 - it is about ==
    assert not OwnMethods(1) != OwnMethods(1)  # noqa: SIM202 - it is about !=

    class Child(OwnMethods):
        pass

    assert Child(1) == Child(1)
    assert hash(Child(1)) == hash((1,))


class Prepared(Record, namespace="spec3.Prepared"):
    a: int
    b: int = 0

    def _prepare_dict(self, payload: dict[str, Any]) -> dict[str, Any]:
        payload.pop("b")
        payload["extra"] = 1
        return payload


class Represented(Record, namespace="spec3.Represented"):
    a: int

    def to_representation(self) -> Any:
        return [self.a]


class Around(Record, namespace="spec3.Around"):
    prepared: Prepared
    represented: list[Represented]


def encodings(model: Any) -> list[bytes]:
    """Encode in each way there is."""
    registry_ = Registry()
    return [
        model.dumps(serializer="json"),
        registry_.dumps_value(type(model), model) or b"",
        registry_.dumps_value(None, model) or b"",
        (registry_.dumps_value(None, [model]) or b"")[1:-1],
    ]


def test_3_3_hooks_of_the_way_out() -> None:
    """`_prepare_dict` and `to_representation` decide what is written, at any depth (models.md 3.3)."""
    prepared = b'{"a":1,"extra":1,"__faust":{"ns":"spec3.Prepared"}}'
    assert set(encodings(Prepared(1, 2))) == {prepared}
    assert Prepared(1, 2).asdict() == {"a": 1, "extra": 1}
    assert set(encodings(Represented(7))) == {b"[7]"}
    whole = b'{"prepared":' + prepared + b',"represented":[[7]],"__faust":{"ns":"spec3.Around"}}'
    assert set(encodings(Around(Prepared(1), [Represented(7)]))) == {whole}


# -- 5


def test_5_asdict_is_shallow() -> None:
    """`asdict` and `to_representation` keep inner models as they are (models.md 5)."""
    inner = Prepared(1)
    around = Around(inner, [])
    assert around.asdict()["prepared"] is inner
    assert list(around.to_representation()) == ["prepared", "represented", "__faust"]
    assert around.__json__() == around.to_representation()
    assert str(around) == repr(around)


def test_5_dumps_without_serializer() -> None:
    """Without any serializer `dumps` gives the dictionary (models.md 5)."""
    assert Mixed(1).dumps() == {"a": 1, "b": 5, "c": [], "__faust": {"ns": "spec3.Mixed"}}


def test_5_default_serializer_is_deprecated() -> None:
    """The old name of an argument works and warns; `loads` takes text and bytes (models.md 5)."""
    with pytest.warns(DeprecationWarning, match="default_serializer is deprecated"):
        assert Mixed.loads('{"a": 1}', default_serializer="json") == Mixed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Mixed.loads(b'{"a": 1}', serializer="json") == Mixed(1)


def test_5_inner_values_of_other_classes() -> None:
    """A field may hold anything; what it is decides how it is written (models.md 5)."""

    class Child(Prepared, namespace="spec3.Child"):
        c: int = 9

    around = Around(Child(1), [])
    expected = (
        b'{"prepared":{"a":1,"c":9,"extra":1,"__faust":{"ns":"spec3.Child"}},'
        b'"represented":"text","__faust":{"ns":"spec3.Around"}}'
    )
    around.__dict__["represented"] = "text"
    assert set(encodings(around)) == {expected}


# -- 6


class Plain6(Record, namespace="spec6.Plain"):
    id: int


class Chosen6(Record, namespace="spec6.Chosen", allow_blessed_key=True):
    id: int


class Poly6(Record, namespace="spec6.Poly", polymorphic_fields=True):
    id: int


class Base6(Record, namespace="spec6.Base", abstract=True):
    pass


@pytest.mark.parametrize("preferred", [None, Record, Base6])
def test_6_without_a_concrete_wish_the_payload_decides(preferred: Any) -> None:
    """No or an abstract wish: the named class, or a KeyError (models.md 6)."""
    for cls in (Plain6, Chosen6, Poly6):
        data = {"id": 1, "__faust": {"ns": cls._options.namespace}}
        assert type(Mixed.from_data(data, preferred_type=preferred)) is cls
    with pytest.raises(KeyError) as caught:
        Mixed.from_data({"a": 1, "__faust": {"ns": "no.such"}}, preferred_type=preferred)
    assert caught.value.args == ("no.such",)


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        ("spec6.Plain", Mixed),
        ("spec6.Chosen", Chosen6),
        ("spec6.Poly", Poly6),
        ("no.such", Mixed),
        ("spec3.Mixed", Mixed),
    ],
)
def test_6_with_a_concrete_wish(namespace: str, expected: Any) -> None:
    """A concrete wish is granted, unless the named class may be chosen by payloads (models.md 6)."""
    data = {"id": 1, "a": 1, "__faust": {"ns": namespace}}
    assert type(Mixed.from_data(data, preferred_type=Mixed)) is expected
    assert type(Registry().compile_loads(Mixed)(stdlib_json.dumps(data).encode())) is expected


@pytest.mark.parametrize("blessed", [None, 1, "x", [], {}, {"ns": 1}, {"ns": None}, {"x": 1}])
def test_6_malformed_blessed_keys(blessed: Any) -> None:
    """A malformed blessed key counts as none (models.md 6)."""
    data = {"a": 1, "__faust": blessed}
    for made in read(Mixed, data):
        assert made == Mixed(1)
    assert maybe_model(data) is data


class Holder6(Record, namespace="spec6.Holder"):
    one: Plain6
    many: list[Plain6]


class PolyHolder6(Record, namespace="spec6.PolyHolder", polymorphic_fields=True):
    one: Plain6
    many: list[Plain6]


class Sub6(Plain6, namespace="spec6.Sub"):
    more: int


class PolySub6(Poly6, namespace="spec6.PolySub"):
    more: int


class PayloadHolder6(Record, namespace="spec6.PayloadHolder"):
    one: Poly6
    many: list[Poly6]


def test_6_polymorphism_of_fields() -> None:
    """The flag works on the payload's model and on the container (models.md 6, deviation)."""
    sub = {"id": 1, "more": 2, "__faust": {"ns": "spec6.Sub"}}
    poly = {"id": 1, "more": 2, "__faust": {"ns": "spec6.PolySub"}}
    for made in read(Holder6, {"one": sub, "many": [sub]}):
        assert (type(made.one), type(made.many[0]), made.one.more) == (Plain6, Plain6, 2)
    for made in read(PolyHolder6, {"one": sub, "many": [sub]}):
        assert (made.one, made.many) == (Sub6(1, 2), [Sub6(1, 2)])
    for made in read(PayloadHolder6, {"one": poly, "many": [poly]}):
        assert (made.one, made.many) == (PolySub6(1, 2), [PolySub6(1, 2)])


def test_6_untyped_topics() -> None:
    """Without a type a payload becomes what it names; an unknown name is an error (models.md 6)."""
    load = Registry().compile_loads(None)
    assert load(b'{"id":1,"__faust":{"ns":"spec6.Plain"}}') == Plain6(1)
    with pytest.raises(ValueDecodeError, match=r"no\.such"):
        load(b'{"id":1,"__faust":{"ns":"no.such"}}')
    assert registry["spec6.Plain"] is Plain6


# -- 9


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_9_ordering(compare: Callable[[Any, Any], bool]) -> None:
    """Instances of one class are ordered as tuples of their fields (models.md 9)."""
    for one, other in (((1, 2), (1, 3)), ((2, 1), (1, 9)), ((1, 2), (1, 2))):
        assert compare(Poly6(one), Poly6(other)) is compare(one, other)
    with pytest.raises(TypeError):
        compare(Poly6(1), PolySub6(1, 1))


def test_9_equality() -> None:
    """Only the very same class is equal; what is no field does not count (models.md 9)."""
    extra = Plain6.from_data({"id": 1, "zz": 2})
    assert extra == Plain6(1)
    assert hash(extra) == hash((1,))
    assert (Plain6(1) != Sub6(1, 2)) is True
    assert Plain6(1).__eq__(3) is NotImplemented


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
@pytest.mark.parametrize(
    "model", [Hooked("1"), OwnInit("1"), Aliased("x", 2), Holder6(Plain6(1), [])]
)
def test_9_copies(model: Any, duplicate: Callable[[Any], Any]) -> None:
    """Copies are equal, and their own (models.md 9)."""
    again = duplicate(model)
    assert again == model
    assert vars(again) == vars(model)
    assert again is not model


def test_9_derive() -> None:
    """Derived copies are built from attributes: aliases and exclusions do no harm (models.md 9, deviation)."""
    model = Aliased("x", 2, "n", 7)
    assert model.derive() == model
    assert model.derive(Aliased("y", 3, "m", 8), kind="z") == Aliased("z", 3, "m", 8)
    with pytest.raises(TypeError, match="nope"):
        model.derive(nope=1)
    with pytest.raises(TypeError, match="id"):
        model.derive(Plain6(1))
    assert Hooked(1, 2).derive(x="5").total == 7


def test_9_mappings_of_any_kind() -> None:
    """Whatever is a mapping is data (models.md 3.2)."""
    assert Plain6.from_data(OrderedDict(id=Decimal(1))) == Plain6(Decimal(1))
