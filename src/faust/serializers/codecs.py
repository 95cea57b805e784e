"""Codecs: objects to bytes and back, by name, in chains.

A codec is one *stage* (`_dumps`, `_loads`) and the stages after it: ``json() | binary()`` writes
JSON, then Base64; reading runs the same stages backwards. A name such as ``"json|binary"`` means
the same chain. Names come from the built-in table, from `register`, and from the entry points of
the group ``faust.codecs``; an entry point is imported when its name is first asked for, so that a
broken plug-in hurts nobody who does not use it.

The classes are named as they print and as they are registered; that is why they are in lower case.

This is a thinking room: no I/O, no event loop, no settings, no models.
"""

# ruff: noqa: N801, S301 - documented class names; pickle is offered, with warnings

from __future__ import annotations

import base64
import gzip as _gzip
import pickle as _pickle
import warnings
import zlib
from collections import UserDict
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Self, TypeAlias

from faust.exceptions import ImproperlyConfigured, SecurityWarning
from faust.serializers.pickles import (
    RestrictedUnpickler,
    library,
    restricted_loads,
    scanned_loads,
)
from faust.utils import json as _json

__all__ = [
    "Codec",
    "CodecArg",
    "RestrictedUnpickler",
    "UnknownCodec",
    "binary",
    "codecs",
    "dumps",
    "get_codec",
    "gzip",
    "json",
    "loads",
    "pickle",
    "pickle_fickling",
    "pickle_restricted",
    "raw",
    "register",
    "warn_if_unsafe",
    "yaml",
    "zstd",
]

MAX_DECOMPRESSED = 64 * 1024 * 1024
"""Bytes that one message may grow to when it is decompressed, unless a codec says otherwise."""


class Codec:
    """One stage of encoding, followed by others.

    Subclasses implement `_dumps` and `_loads`, and hand arguments of their own to this constructor
    by keyword, so that copies can be made.

    Attributes:
        children: The stages that follow.
        nodes: All stages: this one, then the children.
        kwargs: Arguments of the constructor.
    """

    children: tuple[Codec, ...]
    nodes: tuple[Codec, ...]
    kwargs: Mapping[str, Any]

    def __init__(self, children: tuple[Codec, ...] | None = None, **kwargs: Any) -> None:
        self.children = tuple(children or ())
        self.nodes = (self, *self.children)
        self.kwargs = kwargs

    def _dumps(self, obj: Any) -> bytes:
        """Encode: this stage only."""
        raise NotImplementedError(f"codec {type(self).__name__} does not implement _dumps")

    def _loads(self, data: bytes) -> Any:
        """Decode: this stage only."""
        raise NotImplementedError(f"codec {type(self).__name__} does not implement _loads")

    def check(self) -> None:
        """Override to raise `ImproperlyConfigured` where this stage cannot work at all.

        Called before the first message, so that a missing library is not taken for a bad message.
        """

    def dumps(self, obj: Any) -> bytes:
        """Encode *obj* through every stage, first to last."""
        for node in self.nodes:
            obj = node._dumps(obj)
        encoded: bytes = obj
        return encoded

    def loads(self, data: bytes) -> Any:
        """Decode *data* through every stage, last to first."""
        for node in reversed(self.nodes):
            data = node._loads(data)
        return data

    def clone(self, *children: Codec) -> Self:
        """Copy this codec, with more stages behind the ones it has."""
        return type(self)(children=self.children + children, **self.kwargs)

    def __or__(self, other: Any) -> Self:
        if not isinstance(other, Codec):
            return NotImplemented
        return self.clone(*other.nodes)

    def __repr__(self) -> str:
        return " | ".join(
            f"{type(node).__name__}({', '.join(map(repr, node.kwargs.values()))})"
            for node in self.nodes
        )


CodecArg: TypeAlias = str | Codec | None
"""A codec, its name (or several joined by ``|``), or None: leave things as they are."""


class raw(Codec):
    """Bytes as they are; text as UTF-8; anything else untouched."""

    def _dumps(self, obj: Any) -> bytes:
        payload: bytes = want_bytes(obj)
        return payload

    def _loads(self, data: bytes) -> Any:
        return want_bytes(data)


class json(Codec):
    """Compact JSON, see `faust.utils.json`."""

    def _dumps(self, obj: Any) -> bytes:
        return _json.dumps(obj)

    def _loads(self, data: bytes) -> Any:
        return _json.loads(data)


class yaml(Codec):
    """YAML, its safe subset; needs the package PyYAML."""

    def check(self) -> None:
        """Raise `ImproperlyConfigured` without PyYAML."""
        library("yaml", "PyYAML")

    def _dumps(self, obj: Any) -> bytes:
        text: str = library("yaml", "PyYAML").safe_dump(obj)
        return text.encode()

    def _loads(self, data: bytes) -> Any:
        return library("yaml", "PyYAML").safe_load(data)


class binary(Codec):
    """Base64 of bytes or text: standard alphabet, padded (RFC 4648, section 4).

    Reading forgives white space between the characters, and nothing else.
    """

    def _dumps(self, obj: Any) -> bytes:
        return base64.b64encode(want_bytes(obj))

    def _loads(self, data: bytes) -> Any:
        return base64.b64decode(b"".join(want_bytes(data).split()), validate=True)


class raw_pickle(Codec):
    """Pickle without any restriction: whoever can write to the topic can run code in the reader."""

    def _dumps(self, obj: Any) -> bytes:
        return _pickle.dumps(obj)

    def _loads(self, data: bytes) -> Any:
        warnings.warn(
            "unpickling data without restrictions: whoever wrote it can run any code here; "
            "use 'json' or 'pickle_restricted'",
            SecurityWarning,
            stacklevel=3,
        )
        return _pickle.loads(data)


class raw_pickle_restricted(Codec):
    """Pickle, read by `RestrictedUnpickler`."""

    def _dumps(self, obj: Any) -> bytes:
        return _pickle.dumps(obj, protocol=5)

    def _loads(self, data: bytes) -> Any:
        return restricted_loads(data)


class raw_pickle_fickling(Codec):
    """Pickle, read after the package fickling has found nothing suspicious in it."""

    def check(self) -> None:
        """Raise `ImproperlyConfigured` without fickling."""
        library("fickling", "fickling")

    def _dumps(self, obj: Any) -> bytes:
        self.check()
        return _pickle.dumps(obj, protocol=5)

    def _loads(self, data: bytes) -> Any:
        return scanned_loads(data)


class gzip(Codec):
    """Bytes or text compressed in the gzip format (RFC 1952); behind others: ``json|gzip``.

    No time is written into them. Not for keys: other builds of zlib give other bytes.

    Arguments:
        level: 0 (store) to 9 (smallest).
        max_size: Bytes that one message may grow to when it is read; a few bytes can announce
            gigabytes.
    """

    def __init__(
        self,
        children: tuple[Codec, ...] | None = None,
        *,
        level: int = 6,
        max_size: int = MAX_DECOMPRESSED,
    ) -> None:
        self.level: int = level
        self.max_size: int = max_size
        super().__init__(children, level=level, max_size=max_size)

    def _dumps(self, obj: Any) -> bytes:
        return _gzip.compress(_want_data(obj, self), self.level, mtime=0)

    def _loads(self, data: bytes) -> Any:
        """Decompress every member; what follows the last one must be another."""
        parts: list[bytes] = []
        room = self.max_size + 1
        rest = want_bytes(data)
        while rest or not parts:
            stream = zlib.decompressobj(wbits=31)
            parts.append(stream.decompress(rest, room))
            room -= len(parts[-1])
            if room <= 0:
                raise ValueError(_too_large(self.max_size))
            if not stream.eof:
                raise EOFError("the gzip data is truncated")
            rest = stream.unused_data
        return b"".join(parts)


class zstd(Codec):
    """Bytes or text compressed by Zstandard (RFC 8878); behind others: ``json|zstd``.

    Needs the package zstandard (``pip install faust[zstd]``).

    Arguments:
        level: 1 (fastest) to 22 (smallest).
        max_size: Bytes that one message may grow to when it is read.
    """

    def __init__(
        self,
        children: tuple[Codec, ...] | None = None,
        *,
        level: int = 3,
        max_size: int = MAX_DECOMPRESSED,
    ) -> None:
        self.level: int = level
        self.max_size: int = max_size
        super().__init__(children, level=level, max_size=max_size)

    def check(self) -> None:
        """Raise `ImproperlyConfigured` without zstandard."""
        library("zstandard", "zstandard")

    def _dumps(self, obj: Any) -> bytes:
        compressor = library("zstandard", "zstandard").ZstdCompressor(level=self.level)
        compressed: bytes = compressor.compress(_want_data(obj, self))
        return compressed

    def _loads(self, data: bytes) -> Any:
        zstandard = library("zstandard", "zstandard")
        frame = want_bytes(data)
        size = zstandard.get_frame_parameters(frame).content_size
        known = size not in {zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR}
        if known and size > self.max_size:
            raise ValueError(_too_large(self.max_size))
        return zstandard.ZstdDecompressor().decompress(
            frame, max_output_size=self.max_size, allow_extra_data=False
        )


def pickle() -> Codec:
    """Make the codec ``pickle``: unrestricted, then Base64."""
    return raw_pickle() | binary()


def pickle_restricted() -> Codec:
    """Make the codec ``pickle_restricted``: harmless classes only, then Base64."""
    return raw_pickle_restricted() | binary()


def pickle_fickling() -> Codec:
    """Make the codec ``pickle_fickling``: scanned by fickling, then Base64."""
    return raw_pickle_fickling() | binary()


class CodecTable(UserDict[str, Codec]):
    """Codecs by name; counts its changes, so that what was compiled from it can be forgotten."""

    revision: int = 0

    def __setitem__(self, name: str, codec: Codec) -> None:
        super().__setitem__(name, codec)
        self.revision += 1

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.revision += 1


codecs: CodecTable = CodecTable(
    raw=raw(),
    json=json(),
    binary=binary(),
    pickle=pickle(),
    pickle_restricted=pickle_restricted(),
    pickle_fickling=pickle_fickling(),
    yaml=yaml(),
    gzip=gzip(),
    zstd=zstd(),
)
"""Codecs by name."""


class UnknownCodec(KeyError):
    """No codec has this name. A `KeyError` whose argument is the name."""

    def __str__(self) -> str:
        name = str(self.args[0])
        known = sorted({*codecs, *_plugins()})
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return (
            f"there is no codec {name!r}; known are {', '.join(known)}{hint} "
            "(more can be added with faust.serializers.codecs.register "
            "or the entry points 'faust.codecs')"
        )


def register(name: str, codec: Codec) -> None:
    """Add a codec, or replace the one that had this name."""
    if not isinstance(codec, Codec):
        raise TypeError(f"codec {name!r} must be an instance of Codec, not {codec!r}")
    _plugins().pop(name, None)
    codecs[name] = codec


def get_codec(name_or_codec: str | Codec) -> Codec:
    """Return the codec of a name; a codec is returned as it is.

    Raises:
        UnknownCodec: (a `KeyError`) no codec has the name of one of the stages.
        ImproperlyConfigured: a plug-in of that name cannot be used.
    """
    if isinstance(name_or_codec, Codec):
        return name_or_codec
    if "|" not in name_or_codec:
        return _one(name_or_codec)
    first, *rest = (part.strip() for part in name_or_codec.split("|"))
    return _chain(*(_one(part) for part in ([first, *rest] if first else rest)))


def dumps(codec: CodecArg, obj: Any) -> Any:
    """Encode *obj*; without a codec it is returned untouched."""
    return get_codec(codec).dumps(obj) if codec else obj


def loads(codec: CodecArg, data: bytes) -> Any:
    """Decode *data*; without a codec it is returned untouched."""
    return get_codec(codec).loads(data) if codec else data


def compile_dumps(codec: Codec) -> Callable[[Any], bytes]:
    """Return the shortest way to what ``codec.dumps`` does."""
    return _json.dumps if type(codec) is json and not codec.children else codec.dumps


def compile_loads(codec: Codec) -> Callable[[bytes], Any]:
    """Return the shortest way to what ``codec.loads`` does; `ValueError` may be of another kind."""
    if codec.children:
        return codec.loads
    if type(codec) is json:
        return _json.plain_loads
    return want_bytes if type(codec) is raw else codec.loads


def want_bytes(obj: Any) -> Any:
    """Turn text into UTF-8; anything else is returned untouched."""
    return obj.encode() if isinstance(obj, str) else obj


def warn_if_unsafe(codec: CodecArg, where: str) -> None:
    """Warn when *codec* runs code that comes with the data; *where* says who uses it."""
    if codec is None:
        return
    if isinstance(codec, Codec):
        unsafe = any(isinstance(node, raw_pickle) for node in codec.nodes)
    else:
        unsafe = "pickle" in (part.strip() for part in codec.split("|"))
    if unsafe:
        warnings.warn(
            f"{where} uses the codec 'pickle': whoever can write to the topic can run any code "
            "in its readers; use 'json' or 'pickle_restricted'",
            SecurityWarning,
            stacklevel=3,
        )


def _one(name: str) -> Codec:
    """Return the codec of a single name, importing its plug-in at the first time."""
    plugins = _plugins()
    if name in plugins:
        codecs[name] = _load(plugins[name])
        del plugins[name]
    try:
        return codecs[name]
    except KeyError:
        raise UnknownCodec(name) from None


@lru_cache(maxsize=64)
def _chain(first: Codec, *rest: Codec) -> Codec:
    """Join stages; the same stages give the same object, so what is compiled for it is kept."""
    for codec in rest:
        first |= codec
    return first


@lru_cache(maxsize=1)
def _plugins() -> dict[str, EntryPoint]:
    """Return the entry points that have not been imported yet, by name."""
    return {point.name: point for point in entry_points(group="faust.codecs")}


def _load(plugin: EntryPoint) -> Codec:
    """Import a plug-in and make its codec."""
    try:
        codec = plugin.load()()
    except Exception as exc:
        raise ImproperlyConfigured(
            f"the codec {plugin.name!r} (entry point {plugin.value} of group 'faust.codecs') "
            f"cannot be used: {type(exc).__name__}: {exc}"
        ) from exc
    if not isinstance(codec, Codec):
        raise ImproperlyConfigured(
            f"the entry point {plugin.value} of group 'faust.codecs' made {codec!r}, "
            "which is not a faust.Codec"
        )
    return codec


def _want_data(obj: Any, codec: Codec) -> bytes:
    """Return bytes or text as bytes; refuse what is neither."""
    data = want_bytes(obj)
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    name = type(codec).__name__
    raise TypeError(
        f"the codec {name!r} takes bytes or text, not {type(obj).__name__}: "
        f"put one before it that makes bytes, such as 'json|{name}'"
    )


def _too_large(size: int) -> str:
    return f"the data grows beyond {size} bytes when it is decompressed"
