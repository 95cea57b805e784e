"""A disk that takes no more: nothing is acknowledged that was not kept, and nobody waits in silence."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from faust.exceptions import ProducerSendError, StorageError
from faust.messages import TP
from faust.transport.base import ConsumerOptions, ProducerOptions
from faust.transport.drivers.local.database import Database
from tests.support.driving import open_transport
from tests.support.processes import start_python

_PRELUDE = """
import asyncio, json, resource, signal, sys, time
from tests.support.driving import Recorder, RoundRobin, fast_options, open_transport
from faust.transport.base import ProducerOptions, TopicSpec

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
transport = open_transport(sys.argv[1])


def fill_disk():
    # from here on no file of this process grows beyond 400 kB
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))


async def topic():
    admin = transport.admin()
    await admin.start()
    await admin.create_topics([TopicSpec(name="words", partitions=1)])
    await admin.close()


def say(**facts):
    print(json.dumps(facts), flush=True)
"""

_WRITER = f"""{_PRELUDE}
async def main():
    await topic()
    producer = transport.producer(ProducerOptions())
    await producer.start()
    fill_disk()
    acknowledged, failure, flushed = 0, "", ""
    while not failure and acknowledged < 2_000:
        try:
            await producer.append("words", 0, None, b"x" * 1_000)
            acknowledged += 1
        except Exception as error:
            failure = f"{{type(error).__name__}}: {{error}}"
    try:
        await producer.flush()
    except Exception as error:
        flushed = str(error)
    say(acknowledged=acknowledged, failure=failure, flushed=flushed)
    time.sleep(600)

asyncio.run(main())
"""

_MEMBER = f"""{_PRELUDE}
async def main():
    await topic()
    producer = transport.producer(ProducerOptions())
    await producer.start()
    consumer = transport.consumer(fast_options(group_id="group"))
    await consumer.start()
    listener = Recorder()
    await consumer.subscribe(["words"], listener=listener, assignor=RoundRobin())
    while not listener.assigned:
        await consumer.take(0.1)
    fill_disk()
    for _ in range(1_000):
        producer.append("words", 0, None, b"x" * 1_000)
    try:
        while True:
            await consumer.take(1.0)
    except Exception as error:
        say(failure=f"{{type(error).__name__}}: {{error}}")
    time.sleep(600)

asyncio.run(main())
"""


async def test_what_was_acknowledged_is_there_after_the_disk_was_full(tmp_path: Path) -> None:
    """A write that fails at the very commit is no acknowledgement: delivery and flush say so."""
    url = f"local://{tmp_path / 'broker'}"
    with start_python(_WRITER, url) as writer:
        told = json.loads(await writer.wait_line())
    assert told["failure"].startswith("ProducerSendError: ")
    assert str(tmp_path) in told["failure"]
    assert str(tmp_path) in told["flushed"]
    consumer = open_transport(url).consumer(ConsumerOptions())
    await consumer.start()
    ends = await consumer.end_offsets([TP("words", 0)])
    await consumer.close()
    assert ends == {TP("words", 0): told["acknowledged"]}
    assert told["acknowledged"] < 2_000


async def test_a_member_that_cannot_write_its_heartbeats_says_so(tmp_path: Path) -> None:
    """An error of the broker's thread reaches the next take, and names the directory."""
    with start_python(_MEMBER, f"local://{tmp_path / 'broker'}") as member:
        told = json.loads(await member.wait_line())
    assert told["failure"].startswith("StorageError: ")
    assert str(tmp_path) in told["failure"]


@pytest.mark.parametrize("how", ["deleted", "replaced", "covered"])
async def test_a_directory_that_goes_away_is_noticed(tmp_path: Path, how: str) -> None:
    """Files that were deleted are not written to for ever: every client is told, and the next one begins with what is there."""
    directory = tmp_path / "above" / "broker"
    transport = open_transport(f"local://{directory}")
    reader = transport.consumer(ConsumerOptions())
    await reader.start()
    producer = transport.producer(ProducerOptions())
    await producer.start()
    await producer.append("words", 0, None, b"one")
    if how == "covered":
        (tmp_path / "above").rename(tmp_path / "elsewhere")
        (tmp_path / "above").write_text("no directory")
    else:
        shutil.rmtree(directory)
    if how == "replaced":
        Database(directory).close()
    words = f"{directory} was deleted" + (", and another" if how == "replaced" else "")
    with pytest.raises(StorageError, match=re.escape(words)):
        async with asyncio.timeout(5):
            while True:
                await reader.take(1.0)
    with pytest.raises(ProducerSendError, match=re.escape(words)):
        await producer.append("words", 0, None, b"two")
    with pytest.raises(StorageError, match=re.escape(words)):
        await reader.end_offsets([TP("words", 0)])
    await reader.close()
    await producer.close()
    if how == "covered":
        (tmp_path / "above").unlink()
    again = open_transport(f"local://{directory}").producer(ProducerOptions())
    await again.start()
    assert (await again.append("words", 0, None, b"three")).offset == 0
    await again.close()
