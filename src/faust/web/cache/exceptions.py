"""What a cache raises."""

from __future__ import annotations

from faust.exceptions import FaustError

__all__ = ["CacheUnavailable"]


class CacheUnavailable(FaustError):
    """The cache cannot be reached, or does not do what it is told."""
