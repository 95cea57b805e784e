"""Promises: what stands for an answer that has not come yet.

Nobody but their owner holds promises that nobody awaits: the reply consumer knows them weakly, so a promise that was
forgotten costs nothing. While one is awaited it is held here, since asyncio itself knows waiting tasks only weakly, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Generator
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["BarrierState", "ReplyPromise", "ReplyTuple"]

R = TypeVar("R")

_awaited: dict[int, Any] = {}


class ReplyTuple(NamedTuple):
    """One answer of a group."""

    correlation_id: str
    value: Any


class ReplyPromise(asyncio.Future[R], Generic[R]):
    """A future for the answer to one request.

    Arguments:
        reply_to: Topic that the answer comes from.
        correlation_id: Id of the request.

    Raises:
        ValueError: There is no correlation id.
    """

    def __init__(self, reply_to: str, correlation_id: str, **kwargs: Any) -> None:
        if not correlation_id:
            raise ValueError("a promise needs the correlation id of its request")
        super().__init__(**kwargs)
        self.reply_to = reply_to
        self.correlation_id = correlation_id

    def fulfill(self, correlation_id: str, value: Any) -> None:
        """Give the answer to the request of that id; a second one is ignored."""
        if not self.done() and correlation_id == self.correlation_id:
            self.set_result(value)

    def fail(self, exc: BaseException) -> None:
        """Say that there will be no answer."""
        if not self.done():
            self.set_exception(exc)
            self.exception()  # who awaits it sees it; who does not has given it up

    def __await__(self) -> Generator[Any, None, R]:
        _awaited[id(self)] = self
        try:
            return (yield from super().__await__())
        finally:
            _awaited.pop(id(self), None)

    def __iter__(self) -> Generator[Any, None, R]:
        return self.__await__()


class BarrierState(ReplyPromise[bool]):
    """A promise for the answers to a group of requests; True when all of them are there.

    Attributes:
        size: Requests added.
        total: Requests of the whole group, once it is finalized.
        fulfilled: Answers that have come.
    """

    def __init__(self, reply_to: str, correlation_id: str = "<barrier>", **kwargs: Any) -> None:
        super().__init__(reply_to, correlation_id, **kwargs)
        self.size: int = 0
        self.total: int = 0
        self.fulfilled: int = 0
        self._final = False
        self._pending: set[str] = set()
        self._results: deque[ReplyTuple] = deque()
        self._changed: asyncio.Future[None] | None = None

    def add(self, promise: ReplyPromise[Any] | str) -> None:
        """Wait for one more request: its promise, or its correlation id."""
        self._pending.add(promise if isinstance(promise, str) else promise.correlation_id)
        self.size += 1

    def finalize(self) -> None:
        """Say that the group is complete."""
        self._final = True
        self.total = self.size
        self._look()

    def fulfill(self, correlation_id: str, value: Any) -> None:
        """Give one answer; a second one to the same request is ignored."""
        if correlation_id not in self._pending:
            return
        self._pending.discard(correlation_id)
        self._results.append(ReplyTuple(correlation_id, value))
        self.fulfilled += 1
        self._look()

    def fail(self, exc: BaseException) -> None:
        """Say that an answer will never come: the group has failed."""
        super().fail(exc)
        self._wake()

    def _look(self) -> None:
        if self._final and not self._pending and not self.done():
            self.set_result(True)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    def get_nowait(self) -> ReplyTuple:
        """Return an answer that is there.

        Raises:
            asyncio.QueueEmpty: None is there now.
        """
        if not self._results:
            raise asyncio.QueueEmpty
        return self._results.popleft()

    async def iterate(self) -> AsyncIterator[ReplyTuple]:
        """Iterate over the answers as they come, until all have come."""
        _awaited[id(self)] = self
        try:
            while True:
                while self._results:
                    yield self._results.popleft()
                if self.done():
                    self.result()
                    return
                self._changed = self.get_loop().create_future()
                await self._changed
        finally:
            _awaited.pop(id(self), None)
