"""The address at which documents show the router; names only."""

from __future__ import annotations

from faust.app.router import Router

__all__ = ["Router"]
