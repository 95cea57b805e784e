"""A table is a dict that survives: any sequence of changes, flushes, kills and rebalances, against a plain dict."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.changelogs import App, World, assign, event_of

from faust.exceptions import ProducerSendError
from faust.messages import TP
from faust.tables.table import Table

ALL = [TP("orders", 0), TP("orders", 1), *(TP("shop-totals-changelog", n) for n in range(2))]

KEYS = st.sampled_from(["a", "b", ("t", 1), ("t", (2, "x"))])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.text(max_size=2),
    st.lists(st.integers(-(2**63), 2**64 - 1), max_size=2),
)
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, VALUES),
    st.tuples(st.just("set"), KEYS, VALUES),
    st.tuples(st.just("del"), KEYS, st.none()),
    st.tuples(st.just("del"), KEYS, st.none()),
    st.tuples(st.just("get"), KEYS, st.none()),
    st.tuples(st.just("get"), KEYS, st.none()),
    st.tuples(st.just("pop"), KEYS, VALUES),
    st.tuples(
        st.sampled_from(
            [
                "clear",
                "popitem",
                "flush",
                "fail",
                "kill",
                "rebalance",
                "lose",
                "compact",
                "switch",
                "look",
            ]
        ),
        st.none(),
        st.none(),
    ),
)


class Model:
    """What a table should be: per partition the entries now, and those that a crash leaves."""

    def __init__(self) -> None:
        self.now: list[dict[Any, Any]] = [{}, {}]
        self.safe: list[dict[Any, Any]] = [{}, {}]

    def flushed(self) -> None:
        self.safe = [dict(entries) for entries in self.now]

    def crashed(self) -> None:
        self.now = [dict(entries) for entries in self.safe]


class Machine:
    """Does to a table and to the model the same."""

    def __init__(self) -> None:
        self.world = World()
        self.world.make("orders", 2)
        self.world.make("shop-totals-changelog", 2)
        self.model = Model()
        self.here = 0
        self.app: App
        self.table: Table[Any, Any]

    async def start(self) -> None:
        self.app = self.world.app()
        self.table = self.app.Table("totals", recovery_buffer_size=2)
        await assign(self.app, *ALL)

    async def stop(self) -> None:
        await self.app.consumer.stop()
        await self.app.tables.on_stop()

    async def do(self, step: tuple[str, Any, Any]) -> None:
        name, key, value = step
        kind = getattr(self, f"do_{name}")
        if name in {"set", "del", "get", "pop", "clear", "popitem", "look"}:
            with event_of(self.world.tasks[TP("orders", self.here)]):
                kind(self.model.now[self.here], key, value)
        else:
            await kind()

    # -- inside a stream

    def do_set(self, entries: dict[Any, Any], key: Any, value: Any) -> None:
        self.table[key] = entries[key] = value

    def do_del(self, entries: dict[Any, Any], key: Any, _: Any) -> None:
        assert _outcome(self.table.__delitem__, key) == _outcome(entries.__delitem__, key)

    def do_get(self, entries: dict[Any, Any], key: Any, _: Any) -> None:
        assert _outcome(self.table.__getitem__, key) == _outcome(entries.__getitem__, key)
        assert (key in self.table) == (key in entries)

    def do_pop(self, entries: dict[Any, Any], key: Any, value: Any) -> None:
        assert self.table.pop(key, value) == entries.pop(key, value)

    def do_clear(self, entries: dict[Any, Any], *_: Any) -> None:
        self.table.clear()
        entries.clear()

    def do_popitem(self, entries: dict[Any, Any], *_: Any) -> None:
        assert bool(self.table) == bool(entries)
        if entries:
            key, value = self.table.popitem()
            assert entries.pop(key) == value

    def do_look(self, entries: dict[Any, Any], *_: Any) -> None:
        assert dict(self.table.items()) == entries
        assert len(self.table) == len(entries) == len(list(self.table))

    # -- outside

    async def do_switch(self) -> None:
        self.here = 1 - self.here

    async def do_flush(self) -> None:
        await self.app.tables.flush()
        self.model.flushed()

    async def do_fail(self) -> None:
        if any(partition.dirty for partition in self.table.held.values()):
            self.app.producer_driver.failure = ProducerSendError("no")
            try:
                await self.app.tables.flush()
            except ProducerSendError:
                return
            raise AssertionError("the failure did not surface")

    async def do_kill(self) -> None:
        await self.stop()
        self.model.crashed()
        await self.start()

    async def do_rebalance(self) -> None:
        await self.app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
        self.model.flushed()
        await assign(self.app, *ALL)

    async def do_lose(self) -> None:
        await self.app.tables.on_partitions_revoked(frozenset(ALL), lost=True)
        self.model.crashed()
        await assign(self.app, *ALL)

    async def do_compact(self) -> None:
        for tp in ALL[2:]:
            self.world.log(tp).compact()

    def check(self) -> None:
        """Compare from outside: all partitions at once, then one by one."""
        assert len(self.table) == sum(map(len, self.model.now))
        for number in range(2):
            with event_of(self.world.tasks[TP("orders", number)]):
                assert dict(self.table.items()) == self.model.now[number]
        for number, tp in enumerate(ALL[2:]):
            codec = self.table.codec
            assert self.world.log(tp).contents() == {
                codec.encode_key(key): codec.encode_value(key, value)
                for key, value in self.model.safe[number].items()
            }


def _outcome(operation: Any, key: Any) -> Any:
    try:
        return operation(key)
    except KeyError:
        return KeyError


@settings(deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_a_table_is_a_dict_that_survives(steps: list[tuple[str, Any, Any]]) -> None:
    """Whatever is done to it, a table has what a dict would have, and after a crash what was flushed."""

    async def run() -> None:
        machine = Machine()
        await machine.start()
        for step in steps:
            await machine.do(step)
        machine.check()
        await machine.do_kill()
        machine.check()
        await machine.stop()

    asyncio.run(run())
