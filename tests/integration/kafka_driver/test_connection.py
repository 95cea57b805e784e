"""Connections: refused, absent, lost and found again, on the real broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

from faust.exceptions import (
    AuthenticationFailed,
    AuthorizationFailed,
    BrokerError,
    BrokerUnavailable,
    CommitRefused,
)
from faust.messages import TP, Slice
from faust.transport.base import ConsumerOptions, ProducerOptions
from faust.transport.drivers.aiokafka import Transport
from tests.support.driving import Recorder, RoundRobin, Stage, fast_options, take_for, until
from tests.support.kafka import ADMIN, GUEST, KafkaCluster
from tests.support.ports import free_port

pytestmark = pytest.mark.kafka


def credentials(user: tuple[str, str]) -> Any:
    """Credentials of a user of the harness."""
    return SimpleNamespace(
        protocol="SASL_PLAINTEXT", mechanism="PLAIN", username=user[0], password=user[1]
    )


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    return free_port()


async def test_no_broker_at_start_is_an_error_that_helps(closed_port: int) -> None:
    """After connect_timeout the error names the servers, what happened, and what to look at."""
    transport = Transport([URL(f"kafka://127.0.0.1:{closed_port}"), URL("kafka://localhost:1")])
    consumer = transport.consumer(ConsumerOptions(connect_timeout=0.7))
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable) as caught:
        await consumer.start()
    assert 0.6 < time.monotonic() - began < 10
    text = str(caught.value)
    assert f"127.0.0.1:{closed_port} (" in text
    assert "localhost:1 (" in text
    assert "broker setting" in text
    with pytest.raises(BrokerUnavailable):
        await transport.producer(ProducerOptions(connect_timeout=0.2)).start()
    with pytest.raises(BrokerUnavailable):
        await transport.admin(request_timeout=0.2).start()
    await consumer.close()
    await until(lambda: not _client_threads(), "the client thread has ended")


_others: set[threading.Thread] = set()
"""Threads of clients that were there before the test; what they are waiting for is their tests' business."""


@pytest.fixture(autouse=True)
def _only_our_threads() -> None:
    _others.clear()
    _others.update(threading.enumerate())


def _client_threads() -> list[str]:
    running = set(threading.enumerate()) - _others
    return [each.name for each in running if each.name.startswith("kafka ")]


async def test_without_a_limit_the_start_waits_for_the_broker(
    closed_port: int, kafka_cluster: KafkaCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """With connect_timeout=None the start tries for ever, says so a few times, and succeeds when the broker comes."""
    wanted = URL(kafka_cluster.url).port
    transport = Transport([URL(f"kafka://127.0.0.1:{closed_port}")])
    consumer = transport.consumer(ConsumerOptions(connect_timeout=None))
    starting = asyncio.create_task(consumer.start())
    await asyncio.sleep(1.5)
    assert not starting.done()
    assert not consumer.state.connected
    assert consumer.state.last_error
    told = [r for r in caplog.records if "trying again" in r.getMessage()]
    assert 1 <= len(told) <= 3
    proxy = await asyncio.start_server(_pipe_to(wanted), "127.0.0.1", closed_port)
    await asyncio.wait_for(starting, 20)
    assert consumer.state.connected
    await consumer.close()
    proxy.close()


def _pipe_to(port: int | None) -> Any:
    """Make a server that hands connections on to *port*."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    return serve


async def test_a_start_that_is_given_up_leaves_nothing_behind(closed_port: int) -> None:
    """Cancelling a start that waits for the broker ends its thread."""
    consumer = Transport([URL(f"kafka://127.0.0.1:{closed_port}")]).consumer(ConsumerOptions())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(consumer.start(), 0.3)
    await until(lambda: not _client_threads(), "the client thread has ended")


@pytest.mark.parametrize("user", [(ADMIN[0], "wrong"), ("nobody", "x")])
async def test_a_wrong_password_is_an_error_at_once(
    kafka_cluster: KafkaCluster, user: tuple[str, str]
) -> None:
    """Refused credentials are not retried, even when nothing limits the start."""
    transport = Transport([URL(kafka_cluster.sasl_url)])
    began = time.monotonic()
    for client in (
        transport.consumer(ConsumerOptions(credentials=credentials(user))),
        transport.producer(ProducerOptions(credentials=credentials(user))),
        transport.admin(credentials=credentials(user)),
    ):
        with pytest.raises(AuthenticationFailed, match="broker_credentials"):
            await client.start()
    assert time.monotonic() - began < 15


async def test_a_topic_that_may_not_be_read_is_an_error_at_once(
    stage: Stage, kafka_cluster: KafkaCluster
) -> None:
    """Who lacks a permission is told which, by the next take; nobody waits in vain."""
    topic = await stage.topic()
    transport = Transport([URL(kafka_cluster.sasl_url)])
    consumer = transport.consumer(fast_options(group_id=topic, credentials=credentials(GUEST)))
    await consumer.start()
    await consumer.subscribe([topic], listener=Recorder(), assignor=RoundRobin())
    with pytest.raises(AuthorizationFailed, match="ACL"):
        await take_for(consumer, 20)
    await consumer.close()
    producer = transport.producer(ProducerOptions(acks=1, credentials=credentials(GUEST)))
    await producer.start()
    producer.append(topic, 0, None, b"forbidden")
    with pytest.raises(AuthorizationFailed, match=topic):
        await producer.flush()
    await producer.close()
    idempotent = transport.producer(ProducerOptions(credentials=credentials(GUEST)))
    with pytest.raises(AuthorizationFailed):
        await idempotent.start()  # refused here, unless some topic may be written (KIP-679)
        idempotent.append(topic, 0, None, b"forbidden, too")
        await idempotent.flush()
    await idempotent.close()


async def test_a_restart_is_survived_and_told(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that goes and comes back: the member goes on by itself, states and log tell of it, without a flood."""
    topic = await stage.topic(2)
    consumer = await stage.member(topic, [topic], session_timeout=20.0)
    producer = await stage.producer()
    await until(lambda: len(consumer.assignment) == 2, "partitions are assigned")
    caplog.clear()
    async with stage.outage(restart=True):
        await until(lambda: not consumer.state.connected, "the consumer notices")
        sent = producer.append(topic, 1, None, b"meanwhile")
        await until(lambda: not producer.state.connected, "the producer notices")
        assert consumer.state.last_error
        await asyncio.sleep(3.0)
    found: list[Slice] = []
    deadline = time.monotonic() + 30
    while not found and time.monotonic() < deadline:
        found = await consumer.take(0.5)
    assert [record.value for record in found[0].records] == [b"meanwhile"]
    assert (await sent).offset == 0
    assert consumer.state.connected
    assert producer.state.connected
    lines = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert any("trying again" in r.getMessage() for r in lines)
    assert any("connected to Kafka again" in r.getMessage() for r in lines)
    assert len(lines) < 30, [r.getMessage() for r in lines]
    assert not [r for r in lines if re.search("never retrieved|Task was destroyed", r.getMessage())]


async def test_closing_without_a_broker_takes_bounded_time(stage: Stage) -> None:
    """Consumer, producer and admin end in the time they are given although nobody answers."""
    topic = await stage.topic()
    transport = Transport([URL(stage.url)])
    consumer = transport.consumer(fast_options(group_id=topic))
    producer = transport.producer(ProducerOptions())
    admin = transport.admin()
    for client in (consumer, producer, admin):
        await client.start()
    await consumer.subscribe([topic], listener=Recorder(), assignor=RoundRobin())
    await until(lambda: bool(consumer.assignment), "partitions are assigned")
    async with stage.outage():
        await asyncio.sleep(0.2)  # every thread of the broker has stopped
        lost = producer.append(topic, 0, None, b"lost")
        committing = asyncio.create_task(consumer.commit({TP(topic, 0): 0}))
        await asyncio.sleep(0.2)
        for client in (consumer, producer):
            began = time.monotonic()
            await client.close(2.0)
            assert time.monotonic() - began < 4.0
        began = time.monotonic()
        await admin.close()
        assert time.monotonic() - began < 8.0
        with pytest.raises(BrokerError):
            await committing
        with pytest.raises(Exception, match="closed"):
            await lost
        await until(lambda: not _client_threads() or len(_client_threads()) == 1, "threads end")


async def test_a_stuck_application_gives_up_its_partitions_in_the_end(stage: Stage) -> None:
    """max_poll_interval: a loop that stands still that long loses its partitions, and is told so."""
    topic = await stage.topic(1)
    listener = Recorder()
    consumer = await stage.member(topic, [topic], listener=listener, max_poll_interval=2.0)
    await until(lambda: bool(consumer.assignment), "partitions are assigned")
    time.sleep(5.0)  # noqa: ASYNC251 - this is the point
    with contextlib.suppress(CommitRefused):
        await consumer.commit({TP(topic, 0): 0})
    await until(lambda: bool(listener.revocations), "the partitions are taken away")
    assert listener.revocations[0].lost
    await until(lambda: bool(consumer.assignment), "the member is back")


async def test_a_full_hand_over_costs_nothing(stage: Stage) -> None:
    """An application that takes nothing for longer than max_poll_interval, but lives, keeps its partitions."""
    topic = await stage.topic(1)
    await stage.fill({TP(topic, 0): 50_000})
    listener = Recorder()
    consumer = await stage.member(
        topic, [topic], listener=listener, max_poll_interval=1.5, slice_size=50
    )
    await until(lambda: bool(consumer.assignment), "partitions are assigned")
    await asyncio.sleep(4.0)
    assert not listener.revocations
    assert await consumer.commit({TP(topic, 0): 1}) == {TP(topic, 0): None}
