"""Whose turn is it: fair choice among topics, and among the partitions of a topic.

A worker that reads a busy topic and a quiet one, or a partition with a long backlog beside one that
is up to date, must not let the loud ones drown the others. The rule is two nested round robins:
topics take turns, and within a topic its partitions take turns. Nothing is weighted, and the order
inside one partition is never touched.

Both rings are `OrderedDict`: the head is whose turn it is, `move_to_end` passes the turn on, and
any member can leave from the middle; each of these is O(1). Only keys that have something waiting
are in a ring, so idle partitions cost nothing. Whoever comes (back) with something joins its ring
at the end. That gives the promise that the tests check: between two turns of one partition every
other partition of its topic that has work throughout gets a turn, and the same holds between
topics.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from faust.messages import TP

__all__ = ["ArrivalQueue", "FairQueue", "RoundRobin"]

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items that wait per partition and are taken fairly.

    Every operation is O(1); `discard` and `clear` free what they drop.

    Example:
        >>> queue = FairQueue()
        >>> for tp, item in [(TP("a", 0), 1), (TP("a", 0), 2), (TP("a", 1), 3), (TP("b", 0), 4)]:
        ...     queue.put(tp, item)
        >>> [queue.pop()[1] for _ in range(len(queue))]
        [1, 4, 3, 2]
    """

    __slots__ = ("_size", "_topics")

    def __init__(self) -> None:
        self._size = 0
        self._topics: OrderedDict[str, OrderedDict[TP, deque[T]]] = OrderedDict()

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<FairQueue {self._size} items of {len(self._topics)} topics>"

    def put(self, tp: TP, item: T) -> None:
        """Let *item* wait behind everything of *tp*."""
        self._items(tp).append(item)
        self._size += 1

    def put_front(self, tp: TP, item: T) -> None:
        """Let *item*, which was taken and comes back, wait before everything of *tp*.

        It takes no turn from other partitions.
        """
        self._items(tp).appendleft(item)
        self._size += 1

    def pop(self) -> tuple[TP, T] | None:
        """Take the next item of whose turn it is; None when nothing waits."""
        topics = self._topics
        if not topics:
            return None
        topic = next(iter(topics))
        ring = topics[topic]
        tp = next(iter(ring))
        items = ring[tp]
        item = items.popleft()
        self._size -= 1
        if items:
            ring.move_to_end(tp)
        else:
            del ring[tp]
        if ring:
            topics.move_to_end(topic)
        else:
            del topics[topic]
        return tp, item

    def waiting(self, tp: TP) -> int:
        """Return how many items of *tp* wait."""
        ring = self._topics.get(tp.topic)
        items = None if ring is None else ring.get(tp)
        return 0 if items is None else len(items)

    def discard(self, tp: TP) -> int:
        """Drop everything of *tp*; return how many items that were."""
        ring = self._topics.get(tp.topic)
        items = None if ring is None else ring.pop(tp, None)
        if ring is None or items is None:
            return 0
        if not ring:
            del self._topics[tp.topic]
        self._size -= len(items)
        return len(items)

    def clear(self) -> None:
        """Drop everything."""
        self._topics.clear()
        self._size = 0

    def _items(self, tp: TP) -> deque[T]:
        ring = self._topics.get(tp.topic)
        if ring is None:
            ring = self._topics[tp.topic] = OrderedDict()
        items = ring.get(tp)
        if items is None:
            items = ring[tp] = deque()
        return items


class ArrivalQueue(FairQueue[T]):
    """Items that are taken in the order in which they came: somebody else has ordered them.

    `discard` is O(n).
    """

    __slots__ = ("_items_in_order",)

    def __init__(self) -> None:
        super().__init__()
        self._items_in_order: deque[tuple[TP, T]] = deque()

    def __len__(self) -> int:
        return len(self._items_in_order)

    def __repr__(self) -> str:
        return f"<ArrivalQueue {len(self)} items>"

    def put(self, tp: TP, item: T) -> None:
        """Let *item* wait behind everything."""
        self._items_in_order.append((tp, item))

    def put_front(self, tp: TP, item: T) -> None:
        """Let *item*, which was taken and comes back, wait before everything."""
        self._items_in_order.appendleft((tp, item))

    def pop(self) -> tuple[TP, T] | None:
        """Take the first item; None when nothing waits."""
        return self._items_in_order.popleft() if self._items_in_order else None

    def waiting(self, tp: TP) -> int:
        """Return how many items of *tp* wait."""
        return sum(1 for other, _ in self._items_in_order if other == tp)

    def discard(self, tp: TP) -> int:
        """Drop everything of *tp*; return how many items that were."""
        kept = deque(pair for pair in self._items_in_order if pair[0] != tp)
        dropped = len(self._items_in_order) - len(kept)
        self._items_in_order = kept
        return dropped

    def clear(self) -> None:
        """Drop everything."""
        self._items_in_order.clear()


class RoundRobin:
    """The default ``ConsumerScheduler``: topics in turn, and partitions of a topic in turn."""

    def iterate(self, records: Mapping[TP, Sequence[T]]) -> Iterator[tuple[TP, T]]:
        """Yield all *records* with their partitions, fairly; a partition keeps its order."""
        queue: FairQueue[T] = FairQueue()
        for tp, items in records.items():
            for item in items:
                queue.put(tp, item)
        while (pair := queue.pop()) is not None:
            yield pair
