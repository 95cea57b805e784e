"""Types of other libraries: dataclasses, ``msgspec.Struct``, ``TypedDict``, pydantic models and the rest.

Pydantic decodes and encodes its own models and dataclasses; msgspec does everything else: dataclasses,
attrs classes, ``msgspec.Struct``, ``TypedDict``, named tuples, enums, unions, ``list[int]``, ``UUID`` ...
Both read the bytes of a chain that begins with JSON directly, without a tree of plain objects between.

*Writing.* What has declared types is written so that the same types read it: bytes as Base64 and
durations as ISO 8601 (msgspec's forms), where untyped JSON would write a Python repr or nothing at all.
Everything that untyped JSON writes the same way is left to it, so that typed and untyped writers of
one key agree on its bytes.

*Codecs that do not begin with JSON* (``yaml``, ``pickle``, one's own) get and give plain objects:
mappings, lists, text, numbers.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

from faust.exceptions import ImproperlyConfigured
from faust.serializers.codecs import Codec, binary, compile_loads, gzip, raw, zstd
from faust.serializers.codecs import json as json_codec
from faust.serializers.typed import builder_of, type_name
from faust.utils import json

__all__ = ["converter", "encoder", "is_pydantic", "loader"]

Loads = Callable[[bytes], Any]

_OF_BYTES = (raw, binary, gzip, zstd)
"""Codecs that give bytes: what a type reads of them is text."""

_JSON_KEYS = (
    inspect.StrType,
    inspect.IntType,
    inspect.FloatType,
    inspect.BoolType,
    inspect.NoneType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.TimeType,
    inspect.UUIDType,
    inspect.EnumType,
    inspect.LiteralType,
    inspect.AnyType,
    inspect.UnionType,
)
"""Types of keys that untyped JSON writes as msgspec does."""


def is_pydantic(typ: Any) -> bool:
    """Say whether *typ* is a model or dataclass of pydantic 2. Does not import pydantic."""
    return isinstance(typ, type) and "__pydantic_validator__" in vars(typ)


# -- reading


def loader(typ: Any, codec: Codec | None) -> Loads:
    """Compile the function from bytes to a *typ*; it may raise anything.

    Raises:
        ImproperlyConfigured: neither pydantic nor msgspec knows how to build one.
    """
    convert = converter(typ)
    if codec is None:
        return convert
    first, *rest = codec.nodes
    if type(first) is not json_codec:
        loads = compile_loads(codec)
        return lambda data: convert(loads(data))
    read = _json_reader(typ)
    if not rest:
        return read
    unpack = rest[0].clone(*rest[1:]).loads
    return lambda data: read(unpack(data))


def _json_reader(typ: Any) -> Loads:
    if is_pydantic(typ):
        read: Loads = _adapter(typ).validate_json
        return read
    return msgspec.json.Decoder(typ, dec_hook=_build_inner).decode


def converter(typ: Any) -> Callable[[Any], Any]:
    """Compile the function from plain objects (bytes count as text) to a *typ*.

    Raises:
        ImproperlyConfigured: neither pydantic nor msgspec knows how to build one.
    """
    if is_pydantic(typ):
        read = _adapter(typ).validate_python

        def build(obj: Any) -> Any:
            return read(obj.decode() if isinstance(obj, bytes) else obj)

        return build
    _check(typ)

    def convert(obj: Any) -> Any:
        if type(obj) is bytes:  # text has no types: let it be what is asked for
            return msgspec.convert(obj.decode(), typ, strict=False, dec_hook=_build_inner)
        return msgspec.convert(obj, typ, str_keys=True, dec_hook=_build_inner)

    return convert


def _build_inner(typ: Any, obj: Any) -> Any:
    """Build what msgspec does not know, inside of a type that it does."""
    build = _inner_builder(typ)
    if build is None:
        raise TypeError(f"nothing is known about how to build a {type_name(typ)} from data")
    return build(obj)


@lru_cache(maxsize=1024)
def _inner_builder(typ: Any) -> Callable[[Any], Any] | None:
    if is_pydantic(typ):
        build: Callable[[Any], Any] = _adapter(typ).validate_python
        return build
    return builder_of(typ)


def _check(typ: Any) -> None:
    """Raise `ImproperlyConfigured` where a *typ*, or a part of it, could never be built."""
    try:
        unknown = [
            part.cls
            for part in _parts(typ)
            if isinstance(part, inspect.CustomType) and _inner_builder(part.cls) is None
        ]
        if not unknown:
            msgspec.json.Decoder(typ, dec_hook=_build_inner)
            return
        reason: Any = f"nothing is known about how to build a {type_name(unknown[0])} from data"
        cause = None
    except Exception as exc:
        reason = cause = exc
    raise ImproperlyConfigured(
        f"messages cannot be decoded to the type {type_name(typ)}: {reason}. Use a faust.Record, a "
        "dataclass, a msgspec.Struct, a TypedDict, a pydantic model, or plain types such as list[int]"
    ) from cause


@lru_cache(maxsize=1024)
def _adapter(typ: Any) -> Any:
    """Return pydantic's way to read and write a *typ*; pydantic is there, or *typ* would not be."""
    return sys.modules["pydantic"].TypeAdapter(typ)


# -- writing


def encoder(cls: type, typ: Any, codec: Codec | None) -> Callable[[Any], Any] | None:
    """Compile what encodes instances of *cls* where the declared type is *typ* (None: not declared).

    Returns None where the codec itself does right.
    """
    if codec is None:
        return None
    first, *rest = codec.nodes
    if type(first) in _OF_BYTES:
        return None
    to_json, to_objects = _ways_out(cls, typ)
    if type(first) is json_codec:
        if to_json is None or not rest:
            return to_json
        write, pack = to_json, rest[0].clone(*rest[1:]).dumps
        return lambda obj: pack(write(obj))
    if to_objects is None:
        return None
    plain, dumps = to_objects, codec.dumps
    return lambda obj: dumps(plain(obj))


Way = Callable[[Any], Any] | None


def _ways_out(cls: type, typ: Any) -> tuple[Way, Way]:
    """Return how an object becomes JSON, and plain objects; None: as anything untyped does."""
    declared = typ is not None
    if is_pydantic(cls):
        adapter = _adapter(cls)

        def to_json(obj: Any) -> Any:
            return adapter.dump_json(obj, by_alias=True)

        def to_objects(obj: Any) -> Any:
            return adapter.dump_python(obj, mode="json", by_alias=True)

        return to_json, to_objects if declared else None
    plain = _to_builtins if declared else None
    if issubclass(cls, msgspec.Struct) or (declared and _has_forms_of_its_own(typ)):
        return msgspec.json.Encoder(enc_hook=json.struct_default).encode, plain
    return None, plain


def _to_builtins(obj: Any) -> Any:
    return msgspec.to_builtins(obj, str_keys=True, enc_hook=json.plain_default)


def _has_forms_of_its_own(typ: Any) -> bool:
    """Say whether untyped JSON would write a *typ* so that the type could not be read back."""
    try:
        return any(map(_is_special, _parts(typ)))
    except TypeError:  # a type that cannot be hashed, or that msgspec does not know
        return False


def _is_special(part: inspect.Type) -> bool:
    match part:
        case (
            inspect.BytesType()
            | inspect.ByteArrayType()
            | inspect.MemoryViewType()
            | inspect.TimeDeltaType()
        ):
            return True
        case inspect.DictType():
            return not isinstance(part.key_type, _JSON_KEYS)
        case inspect.DataclassType():
            # attrs classes are none, and fields with an underscore are left out by orjson
            private = any(field.name.startswith("_") for field in part.fields)
            return private or not dataclasses.is_dataclass(part.cls)
        case _:
            return False


@lru_cache(maxsize=1024)
def _known_parts(typ: Any) -> tuple[inspect.Type, ...]:
    found: dict[int, inspect.Type] = {}
    waiting: list[Any] = [inspect.type_info(typ)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, inspect.Type) and id(part) not in found:
            found[id(part)] = part
            waiting.extend(_inner_parts(part))
    return tuple(found.values())


def _parts(typ: Any) -> tuple[inspect.Type, ...]:
    """Return what *typ* is made of, itself included, each once."""
    try:
        return _known_parts(typ)
    except TypeError:
        return _known_parts.__wrapped__(typ)


def _inner_parts(part: inspect.Type) -> Iterator[Any]:
    for name in ("key_type", "value_type", "item_type"):
        yield getattr(part, name, None)
    for name in ("item_types", "types"):
        yield from getattr(part, name, ())
    for field in getattr(part, "fields", ()):
        yield field.type
