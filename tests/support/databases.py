"""Databases of the embedded broker in memory, closed when the test is over (`tests/unit/transport/conftest.py`)."""

from __future__ import annotations

from faust.transport.drivers.local.database import Database

__all__ = ["close_databases", "memory_database"]

_open: list[Database] = []


def memory_database() -> Database:
    """Make an empty one."""
    made = Database(None)
    _open.append(made)
    return made


def close_databases() -> None:
    """Close all that were made."""
    while _open:
        _open.pop().close()
