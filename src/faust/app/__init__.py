"""The application; this is a face, see ``base.py``."""

from __future__ import annotations

from faust.app.base import App as App
from faust.app.boot import BootStrategy as BootStrategy

__all__ = ["App", "BootStrategy"]
