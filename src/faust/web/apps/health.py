"""``/health/live`` and ``/health/ready``: for those who restart workers, and those who send them work.

*Live*: the event loop comes round, and the app has not crashed. *Ready*: it also has its partitions, their tables are
recovered, and every partition gets on. Both answer 200, or 503 with the reasons.
"""

from __future__ import annotations

from typing import Any

from faust.web.blueprints import Blueprint
from faust.web.views import View

__all__ = ["Live", "Ready", "blueprint"]

blueprint: Blueprint = Blueprint("health")


@blueprint.route("/live", name="live")
class Live(View):
    """Whether the process is worth keeping."""

    async def get(self, request: Any) -> Any:
        """Say so, or why not."""
        reasons = self.app.health.why_not_alive()
        status = "dead" if reasons else "live"
        return self.json({"status": status, "reasons": reasons}, status=503 if reasons else 200)


@blueprint.route("/ready", name="ready")
class Ready(View):
    """Whether the worker works."""

    async def get(self, request: Any) -> Any:
        """Say so, or why not, with every partition."""
        health = self.app.health
        reasons = health.why_not_alive() or health.why_not_ready()
        return self.json(
            {
                "status": "not ready" if reasons else "ready",
                "reasons": reasons,
                "partitions": health.table(),
            },
            status=503 if reasons else 200,
        )
