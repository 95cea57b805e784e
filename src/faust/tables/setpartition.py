"""One partition of a table of sets.

The sets that were looked at are held whole (`SetPartition.sets`); what is dirty, sent and stored are single members. A set is
there as long as it has members; nothing else remembers it.

Invariant: a set with a dirty member, or one that is being sent, is held.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from faust.messages import Record
from faust.stores.base import Change
from faust.tables.followed import FollowedPartition
from faust.tables.partition import MISSING, TablePartition
from faust.tables.setcodec import PRESENT, SetCodec

__all__ = ["FollowedSetPartition", "SetPartition"]

logger: logging.Logger = logging.getLogger(__name__)

STEP = 5000
"""Members between two steps of work that is done in steps."""


REMEMBERED: frozenset[type] = frozenset([str, int])
"""Classes of keys whose bytes are remembered: of what is equal to such a key (``True``, ``1.0``) they differ."""


class SetPartition(TablePartition):
    """The sets of one partition.

    Attributes:
        sets: Members of the sets that were looked at; some may be empty.
    """

    codec: SetCodec  # type: ignore[assignment]  # of pairs

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sets: dict[Any, set[Any]] = {}
        self._raw_keys: dict[Any, bytes] = {}
        """Bytes of keys that were written to, while their sets are held."""
        self._emptied: set[Any] = set()
        """Keys of sets that may be empty and held; only with a volatile store."""
        self._old: dict[bytes, None] = {}
        self._unreadable = False
        self._found: list[Change] = [] if self.volatile else self._translate_store()

    def _translate_store(self) -> list[Change]:
        """Translate a database of faust-streaming, which has whole sets; return its members.

        Its sets lack what was added or discarded last, whatever offset stands beside them. So all that the changelog still has is
        read on top of them.
        """
        first = next(self.store.items(), None)
        if first is None or first[1] == PRESENT:
            return []
        gone: list[Change] = []
        there: list[Change] = []
        for raw, value in self.store.items():
            gone.append((raw, None))
            there += self.codec.members_of(self.tp, raw, value)
        self.store.write([*gone, *there], 0)
        logger.info(
            "Table of sets %s[%d]: translated %d sets with %d members from the older format; reading the whole changelog on top",
            *self.tp,
            len(gone),
            len(there),
        )
        return there

    # -- reading

    def members(self, key: Any) -> set[Any]:
        """Return the members of a set; it is not to be changed, but by `add` and `discard`."""
        found = self.sets.get(key)
        return self._load(key) if found is None else found

    def _load(self, key: Any) -> set[Any]:
        keys = self.codec.keys
        raw_key = keys.encode_key(key)
        if not keys.is_normal(key):
            key = keys.decode_key(self.tp, raw_key)
            if key in self.sets:
                return self.sets[key]
        if self.volatile:
            self._load_all()
            return self.sets.get(key) or set()
        decode, tp = self.codec.decode_key, self.tp
        found = {decode(tp, raw)[1] for raw in self.store.keys(self.codec.prefix(raw_key))}
        if found:
            self.sets[key] = found
            self.trim()
        return found

    def _load_all(self) -> None:
        """Take everything out of a store of memory: it cannot look for the members of one set."""
        if self.store.is_empty():
            return
        raws = list(self.store.keys())
        for raw in raws:
            key, member = self.codec.decode_key(self.tp, raw)
            self.sets.setdefault(key, set()).add(member)
        self.store.write([(raw, None) for raw in raws], None)

    def trim(self) -> None:
        """Let go of empty sets; and if more are held than the bound allows, of half of them, the oldest first."""
        self._drop_emptied()
        too_many = not self.volatile and len(self.sets) > self.max_cached
        if too_many and not self.dirty and not self.sending:
            for key in list(islice(self.sets, self.max_cached // 2)):
                del self.sets[key]
                self._raw_keys.pop(key, None)

    def _drop_emptied(self) -> None:
        """Let go of empty sets of which nothing is left to send."""
        if not self._emptied:
            return
        unsent = {key for key, _ in chain(self.dirty, self.sending)}
        settled = self._emptied - unsent
        self._emptied &= unsent
        for key in settled:
            if not self.sets.get(key, True):
                del self.sets[key]
                self._raw_keys.pop(key, None)

    def find(self, key: Any) -> Any:
        """Return a copy of a set, or `MISSING` when it has no members."""
        return set(self.members(key)) or MISSING

    def load(self, keys: Mapping[bytes, Any]) -> None:
        """Nothing: members are found one set at a time."""

    def has(self, key: Any) -> bool:
        """Say whether a set has members."""
        return bool(self.members(key))

    def keys(self) -> Iterator[Any]:
        """Iterate over the keys of sets that have members, as they are now."""
        if self.volatile:
            self._load_all()
        held = dict(self.sets)
        yield from [key for key, members in held.items() if members]
        for raw in self._stored_keys():
            key = self.codec.keys.decode_key(self.tp, raw)
            if key not in held:
                yield key

    def _stored_keys(self) -> Iterator[bytes]:
        """Iterate over the bytes of the set keys in the store; members of a set stand together."""
        last = None
        seen = set()
        for raw in self.store.keys(b""):
            key = self.codec.split(raw)[0]
            if key != last and key not in seen:
                last = key
                if self.volatile:
                    seen.add(key)
                yield key

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over `keys` with copies of their sets."""
        for key in self.keys():
            members = self.members(key)
            if members:
                yield key, set(members)

    def first(self) -> Any:
        """Return the first key; `MISSING` when there is none."""
        return next(self.keys(), MISSING)

    def __len__(self) -> int:
        return sum(1 for _ in self.keys())

    def about(self) -> int:
        """Return about how many members all sets have together, without scanning."""
        held = sum(len(members) for members in self.sets.values())
        stored = self.store.about()
        return held + stored if self.volatile else max(held, stored)

    # -- writing

    def add(self, key: Any, member: Any) -> bool:
        """Add a member; False when it was there.

        Raises:
            TypeError: Key or member cannot be encoded, or the member is not hashable.
        """
        members = self.sets.get(key)
        if members is None:
            members = self._load(key)
        if member in members:
            return False
        raw_key = self._raw_keys.get(key) if key.__class__ in REMEMBERED else None
        raw = None if raw_key is None else self.codec.plain_pair(raw_key, member)
        if raw is None:
            key, member, raw = self._pair(key, member)
        held = self.sets.setdefault(key, members)
        if held is not members and member in held:
            return False
        if not held and self.expiry is not None:
            self.expiry.added(key, self.codec.keys.encode_key(key))
        held.add(member)
        self.dirty[key, member] = raw
        return True

    def discard(self, key: Any, member: Any) -> bool:
        """Remove a member; False when it was not there."""
        members = self.members(key)
        if not members:
            return False
        if member not in members:
            key, member, _ = self._pair(key, member)
            if member not in members:
                return False
        elif not self.codec.keys.is_normal(key):
            key, _, _ = self._pair(key, member)
        members.discard(member)
        self.sets[key] = members
        self.dirty[key, member] = None
        if not members:
            self._note_emptied(key)
            if self.expiry is not None:
                self.expiry.deleted(key)
        return True

    def _note_emptied(self, key: Any) -> None:
        """A set that is held has become empty: of a volatile store nothing else would let it go."""
        if self.volatile:
            self._emptied.add(key)

    def _pair(self, key: Any, member: Any) -> tuple[Any, Any, bytes]:
        """Return key and member as they come back from the wire, and their bytes."""
        codec = self.codec
        plain = key.__class__ in REMEMBERED
        raw_key = self._raw_keys.get(key) if plain else None
        if raw_key is None:
            raw_key = codec.keys.encode_key(key)
            normal = codec.keys.normal_key(self.tp, key, raw_key)
            if plain and normal is key and key in self.sets:
                self._raw_keys[key] = raw_key
            key = normal
        raw_member = codec.encode_member(member)
        if member is not None:
            member = codec.members.normal_key(self.tp, member, raw_member)
        return key, member, codec.join(raw_key, raw_member)

    def delete(self, key: Any, raw_key: bytes | None = None) -> None:  # noqa: ARG002 - a set has several
        """Remove all members of a set; KeyError when it has none."""
        members = list(self.members(key))
        if not members:
            raise KeyError(key)
        for member in members:
            self.discard(key, member)

    def delete_all(self, keys: Mapping[bytes, Any]) -> list[Any]:
        """Remove all members of sets; return the keys of those that had any."""
        deleted = []
        for raw, key in keys.items():
            if self.has(key):
                self.delete(key)
                deleted.append(key)
            elif self.expiry is not None:
                self.expiry.deleted(key, raw)
        return deleted

    def clear(self) -> None:
        """Remove all members of all sets."""
        for key in list(self.keys()):
            self.delete(key)

    def encoded(self, key: Any) -> bytes | None:
        """Return what the changelog says of a member."""
        set_key, member = key
        return PRESENT if member in self.sets.get(set_key, ()) else None

    # -- recovery

    def changes_of(self, records: Sequence[Record]) -> list[Change]:
        """Return what *records* of either format change in the store."""
        changes: list[Change] = []
        old = self._old
        for record in records:
            if record.key is None:
                continue
            found, is_old = self.codec.changes_of(self.tp, record)
            changes += found
            if self.record_of is not None:
                self._unreadable = self._unreadable or not is_old
                continue
            for raw, _ in found:
                if is_old:
                    old[raw] = None
                elif old:
                    old.pop(raw, None)
        return changes

    def make_way(self, changes: list[Change]) -> list[Change]:
        """Apply changes to sets that are held; return those for the store."""
        if not self.sets:
            return changes
        left: list[Change] = []
        for raw, value in changes:
            key, member = self.codec.decode_key(self.tp, raw)
            held = self.sets.get(key)
            if held is None or not self.volatile:
                left.append((raw, value))
            if held is None or (key, member) in self.dirty or (key, member) in self.sending:
                continue
            if value is not None:
                held.add(member)
                continue
            held.discard(member)
            if not held:
                self._note_emptied(key)
        self._drop_emptied()
        return left

    def recovered(self) -> Iterator[None]:
        """Bring up to date what is derived; and write again what came in the older format."""
        yield from super().recovered()
        if self._unreadable:
            logger.warning(
                "Table of sets %s[%d]: the changelog has records of single members, which faust-streaming cannot read. To have "
                "them written again as operations, stop all workers and run `faust repartition TABLE --rewrite`",
                *self.tp,
            )
            self._unreadable = False
        old, self._old = self._old, {}
        self._found = []
        for count, raw in enumerate(old):
            key, member = self.codec.decode_key(self.tp, raw)
            members = self.sets[key] = self.members(key)
            self.dirty[key, member] = raw
            if not members:
                self._note_emptied(key)
            if not count % STEP:
                yield

    def all_raw_keys(self) -> Iterator[bytes]:
        """Iterate over the bytes of the keys of all sets that have members."""
        yield from self._stored_keys()
        if self.volatile:
            encode = self.codec.keys.encode_key
            yield from (encode(key) for key, members in list(self.sets.items()) if members)

    def key_of(self, raw: bytes) -> Any:
        """Decode what `all_raw_keys` gives."""
        return self.codec.keys.decode_key(self.tp, raw)

    def forget_live(self) -> None:
        """Forget what is held, but not what is stored."""
        super().forget_live()
        self.sets.clear()
        self._raw_keys.clear()
        self._emptied.clear()

    def begin(self) -> None:
        """A recovery begins."""
        super().begin()
        self._old = {raw: None for raw, _ in self._found}

    def wipe(self) -> None:
        """Forget everything but what only a database of faust-streaming knew: its changelog keeps no set for ever."""
        super().wipe()
        if self._found:
            self.store.write(self._found, None)


class FollowedSetPartition(FollowedPartition, SetPartition):
    """One partition of a global table of sets."""

    def index(self, changes: Sequence[Change]) -> None:
        """Tell the index of windows what has come."""
        if self.expiry is None:
            return
        for raw, _ in changes:
            key, _member = self.codec.decode_key(self.tp, raw)
            if self.members(key):
                self.expiry.added(key, self.codec.keys.encode_key(key))
            else:
                self.expiry.deleted(key)
