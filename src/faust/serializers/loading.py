"""From bytes to what a type makes of them: compiled once, then one function call per message.

A *type* is what users give as ``key_type`` or ``value_type``:

* None: what the codec decodes; a JSON object with a blessed key (``{"__faust": {"ns": ...}}``)
  becomes the model registered under that namespace;
* ``int``, ``float``, ``Decimal``, ``str``, ``bytes``: the decoded object, converted;
* a model: anything with ``__is_model__``, or with a classmethod ``from_data``;
* any other type that msgspec or pydantic understands, see `faust.serializers.foreign`; also with
  models inside.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from faust.serializers import foreign
from faust.serializers.codecs import Codec, compile_loads, want_bytes
from faust.serializers.typed import BLESSED_KEY, builder_of, is_model, revive
from faust.utils.json import plain_loads

__all__ = ["accepts_null", "is_foreign", "loader"]

Loads = Callable[[bytes], Any]

_SCALARS = (int, float, Decimal, str, bytes)


def is_foreign(typ: Any) -> bool:
    """Say whether *typ* is neither None, nor a plain scalar, nor a model."""
    return typ is not None and typ not in _SCALARS and builder_of(typ) is None


def loader(typ: Any, codec: Codec | None) -> Loads:
    """Compile the function from bytes (never None) to an object of *typ*; it may raise anything.

    Raises:
        ImproperlyConfigured: nothing is known about how to build a *typ*.
    """
    try:
        return _loader(typ, codec)
    except TypeError:
        if _hashable(typ):
            raise
        return _compile(typ, codec)


def accepts_null(typ: Any) -> bool:
    """Say whether a message without key or value is a *typ*: no where the type has no None.

    The plain scalars get None all the same, as they always did.
    """
    if not is_foreign(typ):
        return typ is None or typ in _SCALARS
    try:
        foreign.converter(typ)(None)
    except Exception:
        return False
    return True


def _compile(typ: Any, codec: Codec | None) -> Loads:
    loads: Loads = want_bytes if codec is None else compile_loads(codec)
    if typ is None:
        return loads if loads is want_bytes else _untyped(loads)
    if typ in _SCALARS:
        return _scalar(typ, loads)
    fused = getattr(typ, "_compile_loads", None) if is_model(typ) else None
    if fused is not None:
        compiled: Loads = fused(loads)
        return compiled
    build = builder_of(typ)
    return foreign.loader(typ, codec) if build is None else _then(loads, build)


_loader = lru_cache(maxsize=1024)(_compile)


def _untyped(loads: Loads) -> Loads:
    def load(data: bytes) -> Any:
        obj = loads(data)
        if type(obj) is dict and BLESSED_KEY in obj:
            return revive(obj)
        return obj

    return load


def _scalar(typ: Any, loads: Loads) -> Loads:
    """Convert to a plain scalar; str and bytes leave alone what is neither text nor bytes."""
    if loads is want_bytes:
        known: dict[Any, Loads] = {bytes: want_bytes, str: _want_str, int: int, float: float}
        if typ in known:
            return known[typ]
    if typ is str:
        return loads if loads is plain_loads else _then(loads, _want_str)
    if typ is bytes:
        return _then(loads, want_bytes)
    if typ is Decimal:
        return _then(loads, _decimal)
    return _then(loads, typ)


def _then(loads: Loads, convert: Callable[[Any], Any]) -> Loads:
    def load(data: bytes) -> Any:
        return convert(loads(data))

    return load


def _want_str(obj: Any) -> Any:
    return obj.decode() if isinstance(obj, bytes) else obj


def _decimal(obj: Any) -> Decimal:
    return Decimal(_want_str(obj))


def _hashable(typ: Any) -> bool:
    try:
        hash(typ)
    except TypeError:
        return False
    return True
