"""Types of the router; names only."""

from __future__ import annotations

from faust.app.router import Router as RouterT

__all__ = ["RouterT"]
