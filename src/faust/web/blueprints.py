"""Blueprints: pages that are declared without an app, and mounted in any number of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mode.utils.imports import symbol_by_name

from faust.web.cache.cache import Cache
from faust.web.views import View

__all__ = ["Blueprint", "BlueprintManager"]

F = TypeVar("F", bound=Any)


class _Route(NamedTuple):
    uri: str
    name: str
    handler: Any
    base: type[View]
    cors_options: Mapping[str, Any] | None


class _Static(NamedTuple):
    uri: str
    directory: Path
    name: str | None


class Blueprint:
    """Pages with a common name and prefix.

    Arguments:
        name: First part of the names of its views: ``{name}:{view}``.
        url_prefix: Where it is mounted when nothing else is said.
    """

    def __init__(self, name: str, *, url_prefix: str | None = None) -> None:
        self.name = name
        self.url_prefix = url_prefix
        self.routes: list[_Route] = []
        self.static_routes: list[_Static] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    def cache(
        self,
        timeout: Any = None,
        include_headers: bool = False,
        key_prefix: str | None = None,
        backend: Any = None,
    ) -> Cache:
        """Make a cache for views of this blueprint; see `faust.web.cache.Cache`."""
        return Cache(timeout, include_headers, key_prefix or self.name, backend)

    def route(
        self,
        uri: str,
        *,
        name: str | None = None,
        cors_options: Mapping[str, Any] | None = None,
        base: type[View] = View,
    ) -> Callable[[F], F]:
        """Declare a page: a coroutine function, or a subclass of `View`; it is returned as it is.

        Arguments:
            uri: Path below the prefix.
            name: Name of the view; None: that of the function or class.
            cors_options: Cross-origin resource sharing: origin -> `ResourceOptions`.
            base: Class of the view that is made of a function.
        """

        def decorate(handler: F) -> F:
            self.routes.append(_Route(uri, name or handler.__name__, handler, base, cors_options))
            return handler

        return decorate

    def static(self, uri: str, file_or_directory: str | Path, *, name: str | None = None) -> None:
        """Serve the files of a directory below *uri*."""
        self.static_routes.append(_Static(uri, Path(file_or_directory), name))

    def register(self, app: Any, *, url_prefix: str | None = None) -> None:
        """Mount this in *app* now."""
        self.mount(app.web, url_prefix)

    def mount(self, web: Any, url_prefix: str | None) -> None:
        """Add the pages to a web server.

        Arguments:
            web: The server.
            url_prefix: Where; None: the prefix of the blueprint.
        """
        prefix = (url_prefix if url_prefix is not None else self.url_prefix) or ""
        for route in self.routes:
            web.add_page(
                joined(prefix, route.uri),
                route.handler,
                base=route.base,
                cors_options=route.cors_options,
                name=f"{self.name}:{route.name}",
            )
        for static in self.static_routes:
            web.add_static(
                joined(prefix, static.uri),
                static.directory,
                **({} if static.name is None else {"name": f"{self.name}:{static.name}"}),
            )

    def on_webserver_init(self, web: Any) -> None:
        """Called when this has been mounted by ``app.web.blueprints``; override it."""


class BlueprintManager:
    """The blueprints of a web server (``app.web.blueprints``)."""

    def __init__(self, initial: Any = ()) -> None:
        self._enabled: list[tuple[str, Any]] = list(initial)
        self.applied: bool = False

    def add(self, prefix: str, blueprint: Blueprint | str) -> None:
        """Have a blueprint (or the one at an import path) mounted at *prefix* when the server is made ready.

        Raises:
            RuntimeError: That has happened already.
        """
        if self.applied:
            raise RuntimeError("Cannot add blueprints after server started")
        self._enabled.append((prefix, blueprint))

    def apply(self, web: Any) -> None:
        """Mount them, once."""
        if self.applied:
            return
        self.applied = True
        for prefix, named in self._enabled:
            blueprint: Blueprint = symbol_by_name(named)
            blueprint.mount(web, prefix)
            blueprint.on_webserver_init(web)


def joined(prefix: str, uri: str) -> str:
    """Return *uri* below *prefix*, with one slash between them."""
    return f"{prefix.rstrip('/')}/{uri.lstrip('/')}"
