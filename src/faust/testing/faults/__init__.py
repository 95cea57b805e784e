"""Faults for whole applications; this is a face. A guide: ``docs/guide/fault-testing.md``."""

from __future__ import annotations

from faust.testing.faults.checks import Ledger, TableDifference, compare_table
from faust.testing.faults.crew import Crew, End, Usage
from faust.testing.faults.observer import NotReached, Observer, tps_of
from faust.testing.faults.plan import Plan, Step
from faust.testing.faults.programs import Program, start
from faust.testing.faults.proxy import Proxy
from faust.testing.faults.world import (
    BROKER_KINDS,
    NET_KINDS,
    REQUESTS,
    WORKER_KINDS,
    Brokers,
    Outcome,
    World,
    play,
)

__all__ = [
    "BROKER_KINDS",
    "NET_KINDS",
    "REQUESTS",
    "WORKER_KINDS",
    "Brokers",
    "Crew",
    "End",
    "Ledger",
    "NotReached",
    "Observer",
    "Outcome",
    "Plan",
    "Program",
    "Proxy",
    "Step",
    "TableDifference",
    "Usage",
    "World",
    "compare_table",
    "play",
    "start",
    "tps_of",
]
