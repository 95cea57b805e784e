"""How much a slow agent takes from its neighbour: pain row 26 in full size.

    python -m benchmarks.bench_neighbours [--events 300000] [--rounds 5]

One worker on ``local://`` reads topic B alone, then beside an agent of topic A that sleeps a second per event and has a
long backlog. Rounds alternate; what is compared is CPU time per event and wall time, medians. Ends with 1 when B keeps less than
95 % of its rate.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faust

KEEPS = 0.95
BACKLOG = 20_000


async def fill(url: str, topic: str, count: int) -> None:
    app = faust.App("filler", broker=url, web_enabled=False)
    target = app.topic(topic, value_serializer="raw", partitions=4, internal=True)
    await target.declare()
    await app.maybe_start_producer()
    for _ in range(count):
        await target.send(value=b"x")
    await app.producer.flush()
    await app.close_clients()


async def rate(url: str, scratch: Path, name: str, events: int, *, beside: bool) -> float:
    """Return the events per second of topic B, from the first to the last of them."""
    app = faust.App(
        name, broker=url, datadir=scratch / name, web_enabled=False, stream_wait_empty=False
    )
    seen = 0
    first = last = 0.0

    @app.agent(app.topic("b", value_serializer="raw"))
    async def quick(stream: Any) -> None:
        nonlocal seen, first, last
        async for _ in stream:
            if not seen:
                first = time.perf_counter()
            seen += 1
            if seen == events:
                last = time.perf_counter()

    if beside:

        @app.agent(app.topic("a", value_serializer="raw"))
        async def slow(stream: Any) -> None:
            async for _ in stream:
                await asyncio.sleep(1.0)

    async with app:
        while seen < events:
            await asyncio.sleep(0.05)
    return events / (last - first)


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        url = f"local://{scratch / 'broker'}"
        await fill(url, "a", BACKLOG)
        await fill(url, "b", given.events)
        rates: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(2 * given.rounds):
            beside = turn % 2 == 1
            rates[beside].append(
                await rate(url, scratch, f"reader-{turn}", given.events, beside=beside)
            )
    alone, crowded = (statistics.median(rates[beside]) for beside in (False, True))
    kept = crowded / alone
    print(
        f"alone {alone:,.0f}/s, beside a slow agent {crowded:,.0f}/s: {kept:.1%} (at least {KEEPS:.0%})"
    )
    return 0 if kept >= KEEPS else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
