"""Types of agents; names only."""

from __future__ import annotations

from faust.agents.actor import Actor as ActorT
from faust.agents.actor import AsyncIterableActor as AsyncIterableActorT
from faust.agents.actor import AwaitableActor as AwaitableActorT
from faust.agents.agent import Agent as AgentT
from faust.agents.agent import AgentFun, SinkT
from faust.agents.agent import OnError as AgentErrorHandler
from faust.agents.manager import AgentManager as AgentManagerT
from faust.agents.promises import ReplyTuple
from faust.agents.testing import AgentTestWrapper as AgentTestWrapperT

__all__ = [
    "ActorT",
    "AgentErrorHandler",
    "AgentFun",
    "AgentManagerT",
    "AgentT",
    "AgentTestWrapperT",
    "AsyncIterableActorT",
    "AwaitableActorT",
    "ReplyTuple",
    "SinkT",
]
