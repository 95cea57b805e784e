"""Asks an agent: one program for either library, as who answers or as who asks. See ``rpc.py`` for the runner.

Reads ``BENCH_*``: BROKER, ID, RESULT (file), DATADIR, and for ``ask`` COUNT (questions at once) and ROUNDS. Uses the
documented API only. faust-streaming loses an answer that comes before it has noted its question (agents.md 5.4), so whoever
is not answered within a while asks again, and does not count.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import faust

PART = sys.argv[1]
PATIENCE = 10.0
"""Seconds after the last answer of a round after which a question counts as lost, and is asked again."""

BENCH = {key[6:]: value for key, value in os.environ.items() if key.startswith("BENCH_")}

app = faust.App(
    BENCH["APP"],
    broker=BENCH["BROKER"],
    datadir=BENCH["DATADIR"],
    topic_partitions=8,
    topic_replication_factor=1,
    web_enabled=False,
    broker_request_timeout=90.0,
    reply_create_topic=PART
    == "ask",  # else the first answer makes the topic, with too many partitions for the reference
)


@app.agent(app.topic(f"{BENCH['APP']}-double", value_type=int, partitions=8, internal=True))
async def double(stream: Any) -> Any:
    """Answer with the double."""
    async for number in stream:
        yield number * 2


async def ask_many(count: int) -> tuple[float, int]:
    """Ask *count* questions at once.

    Returns:
        The seconds until the last of those was answered that were answered at the first time of asking, and their
        number.
    """
    began = last = time.monotonic()

    def note(_: Any) -> None:
        nonlocal last
        last = time.monotonic()

    asking = [asyncio.ensure_future(double.ask(number)) for number in range(count)]
    for one in asking:
        one.add_done_callback(note)
    waiting = set(asking)
    while waiting and time.monotonic() - last < PATIENCE:
        _, waiting = await asyncio.wait(waiting, timeout=PATIENCE)
    seconds = last - began
    at_once = count - len(waiting)
    for number, one in enumerate(asking):
        if one in waiting:
            one.cancel()
            assert await asyncio.wait_for(double.ask(number), 60) == number * 2
        else:
            assert one.result() == number * 2
    return seconds, at_once


async def main() -> None:
    """Play the part."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
    result = Path(BENCH["RESULT"])
    if PART == "answer":
        await app.start()
        result.write_text("{}")  # noqa: ASYNC240 - nothing else runs yet
        await asyncio.Event().wait()
    await app.maybe_start_client()
    await asyncio.sleep(5)
    for count in (1, 10):
        await ask_many(count)
    rounds = [await ask_many(int(BENCH["COUNT"])) for _ in range(int(BENCH["ROUNDS"]))]
    one_by_one = time.monotonic()
    for number in range(50):
        assert await double.ask(number) == number * 2
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report = {
        "rounds": rounds,
        "latency_ms": (time.monotonic() - one_by_one) / 50 * 1000,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "max_rss_kb": usage.ru_maxrss,
    }
    partial = result.with_suffix(".part")
    partial.write_text(json.dumps(report))
    partial.replace(result)
    await app.stop()


if __name__ == "__main__":
    asyncio.run(main())
