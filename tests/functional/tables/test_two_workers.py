"""Two workers of one app in one process: copies on standby, and the router (recovery-rebalance.md 8, 9)."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

import faust
import faust.testing
from faust.messages import TP
from tests.support.apps import eventually

KEYS = [f"user-{number}" for number in range(60)]


def make(port: int, **settings: Any) -> faust.App:
    """Make one worker that counts orders by user."""
    app = faust.App(
        "pair",
        broker="memory://",
        topic_partitions=4,
        canonical_url=f"http://w{port}:{port}",
        **settings,
    )
    orders = app.topic("pair-orders", key_type=str, value_type=int, internal=True)
    table = app.Table("totals", default=int)
    app.Table("placed", default=int, use_partitioner=True)
    app.GlobalTable("everywhere", default=int, partitions=2)

    @app.agent(orders)
    async def count(stream: Any) -> None:
        async for user, amount in stream.items():
            table[user] += amount

    return app


def totals(app: faust.App) -> Any:
    """Return the table of *app*."""
    return app.tables["totals"]


def copies(app: faust.App) -> set[int]:
    """Return the numbers of the partitions of which *app* keeps copies."""
    held = totals(app).held
    return {number for number in held if held[number].standby}


async def test_every_partition_has_a_copy_on_the_other_worker() -> None:
    """recovery-rebalance.md 9: each worker keeps copies of what the other owns; copies follow, and take over what they have."""
    first, second = make(1001), make(1002)
    async with faust.testing.run(first) as t:
        for number, user in enumerate(KEYS):
            await t.send("pair-orders", number, key=user)
        await t.idle()
        assert copies(first) == set()
        async with t.rebalance(second) as other:
            assert other is not None
            owned = {tp.partition for tp in first.consumer.tasks if tp.topic == "pair-orders"}
            await eventually(lambda: copies(first) == {0, 1, 2, 3} - owned)
            await eventually(lambda: copies(second) == owned)
            assert len(owned) == 2
            for number, user in enumerate(KEYS):
                await t.send("pair-orders", number, key=user)
            await t.idle()
            await other.idle()
            await eventually(lambda: first.tables.standbys_ready and second.tables.standbys_ready)
            mine, theirs = set(totals(first)), set(totals(second))
            assert mine.isdisjoint(theirs)
            assert mine | theirs == set(KEYS)
        await t.idle()
        assert copies(first) == set()
        assert dict(totals(first).items()) == {user: 2 * number for number, user in enumerate(KEYS)}


async def test_without_replicas_there_are_no_copies() -> None:
    """recovery-rebalance.md 1: ``table_standby_replicas=0`` makes none."""
    first, second = (make(port, table_standby_replicas=0) for port in (1001, 1002))
    async with faust.testing.run(first) as t, t.rebalance(second) as other:
        assert other is not None
        await t.idle()
        await other.idle()
        assert copies(first) == copies(second) == set()
        assert len(totals(first).held) == 2


# -- the router


async def test_the_router_names_the_worker_that_has_a_key() -> None:
    """recovery-rebalance.md 8: ``key_store`` is the worker whose table has the key (BUG-9: by the source's bytes)."""
    first, second = make(1001), make(1002)
    async with faust.testing.run(first) as t, t.rebalance(second) as other:
        assert other is not None
        for number, user in enumerate(KEYS):
            await t.send("pair-orders", number, key=user)
        await t.idle()
        await other.idle()
        for app in (first, second):
            for user in KEYS:
                has = first if user in totals(first) else second
                assert app.router.key_store("totals", user) == has.conf.canonical_url
                topic = app.router.topic_key_store("pair-orders", user)
                assert topic == app.router.external_topic_key_store("pair-orders", user)
                assert topic == has.conf.canonical_url
        assert {str(first.router.key_store("totals", user)) for user in KEYS} == {
            "http://w1001:1001",
            "http://w1002:1002",
        }


async def test_a_table_with_a_partitioner_is_found_by_its_own_bytes() -> None:
    """With ``use_partitioner`` the changelog's bytes decide."""
    first, second = make(1001), make(1002)
    async with faust.testing.run(first) as t, t.rebalance(second) as other:
        assert other is not None
        await t.idle()
        for user in KEYS:
            tp = first.producer.key_partition("pair-placed-changelog", b'"%b"' % user.encode())
            owner = first if first.assignor.is_active(tp) else second
            assert second.router.key_store("placed", user) == owner.conf.canonical_url


async def test_a_global_table_is_here() -> None:
    """BUG-R25: every worker has all of a global table, so the answer is the one that asks."""
    first, second = make(1001), make(1002)
    async with faust.testing.run(first) as t, t.rebalance(second):
        assert first.router.key_store("everywhere", "x") == URL("http://w1001:1001")
        assert second.router.key_store("everywhere", "x") == URL("http://w1002:1002")


async def test_the_maps_of_the_router() -> None:
    """recovery-rebalance.md 8: URL -> topic -> partitions, of one table, of all, of other topics; all partitions are there once."""
    first, second = make(1001), make(1002)
    async with faust.testing.run(first) as t, t.rebalance(second) as other:
        assert other is not None
        await t.idle()
        for app in (first, second):
            table = app.router.table_metadata("totals")
            assert table.keys() == {"http://w1001:1001", "http://w1002:1002"}
            assert all(each.keys() == {"pair-totals-changelog"} for each in table.values())
            owned = [n for each in table.values() for n in each["pair-totals-changelog"]]
            assert sorted(owned) == [0, 1, 2, 3]
            everywhere = {"pair-everywhere-changelog": [0, 1]}
            assert app.router.table_metadata("everywhere") == dict.fromkeys(table, everywhere)
            assert "pair-placed-changelog" in app.router.tables_metadata()["http://w1001:1001"]
            assert "pair-everywhere-changelog" in app.router.tables_metadata()["http://w1002:1002"]
            assert "pair-orders" in app.router.external_topics_metadata()["http://w1001:1001"]


async def test_what_the_router_does_not_know() -> None:
    """recovery-rebalance.md 8: `KeyError` for an unknown table, an unowned partition, and before the first assignment."""
    app = make(1001)
    with pytest.raises(KeyError, match="no table 'nothing'"):
        app.router.key_store("nothing", "x")
    with pytest.raises(
        KeyError, match="nobody is known to have partitions of pair-totals-changelog"
    ):
        app.router.key_store("totals", "x")
    async with faust.testing.run(app) as t:
        await t.idle()
        with pytest.raises(KeyError, match="nobody"):
            app.router.topic_key_store("elsewhere", "x")
        with pytest.raises(TypeError, match="must be str or bytes"):
            app.router.topic_key_store("elsewhere", 3)
        assert app.router.key_store("totals", "x") == URL("http://w1001:1001")
        assert TP("pair-totals-changelog", 0) in app.assignor.assigned_actives()


class OwnRouter:
    """A router that knows better."""

    def __init__(self, app: Any) -> None:
        self.app = app


def test_the_class_of_the_router_is_a_setting() -> None:
    """Setting ``Router`` takes a class or its path."""
    app = faust.App("routed", broker="memory://", Router=f"{__name__}:OwnRouter")
    assert type(app.router).__name__ == "OwnRouter"
    assert app.router is app.router
