"""Draw the pictures of the guide pages tables, windows, stores, recovery and scaling from the code itself.

Nothing of what they show is written down here but where things stand: the states and the ways between them are found by
walking the code's own state machines (`PartitionPlan`, `TablePartition`), the places of windows and of partitions by asking
the code that decides them. A state that has no place in a picture is an error, so a picture cannot lag behind.

Usage::

    python scripts/state_pictures.py           # write docs/guide/images/*.svg
    python scripts/state_pictures.py --check   # exit 1 when one of them is not current
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple, TypeVar

from drawing import Arrow, Box, Picture

import faust
from faust.assignor.assignment import Claims, Share, assign_group
from faust.exceptions import ConsistencyError
from faust.messages import TP, RecordMetadata
from faust.serializers.registry import Registry
from faust.stores.memory import MemoryPartition
from faust.tables.codec import TableCodec
from faust.tables.expiry import WindowIndex
from faust.tables.partition import PartitionFlush, TablePartition
from faust.tables.plan import Bounds, PartitionPlan, Phase, start_of
from faust.windows import HoppingWindow, SlidingWindow, TumblingWindow, Window

IMAGES = Path(__file__).parent.parent / "docs" / "guide" / "images"
CHANGELOG = TP("shop-totals-changelog", 0)

M = TypeVar("M")
Do = Callable[[M], str | None]
"""Does something to a machine, and returns more words for it; None: it cannot be done now."""
Ways = dict[tuple[str, str], list[str]]


def walk(
    make: Callable[[], M], state: Callable[[M], str], deeds: dict[str, Do[M]], depth: int
) -> Ways:
    """Do everything in every order, *depth* deeds long at most; return from which state to which one what leads."""
    ways: Ways = {}
    paths: list[tuple[str, ...]] = [()]
    for path in paths:
        for name, deed in deeds.items():
            machine = make()
            for earlier in path:
                deeds[earlier](machine)
            before = state(machine)
            more = deed(machine)
            if more is None:
                continue
            words = f"{name}{more}"
            found = ways.setdefault((before, state(machine)), [])
            if words not in found:
                found.append(words)
            if len(path) + 1 < depth:
                paths.append((*path, name))
    return ways


def draw_ways(
    picture: Picture,
    boxes: dict[str, Box],
    ways: Ways,
    look: dict[tuple[str, str], tuple[float, float]],
) -> None:
    """Draw states and the ways between them; *look* says how far an arrow bends, and where its words stand.

    Raises:
        SystemExit: A state has no place in the picture.
    """
    unknown = {state for way in ways for state in way} - set(boxes)
    if unknown:
        raise SystemExit(
            f"scripts/state_pictures.py: give {sorted(unknown)} a place in the picture"
        )
    for box in boxes.values():
        picture.box(box)
    for (before, after), words in ways.items():
        bend, at = look.get((before, after), (0, 0.5))
        picture.arrow(Arrow(boxes[before], boxes[after], words, bend, at))


# -- recovery: the phases of a partition (faust.tables.plan)


def recovery_phases() -> Picture:
    """Walk the plan of a partition whose log is ``[0, 10)``."""

    def when(phase: Phase, do: Do[PartitionPlan]) -> Do[PartitionPlan]:
        return lambda plan: do(plan) if plan.phase is phase else None

    def slice_to(end: int) -> Do[PartitionPlan]:
        def read(plan: PartitionPlan) -> str | None:
            return "" if plan.slice(plan.position, end) else None

        return read

    def polled(plan: PartitionPlan) -> str:
        plan.polled(plan.end)
        plan.polled(plan.end)
        return ""

    def ask(bounds: Callable[[PartitionPlan], Bounds]) -> Do[PartitionPlan]:
        return lambda plan: f": {plan.confirm(bounds(plan)).value}"

    reading, reached = Phase.READING, Phase.REACHED

    def went_back(plan: PartitionPlan) -> Bounds:
        plan.slice(0, plan.position)
        return Bounds(0, plan.end)

    ways = walk(
        lambda: PartitionPlan(0, 10),
        lambda plan: plan.phase.value,
        {
            "records": when(reading, slice_to(4)),
            "the last records": when(reading, slice_to(10)),
            "nothing left to come": when(reading, polled),
            "as it was": when(reached, ask(lambda plan: Bounds(0, plan.end))),
            "it has grown": when(reached, ask(lambda plan: Bounds(0, plan.end + 5))),
            "it was made anew": when(reached, ask(lambda _: Bounds(0, 2))),
            "it went back": when(reached, ask(went_back)),
            "it was emptied": when(reached, ask(lambda _: Bounds(2, 2))),
        },
        depth=2,
    )
    picture = Picture(
        760,
        250,
        "Phases of the recovery of a partition",
        "; ".join(f"{a} to {b}: {', '.join(words)}" for (a, b), words in ways.items()),
    )
    boxes = {
        Phase.READING.value: Box(120, 130, "reading", "records are applied", width=150),
        Phase.REACHED.value: Box(
            390, 130, "reached", "the broker is asked again", "busy", width=170
        ),
        Phase.READY.value: Box(660, 130, "ready", "events flow", "good"),
    }
    draw_ways(
        picture,
        boxes,
        ways,
        {("reading", "reached"): (-62, 0.5), ("reached", "reading"): (-70, 0.5)},
    )
    return picture


# -- recovery: where a store begins (faust.tables.plan.start_of)


def recovery_start() -> Picture:
    """Ask where stores that have reached several places begin, with the log ``[4, 12)``."""
    log = Bounds(4, 12, "one")
    cases = [
        ("nothing is stored", None, "one"),
        ("older than the beginning", 2, "one"),
        ("somewhere in the log", 8, "one"),
        ("at the end", 12, "one"),
        ("beyond the end", 14, "one"),
        ("of a topic deleted since", 8, "other"),
    ]
    found = [(words, place, _start(place, log, topic_id)) for words, place, topic_id in cases]
    picture = Picture(
        760,
        80 + 40 * len(found),
        "Where recovery begins, by the place that the store has reached",
        "; ".join(f"{words}: {verdict}" for words, _, (_, verdict, _) in found),
    )

    def x(offset: float) -> float:
        return 190 + offset * 20

    picture.text(20, 32, "the store is", cls="name", anchor="start")
    picture.text(x((log.beginning + log.end) / 2), 26, "what the changelog holds", cls="small")
    picture.text(520, 32, "so recovery", cls="name", anchor="start")
    for row, (words, place, (kind, verdict, position)) in enumerate(found):
        y = 64 + 40 * row
        picture.text(20, y + 4, words, anchor="start")
        picture.bar(x(log.beginning), y - 9, x(log.end) - x(log.beginning), 18, "faint")
        if position is not None and position < log.end:
            picture.bar(x(position), y - 9, x(log.end) - x(position), 18, kind)
        if place is not None:
            picture.line((x(place), y - 15), (x(place), y + 15))
        picture.text(520, y + 4, verdict, anchor="start")
    y = 64 + 40 * len(found) - 12
    picture.text(
        20,
        y + 12,
        "│ the place that the store has reached; filled: what is read",
        cls="small",
        anchor="start",
    )
    return picture


def _start(place: int | None, log: Bounds, topic_id: str) -> tuple[str, str, int | None]:
    """Return the kind, what is done in words, and from where is read."""
    try:
        start = start_of(CHANGELOG, place, log, check=True, topic_id=topic_id)
    except ConsistencyError:
        anew = start_of(CHANGELOG, place, log, check=False, topic_id=topic_id)
        assert anew.wipe
        return ("bad", "stops with ConsistencyError", None)
    if start.wipe and place is not None:
        return ("busy", "wipes it, reads from the beginning", start.position)
    if start.position == log.end:
        return ("good", "has nothing to read", start.position)
    which = "from the beginning" if start.position == log.beginning else "what has changed since"
    return ("plain", f"reads {which}", start.position)


# -- tables: what becomes of one key (faust.tables.partition)


class _Record(NamedTuple):
    """A record of the changelog."""

    key: bytes
    value: bytes
    offset: int = 0
    timestamp: int = 0
    timestamp_type: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


class _Accepted:
    """What a producer returns for a record that is acknowledged."""

    def __await__(self) -> Generator[None, None, RecordMetadata]:
        yield from ()
        return RecordMetadata(*CHANGELOG, CHANGELOG, 5)


class OneKey:
    """A partition of a table in memory, and what is done with one of its keys."""

    def __init__(self) -> None:
        codec = TableCodec(Registry(), table="totals", key_type=None, value_type=None)
        self.partition = TablePartition(CHANGELOG, codec, MemoryPartition(), volatile=True)
        self.flush: PartitionFlush | None = None

    def state(self) -> str:
        """Name the state by where the key is, and whether it has a value; what is marked hides the store."""
        partition = self.partition
        marks = [name for name in ("sending", "dirty") if "k" in getattr(partition, name)]
        if "k" in partition.live:
            return "+".join(["value", *marks])
        stored = not marks and partition.store.get(b'"k"') is not None
        return "+".join(["bytes" if stored else "none", *marks])

    def write(self) -> str:
        """Assign to the key."""
        key = "k" if "k" in self.partition.live else self.partition.new_key("k")
        self.partition.dirty.setdefault(key, None)
        self.partition.live[key] = 1
        return ""

    def delete(self) -> str | None:
        """Delete it; not possible where it is not there."""
        try:
            self.partition.delete("k")
        except KeyError:
            return None
        return ""

    def read(self) -> str:
        """Read it."""
        self.partition.find("k")
        return ""

    def recover(self) -> str | None:
        """Read it from the changelog; only where nothing is known of it."""
        if self.partition.live or self.partition.dirty or self.partition.sending:
            return None
        self.partition.apply([_Record(b'"k"', b"1")], 1)
        self.partition.write_out()
        return ""

    def begin(self) -> str | None:
        """Begin a flush."""
        if self.flush is not None or not self.partition.dirty:
            return None
        self.flush = PartitionFlush(self.partition)
        self.flush.append_some(lambda *_: _Accepted(), 10)  # type: ignore[arg-type]
        return ""

    def accept(self) -> str | None:
        """The flush is acknowledged."""
        if self.flush is None:
            return None
        asyncio.run(self.flush.settle())
        self.flush = None
        return ""

    def fail(self) -> str | None:
        """The flush fails."""
        if self.flush is None:
            return None
        self.flush.undo()
        self.flush = None
        return ""


def table_key() -> Picture:
    """Walk what may happen to one key of a table."""
    ways = walk(
        OneKey,
        OneKey.state,
        {
            "recovered": OneKey.recover,
            "read": OneKey.read,
            "write": OneKey.write,
            "delete": OneKey.delete,
            "flush": OneKey.begin,
            "acknowledged": OneKey.accept,
            "failed": OneKey.fail,
        },
        depth=5,
    )
    ways = {way: words for way, words in ways.items() if way[0] != way[1]}
    picture = Picture(
        970,
        500,
        "What becomes of one key of a table",
        "; ".join(f"{a} to {b}: {', '.join(words)}" for (a, b), words in ways.items()),
    )
    x, top, low, wide = (85, 275, 475, 675, 875), 170, 330, 145
    boxes = {
        "bytes": Box(x[0], 250, "recovered", "bytes in the store", "good", wide),
        "value": Box(x[1], top, "there", "as the changelog has it", "good", wide),
        "value+dirty": Box(x[2], top, "changed", "not sent yet", "busy", wide),
        "value+sending": Box(x[3], top, "being sent", "not acknowledged yet", "busy", wide),
        "value+sending+dirty": Box(x[4], top, "changed again", "while it is sent", "busy", wide),
        "none": Box(x[1], low, "not there", "as the changelog has it", "faint", wide),
        "none+dirty": Box(x[2], low, "deleted", "not sent yet", "busy", wide),
        "none+sending": Box(x[3], low, "deletion being sent", "not acknowledged yet", "busy", wide),
        "none+sending+dirty": Box(x[4], low, "deleted again", "while it is sent", "busy", wide),
    }
    draw_ways(picture, boxes, ways, LOOK_OF_KEY)
    return picture


LOOK_OF_KEY: dict[tuple[str, str], tuple[float, float]] = {
    ("bytes", "value"): (-14, 0.5),
    ("bytes", "value+dirty"): (18, 0.3),
    ("bytes", "none+dirty"): (-18, 0.3),
    ("none", "bytes"): (-14, 0.5),
    ("value", "none+dirty"): (0, 0.25),
    ("none", "value+dirty"): (0, 0.25),
    ("value+dirty", "none+dirty"): (-14, 0.4),
    ("none+dirty", "value+dirty"): (-14, 0.4),
    ("value+dirty", "value+sending"): (10, 0.5),
    ("value+sending", "value+dirty"): (14, 0.5),
    ("none+dirty", "none+sending"): (-10, 0.5),
    ("none+sending", "none+dirty"): (-14, 0.5),
    ("value+sending", "value"): (64, 0.75),
    ("none+sending", "none"): (-64, 0.75),
    ("value+sending+dirty", "value+dirty"): (104, 0.45),
    ("none+sending+dirty", "none+dirty"): (-104, 0.45),
    ("value+sending", "none+sending+dirty"): (0, 0.25),
    ("none+sending", "value+sending+dirty"): (0, 0.25),
    ("value+sending+dirty", "none+sending+dirty"): (-14, 0.4),
    ("none+sending+dirty", "value+sending+dirty"): (-14, 0.4),
}


# -- windows: which there are, and how long they live (faust.windows, faust.tables.windowed)


def window_kinds() -> Picture:
    """Ask each kind of window which ranges there are, and which of them an event at 25 s belongs to."""
    event, last = 25, 60
    kinds: list[tuple[str, Window]] = [
        ("tumbling(20)", TumblingWindow(20)),
        ("hopping(20, 10)", HoppingWindow(20, 10)),
        ("SlidingWindow(10, 5, ...)", SlidingWindow(10, 5, 60)),
    ]
    rows: list[tuple[str, list[tuple[float, float]], set[tuple[float, float]]]] = []
    for name, window in kinds:
        hit = {(start, end) for start, end in window.ranges(event)}
        seconds = [event] if isinstance(window, SlidingWindow) else range(last)
        all_of_them = sorted({(a, b) for second in seconds for a, b in window.ranges(second)})
        rows.append((name, [(a, b) for a, b in all_of_them if a >= 0], hit))
    height = 70 + sum(30 * _lanes(ranges) + 24 for _, ranges, _ in rows)
    picture = Picture(
        760,
        height,
        "The windows of each kind, and those that an event at 25 s belongs to",
        "; ".join(f"{name}: {sorted(hit)}" for name, _, hit in rows),
    )

    def x(second: float) -> float:
        return 190 + second * 9

    y = 56.0
    for name, ranges, hit in rows:
        picture.text(20, y + 15, name, cls="name", anchor="start")
        lanes = _lanes(ranges)
        for number, (start, end) in enumerate(ranges):
            top = y + 30 * (number % lanes)
            kind = "plain" if (start, end) in hit else "faint"
            picture.bar(x(start) + 1, top, min(x(end + 0.1), x(last)) - x(start) - 2, 22, kind)
            picture.text(
                x(start) + 8, top + 15, f"({start:g}, {end:g})", cls="small", anchor="start"
            )
        y += 30 * lanes + 24
    picture.line((x(event), 36), (x(event), y - 14), dashed=True)
    picture.text(x(event), 28, "event at 25 s", cls="small")
    return picture


def _lanes(ranges: list[tuple[float, float]]) -> int:
    """Return how many rows ranges need that do not hide each other."""
    return max(sum(a <= start <= b for a, b in ranges) for start, _ in ranges)


def window_life() -> Picture:
    """Ask a table for the life of its window (0, 20), second by second."""
    app = faust.App("pictures", broker="memory://", web_enabled=False)
    table = app.Table("views", grace=10).tumbling(20, expires=30).table
    window, codec = table.window, table.codec
    index = WindowIndex(codec, window, on_key=lambda *_: None, counts=False)
    span = window.ranges(0)[0]
    index.added(("k", span), codec.encode_key(("k", span)))
    states: list[str] = []
    for second in range(66):
        index.time = float(second)
        if index.ended(table.retention):
            states.append("removed")
        elif index.ended(table.lateness):
            states.append("closed")
        elif second >= window.closes_at(span):
            states.append("late")
        else:
            states.append("open")
    said = {
        "open": ("plain", "open"),
        "late": ("busy", "takes late events"),
        "closed": ("good", "closed: readable, writes are dropped"),
        "removed": ("faint", "removed"),
    }
    picture = Picture(
        760,
        150,
        "The life of a window of 20 s with grace=10 and expires=30",
        "; ".join(
            f"{said[state][1]} from {states.index(state)} s" for state in dict.fromkeys(states)
        ),
    )

    def x(second: float) -> float:
        return 20 + second * 10.9

    for state in dict.fromkeys(states):
        first, count = states.index(state), states.count(state)
        kind, words = said[state]
        picture.bar(x(first) + 1, 50, count * 10.9 - 2, 40, kind)
        picture.text(x(first + count / 2), 74, words, cls="small")
        picture.text(x(first), 110, f"{first} s", cls="small", anchor="start")
    picture.text(
        20, 30, "window (0, 19.9): event time of its partition", cls="name", anchor="start"
    )
    picture.text(x(states.index("closed")), 130, "on_window_close", cls="small", anchor="start")
    return picture


# -- scaling: who gets what (faust.assignor.assignment)


def sharing() -> Picture:
    """Let workers come and go, and ask the assignor for the shares of six partitions with one standby each."""
    crowds = [
        ("one worker", ["ann"]),
        ("a second one comes", ["ann", "bob"]),
        ("a third one comes", ["ann", "bob", "cem"]),
        ("bob dies", ["ann", "cem"]),
    ]
    held: dict[str, Share] = {}
    stages: list[tuple[str, dict[str, Share], set[tuple[str, int]]]] = []
    for words, members in crowds:
        claims = {
            name: Claims(frozenset(share.actives), frozenset(share.standbys))
            for name, share in held.items()
            if name in members
        }
        shares = assign_group(6, members, claims, replicas=1)
        new = {
            (name, number)
            for name, share in shares.items()
            for number in share.actives
            if held and number not in held.get(name, Share((), ())).actives
        }
        stages.append((words, shares, new))
        held = shares
    picture = Picture(
        760,
        90 + 78 * len(stages),
        "Six partitions and their copies on standby, as workers come and go",
        "; ".join(f"{words}: {_shares(shares)}" for words, shares, _ in stages),
    )
    for column, name in enumerate(("ann", "bob", "cem")):
        picture.text(260 + 190 * column, 30, name, cls="name")
    for row, (words, shares, new) in enumerate(stages):
        y = 48 + 78 * row
        picture.text(20, y + 26, words, anchor="start")
        for column, name in enumerate(("ann", "bob", "cem")):
            if name not in shares:
                continue
            left = 260 + 190 * column - 81
            for place, number in enumerate(shares[name].actives):
                moved = (name, number) in new
                picture.bar(left + 27 * place, y, 24, 24, "busy" if moved else "plain")
                picture.text(left + 27 * place + 12, y + 16, str(number))
            for place, number in enumerate(shares[name].standbys):
                picture.bar(left + 27 * place, y + 30, 24, 24, "faint")
                picture.text(left + 27 * place + 12, y + 46, str(number), cls="small")
    y = 62 + 78 * len(stages)
    for place, (kind, words) in enumerate(
        [("plain", "owned, as before"), ("busy", "newly owned"), ("faint", "copy on standby")]
    ):
        picture.bar(180 + 190 * place, y - 10, 14, 14, kind)
        picture.text(200 + 190 * place, y + 2, words, cls="small", anchor="start")
    return picture


def _shares(shares: dict[str, Share]) -> str:
    return ", ".join(f"{name} owns {list(share.actives)}" for name, share in shares.items())


PICTURES: dict[str, Callable[[], Picture]] = {
    "recovery-phases": recovery_phases,
    "recovery-start": recovery_start,
    "table-key": table_key,
    "window-kinds": window_kinds,
    "window-life": window_life,
    "sharing": sharing,
}


def main() -> int:
    """Write the pictures, or say which are old."""
    old = []
    for name, draw in PICTURES.items():
        path, text = IMAGES / f"{name}.svg", draw().svg()
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            old.append(path.name)
    if old:
        names = ", ".join(old)
        sys.stderr.write(f"not current: {names}; run python scripts/state_pictures.py\n")
    return int(bool(old))


if __name__ == "__main__":
    raise SystemExit(main())
