"""The other workers: whether they answer, and how their partitions get on.

Each is asked for ``/health/ready``, which every worker answers to everybody; so one page shows the partitions of the whole
group. A worker that is killed does not answer from then on, and is shown so long before the group has missed its heartbeats. One
that has left the group is remembered for some minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from yarl import URL

from faust.web.dashboard.trouble import masked

__all__ = ["Cluster"]

ASK = 2.0
"""Seconds between two questions to a worker, and how long an answer may take."""

REMEMBERED = 300.0
"""Seconds for which a worker that has left is shown."""

AT_ONCE = 16

Ask = Callable[[URL, str, float], Awaitable[Any]]
"""Asks (worker, path, seconds) for JSON."""


class _Peer:
    def __init__(self, url: str) -> None:
        self.url = url
        self.said: dict[str, Any] | None = None
        self.answered_at: float | None = None
        self.silent_since: float | None = None
        self.left_at: float | None = None
        self.trouble = ""


class Cluster:
    """Watches the other workers while somebody looks.

    Arguments:
        ask: Asks another worker.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._peers: dict[str, _Peer] = {}
        self._asked_at = -ASK
        self._asking: asyncio.Task[None] | None = None

    def watch(self, urls: list[str]) -> None:
        """Note who belongs to the group, and ask them if it is time; does not wait."""
        now = time.monotonic()
        for url in urls:
            self._peers.setdefault(url, _Peer(url)).left_at = None
        for url, peer in list(self._peers.items()):
            if url not in urls:
                peer.left_at = peer.left_at or now
                if now - peer.left_at > REMEMBERED:
                    del self._peers[url]
        if now - self._asked_at >= ASK and (self._asking is None or self._asking.done()):
            self._asked_at = now
            self._asking = asyncio.get_running_loop().create_task(self._ask_all(urls))

    async def stop(self) -> None:
        """Ask no more."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask_all(self, urls: list[str]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(peer: _Peer) -> None:
            async with turns:
                await self._ask_one(peer)

        await asyncio.gather(*(ask(self._peers[url]) for url in urls))

    async def _ask_one(self, peer: _Peer) -> None:
        try:
            said = await self._ask(URL(peer.url), "/health/ready", ASK)
            if not isinstance(said, dict) or not isinstance(said.get("partitions", []), list):
                raise TypeError("it is no worker of this kind")
        except Exception as exc:
            peer.silent_since = peer.silent_since or time.monotonic()
            peer.trouble = masked(str(exc) or type(exc).__name__)
        else:
            peer.said, peer.answered_at = said, time.monotonic()
            peer.silent_since, peer.trouble = None, ""

    def shown(self) -> list[dict[str, Any]]:
        """Return what is known of each: state, reasons, partitions, and for how long it has been silent (seconds)."""
        now = time.monotonic()
        return [
            {
                "url": peer.url,
                "state": _state_of(peer),
                "reasons": _reasons_of(peer),
                "silent_for": None if peer.silent_since is None else now - peer.silent_since,
                "left_for": None if peer.left_at is None else now - peer.left_at,
                "partitions": (peer.said or {}).get("partitions", []),
            }
            for peer in self._peers.values()
        ]


def _state_of(peer: _Peer) -> str:
    if peer.left_at is not None:
        return "left"
    if peer.silent_since is not None:
        return "silent"
    if peer.said is None:
        return "asked"
    return "ready" if peer.said.get("status") == "ready" else "not ready"


def _reasons_of(peer: _Peer) -> list[str]:
    if peer.silent_since is not None:
        return [peer.trouble] if peer.trouble else []
    return [masked(str(reason)) for reason in (peer.said or {}).get("reasons", [])]
