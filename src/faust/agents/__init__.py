"""Agents; this is a face, see ``agent.py``."""

from __future__ import annotations

from faust.agents.actor import Actor as Actor
from faust.agents.actor import current_agent as current_agent
from faust.agents.agent import Agent as Agent
from faust.agents.agent import Agent as AgentT
from faust.agents.agent import AgentFun as AgentFun
from faust.agents.agent import SinkT as SinkT
from faust.agents.manager import AgentManager as AgentManager
from faust.agents.manager import AgentManager as AgentManagerT
from faust.agents.promises import BarrierState as BarrierState
from faust.agents.promises import ReplyPromise as ReplyPromise
from faust.agents.replies import ReplyConsumer as ReplyConsumer

__all__ = [
    "Actor",
    "Agent",
    "AgentFun",
    "AgentManager",
    "AgentManagerT",
    "AgentT",
    "BarrierState",
    "ReplyConsumer",
    "ReplyPromise",
    "SinkT",
    "current_agent",
]
