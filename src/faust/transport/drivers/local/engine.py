"""The broker's thread: one per process and address.

All clients of one address in a process share an `Engine`: one thread, one SQLite connection. Work comes to it as jobs
and is done one after the other; whatever concerns time (heartbeats, expired members, retention) and whatever another process
has written is looked at between jobs. So heartbeats never wait for the application's loop, and nothing here needs a lock.

Foreign writes are noticed by SQLite's ``data_version``, a look at shared memory: every half millisecond while there is
traffic, more and more seldom down to every 10 ms when there is none.

A database that another process holds for long is retried for ever; jobs keep their order meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from faust.exceptions import BrokerError, BrokerUnavailable, StorageError
from faust.messages import TP
from faust.transport.base import DriverState
from faust.transport.drivers.local.cleaning import clean
from faust.transport.drivers.local.groups import Groups
from faust.transport.drivers.local.storage import Busy, Storage

__all__ = ["Client", "Engine"]

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

FASTEST_POLL = 0.0005
SLOWEST_POLL = 0.01
BUSY_PAUSE = 0.02
CLEAN_EVERY = 30.0
"""Seconds between two looks at retention and compaction."""


class Client(Protocol):
    """What the engine looks after between jobs; called in the engine's thread."""

    state: DriverState

    def tick(self, now: float, changed: bool) -> float:
        """Do what is due; *changed*: something was written. Returns when (monotonic) to come again at the latest."""
        ...

    def fail(self, error: Exception) -> None:
        """Tell the application that `tick` has raised *error*; it is not called again."""
        ...


class _Job:
    __slots__ = ("deadline", "future", "run", "writes")

    def __init__(
        self, run: Callable[[], Any], writes: bool, future: Any, deadline: float = inf
    ) -> None:
        self.deadline = deadline
        self.run = run
        self.writes = writes
        self.future = future


class Engine:
    """The broker at one address, as this process sees it.

    Arguments:
        directory: Where it lies; None: in memory.
        durable: Wait for the disk at each commit.
        default_partitions: Partitions of a topic that is created by being used.
    """

    _engines: dict[str, Engine] = {}  # noqa: RUF012 - one per address and process, on purpose
    _guard = threading.Lock()

    def __init__(self, directory: Path | None, *, durable: bool, default_partitions: int) -> None:
        self.storage: Storage = Storage(
            directory, durable=durable, default_partitions=default_partitions
        )
        self.groups: Groups = Groups(self.storage)
        self.clients: list[Client] = []
        self.auto_create = True
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._pending: deque[_Job] = deque()
        self._users = 0
        self._shared = directory is not None
        self._changed = True
        self._seen = -1
        self._poll = FASTEST_POLL
        self._due = 0.0
        self._clean_at = time.monotonic() + CLEAN_EVERY
        self._compacted: dict[TP, int] = {}
        self._thread = threading.Thread(target=self._run, name="faust embedded broker", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(
        cls, address: str, directory: Path | None, *, durable: bool, default_partitions: int
    ) -> Engine:
        """Return the engine of an address, made for the first who asks.

        Raises:
            StorageError: The directory cannot be used.
        """
        with cls._guard:
            engine = cls._engines.get(address)
            if engine is None:
                try:
                    engine = cls(directory, durable=durable, default_partitions=default_partitions)
                except Busy as exc:
                    raise StorageError(
                        f"{directory}: another process holds the database: {exc}"
                    ) from exc
                cls._engines[address] = engine
            engine._users += 1
            return engine

    def release(self, address: str) -> None:
        """Give the engine back; that of a directory ends with its last user."""
        with self._guard:
            self._users -= 1
            if self._users or not self._shared:
                return
            self._engines.pop(address, None)
            self._jobs.put(None)
        self._thread.join(5.0)

    # -- for the application's thread

    def post(self, run: Callable[[], Any], *, writes: bool = False) -> None:
        """Do *run* in the broker's thread; its errors are logged."""
        self._jobs.put(_Job(run, writes, None))

    async def call(self, run: Callable[[], T], *, writes: bool = False) -> T:
        """Do *run* in the broker's thread and return its result; a writing one inside a transaction."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(run, writes, (loop, future)))
        return await future

    def produce(
        self,
        write: Callable[[], T],
        written: Callable[[T], None],
        failed: Callable[[Exception], None],
        deadline: float,
    ) -> None:
        """Do *write* inside a transaction, until *deadline*.

        In the broker's thread *written* is told its result when the transaction is committed, not before, or *failed*
        what went wrong.
        """
        self._jobs.put(_Job(write, True, (written, failed), deadline))

    def add(self, client: Client) -> None:
        """Look after *client* from now on (broker's thread)."""
        if client not in self.clients:
            self.clients.append(client)
        self._changed = True

    def remove(self, client: Client) -> None:
        """Look after *client* no longer (broker's thread)."""
        if client in self.clients:
            self.clients.remove(client)

    # -- the thread

    def note_change(self) -> None:
        """Something was written; everybody looks (broker's thread)."""
        self._changed = True

    def _run(self) -> None:
        due = 0.0
        while True:
            if not self._next(due):
                self.storage.close()
                return
            try:
                due = self._turn()
            except Exception:
                logger.exception("the embedded broker's thread failed; it goes on")
                time.sleep(0.1)

    def _next(self, due: float) -> bool:
        """Collect jobs, waiting for the first until something is due; False: end."""
        if self._pending:
            wait = BUSY_PAUSE
        else:
            wait = max(due - time.monotonic(), 0.0)
            if self._shared and self.clients:
                wait = min(wait, self._poll)
        try:
            job = self._jobs.get(timeout=wait) if wait > 0 else self._jobs.get_nowait()
            while job is not None:
                self._pending.append(job)
                job = self._jobs.get_nowait()
            return False
        except Empty:
            return True

    def _turn(self) -> float:
        worked = bool(self._pending)
        busy = self._do_jobs()
        changed, self._changed = self._changed, False
        if self._shared:
            seen = self._seen
            try:
                self._seen = self.storage.foreign_changes()
            except Busy:
                changed = True
            if self._seen != seen:
                changed = True
                self.storage.forget_ids()
            if changed or self._pending:
                self._poll = FASTEST_POLL
            else:
                self._poll = min(self._poll * 1.1, SLOWEST_POLL)
        now = time.monotonic()
        if now >= self._clean_at:
            self._clean_at = now + CLEAN_EVERY
            self._clean()
        if not (worked or changed or busy) and now < self._due:
            return self._due  # an idle poll costs one look at shared memory, no query
        due = now + 1.0
        for client in list(self.clients):
            try:
                due = min(due, client.tick(now, changed))
                if not busy:
                    self._is_back(client.state)
            except Busy as exc:
                self._is_away(client.state, str(exc))
                self._changed = True
                due = min(due, now + BUSY_PAUSE)
            except Exception as exc:
                self.remove(client)
                client.fail(exc)
        if self._changed:
            due = now
        self._due = now + BUSY_PAUSE if busy else due
        return self._due

    def _clean(self) -> None:
        try:
            if clean(self.storage, self._compacted):
                self._changed = True
        except Busy:
            self._clean_at = 0.0

    def _do_jobs(self) -> bool:
        """Do the pending jobs in order; True when the database is held by another process."""
        pending = self._pending
        while pending:
            job = pending[0]
            if _is_cancelled(job):
                pending.popleft()
                continue
            try:
                result, error = self._do(job), None
            except Busy as exc:
                self._fail_overdue(str(exc))
                return True
            except Exception as exc:
                result, error = None, exc
            pending.popleft()
            if job.writes:
                self._changed = True
            _answer(job, result, error)
        return False

    def _fail_overdue(self, why: str) -> None:
        """Give up what has waited longer than its request timeout, and say to all clients that we wait."""
        now = time.monotonic()
        overdue = [job for job in self._pending if now > job.deadline]
        for job in overdue:
            self._pending.remove(job)
            _answer(job, None, BrokerUnavailable(why))
        for client in self.clients:
            self._is_away(client.state, why)

    def _do(self, job: _Job) -> Any:
        if not job.writes:
            return job.run()
        with self.storage.transaction():
            return job.run()

    @staticmethod
    def _is_back(state: DriverState) -> None:
        if not state.connected:
            if state.last_error:
                logger.info("The embedded broker can be used again")
            state.connected = True
            state.since = time.monotonic()

    @staticmethod
    def _is_away(state: DriverState, error: str) -> None:
        if state.connected:
            state.connected = False
            state.since = time.monotonic()
            state.last_error = error
            logger.warning("The embedded broker is held by another process (%s); waiting", error)


def _is_cancelled(job: _Job) -> bool:
    if job.future is None or callable(job.future[0]):
        return False
    return bool(job.future[1].cancelled())


def _answer(job: _Job, result: Any, error: Exception | None) -> None:
    if job.future is None:
        if error is not None:
            logger.error("embedded broker: %s: %s", type(error).__name__, error)
        return
    first, second = job.future
    if callable(first):
        if error is not None:
            second(error)
        else:
            first(result)
        return
    loop, future = first, second

    def settle() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    call_threadsafe(loop, settle)


def call_threadsafe(loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> None:
    """Call on an application's loop, unless that has ended."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise


def closed_error() -> BrokerError:
    """Return the error of a client that is used after its end."""
    return BrokerError("this client of the embedded broker was closed; make another")
