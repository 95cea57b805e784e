"""streams.md 8 to 11: combining, joining, the derivation chain, events, back pressure."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest

import faust
from faust.exceptions import ImproperlyConfigured
from faust.joins import InnerJoin, Join, LeftJoin, OuterJoin, RightJoin
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


class Left(faust.Record):
    """One side of a join."""

    id: int


class Right(faust.Record):
    """The other side."""

    id: int


# -- 8. combining and joining


async def test_a_combined_stream_gives_what_arrives_in_either(
    broker_url: str, topic_name: Name
) -> None:
    """streams.md 8: ``a & b`` yields the values of both; each event is acknowledged through its own part."""
    app = make_app(broker_url, topic_name("app"))
    one = app.topic(topic_name("one"), value_type=int)
    two = app.topic(topic_name("two"), value_type=int)
    got: list[Any] = []

    async with running(app):
        a, b = one.stream().filter(lambda n: n % 2), two.stream()
        b.add_processor(lambda n: -n)
        combined = a & b
        assert combined.combined == [a, b]

        async def read() -> None:
            async for value in combined:
                event = faust.current_event()
                assert event is not None
                assert combined.current_event is event
                got.append((value, event.message.topic))

        reader = asyncio.create_task(read())
        for number in range(20):
            await one.send(value=number)
            await two.send(value=number + 1)
        await eventually(lambda: len(got) == 30)
        await committed_everything(app)
        assert combined.events_total == 30
        await combined.stop()
        await asyncio.wait_for(reader, 5)
    ours = [value for value, topic in got if topic == one.get_topic_name()]
    theirs = [value for value, topic in got if topic == two.get_topic_name()]
    assert sorted(ours) == list(range(1, 20, 2))
    assert sorted(theirs) == list(range(-20, 0))


async def test_an_agent_may_combine(app: faust.App, caplog: pytest.LogCaptureFixture) -> None:
    """streams.md 8: a combined stream in an agent: an error costs its event, in its own part, and the rest goes on."""
    one, two = app.topic("one", value_type=int), app.topic("two", value_type=int)
    got: list[int] = []
    other = two.stream()

    @app.agent(one, name="agent")
    async def agent(stream: Any) -> None:
        async for number in stream.combine(other):
            if number == 3:
                raise ValueError("three")
            got.append(number)

    async with running(app):
        for number in range(4):
            await one.send(value=number, partition=0)
            await two.send(value=number + 10, partition=0)
        await eventually(lambda: len(got) == 7)
        await committed_everything(app)
    (error,) = [record for record in caplog.records if "agent raised" in record.message]
    assert "one[0] offset 3" in error.message


async def test_combined_streams_keep_what_was_not_handed_out(app: faust.App) -> None:
    """streams.md 8: leaving the loop acknowledges the event in hand and nothing else."""
    one, two = app.channel(), app.channel()
    a, b = one.stream(), two.stream()
    for number in range(3):
        a.channel.put_nowait(number)
        b.channel.put_nowait(number + 10)
    got: list[Any] = []
    async for value in a & b:
        got.append(value)
        if len(got) == 3:
            break
    async for value in a & b:
        got.append(value)
        if len(got) == 6:
            break
    assert sorted(got) == [0, 1, 2, 10, 11, 12]


def test_what_cannot_be_combined_says_so(app: faust.App) -> None:
    """streams.md 8: plain iterables, and operators that need one source, raise errors that say so."""
    channel = app.channel()
    with pytest.raises(ImproperlyConfigured, match="combined"):
        channel.stream() & app.stream([1])
    both = channel.stream() & app.channel().stream()
    with pytest.raises(ImproperlyConfigured, match="one source"):
        both.group_by(str, name="n")


@pytest.mark.parametrize(
    ("method", "strategy"),
    [
        ("join", RightJoin),
        ("left_join", LeftJoin),
        ("inner_join", InnerJoin),
        ("outer_join", OuterJoin),
    ],
)
async def test_join_strategies_are_extension_points(
    app: faust.App, method: str, strategy: type[Join]
) -> None:
    """streams.md 8: joins return a clone with a strategy, whose `process` raises NotImplementedError until overridden."""
    stream = app.topic("in").stream()
    joined = getattr(stream, method)(Left.id, Right.id)
    assert joined is not stream
    assert isinstance(joined.join_strategy, strategy)
    assert joined.join_strategy.fields == {Left: Left.id, Right: Right.id}
    assert joined.join_strategy.stream is stream
    again = getattr(stream, method)(Left.id, Right.id)
    assert again.join_strategy == joined.join_strategy
    assert again.join_strategy != getattr(stream, method)(Left.id).join_strategy
    channel = app.channel()
    reader = getattr(channel.stream(), method)(Left.id)
    reader.channel.put_nowait(1)
    with pytest.raises(NotImplementedError):
        await anext(aiter(reader))


async def test_a_join_strategy_of_ones_own(app: faust.App) -> None:
    """streams.md 2.5 and 8: what `process` returns takes the value's place, after the processors."""

    class Enrich(LeftJoin):
        async def process(self, event: Any) -> Any:
            return f"<{event}>"

    channel = app.channel()
    stream = channel.stream()
    stream.add_processor(lambda value: value + 1)
    joined = stream.clone(join_strategy=Enrich(stream=stream, fields=[Left.id]))
    joined.channel.put_nowait(1)
    async for value in joined:
        assert value == "<2>"
        break


# -- 9. the derivation chain


def test_the_chain(app: faust.App) -> None:
    """streams.md 9: derived streams are linked; both ends can be found; a ring raises RuntimeError."""
    root = app.topic("in").stream()
    grouped = root.group_by(str, name="a")
    last = grouped.through("b")
    assert (root.get_active_stream(), grouped.get_root_stream()) == (last, root)
    assert (last._prev, grouped._next) == (grouped, last)
    last._next = root
    with pytest.raises(RuntimeError):
        root.get_active_stream()


async def test_stopping_one_stops_all(app: faust.App) -> None:
    """streams.md 9: stopping any stream of the chain stops all of them."""
    root = app.topic("in").stream()
    last = root.group_by(str, name="a").through("b")
    await last.stop()
    assert all(stream.should_stop for stream in (root, root._next, last))
    assert len(app.topics) == 0


async def test_stop_takes_effect_at_the_next_step(app: faust.App) -> None:
    """streams.md 9: what is in hand is finished, then the loop ends."""
    channel = app.channel()
    stream = channel.stream()
    for number in range(3):
        stream.channel.put_nowait(number)
    got = []
    async for value in stream:
        got.append(value)
        await stream.stop()
    assert got == [0]


def test_clones(app: faust.App) -> None:
    """streams.md 9: a clone has everything of its origin, acks, prefix and join strategy included."""

    async def on_start() -> None:
        """Nothing."""

    strategy = LeftJoin(stream=None, fields=[Left.id])
    tps = {faust.TP("in", 1)}
    stream = app.stream(
        app.channel(),
        processors=[str],
        on_start=on_start,
        concurrency_index=2,
        active_partitions=tps,
        enable_acks=False,
        prefix="p",
        join_strategy=strategy,
    )
    for clone in (stream.clone(), copy.copy(stream)):
        assert dict(clone.info()) == dict(stream.info())
        assert clone is not stream
        assert clone.channel is stream.channel
        clone.add_processor(repr)
        assert len(stream.info()["processors"]) == 1
    assert stream.clone(prefix="q").prefix == "q"
    assert set(stream.info()) >= {"app", "channel", "processors", "on_start", "loop", "combined"}


# -- 10. events


async def test_events_of_ones_own_class(make: Callable[..., faust.App]) -> None:
    """streams.md 10: events are made by `app.create_event`, their class is setting ``Event``."""

    class MyEvent(faust.Event[Any, Any]):
        pass

    app = make(Event=MyEvent)
    topic = app.topic("in", value_type=int)
    events: list[Any] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for event in stream.events():
            events.append(event)

    async with running(app):
        await topic.send(key="k", value=1, headers=[("a", b"1"), ("a", b"2")], partition=0)
        await topic.send(value=2, partition=0)
        await eventually(lambda: len(events) == 2)
    first, second = events
    assert type(first) is MyEvent
    assert (first.app, first.key, first.value, first.offset) == (app, b"k", 1, 0)
    assert (first.headers, second.headers) == ({"a": b"2"}, {})
    assert list(first.message.headers or ()) == [("a", b"1"), ("a", b"2")]
    assert (first.message.tp, first.message.key, first.message.value) == (
        faust.TP("in", 0),
        b"k",
        b"1",
    )
    assert repr(first) == "<MyEvent: k=b'k' v=1>"


async def test_send_and_forward(app: faust.App) -> None:
    """streams.md 10: `send` re-serializes decoded parts, `forward` passes raw bytes on; what is given replaces, None empties."""
    source = app.topic("in", key_type=str, value_type=int)
    target = app.topic("out", key_serializer="json", value_serializer="raw")
    raw = app.topic("out", key_serializer="raw", value_serializer="raw")
    got: list[Any] = []

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for event in stream.events():
            common = {"partition": 0}
            await event.send(target, value=b"%d" % event.value, **common)
            await event.forward("out", **common)
            await event.forward(raw, key=b"new", value=None, headers=None, **common)
            await event.send("out", key=None, timestamp=7.0, **common)
            metadata = await (await event.send("out", **common))
            assert metadata.offset == 4

    @app.agent(raw)
    async def hear(stream: Any) -> None:
        async for event in stream.events():
            got.append((event.key, event.value, event.headers, event.message.timestamp))

    async with running(app):
        await source.send(key="k", value=1, headers={"h": b"x"}, timestamp=5.0)
        await eventually(lambda: len(got) == 5)
    headers = {"h": b"x"}
    assert [item[:3] for item in got] == [
        (b'"k"', b"1", headers),
        (b"k", b"1", headers),
        (b"new", None, {}),
        (None, b"1", headers),
        (b"k", b"1", headers),
    ]
    assert got[3][3] == 7.0
    assert got[1][3] > 1e9  # the timestamp is not preserved


# -- 11. back pressure


async def test_buffers_are_bounded(make: Callable[..., faust.App]) -> None:
    """streams.md 11: ``stream_buffer_maxsize`` bounds what waits for a stream."""
    app = make(stream_buffer_maxsize=800)
    topic = app.topic("in", value_type=int)
    gate = asyncio.Event()
    got: list[int] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for number in stream:
            await gate.wait()
            got.append(number)

    async with running(app):
        for number in range(30_000):
            topic.send_soon(value=number, partition=0)
        await app.producer.flush()
        await eventually(lambda: any(task.full for task in app.consumer.tasks.values()))
        await asyncio.sleep(0.2)
        assert sum(lane.queued for t in app.consumer.tasks.values() for lane in t.lanes) < 8000
        gate.set()
        await eventually(lambda: len(got) == 30_000)
    assert got == list(range(30_000))


async def test_sensors_hear_of_every_event(app: faust.App) -> None:
    """streams.md 2.3 and 2.8: the four moments of an event, in order, with the state of the stream's two."""

    class Listener(faust.Sensor):
        heard: list[Any]

        def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
            self.heard.append(("in", tp.topic, offset))

        def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> Any:
            self.heard.append(("stream in", offset, event.value))
            return f"state {offset}"

        def on_stream_event_out(
            self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None
        ) -> None:
            self.heard.append(("stream out", offset, state))

        def on_message_out(self, tp: Any, offset: int, message: Any) -> None:
            self.heard.append(("out", tp.topic, offset))

    sensor = Listener()
    sensor.heard = []
    app.sensors.add(sensor)
    topic = app.topic("in", value_type=int)

    @app.agent(topic)
    async def read(stream: Any) -> None:
        stream.filter(lambda value: value != 1)
        async for _ in stream:
            pass

    async with running(app):
        for number in range(3):
            await topic.send(value=number, partition=0)
        await committed_everything(app)
    assert sensor.heard == [
        moment
        for offset in range(3)
        for moment in (
            ("in", "in", offset),
            ("stream in", offset, offset),
            ("stream out", offset, f"state {offset}"),
            ("out", "in", offset),
        )
    ]


async def test_sensors_hear_of_commits_and_full_buffers(make: Callable[..., faust.App]) -> None:
    """transport.md 12 and 4.3: sensors are told of every commit, and of partitions that a reader cannot keep up with."""

    class Listener(faust.Sensor):
        heard: list[Any]

        def on_commit_initiated(self, consumer: Any) -> Any:
            self.heard.append(consumer)
            return len(self.heard)

        def on_commit_completed(self, consumer: Any, state: Any) -> None:
            self.heard.append(state)

        def on_topic_buffer_full(self, tp: Any) -> None:
            self.heard.append(tp)

    app = make(broker_commit_interval=600.0, stream_wait_empty=False)
    sensor = Listener()
    sensor.heard = []
    app.sensors.add(sensor)
    topic = app.topic("in", value_type=int, maxsize=400)
    gate = asyncio.Event()

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for _ in stream:
            await gate.wait()

    async with running(app):
        for number in range(5000):
            topic.send_soon(value=number, partition=0)
        await eventually(lambda: sensor.heard == [faust.TP("in", 0)])
        await app.commit()
        assert sensor.heard[1:] == [app.consumer, 2]
        gate.set()
