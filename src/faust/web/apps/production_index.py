"""``/``: the worker is there."""

from __future__ import annotations

from typing import Any

from faust.web.blueprints import Blueprint
from faust.web.views import View

__all__ = ["Index", "blueprint"]

blueprint: Blueprint = Blueprint("production_index")


@blueprint.route("/", name="index")
class Index(View):
    """Says that the worker is there."""

    async def get(self, request: Any) -> Any:
        """Say so."""
        return self.json({"status": "OK"})
