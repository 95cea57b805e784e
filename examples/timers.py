"""Timers, cron jobs, a task, a service, and what only the leader does.

python examples/timers.py worker       start it in several terminals, and stop the leader
"""

from __future__ import annotations

import os
from zoneinfo import ZoneInfo

import faust

app = faust.App("timers", broker="local://", timezone=ZoneInfo("Europe/Vienna"))
WHO = f"worker {os.getpid()}"


@app.task
async def hello(app: faust.App) -> None:
    print(f"{WHO}: {app.conf.id} is ready", flush=True)


@app.timer(1.0)
async def heartbeat() -> None:
    print(f"{WHO}: alive{', and the leader' if app.is_leader() else ''}", flush=True)


@app.timer(2.0, on_leader=True)
async def lead() -> None:
    print(f"{WHO}: once for all workers", flush=True)


@app.crontab("* * * * * */5", on_leader=True)
async def every_five_seconds() -> None:
    print(f"{WHO}: a time of day that ends with 0 or 5", flush=True)


@app.service
class Counter(faust.Service):
    async def on_start(self) -> None:
        self.count = 0

    @faust.Service.timer(5.0)
    async def count_up(self) -> None:
        self.count += 1

    async def on_stop(self) -> None:
        print(f"{WHO}: counted to {self.count}", flush=True)


@app.on_before_shutdown.connect
async def goodbye(app: faust.App, **kwargs: object) -> None:
    print(f"{WHO}: everything is processed", flush=True)


if __name__ == "__main__":
    app.main()
