"""The web server of a worker, and what pages are made of; this is a face."""

from typing import TYPE_CHECKING

from faust.web.base import Web
from faust.web.blueprints import Blueprint
from faust.web.options import ResourceOptions
from faust.web.views import View, gives_model, takes_model

if TYPE_CHECKING:
    from aiohttp.web import Request, Response
else:
    from faust.web.lazy import __getattr__ as __getattr__

__all__ = [
    "Blueprint",
    "Request",
    "ResourceOptions",
    "Response",
    "View",
    "Web",
    "gives_model",
    "takes_model",
]
