"""The configuration of an application."""

from faust.settings.params import InvalidSetting, Param, SectionType
from faust.settings.settings import ProcessingGuarantee, Settings, options_of

__all__ = [
    "InvalidSetting",
    "Param",
    "ProcessingGuarantee",
    "SectionType",
    "Settings",
    "options_of",
]
