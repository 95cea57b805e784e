"""streams.md 7: repartitioning and forwarding."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

import faust
from faust.exceptions import ImproperlyConfigured
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


class Order(faust.Record):
    """What the examples of the section are about."""

    acc: str
    amount: int = 0


class Payment(faust.Record):
    """Has fields of several types."""

    id: int
    rate: float
    customer: str
    branch: int | None = None
    digits: str = "10"


def names(stream: Any) -> list[str]:
    """Return the topics that a stream reads."""
    return list(stream.channel.topics)


# -- 7.1 group_by


def test_names_of_repartition_topics(app: faust.App) -> None:
    """streams.md 7.1: the table of destinations."""
    orders = app.topic("orders", value_type=Order)
    assert names(orders.stream().group_by(Order.acc)) == ["orders-Order.acc-repartition"]
    of_agent = orders.stream(prefix="mod.ag").group_by(Order.acc)
    assert names(of_agent) == ["mod.ag-orders-Order.acc-repartition"]
    own = app.topic("myapp-mod.ag", value_type=Order, internal=True, has_prefix=True)
    assert names(own.stream(prefix="mod.ag").group_by(Order.acc)) == [
        "myapp-mod.ag-Order.acc-repartition"
    ]
    assert names(of_agent.group_by(lambda order: order.acc, name="foo")) == [
        "mod.ag-orders-Order.acc-repartition-foo-repartition"
    ]


@pytest.mark.parametrize(
    ("options", "field", "keys"),
    [
        ({}, Payment.id, {1, 2}),
        ({}, Payment.rate, {0.5, 1.5}),
        ({}, Payment.branch, {7, None}),
        ({}, Payment.customer, {b"ann", b"bob"}),
        ({"key_type": str}, Payment.id, {1, 2}),
        ({"key_type": str}, Payment.customer, {"ann", "bob"}),
        ({"key_type": int, "key_serializer": "json"}, Payment.id, {1, 2}),
        ({"key_type": int, "key_serializer": "json"}, Payment.digits, {10, 20}),
        ({"key_serializer": "json"}, Payment.id, {1, 2}),
        ({"key_type": uuid.UUID}, Payment.customer, {"ann", "bob"}),
    ],
)
async def test_keys_of_a_field(
    make: Callable[..., faust.App], topic_name: Name, options: Any, field: Any, keys: set[Any]
) -> None:
    """streams.md 7.1: an event can be grouped by a number, and by a field of another type than the source's keys.

    What is copied of the source is changed only where its key type could not be that of the field.
    """
    app = make(topic_partitions=2)
    payments = app.topic(topic_name("payments"), value_type=Payment, internal=True, **options)
    stream = payments.stream().group_by(field)
    seen: list[Any] = []

    @app.task
    async def read() -> None:
        async for event in stream.events():
            seen.append((event.key, event.value))

    async with running(app):
        first = Payment(1, 0.5, "ann")
        second = Payment(2, 1.5, "bob", 7, "20")
        key = uuid.UUID(int=1) if options.get("key_type") is uuid.UUID else None
        await payments.send(key=key, value=first)
        await payments.send(key=key, value=second)
        await eventually(lambda: len(seen) == 2)
    assert {key for key, _ in seen} == keys
    assert {value.id for _, value in seen} == {1, 2}
    named = payments.stream().group_by(field, topic="by")
    assert named.channel.key_type == stream.channel.key_type


def test_the_destination_is_derived_from_the_source(make: Callable[..., faust.App]) -> None:
    """streams.md 7.1: types and configuration are copied; it is internal; partitions: argument or setting, not the source's.

    But it is never compacted, which would lose events that are not processed yet.
    """
    app = make(topic_partitions=6)
    orders = app.topic(
        "orders",
        value_type=Order,
        key_type=str,
        partitions=3,
        retention=9.0,
        compacting=True,
        config={"max.message.bytes": 70_000, "cleanup.policy": "compact"},
    )
    topic: Any = orders.stream().group_by(Order.acc).channel
    assert (topic.value_type, topic.key_type, topic.internal) == (Order, str, True)
    assert (topic.partitions, topic.retention) == (6, 9.0)
    assert topic._broker_config() == {"max.message.bytes": "70000", "retention.ms": "9000"}
    other: Any = orders.stream().group_by(Order.acc, partitions=2).channel
    assert other.partitions == 2
    given = app.topic("given")
    assert names(orders.stream().group_by(Order.acc, topic=given)) == ["given"]


def test_what_group_by_refuses(app: faust.App) -> None:
    """streams.md 7.1: restrictions."""
    orders = app.topic("orders", value_type=Order)
    with pytest.raises(TypeError, match="name"):
        orders.stream().group_by(lambda order: order.acc)
    with pytest.raises(TypeError):
        orders.stream().group_by("acc", name="x")
    with pytest.raises(ImproperlyConfigured, match="concurrency"):
        orders.stream(concurrency_index=0).group_by(Order.acc)
    with pytest.raises(ImproperlyConfigured, match="concurrency"):
        orders.stream(concurrency_index=0).through("x")
    once = orders.stream()
    once.group_by(Order.acc)
    with pytest.raises(ImproperlyConfigured, match="once"):
        once.group_by(Order.acc)
    with pytest.raises(ImproperlyConfigured, match="once"):
        once.through("x")
    with pytest.raises(ValueError, match="topic"):
        app.stream([1]).group_by(str, name="x")
    with pytest.raises(ValueError, match="pattern"):
        app.topic(pattern="a.*").stream().group_by(str, name="x")


@pytest.mark.parametrize("kind", ["field", "function", "coroutine function"])
async def test_keys_of_every_kind(broker_url: str, topic_name: Name, kind: str) -> None:
    """streams.md 7.1: a field, a function or a coroutine function gives the key; value bytes and headers stay as they were."""
    app = make_app(broker_url, topic_name("app"))
    orders = app.topic(topic_name("orders"), value_type=Order)
    raw = app.topic(orders.get_topic_name(), value_serializer="raw")
    where: dict[str, set[int]] = defaultdict(set)
    events: list[Any] = []

    async def later(order: Order) -> str:
        await asyncio.sleep(0)
        return order.acc

    key: Any = {"field": Order.acc, "function": lambda o: o.acc, "coroutine function": later}[kind]

    @app.agent(orders)
    async def read(stream: Any) -> None:
        async for event in stream.group_by(key, name="acc", partitions=4).events():
            where[event.value.acc].add(event.message.partition)
            events.append(event)

    async with running(app):
        for number in range(40):
            payload = b'{"acc": "a%d",   "amount": %d}' % (number % 5, number)
            await raw.send(key=b"old", value=payload, headers={"n": str(number)})
        await eventually(lambda: len(events) == 40)
        await committed_everything(app)
    assert all(len(partitions) == 1 for partitions in where.values())
    assert {event.key for event in events} == {f"a{n}".encode() for n in range(5)}
    assert all(b",   " in event.message.value for event in events)
    assert {event.headers["n"] for event in events} == {str(n).encode() for n in range(40)}


async def test_filters_run_before_and_processors_behind(app: faust.App) -> None:
    """streams.md 7.1: what a filter rejects is never forwarded; value-changing processors run once, on the derived stream."""
    topic = app.topic("in", value_type=int)
    forwarded: list[int] = []
    got: list[int] = []

    @app.agent(topic, name="agent")
    async def agent(stream: Any) -> None:
        stream = stream.filter(lambda n: n % 2 == 0)
        stream.add_processor(lambda n: n * 10)
        async for number in stream.group_by(str, name="n"):
            got.append(number)

    @app.agent(app.topic("agent-in-n-repartition", value_type=int), name="watch")
    async def watch(stream: Any) -> None:
        async for number in stream:
            forwarded.append(number)

    async with running(app):
        for number in range(10):
            await topic.send(value=number, partition=0)
        await eventually(lambda: len(got) == len(forwarded) == 5)
        await committed_everything(app)
    assert sorted(forwarded) == [0, 2, 4, 6, 8]
    assert sorted(got) == [0, 20, 40, 60, 80]


async def test_a_restarted_agent_finds_its_streams(app: faust.App) -> None:
    """streams.md 7.1, agents.md 3: after a crash `group_by` gives the stream there is; nothing is added a second time."""
    topic = app.topic("in", value_type=int)
    got: list[Any] = []
    lives: list[Any] = []

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        stream = stream.filter(lambda n: n != 3)
        stream.add_processor(lambda n: n + 100)
        derived = stream.group_by(lambda n: "same", name="n")
        derived.add_processor(lambda n: n * 2)
        lives.append(derived)
        async for number in derived:
            if number == 204:
                raise ValueError("two")
            got.append(number)

    async with running(app):
        for number in range(6):
            await topic.send(value=number, partition=0)
        await eventually(lambda: len(got) == 4)
        await committed_everything(app)
    assert got == [200, 202, 208, 210]
    assert len(lives) == 2
    assert lives[0] is lives[1]


@pytest.mark.parametrize("how", ["filter", "channel"])
async def test_a_restart_loses_nothing_that_is_being_forwarded(app: faust.App, how: str) -> None:
    """streams.md 7.1: what a filter has in hand when the agent is restarted, or waits for room, is forwarded all the same."""
    topic = app.topic("in", value_type=int)
    narrow = app.channel(maxsize=1)
    got: list[int] = []

    async def keep(_value: int) -> bool:
        await asyncio.sleep(0.01)
        return True

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        filtered = how == "filter"
        async for value in (
            stream.filter(keep).through("forwarded") if filtered else stream.through(narrow)
        ):
            number = int(value)
            await asyncio.sleep(0.01)
            got.append(number)
            if number in (3, 9):
                raise ValueError(number)

    async with running(app):
        for number in range(15):
            await topic.send(value=number, partition=0)
        await eventually(lambda: 14 in got)
        await committed_everything(app)
    assert sorted(set(got)) == list(range(15))


async def test_group_by_on_a_channel(app: faust.App) -> None:
    """streams.md 7.1: on an in-memory channel events come back under their new key."""
    channel = app.channel(value_type=int)
    got: list[Any] = []

    @app.agent(channel)
    async def agent(stream: Any) -> None:
        async for key, number in stream.group_by(lambda n: f"k{n}", name="n").items():
            got.append((key, number))

    async with running(app):
        for number in range(3):
            await channel.send(key="old", value=number)
        await eventually(lambda: got == [("k0", 0), ("k1", 1), ("k2", 2)])


@pytest.mark.parametrize("what", ["key function", "serializer"])
async def test_a_key_that_cannot_be_made_skips_its_event(
    app: faust.App, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """streams.md 7.1: an exception in the key function is logged, the event is skipped and acknowledged, `on_error` is told."""
    topic = app.topic("in", value_type=int)
    got: list[int] = []
    told: list[BaseException] = []

    async def on_error(_agent: Any, exc: BaseException) -> None:
        told.append(exc)

    def key(number: int) -> Any:
        if number != 2:
            return str(number)
        return int("missing") if what == "key function" else object()

    @app.agent(topic, name="agent", on_error=on_error)
    async def agent(stream: Any) -> None:
        async for number in stream.group_by(key, name="n", partitions=1):
            got.append(number)

    async with running(app):
        for number in range(5):
            await topic.send(value=number, partition=0)
        await eventually(lambda: got == [0, 1, 3, 4])
        await committed_everything(app)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "in[0] offset 2" in errors[0].message
    assert len(told) == 1


async def test_noack_and_group_by(make: Callable[..., faust.App]) -> None:
    """streams.md 7.1 and 9: acks stay off on the derived stream; the forwarded source event is done."""
    app = make(broker_commit_interval=600.0, stream_wait_empty=False)
    topic = app.topic("in", value_type=int)
    got: list[Any] = []

    @app.agent(topic, name="agent")
    async def agent(stream: Any) -> None:
        derived = stream.noack().group_by(lambda n: "k", name="n", partitions=1)
        assert derived.enable_acks is False
        async for event in derived.events():
            got.append(event)

    source, target = faust.TP("in", 0), faust.TP("agent-in-n-repartition", 0)
    async with running(app):
        for number in range(3):
            await topic.send(value=number, partition=0)
        await eventually(lambda: len(got) == 3)
        await app.commit()
        assert await app.consumer.committed([source, target]) == {source: 3, target: None}
        got[0].ack()
        await app.commit()
        assert (await app.consumer.committed([target]))[target] == 1


# -- 7.2 through


async def test_through_keeps_keys_values_and_headers(broker_url: str, topic_name: Name) -> None:
    """streams.md 7.2: every event goes on with its original key, value and headers; a name is derived, not internal."""
    app = make_app(broker_url, topic_name("app"))
    topic = app.topic(topic_name("in"), key_type=str, value_type=int)
    name = topic_name("between")
    got: list[Any] = []
    streams: list[Any] = []

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        derived = stream.through(name)
        streams.append(derived)
        async for event in derived.events():
            got.append((event.message.topic, event.key, event.value, event.headers))

    async with running(app):
        for number in range(10):
            await topic.send(key=f"k{number}", value=number, headers={"n": str(number)})
        await eventually(lambda: len(got) == 10)
        await committed_everything(app)
    assert sorted(got) == [(name, f"k{n}", n, {"n": str(n).encode()}) for n in range(10)]
    assert streams[0].channel.internal is False


# -- 7.3 the failure path


async def test_errors_of_the_source_reach_the_reader(app: faust.App) -> None:
    """streams.md 7.3: what raises while the source is drained is raised in the agent that iterates; then it goes on."""
    topic = app.topic("in", value_type=int)
    got: list[Any] = []

    def keep(number: int) -> bool:
        if number == 2:
            raise KeyError("two")
        return True

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        derived = stream.filter(keep).group_by(lambda n: "k", name="n", partitions=1)
        while True:
            try:
                async for number in derived:
                    got.append(number)
            except KeyError as exc:
                got.append(str(exc))

    async with running(app):
        for number in range(5):
            await topic.send(value=number, partition=0)
        await eventually(lambda: len(got) == 5)
        await committed_everything(app)
    assert [value for value in got if value != "'two'"] == [0, 1, 3, 4]
    assert "'two'" in got
