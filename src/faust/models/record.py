"""Record: a model with named fields, travelling as a mapping.

When the class is made, everything about its fields is worked out once (`faust.models.plan`), and
what is left to do per instance is written out (`faust.models.writing`, `faust.models.wire`).

Nested models, and containers of them, are converted at once, not at first access: what cannot be
converted is a decode error of this message, not an accident later in an agent.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, dataclass_transform

from faust.exceptions import ValidationError
from faust.models.base import Model, merge_options
from faust.models.fields import (
    BooleanField,
    BytesField,
    CharField,
    DatetimeField,
    DecimalField,
    FieldDescriptor,
    FloatField,
    IntegerField,
    NumberField,
    StringField,
)
from faust.models.plan import Declared, Plan, declare, make_plan, tagged
from faust.models.tags import Tag
from faust.models.wire import compile_loads, written_representation
from faust.models.writing import (
    values_of,
    written_asdict,
    written_builder,
    written_fields,
    written_init,
)
from faust.serializers.typed import BLESSED_KEY, namespaces
from faust.utils.json import dumps as json_dumps
from faust.utils.json import plain_loads

__all__ = ["Record"]

_METHODS = ("init", "hash", "eq", "ne", "lt", "le", "gt", "ge")
"""Methods that are there as ``_model_x`` whatever the body of a class says about ``__x__``."""


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, object], Any]:
    """Write a comparison of the values of two instances of the very same class."""

    def method(self: Record, other: object) -> Any:
        if type(self) is not type(other):
            return NotImplemented
        values = type(self)._model_values
        return compare(values(self), values(other))

    return method


@dataclass_transform(
    field_specifiers=(
        FieldDescriptor,
        BooleanField,
        BytesField,
        CharField,
        DatetimeField,
        DecimalField,
        FloatField,
        IntegerField,
        NumberField,
        StringField,
    )
)
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
        validation: Check every instance that is made; implies *coerce*.
        date_parser: Parses dates instead of the ISO 8601 parser.
        lazy_creation: Work out the fields only when `make_final` is called. Not inherited.

    Raises:
        TypeError: (when a class is made) unknown keyword, or a field without default after one
            with a default.
        NameError: (when a class is made) an annotation cannot be resolved.
        RuntimeError: (when a class is made) it overrides `asdict`.
    """

    _declared: ClassVar[Declared]
    _own_methods: ClassVar[frozenset[str]] = frozenset()
    _plan: ClassVar[Plan]
    _blessed: ClassVar[dict[str, str] | None]
    _is_plain_to_read: ClassVar[bool] = False
    _model_asdict: Callable[[], dict[str, Any]]
    _model_fields: Callable[[], dict[str, Any]]
    _model_init: ClassVar[Callable[..., None]]
    _model_represent: Callable[..., dict[str, Any]]
    _model_values: ClassVar[Callable[[Any], tuple[Any, ...]]]

    def __init_subclass__(
        cls, *, abstract: bool = False, lazy_creation: bool = False, **keywords: Any
    ) -> None:
        super().__init_subclass__()
        if "asdict" in vars(cls):
            raise RuntimeError(
                f"{cls.__qualname__} must not override asdict: override _prepare_dict instead"
            )
        cls._options = merge_options(cls, keywords)
        cls._own_methods = frozenset(name for name in _METHODS if f"__{name}__" in vars(cls))
        cls._pending = {"abstract": abstract} if lazy_creation else None
        if lazy_creation:
            made: Any = cls
            made.__is_abstract__ = True
            _install(cls, "init", _abstract_init)
        else:
            cls._finish(abstract=abstract)

    @classmethod
    def make_final(cls) -> None:
        """Work out the fields of a class that was made with ``lazy_creation=True``.

        Raises:
            NameError: an annotation names something that its module still does not know.
        """
        pending = cls._pending
        if pending is not None:
            cls._finish(**pending)
            cls._pending = None

    @classmethod
    def _finish(cls, *, abstract: bool) -> None:
        """Work out the fields, and write out what depends on them."""
        made: Any = cls
        made.__is_abstract__ = abstract
        own_init = "init" in cls._own_methods
        made._declared = declare(cls)
        bases = [base for base in reversed(cls.__mro__) if base not in Record.__mro__]
        plan = made._plan = make_plan(cls, bases)
        _describe(cls, plan)
        cls._blessed = {"ns": cls._options.namespace} if cls._options.include_metadata else None
        made._model_asdict = written_asdict(plan)
        made._model_fields = written_fields(plan)
        made._model_values = staticmethod(values_of(plan.names))
        if abstract:
            made._from_own = vars(Model)["_from_own"]
            _install(cls, "init", _abstract_init)
            return
        made._from_own = staticmethod(written_builder(plan, own_init=own_init))
        made._is_plain_to_read = (
            not own_init and made.from_data.__func__ is vars(Model)["from_data"].__func__
        )
        made._model_represent = _representation(cls, plan, own_init=own_init)
        _install(cls, "init", written_init(plan))
        for name in _METHODS[1:]:
            _install(cls, name, vars(Record)[f"_model_{name}"])
        if plan.by_hand:
            _convert_on_assignment(cls, plan)
        namespaces[cls._options.namespace] = cls

    def __init__(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} is abstract: derive a model from it")

    # -- from data

    @classmethod
    def _compile_loads(cls, loads: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        """Return ``from_data(loads(data), preferred_type=cls)`` as one function.

        The decoded dictionary is nobody else's, so the instance may keep it.
        """
        from_data: Any = cls.from_data
        if from_data.__func__ is not vars(Model)["from_data"].__func__ or cls.__is_abstract__:
            return lambda data: from_data(loads(data), preferred_type=cls)
        build = cls._from_own
        own = {"ns": cls._options.namespace}

        def make(obj: Any) -> Any:
            if type(obj) is not dict:
                return from_data(obj, preferred_type=cls)
            blessed = obj.pop(BLESSED_KEY, None)
            if blessed is None or blessed == own:
                return build(obj)
            return cls._meant_by(blessed, cls)._from_own(obj)

        if loads is plain_loads:
            return compile_loads(cls, make)
        return lambda data: make(loads(data))

    # -- to data

    @classmethod
    def _compile_dumps(cls, dumps: Callable[[Any], bytes]) -> Callable[[Any], Any] | None:
        """Return what encodes instances of this class by *dumps*; None: only `dumps` knows."""
        if cls.dumps is not Model.dumps:
            return None
        represent: Callable[[Any], Any] = cls.to_representation
        if dumps is json_dumps:
            represent = cls._model_represent
        return lambda model: dumps(represent(model))

    def asdict(self) -> dict[str, Any]:
        """Return the fields as a new dictionary, in the order of declaration; not recursive."""
        return self._prepare_dict(self._model_asdict())

    def _prepare_dict(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Override to change what `asdict` returns."""
        return payload

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
        values = self._model_fields()
        for model in models:
            values.update(model._model_fields())
        for name in self._options.tagged_fields & values.keys():
            if isinstance(values[name], Tag):
                values[name] = values[name]._value
        return type(self)(**{**values, **fields})

    # -- validation

    def validate(self) -> list[ValidationError]:
        """Return everything that is not valid, in the order of declaration; not recursive."""
        return [
            error
            for name, field in self._options.descriptors.items()
            for error in field.validate_all(getattr(self, name))
        ]

    def validate_or_raise(self) -> None:
        """Raise the first of the errors that `validate` returns, if there is any.

        Raises:
            ValidationError: a field is not valid.
        """
        for error in self.validate():
            raise error

    def is_valid(self) -> bool:
        """Say whether `validate` returns nothing."""
        return not self.validate()

    @property
    def validation_errors(self) -> list[ValidationError]:
        """What `validate` returns."""
        return self.validate()

    # -- as an object

    _model_eq = _comparison(operator.eq)
    _model_ne = _comparison(operator.ne)
    _model_lt = _comparison(operator.lt)
    _model_le = _comparison(operator.le)
    _model_gt = _comparison(operator.gt)
    _model_ge = _comparison(operator.ge)

    def _model_hash(self) -> int:
        return hash(type(self)._model_values(self))

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
        names = [name for name in self._options.fields if name in mine]
        names += [name for name in mine if name not in self._options.fieldset]
        shown = ", ".join(f"{name}={mine[name]!r}" for name in names if not name.startswith("__"))
        return f"<{type(self).__name__}: {shown}>"


# -- making a class


def _describe(cls: type[Record], plan: Plan) -> None:
    """Fill in the options that are about fields; put descriptors in the place of defaults."""
    options = cls._options
    options.fields = {name: field.type for name, field in plan.descriptors.items()}
    options.fieldset = frozenset(plan.names)
    options.fieldpos = dict(enumerate(plan.names))
    options.optionalset = frozenset(plan.defaults)
    options.defaults = plan.defaults
    options.tagged_fields = tagged(plan, bool)
    options.personal_fields = tagged(plan, lambda tag: tag.is_personal)
    options.sensitive_fields = tagged(plan, lambda tag: tag.is_sensitive)
    options.secret_fields = tagged(plan, lambda tag: tag.is_secret)
    options.descriptors = {} if cls.__is_abstract__ else plan.descriptors
    for name, field in options.descriptors.items():
        setattr(cls, name, field)


def _install(cls: Any, name: str, method: Callable[..., Any]) -> None:
    """Put a method into a class as ``_model_x``, and as ``__x__`` unless the body has one."""
    setattr(cls, f"_model_{name}", method)
    dunder = f"__{name}__"
    if name not in cls._own_methods and getattr(cls, dunder) is not method:
        setattr(cls, dunder, method)


def _representation(cls: type[Record], plan: Plan, *, own_init: bool) -> Callable[..., Any]:
    """Return what the class looks like on the wire, records inside of it included."""
    if (
        cls.to_representation is Record.to_representation
        and cls._prepare_dict is Record._prepare_dict
        and cls.__json__ is Model.__json__
    ):
        return written_representation(plan, own_init=own_init)
    return cls.__json__


def _convert_on_assignment(cls: type[Record], plan: Plan) -> None:
    """Convert what is assigned to fields, then do what the class does on assignment."""
    store = cls.__setattr__
    while hasattr(store, "_stores_by"):
        store = store._stores_by
    conversions = plan.by_hand

    def set_attribute(self: Record, name: str, value: Any) -> None:
        convert = conversions.get(name)
        if convert is not None and type(self) is cls:
            try:
                value = convert(value)
            except Exception as exc:
                plan.raise_misfit({name: convert}, {name: value}, exc)
        store(self, name, value)

    made: Any = set_attribute
    made._stores_by = store
    made.__qualname__ = f"{cls.__qualname__}.__setattr__"
    cls.__setattr__ = made  # type: ignore[method-assign]


def _abstract_init(self: Record, *args: Any, **kwargs: Any) -> None:
    raise NotImplementedError(f"{type(self).__name__} is abstract: derive a model from it")
