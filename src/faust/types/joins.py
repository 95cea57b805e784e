"""Types of joins; names only."""

from __future__ import annotations

from faust.joins import Join as JoinT

__all__ = ["JoinT"]
