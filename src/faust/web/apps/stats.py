"""``/`` and ``/assignment/``: what the sensors have counted, and which partitions this worker has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from faust.messages import TP
from faust.web.access import dashboard_for
from faust.web.blueprints import Blueprint
from faust.web.views import View

__all__ = ["Assignment", "Stats", "blueprint"]

blueprint: Blueprint = Blueprint("monitor")


@blueprint.route("/", name="index")
class Stats(View):
    """What the sensors have counted."""

    async def get(self, request: Any) -> Any:
        """Answer ``{"Sensor0": ..., "Sensor1": ...}``; browsers are sent to the dashboard."""
        dashboard = dashboard_for(self, request)
        if dashboard is not None:
            return dashboard
        return self.json(
            {f"Sensor{i}": sensor.asdict() for i, sensor in enumerate(self.app.sensors)}
        )


@blueprint.route("/assignment/", name="assignment")
class Assignment(View):
    """Which partitions this worker has."""

    async def get(self, request: Any) -> Any:
        """Answer topic -> partitions, of those that are worked on and of those that are followed."""
        assignor = self.app.assignor
        return self.json(
            {
                "actives": _by_topic(assignor.assigned_actives()),
                "standbys": _by_topic(assignor.assigned_standbys()),
            }
        )


def _by_topic(tps: Iterable[TP]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for tp in sorted(tps):
        found.setdefault(tp.topic, []).append(tp.partition)
    return found
