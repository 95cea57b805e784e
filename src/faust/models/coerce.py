"""From an annotation to the function that makes a field's value of what came in.

Everything is decided when the class is made. For a field the answer is a function, or None: the
value stays as it is (and the loop over fields never sees it).

Two families of rules meet here. *Expressions* (models, and containers with models, dates, decimals
or types with a handler inside) are converted whatever the options say, also when an instance is
made by hand. *Scalars* stand under options: ``coerce`` converts always, ``isodates`` and
``decimals`` convert what comes from decoded data only.
"""

from __future__ import annotations

import types
import typing
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Union, get_args, get_origin

from faust.serializers.typed import blessed_namespace, is_model, namespaces, revive
from faust.utils.json import str_to_decimal

__all__ = ["Convert", "Rules", "expression", "from_data", "is_optional", "scalar", "strip_optional"]

Convert = Callable[[Any], Any]

_LISTS = (list, abc.Sequence, abc.MutableSequence)
_SETS = (set, frozenset, abc.Set, abc.MutableSet)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)


@dataclass(frozen=True)
class Rules:
    """The options of a model that decide how its fields are converted."""

    coerce: bool
    isodates: bool
    decimals: bool
    polymorphic: bool
    date_parser: Callable[[Any], datetime]
    coercions: Mapping[Any, Convert]


def is_optional(typ: Any) -> bool:
    """Say whether None is one of the values of *typ*."""
    return typ is None or typ is type(None) or (_is_union(typ) and type(None) in get_args(typ))


def strip_optional(typ: Any) -> Any:
    """Return *typ* without None."""
    if not _is_union(typ):
        return typ
    rest = [arg for arg in get_args(typ) if arg is not type(None)]
    return Union[tuple(rest)] if rest else typ  # noqa: UP007 - built at run time


def scalar(typ: Any, rules: Rules) -> Convert | None:
    """Return how ``coerce`` converts a plain scalar; None: *typ* is not one, or has a handler."""
    if not isinstance(typ, type) or _handler(typ, rules) is not None:
        return None
    for base, convert in (
        (bool, bool),
        (int, int),
        (float, float),
        (Decimal, Decimal),
        (str, _to_str),
        (bytes, _to_bytes),
        (datetime, _to_datetime(rules)),
    ):
        if issubclass(typ, base):
            return typing.cast("Convert", convert)
    return None


def from_data(typ: Any, rules: Rules) -> Convert | None:
    """Return how a scalar is converted when it comes from decoded data, without ``coerce``."""
    if not isinstance(typ, type):
        return None
    handler = _handler(typ, rules)
    if handler is not None:
        return handler
    if rules.decimals and issubclass(typ, Decimal):
        return Decimal
    if rules.isodates and issubclass(typ, datetime):
        return _to_datetime(rules)
    return None


def expression(typ: Any, rules: Rules, *, inner: bool = False) -> Convert | None:
    """Return how a value of *typ* is converted by its structure; None: it stays as it is.

    Dates, decimals and types with a handler count only *inner*: inside of something else.
    """
    typ = strip_optional(typ)
    if _is_union(typ):
        return _union(get_args(typ))
    origin = get_origin(typ)
    if origin is not None:
        return _container(origin, get_args(typ), rules)
    if not isinstance(typ, type):
        return None
    if inner:
        known = _handler(typ, rules) or _inner_scalar(typ, rules)
        if known is not None:
            return known
    if is_model(typ):
        return _model(typ, rules)
    if issubclass(typ, tuple) and hasattr(typ, "_fields"):
        return _named_tuple(typ, rules)
    return None


# -- parts


def _handler(typ: type, rules: Rules) -> Convert | None:
    """Return the user's handler of a type, made to leave alone what is not decoded data."""
    for wanted, handler in rules.coercions.items():
        if issubclass(typ, wanted):

            def convert(value: Any, handler: Convert = handler) -> Any:
                if isinstance(value, str | list | dict | int | float | Decimal):
                    return handler(value)
                return value

            return convert
    return None


def _inner_scalar(typ: type, rules: Rules) -> Convert | None:
    if issubclass(typ, datetime):
        parse = rules.date_parser

        def to_datetime(value: Any) -> Any:
            return parse(value) if isinstance(value, str) else value

        return to_datetime
    return _to_decimal if issubclass(typ, Decimal) else None


def _model(typ: Any, rules: Rules) -> Convert:
    if typ.__is_abstract__:
        return revive

    def convert(value: Any) -> Any:
        if rules.polymorphic:
            named = namespaces.get(blessed_namespace(value) or "")
            if named is not None and issubclass(named, typ):
                return named.from_data(value, preferred_type=named)
        return typ.from_data(value, preferred_type=typ)

    return convert


def _union(members: tuple[Any, ...]) -> Convert | None:
    """A union of models is told apart by the blessed key; any other union stays as it is."""
    return revive if all(is_model(member) for member in members) else None


def _container(origin: Any, args: tuple[Any, ...], rules: Rules) -> Convert | None:
    if origin is tuple:
        return _tuple(args, rules)
    parts = [_element(arg, rules) for arg in args]
    if not any(parts):
        return None
    if origin in _LISTS and parts[0]:
        element = parts[0]
        return lambda value: [element(item) for item in value]
    if origin in _SETS and parts[0]:
        member = parts[0]
        return lambda value: {member(item) for item in value}
    if origin in _MAPPINGS:
        key, item = parts[0] or _same, parts[1] or _same
        return lambda value: {key(k): item(v) for k, v in value.items()}
    return None


def _tuple(args: tuple[Any, ...], rules: Rules) -> Convert | None:
    variadic = len(args) == 2 and args[1] is Ellipsis
    parts = [_element(arg, rules) for arg in (args[:1] if variadic else args)]
    if not any(parts):
        return None
    if variadic:
        element = parts[0] or _same
        return lambda value: tuple(element(item) for item in value)
    members = [part or _same for part in parts]
    return lambda value: tuple(part(value[i]) for i, part in enumerate(members))


def _named_tuple(typ: Any, rules: Rules) -> Convert:
    hints = typing.get_type_hints(typ)
    parts = [_element(hints.get(name, Any), rules) or _same for name in typ._fields]

    def convert(value: Any) -> Any:
        if isinstance(value, typ):
            return value
        return typ(*(part(item) for part, item in zip(parts, value, strict=False)))

    return convert


def _element(typ: Any, rules: Rules) -> Convert | None:
    """As `expression`, for what is inside of something else: there None stays None."""
    convert = expression(typ, rules, inner=True)
    if convert is None:
        return None
    return lambda value: None if value is None else convert(value)


def _is_union(typ: Any) -> bool:
    return get_origin(typ) in {Union, types.UnionType}


def _same(value: Any) -> Any:
    return value


def _to_str(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _to_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _to_decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"a decimal inside of a container must be text, not {type(value).__name__} {value!r}"
        )
    return str_to_decimal(value)


def _to_datetime(rules: Rules) -> Convert:
    parse = rules.date_parser

    def convert(value: Any) -> Any:
        return value if value is None or isinstance(value, datetime) else parse(value)

    return convert
