"""Every agent of the app, by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

from mode import Service

from faust.agents.agent import Agent

__all__ = ["AgentManager"]

logger: logging.Logger = logging.getLogger(__name__)

READING_TIMEOUT = 2.0
"""Seconds we wait for agents to reach their first ``async for``, so that the first subscription is complete."""


class AgentManager(Service, MutableMapping[str, Agent[Any]]):
    """An ordered mapping of name to agent; starts and stops them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._agents: dict[str, Agent[Any]] = {}

    def __getitem__(self, name: str) -> Agent[Any]:
        return self._agents[name]

    def __setitem__(self, name: str, agent: Agent[Any]) -> None:
        self._agents[name] = agent

    def __delitem__(self, name: str) -> None:
        del self._agents[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    async def on_start(self) -> None:
        """Start all agents, in the order of their definition."""
        for agent in self._agents.values():
            await agent.start(self._crash_worker)
        for agent in self._agents.values():
            try:
                await agent.wait_until_reading(READING_TIMEOUT)
            except TimeoutError:
                logger.info(
                    "Agent %s does not read its stream yet; its topics may be subscribed later",
                    agent.name,
                )

    async def on_stop(self) -> None:
        """Stop all agents."""
        await asyncio.gather(*(agent.stop() for agent in self._agents.values()))

    async def _crash_worker(self, error: BaseException) -> None:
        await self.crash(error)
