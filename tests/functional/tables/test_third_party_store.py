"""A store that is not ours: it passes the suite that is shipped, and every kind of table works with it (stores.md 1 and 2)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from yarl import URL

from faust.stores.base import Store
from faust.stores.contract import StoreContract
from tests.functional.tables.sqlite_store import SQLiteStore
from tests.support.apps import committed_everything, eventually, make_app, running

URL_OF_STORE = "tests.functional.tables.sqlite_store.SQLiteStore://"


class TestSQLite(StoreContract):
    """The suite for stores, as a third party runs it."""

    def make(self, directory: Path, table: str = "totals") -> Store:
        return SQLiteStore(URL(URL_OF_STORE), table=table, directory=directory)


def holds(totals: Any, expected: int) -> bool:
    """Say whether the totals add up."""
    return bool(sum(totals.values()) == expected)


async def test_a_store_by_its_path(tmp_path: Path) -> None:
    """Said by its dotted path in the place of the scheme, it keeps tables, windows, sets and global tables over a restart."""
    reads: list[Any] = []
    for turn in range(2):
        app = make_app(
            f"local://{tmp_path / 'broker'}", "third", store=URL_OF_STORE, datadir=tmp_path / "data"
        )
        topic = app.topic("third-in", key_type=str, value_type=int, internal=True)
        totals = app.Table("totals", default=int, ttl=3600)
        hits: Any = app.Table("hits", default=int).tumbling(3600, key_index=True)
        members = app.SetTable("members")
        rates = app.GlobalTable("rates", default=int)

        @app.agent(topic, name="count")
        async def count(
            stream: Any, t: Any = totals, h: Any = hits, m: Any = members, r: Any = rates
        ) -> None:
            async for key, amount in stream.items():
                t[key] += amount
                h[key] += amount
                m[key].add(amount)
                r[key] += amount

        async with running(app):
            if turn == 0:
                for number in range(40):
                    await topic.send(key=f"k{number % 20}", value=number, timestamp=1_500_000.0)
                await eventually(partial(holds, totals, sum(range(40))))
                await committed_everything(app)
            offsets = [each.store.persisted_offset for each in totals.held.values()]
            windows = dict(hits.relative_to(1_500_000.0).items())
            reads.append((dict(totals), windows, members.copy(), dict(rates), offsets))
    assert reads[0] == reads[1]
    totals_read, windows_read, members_read, rates_read, offsets_read = reads[0]
    assert totals_read == windows_read == rates_read
    assert members_read["k3"] == {3, 23}
    assert sum(offsets_read) >= 20
