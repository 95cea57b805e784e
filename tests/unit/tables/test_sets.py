"""Tables of sets: tables.md section 8."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from rocksdict import Options, Rdict
from tests.support.apps import eventually
from tests.support.changelogs import App, World, assign, event_of, worker

import faust
from faust.exceptions import KeyDecodeError
from faust.messages import TP
from faust.tables.setcodec import SetCodec
from faust.tables.sets import ChangeloggedSet

HERE, THERE = TP("orders", 1), TP("orders", 2)
LOG = TP("shop-totals-changelog", 1)
STORES = ["memory://", "rocksdb://"]


@pytest.fixture(params=["memory://", "rocksdb://"])
def store(request: pytest.FixtureRequest) -> str:
    """Every test of this module holds for every store (pain row 36)."""
    url: str = request.param
    return url


class Item(faust.Record):
    name: str


async def ready(app: App, **options: Any) -> Any:
    """Declare the table of sets totals, and hold everything."""
    table = app.SetTable("totals", **options)
    await hold(app)
    return table


async def hold(app: App) -> None:
    """Hold all partitions."""
    topics = {"orders", *app.tables.group_topics}
    for topic in topics:
        if TP(topic, 0) not in app.world.logs:
            app.world.make(topic, 4)
    await assign(app, *(TP(topic, number) for topic in topics for number in range(4)))


def log_of(world: World) -> list[tuple[bytes | None, bytes | None]]:
    """Return keys and values of the changelog."""
    return [(entry.key, entry.value) for entry in world.log(LOG).entries]


async def test_8_one_record_per_member(app: App, world: World) -> None:
    """Members come and go with a record each, which can be compacted (tables.md 8, BUG-15 and BUG-18)."""
    members = await ready(app)
    with event_of(world.tasks[HERE]):
        online = members["online"]
        online.add("a")
        online.add("a")
        online.add("b")
        assert members.about() == 2
        await app.tables.flush()
        online.discard("a")
        online.discard("x")
        online.remove("b")
        with pytest.raises(KeyError, match="b"):
            online.remove("b")
    await app.tables.flush()
    assert log_of(world) == [
        (b'[3,"online","a"]', b"1"),
        (b'[3,"online","b"]', b"1"),
        (b'[3,"online","a"]', None),
        (b'[3,"online","b"]', None),
    ]
    assert members.changelog_spec(4).config == {"cleanup.policy": "compact"}


async def test_8_a_set_is_there_as_long_as_it_has_members(app: App, world: World) -> None:
    """Looking at a key makes no set; emptying a set removes it (tables.md 8)."""
    members = await ready(app)
    with event_of(world.tasks[HERE]):
        assert members["x"] == set()
        assert members.get("x") == set()
        assert (len(members), "x" in members, list(members)) == (0, False, [])
        members["x"].add(1)
        assert (len(members), "x" in members, list(members)) == (1, True, ["x"])
        members["x"].clear()
        assert (len(members), "x" in members, list(members)) == (0, False, [])


@pytest.mark.parametrize("store", STORES)
async def test_8_everything_that_a_set_has(world: World, tmp_path: Any, store: str) -> None:
    """Reading methods and operators give what a set gives, binary ones plain sets (tables.md 8)."""
    async with worker(world, datadir=tmp_path) as app:
        app.conf.create_directories()
        members = await ready(app, store=store)
        with event_of(world.tasks[HERE]):
            s = members["k"]
            s.update({1, 2, 3}, [3, 4])
            assert (len(s), 1 in s, 9 in s, sorted(s)) == (4, True, False, [1, 2, 3, 4])
            assert s == {1, 2, 3, 4}
            assert s != {1}
            assert s >= {1}
            assert s <= {1, 2, 3, 4, 5}
            assert s & {1, 9} == {1}
            assert s | {9} == {1, 2, 3, 4, 9}
            assert s - {1} == {2, 3, 4}
            assert s ^ {1, 9} == {2, 3, 4, 9}
            assert type(s & {1}) is type(s | {1}) is type(s - {1}) is type(s ^ {1}) is set
            assert s.union([9], [10]) == {1, 2, 3, 4, 9, 10}
            assert s.intersection([1, 2], [2]) == {2}
            assert s.difference([1], [2]) == {3, 4}
            assert s.symmetric_difference([4, 5]) == {1, 2, 3, 5}
            assert s.issubset(range(9))
            assert s.issuperset([1])
            assert s.isdisjoint({9})
            assert type(s.copy()) is set
            s |= {5}
            s -= {1}
            s &= {2, 3, 5, 7}
            s ^= {3, 8}
            assert s == {2, 5, 8}
            members["k"] |= [9]
            s.difference_update([2], [9])
            s.intersection_update([5, 8], [8])
            s.symmetric_difference_update([1])
            assert s == {1, 8}
            assert s.pop() in {1, 8}
            s.clear()
            with pytest.raises(KeyError, match="empty"):
                s.pop()
            s.update()
            assert not s
            with pytest.raises(TypeError, match="unhashable"):
                s.add([1])
            with pytest.raises(TypeError, match="cannot be encoded"):
                s.update({object()})
            assert not s
            assert repr(s) == "<ChangeloggedSet totals['k']: set()>"


async def test_8_sets_are_not_assigned(app: App, world: World) -> None:
    """Assigning or deleting a key is refused before anything happens; an in-place operator is not (BUG-14)."""
    members = await ready(app)
    with event_of(world.tasks[HERE]):
        members["k"] |= {1}
        for operate in (
            lambda: members.__setitem__("k", {1}),
            lambda: members.__delitem__("k"),
            members.clear,
            lambda: members.pop("k"),
        ):
            with pytest.raises(NotImplementedError, match="'totals'"):
                operate()
        assert members["k"] == {1}
    await app.tables.flush()
    assert len(log_of(world)) == 1


async def test_8_outside_of_streams(app: App, world: World) -> None:
    """Outside a stream sets are read, over all partitions, and changed only with RuntimeError (tables.md 3)."""
    members = await ready(app)
    for tp, key in ((HERE, "a"), (THERE, "b")):
        with event_of(world.tasks[tp]):
            members[key].add(1)
            assert list(members) == [key]
    assert set(members) == {"a", "b"}
    assert members.copy() == {"a": {1}, "b": {1}}
    assert dict(members.items()) == {"a": {1}, "b": {1}}
    assert members == {"a": {1}, "b": {1}}
    assert members != []
    assert {members: 1}[members] == 1
    for operate in (
        lambda: members["a"].add(2),
        lambda: members["a"].discard(1),
        members["a"].clear,
        lambda: members["a"].update({3}),
    ):
        with pytest.raises(RuntimeError, match="only while a stream is iterated"):
            operate()
    assert members["a"] == {1}
    assert "| a   |" in members.as_ansitable()


@pytest.mark.parametrize("store", STORES)
async def test_pain_36_sets_survive(world: World, tmp_path: Any, store: str) -> None:
    """After a restart each set has the members it had, as they were read before (BUG-16, BUG-17, pain row 36)."""
    for turn in range(3):
        async with worker(world, datadir=tmp_path) as app:
            app.conf.create_directories()
            members = await ready(app, store=store)
            with event_of(world.tasks[HERE]):
                if turn:
                    assert members == {"a": {0, 1, 2, ("t", (1,)), None, "é"}, "b": {5.5}}
                    assert 9 not in members["a"]
                    assert sorted(members) == ["a", "b"]
                    assert len(members) == 2
                    assert members["a"].pop() is not MISSING
                members["a"].update([0, 1, 2, ("t", (1,)), None, "é", 9])
                members["a"].discard(9)
                members["b"].add(5.5)
                members["gone"].add(1)
                members["gone"].clear()
                assert members["a"] == {0, 1, 2, ("t", (1,)), None, "é"}
            await app.tables.flush()


MISSING = object()


@pytest.mark.parametrize(
    ("key_type", "value_type", "key", "value"),
    [
        (str, str, "k", "v"),
        (int, int, 5, 6),
        (bytes, bytes, b"\0[", b"\xff"),
        (None, bytes, ("k", 1), b"x"),
        (Item, Item, Item("k"), Item("v")),
    ],
)
async def test_4_2_typed_sets(
    world: World, key_type: Any, value_type: Any, key: Any, value: Any
) -> None:
    """Keys and members of any type come back (tables.md 4.2, BUG-10)."""
    for turn in range(2):
        async with worker(world) as app:
            members = await ready(app, key_type=key_type, value_type=value_type)
            with event_of(world.tasks[HERE]):
                assert members == ({key: {value}} if turn else {})
                assert (value in members[key]) == bool(turn)
                members[key].add(value)
            await app.tables.flush()


async def test_2_2_members_are_normal(app: App, world: World) -> None:
    """A member is found in every form that has the same encoding (tables.md 2.2)."""
    from decimal import Decimal

    members = await ready(app)
    with event_of(world.tasks[HERE]):
        members[Decimal("1.5")].add(Decimal("2.5"))
        members[Decimal("1.5")].add(Decimal("2.5"))
        assert members == {"1.5": {"2.5"}}
        assert Decimal("2.5") in members[Decimal("1.5")]
        members["1.5"].remove(Decimal("2.5"))
        assert len(members) == 0


@pytest.mark.parametrize("store", STORES)
async def test_pain_36_the_older_format_is_read(world: World, tmp_path: Any, store: str) -> None:
    """A log of operations is understood, and written again as members, once (tables.md 8, serialization.md 6.6)."""
    log = world.log(LOG)
    for key, value in (
        (b'[1,"k"]', b'"m1"'),
        (b'[1,"k"]', b'"m2"'),
        (b'[2,"k"]', b'"m1"'),
        (b'[15,"k"]', b'[["a","b",["t",1]],["m2"]]'),
        (b'[1,"\\u00e9"]', b'"\\u00fc"'),
        (b'[15,"gone"]', b'[["x"],[]]'),
        (b'[15,"gone"]', b'[[],["x"]]'),
    ):
        log.append(key, value)
    expected = {"k": {"a", "b", ("t", 1)}, "é": {"ü"}}
    for _ in range(2):
        async with worker(world, datadir=tmp_path) as app:
            app.conf.create_directories()
            members = await ready(app, store=store)
            assert members == expected
            await app.tables.flush()
            assert members == expected
    written = [(entry.key, entry.value) for entry in log.entries[7:]]
    assert sorted(written, key=str) == sorted(
        [
            (b'[3,"k","a"]', b"1"),
            (b'[3,"k","b"]', b"1"),
            (b'[3,"k",["t",1]]', b"1"),
            (b'[3,"k","m1"]', None),
            (b'[3,"k","m2"]', None),
            ('[3,"é","ü"]'.encode(), b"1"),
            (b'[3,"gone","x"]', None),
        ],
        key=str,
    )


async def test_pain_36_a_database_of_the_older_format(world: World, tmp_path: Any) -> None:
    """It has whole sets, each without its last change: they are translated, and the log is read on top (tables.md 8, BUG-16)."""
    log = world.log(LOG)
    for key, value in (
        (b'[1,"k"]', b'"m1"'),
        (b'[1,"k"]', b'"m2"'),
        (b'[1,"other"]', b'"x"'),
        (b'[2,"k"]', b'"m0"'),
    ):
        log.append(key, value)
    log.truncate(1)  # what is in no log any more is in the database
    for _ in range(2):
        async with worker(world, datadir=tmp_path) as app:
            app.conf.create_directories()
            path = app.conf.tabledir / "totals-1.db"
            if not path.exists():
                database = Rdict(str(path), options=Options(raw_mode=True))
                database[b'"k"'] = b'["m0", "m1"]'
                database[b'"other"'] = b"[]"
                database[b"__faust\0offset__"] = b"3"
                database.close()
            members = await ready(app, store="rocksdb://")
            assert members == {"k": {"m1", "m2"}, "other": {"x"}}
            await app.tables.flush()
    assert (b'[3,"k","m1"]', b"1") in [(entry.key, entry.value) for entry in log.entries]


@pytest.mark.parametrize("store", STORES)
async def test_8_a_log_of_operations_can_stay_one(
    world: World, tmp_path: Any, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The setting keeps operations; what faust-streaming cannot read is told (tables.md 8)."""
    log = world.log(LOG)
    for key, value in (
        (b'[15,"k"]', b'[["a",["t",1]],[]]'),
        (b'[2,"k"]', b'"a"'),
        (b'[1,"j"]', b"null"),
    ):
        log.append(key, value)
    settings = {"datadir": tmp_path, "table_set_changelog_format": "operations"}
    async with worker(world, **settings) as app:
        app.conf.create_directories()
        members = await ready(app, store=store)
        assert members == {"k": {("t", 1)}, "j": {None}}
        await app.tables.flush()
        assert len(log.entries) == 3
        with event_of(world.tasks[HERE]):
            members["k"].add("é")
            members["k"].discard(("t", 1))
            members["j"].clear()
        await app.tables.flush()
        assert members.changelog_spec(4).config == {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
        }
    written = {(entry.key, entry.value) for entry in log.entries[3:]}
    assert written == {
        (b'[1,"k"]', '"é"'.encode()),
        (b'[2,"k"]', b'["t",1]'),
        (b'[2,"j"]', b"null"),
    }
    assert "--rewrite" not in caplog.text
    log.append(b'[3,"k","new"]', b"1")
    async with worker(world, **settings) as app:
        app.conf.create_directories()
        assert await ready(app, store=store) == {"k": {"é", "new"}}
    assert "--rewrite" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"), [(b'[7,"k"]', b"1"), (b'"k"', b"1"), (b'[15,"k"]', b"5")]
)
async def test_8_what_is_no_operation_is_an_error(
    world: World, app: App, key: bytes, value: bytes
) -> None:
    """A record that says nothing about sets ends recovery with its place, and is not skipped (tables.md 8)."""
    world.log(LOG).append(key, value)
    app.SetTable("totals")
    with pytest.raises(KeyDecodeError, match=r"shop-totals-changelog\[1\] at offset 0"):
        await hold(app)


async def test_8_hooks(app: App, world: World) -> None:
    """Hooks of the set are called before the change, and may prevent it (tables.md 8)."""
    calls: list[Any] = []

    class Loud(ChangeloggedSet[Any]):
        def on_add(self, value: Any) -> None:
            calls.append(("add", value, self.copy()))
            if value == "no":
                raise ValueError(value)

        def on_discard(self, value: Any) -> None:
            calls.append(("discard", value, self.copy()))

        def on_clear(self) -> None:
            calls.append(("clear", self.copy()))

        def on_change(self, added: set[Any], removed: set[Any]) -> None:
            calls.append((added, removed, self.copy()))

    members = await ready(app)
    members.ValueType = Loud
    with event_of(world.tasks[HERE]):
        members["k"].add(1)
        members["k"].update({2})
        members["k"].discard(1)
        members["k"].clear()
        with pytest.raises(ValueError, match="no"):
            members["k"].add("no")
        assert members["k"] == set()
    assert calls == [
        ("add", 1, set()),
        ({2}, set(), {1}),
        ("discard", 1, {1, 2}),
        ("clear", {2}),
        ("add", "no", set()),
    ]


async def test_8_windowed_sets(app: App, world: World) -> None:
    """Changes go to every window of the time, reading is of one; windows expire (tables.md 8, BUG-20)."""
    closed: list[Any] = []
    members = app.SetTable("totals", on_window_close=lambda *call: closed.append(call)).hopping(
        10, 5, expires=60, key_index=True
    )
    await hold(app)
    await app.tables.on_start()

    def at(moment: float) -> Any:
        return event_of(world.tasks[HERE], at=moment)

    with at(12):
        members["k"].add("v")
    await app.tables.flush()
    assert log_of(world) == [
        (b'[3,["k",[5.0,14.9]],"v"]', b"1"),
        (b'[3,["k",[10.0,19.9]],"v"]', b"1"),
    ]
    with at(17):
        members["k"].update(["w", "x"])
        members["k"] |= {"y"}
        members["k"] -= {"x"}
        members["k"] ^= {"z"}
        members["k"] &= {"v", "w", "z"}
        assert members["k"].current() == {"w", "z"}
        assert members["k"].delta(5) == {"v", "w", "z"}
        assert members["k"].value() == set(members["k"]) == {"w", "z"}
        assert ("w" in members["k"], len(members["k"])) == (True, 2)
        assert members["k"].now() == set()
        assert dict(members.items()) == {"k": {"w", "z"}}
        members["k"].remove("z")
        members["k"].discard("z")
        with pytest.raises(KeyError, match="z"):
            members["k"].remove("z")
        with pytest.raises(TypeError, match="cannot apply"):
            members["k"] += {1}
        with pytest.raises(NotImplementedError, match="cannot be assigned"):
            members["k"] = {1}
        assert "k" in members
        del members["k"]
        assert "k" not in members
        with pytest.raises(KeyError, match="k"):
            del members["k"]
    with at(1000):
        members["other"].add(1)
    assert set(members) == {"k", "other"}
    assert app.tables._cleaner is not None
    await app.tables._cleaner.clean(0)
    assert closed == [(("k", (5.0, 14.9)), {"v"})]
    assert set(members) == {"other"}
    await app.tables.flush()
    assert list(members.table) == [("other", (995.0, 1004.9)), ("other", (1000.0, 1009.9))]


@pytest.mark.parametrize("store", STORES)
async def test_pain_31_windowed_sets_after_a_restart(
    world: World, tmp_path: Any, store: str
) -> None:
    """Windows of sets are found, and expire, after a restart (pain row 31)."""
    for turn in range(2):
        async with worker(world, datadir=tmp_path) as app:
            app.conf.create_directories()
            members = app.SetTable("totals", store=store).tumbling(10, expires=60)
            await hold(app)
            await app.tables.on_start()
            with event_of(world.tasks[HERE], at=12.0):
                assert members["k"].current() == ({1, 2} if turn else set())
                members["k"].update({1, 2})
            await app.tables.flush()
            if turn:
                assert app.tables._cleaner is not None
                await app.tables._cleaner.clean(100)
                await app.tables._cleaner.clean(100)
                await app.tables.flush()
                assert len(members.table) == 0
    assert world.log(LOG).contents() == {}


async def test_8_1_manager_is_off(app: App) -> None:
    """Without start_manager its methods are a RuntimeError (tables.md 8.1)."""
    members = app.SetTable("totals")
    for operate in (
        members.manager.add("k", 1),
        members.manager.discard("k", 1),
        members.manager.clear("k"),
        members.manager.update("k", [1]),
        members.manager.difference_update("k", [1]),
        members.manager.intersection_update("k", [1]),
        members.manager.symmetric_difference_update("k", [1]),
    ):
        with pytest.raises(RuntimeError, match="start_manager=True"):
            await operate


async def test_declaring(app: App) -> None:
    """Sets know no default, aliasing or ttl; a clone and a global one are what they should be (tables.md 9, BUG-19)."""
    for option in ({"default": int}, {"aliasing": True}, {"ttl": 5}):
        with pytest.raises(ValueError, match="a table of sets knows no"):
            app.SetTable("x", **option)
    members = app.SetTable("totals", key_type=str, value_type=int, partitions=3)
    copy = members.clone(name="copy")
    assert isinstance(copy, faust.SetTable)
    assert (copy.key_type, copy.value_type, copy.partitions) == (str, int, 3)
    everywhere = app.SetGlobalTable("everywhere")
    assert isinstance(everywhere, faust.SetGlobalTable)
    assert everywhere.is_global
    assert isinstance(members.codec, SetCodec)
    assert (members.key_serializer, members.value_serializer) == ("json", "json")


async def test_sensors(app: App, world: World) -> None:
    """Sensors are told of members that come and go."""
    calls: list[Any] = []

    class Sensor(faust.sensors.base.Sensor):  # type: ignore[name-defined, misc]
        def on_table_get(self, table: Any, key: Any) -> None:
            calls.append(("get", key))

        def on_table_set(self, table: Any, key: Any, value: Any) -> None:
            calls.append(("set", key, value))

        def on_table_del(self, table: Any, key: Any) -> None:
            calls.append(("del", key))

    app.sensors.add(Sensor())
    members = await ready(app)
    with event_of(world.tasks[HERE]):
        members["k"].add(1)
        members["k"].discard(1)
        members["k"].discard(1)
    assert calls == [("get", "k"), ("set", "k", 1), ("get", "k"), ("del", "k"), ("get", "k")]


async def test_10_000_sets_are_bounded(
    world: World, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Of sets on disk only so many are held as the bound says (stores.md 4.3)."""
    caplog.set_level(logging.INFO)
    async with worker(world, datadir=tmp_path) as app:
        app.conf.create_directories()
        members = await ready(app, store="rocksdb://")
        partition = members.held[1]
        partition.max_cached = 10
        with event_of(world.tasks[HERE]):
            for number in range(100):
                members[number].add(number)
            await app.tables.flush()
            for number in range(100):
                assert members[number] == {number}
        assert len(partition.sets) <= 111
        with event_of(world.tasks[HERE]):
            for number in range(100):
                assert members[number] == {number}
        assert len(partition.sets) <= 11
        assert len(members) == 100


async def test_emptied_sets_are_let_go(world: World, tmp_path: Any, store: str) -> None:
    """A set in memory that has no members is not held, once the changelog knows; nothing of it is forgotten before."""
    async with worker(world, store=store, datadir=tmp_path) as app:
        app.conf.create_directories()
        members = await ready(app)
        partition = members.held[1]
        driver = app.producer_driver

        def fill(value: str) -> None:
            with event_of(world.tasks[HERE]):
                for number in range(20):
                    members[f"session-{number}"].add(value)

        def empty() -> None:
            with event_of(world.tasks[HERE]):
                for number in range(20):
                    members[f"session-{number}"].clear()

        fill("x")
        members_of_one = members["session-1"]
        await app.tables.flush()
        empty()
        with event_of(world.tasks[HERE]):
            members["kept"].add("y")
        driver.failure = RuntimeError("not today")
        with pytest.raises(RuntimeError, match="not today"):
            await app.tables.flush()
        driver.gate.clear()
        flush = asyncio.create_task(app.tables.flush())
        while not driver.open:
            await asyncio.sleep(0)
        fill("z")
        empty()
        driver.gate.set()
        await flush
        await app.tables.flush()
        assert world.log(LOG).contents() == {b'[3,"kept","y"]': b"1"}
        assert dict(members.items()) == {"kept": {"y"}}
        if partition.volatile:
            assert set(partition.sets) == {"kept"}
        with event_of(world.tasks[HERE]):
            members_of_one.add("again")
        assert members["session-1"] == {"again"}
        await app.tables.flush()
    async with worker(world, store=store, datadir=tmp_path) as app:
        app.conf.create_directories()
        members = await ready(app)
        assert dict(members.items()) == {"kept": {"y"}, "session-1": {"again"}}


async def test_sets_that_others_empty_are_let_go(world: World) -> None:
    """So are those of global tables."""
    async with worker(world) as one, worker(world) as other:
        mine, theirs = one.SetGlobalTable("totals"), other.SetGlobalTable("totals")
        await assign(one, HERE)
        await assign(other)
        with event_of(one.world.tasks[HERE]):
            mine["k"].add(1)
            mine["kept"].add(1)
        await one.tables.flush()
        await eventually(lambda: theirs["k"] == theirs["kept"] == {1})
        with event_of(one.world.tasks[HERE]):
            mine["k"].clear()
        await one.tables.flush()
        await eventually(lambda: "k" not in theirs)
        assert {key for table in (mine, theirs) for key in table.held[1].sets} == {"kept"}
