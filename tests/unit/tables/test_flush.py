"""The flush: what is sent, when, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.changelogs import App, World, assign, event_of

from faust._core.lanes import PartitionTask
from faust.exceptions import ProducerSendError, RecordTooLarge
from faust.messages import TP
from faust.tables.manager import TableManager
from faust.tables.table import Table

ALL = [
    *(TP("orders", number) for number in range(4)),
    *(TP("shop-totals-changelog", number) for number in range(4)),
]
HERE, LOG = ALL[1], ALL[5]


@pytest.fixture(params=["memory://", "rocksdb://"])
def store(request: pytest.FixtureRequest) -> str:
    """Every test of this module holds for every store (pain row 36)."""
    url: str = request.param
    return url


async def ready(app: App, **options: Any) -> Table[Any, Any]:
    """Declare the table totals, and hold everything."""
    table = app.Table("totals", **options)
    await assign(app, *ALL)
    return table


async def soon(condition: Any) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_each_changed_key_is_sent_once(app: App, world: World) -> None:
    """Ten writes to a key between two flushes are one record, with the last value, in its partition."""
    totals = await ready(app, default=int)
    for number, tp in enumerate(ALL[:4]):
        with event_of(world.tasks[tp]):
            for _ in range(10):
                totals["x"] += number
            totals["once"] = True
    await app.tables.flush()
    for number, tp in enumerate(ALL[4:]):
        assert [(entry.key, entry.value) for entry in world.log(tp).entries] == [
            (b'"x"', b"%d" % (10 * number)),
            (b'"once"', b"true"),
        ]
    assert app.producer_driver.flushes == 1
    await app.tables.flush()
    assert app.producer_driver.flushes == 1


async def test_nothing_is_sent_of_partitions_that_are_lost(app: App, world: World) -> None:
    """From the moment partitions are lost no flush writes to them, also while the recovery of others is being stopped."""
    totals = app.Table("totals")
    long = world.log(TP(LOG.topic, 2))
    for number in range(20_000):
        long.append(b'"old"', b"%d" % number)
    ready: list[frozenset[TP]] = []
    await app.consumer.start()
    generation = app.consumer_driver.give(ALL)
    recovery = asyncio.create_task(app.tables.recover(frozenset(ALL), generation, ready.append))
    await soon(lambda: any(HERE in sources for sources in ready))
    with event_of(PartitionTask(HERE, generation)):
        totals["lost"] = 1
    flush = asyncio.create_task(app.tables.flush())
    assert not recovery.done()
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=True)
    await flush
    await app.producer_driver.flush()
    assert recovery.done()
    assert not world.log(LOG).entries


async def test_nothing_is_sent_while_the_membership_is_uncertain(app: App, world: World) -> None:
    """C17: a worker whose lease has run out sends nothing to changelogs; it goes on when the membership is confirmed."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals["a"] = 1
    app.consumer_driver.lease = 0.0
    await app.tables.flush()
    assert world.log(LOG).entries == []
    with event_of(world.tasks[HERE]):
        totals["b"] = 2
    app.consumer_driver.lease = float("inf")
    await app.tables.flush()
    assert world.log(LOG).contents() == {b'"a"': b"1", b'"b"': b"2"}


async def test_the_store_reaches_the_acknowledged_offset(app: App, world: World) -> None:
    """The persisted offset is the next one after the last record, and not before the broker has answered."""
    totals = await ready(app)
    app.producer_driver.gate.clear()
    with event_of(world.tasks[HERE]):
        totals.update(a=1, b=2)
    flush = asyncio.create_task(app.tables.flush())
    await asyncio.sleep(0.01)
    assert totals.persisted_offset(LOG) == 0
    app.producer_driver.gate.set()
    await flush
    assert totals.persisted_offset(LOG) == 2


async def test_a_key_changed_during_a_flush_is_sent_again(app: App, world: World) -> None:
    """A write, and a deletion, while the broker is waited for belong to the next flush."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals.update(a=1, b=1, c=1)
        app.producer_driver.gate.clear()
        flush = asyncio.create_task(app.tables.flush())
        await asyncio.sleep(0.01)
        totals["a"] = 2
        del totals["b"]
        assert "b" not in totals
        assert totals.copy() == {"a": 2, "c": 1}
        app.producer_driver.gate.set()
        await flush
        assert totals.copy() == {"a": 2, "c": 1}
        assert world.log(LOG).contents() == {b'"a"': b"1", b'"b"': b"1", b'"c"': b"1"}
    await app.tables.flush()
    assert world.log(LOG).contents() == {b'"a"': b"2", b'"c"': b"1"}


async def test_a_key_deleted_before_it_was_recovered_from_stays_deleted(
    world: World, app: App
) -> None:
    """A deletion that is on its way hides what recovery has read."""
    world.log(LOG).append(b'"a"', b"1")
    totals = await ready(app, default=int)
    app.producer_driver.gate.clear()
    with event_of(world.tasks[HERE]):
        del totals["a"]
        assert totals["a"] == 0
        flush = asyncio.create_task(app.tables.flush())
        await asyncio.sleep(0.01)
        assert totals["a"] == 0
        assert list(totals) == []
        assert len(totals) == 0
        with pytest.raises(KeyError):
            del totals["a"]
        app.producer_driver.gate.set()
        await flush
        assert list(totals) == []
    assert world.log(LOG).contents() == {}


async def test_a_failed_send_surfaces_and_loses_nothing(app: App, world: World) -> None:
    """The flush raises, so that nothing is committed; the keys stay changed and the next flush sends them."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals.update(a=1, b=2)
        app.producer_driver.failure = ProducerSendError("refused")
        with pytest.raises(ProducerSendError, match="refused"):
            await app.tables.flush()
        totals["a"] = 3
    assert totals.persisted_offset(LOG) == 0
    await app.tables.flush()
    assert world.log(LOG).contents() == {b'"a"': b"3", b'"b"': b"2"}


async def test_a_value_that_cannot_be_encoded_stops_the_flush(app: App, world: World) -> None:
    """What only the flush can find names table and key; keys of other partitions are not lost by it."""
    totals = await ready(app, aliasing=True)
    with event_of(world.tasks[ALL[0]]):
        totals["fine"] = 1
    with event_of(world.tasks[HERE]):
        totals["odd"] = odd = [1]
        odd.append(object())  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(TypeError, match=r"'totals'.*'odd'.*cannot be encoded"):
            await app.tables.flush()
    with event_of(world.tasks[HERE]):
        totals["odd"] = 2
    await app.tables.flush()
    assert world.log(ALL[4]).contents() == {b'"fine"': b"1"}
    assert world.log(LOG).contents() == {b'"odd"': b"2"}


async def test_a_record_that_is_too_large_stops_the_flush(app: App, world: World) -> None:
    """What the producer refuses at once is raised, and the keys stay changed."""
    totals = await ready(app)
    app.producer_driver.too_large = 10
    with event_of(world.tasks[HERE]):
        totals["x"] = "x" * 100
    with pytest.raises(RecordTooLarge):
        await app.tables.flush()
    assert list(totals.held[1].dirty) == ["x"]


async def test_a_cancelled_flush_loses_nothing(app: App, world: World) -> None:
    """Keys of a flush that was cancelled are sent by the next one."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals["x"] = 1
    app.producer_driver.gate.clear()
    flush = asyncio.create_task(app.tables.flush())
    await asyncio.sleep(0.01)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    app.producer_driver.gate.set()
    await app.tables.flush()
    assert world.log(LOG).contents() == {b'"x"': b"1"}
    assert totals.held[1].dirty == {}


async def test_a_partition_lost_during_a_flush_is_left_alone(app: App, world: World) -> None:
    """When the broker answers after the partition was lost its closed store is not touched, and nothing fails."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals["x"] = 1
    store = totals.held[1].store
    app.producer_driver.gate.clear()
    flush = asyncio.create_task(app.tables.flush())
    await asyncio.sleep(0.01)
    await app.tables.on_partitions_revoked(frozenset(ALL), lost=True)
    app.producer_driver.gate.set()
    await flush
    assert store.persisted_offset in (None, 0)


async def test_nothing_is_sent_between_two_assignments(app: App, world: World) -> None:
    """What a revoke could not flush belongs to events that will come again; a later flush does not send it."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals["x"] = 1
    app.producer_driver.failure = ProducerSendError("refused")
    with pytest.raises(ProducerSendError):
        await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
    await app.tables.flush()
    assert world.log(LOG).entries == []


async def test_a_long_flush_lets_others_run(app: App, world: World) -> None:
    """Encoding thousands of keys is broken up: another coroutine gets its turn meanwhile."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals.update((number, number) for number in range(5000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    await app.tables.flush()
    counter.cancel()
    assert turns >= 5
    assert len(world.log(LOG).entries) == 5000


async def test_what_lingers_is_flushed_in_the_background(app: App, world: World) -> None:
    """Without any commit a change reaches the changelog after a moment."""
    app.tables.linger = 0.02
    totals = await ready(app)
    await app.tables.start()
    with event_of(world.tasks[HERE]):
        totals["x"] = 1
    await soon(lambda: world.log(LOG).entries)
    await app.tables.stop()


async def test_many_changed_keys_are_flushed_at_once(world: World, app: App) -> None:
    """A partition with as many changed keys as allowed does not wait for the linger."""
    app.tables = TableManager(app, linger=1000.0, max_dirty=50)  # type: ignore[arg-type]
    totals = await ready(app)
    await app.tables.start()
    with event_of(world.tasks[HERE]):
        totals.update((number, number) for number in range(49))
        await asyncio.sleep(0.02)
        assert not world.log(LOG).entries
        totals["last"] = 1
    await soon(lambda: len(world.log(LOG).entries) == 50)
    await app.tables.stop()


async def test_a_failure_in_the_background_reaches_the_commit(app: App, world: World) -> None:
    """The manager crashes, and whoever flushes for a commit later gets the error."""
    app.tables.linger = 0.01
    totals = await ready(app)
    await app.tables.start()
    app.producer_driver.failure = ProducerSendError("refused")
    with event_of(world.tasks[HERE]):
        totals["x"] = 1
    await soon(lambda: app.tables.crashed)
    with pytest.raises(ProducerSendError, match="refused"):
        await app.tables.flush()
    await app.tables.stop()
