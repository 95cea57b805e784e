"""The program that is killed: numbered words, regrouped by themselves, counted in a table.

The environment says where the broker and the directory are (``BROKER_URL``, ``APP_DATADIR``) and, in ``CRASH_NAME``,
how the app is called and what the names of its topics begin with. Every word is a number that
is fed once, so a count of two is a repetition and a missing key is a loss.
"""

from __future__ import annotations

import os
from typing import Any

import faust

PARTITIONS = 4
COMMIT_INTERVAL = 0.1
SESSION_TIMEOUT = 4.0

NAME = os.environ.get("CRASH_NAME", "counting")

app = faust.App(
    NAME,
    broker_commit_interval=COMMIT_INTERVAL,
    broker_session_timeout=SESSION_TIMEOUT,
    broker_heartbeat_interval=0.5,
    broker_rebalance_timeout=10.0,
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    web_enabled=False,
)
numbers = app.topic(f"{NAME}-numbers", value_type=str)
grouped = app.topic(f"{NAME}-grouped", key_type=str, value_type=str)
counts = app.Table("counts", default=int)


@app.agent(numbers)
async def count(stream: Any) -> None:
    """Count each word where all of its kind come together."""
    async for word in stream.group_by(lambda word: word, name="word", topic=grouped):
        counts[word] += 1


if __name__ == "__main__":
    app.main()
