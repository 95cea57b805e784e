"""The registry: how keys and values of this application become bytes and come back.

It holds the application's default codecs and joins codec and type. Whoever handles many messages
asks once for a function (`Registry.compile_loads`, `Registry.compile_dumps`) and calls that; the
documented methods (`loads_key` ...) do the same in one go.

Reading: an argument beats the application's default. Writing: the serializer of a model comes
first, then the argument, then the default. Bytes are never encoded again, whatever the codec.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, TypeVar, cast

from faust.exceptions import DecodeError, KeyDecodeError, ValidationError, ValueDecodeError
from faust.serializers.codecs import (
    Codec,
    CodecArg,
    codecs,
    compile_dumps,
    get_codec,
    raw,
    warn_if_unsafe,
)
from faust.serializers.faults import described, fault_of
from faust.serializers.foreign import encoder
from faust.serializers.loading import accepts_null, is_foreign, loader
from faust.serializers.typed import is_model, is_stock_model, model_serializer, type_name
from faust.utils.json import dumps as json_dumps

__all__ = ["Registry", "decode_error", "null_error"]

Loads = Callable[[bytes | None], Any]
Dumps = Callable[[Any], bytes | None]
F = TypeVar("F")

_NUMBERS = (int, float, Decimal)


class Registry:
    """Serializers by name and by type.

    Arguments:
        key_serializer: Codec of keys where nothing else is said; None: leave them as they are.
        value_serializer: The same for values.
    """

    def __init__(
        self, key_serializer: CodecArg = None, value_serializer: CodecArg = "json"
    ) -> None:
        warn_if_unsafe(key_serializer, "the default of keys")
        warn_if_unsafe(value_serializer, "the default of values")
        self.key_serializer = key_serializer
        self.value_serializer = value_serializer
        self._loads: dict[Any, Loads] = {}
        self._dumps: dict[Any, Dumps] = {}
        self._revision = codecs.revision

    # -- one message

    def loads_key(self, typ: Any, key: bytes | None, *, serializer: CodecArg = None) -> Any:
        """Decode a key.

        Raises:
            KeyDecodeError: it is not what *typ* and *serializer* expect; the cause is attached.
        """
        return self.compile_loads(typ, serializer, key=True)(key)

    def loads_value(self, typ: Any, value: bytes | None, *, serializer: CodecArg = None) -> Any:
        """Decode a value.

        Raises:
            ValueDecodeError: it is not what *typ* and *serializer* expect; the cause is attached.
        """
        return self.compile_loads(typ, serializer)(value)

    def dumps_key(
        self, typ: Any, key: Any, *, serializer: CodecArg = None, skip: tuple[type, ...] = (bytes,)
    ) -> bytes | None:
        """Encode a key; None and instances of *skip* are returned as they are.

        Raises:
            TypeError: the serializer cannot make bytes of it.
        """
        if isinstance(key, skip):
            return cast("bytes | None", key)
        return self.compile_dumps(typ, serializer, key=True)(key)

    def dumps_value(
        self,
        typ: Any,
        value: Any,
        *,
        serializer: CodecArg = None,
        skip: tuple[type, ...] = (bytes,),
    ) -> bytes | None:
        """Encode a value; instances of *skip* are returned as they are.

        None is encoded like anything else: JSON writes ``null``, and only ``raw`` a tombstone.

        Raises:
            TypeError: the serializer cannot make bytes of it.
        """
        if isinstance(value, skip):
            return cast("bytes | None", value)
        return self.compile_dumps(typ, serializer)(value)

    # -- many messages

    def codec(self, typ: Any, serializer: CodecArg = None, *, key: bool = False) -> Codec | None:
        """Return the codec that is used for keys or values of *typ*; None: none at all.

        Types of other libraries (dataclasses, ``msgspec.Struct``, ``UUID`` ...), and models without a
        serializer, are JSON where the application's default is ``raw``, which could not write them.

        Raises:
            UnknownCodec: (a `KeyError`) there is no codec of that name.
            ImproperlyConfigured: there is, and it lacks what it needs.
        """
        wanted = serializer or (self.key_serializer if key else self.value_serializer)
        if not wanted:
            return get_codec("raw") if typ in (str, bytes) else None
        codec = get_codec(wanted)
        if not serializer and type(codec) is raw:
            unwritable = is_foreign(typ) or (is_stock_model(typ) and not codec.children)
            codec = get_codec("json") if unwritable else codec
        for node in codec.nodes:
            node.check()
        return codec

    def compile_loads(self, typ: Any, serializer: CodecArg = None, *, key: bool = False) -> Loads:
        """Return the function that `loads_value` (or `loads_key`, if *key*) is for these arguments.

        Raises:
            UnknownCodec: (a `KeyError`) there is no codec of that name.
            ImproperlyConfigured: nothing is known about how to build a *typ*.
        """
        default = self.key_serializer if key else self.value_serializer
        if self._revision != codecs.revision:
            self._forget()
        try:
            return self._loads[typ, serializer, default, key]
        except (KeyError, TypeError):  # not compiled yet, or a type that cannot be hashed
            codec = self.codec(typ, serializer, key=key)
            compiled = _compile_loads(typ, codec, KeyDecodeError if key else ValueDecodeError)
        return _keep(self._loads, (typ, serializer, default, key), compiled)

    def compile_dumps(self, typ: Any, serializer: CodecArg = None, *, key: bool = False) -> Dumps:
        """Return the function that `dumps_value` (or `dumps_key`, if *key*) is for these arguments.

        Raises:
            UnknownCodec: (a `KeyError`) there is no codec of that name.
        """
        default = self.key_serializer if key else self.value_serializer
        if self._revision != codecs.revision:
            self._forget()
        try:
            return self._dumps[typ, serializer, default, key]
        except (KeyError, TypeError):
            declared = typ if is_foreign(typ) else None
            codec = self.codec(typ, serializer, key=key)
            raw_by_default = not serializer and _is_plain_raw(get_codec(default or "json"))
            if raw_by_default and (typ in _NUMBERS or is_stock_model(typ)):
                encoders: _Encoders = _RawEncoders(get_codec("raw"), typ, key=key)
            else:
                encoders = _Encoders(codec, declared, key=key)
        return _keep(self._dumps, (typ, serializer, default, key), encoders.dumps)

    def _forget(self) -> None:
        """Drop what was compiled: a codec was added or replaced."""
        self._loads.clear()
        self._dumps.clear()
        self._revision = codecs.revision

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: key_serializer={self.key_serializer!r} "
            f"value_serializer={self.value_serializer!r}>"
        )


def decode_error(
    kind: type[DecodeError],
    typ: Any,
    codec: Codec | None,
    exc: Exception,
    payload: Any,
    **where: Any,
) -> DecodeError:
    """Say that *payload* could not be decoded by *codec* to *typ*, and why.

    *where* are topic, partition and offset, as far as they are known. Where the reason is a
    `ValidationError` it learns all of it, too.
    """
    fault = fault_of(exc, typ, codec, payload)
    known = payload if isinstance(payload, bytes) else None
    error = kind(described(typ, fault), type=typ, payload=known, field_path=fault.path, **where)
    if isinstance(exc, ValidationError):
        for name in ("topic", "partition", "offset", "type", "payload", "field_path"):
            setattr(exc, name, getattr(error, name))
    return error


def null_error(kind: type[DecodeError], typ: Any, **where: Any) -> DecodeError:
    """Say that a message has nothing where a *typ* should be."""
    hint = "" if kind is KeyDecodeError else "; topics whose values may be null need allow_empty"
    words = f"it is null, and {type_name(typ)} was expected{hint}"
    return kind(words, type=typ, **where)


def _compile_loads(typ: Any, codec: Codec | None, kind: type[DecodeError]) -> Loads:
    load = loader(typ, codec)
    null = accepts_null(typ)

    def loads(data: bytes | None) -> Any:
        if data is None:
            if null:
                return None
            raise null_error(kind, typ)
        try:
            return load(data)
        except MemoryError:
            raise
        except Exception as exc:
            raise decode_error(kind, typ, codec, exc, data) from exc

    return loads


class _Encoders(dict[type, Callable[[Any], "bytes | None"]]):
    """How to encode, by the class of what is to be encoded; filled in as classes are met."""

    def __init__(self, codec: Codec | None, typ: Any = None, *, key: bool) -> None:
        super().__init__()
        self.codec = codec
        self.type = typ
        self.key = key

    def dumps(self, obj: Any) -> bytes | None:
        return self[type(obj)](obj)

    def __missing__(self, cls: type) -> Callable[[Any], bytes | None]:
        encode = self._choose(cls)
        self[cls] = encode
        return encode

    def _choose(self, cls: type) -> Callable[[Any], bytes | None]:
        if issubclass(cls, bytes) or (self.key and cls is type(None)):
            return _untouched
        if is_model(cls):
            return self._model(cls)
        by_type = encoder(cls, self.type, self.codec)
        if by_type is not None:
            return self._checked(by_type)
        if self.codec is None:
            return self._checked(_untouched)
        if type(self.codec) is raw and cls is str and not self.codec.children:
            return str.encode
        encode = compile_dumps(self.codec)
        return encode if encode is json_dumps else self._checked(encode)

    def _model(self, cls: type) -> Callable[[Any], bytes | None]:
        serializer = model_serializer(cls) or self.codec
        compiled = getattr(cls, "_compile_dumps", None)
        if serializer is not None and compiled is not None:
            encode_by = compiled(compile_dumps(get_codec(serializer)))
            if encode_by is not None:
                return self._checked(encode_by)

        def encode(model: Any) -> Any:
            return model.dumps(serializer=serializer)

        return self._checked(encode)

    def _checked(self, encode: Callable[[Any], Any]) -> Callable[[Any], bytes | None]:
        def checked(obj: Any) -> bytes | None:
            data = encode(obj)
            if data is None or isinstance(data, bytes):
                return data
            if isinstance(data, bytearray | memoryview):
                return bytes(data)
            part = "key" if self.key else "value"
            codec = "no serializer" if self.codec is None else f"the serializer {self.codec!r}"
            raise TypeError(
                f"a {part} of type {type(obj).__name__} is not bytes under {codec}; "
                f"set {part}_serializer='json', or send str or bytes"
            )

        return checked


class _RawEncoders(_Encoders):
    """How to encode a declared number or model where ``raw`` is the default: text and bytes as ever, and the type itself.

    Numbers are written as the text that ``raw`` reads; models are JSON.
    """

    def _choose(self, cls: type) -> Callable[[Any], bytes | None]:
        if self.type in _NUMBERS and issubclass(cls, (self.type, int)):
            number = self.type
            return lambda obj: str(number(obj)).encode()
        return super()._choose(cls)

    def _model(self, cls: type) -> Callable[[Any], bytes | None]:
        if self.type not in _NUMBERS and not model_serializer(cls) and is_stock_model(cls):
            return _Encoders(get_codec("json"), key=self.key)._model(cls)
        return super()._model(cls)


def _is_plain_raw(codec: Codec) -> bool:
    return type(codec) is raw and not codec.children


def _untouched(obj: Any) -> Any:
    return obj


def _keep(kept: dict[Any, F], name: Any, compiled: F) -> F:
    """Remember what was compiled, within bounds; types that cannot be hashed are not remembered."""
    if len(kept) >= 1024:
        kept.clear()
    with suppress(TypeError):
        kept[name] = compiled
    return compiled
