"""What is written out for a record: its constructor, and the ways to and from data.

There are three ways to an instance:

* ``Order(...)``: an ``__init__`` as a dataclass has it, so that Python itself checks the arguments;
* from a decoded dictionary (`written_builder`): that dictionary becomes the instance's own
  ``__dict__``, and only fields that need a default or a conversion are touched at all;
* from JSON (`faust.models.wire`): see there.

None of them assigns attributes: they fill the dictionary of the instance (`storing`), or give it one
(`set_dict`). The lines below are templates of these functions; `write_function` keeps the text for
debuggers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, Signature
from operator import attrgetter, itemgetter
from typing import Any

from faust.models.base import Model
from faust.models.generated import write_function
from faust.models.plan import Plan
from faust.models.typing import nested_model

__all__ = [
    "ending",
    "literal",
    "outputs",
    "storing",
    "values_of",
    "written_asdict",
    "written_builder",
    "written_fields",
    "written_init",
]

set_dict: Callable[[Any, dict[str, Any]], None] = vars(Model)["__dict__"].__set__
"""Give an instance its attributes, in one step."""


def written_init(plan: Plan) -> Callable[..., None]:
    """Write the constructor of a class."""
    rest = "kwargs" if "kwargs" not in plan.descriptors else "__kwargs__"
    this = "self" if "self" not in plan.descriptors else "__self__"
    parameters = [this, *plan.required, *(f"{name}=None" for name in plan.defaults)]
    everything = literal({name: name for name in plan.order})
    scope: dict[str, Any] = {
        "__fill__": written_fill(plan),
        "__unexpected__": plan.unexpected,
    }
    lines = [
        f"def __init__({', '.join(parameters)}, **{rest}):",
        f"    if {rest}:",
        f"        {rest}.pop('__faust', None)",
        f"        if not {rest}.pop('__strict__', True):",
        f"            return __fill__({this}, {{**{everything}, **{rest}}})",
        f"        if {rest}:",
        f"            raise __unexpected__({rest})",
    ]
    converted = plan.by_hand
    for number, (name, default) in enumerate(plan.defaults.items()):
        if default is None:
            continue
        lines.append(f"    if {name} is None:")
        convert = converted.get(name)
        if convert is not None and _instances(plan, name):  # a container of the instance's own
            scope[f"__fresh{number}__"] = partial(convert, default)
            lines.append(f"        {name} = __fresh{number}__()")
        else:
            scope[f"__default{number}__"] = default
            lines.append(f"        {name} = __default{number}__")
    lines += _converting_by_hand(plan, everything, scope)
    lines += storing(this, {name: name for name in plan.order})
    lines += ending(plan, this)
    init: Any = write_function(plan.cls, "__init__", lines, scope)
    init.__signature__ = _signature(this, plan, rest)
    return init  # type: ignore[no-any-return]


def _signature(this: str, plan: Plan, rest: str) -> Signature:
    """Return the documented signature of a constructor.

    ``__strict__`` and ``__faust`` travel among the other keywords: filling in the defaults of
    parameters that hardly anybody gives would cost as much as storing four fields.
    """
    kinds = Parameter
    parameters = [Parameter(this, kinds.POSITIONAL_OR_KEYWORD)]
    parameters += [Parameter(name, kinds.POSITIONAL_OR_KEYWORD) for name in plan.required]
    parameters += [
        Parameter(name, kinds.POSITIONAL_OR_KEYWORD, default=None) for name in plan.defaults
    ]
    parameters += [
        Parameter("__strict__", kinds.KEYWORD_ONLY, default=True),
        Parameter("__faust", kinds.KEYWORD_ONLY, default=None),
        Parameter(rest, kinds.VAR_KEYWORD),
    ]
    return Signature(parameters)


def written_fill(plan: Plan) -> Callable[[Any, dict[str, Any]], None]:
    """Write what gives a fresh instance its attributes, from a dictionary that may be kept."""
    scope: dict[str, Any] = {}
    lines = ["def _model_fill(self, data):", *_filling(plan, scope), *ending(plan, "self")]
    return write_function(plan.cls, "_model_fill", [*lines, "    return None"], scope)


def written_builder(plan: Plan, *, own_init: bool) -> Callable[[dict[str, Any]], Any]:
    """Write what makes an instance of decoded data that has no blessed key and may be kept."""
    scope: dict[str, Any] = {"__cls__": plan.cls, "__new__": plan.cls.__new__}
    lines = ["def _from_own(data):"]
    if plan.aliases:
        scope["__renamed__"] = _renaming(plan.aliases, frozenset(plan.names))
        lines.append("    __renamed__(data)")
    if own_init:
        lines.append("    return __cls__(**data, __strict__=False)")
    else:
        lines += [
            "    self = __new__(__cls__)",
            *_filling(plan, scope),
            *ending(plan, "self"),
            "    return self",
        ]
    return write_function(plan.cls, "_from_own", lines, scope)


def written_fields(plan: Plan) -> Callable[[Any], dict[str, Any]]:
    """Write what collects the fields, under their own names, in the order of declaration."""
    items = literal({name: f"self.{name}" for name in plan.names})
    lines = ["def _model_fields(self):", f"    return {items}"]
    return write_function(plan.cls, "_model_fields", lines, {})


def written_asdict(plan: Plan) -> Callable[[Any], dict[str, Any]]:
    """Write what collects the fields that are written to data, under their names there."""
    items = literal(outputs(plan, "self.{}"))
    lines = ["def _model_asdict(self):", f"    return {items}"]
    return write_function(plan.cls, "_model_asdict", lines, {})


def values_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gives the values of fields as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    if not names:
        return lambda _: ()
    only = attrgetter(names[0])
    return lambda model: (only(model),)


# -- parts


def _filling(plan: Plan, scope: dict[str, Any]) -> list[str]:
    """Complete and convert ``data``, and make it the attributes of ``self``."""
    lines = []
    scope |= {
        "__look__": itemgetter(*plan.required) if plan.required else None,
        "__missing__": plan.missing,
        "__drop__": _drop_reserved,
        "__cls__": plan.cls,
        "__fields__": frozenset(plan.names),
        "__set_dict__": set_dict,
    }
    if plan.required:
        lines += [
            "    try:",
            "        __look__(data)",
            "    except KeyError:",
            "        raise __missing__(data) from None",
        ]
    for number, (name, default) in enumerate(plan.defaults.items()):
        scope[f"__default{number}__"] = default
        lines += [
            f"    if data.get({name!r}) is None:",
            f"        data[{name!r}] = __default{number}__",
        ]
    lines += _converting(plan, scope)
    return [
        *lines,
        f"    if len(data) != {len(plan.names)}:",
        "        __drop__(__cls__, data, __fields__)",
        "    __set_dict__(self, data)",
    ]


def _instances(plan: Plan, name: str) -> tuple[Any, Any] | None:
    """Return shape and model of a field that mostly is given what it wants: instances of a model."""
    field = plan.descriptors[name]
    return nested_model(field.type) if field.is_plain else None


def _converting_by_hand(plan: Plan, values: str, scope: dict[str, Any]) -> list[str]:
    """Convert arguments of the constructor; instances of the declared model need only a look."""
    lines = []
    for number, (name, convert) in enumerate(plan.by_hand.items()):
        scope[f"__convert{number}__"] = convert
        wanted = f"__model{number}__"
        convert_it = f"{name} = __convert{number}__({name})"
        shape, scope[wanted] = _instances(plan, name) or (None, None)
        if scope[wanted] is None or shape is dict:
            lines.append(f"        {convert_it}")
        elif shape is None:
            lines += [f"        if type({name}) is not {wanted}:", f"            {convert_it}"]
        else:
            lines += [
                f"        if type({name}) is list:",
                f"            for __item in {name}:",
                f"                if type(__item) is not {wanted}:",
                f"                    {convert_it}",
                "                    break",
                "        else:",
                f"            {convert_it}",
            ]
    return _trying(plan, plan.by_hand, lines, values, scope)


def _converting(plan: Plan, scope: dict[str, Any]) -> list[str]:
    """Convert what is in ``data``."""
    lines = []
    for number, (name, convert) in enumerate(plan.by_data.items()):
        scope[f"__convert{number}__"] = convert
        lines.append(f"        data[{name!r}] = __convert{number}__(data[{name!r}])")
    return _trying(plan, plan.by_data, lines, "data", scope)


def _trying(
    plan: Plan,
    conversions: Mapping[str, Any],
    lines: list[str],
    values: str,
    scope: dict[str, Any],
) -> list[str]:
    """Say which field it was when one of *lines* raises; *values*: what is written for them all."""
    if not lines:
        return []

    def misfit(values: Mapping[str, Any], exc: Exception) -> None:
        plan.raise_misfit(conversions, values, exc)

    scope["__misfit__"] = misfit
    return [
        "    try:",
        *lines,
        "    except Exception as __error:",
        f"        __misfit__({values}, __error)",
    ]


def ending(plan: Plan, this: str) -> list[str]:
    """Call the hook of the user, then validate."""
    lines = []
    if hasattr(plan.cls, "__post_init__"):
        lines.append(f"    {this}.__post_init__()")
    if plan.cls._options.validation:
        lines.append(f"    {this}.validate_or_raise()")
    return lines


def storing(this: str, items: Mapping[str, str]) -> list[str]:
    """Write names and where their values come from into the attributes of a fresh instance.

    Not one by one as attributes, for the class may have its say there: one with conversions has a
    ``__setattr__`` of its own, and storing twelve fields through that takes four times as long. Filling
    the dictionary that the instance has is faster than giving it one, and keeps the memory of the keys
    shared.
    """
    if not items:
        return []
    lines = [f"    __own__ = {this}.__dict__"]
    return lines + [f"    __own__[{name!r}] = {source}" for name, source in items.items()]


def literal(items: Mapping[str, str]) -> str:
    """Write a dictionary of names and of where their values come from."""
    return "{" + ", ".join(f"{name!r}: {source}" for name, source in items.items()) + "}"


def outputs(plan: Plan, source: str) -> dict[str, str]:
    """Return the names under which fields are written, and where their values come from."""
    return {
        field.output_name: source.format(name)
        for name, field in plan.descriptors.items()
        if not field.exclude
    }


def _renaming(
    aliases: Mapping[str, str], names: frozenset[str]
) -> Callable[[dict[str, Any]], None]:
    """Return what gives the keys of decoded data the names of the fields, in place."""
    plain = names - aliases.keys()

    def rename(data: dict[str, Any]) -> None:
        found = {name: data[key] for name, key in aliases.items() if key in data}
        for name, key in aliases.items():
            data.pop(name, None)
            if key not in plain:
                data.pop(key, None)
        data.update(found)

    return rename


def _drop_reserved(cls: type, data: dict[str, Any], fields: frozenset[str]) -> None:
    """Leave out unknown keys that would hide a method or class variable of the instance."""
    for name in data.keys() - fields:
        if not isinstance(name, str) or hasattr(cls, name):
            del data[name]
