"""The changelog format of tables of sets: the setting ``table_set_changelog_format``, and ``faust repartition --rewrite``.

That faust-streaming really reads what is written here shows `tests/integration/interop/test_migration.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faust
from faust.app.clients import producer_options
from faust.cli.main import call_command
from faust.exceptions import ImproperlyConfigured
from faust.tables.repartition import Repartition
from tests.functional.exactly_once.reading import Seen, read_all
from tests.functional.tables.test_repartition import Killed, Mortal
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[[str], str]
STORES = pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
PARTITIONS = 2


class Club:
    """An app with tables of sets, made anew for each life."""

    def __init__(self, url: str, id: str, directory: Path, store: str, format: str) -> None:
        self.app: faust.App = make_app(
            url,
            id,
            datadir=directory,
            store=store,
            topic_partitions=PARTITIONS,
            web_enabled=False,
            table_set_changelog_format=format,
        )
        self.orders = self.app.topic(f"{id}-orders", key_type=str, value_type=str, internal=True)
        self.members = self.app.SetTable("members")
        self.visits = self.app.SetTable("visits").tumbling(1e9)
        self.seen = 0

        @self.app.agent(self.orders)
        async def change(stream: Any) -> None:
            async for key, value in stream.items():
                for table in (self.members, self.visits):
                    if value.startswith("-"):
                        table[key].discard(value[1:])
                    else:
                        table[key].add(value)
                await self.app.tables.flush()
                self.seen += 1

    async def feed(self, *orders: tuple[str, str]) -> None:
        """Have members added, or (with ``-``) discarded."""
        before = self.seen
        for key, value in orders:
            await self.orders.send(key=key, value=value, partition=0, timestamp=1.0)
        await eventually(lambda: self.seen == before + len(orders))
        await committed_everything(self.app)

    def contents(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Return what both tables have."""
        return (
            {key: set(members) for key, members in self.members.items()},
            {key: set(members) for (key, _), members in self.visits.table.items()},
        )

    async def log(self) -> list[Seen]:
        """Return the changelog of the members."""
        return await read_all(str(self.app.conf.broker[0]), self.members.changelog_topic_name)

    async def policy(self) -> str:
        """Return the cleanup policy of that changelog."""
        topic = self.members.changelog_topic_name
        found = (await (await self.app._started_admin()).describe_topics([topic]))[topic]
        await self.app.close_clients()
        assert found is not None
        return found.config["cleanup.policy"]

    def rewrite(self, table: str = "members") -> str:
        """Run the command, as a program of its own would."""
        options = [table, "--rewrite", "--partitions", str(PARTITIONS)]
        status, out, err = call_command("repartition", options, app=self.app)
        assert status == 0, err.getvalue()  # type: ignore[attr-defined]
        text: str = out.getvalue()  # type: ignore[attr-defined]
        return text


ORDERS = (("k", "m1"), ("k", "m2"), ("k", "-m1"), ("j", "m1"))
RIGHT = {"k": {"m2"}, "j": {"m1"}}


@STORES
async def test_operations_are_written_and_read(
    broker_url: str, topic_name: Name, tmp_path: Path, store: str
) -> None:
    """serialization.md 6.6: with the setting the records are those of faust-streaming, and the topic keeps all of them."""
    id = topic_name("club")

    def club() -> Club:
        return Club(broker_url, id, tmp_path, store, "operations")

    first = club()
    async with running(first.app):
        await first.feed(*ORDERS)
        assert first.contents() == (RIGHT, RIGHT)
    written = [(one.key, one.value) for one in await first.log()]
    assert written == [
        (b'[1,"k"]', b'"m1"'),
        (b'[1,"k"]', b'"m2"'),
        (b'[2,"k"]', b'"m1"'),
        (b'[1,"j"]', b'"m1"'),
    ]
    assert await first.policy() == "delete"
    again = club()
    async with running(again.app):
        await eventually(lambda: again.contents() == (RIGHT, RIGHT))
        await again.feed(("j", "m3"))
    assert len(await again.log()) == len(written) + 1  # nothing was written again


@STORES
async def test_there_and_back_by_rewriting(
    broker_url: str, topic_name: Name, tmp_path: Path, store: str
) -> None:
    """A compacted changelog is no log of operations: it is refused, rewritten on demand, and so is the other way (tables.md 8)."""
    id = topic_name("club")

    def club(format: str) -> Club:
        return Club(broker_url, id, tmp_path, store, format)

    first = club("members")
    async with running(first.app):
        await first.feed(*ORDERS)
    assert "compact" in await first.policy()
    refused = club("operations")
    with pytest.raises(ImproperlyConfigured, match="faust repartition members --rewrite"):
        async with running(refused.app):
            pass
    for table in ("members", "visits"):
        said = await asyncio.to_thread(club("operations").rewrite, table)
        assert f"{PARTITIONS} partitions, " in said
    second = club("operations")
    assert await second.policy() == "delete"
    assert {(one.key or b"")[:3] for one in await second.log()} == {b"[1,", b"[2,"}
    async with running(second.app):
        await eventually(lambda: second.contents() == (RIGHT, RIGHT))
        await second.feed(("k", "m5"))
    await asyncio.to_thread(club("members").rewrite)
    third = club("members")
    assert "compact" in await third.policy()
    assert {(one.key or b"")[:3] for one in await third.log()} == {b"[3,"}
    async with running(third.app):
        await eventually(lambda: third.contents()[0] == {"k": {"m2", "m5"}, "j": {"m1"}})


async def test_bytes_have_no_operations(broker_url: str, topic_name: Name, tmp_path: Path) -> None:
    """What the older format cannot say is refused before anything is written."""
    club = Club(broker_url, topic_name("club"), tmp_path, "memory://", "operations")
    club.app.SetTable("raw", value_type=bytes)
    with pytest.raises(ImproperlyConfigured, match="table_set_changelog_format=members"):
        async with running(club.app):
            pass


@pytest.mark.parametrize("broker_url", ["memory"], indirect=True)
async def test_no_kill_of_a_rewriting_loses_anything(
    broker_url: str, topic_name: Name, tmp_path: Path
) -> None:
    """Killed before any of its requests and run again, the new changelog has everything, in the new format."""
    requests = 0
    finished = False
    while not finished:
        id = topic_name(f"killed{requests}")
        first = Club(broker_url, id, tmp_path / str(requests), "memory://", "members")
        async with running(first.app):
            await first.feed(*ORDERS)
        finished = await _rewrite(broker_url, id, tmp_path, requests)
        if not finished:
            assert await _rewrite(broker_url, id, tmp_path, 10**9)
        said = [(one.key, one.value) for one in await first.log()]
        assert set(said) == {
            (b'[1,"k"]', b'"m1"'),
            (b'[1,"k"]', b'"m2"'),
            (b'[2,"k"]', b'"m1"'),
            (b'[1,"j"]', b'"m1"'),
        }
        requests += 5
    assert requests > 25


async def _rewrite(url: str, id: str, directory: Path, requests: int) -> bool:
    """Rewrite as operations, and be killed after so many requests; say whether it came to the end."""
    club = Club(url, id, directory, "memory://", "operations")
    app, clock = club.app, {"left": requests}
    app.prepare()
    admin = await app._started_admin()
    reader = app.reader_driver()
    producer = app.producer_transport.producer(producer_options(app.conf))
    await reader.start()
    await producer.start()
    try:
        await Repartition(
            club.members,
            PARTITIONS,
            rewrite=True,
            group_id=app.conf.id,
            place=lambda *_: pytest.fail("nothing moves"),
            admin=Mortal(admin, clock),  # type: ignore[arg-type]
            reader=Mortal(reader, clock),  # type: ignore[arg-type]
            producer=Mortal(producer, clock),  # type: ignore[arg-type]
        ).run()
    except Killed:
        return False
    finally:
        await producer.close()
        await reader.close()
        await app.close_clients()
    return True
