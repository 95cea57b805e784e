"""Names about settings that older programs import from here."""

from __future__ import annotations

from faust.settings.params import Param, SectionType
from faust.settings.settings import Settings

__all__ = ["Param", "SectionType", "Settings"]
