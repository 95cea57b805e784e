"""From a type to the function that makes a value of it, decided once when a class is made.

A *type expression* is a tree. Its leaves are what needs work: models, named tuples, dates,
decimals, and types for which the user has given a handler; its branches are the containers around
them. An expression without such leaves converts nothing, and its function is None, so that the code
that is written out for a class never mentions the field.

The functions say nothing about where a value did not fit: they are made for values that do. Only
when one has failed is the tree walked again (`Node.locate`) for the path, ``[3].price``.
"""

from __future__ import annotations

import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from faust.models.dates import parse_iso8601
from faust.models.misfits import Misfit, path_of
from faust.serializers.typed import blessed_namespace, is_model, namespaces, revive
from faust.utils.json import str_to_decimal

__all__ = [
    "Convert",
    "Node",
    "NodeType",
    "Rules",
    "TypeExpression",
    "expression",
    "handler_of",
    "is_optional",
    "nested_model",
    "related_models",
    "strip_optional",
    "substitute",
]

Convert = Callable[[Any], Any]

_LISTS = (list, abc.Sequence, abc.MutableSequence)
_SETS = (set, frozenset, abc.Set, abc.MutableSet)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)


class NodeType(Enum):
    """What kind of thing a part of a type expression is."""

    ROOT = "ROOT"
    UNION = "UNION"
    ANY = "ANY"
    LITERAL = "LITERAL"
    DATETIME = "DATETIME"
    DECIMAL = "DECIMAL"
    NAMEDTUPLE = "NAMEDTUPLE"
    TUPLE = "TUPLE"
    SET = "SET"
    DICT = "DICT"
    LIST = "LIST"
    MODEL = "MODEL"
    USER = "USER"


@dataclass(frozen=True)
class Rules:
    """The options of a model that decide how types are converted."""

    coercions: Mapping[Any, Convert] = field(default_factory=dict)
    date_parser: Callable[[Any], datetime] = parse_iso8601
    polymorphic: bool = False


Inside = Callable[[Any], Iterable[tuple[str, "Node", Any]]]


@dataclass(frozen=True)
class Node:
    """A part of a type expression.

    Attributes:
        kind: What it is.
        type: The type it stands for.
        convert: Makes a value of it; None: values stay as they are.
        inside: Says, for a value, what is inside: path, node, value.
        parts: The nodes inside, if there are any.
    """

    kind: NodeType
    type: Any
    convert: Convert | None = None
    inside: Inside | None = None
    parts: tuple[Node, ...] = ()

    def locate(self, value: Any) -> Misfit | None:
        """Find the first thing in *value* that cannot be converted; None: everything can."""
        if self.convert is None:
            return None
        if self.inside is not None:
            try:
                for suffix, node, item in self.inside(value):
                    found = None if item is None else node.locate(item)
                    if found is not None:
                        return Misfit(suffix + found.path, found.type, found.value, found.cause)
            except Exception:  # noqa: S110 - it has not the structure; the conversion will say so
                pass
        try:
            self.convert(value)
        except Exception as exc:
            path = path_of(exc)
            return Misfit(f".{path}" if path else "", self.type, value, exc)
        return None


class TypeExpression:
    """A type as something that converts.

    Arguments:
        expr: The type.
        user_types: Handlers of types of one's own: ``{type: from_text}``.
        date_parser: Makes a `datetime` of text.

    Attributes:
        type: The type.
        node: The root of the tree.
    """

    def __init__(
        self,
        expr: Any,
        *,
        user_types: Mapping[Any, Convert] | None = None,
        date_parser: Callable[[Any], datetime] | None = None,
    ) -> None:
        self.type = expr
        rules = Rules(user_types or {}, date_parser or parse_iso8601)
        self.node: Node = expression(expr, rules, inner=True)

    def as_function(self) -> Convert:
        """Return the function that makes a value of the type from decoded data; None stays None."""
        convert = self.node.convert
        return _same if convert is None else _unless_none(convert)

    @property
    def has_models(self) -> bool:
        """Say whether there are models in it."""
        return self._has(NodeType.MODEL)

    @property
    def has_custom_types(self) -> bool:
        """Say whether there are types with a handler in it."""
        return self._has(NodeType.USER)

    def _has(self, kind: NodeType) -> bool:
        waiting = [self.node]
        while waiting:
            node = waiting.pop()
            if node.kind is kind:
                return True
            waiting += node.parts
        return False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.type}>"


# -- types


def is_optional(typ: Any) -> bool:
    """Say whether None is one of the values of *typ*."""
    typ = _unaliased(typ)
    return typ is None or typ is type(None) or (_is_union(typ) and type(None) in get_args(typ))


def strip_optional(typ: Any) -> Any:
    """Return *typ* without None."""
    typ = _unaliased(typ)
    if not _is_union(typ):
        return typ
    rest = [arg for arg in get_args(typ) if arg is not type(None)]
    return Union[tuple(rest)] if rest else typ  # noqa: UP007 - built at run time


def substitute(typ: Any, known: Mapping[Any, Any]) -> Any:
    """Put types in the place of the type variables of *typ*."""
    if isinstance(typ, TypeVar):
        return known.get(typ, typ)
    parameters = getattr(typ, "__parameters__", ())
    if isinstance(typ, type) or not any(parameter in known for parameter in parameters):
        return typ
    return typ[tuple(known.get(parameter, parameter) for parameter in parameters)]


def related_models(typ: Any) -> set[Any]:
    """Return the model classes that are mentioned in *typ*."""
    typ = _unaliased(typ)
    found = {typ} if is_model(typ) else set()
    for part in (get_origin(typ), *get_args(typ)):
        if part is not None and part is not Ellipsis and get_origin(typ) is not Literal:
            found |= related_models(part)
    return found


def nested_model(typ: Any) -> tuple[Any, Any] | None:
    """Return shape (None, list or dict) and model of a type that holds instances of one model."""
    typ = strip_optional(typ)
    if is_model(typ):
        return (None, typ)
    origin, args = get_origin(typ), get_args(typ)
    shape: Any = None
    if origin in _LISTS and len(args) == 1:
        shape = list
    elif origin in _MAPPINGS and args[:1] == (str,):
        shape = dict
    inner = strip_optional(args[-1]) if shape is not None else None
    return (shape, inner) if is_model(inner) else None


def handler_of(typ: Any, rules: Rules) -> Convert | None:
    """Return the user's handler of a type, made to leave alone what is not decoded data."""
    if not isinstance(typ, type):
        return None
    for wanted, handler in rules.coercions.items():
        if issubclass(typ, wanted):

            def convert(value: Any, handler: Convert = handler) -> Any:
                if isinstance(value, str | list | dict | int | float | Decimal):
                    return handler(value)
                return value

            return convert
    return None


def _is_union(typ: Any) -> bool:
    return get_origin(typ) in {Union, types.UnionType}


def _unaliased(typ: Any) -> Any:
    """Return what ``type X = ...`` (Python 3.12) stands for."""
    while type(typ).__name__ == "TypeAliasType":
        typ = typ.__value__
    return typ


# -- nodes


def expression(typ: Any, rules: Rules, *, inner: bool = False) -> Node:
    """Return the tree of *typ*.

    Dates, decimals and types with a handler count only *inner*: inside of something else. As the
    type of a field they are scalars, and stand under the options of the model.
    """
    typ = strip_optional(typ)
    if _is_union(typ):
        return _union(typ)
    origin = get_origin(typ)
    if origin is Literal:
        return Node(NodeType.LITERAL, typ)
    if origin is not None:
        args = get_args(typ)
        return _generic(typ, origin, args, rules) if args else Node(NodeType.ANY, typ)
    if not isinstance(typ, type):
        return Node(NodeType.ANY, typ)
    if inner:
        known = _leaf(typ, rules)
        if known is not None:
            return known
    if is_model(typ):
        return Node(NodeType.MODEL, typ, _model(typ, rules))
    if issubclass(typ, tuple) and hasattr(typ, "_fields"):
        return _named_tuple(typ, rules)
    return Node(NodeType.ANY, typ)


def _leaf(typ: type, rules: Rules) -> Node | None:
    handler = handler_of(typ, rules)
    if handler is not None:
        return Node(NodeType.USER, typ, handler)
    if issubclass(typ, datetime):
        parse = rules.date_parser

        def to_datetime(value: Any) -> Any:
            return parse(value) if isinstance(value, str) else value

        return Node(NodeType.DATETIME, typ, to_datetime)
    return Node(NodeType.DECIMAL, typ, _to_decimal) if issubclass(typ, Decimal) else None


def _model(typ: Any, rules: Rules) -> Convert:
    if typ.__is_abstract__ and not typ._pending:
        return revive
    polymorphic = rules.polymorphic

    def convert(value: Any) -> Any:
        if polymorphic:
            named = namespaces.get(blessed_namespace(value) or "")
            if named is not None and issubclass(named, typ):
                return named.from_data(value, preferred_type=named)
        return typ.from_data(value, preferred_type=typ)

    return convert


def _union(typ: Any) -> Node:
    """A union of models is told apart by the blessed key; any other union stays as it is."""
    models = all(is_model(member) for member in get_args(typ))
    return Node(NodeType.UNION, typ, revive if models else None)


def _generic(typ: Any, origin: Any, args: tuple[Any, ...], rules: Rules) -> Node:
    if is_model(origin):
        return _generic_model(typ, origin, args, rules)
    if origin is tuple:
        return _tuple(typ, args, rules)
    parts = tuple(expression(arg, rules, inner=True) for arg in args)
    if origin in _LISTS:
        return _many(NodeType.LIST, typ, parts, _list_of)
    if origin in _SETS:
        return _many(NodeType.SET, typ, parts, _set_of)
    if origin in _MAPPINGS:
        return _mapping(typ, parts)
    return Node(NodeType.ANY, typ)


def _generic_model(typ: Any, origin: Any, args: tuple[Any, ...], rules: Rules) -> Node:
    """``Box[User]``: a Box, in which what is of the type variable is converted to User."""
    plain = _model(origin, rules)
    known = dict(zip(origin.__parameters__, args, strict=False))
    inner = {}
    for name, declared in origin._options.fields.items():
        wanted = substitute(declared, known)
        node = expression(wanted, rules, inner=True)
        if wanted != declared and node.convert is not None:
            inner[name] = _unless_none(node.convert)

    def convert(value: Any) -> Any:
        made = plain(value)
        own: Any = vars(made)
        for name, convert_inner in inner.items():
            if name in own:
                own[name] = convert_inner(own[name])
        return made

    return Node(NodeType.MODEL, typ, convert)


def _many(
    kind: NodeType, typ: Any, parts: tuple[Node, ...], make: Callable[[Convert], Convert]
) -> Node:
    (element,) = parts
    if element.convert is None:
        return Node(kind, typ, parts=parts)

    def inside(value: Any) -> Iterable[tuple[str, Node, Any]]:
        return ((f"[{index}]", element, item) for index, item in enumerate(value))

    return Node(kind, typ, make(element.convert), inside, parts)


def _list_of(element: Convert) -> Convert:
    return lambda value: [None if item is None else element(item) for item in value]


def _set_of(element: Convert) -> Convert:
    return lambda value: {None if item is None else element(item) for item in value}


def _tuple_of(element: Convert) -> Convert:
    return lambda value: tuple([None if item is None else element(item) for item in value])


def _mapping(typ: Any, parts: tuple[Node, ...]) -> Node:
    if not any(part.convert for part in parts):
        return Node(NodeType.DICT, typ, parts=parts)
    key_node, item_node = parts
    key = _unless_none(key_node.convert or _same)
    item = _unless_none(item_node.convert or _same)

    def inside(value: Any) -> Iterable[tuple[str, Node, Any]]:
        for name, content in value.items():
            yield f"[{name!r}]", key_node, name
            yield f"[{name!r}]", item_node, content

    return Node(
        NodeType.DICT,
        typ,
        lambda value: {key(k): item(v) for k, v in value.items()},
        inside,
        parts,
    )


def _tuple(typ: Any, args: tuple[Any, ...], rules: Rules) -> Node:
    if len(args) == 2 and args[1] is Ellipsis:
        element = expression(args[0], rules, inner=True)
        return _many(NodeType.TUPLE, typ, (element,), _tuple_of)
    parts = tuple(expression(arg, rules, inner=True) for arg in args)
    if not any(part.convert for part in parts):
        return Node(NodeType.TUPLE, typ, parts=parts)
    members = [_unless_none(part.convert or _same) for part in parts]

    def inside(value: Any) -> Iterable[tuple[str, Node, Any]]:
        return ((f"[{index}]", part, value[index]) for index, part in enumerate(parts))

    return Node(
        NodeType.TUPLE,
        typ,
        lambda value: tuple([part(value[index]) for index, part in enumerate(members)]),
        inside,
        parts,
    )


def _named_tuple(typ: Any, rules: Rules) -> Node:
    hints = typing.get_type_hints(typ)
    parts = tuple(expression(hints.get(name, Any), rules, inner=True) for name in typ._fields)
    members = [_unless_none(part.convert or _same) for part in parts]

    def inside(value: Any) -> Iterable[tuple[str, Node, Any]]:
        return (
            (f".{name}", part, item)
            for name, part, item in zip(typ._fields, parts, value, strict=False)
        )

    def convert(value: Any) -> Any:
        if isinstance(value, typ):
            return value
        return typ(*(part(item) for part, item in zip(members, value, strict=False)))

    return Node(NodeType.NAMEDTUPLE, typ, convert, inside, parts)


def _unless_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _same(value: Any) -> Any:
    return value


def _to_decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"a decimal inside of a container must be text, not {type(value).__name__} {value!r}"
        )
    return str_to_decimal(value)
