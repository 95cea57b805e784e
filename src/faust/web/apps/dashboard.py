"""``/dashboard/``: one page that shows what the app does, as it does it.

Shown to clients on this machine; to others only when setting ``web_dashboard_enabled`` was given explicitly. The page loads nothing
from anywhere: its policy (Content-Security-Policy) allows its own script, its own style, and the feed it came with.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from faust.web.access import why_dashboard_is_withheld
from faust.web.blueprints import Blueprint
from faust.web.dashboard.feed import MOST_VIEWERS, Feed
from faust.web.dashboard.trouble import listen
from faust.web.exceptions import PermissionDenied, ServiceUnavailable, WebError
from faust.web.views import View

__all__ = ["DashboardBlueprint", "Events", "Page", "blueprint"]


SCRIPTS = ("drawing.js", "graph.js", "panels.js", "main.js")
"""Parts of the page's script, in order."""


class DashboardBlueprint(Blueprint):
    """The pages of the dashboard."""

    def on_webserver_init(self, web: Any) -> None:
        """Remember warnings and errors from now on, so that who looks later sees them."""
        listen()


blueprint: Blueprint = DashboardBlueprint("dashboard")


@blueprint.route("/", name="index")
class Page(View):
    """The page."""

    async def get(self, request: Any) -> Any:
        """Answer HTML, with its style and script in it."""
        _refuse(request, self.app.conf)
        html, policy = _page()
        return self.html(
            html,
            headers={
                "Content-Security-Policy": policy,
                "Cache-Control": "no-cache",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
            },
        )


@blueprint.route("/events", name="events")
class Events(View):
    """The feed."""

    def __post_init__(self) -> None:
        """Nobody looks yet."""
        self.feed: Feed = Feed(self.app, self.web.ask_worker)

    async def dispatch(self, request: Any) -> Any:
        """Answer a request. Sensors are not told: a feed that is open for an hour is no slow request."""
        try:
            return await self.methods[request.method](request)
        except WebError as exc:
            return await self.on_request_error(request, exc)

    async def get(self, request: Any) -> Any:
        """Answer server-sent events, until the client goes."""
        _refuse(request, self.app.conf)
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise PermissionDenied(
                "The figures are for the page of this worker, not for other sites."
            )
        if self.feed.viewers >= MOST_VIEWERS:
            raise ServiceUnavailable(
                f"{MOST_VIEWERS} clients look at this dashboard already.",
                headers={"Retry-After": "10"},
            )
        if request.method == "HEAD":
            return self.text("", content_type="text/event-stream")
        return await self.web.send_events(request, self.feed.watch(self.web.home))


def _refuse(request: Any, conf: Any) -> None:
    refusal = why_dashboard_is_withheld(request, conf)
    if refusal is not None:
        raise PermissionDenied(refusal)


@cache
def _page() -> tuple[str, str]:
    """Return the page, and the policy that allows what is in it and nothing else."""
    files = resources.files("faust.web.dashboard") / "page"
    style, html = ((files / name).read_text("utf-8") for name in ("page.css", "page.html"))
    script = "".join((files / name).read_text("utf-8") for name in SCRIPTS)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return html.replace("/*style*/", style).replace("/*script*/", script), policy


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
