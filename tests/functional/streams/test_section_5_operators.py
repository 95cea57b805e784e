"""streams.md 5: operators on single elements, and forms of iteration."""

from __future__ import annotations

from typing import Any

import pytest

import faust
from tests.support.apps import eventually, running


async def results(app: faust.App, body: Any, values: list[Any], count: int) -> list[Any]:
    """Run an agent whose body appends to a list, feed it, and return the list."""
    topic = app.topic("in", key_type=str, value_type=int)
    got: list[Any] = []

    @app.agent(topic, name="agent")
    async def agent(stream: Any) -> None:
        await body(stream, got)

    async with running(app):
        for value in values:
            await topic.send(key=f"k{value}", value=value, partition=0, headers={"n": str(value)})
        await eventually(lambda: len(got) >= count)
    return got


async def test_items_give_keys_and_original_values(app: faust.App) -> None:
    """streams.md 5: `items` yields key and original value; filters apply, results of processors do not show."""

    async def body(stream: Any, got: list[Any]) -> None:
        stream.filter(lambda value: value != 2)
        stream.add_processor(lambda value: value * 10)
        async for item in stream.items():
            got.append(item)

    assert await results(app, body, [1, 2, 3], 2) == [("k1", 1), ("k3", 3)]


async def test_events_give_original_values(app: faust.App) -> None:
    """streams.md 5: `events` yields events with key, original value, headers and message."""

    async def body(stream: Any, got: list[Any]) -> None:
        stream.add_processor(lambda value: value * 10)
        async for event in stream.events():
            got.append((event.key, event.value, event.headers, event.message.offset))

    got = await results(app, body, [1, 2], 2)
    assert got == [("k1", 1, {"n": b"1"}, 0), ("k2", 2, {"n": b"2"}, 1)]


async def test_plain_iterables_have_no_events(app: faust.App) -> None:
    """streams.md 5: `events` over a plain iterable yields nothing, and ends."""
    assert [event async for event in app.stream([1, 2]).events()] == []
    assert [item async for item in app.stream([1, 2]).items()] == [(None, 1), (None, 2)]


async def test_enumerate_counts_processed_values(app: faust.App) -> None:
    """streams.md 5: `enumerate` yields numbers and processed values."""
    stream: Any = app.stream([1, 2, 3]).filter(lambda value: value != 2)
    stream.add_processor(str)
    assert [pair async for pair in stream.enumerate(5)] == [(5, "1"), (6, "3")]


async def test_filter_changes_the_stream(app: faust.App) -> None:
    """streams.md 5: `filter` returns the same stream; sync and async functions; what is falsy is dropped."""

    async def small(value: int) -> bool:
        return value < 5

    stream = app.stream(range(10))
    assert stream.filter(small).filter(lambda value: value % 2) is stream
    assert [value async for value in stream] == [1, 3]


async def test_echo_sends_values_to_channels_and_topics(
    app: faust.App, caplog: pytest.LogCaptureFixture
) -> None:
    """streams.md 5: `echo` sends each value, without key, to every channel; a send that fails does not stop the value."""
    copies = app.topic("copies", value_type=int)
    heard: list[Any] = []

    class Broken:
        async def send(self, **_options: Any) -> None:
            raise ConnectionError("gone")

    @app.agent(copies, name="listener")
    async def listener(stream: Any) -> None:
        async for event in stream.events():
            heard.append((event.key, event.value))

    @app.agent(app.topic("named", value_type=int), name="other")
    async def other(stream: Any) -> None:
        async for value in stream:
            heard.append(value)

    async def body(stream: Any, got: list[Any]) -> None:
        assert stream.echo(copies, "named", Broken()) is stream
        async for value in stream:
            got.append(value)

    assert await results(app, body, [7], 1) == [7]
    assert sorted(map(str, heard)) == ["(None, 7)", "7"]
    assert any("gone" in record.message for record in caplog.records)


async def test_throw_raises_in_the_reader(app: faust.App) -> None:
    """streams.md 5: `throw` raises in whoever iterates, between two events."""
    stream = app.stream(app.channel())
    for number in range(3):
        stream.channel.put_nowait(number)
    got = []
    with pytest.raises(KeyError):
        async for value in stream:
            got.append(value)
            if value == 1:
                await stream.throw(KeyError())
    assert got == [0, 1]
    async for value in stream:
        got.append(value)
        break
    assert got == [0, 1, 2]


def test_derive_topic(app: faust.App) -> None:
    """streams.md 5: `derive_topic` gives a topic like the stream's, under another name; ValueError without a topic."""
    stream = app.topic("orders", value_type=int, key_serializer="json").stream()
    derived = stream.derive_topic("name", prefix="p-", suffix="-s")
    assert derived.topics == ("p-name-s",)
    assert (derived.value_type, derived.key_serializer) == (int, "json")
    assert stream.derive_topic("x", value_type=str).value_type is str
    with pytest.raises(ValueError, match="topic"):
        app.stream([1]).derive_topic("x")
    with pytest.raises(ValueError, match="topic"):
        app.stream(app.channel()).derive_topic("x")


@pytest.mark.parametrize(
    "name", ["map", "rate_limit", "throttle", "tee", "contains", "window", "prefetch"]
)
def test_operators_that_do_not_exist(app: faust.App, name: str) -> None:
    """streams.md 5: there is no such operator."""
    assert not hasattr(app.stream([]), name)


async def test_leaving_a_form_of_iteration_leaves_the_stream(app: faust.App) -> None:
    """streams.md 1, 5: ``break`` out of `items`, `events` or `enumerate` lets the next loop go on with the next event."""
    stream = app.stream(app.channel())
    for number in range(4):
        await stream.channel.put(await _event(app, number))
    got: list[Any] = []
    async for _, value in stream.items():  # noqa: PERF102 - a stream is no dict
        got.append(value)
        break
    async for event in stream.events():
        got.append(event.value)
        break
    async for _, value in stream.enumerate():
        got.append(value)
        break
    async for value in stream:
        got.append(value)
        break
    assert got == [0, 1, 2, 3]


async def _event(app: faust.App, value: int) -> Any:
    channel = app.channel()
    iterator: Any = aiter(channel)
    await channel.send(value=value)
    return await iterator.get()
