"""The tests that every table store must pass, for stores of this package and of others.

Subclass `StoreContract` in a test module, say how to make a store, and pytest does the rest (any other runner that
calls methods named ``test_*`` will do; nothing but the standard library is needed)::

    class TestMyStore(StoreContract):
        def make(self, directory, table="totals"):
            return MyStore(URL("mine://"), table=table, directory=directory)
"""

from __future__ import annotations

import abc
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from faust.stores.base import PartitionStore, Store

__all__ = ["StoreContract"]


class StoreContract(abc.ABC):
    """What `faust.stores.base.Store` promises, as tests."""

    @abc.abstractmethod
    def make(self, directory: Path, table: str = "totals") -> Store:
        """Make the store of *table* with its files, if it has any, below *directory*."""

    def run(self, scenario: Callable[[Store, Path], Awaitable[None]]) -> None:
        """Run *scenario* with a store and a directory of its own."""

        async def main(directory: Path) -> None:
            store = self.make(directory)
            try:
                await scenario(store, directory)
            finally:
                await store.close()

        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(main(Path(directory)))

    def run_partition(self, scenario: Callable[[PartitionStore], None]) -> None:
        """Run *scenario* with an open partition."""

        async def main(store: Store, _directory: Path) -> None:
            scenario(await store.open(0))

        self.run(main)

    def test_a_new_partition_knows_nothing(self) -> None:
        """Nothing is in it, and it is read from the beginning of the changelog."""

        def scenario(partition: PartitionStore) -> None:
            assert partition.persisted_offset is None
            assert partition.get(b"a") is None
            assert (list(partition.keys()), list(partition.items())) == ([], [])
            assert list(partition.notes()) == []
            assert len(partition) == 0

        self.run_partition(scenario)

    def test_changes_count_in_their_order(self) -> None:
        """Put, delete and put again of one key within one write leave the last value, also an empty one."""

        def scenario(partition: PartitionStore) -> None:
            partition.write([(b"k", b"5"), (b"k", None), (b"k", b"0"), (b"e", b"")], 3)
            partition.write([(b"gone", b"1"), (b"gone", None), (b"never", None)], 6)
            assert sorted(partition.items()) == [(b"e", b""), (b"k", b"0")]
            assert (partition.get(b"k"), partition.get(b"e")) == (b"0", b"")
            assert partition.get(b"gone") is None
            assert len(partition) == 2
            assert not partition.is_empty()

        self.run_partition(scenario)

    def test_counting_without_a_scan(self) -> None:
        """`about` is right as long as every key was written once."""

        def scenario(partition: PartitionStore) -> None:
            assert partition.about() == 0
            partition.write([(b"%d" % number, b"x") for number in range(100)], 100)
            assert partition.about() == len(partition) == 100
            partition.clear()
            assert partition.about() == 0

        self.run_partition(scenario)

    def test_keys_and_values_are_any_bytes(self) -> None:
        """No byte is special, in keys or in values."""

        def scenario(partition: PartitionStore) -> None:
            entries = {bytes([n]): bytes([255 - n]) * n for n in range(256)}
            partition.write(list(entries.items()), 256)
            assert dict(partition.items()) == entries
            assert set(partition.keys()) == set(entries)

        self.run_partition(scenario)

    def test_many_keys_at_once(self) -> None:
        """`get_many` finds what `get` finds, in the order it is asked for, also twice and for nothing."""

        def scenario(partition: PartitionStore) -> None:
            partition.write([(b"a", b"1"), (b"b", b""), (b"c", b"3")], 3)
            assert list(partition.get_many([b"c", b"x", b"b", b"c"])) == [b"3", None, b"", b"3"]
            assert list(partition.get_many([])) == []

        self.run_partition(scenario)

    def test_the_offset_moves_only_when_it_is_given(self) -> None:
        """A write without an offset leaves it; offset 0 is an offset."""

        def scenario(partition: PartitionStore) -> None:
            partition.write([(b"a", b"1")], None)
            assert partition.persisted_offset is None
            partition.write([], 0)
            assert partition.persisted_offset == 0
            partition.write([(b"b", b"1")], 42)
            partition.write([(b"b", b"2")], None)
            assert partition.persisted_offset == 42

        self.run_partition(scenario)

    def test_keys_by_prefix(self) -> None:
        """Of the keys, those can be had that begin with some bytes."""

        def scenario(partition: PartitionStore) -> None:
            partition.write([(key, b"1") for key in (b"a", b"ab", b"abc", b"b", b"aa")], 5)
            assert sorted(partition.keys(b"ab")) == [b"ab", b"abc"]
            assert list(partition.keys(b"c")) == []

        self.run_partition(scenario)

    def test_iterations_are_not_disturbed(self) -> None:
        """What is written meanwhile neither disturbs an iteration nor shows in it."""

        def scenario(partition: PartitionStore) -> None:
            partition.write([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")], 3)
            keys, items = partition.keys(), partition.items()
            assert next(keys) in {b"a", b"b", b"c"}
            partition.write([(b"a", None), (b"b", b"9"), (b"d", b"4")], 6)
            assert len(list(keys)) == 2
            assert sorted(items) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]

        self.run_partition(scenario)

    def test_notes_are_apart_from_entries(self) -> None:
        """Notes are kept with the entries, and show in nothing but `notes`."""

        def scenario(partition: PartitionStore) -> None:
            partition.write([(b"a", b"1")], 1, [(b"a", b"then"), (b"b", b"now")])
            partition.write([], None, [(b"b", None)])
            assert list(partition.notes()) == [(b"a", b"then")]
            assert list(partition.items()) == [(b"a", b"1")]
            assert list(partition.keys()) == [b"a"]
            assert len(partition) == 1
            partition.write([(b"a", None)], 2)
            assert list(partition.notes()) == [(b"a", b"then")]

        self.run_partition(scenario)

    def test_clear_forgets_everything(self) -> None:
        """Entries, notes and offset are gone, an iteration ends, and the partition can be used again."""

        def scenario(partition: PartitionStore) -> None:
            partition.write([(b"a", b"1"), (b"b", b"1")], 7, [(b"a", b"then")])
            partition.identify("topic-1")
            started = partition.keys()
            next(started)
            partition.clear()
            assert list(started) in ([], [b"b"])
            assert partition.persisted_offset is None
            assert partition.topic_id == ""
            assert (partition.get(b"a"), list(partition.notes())) == (None, [])
            partition.write([(b"c", b"2")], 1)
            assert list(partition.items()) == [(b"c", b"2")]

        self.run_partition(scenario)

    def test_the_topic_is_remembered(self) -> None:
        """The identity of the topic is what was said last; an empty one says nothing; no key shows of it."""

        def scenario(partition: PartitionStore) -> None:
            assert partition.topic_id == ""
            partition.identify("topic-1")
            partition.identify("")
            assert partition.topic_id == "topic-1"
            partition.identify("topic-2")
            assert (partition.topic_id, list(partition.keys()), len(partition)) == (
                "topic-2",
                [],
                0,
            )

        self.run_partition(scenario)

    def test_partitions_share_nothing(self) -> None:
        """What is written to one partition does not show in another; each has an offset of its own."""

        async def scenario(store: Store, _directory: Path) -> None:
            first, second = await store.open(0), await store.open(1)
            first.write([(b"a", b"1")], 43)
            assert (second.get(b"a"), second.persisted_offset) == (None, None)
            first.close()
            second.write([(b"b", b"1")], 1)
            assert list(second.items()) == [(b"b", b"1")]

        self.run(scenario)

    def test_what_survives_closing(self) -> None:
        """A durable store gives back entries, notes, offset and topic; a volatile one is empty."""

        async def scenario(store: Store, directory: Path) -> None:
            partition = await store.open(3)
            partition.write([(b"a", b"1")], 43, [(b"a", b"then")])
            partition.identify("topic-1")
            iteration = partition.items()
            partition.close()
            partition.close()
            assert list(iteration) in ([], [(b"a", b"1")])
            await store.close()
            await store.close()
            again = self.make(directory)
            reopened = await again.open(3)
            found = (
                list(reopened.items()),
                reopened.persisted_offset,
                list(reopened.notes()),
                reopened.topic_id,
            )
            await again.close()
            if store.volatile:
                assert found == ([], None, [], "")
            else:
                assert found == ([(b"a", b"1")], 43, [(b"a", b"then")], "topic-1")

        self.run(scenario)

    def test_destroy_deletes_this_table_only(self) -> None:
        """Nothing of the table is left, in any partition; other tables keep theirs, whatever their names."""

        async def scenario(store: Store, directory: Path) -> None:
            others = [self.make(directory, name) for name in ("totals-2", "total", "totals.x")]
            for each in (store, *others):
                for number in (0, 1):
                    (await each.open(number)).write([(b"a", b"1")], 1)
                await each.close()
            await store.destroy()
            assert (await store.open(1)).persisted_offset is None
            for other in others:
                kept = (await other.open(1)).persisted_offset
                assert kept == (None if other.volatile else 1)
                await other.close()

        self.run(scenario)
