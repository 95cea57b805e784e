"""Record: a model with named fields, travelling as a mapping.

When the class is made, everything about its fields is worked out once (`_Plan`): order, defaults,
converters. From the plan come two ways to an instance:

* ``Order(...)``: an ``__init__`` that is written out for the class, as dataclasses do it, so that
  Python itself checks the arguments and says what is missing;
* from decoded data: the decoded dictionary becomes the instance's own ``__dict__``; only fields
  that need a default or a converter are touched at all.

Both put the whole dictionary into the instance in one step (`_set_dict`) and never go through
attribute assignment.

Nested models, and containers of them, are converted at once, not at first access: what cannot be
converted is a decode error of this message, not an accident later in an agent.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, ClassVar, Self, dataclass_transform

from faust.models import coerce
from faust.models.base import Model, annotations_of, merge_options
from faust.models.coerce import Convert, Rules
from faust.models.fields import FieldDescriptor
from faust.serializers.typed import BLESSED_KEY, namespaces

__all__ = ["Record"]

_set_dict: Callable[[Any, dict[str, Any]], None] = vars(Model)["__dict__"].__set__
"""Give an instance its attributes, in one step."""


@dataclass
class _Plan:
    """What is known about the fields of a class."""

    fields: dict[str, Any]
    """Name to type, in the order of declaration."""
    defaults: dict[str, Any]
    order: list[str]
    """The order of the constructor: required fields first."""
    by_hand: dict[str, Convert]
    """How fields are converted when an instance is made by hand."""
    by_data: dict[str, Convert]
    """How fields are converted when they come from decoded data."""
    assigned: dict[str, Convert]
    """How fields are converted on assignment."""

    @property
    def required(self) -> frozenset[str]:
        return frozenset(self.fields.keys() - self.defaults.keys())


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, object], Any]:
    """Write a comparison of the values of two instances of the very same class."""

    def method(self: Record, other: object) -> Any:
        if type(self) is not type(other):
            return NotImplemented
        values = type(self)._model_values
        return compare(values(self), values(other))

    return method


@dataclass_transform(field_specifiers=(FieldDescriptor,))
class Record(Model):
    """A model of annotated fields.

    .. code-block:: python

        class Order(faust.Record, serializer="json"):
            account_id: str
            amount: Decimal
            note: str | None = None

    Class keywords:
        serializer: Codec for `dumps`, and for topics that have this type and no serializer.
        namespace: Name on the wire; ``module.Class`` if it is not given. Not inherited.
        include_metadata: Write the blessed key ``__faust`` (default: true).
        isodates: Parse ISO 8601 text to `datetime` in decoded data.
        decimals: Make decimals of numbers and text in decoded data.
        abstract: A base only: not registered, no instances. Not inherited.
        allow_blessed_key: Payloads that name this model are read as it, whatever was asked for.
        polymorphic_fields: The same; also, fields of this model may hold submodels of their types.
        coerce: Convert plain scalars to the declared type, always.
        coercions: Functions for types of one's own: ``{type: from_text}``.
        date_parser: Parses dates instead of the ISO 8601 parser.

    Raises:
        TypeError: (when a class is made) unknown keyword, or a field without default after one
            with a default.
        NotImplementedError: (when a class is made) a keyword or a field that is not supported yet.
    """

    _plan: ClassVar[_Plan]
    _blessed: ClassVar[dict[str, str] | None]
    _model_asdict: Callable[[], dict[str, Any]]
    _model_init: ClassVar[Callable[..., None]]
    _model_values: ClassVar[Callable[[Any], tuple[Any, ...]]]

    def __init_subclass__(cls, *, abstract: bool = False, **keywords: Any) -> None:
        super().__init_subclass__()
        body = vars(cls)
        if "asdict" in body:
            raise RuntimeError(
                f"{cls.__qualname__} must not override asdict: override _prepare_dict instead"
            )
        own_init = "__init__" in body
        cls.__is_abstract__ = abstract
        options = cls._options = merge_options(cls, keywords)
        plan = cls._plan = _make_plan(cls)
        options.fields = plan.fields
        options.fieldset = frozenset(plan.fields)
        options.fieldpos = dict(enumerate(plan.fields))
        options.optionalset = frozenset(plan.defaults)
        options.defaults = plan.defaults
        options.descriptors = {} if abstract else _describe(cls, plan)
        cls._blessed = {"ns": options.namespace} if options.include_metadata else None
        made: Any = cls
        made._model_asdict = _written_asdict(plan)
        made._model_values = staticmethod(_values_of(list(plan.fields)))
        made._model_init = _abstract_init if abstract else _written_init(cls, plan)
        made._from_own = (
            vars(Model)["_from_own"]
            if abstract
            else staticmethod(_builder(cls, plan, own_init=own_init))
        )
        if not own_init:
            made.__init__ = made._model_init
        if plan.assigned and cls.__setattr__ is object.__setattr__:
            made.__setattr__ = _coerce_on_assignment
        if not abstract:
            namespaces[options.namespace] = cls

    def __init__(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} is abstract: derive a model from it")

    # -- to data

    def asdict(self) -> dict[str, Any]:
        """Return the fields as a new dictionary, in the order of declaration; not recursive."""
        return self._prepare_dict(self._model_asdict())

    def _prepare_dict(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Override to change what `asdict` returns."""
        return payload

    def _values(self) -> tuple[Any, ...]:
        return type(self)._model_values(self)

    def to_representation(self) -> Mapping[str, Any]:
        """Return what is encoded: the fields, and behind them the blessed key."""
        payload = self.asdict()
        if self._blessed is not None:
            payload[BLESSED_KEY] = self._blessed.copy()
        return payload

    def derive(self, *models: Record, **fields: Any) -> Self:
        """Copy this instance, changed by the fields of *models* and then by *fields*.

        Raises:
            TypeError: the class has no field of that name.
        """
        values = self._model_asdict()
        for model in models:
            values.update(model._model_asdict())
        return type(self)(**{**values, **fields})

    # -- as an object

    _model_eq = _comparison(operator.eq)
    _model_ne = _comparison(operator.ne)
    _model_lt = _comparison(operator.lt)
    _model_le = _comparison(operator.le)
    _model_gt = _comparison(operator.gt)
    _model_ge = _comparison(operator.ge)

    def _model_hash(self) -> int:
        return hash(self._values())

    __eq__ = _model_eq
    __ne__ = _model_ne
    __lt__ = _model_lt
    __le__ = _model_le
    __gt__ = _model_gt
    __ge__ = _model_ge
    __hash__ = _model_hash

    def __delattr__(self, name: str) -> None:
        if name in self._options.fieldset:
            raise AttributeError(f"the field {name!r} of {type(self).__name__} cannot be deleted")
        super().__delattr__(name)

    def __repr__(self) -> str:
        mine = vars(self)
        names = [name for name in self._plan.fields if name in mine]
        names += [name for name in mine if name not in self._options.fieldset]
        shown = ", ".join(f"{name}={mine[name]!r}" for name in names if not name.startswith("__"))
        return f"<{type(self).__name__}: {shown}>"


# -- the plan


def _make_plan(cls: type[Record]) -> _Plan:
    """Work out fields, defaults and converters of a class."""
    fields: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    known = {cls.__name__: cls}
    for base in reversed(cls.__mro__):
        if base in Record.__mro__:
            continue
        own = annotations_of(base, known)
        fields.update(own)
        body = vars(base)
        if base is cls:
            _check_order(cls, own, body)
        for name in fields.keys() & body.keys():
            _add_default(cls, name, body[name], defaults)
    for name, typ in fields.items():
        if name not in defaults and coerce.is_optional(typ):
            defaults[name] = None
    defaults = {name: defaults[name] for name in fields if name in defaults}
    order = [name for name in fields if name not in defaults] + list(defaults)
    by_hand, by_data, assigned = _converters(cls, fields, defaults)
    return _Plan(fields, defaults, order, by_hand, by_data, assigned)


def _add_default(cls: type, name: str, value: Any, defaults: dict[str, Any]) -> None:
    """Note the default that a class body gives to a field."""
    if not isinstance(value, FieldDescriptor):
        defaults[name] = value
    elif value.model is None:
        raise NotImplementedError(
            f"{cls.__qualname__}.{name}: field descriptors of one's own are not supported yet; "
            "give the plain default"
        )
    elif not value.required:
        defaults[name] = value.default


def _check_order(cls: type, own: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Refuse a required field behind one with a default, as functions and dataclasses do."""
    with_default = ""
    for name, typ in own.items():
        if name in body:
            with_default = name
        elif with_default and not coerce.is_optional(typ):
            raise TypeError(
                f"{cls.__qualname__}: the field {name!r} has no default, and stands behind "
                f"{with_default!r}, which has one"
            )


def _converters(
    cls: type[Record], fields: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[dict[str, Convert], dict[str, Convert], dict[str, Convert]]:
    """Return how fields are converted by hand, from data and on assignment."""
    options = cls._options
    rules = Rules(
        coerce=options.coerce,
        isodates=options.isodates,
        decimals=options.decimals,
        polymorphic=options.polymorphic_fields,
        date_parser=options.date_parser,
        coercions=options.coercions,
    )
    by_hand: dict[str, Convert] = {}
    by_data: dict[str, Convert] = {}
    assigned: dict[str, Convert] = {}
    for name, typ in fields.items():
        structural = coerce.expression(typ, rules)
        if structural is not None:
            by_hand[name] = by_data[name] = _unless_none(structural)
            continue
        plain = coerce.strip_optional(typ)
        always = coerce.scalar(plain, rules) if rules.coerce else None
        if always is not None:
            always = _unless_none(always) if name in defaults else always
            by_hand[name] = by_data[name] = assigned[name] = always
            continue
        only_data = coerce.from_data(plain, rules)
        if only_data is not None:
            by_data[name] = _unless_none(only_data)
    return by_hand, by_data, assigned


def _unless_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _describe(cls: type[Record], plan: _Plan) -> dict[str, FieldDescriptor[Any]]:
    """Put a descriptor in the place of every field's default."""
    descriptors = {}
    for name, typ in plan.fields.items():
        descriptors[name] = FieldDescriptor[Any](
            field=name,
            type=typ,
            model=cls,
            required=name not in plan.defaults,
            default=plan.defaults.get(name),
        )
        setattr(cls, name, descriptors[name])
    return descriptors


# -- two ways to an instance


def _builder(
    cls: type[Record], plan: _Plan, *, own_init: bool
) -> Callable[[dict[str, Any]], Record]:
    """Return how an instance is built from a dictionary without blessed key, which it keeps."""
    if own_init:

        def build_by_init(data: dict[str, Any]) -> Record:
            make: Callable[..., Record] = cls
            return make(**data, __strict__=False)

        return build_by_init
    if plan.defaults or plan.by_data or hasattr(cls, "__post_init__") or not plan.fields:
        fill = _filler(cls, plan)
        new = cls.__new__

        def build(data: dict[str, Any]) -> Record:
            instance = new(cls)
            fill(instance, data)
            return instance

        return build
    return _plain_builder(cls, plan)


def _plain_builder(cls: type[Record], plan: _Plan) -> Callable[[dict[str, Any]], Record]:
    """The builder of a class whose fields are all required and stay as they are."""
    look_at_all = itemgetter(*plan.fields)
    required = fieldset = frozenset(plan.fields)
    count = len(plan.fields)
    new = cls.__new__
    set_dict = _set_dict

    def build(data: dict[str, Any]) -> Record:
        try:
            look_at_all(data)
        except KeyError:
            raise TypeError(_missing(cls, required - data.keys())) from None
        if len(data) != count:
            _drop_reserved(cls, data, fieldset)
        instance = new(cls)
        set_dict(instance, data)
        return instance

    return build


def _filler(cls: type[Record], plan: _Plan) -> Callable[[Record, dict[str, Any]], None]:
    """Return how a fresh instance gets its attributes from a decoded dictionary."""
    required = plan.required
    defaults = list(plan.defaults.items())
    converters = list(plan.by_data.items())
    count = len(plan.fields)
    fieldset = frozenset(plan.fields)
    post_init = getattr(cls, "__post_init__", None)

    def fill(instance: Record, data: dict[str, Any]) -> None:
        if not data.keys() >= required:
            raise TypeError(_missing(cls, required - data.keys()))
        for name, default in defaults:
            if data.get(name) is None:
                data[name] = default
        for name, convert in converters:
            data[name] = convert(data[name])
        if len(data) != count:
            _drop_reserved(cls, data, fieldset)
        _set_dict(instance, data)
        if post_init is not None:
            post_init(instance)

    return fill


def _drop_reserved(cls: type, data: dict[str, Any], fieldset: frozenset[str]) -> None:
    """Leave out unknown keys that would hide a method or class variable of the instance."""
    for name in data.keys() - fieldset:
        if not isinstance(name, str) or hasattr(cls, name):
            del data[name]


def _missing(cls: type, names: Iterable[str]) -> str:
    return f"{cls.__name__} misses required field(s): {', '.join(sorted(names))}"


def _written_init(cls: type[Record], plan: _Plan) -> Callable[..., None]:
    """Write the constructor out, as if by hand."""
    rest = "kwargs" if "kwargs" not in plan.fields else "__kwargs__"
    this = "self" if "self" not in plan.fields else "__self__"
    required = [name for name in plan.order if name not in plan.defaults]
    parameters = [this, *required, *(f"{name}=None" for name in plan.defaults)]
    everything = ", ".join(f"{name!r}: {name}" for name in plan.order)
    lines = [
        f"def __init__({', '.join(parameters)}, *, __strict__=True, __faust=None, **{rest}):",
        "    if not __strict__:",
        f"        return __fill__({this}, {{{everything + ', ' if everything else ''}**{rest}}})",
        f"    if {rest}:",
        f"        raise TypeError(__unexpected__({rest}))",
    ]
    scope: dict[str, Any] = {
        "__fill__": _filler(cls, plan),
        "__set_dict__": _set_dict,
        "__unexpected__": lambda names: (
            f"{cls.__name__}() got unexpected keyword argument(s): {', '.join(sorted(names))}"
        ),
    }
    for number, (name, default) in enumerate(plan.defaults.items()):
        if default is not None:
            scope[f"__default{number}__"] = default
            lines += [f"    if {name} is None:", f"        {name} = __default{number}__"]
    for number, (name, convert) in enumerate(plan.by_hand.items()):
        scope[f"__convert{number}__"] = convert
        lines.append(f"    {name} = __convert{number}__({name})")
    lines.append(f"    __set_dict__({this}, {{{everything}}})")
    if hasattr(cls, "__post_init__"):
        lines.append(f"    {this}.__post_init__()")
    exec("\n".join(lines), scope)  # noqa: S102 - names of fields are identifiers by definition
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    return init


def _written_asdict(plan: _Plan) -> Callable[[Record], dict[str, Any]]:
    """Write out what collects the fields into a dictionary, in the order of declaration."""
    items = ", ".join(f"{name!r}: self.{name}" for name in plan.fields)
    scope: dict[str, Any] = {}
    exec(f"def _model_asdict(self):\n    return {{{items}}}", scope)  # noqa: S102 - as above
    written: Callable[[Record], dict[str, Any]] = scope["_model_asdict"]
    return written


def _values_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gives the values of fields as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    if not names:
        return lambda _: ()
    only = attrgetter(names[0])
    return lambda model: (only(model),)


def _coerce_on_assignment(self: Record, name: str, value: Any) -> None:
    """Convert what is assigned to a field, in classes that coerce."""
    convert = self._plan.assigned.get(name)
    object.__setattr__(self, name, value if convert is None else convert(value))


def _abstract_init(self: Record, *args: Any, **kwargs: Any) -> None:
    raise NotImplementedError(f"{type(self).__name__} is abstract: derive a model from it")
