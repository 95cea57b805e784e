"""streams.md 6: lists of events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import faust
from faust.exceptions import ImproperlyConfigured
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]
TP0 = faust.TP("in", 0)


@pytest.fixture
def app(make: Callable[..., faust.App]) -> faust.App:
    """An app that commits only when the test says so."""
    return make(broker_commit_interval=600.0, stream_wait_empty=False)


async def committed(app: faust.App) -> int:
    """Commit what is finished, and return the committed offset."""
    await app.commit()
    return (await app.consumer.committed([TP0]))[TP0] or 0


def agent_of(app: faust.App, body: Any, **options: Any) -> tuple[Any, list[Any]]:
    """Make an agent on topic ``in`` that runs *body*."""
    topic = app.topic("in", value_type=options.pop("value_type", int))
    got: list[Any] = []

    @app.agent(topic, name="agent", **options)
    async def agent(stream: Any) -> None:
        await body(stream, got)

    return topic, got


async def feed(topic: Any, start: int, end: int) -> None:
    """Send numbers to partition 0."""
    for number in range(start, end):
        await topic.send(value=number, partition=0)


async def test_full_lists(app: faust.App) -> None:
    """streams.md 6: without `within` a list is handed out when it is full, never larger; the rest waits, unacknowledged."""

    async def body(stream: Any, got: list[Any]) -> None:
        async for values in stream.take(3):
            got.append(values)

    topic, got = agent_of(app, body)
    async with running(app):
        await feed(topic, 0, 8)
        await eventually(lambda: len(got) == 2)
        await asyncio.sleep(0.1)
        assert got == [[0, 1, 2], [3, 4, 5]]
        assert await committed(app) == 6
        await feed(topic, 8, 9)
        await eventually(lambda: len(got) == 3)
    assert got[2] == [6, 7, 8]


@pytest.mark.parametrize("within", [0.2, timedelta(seconds=0.2)])
async def test_partial_lists_after_a_while(app: faust.App, within: Any) -> None:
    """streams.md 6: with `within` what is there is handed out in time, and never an empty list."""

    async def body(stream: Any, got: list[Any]) -> None:
        async for values in stream.take(100, within=within):
            got.append(values)

    topic, got = agent_of(app, body)
    async with running(app):
        await asyncio.sleep(0.5)
        assert got == []
        await feed(topic, 0, 3)
        await eventually(lambda: sum(map(len, got)) == 3)
        assert await committed(app) in {2, 3}
    assert [number for values in got for number in values] == [0, 1, 2]


async def test_take_gives_processed_values(app: faust.App) -> None:
    """streams.md 6: `take` yields processed values, `take_events` events with the original ones; filters apply."""

    async def body(stream: Any, got: list[Any]) -> None:
        stream.filter(lambda value: value != 1)
        stream.add_processor(lambda value: value * 10)
        async for values in stream.take(2):
            got.append(values)
            break
        async for events in stream.take_events(2):
            got.append([(event.value, event.message.offset) for event in events])

    topic, got = agent_of(app, body)
    async with running(app):
        await feed(topic, 0, 5)
        await eventually(lambda: len(got) == 2)
    assert got == [[0, 20], [(3, 3), (4, 4)]]


async def test_take_with_timestamp(app: faust.App) -> None:
    """streams.md 6: the message's timestamp goes into values that are dicts, in place; other values stay what they are."""

    async def body(stream: Any, got: list[Any]) -> None:
        async for values in stream.take_with_timestamp(2, 5.0, "at"):
            got.extend(values)

    topic, got = agent_of(app, body, value_type=None)
    async with running(app):
        await topic.send(value={"a": 1}, partition=0, timestamp=12.5)
        await topic.send(value=3, partition=0, timestamp=13.5)
        await eventually(lambda: len(got) == 2)
    assert got == [{"a": 1, "at": 12.5}, 3]


async def test_noack_take_acknowledges_nothing(app: faust.App) -> None:
    """streams.md 6: `noack_take` yields events that are acknowledged one by one; afterwards acks are as they were."""

    async def body(stream: Any, got: list[Any]) -> None:
        async for events in stream.noack_take(4):
            got.append(events)
            if len(got) == 2:
                break
        async for value in stream:
            got.append(value)
            got.append(stream.enable_acks)

    topic, got = agent_of(app, body)
    async with running(app):
        await feed(topic, 0, 10)
        await eventually(lambda: len(got) == 6)
        assert [len(events) for events in got[:2]] == [4, 4]
        assert got[2:] == [8, True, 9, True]
        assert await committed(app) == 0
        for event in got[0]:
            assert event.ack()
        assert await committed(app) == 4
        for event in reversed(got[1]):
            event.ack()
        assert await committed(app) == 10


async def test_a_list_is_acknowledged_when_the_next_is_asked_for(app: faust.App) -> None:
    """streams.md 6: all events of a list at once, when the loop moves on; `break` acknowledges, too."""
    gate = asyncio.Event()

    async def body(stream: Any, got: list[Any]) -> None:
        async for values in stream.take(2):
            got.append(values)
            if len(got) == 2:
                await gate.wait()
                break
        async for values in stream.take(2):
            got.append(values)

    topic, got = agent_of(app, body)
    async with running(app):
        await feed(topic, 0, 6)
        await eventually(lambda: len(got) == 2)
        assert await committed(app) == 2
        gate.set()
        await eventually(lambda: got == [[0, 1], [2, 3], [4, 5]])
        await committed_everything(app)


async def test_the_current_event_in_a_list_loop(app: faust.App) -> None:
    """streams.md 6: inside the body there is no current event: no partition is guessed."""

    async def body(stream: Any, got: list[Any]) -> None:
        async for _ in stream.take(2):
            got.append((faust.current_event(), stream.current_event))

    topic, got = agent_of(app, body)
    async with running(app):
        await feed(topic, 0, 2)
        await eventually(lambda: len(got) == 1)
    assert got == [(None, None)]


async def test_a_failed_list_comes_again_one_by_one(
    app: faust.App, caplog: pytest.LogCaptureFixture
) -> None:
    """streams.md 6 (deviation, pain-points row 19): only the event that cannot be processed is passed over."""

    async def body(stream: Any, got: list[Any]) -> None:
        async for values in stream.take(5, within=5):
            got.append(values)
            if 2 in values:
                raise ValueError("two")

    topic, got = agent_of(app, body)
    async with running(app):
        await feed(topic, 0, 10)
        await eventually(lambda: len(got) == 7)
        await committed_everything(app)
    assert got == [[0, 1, 2, 3, 4], [0], [1], [2], [3], [4], [5, 6, 7, 8, 9]]
    errors = [record.message for record in caplog.records if "agent raised" in record.message]
    assert ["in[0] offset 0" in message for message in errors] == [True, False]
    assert "in[0] offset 2" in errors[1]


async def test_what_was_not_handed_out_stays(app: faust.App) -> None:
    """streams.md 6: a generator that is left stops its drain; what it had collected comes to the next loop, in order."""

    async def body(stream: Any, got: list[Any]) -> None:
        lists = stream.take(3)
        got.append(await anext(lists))
        pending = asyncio.ensure_future(anext(lists))
        await asyncio.sleep(0.1)
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
        await lists.aclose()
        got.append(await committed(app))
        async for value in stream:
            got.append(value)

    topic, got = agent_of(app, body)
    async with running(app):
        await feed(topic, 0, 5)
        await eventually(lambda: len(got) == 4)
        await committed_everything(app)
    assert got == [[0, 1, 2], 3, 3, 4]


async def test_a_stopped_stream_gives_what_it_has(app: faust.App) -> None:
    """streams.md 6: when the stream stops, a partial list is handed out once, and the loop ends."""

    async def body(stream: Any, got: list[Any]) -> None:
        got.append(stream)
        async for values in stream.take(100):
            got.append(values)
        got.append("end")

    topic, got = agent_of(app, body)
    async with running(app):
        await feed(topic, 0, 3)
        await eventually(lambda: app.consumer.tasks[TP0].delivered == 3)
        await asyncio.sleep(0.05)
        await got[0].stop()
        await eventually(lambda: got[1:] == [[0, 1, 2], "end"])


async def test_take_says_what_it_cannot_do(app: faust.App) -> None:
    """streams.md 6: on a plain iterable `take` raises an error that says so; `max_` must be positive."""
    with pytest.raises(ImproperlyConfigured, match="events"):
        await anext(app.stream([1]).take(2))
    with pytest.raises(ValueError, match="max_"):
        await anext(app.stream(app.channel()).take(0))


async def test_take_over_several_actors_and_partitions(broker_url: str, topic_name: Name) -> None:
    """streams.md 6: with concurrency and partitions every event is in exactly one list, and all is committed."""
    app = make_app(broker_url, topic_name("app"))
    topic = app.topic(topic_name("in"), value_type=int)
    got: list[list[int]] = []

    @app.agent(topic, concurrency=3)
    async def read(stream: Any) -> None:
        async for values in stream.take(7, within=0.2):
            got.append(values)
            await asyncio.sleep(0.001)

    async with running(app):
        for number in range(300):
            await topic.send(value=number, partition=number % 4)
        await eventually(lambda: sum(map(len, got)) == 300)
        await committed_everything(app)
    assert sorted(number for values in got for number in values) == list(range(300))
    assert all(1 <= len(values) <= 7 for values in got)


async def test_take_survives_errors_anywhere(app: faust.App) -> None:
    """streams.md 6: a failing processor or decoder in the middle of a list costs one event; the others keep their order."""

    def process(value: int) -> int:
        if value == 4:
            raise KeyError("four")
        return value

    async def body(stream: Any, got: list[Any]) -> None:
        stream.add_processor(process)
        async for values in stream.take(5, within=0.3):
            got.extend(values)

    topic, got = agent_of(app, body)
    raw = app.topic("in", value_serializer="raw")
    async with running(app):
        await feed(topic, 0, 7)
        await raw.send(value=b"{bad", partition=0)
        await feed(topic, 7, 10)
        await eventually(lambda: len(got) == 9)
        await committed_everything(app)
    assert got == [0, 1, 2, 3, 5, 6, 7, 8, 9]
