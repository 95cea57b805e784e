"""Test applications; this is a face, see `run.py` (whole applications) and `plugin.py` (pytest)."""

from __future__ import annotations

from faust.testing.run import NotIdle, TestRun, run

__all__ = ["NotIdle", "TestRun", "run"]
