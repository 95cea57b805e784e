"""Transactions of the embedded broker where they differ from Kafka's: one write, no markers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faust.exceptions import BrokerError, CommitRefused
from faust.messages import TP
from faust.transport.base import ConsumerOptions
from faust.transport.drivers.local.database import FILE
from tests.support.driving import Reader, Recorder, Stage, until
from tests.support.processes import start_python

_LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("released", flush=True)
time.sleep(600)
"""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A broker in a directory."""
    made = Stage(f"local://{tmp_path / 'broker'}", lambda name="topic": name, None)
    yield made
    await made.close()


async def read_all(stage: Stage, tp: TP, *, read_committed: bool) -> list[bytes | None]:
    """Read what is there."""
    options = ConsumerOptions(read_committed=read_committed)
    consumer = stage.transport.consumer(options)
    await consumer.start()
    await consumer.assign([tp])
    end = (await consumer.end_offsets([tp]))[tp]
    reader = Reader(consumer)
    await reader.read(end)
    await consumer.close()
    assert reader.next.get(tp, 0) == end
    return reader.values(tp)


@pytest.mark.parametrize("read_committed", [False, True])
async def test_nobody_sees_an_open_or_aborted_transaction_and_the_log_has_no_holes(
    stage: Stage, read_committed: bool
) -> None:
    """Whatever a reader's isolation level: only what was committed is in the log, offset by offset."""
    tp = TP(await stage.topic(), 0)
    producer = await stage.producer(transactional_id="tx")
    for number in range(4):
        await producer.begin_transaction()
        delivery = producer.append(tp.topic, 0, None, b"%d" % number)
        await producer.flush()
        assert (await delivery).offset == -1
        before = await read_all(stage, tp, read_committed=read_committed)
        assert before == [b"0", b"2"][: (number + 1) // 2]
        await (producer.abort_transaction if number % 2 else producer.commit_transaction)()
    assert await read_all(stage, tp, read_committed=read_committed) == [b"0", b"2"]


async def test_offsets_are_judged_again_at_the_commit(stage: Stage) -> None:
    """A rebalance between send_offsets and commit refuses the whole transaction; abort, and go on."""
    source, target = TP(await stage.topic(name="source"), 0), TP(await stage.topic(), 0)
    listener = Recorder()
    gone = await stage.member("group", [source.topic], listener=listener)
    await until(lambda: bool(listener.assigned), "it was assigned")
    producer = await stage.producer(transactional_id="tx")
    await producer.begin_transaction()
    producer.append(target.topic, 0, None, b"zombie")
    await producer.send_offsets({source: 5}, gone)
    await gone.close()
    with pytest.raises(CommitRefused):
        await producer.commit_transaction()
    with pytest.raises(BrokerError, match="abort it"):
        await producer.commit_transaction()
    with pytest.raises(BrokerError, match="abort it"):
        producer.append(target.topic, 0, None, b"more")
    await producer.abort_transaction()
    assert (await (await stage.admin()).describe_group("group")).offsets == {}
    await producer.begin_transaction()
    producer.append(target.topic, 0, None, b"next")
    await producer.commit_transaction()
    assert await read_all(stage, target, read_committed=True) == [b"next"]


@pytest.mark.parametrize("in_time", [True, False])
async def test_a_commit_that_was_cancelled_is_aborted_or_says_that_it_was_too_late(
    stage: Stage, tmp_path: Path, in_time: bool
) -> None:
    """After a cancelled commit, abort leaves no doubt: nothing was written, or it says that all was."""
    tp = TP(await stage.topic(), 0)
    producer = await stage.producer(transactional_id="tx")
    await producer.begin_transaction()
    producer.append(tp.topic, 0, None, b"x")
    await producer.flush()
    with start_python(_LOCKER, str(tmp_path / "broker" / FILE)) as locker:
        assert await locker.wait_line() == "locked"
        committing = asyncio.create_task(producer.commit_transaction())
        await asyncio.sleep(0.2)
        assert not committing.done()
        committing.cancel()
        await asyncio.wait([committing])
        if not in_time:
            locker.write_line("release")
            assert await locker.wait_line() == "released"
            await until(lambda: _written(stage, tp), "it was committed after all")
            with pytest.raises(BrokerError, match="committed before"):
                await producer.abort_transaction()
        else:
            aborting = asyncio.create_task(producer.abort_transaction())
            await asyncio.sleep(0.2)
            locker.write_line("release")
            await aborting
    wanted = [] if in_time else [b"x"]
    assert await read_all(stage, tp, read_committed=True) == wanted
    await producer.begin_transaction()
    producer.append(tp.topic, 0, None, b"next")
    await producer.commit_transaction()
    assert await read_all(stage, tp, read_committed=True) == [*wanted, b"next"]


async def _written(stage: Stage, tp: TP) -> bool:
    return (await (await stage.admin()).offsets([tp]))[tp][1] == 1
