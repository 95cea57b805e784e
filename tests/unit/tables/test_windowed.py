"""Windowed tables: which window is read and written, as in windows.md section 2."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.changelogs import App, World, assign, event_of

import faust
from faust.exceptions import ImproperlyConfigured
from faust.messages import TP

HERE = TP("orders", 3)
LOG = TP("shop-totals-changelog", 3)


@pytest.fixture(params=["memory://", "rocksdb://"])
def store(request: pytest.FixtureRequest) -> str:
    """Every test of this module holds for every store (pain row 36)."""
    url: str = request.param
    return url


class Click(faust.Record):
    created: Any
    user: str = "me"


async def declare(app: App, *, key_index: bool = False, window: Any = None, **options: Any) -> Any:
    """Declare the table totals with a window (hopping 10/5), and hold everything."""
    options.setdefault("default", int)
    table = app.Table("totals", **options)
    wrapper = table.using_window(
        window or faust.HoppingWindow(10, 5, expires=600), key_index=key_index
    )
    topics = {"orders", "shop-totals-changelog"}
    if key_index:
        if TP("shop-totals-key_index-changelog", 0) not in app.world.logs:
            app.world.make("shop-totals-key_index-changelog", 4)
        topics.add("shop-totals-key_index-changelog")
    await assign(app, *(TP(topic, number) for topic in sorted(topics) for number in range(4)))
    return wrapper


def at(world: World, moment: float, **options: Any) -> Any:
    """Have an event of that time in hand."""
    return event_of(world.tasks[HERE], at=moment, **options)


def log_of(world: World, tp: TP = LOG) -> list[tuple[bytes | None, bytes | None]]:
    """Return keys and values of a log."""
    return [(entry.key, entry.value) for entry in world.log(tp).entries]


async def test_2_4_worked_example(app: App, world: World) -> None:
    """The worked example: hopping 10/5, events at 12 and 17 (windows.md 2.1 and 2.4)."""
    hits = await declare(app)
    with at(world, 12):
        hits["k"] += 1
    await app.tables.flush()
    assert log_of(world) == [(b'["k",[5.0,14.9]]', b"1"), (b'["k",[10.0,19.9]]', b"1")]
    with at(world, 17):
        hits["k"] += 1
        assert hits["k"].current() == 1
        assert hits["k"].delta(5) == 2
        assert hits["k"].delta(10) == 1
        assert hits["k"].value() == 1
        assert "k" in hits
        assert "x" not in hits
    await app.tables.flush()
    assert log_of(world)[2:] == [(b'["k",[10.0,19.9]]', b"2"), (b'["k",[15.0,24.9]]', b"1")]
    with at(world, 7):
        assert hits["k"].current() == 1
    assert dict(hits.table.items()) == {
        ("k", (5.0, 14.9)): 1,
        ("k", (10.0, 19.9)): 2,
        ("k", (15.0, 24.9)): 1,
    }


@pytest.mark.parametrize(
    ("operate", "expected"),
    [
        (lambda w: w.__setitem__("k", 9), 9),
        (lambda w: w["k"].__isub__(1), 6),
        (lambda w: w["k"].__imul__(2), 14),
        (lambda w: w["k"].__itruediv__(2), 3.5),
        (lambda w: w["k"].__ifloordiv__(2), 3),
        (lambda w: w["k"].__imod__(4), 3),
        (lambda w: w["k"].__ipow__(2), 49),
        (lambda w: w["k"].__ilshift__(1), 14),
        (lambda w: w["k"].__irshift__(1), 3),
        (lambda w: w["k"].__iand__(5), 5),
        (lambda w: w["k"].__ixor__(1), 6),
        (lambda w: w["k"].__ior__(8), 15),
        (lambda w: w["k"].apply(max, 8), 8),
        (lambda w: w.update({"k": 1}), 1),
    ],
)
async def test_2_4_operators(app: App, world: World, operate: Any, expected: Any) -> None:
    """Each operator is applied in every range of the timestamp (windows.md 2.3 and 2.4)."""
    hits = await declare(app)
    with at(world, 12):
        hits["k"] = 7
        operate(hits)
        assert hits["k"][5.0, 14.9] == hits["k"][10.0, 19.9] == expected


async def test_2_3_delete(app: App, world: World) -> None:
    """Deleting a key deletes the ranges of the timestamp that are there; none is a KeyError (windows.md 2.3)."""
    hits = await declare(app)
    with at(world, 12):
        hits["k"] += 1
    with at(world, 17):
        del hits["k"]
        with pytest.raises(KeyError, match="k"):
            del hits["k"]
        assert "k" not in hits
    assert list(hits.table) == [("k", (5.0, 14.9))]


async def test_2_3_mapping_methods_give_window_sets(app: App, world: World) -> None:
    """The get, setdefault and pop of a window wrapper give window sets (windows.md 2.3)."""
    hits = await declare(app)
    with at(world, 12):
        hits["k"] += 1
        assert hits.get("k").current() == 1
        assert hits.setdefault("x", 5).current() == 0
        assert hits.pop("k").current() == 0
        assert list(hits.table) == []
    assert repr(hits["k"]) == "<WindowSet: totals['k']>"
    assert repr(hits).startswith("<WindowWrapper: totals HoppingWindow")
    assert hits.name == "totals"
    assert bool(hits)


async def test_2_4_ranges_and_events(app: App, world: World) -> None:
    """A window set gives and takes single ranges; with an event it is fixed to it (windows.md 2.4)."""
    hits = await declare(app)
    with at(world, 12) as event:
        hits["k"] += 1
        first = event()
    with at(world, 100) as event:
        each = hits["k"]
        assert each[first].current() == 1
        assert each.current(first) == each.value(first) == 1
        assert each.delta(5, first) == 1
        each[200.0, 209.9] = 5
        assert each[200.0, 209.9] == 5
        del each[200.0, 209.9]
        assert each[200.0, 209.9] == 0
        with pytest.raises(NotImplementedError):
            each[first] = 1
        with pytest.raises(NotImplementedError):
            del each[first]
        for method in (each.keys, each.items, each.values):
            with pytest.raises(NotImplementedError):
                method()


async def test_2_4_missing_values(app: App, world: World) -> None:
    """Without a default a missing window is a KeyError of key and range (windows.md 2.4)."""
    hits = await declare(app, default=None)
    with at(world, 12), pytest.raises(KeyError) as caught:
        hits["k"].current()
    assert caught.value.args == (("k", (10.0, 19.9)),)
    with at(world, 12), pytest.raises(KeyError):
        hits["k"] += 1


async def test_2_2_relativity(app: App, world: World) -> None:
    """The time is the stream's, a field's, a function's, a constant or now; each gives a new wrapper (windows.md 2.2)."""
    hits = await declare(app, window=faust.TumblingWindow(10, expires=100))
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with at(world, 3.0, value=Click(created=123.0)) as event:
        assert hits.get_timestamp() == hits.relative_to_stream().get_timestamp() == 3.0
        assert hits.relative_to_field(Click.created).get_timestamp() == 123.0
        assert hits.relative_to(lambda e: e.value.created + 1).get_timestamp() == 124.0
        assert hits.relative_to(moment).get_timestamp() == moment.timestamp()
        assert hits.relative_to(7).get_timestamp() == 7
        assert hits.relative_to(7.5).get_timestamp(event()) == 7.5
        now = hits.relative_to_now()
        assert abs(now.get_timestamp() - time.time()) < 5
        by_field = hits.relative_to_field(Click.created)
        assert by_field.relative_to(None).get_timestamp() == 123.0
        assert hits.get_relative_timestamp is None
        hits.get_relative_timestamp = lambda _event: 55.0
        assert hits.clone(None).get_timestamp() == 55.0
    for created in (moment, "2020-01-01T00:00:00Z"):
        with at(world, 3.0, value=Click(created=created)):
            assert by_field.get_timestamp() == moment.timestamp()
    with at(world, 3.0, value=Click(created=None)), pytest.raises(TypeError, match="got None"):
        by_field.get_timestamp()
    for bad in ("created", True, object()):
        with pytest.raises(ImproperlyConfigured, match="relative_to wants"):
            hits.relative_to(bad)


async def test_2_2_no_event(app: App, world: World) -> None:
    """Without an event, what needs one is a RuntimeError that says what does not (windows.md 2.2, BUG-W8)."""
    hits = await declare(app, key_index=True)
    for operate in (
        hits.get_timestamp,
        hits["k"].current,
        hits["k"].value,
        lambda: hits["k"].delta(5),
        lambda: "k" in hits,
        lambda: hits.__setitem__("k", 1),
    ):
        with pytest.raises(RuntimeError, match="no event is in hand"):
            operate()
    with at(world, 12):
        hits["k"] += 1
    with pytest.raises(RuntimeError, match="no event is in hand"):
        list(hits.items())
    assert list(hits) == ["k"]


async def test_2_2_a_message_without_time(app: App, world: World) -> None:
    """A message that has no timestamp is an error that names it, and no window of 1969."""
    hits = await declare(app)
    with (
        at(world, -0.001),
        pytest.raises(ValueError, match=r"orders\[3\] at offset 0 has no timestamp"),
    ):
        hits["k"] += 1


async def test_pain_34_now_is_the_wall_clock(app: App, world: World) -> None:
    """Within a stream relative_to_now and now() mean the wall clock (windows.md BUG-W6 and BUG-W7)."""
    hits = await declare(app, window=faust.TumblingWindow(1e6, expires=1e7))
    now = hits.relative_to_now()
    with at(world, 12):
        now["k"] += 1
        assert now["k"].value() == hits["k"].now() == 1
        assert hits["k"].current() == 0
        [(_, (start, end))] = list(hits.table)
        assert start <= time.time() < end + 0.1


async def test_pain_37_reading_outside_streams(app: App, world: World) -> None:
    """A timer or view reads a windowed table by now, by delta, by a constant, and by a field (pain row 37)."""
    hits = await declare(app, key_index=True, window=faust.TumblingWindow(10, expires=1e6))
    click = Click(created=time.time())
    with at(world, 12, value=click) as event:
        hits.relative_to_field(Click.created)["k"] += 5
        seen = event()
    now = hits.relative_to_now()
    late = now["k"].value() == 0  # the wall clock may have left the window
    assert now["k"].now() == now["k"].value() == (0 if late else 5)
    assert hits.relative_to(click.created)["k"].value() == 5
    assert dict(hits.relative_to(click.created).items()) == {"k": 5}
    assert hits.relative_to_field(Click.created)["k"].value(seen) == 5
    assert dict(hits.relative_to_field(Click.created).items(seen)) == {"k": 5}
    assert now["k"].delta(0) in (0, 5)
    assert list(now.items().delta(1e5)) == [("k", 0)]
    fixed = hits.relative_to(click.created + 1e5)
    assert fixed["k"].delta(1e5) == 5
    assert list(fixed.items().delta(1e5)) == [("k", 5)]


async def test_2_5_key_index(app: App, world: World) -> None:
    """The index has each key once, its record comes with the first window and goes with the last (BUG-W9)."""
    hits = await declare(app, key_index=True)
    index_log = TP("shop-totals-key_index-changelog", 3)
    for moment in (12, 13, 17, 12):
        with at(world, moment):
            hits["k"] += 1
    with at(world, 30):
        hits["other"] += 1
    await app.tables.flush()
    assert log_of(world, index_log) == [(b'"k"', b"1"), (b'"other"', b"1")]
    assert app.tables["totals-key_index"] is hits.key_index_table
    with at(world, 17):
        assert len(hits) == 2
        assert list(hits) == list(hits.keys()) == ["k", "other"]
        assert dict(hits.items()) == {"k": 1, "other": 0}
        assert list(hits.values()) == [1, 0]
        del hits["k"]
        assert set(hits) == {"k", "other"}
        assert bool(hits)
    with at(world, 12):
        del hits["k"]
        assert list(hits) == ["other"]
    await app.tables.flush()
    assert log_of(world, index_log)[2:] == [(b'"k"', None)]


async def test_2_5_views(app: App, world: World) -> None:
    """Views iterate the index, and leave out keys without a window where there is no default (windows.md 2.5)."""
    hits = await declare(app, key_index=True, default=None)
    with at(world, 12):
        hits["a"] = 1
    with at(world, 17) as event:
        hits["b"] = 2
        last = event()
        assert dict(hits.items()) == {"b": 2}
        assert dict(hits.items().current()) == {"b": 2}
        assert dict(hits.items().delta(5)) == {"a": 1, "b": 2}
        assert list(hits.values().delta(10)) == [1]
        assert list(hits.values().current()) == [2]
        assert list(hits.keys().current()) == ["b"]
        assert list(hits.keys().delta(10)) == ["a"]
        assert list(hits.keys().now()) == list(hits.values().now()) == []
        assert list(hits.items().now()) == []
        hits.clear()
        assert len(hits) == 0
        assert not hits
    assert dict(hits.items(last)) == {}
    assert list(hits.values(last).current()) == []


async def test_2_5_views_outside(app: App, world: World) -> None:
    """A view of an event can be read outside of streams; len and iteration always (windows.md 2.5)."""
    hits = await declare(app, key_index=True)
    with at(world, 17) as event:
        hits["b"] = 2
        last = event()
    assert dict(hits.items(last)) == {"b": 2}
    assert list(hits.values(last)) == [2]
    assert (len(hits), list(hits.keys())) == (1, ["b"])
    assert hits.relative_to_now().items().now() is not None
    assert hits.relative_to(17).as_ansitable(sort=True) == (
        "+Totals-------+\n| Key | Value |\n+-----+-------+\n| b   | 2     |\n+-----+-------+"
    )


async def test_2_5_no_index(app: App, world: World) -> None:
    """Without a key index what needs one says how to get it (windows.md 2.3 and 2.5)."""
    hits = await declare(app)

    def iterate() -> Iterator[Any]:
        return iter(hits)

    for operate in (iterate, lambda: len(hits), lambda: list(hits.items()), hits.clear):
        with pytest.raises(NotImplementedError, match="key_index=True"):
            operate()


@pytest.mark.parametrize(
    ("store", "key_type"),
    [
        *(("memory://", each) for each in (None, str, int, float, bytes, Click)),
        *(("rocksdb://", each) for each in (None, bytes)),
    ],
)
async def test_pain_36_typed_keys_come_back(
    world: World, tmp_path: Any, key_type: Any, store: str
) -> None:
    """Keys of every type are found again after a restart, in the windows they had (tables.md 4.2, BUG-10, BUG-W5)."""
    from tests.support.changelogs import worker

    keys = {
        None: ("a", (1, ("b", 2))),
        str: "é",
        int: 5,
        float: 2.5,
        bytes: b"\0,[1]]",
        Click: Click(created=1),
    }
    key = keys[key_type]
    for expected in (0, 1):
        async with worker(world, datadir=tmp_path / str(expected)) as app:
            app.conf.create_directories()
            hits = await declare(app, key_type=key_type, store=store, key_index=True)
            with at(world, 12):
                assert hits[key].current() == expected
                assert list(hits.table) == (
                    [(key, (5.0, 14.9)), (key, (10.0, 19.9))] if expected else []
                )
                assert list(hits) == ([key] if expected else [])
                hits[key] += 1
            await app.tables.flush()


async def test_declaring(app: App) -> None:
    """A table has one window; the wrapper forwards what belongs to the table (tables.md 9, windows.md 2)."""
    table = app.Table("one")
    assert table.tumbling(10, expires=5).table is table
    assert table.tumbling(10, expires=5).table is table
    with pytest.raises(ValueError, match=r"has the window TumblingWindow.* already"):
        table.hopping(10, 5)
    wrapper: Any = app.Table("two", window=faust.TumblingWindow(5))
    assert isinstance(wrapper.table, faust.Table)
    assert wrapper.table.window == faust.TumblingWindow(5)
    hopping = app.Table("three").hopping(10, 5, expires=60, key_index=True)
    assert hopping.window == faust.HoppingWindow(10, 5, 60)
    assert "three-key_index" in app.tables

    @wrapper.on_recover  # type: ignore[untyped-decorator]
    async def recovered() -> None:
        pass

    assert wrapper.table.recover_callbacks == (recovered,)
    with pytest.raises(TypeError, match=r"faust\.Window"):
        app.Table("four").using_window("1h")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ttl="):
        app.Table("five", ttl=5).tumbling(5)


@pytest.mark.parametrize(
    ("window", "options", "config"),
    [
        (
            faust.TumblingWindow(10, 600),
            {},
            {"cleanup.policy": "compact,delete", "retention.ms": "610000"},
        ),
        (
            faust.TumblingWindow(10),
            {},
            {"cleanup.policy": "compact,delete", "retention.ms": "-1"},
        ),
        (
            faust.TumblingWindow(10),
            {"grace": 50},
            {"cleanup.policy": "compact,delete", "retention.ms": "60000"},
        ),
        (
            faust.HoppingWindow(100, 10, 5),
            {"grace": 50},
            {"cleanup.policy": "compact,delete", "retention.ms": "240000"},
        ),
        (
            faust.TumblingWindow(10, 600),
            {"extra_topic_configs": {"retention.ms": 1, "segment.ms": 2}},
            {"cleanup.policy": "compact,delete", "retention.ms": "1", "segment.ms": "2"},
        ),
    ],
)
async def test_pain_31_changelog_options(
    app: App, window: Any, options: dict[str, Any], config: dict[str, str]
) -> None:
    """The broker compacts and deletes, never sooner than a window may be kept (tables.md 4, pain row 31)."""
    wrapper: Any = app.Table("one", window=window, **options)
    assert wrapper.table.changelog_spec(3).config == config
