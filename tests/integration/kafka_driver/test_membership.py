"""Members that are late, leave, or have to look elsewhere, on the real broker."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.offset import OffsetRequest

from faust.exceptions import BrokerError
from faust.messages import TP
from faust.transport.base import ProducerOptions
from faust.transport.drivers.aiokafka.client import FETCH_GROUP
from faust.transport.drivers.aiokafka.connection import Exchange
from faust.transport.tenure import Tenure
from tests.support.driving import (
    Recorder,
    RoundRobin,
    Stage,
    fast_options,
    open_transport,
    take_for,
    until,
)

pytestmark = pytest.mark.kafka


async def written(stage: Stage, tp: TP) -> list[bytes | None]:
    """Read what comes of a partition within a second."""
    reader = await stage.reader([tp])
    for _ in range(10):
        await reader.take(0.1)
    return reader.values(tp)


async def test_C17_the_lease_ends_when_the_rebalance_goes_on_without_us(stage: Stage) -> None:
    """Who takes longer to give back than a rebalance may take has no lease when somebody else has its partitions."""
    topic, changelog = await stage.topic(1), await stage.topic(1)
    tp = TP(topic, 0)
    taken, given = asyncio.Event(), asyncio.Event()
    left: list[float] = []

    async def give_back(_tps: Collection[TP], _lost: bool) -> None:
        """Wait for an event in hand that does not end; then flush what it has written."""
        await asyncio.wait_for(taken.wait(), 60)
        left.append(first.lease_until() - time.monotonic())
        producer.append(changelog, 0, b"key", b"the first, late")
        await asyncio.sleep(0.5)
        tenure.end()
        producer.withdraw(tenure)
        given.set()

    async def take_over(tps: Collection[TP], _generation: int) -> None:
        if tp in tps and not taken.is_set():
            await other.append(changelog, 0, b"key", b"the second")
            taken.set()

    producer, other = await stage.producer(), await stage.producer()
    options = {"group_id": topic, "session_timeout": 20.0, "rebalance_timeout": 2.0}
    first = await stage.consumer(**options)
    await first.subscribe(
        [topic], listener=Recorder(on_revoked=give_back), assignor=RoundRobin("first")
    )
    await until(lambda: tp in first.assignment, "the first has it")
    tenure = Tenure(first.lease_until)
    producer.bind([changelog], tenure)
    second = await stage.consumer(**options)
    await second.subscribe(
        [topic], listener=Recorder(on_assigned=take_over), assignor=RoundRobin("second")
    )
    await asyncio.wait_for(given.wait(), 60)
    assert left[0] <= 0
    assert await written(stage, TP(changelog, 0)) == [b"the second"]


async def test_C17_the_lease_ends_when_the_client_leaves_for_an_application_that_is_blocked(
    stage: Stage,
) -> None:
    """Somebody else has the partitions at once; what the blocked one has written is not sent when it wakes."""
    topic, changelog = await stage.topic(1), await stage.topic(1)
    tp, cluster = TP(topic, 0), stage.cluster
    assert cluster is not None
    taken, over = threading.Event(), threading.Event()

    async def work_elsewhere() -> None:
        transport = open_transport(cluster.url)
        member = transport.consumer(fast_options(group_id=topic, session_timeout=20.0))
        writer = transport.producer(ProducerOptions(connect_timeout=20.0))
        await member.start()
        await writer.start()

        async def take_over(tps: Collection[TP], _generation: int) -> None:
            if tp in tps and not taken.is_set():
                await writer.append(changelog, 0, b"key", b"the second")
                taken.set()

        listener = Recorder(on_assigned=take_over)
        await member.subscribe([topic], listener=listener, assignor=RoundRobin("second"))
        while not over.is_set():
            await member.take(0.1)
        await member.close(5)
        await writer.close(5)

    async def give_back(_tps: Collection[TP], lost: bool) -> None:
        if not lost:
            await producer.flush()
        tenure.end()
        producer.withdraw(tenure)

    producer = await stage.producer()
    await producer.load_partitions(changelog)
    first = await stage.consumer(group_id=topic, session_timeout=20.0, max_poll_interval=2.0)
    await first.subscribe(
        [topic], listener=Recorder(on_revoked=give_back), assignor=RoundRobin("first")
    )
    await until(lambda: tp in first.assignment, "the first has it")
    tenure = Tenure(first.lease_until)
    producer.bind([changelog], tenure)
    thread = threading.Thread(target=lambda: asyncio.run(work_elsewhere()))
    try:
        producer.append(changelog, 0, b"key", b"the first, late")
        thread.start()
        assert taken.wait(60)  # blocks the loop
        assert not tenure.certain()
        await asyncio.sleep(1.0)
        over.set()
        assert await written(stage, TP(changelog, 0)) == [b"the second"]
    finally:
        over.set()
        await asyncio.to_thread(thread.join)


async def test_C16_a_slow_answer_to_leaving_does_not_end_the_member(stage: Stage) -> None:
    """An application that was blocked for too long in a revocation is a member again, though the coordinator is slow."""
    topic = await stage.topic(2)
    first = await stage.consumer(group_id=topic, max_poll_interval=2.0)
    blocked: list[float] = []

    async def block(_tps: Collection[TP], _lost: bool) -> None:
        if not blocked:
            blocked.append(time.monotonic())
            time.sleep(4.0)  # noqa: ASYNC251 - one event of the application

    connection = first._client.connection  # type: ignore[attr-defined]
    send = connection.send

    async def send_slowly(node: Any, request: Any, **options: Any) -> Any:
        if isinstance(request, LeaveGroupRequest):
            await asyncio.sleep(6.0)
        return await send(node, request, **options)

    connection.send = send_slowly
    await first.subscribe(
        [topic], listener=Recorder(on_revoked=block), assignor=RoundRobin("first")
    )
    await until(lambda: bool(first.assignment), "the first has them")
    second = await stage.consumer(group_id=topic)
    await second.subscribe([topic], listener=Recorder(), assignor=RoundRobin("second"))

    async def both() -> bool:
        await first.take(0.1)
        await second.take(0.1)
        return bool(blocked) and len(first.assignment) == len(second.assignment) == 1

    await until(both, "both are members", 60)


async def test_C16_a_member_that_has_ended_is_an_error(stage: Stage) -> None:
    """Whatever ended it: the application hears of it by its next take."""
    topic = await stage.topic(1)
    member = await stage.member(topic, [topic])
    await until(lambda: bool(member.assignment), "it has something")
    client = member._client  # type: ignore[attr-defined]
    client.connection._loop.call_soon_threadsafe(client.membership._coordination_task.cancel)
    with pytest.raises(BrokerError, match="has ended"):
        await take_for(member, 20)


async def test_topics_that_are_set_while_metadata_come_are_looked_for_at_once(stage: Stage) -> None:
    """Not only when metadata are old."""
    topic, other = await stage.topic(1), await stage.topic(1)
    reader = await stage.reader([TP(topic, 0)], metadata_max_age=0.5)
    connection = reader.consumer._client.connection  # type: ignore[attr-defined]
    came, on = threading.Event(), threading.Event()
    update = connection._metadata_update

    async def update_slowly(*args: Any) -> Any:
        found = await update(*args)
        came.set()
        while not on.is_set():
            await asyncio.sleep(0.01)
        return found

    async def set_topics() -> bool:
        connection._metadata_max_age_ms = 300_000
        told = connection.set_topics({topic, other})
        on.set()
        async with asyncio.timeout(20):
            await told
        return bool(connection.cluster.partitions_for_topic(other) == {0})

    connection._metadata_update = update_slowly
    assert await asyncio.to_thread(came.wait, 20)
    looked = asyncio.run_coroutine_threadsafe(set_topics(), connection._loop)
    assert await asyncio.wrap_future(looked)


def _with_code(answer: Any, code: int) -> Any:
    answer.topics = [
        (topic, [(row[0], code, *row[2:]) for row in rows]) for topic, rows in answer.topics
    ]
    return answer


class Counted:
    """Counts a client's requests for metadata, and replaces codes in answers until it has made one."""

    def __init__(self, connection: Any, kind: type, code: int) -> None:
        self.asked: int = 0
        self.updates: int = 0
        self._kind, self._code = kind, code
        self._send, self._update = connection.send, connection._metadata_update
        connection.send, connection._metadata_update = self.send, self.update

    async def send(self, node: Any, request: Any, **options: Any) -> Any:
        """Send; the answer has the code of the fault."""
        answer = await self._send(node, request, **options)
        if isinstance(request, self._kind) and not self.updates:
            self.asked += 1
            return _with_code(answer, self._code)
        return answer

    async def update(self, *args: Any) -> Any:
        """Look for metadata."""
        self.updates += 1
        return await self._update(*args)


async def test_a_former_leader_that_is_asked_for_offsets_has_the_client_look_again(
    stage: Stage,
) -> None:
    """Until then nothing of that node would be read, of no partition."""
    topic = await stage.topic(2)
    one, two = TP(topic, 0), TP(topic, 1)
    await stage.fill({one: 10, two: 10})
    reader = await stage.reader([one], metadata_max_age=300.0)
    counted = Counted(reader.consumer._client.connection, OffsetRequest, 6)  # type: ignore[attr-defined]
    await reader.consumer.assign([one, two])
    await until(lambda: counted.updates > 0, "it asks who leads")
    assert counted.asked < 10


async def test_an_unusual_answer_to_a_fetch_has_the_client_look_again_and_wait(
    stage: Stage,
) -> None:
    """The disk of a leader has failed (KAFKA_STORAGE_ERROR), and somebody else leads."""
    topic = await stage.topic(1)
    tp = TP(topic, 0)
    reader = await stage.reader([tp], metadata_max_age=300.0)
    await reader.take(0.1)
    client = reader.consumer._client.connection  # type: ignore[attr-defined]
    counted = Counted(client, FetchRequest, 56)
    (connection,) = [conn for (_, group), conn in client._conns.items() if group == FETCH_GROUP]
    exchange = connection.exchange
    asked = threading.Event()

    def spoil(api: int, version: int, body: bytes, answer: Exchange) -> None:
        """Have the answer say in its bytes what `Counted` says in decoded ones."""
        read = answer._answered

        def answered(frame: bytes) -> None:
            name = topic.encode()
            if name in frame and not counted.updates:
                code = frame.index(name) + len(name) + 8  # after the count and the number
                frame = frame[:code] + b"\0\x38" + frame[code + 2 :]
            read(frame)

        answer._answered = answered
        exchange(api, version, body, answer)
        asked.set()

    connection.exchange = spoil
    assert await asyncio.to_thread(asked.wait, 20)  # what was asked before is answered as it is
    await stage.fill({tp: 10})
    await reader.read(10)
    assert counted.updates > 0
    assert 0 < counted.asked < 10
