"""The embedded broker is shared by processes: what one writes while another looks must not be passed over."""

from __future__ import annotations

import time
from pathlib import Path

from faust.messages import TP
from faust.testing.faults.observer import Observer
from faust.transport.base import ConsumerOptions
from tests.support.driving import Reader, open_transport
from tests.support.processes import start_python

RECORDS = 4_000

WRITER = """
import asyncio, sys
from faust.testing.faults.observer import Observer

async def write():
    async with Observer(sys.argv[1], "nobody") as observer:
        await observer.know("numbers")
        for number in range(int(sys.argv[2])):
            await observer.feed([number], "numbers", 1)

asyncio.run(write())
"""


async def test_a_reader_at_the_end_skips_nothing(tmp_path: Path) -> None:
    """Records that another process appends one by one all arrive, in order, though the reader is always at the end."""
    url = f"local://{tmp_path / 'broker'}"
    async with Observer(url, "nobody") as observer:
        await observer.create("numbers", 1)
    transport = open_transport(url)
    consumer = transport.consumer(ConsumerOptions())
    await consumer.start()
    try:
        await consumer.assign([TP("numbers", 0)])
        reader = Reader(consumer)
        with start_python(WRITER, url, str(RECORDS)) as writer:
            deadline = time.monotonic() + 60
            while reader.count < RECORDS and time.monotonic() < deadline:
                await reader.take()
            assert writer.wait() == 0, writer.errors
    finally:
        await consumer.close()
    assert [int((value or b"").strip(b'"')) for value in reader.values(TP("numbers", 0))] == list(
        range(RECORDS)
    )
