"""The program whose broker refuses something: numbers are written to a table and to a topic.

The environment says in ``FAULTS_NAME`` how the app is called and its topics begin, in ``FAULTS_SETTINGS`` (JSON) what else is set,
in ``FAULTS_USER`` (``name:password``) who it is, in ``FAULTS_LARGE`` which of the two (``table``, ``sink``) gets 30,000 bytes for
the number `LARGE`, in ``FAULTS_WAIT`` how many seconds an event takes, and in ``FAULTS_TABLE`` (``no``) that there is no table.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any

import faust

logger: logging.Logger = logging.getLogger(__name__)

PARTITIONS = 2
LARGE = 150
SIZE = 30_000

NAME = os.environ.get("FAULTS_NAME", "refused")
LARGE_WHERE = os.environ.get("FAULTS_LARGE", "")
WAIT = float(os.environ.get("FAULTS_WAIT", "0"))
USER, _, PASSWORD = os.environ.get("FAULTS_USER", "").partition(":")
SETTINGS: dict[str, Any] = {
    "broker_commit_interval": 0.2,
    "broker_session_timeout": 4.0,
    "broker_heartbeat_interval": 0.3,
    "broker_rebalance_timeout": 6.0,
    "broker_request_timeout": 10.0,
    "health_stall_timeout": 1.0,
    "topic_partitions": PARTITIONS,
    "topic_disable_leader": True,
    "web_enabled": True,
    "web_host": "127.0.0.1",
    **json.loads(os.environ.get("FAULTS_SETTINGS", "{}")),
}
if USER:
    SETTINGS["broker_credentials"] = faust.SASLCredentials(
        username=USER, password=PASSWORD, mechanism="PLAIN"
    )

app = faust.App(NAME, **SETTINGS)
numbers = app.topic(f"{NAME}-in", value_type=int)
copies = app.topic(f"{NAME}-out", value_type=str)
table = app.Table("seen", default=str) if os.environ.get("FAULTS_TABLE") != "no" else None


@app.agent(numbers)
async def copy(stream: Any) -> None:
    """Write each number down twice."""
    async for number in stream:
        large = "x" * SIZE if number == LARGE else ""
        if table is not None:
            table[number] = large if LARGE_WHERE == "table" else "seen"
        await copies.send(key=str(number), value=large if LARGE_WHERE == "sink" else "seen")
        if WAIT:
            await asyncio.sleep(WAIT)


@app.on_partitions_assigned.connect
async def assigned(_app: faust.App, assigned: set[faust.TP], **_: Any) -> None:
    """Tell those who look on that recovery begins."""
    logger.info("assigned %d", len(assigned))


@app.on_partitions_revoked.connect
async def revoked(_app: faust.App, revoked: set[faust.TP], **_: Any) -> None:
    """Tell those who look on that a rebalance is under way."""
    logger.info("revoked %d", len(revoked))


if __name__ == "__main__":
    app.main()
