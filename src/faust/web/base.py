"""Web: what a web server knows of pages, whatever library speaks HTTP.

Pages are added while the program is declared, when no event loop exists; the driver (`faust.web.drivers`) listens when the
app is started, and can be started again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from mode import Service
from yarl import URL

from faust.settings.web import NODE_HOSTNAME
from faust.web.blueprints import BlueprintManager, joined
from faust.web.views import View

__all__ = ["Web"]

Blueprints = list[tuple[str, str]]


class Web(Service):
    """The web server of an app (``app.web``).

    Arguments:
        app: The application.

    Attributes:
        views: Path -> view.
        reverse_names: Name of a view -> path.
        blueprints: What is mounted when the server is made ready.
        home: Event loop of the app, while the server runs; views may run on another one (setting ``web_in_thread``).
    """

    abstract: ClassVar[bool] = True

    driver_version: str = ""

    default_blueprints: ClassVar[Blueprints] = [
        ("/router", "faust.web.apps.router:blueprint"),
        ("/table", "faust.web.apps.tables:blueprint"),
        ("/health", "faust.web.apps.health:blueprint"),
        ("/dashboard", "faust.web.apps.dashboard:blueprint"),
    ]
    debug_blueprints: ClassVar[Blueprints] = [
        ("/graph", "faust.web.apps.graph:blueprint"),
        ("", "faust.web.apps.stats:blueprint"),
    ]
    optional_blueprints: ClassVar[Blueprints] = [
        ("/performance", "faust.web.apps.metrics:blueprint"),
    ]
    production_blueprints: ClassVar[Blueprints] = [
        ("", "faust.web.apps.production_index:blueprint")
    ]
    blueprint_flags: ClassVar[Mapping[str, str]] = {
        "faust.web.apps.router:blueprint": "web_router_enabled",
        "faust.web.apps.tables:blueprint": "web_tables_enabled",
        "faust.web.apps.dashboard:blueprint": "web_dashboard_enabled",
        "faust.web.apps.graph:blueprint": "web_graph_enabled",
        "faust.web.apps.stats:blueprint": "web_stats_enabled",
        "faust.web.apps.metrics:blueprint": "web_metrics_enabled",
    }
    """Blueprint -> setting that mounts it; what is not named here is always mounted."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self.app = app
        self.home: asyncio.AbstractEventLoop | None = None
        self.views: dict[str, View] = {}
        self.reverse_names: dict[str, str] = {}
        self.blueprints: BlueprintManager = BlueprintManager(self._built_in())
        super().__init__(**kwargs)

    def _built_in(self) -> Blueprints:
        """Return the built-in applications that the settings want, in order."""
        wanted = [*self.default_blueprints, *self.debug_blueprints, *self.optional_blueprints]
        mounted = [
            (prefix, path)
            for prefix, path in wanted
            if path not in self.blueprint_flags
            or getattr(self.app.conf, self.blueprint_flags[path])
        ]
        if not self.app.conf.web_stats_enabled:
            mounted += self.production_blueprints
        return mounted

    @property
    def url(self) -> URL:
        """Where this server is for people on this machine, else `Settings.canonical_url`."""
        canonical: URL = self.app.conf.canonical_url
        if canonical.host == NODE_HOSTNAME:
            return URL(f"{self.app.conf.web_address('localhost')}/")
        return canonical

    def init_server(self) -> None:
        """Mount the blueprints, once, and tell the app (`App.on_webserver_init`)."""
        self.blueprints.apply(self)
        self.app.on_webserver_init(self)

    # -- pages

    def add_page(
        self,
        path: str,
        target: Any,
        *,
        base: type[View] = View,
        cors_options: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> type[View]:
        """Let *target* answer for a path: a coroutine function, or a subclass of `View`.

        Returns:
            The class of the view.

        Raises:
            TypeError: *target* is neither.
        """
        if isinstance(target, type):
            if not issubclass(target, View):
                raise TypeError(f"a page is a coroutine function or a View, got {target!r}")
            view_class: type[View] = target
        else:
            view_class = base.from_handler(target)
        view_class.view_name = name or view_class.__name__
        view_class.view_path = path
        self.add_view(view_class, cors_options=cors_options)
        return view_class

    def add_view(
        self,
        view_cls: type[View],
        *,
        prefix: str = "",
        cors_options: Mapping[str, Any] | None = None,
    ) -> View:
        """Make a view, and let it answer for its path below *prefix*.

        Raises:
            RuntimeError: Something answers for that path and method already.
        """
        view = view_cls(self.app, self)
        path = joined(prefix, view_cls.view_path)
        view.view_name, view.view_path = view_cls.view_name, path
        self.route(path, view, cors_options)
        self.views[path] = view
        self.reverse_names[view.view_name] = path
        return view

    def url_for(self, view_name: str, **kwargs: Any) -> str:
        """Return the path of a view, its parts filled in and quoted.

        Raises:
            KeyError: There is no such view, or a part is missing.
        """
        try:
            path = self.reverse_names[view_name]
        except KeyError:
            raise KeyError(f"No view with name {view_name!r} found") from None
        return path.format(**{name: quote(str(part), safe="") for name, part in kwargs.items()})

    def route(
        self, pattern: str, handler: Any, cors_options: Mapping[str, Any] | None = None
    ) -> None:
        """Let a view answer for *pattern*."""
        raise NotImplementedError

    def add_middleware(self, middleware: Any) -> None:
        """Let a middleware of the library that speaks HTTP see every request."""
        raise NotImplementedError

    def add_static(self, prefix: str, path: str | Path, **kwargs: Any) -> None:
        """Serve the files of a directory."""
        raise NotImplementedError

    # -- answers that go on, and other workers

    async def send_events(self, request: Any, events: AsyncGenerator[bytes, None]) -> Any:
        """Answer with server-sent events, until there are no more, the client goes, or the server stops."""
        raise NotImplementedError

    async def ask_worker(self, base: URL, path: str, timeout: float) -> Any:
        """Return the JSON that the worker at *base* answers at *path*, whatever the status, within *timeout* seconds."""
        raise NotImplementedError
