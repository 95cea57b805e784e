"""The embedded broker's producer: what it owes to those who append, also when something fails."""

from __future__ import annotations

import asyncio
import sys

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from tests.support.driving import open_transport

from faust.exceptions import ProducerSendError
from faust.transport.base import ProducerOptions


async def test_what_is_appended_while_it_starts_is_written_and_so_is_the_rest() -> None:
    """The application need not wait for the start of its producer."""
    producer = open_transport("memory://starting").producer(ProducerOptions())
    starting = asyncio.create_task(producer.start())
    await asyncio.sleep(0)  # it has begun
    assert not starting.done()
    early = producer.append("t", 0, None, b"while it starts")
    await starting
    late = producer.append("t", 0, None, b"afterwards")
    async with asyncio.timeout(20):
        assert [(await early).offset, (await late).offset] == [0, 1]
    await producer.close()


def _gzip(data: bytes) -> bytes:
    if b"heavy" in data:
        raise MemoryError("no room to compress")
    return data


async def test_a_batch_that_cannot_be_built_fails_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever awaits its records is told why; what was handed out with it is written."""
    builders = sys.modules[DefaultRecordBatchBuilder.__module__]
    monkeypatch.setattr(builders, "gzip_encode", _gzip)
    options = ProducerOptions(compression="gzip")
    producer = open_transport("memory://building").producer(options)
    await producer.start()
    topics = ["a", "b", "c"]
    first, heavy, last = (
        producer.append(topic, 0, None, value * 20)
        for topic, value in zip(topics, [b"light", b"heavy", b"light"], strict=True)
    )
    async with asyncio.timeout(20):
        with pytest.raises(ProducerSendError, match=r"1 records for b\[0\].*no room to compress"):
            await producer.flush()
        assert [(await first).offset, (await last).offset] == [0, 0]
        with pytest.raises(ProducerSendError):
            await heavy
        assert (await producer.append("b", 0, None, b"light")).offset == 0
    await producer.close()
