"""models.md 7 and 8: field descriptors, aliases, built-in validators, validation."""

# Much here is what type checkers rightly refuse.
# mypy: disable-error-code="call-arg, arg-type, misc, assignment, comparison-overlap"

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Optional

import pytest

import faust
from faust.exceptions import FaustError, ValidationError, ValueDecodeError
from faust.models import Record
from faust.models.fields import (
    BooleanField,
    BytesField,
    DatetimeField,
    DecimalField,
    FieldDescriptor,
    FloatField,
    IntegerField,
    StringField,
)
from faust.serializers.registry import Registry


def holder(typ: Any, descriptor: FieldDescriptor[Any] | None = None, **keywords: Any) -> Any:
    """Make a model whose only field *x* has this descriptor."""
    body: dict[str, Any] = {"__annotations__": {"x": typ}, "__module__": __name__}
    if descriptor is not None:
        body["x"] = descriptor
    keywords.setdefault("namespace", "spec7.Holder")
    return types.new_class("Holder", (Record,), keywords, lambda space: space.update(body))


def reasons(
    typ: Any, descriptor: FieldDescriptor[Any] | None, value: Any, **keywords: Any
) -> list[str]:
    """Return what validation says about a value."""
    return [error.reason for error in holder(typ, descriptor, **keywords)(value).validate()]


class Account(Record, namespace="spec7.Account"):
    id: str
    limit: int = IntegerField(max_value=10, required=False, default=3)


class Order(Record, namespace="spec7.Order"):
    account: Account
    others: list[Account]
    maybe: Optional[Account] = None  # noqa: UP045


def descriptor(cls: Any, name: str) -> Any:
    """Return a descriptor, past the type checker, which sees the type of the field."""
    return getattr(cls, name)


# -- 7


def test_7_attributes() -> None:
    """Descriptors show everything that is known about their field (models.md 7)."""
    limit = descriptor(Account, "limit")
    assert (limit.field, limit.input_name, limit.output_name) == ("limit", "limit", "limit")
    assert (limit.type, limit.model, limit.required, limit.default) == (int, Account, False, 3)
    assert (limit.parent, limit.coerce, limit.exclude, limit.tag) == (None, False, False, None)
    assert limit.options["max_value"] == 10
    assert limit.as_dict()["max_value"] == 10
    assert limit.as_dict()["field"] == "limit"
    assert repr(limit) == "<IntegerField: Account.limit: int = 3>"
    assert repr(descriptor(Account, "id")) == "<StringField: Account.id: str>"


def test_7_clone() -> None:
    """A clone has the options of the original, but for those that are given (models.md 7)."""
    clone = descriptor(Account, "limit").clone(default=4, max_value=20)
    assert (clone.default, clone.max_value, clone.model) == (4, 20, Account)
    assert clone.ident == "Account.limit"
    assert isinstance(clone, IntegerField)


def test_7_selectors() -> None:
    """Nested descriptors select through their parents, and keep the inner model's name (models.md 7)."""
    nested = descriptor(Order, "account").id
    order = Order(Account("7"), [])
    assert nested.ident == "Account.id"
    assert nested.getattr(order) == "7"
    assert nested.parent is descriptor(Order, "account")
    assert descriptor(Order, "maybe").id.ident == "Account.id"
    assert descriptor(Order, "others").related_models == {Account}
    assert descriptor(Order, "maybe").related_models == {Account}
    assert descriptor(Account, "id").related_models == set()
    with pytest.raises(AttributeError):
        _ = descriptor(Order, "others").id


class Recorded(FieldDescriptor[str]):
    """Writes down what it is asked."""

    calls: list[Any] = []  # noqa: RUF012 - one for all, on purpose

    def __init__(self, suffix: str = "", **kwargs: Any) -> None:
        self.suffix = suffix
        super().__init__(suffix=suffix, **kwargs)

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Append the suffix."""
        self.calls.append(("prepare", value))
        return f"{value}{self.suffix}" if coerce is None else value

    def to_python(self, value: Any) -> Any:
        """Note the call."""
        self.calls.append(("to_python", value))
        return super().to_python(value)

    def validate(self, value: Any) -> Iterator[ValidationError]:
        """Want capitals."""
        if not value.isupper():
            yield self.validation_error("must be upper case")


class WithRecorded(Record, namespace="spec7.WithRecorded"):
    x: str = Recorded("!")


def test_7_custom_fields() -> None:
    """Fields of one's own prepare, convert and validate, and keep their arguments (models.md 7)."""
    Recorded.calls.clear()
    made = WithRecorded("a")
    assert (made.x, Recorded.calls) == ("a!", [("prepare", "a")])
    Recorded.calls.clear()
    assert WithRecorded.from_data({"x": "b"}).x == "b!"
    assert Recorded.calls == [("to_python", "b"), ("prepare", "b")]
    made.x = "c"
    assert made.x == "c!"
    assert Registry().loads_value(WithRecorded, b'{"x":"d"}').x == "d!"
    (error,) = made.validate()
    assert (error.reason, error.field) == ("must be upper case", descriptor(WithRecorded, "x"))
    assert str(error) == "must be upper case <Recorded: WithRecorded.x: str>"

    class Child(WithRecorded):
        y: int = 0

    assert Child("a").x == "a!"
    assert descriptor(Child, "x").ident == "Child.x"
    assert descriptor(Child, "x").clone(suffix="?").suffix == "?"


class Aliased(Record, namespace="spec7.Aliased"):
    kind: str = FieldDescriptor[str](input_name="type")
    size: int = FieldDescriptor[int](input_name="Size", output_name="SIZE")
    hidden: int = FieldDescriptor[int](exclude=True, required=False, default=1)


class Swapped(Record, namespace="spec7.Swapped"):
    a: int = FieldDescriptor[int](input_name="b")
    b: int = FieldDescriptor[int](input_name="a")


def test_7_aliases() -> None:
    """Names in data may differ from those in the program (models.md 7)."""
    data = {"type": "t", "Size": 3, "hidden": 9}
    wire = b'{"type":"t","SIZE":3,"__faust":{"ns":"spec7.Aliased"}}'
    for made in (
        Aliased.from_data(data),
        Registry().loads_value(Aliased, b'{"type":"t","Size":3,"hidden":9}'),
        Aliased(kind="t", size=3, hidden=9),
    ):
        assert made == Aliased("t", 3, 9)
        assert made.asdict() == {"type": "t", "SIZE": 3}
        assert made.dumps(serializer="json") == wire
        assert Registry().dumps_value(None, made) == wire
    assert data == {"type": "t", "Size": 3, "hidden": 9}
    assert Swapped.from_data({"a": 1, "b": 2}) == Swapped(2, 1)


@pytest.mark.parametrize("data", [{"Size": 3}, {"kind": "t", "Size": 3}])
def test_7_missing_aliases(data: Any) -> None:
    """A missing aliased field is an error, also under its own name (models.md 7, deviation)."""
    with pytest.raises(TypeError, match=r"misses required field\(s\): type"):
        Aliased.from_data(data)
    read = Aliased.from_data({"kind": "lost", "type": "t", "Size": 1})
    assert read.kind == "t"
    assert (
        list(vars(read)) == ["Size", "size", "kind", "hidden"] or "lost" not in vars(read).values()
    )


class PerField(Record, namespace="spec7.PerField", coerce=True):
    on: int
    off: int = IntegerField(coerce=False)


class PerFieldOff(Record, namespace="spec7.PerFieldOff"):
    off: int
    on: int = IntegerField(coerce=True)


def test_7_coerce_per_field() -> None:
    """What a descriptor says about coercion beats what the class says (models.md 7, deviation)."""
    for made in (
        PerField("1", "1"),
        PerField.from_data({"on": "1", "off": "1"}),
        PerFieldOff(on="1", off="1"),
    ):
        assert (made.on, made.off) == (1, "1")
        made.on = made.off = "2"
        assert (made.on, made.off) == (2, "2")

    class Child(PerField, coerce=False):
        more: int

    child = Child("1", "2", "3")
    assert (child.on, child.off, child.more) == ("1", "2", "3")


def test_7_date_parser_per_field() -> None:
    """A descriptor may bring a parser of its own (models.md 4.4, 7)."""

    def parse(text: Any) -> datetime:
        return datetime(int(text), 1, 1)  # noqa: DTZ001 - naive on purpose

    cls = holder(datetime, DatetimeField(date_parser=parse), isodates=True)
    assert cls.from_data({"x": "1999"}).x.year == 1999


def test_7_should_coerce() -> None:
    """Coercion applies when it is on, and never to the None of an optional field (models.md 7)."""
    required = descriptor(holder(int, coerce=True), "x")
    optional = descriptor(holder(Optional[int], coerce=True), "x")  # noqa: UP045
    assert [required.should_coerce(None), optional.should_coerce(None)] == [True, False]
    assert [required.should_coerce("1"), required.should_coerce("1", coerce=False)] == [True, False]
    assert descriptor(holder(int), "x").prepare_value("1", coerce=True) == 1
    assert descriptor(holder(int), "x").prepare_value("1") == "1"
    assert descriptor(holder(list[Account]), "x").to_python([{"id": "1"}]) == [Account("1")]


# -- 7.1

VALIDATORS: list[tuple[Any, Any, Any, list[str]]] = [
    (bool, BooleanField(), True, []),
    (int, IntegerField(max_value=3), 3, []),
    (int, IntegerField(max_value=3), 4, ["x cannot be more than 3"]),
    (int, IntegerField(min_value=3), 2, ["x must be at least 3"]),
    (int, IntegerField(max_value=0), 1, ["x cannot be more than 0"]),
    (int, IntegerField(min_value=0), -1, ["x must be at least 0"]),
    (float, FloatField(min_value=0, max_value=1), 0.5, []),
    (float, FloatField(min_value=0, max_value=1), 1.5, ["x cannot be more than 1"]),
    (Decimal, DecimalField(max_value=1), Decimal(2), ["x cannot be more than 1"]),
    (Decimal, DecimalField(), Decimal("NaN"), ["x must be a finite number, not NaN"]),
    (
        Decimal,
        DecimalField(max_digits=2, max_decimal_places=1),
        Decimal("Infinity"),
        ["x must be a finite number, not Infinity"],
    ),
    (Decimal, DecimalField(max_decimal_places=2), Decimal("1.23"), []),
    (
        Decimal,
        DecimalField(max_decimal_places=2),
        Decimal("1.234"),
        ["x must have at most 2 decimal places, not 3"],
    ),
    (Decimal, DecimalField(max_digits=2), Decimal("99.999"), []),
    (
        Decimal,
        DecimalField(max_digits=2),
        Decimal("123.4"),
        ["x must have at most 2 digits before the decimal point, not 3"],
    ),
    (
        Decimal,
        DecimalField(max_digits=2),
        Decimal(123),
        ["x must have at most 2 digits before the decimal point, not 3"],
    ),
    (Decimal, DecimalField(max_digits=1), Decimal("0.05"), []),
    (str, StringField(), "", ["x cannot be left blank"]),
    (Optional[str], None, "", ["x cannot be left blank"]),  # noqa: UP045
    (str, StringField(allow_blank=True), "", []),
    (str, StringField(min_length=2, max_length=3), "ab", []),
    (str, StringField(min_length=2, max_length=3), "a", ["x must be at least 2 long, not 1"]),
    (str, StringField(min_length=2, max_length=3), "abcd", ["x must be at most 3 long, not 4"]),
    (bytes, BytesField(max_length=1), b"ab", ["x must be at most 1 long, not 2"]),
    (bytes, BytesField(), b"", ["x cannot be left blank"]),
    (datetime, DatetimeField(), datetime(2020, 1, 1), []),  # noqa: DTZ001
]


@pytest.mark.parametrize(("typ", "field", "value", "expected"), VALIDATORS)
@pytest.mark.parametrize("coerce", [False, True])
def test_7_1_validators(
    typ: Any, field: Any, value: Any, expected: list[str], *, coerce: bool
) -> None:
    """Each built-in validator, at and beyond its bounds (models.md 7.1)."""
    assert reasons(typ, field, value, coerce=coerce) == expected


def test_7_1_booleans() -> None:
    """Where the class coerces, only a bool is one; else anything is tested by its truth (models.md 7.1)."""
    assert reasons(bool, None, "no") == []
    cls = holder(bool, BooleanField(coerce=False), coerce=True)
    made = cls("no")
    assert made.validate() == []
    coerced = holder(bool, coerce=True)(True)
    vars(coerced)["x"] = "no"
    assert [error.reason for error in coerced.validate()] == [
        "x must be True or False, of type bool, not str"
    ]


def test_7_1_whitespace_and_encodings() -> None:
    """Whitespace is stripped by coercion alone; text becomes bytes in the encoding (models.md 7.1)."""
    assert holder(str, StringField(trim_whitespace=True), coerce=True)("  a ").x == "a"
    assert holder(str, StringField(trim_whitespace=True))("  a ").x == "  a "
    assert holder(bytes, BytesField(trim_whitespace=True), coerce=True)("  a ").x == b"a"
    assert holder(bytes, BytesField(encoding="latin-1"), coerce=True)("é").x == b"\xe9"
    assert holder(bytes, BytesField(encoding="ascii", errors="replace"), coerce=True)("é").x == b"?"


@pytest.mark.parametrize(
    ("typ", "value", "words"),
    [
        (
            int,
            "abc",
            "x is not correct type for <IntegerField: Holder.x: int>, got str: ValueError",
        ),
        (int, None, "x is not correct type for <IntegerField: Holder.x: int>, got NoneType: TypeE"),
        (Decimal, "zz", "x got internal error from <DecimalField: Holder.x: Decimal>, got str: "),
        (bytes, 3, "x got internal error from <BytesField: Holder.x: bytes>, got int: Attribute"),
    ],
)
def test_7_1_conversion_is_validated_first(typ: Any, value: Any, words: str) -> None:
    """What could not be converted is one error, and nothing else is checked (models.md 7.1)."""
    (reason,) = reasons(typ, None, value)
    assert reason.startswith(words)


def test_7_1_none() -> None:
    """None of an optional field is valid; that of a required text is checked as text (models.md 7.1)."""
    assert reasons(Optional[int], None, None) == []  # noqa: UP045
    assert reasons(str, StringField(max_length=3), None) == ["x must be at most 3 long, not 4"]


# -- 8


class Checked(Record, namespace="spec8.Checked", validation=True):
    x: int = IntegerField(max_value=5)
    name: str = "a"


class Around(Record, namespace="spec8.Around"):
    inner: list[Checked]


def test_8_validation_of_new_instances() -> None:
    """With ``validation`` the first error is raised, however the instance is made (models.md 8)."""
    assert faust.ValidationError is ValidationError
    assert issubclass(ValidationError, FaustError | ValueError)
    for make in (
        lambda: Checked(9, ""),
        lambda: Checked.from_data({"x": 9, "name": ""}),
        lambda: Checked.loads('{"x": 9}', serializer="json"),
    ):
        with pytest.raises(ValidationError, match="x cannot be more than 5") as caught:
            make()
        assert caught.value.field is descriptor(Checked, "x")
        assert caught.value.reason == "x cannot be more than 5"
        assert str(caught.value) == f"x cannot be more than 5 {descriptor(Checked, 'x')!r}"
    with pytest.raises(ValueError, match="x: expected int, got 'a'"):
        Checked("a")


def test_8_methods() -> None:
    """Errors are listed in order, and anew each time (models.md 8, deviation)."""
    made = Checked(1)
    assert (made.validate(), made.is_valid(), made.validation_errors) == ([], True, [])
    made.validate_or_raise()
    made.x = 9
    made.name = ""
    assert [error.field.field for error in made.validate()] == ["x", "name"]
    assert not made.is_valid()
    assert len(made.validation_errors) == 2
    with pytest.raises(ValidationError, match="more than 5"):
        made.validate_or_raise()
    made.x = made.name = "1"
    assert made.is_valid()


def test_8_paths_of_inner_models() -> None:
    """The error of an inner model says where in the message it is, in the decode error too (issue 4)."""
    data = {"inner": [{"x": 1}, {"x": 9}]}
    with pytest.raises(
        ValidationError, match=r"^inner\[1\]\.x: x cannot be more than 5 <Int"
    ) as caught:
        Around.from_data(data)
    assert caught.value.field_path == "inner[1].x"
    assert caught.value.field is descriptor(Checked, "x")
    with pytest.raises(ValueDecodeError) as decoding:
        Registry().loads_value(Around, b'{"inner":[{"x":1},{"x":9}]}')
    assert decoding.value.field_path == "inner[1].x"
    cause = decoding.value.__cause__
    assert isinstance(cause, ValidationError)
    assert cause.payload == b'{"inner":[{"x":1},{"x":9}]}'
    with pytest.raises(ValueDecodeError) as simple:
        Registry().loads_value(Checked, b'{"x":9}')
    assert simple.value.field_path == "x"


def test_8_not_recursive() -> None:
    """Inner models and elements of containers are not validated by the outer (models.md 8)."""
    inner = Checked(1)
    inner.x = 9
    assert Around([inner]).validate() == []


def test_8_validation_after_post_init() -> None:
    """``__post_init__`` comes before validation, and may mend what is wrong (models.md 3.3)."""

    class Mended(Record, validation=True):
        name: str

        def __post_init__(self) -> None:
            self.name = self.name or "anonymous"

    assert Mended("").name == "anonymous"
    assert Registry().loads_value(Mended, b'{"name":""}').name == "anonymous"
