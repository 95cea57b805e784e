"""Topics that exist before the worker that uses them: what differs is told, with what mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import faust
from faust.messages import TP
from faust.transport.base import TopicSpec
from tests.support.apps import eventually, make_app, running

Name = Callable[..., str]

pytestmark = pytest.mark.parametrize("broker_url", ["memory"], indirect=True)


async def test_repartition_topics_are_compared(
    broker_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """A repartition topic with another count, or compacted, is told with its cure (transport.md 8, BUG-T21)."""
    app = make_app(broker_url, topic_name("app"))
    words = app.topic(
        topic_name("words"), value_type=str, config={"cleanup.policy": "delete"}, internal=True
    )
    target = f"by-{topic_name('words')}-first-repartition"

    @app.agent(words, name="by")
    async def by(stream: Any) -> None:
        async for _ in stream.group_by(lambda word: word[0], name="first"):
            pass

    await app.declare_topic(
        TopicSpec(name=target, partitions=7, config={"cleanup.policy": "compact"})
    )
    async with running(app):
        await eventually(lambda: app.consumer.generation > 0)
        names = await (await app._started_admin()).list_topics()
    assert target in names
    told = [
        each.getMessage()
        for each in caplog.records
        if each.name == "faust.topics.topic" and each.levelname == "WARNING"
    ]
    assert len(told) == 2
    assert f"Topic {target} is not as declared: partitions: wanted 4, has 7. " in told[0]
    assert "group_by(..., partitions=7)" in told[0]
    assert "cleanup.policy: wanted delete, has compact. " in told[1]


async def test_a_changelog_of_ones_own_that_forgets(
    broker_url: str, topic_name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """A ready-made changelog that is not compacted, and one that has lost its beginning, are told (pain rows 8 and 12)."""
    log, counts = topic_name("log"), f"{topic_name('app')}-windows-changelog"
    feeder = make_app(broker_url, topic_name("feeder"))
    await feeder.maybe_start_producer()
    for topic, policy in ((log, "delete"), (counts, "compact,delete")):
        config = {"cleanup.policy": policy, "retention.ms": "70000"}
        await feeder.declare_topic(TopicSpec(name=topic, partitions=4, config=config))
        await feeder.producer.load_partitions(topic)
        for number in range(4):
            for key in (b'"a"', b'"b"') if topic == log else (b'["k",[10.0,19.9]]',) * 2:
                feeder.producer.append(topic, number, key, b"1")
    await feeder.producer.flush()
    admin = await feeder._started_admin()
    for topic in (log, counts):
        await admin.delete_records({TP(topic, number): 1 for number in (0, 2)})
    await feeder.close_clients()

    app = make_app(broker_url, topic_name("app"))
    source = app.topic(topic_name("in"), key_type=str, value_type=int, internal=True)
    totals: faust.Table[str, int] = app.Table("totals", changelog_topic=app.topic(log))
    windows = app.Table("windows", default=int).tumbling(10, expires=60)

    @app.agent(source)
    async def keep(stream: Any) -> None:
        async for key, value in stream.items():
            totals[key] = value

    async with running(app):
        await eventually(lambda: len(totals) == 6 and len(windows.table) == 4)
    told = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    [policy] = [each for each in told if "as declared" in each]
    assert policy == (
        f"Table 'totals': its changelog topic {log} is not as declared: cleanup.policy: wanted compact, has delete. The embedded "
        "broker keeps cleanup.policy=delete; delete the topic to have it made anew"
    )
    [beginning] = [each for each in told if "lost its beginning" in each]
    assert beginning == (
        f"The changelog {log} has lost its beginning (partitions 0, 2), and no store here has what stood there: keys that were "
        "not written since are missing. It loses records only while its cleanup.policy has delete in it, or by hand"
    )
