"""Names of the HTTP library that are shown at ``faust.web``; it is loaded when one of them is asked for.

An app is declared with `faust.web.View`, and ``import faust`` knows that class: so the package that it stands in must not
load an HTTP library by itself.
"""

from __future__ import annotations

from typing import Any

__all__ = ["__getattr__"]


def __getattr__(name: str) -> Any:
    """Return aiohttp's class of that name."""
    if name not in ("Request", "Response"):
        raise AttributeError(f"module 'faust.web' has no attribute {name!r}")
    from aiohttp import web

    return getattr(web, name)
