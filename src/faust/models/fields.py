"""Field descriptors: what `Order.account` is, as opposed to ``order.account``.

A descriptor knows everything about one field: its type, its names on the wire, how values are
converted and when, and what is valid. Records ask it once, when the class is made, for up to three
functions (`FieldDescriptor.conversions`), and never again; only assignment to a field with a
conversion, and validation, come back.

For type checkers a descriptor is `Any`, since it stands where a value of the field's type is expected,
``name: str = StringField()``: they see a ``__new__`` that says so in the place of ``__init__``.

A descriptor answers on the class only. It has no ``__set__``, so the instance's own dictionary
comes first, and reading a field costs what reading any attribute costs.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, get_args, get_origin, overload

from faust.exceptions import ValidationError
from faust.models.dates import parse_iso8601
from faust.models.misfits import Misfit
from faust.models.tags import Tag
from faust.models.typing import (
    Convert,
    Node,
    NodeType,
    Rules,
    expression,
    handler_of,
    related_models,
    strip_optional,
)
from faust.serializers.typed import is_model, type_name

__all__ = [
    "TYPE_TO_FIELD",
    "BooleanField",
    "BytesField",
    "CharField",
    "Conversions",
    "DatetimeField",
    "DecimalField",
    "FieldDescriptor",
    "FieldMap",
    "FloatField",
    "IntegerField",
    "NumberField",
    "StringField",
    "field_for_type",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Conversions:
    """What happens to the value of a field, and when; None: nothing."""

    by_hand: Convert | None = None
    """When an instance is made by hand, and on assignment."""
    by_data: Convert | None = None
    """When an instance is made of decoded data."""


class _Described:
    """What type checkers see of the constructor in ``super().__init__(...)``."""

    if TYPE_CHECKING:

        def __init__(self, **options: Any) -> None: ...


class FieldDescriptor(_Described, Generic[T]):
    """A field of a model: a selector for `Stream.group_by`, and a description.

    Arguments:
        field: Name of the field; given by the model.
        input_name: Key that is read from data (default: *field*).
        output_name: Key that is written to data (default: *input_name*).
        type: Its annotation, resolved; given by the model.
        model: The model class it belongs to; given by the model.
        required: It has no default. A descriptor that is written out in a class body has to say
            ``required=False`` for its *default* to count.
        default: Its default; None when there is none.
        parent: The descriptor through which this one was reached: `Order.account` for
            ``Order.account.id``.
        coerce: Convert values to the type; None: what the model says.
        exclude: Read this field, but do not write it.
        date_parser: Makes a `datetime` of text; None: what the model says.
        tag: Class of the tag in which values are wrapped.
        options: Arguments of subclasses, which hand them on so that `clone` can repeat them.
    """

    field: str
    input_name: str
    output_name: str
    type: Any
    model: Any
    required: bool
    default: T | None
    parent: FieldDescriptor[Any] | None
    coerce: bool | None
    exclude: bool
    date_parser: Callable[[Any], datetime] | None
    tag: Any
    options: dict[str, Any]
    _node: Node
    _decode: Convert | None
    _has_handler: bool

    if TYPE_CHECKING:

        def __new__(cls, *args: Any, **options: Any) -> Any: ...  # noqa: D102 - see the class

    else:

        def __init__(
            self,
            *,
            field: str | None = None,
            input_name: str | None = None,
            output_name: str | None = None,
            type: Any = None,
            model: Any = None,
            required: bool = True,
            default: T | None = None,
            parent: FieldDescriptor[Any] | None = None,
            coerce: bool | None = None,
            exclude: bool | None = None,
            date_parser: Callable[[Any], datetime] | None = None,
            tag: Any = None,
            **options: Any,
        ) -> None:
            self.field: str = field or ""
            self.input_name: str = input_name or self.field
            self.output_name: str = output_name or self.input_name
            self.type = type
            self.model = model
            self.required = required
            self.default = default
            self.parent = parent
            self.coerce = coerce
            self.exclude = bool(exclude)
            self.date_parser = date_parser
            self.tag = tag
            self.options = options
            self._node = Node(NodeType.ANY, type)
            self._decode: Convert | None = None
            self._has_handler = False

    # -- becoming the field of a model

    def attached(
        self, *, field: str, type: Any, model: Any, required: bool, default: Any
    ) -> FieldDescriptor[T]:
        """Return a copy that is the field of that name and type of *model*."""
        options = model._options
        plain = strip_optional(type)
        _, tag = field_for_type(plain)
        mine = copy.copy(self)
        mine.field = field
        mine.input_name = self.input_name or field
        mine.output_name = self.output_name or mine.input_name
        mine.type, mine.model, mine.required, mine.default = type, model, required, default
        mine.tag = self.tag or tag
        if self.coerce is None:
            mine.coerce = options.coerce
        if self.date_parser is None:
            mine.date_parser = options.date_parser
        inner = strip_optional(get_args(plain)[0]) if tag is not None and get_args(plain) else plain
        rules = Rules(options.coercions, mine._parse, options.polymorphic_fields)
        mine._node = expression(inner, rules)
        handler = handler_of(inner, rules)
        mine._has_handler = handler is not None
        mine._decode = mine._node.convert or handler or mine._by_options(options)
        mine.on_model_attached()
        return mine

    def on_model_attached(self) -> None:
        """Override to work something out when the field has got its model and type."""

    def conversions(self) -> Conversions:
        """Return what is to be done to values of this field."""
        prepare = _then(None, self.prepare_value) if self._overrides("prepare_value") else None
        coercer = None if self._has_handler or not self.coerce else self._coercer()
        if coercer is not None and not self.required:
            coercer = _unless_none(coercer)
        structure = self._node.convert
        convert = _unless_none(structure) if structure is not None else coercer
        by_hand = _then(convert if prepare is None else _maybe_none(structure), prepare)
        if self._overrides("to_python"):
            by_data: Convert | None = self.to_python
        else:
            decode = convert or _maybe_none(self._decode)
            if prepare is not None:
                decode = _maybe_none(self._decode)
            by_data = _then(decode, prepare)
        if self.tag is not None:
            by_hand, by_data = _then(by_hand, self._wrap), _then(by_data, self._wrap)
        return Conversions(by_hand, by_data)

    def misfit(self, value: Any, cause: Exception) -> Misfit:
        """Say where in *value*, which could not be converted, the reason lies."""
        found = self._node.locate(value)
        if found is None:
            return Misfit(self.field, strip_optional(self.type), value, cause)
        return Misfit(self.field + found.path, found.type, found.value, found.cause)

    @property
    def is_plain(self) -> bool:
        """Say whether the type alone decides what is made of data."""
        return (
            self.tag is None
            and not self._overrides("prepare_value")
            and not self._overrides("to_python")
        )

    def _by_options(self, options: Any) -> Convert | None:  # noqa: ARG002 - for subclasses
        """Return how the options of the model convert a scalar that comes from data."""
        return None

    def _coercer(self) -> Convert | None:
        """Return how ``coerce`` converts a value; None: not at all."""
        return None

    def _overrides(self, method: str) -> bool:
        """Say whether a class outside of this module overrides *method*."""
        for base in self.__class__.__mro__:
            if method in vars(base):
                return base.__module__ != __name__
        return False

    def _wrap(self, value: Any) -> Any:
        return self.tag(value, field=self.field)

    def _parse(self, text: Any) -> Any:
        return (self.date_parser or parse_iso8601)(text)

    # -- converting

    def should_coerce(self, value: Any, coerce: bool | None = None) -> bool:
        """Say whether *value* is to be coerced; *coerce* is asked instead of the field's own."""
        wanted = self.coerce if coerce is None else coerce
        return bool(wanted) and not self._has_handler and (value is not None or self.required)

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Coerce *value*, if this field coerces; override to do more."""
        if not self.should_coerce(value, coerce):
            return value
        coercer = self._coercer()
        return value if coercer is None else coercer(value)

    def to_python(self, value: Any) -> Any:
        """Make a value of decoded data."""
        if value is not None and self._decode is not None:
            value = self._decode(value)
        return self.prepare_value(value)

    # -- validating

    def validate_all(self, value: Any) -> Iterator[ValidationError]:
        """Check that *value* can be converted, then `validate` it."""
        if isinstance(value, Tag):
            value = value._value
        try:
            value = self.prepare_value(value, coerce=not self.coerce)
        except (TypeError, ValueError) as exc:
            yield self._conversion_error("is not correct type for", value, exc)
            return
        except Exception as exc:
            yield self._conversion_error("got internal error from", value, exc)
            return
        if value is not None or self.required:
            yield from self.validate(value)

    def validate(self, value: T) -> Iterator[ValidationError]:  # noqa: ARG002 - for subclasses
        """Give the reasons why *value* is not valid; override to have some."""
        return iter(())

    def validation_error(self, reason: str) -> ValidationError:
        """Build the error that says that this field is not valid."""
        return ValidationError(reason, field=self)

    def _conversion_error(self, what: str, value: Any, exc: Exception) -> ValidationError:
        why = "" if self.tag is not None else f": {exc!r}"
        return self.validation_error(
            f"{self.field} {what} {self!r}, got {value.__class__.__name__}{why}"
        )

    # -- as a selector

    @property
    def ident(self) -> str:
        """``Model.field``: how the field is called in the names of repartition topics."""
        return f"{self.model.__name__}.{self.field}"

    @property
    def related_models(self) -> set[Any]:
        """The model classes that are mentioned in the type."""
        return related_models(self.type)

    def getattr(self, obj: Any) -> T:
        """Return the value of this field from an instance (of the outermost parent's model)."""
        if self.parent is not None:
            obj = self.parent.getattr(obj)
        value: T = getattr(obj, self.field)
        return value

    def as_dict(self) -> Mapping[str, Any]:
        """Return the arguments of which this descriptor could be made again."""
        return {
            "field": self.field,
            "input_name": self.input_name,
            "output_name": self.output_name,
            "type": self.type,
            "model": self.model,
            "required": self.required,
            "default": self.default,
            "parent": self.parent,
            "coerce": self.coerce,
            "exclude": self.exclude,
            "date_parser": self.date_parser,
            "tag": self.tag,
            **self.options,
        }

    def clone(self, **overrides: Any) -> Self:
        """Make this descriptor again, with other arguments."""
        made = self.__class__(**{**self.as_dict(), **overrides})
        if made.model is None:
            return made
        attached = made.attached(
            field=made.field,
            type=made.type,
            model=made.model,
            required=made.required,
            default=made.default,
        )
        attached.parent = made.parent
        return attached  # type: ignore[return-value]

    @overload
    def __get__(self, obj: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, obj: Any, owner: Any = None) -> T: ...
    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            return self
        raise AttributeError(
            f"this {obj.__class__.__name__} has no value for the field {self.field!r}"
        )

    def __getattr__(self, name: str) -> FieldDescriptor[Any]:
        """Give access to the fields of a nested model."""
        if "type" in vars(self):
            nested = strip_optional(self.type)
            inner = nested._options.descriptors.get(name) if is_model(nested) else None
            if inner is not None:
                reached: FieldDescriptor[Any] = copy.copy(inner)
                reached.parent = self
                return reached
        raise AttributeError(f"{self.__class__.__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        default = "" if self.required else f" = {self.default!r}"
        place = self.ident if self.model is not None else self.field or "?"
        return f"<{self.__class__.__name__}: {place}: {type_name(self.type)}{default}>"


FieldMap = Mapping[str, FieldDescriptor[Any]]
"""Descriptors by name of field."""


# -- scalars


class BooleanField(FieldDescriptor[bool]):
    """A truth value; coerced by truthiness."""

    def _coercer(self) -> Convert:
        return bool

    def validate(self, value: bool) -> Iterator[ValidationError]:
        """Refuse what is no `bool`."""
        if not isinstance(value, bool):
            yield self.validation_error(
                f"{self.field} must be True or False, of type bool, not {type_name(type(value))}"
            )


class NumberField(FieldDescriptor[T]):
    """A number.

    Arguments:
        max_value: The largest that is valid.
        min_value: The smallest that is valid.
    """

    max_value: Any
    min_value: Any

    if TYPE_CHECKING:

        def __new__(  # noqa: D102 - see the class
            cls, *, max_value: Any = None, min_value: Any = None, **kwargs: Any
        ) -> Any: ...

    else:

        def __init__(self, *, max_value: Any = None, min_value: Any = None, **kwargs: Any) -> None:
            self.max_value = max_value
            self.min_value = min_value
            super().__init__(max_value=max_value, min_value=min_value, **kwargs)

    def validate(self, value: Any) -> Iterator[ValidationError]:
        """Refuse what is out of bounds."""
        if self.max_value is not None and value > self.max_value:
            yield self.validation_error(f"{self.field} cannot be more than {self.max_value}")
        if self.min_value is not None and value < self.min_value:
            yield self.validation_error(f"{self.field} must be at least {self.min_value}")


class IntegerField(NumberField[int]):
    """An integer; coerced by ``int``."""

    def _coercer(self) -> Convert:
        return int


class FloatField(NumberField[float]):
    """A number in floating point; coerced by ``float``."""

    def _coercer(self) -> Convert:
        return float


class DecimalField(NumberField[Decimal]):
    """A decimal; coerced by `decimal.Decimal`.

    Arguments:
        max_digits: How many digits there may be before the point.
        max_decimal_places: How many there may be behind it.
    """

    max_digits: int | None
    max_decimal_places: int | None

    if TYPE_CHECKING:

        def __new__(  # noqa: D102 - see the class
            cls,
            *,
            max_digits: int | None = None,
            max_decimal_places: int | None = None,
            **kwargs: Any,
        ) -> Any: ...

    else:

        def __init__(
            self,
            *,
            max_digits: int | None = None,
            max_decimal_places: int | None = None,
            **kwargs: Any,
        ) -> None:
            self.max_digits = max_digits
            self.max_decimal_places = max_decimal_places
            super().__init__(max_digits=max_digits, max_decimal_places=max_decimal_places, **kwargs)

    def _coercer(self) -> Convert:
        return Decimal

    @property
    def is_plain(self) -> bool:
        """Say whether the type alone decides what is made of data."""
        return (
            self.tag is None
            and not self._overrides("prepare_value")
            and not self._overrides("to_python")
        )

    def _by_options(self, options: Any) -> Convert | None:
        return Decimal if options.decimals else None

    def validate(self, value: Decimal) -> Iterator[ValidationError]:
        """Refuse infinities, NaN, and numbers with too many digits."""
        if not value.is_finite():
            yield self.validation_error(f"{self.field} must be a finite number, not {value}")
            return
        yield from super().validate(value)
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)  # it is finite
        places = max(0, -exponent)
        before = max(0, len(digits) + exponent) if value else 0
        if self.max_decimal_places is not None and places > self.max_decimal_places:
            yield self.validation_error(
                f"{self.field} must have at most {self.max_decimal_places} decimal places, "
                f"not {places}"
            )
        if self.max_digits is not None and before > self.max_digits:
            yield self.validation_error(
                f"{self.field} must have at most {self.max_digits} digits before the decimal "
                f"point, not {before}"
            )


class CharField(FieldDescriptor[T]):
    """Text or bytes.

    Arguments:
        max_length: How long it may be, in characters (or bytes).
        min_length: How long it has to be.
        trim_whitespace: Coercion strips it.
        allow_blank: It may be empty.
    """

    max_length: int | None
    min_length: int | None
    trim_whitespace: bool
    allow_blank: bool

    if TYPE_CHECKING:

        def __new__(  # noqa: D102 - see the class
            cls,
            *,
            max_length: int | None = None,
            min_length: int | None = None,
            trim_whitespace: bool = False,
            allow_blank: bool = False,
            **kwargs: Any,
        ) -> Any: ...

    else:

        def __init__(
            self,
            *,
            max_length: int | None = None,
            min_length: int | None = None,
            trim_whitespace: bool = False,
            allow_blank: bool = False,
            **kwargs: Any,
        ) -> None:
            self.max_length = max_length
            self.min_length = min_length
            self.trim_whitespace = trim_whitespace
            self.allow_blank = allow_blank
            super().__init__(
                max_length=max_length,
                min_length=min_length,
                trim_whitespace=trim_whitespace,
                allow_blank=allow_blank,
                **kwargs,
            )

    def validate(self, value: Any) -> Iterator[ValidationError]:
        """Refuse what is empty, too short or too long."""
        length = len(value)
        if not length and not self.allow_blank:
            yield self.validation_error(f"{self.field} cannot be left blank")
        if self.min_length is not None and length < self.min_length:
            yield self.validation_error(
                f"{self.field} must be at least {self.min_length} long, not {length}"
            )
        if self.max_length is not None and length > self.max_length:
            yield self.validation_error(
                f"{self.field} must be at most {self.max_length} long, not {length}"
            )


class StringField(CharField[str]):
    """Text; coerced by ``str``."""

    def _coercer(self) -> Convert:
        return _to_stripped_str if self.trim_whitespace else _to_str


class BytesField(CharField[bytes]):
    """Bytes; text is coerced by encoding it.

    Arguments:
        encoding: How text is encoded (default: the system's, UTF-8).
        errors: What happens to characters that cannot be (default: ``strict``).
    """

    encoding: str = sys.getdefaultencoding()
    errors: str = "strict"

    if TYPE_CHECKING:

        def __new__(  # noqa: D102 - see the class
            cls, *, encoding: str | None = None, errors: str | None = None, **kwargs: Any
        ) -> Any: ...

    else:

        def __init__(
            self, *, encoding: str | None = None, errors: str | None = None, **kwargs: Any
        ) -> None:
            self.encoding = encoding or self.encoding
            self.errors = errors or self.errors
            super().__init__(encoding=self.encoding, errors=self.errors, **kwargs)

    def _coercer(self) -> Convert:
        encoding, errors, strip = self.encoding, self.errors, self.trim_whitespace

        def to_bytes(value: Any) -> bytes:
            data: bytes = value if isinstance(value, bytes) else value.encode(encoding, errors)
            return data.strip() if strip else data

        return to_bytes


class DatetimeField(FieldDescriptor[datetime]):
    """A date with time; text is coerced by the ``date_parser``."""

    def _coercer(self) -> Convert:
        parse = self.date_parser or parse_iso8601

        def to_datetime(value: Any) -> Any:
            return value if value is None or isinstance(value, datetime) else parse(value)

        return to_datetime

    @property
    def is_plain(self) -> bool:
        """Say whether the type alone decides what is made of data."""
        return (
            self.tag is None
            and not self._overrides("prepare_value")
            and not self._overrides("to_python")
        )

    def _by_options(self, options: Any) -> Convert | None:
        return self._coercer() if options.isodates else None


TYPE_TO_FIELD: Mapping[type, type[FieldDescriptor[Any]]] = {
    bool: BooleanField,
    int: IntegerField,
    float: FloatField,
    Decimal: DecimalField,
    str: StringField,
    bytes: BytesField,
    datetime: DatetimeField,
}
"""Which descriptor stands for which type, and for its subclasses; the first that fits."""


def field_for_type(typ: Any) -> tuple[type[FieldDescriptor[Any]], Any]:
    """Return the class of descriptor for a type (without None), and the class of its tag."""
    origin = get_origin(typ) or typ
    if isinstance(origin, type) and issubclass(origin, Tag):
        args = get_args(typ)
        inner, _ = field_for_type(strip_optional(args[0])) if args else (FieldDescriptor, None)
        return inner, origin
    if isinstance(typ, type):
        for base, descriptor in TYPE_TO_FIELD.items():
            if issubclass(typ, base):
                return descriptor, None
    return FieldDescriptor, None


# -- functions


def _then(first: Convert | None, second: Convert | None) -> Convert | None:
    """Join two functions, of which either may be missing."""
    if first is None or second is None:
        return first or second
    return lambda value: second(first(value))


def _unless_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _maybe_none(convert: Convert | None) -> Convert | None:
    return None if convert is None else _unless_none(convert)


def _to_str(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _to_stripped_str(value: Any) -> str:
    return _to_str(value).strip()
