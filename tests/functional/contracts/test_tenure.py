"""C17 for a producer: what is written in the name of partitions, until when."""

from __future__ import annotations

import asyncio
import math

import pytest

from faust.exceptions import CommitRefused
from faust.messages import TP
from faust.transport.tenure import Tenure
from tests.support.driving import Reader, Stage, take_for, until


class _Lease:
    """A lease that is over when it is looked at after *looks* times; a process may stand still between any two of them."""

    def __init__(self) -> None:
        self.looks = 0.0

    def __call__(self) -> float:
        self.looks -= 1
        return math.inf if self.looks >= 0 else -math.inf


@pytest.mark.parametrize("looks", [0, 1])
async def test_C17_what_is_bound_to_a_tenure_is_written_while_it_is_certain(
    stage: Stage, looks: int
) -> None:
    """Whoever writes looks at the tenure last: what was handed on already waits, too; what is withdrawn is never written."""
    bound, free = TP(await stage.topic(), 0), TP(await stage.topic(), 0)
    producer = await stage.producer()
    for topic in (bound.topic, free.topic):
        await producer.load_partitions(topic)
    producer.append(bound.topic, 0, None, b"before")
    await producer.flush()
    lease = _Lease()
    tenure = Tenure(lease)
    producer.bind([bound.topic], tenure)
    lease.looks = looks
    waiting = producer.append(bound.topic, 0, None, b"waits")
    flush = asyncio.create_task(producer.flush())
    await producer.append(free.topic, 0, None, b"goes")
    await asyncio.sleep(0.3)
    assert not waiting.done()
    lease.looks = math.inf
    await flush
    lease.looks = looks
    withdrawn = [producer.append(bound.topic, 0, None, b"late %d" % number) for number in range(3)]
    flush = asyncio.create_task(producer.flush())
    await asyncio.sleep(0.3)
    tenure.end()
    producer.withdraw(tenure)
    await flush
    for delivery in withdrawn:
        with pytest.raises(CommitRefused, match="were not written before"):
            await delivery
    producer.bind([bound.topic], Tenure(lambda: math.inf))
    producer.append(bound.topic, 0, None, b"after")
    await producer.flush()
    reader = await stage.reader([bound])
    await until(lambda: _has(reader, 3), "what was written was read")
    await take_for(reader.consumer, 0.3)
    assert reader.values(bound) == [b"before", b"waits", b"after"]


async def _has(reader: Reader, count: int) -> bool:
    await reader.take(0.05)
    return reader.count >= count
