"""Every agent of the app, by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator, MutableMapping
from typing import Any

from mode import Service

from faust.agents.agent import Agent
from faust.messages import TP

__all__ = ["AgentManager"]

logger: logging.Logger = logging.getLogger(__name__)

READING_TIMEOUT = 2.0
"""Seconds we wait for agents to reach their first ``async for``, so that the first subscription is complete."""

CANCEL_TIMEOUT = 1.0
"""Seconds that agents have to end when they are cancelled at the stop of the app."""


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
            await agent.start()
        await self.wait_until_agents_started()

    async def wait_until_agents_started(self) -> None:
        """Wait until every agent reads its stream, for a bounded time."""
        for agent in self._agents.values():
            try:
                await agent.wait_until_reading(READING_TIMEOUT)
            except TimeoutError:
                logger.info(
                    "Agent %s does not read its stream yet; its topics may be subscribed later",
                    agent.name,
                )

    async def on_stop(self) -> None:
        """Cancel all agents, then wait for their end; who does not end is named, and left behind."""
        agents = [agent for agent in self._agents.values() if agent.started]
        if not agents:
            return
        for agent in agents:
            agent.cancel()
        stopping = {asyncio.ensure_future(agent.stop()): agent for agent in agents}
        done, deaf = await asyncio.wait(stopping, timeout=CANCEL_TIMEOUT)
        for task in deaf:
            places = "; ".join(stopping[task].places())
            logger.error("An agent was cancelled and does not end, it is left behind: %s", places)
        for task in done:
            task.result()

    def places(self, topic: str) -> Iterator[str]:
        """Say of each actor that reads *topic* where it waits."""
        for agent in self._agents.values():
            if topic in agent.get_topic_names():
                yield from agent.places()

    def service_reset(self) -> None:
        """Let the agents be started again."""
        super().service_reset()
        for agent in self._agents.values():
            agent.service_reset()

    async def on_rebalance(self, revoked: Collection[TP], newly_assigned: Collection[TP]) -> None:
        """Tell agents with isolated partitions which have gone and which have come."""
        for agent in self._agents.values():
            await agent.on_rebalance(revoked, newly_assigned)

    # -- for people

    def actor_tracebacks(self) -> dict[str, list[str]]:
        """Show where every actor waits now, by name of its agent."""
        return {name: agent.actor_tracebacks() for name, agent in self._agents.items()}

    def human_tracebacks(self) -> str:
        """Show where every actor waits now, in one text."""
        return "\n".join(
            f"=> {name} {number} of {len(shown)}\n{text}"
            for name, shown in self.actor_tracebacks().items()
            for number, text in enumerate(shown, start=1)
        )
