"""The address under which the documents show the conductor."""

from __future__ import annotations

from faust.conductor import Conductor

__all__ = ["Conductor"]
