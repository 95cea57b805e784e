"""The plan of a record: its fields, worked out once when the class is made.

Fields come from the annotations of the class and of its bases below `Record`, base-most first. A
class may give a field of its bases another type (it keeps its place), or another default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from faust.models.annotations import annotations_of, type_arguments
from faust.models.fields import Conversions, FieldDescriptor, FieldMap, field_for_type
from faust.models.misfits import misfit_error
from faust.models.tags import Tag
from faust.models.typing import is_optional, strip_optional, substitute

__all__ = ["Declared", "Plan", "declare", "make_plan", "tagged"]


@dataclass(frozen=True)
class Declared:
    """What the body of one class says: annotations, and what is assigned to names."""

    annotations: Mapping[str, Any]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is known about the fields of a class."""

    cls: Any
    descriptors: FieldMap
    """By name, in the order of declaration."""
    defaults: Mapping[str, Any]
    conversions: Mapping[str, Conversions]

    @property
    def names(self) -> list[str]:
        """The fields in the order of declaration."""
        return list(self.descriptors)

    @property
    def required(self) -> list[str]:
        """The fields without default."""
        return [name for name in self.descriptors if name not in self.defaults]

    @property
    def order(self) -> list[str]:
        """The fields in the order of the constructor: required ones first."""
        return [*self.required, *self.defaults]

    @property
    def by_hand(self) -> dict[str, Any]:
        """What is done to fields when an instance is made by hand."""
        return {name: each.by_hand for name, each in self.conversions.items() if each.by_hand}

    @property
    def by_data(self) -> dict[str, Any]:
        """What is done to fields when an instance is made of decoded data."""
        return {name: each.by_data for name, each in self.conversions.items() if each.by_data}

    @property
    def aliases(self) -> dict[str, str]:
        """Fields that are called something else in data that comes in."""
        return {
            name: field.input_name
            for name, field in self.descriptors.items()
            if field.input_name != name
        }

    def missing(self, values: Mapping[str, Any]) -> TypeError:
        """Return the error that says which required fields *values* do not have."""
        names = sorted(
            self.descriptors[name].input_name for name in self.required if name not in values
        )
        return TypeError(f"{self.cls.__name__} misses required field(s): {', '.join(names)}")

    def unexpected(self, names: Iterable[str]) -> TypeError:
        """Return the error that says which arguments are no fields."""
        return TypeError(
            f"{self.cls.__name__}() got unexpected keyword argument(s): {', '.join(sorted(names))}"
        )

    def raise_misfit(
        self, conversions: Mapping[str, Any], values: Mapping[str, Any], exc: Exception
    ) -> None:
        """Raise the error of a conversion of *values* that has failed, with the path of the field.

        Raises:
            Exception: of the type that the conversion has raised.
        """
        for name, convert in conversions.items():
            field = self.descriptors[name]
            if name not in values or (field.tag and isinstance(values[name], Tag)):
                continue
            try:
                convert(values[name])
            except Exception as cause:
                error = misfit_error(field.misfit(values[name], cause), secret=bool(field.tag))
                if error is cause:
                    raise
                raise error from (None if field.tag else cause)
        raise exc


def declare(cls: type) -> Declared:
    """Read the body of a class; what it says about fields is kept for its subclasses."""
    known = vars(cls).get("_declared")
    if isinstance(known, Declared):
        return known
    body = vars(cls)
    return Declared(annotations_of(cls), {k: v for k, v in body.items() if k[:2] != "__"})


def make_plan(cls: Any, bases: Iterable[type]) -> Plan:
    """Work out the fields of a class that has its options; *bases*: what lies below `Record`.

    Raises:
        TypeError: a field without default stands behind one with a default.
        NameError: an annotation cannot be resolved.
    """
    types: dict[str, Any] = {}
    written: dict[str, FieldDescriptor[Any]] = {}
    defaults: dict[str, Any] = {}
    arguments = type_arguments(cls)
    for base in bases:
        declared = declare(base)
        if base is cls:
            _check_order(cls, declared)
        known = arguments.get(base, {})
        for name, typ in declared.annotations.items():
            types[name] = substitute(typ, known)
            written.pop(name, None)
        for name in types.keys() & declared.values.keys():
            value = declared.values[name]
            if isinstance(value, FieldDescriptor):
                written[name] = value
                defaults.pop(name, None)
                if not value.required:
                    defaults[name] = value.default
            else:
                defaults[name] = value
    for name, typ in types.items():
        if name not in defaults and is_optional(typ):
            defaults[name] = None
    descriptors = {
        name: _descriptor(typ, written.get(name)).attached(
            field=name,
            type=typ,
            model=cls,
            required=name not in defaults,
            default=defaults.get(name),
        )
        for name, typ in types.items()
    }
    conversions = {name: field.conversions() for name, field in descriptors.items()}
    defaults = {name: defaults[name] for name in types if name in defaults}
    return Plan(cls, descriptors, defaults, conversions)


def tagged(plan: Plan, wanted: Callable[[Any], bool]) -> frozenset[str]:
    """Return the fields whose tag is *wanted*, or that have models with such fields."""
    return frozenset(
        name
        for name, field in plan.descriptors.items()
        if (field.tag is not None and wanted(field.tag))
        or any(
            _has_tag(model, wanted, {plan.cls})
            for model in field.related_models
            if model is not plan.cls
        )
    )


def _has_tag(model: Any, wanted: Callable[[Any], bool], seen: set[Any]) -> bool:
    seen.add(model)
    for field in model._options.descriptors.values():
        if field.tag is not None and wanted(field.tag):
            return True
        if any(_has_tag(inner, wanted, seen) for inner in field.related_models - seen):
            return True
    return False


def _descriptor(typ: Any, written: FieldDescriptor[Any] | None) -> FieldDescriptor[Any]:
    if written is not None:
        return written
    kind, _ = field_for_type(strip_optional(typ))
    made: FieldDescriptor[Any] = kind()
    return made


def _check_order(cls: type, declared: Declared) -> None:
    """Refuse a required field behind one with a default, as functions and dataclasses do."""
    with_default = ""
    for name, typ in declared.annotations.items():
        value = declared.values.get(name, cls)
        if value is not cls and not (isinstance(value, FieldDescriptor) and value.required):
            with_default = name
        elif with_default and not is_optional(typ):
            raise TypeError(
                f"{cls.__qualname__}: the field {name!r} has no default, and stands behind "
                f"{with_default!r}, which has one"
            )
