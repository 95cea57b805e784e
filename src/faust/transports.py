"""The address under which the documents show the conductor."""

from __future__ import annotations

from faust.conductor import Conductor as Conductor

__all__ = ["Conductor"]
