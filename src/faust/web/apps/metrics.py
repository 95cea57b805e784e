"""``/performance/``: the figures of this worker that people look at first."""

from __future__ import annotations

from typing import Any

from faust.sensors.metrics import performance_metrics
from faust.web.blueprints import Blueprint
from faust.web.views import View

__all__ = ["Performance", "blueprint"]

blueprint: Blueprint = Blueprint("metrics")


@blueprint.route("/", name="index")
class Performance(View):
    """Throughput, latencies, lag, tables and errors of this worker."""

    async def get(self, request: Any) -> Any:
        """Answer what `faust.sensors.metrics.performance_metrics` gives."""
        return self.json(performance_metrics(self.app))
