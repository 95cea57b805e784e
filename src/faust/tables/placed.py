"""Where an operation on a table looks: decided by where the running task stands.

* *inside* a stream (while an event is in hand): the partition of that event, for reading, writing, iteration and
  length alike. So what an event sees and does depends on its partition only, not on which other partitions this
  worker happens to hold. The topic of the event must be co-partitioned with the table: the same number of partitions.
  Where it is not, reading is as outside, and writing is a `PartitionsMismatch`.
* *outside* (timers, web views, tests): all partitions of this worker, one after the other; they cannot be written to.
  A key that lives on another worker is missing here. A key is found once per partition that has it; that is once,
  unless events of one key come in several partitions (use ``group_by``).
* *global* tables are read as outside, everywhere: every worker has all partitions.
* with ``use_partitioner`` a key belongs to the partition that the producer's partitioner gives it. Such tables are read
  as outside, and written anywhere, as long as this worker holds the key's partition.
* *under test* (`Agent.test_context`): writes go to a partition in memory that is nobody's (`STAND_IN`). Reading looks there
  first, and then as outside.

Reading or writing while an event of a revoked partition is in hand raises `NotReady`: that event will be processed
by the partition's new owner, and nothing it reads or writes here is right.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Generic, NoReturn

from yarl import URL

from faust._core.iteration import Cursor, current_cursor
from faust._core.lanes import Lane, PartitionTask
from faust.drivers import stores
from faust.exceptions import GivenUp, ImproperlyConfigured, NotReady, PartitionsMismatch
from faust.messages import TP, K, V
from faust.sensors.base import Hooks
from faust.stores.base import PartitionStore
from faust.tables.base import Collection
from faust.tables.codec import LARGEST, SMALLEST
from faust.tables.partition import MISSING, TablePartition

__all__ = ["NOWHERE", "PlacedCollection"]

logger: logging.Logger = logging.getLogger(__name__)

NOWHERE: Any = object()
"""Stands for a task that no event has."""

STAND_IN = -1
"""Number of the partition that is written under test, and of the tasks of in-memory channels; no topic has it."""


class PlacedCollection(Collection[K, V], Generic[K, V]):
    """A table that knows which of its partitions the running code may read and write.

    Attributes:
        write_task: What the last event that wrote belongs to; `NOWHERE` when that is to be looked up anew.
        write_to: The partition that its writes go to.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._hooks: Hooks = self.app.sensors.hooks
        self._told = (0, 0, 0)
        self.app.sensors.add_meter(self)
        self._read_task: PartitionTask = NOWHERE
        self._read_from: TablePartition | None = None
        self._read_live: dict[Any, Any] = {}
        self.write_task: PartitionTask = NOWHERE
        self.write_to: TablePartition | None = None
        self._write_live: dict[Any, Any] = {}
        self._write_dirty: dict[Any, bytes | None] = {}
        self._smallest: int = LARGEST
        self._warned = False
        self._places: dict[Any, TablePartition] = {}
        self._places_bound: int | None = None
        self._tests = 0
        self._test_store: PartitionStore | None = None
        self._stand_in: TablePartition | None = None

    def settle(self) -> None:
        """Tell sensors how many operations there were since they were last told."""
        counts = (self.keys_retrieved, self.keys_updated, self.keys_deleted)
        if counts != self._told:
            read, written, deleted = self._told
            self._told = counts
            hook = self._hooks.on_table_operations
            if hook is not None:
                hook(self, counts[0] - read, counts[1] - written, counts[2] - deleted)

    def partition_for_key(self, key: K) -> int | None:  # noqa: ARG002 - documented signature
        """Return the partition that a write would go to now: that of the event in hand, whatever the key is.

        Returns:
            None with ``use_partitioner``: the producer's partitioner decides.

        Raises:
            TypeError: No event of a topic is in hand.
            PartitionsMismatch: The event's topic is not co-partitioned with the table.
        """
        if self.use_partitioner:
            return None
        return self.place_to_write(current_cursor.get()).tp.partition

    def forget_tasks(self) -> None:
        """Look up the partition of the next event anew."""
        self._read_task = self.write_task = NOWHERE
        self._read_from = self.write_to = None
        self._read_live, self._write_live, self._write_dirty = {}, {}, {}
        self._places = {}

    # -- under test

    async def begin_test(self) -> None:
        """Take writes of events of in-memory channels, and from outside of streams, until `end_test`; they go nowhere."""
        self._tests += 1
        if self._test_store is None:
            url = URL("memory://")
            self._test_store = await stores.by_url(url)(url, table=self.name).open(STAND_IN)

    def end_test(self) -> None:
        """Forget what was written under test, if no other test goes on."""
        self._tests -= 1
        if self._tests:
            return
        stand_in, self._stand_in, self._test_store = self._stand_in, None, None
        if stand_in is not None:
            stand_in.close()
            self._places_bound = None
            self.forget_tasks()

    def _stand_in_partition(self) -> TablePartition:
        """Return the partition that is written under test; made when it is first needed."""
        if self._stand_in is None:
            assert self._test_store is not None
            tp = TP(self.changelog_topic_name, STAND_IN)
            partition = self.make_partition(tp, self._test_store)
            partition.volatile = partition.complete = partition.derived = True
            partition.generation = STAND_IN
            self._stand_in = partition
            self._places, self._places_bound = {}, 0  # what is written here comes first
        return self._stand_in

    def complete(self) -> Iterator[TablePartition]:
        """Iterate over the partitions that can be read: what is written under test first, then by number."""
        if self._stand_in is not None and self._under_test(current_cursor.get(), outside=True):
            yield self._stand_in
        for number in sorted(
            self.held
        ):  # as in the base class, which is not asked: this is read often
            partition = self.held[number]
            if partition.complete:
                yield partition

    def _under_test(self, cursor: Cursor | None, *, outside: bool) -> bool:
        """Say whether the event in hand is of an in-memory channel while a test goes on; without one: *outside*."""
        if cursor is None or cursor.record is None or cursor.lane is None:
            return outside and self._tests > 0
        return self._tests > 0 and cursor.lane.task.partition < 0

    def _index_key(self, number: int, key: Any, there: bool) -> None:
        if number != STAND_IN or self.key_index is None:
            super()._index_key(number, key, there)
        elif there:
            self.key_index._stand_in_partition().live[key] = 1
        else:
            self.key_index._stand_in_partition().live.pop(key, None)

    def _enter_stand_in(self, task: PartitionTask) -> TablePartition:
        partition = self._stand_in_partition()
        self._remember(partition)
        self.write_task = task
        return partition

    # -- reading

    def find_anywhere(self, key: Any) -> Any:
        """Return the value of *key* in the first partition of this worker that has it, or `MISSING`.

        Where a key was found is remembered, of as many keys as setting ``table_key_index_size`` says.
        """
        place = self._places.get(key)
        if place is not None and place.complete and (value := place.find(key)) is not MISSING:
            return value
        for partition in self.complete():
            value = partition.find(key)
            if value is not MISSING:
                self._remember_place(key, partition)
                return value
        return MISSING

    def _remember_place(self, key: Any, partition: TablePartition) -> None:
        if self._places_bound is None:
            self._places_bound = int(self.app.conf.table_key_index_size)
        if not self._places_bound:
            return
        places = self._places
        places.pop(key, None)
        if len(places) >= self._places_bound:
            del places[next(iter(places))]  # the one that was found first
        places[key] = partition

    def here(self) -> TablePartition | None:
        """Return the partition to read from; None: all of them."""
        cursor = current_cursor.get()
        if cursor is None or cursor.record is None or cursor.lane is None:
            return None
        task = cursor.lane.task
        if task is not self._read_task:
            self._enter_to_read(task)
        return self._read_from

    def readable(self) -> list[TablePartition]:
        """Return the partitions to read from."""
        here = self.here()
        return list(self.complete()) if here is None else [here]

    def _enter_to_read(self, task: PartitionTask) -> None:
        """Events of *task* read now: remember its partition, or none and an empty dict if they read all."""
        if task.tp.topic in self.strangers:
            self._refuse_stranger(task.tp.topic)
        everything = (
            self.is_global or self.use_partitioner or not self._is_copartitioned(task.tp.topic)
        )
        partition = None if everything else self._partition_of(task)
        self._read_from = partition
        self._read_live = {} if partition is None else partition.live
        self._read_task = task

    # -- writing

    def place_to_write(self, cursor: Cursor | None, key: Any = None) -> TablePartition:
        """Return the partition to write *key* to."""
        if self.use_partitioner:
            if self._tests and self._under_test(cursor, outside=not self.held):
                return self._enter_stand_in(NOWHERE)
            if cursor is not None and cursor.record is not None and cursor.lane is not None:
                self._refuse_given_up(cursor.lane)
            return self._enter_by_key(key)
        if cursor is None or cursor.record is None or cursor.lane is None:
            if self._tests:
                return self._enter_stand_in(NOWHERE)
            self.refuse_write()
        if self.write_to is None or cursor.lane.task is not self.write_task:
            return self._enter_to_write(cursor.lane)
        return self.write_to

    def writable(self) -> list[TablePartition]:
        """Return the partitions that may be written to now, whatever the key."""
        cursor = current_cursor.get()
        if self.use_partitioner and not self._under_test(cursor, outside=not self.held):
            return list(super().complete())
        return [self.place_to_write(cursor)]

    def encode_place(self, key: Any) -> bytes:
        """Return the bytes by which the partitioner chooses."""
        return self.codec.encode_key(key)

    def _enter_by_key(self, key: Any) -> TablePartition:
        topic = self.changelog_topic_name
        raw = self.encode_place(key)
        try:
            tp = self.app.producer.key_partition(topic, raw)
        except KeyError:
            raise NotReady(
                f"table {self.name!r} cannot be used yet: the worker has not started"
            ) from None
        partition = self.held.get(tp.partition)
        if partition is None or partition.generation is None:
            state = (
                "is not held by this worker"
                if partition is None
                else "is being recovered, or was revoked"
            )
            raise NotReady(
                f"table {self.name!r}: key {key!r} belongs to {topic}[{tp.partition}], which {state}. Send an event to "
                "an agent that writes it there, or make it a global table, of which every worker holds all"
            )
        self._remember(partition)
        return partition

    def _enter_to_write(self, lane: Lane) -> TablePartition:
        """Events of *lane* write now: check everything that may be wrong about it."""
        task = lane.task
        if self._tests and task.partition < 0:
            return self._enter_stand_in(task)
        topic = task.tp.topic
        if topic in self.strangers:
            self._refuse_stranger(topic)
        if not self._is_copartitioned(topic):
            self._refuse_topic(topic)
        partition = self._partition_of(task)
        self._refuse_given_up(lane)
        if lane.inbox.shared and not self._warned:
            self._warned = True
            logger.warning(
                "Table %r is written by an agent with concurrency > 1, reading %s: events of one key are processed "
                "at the same time, and updates such as += may be lost. Use concurrency=1, or group_by",
                self.name,
                topic,
            )
        self._remember(partition)
        self.write_task = task
        return partition

    def _remember(self, partition: TablePartition) -> None:
        self._smallest = SMALLEST if self.codec.ints else LARGEST
        self.write_to = partition
        self._write_live, self._write_dirty = partition.live, partition.dirty

    def _is_copartitioned(self, topic: str) -> bool:
        count = self.counts.get(topic)
        return count is not None and count == self.counts.get(self.changelog_topic_name)

    def _partition_of(self, task: PartitionTask) -> TablePartition:
        partition = self.held.get(task.partition)
        if partition is not None and partition.generation == task.generation:
            return partition
        where = f"{self.changelog_topic_name}[{task.partition}]"
        if partition is not None and partition.generation is None:
            state = "is being recovered, or was revoked"
        else:
            state = "does not belong to this worker in that assignment"
        raise NotReady(
            f"table {self.name!r} cannot be used for an event of {task.tp.topic}[{task.partition}] of generation "
            f"{task.generation}: its partition {where} {state}. The event is not committed, and will be "
            "processed again by the partition's owner"
        )

    # -- errors

    def refuse_write(self) -> NoReturn:
        """Raise what a write outside of streams raises."""
        raise TypeError(
            f"table {self.name!r}: keys can be changed only while a stream is iterated, since a change belongs to the "
            "partition of the event in hand. Inside an agent, write within its `async for` loop; elsewhere (timers, "
            "tasks, views), send an event to the agent that owns the table"
        )

    def _refuse_given_up(self, lane: Lane) -> None:
        """Keep nothing of an event that will be processed again."""
        if lane.task.closed:
            topic, number = lane.task.tp
            raise GivenUp(
                f"table {self.name!r}: the event in hand, of {topic}[{number}], was given up; nothing more of it "
                "is kept, and it will be processed again by the partition's owner"
            )

    def _refuse_stranger(self, topic: str) -> NoReturn:
        raise ImproperlyConfigured(
            f"table {self.name!r}: an event of {topic} uses it, but that topic is declared with tables= without it, and so does "
            "not wait for it to be recovered. Add the table there, or leave tables= out"
        )

    def _refuse_topic(self, topic: str) -> NoReturn:
        changelog = self.changelog_topic_name
        mine, theirs = self.counts.get(changelog), self.counts.get(topic)
        if theirs is None:
            raise TypeError(
                f"table {self.name!r}: the event in hand comes from {topic!r}, which is no topic that this worker "
                "reads as a member of its group, and so has no partition to write to. Read a topic to "
                "change the table"
            )
        raise PartitionsMismatch(
            f"table {self.name!r}: its changelog {changelog} has {mine} partitions, but the event in hand comes from "
            f"{topic}, which has {theirs}; both must have the same number. Repartition the stream with "
            f"group_by(..., partitions={mine}), or, where the topic of the events has grown, stop all workers and move "
            f"the table: faust -A ... repartition {self.name} --partitions {theirs}. A new table is declared with "
            f"partitions={theirs}"
        )
