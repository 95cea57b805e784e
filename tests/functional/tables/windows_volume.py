"""Windows at volume: a million are open, and as many close as are opened, while memory and speed stay flat (pain rows 30, 31).

Events of ever new keys come in event time; a window is open for twenty seconds of it. Once the first million is there, every event
opens a window and closes another: each costs a write, a close callback, a delete, and two records of the changelog (value and
tombstone).

In full::

    python -m tests.functional.tables.windows_volume --store memory
    python -m tests.functional.tables.windows_volume --store rocksdb
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import faust
from faust.tables.expiry import WindowIndex
from tests.support.apps import running

__all__ = ["Step", "run_through"]

OPEN_FOR = 20
"""Seconds of event time."""
AHEAD = 50_000
"""Events that may wait to be processed."""
START = 1_700_000_000


class Step(NamedTuple):
    """What was measured over a part of the events."""

    events: int
    closed: int
    seconds: float
    open: int
    memory: int
    """Resident memory of the process afterwards, in bytes."""


async def run_through(
    directory: Path, *, open_windows: int, rounds: int, store: str = "memory"
) -> list[Step]:
    """Process events in *rounds* times as many as windows are open, half of that at a time.

    The first two steps fill the table.

    Raises:
        AssertionError: A window was not closed, or closed twice; or more are open than may be.
    """
    id = f"volume-{uuid.uuid4().hex[:8]}"
    app = faust.App(
        id,
        broker=f"local://{directory / 'broker'}",
        store=f"{store}://",
        datadir=directory / "data",
        topic_partitions=1,
        table_cleanup_interval=0.1,
        web_enabled=False,
    )
    events = app.topic(f"{id}-events", key_type=int, value_type=int, partitions=1, internal=True)
    closed = done = 0

    def on_close(_key: Any, value: int) -> None:
        nonlocal closed
        assert value == 1
        closed += 1

    table = app.Table("seen", default=int, on_window_close=on_close)
    seen = table.tumbling(1, expires=OPEN_FOR)

    @app.agent(events)
    async def count(stream: Any) -> None:
        nonlocal done
        async for key in stream:
            seen[key] += 1
            done += 1

    per_second = open_windows // OPEN_FOR
    steps: list[Step] = []
    sent = 0
    async with running(app):
        await events.maybe_declare()
        await app.producer.load_partitions(events.get_topic_name())
        for _ in range(rounds * 2):
            began, done_before, closed_before = time.monotonic(), done, closed
            last = sent + open_windows // 2
            while sent < last:
                for number in range(sent, min(sent + 1000, last)):
                    stamp = START * 1000 + number * 1000 // per_second
                    raw = b"%d" % number
                    app.producer.append(events.get_topic_name(), 0, raw, raw, stamp)
                sent = min(sent + 1000, last)
                while sent - done > AHEAD:
                    await asyncio.sleep(0.002)
            while done < sent:
                await asyncio.sleep(0.005)
            deadline = time.monotonic() + 60
            while sent - closed > open_windows + 2 * per_second:
                assert time.monotonic() < deadline, "windows do not close"
                await asyncio.sleep(0.01)
            steps.append(
                Step(
                    done - done_before,
                    closed - closed_before,
                    time.monotonic() - began,
                    sent - closed,
                    _resident(),
                )
            )
            held = table.held[0]
            assert isinstance(held.expiry, WindowIndex)
            assert len(held.expiry) <= open_windows + 3 * per_second
    return steps


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def _main(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="faust-windows-") as directory:
        steps = await run_through(
            Path(directory),
            open_windows=options.open,
            rounds=options.rounds,
            store=options.store,
        )
    for step in steps:
        print(
            f"{step.events:,} events, {step.closed:,} windows closed in {step.seconds:5.1f} s: {step.events / step.seconds:9,.0f} "
            f"events/s, {step.closed / step.seconds:9,.0f} closed/s, {step.open:,} open, {step.memory / 2**20:,.0f} MiB"
        )
    steady = steps[3:]
    slowest = min(step.closed / step.seconds for step in steady)
    growth = steady[-1].memory / steady[0].memory
    flat = growth < 1.15 and slowest > 0.6 * steady[0].closed / steady[0].seconds
    print(
        f"slowest: {slowest:,.0f} closed/s; memory grew by {(growth - 1) * 100:.0f} %: {'flat' if flat else 'NOT FLAT'}"
    )
    return 0 if flat else 1


def main() -> None:
    """Measure; end with 1 when memory or speed are not flat."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.tables.windows_volume", description=main.__doc__
    )
    parser.add_argument("--store", choices=("memory", "rocksdb"), default="memory")
    parser.add_argument("--open", type=int, default=1_000_000, help="windows that are open")
    parser.add_argument("--rounds", type=int, default=4, help="times so many events")
    raise SystemExit(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
