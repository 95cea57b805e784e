"""Sections of settings; names only."""

from __future__ import annotations

from faust.settings.params import SectionType

__all__ = ["SectionType"]
