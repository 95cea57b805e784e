"""Kinds of settings; names only."""

from __future__ import annotations

from faust.settings.params import (
    URL,
    Bool,
    BrokerList,
    Codec,
    Credentials,
    Dict,
    Enum,
    Int,
    LogHandlers,
    Param,
    Path,
    Port,
    Seconds,
    Severity,
    SSLContext,
    Str,
    Timezone,
    UnsignedInt,
    _Symbol,
)

__all__ = [
    "URL",
    "Bool",
    "BrokerList",
    "Codec",
    "Credentials",
    "Dict",
    "Enum",
    "Int",
    "LogHandlers",
    "Param",
    "Path",
    "Port",
    "SSLContext",
    "Seconds",
    "Severity",
    "Str",
    "Timezone",
    "UnsignedInt",
    "_Symbol",
]
