"""A worker that counts by key, for either library: ``python group.py BROKER ID NAME [STORE]``.

Twice a second it prints what it counts, as ``{"name": ..., "counts": {...}}``. It must run unchanged under both.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from typing import Any

import faust

BROKER, ID, NAME, *STORE = sys.argv[1:]

with socket.socket() as free:  # faust-streaming starts its web server anyway
    free.bind(("127.0.0.1", 0))
    PORT = free.getsockname()[1]

app = faust.App(
    ID,
    broker=BROKER,
    store=STORE[0] if STORE else "memory://",
    datadir=tempfile.mkdtemp(prefix="faust-interop-"),
    canonical_url=f"http://{NAME}:6066",
    topic_partitions=4,
    topic_replication_factor=1,
    web_enabled=False,
    web_port=PORT,
    broker_session_timeout=10.0,
    broker_heartbeat_interval=1.0,
    broker_request_timeout=40.0,
    broker_commit_interval=0.2,
    consumer_auto_offset_reset="earliest",
)
events = app.topic(f"{ID}-events", key_type=str, value_type=int, partitions=4, internal=True)
counts = app.Table("counts", default=int, partitions=4)


@app.agent(events)
async def count(stream: Any) -> None:
    """Count."""
    async for key, amount in stream.items():
        counts[key] += amount


@app.timer(0.5)
async def tell() -> None:
    """Print what is counted."""
    said = json.dumps({"name": NAME, "counts": dict(counts.items())})
    print(said, file=sys.__stdout__, flush=True)  # sys.stdout goes to the log in a worker


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "--loglevel", "info"]
    app.main()
