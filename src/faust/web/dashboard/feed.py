"""The feed of the dashboard: one sampler for all who look, and none when nobody looks.

The first viewer starts it and the last one ends it. Every viewer gets the newest figures, not a queue of old ones, so a slow one
costs no memory. The figures are read on the event loop of the app, also when the web server has a loop of its own; then a loop that
is blocked shows, since the feed goes on without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from faust.utils import json
from faust.web.dashboard.cluster import Ask, Cluster
from faust.web.dashboard.figures import Figures
from faust.web.dashboard.rates import Rates
from faust.web.dashboard.topology import topology
from faust.web.dashboard.trouble import listen

__all__ = ["EVERY", "MOST_VIEWERS", "Feed", "event"]

logger: logging.Logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two samples."""

PATIENCE = 3.0
"""Seconds that the loop of the app may take to give its figures."""

SURVEY = 3
"""Samples between two looks at the topology."""

HISTORY = 180
"""Samples that a new viewer is shown at once."""

MOST_VIEWERS = 20
"""Viewers at a time."""


def event(name: str, data: Any) -> bytes:
    """Write a server-sent event (HTML standard, section 9.2)."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), json.dumps(data))


class Feed:
    """What the viewers of an app's dashboard get.

    Arguments:
        app: The application.
        ask: Asks another worker.

    Attributes:
        viewers: How many look.
    """

    def __init__(self, app: Any, ask: Ask) -> None:
        self.app = app
        self.viewers: int = 0
        self._ask = ask
        self._trouble = listen()
        self._sampler: asyncio.Task[None] | None = None

    async def watch(self, home: asyncio.AbstractEventLoop | None) -> AsyncGenerator[bytes, None]:
        """Give server-sent events, until the reader goes.

        Arguments:
            home: Event loop of the app; None: this one.
        """
        self.viewers += 1
        if self._sampler is None:
            self._begin(home)
        try:
            yield event("history", list(self._history))
            shown = graph = 0
            while True:
                async with self._news:
                    await self._news.wait_for(lambda: self._number != shown)  # noqa: B023 - at once
                shown = self._number
                if self._surveyed != graph:
                    graph = self._surveyed
                    yield self._graph_event
                yield self._event
        finally:
            self.viewers -= 1
            if not self.viewers:
                await self._end()

    # -- sampling

    def _begin(self, home: asyncio.AbstractEventLoop | None) -> None:
        self._home = home
        self._news = asyncio.Condition()
        self._figures = Figures(self.app)
        self._moving = Rates()
        self._cluster = Cluster(self._ask)
        self._history: deque[list[Any]] = deque(maxlen=HISTORY)
        self._number = self._surveyed = 0
        self._event = self._graph_event = b""
        self._graph: dict[str, Any] = {}
        self._read: dict[str, Any] = {}
        self._sampler = asyncio.get_running_loop().create_task(self._sample(), name="dashboard")

    async def _end(self) -> None:
        sampler, self._sampler = self._sampler, None
        if sampler is not None:
            sampler.cancel()
            await asyncio.gather(sampler, return_exceptions=True)
            await self._cluster.stop()

    async def _sample(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                logger.exception("Dashboard: reading the figures failed")
            async with self._news:
                self._number += 1
                self._news.notify_all()
            await asyncio.sleep(EVERY)

    async def _look(self) -> None:
        began = time.monotonic()
        try:
            figures = await self._at_home()
        except TimeoutError:
            figures = {**self._read, "blocked_for": time.monotonic() - began}
            figures["app"] = {**figures.get("app", {"id": self.app.conf.id}), "state": "blocked"}
        else:
            self._read = figures
        figures = {**figures, "totals": dict(figures.get("totals", {}))}
        self._complete(figures)
        self._event = event("figures", figures)

    async def _at_home(self) -> dict[str, Any]:
        """Read the figures, and every now and then the topology, on the loop of the app."""
        here = asyncio.get_running_loop()
        if self._home is None or self._home is here:
            return self._take()

        async def take() -> dict[str, Any]:
            return self._take()

        reading = asyncio.run_coroutine_threadsafe(take(), self._home)
        return await asyncio.wait_for(asyncio.wrap_future(reading), PATIENCE)

    def _take(self) -> dict[str, Any]:
        if self._number % SURVEY == 0:
            graph = topology(self.app).asdict()
            if graph != self._graph:
                self._graph = graph
                self._graph_event = event("graph", graph)
                self._surveyed += 1
        return self._figures.read()

    def _complete(self, figures: dict[str, Any]) -> None:
        """Add what is known of the other workers, and figures of the whole group."""
        workers = figures.get("workers", [])
        self._cluster.watch([worker["url"] for worker in workers if not worker["here"]])
        figures["peers"] = peers = self._cluster.shown()
        here = next((worker["url"] for worker in workers if worker["here"]), "")
        rows = self._rows(here, figures.get("partitions", []))
        for peer in peers:
            said = peer.pop("partitions")
            if peer["state"] != "left":
                rows += self._rows(peer["url"], said, moving=peer["state"] != "silent")
        figures["partitions"] = rows
        figures["errors"] = list(self._trouble.entries)
        known = [row["lag"] for row in rows if row.get("lag") is not None]
        totals = figures["totals"]
        totals["lag"] = sum(known) if known or not rows else None
        self._history.append(
            [
                figures.get("at"),
                totals.get("events_s"),
                totals.get("sent_s"),
                totals["lag"],
                totals.get("active"),
            ]
        )

    def _rows(self, url: str, said: list[Any], *, moving: bool = True) -> list[dict[str, Any]]:
        """Return the rows of partitions that a worker has told of, with its address and how fast each gets on."""
        now, rows = time.monotonic(), []
        for row in said:
            with contextlib.suppress(KeyError, TypeError):  # another release, another table
                what = (url, row["topic"], row["partition"])
                finished = row["finished"]
                known = moving and finished is not None
                rate = self._moving.of(what, finished, now) if known else None
                end = max(
                    (n for n in (row["end"], row["delivered"]) if n is not None), default=None
                )
                rows.append({**row, "end": end, "worker": url, "rate": rate})
        return rows
