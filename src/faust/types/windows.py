"""Types of windows; names only."""

from __future__ import annotations

from faust.windows import Window as WindowT
from faust.windows import WindowRange

__all__ = ["WindowRange", "WindowT"]
