"""Types of applications; names only."""

from __future__ import annotations

from faust.app.base import App as AppT
from faust.app.boot import BootStrategy as BootStrategyT
from faust.app.tasks import Task as TaskArg
from faust.app.tracing import Tracer as TracerT

__all__ = ["AppT", "BootStrategyT", "TaskArg", "TracerT"]
