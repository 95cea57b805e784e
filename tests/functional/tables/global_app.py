"""The program of `global_tables`: a global table, with pages that tell what is in it.

The environment says where the broker and the directory are (``BROKER_URL``, ``APP_DATADIR``), which store to use
(``GLOBAL_STORE``), where the pages are (``NODE_HOSTNAME``, ``APP_PORT``), and in ``CRASH_NAME`` how the app is called.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import faust
from faust import web

PARTITIONS = 4

NAME = os.environ.get("CRASH_NAME", "global")

app = faust.App(
    NAME,
    store=os.environ.get("GLOBAL_STORE", "memory://"),
    broker_commit_interval=0.1,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=0.5,
    broker_rebalance_timeout=20.0,
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    web_bind="127.0.0.1",
    web_port=int(os.environ.get("APP_PORT", "6066")),
)
events = app.topic(f"{NAME}-events", key_type=str, value_type=int)
rates = app.GlobalTable("rates", default=int)


@app.agent(events)
async def take(stream: Any) -> None:
    """Set."""
    async for key, value in stream.items():
        rates[key] = value


@app.page("/digest/")
async def digest(self: web.View, request: Any) -> Any:
    """Say how many keys there are, and what they and their values come to."""
    entries = sorted(rates.items())
    return self.json(
        {
            "keys": len(entries),
            "digest": hashlib.sha256(repr(entries).encode()).hexdigest(),
        }
    )


@app.page("/rate/{key}/")
async def rate(self: web.View, request: Any, key: str) -> Any:
    """Say what the value of a key is."""
    return self.json(rates.get(key))


if __name__ == "__main__":
    app.main()
