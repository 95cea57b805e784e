"""A guest in the group: a member that takes its share of the partitions, reads nothing, and leaves again."""

from __future__ import annotations

import asyncio

from faust.app import clients
from faust.app.base import App
from faust.messages import TP

__all__ = ["Guest"]


class Guest:
    """A second member of the group of *app*.

    Attributes:
        partitions: What it was given.
        generation: The generation of the group in which it was given them.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.partitions: frozenset[TP] = frozenset()
        self.generation: int = -1
        self._driver = app.transport.consumer(clients.consumer_options(app.conf))
        self._given = asyncio.Event()

    async def join(self) -> None:
        """Join the group, and wait until it has been given its share."""
        await self._driver.start()
        topics, pattern = self.app.topics.subscription()
        await self._driver.subscribe(
            topics, pattern=pattern, listener=self, assignor=self.app.make_assignor()
        )
        await self._given.wait()

    async def leave(self) -> None:
        """Leave the group."""
        await self._driver.close()

    async def on_partitions_revoked(self, revoked: frozenset[TP], lost: bool) -> None:
        """Have nothing to finish: nothing was read."""

    async def on_partitions_assigned(self, assigned: frozenset[TP], generation: int) -> None:
        """Hold the partitions, and read nothing."""
        self._driver.pause(assigned)
        self.partitions, self.generation = assigned, generation
        self._given.set()
