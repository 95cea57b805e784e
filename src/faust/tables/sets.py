"""Tables of sets: a mapping from key to a set that survives.

``table[key]`` is a `ChangeloggedSet`: it looks into the table each time it is used, so it can be kept. A set is there as
long as it has members: a key that was only looked at, or whose set was emptied, is not in the table, before a restart as after it.

Members are kept in the form that the changelog gives them, as other tables' keys: arrays are tuples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSet
from typing import Any, ClassVar, Generic, NoReturn, cast

from faust._core.iteration import current_cursor
from faust.exceptions import ImproperlyConfigured
from faust.messages import TP, K, V
from faust.stores.base import Change, PartitionStore
from faust.tables.codec import TableCodec
from faust.tables.expiry import WindowIndex
from faust.tables.setcodec import SetCodec
from faust.tables.setmanager import SetTableManager
from faust.tables.setpartition import FollowedSetPartition, SetPartition
from faust.tables.setwindows import SetWindowWrapper
from faust.tables.windowable import WindowableCollection
from faust.tables.windowed import WindowWrapper

__all__ = ["ChangeloggedSet", "SetGlobalTable", "SetTable"]


class ChangeloggedSet(MutableSet[V], Generic[V]):
    """The set of one key. Has everything that a `set` has; binary operators give plain sets.

    Subclasses may override the hooks, which are called before anything is changed, and may prevent it by raising.

    Attributes:
        table: Its table.
        key: Its key.
    """

    __slots__ = ("key", "table")

    def __init__(self, table: SetTable[Any, V], key: Any) -> None:
        self.table: SetTable[Any, V] = table
        self.key: Any = key

    # -- hooks

    def on_add(self, value: V) -> None:
        """A member is going to be added."""

    def on_discard(self, value: V) -> None:
        """A member is going to be removed."""

    def on_clear(self) -> None:
        """All members are going to be removed."""

    def on_change(self, added: set[V], removed: set[V]) -> None:
        """Members are going to be added and removed."""

    # -- reading

    def _members(self) -> set[V]:
        for partition in self.table.readable():
            members: set[V] = partition.members(self.key)  # type: ignore[attr-defined]  # of sets
            if members:
                return members
        return set()

    def __contains__(self, value: object) -> bool:
        members = self._members()
        if value in members:
            return True
        return bool(members) and self.table.normal_member(value) in members

    def __iter__(self) -> Iterator[V]:
        return iter(list(self._members()))

    def __len__(self) -> int:
        return len(self._members())

    def __json__(self) -> list[V]:
        """Return what stands in JSON for this set (`faust.utils.json.dumps`)."""
        return list(self._members())

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        return set(it)

    def copy(self) -> set[V]:
        """Return the members in a plain set."""
        return set(self._members())

    def union(self, *others: Iterable[Any]) -> set[Any]:
        """Return the members, and those of *others*."""
        return self.copy().union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[Any]:
        """Return the members that are in all *others*."""
        return self.copy().intersection(*others)

    def difference(self, *others: Iterable[Any]) -> set[Any]:
        """Return the members that are in none of *others*."""
        return self.copy().difference(*others)

    def symmetric_difference(self, other: Iterable[Any]) -> set[Any]:
        """Return what is either a member or in *other*, but not both."""
        return self.copy().symmetric_difference(other)

    def issubset(self, other: Iterable[Any]) -> bool:
        """Say whether all members are in *other*."""
        return self.copy().issubset(other)

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Say whether all of *other* are members."""
        return self.copy().issuperset(other)

    # -- writing

    def _partition(self) -> SetPartition:
        return cast("SetPartition", self.table.place_to_write(current_cursor.get(), self.key))

    def add(self, value: V) -> None:
        """Add a member."""
        table, key = self.table, self.key
        cursor = current_cursor.get()
        if (
            cursor is None or cursor.record is None or cursor.lane.task is not table.write_task  # type: ignore[union-attr]  # a record has a lane
        ):
            partition = self._partition()
        else:
            partition = cast("SetPartition", table.write_to)
        if value not in (partition.sets.get(key) or partition.members(key)):
            self.on_add(value)
            if partition.add(key, value):
                table.note_change(partition, key, value, there=True)

    def discard(self, value: V) -> None:
        """Remove a member if it is one."""
        self._remove(self._partition(), value)

    def remove(self, value: V) -> None:
        """Remove a member.

        Raises:
            KeyError: It is none.
        """
        if not self._remove(self._partition(), value):
            raise KeyError(value)

    def _remove(self, partition: SetPartition, value: V) -> bool:
        members = partition.members(self.key)
        if value not in members and (not members or self.table.normal_member(value) not in members):
            return False
        self.on_discard(value)
        gone = partition.discard(self.key, value)
        if gone:
            self.table.note_change(partition, self.key, value, there=False)
        return gone

    def pop(self) -> V:
        """Remove and return some member.

        Raises:
            KeyError: There is none.
        """
        partition = self._partition()
        value: V = next(iter(partition.members(self.key)), _NONE)
        if value is _NONE:
            raise KeyError("pop from an empty set")
        self._remove(partition, value)
        return value

    def clear(self) -> None:
        """Remove all members."""
        partition = self._partition()
        removed = set(partition.members(self.key))
        if removed:
            self.on_clear()
            self._change(partition, set(), removed)

    def update(self, *others: Iterable[V]) -> None:
        """Add the members of *others*."""
        partition = self._partition()
        added = set().union(*others) - partition.members(self.key)
        self._announce(partition, added, set())

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove the members of *others*."""
        partition = self._partition()
        removed = self._normal(set().union(*others)) & partition.members(self.key)
        self._announce(partition, set(), removed)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep only members that are in all *others*."""
        partition = self._partition()
        members = partition.members(self.key)
        kept = members.intersection(*(self._normal(other) for other in others))
        self._announce(partition, set(), members - kept)

    def symmetric_difference_update(self, other: Iterable[V]) -> None:
        """Remove those of *other* that are members, and add those that are not."""
        partition = self._partition()
        members = partition.members(self.key)
        given = self._normal(other)
        self._announce(partition, given - members, given & members)

    def _normal(self, values: Iterable[Any]) -> set[Any]:
        return set(map(self.table.normal_member, values))

    def _announce(self, partition: SetPartition, added: set[Any], removed: set[Any]) -> None:
        if added or removed:
            self.on_change(added, removed)
            self._change(partition, added, removed)

    def _change(self, partition: SetPartition, added: set[Any], removed: set[Any]) -> None:
        for value in added:
            self.table.codec.encode_member(value)  # all or nothing
        for value in added:
            if partition.add(self.key, value):
                self.table.note_change(partition, self.key, value, there=True)
        for value in removed:
            if partition.discard(self.key, value):
                self.table.note_change(partition, self.key, value, there=False)

    def __ior__(self, other: Iterable[V]) -> ChangeloggedSet[V]:  # type: ignore[override, misc]
        self.update(other)
        return self

    def __isub__(self, other: Iterable[Any]) -> ChangeloggedSet[V]:
        self.difference_update(other)
        return self

    def __iand__(self, other: Iterable[Any]) -> ChangeloggedSet[V]:
        self.intersection_update(other)
        return self

    def __ixor__(self, other: Iterable[V]) -> ChangeloggedSet[V]:  # type: ignore[override, misc]
        self.symmetric_difference_update(other)
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.table.name}[{self.key!r}]: {self.copy()!r}>"


_NONE: Any = object()


class SetTable(
    WindowableCollection[K, ChangeloggedSet[V]],
    MutableMapping[K, ChangeloggedSet[V]],
    Generic[K, V],
):
    """A table of sets; made by ``app.SetTable``.

    ``value_type`` is the type of members. Options are those of `faust.Table`, without ``default`` (a missing set is
    empty), ``aliasing`` and ``ttl``, and with these:

    Arguments:
        start_manager: Start an agent that changes sets for others, see `SetTableManager`.
        manager_topic_name: The topic it reads; None: the table's name and *manager_topic_suffix*.
        manager_topic_suffix: See there.

    Example::

        members = app.SetTable("members", value_type=str)

        @app.agent(logins)
        async def collect(stream):
            async for user in stream:
                members["online"].add(user)
    """

    kind = "SetTable"

    keys_retrieved: int
    keys_updated: int
    keys_deleted: int
    Wrapper: ClassVar[type[WindowWrapper]] = SetWindowWrapper
    ValueType: ClassVar[type[ChangeloggedSet[Any]]] = ChangeloggedSet

    def __init__(
        self,
        *args: Any,
        start_manager: bool = False,
        manager_topic_name: str | None = None,
        manager_topic_suffix: str = "-setmanager",
        **options: Any,
    ) -> None:
        for option in ("default", "aliasing", "ttl"):
            if options.get(option):
                raise ValueError(
                    f"table {options.get('name')!r}: a table of sets knows no {option}="
                )
        super().__init__(*args, **options)
        self.start_manager = start_manager
        self.manager_topic_suffix = manager_topic_suffix
        self.manager_topic_name: str = manager_topic_name or self.name + manager_topic_suffix
        self.manager: SetTableManager = SetTableManager(self)
        if start_manager:
            self.manager.start()

    # -- how it is kept

    codec: SetCodec  # type: ignore[assignment]  # of pairs of key and member

    def changes_of(self, tp: TP, record: Any) -> list[Change]:
        """Return what a record of the changelog changes in a store; those of the older format are translated."""
        changes: list[Change] = self.codec.changes_of(tp, record)[0]
        return changes

    @property
    def writes_operations(self) -> bool:
        """Say whether the changelog is written in the format of faust-streaming: setting ``table_set_changelog_format``."""
        return not self.is_global and self.app.conf.table_set_changelog_format == "operations"

    @property
    def changelog_config(self) -> dict[str, str]:
        """Options of the changelog topic; operations are kept, since compaction would leave one of each set."""
        config = super().changelog_config
        if self.writes_operations:
            kept = {"retention.ms": "-1", "retention.bytes": "-1", **config}
            config = {**kept, "cleanup.policy": "delete"}
        return config

    async def declare(self, partitions: int) -> Any:
        """Create the changelog topic, as other tables do.

        Raises:
            ImproperlyConfigured: Operations are to be written, but keys or members are not JSON, or the topic is compacted.
        """
        if self.writes_operations and not self.codec.has_operations:
            raise ImproperlyConfigured(
                f"table {self.name!r}: its keys or members are bytes, for which the log of operations of faust-streaming has no "
                "form. Use another key_type and value_type, or table_set_changelog_format=members"
            )
        outcome = await super().declare(partitions)
        if self.writes_operations and outcome is not None:
            for difference in outcome.differences:
                if difference.startswith("cleanup.policy:") and "compact" in difference:
                    raise ImproperlyConfigured(
                        f"table {self.name!r}: the setting table_set_changelog_format wants operations to be written, but the "
                        f"changelog {self.changelog_topic_name} is compacted ({difference}), which would leave the last operation "
                        f"of each set. Stop all workers and run `faust repartition {self.name} --rewrite`"
                    )
        return outcome

    def record_of(self, raw: bytes, value: bytes | None) -> tuple[bytes, bytes | None]:
        """Return the record of the changelog that says what stands in a store."""
        return self.codec.operation_of(raw, value) if self.writes_operations else (raw, value)

    def placed_by(self, tp: TP, raw: bytes) -> Any:
        """Return the key of the set, without window and member."""
        key = self.codec.decode_key(tp, raw)[0]
        return key if self.window is None else key[0]

    def make_codec(self) -> Any:
        """Compile the codec."""
        members = TableCodec(
            self.compiler(),
            table=self.name,
            key_type=self.value_type,
            value_type=None,
            schema=_Swapped(self.schema) if self.schema is not None else None,
        )
        return SetCodec(super().make_codec(), members)

    def make_partition(self, tp: TP, store: PartitionStore) -> SetPartition:
        """Make the object that holds a partition."""
        kind = FollowedSetPartition if self.is_global else SetPartition
        partition = kind(
            tp,
            self.codec,
            store,
            volatile=self.data.volatile,
            buffer_size=self.recovery_buffer_size,
            expiry=self.make_expiry(tp.partition),
        )
        if self.writes_operations:
            partition.record_of = self.codec.operation_of
        return partition

    def make_expiry(self, number: int) -> WindowIndex | None:
        """Make what knows when windows have to go."""
        return self.make_window_index(number, self.codec.keys)

    def normal_member(self, value: Any) -> Any:
        """Return *value* as it comes back from the changelog."""
        members = self.codec.members
        if value is None or members.is_normal(value):
            return value
        return members.decode_key(TP(self.changelog_topic_name, -1), members.encode_key(value))

    def encode_place(self, key: Any) -> bytes:
        """Return the bytes by which the partitioner chooses."""
        return self.codec.keys.encode_key(key)

    def note_change(self, partition: SetPartition, key: Any, value: Any, *, there: bool) -> None:
        """A member was added or removed."""
        if there:
            self.keys_updated += 1
            hook = self._hooks.on_table_set
            if hook is not None:
                hook(self, key, value)
        else:
            self.keys_deleted += 1
            if self._hooks.on_table_del is not None:
                self._hooks.on_table_del(self, key)
        if len(partition.dirty) >= self.max_dirty:
            self.on_full()

    def refuse_write(self) -> NoReturn:
        """Raise what a write outside of streams raises."""
        raise RuntimeError(
            f"table {self.name!r}: sets can be changed only while a stream is iterated, since a change belongs to the "
            "partition of the event in hand. Elsewhere use table.manager (start_manager=True), or send an event to "
            "the agent that owns the table"
        )

    # -- a mapping

    def __getitem__(self, key: K) -> ChangeloggedSet[V]:
        self.keys_retrieved += 1
        hook = self._hooks.on_table_get
        if hook is not None:
            hook(self, key)
        return self.ValueType(self, key)

    def __setitem__(self, key: K, value: Any) -> None:
        if isinstance(value, ChangeloggedSet) and value.table is self and value.key == key:
            return  # the end of ``table[key] |= ...``
        raise NotImplementedError(
            f"table {self.name!r}: a set cannot be assigned; change the one that is there: table[key].update(...)"
        )

    def __delitem__(self, key: K) -> None:
        raise NotImplementedError(
            f"table {self.name!r}: a set cannot be deleted; empty it: table[key].clear()"
        )

    def clear(self) -> None:
        """Refuse, as for a single set.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"table {self.name!r}: sets cannot be deleted; empty them: table[key].clear()"
        )

    def __contains__(self, key: object) -> bool:
        return any(partition.has(key) for partition in self.readable())

    def __iter__(self) -> Iterator[K]:
        for partition in self.readable():
            yield from partition.keys()

    def __len__(self) -> int:
        return sum(len(partition) for partition in self.readable())

    def copy(self) -> dict[K, set[V]]:
        """Return keys and sets in a plain dict."""
        return {key: found.copy() for key, found in self.items()}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return self is other or dict(self.items()) == dict(other.items())

    def __hash__(self) -> int:
        return object.__hash__(self)

    def info(self) -> dict[str, Any]:
        """Return the arguments with which `clone` makes a copy; the copy has no manager."""
        info = super().info()
        for name in ("default", "aliasing", "ttl"):
            del info[name]
        return info


class SetGlobalTable(SetTable[K, V]):
    """A table of sets of which every worker has all partitions; made by ``app.SetGlobalTable``."""

    kind = "SetGlobalTable"

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("is_global", True)
        options.setdefault("standby_buffer_size", 1)
        super().__init__(*args, **options)


class _Swapped:
    """What a schema says of values, said of keys: members stand in the keys of the changelog."""

    value_type = None
    value_serializer = None

    def __init__(self, schema: Any) -> None:
        self.key_type: Any = schema.value_type
        self.key_serializer: Any = schema.value_serializer
