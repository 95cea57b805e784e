"""From bytes to what a type makes of them: compiled once, then one function call per message.

A *type* is what users give as ``key_type`` or ``value_type``:

* None: what the codec decodes; a JSON object with a blessed key (``{"__faust": {"ns": ...}}``)
  becomes the model registered under that namespace;
* ``int``, ``float``, ``Decimal``, ``str``, ``bytes``: the decoded object, converted;
* a model: anything with ``__is_model__``, or with a classmethod ``from_data``;
* any other type that msgspec understands: dataclasses, ``msgspec.Struct``, ``TypedDict``, named
  tuples, ``list[int]``, unions, enums ... also with models inside.

The models themselves live a floor above. They are known here by a Protocol and by the table of
namespaces into which they write themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, Protocol, TypeGuard

import msgspec

from faust.exceptions import ImproperlyConfigured
from faust.serializers.codecs import Codec, CodecArg, compile_loads, want_bytes
from faust.serializers.codecs import json as json_codec
from faust.utils.json import plain_loads

__all__ = [
    "BLESSED_KEY",
    "Modelled",
    "UnknownNamespace",
    "accepts_null",
    "blessed_namespace",
    "is_model",
    "loader",
    "maybe_model",
    "model_serializer",
    "namespaces",
    "revive",
    "type_name",
]

BLESSED_KEY = "__faust"
"""The key under which a payload names its model."""

Loads = Callable[[bytes], Any]


class Modelled(Protocol):
    """What serializers ask of a model class.

    A class may also have two classmethods. ``_compile_loads(loads)`` returns a function from bytes
    to an instance that does what ``from_data(loads(data), preferred_type=cls)`` does, and may keep
    the decoded dictionary, because it is nobody else's. ``_compile_dumps(dumps)`` returns a
    function from an instance to bytes, or None when only the method ``dumps`` will do.
    """

    __is_model__: ClassVar[bool]
    _options: ClassVar[Any]

    @classmethod
    def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
        """Build an instance from decoded data."""
        ...

    def dumps(self, *, serializer: CodecArg = None) -> Any:
        """Encode this instance."""
        ...


namespaces: dict[str, type[Modelled]] = {}
"""Every model that is not abstract, by the namespace under which it travels."""


class UnknownNamespace(KeyError):
    """A payload names a model that is not registered in this process; the argument is the name."""

    def __str__(self) -> str:
        return (
            f"the payload is a model of namespace {self.args[0]!r}, and no such model is known "
            "here; import the module that defines it, or give the topic a value_type"
        )


def blessed_namespace(data: Any) -> str | None:
    """Return the namespace that decoded *data* carries; None when it carries none. Never raises."""
    if type(data) is dict or isinstance(data, Mapping):
        blessed = data.get(BLESSED_KEY)
        if type(blessed) is dict or isinstance(blessed, Mapping):
            namespace = blessed.get("ns")
            if isinstance(namespace, str):
                return namespace
    return None


def revive(data: Any) -> Any:
    """Turn *data* into the model it names; without a name it is returned unchanged.

    Raises:
        UnknownNamespace: (a `KeyError`) the model it names is not registered.
    """
    namespace = blessed_namespace(data)
    if namespace is None:
        return data
    try:
        model = namespaces[namespace]
    except KeyError:
        raise UnknownNamespace(namespace) from None
    return model.from_data(data)


def maybe_model(data: Any) -> Any:
    """Turn *data* into the model it names if that is known; else return it unchanged."""
    namespace = blessed_namespace(data)
    model = None if namespace is None else namespaces.get(namespace)
    return data if model is None else model.from_data(data)


def is_model(typ: Any) -> TypeGuard[type[Modelled]]:
    """Say whether *typ* is a model class."""
    return isinstance(typ, type) and bool(getattr(typ, "__is_model__", False))


def model_serializer(typ: Any) -> CodecArg:
    """Return the serializer that a model class declares; None for anything else."""
    serializer: CodecArg = typ._options.serializer if is_model(typ) else None
    return serializer


def type_name(typ: Any) -> str:
    """Return how to name *typ* in a message."""
    return typ.__qualname__ if isinstance(typ, type) else str(typ)


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
    if typ is None or typ in _SCALARS:
        return True
    if _builder(typ) is not None:
        return False
    try:
        msgspec.convert(None, typ, dec_hook=_decode_inner)
    except Exception:
        return False
    return True


_SCALARS = (int, float, Decimal, str, bytes)


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
    build = _builder(typ)
    if build is not None:
        return _then(loads, build)
    return _by_msgspec(typ, codec, loads)


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


def _builder(typ: Any) -> Callable[[Any], Any] | None:
    """Return how a model-like class is built from decoded data; None when it is not model-like."""
    from_data = getattr(typ, "from_data", None) if isinstance(typ, type) else None
    if from_data is None:
        return None

    def build(obj: Any) -> Any:
        return from_data(obj, preferred_type=typ)

    return build


def _by_msgspec(typ: Any, codec: Codec | None, loads: Loads) -> Loads:
    try:
        info = msgspec.inspect.type_info(typ)
        if isinstance(info, msgspec.inspect.CustomType):
            raise TypeError("it is none of the types that can be built from data")
        if codec is not None and type(codec) is json_codec and not codec.children:
            return msgspec.json.Decoder(typ, dec_hook=_decode_inner).decode
        convert = _converter(typ)
    except Exception as exc:
        raise ImproperlyConfigured(
            f"messages cannot be decoded to the type {type_name(typ)}: {exc}. Use a faust.Record, "
            "a dataclass, a msgspec.Struct, a TypedDict, or plain types such as list[int]"
        ) from exc
    return _then(loads, convert)


def _converter(typ: Any) -> Callable[[Any], Any]:
    def convert(obj: Any) -> Any:
        return msgspec.convert(obj, typ, dec_hook=_decode_inner)

    return convert


def _decode_inner(typ: Any, obj: Any) -> Any:
    """Build a model, or whatever has ``from_data``, inside of a type that msgspec decodes."""
    build = _builder(typ)
    if build is None:
        raise TypeError(f"nothing is known about how to build a {type_name(typ)} from data")
    return build(obj)


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
