"""Enumerations that older programs import from here."""

from __future__ import annotations

from faust.settings.common import ProcessingGuarantee

__all__ = ["ProcessingGuarantee"]
