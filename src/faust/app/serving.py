"""What an application serves over HTTP: its pages, its web server, its cache, and its HTTP client.

The library that speaks HTTP is loaded when the first page is declared, or when the server starts.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from mode import Service, ServiceT
from yarl import URL

from faust.app.declaring import DeclaringApp
from faust.app.health import HealthWatch
from faust.app.parts import _unbind
from faust.drivers import caches, web_drivers
from faust.exceptions import ImproperlyConfigured
from faust.web.base import Web
from faust.web.cache.base import CacheBackend
from faust.web.keys import key_in
from faust.web.routing import key_reader, routed
from faust.web.views import View

__all__ = ["ServingApp"]

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])
Server = TypeVar("Server", bound=ServiceT | type[ServiceT])

logger: logging.Logger = logging.getLogger(__name__)


class ServingApp(DeclaringApp):
    """The storey of `faust.App` that speaks HTTP."""

    def __init__(self, id: str, **kwargs: Any) -> None:
        self._web: Web | None = None
        self._cache: CacheBackend | None = None
        self._http_client: Any = None
        self._health: HealthWatch | None = None
        self._web_server: ServiceT | type[ServiceT] | None = None
        super().__init__(id, **kwargs)

    @property
    def web(self) -> Web:
        """The web server; its driver is setting ``web``."""
        if self._web is None:
            self._web = web_drivers.by_url(self.conf.web)(self, beacon=self.beacon)
        return self._web

    @property
    def health(self) -> HealthWatch:
        """Watches whether every partition gets on."""
        if self._health is None:
            self._health = HealthWatch(self, beacon=self.beacon)
        return self._health

    @property
    def cache(self) -> CacheBackend:
        """Where views keep what they have answered (setting ``cache``)."""
        if self._cache is None:
            url = self.conf.cache
            self._cache = caches.by_url(url)(self, url, beacon=self.beacon)
        return self._cache

    @cache.setter
    def cache(self, cache: CacheBackend) -> None:
        self._cache = cache

    @property
    def http_client(self) -> Any:
        """A client for HTTP requests, closed when the app stops; its class is setting ``HttpClient``.

        Raises:
            RuntimeError: No event loop runs.
        """
        if self._http_client is None or self._http_client.closed:
            self._http_client = self.conf.HttpClient()
        return self._http_client

    @http_client.setter
    def http_client(self, client: Any) -> None:
        self._http_client = client

    def page(
        self,
        path: str,
        *,
        base: type[View] = View,
        cors_options: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Callable[[Any], type[View]]:
        """Let the decorated coroutine function, or subclass of `faust.web.View`, answer for a path.

        The function takes the view, the request, and the named parts of the path as keywords, and becomes ``get`` of a
        view.

        Arguments:
            path: Path; parts in braces are given to the view: ``/count/{word}/``.
            base: Class of the view that is made of a function.
            cors_options: Cross-origin resource sharing: origin -> `faust.web.ResourceOptions`.
            name: Name for `Web.url_for`; None: that of the function or class.

        Returns:
            A decorator that gives the class of the view.

        Raises:
            TypeError: What is decorated is neither.
            RuntimeError: Something answers for that path already.
        """

        def decorate(target: Any) -> type[View]:
            return self.web.add_page(path, target, base=base, cors_options=cors_options, name=name)

        return decorate

    def table_route(
        self,
        table: Any,
        shard_param: str | None = None,
        *,
        query_param: str | None = None,
        match_info: str | None = None,
        exact_key: Any = None,
    ) -> Callable[[Handler], Handler]:
        """Run the decorated method of a view on the worker that has a key of *table*; place it under `page`.

        Arguments:
            table: The table.
            shard_param: Old name of *query_param*.
            query_param: Query parameter that is the key.
            match_info: Part of the path that is the key.
            exact_key: The key itself.

        While nobody has the key, before the first assignment and while partitions move, the answer is 503 with
        ``Retry-After``.

        Raises:
            TypeError: Nothing says where the key is.
        """
        read = key_reader(shard_param, query_param, match_info, exact_key)

        async def send(key: Any, web: Any, request: Any) -> Any:
            return await self.router.route_req(table.name, key, web, request)

        return routed(lambda *of: key_in(table, read(*of)), send)

    def topic_route(
        self,
        topic: Any,
        shard_param: str | None = None,
        *,
        query_param: str | None = None,
        match_info: str | None = None,
        exact_key: Any = None,
    ) -> Callable[[Handler], Handler]:
        """Run the decorated method of a view on the worker that reads the messages with a key in *topic*.

        The arguments are those of `table_route`; *topic* may be a name.
        """
        read = key_reader(shard_param, query_param, match_info, exact_key)

        async def send(key: Any, web: Any, request: Any) -> Any:
            return await self.router.route_topic_req(topic, key, web, request)

        return routed(read, send)

    def on_webserver_init(self, web: Web) -> None:
        """The web server has mounted its blueprints; override to add more pages."""

    # -- another server

    def web_server(self, service: Server) -> Server:
        """Serve HTTP by the decorated `mode.Service`, class or instance, instead of the built-in server.

        It starts when the tables are recovered, after tasks and before the services of `service`, if the web server is
        enabled, and stops with the app. The banner shows its ``get_web_url()`` or ``web_url``, and its ``driver_version``, if
        it has them. What is declared with `page` is not served then, nor are the pages that workers bring along.

        Raises:
            ImproperlyConfigured: Another one is declared already.
            TypeError: It is no service.
        """
        if not isinstance(service, Service) and not (
            isinstance(service, type) and issubclass(service, Service)
        ):
            raise TypeError(
                f"web_server: a mode.Service is needed, class or instance, got {service!r}"
            )
        if self._web_server not in (None, service):
            raise ImproperlyConfigured(
                f"app {self._given_id!r} has a web server already: {self._web_server!r}; {service!r} cannot be another"
            )
        self._web_server = service
        return service

    @property
    def has_web_server(self) -> bool:
        """Whether a server was declared with `web_server`."""
        return self._web_server is not None

    @property
    def web_server_url(self) -> URL:
        """Where the web server is."""
        server: Any = self._web_server
        if server is None:
            return self.web.url
        ask = getattr(server, "get_web_url", None)
        bound = inspect.ismethod(ask)  # a class may only have it as a class method
        url = ask() if ask is not None and bound else getattr(server, "web_url", None)
        return URL(url) if isinstance(url, str | URL) and url else self.conf.canonical_url

    @property
    def web_server_driver_version(self) -> str:
        """Name and version of what speaks HTTP."""
        server: Any = self._web_server
        if server is None:
            return self.web.driver_version
        name = server.__name__ if isinstance(server, type) else type(server).__name__
        return str(getattr(server, "driver_version", None) or name)

    async def on_started_init_web_server(self) -> None:
        """Start the server that was declared with `web_server`; override to start more, and call ``super()``."""
        if self._web_server is None or not self.boot_strategy.serves_web:
            return
        if self._web is not None and self._web.views:
            logger.warning(
                "Pages are declared, and not served: app.web_server has replaced the built-in server"
            )
        self._web_server = await self.on_init_extra_service(self._web_server)

    def service_reset(self) -> None:
        """Let server and cache be started again, also in another event loop."""
        super().service_reset()
        self._http_client = self._cache = self._health = None
        for server in (self._web, self._web_server):
            if isinstance(server, Service):
                _unbind(server)
        self._children = [child for child in self._children if child is not self._web_server]

    async def close_clients(self) -> None:
        """Close the HTTP client, too."""
        await super().close_clients()
        client, self._http_client = self._http_client, None
        if client is not None:
            await client.close()
