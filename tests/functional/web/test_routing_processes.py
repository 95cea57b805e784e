"""Issue 7, acceptance 5: three workers that are processes; each is asked for every key all the time, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.ports import free_port
from tests.support.processes import PythonProcess, start_python

PROGRAM = """
import sys
import faust
from faust.web import View

directory = sys.argv.pop(1)
port = int(sys.argv.pop(1))
app = faust.App("routed", broker=f"local://{directory}/broker", datadir=f"{directory}/data-{port}", env={},
                web_host="127.0.0.1", web_port=port, broker_session_timeout=3.0, broker_heartbeat_interval=0.3,
                broker_commit_interval=0.2)
topic = app.topic("clicks", key_type=str, value_type=int, partitions=6, internal=True)
counts = app.Table("counts", default=int, key_type=str, partitions=6)

@app.agent(topic)
async def count(stream):
    async for key, value in stream.items():
        counts[key] += value

@app.page("/count/{key}/")
class Count(View):
    @app.table_route(counts, match_info="key")
    async def get(self, request, key):
        return self.json([key, counts[key], port])

    @app.table_route(counts, match_info="key")
    async def post(self, request, key):
        return self.bytes((await request.read())[::-1])

    async def put(self, request, key):
        await (await topic.send(key=key, value=1))
        return self.json({})

app.main()
"""

KEYS = [f"key-{i}" for i in range(12)]


class Prober:
    """Asks workers for every key, all the time, and counts what they answer."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.ports: list[int] = []
        self.statuses: Counter[Any] = Counter()
        self.strange: list[str] = []

    async def get(self, port: int, key: str) -> Any:
        """Ask one worker for one key; None: it has no answer now."""
        url = f"http://127.0.0.1:{port}/count/{key}/"
        try:
            async with self.session.get(url) as response:
                self.statuses[response.status] += 1
                if response.status == 200:
                    return await response.json()
                if response.status != 503 or response.headers.get("Retry-After") != "1":
                    self.strange.append(f"{response.status} {await response.text()}")
        except aiohttp.ClientConnectionError:
            self.statuses["no connection"] += 1
        return None

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.gather(*(self.get(port, key) for port in self.ports for key in KEYS))
            await asyncio.sleep(0.02)

    async def settled(self, workers: int, count: int, timeout: float = 60.0) -> None:
        """Wait until every worker answers for every key with *count*, and so many of them have keys."""
        deadline = time.monotonic() + timeout
        while True:
            answers = [await self.get(port, key) for port in self.ports for key in KEYS]
            known = all(a is not None and a[1] == count for a in answers)
            if known and len({a[2] for a in answers}) == workers:
                return
            assert time.monotonic() < deadline, answers
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def probing() -> AsyncIterator[Prober]:
    """Probe for the length of the block."""
    async with aiohttp.ClientSession() as session:
        prober = Prober(session)
        running = asyncio.ensure_future(prober.run())
        try:
            yield prober
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@pytest.mark.slow
async def test_three_workers_come_and_go(tmp_path: Path) -> None:
    """Before the first assignment, while partitions move, when a worker stops or is killed: 200, or 503 with Retry-After."""
    body = bytes(range(256)) * 4000
    with contextlib.ExitStack() as stack:
        processes: dict[int, PythonProcess] = {}

        def start() -> int:
            port = free_port()
            processes[port] = stack.enter_context(
                start_python(PROGRAM, str(tmp_path), str(port), "worker", "-p", str(port))
            )
            return port

        async with probing() as prober:
            prober.ports = [start()]
            await prober.settled(workers=1, count=0)
            for key in KEYS:
                async with prober.session.put(
                    f"http://127.0.0.1:{prober.ports[0]}/count/{key}/"
                ) as response:
                    assert response.status == 200
            await prober.settled(workers=1, count=1)
            prober.ports = [*prober.ports, start(), start()]
            await prober.settled(workers=3, count=1)
            for port in prober.ports:
                for key in KEYS:
                    url = f"http://127.0.0.1:{port}/count/{key}/"
                    async with prober.session.post(url, data=body) as response:
                        assert response.status == 200
                        assert await response.read() == body[::-1]
            stopped, killed = prober.ports[2], prober.ports[1]
            processes[stopped].terminate()
            assert await asyncio.to_thread(processes[stopped].wait, 30) == 0
            prober.ports = [port for port in prober.ports if port != stopped]
            await prober.settled(workers=2, count=1)
            processes[killed].kill()
            prober.ports = [port for port in prober.ports if port != killed]
            await prober.settled(workers=1, count=1)
        print(dict(prober.statuses), file=sys.stderr)
        assert prober.strange == []
        assert prober.statuses[503] > 0
        assert prober.statuses[200] > 1000
