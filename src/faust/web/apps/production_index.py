"""``/``: the worker is there."""

from __future__ import annotations

from typing import Any

from faust.web.access import dashboard_for
from faust.web.blueprints import Blueprint
from faust.web.views import View

__all__ = ["Index", "blueprint"]

blueprint: Blueprint = Blueprint("production_index")


@blueprint.route("/", name="index")
class Index(View):
    """Says that the worker is there."""

    async def get(self, request: Any) -> Any:
        """Say so; browsers are sent to the dashboard."""
        dashboard = dashboard_for(self, request)
        return self.json({"status": "OK"}) if dashboard is None else dashboard
