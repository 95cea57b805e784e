"""The broker's thread: one per process and address.

All clients of one address in a process share an `Engine`. Whatever writes comes to its thread as a
job: records to be appended (those that wait are written together), and calls. Whatever concerns time
(heartbeats, dead members, retention), and whatever another process has written, is looked at between
jobs. So heartbeats never wait for an application's loop, and an application's loop never waits for
the database's lock.

Foreign writes are noticed by SQLite's ``data_version``, a look at shared memory. The kernel tells
when to look (`alarm.Alarm`), a moment too early: so the thread looks for a while, first after half
a millisecond, then more and more seldom down to every 10 ms. Where the kernel does not tell, it goes
on with that.

A database that another process holds is tried again for ever; jobs keep their order meanwhile,
clients say so in their `DriverState`, and the log names the process. Heartbeats could not be
written meanwhile, by nobody: so for a moment afterwards nobody is taken for dead
(`Engine.grace_until`).

Long work (compaction, dropping a topic's records) comes as a generator of short steps, each a
transaction of its own, so that neither heartbeats nor other processes wait for the whole of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from faust.exceptions import BrokerError, BrokerUnavailable, StorageError
from faust.transport.base import DriverState
from faust.transport.drivers.courtesy import Courtesy
from faust.transport.drivers.local.alarm import Alarm
from faust.transport.drivers.local.cleaning import clean
from faust.transport.drivers.local.database import Busy, Database, LongWork
from faust.transport.drivers.local.groups import Groups
from faust.transport.drivers.local.log import Appended, Log, Outgoing

__all__ = ["Answer", "Client", "Engine", "call_threadsafe", "closed_error"]

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

FASTEST_POLL = 0.0005
SLOWEST_POLL = 0.01
BUSY_PAUSE = 0.01
WATCH = 0.25
"""Seconds to look for what a process has written after the kernel has told that it is writing."""
CLEAN_EVERY = 30.0
"""Seconds between two looks at retention and compaction."""
LOOK_AT_GROUND = 1.0
"""Seconds between two looks at whether the database's file is still in its directory."""
STALL = 1.0
"""Seconds without the database, or without this thread running, after which heartbeats get a grace."""
LATE = 0.02
"""Seconds after which this thread should have done what was due."""
SPEAK_AGAIN = 60.0
"""Seconds until a warning about the same outage is repeated, at first; then twice as long each time."""

Answer: TypeAlias = Appended | Exception

_Done: TypeAlias = Callable[[Any, Exception | None], None]


class Client(Protocol):
    """What the engine looks after between jobs; called in the engine's thread."""

    state: DriverState

    def tick(self, now: float, changed: bool) -> float:
        """Do what is due; *changed*: something was written.

        Returns when (monotonic) to come again at the latest; infinity: never.
        """
        ...

    def fail(self, error: Exception) -> None:
        """Tell the application: `tick` has raised *error* and is not called again."""
        ...


class _Call:
    __slots__ = ("done", "run", "writes")

    def __init__(self, run: Callable[[], Any], writes: bool, done: _Done) -> None:
        self.run = run
        self.writes = writes
        self.done = done

    def fail(self, error: Exception) -> None:
        """Tell that it was not done."""
        self.done(None, error)


class _Append:
    __slots__ = ("answers", "batches", "deadline", "done")

    def __init__(
        self,
        batches: list[Outgoing],
        done: Callable[[list[Answer]], None],
        deadline: float,
    ) -> None:
        self.batches = batches
        self.answers: list[Answer] = []
        self.done = done
        self.deadline = deadline

    def fail(self, error: Exception) -> None:
        """Tell that what has no answer so far was not written."""
        self.done(self.answers + [error] * (len(self.batches) - len(self.answers)))


class Engine:
    """The broker at one address, as this process sees it.

    Arguments:
        directory: Where it lies; None: in memory.
        durable: Wait for the disk at each commit.
        default_partitions: Partitions of a topic that is made by being used.
        auto_create: Make topics by being used.
    """

    _engines: dict[str, Engine] = {}  # noqa: RUF012 - one per address and process, on purpose
    _inherited: dict[str, Engine] = {}  # noqa: RUF012 - those of the process that this one was forked from
    _guard = threading.Lock()

    def __init__(
        self,
        directory: Path | None,
        *,
        durable: bool = False,
        default_partitions: int = 8,
        auto_create: bool = True,
    ) -> None:
        self.database: Database = Database(directory, durable=durable)
        self.log: Log = Log(
            self.database, default_partitions=default_partitions, auto_create=auto_create
        )
        self.groups: Groups = Groups(self.database, self.log)
        self.grace_until: float = -inf
        """Until then nobody is taken for dead: heartbeats may have been held up."""
        self._clients: dict[Client, float] = {}
        self._alarm = Alarm(directory)
        self._jobs: deque[_Call | _Append] = deque()
        self._ended = False
        self._calls: deque[_Call] = deque()
        self._appends: deque[_Append] = deque()
        self._long: deque[tuple[LongWork[Any], _Done, Callable[[], Any] | None]] = deque()
        self._users = 0
        self._shared = directory is not None
        self._changed = True
        self._seen = -1
        self._poll = FASTEST_POLL
        self._watch_until = -inf
        self._clean_at = time.monotonic() + CLEAN_EVERY
        self._ground_at = -inf
        self._outage = _Outage(self.database)
        self._due = inf
        self._turned = threading.Event()
        self._courtesies: dict[asyncio.AbstractEventLoop, Courtesy] = {}
        self._thread = threading.Thread(target=self._run, name="faust embedded broker", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(cls, address: str, make: Callable[[], Engine]) -> Engine:
        """Return the engine of an address, made for the first who asks.

        Raises:
            StorageError: The directory cannot be used.
            BrokerError: It is in use by the process that this one was forked from.
        """
        if address in cls._inherited:
            raise _forked_error(address)
        with cls._guard:
            engine = cls._engines.get(address)
            if engine is None:
                try:
                    engine = cls._engines[address] = make()
                except Busy as exc:
                    raise StorageError(
                        f"{address}: another process holds the database: {exc}"
                    ) from exc
            engine._users += 1
            return engine

    def release(self, address: str) -> None:
        """Give the engine back; that of a directory ends with its last user."""
        if self._inherited.get(address) is self:
            return
        with self._guard:
            self._users -= 1
            if self._users or not self._shared:
                return
            self._engines.pop(address, None)
            self._ended = True
            self._alarm.ring()
        self._thread.join(5.0)

    @classmethod
    def forked(cls) -> None:
        """Refuse, in a process just forked, what only its parent has a thread for.

        SQLite forbids to use or close what was open at the fork, and to open the same file again: so they are kept.
        """
        cls._guard = threading.Lock()
        cls._inherited |= cls._engines
        cls._engines.clear()
        for address, engine in cls._inherited.items():
            engine._put = partial(_refuse, address)  # type: ignore[method-assign]

    @property
    def running(self) -> bool:
        """Whether jobs are still done."""
        return not self._ended

    # -- for the application's threads

    def _put(self, job: _Call | _Append) -> None:
        self._jobs.append(job)
        self._alarm.ring()

    def post(self, run: Callable[[], Any]) -> None:
        """Do *run* in the broker's thread; its errors are logged."""

        def done(_result: Any, error: Exception | None) -> None:
            if error is not None and not self._ended:
                logger.error("embedded broker: %s: %s", type(error).__name__, error)

        self._put(_Call(run, False, done))

    async def call(self, run: Callable[[], T], *, writes: bool = False) -> T:
        """Do *run* in the broker's thread and return its result; a writing one inside a transaction."""
        future, done = _future()
        self._put(_Call(run, writes, done))
        self.courtesy(future.get_loop()).expect()
        result: T = await future
        return result

    async def work(self, steps: Callable[[], LongWork[T]]) -> T:
        """Do long work step by step, between other jobs, and return its result."""
        future, done = _future()

        def begin() -> None:
            self._long.append((steps(), done, None))

        def begun(_result: Any, error: Exception | None) -> None:
            if error is not None:
                done(None, error)

        self._put(_Call(begin, False, begun))
        result: T = await future
        return result

    def append(
        self,
        batches: list[Outgoing],
        done: Callable[[list[Answer]], None],
        deadline: float = inf,
    ) -> None:
        """Append *batches*; *done* is told (broker's thread) of each where it is or why not.

        What could not be written by *deadline* (monotonic), because another process holds the
        database, fails.
        """
        self._put(_Append(batches, done, deadline))
        self.courtesy(asyncio.get_running_loop()).expect()

    def courtesy(self, loop: asyncio.AbstractEventLoop) -> Courtesy:
        """Return what makes an application's loop let this thread run."""
        found = self._courtesies.get(loop)
        if found is None:
            self._courtesies = {
                known: courtesy
                for known, courtesy in self._courtesies.items()
                if not known.is_closed()
            }
            found = self._courtesies[loop] = Courtesy(loop, self._is_behind, self._turned)
        return found

    def _is_behind(self) -> bool:
        if self._outage.since is not None:
            return False
        waiting = bool(self._jobs or self._appends or self._calls)
        return waiting or time.monotonic() > self._due + LATE

    def has_grace(self, now: float) -> bool:
        """Say whether heartbeats may have been held up: nobody is to be taken for dead (broker's thread)."""
        return now < self.grace_until or self._outage.since is not None

    def add(self, client: Client) -> None:
        """Look after *client* from now on (broker's thread)."""
        self._clients[client] = 0.0

    def remove(self, client: Client) -> None:
        """Look after *client* no longer (broker's thread)."""
        self._clients.pop(client, None)

    # -- the thread

    def note_change(self) -> None:
        """Something was written; everybody looks (broker's thread)."""
        self._changed = True

    def _run(self) -> None:
        self._due = 0.0
        while not self._ended:
            self._sleep()
            try:
                self._due = self._turn()
            except Exception as exc:
                self._give_up(exc)
            self._turned.set()
        self._sleep()
        left: list[_Call | _Append] = [*self._calls, *self._appends]
        for job in left:
            job.fail(closed_error())
        for _, done, _ in self._long:
            done(None, closed_error())
        self.database.close()
        self._alarm.close()

    def _give_up(self, error: Exception) -> None:
        """Tell clients that they are not looked after any more; whatever else is asked gets its own answer."""
        clients, self._clients = self._clients, {}
        if clients and not isinstance(error, StorageError):  # of that its clients tell
            logger.error("the embedded broker's thread cannot go on: %s", error, exc_info=error)
        for client in clients:
            client.fail(error)
        time.sleep(BUSY_PAUSE)

    def _sleep(self) -> None:
        """Sleep until there is something to do; collect jobs."""
        if self._alarm.sleep(0.0 if self._ended else self._wait()):
            self._poll = FASTEST_POLL
            self._watch_until = time.monotonic() + WATCH
        while self._jobs:
            job = self._jobs.popleft()
            if isinstance(job, _Append):
                self._appends.append(job)
            else:
                self._calls.append(job)

    def _wait(self) -> float:
        if self._outage.since is not None:
            return BUSY_PAUSE
        if self._appends or self._calls or self._long or self._changed:
            return 0.0
        now = time.monotonic()
        due = min(self._due, self._clean_at) - now
        if not self._clients:
            return max(due, 1.0)
        polls = self._shared and (now < self._watch_until or not self._alarm.watches)
        return min(due, self._poll) if polls else due

    def _turn(self) -> float:
        before = time.monotonic()
        if before >= self._ground_at:
            self._ground_at = before + LOOK_AT_GROUND
            self.database.check_ground()
        try:
            self._do_appends()
            self._do_calls()
            self._do_long()
            changed = self._look_around()
            due = self._tick(changed)
        except Busy as exc:
            self._changed = True
            self._outage.goes_on(str(exc), self._clients)
            self._fail_overdue()
            return before + BUSY_PAUSE
        stalled = self._outage.ends(self._clients)
        if max(stalled, time.monotonic() - before) > STALL:
            self.grace_until = time.monotonic() + STALL
        return due

    def _look_around(self) -> bool:
        """Say whether anybody has written since the last turn."""
        changed, self._changed = self._changed, False
        if self._shared:
            seen, self._seen = self._seen, self.database.foreign_changes()
            if self._seen != seen:
                changed = True
                self.log.forget()
            self._poll = FASTEST_POLL if changed else min(self._poll * 1.3, SLOWEST_POLL)
        return changed

    def _tick(self, changed: bool) -> float:
        now = time.monotonic()
        due = now + 1.0
        for client, at in list(self._clients.items()):
            if now < at and (not changed or at == inf):
                due = min(due, at)
                continue
            if now - at > STALL and at:
                self.grace_until = now + STALL  # this thread was held up, or frozen
            try:
                again = self._clients[client] = client.tick(now, changed)
            except Busy:
                raise
            except Exception as exc:
                self._clients.pop(client, None)
                client.fail(exc)
                continue
            due = min(due, again)
        if now >= self._clean_at:
            self._clean_at = now + CLEAN_EVERY
            self._long.append((clean(self.database, self.log), _log_cleaning, None))
        return due

    def _do_appends(self) -> None:
        """Write what waits to be appended, as much as possible with one statement."""
        while self._appends:
            waiting = list(self._appends)
            batches = [
                batch for append in waiting for batch in append.batches[len(append.answers) :]
            ]
            try:
                answers = self.log.append(batches)
            except Busy:
                raise
            except Exception as exc:
                answers = [exc] * len(batches)
            self._changed = True
            for append in waiting:
                missing = len(append.batches) - len(append.answers)
                append.answers += answers[:missing]
                answers = answers[missing:]
                if len(append.answers) < len(append.batches):
                    break
                self._appends.popleft()
                append.done(append.answers)

    def _do_calls(self) -> None:
        while self._calls:
            call = self._calls[0]
            try:
                result, error = self._do(call), None
            except Busy:
                raise
            except Exception as exc:
                result, error = None, exc
            self._calls.popleft()
            self._changed = self._changed or call.writes
            call.done(result, error)

    def _do(self, call: _Call) -> Any:
        if not call.writes:
            return call.run()
        with self.database.transaction():
            return call.run()

    def _do_long(self) -> None:
        """Do one step of one long work, then let the next one go on."""
        if not self._long:
            return
        work, done, step = self._long[0]
        result = None
        try:
            if step is not None:
                with self.database.transaction():
                    result = step()
                self._changed = True
        except Busy:
            raise
        except Exception as exc:
            self._long.popleft()
            done(None, exc)
            return
        self._long.popleft()
        try:
            step = work.send(result)
        except StopIteration as end:
            done(end.value, None)
        except Busy as exc:  # between two steps: it cannot be taken up again
            done(None, BrokerUnavailable(f"{exc}: what was begun is done in part; do it again"))
        except Exception as exc:
            done(None, exc)
        else:
            self._long.append((work, done, step))

    def _fail_overdue(self) -> None:
        """Give up what has waited longer than its request timeout."""
        now = time.monotonic()
        for append in [append for append in self._appends if now > append.deadline]:
            self._appends.remove(append)
            append.fail(BrokerUnavailable(self._outage.describe()))


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=Engine.forked)


class _Outage:
    """The time in which another process holds the database."""

    def __init__(self, database: Database) -> None:
        self.since: float | None = None
        self._database = database
        self._reason = ""
        self._speak_at = 0.0
        self._pause = SPEAK_AGAIN

    def goes_on(self, reason: str, clients: dict[Client, float]) -> None:
        """Note that the database is held; say so in the log and in the state of the clients."""
        now = time.monotonic()
        self._reason = reason
        if self.since is None:
            self.since = now
            self._speak_at, self._pause = now + STALL, SPEAK_AGAIN
        if now < self._speak_at:
            return
        self._speak_at = now + self._pause
        self._pause *= 2
        text = self.describe()
        logger.warning("%s; waiting", text)
        for client in clients:
            if client.state.connected:
                client.state.connected = False
                client.state.since = now
            client.state.last_error = text

    def describe(self) -> str:
        """Say what is the matter, and who holds the database."""
        seconds = time.monotonic() - self.since if self.since is not None else 0.0
        holder = self._database.holder() or "another process"
        return (
            f"the broker directory {self._database.directory} has been locked by {holder} for "
            f"{seconds:.1f} s ({self._reason})"
        )

    def ends(self, clients: dict[Client, float]) -> float:
        """Note that the database can be used; return how long it could not."""
        if self.since is None:
            return 0.0
        now = time.monotonic()
        stalled, self.since = now - self.since, None
        for client in clients:
            if not client.state.connected:
                client.state.connected = True
                client.state.since = now
        if stalled > STALL:
            logger.info(
                "the broker directory %s can be used again after %.1f s",
                self._database.directory,
                stalled,
            )
        return stalled


def _future() -> tuple[asyncio.Future[Any], _Done]:
    """Make a future of the running loop, and what settles it from another thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def done(result: Any, error: Exception | None) -> None:
        call_threadsafe(loop, lambda: settle(result, error))

    return future, done


def _log_cleaning(_result: Any, error: Exception | None) -> None:
    if error is not None:
        logger.error("the embedded broker could not clean its log: %s", error)


def call_threadsafe(loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> None:
    """Call on an application's loop, unless that has ended."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _refuse(address: str, job: _Call | _Append) -> None:
    job.fail(_forked_error(address))


def _forked_error(address: str) -> BrokerError:
    return BrokerError(
        f"the embedded broker {address} was in use when this process was forked, and cannot be used here: start processes "
        "by other means (multiprocessing: 'spawn' or 'forkserver'), or before the broker is used"
    )


def closed_error() -> BrokerError:
    """Return the error of a client that is used after its end."""
    return BrokerError("this client of the embedded broker was closed; make another")
