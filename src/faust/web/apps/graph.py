"""``/graph/``: a drawing of the services of the app."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from faust.web.blueprints import Blueprint
from faust.web.views import View

__all__ = ["Graph", "blueprint"]

blueprint: Blueprint = Blueprint("graph")


@blueprint.route("/", name="detail")
class Graph(View):
    """A drawing of the services of the app, by Graphviz."""

    async def get(self, request: Any) -> Any:
        """Answer a PNG."""
        try:
            import pydot
        except ImportError:
            return self.text("Please install pydot: pip install pydot", status=500)
        text = io.StringIO()
        self.app.beacon.root.as_graph().to_dot(text)
        (graph,) = pydot.graph_from_dot_data(text.getvalue())
        try:
            drawing = await asyncio.to_thread(graph.create_png)
        except FileNotFoundError:
            return self.text("Please install Graphviz: its program dot draws", status=500)
        return self.bytes(drawing, content_type="image/png")
