"""The program whose workers take over from each other: counts keys, and says what it has counted to those who ask.

The environment says where the broker and the directory are (``BROKER_URL``, ``APP_DATADIR``), which store to use
(``PROMOTION_STORE``), in ``CRASH_NAME`` how the app is called, and in ``NODE_CANONICAL_URL`` who this worker is. An event of a
value above 0 asks for an answer: the name of the worker, that value, and the count of the key after the event.
"""

from __future__ import annotations

import os
from typing import Any

import faust

PARTITIONS = 4
HEARTBEAT = 0.3
SESSION_TIMEOUT = 3.0

NAME = os.environ.get("CRASH_NAME", "promotion")
WHO = os.environ.get("NODE_CANONICAL_URL", "")

app = faust.App(
    NAME,
    store=os.environ.get("PROMOTION_STORE", "memory://"),
    broker_commit_interval=0.1,
    broker_session_timeout=SESSION_TIMEOUT,
    broker_heartbeat_interval=HEARTBEAT,
    broker_rebalance_timeout=10.0,
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    table_standby_replicas=1,
    web_enabled=False,
)
events = app.topic(f"{NAME}-events", key_type=str, value_type=int)
answers = app.topic(f"{NAME}-answers", partitions=1)
totals = app.Table("totals", default=int)


@app.agent(events)
async def count(stream: Any) -> None:
    """Count, and answer."""
    async for key, asks in stream.items():
        totals[key] += 1
        if asks:
            await answers.send(key=key, value=[WHO, asks, totals[key]])


if __name__ == "__main__":
    app.main()
