"""Types of agents; names only."""

from __future__ import annotations

from faust.agents.actor import Actor as ActorT
from faust.agents.agent import Agent as AgentT
from faust.agents.agent import AgentFun, SinkT
from faust.agents.manager import AgentManager as AgentManagerT
from faust.agents.promises import ReplyTuple

__all__ = ["ActorT", "AgentFun", "AgentManagerT", "AgentT", "ReplyTuple", "SinkT"]
