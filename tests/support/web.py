"""Web servers in a test: an app on a free port, and a client for it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

import faust
from tests.support.apps import make_app, running
from tests.support.ports import free_port

__all__ = ["Client", "served", "web_app"]


def web_app(**options: Any) -> faust.App:
    """Make an app with a web server on a free port, and a broker of its own in memory."""
    name = f"web-{uuid.uuid4().hex[:8]}"
    broker = options.pop("broker", f"memory://{name}")
    given = {"web_port": free_port(), "web_host": "127.0.0.1", "env": {}, **options}
    return make_app(
        broker, options.pop("id", name), **{k: v for k, v in given.items() if k != "id"}
    )


class Client:
    """Sends requests to an app, and reads the answers."""

    def __init__(self, app: faust.App, session: aiohttp.ClientSession, base: str) -> None:
        self.app = app
        self.session = session
        self.base = base

    async def __call__(
        self, path: str, method: str = "GET", **options: Any
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Return the response to a request, and its body."""
        options.setdefault("allow_redirects", False)
        async with self.session.request(method, f"{self.base}{path}", **options) as response:
            return response, await response.read()

    async def json(self, path: str, method: str = "GET", **options: Any) -> tuple[int, Any]:
        """Return status and JSON of the answer."""
        response, body = await self(path, method, **options)
        assert response.content_type == "application/json", body
        return response.status, await response.json()


@asynccontextmanager
async def served(app: faust.App) -> AsyncIterator[Client]:
    """Start *app*, for the length of the block; gives a client."""
    async with running(app), aiohttp.ClientSession() as session:
        yield Client(app, session, f"http://127.0.0.1:{app.conf.web_port}")
