"""Types of the web server; names only. ``Request`` and ``Response`` are aiohttp's, loaded when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faust.web.base import Web
from faust.web.blueprints import Blueprint as BlueprintT
from faust.web.cache.base import CacheBackend as CacheBackendT
from faust.web.cache.cache import Cache as CacheT
from faust.web.options import ResourceOptions
from faust.web.views import View
from faust.web.views import ViewHandler as ViewHandlerFun

if TYPE_CHECKING:
    from aiohttp.web import Request, Response
else:
    from faust.web.lazy import __getattr__  # noqa: F401 - a module has it

__all__ = [
    "BlueprintT",
    "CacheBackendT",
    "CacheT",
    "Request",
    "ResourceOptions",
    "Response",
    "View",
    "ViewHandlerFun",
    "Web",
]
