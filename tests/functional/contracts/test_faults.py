"""What happens when something goes wrong: C13 to C16 of the transport contract."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping

import pytest

from faust.exceptions import (
    AuthenticationFailed,
    BrokerUnavailable,
    FaustError,
    ImproperlyConfigured,
)
from faust.messages import TP
from faust.transport.base import (
    ConsumerOptions,
    DriverState,
    MemberAssignment,
    MemberSubscription,
    ProducerOptions,
)
from tests.support.driving import (
    SESSION_TIMEOUT,
    Login,
    Reader,
    Recorder,
    RoundRobin,
    Stage,
    fast_options,
    open_transport,
    take_for,
    until,
)
from tests.support.kafka import ADMIN, KafkaCluster
from tests.support.ports import free_port

# -- C13: the broker is away


async def test_C13_a_client_says_that_it_is_connected(stage: Stage) -> None:
    """The state of a started client is connected, since a moment that has passed."""
    for client in (await stage.consumer(), await stage.producer()):
        assert client.state.connected
        assert 0 < client.state.since <= time.monotonic()


async def test_C13_an_outage_is_waited_for_and_told(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Away, the broker is missed in state and log, not too often; back, everything goes on by itself."""
    topic = await stage.topic(2)
    tps = [TP(topic, 0), TP(topic, 1)]
    group = stage.name("group")
    reader = Reader(await stage.consumer(group_id=group))

    async def begin_anew(*_: object) -> None:
        reader.next.clear()  # a member that was lost meanwhile begins at the commit

    listener = Recorder(on_assigned=begin_anew)
    consumer = reader.consumer
    await consumer.subscribe([topic], listener=listener, assignor=RoundRobin())
    producer = await stage.producer(linger=0.005)
    await producer.load_partitions(topic)
    await until(lambda: listener.assigned == set(tps), "all was assigned")
    await stage.fill(dict.fromkeys(tps, 10), start=1_000)
    await reader.read(20)
    assert set((await consumer.commit(dict.fromkeys(tps, 10))).values()) == {None}

    async def keep_taking() -> None:
        while True:
            await reader.take()

    taking = asyncio.create_task(keep_taking())
    with caplog.at_level(logging.WARNING, logger="faust"):
        caplog.clear()
        away = time.monotonic()
        async with stage.outage(restart=True):
            producer.append(topic, 0, None, b"sent into the void")
            for client in (producer, consumer):
                await _until_missed(client.state)
                assert away <= client.state.since <= time.monotonic()
                assert client.state.last_error
            await asyncio.sleep(max(0.0, away + 5.0 - time.monotonic()))
        lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert 1 <= len(lines) <= 20, [record.getMessage() for record in lines]
    for number in range(100):
        producer.append(topic, number % 2, None, b"%d" % number)
    await producer.flush()
    await until(lambda: producer.state.connected and consumer.state.connected, "all was well", 30)
    ends = {tps[0]: 61, tps[1]: 60}
    await until(lambda: reader.next == ends or taking.done(), "everything was read", 30)
    taking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await taking
    for tp, first in zip(tps, ([b"sent into the void"], []), strict=True):
        values = list(dict.fromkeys(reader.values(tp)))
        assert values[10:] == first + [b"%d" % n for n in range(tp.partition, 100, 2)]
    assert await consumer.commit(ends) == dict.fromkeys(tps)


async def _until_missed(state: DriverState) -> None:
    await until(lambda: not state.connected, "the outage was noticed")


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_C13_leader_and_coordinator_move(topic_name: Callable[..., str]) -> None:
    """While the nodes of a cluster go away one after another, every record arrives once, in order."""
    with KafkaCluster(3, heap="256m") as cluster:
        stage = Stage(cluster.url, topic_name, cluster)
        topic = await stage.topic(3, replication=3)
        tps = [TP(topic, n) for n in range(3)]
        listener = Recorder()
        consumer = await stage.member(
            stage.name("group"), [topic], listener=listener, session_timeout=20.0
        )
        reader = Reader(consumer)
        reader.next = dict.fromkeys(tps, 0)
        producer = await stage.producer()
        await producer.load_partitions(topic)
        number = 0

        async def run_while(doing: Awaitable[object]) -> None:
            nonlocal number
            task = asyncio.ensure_future(doing)
            while not task.done():
                for tp in tps:
                    producer.append(topic, tp.partition, None, b"%d" % number)
                number += 1
                await reader.take(0.02)
            await task

        await run_while(asyncio.sleep(1))
        for node, go in ((1, cluster.kill), (2, cluster.stop), (3, cluster.stop)):
            await run_while(asyncio.to_thread(go, node))
            await run_while(asyncio.sleep(2))
            await run_while(asyncio.to_thread(cluster.restart, node))
        await producer.flush()
        await until(lambda: _read_all(reader, tps, number), "everything was read", 60)
        wanted = [b"%d" % n for n in range(number)]
        assert [reader.values(tp) for tp in tps] == [wanted] * 3
        assert await consumer.commit(dict.fromkeys(tps, number)) == dict.fromkeys(tps)
        assert len(listener.assignments) == 1, "the group was disturbed"
        assert producer.state.connected
        assert consumer.state.connected
        await stage.close()


async def _read_all(reader: Reader, tps: list[TP], number: int) -> bool:
    await reader.take(0.1)
    return all(reader.next[tp] == number for tp in tps)


@pytest.mark.kafka
async def test_C13_start_gives_up_after_the_connect_timeout() -> None:
    """A broker that is not there ends start after connect_timeout with an error that names the address."""
    port = free_port()
    transport = open_transport(f"kafka://127.0.0.1:{port}")
    started = time.monotonic()
    for client in (
        transport.consumer(fast_options(connect_timeout=1.0)),
        transport.producer(ProducerOptions(connect_timeout=1.0)),
    ):
        with pytest.raises(BrokerUnavailable, match=str(port)):
            await client.start()
        await client.close()
    admin = transport.admin(request_timeout=1.0)
    with pytest.raises(BrokerUnavailable, match=str(port)):
        await admin.start()
    await admin.close()
    assert 2.5 < time.monotonic() - started < 20


# -- C14: refused


async def test_C14_wrong_credentials_are_an_error_at_once(stage: Stage) -> None:
    """A wrong password, or one where nobody asks for it, ends start with an error and no retries."""
    wrong = Login(ADMIN[0], "not-the-password")
    transport = stage.transport
    error: type[FaustError] = ImproperlyConfigured
    if stage.cluster is not None:
        transport, error = open_transport(stage.cluster.sasl_url), AuthenticationFailed

    async def start_consumer() -> None:
        client = transport.consumer(ConsumerOptions(credentials=wrong))
        try:
            await client.start()
        finally:
            await client.close()

    async def start_producer() -> None:
        client = transport.producer(ProducerOptions(credentials=wrong))
        try:
            await client.start()
        finally:
            await client.close()

    async def start_admin() -> None:
        client = transport.admin(credentials=wrong)
        try:
            await client.start()
        finally:
            await client.close()

    async with asyncio.timeout(20):
        for start in (start_consumer, start_producer, start_admin):
            with pytest.raises(error):
                await start()


@pytest.mark.kafka
async def test_C14_right_credentials_are_accepted(kafka_cluster: KafkaCluster) -> None:
    """The same door opens with the right password."""
    transport = open_transport(kafka_cluster.sasl_url)
    admin = transport.admin(credentials=Login(*ADMIN))
    await admin.start()
    assert isinstance(await admin.list_topics(), list)
    await admin.close()


# -- C15: the end


async def test_C15_close_flushes_and_leaves(stage: Stage) -> None:
    """What was appended is there after close, and the group does not wait for a session timeout."""
    topic = await stage.topic()
    tp = TP(topic, 0)
    producer = stage.transport.producer(ProducerOptions(linger=30.0))
    await producer.start()
    await producer.load_partitions(topic)
    for number in range(1_000):
        producer.append(topic, 0, None, b"%d" % number)
    await producer.close()
    await producer.close()
    assert await (await stage.admin()).offsets([tp]) == {tp: (0, 1_000)}

    group, staying = stage.name("group"), Recorder()
    leaving = await stage.member(group, [topic], session_timeout=30.0)
    await stage.member(group, [topic], listener=staying, session_timeout=30.0)
    await until(lambda: bool(staying.assignments), "both were members")
    await leaving.close()
    await leaving.close()
    await until(lambda: staying.assigned == {tp}, "the other one had it", timeout=15)
    assert leaving.assignment == frozenset()


async def test_C15_close_aborts_an_open_transaction(stage: Stage) -> None:
    """A producer closed in mid-transaction leaves nothing that readers of committed records wait for."""
    topic = await stage.topic()
    tp = TP(topic, 0)
    producer = await stage.producer(transactional_id=stage.name("tx"), transaction_timeout=300.0)
    await producer.load_partitions(topic)
    await producer.begin_transaction()
    producer.append(topic, 0, None, b"never")
    await producer.flush()
    await producer.close()
    await stage.fill({tp: 1})
    reader = await stage.reader([tp], gaps=True, read_committed=True)
    await reader.read(1)
    assert reader.values(tp) == [b"0"]


async def test_C15_close_is_bounded_when_the_broker_is_gone(stage: Stage) -> None:
    """With nobody there to answer, close still ends in the time it was given."""
    topic = await stage.topic()
    listener = Recorder()
    consumer = await stage.member(stage.name("group"), [topic], listener=listener)
    producer = await stage.producer()
    await producer.load_partitions(topic)
    await until(lambda: bool(listener.assigned), "it was assigned")
    async with stage.outage():
        producer.append(topic, 0, None, b"never acknowledged")
        for client in (producer, consumer):
            started = time.monotonic()
            await client.close(2.0)
            assert time.monotonic() - started < 6.0


async def test_C15_a_take_that_waits_ends_with_close(stage: Stage) -> None:
    """Closing a consumer does not leave somebody waiting in take."""
    topic = await stage.topic()
    reader = await stage.reader([TP(topic, 0)])
    taking = asyncio.create_task(reader.take(60))
    await asyncio.sleep(0.3)
    await reader.consumer.close()
    async with asyncio.timeout(10):
        with contextlib.suppress(FaustError):
            assert await taking == []


# -- C16: errors of the background


class _BadAssignor(RoundRobin):
    def assign(
        self, members: Mapping[str, MemberSubscription], partitions: Mapping[str, int]
    ) -> Mapping[str, MemberAssignment]:
        raise ZeroDivisionError("the assignor cannot count")


class _DeafAssignor(RoundRobin):
    def on_assignment(self, assignment: MemberAssignment, generation: int) -> None:
        raise ZeroDivisionError("the assignor cannot hear")


@pytest.mark.parametrize(
    ("assignor", "words"), [(_BadAssignor(), "cannot count"), (_DeafAssignor(), "cannot hear")]
)
async def test_C16_an_error_of_the_assignor_reaches_take(
    stage: Stage, assignor: RoundRobin, words: str
) -> None:
    """What the app's assignor raises in the background is raised by take, not only logged."""
    topic = await stage.topic()
    consumer = await stage.member(stage.name("group"), [topic], assignor=assignor)
    with pytest.raises(Exception, match=words) as caught:
        await take_for(consumer, 2 * SESSION_TIMEOUT)
    assert isinstance(caught.value, ZeroDivisionError | FaustError)


@pytest.mark.parametrize("moment", ["revoked", "assigned"])
async def test_C16_an_error_of_the_listener_reaches_take(stage: Stage, moment: str) -> None:
    """What the app's listener raises is raised by take; the consumer does not go on as if nothing was."""
    topic = await stage.topic()

    async def fail(*_: object) -> None:
        raise ZeroDivisionError(f"the listener failed when {moment}")

    listener = Recorder(on_revoked=fail) if moment == "revoked" else Recorder(on_assigned=fail)
    consumer = await stage.member(stage.name("group"), [topic], listener=listener)
    if moment == "revoked":
        await until(lambda: bool(listener.assigned), "the topic was assigned")
        other = await stage.topic()
        await consumer.subscribe([other], listener=listener, assignor=RoundRobin())
    with pytest.raises(Exception, match=re.escape(f"failed when {moment}")) as caught:
        await take_for(consumer, 2 * SESSION_TIMEOUT)
    assert isinstance(caught.value, ZeroDivisionError | FaustError)
