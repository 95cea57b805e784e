"""How fast a table comes back from its changelog, and what a worker costs that has nothing to do.

Recovery is measured from outside its code: the time from the start of the process until the app's tasks run (they
run after recovery), minus the same time with an empty changelog. So the figure contains everything a user waits for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.compare.data import PARTITIONS
from benchmarks.compare.runner import python_of, running

__all__ = ["LEAST", "idle", "recover"]

LEAST = {"memory": 1_000_000, "rocksdb": 500_000}
"""Records per second that recovery has to reach, by store."""


def changelog(keys: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield partition, key and value of a changelog with one record per key."""
    for number in range(keys):
        yield number % PARTITIONS, b'"%08d"' % number, b"%d" % (number % 1000)


def recover(broker: Any, side: str, keys: int, store: str, scratch: Path) -> dict[str, Any]:
    """Start a worker on an empty table and one on a table of *keys* keys; check what it recovered."""
    empty = _start(broker, side, 0, store, scratch)
    full = _start(broker, side, keys, store, scratch)
    total = sum(number % 1000 for number in range(keys))
    if (full["count"], full["total"]) != (keys, total):
        raise RuntimeError(
            f"{side} recovered {full['count']} keys with sum {full['total']}, not {keys} with {total}"
        )
    seconds = full["ready_seconds"] - empty["ready_seconds"]
    return {
        "side": side,
        "store": store,
        "keys": keys,
        "seconds": seconds,
        "rate": keys / seconds,
        "cpu_seconds": full["cpu_seconds"] - empty["cpu_seconds"],
        "ready_when_empty": empty["ready_seconds"],
        "max_rss_kb": full["max_rss_kb"],
    }


def _start(broker: Any, side: str, keys: int, store: str, scratch: Path) -> dict[str, Any]:
    name = f"bench-{time.time_ns() // 1_000_000:x}-recover-{side}"
    topic, log = f"{name}-in", f"{name}-counts-changelog"
    broker.create(topic)
    broker.create(log, **{"cleanup.policy": "compact"})
    broker.fill(log, changelog(keys))
    variables = _variables(broker, side, "recover", name, topic) | {"STORE": f"{store}://"}
    try:
        with running(python_of(side), "app.py", scratch, variables) as worker:
            report = worker.report(timeout=180)
            _stopped(worker)
    finally:
        broker.delete(name)
    return report


def idle(broker: Any, side: str, seconds: float, scratch: Path) -> dict[str, Any]:
    """Let a worker with one agent on 8 empty partitions do nothing, and see what it takes."""
    name = f"bench-{time.time_ns() // 1_000_000:x}-idle-{side}"
    topic = f"{name}-in"
    broker.create(topic)
    variables = _variables(broker, side, "idle", name, topic)
    try:
        with running(python_of(side), "app.py", scratch, variables) as worker:
            worker.report(timeout=60)
            time.sleep(3.0)
            process = psutil.Process(worker.process.pid)
            before, began = process.cpu_times(), time.perf_counter()
            time.sleep(seconds)
            after, wall = process.cpu_times(), time.perf_counter() - began
            memory = process.memory_info().rss
            _stopped(worker)
    finally:
        broker.delete(name)
    used = after.user + after.system - before.user - before.system
    return {"side": side, "cpu_percent": used / wall * 100, "rss_mb": memory / 2**20}


def _variables(broker: Any, side: str, workload: str, name: str, topic: str) -> dict[str, object]:
    return {
        "SIDE": side,
        "WORKLOAD": workload,
        "ID": name,
        "BROKER": broker.url,
        "TOPIC": topic,
        "OUT": f"{name}-out",
        "COUNT": 1,
        "STORE": "memory://",
    }


def _stopped(worker: Any) -> None:
    if status := worker.stop():
        raise RuntimeError(f"the worker ended with {status}:\n{worker.tail()}")
