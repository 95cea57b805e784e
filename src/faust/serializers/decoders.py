"""From a driver's record to its key and value: one closure per kind.

A stream's loop calls these once per event. Each kind is written out, so that an event pays for what
its channel uses and for nothing else; what can go wrong becomes a `DecodeError` with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from faust.exceptions import (
    DecodeError,
    ImproperlyConfigured,
    KeyDecodeError,
    ValidationError,
    ValueDecodeError,
)
from faust.messages import TP, Message, Record
from faust.serializers.codecs import Codec, get_codec
from faust.serializers.loading import accepts_null
from faust.serializers.registry import decode_error, null_error
from faust.serializers.typed import BLESSED_KEY, revive
from faust.utils.json import plain_loads

__all__ = [
    "RecordDecoder",
    "by_event",
    "guarded",
    "key_decoder",
    "locate",
    "message_of",
    "raw_value",
    "untyped_json_decoder",
    "value_decoder",
]

RecordDecoder = Callable[[Any], Any]
"""From a driver's record to its decoded key or value."""

E = TypeVar("E", bound=Exception)


def locate(exc: E, tp: TP, record: Any) -> E:
    """Fill in where an undecodable record is, as far as *exc* does not say it yet; return *exc*."""
    for error in (exc, exc.__cause__):
        if isinstance(error, DecodeError | ValidationError):
            if error.topic is None:
                error.topic, error.partition = tp
            if error.offset is None:
                error.offset = record.offset
    return exc


def raw_value(record: Record) -> Any:
    """Decode nothing."""
    return record.value


def _where(tp: TP | None, record: Record) -> dict[str, Any]:
    where: dict[str, Any] = {"offset": record.offset}
    if tp is not None:
        where["topic"], where["partition"] = tp
    return where


def untyped_json_decoder(tp: TP | None) -> RecordDecoder:
    """Decode JSON without a type: all that is added is the look-up of the blessed key."""
    loads = plain_loads
    json = get_codec("json")

    def decode_value(record: Record) -> Any:
        data = record.value
        if data is None:
            return None
        try:
            obj = loads(data)
            if type(obj) is dict and BLESSED_KEY in obj:
                return revive(obj)
            return obj
        except MemoryError:
            raise
        except Exception as exc:
            raise decode_error(
                ValueDecodeError, None, json, exc, data, **_where(tp, record)
            ) from exc

    return decode_value


def value_decoder(
    load: Callable[[bytes], Any], typ: Any, codec: Codec | None, *, null: bool, tp: TP | None
) -> RecordDecoder:
    """Return what decodes values by *load*; *null* says whether a record may have none."""

    def decode_value(record: Record) -> Any:
        data = record.value
        if data is None:
            if null:
                return None
            raise null_error(ValueDecodeError, typ, **_where(tp, record))
        try:
            return load(data)
        except MemoryError:
            raise
        except Exception as exc:
            raise decode_error(
                ValueDecodeError, typ, codec, exc, data, **_where(tp, record)
            ) from exc

    return decode_value


def key_decoder(
    load: Callable[[bytes], Any], typ: Any, codec: Codec | None, tp: TP | None
) -> RecordDecoder:
    """Return what decodes keys by *load*."""
    null = accepts_null(typ)

    def decode_key(record: Record) -> Any:
        data = record.key
        if data is None:
            if null:
                return None
            raise null_error(KeyDecodeError, typ, **_where(tp, record))
        try:
            return load(data)
        except MemoryError:
            raise
        except Exception as exc:
            raise decode_error(KeyDecodeError, typ, codec, exc, data, **_where(tp, record)) from exc

    return decode_key


# -- the long way, through overridden methods


def message_of(tp: TP | None, record: Record, generation: int) -> Message:
    """Show a record as a message; without *tp* the record may know its place."""
    if tp is None:
        tp = TP(getattr(record, "topic", ""), getattr(record, "partition", -1))
    return Message.from_record(tp, record, generation)


def guarded(
    kind: type[DecodeError],
    typ: Any,
    loads: Callable[[Message], Any],
    message: Message,
    data: Any,
) -> Any:
    """Call what users may have written; what it raises becomes a decode error with its place."""
    try:
        return loads(message)
    except (MemoryError, ImproperlyConfigured):
        raise
    except DecodeError as exc:
        locate(exc, message.tp, message)
        raise
    except Exception as exc:
        raise locate(decode_error(kind, typ, None, exc, data), message.tp, message) from exc


def by_event(
    decode: Callable[[Message], Coroutine[Any, Any, Any]],
    name: str,
    tp: TP | None,
    generation: int,
) -> tuple[RecordDecoder, RecordDecoder]:
    """Return decoders of key and value that go through *decode*, which makes whole events.

    *name* is how *decode* is called in messages.
    """

    def event_of(kind: type[DecodeError], record: Record) -> Any:
        def loads(message: Message) -> Any:
            event = _at_once(decode(message), name)
            if event is None:
                raise kind(f"{name} returned None", payload=record.value)
            return event

        return guarded(kind, None, loads, message_of(tp, record, generation), record.value)

    def decode_key(record: Record) -> Any:
        return event_of(KeyDecodeError, record).key

    def decode_value(record: Record) -> Any:
        return event_of(ValueDecodeError, record).value

    return decode_key, decode_value


def _at_once(coro: Coroutine[Any, Any, Any], name: str) -> Any:
    """Run a coroutine that does not wait; decoding is part of a loop that cannot."""
    try:
        coro.send(None)
    except StopIteration as done:
        return done.value
    coro.close()
    raise ImproperlyConfigured(
        f"{name} waits for something; messages are decoded between two events of a stream, where "
        "nothing can be awaited: wait in the agent instead"
    )
