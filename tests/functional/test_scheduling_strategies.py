"""Settings ``ConsumerScheduler``, ``broker_max_poll_records`` and the versions of the protocol, through the front door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import faust
from faust.exceptions import ImproperlyConfigured
from faust.messages import TP, Slice
from faust.transport.utils import Arrangement, DefaultSchedulingStrategy
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


class UrgentFirst(DefaultSchedulingStrategy):
    """Everything of partition 1 before everything else."""

    def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, Any]]:
        """Yield partition 1 first, then the others by turns."""
        for tp in [tp for tp in records if tp.partition == 1]:
            for record in records[tp]:
                yield tp, record
        yield from super().iterate({tp: rs for tp, rs in records.items() if tp.partition != 1})


class Forgetful(DefaultSchedulingStrategy):
    """Loses the first record."""

    def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, Any]]:
        """Yield all but one."""
        pairs = super().iterate(records)
        next(pairs, None)
        yield from pairs


async def test_a_strategy_decides_who_is_next(topic_name: Name) -> None:
    """transport.md 4.1: a stream gets the records of a poll in the order of the strategy; all are committed."""
    broker, name = f"memory://{topic_name('broker')}", topic_name("app")
    seen: list[tuple[int, int]] = []

    def declare(**options: Any) -> tuple[faust.App, Any]:
        app = make_app(broker, name, **options)
        topic = app.topic(f"{name}-jobs", internal=True, partitions=3, value_type=int)
        return app, topic

    writer, topic = declare()
    async with running(writer):
        await topic.declare()
        for number in range(10):
            for partition in range(3):
                await (await topic.send(value=number, partition=partition))

    app, topic = declare(ConsumerScheduler=UrgentFirst)

    @app.agent(topic, name="worker")
    async def work(jobs: faust.Stream[int]) -> None:
        async for event in jobs.events():
            seen.append((event.message.partition, event.value))

    async with running(app):
        await eventually(lambda: len(seen) == 30)
        await committed_everything(app)
    assert seen[:10] == [(1, number) for number in range(10)]
    assert seen[10:14] == [(0, 0), (2, 0), (0, 1), (2, 1)] or seen[10:14] == [
        (2, 0),
        (0, 0),
        (2, 1),
        (0, 1),
    ]


async def test_a_strategy_that_loses_records_stops_the_worker(topic_name: Name) -> None:
    """transport.md 4.1: the error names the class and the record; nothing is committed past what was lost."""
    app = make_app(
        f"memory://{topic_name('broker')}", topic_name("app"), ConsumerScheduler=Forgetful
    )
    topic = app.topic("jobs", internal=True, partitions=1, value_type=int)

    @app.agent(topic)
    async def work(jobs: faust.Stream[int]) -> None:
        async for _ in jobs:
            pass

    await app.start()
    await topic.send(value=1)
    await eventually(lambda: app.crashed)
    assert isinstance(app.crash_reason, ImproperlyConfigured)
    assert "Forgetful.iterate" in str(app.crash_reason)
    await app.stop()


class Stored:
    """A record of a test."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


def test_slices_are_cut_where_the_partition_changes() -> None:
    """transport.md 4.1: an arrangement keeps offsets and ends of slices; empty slices move a partition on."""
    a, b = TP("a", 0), TP("b", 0)
    slices: list[Any] = [
        Slice(a, 1, [Stored(3), Stored(7)], 9),  # type: ignore[list-item]
        Slice(b, 1, [Stored(0)], 1),  # type: ignore[list-item]
        Slice(b, 1, [], 5),
        Slice(a, 1, [], 4),  # an old one: behind what is delivered
    ]
    arranged = Arrangement(DefaultSchedulingStrategy())(slices)
    assert [(s.tp, [r.offset for r in s.records], s.next_offset) for s in arranged] == [
        (a, [3], 4),
        (b, [0], 1),
        (a, [7], 9),
        (b, [], 5),
    ]


async def test_a_limit_of_records_per_poll(topic_name: Name) -> None:
    """settings.md 8: with ``broker_max_poll_records`` others have a turn between every so many records."""
    app = make_app(f"memory://{topic_name('broker')}", topic_name("app"), broker_max_poll_records=5)
    topic = app.topic("numbers", internal=True, partitions=1, value_type=int)
    seen: list[int] = []

    @app.agent(topic)
    async def read(numbers: faust.Stream[int]) -> None:
        async for number in numbers:
            seen.append(number)

    async with running(app):
        delivered: list[int] = []
        deliver = app.consumer._deliver

        def watch(batch: Slice) -> None:
            delivered.append(len(batch.records))
            deliver(batch)

        app.consumer._deliver = watch  # type: ignore[method-assign]  # listens, and passes on
        for number in range(60):
            topic.send_soon(value=number)
        await eventually(lambda: seen == list(range(60)))
        await committed_everything(app)
    assert max(delivered) <= 5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"trace": b"1"}),
        ({"broker_api_version": "0.11"}, {"trace": b"1"}),
        ({"broker_api_version": "0.10"}, {}),
        ({"producer_api_version": "0.10.2"}, {}),
        ({"consumer_api_version": "0.9"}, {}),
    ],
    ids=str,
)
async def test_old_protocols_have_no_headers(
    topic_name: Name, options: dict[str, Any], expected: dict[str, bytes]
) -> None:
    """settings.md 8: below 0.11 a producer sends no headers, and a consumer shows none; asking works all the same."""
    app = make_app(f"memory://{topic_name('broker')}", topic_name("app"), **options)
    topic = app.topic("numbers", internal=True, partitions=1, value_type=int)
    seen: list[Any] = []

    @app.agent(topic)
    async def read(numbers: faust.Stream[int]) -> None:
        async for event in numbers.events():
            seen.append((event.value, event.headers))

    @app.agent(app.topic("questions", internal=True, partitions=1))
    async def double(numbers: faust.Stream[int]) -> Any:
        async for number in numbers:
            yield number * 2

    async with running(app):
        await topic.send(value=1, headers={"trace": b"1"})
        await eventually(lambda: seen == [(1, expected)])
        assert await asyncio.wait_for(double.ask(21), 20) == 42
