"""Why bytes are no *T*: which field, what was expected there, and what was found.

Models and pydantic say so themselves; msgspec names the field, but neither the value nor, in a
mapping, the key. That is looked up here, after the fact: nothing is recorded while messages decode
well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from faust.serializers.codecs import Codec
from faust.serializers.foreign import converter
from faust.serializers.typed import type_name

__all__ = ["Fault", "described", "fault_of"]

TRIES = 1000
"""How many keys of a mapping are tried to find the one that does not fit."""

SHOWN = 100
"""Characters of a value that are shown."""


class Fault(NamedTuple):
    """What is wrong, and where."""

    path: str
    """Names and indexes: ``items[3].price``; empty: everywhere, or not known."""
    words: str


def fault_of(exc: BaseException, typ: Any, codec: Codec | None, payload: Any) -> Fault:
    """Return what is wrong with *payload*, which could not be decoded to *typ* because of *exc*."""
    path = getattr(exc, "field_path", "")
    if path:
        return Fault(path, str(exc).removeprefix(f"{path}: "))
    try:
        if isinstance(exc, msgspec.ValidationError):
            return _by_msgspec(exc, typ, codec, payload)
        if type(exc).__module__.partition(".")[0].startswith("pydantic"):
            return _by_pydantic(exc)
    except Exception:  # an error about an error would hide the first
        return Fault("", str(exc))
    return Fault("", f"{type(exc).__name__}: {exc}")


# -- pydantic


def _by_pydantic(exc: Any) -> Fault:
    first, *others = exc.errors(include_url=False)
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    words = str(first["msg"])
    words = words[:1].lower() + words[1:]
    if first["type"] != "missing" and first["type"] != "json_invalid":
        words += f", got {_shown(first['input'])}"
    if others:
        words += f" (and {len(others)} more)"
    return Fault(path.removeprefix("."), words)


# -- msgspec

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])")
_EXPECTED = re.compile(r"^Expected (?P<type>.*?)(?:, got (?P<got>`?.*`?))?$", re.DOTALL)
_INVALID = re.compile(r"^Invalid (?P<type>.*?)(?: string)?$")


def _by_msgspec(exc: msgspec.ValidationError, typ: Any, codec: Codec | None, payload: Any) -> Fault:
    place = _PLACE.match(str(exc))
    assert place is not None
    steps = list(_steps(place["path"] or ""))
    whole = payload if codec is None else codec.loads(payload)
    finder = _Finder(typ, whole, str(exc))
    path, value = finder.follow(steps)
    if place["key"]:
        key = finder.key_at(value)
        return Fault(path, f"the key {_shown(key)}: {_words(place['what'], key)}")
    if exc.__cause__ is not None:  # a model inside of something else has said the rest
        inner = fault_of(exc.__cause__, None, None, None)
        return Fault(_joined(path, inner.path), inner.words)
    return Fault(path, _words(place["what"], value))


def _steps(path: str) -> Iterator[Any]:
    """Cut ``.items[1][...]`` into names, indexes and `...`."""
    end = 0
    for found in _STEP.finditer(path):
        if found.start() != end:
            raise ValueError(f"no path: {path}")
        end = found.end()
        if found["any"]:
            yield ...
        else:
            yield found["name"] if found["name"] is not None else int(found["index"])
    if end != len(path):
        raise ValueError(f"no path: {path}")


def _words(what: str, value: Any) -> str:
    """Say what was expected, and what is there instead."""
    what = what.replace("`", "")
    expected = _EXPECTED.match(what)
    if expected is None:
        expected = _INVALID.match(what)
        if expected is None or what.startswith("Invalid enum value"):
            return what[:1].lower() + what[1:]
    return f"expected {expected['type']}, got {_shown(value)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _joined(path: str, more: str) -> str:
    """Put a field or an index behind a path, as it would stand in a program."""
    return f"{path}{'' if not path or more.startswith('[') else '.'}{more}"


class _Finder:
    """Finds what an error of msgspec speaks of in the plain objects that it was made from."""

    def __init__(self, typ: Any, whole: Any, message: str) -> None:
        self.convert = converter(typ)
        self.whole = whole
        self.message = message
        self.keys: list[Any] = []
        """The way to the value in hand."""

    def follow(self, steps: list[Any]) -> tuple[str, Any]:
        """Return the path with every `...` replaced by a key, and the value it leads to."""
        path = ""
        value = self.whole
        for step in steps:
            key = self.key_at(value) if step is ... else step
            named = step is not ... and isinstance(step, str)
            path = _joined(path, key if named else f"[{key!r}]")
            value = value[key]
            self.keys.append(key)
        return path, value

    def key_at(self, mapping: Any) -> Any:
        """Return the key of *mapping*, the value in hand, that alone gives the same error."""
        pairs = mapping.items() if isinstance(mapping, dict) else enumerate(mapping)
        for key, value in islice(pairs, TRIES):
            alone = {key: value} if isinstance(mapping, dict) else [value]
            try:
                self.convert(_replaced(self.whole, self.keys, alone))
            except msgspec.ValidationError as exc:
                if _same(str(exc), self.message):
                    return key
        raise LookupError("none of the keys tried gives this error")


def _same(one: str, other: str) -> bool:
    """Compare errors without the kinds of key in their paths: those differ with the decoder."""
    what, what_else = _PLACE.match(one), _PLACE.match(other)
    return what is not None and what_else is not None and what["what"] == what_else["what"]


def _replaced(whole: Any, keys: list[Any], value: Any) -> Any:
    """Return *whole* with *value* in the place where *keys* lead; nothing given is changed."""
    if not keys:
        return value
    first, *rest = keys
    copy = whole.copy()
    copy[first] = _replaced(whole[first], rest, value)
    return copy


def described(typ: Any, fault: Fault) -> str:
    """Say what is wrong with a *typ*: ``Order.items[3].price: expected decimal, got 'abc'``."""
    if typ is None:
        return f"not readable: {fault.words}"
    name = type_name(typ)
    if not fault.path:
        return f"not readable as {name}: {fault.words}"
    return f"{_joined(name, fault.path)}: {fault.words}"
