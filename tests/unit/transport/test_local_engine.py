"""The embedded broker's thread: what becomes of jobs, clients and long work when something fails."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.driving import until
from tests.unit.transport.test_local_log import batch

from faust.exceptions import BrokerError, BrokerUnavailable, StorageError, UnknownTopic
from faust.messages import TP
from faust.transport.base import DriverState, MemberSubscription
from faust.transport.drivers.local.admin import Admin
from faust.transport.drivers.local.database import FILE, Busy, LongWork
from faust.transport.drivers.local.engine import Answer, Engine
from faust.transport.drivers.local.log import Appended

WORDS = TP("words", 0)


class Watcher:
    """A client of the engine that counts its ticks, and fails in the one it is told to."""

    def __init__(self, fails_in: int = 10**9) -> None:
        self.state = DriverState(connected=True)
        self.ticks = 0
        self.fails_in = fails_in
        self.errors: list[Exception] = []

    def tick(self, now: float, changed: bool) -> float:
        """Come again in 5 ms."""
        assert changed in {False, True}
        self.ticks += 1
        if self.ticks == self.fails_in:
            raise ValueError("cannot go on")
        return now + 0.005

    def fail(self, error: Exception) -> None:
        """Remember it."""
        self.errors.append(error)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """The engine of a broker in a directory, with a topic."""
    address = str(tmp_path)
    made = Engine.acquire(address, lambda: Engine(tmp_path))
    await made.call(lambda: made.log.create_topic("words", 1, {}), writes=True)
    yield made
    if made.running:
        await asyncio.to_thread(made.release, address)


async def append(engine: Engine, *values: bytes, deadline: float = 1e18) -> Answer:
    """Append one batch and return the answer."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[list[Answer]] = loop.create_future()

    def done(answers: list[Answer]) -> None:
        loop.call_soon_threadsafe(told.set_result, answers)

    engine.append([batch(WORDS, [(None, value) for value in values])], done, deadline)
    (answer,) = await told
    return answer


async def test_an_error_belongs_to_the_job_that_made_it(engine: Engine) -> None:
    """Who asked is told, what it had written is undone, and the thread goes on."""

    def fail() -> None:
        engine.log.create_topic("half", 1, {})
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await engine.call(fail, writes=True)
    with pytest.raises(UnknownTopic, match="half"):
        await engine.call(lambda: engine.log.ends(TP("half", 0)))
    assert await append(engine, b"v") == Appended(0, -1)


async def test_a_client_that_fails_is_told_and_the_others_are_looked_after(engine: Engine) -> None:
    """An error in looking after one client ends that one only."""
    bad, good = Watcher(fails_in=3), Watcher()
    for client in (bad, good):
        engine.post(lambda client=client: engine.add(client))  # type: ignore[misc]
    await until(lambda: bool(bad.errors), "it was told")
    seen = good.ticks
    await until(lambda: good.ticks > seen + 3, "the other went on")
    assert [str(error) for error in bad.errors] == ["cannot go on"]
    assert bad.ticks == 3
    assert good.errors == []


async def test_a_thread_without_its_database_says_so_to_everybody(engine: Engine) -> None:
    """When looking after clients fails as a whole each is told, and whoever asks gets an answer."""
    client = Watcher()
    engine.post(lambda: engine.add(client))
    await until(lambda: client.ticks > 1, "it was looked after")
    # in its own thread: SQLite crashes when it is closed under a reader
    engine.post(engine.database.close)
    await until(lambda: bool(client.errors), "it was told")
    assert isinstance(client.errors[0], StorageError)
    answer = await asyncio.wait_for(append(engine, b"v"), 10)
    assert isinstance(answer, StorageError)
    with pytest.raises(StorageError):
        await asyncio.wait_for(engine.call(engine.log.topics), 10)


async def test_what_waits_for_a_locked_database_is_done_in_order_or_told_in_time(
    engine: Engine, tmp_path: Path
) -> None:
    """While somebody else holds the lock jobs wait in their order; past its deadline an append fails."""
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first = asyncio.create_task(append(engine, b"1", b"2"))
    late = asyncio.create_task(append(engine, b"late", deadline=time.monotonic() + 0.2))
    asked = asyncio.create_task(engine.call(lambda: engine.log.ends(WORDS).next))
    answer = await late
    assert isinstance(answer, BrokerUnavailable)
    assert str(tmp_path) in str(answer)
    assert not first.done()
    assert not asked.done()
    other.execute("ROLLBACK")
    other.close()
    assert await first == Appended(0, -1)
    assert await asked == 2


async def test_who_looks_at_a_group_takes_nobody_for_dead_whose_heartbeats_were_held_up(
    engine: Engine, tmp_path: Path
) -> None:
    """After a lock members are described as they were; the dead are not described, and dropped by others."""
    told, watcher = MemberSubscription(("words",), b""), Watcher()
    engine.post(lambda: engine.add(watcher))
    admin = Admin(lambda: engine, lambda _engine: None, 60.0)
    await admin.start()
    now = time.monotonic()

    def join() -> None:
        engine.groups.join("g", "m", told, instance=None, session=0.3, rebalance=9.0, now=now)

    await engine.call(join, writes=True)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None, timeout=60.0)
    other.execute("BEGIN IMMEDIATE")
    asked = asyncio.create_task(admin.describe_group("g"))
    await until(lambda: not watcher.state.connected, "the lock was noticed")
    other.execute("ROLLBACK")
    other.close()
    assert (await asked).members == ("m",)

    async def nobody() -> bool:
        described = await admin.describe_group("g")
        return (described.members, described.state) == ((), "Dead")

    await until(nobody, "it was taken for dead")
    assert await engine.call(lambda: engine.groups.member_ids("g")) == ["m"]


async def test_jobs_that_are_left_when_the_thread_ends_are_answered(
    engine: Engine, tmp_path: Path
) -> None:
    """Nobody waits for a thread that is gone."""
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = [
        asyncio.create_task(engine.call(engine.log.topics, writes=True)),
        asyncio.create_task(engine.work(lambda: _steps([]))),
    ]
    appending = asyncio.create_task(append(engine, b"v"))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(engine.release, str(tmp_path))
    for job in waiting:
        with pytest.raises(BrokerError, match="closed"):
            await asyncio.wait_for(job, 10)
    assert isinstance(await asyncio.wait_for(appending, 10), BrokerError)
    other.close()


def _steps(done: list[str], *, fail: Exception | None = None) -> LongWork[str]:
    for name in ("one", "two", "three"):
        yield lambda name=name: done.append(name)  # type: ignore[misc]
    if fail is not None:
        raise fail
    return "all"


async def test_long_work_lets_others_go_between_its_steps(engine: Engine) -> None:
    """Two works go on in turn, and a job is done in between."""
    done: list[str] = []
    engine.post(lambda: time.sleep(0.2))  # so that both are there when the first begins
    works = [asyncio.create_task(engine.work(lambda: _steps(done))) for _ in range(2)]
    assert await asyncio.gather(*works) == ["all", "all"]
    assert done == ["one", "one", "two", "two", "three", "three"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(StorageError("disk full"), StorageError), (Busy("locked"), BrokerUnavailable)],
)
async def test_long_work_that_fails_tells_who_asked(
    engine: Engine, error: Exception, told: type[Exception]
) -> None:
    """What goes wrong between two steps reaches the caller in words; the next work is done."""
    with pytest.raises(told, match=str(error)):
        await engine.work(lambda: _steps([], fail=error))
    assert await engine.work(lambda: _steps([])) == "all"


async def test_the_thread_ends_with_its_last_user(tmp_path: Path) -> None:
    """A directory is let go when nobody uses it any more, and may be taken again."""

    def threads() -> int:
        return sum(thread.name == "faust embedded broker" for thread in threading.enumerate())

    address, before = str(tmp_path), threads()
    one = Engine.acquire(address, lambda: Engine(tmp_path))
    two = Engine.acquire(address, lambda: Engine(tmp_path))
    assert one is two
    assert threads() == before + 1
    await asyncio.to_thread(one.release, address)
    assert one.running
    await asyncio.to_thread(two.release, address)
    assert not one.running
    assert threads() == before
    again = Engine.acquire(address, lambda: Engine(tmp_path))
    assert again is not one
    await asyncio.to_thread(again.release, address)


@pytest.mark.parametrize("url", ["memory://", "local://"])
def test_a_forked_process_is_told_that_the_broker_is_its_parents(url: str, tmp_path: Path) -> None:
    """Neither a client it has inherited nor a new one waits for a thread that is not there."""
    program = tmp_path / "forking.py"
    program.write_text(_FORKING)
    address = f"{url}{tmp_path if url == 'local://' else ''}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", program, address],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["BrokerError"] * 3 + ["child 0", "parent 1"], done.stderr


_FORKING = """
import asyncio, os, sys
from yarl import URL
from faust.exceptions import BrokerError
from faust.transport.base import ProducerOptions
from faust.transport.drivers.local import Transport

transport = Transport([URL(sys.argv[1])])

async def begin():
    producer = transport.producer(ProducerOptions())
    await producer.start()
    await producer.append("t", 0, None, b"parent")
    await producer.close()
    admin = transport.admin()
    await admin.start()
    return admin

async def told(awaitable):
    try:
        await awaitable
    except BrokerError as exc:
        assert "forked" in str(exc)
        print(type(exc).__name__, flush=True)

async def child(admin):
    await told(admin.list_topics())
    await told(admin.compact("t"))
    await told(transport.producer(ProducerOptions()).start())
    await admin.close()

async def parent(admin):
    print("parent", (await admin.list_topics()).count("t"))
    await admin.close()

admin = asyncio.run(begin())
if not (pid := os.fork()):
    asyncio.run(child(admin))
    sys.stdout.flush()
    os._exit(0)
print("child", os.waitpid(pid, 0)[1], flush=True)
asyncio.run(parent(admin))
"""
