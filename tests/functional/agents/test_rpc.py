"""agents.md 5: asking agents, in both header modes, and what the answers look like."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import faust
from faust.agents.calling import new_correlation_id
from faust.agents.promises import BarrierState, ReplyPromise
from faust.exceptions import ImproperlyConfigured, ReplyLost, UnknownTopic
from tests.support.apps import eventually, make_app, running

Name = Callable[..., str]


class Order(faust.Record, namespace="shop.asked.Order"):
    """What a model value travels as."""

    acc: str
    n: int


def calculator(url: str, id: str, *, headers: bool = True) -> tuple[faust.App, Any]:
    """Make an app with an agent that doubles numbers."""
    app = make_app(url, id)

    @app.agent(use_reply_headers=headers, name="double")
    async def double(numbers: Any) -> AsyncIterator[Any]:
        async for number in numbers:
            yield number * 2

    return app, double


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "envelope"])
async def test_a_client_asks_and_gets_answers(
    broker_url: str, topic_name: Name, headers: bool
) -> None:
    """agents.md 5.1: outside a worker ask starts the app as a client; join keeps the order of its input."""
    id = topic_name("app")
    worker, _ = calculator(broker_url, id, headers=headers)
    client, double = calculator(broker_url, id, headers=headers)
    async with running(worker):
        try:
            assert await asyncio.wait_for(double.ask(21), 30) == 42
            assert client.client_only
            assert client.started
            assert await asyncio.wait_for(double.join(range(50)), 30) == [2 * n for n in range(50)]
            assert sorted([n async for n in double.map(range(50))]) == [2 * n for n in range(50)]
            assert len(client.reply_consumer._waiting) == 0
            assert await client.commit() is False
        finally:
            await client.stop()


async def test_an_agent_asks_another_agent_of_its_own_worker(
    memory_url: str, topic_name: Name
) -> None:
    """agents.md 5.1: inside a worker asking needs no second app; the group is not rebalanced for it."""
    app, double = calculator(memory_url, topic_name("app"))
    got: list[Any] = []

    @app.agent(name="asker")
    async def asker(numbers: Any) -> None:
        async for number in numbers:
            got.append(await double.ask(number))

    async with running(app):
        before = app.rebalancing_count
        await asker.cast(4)
        await asker.cast(5)
        await eventually(lambda: sorted(got) == [8, 10])
        assert app.rebalancing_count == before


async def raw_records(app: faust.App, topic: str) -> list[Any]:
    """Read everything that is in a topic, as it is."""
    found: list[Any] = []
    driver = app.transport.consumer(app.reply_consumer._make_driver().options)  # type: ignore[attr-defined]
    await driver.start()
    try:
        numbers = await driver.partitions_for(topic) or ()
        tps = [faust.TP(topic, number) for number in numbers]
        await driver.assign(tps)
        ends = await driver.end_offsets(tps)
        await driver.seek(dict.fromkeys(tps, 0))
        while len(found) < sum(ends.values()):
            for batch in await driver.take(1.0):
                found.extend(batch.records)
    finally:
        await driver.close()
    return found


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (
            5,
            b'{"value":5,"reply_to":"rt","correlation_id":"c-1","__faust":{"ns":"@ReqRepRequest"}}',
        ),
        (
            Order("a", 1),
            (
                b'{"value":{"acc":"a","n":1,"__faust":{"ns":"shop.asked.Order"}},"reply_to":"rt",'
                b'"correlation_id":"c-1","__faust":{"ns":"faust.agents.models.ModelReqRepRequest"}}'
            ),
        ),
    ],
    ids=["plain", "model"],
)
async def test_requests_in_envelopes(
    memory_url: str, topic_name: Name, value: Any, wire: bytes
) -> None:
    """serialization.md 6.2: the bytes of a request in an envelope, which has no headers of its own."""
    app, double = calculator(memory_url, topic_name("app"), headers=False)
    try:
        await (await double.send(value=value, reply_to="rt", correlation_id="c-1"))
        (record,) = await raw_records(app, double.channel.get_topic_name())
        assert record.value == wire
        assert not record.headers
    finally:
        await app.close_clients()


async def test_requests_with_headers(memory_url: str, topic_name: Name) -> None:
    """serialization.md 6.2: with headers the body is the plain value, and the caller's headers stay."""
    app, double = calculator(memory_url, topic_name("app"))
    try:
        reply_to = app.topic("rt")
        sent = await double.send(
            key=b"k", value={"a": 1}, headers={"x": b"y"}, reply_to=reply_to, correlation_id="c-1"
        )
        await sent
        (record,) = await raw_records(app, double.channel.get_topic_name())
        assert record.value == b'{"a":1}'
        assert list(record.headers) == [
            ("x", b"y"),
            ("Faust-Ag-ReplyTo", b"rt"),
            ("Faust-Ag-CorrelationId", b"c-1"),
        ]
    finally:
        await app.close_clients()


@pytest.mark.parametrize(
    ("key", "value", "wire"),
    [
        (
            "kk",
            {"a": 1},
            b'{"key":"kk","value":{"a":1},"correlation_id":"c-1","__faust":{"ns":"@ReqRepResponse"}}',
        ),
        (
            b"kk",
            5,
            b'{"key":"b\'kk\'","value":5,"correlation_id":"c-1","__faust":{"ns":"@ReqRepResponse"}}',
        ),
        (
            None,
            [1],
            b'{"key":null,"value":[1],"correlation_id":"c-1","__faust":{"ns":"@ReqRepResponse"}}',
        ),
        (
            None,
            Order("a", 1),
            (
                b'{"key":null,"value":{"acc":"a","n":1,"__faust":{"ns":"shop.asked.Order"}},'
                b'"correlation_id":"c-1",'
                b'"__faust":{"ns":"faust.agents.models.ModelReqRepResponse"}}'
            ),
        ),
        (
            None,
            None,
            b'{"key":null,"value":null,"correlation_id":"c-1","__faust":{"ns":"@ReqRepResponse"}}',
        ),
    ],
    ids=["text-key", "bytes-key", "no-key", "model", "null"],
)
async def test_answers(
    memory_url: str, topic_name: Name, key: Any, value: Any, wire: bytes
) -> None:
    """serialization.md 6.3: the bytes of an answer: only a body, no key and no headers."""
    app = make_app(memory_url, topic_name("app"))

    @app.agent(name="echo", key_type=str if isinstance(key, str) else None)
    async def echo(values: Any) -> AsyncIterator[Any]:
        async for one in values:
            yield one

    async with running(app):
        await echo.send(key=key, value=value, reply_to="answers", correlation_id="c-1")
        await eventually(lambda: app.producer.partitions("answers"))
        await app.producer.flush()
        (record,) = await raw_records(app, "answers")
    assert record.value == wire
    assert record.key is None
    assert not record.headers


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "envelope"])
@pytest.mark.parametrize("form", ["values", "items", "events", "take", "group_by", "coroutine"])
async def test_nobody_sees_an_envelope(
    memory_url: str, topic_name: Name, headers: bool, form: str
) -> None:
    """agents.md 5.2: whatever an agent reads through, it sees the value; the request is answered all the same."""
    app = make_app(memory_url, topic_name("app"))
    seen: list[Any] = []

    async def values(stream: Any) -> AsyncIterator[Any]:
        async for value in stream:
            seen.append(value)
            yield value

    async def items(stream: Any) -> AsyncIterator[Any]:
        async for _key, value in stream.items():  # noqa: PERF102 - a stream
            seen.append(value)
            yield value

    async def events(stream: Any) -> AsyncIterator[Any]:
        async for event in stream.events():
            current = faust.current_event()
            assert current is not None
            assert current.value == event.value
            seen.append(event.value)
            yield event.value

    async def take(stream: Any) -> AsyncIterator[Any]:
        async for batch in stream.take(1):
            seen.extend(batch)
            yield batch[0]

    async def group_by(stream: Any) -> AsyncIterator[Any]:
        async for value in stream.group_by(lambda order: order.acc, name="acc"):
            seen.append(value)
            yield value

    async def coroutine(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    function = locals()[form]
    agent = app.agent(name=form, use_reply_headers=headers)(function)
    async with running(app):
        if form == "coroutine":
            await agent.send(value=Order("a", 1), reply_to="nobody")
            await eventually(lambda: seen)
        else:
            answer = await asyncio.wait_for(agent.ask(Order("a", 1)), 20)
            assert answer == Order("a", 1)
    assert seen == [Order("a", 1)]


@pytest.mark.parametrize("old", [False, True], ids=["envelope", "old protocol"])
@pytest.mark.parametrize("typ", [int, str, bytes, list[int], dict], ids=str)
async def test_what_fits_no_envelope_cannot_be_asked(
    memory_url: str, topic_name: Name, typ: Any, old: bool
) -> None:
    """agents.md 5.2: a request that the agent could not read is refused where it is asked, with what to do instead."""
    settings = {"broker_api_version": "0.10"} if old else {}
    app = make_app(memory_url, topic_name("app"), **settings)
    topic = app.topic(topic_name("typed"), value_type=typ, internal=True)

    @app.agent(topic, use_reply_headers=old)
    async def same(values: Any) -> AsyncIterator[Any]:
        async for value in values:
            yield value

    remedy = "broker_api_version 0.11" if old else "use_reply_headers=True"
    async with running(app):
        for question in (same.ask(3), same.send(value=3, reply_to="x"), same.join([3])):
            with pytest.raises(ImproperlyConfigured, match=remedy):
                await asyncio.wait_for(question, 20)


async def test_the_second_answer_to_a_request_is_ignored(memory_url: str, topic_name: Name) -> None:
    """agents.md 5.4: an agent that yields twice answers once; the reader of answers goes on."""
    app = make_app(memory_url, topic_name("app"))

    @app.agent(name="twice")
    async def twice(values: Any) -> AsyncIterator[Any]:
        async for value in values:
            yield value
            yield value + 100

    async with running(app):
        assert [await twice.ask(number) for number in range(20)] == list(range(20))
        assert await twice.join(range(20)) == list(range(20))


async def test_groups_have_no_limit(memory_url: str, topic_name: Name) -> None:
    """agents.md 5.4: join waits for more than a thousand answers."""
    app, double = calculator(memory_url, topic_name("app"))
    async with running(app):
        assert await double.join(range(3000)) == [2 * n for n in range(3000)]
        assert await double.kvjoin([(b"a", 1), (b"b", 2)]) == [2, 4]
        assert await double.kvjoin([]) == []
        assert sorted([n async for n in double.kvmap([(b"a", 1), (b"b", 2)])]) == [2, 4]


@pytest.mark.parametrize("patient", [True, False])
async def test_map_takes_endless_input(memory_url: str, topic_name: Name, patient: bool) -> None:
    """agents.md 5.1: map answers while it still asks, so its input may have no end, and need not wait for anything."""
    app, double = calculator(memory_url, topic_name("app"))
    asked = 0

    async def forever() -> AsyncIterator[int]:
        nonlocal asked
        while True:
            asked += 1
            yield asked
            if patient:
                await asyncio.sleep(0)

    async with running(app):
        got = []
        async for answer in double.map(forever()):
            got.append(answer)
            if len(got) == 10:
                break
    assert all(answer % 2 == 0 for answer in got)
    assert asked < 50_000  # without a turn for anybody else it is some hundred thousands


async def test_ask_nowait_promises_only_what_is_registered(
    memory_url: str, topic_name: Name
) -> None:
    """agents.md 5.1: ask_nowait needs reply_to; its promise is fulfilled once the reply consumer knows it."""
    app, double = calculator(memory_url, topic_name("app"))
    async with running(app):
        with pytest.raises(TypeError, match="reply_to"):
            await double.ask_nowait(1)
        promise = ReplyPromise[int](app.conf.reply_to, "mine")
        await app.reply_consumer.add("mine", promise)
        await double.ask_nowait(4, reply_to=app.conf.reply_to, correlation_id="mine", force=True)
        assert await asyncio.wait_for(promise, 20) == 8


async def test_where_answers_can_go(memory_url: str, topic_name: Name) -> None:
    """agents.md 5.1: reply_to is an agent, a topic or a name; an in-memory channel is refused."""
    app, double = calculator(memory_url, topic_name("app"))
    heard: list[Any] = []

    @app.agent(name="listener")
    async def listener(answers: Any) -> None:
        async for answer in answers:
            heard.append((answer.correlation_id, answer.value))

    async with running(app):
        await double.send(value=1, reply_to=listener, correlation_id="a")
        await double.send(value=2, reply_to=listener.channel, correlation_id="b")
        await double.send(value=3, reply_to=listener.channel.get_topic_name(), correlation_id="c")
        await eventually(lambda: sorted(heard) == [("a", 2), ("b", 4), ("c", 6)])
        with pytest.raises(ValueError, match="channel"):
            await double.send(value=3, reply_to=app.channel())
        with pytest.raises(TypeError, match="reply_to"):
            await double.send(value=3, reply_to=7)


async def test_who_waits_is_told_when_the_app_stops(memory_url: str, topic_name: Name) -> None:
    """An answer that cannot come any more is an error, not a silence; an expired wait leaves nothing behind."""
    app = make_app(memory_url, topic_name("app"))

    @app.agent(name="silent")
    async def silent(values: Any) -> AsyncIterator[Any]:
        async for value in values:
            if value is None:
                yield value

    async with running(app):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(silent.ask(1), 0.5)
        gc.collect()
        assert app.reply_consumer.waiting == 0
        waiting = asyncio.create_task(silent.ask(2))
        await eventually(lambda: app.reply_consumer.waiting == 1)
    with pytest.raises(ReplyLost):
        await waiting


async def test_forgotten_promises_cost_nothing(memory_url: str, topic_name: Name) -> None:
    """agents.md 5.4: promises are tracked weakly; one that is awaited survives the garbage collector."""
    app, double = calculator(memory_url, topic_name("app"))
    async with running(app):
        await app.reply_consumer.read(app.conf.reply_to)
        for number in range(100):
            promise = ReplyPromise[int](app.conf.reply_to, f"p{number}")
            await app.reply_consumer.add(promise.correlation_id, promise)
        del promise
        gc.collect()
        assert app.reply_consumer.waiting == 0
        task = asyncio.create_task(double.ask(3))
        await asyncio.sleep(0)
        gc.collect()
        assert await asyncio.wait_for(task, 20) == 6


async def test_what_is_no_answer_is_passed_over(
    memory_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """A record in the reply topic that is no answer is logged with its offset; the next answer arrives."""
    app, double = calculator(memory_url, topic_name("app"))
    async with running(app):
        assert await double.ask(1) == 2
        await (await app.topic(app.conf.reply_to, value_serializer="raw").send(value=b"{bad"))
        assert await double.ask(2) == 4
    (record,) = [record for record in caplog.records if "Not an answer" in record.message]
    assert "offset 1" in record.message


async def test_an_unknown_reply_topic_harms_nobody_else(
    topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """A request with an address that cannot be sent to is logged, and the agent goes on with the next."""
    url = f"memory://{topic_name('broker')}?auto_create=no"
    app, double = calculator(url, topic_name("app"))
    async with running(app):
        await double.send(value=1, reply_to="no-such-topic", correlation_id="lost")
        assert await asyncio.wait_for(double.ask(2), 60) == 4
    assert "lost" in caplog.text
    assert "no-such-topic" in caplog.text


async def test_the_reply_topic_can_be_made_at_the_start(memory_url: str, topic_name: Name) -> None:
    """agents.md 5.4: reply_create_topic declares the reply topic, with its retention, before the first question."""
    app = make_app(
        memory_url,
        topic_name("app"),
        reply_create_topic=True,
        reply_to=topic_name("answers"),
        reply_expires=60.0,
    )
    async with running(app):
        admin = await app._started_admin()
        described = (await admin.describe_topics([app.conf.reply_to]))[app.conf.reply_to]
        assert described is not None
        assert described.config["retention.ms"] == "60000"
        assert app.reply_consumer.reads(app.conf.reply_to)


def test_a_promise_needs_an_id() -> None:
    """agents.md 5.4: a promise without correlation id is a ValueError."""
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(ValueError, match="correlation"):
            ReplyPromise("rt", "", loop=loop)
    finally:
        loop.close()


async def test_barriers() -> None:
    """agents.md 5.4: a barrier counts its parts and resolves to True when all have come, also if that was before."""
    barrier = BarrierState("rt")
    for name in ("a", "b", "c"):
        barrier.add(ReplyPromise("rt", name))
    with pytest.raises(asyncio.QueueEmpty):
        barrier.get_nowait()
    barrier.fulfill("b", 2)
    barrier.fulfill("b", 3)
    assert (barrier.size, barrier.total, barrier.fulfilled) == (3, 0, 1)
    assert barrier.get_nowait() == ("b", 2)
    barrier.fulfill("a", 1)
    barrier.fulfill("c", 3)
    assert not barrier.done()
    barrier.finalize()
    assert await barrier is True
    assert [reply async for reply in barrier.iterate()] == [("a", 1), ("c", 3)]
    assert (barrier.size, barrier.total, barrier.fulfilled) == (3, 3, 3)
    empty = BarrierState("rt")
    empty.finalize()
    assert await empty is True
    failed = BarrierState("rt")
    failed.add("x")
    failed.finalize()
    failed.fail(ReplyLost("gone"))
    with pytest.raises(ReplyLost):
        async for _ in failed.iterate():
            pass


def test_correlation_ids_are_random_uuids() -> None:
    """The id of a request is the text of a version 4 UUID, another one each time (agents.md 5)."""
    ids = [new_correlation_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    for one in ids:
        made = uuid.UUID(one)
        assert (made.version, made.variant, str(made)) == (4, uuid.RFC_4122, one)


class Watcher(faust.Sensor):
    """Asks to be told of every single send."""

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> Any:
        """Have no state."""


@pytest.mark.parametrize("watched", [False, True], ids=["alone", "watched"])
async def test_a_question_that_cannot_be_sent_is_an_error(watched: bool) -> None:
    """agents.md 5.1: when the broker refuses the question `ask` raises instead of waiting for ever."""
    url = f"memory://{uuid.uuid4().hex}?auto_create=no"
    # a commit would find that something could not be sent, and end the worker
    app = make_app(url, "refused", topic_partitions=1, broker_commit_interval=600.0)
    asked = app.topic("asked", value_type=int, internal=True)

    @app.agent(asked)
    async def double(numbers: Any) -> AsyncIterator[Any]:
        async for number in numbers:
            yield number * 2

    if watched:
        app.sensors.add(Watcher())
    raised = False
    with contextlib.suppress(UnknownTopic):  # a rebalance, for the deleted topic, finds it as well
        async with running(app):
            assert await asyncio.wait_for(double.ask(4), 30) == 8
            admin = app.transport.admin()
            await admin.start()
            await admin.delete_topics(["asked"])
            await admin.close()
            with pytest.raises(UnknownTopic):
                await asyncio.wait_for(double.ask(5), 30)
            raised = True
    assert raised
