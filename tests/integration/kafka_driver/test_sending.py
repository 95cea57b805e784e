"""What the producer adds to aiokafka's sender, shown on the real broker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.errors import RequestTimedOutError
from aiokafka.protocol.metadata import MetadataRequest

from faust.exceptions import (
    BrokerError,
    CommitRefused,
    ProducerFenced,
    ProducerSendError,
    RecordTooLarge,
    UnknownTopic,
)
from faust.gate import Where
from faust.messages import TP
from faust.testing.faults import REQUESTS, Proxy
from faust.transport.base import (
    ConsumerDriver,
    Delivery,
    ProducerDriver,
    ProducerOptions,
    Transport,
)
from faust.transport.transactions import TransactionalDriver
from tests.support.driving import Stage, open_transport, until

pytestmark = pytest.mark.kafka


async def read_all(stage: Stage, tp: TP, *, committed: bool = True) -> list[bytes | None]:
    """Read everything of a partition."""
    reader = await stage.reader([tp], gaps=True, read_committed=committed)
    end = (await reader.consumer.end_offsets([tp]))[tp]
    while await reader.consumer.position(tp) < end:
        await reader.take()
    return reader.values(tp)


async def test_a_refused_batch_does_not_spoil_what_follows(stage: Stage) -> None:
    """After a batch that the broker refused, the next ones are accepted: its sequence numbers are used again."""
    topic = await stage.topic(1, max_message_bytes="2000")
    producer = await stage.producer(max_batch_size=100_000)
    for value in (b"first", b"second"):
        await producer.append(topic, 0, None, value)
    too_large = producer.append(topic, 0, None, b"x" * 5000)
    with pytest.raises(RecordTooLarge, match=rf"{topic}\[0\].*max.message.bytes"):
        await producer.flush()
    with pytest.raises(RecordTooLarge):
        await too_large
    for value in (b"third", b"fourth"):
        await producer.append(topic, 0, None, value)
    await producer.flush()
    assert await read_all(stage, TP(topic, 0)) == [b"first", b"second", b"third", b"fourth"]


async def test_an_answer_comes_though_nobody_waits_for_it(stage: Stage) -> None:
    """A record is known to be acknowledged soon, without a flush, without anybody awaiting it, and without more sends."""
    topic = await stage.topic(1)
    producer = await stage.producer()
    delivery = producer.append(topic, 0, None, b"alone")
    await until(delivery.done, "the record is acknowledged")
    assert (await delivery).offset == 0


async def test_overdue_records_fail_and_later_ones_are_accepted(stage: Stage) -> None:
    """What is not acknowledged within the request timeout fails by name; afterwards the producer works again."""
    topic = await stage.topic(1)
    producer = await stage.producer(request_timeout=1.5)
    await producer.append(topic, 0, None, b"before")
    async with stage.outage():
        producer.append(topic, 0, None, b"overdue")
        began = time.monotonic()
        with pytest.raises(ProducerSendError, match=rf"{topic}\[0\].*within 1.5 s"):
            await producer.flush()
        assert time.monotonic() - began < 15

    async def accepted() -> bool:
        try:
            await producer.append(topic, 0, None, b"after")
        except ProducerSendError:
            return False
        return True

    await until(accepted, "the producer works again")
    assert (await read_all(stage, TP(topic, 0)))[-1] == b"after"


async def test_order_and_number_survive_a_restart(stage: Stage) -> None:
    """A broker that restarts while records are sent gets every record once, in order (idempotence)."""
    topic = await stage.topic(2)
    producer = await stage.producer()
    number = 0

    async def send_on() -> None:
        nonlocal number
        while True:
            for _ in range(20):
                producer.append(topic, number % 2, None, b"%d" % number)
                number += 1
            await asyncio.sleep(0.005)

    sender = asyncio.create_task(send_on())
    await asyncio.sleep(0.3)
    async with stage.outage(restart=True):
        await asyncio.sleep(0.3)
    await asyncio.sleep(0.5)
    sender.cancel()
    await producer.flush()
    for partition in (0, 1):
        values = await read_all(stage, TP(topic, partition))
        assert values == [b"%d" % n for n in range(partition, number, 2)]


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_a_broker_that_has_lost_records_gets_what_comes(
    stage: Stage, caplog: pytest.LogCaptureFixture, compression: str | None
) -> None:
    """A log that ends earlier than what was acknowledged, as after an unclean election, costs nothing more than that (KIP-360)."""
    topic, cluster = await stage.topic(2), stage.cluster
    assert cluster is not None
    producer = await stage.producer(compression=compression)
    for number in range(20):
        for partition in (0, 1):
            await producer.append(topic, partition, None, b"%d" % number)
    await asyncio.to_thread(cluster.kill)
    cluster.cut_log(topic, 0)
    await asyncio.to_thread(cluster.restart)
    for number in range(20, 25):
        for partition in (0, 1):
            await producer.append(topic, partition, None, b"%d" % number)
    await producer.flush()
    assert f"{topic}[0]: the log at the broker does not go with" in caplog.text
    expected = [b"%d" % number for number in range(25)]
    assert await read_all(stage, TP(topic, 1)) == expected
    left = await read_all(stage, TP(topic, 0))
    assert 0 < len(left) < 25
    assert left == expected[: len(left) - 5] + expected[20:]


@pytest.fixture
async def proxy(stage: Stage) -> AsyncIterator[Proxy]:
    """What stands before `KafkaCluster.proxied_url`."""
    assert stage.cluster is not None
    ((listen, behind),) = stage.cluster.behind
    made = Proxy(behind, listen=listen)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def through(stage: Stage, proxy: Proxy) -> Transport:
    """The way to Kafka through the proxy."""
    assert stage.cluster is not None
    return open_transport(stage.cluster.proxied_url)


async def have_it_refused_when_written(
    stage: Stage, proxy: Proxy, producer: ProducerDriver, topic: str
) -> None:
    """Send a batch of one large record that the log gets, but its first answer is lost, and its second attempt refused."""
    cluster = stage.cluster
    assert cluster is not None
    proxy.mute(REQUESTS["Produce"])
    large = producer.append(topic, 0, None, b"x" * 5000)

    async def written() -> bool:
        return b"x" * 5000 in await read_all(stage, TP(topic, 0), committed=False)

    await until(written, "the large record is written, and nobody knows")
    await asyncio.to_thread(cluster.configure, topic, "max.message.bytes", "2000")
    proxy.heal()
    proxy.cut()
    with pytest.raises(RecordTooLarge):
        await large


async def test_a_batch_that_was_written_and_then_refused_spoils_nothing(
    stage: Stage, proxy: Proxy, through: Transport
) -> None:
    """What comes next must not have the numbers of what is in the log.

    The broker would take it for the same batch, acknowledge it, and not write it.
    """
    topic = await stage.topic(1)
    producer = await stage.producer(transport=through)
    await producer.append(topic, 0, None, b"first")
    await have_it_refused_when_written(stage, proxy, producer, topic)
    for value in (b"third", b"fourth"):
        await producer.append(topic, 0, None, value)
    assert await read_all(stage, TP(topic, 0)) == [b"first", b"x" * 5000, b"third", b"fourth"]


async def test_a_transaction_with_a_batch_that_was_written_and_then_refused_needs_a_new_producer(
    stage: Stage, proxy: Proxy, through: Transport
) -> None:
    """Else the next transaction would have numbers that are in the log, and be acknowledged, and not written."""
    topic = await stage.topic(1)
    producer = await stage.producer(transport=through, transactional_id=topic)
    await producer.begin_transaction()
    await producer.append(topic, 0, None, b"first")
    await producer.commit_transaction()
    await producer.begin_transaction()
    await have_it_refused_when_written(stage, proxy, producer, topic)
    with pytest.raises(ProducerFenced, match="unknown whether a batch was written"):
        await producer.abort_transaction()
    other = await stage.producer(transport=through, transactional_id=topic)
    await other.begin_transaction()
    await other.append(topic, 0, None, b"third")
    await other.commit_transaction()
    assert await read_all(stage, TP(topic, 0)) == [b"first", b"third"]


@pytest.mark.parametrize("transactional", [False, True])
async def test_an_error_that_does_not_say_whether_it_was_written(
    stage: Stage, transactional: bool
) -> None:
    """After UNKNOWN_SERVER_ERROR (-1) as well the numbers are not used again; a transaction needs a new producer."""
    topic = await stage.topic(1)
    producer = await stage.producer(transactional_id=topic if transactional else None)
    if transactional:
        await producer.begin_transaction()
    await producer.append(topic, 0, None, b"first")
    sender = producer._client._sender  # type: ignore[attr-defined]
    answered = sender._answered

    def answer_with_error(node: Any, batches: Any, frame: bytes) -> None:
        sender._answered = answered
        code = 4 + 4 + 2 + len(topic) + 4 + 4  # correlation, topics, name, partitions, number
        answered(node, batches, frame[:code] + b"\xff\xff" + frame[code + 2 :])

    sender._answered = answer_with_error
    with pytest.raises(ProducerSendError):
        await producer.append(topic, 0, None, b"second")
    if transactional:
        with pytest.raises(ProducerFenced, match="unknown whether a batch was written"):
            await producer.abort_transaction()
        return
    await producer.append(topic, 0, None, b"third")
    assert await read_all(stage, TP(topic, 0)) == [b"first", b"second", b"third"]


async def test_a_topic_that_does_not_exist_is_named(
    stage: Stage, topic_name: Callable[..., str]
) -> None:
    """Partitions that a topic does not have fail with topic and number, and spoil nothing else."""
    topic = await stage.topic(2)
    producer = await stage.producer()
    lost = producer.append(topic, 7, None, b"nowhere")
    fine = producer.append(topic, 1, None, b"fine")
    with pytest.raises(UnknownTopic, match=f"{topic} has no partition 7; it has 2"):
        await producer.flush()
    with pytest.raises(UnknownTopic):
        await lost
    assert (await fine).partition == 1
    with pytest.raises(BrokerError, match="not"):
        await producer.load_partitions("no/such topic")


async def test_patience_with_a_new_topic_begins_with_the_first_answer(
    stage: Stage, proxy: Proxy, through: Transport, topic_name: Callable[..., str]
) -> None:
    """A broker that answers after an outage, and does not know the topic yet, is asked again."""
    producer = await stage.producer(transport=through)
    proxy.stall()
    sent = producer.append(topic_name("new"), 0, None, b"value")
    await asyncio.sleep(4.0)
    proxy.heal()
    assert (await sent).offset == 0


async def test_a_request_that_takes_too_long_when_its_connection_is_gone(
    stage: Stage, proxy: Proxy, through: Transport
) -> None:
    """It is a time-out like any other: aiokafka's client raises KeyError, which would end the sender and so the worker."""
    producer = await stage.producer(transport=through, request_timeout=1.0)
    client = producer._client.connection  # type: ignore[attr-defined]

    async def ask() -> None:
        (node,) = [broker.nodeId for broker in client.cluster.brokers()]
        await client.ready(node)
        asking = asyncio.ensure_future(client.send(node, MetadataRequest([])))
        await asyncio.sleep(0.1)
        gone = client._conns.pop((node, ConnectionGroup.DEFAULT))
        try:
            await asking
        finally:
            gone.close()

    proxy.mute(REQUESTS["Metadata"])
    with pytest.raises(RequestTimedOutError):
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ask(), client._loop))


async def test_a_deleted_topic_fails_soon(stage: Stage) -> None:
    """Records for a topic that is deleted fail within seconds, not after the request timeout."""
    topic = await stage.topic(1)
    producer = await stage.producer()
    await producer.append(topic, 0, None, b"there")
    await (await stage.admin()).delete_topics([topic])
    producer.append(topic, 0, None, b"gone")
    began = time.monotonic()
    with pytest.raises((UnknownTopic, ProducerSendError), match=topic):
        await producer.flush()
    assert time.monotonic() - began < 20


async def test_batches_of_all_partitions_of_a_deleted_topic_fail(stage: Stage) -> None:
    """Whoever finds them first, the sender or who looks after overdue ones: each is answered, and the producer lives on."""
    topic, other = await stage.topic(8), await stage.topic(1)
    producer = await stage.producer()
    for partition in range(8):
        await producer.append(topic, partition, None, b"there")
    await (await stage.admin()).delete_topics([topic])
    sent = [
        producer.append(topic, number % 8, None, b"x" * 9_000) for number in range(48)
    ]  # several batches each
    ends = await asyncio.wait_for(asyncio.gather(*map(_outcome, sent), return_exceptions=True), 30)
    assert any(isinstance(end, UnknownTopic) for end in ends)
    with contextlib.suppress(ProducerSendError, UnknownTopic):
        await producer.flush()
    await asyncio.wait_for(_outcome(producer.append(other, 0, None, b"after")), 30)
    assert await read_all(stage, TP(other, 0)) == [b"after"]


async def _outcome(delivery: Delivery) -> object:
    return await delivery


async def test_appending_before_start_is_sent_at_start(stage: Stage) -> None:
    """What was appended before the producer started is not forgotten."""
    topic = await stage.topic(1)
    producer = stage.transport.producer(ProducerOptions(connect_timeout=20.0))
    early = producer.append(topic, 0, None, b"early")
    await producer.start()
    await producer.flush()
    assert (await early).offset == 0
    await producer.close()
    late = producer.append(topic, 0, None, b"late")
    with pytest.raises(ProducerSendError, match="closed"):
        await late


@pytest.mark.parametrize("acks", [0, 1])
async def test_weaker_acknowledgements(stage: Stage, acks: int) -> None:
    """With acks 0 and 1 records arrive as well; without any acknowledgement nobody knows their offset."""
    topic = await stage.topic(1)
    producer = await stage.producer(acks=acks)
    place = await producer.append(topic, 0, None, b"value")
    assert place.offset == (0 if acks else -1)

    async def arrived() -> bool:
        return await read_all(stage, TP(topic, 0)) == [b"value"]

    await until(arrived, "the record has arrived")


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_arrive(stage: Stage, compression: str) -> None:
    """What is sent compressed is read as it was."""
    topic = await stage.topic(1)
    try:
        producer = await stage.producer(compression=compression)
    except Exception as error:
        pytest.skip(str(error))
    values = [b"%d" % n * 50 for n in range(500)]
    for value in values:
        producer.append(topic, 0, None, value)
    await producer.flush()
    assert await read_all(stage, TP(topic, 0)) == values


# -- transactions


async def _member(stage: Stage, topic: str, group: str) -> ConsumerDriver:
    consumer = await stage.member(group, [topic])
    await until(lambda: bool(consumer.assignment), "partitions are assigned")
    return consumer


async def test_offsets_join_the_transaction(stage: Stage) -> None:
    """Offsets sent with a transaction count when it commits, and not when it aborts."""
    topic = await stage.topic(1)
    tp = TP(topic, 0)
    await stage.fill({tp: 10})
    consumer = await _member(stage, topic, topic)
    producer = await stage.producer(transactional_id=topic)
    await producer.begin_transaction()
    await producer.send_offsets({tp: 4}, consumer)
    await producer.abort_transaction()
    assert await consumer.committed([tp]) == {tp: None}
    await producer.begin_transaction()
    await producer.send_offsets({tp: 6}, consumer)
    await producer.commit_transaction()
    assert await consumer.committed([tp]) == {tp: 6}


async def test_a_reader_of_offsets_waits_for_the_open_transaction(stage: Stage) -> None:
    """While a transaction holds offsets the older ones are not given out as the last word (KIP-447)."""
    topic = await stage.topic(1)
    tp = TP(topic, 0)
    consumer = await _member(stage, topic, topic)
    await consumer.commit({tp: 1})
    producer = await stage.producer(transactional_id=topic)
    await producer.begin_transaction()
    await producer.send_offsets({tp: 5}, consumer)
    asked = asyncio.create_task(consumer.committed([tp]))
    await asyncio.sleep(0.5)
    assert not asked.done()
    await producer.commit_transaction()
    assert await asyncio.wait_for(asked, 20) == {tp: 5}


async def test_a_zombie_cannot_commit_offsets_in_a_transaction(stage: Stage) -> None:
    """A member whose generation is over is fenced by the group; its transaction can still be aborted."""
    topic = await stage.topic(1)
    tp = TP(topic, 0)
    consumer = await _member(stage, topic, topic)
    producer = await stage.producer(transactional_id=topic)
    await producer.begin_transaction()
    await producer.append(topic, 0, None, b"zombie")
    consumer._generation += 1  # type: ignore[attr-defined]  # a generation that the group does not have
    with pytest.raises(CommitRefused, match="abort the transaction"):
        await producer.send_offsets({tp: 1}, consumer)
    with pytest.raises(BrokerError):
        await producer.commit_transaction()
    await producer.abort_transaction()
    await producer.begin_transaction()
    await producer.append(topic, 0, None, b"living")
    await producer.commit_transaction()
    assert await read_all(stage, tp) == [b"living"]


async def test_the_older_of_two_producers_is_fenced(stage: Stage) -> None:
    """A second producer with the same transactional id aborts and fences the first, which is told so."""
    topic = await stage.topic(1)
    first = await stage.producer(transactional_id=topic)
    await first.begin_transaction()
    await first.append(topic, 0, None, b"first")
    second = await stage.producer(transactional_id=topic)
    with pytest.raises(ProducerFenced):
        await first.commit_transaction()
    await second.begin_transaction()
    await second.append(topic, 0, None, b"second")
    await second.commit_transaction()
    assert await read_all(stage, TP(topic, 0)) == [b"second"]
    with pytest.raises(ProducerFenced):
        await first.begin_transaction()


async def test_the_coordinator_is_looked_for_again_when_the_connection_breaks(
    stage: Stage, proxy: Proxy, through: Transport
) -> None:
    """A producer that does not know its coordinator any more, and loses who it asks for it, ends its transaction later."""
    topic = await stage.topic(1)
    producer = await stage.producer(transport=through, transactional_id=topic)
    for value in (b"one", b"two"):
        proxy.cut_at(REQUESTS["FindCoordinator"])
        producer._client._sender._coordinators.clear()  # type: ignore[attr-defined]  # as NOT_COORDINATOR does
        await producer.begin_transaction()
        producer.append(topic, 0, None, value)
        commit = asyncio.create_task(producer.commit_transaction())
        await asyncio.sleep(0.5)
        assert not commit.done()
        proxy.heal()
        await commit
    assert await read_all(stage, TP(topic, 0)) == [b"one", b"two"]


async def test_a_transaction_that_nobody_waits_to_abort_leaves_nothing_open(
    stage: Stage, proxy: Proxy
) -> None:
    """Who gives up waiting for the abort has the producer closed all the same, and the next one aborts what it left."""
    topic = await stage.topic(1)
    assert stage.cluster is not None
    made: list[ProducerDriver] = []

    def make() -> ProducerDriver:
        options = ProducerOptions(transactional_id=topic, connect_timeout=20.0)
        made.append(open_transport(cluster.proxied_url).producer(options))
        return made[-1]

    cluster = stage.cluster
    plain = await stage.producer()
    both = TransactionalDriver(plain, make, lambda: Where.EVENT)
    await both.ready()
    await both.append(topic, 0, None, b"given up")
    proxy.stall()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await both.give_up()
    proxy.heal()
    await both.ready()
    await both.append(topic, 0, None, b"counts")
    await both.commit_transaction()
    await both.close()
    assert [each.state.connected for each in made] == [False, False]
    assert await read_all(stage, TP(topic, 0)) == [b"counts"]


async def test_a_transaction_whose_begin_was_cancelled_is_begun_again(stage: Stage) -> None:
    """However far it had come, the next one can be begun, and commits what it is given."""
    topic = await stage.topic(1)
    plain = await stage.producer()
    transport = stage.transport
    options = ProducerOptions(transactional_id=topic, connect_timeout=20.0)
    both = TransactionalDriver(plain, lambda: transport.producer(options), lambda: Where.EVENT)
    await both.ready()
    await both.commit_transaction()
    for turns in range(5):
        beginning = asyncio.create_task(both.ready())
        for _ in range(turns):
            await asyncio.sleep(0)
        beginning.cancel()
        await asyncio.gather(beginning, return_exceptions=True)
        await both.ready()
        await both.append(topic, 0, None, b"%d" % turns)
        await both.commit_transaction()
    await both.close()
    assert await read_all(stage, TP(topic, 0)) == [b"%d" % turns for turns in range(5)]


async def test_a_failed_record_spoils_its_transaction_only(stage: Stage) -> None:
    """A transaction with a refused record cannot commit; aborted, the next one works."""
    topic = await stage.topic(1, max_message_bytes="2000")
    producer = await stage.producer(transactional_id=topic)
    await producer.begin_transaction()
    producer.append(topic, 0, None, b"small")
    producer.append(topic, 0, None, b"x" * 5000)
    with pytest.raises(RecordTooLarge):
        await producer.commit_transaction()
    await producer.abort_transaction()
    await producer.begin_transaction()
    producer.append(topic, 0, None, b"good")
    await producer.commit_transaction()
    await producer.flush()
    assert await read_all(stage, TP(topic, 0)) == [b"good"]


async def test_outside_a_transaction_nothing_is_sent(stage: Stage) -> None:
    """A transactional producer takes records only inside a transaction."""
    topic = await stage.topic(1)
    producer = await stage.producer(transactional_id=topic)
    with pytest.raises(ProducerSendError, match="begin_transaction first"):
        producer.append(topic, 0, None, b"early")
    with pytest.raises(BrokerError):
        await producer.commit_transaction()
