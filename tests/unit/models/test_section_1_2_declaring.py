"""models.md 1 and 2: where names are imported from, class keywords, fields, order, abstract and lazy classes."""

# Much here is what type checkers rightly refuse.
# mypy: disable-error-code="call-arg, arg-type, misc, assignment, comparison-overlap, abstract"

from __future__ import annotations

import abc
import importlib
import inspect
import linecache
import sys
import textwrap
import traceback
import types
import typing
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Generic, List, Optional, TypeVar  # noqa: UP035 - both spellings

import pytest

from faust.models import Model, ModelOptions, Record, StringField, registry
from faust.models.fields import FieldDescriptor, IntegerField
from faust.serializers.registry import Registry

T = TypeVar("T")
U = TypeVar("U")

IMPORTS = {
    "faust": ["Record", "ModelOptions", "Model"],
    "faust.models": [
        "Model",
        "ModelOptions",
        "Record",
        "FieldDescriptor",
        "StringField",
        "maybe_model",
        "registry",
    ],
    "faust.models.base": ["Model", "ModelOptions", "maybe_model", "registry"],
    "faust.models.record": ["Record"],
    "faust.models.fields": [
        "TYPE_TO_FIELD",
        "FieldDescriptor",
        "BooleanField",
        "NumberField",
        "IntegerField",
        "FloatField",
        "DecimalField",
        "CharField",
        "StringField",
        "BytesField",
        "DatetimeField",
        "field_for_type",
    ],
    "faust.models.tags": [
        "Tag",
        "OpaqueTag",
        "TransparentTag",
        "Personal",
        "Secret",
        "Sensitive",
        "allow_protected_vars",
    ],
    "faust.models.typing": ["TypeExpression", "NodeType"],
    "faust.types.models": [
        "ModelT",
        "ModelArg",
        "ModelOptions",
        "FieldDescriptorT",
        "FieldMap",
        "CoercionHandler",
        "CoercionMapping",
    ],
    "faust.exceptions": [
        "ValidationError",
        "SecurityError",
        "SecurityWarning",
        "DecodeError",
        "KeyDecodeError",
        "ValueDecodeError",
    ],
}


@pytest.mark.parametrize(
    ("module", "name"), [(m, n) for m, names in IMPORTS.items() for n in names]
)
def test_1_imports(module: str, name: str) -> None:
    """Every documented name can be imported from where it is documented (models.md 1)."""
    assert hasattr(importlib.import_module(module), name)


def test_1_marks_of_models() -> None:
    """Model classes can be told by duck typing (models.md 1)."""

    class Concrete(Record):
        x: int

    class Base(Record, abstract=True):
        pass

    assert [cls.__is_model__ for cls in (Model, Record, Base, Concrete)] == [True] * 4
    assert [cls.__is_abstract__ for cls in (Model, Record, Base, Concrete)] == [True] * 3 + [False]
    assert issubclass(Record, importlib.import_module("faust.types.models").ModelT)


# -- 2.1


def year(text: Any) -> datetime:
    """Parse a year."""
    return datetime(int(text), 1, 1)  # noqa: DTZ001 - naive on purpose


KEYWORDS: list[tuple[str, Any, Any, bool]] = [
    ("serializer", None, "json", True),
    ("include_metadata", True, False, True),
    ("isodates", False, True, True),
    ("decimals", False, True, True),
    ("allow_blessed_key", False, True, True),
    ("polymorphic_fields", False, True, True),
    ("coerce", False, True, True),
    ("coercions", {}, {complex: complex}, True),
    ("validation", False, True, True),
    ("date_parser", None, year, True),
    ("namespace", None, "some.Where", False),
]


@pytest.mark.parametrize(("name", "default", "value", "inherited"), KEYWORDS)
def test_2_1_keywords(name: str, default: Any, value: Any, *, inherited: bool) -> None:
    """Each class keyword: its default, that it is kept, and whether subclasses get it (models.md 2.1)."""
    plain: Any = types.new_class("Plain", (Record,), {})
    given: Any = types.new_class("Given", (Record,), {name: value})
    child: Any = types.new_class("Child", (given,), {})
    if default is not None or name == "serializer":
        assert getattr(plain._options, name) == default
    assert getattr(given._options, name) == value
    assert (getattr(child._options, name) == value) is inherited


def test_2_1_validation_implies_coerce() -> None:
    """A model that is validated is coerced (models.md 2.1)."""

    class Checked(Record, validation=True):
        x: int

    class Child(Checked):
        pass

    assert Checked._options.coerce
    assert Child("3").x == 3
    with pytest.raises(ValueError, match="invalid literal"):
        Child("x")


def test_2_1_date_parser_is_inherited_by_new_fields() -> None:
    """Fields that a subclass adds use the parser of its base (models.md 2.1, deviation)."""

    class Base(Record, isodates=True, date_parser=year):
        a: datetime

    class Child(Base):
        b: datetime

    read = Child.from_data({"a": "1999", "b": "2001"})
    assert (read.a.year, read.b.year) == (1999, 2001)


def test_2_1_options_has_indexes() -> None:
    """`_options` shows the fields from every side (models.md 2.1)."""

    class Seen(Record, namespace="spec.Seen"):
        a: int
        b: Optional[str]  # noqa: UP045
        c: float = 1.5

    options = Seen._options
    assert isinstance(options, ModelOptions)
    assert options.fields == {"a": int, "b": Optional[str], "c": float}  # noqa: UP045
    assert list(options.fields) == ["a", "b", "c"]
    assert options.fieldset == frozenset("abc")
    assert options.fieldpos == {0: "a", 1: "b", 2: "c"}
    assert options.optionalset == frozenset("bc")
    assert options.defaults == {"b": None, "c": 1.5}
    assert list(options.descriptors) == ["a", "b", "c"]
    assert options.tagged_fields == frozenset()
    assert not options.has_tagged_fields


def test_2_1_unknown_keyword_in_options_class() -> None:
    """An option that is none is refused in the inner class as well (models.md 2.1)."""
    with pytest.raises(TypeError, match=r"unknown class keyword.*isodate"):

        class Wrong(Record):
            x: int

            class Options:
                isodate = True


# -- 2.2


@pytest.mark.parametrize(
    ("packages", "expected"), [((), "app"), (("a",), "a.app"), (("a", "b"), "a.b.app")]
)
def test_2_2_namespace_of_scripts(
    packages: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a script the namespace is what an import of the same file would give (models.md 2.2)."""
    folder = tmp_path
    for package in packages:
        folder /= package
        folder.mkdir()
        (folder / "__init__.py").touch()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(folder / "app.py"), raising=False)
    made: Any = types.new_class("M", (Record,), {}, lambda body: body.update(__module__="__main__"))
    assert made._options.namespace == f"{expected}.M"
    del registry[f"{expected}.M"]


def test_2_2_namespace_without_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file it stays ``__main__`` (models.md 2.2)."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    made: Any = types.new_class("M", (Record,), {}, lambda body: body.update(__module__="__main__"))
    assert made._options.namespace == "__main__.M"
    del registry["__main__.M"]


# -- 2.3


def test_2_3_retyping_and_bare_values() -> None:
    """A subclass may give a field another type in its old place, or a default (models.md 2.3)."""

    class Base(Record):
        a: int
        b: int
        c: int

    class Child(Base, coerce=True):
        d: int
        b: str
        a = 7

    assert list(Child._options.fields) == ["a", "b", "c", "d"]
    assert Child._options.fields["b"] is str
    child = Child(1, "2", "3")
    assert (child.a, child.b, child.c, child.d) == (7, "1", 2, 3)
    assert Base(1, 2, 3).a == 1


class Texts(Record):
    a: int
    b: "typing.ClassVar[int]" = 3  # noqa: UP037
    c: ClassVar = 4
    d: "Optional[Texts]" = None  # noqa: UP037, UP045


def test_2_3_annotations_as_text() -> None:
    """Text is resolved, class variables in text are none, and a class may name itself (models.md 2.3)."""
    assert list(Texts._options.fields) == ["a", "d"]
    assert Texts.from_data({"a": 1, "d": {"a": 2}}).d == Texts(2)


def test_2_3_names_of_functions_are_unknown() -> None:
    """What only an enclosing function knows is a NameError that says what to do (models.md 2.3)."""

    class Local(Record):
        x: int

    assert Local(1).x == 1
    with pytest.raises(NameError, match=r"Wrong: name 'Local' is not defined; .*lazy_creation"):

        class Wrong(Record):
            x: Local


@pytest.mark.parametrize(
    ("bare", "recorded"),
    [
        (list, typing.List),  # noqa: UP006
        (dict, typing.Dict),  # noqa: UP006
        (set, typing.Set),  # noqa: UP006
        (frozenset, typing.FrozenSet),  # noqa: UP006
        (tuple, typing.Tuple),  # noqa: UP006
    ],
)
def test_2_3_bare_containers(bare: Any, recorded: Any) -> None:
    """A container without element type is recorded as the alias in typing (models.md 2.3)."""
    made: Any = types.new_class(
        "Bare", (Record,), {}, lambda body: body.update(__annotations__={"x": bare})
    )
    assert made._options.fields == {"x": recorded}
    assert made.from_data({"x": [1]}).x == [1]


def test_2_3_private_names_are_mangled() -> None:
    """Names with two underscores are mangled, as everywhere in Python (models.md 2.3)."""

    class Private(Record):
        __x: int

    assert list(Private._options.fields) == ["_Private__x"]
    assert Private(3).asdict() == {"_Private__x": 3}


PEP_563 = """
from __future__ import annotations
from decimal import Decimal
import faust

class Item(faust.Record):
    price: Decimal

class Order(faust.Record):
    items: list[Item]
    parent: Order | None = None
    by_name: dict[str, Item] | None = None
"""
PEP_649 = PEP_563.replace("from __future__ import annotations\n", "").replace(
    "Order | None", "'Order | None'" if sys.version_info < (3, 14) else "Order | None"
)


@pytest.mark.parametrize("source", [PEP_563, PEP_649], ids=["text", "evaluated or deferred"])
def test_2_3_annotations_of_every_python(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Annotations mean the same as text (PEP 563), evaluated, and deferred (PEP 649) (models.md 2.3)."""
    module = types.ModuleType("spec_annotations")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source, "spec_annotations.py", "exec", dont_inherit=True), vars(module))
    read = module.Order.from_data(
        {"items": [{"price": 1}], "parent": {"items": []}, "by_name": {"a": {"price": 2}}}
    )
    assert read == module.Order([module.Item(1)], module.Order([]), {"a": module.Item(2)})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are of Python 3.12")
def test_2_3_type_parameters() -> None:
    """``class Box[T](Record)`` and ``type Name = ...`` work where Python has them (PEP 695)."""
    source = """
    import faust
    class User(faust.Record):
        id: str
    type Users = list[User]
    class Box[T](faust.Record):
        item: T
        users: Users | None = None
    class Holder(faust.Record):
        box: Box[User]
    """
    module = types.ModuleType("spec_695")
    sys.modules[module.__name__] = module
    exec(textwrap.dedent(source), vars(module))
    user = module.User("7")
    read = module.Holder.from_data({"box": {"item": {"id": "7"}, "users": [{"id": "7"}]}})
    assert read.box == module.Box(user, [user])


# -- generics


class User(Record):
    id: str


class Box(Record, Generic[T]):
    item: T
    more: List[T] = []  # noqa: RUF012, UP006 - a default


class Crate(Box[User]):
    weight: int = 0


class Pair(Record, Generic[T, U]):
    first: T
    second: U


class Swapped(Pair[U, T], Generic[T, U]):
    pass


class Known(Swapped[User, Decimal]):
    pass


class Holder(Record):
    box: Box[User]
    pairs: list[Pair[User, list[User]]]


def test_generics_of_subclasses() -> None:
    """A subclass that says what a type variable stands for has fields of that type."""
    read = Crate.from_data({"item": {"id": "1"}, "more": [{"id": "2"}]})
    assert read == Crate(User("1"), [User("2")])
    assert Crate._options.fields["item"] is User
    assert Known._options.fields == {"first": Decimal, "second": User}
    assert Box.from_data({"item": {"id": "1"}}).item == {"id": "1"}
    assert Box[User](User("1")) == Box(User("1"))


def test_generics_of_fields() -> None:
    """``Box[User]`` as the type of a field makes Users of what is in the box."""
    user = {"id": "1"}
    read = Holder.from_data(
        {"box": {"item": user, "more": [user]}, "pairs": [{"first": user, "second": [user]}]}
    )
    one = User("1")
    assert read == Holder(Box(one, [one]), [Pair(one, [one])])
    with pytest.raises(TypeError, match=r"pairs\[0\].*second"):
        Holder.from_data({"box": {"item": user}, "pairs": [{"first": user}]})


# -- 2.4


def test_2_4_signature() -> None:
    """Required parameters come first, then optional ones (models.md 2.4)."""

    class Shuffled(Record):
        a: int
        b: Optional[int]  # noqa: UP045
        c: int

    assert str(inspect.signature(Shuffled)) == (
        "(a, c, b=None, *, __strict__=True, __faust=None, **kwargs)"
    )
    made = Shuffled(1, 2, 3)
    assert (made.a, made.b, made.c) == (1, 3, 2)
    assert repr(made) == "<Shuffled: a=1, b=3, c=2>"


class Described(Record):
    required: int = IntegerField(default=3)
    optional: int = IntegerField(required=False, default=4)
    neither: int = IntegerField(required=False)


def test_2_4_descriptors_and_defaults() -> None:
    """A descriptor's default counts only with ``required=False`` (models.md 2.4)."""
    assert Described._options.defaults == {"optional": 4, "neither": None}
    made = Described(1)
    assert (made.required, made.optional, made.neither) == (1, 4, None)
    with pytest.raises(TypeError, match="required"):
        Described()


def test_2_4_order_of_defaults_in_one_body() -> None:
    """Only explicit defaults of the same body stand in the way of a required field (models.md 2.4)."""

    class Base(Record):
        a: int = 1

    class Child(Base):
        b: int

    assert Child(2).asdict() == {"a": 1, "b": 2}
    with pytest.raises(TypeError, match="'b' has no default"):

        class Wrong(Record):
            a: int = IntegerField(required=False)
            b: int


# -- 2.5


def test_2_5_abstract() -> None:
    """An abstract model hands on fields and options, and is nowhere to be found (models.md 2.5)."""

    class Base(Record, abstract=True, namespace="spec.Abstract", isodates=True):
        a: int = 3

    class Child(Base):
        b: int

    assert "spec.Abstract" not in registry
    assert Base._options.descriptors == {}
    assert Base.a == 3
    assert Child(1).asdict() == {"a": 3, "b": 1}
    assert Child._options.isodates
    for make in (Record, Base, lambda: Base(1)):
        with pytest.raises(NotImplementedError, match="is abstract"):
            make()


class Early(Record, lazy_creation=True, namespace="spec.Early", isodates=True):
    later: Later
    n: int = 0


class Later(Record):
    x: int


def test_2_1_lazy_creation() -> None:
    """A lazy class is abstract and unknown until it is made final (models.md 2.1)."""
    assert Early.__is_abstract__
    assert "spec.Early" not in registry
    with pytest.raises(NotImplementedError, match="Early is abstract"):
        Early(1)
    Early.make_final()
    Early.make_final()
    assert registry["spec.Early"] is Early
    assert Early.from_data({"later": {"x": 1}}) == Early(Later(1))
    assert not Early.__is_abstract__

    class Child(Early):
        pass

    assert not Child.__is_abstract__


def test_lazy_creation_with_own_init() -> None:
    """What a lazy class defines itself is still its own when it is final."""

    class Own(Record, lazy_creation=True):
        x: int

        def __init__(self, x: int, **kwargs: Any) -> None:
            self._model_init(x=x + 1, **kwargs)

    Own.make_final()
    assert Own(1).x == 2


# -- the code that is written out


def test_written_code_can_be_shown() -> None:
    """Generated functions have a source that debuggers and tracebacks find (issue 4, speed)."""

    class Shown(Record):
        x: int = 5

    source = inspect.getsource(Shown.__init__)
    assert source.startswith("def __init__(self, x=None, **kwargs):")
    assert inspect.getsource(Shown._from_own).startswith("def _from_own(data):")
    linecache.checkcache()
    try:
        Shown(nope=1)
    except TypeError as exc:
        text = "".join(traceback.format_exception(exc))
    assert "raise __unexpected__(kwargs)" in text
    assert "unexpected keyword argument(s): nope" in text


def test_mixing_with_abc_and_protocols() -> None:
    """Models are plain classes: they mix with abstract base classes and protocols."""

    class Shape(Record, abc.ABC):
        @abc.abstractmethod
        def area(self) -> int: ...

    class Square(Shape):
        side: int

        def area(self) -> int:
            return self.side**2

    @typing.runtime_checkable
    class HasArea(typing.Protocol):
        def area(self) -> int: ...

    class Other(Square, HasArea):
        pass

    assert type(Record) is type
    assert Square(3).area() == 9
    assert isinstance(Other(2), HasArea)
    with pytest.raises(TypeError, match="abstract"):
        Shape()


def test_names_that_are_python_words_of_ours() -> None:
    """Fields may be called like what the written code uses."""
    names = ["self", "kwargs", "data", "own", "cls", "shadow", "x", "k", "value", "dict"]
    made: Any = types.new_class(
        "Words",
        (Record,),
        {"coerce": True, "namespace": "spec.Words"},
        lambda body: body.update(__annotations__=dict.fromkeys(names, int)),
    )
    values: dict[str, Any] = {name: str(number) for number, name in enumerate(names)}
    expected = {name: number for number, name in enumerate(names)}
    assert made.from_data(values).asdict() == expected
    assert made(**values).asdict() == expected
    load = Registry().compile_loads(made)
    assert load(made(*range(len(names))).dumps(serializer="json")).asdict() == expected


@pytest.mark.parametrize("make", [FieldDescriptor[int], lambda: StringField(max_length=3)])
def test_descriptors_stand_alone(make: Callable[[], Any]) -> None:
    """A descriptor that belongs to no model yet can be looked at."""
    assert repr(make()).endswith("?: None>")
