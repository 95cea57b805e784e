"""The application of the full soak: group_by, three tables, closing windows, a sink and the web server at once.

Run by `tests.soak.full` with one JSON object in the variable ``SOAK_ORDERS``: ``broker``, ``datadir`` and ``web_port``. Its page
``/soak/`` answers what the process uses and which objects are alive.

Number n belongs to group ``n % KEYS % GROUPS``; so the numbers of a key come together where those of its group are, and the key
can be counted there. Its time, for windows, is n / rate seconds.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from typing import Any

import faust
from faust.sensors.prometheus import setup_prometheus_sensors
from tests.soak.meter import census, look

PARTITIONS = 4
KEYS = 2_048
GROUPS = 64
WINDOW = 10.0
GRACE = 30.0
"""Seconds; partitions that two workers read may be so far apart."""
KEPT = 300.0
"""Seconds that topics keep their records, so that the disk of a long run stays small."""

SMALL = {"segment.bytes": str(16 * 1024 * 1024), "segment.ms": "30000"}
"""What is not in the last segment may be deleted or compacted."""
MEMTABLE = 1024 * 1024
"""Bytes of a partition that RocksDB keeps in memory before it writes a file; small, so that it has filled up many times."""

_orders: dict[str, Any] = json.loads(os.environ.get("SOAK_ORDERS", "{}"))
RATE = float(_orders.get("rate", 1000.0))

app = faust.App(
    "soak",
    broker=_orders.get("broker", "memory://soak"),
    datadir=_orders.get("datadir", tempfile.gettempdir() + "/soak"),
    topic_partitions=PARTITIONS,
    broker_commit_interval=1.0,
    table_cleanup_interval=5.0,
    web_host="127.0.0.1",
    web_port=_orders.get("web_port", 6066),
)
setup_prometheus_sensors(app)

numbers = app.topic("soak-numbers", value_type=int, internal=True, retention=KEPT, config=SMALL)
grouped = app.topic(
    "soak-grouped", key_type=str, value_type=int, internal=True, retention=KEPT, config=SMALL
)
passed = app.topic("soak-passed", value_type=int)
closed = app.topic("soak-closed", key_type=str, value_type=int)


async def close(key: Any, value: int) -> None:
    """Tell how many numbers of a group were in a window."""
    group, (start, _) = key
    await closed.send(key=f"{group}@{start:.0f}", value=value)


counts = app.Table(
    "counts",
    key_type=int,
    value_type=int,
    default=int,
    store="rocksdb://",
    options={"write_buffer_size": MEMTABLE},
    extra_topic_configs=SMALL,
)
totals = app.Table(
    "totals",
    key_type=str,
    value_type=int,
    default=int,
    extra_topic_configs=SMALL,
    store="memory://",
)
recent = (
    app.Table(
        "recent",
        key_type=str,
        value_type=int,
        default=int,
        on_window_close=close,
        grace=GRACE,
        extra_topic_configs=SMALL,
        store="memory://",
    )
    .tumbling(WINDOW)
    .relative_to(lambda event: float(event.value) / RATE)
)
done = Counter[str]()


def group_of(number: int) -> str:
    """Return the group of a number."""
    return str(number % KEYS % GROUPS)


@app.agent(numbers, sink=[passed])
async def count(stream: Any) -> Any:
    """Count numbers by key, by group, and by group and window; and pass them on."""
    async for number in stream.group_by(group_of, name="group", topic=grouped):
        group = group_of(number)
        counts[number % KEYS] += 1
        totals[group] += 1
        recent[group] += 1
        done["counted"] += 1
        yield number


@app.page("/soak/")
async def usage(view: Any, _request: Any) -> Any:
    """Answer what this process uses."""
    told = {**look(), "objects": census(), "done": dict(done), "late": recent.table.late}
    return view.json(told)


if __name__ == "__main__":
    app.main()
