"""Streams; this is a face, see ``stream.py``."""

from __future__ import annotations

from faust.streams.stream import Stream as Stream

__all__ = ["Stream"]
