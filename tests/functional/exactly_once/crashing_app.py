"""A worker that kills itself at one step of its commit: numbers are counted in a table, and passed on.

The environment says where the broker and the directory are (``BROKER_URL``, ``APP_DATADIR``), which guarantee
(``PROCESSING_GUARANTEE``), how the app is called (``CRASH_NAME``), and at which `CommitStep` it dies (``CRASH_AT``; empty: never).
"""

from __future__ import annotations

import os
import signal
from typing import Any

import faust
from faust.transport.consumer import CommitStep

PARTITIONS = 4
KEYS = 16
SESSION_TIMEOUT = 2.0

NAME = os.environ.get("CRASH_NAME", "crashing")
CRASH_AT = os.environ.get("CRASH_AT", "")
EVENTS = 50
"""Events before it dies, so that there is something in what is lost."""


class CrashingApp(faust.App):
    """Dies at the step it was told to."""

    def on_commit_step(self, step: CommitStep) -> None:
        """Kill this process, as kill -9 would."""
        if step.value == CRASH_AT and seen >= EVENTS:
            os.kill(os.getpid(), signal.SIGKILL)


app = CrashingApp(
    NAME,
    broker_commit_interval=0.1,
    broker_session_timeout=SESSION_TIMEOUT,
    broker_heartbeat_interval=0.3,
    broker_rebalance_timeout=6.0,
    broker_transaction_timeout=4.0,
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    web_enabled=False,
)
numbers = app.topic(f"{NAME}-numbers", value_type=int)
passed = app.topic(f"{NAME}-passed", value_type=int)
counts = app.Table("counts", key_type=int, value_type=int, default=int)
seen = 0


@app.agent(numbers)
async def count(stream: Any) -> None:
    """Count each number by its remainder, and pass it on."""
    global seen
    async for number in stream:
        seen += 1
        counts[number % KEYS] += 1
        await passed.send(value=number)


if __name__ == "__main__":
    app.main()
