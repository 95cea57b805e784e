"""Sets, windows and RocksDB are what a dict is, through any sequence of changes, flushes, kills and rebalances."""

from __future__ import annotations

import asyncio
import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.changelogs import App, World, assign, event_of

import faust
from faust.exceptions import ProducerSendError
from faust.messages import TP

LOG = "shop-totals-changelog"
SOURCES = [TP("orders", 0), TP("orders", 1)]
ALL = [*SOURCES, TP(LOG, 0), TP(LOG, 1)]
LIFE = ["flush", "flush", "fail", "kill", "rebalance", "lose", "compact", "switch", "look"]

KEYS = st.sampled_from(["a", "b", ("t", 1)])
MEMBERS = st.sampled_from([1, "x", ("y", (2,)), None])
VALUES = st.sampled_from([0, -5, "", None, [1, [2]], {"x": 1}, True])

SET_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["add", "add", "discard", "remove", "update", "replace"]), KEYS, MEMBERS
        ),
        st.tuples(st.sampled_from(["clear", "pop", *LIFE]), KEYS, st.none()),
    ),
    max_size=40,
)
WINDOW_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hit"), KEYS, st.integers(0, 100)),
        st.tuples(st.just("hit"), KEYS, st.integers(0, 100)),
        st.tuples(st.sampled_from(["drop", "read"]), KEYS, st.integers(0, 100)),
        st.tuples(st.sampled_from(["clean", *LIFE]), KEYS, st.none()),
    ),
    max_size=40,
)
DICT_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set", "set", "set", "del", "get"]), KEYS, VALUES),
        st.tuples(st.sampled_from(["clear", "popitem", *LIFE]), KEYS, st.none()),
    ),
    max_size=40,
)


class Machine:
    """Does the same to a table and to a model: per partition a dict, and the one that a crash leaves."""

    def __init__(self, directory: Path, store: str) -> None:
        self.directory = directory
        self.store = store
        self.world = World()
        self.world.make("orders", 2)
        self.world.make(LOG, 2)
        self.now: list[Any] = [self.empty(), self.empty()]
        self.safe: list[Any] = [self.empty(), self.empty()]
        self.here = 0
        self.app: App
        self.table: Any

    def empty(self) -> Any:
        """Make the model of an empty partition."""
        return {}

    def declare(self) -> Any:
        """Declare the table."""
        return self.app.Table("totals", store=self.store, recovery_buffer_size=2)

    def contents(self) -> Any:
        """Return what the table shows."""
        return dict(self.table.items())

    def wanted(self, model: Any) -> Any:
        """Return what a table with this model shows."""
        return model

    async def start(self) -> None:
        self.app = self.world.app(datadir=self.directory)
        self.app.conf.create_directories()
        self.table = self.declare()
        await assign(self.app, *ALL)

    async def stop(self) -> None:
        await self.app.consumer.stop()
        await self.app.tables.on_stop()

    async def run(self, steps: list[tuple[str, Any, Any]]) -> None:
        await self.start()
        for name, key, value in steps:
            if name in LIFE or name == "clean":
                await getattr(self, f"do_{name}")()
                continue
            at = float(value) if name in {"hit", "drop", "read"} else 0.0
            with event_of(self.world.tasks[SOURCES[self.here]], at=at):
                getattr(self, f"do_{name}")(self.now[self.here], key, value)
        await self.do_look()
        await self.do_kill()
        await self.do_look()
        await self.stop()

    async def do_look(self) -> None:
        assert len(self.table) == sum(len(self.wanted(model)) for model in self.now)
        for number in range(2):
            with event_of(self.world.tasks[SOURCES[number]]):
                wanted = self.wanted(self.now[number])
                assert self.contents() == wanted
                assert len(self.table) == len(list(self.table)) == len(wanted)
                assert all(key in self.table for key in wanted)

    async def do_switch(self) -> None:
        self.here = 1 - self.here

    async def do_flush(self) -> None:
        await self.app.tables.flush()
        self.safe = copy.deepcopy(self.now)

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
        self.now = copy.deepcopy(self.safe)
        await self.start()

    async def do_rebalance(self) -> None:
        await self.app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
        self.safe = copy.deepcopy(self.now)
        await assign(self.app, *ALL)

    async def do_lose(self) -> None:
        await self.app.tables.on_partitions_revoked(frozenset(ALL), lost=True)
        self.now = copy.deepcopy(self.safe)
        await assign(self.app, *ALL)

    async def do_compact(self) -> None:
        for number in range(2):
            self.world.log(TP(LOG, number)).compact()

    # -- a dict

    def do_set(self, model: dict[Any, Any], key: Any, value: Any) -> None:
        self.table[key] = value
        model[key] = value

    def do_del(self, model: dict[Any, Any], key: Any, _: Any) -> None:
        assert self.table.pop(key, "no") == model.pop(key, "no")

    def do_get(self, model: dict[Any, Any], key: Any, _: Any) -> None:
        assert self.table.get(key, "no") == model.get(key, "no")

    def do_clear(self, model: dict[Any, Any], *_: Any) -> None:
        self.table.clear()
        model.clear()

    def do_popitem(self, model: dict[Any, Any], *_: Any) -> None:
        if model:
            key, value = self.table.popitem()
            assert model.pop(key) == value


class SetMachine(Machine):
    """The same for a table of sets."""

    def declare(self) -> Any:
        return self.app.SetTable("totals", store=self.store, recovery_buffer_size=2)

    def wanted(self, model: Any) -> Any:
        return {key: members for key, members in model.items() if members}

    def do_add(self, model: Any, key: Any, member: Any) -> None:
        self.table[key].add(member)
        model.setdefault(key, set()).add(member)

    def do_discard(self, model: Any, key: Any, member: Any) -> None:
        self.table[key].discard(member)
        model.setdefault(key, set()).discard(member)

    def do_remove(self, model: Any, key: Any, member: Any) -> None:
        there = member in model.get(key, ())
        assert (member in self.table[key]) == there
        if there:
            self.table[key].remove(member)
            model[key].remove(member)

    def do_update(self, model: Any, key: Any, member: Any) -> None:
        self.table[key] |= {member, 7}
        model.setdefault(key, set()).update({member, 7})

    def do_replace(self, model: Any, key: Any, member: Any) -> None:
        self.table[key] ^= {member, 1}
        model[key] = model.get(key, set()) ^ {member, 1}

    def do_clear(self, model: Any, key: Any = None, *_: Any) -> None:
        self.table[key].clear()
        model.pop(key, None)

    def do_pop(self, model: Any, key: Any, _: Any) -> None:
        if model.get(key):
            model[key].remove(self.table[key].pop())


class WindowMachine(Machine):
    """The same for a windowed table; what has expired by event time is gone after cleaning."""

    window = faust.HoppingWindow(10, 5, expires=20)

    def declare(self) -> Any:
        self.wrapper = self.app.Table(
            "totals", store=self.store, default=int, recovery_buffer_size=2
        ).using_window(self.window)
        return self.wrapper.table

    async def start(self) -> None:
        await super().start()
        await self.app.tables.on_start()
        assert self.app.tables._flusher is not None
        self.app.tables._flusher.cancel()
        self.check_index()

    def check_index(self) -> None:
        """The index knows the windows that are there, and no other."""
        for number, partition in self.table.held.items():
            known = {
                self.table.codec.decode_key(partition.tp, raw)
                for raws in partition.expiry.ranges.values()
                for raw in raws
            }
            assert known == set(self.now[number])

    async def do_look(self) -> None:
        await super().do_look()
        self.check_index()

    def do_hit(self, model: Any, key: Any, moment: int) -> None:
        index = self.table.held[self.here].expiry
        time = max(index.time, moment)
        self.wrapper[key] += 1
        for window_range in self.window.ranges(moment):
            if self.window.closes_at(window_range) > time - 20:
                model[key, window_range] = model.get((key, window_range), 0) + 1

    def do_drop(self, model: Any, key: Any, moment: int) -> None:
        there = [(key, each) for each in self.window.ranges(moment) if (key, each) in model]
        if there:
            del self.wrapper[key]
            for place in there:
                del model[place]

    def do_read(self, model: Any, key: Any, moment: int) -> None:
        expected = model.get((key, self.window.current(moment)), 0)
        assert self.wrapper[key].current() == self.wrapper[key].value() == expected

    async def do_clean(self) -> None:
        assert self.app.tables._cleaner is not None
        await self.app.tables._cleaner.clean(0.0)
        for number, model in enumerate(self.now):
            time = self.table.held[number].expiry.time
            for key in [k for k in model if self.window.closes_at(k[1]) <= time - 20]:
                del model[key]


def run(machine: type[Machine], store: str, steps: Any) -> None:
    """Run a machine in a directory of its own."""
    directory = Path(tempfile.mkdtemp())
    try:
        asyncio.run(machine(directory, store).run(steps))
    finally:
        shutil.rmtree(directory)


@given(SET_STEPS)
def test_pain_10_sets_in_memory(steps: Any) -> None:
    """A table of sets is a dict of sets that survives (pain row 10)."""
    run(SetMachine, "memory://", steps)


@given(WINDOW_STEPS)
def test_pain_10_windows_in_memory(steps: Any) -> None:
    """A windowed table has what its events say, and its index knows it (pain rows 10 and 31)."""
    run(WindowMachine, "memory://", steps)


ON_DISK = settings(
    max_examples=max(settings().max_examples // 20, 10),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@ON_DISK
@given(DICT_STEPS)
def test_pain_10_a_dict_on_disk(steps: Any) -> None:
    """A table in RocksDB is a dict that survives (pain row 10)."""
    run(Machine, "rocksdb://", steps)


@ON_DISK
@given(SET_STEPS)
def test_pain_10_sets_on_disk(steps: Any) -> None:
    """A table of sets in RocksDB is a dict of sets that survives (pain row 10)."""
    run(SetMachine, "rocksdb://", steps)


@ON_DISK
@given(WINDOW_STEPS)
def test_pain_10_windows_on_disk(steps: Any) -> None:
    """A windowed table in RocksDB has what its events say, and its index knows it (pain rows 10 and 31)."""
    run(WindowMachine, "rocksdb://", steps)
