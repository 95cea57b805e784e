"""The table manager: names, changelog topics, partition counts."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.support.changelogs import App, World, assign, event_of, worker

from faust.exceptions import ImproperlyConfigured
from faust.messages import TP
from faust.tables.table import Table


class Source:
    """As much of a topic as the manager asks for."""

    def __init__(self, *topics: str, partitions: int | None = None, acks: bool = True) -> None:
        self.topics = topics
        self.partitions = partitions
        self.acks = acks


def test_tables_by_name(world: World) -> None:
    """The manager is a mapping of the tables, and knows their changelogs."""
    app = world.app()
    totals, names = app.Table("totals"), app.Table("names")
    assert dict(app.tables) == {"totals": totals, "names": names}
    assert app.tables.changelog_topics == {"shop-totals-changelog", "shop-names-changelog"}
    assert app.tables
    assert {app.tables: 1}[app.tables] == 1


def test_a_name_is_unique(world: World) -> None:
    """A second table of the same name is refused."""
    app = world.app()
    app.Table("totals")
    with pytest.raises(ValueError, match="'totals' already"):
        app.Table("totals")


async def test_it_is_too_late_once_the_worker_runs(app: App) -> None:
    """Tables are declared before the start."""
    await app.tables.start()
    with pytest.raises(RuntimeError, match=r"'late'.*too late"):
        app.Table("late")
    await app.tables.stop()


async def test_a_changelog_is_created_compacted(world: World, app: App) -> None:
    """Name, count, replication and policy are those of the table and the settings; extra options win."""
    app.Table(
        "names",
        partitions=6,
        extra_topic_configs={"cleanup.policy": "compact,delete", "retention.ms": 5},
    )
    await app.tables.declare()
    spec = world.specs["shop-names-changelog"]
    assert (spec.partitions, spec.replication) == (6, 1)
    assert spec.config == {"cleanup.policy": "compact,delete", "retention.ms": "5"}
    await app.tables.declare()


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([], 8),
        ([Source("orders")], 4),
        ([Source("orders"), Source("new", partitions=4), Source("replies", acks=False)], 4),
        ([Source("orders"), Source("five")], 8),
        ([Source("unknown")], 8),
        ([Source()], 8),
    ],
)
async def test_a_changelog_has_as_many_partitions_as_the_sources(
    world: World, app: App, sources: list[Any], expected: int
) -> None:
    """Without partitions= the count is that of the topics that agents read, if they agree; else the setting's."""
    world.make("five", 5)
    world.make("replies", 1)
    app.topics = sources
    app.Table("names")
    await app.tables.declare()
    assert world.specs["shop-names-changelog"].partitions == expected


async def test_a_source_that_the_broker_creates_is_created_first(world: World, app: App) -> None:
    """Where the broker makes topics when they are asked for, the changelog gets the count it chose."""
    app.producer_driver.auto_create = 6
    app.topics = [Source("first-seen")]
    app.Table("names")
    await app.tables.declare()
    assert world.specs["shop-names-changelog"].partitions == 6


async def test_a_changelog_that_is_there_is_left_as_it_is(
    world: World, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """An existing topic decides; what differs from the declaration is said."""
    app.topics = [Source("orders")]
    world.make("shop-names-changelog", 3)
    app.Table("names")
    await app.tables.declare()
    assert app.tables.counts["shop-names-changelog"] == 3
    assert not caplog.records
    other = world.app()
    other.Table("names", partitions=4)
    await other.tables.declare()
    assert "'names'" in caplog.text
    assert "partitions: wanted 4, has 3" in caplog.text


async def test_a_changelog_that_may_not_be_created(world: World) -> None:
    """With topic_allow_declare off a missing topic is an error that says what to create; one that is there is used."""
    async with worker(world, topic_allow_declare=False) as app:
        app.Table("totals")
        await app.tables.declare()
    async with worker(world, topic_allow_declare=False) as app:
        app.Table("names", partitions=3)
        with pytest.raises(
            ImproperlyConfigured, match=r"'names'.*shop-names-changelog.*compact and 3 partitions"
        ):
            await app.tables.declare()


async def test_a_topic_of_ones_own(world: World) -> None:
    """With changelog_topic= its name is the only one: it is declared, recovered from and written to."""

    class Topic:
        acks = False
        declared = 0

        def get_topic_name(self) -> str:
            return "my-log"

        async def declare(self) -> None:
            Topic.declared += 1
            world.make("my-log", 4)

    async with worker(world) as app:
        totals = app.Table("totals", changelog_topic=Topic())
        await app.tables.declare()
        assert app.tables.changelog_topics == {"my-log"}
        await assign(app, TP("orders", 0), TP("my-log", 0))
        with event_of(world.tasks[TP("orders", 0)]):
            totals["x"] = 1
        await app.tables.flush()
    assert Topic.declared == 1
    assert world.log(TP("my-log", 0)).contents() == {b'"x"': b"1"}
    assert world.log(TP("shop-totals-changelog", 0)).contents() == {}


async def test_two_tables_cannot_share_a_changelog(app: App) -> None:
    """The error names both tables and the topic."""

    class Topic:
        def get_topic_name(self) -> str:
            return "shop-totals-changelog"

    app.Table("totals")
    app.Table("names", changelog_topic=Topic())
    with pytest.raises(ImproperlyConfigured, match=r"'totals' and 'names'.*shop-totals-changelog"):
        await app.tables.declare()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"store": "aerospike://"}, "aerospike"),
        ({"store": "paper://"}, "known are memory://"),
        ({"options": {"write_buffer_size": 1}}, r"write_buffer_size"),
    ],
)
async def test_a_store_that_cannot_be_had(
    world: World, app: App, options: dict[str, Any], part: str
) -> None:
    """An unknown driver, or an option it does not know, is an error before any topic is created."""
    app.Table("names", **options)
    with pytest.raises(ImproperlyConfigured, match=part):
        await app.tables.declare()
    assert world.specs == {}


async def test_a_topic_that_grew_is_noticed_at_the_next_assignment(world: World, app: App) -> None:
    """Counts are asked for at every assignment, so a repartitioned source is refused, not mixed up."""
    from tests.support.changelogs import Log

    from faust.exceptions import PartitionsMismatch

    totals = app.Table("totals", default=int)
    held = [TP("orders", 0), TP("shop-totals-changelog", 0)]
    await assign(app, *held)
    with event_of(world.tasks[held[0]]):
        totals["x"] += 1
    world.logs[TP("orders", 4)] = Log()
    await app.tables.on_partitions_revoked(frozenset(held), lost=False)
    await assign(app, *held)
    with event_of(world.tasks[held[0]]), pytest.raises(PartitionsMismatch):
        totals["x"] += 1


async def test_stopping_closes_the_stores(world: World, app: App) -> None:
    """A stopped manager holds nothing any more, and its state cannot be read by mistake."""
    totals = app.Table("totals")
    await app.tables.start()
    await assign(app, TP("shop-totals-changelog", 0))
    with pytest.raises(RuntimeError, match="in use"):
        await totals.reset_state()
    await app.tables.stop()
    assert totals.held == {}
    assert totals.copy() == {}
    await totals.reset_state()


async def test_partitions_without_their_changelog(world: World, app: App) -> None:
    """Writing where the worker holds the source but not the changelog says so."""
    from faust.exceptions import NotReady

    totals: Table[Any, Any] = app.Table("totals")
    await assign(app, TP("orders", 0), TP("shop-totals-changelog", 1))
    with (
        event_of(world.tasks[TP("orders", 0)]),
        pytest.raises(NotReady, match=r"shop-totals-changelog\[0\] does not belong to this worker"),
    ):
        totals["x"] = 1


async def test_differing_sources_are_said(
    world: World, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """When agents read topics of different counts the choice is explained."""
    world.make("five", 5)
    app.topics = [Source("orders"), Source("five")]
    app.Table("names")
    with caplog.at_level(logging.INFO):
        await app.tables.declare()
    assert "five: 5, orders: 4" in caplog.text
