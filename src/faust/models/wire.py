"""The short ways between JSON and records, whole trees at a time.

*Reading.* For a class there is a *shadow*: a ``msgspec.Struct`` with the same fields (and shadows for
the records inside of it), which msgspec fills straight from the bytes. What it accepts is exactly
what needs no thought: every required field there, no key unknown, every blessed key the expected one.
From the shadow the records are made without another look. Everything else, be it valid or not, takes
the long way over dictionaries, which is the one that says what is wrong (`Record.from_data`). Where
most messages need the long way (a newer program writes to the topic, with one more field), it is
taken at once.

*Writing.* orjson would call back for every record that it meets inside of another. Instead the whole
tree of plain dictionaries is made first; only what is no instance of the declared class is left to
orjson.

Integers beyond 64 bits stay exact on both ways; the untyped JSON door makes floats of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from faust.models.generated import write_function
from faust.models.plan import Plan
from faust.models.typing import nested_model
from faust.models.writing import ending, literal, outputs, storing
from faust.serializers.typed import BLESSED_KEY
from faust.utils.json import plain_loads

__all__ = ["compile_loads", "exact_loads", "written_representation"]

Build = Callable[[Any], Any]

_PATIENCE = 32
"""After so many messages in a row that needed the long way it is taken at once ..."""
_PAUSE = 10_000
"""... for so many, before the short way is tried again."""


# -- writing


def written_representation(plan: Plan, *, own_init: bool) -> Callable[[Any], dict[str, Any]]:
    """Write what makes plain dictionaries of an instance and of the records inside of it."""
    scope: dict[str, Any] = {"__blessed__": plan.cls._blessed}
    lines = ["def _model_represent(self):", "    own = self.__dict__"]
    source = "self.{}" if own_init else "own[{!r}]"
    items = outputs(plan, source)
    for number, (name, field) in enumerate(plan.descriptors.items()):
        nested = nested_model(field.type)
        if nested is None or field.exclude:
            continue
        shape, model = nested
        scope[f"__model{number}__"] = model
        value = f"v{number}"
        lines.append(f"    {value} = {source.format(name)}")
        if shape is None:
            lines += [
                f"    if type({value}) is __model{number}__:",
                f"        {value} = {value}._model_represent()",
            ]
        elif shape is list:
            each = f"x._model_represent() if type(x) is __model{number}__ else x"
            lines += [
                f"    if type({value}) is list:",
                f"        {value} = [{each} for x in {value}]",
            ]
        else:
            each = f"x._model_represent() if type(x) is __model{number}__ else x"
            lines += [
                f"    if type({value}) is dict:",
                f"        {value} = {{k: {each} for k, x in {value}.items()}}",
            ]
        items[field.output_name] = value
    if plan.cls._blessed is not None:
        items[BLESSED_KEY] = "__blessed__"
    lines.append(f"    return {literal(items)}")
    return write_function(plan.cls, "_model_represent", lines, scope)


# -- reading


def exact_loads(data: bytes) -> Any:
    """Decode JSON as the short way does; what is not JSON raises what `plain_loads` raises."""
    try:
        return msgspec.json.decode(data)
    except Exception:
        return plain_loads(data)


def compile_loads(cls: Any, slow: Build) -> Build:
    """Return a function from JSON to an instance of *cls*; *slow* makes one of a dictionary."""
    made = _shadow(cls, ())
    if made is None:
        return lambda data: slow(exact_loads(data))
    shadow, build = made
    decode = msgspec.json.Decoder(shadow).decode
    misses = pause = 0

    def load(data: bytes) -> Any:
        nonlocal misses, pause
        if pause:
            pause -= 1
            return slow(exact_loads(data))
        try:
            instance = build(decode(data))
        except Exception:
            misses += 1
            if misses == _PATIENCE:
                misses, pause = _PATIENCE - 1, _PAUSE
            return slow(exact_loads(data))
        misses = 0
        return instance

    return load


def _shadow(cls: Any, around: tuple[Any, ...]) -> tuple[type[msgspec.Struct], Build] | None:
    """Make the shadow of a class, and what makes an instance of it; None: only the long way will do.

    *around*: the classes in whose shadows this one will be; recursion ends there.
    """
    if not cls._is_plain_to_read or cls in around:
        return None
    plan: Plan = cls._plan
    blessed = msgspec.defstruct("Blessed", [("ns", Literal[cls._options.namespace])], gc=False)
    blessing = msgspec.field(name=BLESSED_KEY, default=None)
    fields: list[Any] = []
    scope: dict[str, Any] = {"__cls__": cls, "__new__": cls.__new__}
    lines = ["def _from_shadow(shadow):"]
    items: dict[str, str] = {}
    for number, (name, field) in enumerate(plan.descriptors.items()):
        typ, more = _field_lines(plan, number, name, (*around, cls), scope)
        lines += more
        items[name] = f"v{number}" if more else f"shadow.f{number}"
        default = {"default": None} if name in plan.defaults else {}
        fields.append((f"f{number}", typ, msgspec.field(name=field.input_name, **default)))
    fields.append(("blessed", blessed | None, blessing))
    shadow = msgspec.defstruct(
        cls.__name__, fields, kw_only=True, forbid_unknown_fields=True, gc=False
    )
    lines += ["    self = __new__(__cls__)", *storing("self", items)]
    lines += [*ending(plan, "self"), "    return self"]
    return shadow, write_function(cls, "_from_shadow", lines, scope)


def _field_lines(
    plan: Plan, number: int, name: str, around: tuple[Any, ...], scope: dict[str, Any]
) -> tuple[Any, list[str]]:
    """Return the type of a field in the shadow, and the lines that make its value of that."""
    value, convert = f"v{number}", plan.conversions[name].by_data
    default = plan.defaults.get(name)
    if convert is None and default is None:
        return Any, []
    scope[f"__default{number}__"] = default
    scope[f"__convert{number}__"] = convert
    lines = [f"    {value} = shadow.f{number}"]
    inner = None if convert is None else _inner_shadow(plan.descriptors[name], around)
    if inner is not None:
        typ, scope[f"__build{number}__"], template = inner
        instead = "None" if default is None else f"__convert{number}__(__default{number}__)"
        made = template.format(value=value, build=f"__build{number}__")
        return typ, [*lines, f"    {value} = {instead} if {value} is None else {made}"]
    if default is not None:
        lines += [f"    if {value} is None:", f"        {value} = __default{number}__"]
    if convert is not None:
        lines.append(f"    {value} = __convert{number}__({value})")
    return Any, lines


def _inner_shadow(field: Any, around: tuple[Any, ...]) -> tuple[Any, Build, str] | None:
    """Return type, builder, and how it is called, of a field of records that need no thought."""
    nested = nested_model(field.type)
    if nested is None or not field.is_plain or field.model._options.polymorphic_fields:
        return None
    shape, model = nested
    made = _shadow(model, around)
    if made is None:
        return None
    shadow, build = made
    element: Any = shadow | None
    if shape is None:
        return element, build, "{build}({value})"
    if shape is list:
        return (
            list[element] | None,
            build,
            "[None if x is None else {build}(x) for x in {value}]",
        )
    return (
        dict[str, element] | None,
        build,
        "{{k: None if x is None else {build}(x) for k, x in {value}.items()}}",
    )
