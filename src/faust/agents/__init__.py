"""Agents; this is a face, see ``agent.py``."""

from __future__ import annotations

from faust.agents.agent import Agent as Agent
from faust.agents.manager import AgentManager as AgentManager

__all__ = ["Agent", "AgentManager"]
