"""The one JSON door: everything that is written as or read from JSON goes through here.

orjson does the work, always: output is compact UTF-8 in insertion order, and the same bytes for the
same value on every machine (JSON keys decide partitions, so a second encoder with other habits
would tear keys apart). What orjson does not know is spelled out in `default`; it is the wire
format that applications in the field already use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import orjson

__all__ = [
    "JSONDecodeError",
    "default",
    "dumps",
    "loads",
    "plain_default",
    "plain_loads",
    "quoted",
    "str_to_decimal",
    "struct_default",
]

JSONDecodeError = orjson.JSONDecodeError
"""A `json.JSONDecodeError`, hence a `ValueError`."""

plain_loads: Callable[[bytes | bytearray | memoryview | str], Any] = orjson.loads
"""`loads` without the careful word about bytes that are not UTF-8: for loops that wrap errors."""

_OPTIONS = orjson.OPT_UTC_Z
_ANY_KEYS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def dumps(obj: Any) -> bytes:
    """Encode *obj* as compact JSON.

    Beyond JSON's own types: dates and times become ISO 8601 text (UTC as ``Z``), UUIDs and decimals
    text, bytes their Python repr, enums their value, tuples, sets and deques arrays, dataclasses
    objects, infinities and NaN ``null``; a ``msgspec.Struct`` or a pydantic model is written as
    its own library writes it, and an object with a ``__json__()`` method as what that returns.

    Raises:
        TypeError: for anything else, integers beyond 64 bits and text with lone surrogates
            included.
    """
    try:
        return orjson.dumps(obj, default, _OPTIONS)
    except TypeError:
        # Allowing keys that are not text makes every call slower, so only those who have some pay.
        return orjson.dumps(obj, default, _ANY_KEYS)


quoted: Callable[[str], bytes] = orjson.dumps
"""`dumps` for what is known to be text."""


def loads(data: bytes | bytearray | memoryview | str) -> Any:
    """Decode JSON.

    Raises:
        UnicodeDecodeError: *data* is not UTF-8.
        JSONDecodeError: it is not JSON; ``NaN``, infinities, numbers beyond a double and lone
            surrogates are not.
    """
    try:
        return orjson.loads(data)
    except JSONDecodeError:
        if not isinstance(data, str):
            bytes(data).decode()
        raise


def str_to_decimal(text: str | None, maxlen: int = 1000) -> Decimal | None:
    """Turn *text* into a decimal; None stays None.

    Raises:
        ValueError: it is longer than *maxlen* characters (parsing is quadratic), or not a finite
            number.
        decimal.InvalidOperation: it is not a number at all.
    """
    if text is None:
        return None
    if len(text) > maxlen:
        raise ValueError(
            f"a decimal of {len(text)} characters is too long: at most {maxlen} are allowed"
        )
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a finite decimal")
    return value


def default(obj: Any) -> Any:
    """Return what stands in JSON for an object that orjson does not know.

    Raises:
        TypeError: nothing does.
    """
    as_json = getattr(obj, "__json__", None)
    if as_json is not None and not isinstance(obj, type):
        return as_json()
    if isinstance(obj, Decimal):
        return str(obj)
    if isinstance(obj, set | frozenset | deque | tuple):
        return list(obj)
    if isinstance(obj, bytes):
        return repr(obj)
    if isinstance(obj, msgspec.Struct):
        return orjson.Fragment(msgspec.json.encode(obj, enc_hook=struct_default))
    serializer = getattr(type(obj), "__pydantic_serializer__", None)
    if serializer is not None:
        return orjson.Fragment(serializer.to_json(obj, by_alias=True))
    raise TypeError(f"{type(obj).__name__} has no form in JSON")


def struct_default(obj: Any) -> Any:
    """Return what stands in JSON for an object that msgspec does not know.

    Raises:
        TypeError: nothing does.
    """
    serializer = getattr(type(obj), "__pydantic_serializer__", None)
    if serializer is not None:
        return msgspec.Raw(serializer.to_json(obj, by_alias=True))
    return default(obj)


def plain_default(obj: Any) -> Any:
    """Return the plain objects that stand for one that msgspec does not know.

    Raises:
        TypeError: nothing does.
    """
    serializer = getattr(type(obj), "__pydantic_serializer__", None)
    if serializer is not None:
        return serializer.to_python(obj, mode="json", by_alias=True)
    return default(obj)
