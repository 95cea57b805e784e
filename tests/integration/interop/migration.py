"""A worker with tables that outlives its process, for either library.

``python migration.py BROKER ID STORE DATADIR KINDS [COMMAND ...]``

Twice a second it prints what the tables hold and how many events it has seen since it started, as JSON. KINDS is ``plain,windowed``
or ``plain,windowed,sets``. It must run unchanged under both.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import faust

BROKER, ID, STORE, DATADIR, KINDS = sys.argv[1:6]

with socket.socket() as free:  # faust-streaming starts its web server anyway
    free.bind(("127.0.0.1", 0))
    PORT = free.getsockname()[1]

app = faust.App(
    ID,
    broker=BROKER,
    store=STORE,
    datadir=DATADIR,
    topic_partitions=4,
    topic_replication_factor=1,
    table_standby_replicas=0,
    web_enabled=False,
    web_port=PORT,
    broker_session_timeout=10.0,
    broker_heartbeat_interval=1.0,
    broker_request_timeout=40.0,
    broker_commit_interval=0.2,
    consumer_auto_offset_reset="earliest",
)
events = app.topic(f"{ID}-events", key_type=str, value_type=int, partitions=4, internal=True)
plain = app.Table("plain", default=int, partitions=4)
windowed = app.Table("windowed", default=int, partitions=4).tumbling(1e9)
sets = app.SetTable("sets", partitions=4) if "sets" in KINDS else None
seen = 0


@app.agent(events)
async def fill(stream: Any) -> None:
    """Count, in every table."""
    global seen
    async for key, amount in stream.items():
        plain[key] += amount
        windowed[key] += amount
        if sets is not None:
            sets[key].add(amount)
        seen += 1


@app.timer(0.5)
async def tell() -> None:
    """Print what there is."""
    said = {
        "seen": seen,
        "ready": not app.rebalancing,
        "plain": dict(plain.items()),
        "windowed": {key[0]: value for key, value in windowed.table.items()},
        "sets": {} if sets is None else {key: sorted(value) for key, value in sets.items()},
    }
    print(json.dumps(said), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    sys.argv[1:] = sys.argv[6:] or ["worker", "--loglevel", "info"]
    app.main()
