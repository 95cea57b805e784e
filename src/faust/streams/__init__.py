"""Streams; this is a face, see ``stream.py``."""

from __future__ import annotations

from faust.events import current_event as current_event
from faust.streams.stream import Stream as Stream

__all__ = ["Stream", "current_event"]
