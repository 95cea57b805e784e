"""channels-topics.md 5, 6, 8, 9 and 11: decoding and its errors, declaring, deriving, partitioning, messages; patterns (1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import faust
from faust.exceptions import KeyDecodeError, ValueDecodeError
from faust.messages import Message
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


def message(key: Any, value: Any) -> Message:
    """Make a consumed message."""
    return Message("in", 0, 5, 1.0, 0, [("h", b"1")], key, value)


# -- 5. receiving


async def test_decode_makes_events(app: faust.App) -> None:
    """channels-topics.md 5: a topic decodes, a channel wraps."""
    topic = app.topic("in", key_type=str, value_type=int)
    event = await topic.decode(message(b"k", b"5"))
    assert (event.key, event.value, event.headers) == ("k", 5, {"h": b"1"})
    wrapped = await app.channel().decode(message(b"k", b"5"))
    assert (wrapped.key, wrapped.value) == (b"k", b"5")


async def test_decode_errors_go_to_the_hooks_or_the_caller(app: faust.App) -> None:
    """channels-topics.md 5: `decode` calls the hooks, whose default throws into the stream; `propagate` raises instead."""
    topic: Any = aiter(app.topic("in", key_type=int, value_type=int))
    with pytest.raises(ValueDecodeError):
        await topic.decode(message(b"1", b"{"), propagate=True)
    with pytest.raises(KeyDecodeError):
        await topic.decode(message(b"{", b"1"), propagate=True)
    assert await topic.decode(message(b"1", b"{")) is None
    with pytest.raises(ValueDecodeError):
        await topic.get()


async def test_deliver_decodes_and_queues(app: faust.App) -> None:
    """channels-topics.md 5: `deliver` is `decode` and `put`."""
    topic: Any = aiter(app.topic("in", value_type=int))
    await topic.deliver(message(None, b"5"))
    assert (await topic.get()).value == 5
    channel = app.channel()
    iterator: Any = aiter(channel)
    await channel.deliver(message(None, b"5"))
    assert (await iterator.get()).value == b"5"


async def test_an_undecodable_message_is_skipped_and_raised(app: faust.App) -> None:
    """channels-topics.md 5: by default the error is raised in the agent's loop, the offset is committed, the rest comes."""
    topic = app.topic("in", key_type=int, value_type=int)
    raw = app.topic("in", key_serializer="raw", value_serializer="raw")
    got: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        while True:
            try:
                async for number in stream:
                    got.append(number)
            except (KeyDecodeError, ValueDecodeError) as exc:
                got.append((type(exc), exc.offset))

    async with running(app):
        for key, value in ((b"1", b"1"), (b"1", b"bad"), (b"bad", b"2"), (b"1", b"3")):
            await raw.send(key=key, value=value, partition=0)
        await eventually(lambda: len(got) == 4)
        await committed_everything(app)
    assert got == [1, (ValueDecodeError, 1), (KeyDecodeError, 2), 3]


async def test_hooks_can_swallow_bad_messages(
    make: Callable[..., faust.App], caplog: pytest.LogCaptureFixture
) -> None:
    """channels-topics.md 5: a hook that does not call `super` skips bad messages quietly; `on_decode_error` is told first."""
    told: list[Any] = []

    class Quiet(faust.Topic[Any, Any]):
        async def on_value_decode_error(self, exc: Exception, message: Message) -> None:
            told.append((type(exc), message.offset, message.value))

        async def on_decode_error(self, exc: Exception, message: Message) -> None:
            told.append(("decode", message.offset))

    app = make(Topic=Quiet)
    topic = app.topic("in", key_type=int, value_type=int)
    raw = app.topic("in", key_serializer="raw", value_serializer="raw")
    got: list[int] = []

    @app.agent(topic, name="agent")
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        for key, value in ((b"1", b"1"), (b"1", b"bad"), (b"bad", b"2"), (b"1", b"3")):
            await raw.send(key=key, value=value, partition=0)
        await eventually(lambda: got == [1, 3])
        await committed_everything(app)
    assert told == [(ValueDecodeError, 1, b"bad"), ("decode", 2)]
    errors = [record for record in caplog.records if "agent raised" in record.message]
    assert len(errors) == 1


async def test_failures_are_isolated_per_reader(broker_url: str, topic_name: Name) -> None:
    """channels-topics.md 5, BUG-T7: what one reader cannot decode the others get."""
    app = make_app(broker_url, topic_name("app"))
    name = topic_name("in")
    strict = app.topic(name, value_type=int)
    raw = app.topic(name, value_serializer="raw")
    numbers: list[int] = []
    texts: list[bytes] = []

    @app.agent(strict, name="strict")
    async def read_numbers(stream: Any) -> None:
        async for number in stream:
            numbers.append(number)

    @app.agent(raw, name="raw")
    async def read_bytes(stream: Any) -> None:
        async for value in stream:
            texts.append(value)

    async with running(app):
        for value in (b"1", b"bad", b"3"):
            await raw.send(value=value, partition=0)
        await eventually(lambda: len(texts) == 3 and len(numbers) == 2)
        await committed_everything(app)
    assert (numbers, texts) == ([1, 3], [b"1", b"bad", b"3"])


async def test_several_apps_read_one_topic(make: Callable[..., faust.App]) -> None:
    """channels-topics.md 2 and 5: every app gets every message, and one that fails does not disturb the other."""
    got: dict[str, list[int]] = {"good": [], "bad": []}
    apps = {name: make(id=name) for name in got}
    for name, app in apps.items():

        def agent_of(name: str, app: faust.App) -> Any:
            async def read(stream: Any) -> None:
                async for number in stream:
                    if name == "bad" and number % 2:
                        raise ValueError(number)
                    got[name].append(number)

            return app.agent(app.topic("in", value_type=int), name="read")(read)

        agent_of(name, app)
    async with running(apps["good"]), running(apps["bad"]):
        for number in range(10):
            await apps["good"].send("in", value=number, partition=0)
        await eventually(lambda: len(got["good"]) == 10 and len(got["bad"]) == 5)
    assert got == {"good": list(range(10)), "bad": list(range(0, 10, 2))}


# -- 1. patterns


async def test_a_pattern_picks_up_new_topics(broker_url: str, topic_name: Name) -> None:
    """channels-topics.md 1: a pattern reads all matching topics, also those that are made later."""
    app = make_app(broker_url, topic_name("app"), consumer_metadata_max_age_ms=1000)
    prefix = topic_name("p")
    got: list[Any] = []

    @app.agent(app.topic(pattern=f"{prefix}-.*", value_type=int))
    async def read(stream: Any) -> None:
        async for event in stream.events():
            got.append((event.message.topic, event.value))

    first, second, other = (app.topic(f"{prefix}{end}", partitions=1) for end in ("-1", "-2", "x"))
    await app.maybe_start_producer()
    await first.declare()
    async with running(app):
        await first.send(value=1)
        await eventually(lambda: len(got) == 1)
        await other.declare()
        await second.declare()
        await second.send(value=2)
        await other.send(value=3)
        await eventually(lambda: len(got) == 2, timeout=40)
        await committed_everything(app)
    assert got == [(f"{prefix}-1", 1), (f"{prefix}-2", 2)]


async def test_topics_of_several_names(app: faust.App) -> None:
    """channels-topics.md 1 and 2: all names of a topic are read; one cannot send to it."""
    topic = app.topic("a", "b", value_type=int)
    got: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.events():
            got.append((event.message.topic, event.value))

    async with running(app):
        await app.send("a", value=1)
        await app.send("b", value=2)
        await eventually(lambda: sorted(got) == [("a", 1), ("b", 2)])
        with pytest.raises(ValueError, match="several"):
            await topic.send(value=1)


async def test_a_topic_added_while_the_worker_runs(broker_url: str, topic_name: Name) -> None:
    """channels-topics.md 2, transport.md 4.2, BUG-T6: a stream made later subscribes its topic, and loses nothing."""
    app = make_app(broker_url, topic_name("app"))
    first = app.topic(topic_name("a"), value_type=int)
    late = app.topic(topic_name("b"), value_type=int)
    got: list[int] = []

    @app.agent(first)
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        await late.send(value=1)
        await first.send(value=2)
        await eventually(lambda: got == [2])
        stream = late.stream()

        async def reader() -> None:
            async for number in stream:
                got.append(number)

        task = asyncio.create_task(reader())
        await eventually(lambda: got == [2, 1])
        await first.send(value=3)
        await eventually(lambda: got == [2, 1, 3])
        await committed_everything(app)
        await stream.stop()
        await asyncio.wait_for(task, 10)


# -- 6. declaring


async def test_declare_gives_topics_their_configuration(broker_url: str, topic_name: Name) -> None:
    """channels-topics.md 6 and 1: names, partitions, retention, policy and config reach the broker; twice is harmless."""
    app = make_app(broker_url, topic_name("app"))
    names = topic_name("a"), topic_name("b")
    topic = app.topic(
        *names,
        partitions=3,
        retention=timedelta(minutes=1),
        compacting=True,
        deleting=True,
        replicas=1,
        config={"max.message.bytes": 70_000},
    )
    await topic.declare()
    await topic.declare()
    await asyncio.gather(*(topic.maybe_declare() for _ in range(5)))
    plain = app.topic(topic_name("c"))
    await plain.declare()
    admin = await app._started_admin()
    for name in names:
        described = (await admin.describe_topics([name]))[name]
        assert described is not None
        assert len(described.partitions) == 3
    assert topic._broker_config() == {
        "cleanup.policy": "compact,delete",
        "retention.ms": "60000",
        "max.message.bytes": "70000",
    }
    described = (await admin.describe_topics([plain.get_topic_name()]))[plain.get_topic_name()]
    assert described is not None
    assert len(described.partitions) == app.conf.topic_partitions
    await app.close_clients()


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, None),
        ({"compacting": True}, "compact"),
        ({"deleting": True}, "delete"),
        ({"deleting": True, "compacting": True}, "compact,delete"),
        ({"compacting": True, "config": {"cleanup.policy": "delete"}}, "delete"),
    ],
)
def test_cleanup_policies(app: faust.App, options: dict[str, Any], policy: str | None) -> None:
    """channels-topics.md 1, transport.md 8: flags make the policy; `config` wins."""
    assert app.topic("a", **options)._broker_config().get("cleanup.policy") == policy


async def test_declaring_can_be_forbidden(make: Callable[..., faust.App]) -> None:
    """channels-topics.md 6: with ``topic_allow_declare=False`` nothing is created; on channels both do nothing."""
    app = make(topic_allow_declare=False)
    topic = app.topic("a")
    await topic.declare()
    await topic.maybe_declare()
    allowed = make()
    admin = await allowed._started_admin()
    assert (await admin.describe_topics(["a"])).get("a") is None
    await allowed.close_clients()
    channel = app.channel()
    await channel.declare()
    await channel.maybe_declare()


async def test_internal_topics_are_declared_when_subscribed(app: faust.App) -> None:
    """channels-topics.md 6: a topic with ``internal=True`` exists when the worker runs, with its own number of partitions."""
    topic = app.topic("own", internal=True, partitions=2, value_type=int)

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async with running(app):
        assert list(await app.producer.load_partitions("own")) == [0, 1]


# -- 8. deriving


def test_deriving_takes_everything_over(app: faust.App) -> None:
    """channels-topics.md 8: what is not given comes from the parent, acks, replicas and maxsize included; schemas are copied."""
    options: dict[str, Any] = {
        "key_type": str,
        "value_type": int,
        "key_serializer": "json",
        "partitions": 3,
        "retention": 5.0,
        "compacting": True,
        "deleting": False,
        "replicas": 2,
        "acks": False,
        "config": {"a": "b"},
        "maxsize": 9,
        "allow_empty": True,
    }
    parent = app.topic("a", "b", **options)
    child = parent.derive_topic(prefix="p-", suffix="-s")
    assert {name: getattr(child, name) for name in options} == options
    assert child.topics == ("p-a-s", "p-b-s")
    assert (child.has_prefix, parent.has_prefix) == (True, False)
    assert child.derive(suffix="x").has_prefix is True
    assert child.schema is not parent.schema
    changed = parent.derive(topics=["c"], value_type=str, partitions=1, internal=True)
    assert (changed.topics, changed.value_type, changed.partitions) == (("c",), str, 1)
    assert (changed.internal, parent.derive().internal) == (True, False)
    assert parent.value_type is int
    with pytest.raises(ValueError, match="pattern"):
        app.topic(pattern="a").derive(suffix="x")
    channel = app.channel()
    assert channel.derive(value_type=int) is channel


# -- 9. partitioning


async def test_a_partitioner_of_ones_own(make: Callable[..., faust.App]) -> None:
    """channels-topics.md 9, transport.md 7: setting ``producer_partitioner`` decides; an explicit partition wins."""
    asked: list[Any] = []

    def partitioner(key: bytes | None, every: list[int], available: list[int]) -> int:
        asked.append((key, list(every), sorted(available)))
        return every[-1]

    app = make(producer_partitioner=partitioner)
    topic = app.topic("in", key_serializer="raw", partitions=4)
    await app.maybe_start_producer()
    await topic.declare()
    assert (await (await topic.send(key=b"k", value=1))).partition == 3
    assert (await topic.send_soon(value=1)).partition == 3
    assert (await (await topic.send(key=b"k", value=1, partition=1))).partition == 1
    assert asked == [(b"k", [0, 1, 2, 3], [0, 1, 2, 3]), (None, [0, 1, 2, 3], [0, 1, 2, 3])]
    await app.close_clients()


async def test_keys_choose_partitions_by_their_bytes(app: faust.App) -> None:
    """channels-topics.md 9: the same text under ``raw`` and ``json`` lands on different partitions; no key: any partition."""
    raw = app.topic("in", key_serializer="raw", partitions=8)
    json = app.topic("in", key_serializer="json", partitions=8)
    await app.maybe_start_producer()
    await raw.declare()
    assert (await (await raw.send(key="foobar", value=1))).partition == 6
    assert (await (await json.send(key="foobar", value=1))).partition == 2
    assert app.producer.key_partition("in", b"account-1") == faust.TP("in", 4)
    anywhere = {(await (await raw.send(value=1))).partition for _ in range(100)}
    assert len(anywhere) > 4
    await app.close_clients()


# -- 11. messages


def test_messages_say_what_they_are() -> None:
    """channels-topics.md 11: fields and defaults of `Message`."""
    made = message(b"key", None)
    assert (made.tp, made.serialized_key_size, made.serialized_value_size) == (
        faust.TP("in", 0),
        3,
        0,
    )
    assert (made.acked, made.refcount, made.tracked, made.checksum) == (False, 0, False, None)
    assert (made.time_in, made.time_out, made.time_total, made.generation_id) == (None,) * 4
