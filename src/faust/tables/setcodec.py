r"""How tables of sets look in their changelogs.

One record per set and member, so that the topic can be compacted and each member lives as long as it is in the set::

    key [3,"k","m"]   value 1       "m" is in the set "k"
    key [3,"k","m"]   no value      it is not

Where key or member are not JSON (bytes) the key is ``\0s1``, the length of the set's key in four bytes, that key, and the member.

The older format, a log of operations, is still read: keys ``[1,"k"]`` (the value is added), ``[2,"k"]`` (discarded) and
``[15,"k"]`` (the value is ``[[added...],[removed...]]``). What comes from there is written again in the new form, once; unless
the setting ``table_set_changelog_format`` says that the older format is to be written, for workers of faust-streaming.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from faust.exceptions import KeyDecodeError
from faust.messages import TP, Record
from faust.stores.base import Change
from faust.tables.codec import NULL, TableCodec, hashable
from faust.utils import json

__all__ = ["PRESENT", "SetCodec"]

PRESENT = b"1"
BINARY = b"\0s1"
LENGTH = Struct(">I")

ADD, DISCARD, UPDATE = b"[1,", b"[2,", b"[15,"


class SetCodec:
    """Encodes and decodes what a table of sets holds: pairs of set key and member.

    Arguments:
        keys: Codec whose keys are the keys of the table.
        members: Codec whose keys are the members.
    """

    def __init__(self, keys: TableCodec, members: TableCodec) -> None:
        self.keys = keys
        self.members = members
        self.table: str = keys.table
        self.ints = False
        self._json = keys.json_keys and members.json_keys
        self._untyped = type(keys) is TableCodec and keys.key_type in (None, str)
        self._untyped_members = members.key_type in (None, str)

    @property
    def key_serializer(self) -> Any:
        """Codec of the keys of the table."""
        return self.keys.key_serializer

    @property
    def value_serializer(self) -> Any:
        """Codec of members."""
        return self.members.key_serializer

    @property
    def key_type(self) -> Any:
        """Type of the keys of the table."""
        return self.keys.key_type

    # -- one member

    def encode_key(self, pair: tuple[Any, Any]) -> bytes:
        """Encode set key and member.

        Raises:
            TypeError: One of them cannot be encoded.
        """
        key, member = pair
        return self.join(self.keys.encode_key(key), self.encode_member(member))

    def encode_member(self, member: Any) -> bytes:
        """Encode a member; None is one."""
        if member is None and self.members.json_keys:
            return NULL
        return self.members.encode_key(member)

    def join(self, key: bytes, member: bytes) -> bytes:
        """Put the bytes of set key and member together."""
        if self._json:
            return b"[3,%b,%b]" % (key, member)
        return BINARY + LENGTH.pack(len(key)) + key + member

    def plain_pair(self, key: bytes, member: Any) -> bytes | None:
        """Return the bytes of set key and member, if it is certain that the member comes back as it is; else None."""
        raw = self.members.plain(member) if self._json else None
        return None if raw is None else self.join(key, raw)

    def prefix(self, key: bytes) -> bytes:
        """Return what all members of a set begin with."""
        if self._json:
            return b"[3,%b," % key
        return BINARY + LENGTH.pack(len(key)) + key

    def split(self, raw: bytes) -> tuple[bytes, bytes]:
        """Return the bytes of set key and member."""
        if raw.startswith(BINARY):
            at = len(BINARY) + LENGTH.size
            (length,) = LENGTH.unpack(raw[len(BINARY) : at])
            return raw[at : at + length], raw[at + length :]
        _, key, member = json.loads(raw)
        return json.dumps(key), json.dumps(member)

    def decode_key(self, tp: TP, raw: bytes) -> tuple[Any, Any]:
        """Decode set key and member.

        Raises:
            KeyDecodeError: Naming table, topic, partition and the bytes.
        """
        try:
            if self._json and self._untyped and self._untyped_members:
                _, key, member = json.loads(raw)
                return hashable(key), hashable(member)
            raw_key, raw_member = self.split(raw)
        except (ValueError, TypeError) as exc:
            raise KeyDecodeError(
                f"changelog of the table of sets {self.table!r}, partition {tp.topic}[{tp.partition}]: {exc}",
                payload=raw,
            ) from exc
        return self.keys.decode_key(tp, raw_key), self.decode_member(tp, raw_member)

    def decode_member(self, tp: TP, raw: bytes) -> Any:
        """Decode a member."""
        if raw == NULL and self.members.json_keys:
            return None
        return self.members.decode_key(tp, raw)

    def decode_value(self, tp: TP, key: Any, raw: bytes) -> Any:  # noqa: ARG002 - as of other tables
        """Decode what stands behind a member; for those who watch the changelog."""
        return json.loads(raw)

    # -- the changelog

    def changes_of(self, tp: TP, record: Record) -> tuple[list[Change], bool]:
        """Return what a record changes, and whether it is of the older format.

        Raises:
            KeyDecodeError: It is of no format.
        """
        raw, value = record.key, record.value
        assert raw is not None
        if raw.startswith((b"[3,", BINARY)):
            return [(raw, value)], False
        try:
            if raw.startswith((ADD, DISCARD)) and raw.endswith(b"]"):
                there = PRESENT if raw.startswith(ADD) else None
                return [] if value is None else [(self._old(raw[3:-1], value), there)], True
            if raw.startswith(UPDATE) and raw.endswith(b"]"):
                added, removed = ((), ()) if value is None else json.loads(value)
                key = raw[4:-1]
                return [
                    *((self._old(key, json.dumps(member)), PRESENT) for member in added),
                    *((self._old(key, json.dumps(member)), None) for member in removed),
                ], True
        except (ValueError, TypeError) as exc:
            reason = str(exc)
        else:
            reason = "no operation on sets that this version knows"
        raise KeyDecodeError(
            f"changelog of the table of sets {self.table!r}, {tp.topic}[{tp.partition}] at offset {record.offset}: "
            f"{reason}",
            payload=raw,
        )

    @property
    def has_operations(self) -> bool:
        """Say whether the older format has words for keys and members of this table: all that are JSON."""
        return self._json

    def operation_of(self, raw: bytes, value: bytes | None) -> tuple[bytes, bytes]:
        """Return key and value of the record of the older format that says what *raw* and *value* say."""
        key, member = self.split(raw)
        return (b"[1,%b]" if value is not None else b"[2,%b]") % key, member

    def members_of(self, tp: TP, raw: bytes, value: bytes) -> list[Change]:
        """Return the members of a whole set, as databases of faust-streaming have it.

        Raises:
            KeyDecodeError: It is none.
        """
        try:
            members = json.loads(value)
            return [(self._old(raw, json.dumps(member)), PRESENT) for member in members]
        except (ValueError, TypeError) as exc:
            raise KeyDecodeError(
                f"table of sets {self.table!r}, store of {tp.topic}[{tp.partition}]: {raw[:60]!r} is no set of this version, "
                f"nor of faust-streaming: {exc}",
                payload=raw,
            ) from exc

    def _old(self, key: bytes, member: bytes) -> bytes:
        """Put key and member of the older format together, in the one spelling that counts."""
        key, member = (
            json.dumps(json.loads(part)) if b"\\u" in part else part for part in (key, member)
        )
        if self._json:
            return self.join(key, member)
        raise KeyDecodeError(
            "the older format has no bytes, which this table has for keys or members", payload=key
        )
