"""Sets, windows and RocksDB are what a dict is, through any sequence of changes, flushes, kills, rebalances and promotions.

Besides the worker that owns the partitions there may be a second one with copies on standby, that follow as far as they get
(acceptance 3 of issue 6).
"""

from __future__ import annotations

import asyncio
import copy
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.changelogs import App, World, assign, event_of

import faust
from faust.exceptions import ProducerSendError
from faust.messages import TP

LOG = "shop-totals-changelog"
SOURCES = [TP("orders", 0), TP("orders", 1)]
LOGS = [TP(LOG, 0), TP(LOG, 1)]
ALL = [*SOURCES, *LOGS]
LIFE = ["flush", "flush", "fail", "kill", "rebalance", "lose", "compact", "switch", "look"]
LIFE += ["stand_by", "follow", "promote", "hand_over"]

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
    """Does the same to a table and to a model: per partition a dict, and the one that a crash leaves.

    Attributes:
        copy: The worker with the copies, and the directory where it has them; None: there is none.
    """

    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, directory: Path, store: str) -> None:
        self.directories = (directory / str(number) for number in count())
        self.directory = next(self.directories)
        self.store = store
        self.copy: tuple[App, Path] | None = None
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

    def declare(self, app: App) -> None:
        """Declare the table."""
        app.Table("totals", store=self.store, recovery_buffer_size=2)

    def contents(self) -> Any:
        """Return what the table shows."""
        return dict(self.table.items())

    def wanted(self, model: Any) -> Any:
        """Return what a table with this model shows."""
        return model

    async def prepare(self, directory: Path) -> App:
        """Make a worker, with its table."""
        app = self.world.app(datadir=directory, **self.settings)
        app.conf.create_directories()
        self.declare(app)
        await app.consumer.start()
        return app

    async def start(self) -> None:
        self.app = await self.prepare(self.directory)
        self.table = self.app.tables["totals"]
        await assign(self.app, *ALL)

    async def stop(self, app: App | None = None) -> None:
        app = app or self.app
        await app.consumer.stop()
        await app.tables.on_stop()

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
        if self.copy is not None:
            await self.stop(self.copy[0])

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

    async def die(self) -> None:
        """End as SIGKILL does: what is on disk is what was there while the stores were open."""
        left = next(self.directories)
        shutil.copytree(self.directory, left)
        await self.stop()
        self.directory = left
        self.now = copy.deepcopy(self.safe)

    async def do_kill(self) -> None:
        await self.die()
        await self.start()

    async def do_stand_by(self) -> None:
        """Have a second worker keep copies; they begin to follow."""
        if self.copy is None:
            directory = next(self.directories)
            app = await self.prepare(directory)
            generation = app.consumer_driver.give(LOGS)
            logs = frozenset(LOGS)
            await app.tables.recover(logs, generation, lambda _: None, standbys=logs)
            self.copy = app, directory

    async def do_follow(self) -> None:
        """Let the copies follow for a moment: some way, or to the end."""
        await asyncio.sleep(0.003)

    async def do_promote(self) -> None:
        """The owner is killed, and the worker with the copies takes over; what is left of the owner is the next copy."""
        if self.copy is not None:
            await self.die()
            await self.take_turns()

    async def do_hand_over(self) -> None:
        """The owner gives its partitions back in good order, and ends."""
        if self.copy is not None:
            await self.app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
            self.safe = copy.deepcopy(self.now)
            await self.stop()
            await self.take_turns()

    async def take_turns(self) -> None:
        """The worker with the copies is the owner from now on."""
        assert self.copy is not None
        (self.app, self.directory), self.copy = self.copy, None
        self.table = self.app.tables["totals"]
        await self.app.tables.on_partitions_revoked(frozenset(LOGS), lost=False)
        await assign(self.app, *ALL)

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

    def declare(self, app: App) -> None:
        app.SetTable("totals", store=self.store, recovery_buffer_size=2)

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


class OperationsMachine(SetMachine):
    """The same where the changelog is written as faust-streaming does; nobody compacts it."""

    settings: ClassVar[dict[str, Any]] = {"table_set_changelog_format": "operations"}

    async def do_compact(self) -> None:
        pass


class WindowMachine(Machine):
    """The same for a windowed table; what has expired by event time is gone after cleaning."""

    window = faust.HoppingWindow(10, 5, expires=20)

    def __init__(self, directory: Path, store: str) -> None:
        super().__init__(directory, store)
        self.wrappers: dict[App, Any] = {}

    def declare(self, app: App) -> None:
        table = app.Table("totals", store=self.store, default=int, recovery_buffer_size=2)
        self.wrappers[app] = table.using_window(self.window)

    async def prepare(self, directory: Path) -> App:
        app = await super().prepare(directory)
        await app.tables.on_start()
        assert app.tables._flusher is not None
        app.tables._flusher.cancel()
        return app

    async def start(self) -> None:
        await super().start()
        self.check_index()

    @property
    def wrapper(self) -> Any:
        """The table, seen through its window."""
        return self.wrappers[self.app]

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
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("faust.tables.standbys.TICK", 0.001)  # in a small world a moment is long
            asyncio.run(machine(directory, store).run(steps))
    finally:
        shutil.rmtree(directory)


@given(SET_STEPS)
def test_pain_10_sets_in_memory(steps: Any) -> None:
    """A table of sets is a dict of sets that survives (pain row 10)."""
    run(SetMachine, "memory://", steps)


@given(SET_STEPS)
def test_pain_10_operations_on_sets_in_memory(steps: Any) -> None:
    """A table of sets is the same in the changelog format of faust-streaming (serialization.md 6.6)."""
    run(OperationsMachine, "memory://", steps)


@given(DICT_STEPS)
def test_pain_10_a_dict_in_memory(steps: Any) -> None:
    """A table in memory is a dict that survives, also as a copy that is promoted (pain rows 10 and 13)."""
    run(Machine, "memory://", steps)


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
@given(SET_STEPS)
def test_pain_10_operations_on_sets_on_disk(steps: Any) -> None:
    """A table of sets in RocksDB is the same in the changelog format of faust-streaming (serialization.md 6.6)."""
    run(OperationsMachine, "rocksdb://", steps)


@ON_DISK
@given(WINDOW_STEPS)
def test_pain_10_windows_on_disk(steps: Any) -> None:
    """A windowed table in RocksDB has what its events say, and its index knows it (pain rows 10 and 31)."""
    run(WindowMachine, "rocksdb://", steps)
