"""Schema: how one channel reads and writes its messages.

A schema is four facts (types and serializers of key and value) and a word on empty values. Users
may subclass it: override `Schema.loads_key` or `Schema.loads_value` to look at the whole message,
the header hooks to add headers, `Schema.decode` to do everything.

The hot path never calls these methods. It asks once, with `Schema.compile_decoders`, for a function
from a driver's record to a value, and with `Schema.compile_encoders` for functions from objects to
bytes. Where a method is overridden the compiled function goes the long way through it.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

from faust.exceptions import DecodeError, KeyDecodeError, ValueDecodeError
from faust.messages import TP, Message
from faust.ports import AppT
from faust.serializers.codecs import CodecArg, raw, want_bytes, warn_if_unsafe
from faust.serializers.decoders import (
    RecordDecoder,
    by_event,
    guarded,
    key_decoder,
    locate,
    message_of,
    raw_value,
    untyped_json_decoder,
    value_decoder,
)
from faust.serializers.loading import accepts_null, is_foreign, loader
from faust.serializers.registry import Registry
from faust.serializers.typed import model_serializer, type_name

__all__ = ["DecodeErrorHook", "RecordDecoder", "Schema", "locate"]

logger: logging.Logger = logging.getLogger(__name__)

_PLAIN = (str, bytes, int, float, bool, Decimal, UUID)
"""Types of fields that are known when a stream is grouped by them."""

DecodeErrorHook = Callable[[Exception, Message], Awaitable[None]]
"""Awaited with what could not be decoded."""


class Schema:
    """How keys and values of a channel are read and written.

    Every argument may also be a class attribute of a subclass.

    Arguments:
        key_type: Type of keys, see `faust.serializers.typed`; None: what the codec gives.
        value_type: The same for values.
        key_serializer: Codec of keys; None: the serializer of the type when it is a model that has
            one, else the application's.
        value_serializer: The same for values.
        allow_empty: A message without value has the value None, and is not an error.
    """

    key_type: Any = None
    value_type: Any = None
    key_serializer: CodecArg = None
    value_serializer: CodecArg = None
    allow_empty: bool = False

    def __init__(
        self,
        *,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        allow_empty: bool | None = None,
    ) -> None:
        self.update(
            key_type=key_type,
            value_type=value_type,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            allow_empty=allow_empty,
        )

    def update(
        self,
        *,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        allow_empty: bool | None = None,
    ) -> None:
        """Overwrite every fact that is given (not None).

        A serializer that is still unset is then taken from the newly given type, if that is a model
        that declares one.
        """
        if key_type is not None:
            self.key_type = key_type
        if value_type is not None:
            self.value_type = value_type
        if key_serializer is not None:
            self.key_serializer = key_serializer
        if value_serializer is not None:
            self.value_serializer = value_serializer
        if allow_empty is not None:
            self.allow_empty = allow_empty
        if self.key_serializer is None:
            self.key_serializer = model_serializer(key_type)
        if self.value_serializer is None:
            self.value_serializer = model_serializer(value_type)
        warn_if_unsafe(self.key_serializer, "a schema's key")
        warn_if_unsafe(self.value_serializer, "a schema's value")

    def copy(self) -> Self:
        """Copy this schema, so that a topic can change its own."""
        return copy.copy(self)

    def _key_options(self, app: AppT, typ: Any) -> dict[str, Any]:
        """Return the options that a topic like that of this schema needs for keys that are of *typ* from now on.

        They change no bytes of what can be written without them. There are none where this schema writes and reads a
        *typ* as it is, and in subclasses with methods of their own for keys.
        """
        mine, registry = self.key_type, app.serializers
        by_hand = any(map(self._overrides, ("decode", "loads_key", "dumps_key"))) or any(
            _overridden(registry, Registry, name) for name in ("loads_key", "dumps_key")
        )
        if typ not in _PLAIN or typ is mine or by_hand:
            return {}
        if is_foreign(mine) and not self.key_serializer:
            return {"key_type": typ, "key_serializer": registry.codec(mine, key=True)}
        is_raw = type(registry.codec(str, self.key_serializer, key=True)) is raw
        if typ in (str, bytes) and mine in (None, str, bytes, int, float, Decimal):
            return {}  # text that is a number has always been read as one
        if mine in (None, str, bytes) and not is_raw:
            return {}
        if is_raw and (self.key_serializer or is_foreign(typ)) and typ not in (str, bytes):
            return {}
        return {"key_type": typ}

    # -- reading, one message

    def loads_key(
        self,
        app: AppT,
        message: Message,
        *,
        loads: Callable[..., Any] | None = None,
        serializer: CodecArg = None,
    ) -> Any:
        """Decode the key of *message*.

        Raises:
            KeyDecodeError: it is not what this schema expects.
        """
        return (loads or app.serializers.loads_key)(
            self.key_type, message.key, serializer=serializer or self.key_serializer
        )

    def loads_value(
        self,
        app: AppT,
        message: Message,
        *,
        loads: Callable[..., Any] | None = None,
        serializer: CodecArg = None,
    ) -> Any:
        """Decode the value of *message*.

        Raises:
            ValueDecodeError: it is not what this schema expects.
        """
        return (loads or app.serializers.loads_value)(
            self.value_type, message.value, serializer=serializer or self.value_serializer
        )

    async def decode(self, app: AppT, message: Message, *, propagate: bool = False) -> Any:
        """Decode *message* to an event.

        An undecodable message raises when *propagate*; else it is logged, and None is returned.

        Raises:
            KeyDecodeError: the key is not what this schema expects.
            ValueDecodeError: the value is not.
        """
        try:
            return self._event(app, message)
        except DecodeError as exc:
            if propagate:
                raise
            logger.error("Skipped a message: %s", exc)
            return None

    def compile(
        self,
        app: AppT,
        *,
        on_key_decode_error: DecodeErrorHook,
        on_value_decode_error: DecodeErrorHook,
        default_propagate: bool = False,
    ) -> Callable[..., Awaitable[Any]]:
        """Return a coroutine function ``decode(message, *, propagate=...)`` for a topic.

        It returns the event; an undecodable message is raised when *propagate*, else the hook is
        awaited and None returned.
        """

        async def decode(message: Message, *, propagate: bool = default_propagate) -> Any:
            try:
                if self._overrides("decode"):
                    return await self.decode(app, message, propagate=True)
                return self._event(app, message)
            except KeyDecodeError as exc:
                if propagate:
                    raise
                await on_key_decode_error(exc, message)
            except ValueDecodeError as exc:
                if propagate:
                    raise
                await on_value_decode_error(exc, message)
            return None

        return decode

    def _event(self, app: AppT, message: Message) -> Any:
        """Decode key, then value; raise what goes wrong, with its place."""
        key = self._key_of(app, message)
        value = None
        if message.value is not None or not self.allow_empty:
            value = self._value_of(app, message)
        return app.create_event(key, value, message.headers, message)

    # -- reading, many records

    def compile_decoders(
        self, app: AppT, tp: TP | None = None, generation: int = -1
    ) -> tuple[RecordDecoder | None, RecordDecoder]:
        """Return functions from a driver's record to its key and to its value.

        The first is None when keys are the record's bytes. Both raise `KeyDecodeError` or
        `ValueDecodeError` only, `MemoryError` excepted; topic and partition are filled in when *tp*
        is given, else the caller does it with `locate`. *tp* and *generation* are also what
        overridden methods see in their message.

        Raises:
            UnknownCodec: (a `KeyError`) there is no codec of the name of a serializer.
            ImproperlyConfigured: nothing is known about how to build the key or value type.
        """
        if self._overrides("decode"):
            name = f"{type(self).__name__}.decode"
            return by_event(
                lambda message: self.decode(app, message, propagate=True), name, tp, generation
            )
        registry: Registry = app.serializers
        if self._overrides("loads_key") or _overridden(registry, Registry, "loads_key"):
            decode_key: RecordDecoder | None = self._slow_key(app, tp, generation)
        else:
            decode_key = self._fast_key(registry, tp)
        if self._overrides("loads_value") or _overridden(registry, Registry, "loads_value"):
            return decode_key, self._slow_value(app, tp, generation)
        return decode_key, self._fast_value(registry, tp)

    def _overrides(self, name: str) -> bool:
        return _overridden(self, Schema, name)

    def _fast_key(self, registry: Registry, tp: TP | None) -> RecordDecoder | None:
        codec = registry.codec(self.key_type, self.key_serializer, key=True)
        load = loader(self.key_type, codec)
        if load is want_bytes:
            return None
        return key_decoder(load, self.key_type, codec, tp)

    def _fast_value(self, registry: Registry, tp: TP | None) -> RecordDecoder:
        codec = registry.codec(self.value_type, self.value_serializer)
        load = loader(self.value_type, codec)
        if load is want_bytes:
            return raw_value
        null = self.allow_empty or accepts_null(self.value_type)
        if self.value_type is None and load is loader(None, registry.codec(None, "json")):
            return untyped_json_decoder(tp)
        return value_decoder(load, self.value_type, codec, null=null, tp=tp)

    def _slow_key(self, app: AppT, tp: TP | None, generation: int) -> RecordDecoder:
        return lambda record: self._key_of(app, message_of(tp, record, generation))

    def _slow_value(self, app: AppT, tp: TP | None, generation: int) -> RecordDecoder:
        def decode_value(record: Any) -> Any:
            if record.value is None and self.allow_empty:
                return None
            return self._value_of(app, message_of(tp, record, generation))

        return decode_value

    def _key_of(self, app: AppT, message: Message) -> Any:
        return guarded(
            KeyDecodeError,
            self.key_type,
            lambda message: self.loads_key(app, message),
            message,
            message.key,
        )

    def _value_of(self, app: AppT, message: Message) -> Any:
        return guarded(
            ValueDecodeError,
            self.value_type,
            lambda message: self.loads_value(app, message),
            message,
            message.value,
        )

    # -- writing

    def dumps_key(
        self, app: AppT, key: Any, *, serializer: CodecArg = None, headers: Any
    ) -> tuple[bytes | None, Any]:
        """Encode *key*; return the bytes and the headers to send with them.

        Raises:
            TypeError: the serializer cannot make bytes of it.
        """
        payload = app.serializers.dumps_key(
            self.key_type, key, serializer=serializer or self.key_serializer
        )
        return payload, self.on_dumps_key_prepare_headers(key, headers)

    def dumps_value(
        self, app: AppT, value: Any, *, serializer: CodecArg = None, headers: Any
    ) -> tuple[bytes | None, Any]:
        """Encode *value*; return the bytes and the headers to send with them.

        Raises:
            TypeError: the serializer cannot make bytes of it.
        """
        payload = app.serializers.dumps_value(
            self.value_type, value, serializer=serializer or self.value_serializer
        )
        return payload, self.on_dumps_value_prepare_headers(value, headers)

    def on_dumps_key_prepare_headers(self, key: Any, headers: Any) -> Any:  # noqa: ARG002 - for overriders
        """Return the headers to send with *key*; override to add some."""
        return headers

    def on_dumps_value_prepare_headers(self, value: Any, headers: Any) -> Any:  # noqa: ARG002 - for overriders
        """Return the headers to send with *value*; override to add some."""
        return headers

    def compile_encoders(
        self, app: AppT
    ) -> tuple[
        Callable[[Any], bytes | None] | None,
        Callable[[Any], bytes | None] | None,
    ]:
        """Return functions from a key and from a value to bytes, without headers.

        Either is None where a subclass has its own `dumps_key` (`dumps_value`) or header hook: then
        call that method for every message. The function for keys leaves None alone.

        Raises:
            UnknownCodec: (a `KeyError`) there is no codec of the name of a serializer.
        """
        registry: Registry = app.serializers
        by_hand_key = (
            self._overrides("dumps_key")
            or self._overrides("on_dumps_key_prepare_headers")
            or _overridden(registry, Registry, "dumps_key")
        )
        by_hand_value = (
            self._overrides("dumps_value")
            or self._overrides("on_dumps_value_prepare_headers")
            or _overridden(registry, Registry, "dumps_value")
        )
        return (
            None
            if by_hand_key
            else registry.compile_dumps(self.key_type, self.key_serializer, key=True),
            None
            if by_hand_value
            else registry.compile_dumps(self.value_type, self.value_serializer),
        )

    def __repr__(self) -> str:
        def show(typ: Any, serializer: CodecArg) -> str:
            name = "*default*" if typ is None else type_name(typ)
            return f"{name} ({'*default*' if serializer is None else serializer})"

        return (
            f"<{type(self).__name__}: KT={show(self.key_type, self.key_serializer)} "
            f"VT={show(self.value_type, self.value_serializer)}>"
        )


def _overridden(obj: Any, base: type, name: str) -> bool:
    return getattr(type(obj), name) is not getattr(base, name) or name in vars(obj)
