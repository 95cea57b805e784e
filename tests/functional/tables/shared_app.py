"""The program of `one_key` and `swapping`: counts keys in RocksDB.

The environment says where the broker and the directory are (``BROKER_URL``, ``APP_DATADIR``), and in ``CRASH_NAME`` how the app
is called.
"""

from __future__ import annotations

import os
from typing import Any

import faust

PARTITIONS = 4

NAME = os.environ.get("CRASH_NAME", "shared")

app = faust.App(
    NAME,
    store="rocksdb://",
    broker_commit_interval=0.1,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=0.5,
    broker_rebalance_timeout=20.0,
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    web_enabled=False,
)
events = app.topic(f"{NAME}-events", key_type=str, value_type=int)
totals = app.Table("totals", default=int)


@app.agent(events)
async def count(stream: Any) -> None:
    """Count."""
    async for key, amount in stream.items():
        totals[key] += amount


if __name__ == "__main__":
    app.main()
