"""Windows at volume: a million are open, and as many close as are opened, while memory and speed stay flat (pain rows 30, 31).

Events of ever new keys come in event time; a window is open for twenty seconds of it. Once the first million is there, every event
opens a window and closes another: each costs a write, a close callback, a delete, and two records of the changelog (value and
tombstone). All events are in the topic before the worker starts, which reads them as fast as it can. In the end one event from
the far future ends every window that is left, at once.

Beside it, fifty times a second, ordinary events of another topic come to another agent; their latency is measured.

In full::

    python -m tests.functional.tables.windows_volume --store memory
    python -m tests.functional.tables.windows_volume --store rocksdb

The embedded broker works in the same process, and so takes its share of one core; with ``--broker kafka`` it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import faust
from faust.tables.expiry import WindowIndex
from faust.testing.faults.observer import Observer
from faust.worker.worker import GC_THRESHOLDS
from tests.functional.faults.rebalance import broker_of
from tests.support.apps import eventually, running

__all__ = ["Step", "run_through"]

OPEN_FOR = 20
"""Seconds of event time."""
START = int(time.time()) - 7200
"""Event time of the first event; Kafka takes none from far away."""
PING_EVERY = 0.02
"""Seconds between two ordinary events."""
WANTED = 50_000
"""Windows closed per second that are asked for."""


class Step(NamedTuple):
    """What was measured over a part of the events."""

    name: str
    events: int
    closed: int
    seconds: float
    cpu: float
    """Seconds of CPU time, of the thread that the app lives in."""
    open: int
    peak: int
    """Windows that were open at most."""
    memory: int
    """Resident memory of the process afterwards, in bytes."""
    latencies: list[float]
    """Of the ordinary events, in seconds, sorted."""

    def __str__(self) -> str:
        late = self.latencies or [0.0]
        p50, p99 = late[len(late) // 2], late[len(late) * 99 // 100]
        return (
            f"{self.name:7} {self.events:9,} events {self.closed:9,} closed in {self.seconds:5.1f} s ({self.cpu:.1f} s of CPU): "
            f"{self.events / self.seconds:8,.0f} events/s {self.closed / self.seconds:8,.0f} closed/s; "
            f"{self.open:9,} open (at most {self.peak:,}), {self.memory / 2**20:,.0f} MiB; ordinary events "
            f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"
        )


@dataclass
class Counts:
    """What has happened so far."""

    done: int = 0
    closed: int = 0
    peak: int = 0
    latencies: list[float] = field(default_factory=list)


class Trial:
    """One worker, its table and its topics."""

    def __init__(self, url: str, directory: Path, store: str, open_windows: int) -> None:
        self.url = url
        self.id = f"volume-{uuid.uuid4().hex[:8]}"
        self.per_second = open_windows // OPEN_FOR
        self.open_windows = open_windows
        self.counts = counts = Counts()
        self._last = (0.0, 0.0, 0, 0)
        self.app = app = faust.App(
            self.id,
            broker=self.url,
            store=f"{store}://",
            datadir=directory / "data",
            topic_partitions=1,
            table_cleanup_interval=0.1,
            web_enabled=False,
        )
        self.events = app.topic(f"{self.id}-events", key_type=int, value_type=int)
        self.pings = app.topic(f"{self.id}-pings", value_type=float)

        def on_close(_key: Any, value: int) -> None:
            assert value == 1
            counts.closed += 1

        self.table = app.Table("seen", default=int, on_window_close=on_close)
        seen = self.table.tumbling(1, expires=OPEN_FOR)

        @app.agent(self.events)
        async def count(stream: Any) -> None:
            async for key in stream:
                seen[key] += 1
                counts.done += 1

        @app.agent(self.pings)
        async def answer(stream: Any) -> None:
            async for sent in stream:
                counts.latencies.append(time.monotonic() - sent)

    async def fill(self, events: int) -> None:
        """Write the events; and the one that ends all windows is yet to come."""
        async with Observer(self.url, self.id) as observer:
            await observer.create(self.events.get_topic_name(), 1)
            await observer.create(self.pings.get_topic_name(), 1)
            for number in range(events):
                self._append(observer.producer, number)
                if observer.producer.full:
                    await observer.producer.wait_room()
            await observer.producer.flush()

    def _append(self, producer: Any, number: int, *, later: int = 0) -> None:
        stamp = (START + later) * 1000 + number * 1000 // self.per_second
        raw = b"%d" % number
        producer.append(self.events.get_topic_name(), 0, raw, raw, stamp)

    def held(self) -> int:
        """Return how many windows the index has."""
        partition = self.table.held.get(0)
        expiry = None if partition is None else partition.expiry
        return len(expiry) if isinstance(expiry, WindowIndex) else 0

    @asynccontextmanager
    async def pinged(self) -> AsyncIterator[None]:
        """Send ordinary events, and look how many windows are open."""

        async def ping() -> None:
            topic = self.pings.get_topic_name()
            await self.app.producer.load_partitions(topic)
            while True:
                self.app.producer.append(topic, 0, None, b"%r" % time.monotonic())
                self.counts.peak = max(self.counts.peak, self.held())
                await asyncio.sleep(PING_EVERY)

        pinging = asyncio.create_task(ping())
        try:
            yield
        finally:
            pinging.cancel()
            with suppress(asyncio.CancelledError):
                await pinging

    def step(self, name: str) -> Step:
        """Say what has happened since the last step."""
        counts, (began, cpu, done, closed) = self.counts, self._last
        self._last = (time.monotonic(), time.thread_time(), counts.done, counts.closed)
        step = Step(
            name,
            counts.done - done,
            counts.closed - closed,
            self._last[0] - began,
            self._last[1] - cpu,
            counts.done - counts.closed,
            counts.peak,
            _resident(),
            sorted(counts.latencies),
        )
        counts.latencies, counts.peak = [], 0
        return step

    async def wait(self, *, done: int, open: int, timeout: float = 600) -> None:
        """Wait until so many events are processed, and no more windows are open."""
        counts, deadline = self.counts, time.monotonic() + timeout
        while counts.done < done or counts.done - counts.closed > open:
            assert time.monotonic() < deadline, f"windows do not close: {counts}"
            await asyncio.sleep(0.005)

    async def run(self, rounds: int) -> list[Step]:
        """Process the events, a half of the open windows at a time; then end all windows that are left."""
        half, steps = self.open_windows // 2, list[Step]()
        events = rounds * 2 * half
        await self.fill(events)
        self._last = (time.monotonic(), time.thread_time(), 0, 0)
        async with running(self.app):
            async with self.pinged():
                for number in range(1, rounds * 2 + 1):
                    await self.wait(
                        done=number * half, open=self.open_windows + 2 * self.per_second
                    )
                    steps.append(self.step("fill" if number <= 2 else "steady"))
                await self.app.producer.load_partitions(self.events.get_topic_name())
                self._append(self.app.producer, events, later=3600)
                await self.wait(done=events + 1, open=1)
                steps.append(self.step("at once"))
            await eventually(lambda: self.held() == 1)  # the last that were called for are deleted
            assert self.counts.closed == events
        return steps


async def run_through(
    url: str, directory: Path, *, open_windows: int, rounds: int, store: str = "memory"
) -> list[Step]:
    """Process events in *rounds* times as many as windows are open, half of that at a time; then end what is open.

    The first two steps fill the table.

    Raises:
        AssertionError: A window was not closed, or closed twice; or more are open than may be.
    """
    return await Trial(url, directory, store, open_windows).run(rounds)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def _main(options: argparse.Namespace) -> int:
    gc.set_threshold(*GC_THRESHOLDS)  # as in a worker's process
    with tempfile.TemporaryDirectory(prefix="faust-windows-") as directory:
        async with broker_of(options.broker, Path(directory)) as url:
            steps = await run_through(
                url,
                Path(directory),
                open_windows=options.open,
                rounds=options.rounds,
                store=options.store,
            )
    for step in steps:
        print(step)
    steady = steps[2:-1]
    rates = [step.closed / step.seconds for step in steady]
    growth = steady[-1].memory / steady[1].memory  # the first of them is still filling buffers
    flat = growth < 1.15 and min(rates) > 0.6 * max(rates)
    at_once = steps[-1].closed / steps[-1].seconds
    by_cpu = sum(step.closed for step in steady) / sum(step.cpu for step in steady)
    print(
        f"{options.broker}, {options.store}: {options.open:,} open; meanwhile {min(rates):,.0f} to {max(rates):,.0f} closed/s "
        f"({by_cpu:,.0f} per second of CPU); memory grew by {(growth - 1) * 100:.0f} %: {'flat' if flat else 'NOT FLAT'}; "
        f"all at once: {at_once:,.0f} closed/s; {'at least' if min(*rates, at_once) >= WANTED else 'NOT AT LEAST'} {WANTED:,}/s"
    )
    return 0 if flat else 1


def main() -> None:
    """Measure; end with 1 when memory or speed are not flat."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.tables.windows_volume", description=main.__doc__
    )
    parser.add_argument("--store", choices=("memory", "rocksdb"), default="memory")
    parser.add_argument("--broker", choices=("local", "kafka"), default="local")
    parser.add_argument("--open", type=int, default=1_000_000, help="windows that are open")
    parser.add_argument("--rounds", type=int, default=4, help="times so many events")
    raise SystemExit(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
