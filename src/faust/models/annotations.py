"""What a class body says about its fields, with every name resolved.

Annotations come in three kinds: evaluated, as text (``from __future__ import annotations``, PEP 563),
and deferred (Python 3.14, PEP 649). Text is looked up in the module that defines the class; of the
names in functions only the class itself and its type parameters are known.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar

from faust.models.typing import substitute

__all__ = ["annotations_of", "type_arguments"]

_BARE: Mapping[Any, Any] = {
    list: typing.List,  # noqa: UP006 - how a bare annotation is recorded
    dict: typing.Dict,  # noqa: UP006
    set: typing.Set,  # noqa: UP006
    frozenset: typing.FrozenSet,  # noqa: UP006
    tuple: typing.Tuple,  # noqa: UP006
}


def annotations_of(cls: type) -> dict[str, Any]:
    """Return the annotations of the body of *cls*, resolved; class variables are left out.

    Raises:
        NameError: an annotation names something that its module does not know.
    """
    if sys.version_info >= (3, 14):
        import annotationlib

        found = annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    else:
        found = vars(cls).get("__annotations__", {})
    if not found:
        return {}
    known = {cls.__name__: cls}
    known |= {parameter.__name__: parameter for parameter in getattr(cls, "__type_params__", ())}
    body = types.new_class("_", exec_body=lambda ns: ns.update(__annotations__=dict(found)))
    module = sys.modules.get(cls.__module__)
    try:
        hints = typing.get_type_hints(body, vars(module) if module else {}, known)
    except NameError as exc:
        raise NameError(
            f"{cls.__qualname__}: {exc}; annotations are looked up in the module {cls.__module__}, "
            "so what they name must be defined there, above this class, and not inside a function "
            "(with lazy_creation=True it may stand below: call make_final() there)",
            name=exc.name,
        ) from exc
    return {
        name: _BARE.get(hints[name], hints[name]) if _hashable(hints[name]) else hints[name]
        for name in found
        if hints[name] is not ClassVar and typing.get_origin(hints[name]) is not ClassVar
    }


def type_arguments(cls: type) -> dict[type, dict[Any, Any]]:
    """Return what the type variables of every generic base of *cls* stand for.

    For ``class Crate(Box[Apple])`` that is ``{Box: {T: Apple}}``.
    """
    known: dict[type, dict[Any, Any]] = {}
    for user in cls.__mro__:
        mine = known.get(user, {})
        for alias in vars(user).get("__orig_bases__", ()):
            base = typing.get_origin(alias)
            parameters = getattr(base, "__parameters__", ())
            if isinstance(base, type) and base is not typing.Generic and parameters:
                args = [substitute(arg, mine) for arg in typing.get_args(alias)]
                known.setdefault(base, dict(zip(parameters, args, strict=False)))
    return known


def _hashable(typ: Any) -> bool:
    try:
        hash(typ)
    except TypeError:
        return False
    return True
