"""What is said while tables recover, and about changelogs that are not as they should be (issue 6, "Recovery" and "Topics")."""

from __future__ import annotations

import asyncio
import contextlib
from io import StringIO

import pytest
from rich.console import Console
from tests.support.apps import eventually
from tests.support.changelogs import App, World
from tests.unit.tables.conftest import CHANGELOGS, SOURCES
from yarl import URL

from faust.exceptions import AuthorizationFailed
from faust.tables.cures import OTHER_COUNT
from faust.transport.base import TopicSpec
from faust.transport.cures import cure_of, is_fault
from faust.worker.progress import RecoveryBar

KAFKA = [URL("kafka://one:9093"), URL("kafka://two")]


# -- health


async def start_recovery(app: App) -> asyncio.Task[None]:
    """Give a partition to *app*, and begin to recover it."""
    generation = app.consumer_driver.give([SOURCES[0], CHANGELOGS[0]])
    await app.consumer.start()
    recovering = app.tables.recover(
        frozenset([SOURCES[0], CHANGELOGS[0]]), generation, lambda _: None
    )
    return asyncio.create_task(recovering)


async def test_a_recovery_that_waits_says_for_what(world: World, app: App) -> None:
    """recovery-rebalance.md 7: nothing waits without a reason that health can show (`TableManager.doing`)."""
    app.conf.assign("broker_request_timeout", 0.05, "the test")
    app.Table("totals", default=int)
    for number in range(50):
        world.log(CHANGELOGS[0]).append(b'"k"', b"%d" % number)
    app.consumer_driver.slow = {"end_offsets": 1000}
    assert app.tables.doing() == ""
    running = await start_recovery(app)
    await eventually(lambda: "cannot ask where the changelogs end (attempt" in app.tables.doing())
    app.consumer_driver.slow = {}
    await running
    assert app.tables.doing() == ""


async def test_a_delay_is_a_reason(world: World, app: App) -> None:
    """``stream_recovery_delay`` is named while it lasts; a cancelled recovery has no reason any more."""
    del world
    app.conf.assign("stream_recovery_delay", 60.0, "the test")
    app.Table("totals", default=int)
    running = await start_recovery(app)
    await eventually(lambda: app.tables.doing() == "waiting for stream_recovery_delay")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert app.tables.doing() == ""


# -- the bar


async def test_a_terminal_shows_a_bar_with_rate_and_rest(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal recovery is a bar of records that are done and to come, with a rate; it is gone in the end."""
    monkeypatch.setattr("faust.worker.progress.LOOK", 0.005)
    app.Table("totals", default=int)
    for number in range(4000):
        world.log(CHANGELOGS[0]).append(b'"k%d"' % number, b"1")
    app.consumer_driver.slice_size = 5
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    drawing = asyncio.create_task(
        RecoveryBar(lambda: app.tables.recovery, console, before=lambda: None).run()
    )
    await (await start_recovery(app))
    drawing.cancel()
    await asyncio.gather(drawing, return_exceptions=True)
    assert "recovering tables" in screen.getvalue()
    assert "/4000" in screen.getvalue()
    assert "records/s" in screen.getvalue()


# -- topics


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (
            "cleanup.policy: wanted compact, has delete",
            "one:9093,two:9092 --alter --entity-type topics --entity-name t --add-config 'cleanup.policy=compact'",
        ),
        ("cleanup.policy: wanted compact,delete, has compact", "'cleanup.policy=[compact,delete]'"),
        ("retention.ms: wanted 1000, has -1", "'retention.ms=1000'"),
        ("partitions: wanted 8, has 4", "partitions=4"),
    ],
)
def test_what_differs_comes_with_its_cure(difference: str, words: str) -> None:
    """transport.md 8 NEW: an existing topic that differs is told with the command that mends it."""
    assert words in cure_of("t", difference, KAFKA, other_count=OTHER_COUNT)


def test_the_embedded_broker_has_no_such_command() -> None:
    """There a topic is deleted and made anew."""
    difference = "cleanup.policy: wanted compact, has delete"
    assert "embedded" in cure_of("t", difference, [URL("memory://")], other_count="")


def test_more_copies_than_wanted_are_no_fault() -> None:
    """A topic that somebody made with more replicas than the setting says needs no mending."""
    assert not is_fault("replication: wanted 1, has 3")
    assert is_fault("replication: wanted 3, has 1")
    assert is_fault("partitions: wanted 1, has 3")


async def test_a_missing_right_is_named(
    world: World, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not create the changelog is told which right is missing, on which topic, and what to do instead."""

    async def refuse(spec: TopicSpec) -> None:
        raise AuthorizationFailed(f"no right to create {spec.name}")

    monkeypatch.setattr(app, "declare_topic", refuse)
    app.Table("other", default=int, partitions=3)
    await app.consumer.start()
    with pytest.raises(
        AuthorizationFailed, match=r"--operation Create --topic shop-other-changelog"
    ):
        await app.tables.declare()
    assert world.logs


async def test_a_topic_that_is_there_needs_no_right_to_create(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The changelog exists, only looking at it is refused: the worker goes on and says so."""

    async def refuse(spec: TopicSpec) -> None:
        raise AuthorizationFailed(f"no right to describe {spec.name}")

    monkeypatch.setattr(app, "declare_topic", refuse)
    app.Table("totals", default=int)
    await app.consumer.start()
    await app.tables.declare()
    assert "may not look whether its changelog topic shop-totals-changelog" in caplog.text
