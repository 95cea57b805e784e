"""The conductor: which topics we read, and to whom their messages go.

It is the set of all topic iterators. From it follow the subscription and, for each assigned partition, the lanes.
Changes of the set while the worker runs are collected for a moment before we subscribe again, since each costs the
group a rebalance; a change that comes during a rebalance is never forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, MutableSet
from typing import Any

from mode import Service

from faust._core.lanes import PartitionTask
from faust.topics.topic import Topic

__all__ = ["Conductor"]

logger: logging.Logger = logging.getLogger(__name__)

RESUBSCRIBE_DELAY = 0.5
"""Seconds in which changes of the subscription are collected."""


class Conductor(Service, MutableSet[Any]):
    """The topic iterators that are being read (``app.topics``).

    Arguments:
        subscribe: Called with topic names and a pattern when the subscription has changed.
        also: Names to subscribe to besides (changelogs, the leader topic).
        tasks: Returns the tasks of the partitions held now.
        relieved: Called when a full partition has room again.
    """

    def __init__(
        self,
        *,
        subscribe: Callable[[frozenset[str], str | None], Any],
        also: Callable[[], Iterable[str]],
        tasks: Callable[[], Iterable[PartitionTask]],
        relieved: Callable[[PartitionTask], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._subscribe = subscribe
        self._also = also
        self._open_tasks = tasks
        self._relieved = relieved
        self._topics: dict[Topic[Any, Any], None] = {}
        self._changed: asyncio.Event | None = None
        self._subscribed: tuple[frozenset[str], str | None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    # -- the set

    def add(self, value: Any) -> None:
        """Read one more topic iterator; it is given lanes of the partitions held already."""
        if value in self._topics:
            return
        self._topics[value] = None
        value.mailbox.relieved = self._relieved
        for task in self._open_tasks():
            self._open_lane(value, task)
        self._note_change()

    def discard(self, value: Any) -> None:
        """Stop reading a topic iterator; what it has not finished no longer holds back commits."""
        if self._topics.pop(value, _MISSING) is _MISSING:
            return
        for task in self._open_tasks():
            task.lanes[:] = [lane for lane in task.lanes if lane.inbox is not value.mailbox]
            if task.full:  # perhaps by what this reader left waiting, which nobody takes now
                value.mailbox._relieve(task)
        self._note_change()

    def succeed(self, old: Any, new: Any) -> None:
        """Let the iterator *new* read on where *old*, of the same topic, was left: it takes over mailbox and lanes.

        What waits in both was given to both, and waits in *old*'s, since that one is older.
        """
        self.discard(new)
        new._mailbox = old.mailbox
        self._topics.pop(old)
        old.on_stop_iteration()
        self._topics[new] = None

    def __contains__(self, value: object) -> bool:
        if isinstance(value, str):
            return any(topic.matches(value) for topic in self._topics)
        return value in self._topics

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._topics))

    def __len__(self) -> int:
        return len(self._topics)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    # -- subscription

    def subscription(self) -> tuple[frozenset[str], str | None]:
        """Return the names and the pattern to subscribe to."""
        names = {name for topic in self._topics for name in topic.topics}
        patterns = sorted(
            {topic.pattern.pattern for topic in self._topics if topic.pattern is not None}
        )
        pattern = "|".join(f"(?:{one})" for one in patterns) or None
        return frozenset(names | set(self._also())), pattern

    async def on_start(self) -> None:
        """Declare internal topics and subscribe; from now on follow changes."""
        self._changed = asyncio.Event()
        await self.subscribe()
        self._watcher = asyncio.get_running_loop().create_task(self._follow(), name="subscription")

    async def on_stop(self) -> None:
        """Stop following changes."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)

    async def subscribe(self) -> None:
        """Subscribe if what we want differs from what we have."""
        for topic in list(self._topics):
            if topic.internal:
                await topic.maybe_declare()
        wanted = self.subscription()
        if wanted == self._subscribed or not (wanted[0] or wanted[1]):
            return
        self._subscribed = wanted
        await self._subscribe(*wanted)

    def _note_change(self) -> None:
        if self._changed is not None:
            self._changed.set()

    async def _follow(self) -> None:
        assert self._changed is not None
        while not self.should_stop:
            await self._changed.wait()
            await asyncio.sleep(RESUBSCRIBE_DELAY)
            self._changed.clear()
            try:
                await self.subscribe()
            except asyncio.CancelledError:
                raise
            except Exception as exc:
                logger.error("Cannot subscribe: %s", exc)
                self._subscribed = None
                await self.crash(exc)
                return

    # -- lanes

    def open_lanes(self, tasks: Iterable[PartitionTask]) -> None:
        """Give every reader its lanes of newly assigned partitions."""
        tasks = list(tasks)
        for topic in self._topics:
            for task in tasks:
                self._open_lane(topic, task)

    def _open_lane(self, topic: Topic[Any, Any], task: PartitionTask) -> None:
        if not topic.matches(task.tp.topic):
            return
        active = topic.active_partitions
        if active is not None and task.tp not in active:
            return
        share = max(topic.mailbox.maxsize // 8, 400)
        topic.open_lane(task, share)


_MISSING: Any = object()
