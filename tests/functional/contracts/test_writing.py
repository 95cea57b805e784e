"""What a producer promises: C8, C9, C10 of the transport contract."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from faust.exceptions import (
    AuthorizationFailed,
    BrokerError,
    FaustError,
    ImproperlyConfigured,
    ProducerFenced,
    ProducerSendError,
    RecordTooLarge,
    UnknownTopic,
)
from faust.messages import TP, RecordMetadata
from faust.transport.base import ConsumerDriver, ProducerDriver, ProducerOptions
from tests.support.driving import (
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
from tests.support.kafka import GUEST, KafkaCluster
from tests.support.processes import start_python

# -- C8: batches, order, acknowledgement


async def test_C08_append_does_not_wait_and_flush_does(stage: Stage) -> None:
    """Appending answers nothing yet; after flush everything is acknowledged, in order, and can be read."""
    topic = await stage.topic(4)
    tps = [TP(topic, n) for n in range(4)]
    producer = await stage.producer()
    await producer.load_partitions(topic)
    deliveries = [
        producer.append(topic, number % 4, None, b"%d" % number, 1_000 + number)
        for number in range(10_000)
    ]
    assert not any(delivery.done() for delivery in deliveries)
    await producer.flush()
    assert all(delivery.done() for delivery in deliveries)
    for number in (0, 1, 4_321, 9_999):
        tp = tps[number % 4]
        assert await deliveries[number] == RecordMetadata(
            topic, tp.partition, tp, number // 4, 1_000 + number, 0
        )
    reader = await stage.reader(tps)
    reader.next = dict.fromkeys(tps, 0)
    await reader.read(10_000)
    for tp in tps:
        assert reader.values(tp) == [b"%d" % n for n in range(tp.partition, 10_000, 4)]


async def test_C08_flush_waits_for_what_was_appended_before_it(stage: Stage) -> None:
    """Flush returns although others go on appending, and an empty flush returns at once."""
    topic = await stage.topic()
    producer = await stage.producer(linger=0.01)
    await producer.flush()
    await producer.load_partitions(topic)
    stop = False

    async def chatter() -> None:
        while not stop:
            producer.append(topic, 0, None, b"chatter")
            await asyncio.sleep(0)

    talking = asyncio.create_task(chatter())
    for _ in range(20):
        delivery = producer.append(topic, 0, None, b"important")
        async with asyncio.timeout(10):
            await producer.flush()
        assert delivery.done()
    stop = True
    await talking


async def test_C08_linger_keeps_a_batch_open(stage: Stage) -> None:
    """A record waits for company as long as linger says, and no longer; flush does not wait for it."""
    topic = await stage.topic()
    patient = await stage.producer(linger=30.0)
    await patient.load_partitions(topic)
    delivery = patient.append(topic, 0, None, b"x")
    await asyncio.sleep(0.5)
    assert not delivery.done()
    async with asyncio.timeout(10):
        await patient.flush()
    assert delivery.done()
    quick = await stage.producer(linger=0.2)
    await quick.load_partitions(topic)
    async with asyncio.timeout(10):
        await quick.append(topic, 0, None, b"x")


async def test_C08_callbacks_come_on_the_loop_of_the_application(stage: Stage) -> None:
    """A callback gets what awaiting would give, in the application's thread; at once when it is late."""
    topic = await stage.topic()
    producer = await stage.producer()
    await producer.load_partitions(topic)
    heard: list[tuple[RecordMetadata | None, Exception | None]] = []
    loops = []

    def hear(metadata: RecordMetadata | None, error: Exception | None) -> None:
        loops.append(asyncio.get_running_loop())
        heard.append((metadata, error))

    delivery = producer.append(topic, 0, b"k", b"v")
    delivery.add_done_callback(hear)
    metadata = await delivery
    await until(lambda: bool(heard), "the callback was called")
    delivery.add_done_callback(hear)
    await until(lambda: len(heard) == 2, "the late callback was called")
    assert heard == [(metadata, None)] * 2
    assert loops == [asyncio.get_running_loop()] * 2


@pytest.mark.parametrize("acks", [0, 1, -1])
async def test_C08_acks(stage: Stage, acks: int) -> None:
    """With every setting of acks the records arrive; who asks for none still hears that they were sent."""
    tp = TP(await stage.topic(), 0)
    producer = await stage.producer(acks=acks)
    await producer.load_partitions(tp.topic)
    for number in range(100):
        producer.append(tp.topic, 0, None, b"%d" % number)
    await producer.flush()
    reader = await stage.reader([tp])
    await reader.read(100)
    assert reader.values(tp) == [b"%d" % n for n in range(100)]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_C08_compression(stage: Stage, compression: str) -> None:
    """Each compression comes back as it went, or is refused at once with what to install."""
    tp = TP(await stage.topic(), 0)
    refusal = ""
    try:
        producer = await stage.producer(compression=compression)
    except ImproperlyConfigured as error:
        refusal = str(error)
    if refusal:
        assert compression != "gzip"
        assert "install" in refusal
        assert compression in refusal
        return
    await producer.load_partitions(tp.topic)
    for number in range(1_000):
        producer.append(tp.topic, 0, b"key", b"%d" % number * 20)
    await producer.flush()
    reader = await stage.reader([tp])
    await reader.read(1_000)
    assert reader.values(tp) == [b"%d" % n * 20 for n in range(1_000)]


async def test_C08_an_unknown_compression_is_refused(stage: Stage) -> None:
    """A compression that does not exist is an error at once that names the known ones."""
    with pytest.raises(ImproperlyConfigured, match="gzip"):
        await stage.producer(compression="middle-out")


async def test_C08_a_record_larger_than_a_batch_travels_alone(stage: Stage) -> None:
    """The batch size is no limit for a record, only the request size is."""
    tp = TP(await stage.topic(), 0)
    producer = await stage.producer(max_batch_size=1_000)
    await producer.load_partitions(tp.topic)
    sizes = [10, 50_000, 10, 900_000, 10]
    for size in sizes:
        producer.append(tp.topic, 0, None, b"x" * size)
    await producer.flush()
    records = await (await stage.reader([tp], max_fetch_size=10_000)).read(len(sizes))
    assert [len(record.value or b"") for record in records] == sizes


async def test_C08_memory_is_bounded(stage: Stage) -> None:
    """Above its bound the producer says it is full, and wait_room returns when it is below again."""
    topic = await stage.topic()
    producer = await stage.producer(buffer_memory=100_000)
    await producer.load_partitions(topic)
    appended = 0
    while not producer.full:
        producer.append(topic, 0, None, b"x" * 1_000)
        appended += 1
        assert appended < 1_000, "never full"
    assert 50 <= appended <= 110
    async with asyncio.timeout(10):
        await producer.wait_room()
    assert not producer.full
    await producer.flush()
    assert await (await stage.admin()).offsets([TP(topic, 0)]) == {TP(topic, 0): (0, appended)}


async def test_C08_an_outage_costs_nothing(stage: Stage) -> None:
    """What is appended while the broker does not answer arrives afterwards, once, in order."""
    tp = TP(await stage.topic(), 0)
    producer = await stage.producer(linger=0.005)
    await producer.load_partitions(tp.topic)
    number = 0
    deliveries = []
    ending = 0.0
    async with stage.outage():
        ending = time.monotonic() + 4.0
        while time.monotonic() < ending:
            deliveries.append(producer.append(tp.topic, 0, None, b"%d" % number))
            number += 1
            await asyncio.sleep(0.002)
        assert not deliveries[-1].done()
    await producer.flush()
    reader = await stage.reader([tp])
    reader.next[tp] = 0
    await reader.read(number)
    assert reader.values(tp) == [b"%d" % n for n in range(number)]
    assert await reader.take(0.5) == []


async def test_C08_a_broker_that_stays_away_is_reported_once(stage: Stage) -> None:
    """Past the request timeout a record fails, one flush raises it, and later records go through."""
    tp = TP(await stage.topic(), 0)
    producer = await stage.producer(request_timeout=2.0)
    await producer.load_partitions(tp.topic)
    producer.append(tp.topic, 0, None, b"before")
    await producer.flush()
    async with stage.outage():
        lost = producer.append(tp.topic, 0, None, b"lost")
        async with asyncio.timeout(20):
            with pytest.raises(ProducerSendError, match=tp.topic):
                await producer.flush()
        with pytest.raises(ProducerSendError, match=tp.topic):
            await lost
        await producer.flush()
    await until(lambda: _accepts(producer, tp), "records were accepted again")


async def _accepts(producer: ProducerDriver, tp: TP) -> bool:
    producer.append(tp.topic, tp.partition, None, b"after")
    try:
        await producer.flush()
    except ProducerSendError:
        return False
    return True


# -- C9: refusals


async def test_C09_a_record_that_fits_no_request_is_refused_at_once(stage: Stage) -> None:
    """A record above max_request_size raises in append and names topic, partition and size."""
    topic = await stage.topic(2)
    producer = await stage.producer(max_request_size=50_000)
    await producer.load_partitions(topic)
    with pytest.raises(RecordTooLarge, match=rf"{topic}.*\b1\b.*6\d[,_]?\d\d\d.*50[,_]?000"):
        producer.append(topic, 1, None, b"x" * 60_000)
    with pytest.raises(TypeError, match="str"):
        producer.append(topic, 1, None, "text")  # type: ignore[arg-type]
    producer.append(topic, 1, None, b"x" * 40_000)
    await producer.flush()


async def test_C09_a_record_too_large_for_the_topic(stage: Stage) -> None:
    """What the broker refuses for its size fails with the place, and what follows goes through."""
    tp = TP(await stage.topic(max_message_bytes="2000"), 0)
    producer = await stage.producer()
    await producer.load_partitions(tp.topic)
    producer.append(tp.topic, 0, None, b"first")
    await producer.flush()
    large = producer.append(tp.topic, 0, None, random.Random(1).randbytes(10_000))
    with pytest.raises(RecordTooLarge, match=rf"{tp.topic}.*\b0\b"):
        await producer.flush()
    with pytest.raises(RecordTooLarge):
        await large
    producer.append(tp.topic, 0, None, b"second")
    await producer.flush()
    reader = await stage.reader([tp])
    await reader.read(2)
    assert reader.values(tp) == [b"first", b"second"]


async def test_C09_a_partition_that_does_not_exist(stage: Stage) -> None:
    """A record for a missing partition fails and names it, at append or at flush; others go through."""
    topic = await stage.topic(2)
    producer = await stage.producer(request_timeout=5.0)
    await producer.load_partitions(topic)
    with pytest.raises((UnknownTopic, ProducerSendError), match=rf"{topic}.*\b99\b"):
        producer.append(topic, 99, None, b"x")
        await producer.flush()
    producer.append(topic, 1, None, b"x")
    await producer.flush()


async def test_C09_looking_at_a_topic_that_does_not_exist(stage: Stage) -> None:
    """Asking for a missing topic says so, reading it is an error that names it, and neither creates it."""
    missing = stage.name("missing")
    consumer = await stage.consumer()
    assert await consumer.partitions_for(missing) is None
    with pytest.raises(UnknownTopic, match=missing):
        await consumer.assign([TP(missing, 0)])
        await take_for(consumer, 15)
    assert missing not in await (await stage.admin()).list_topics()


async def test_C09_writing_to_a_topic_that_does_not_exist(stage: Stage) -> None:
    """The broker creates the topic by itself, with partitions that everybody sees; or it is an error."""
    missing = stage.name("missing")
    producer = await stage.producer()
    assert producer.partitions(missing) is None
    refusal, partitions = "", list[int]()
    try:
        partitions = list(await producer.load_partitions(missing))
    except UnknownTopic as error:
        refusal = str(error)
    if refusal:
        assert missing in refusal
        return
    assert partitions == list(producer.partitions(missing) or [])
    assert list(producer.available_partitions(missing)) == partitions
    description = (await (await stage.admin()).describe_topics([missing]))[missing]
    assert description is not None
    assert list(description.partitions) == partitions
    producer.append(missing, partitions[-1], None, b"x")
    await producer.flush()


async def test_C09_committing_a_partition_that_does_not_exist(stage: Stage) -> None:
    """A commit says which partition was refused and why; the others are committed."""
    topic = await stage.topic()
    good, bad = TP(topic, 0), TP(stage.name("missing"), 7)
    listener = Recorder()
    consumer = await stage.member(stage.name("group"), [topic], listener=listener)
    await until(lambda: listener.assigned == {good}, "the topic was assigned")
    outcome = await consumer.commit({good: 1, bad: 1})
    assert outcome[good] is None
    assert isinstance(outcome[bad], BrokerError)
    assert bad.topic in str(outcome[bad])
    assert await consumer.committed([good]) == {good: 1}


@pytest.mark.kafka
async def test_C09_a_refused_authorization(
    kafka_cluster: KafkaCluster, topic_name: Callable[..., str]
) -> None:
    """Who may not write or read is told so, with the name of the topic or group; nothing is retried."""
    allowed, forbidden = topic_name("allowed"), topic_name("forbidden")
    group = topic_name("group")
    await asyncio.to_thread(kafka_cluster.allow, GUEST[0], allowed)
    transport = open_transport(kafka_cluster.sasl_url)
    guest = Login(*GUEST)
    async with asyncio.timeout(40):
        producer = transport.producer(ProducerOptions(credentials=guest, connect_timeout=20.0))
        await producer.start()
        await producer.load_partitions(allowed)
        with pytest.raises(AuthorizationFailed, match=forbidden):
            await producer.load_partitions(forbidden)
            producer.append(forbidden, 0, None, b"x")
            await producer.flush()
        producer.append(allowed, 0, None, b"x")
        await producer.flush()
        await producer.close()

        reader = transport.consumer(fast_options(credentials=guest))
        await reader.start()
        with pytest.raises(AuthorizationFailed, match=forbidden):
            await reader.assign([TP(forbidden, 0)])
            await take_for(reader, 15)
        await reader.close()

        member = transport.consumer(fast_options(group_id=group, credentials=guest))
        await member.start()
        with pytest.raises(AuthorizationFailed, match=group):
            await member.subscribe([allowed], listener=Recorder(), assignor=RoundRobin())
            await take_for(member, 15)
        await member.close()


# -- C10: transactions


async def _follow(stage: Stage, tp: TP) -> Reader:
    reader = await stage.reader([tp], gaps=True, read_committed=True)
    reader.next[tp] = 0
    return reader


async def _values(reader: Reader, tp: TP, count: int) -> list[bytes | None]:
    """Return what was read once *count* records are here and nothing follows them."""
    await until(lambda: _has(reader, count), f"{count} committed records were read")
    await take_for(reader.consumer, 0.3)
    return reader.values(tp)


async def _has(reader: Reader, count: int) -> bool:
    await reader.take(0.05)
    return reader.count >= count


async def test_C10_all_or_nothing(stage: Stage) -> None:
    """A committed transaction is seen whole, on all partitions, an aborted one not at all."""
    topic = await stage.topic(2)
    tps = [TP(topic, 0), TP(topic, 1)]
    producer = await stage.producer(transactional_id=stage.name("tx"))
    await producer.load_partitions(topic)
    reader = await stage.reader(tps, gaps=True, read_committed=True)
    for number in range(6):
        await producer.begin_transaction()
        for tp in tps:
            for step in range(50):
                producer.append(topic, tp.partition, None, b"%d/%d" % (number, step))
        await producer.flush()
        await take_for(reader.consumer, 0.1) if number == 0 else None
        if number % 2:
            await producer.abort_transaction()
        else:
            await producer.commit_transaction()
    wanted = [b"%d/%d" % (number, step) for number in (0, 2, 4) for step in range(50)]
    await until(lambda: _has(reader, 300), "all committed records were read")
    await reader.take(0.3)
    assert [reader.values(tp) for tp in tps] == [wanted, wanted]


async def test_C10_an_open_transaction_is_not_seen(stage: Stage) -> None:
    """Before the commit a reader of committed records is handed nothing, also when all was flushed."""
    tp = TP(await stage.topic(), 0)
    producer = await stage.producer(transactional_id=stage.name("tx"))
    await producer.load_partitions(tp.topic)
    reader = await _follow(stage, tp)
    await producer.begin_transaction()
    producer.append(tp.topic, 0, None, b"x")
    await producer.flush()
    await reader.take(1.0)
    assert reader.count == 0
    await producer.commit_transaction()
    assert await _values(reader, tp, 1) == [b"x"]


async def test_C10_what_is_behind_a_fence_is_in_the_next_transaction(stage: Stage) -> None:
    """Behind a fence records collect for the next transaction; whoever reads committed sees them with that one, or never."""
    tp = TP(await stage.topic(), 0)
    producer = await stage.producer(transactional_id=stage.name("tx"))
    await producer.load_partitions(tp.topic)
    reader = await _follow(stage, tp)
    await producer.begin_transaction()
    producer.append(tp.topic, 0, None, b"one")
    if not producer.fence():
        await producer.commit_transaction()
        assert await _values(reader, tp, 1) == [b"one"]
        return
    producer.append(tp.topic, 0, None, b"two")
    await producer.flush_fenced()
    await producer.commit_transaction()
    assert await _values(reader, tp, 1) == [b"one"]
    await producer.begin_transaction()
    await producer.commit_transaction()
    assert await _values(reader, tp, 2) == [b"one", b"two"]
    for last in (
        False,
        True,
    ):  # aborted with an open transaction before the fence; after it was committed
        await producer.begin_transaction()
        producer.append(tp.topic, 0, None, b"three")
        producer.fence()
        producer.append(tp.topic, 0, None, b"dropped")
        if last:
            await producer.commit_transaction()
        await producer.abort_transaction()
    await producer.begin_transaction()
    producer.append(tp.topic, 0, None, b"four")
    await producer.commit_transaction()
    assert await _values(reader, tp, 4) == [b"one", b"two", b"three", b"four"]


async def _group_of(stage: Stage, topic: str, group: str) -> ConsumerDriver:
    listener = Recorder()
    consumer = await stage.member(group, [topic], listener=listener)
    await until(lambda: bool(listener.assigned), "the source was assigned")
    return consumer


async def test_C10_offsets_belong_to_the_transaction(stage: Stage) -> None:
    """Offsets sent in a transaction are committed with it, and dropped with it."""
    source, target = TP(await stage.topic(), 0), TP(await stage.topic(), 0)
    await stage.fill({source: 10})
    consumer = await _group_of(stage, source.topic, stage.name("group"))
    producer = await stage.producer(transactional_id=stage.name("tx"))
    await producer.load_partitions(target.topic)
    for number, commits in ((3, True), (7, False), (5, True)):
        before = await consumer.committed([source])
        await producer.begin_transaction()
        producer.append(target.topic, 0, None, b"%d" % number)
        await producer.send_offsets({source: number}, consumer)
        if commits:
            await producer.commit_transaction()
            await until(
                lambda number=number: _committed(consumer, source, number),  # type: ignore[misc]
                "the offset was committed",
            )
        else:
            await producer.abort_transaction()
            assert await consumer.committed([source]) == before
    assert await _values(await _follow(stage, target), target, 2) == [b"3", b"5"]


async def test_C05_the_log_ends_behind_open_transactions(stage: Stage) -> None:
    """Reading committed, `end_offsets` stops where a transaction is open; `log_end_offsets` does not wait for its end."""
    tp = TP(await stage.topic(), 0)
    consumer = await stage.consumer(read_committed=True)
    producer = await stage.producer(transactional_id=stage.name("tx"))
    await producer.load_partitions(tp.topic)
    await producer.begin_transaction()
    producer.append(tp.topic, 0, None, b"x")
    await producer.flush()
    log_end = (await consumer.log_end_offsets([tp]))[tp]
    assert (await consumer.end_offsets([tp]))[tp] == 0
    assert log_end == (1 if stage.url.startswith("kafka") else 0), "the embedded broker stages it"
    await producer.commit_transaction()

    async def visible() -> bool:
        return (await consumer.end_offsets([tp]))[tp] >= 1

    await until(visible, "the transaction was visible")
    assert (await consumer.log_end_offsets([tp]))[tp] >= 1


async def _committed(consumer: ConsumerDriver, tp: TP, offset: int | None) -> bool:
    return (await consumer.committed([tp]))[tp] == offset


async def test_C10_a_second_producer_fences_the_first(stage: Stage) -> None:
    """Of two producers with one transactional id the older is refused, and what it left open is dropped."""
    tp = TP(await stage.topic(), 0)
    name = stage.name("tx")
    old = await stage.producer(transactional_id=name)
    await old.load_partitions(tp.topic)
    await old.begin_transaction()
    old.append(tp.topic, 0, None, b"old")
    await old.flush()
    new = await stage.producer(transactional_id=name)
    await new.load_partitions(tp.topic)
    await new.begin_transaction()
    new.append(tp.topic, 0, None, b"new")
    await new.commit_transaction()
    with pytest.raises(ProducerFenced, match=name):
        old.append(tp.topic, 0, None, b"too late")
        await old.commit_transaction()
    assert await _values(await _follow(stage, tp), tp, 1) == [b"new"]


async def test_C10_offsets_of_an_older_generation_are_refused(stage: Stage) -> None:
    """Who is no longer the member that read the records cannot commit their offsets (KIP-447)."""
    source, target = TP(await stage.topic(), 0), TP(await stage.topic(), 0)
    await stage.fill({source: 10})
    group = stage.name("group")
    gone = await _group_of(stage, source.topic, group)
    producer = await stage.producer(transactional_id=stage.name("tx"))
    await producer.load_partitions(target.topic)
    await producer.begin_transaction()
    producer.append(target.topic, 0, None, b"zombie")
    await gone.close()
    present = await _group_of(stage, source.topic, group)
    with pytest.raises(FaustError):
        await producer.send_offsets({source: 10}, gone)
        await producer.commit_transaction()
    await producer.abort_transaction()
    assert await present.committed([source]) == {source: None}
    reader = await _follow(stage, target)
    await reader.take(0.5)
    assert reader.count == 0


async def test_C10_a_refused_commit_leaves_nothing_and_the_producer_goes_on(stage: Stage) -> None:
    """When the group has moved on before the commit, nothing is written; after an abort the next one is."""
    source, target = TP(await stage.topic(), 0), TP(await stage.topic(), 0)
    await stage.fill({source: 10})
    group = stage.name("group")
    gone = await _group_of(stage, source.topic, group)
    producer = await stage.producer(transactional_id=stage.name("tx"))
    await producer.load_partitions(target.topic)
    await producer.begin_transaction()
    producer.append(target.topic, 0, None, b"zombie")
    await producer.send_offsets({source: 9}, gone)
    await gone.close()
    present = await _group_of(stage, source.topic, group)
    with pytest.raises(FaustError):
        await producer.send_offsets({source: 10}, gone)
        await producer.commit_transaction()
    await producer.abort_transaction()
    assert await present.committed([source]) == {source: None}
    await producer.begin_transaction()
    producer.append(target.topic, 0, None, b"next")
    await producer.send_offsets({source: 4}, present)
    await producer.commit_transaction()
    await until(lambda: _committed(present, source, 4), "the offset was committed")
    assert await _values(await _follow(stage, target), target, 1) == [b"next"]


async def test_C10_one_bad_record_undoes_the_whole_transaction(stage: Stage) -> None:
    """A record that the broker refuses fails flush or commit; what was with it is seen by nobody."""
    good, small = TP(await stage.topic(), 0), TP(await stage.topic(max_message_bytes="2000"), 0)
    producer = await stage.producer(transactional_id=stage.name("tx"))
    for tp in (good, small):
        await producer.load_partitions(tp.topic)
    await producer.begin_transaction()
    producer.append(good.topic, 0, None, b"beside it")
    producer.append(small.topic, 0, None, b"x" * 5_000)
    with pytest.raises(FaustError, match=rf"{small.topic}\[0\]"):
        await producer.commit_transaction()
    await producer.abort_transaction()
    await producer.begin_transaction()
    producer.append(good.topic, 0, None, b"next")
    await producer.commit_transaction()
    assert await _values(await _follow(stage, good), good, 1) == [b"next"]
    assert (await (await stage.admin()).offsets([small]))[small][0] == 0


async def test_C10_misuse_is_an_error(stage: Stage) -> None:
    """Transactions without an id, twice begun or never begun are errors, no silent nothing."""
    plain = await stage.producer()
    with pytest.raises((FaustError, RuntimeError), match="transactional"):
        await plain.begin_transaction()
    producer = await stage.producer(transactional_id=stage.name("tx"))
    with pytest.raises((FaustError, RuntimeError), match="transaction"):
        await producer.commit_transaction()
    await producer.begin_transaction()
    with pytest.raises((FaustError, RuntimeError), match="transaction"):
        await producer.begin_transaction()
    await producer.abort_transaction()


_STEPS = """
import asyncio, sys
from faust.messages import TP
from faust.transport.base import ProducerOptions
from tests.support.driving import Recorder, RoundRobin, fast_options, open_transport, until

async def main(url, name, group, source, target):
    transport = open_transport(url)
    listener = Recorder()
    consumer = transport.consumer(fast_options(group_id=group))
    await consumer.start()
    await consumer.subscribe([source], listener=listener, assignor=RoundRobin())
    await until(lambda: bool(listener.assigned), "the source was assigned")
    producer = transport.producer(ProducerOptions(transactional_id=name, transaction_timeout=60.0))
    await producer.start()
    await producer.load_partitions(target)
    async def step(name):
        print(name, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    await producer.begin_transaction()
    await step("begun")
    producer.append(target, 0, None, b"x")
    await producer.flush()
    await step("appended")
    await producer.send_offsets({TP(source, 0): 4}, consumer)
    await step("offsets")
    await producer.commit_transaction()
    await step("committed")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_C10_killed_at_each_step(stage: Stage) -> None:
    """A process killed before its commit leaves nothing behind, after it everything; its successor goes on."""
    if stage.kind == "memory":
        await _abandoned_at_each_step(stage)
        return
    steps = ["begun", "appended", "offsets", "committed"]
    for last in steps:
        source, target = TP(await stage.topic(), 0), TP(await stage.topic(), 0)
        await stage.fill({source: 10})
        name, group = stage.name("tx"), stage.name(f"group-{last}")
        arguments = (stage.url, name, group, source.topic, target.topic)
        with start_python(_STEPS, *arguments) as process:
            for step in steps[: steps.index(last) + 1]:
                assert await process.wait_line() == step
                if step != last:
                    process.write_line("go on")
            process.kill()
        await _check_left_behind(stage, name, group, source, target, done=last == "committed")


async def _abandoned_at_each_step(stage: Stage) -> None:
    """In one process nobody can be killed, but a producer can be left alone in mid-transaction."""
    for reached in range(1, 5):
        source, target = TP(await stage.topic(), 0), TP(await stage.topic(), 0)
        await stage.fill({source: 10})
        name, group = stage.name("tx"), stage.name(f"group-{reached}")
        consumer = await _group_of(stage, source.topic, group)
        producer = await stage.producer(transactional_id=name)
        await producer.load_partitions(target.topic)
        await producer.begin_transaction()
        if reached > 1:
            producer.append(target.topic, 0, None, b"x")
            await producer.flush()
        if reached > 2:
            await producer.send_offsets({source: 4}, consumer)
        if reached > 3:
            await producer.commit_transaction()
        await _check_left_behind(stage, name, group, source, target, done=reached > 3)


async def _check_left_behind(
    stage: Stage, name: str, group: str, source: TP, target: TP, *, done: bool
) -> None:
    successor = await stage.producer(transactional_id=name)
    await successor.load_partitions(target.topic)
    looking = await stage.consumer(group_id=group)
    await until(
        lambda: _committed(looking, source, 4 if done else None), "the offset was as it should be"
    )
    await successor.begin_transaction()
    successor.append(target.topic, 0, None, b"successor")
    await successor.commit_transaction()
    wanted = [b"x", b"successor"] if done else [b"successor"]
    assert await _values(await _follow(stage, target), target, len(wanted)) == wanted
