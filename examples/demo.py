"""What ``make demo`` shows: the word count from its start to its end, in a scratch directory, with its result checked.

The worker is a process of its own on the embedded broker (``local://``). This program feeds it a text, waits until
every event of every topic is processed and committed, reads the table back from its changelog, compares it with
`collections.Counter` over the same words, and stops the worker by SIGTERM.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from faust.types import TP

HERE = Path(__file__).parent
PROGRAM = HERE / "word_count.py"
PATIENCE = 60.0
"""Seconds without any progress after which the demo says that something is wrong."""

console = Console()


def main() -> None:
    """Run the demo; the exit status is 0 when the counts are right and the worker stopped cleanly."""
    with tempfile.TemporaryDirectory(prefix="faust-demo-") as scratch:
        os.environ.pop("APP_ENV_PREFIX", None)
        os.environ["BROKER_URL"] = f"local://{scratch}/broker"
        os.environ["APP_DATADIR"] = f"{scratch}/data"
        console.print(f"[bold]1.[/] A worker is started on {os.environ['BROKER_URL']}")
        log = Path(scratch, "worker.log")
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, str(PROGRAM), "worker", "--without-web"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            asyncio.run(_show(worker))
        except BaseException:
            worker.kill()
            worker.wait()
            console.print(log.read_text(errors="replace"), markup=False, highlight=False)
            raise


async def _show(worker: subprocess.Popen[bytes]) -> None:
    sys.path.insert(0, str(HERE))
    word_count = importlib.import_module("word_count")
    console.print("[bold]2.[/] It is fed the help texts of Python: [dim]word_count.py feed[/]")
    feeder = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and nobody else is waiting
        [sys.executable, str(PROGRAM), "feed"], stdin=subprocess.DEVNULL
    )
    events, seconds = await wait_until_idle(
        word_count.app, ("lines", "word-count-"), worker, feeder
    )

    console.print(
        "[bold]3.[/] Every event is processed and committed: the table is read from its changelog"
    )
    counted = await word_count.read_counts()
    _print_top(counted)
    console.print(
        f"   {events:,} events (lines, words, and words by partition) in {seconds:.1f} s: "
        f"[bold]{events / seconds:,.0f} events per second[/], every one stored and committed"
    )
    expected = Counter(w for line in word_count.text() for w in word_count.words_of(line))
    if counted != expected:
        wrong = {w for w in counted.keys() | expected.keys() if counted[w] != expected[w]}
        raise SystemExit(
            f"{len(wrong)} of {len(expected)} words are counted wrong: {sorted(wrong)[:10]}"
        )
    console.print(
        f"   {expected.total():,} words, {len(expected):,} different ones: "
        "[bold green]the same as collections.Counter says, exactly[/]"
    )

    console.print("[bold]4.[/] The worker is stopped by SIGTERM")
    worker.send_signal(signal.SIGTERM)
    status = worker.wait(timeout=30)
    if status:
        raise SystemExit(f"the worker ended with status {status}")
    console.print("   it finished what was in hand, committed, and ended with status 0\n")
    console.print("Where to go next")
    console.print("   examples/word_count.py        the program: 30 lines that matter")
    console.print("   python examples/word_count.py worker, feed, top   the same by hand, in .venv")
    console.print(
        "   make kafka                    a real Kafka; run the examples with BROKER_URL=kafka://..."
    )
    console.print("   docs/explain/design.md        how it works inside")


async def wait_until_idle(
    app: Any, topics: tuple[str, ...], worker: subprocess.Popen[Any], feeder: subprocess.Popen[Any]
) -> tuple[int, float]:
    """Wait until the feeder has ended and all that is in topics whose names start like that is committed.

    Committed offsets are asked for before the ends: when they are equal in every topic, nothing can be under way,
    because a commit covers only events whose own sends and table writes are stored.

    Returns:
        How many events there were, and the seconds between the first and the last record that was written.
    """
    began, last_change, written = 0.0, time.monotonic(), 0
    admin = app.transport.admin()
    await admin.start()
    try:
        while True:
            fed = feeder.poll() is not None
            committed = (await admin.describe_group(app.conf.id)).offsets
            ends = await _ends(admin, topics)
            if sum(ends.values()) > written:
                written, last_change = sum(ends.values()), time.monotonic()
                began = began or last_change
            read = {tp: end for tp, end in ends.items() if not tp.topic.endswith("-changelog")}
            done = all(committed.get(tp, 0) == end for tp, end in read.items())
            if fed and done and 0 < sum(ends.values()) == written:
                return sum(read.values()), last_change - began
            for process in (worker, feeder):
                if process.poll():
                    raise SystemExit(f"{process.args!r} ended with status {process.returncode}")
            if time.monotonic() - last_change > PATIENCE:
                raise SystemExit(f"nothing happened for {PATIENCE:.0f} s: {committed} of {ends}")
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def _ends(admin: Any, topics: tuple[str, ...]) -> dict[TP, int]:
    """Return the next offset of each partition."""
    names = [n for n in await admin.list_topics() if n.startswith(topics)]
    found = await admin.describe_topics(names)
    tps = [
        TP(name, number) for name, topic in found.items() if topic for number in topic.partitions
    ]
    return {tp: end for tp, (_start, end) in (await admin.offsets(tps)).items()}


def _print_top(counted: Counter[str]) -> None:
    grid = Grid(title="the 20 commonest words", title_justify="left")
    for _ in range(4):
        grid.add_column("word")
        grid.add_column("times", justify="right")
    commonest = [(word, f"{times:,}") for word, times in counted.most_common(20)]
    for row in range(5):
        grid.add_row(*(cell for column in range(4) for cell in commonest[row + 5 * column]))
    console.print(grid)


if __name__ == "__main__":
    main()
