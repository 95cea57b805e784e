"""How a table's keys and values look in its changelog.

The wire format is that of the documents: JSON without blanks and in raw UTF-8, or the bytes themselves for tables of
``bytes``. Two rules make it safe:

* JSON arrays in keys become tuples, on every way in, so that a recovered key is hashable and equal to the one written;
* bytes never slip into a JSON table unquoted: they could not be read back.

A key must have one encoding for ever (compaction and partitioning go by its bytes), so keys are encoded by the same
canonical JSON on every worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from faust.exceptions import DecodeError, KeyDecodeError, ValueDecodeError
from faust.messages import TP

__all__ = ["Compiler", "TableCodec", "serializer_for"]


NULL = b"null"
"""The value None, of whatever type the table's values are. (A deleted key has no value at all.)"""


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

    Attributes:
        key_serializer: Name of the keys' serializer.
        value_serializer: Name of the values' serializer.
        plain_values: Values may be bytes.
    """

    def __init__(self, compiler: Compiler, *, table: str, key_type: Any, value_type: Any) -> None:
        self.table = table
        self.key_serializer: Any = serializer_for(key_type)
        self.value_serializer: Any = serializer_for(value_type)
        self.plain_values: Any = self.value_serializer == "raw"
        self._plain_keys = self.key_serializer == "raw"
        self._dump_key = compiler.compile_dumps(key_type, self.key_serializer, key=True)
        self._load_key = compiler.compile_loads(key_type, self.key_serializer, key=True)
        self._dump_value = compiler.compile_dumps(value_type, self.value_serializer)
        self._load_value = compiler.compile_loads(value_type, self.value_serializer)

    def encode_key(self, key: Any) -> bytes:
        """Encode a key; what is returned may be kept (bytes made by orjson hold on to some kilobytes each).

        Raises:
            TypeError: It cannot be a key of this table.
        """
        try:
            raw = self._dump_key(key)
        except Exception as exc:
            raise self._unencodable("key", key, exc) from exc
        if raw.__class__ is bytes and (self._plain_keys or key.__class__ is not bytes):
            return b"%b" % raw
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
        if raw.__class__ is bytes and (self.plain_values or value.__class__ is not bytes):
            return raw
        return self._refuse_value(key, value, raw)

    def _refuse_key(self, key: Any, raw: Any) -> NoReturn:
        if key is None:
            raise TypeError(f"table {self.table!r}: None cannot be a key")
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
            key = self._load_key(raw)
            return hashable(key) if key.__class__ is list else key
        except Exception as exc:
            raise KeyDecodeError(
                f"changelog of table {self.table!r}, partition {tp.topic}[{tp.partition}]: "
                f"{_reason(exc)}",
                payload=raw,
            ) from exc

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


def _reason(exc: Exception) -> str:
    return exc.reason if isinstance(exc, DecodeError) else f"{type(exc).__name__}: {exc}"
