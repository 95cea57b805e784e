"""The program that is killed: an agent whose eight actors take their time, so that events finish in any order.

The environment says where the broker is (``BROKER_URL``), how the app is called and what its topic begins with
(``CRASH_NAME``), and which file gets a line for every number that an actor has finished (``CRASH_DONE``). The line is
written by one system call before the event is acknowledged; it survives the death of the process.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import faust

PARTITIONS = 4
NAME = os.environ.get("CRASH_NAME", "slow")

app = faust.App(
    NAME,
    broker_commit_interval=0.1,
    broker_session_timeout=4.0,
    broker_heartbeat_interval=0.5,
    broker_rebalance_timeout=10.0,
    topic_disable_leader=True,
)
numbers = app.topic(f"{NAME}-numbers", value_type=str)


@app.agent(numbers, concurrency=8)
async def work(stream: Any) -> None:
    """Finish each number after a random while; one in fifty takes a hundred times as long as the others."""
    done = os.open(os.environ["CRASH_DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async for number in stream:
        slow = random.random() < 0.02
        await asyncio.sleep(random.uniform(0.0, 0.6 if slow else 0.006))
        os.write(done, b"%d\n" % int(number))


if __name__ == "__main__":
    app.main()
