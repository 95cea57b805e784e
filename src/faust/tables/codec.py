"""How a table's keys and values look in its changelog.

The wire format is that of the documents: JSON without blanks and in raw UTF-8, or the bytes themselves for tables of
``bytes``. Rules that make it safe:

* JSON arrays in keys become tuples, on every way in, so that a recovered key is hashable and equal to the one written;
* bytes never slip into a JSON table unquoted: they could not be read back;
* what is read before a restart equals what is read after it. Numbers, text, booleans and None come back as they are and are
  kept so (`TableCodec.admit`); anything else is kept as `Packed`, the bytes of the changelog, and decoded at every read.

A key must have one encoding for ever (compaction and partitioning go by its bytes), so keys are encoded by the same
canonical JSON on every worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, NoReturn, Protocol, TypeAlias

from faust.exceptions import DecodeError, KeyDecodeError, ValueDecodeError
from faust.messages import TP
from faust.utils import json
from faust.windows import WindowRange

__all__ = ["Compiler", "Packed", "TableCodec", "WindowedCodec", "WindowedKey", "serializer_for"]


NULL = b"null"
"""The value None, of whatever type the table's values are. (A deleted key has no value at all.)"""

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""Integers that JSON can carry here."""

PLAIN: frozenset[type] = frozenset({str, int, float, bool})
"""Classes of keys that come back from JSON as they are."""


WindowedKey: TypeAlias = tuple[Any, WindowRange]
"""A key, and one of its windows."""

BINARY = b"\0w1"
DOUBLES = Struct(">dd")


class Packed:
    """A value as it stands in the changelog; decoded anew at every read."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw: bytes = raw


class Compiler(Protocol):
    """What is asked of the registry of serializers."""

    def compile_loads(
        self, typ: Any, serializer: Any = None, *, key: bool = False
    ) -> Callable[[bytes | None], Any]:
        """Return the function that decodes bytes to *typ*."""
        ...

    def compile_dumps(
        self, typ: Any, serializer: Any = None, *, key: bool = False
    ) -> Callable[[Any], bytes | None]:
        """Return the function that encodes *typ*."""
        ...


def serializer_for(typ: Any) -> Any:
    """Choose the serializer of a table's keys or values: raw for bytes, a model's own, else JSON (also for str)."""
    if typ is bytes:
        return "raw"
    options = getattr(typ, "_options", None)
    return getattr(options, "serializer", None) or "json"


def hashable(key: Any) -> Any:
    """Turn the arrays of a decoded key into tuples."""
    if isinstance(key, list):
        return tuple(hashable(part) for part in key)
    return key


class TableCodec:
    """Encodes and decodes keys and values of one table.

    Arguments:
        compiler: Makes functions of types and serializers.
        table: Name of the table, for errors.
        key_type: Type of keys.
        value_type: Type of values.
        schema: A `faust.Schema` whose types and serializers count where none are given.
        aliasing: Hold objects as they were given.

    Attributes:
        key_serializer: Name of the keys' serializer.
        value_serializer: Name of the values' serializer.
        scalars: Classes of values that come back as they are.
    """

    def __init__(
        self,
        compiler: Compiler,
        *,
        table: str,
        key_type: Any,
        value_type: Any,
        schema: Any = None,
        aliasing: bool = False,
    ) -> None:
        self.table = table
        self.aliasing = aliasing
        if schema is not None:
            key_type = schema.key_type if key_type is None else key_type
            value_type = schema.value_type if value_type is None else value_type
        self.key_type: Any = key_type
        self.key_serializer: Any = getattr(schema, "key_serializer", None) or serializer_for(
            key_type
        )
        self.value_serializer: Any = getattr(schema, "value_serializer", None) or serializer_for(
            value_type
        )
        own_values = getattr(compiler, "own_values", False)
        self.scalars: frozenset[type] = (
            frozenset() if own_values else _scalars(value_type, self.value_serializer)
        )
        self._own_keys: bool = getattr(compiler, "own_keys", False)
        self.ints: bool = int in self.scalars
        self.json_keys: bool = self.key_serializer == "json"
        ours = self.json_keys and not self._own_keys
        self._plain_ints = ours and key_type in (None, int)
        self._plain_text = ours and key_type in (None, str)
        self._any_keys = ours and key_type is None
        self._plain_values = self.value_serializer == "raw"
        self._plain_keys = self.key_serializer == "raw"
        self._dump_key = compiler.compile_dumps(key_type, self.key_serializer, key=True)
        self._load_key = compiler.compile_loads(key_type, self.key_serializer, key=True)
        self._dump_value = compiler.compile_dumps(value_type, self.value_serializer)
        self._load_value = compiler.compile_loads(value_type, self.value_serializer)

    # -- what is held in memory

    def admit(self, key: Any, value: Any) -> Any:
        """Return what is held for *value*: itself if it comes back as it is, else `Packed`.

        Raises:
            TypeError: It cannot be a value of this table.
        """
        kind = value.__class__
        if kind in self.scalars and (
            (kind is float and value - value == 0.0)
            or (kind is int and SMALLEST <= value <= LARGEST)
            or (kind is str and value.isascii())
            or kind in _SURE
        ):
            return value
        raw = b"%b" % self.encode_value(key, value)
        return value if self.aliasing or (kind is str and kind in self.scalars) else Packed(raw)

    def held(self, tp: TP, key: Any, raw: bytes) -> tuple[Any, Any]:
        """Decode a stored value; return what is held for it, and the value."""
        value = self.decode_value(tp, key, raw)
        keep = self.aliasing or value.__class__ in self.scalars
        return (value if keep else Packed(raw)), value

    def is_normal(self, key: Any) -> bool:
        """Say whether *key* is equal to what becomes of it on the wire and back."""
        if self._own_keys:
            return False
        kind = key.__class__
        if kind is tuple:
            return all(map(self.is_normal, key))
        return kind in PLAIN or kind is self.key_type or key is None

    def normal_key(self, tp: TP, key: Any, raw: bytes) -> Any:
        """Return *key*, encoded as *raw*, as it comes back from the wire."""
        return key if self.is_normal(key) else self.decode_key(tp, raw)

    # -- keys and values

    def plain(self, key: Any) -> bytes | None:
        """Return the bytes of a key that is certain to come back as it is; None: this is not certain of *key*."""
        if key.__class__ is int:
            return b"%d" % key if self._plain_ints and SMALLEST <= key <= LARGEST else None
        if key.__class__ is str and self._plain_text:
            try:
                return json.quoted(key)
            except TypeError:
                return None
        return None

    def encode_key(self, key: Any) -> bytes:
        """Encode a key; what is returned may be kept (bytes made by orjson hold on to some kilobytes each).

        Raises:
            TypeError: It cannot be a key of this table.
        """
        try:
            if key.__class__ is str and self._plain_text:
                return b"%b" % json.quoted(key)
            raw = self._dump_key(key)
        except Exception as exc:
            raise self._unencodable("key", key, exc) from exc
        if raw.__class__ is bytes and (self._plain_keys or key.__class__ is not bytes):
            if raw != NULL or self._plain_keys:
                return b"%b" % raw
            key = None
        return self._refuse_key(key, raw)

    def encode_value(self, key: Any, value: Any) -> bytes:
        """Encode the value of *key*.

        Raises:
            TypeError: It cannot be a value of this table.
        """
        try:
            raw = self._dump_value(value)
        except Exception as exc:
            raise self._unencodable(f"value of key {key!r}", value, exc) from exc
        if raw.__class__ is bytes and (self._plain_values or value.__class__ is not bytes):
            return raw
        return self._refuse_value(key, value, raw)

    def _refuse_key(self, key: Any, raw: Any) -> NoReturn:
        if key is None:
            raise TypeError(
                f"table {self.table!r}: None cannot be a key (nor what JSON writes as null)"
            )
        if isinstance(key, bytes):
            raise TypeError(
                f"table {self.table!r}: keys are kept as JSON, which has no bytes ({key!r}); "
                "decode the key to str, or declare the table with key_type=bytes"
            )
        raise self._no_bytes(f"key {key!r}", raw)

    def _refuse_value(self, key: Any, value: Any, raw: Any) -> NoReturn:
        if isinstance(value, bytes):
            self.refuse_bytes(key)
        raise self._no_bytes(f"value of key {key!r}", raw)

    def refuse_bytes(self, key: Any) -> NoReturn:
        """Raise `TypeError`: bytes cannot be a value of a JSON table."""
        raise TypeError(
            f"table {self.table!r}: values are kept as JSON, which has no bytes (value of key {key!r}); "
            "decode them to str, or declare the table with value_type=bytes"
        )

    def _unencodable(self, what: str, thing: Any, exc: Exception) -> TypeError:
        if what == "key":
            what = f"key {thing!r}"
        return TypeError(
            f"table {self.table!r}: the {what} ({type(thing).__name__}) cannot be encoded "
            f"for the changelog: {exc}"
        )

    def _no_bytes(self, what: str, raw: Any) -> TypeError:
        return TypeError(
            f"table {self.table!r}: the {what} must be bytes for the changelog, "
            f"got {type(raw).__name__}"
        )

    def decode_key(self, tp: TP, raw: bytes) -> Any:
        """Decode the key of a changelog record of *tp*.

        Raises:
            KeyDecodeError: Naming table, topic, partition and the bytes.
        """
        try:
            return self._decode_key(raw)
        except Exception as exc:
            raise KeyDecodeError(
                f"changelog of table {self.table!r}, partition {tp.topic}[{tp.partition}]: "
                f"{_reason(exc)}",
                payload=raw,
            ) from exc

    def _decode_key(self, raw: bytes) -> Any:
        key = self._load_key(raw)
        return hashable(key) if key.__class__ is list else key

    def decode_value(self, tp: TP, key: Any, raw: bytes) -> Any:
        """Decode the value of *key* in the changelog *tp*.

        Raises:
            ValueDecodeError: Naming table, key, topic, partition and the bytes.
        """
        if raw == NULL and self.value_serializer == "json":
            return None
        try:
            return self._load_value(raw)
        except Exception as exc:
            raise ValueDecodeError(
                f"key {key!r} in the changelog of table {self.table!r}, "
                f"partition {tp.topic}[{tp.partition}]: {_reason(exc)}",
                payload=raw,
            ) from exc


def _load_any_key(raw: bytes) -> Any:
    key = json.plain_loads(raw)
    return hashable(key) if key.__class__ is list else key


class WindowedCodec(TableCodec):
    r"""The codec of a windowed table, whose keys are ``(key, (start, end))``.

    On the wire such a key is the JSON array ``[key,[start,end]]``, in which *key* is encoded by the type of the table's keys.
    Where that does not give JSON (bytes) it is ``\0w1``, start and end as big-endian doubles, and the key's bytes.
    """

    _last: tuple[WindowRange, bytes] | None = None

    def encode_key(self, key: Any) -> bytes:
        """Encode ``(key, (start, end))``.

        Raises:
            TypeError: It cannot be a key of this table.
        """
        try:
            user_key, window_range = key
            start, end = window_range
        except (TypeError, ValueError):
            raise TypeError(
                f"table {self.table!r} is windowed: its keys are (key, (start, end)), got {key!r}"
            ) from None
        raw = self.plain(user_key)
        if raw is None:
            raw = super().encode_key(user_key)
        if not self.json_keys:
            return BINARY + DOUBLES.pack(start, end) + raw
        return b"[%b,%b]" % (raw, self._range_in_json(window_range))

    def is_normal(self, key: Any) -> bool:
        """Say whether *key* is equal to what becomes of it on the wire and back."""
        if key.__class__ is not tuple or len(key) != 2:
            return False
        kind = key[0].__class__
        if (kind is int and self._plain_ints) or (kind is str and self._plain_text):
            return True
        return super().is_normal(key[0])

    def range_of(self, raw: bytes) -> WindowRange:
        """Return the range in the bytes of a key; the key itself is not decoded."""
        return self._split(raw)[1]

    def user_key_of(self, raw: bytes) -> Any:
        """Return the key in the bytes of a key and its range."""
        return self._load_user_key(self._split(raw)[0])

    def keys_in(
        self, tp: TP, window_range: WindowRange, raws: Iterable[bytes]
    ) -> dict[bytes, WindowedKey]:
        """Decode keys of *tp* that have the same range.

        Raises:
            KeyDecodeError: Naming table, topic, partition and the bytes.
        """
        load = _load_any_key if self._any_keys else super()._decode_key
        begin = b"[" if self.json_keys else BINARY + DOUBLES.pack(*window_range)
        end = b",%b]" % self._range_in_json(window_range) if self.json_keys else b""
        first, last = len(begin), len(end)
        keys: dict[bytes, WindowedKey] = {}
        for raw in raws:
            if raw.endswith(end) and raw.startswith(begin):
                try:
                    keys[raw] = (load(raw[first : len(raw) - last]), window_range)
                except Exception:
                    keys[raw] = self.decode_key(tp, raw)  # says what is wrong
            else:
                keys[raw] = self.decode_key(tp, raw)
        return keys

    def _range_in_json(self, window_range: WindowRange) -> bytes:
        last = self._last
        if last is None or last[0] is not window_range:
            start, end = window_range
            last = self._last = (window_range, json.dumps((float(start), float(end))))
        return last[1]

    def _decode_key(self, raw: bytes) -> Any:
        user_key, window_range = self._split(raw)
        return self._load_user_key(user_key), window_range

    def _load_user_key(self, raw: bytes) -> Any:
        return super()._decode_key(raw)

    def _split(self, raw: bytes) -> tuple[bytes, WindowRange]:
        """Cut the bytes of a key in two."""
        if raw.startswith(BINARY):
            at = len(BINARY) + DOUBLES.size
            return raw[at:], DOUBLES.unpack(raw[len(BINARY) : at])
        at = raw.rfind(b",[")
        if at > 0 and raw.startswith(b"[") and raw.endswith(b"]]"):
            start, _, end = raw[at + 2 : -2].partition(b",")
            return raw[1:at], (float(start), float(end))
        user_key, (start, end) = json.loads(raw)
        return json.dumps(user_key), (float(start), float(end))


def _reason(exc: Exception) -> str:
    return exc.reason if isinstance(exc, DecodeError) else f"{type(exc).__name__}: {exc}"


_SURE: frozenset[type] = frozenset({bool, type(None), bytes})

_BY_TYPE: dict[Any, frozenset[type]] = {
    None: frozenset({int, float, str, bool, type(None)}),
    int: frozenset({int, type(None)}),
    float: frozenset({float, type(None)}),
    str: frozenset({str, type(None)}),
    bool: frozenset({bool, type(None)}),
}


def _scalars(value_type: Any, serializer: Any) -> frozenset[type]:
    if serializer == "raw":
        return frozenset({bytes})
    try:
        return _BY_TYPE.get(value_type, frozenset()) if serializer == "json" else frozenset()
    except TypeError:  # a type that is not hashable
        return frozenset()
