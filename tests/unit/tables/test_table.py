"""The mapping API of a table: inside a stream one partition, outside all of them."""

from __future__ import annotations

import asyncio
import copy
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.support.changelogs import App, World, assign, event_of, worker

import faust
from faust.exceptions import NotReady, PartitionsMismatch, ValueDecodeError
from faust.messages import TP
from faust.tables.table import Table

ALL = [
    *(TP("orders", number) for number in range(4)),
    *(TP("shop-totals-changelog", number) for number in range(4)),
]
HERE, THERE = ALL[1], ALL[2]


@pytest.fixture(params=["memory://", "rocksdb://"])
def store(request: pytest.FixtureRequest) -> str:
    """Every test of this module holds for every store (pain row 36)."""
    url: str = request.param
    return url


async def ready(app: App, **options: Any) -> Table[Any, Any]:
    """Declare the table totals, and hold everything."""
    table = app.Table("totals", **options)
    await assign(app, *ALL)
    return table


# -- one key


async def test_a_counter(app: App, world: World) -> None:
    """Reading a missing key gives the default without storing it; writing stores."""
    totals = await ready(app, default=int)
    with event_of(world.tasks[HERE]):
        assert totals["nobody"] == 0
        assert "nobody" not in totals
        totals["x"] += 1
        totals["x"] += 1
        assert totals["x"] == 2
    assert totals["x"] == 2
    assert len(totals) == 1


async def test_each_default_is_a_fresh_one(app: App, world: World) -> None:
    """The default factory is called for every missing read."""
    totals = await ready(app, default=list)
    with event_of(world.tasks[HERE]):
        assert totals["x"] is not totals["x"]
        assert totals.get("x", "ignored") == []
        assert totals.setdefault("x", ["ignored"]) == []
        assert "x" not in totals


async def test_without_a_default_a_missing_key_is_a_key_error(app: App, world: World) -> None:
    """A table without default behaves like a dict."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        with pytest.raises(KeyError, match="nobody"):
            totals["nobody"]
        assert totals.get("nobody") is None
        assert totals.get("nobody", 7) == 7
        assert totals.setdefault("x", 3) == 3
        assert totals["x"] == 3
    with pytest.raises(KeyError, match="nobody"):
        totals["nobody"]


async def test_deleting_a_missing_key_sends_nothing(app: App, world: World) -> None:
    """A KeyError comes before anything is produced, also from pop, also with a default factory."""
    totals = await ready(app, default=int)
    with event_of(world.tasks[HERE]):
        with pytest.raises(KeyError):
            del totals["x"]
        with pytest.raises(KeyError):
            totals.pop("x")
        assert totals.pop("x", 5) == 5
        assert totals.pop("x", None) is None
    await app.tables.flush()
    assert world.log(ALL[5]).entries == []


async def test_pop_removes_and_returns(app: App, world: World) -> None:
    """The popped key is gone, and its tombstone is sent."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals["x"] = 1
        await app.tables.flush()
        assert totals.pop("x", 9) == 1
        assert "x" not in totals
    await app.tables.flush()
    assert [(entry.key, entry.value) for entry in world.log(ALL[5]).entries] == [
        (b'"x"', b"1"),
        (b'"x"', None),
    ]


async def test_popitem_takes_the_oldest(app: App, world: World) -> None:
    """Entries are popped in iteration order until a KeyError says that there are none."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals.update(a=1, b=2)
        assert totals.popitem() == ("a", 1)
        assert totals.popitem() == ("b", 2)
        with pytest.raises(KeyError):
            totals.popitem()


async def test_update_takes_what_dict_takes(app: App, world: World) -> None:
    """Mappings, pairs and keyword arguments are all right."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals.update({"a": 1}, b=2)
        totals.update([("c", 3), ("d", 4)])
        assert totals.copy() == {"a": 1, "b": 2, "c": 3, "d": 4}
        assert type(totals.copy()) is dict


async def test_none_is_a_value(app: App, world: World) -> None:
    """None is kept and sent as null; it is not a deletion."""
    totals = await ready(app, default=int)
    with event_of(world.tasks[HERE]):
        totals["x"] = None
        assert totals["x"] is None
        assert "x" in totals
    await app.tables.flush()
    assert world.log(ALL[5]).entries[0].value == b"null"


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        (None, 1, "None cannot be a key"),
        (b"k", 1, "key_type=bytes"),
        ("k", b"raw", "value_type=bytes"),
        ([1], 1, "unhashable"),
        (object(), 1, "cannot be encoded"),
    ],
)
async def test_what_cannot_be_kept_is_refused_when_it_is_written(
    app: App, world: World, key: Any, value: Any, part: str
) -> None:
    """A TypeError says what to do, and nothing has changed: neither the table nor its changelog."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        with pytest.raises(TypeError, match=part):
            totals[key] = value
        assert len(totals) == 0
    await app.tables.flush()
    assert world.log(ALL[5]).entries == []


async def test_a_bytes_table_keeps_bytes(app: App, world: World) -> None:
    """Keys and values of bytes travel as they are."""
    totals = await ready(app, key_type=bytes, value_type=bytes)
    with event_of(world.tasks[HERE]):
        totals[b"\xff"] = b"\x00"
        assert totals[b"\xff"] == b"\x00"
        with pytest.raises(TypeError, match=r"key 7 .*bytes"):
            totals[7] = b""
    await app.tables.flush()
    assert world.log(ALL[5]).contents() == {b"\xff": b"\x00"}


# -- where we are


async def test_inside_a_stream_there_is_one_partition(app: App, world: World) -> None:
    """Reading, length, iteration and clear concern the partition of the event in hand only."""
    totals = await ready(app, default=int)
    with event_of(world.tasks[HERE]):
        totals.update(a=1, b=2)
    with event_of(world.tasks[THERE]):
        assert totals["a"] == 0
        assert "a" not in totals
        assert list(totals) == []
        totals["c"] = 3
        assert dict(totals.items()) == {"c": 3}
        totals.clear()
        assert not totals
    with event_of(world.tasks[HERE]):
        assert list(totals.values()) == [1, 2]


async def test_events_of_two_partitions_in_turn(app: App, world: World) -> None:
    """Whoever switches from partition to partition finds each as he left it."""
    totals = await ready(app, default=int)
    for _ in range(3):
        for tp in (HERE, THERE):
            with event_of(world.tasks[tp]):
                totals["x"] += 1
                assert "x" in totals
    with event_of(world.tasks[THERE]):
        assert totals["x"] == 3
    assert len(totals) == 2


async def test_outside_a_stream_all_partitions_are_searched(app: App, world: World) -> None:
    """Timers and views see everything that this worker holds, and a plain dict compares equal."""
    totals = await ready(app)
    for number, tp in enumerate(ALL[:4]):
        with event_of(world.tasks[tp]):
            totals[f"k{number}"] = number
    assert totals["k3"] == 3
    assert "k2" in totals
    assert "k4" not in totals
    assert len(totals) == 4
    assert list(totals) == ["k0", "k1", "k2", "k3"]
    assert totals == {"k0": 0, "k1": 1, "k2": 2, "k3": 3}
    assert sorted(totals.keys()) == list(totals)
    assert bool(totals)


@pytest.mark.parametrize("operation", ["set", "del", "pop", "popitem", "clear", "update"])
async def test_outside_a_stream_nothing_can_be_written(app: App, operation: str) -> None:
    """The TypeError names the table and tells where to write instead."""
    totals = await ready(app)
    operations: dict[str, Any] = {
        "set": lambda: totals.__setitem__("x", 1),
        "del": lambda: totals.__delitem__("x"),
        "pop": lambda: totals.pop("x", None),
        "popitem": totals.popitem,
        "clear": totals.clear,
        "update": lambda: totals.update(x=1),
    }
    with pytest.raises(TypeError, match=r"table 'totals'.*`async for` loop.*send an event"):
        operations[operation]()


async def test_a_topic_with_another_number_of_partitions(world: World) -> None:
    """Writing is a PartitionsMismatch that names both topics, both counts and the cure; reading searches all."""
    world.make("clicks", 5)
    async with worker(world) as app:
        totals = app.Table("totals", default=int)
        await assign(app, *ALL, TP("clicks", 1))
        with event_of(world.tasks[HERE]):
            totals["x"] = 1
        with event_of(world.tasks[TP("clicks", 1)]):
            with pytest.raises(PartitionsMismatch) as caught:
                totals["y"] = 1
            assert totals["x"] == 1
            assert totals["y"] == 0
    message = str(caught.value)
    for part in (
        "shop-totals-changelog",
        "has 4 partitions",
        "clicks, which has 5",
        "partitions=4",
        "partitions=5",
        "group_by",
    ):
        assert part in message


async def test_an_event_of_a_channel_has_no_partition(app: App, world: World) -> None:
    """Writing from an in-memory channel is a TypeError; reading searches all."""
    from faust._core.lanes import PartitionTask

    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals["x"] = 1
    with event_of(PartitionTask(TP("<Channel: 1>", -1), -1)):
        assert totals["x"] == 1
        with pytest.raises(TypeError, match="no topic that this worker"):
            totals["x"] = 2


async def test_an_event_of_a_revoked_partition_is_refused(app: App, world: World) -> None:
    """Neither reads nor writes of an old assignment touch the state of the new one."""
    totals = await ready(app)
    old = world.tasks[HERE]
    with event_of(old):
        totals["x"] = 1
        await app.tables.on_partitions_revoked(frozenset(ALL), lost=False)
        with pytest.raises(NotReady, match=r"orders\[1\].*generation 1.*processed again"):
            totals["x"] = 2
        await assign(app, *ALL)
        for operation in (lambda: totals["x"], lambda: totals.update(x=2), lambda: len(totals)):
            with pytest.raises(NotReady):
                operation()
    assert totals["x"] == 1


async def test_writing_with_concurrency_warns_once(
    app: App, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An agent with concurrency may write, as ever, but is told what may happen."""
    totals = await ready(app, default=int)
    with caplog.at_level(logging.WARNING, logger="faust.tables.table"):
        for tp in (HERE, THERE, HERE):
            with event_of(world.tasks[tp], shared=True):
                totals["x"] += 1
    assert "concurrency > 1, reading orders" in caplog.text
    assert len(caplog.records) == 1


# -- iteration


async def test_iteration_survives_writes(app: App, world: World) -> None:
    """Keys are those there were at the start; entries deleted meanwhile are left out of items."""
    totals = await ready(app)
    with event_of(world.tasks[HERE]):
        totals.update({f"k{number}": number for number in range(5)})
        seen = []
        for key, value in totals.items():
            seen.append((key, value))
            totals.pop("k3", None)
            totals[f"new-{key}"] = 0
        assert seen == [("k0", 0), ("k1", 1), ("k2", 2), ("k4", 4)]


async def test_iteration_over_recovered_entries_survives_reads(world: World) -> None:
    """Reading moves a recovered entry from bytes to values; the iteration under way does not notice."""
    log = world.log(ALL[5])
    for number in range(5):
        log.append(b'["k",%d]' % number, b"%d" % number)
    async with worker(world) as app:
        totals = await ready(app)
        with event_of(world.tasks[HERE]):
            totals["k", 2] = 20
            totals["new"] = 99
            del totals["k", 3]
            assert len(totals) == 5
            assert [totals[key] for key in totals] == [0, 1, 4, 20, 99]
            assert len(totals) == 5
            assert sorted(totals.values()) == [0, 1, 4, 20, 99]
            await app.tables.flush()
            assert len(totals) == 5
            assert ("k", 3) not in totals


async def test_a_recovered_value_that_cannot_be_read_says_where_it_is(world: World) -> None:
    """The error is raised where the value is read, and names table, key, topic and partition."""
    world.log(ALL[5]).append(b'"x"', b"{broken")
    async with worker(world) as app:
        totals = await ready(app, default=int)
        with (
            event_of(world.tasks[HERE]),
            pytest.raises(ValueDecodeError, match=r"'x'.*'totals'.*shop-totals-changelog\[1\]"),
        ):
            totals["x"] += 1
        assert "x" in totals


# -- the object


async def test_a_table_is_itself(app: App) -> None:
    """It is hashable by identity, says its name, and copies to an unregistered table."""
    totals = await ready(app, default=int, help="what was sold")
    assert repr(totals) == "<Table: totals>"
    assert {totals: 1}[totals] == 1
    clone = copy.copy(totals)
    assert clone is not totals
    assert (clone.name, clone.default, clone.help) == ("totals", int, "what was sold")
    assert totals.clone(name="others").changelog_topic_name == "shop-others-changelog"
    assert list(app.tables) == ["totals"]


async def test_tables_cannot_be_joined(app: App) -> None:
    """Every way to join says so."""
    totals = await ready(app)
    for way in (
        totals.join,
        totals.left_join,
        totals.inner_join,
        totals.outer_join,
        totals.combine,
    ):
        with pytest.raises(NotImplementedError):
            way("field")
    with pytest.raises(NotImplementedError):
        totals & totals


async def test_hooks_are_called_where_they_are_overridden(app: App, world: World) -> None:
    """A subclass is told of reads, writes, deletions and clear, and may prevent them."""
    told: list[Any] = []

    class Audited(Table[str, int]):
        def on_key_get(self, key: str) -> None:
            told.append(("get", key))

        def on_key_set(self, key: str, value: int) -> None:
            told.append(("set", key, value))
            if value < 0:
                raise ValueError("negative")

        def on_key_del(self, key: str) -> None:
            told.append(("del", key))

        def on_clear(self) -> None:
            told.append("clear")

    table = Audited(app, name="totals", default=int)
    app.tables.add(table)
    await assign(app, *ALL)
    with event_of(world.tasks[HERE]):
        table["a"] += 1
        with pytest.raises(ValueError, match="negative"):
            table["a"] = -1
        assert table["a"] == 1
        del table["a"]
        table.clear()
    assert told == [
        ("get", "a"),
        ("set", "a", 1),
        ("set", "a", -1),
        ("get", "a"),
        ("del", "a"),
        "clear",
    ]
    assert Table.__getitem__ is not Audited.__getitem__


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({"partitions": 0}, ValueError, "partitions must be at least 1"),
        ({"recovery_buffer_size": 0}, ValueError, "recovery_buffer_size"),
        ({"default": 0}, TypeError, "default must be a function"),
        ({"on_recover": print}, TypeError, "async def"),
        ({"key_serializer": "raw"}, TypeError, "key_serializer"),
    ],
)
async def test_bad_options_are_refused(
    app: App, options: dict[str, Any], error: type[Exception], part: str
) -> None:
    """The error says which option is wrong and what is expected."""
    with pytest.raises(error, match=part):
        app.Table("totals", **options)


async def test_a_child_task_writes_to_the_event_in_hand(app: App, world: World) -> None:
    """What an agent awaits within an event (gather, create_task) belongs to that event."""
    totals = await ready(app, default=int)

    async def add() -> None:
        totals["x"] += 1

    with event_of(world.tasks[THERE]):
        await asyncio.gather(add(), add())
        assert totals["x"] == 2
    assert totals.held[2].live == {"x": 2}


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({"window": object()}, TypeError, r"faust\.Window"),
        ({"standby_buffer_size": 0}, ValueError, "standby_buffer_size"),
        ({"on_changelog_event": print}, TypeError, "async def"),
        ({"synchronize_all_active_partitions": True}, ValueError, "app.GlobalTable"),
        ({"ttl": 0}, ValueError, "ttl must be a positive"),
        ({"ttl": 5, "window": faust.TumblingWindow(5)}, ValueError, "ttl= is for tables without"),
        ({"grace": -1}, ValueError, "grace must be"),
        ({"late_topic": "late"}, TypeError, r"wants an app.topic\(...\), got 'late'"),
        ({"key_serializer": "json"}, TypeError, "key_serializer"),
    ],
)
async def test_1_wrong_options(
    app: App, options: dict[str, Any], error: type[Exception], part: str
) -> None:
    """An option that cannot be is an error that names it, when the table is declared (tables.md 1)."""
    with pytest.raises(error, match=part):
        app.Table("totals", **options)


async def test_9_clone(app: App) -> None:
    """A clone has everything of the original but its place in the app and its changelog (tables.md 9, BUG-22)."""

    async def recovered() -> None:
        pass

    async def heard(event: Any) -> None:
        pass

    def closed(key: Any, value: Any) -> None:
        pass

    options: dict[str, Any] = {
        "default": int,
        "store": "rocksdb://",
        "key_type": str,
        "value_type": int,
        "partitions": 3,
        "help": "words",
        "on_recover": recovered,
        "on_changelog_event": heard,
        "on_window_close": closed,
        "recovery_buffer_size": 5,
        "standby_buffer_size": 7,
        "extra_topic_configs": {"segment.ms": 1},
        "options": {"max_open_files": 5},
        "use_partitioner": True,
        "aliasing": True,
        "ttl": 5.0,
        "grace": 6.0,
    }
    for declare in (app.Table, app.GlobalTable):
        table = declare(f"table-{declare.__name__}", **options)
        assert table.changelog_topic_name == f"shop-{table.name}-changelog"
        copy = table.clone(name="other")
        assert type(copy) is type(table)
        assert "other" not in app.tables
        expected = {**table.info(), "name": "other"}
        assert copy.info() == expected
        assert copy.is_global == table.is_global
        assert copy.changelog_topic_name == "shop-other-changelog"
        assert copy.recover_callbacks == (recovered,)


async def test_11_global_table(app: App) -> None:
    """A global table is a table, whose standby buffer may be chosen (tables.md 1 and 11)."""
    table = app.GlobalTable("g", default=int, synchronize_all_active_partitions=True)
    assert isinstance(table, faust.Table)
    assert (table.is_global, table.standby_buffer_size) == (True, 1)
    assert app.GlobalTable("h", standby_buffer_size=9).standby_buffer_size == 9
    assert app.tables.global_topics == {"shop-g-changelog", "shop-h-changelog"}
    assert app.tables.group_topics == set()


async def test_6_as_ansitable(app: App, world: World) -> None:
    """A table is drawn as text, titled after it, sorted on demand (tables.md 6)."""
    totals = app.Table("totals")
    await assign(app, *ALL)
    with event_of(world.tasks[HERE]):
        totals.update({"x": 1, "a": 2})
    assert totals.as_ansitable(sort=True) == (
        "+Totals-------+\n| Key | Value |\n+-----+-------+\n| a   | 2     |\n| x   | 1     |\n"
        "+-----+-------+"
    )
    other = totals.to_text(
        "my_{table.name}", key="k", value="v", sort=True, sortkey=lambda item: item[1]
    )
    assert other == ("+My Totals\n| K | V |\n+---+---+\n| x | 1 |\n| a | 2 |\n+---+---+")


async def test_4_3_of_a_table_on_disk_only_so_much_is_held(world: World, tmp_path: Path) -> None:
    """What was read and written of a table on disk is held up to a bound, and never what is unsent (stores.md 4.3)."""
    async with worker(world, datadir=tmp_path) as app:
        app.conf.create_directories()
        totals = await ready(app, store="rocksdb://")
        partition = totals.held[1]
        partition.max_cached = 100
        with event_of(world.tasks[HERE]):
            for number in range(1000):
                totals[number] = number
            assert len(partition.live) == 1000
            await app.tables.flush()
            assert len(partition.live) <= 100
            totals["unsent"] = 1
            for number in range(1000):
                assert totals[number] == number
                assert len(partition.live) <= 102
            assert totals["unsent"] == 1
            assert len(totals) == 1001
