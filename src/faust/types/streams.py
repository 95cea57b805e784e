"""Types of streams; names only."""

from __future__ import annotations

from faust.streams.stream import Stream as StreamT

__all__ = ["StreamT"]
