"""A cache in Redis, by redis-py."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import redis.asyncio
from redis import exceptions as errors
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from yarl import URL

from faust.web.cache.base import CacheBackend

__all__ = ["RedisCache", "RedisClusterCache"]


class RedisCache(CacheBackend):
    """The cache ``redis://[:password@]host[:port][/db]``.

    Options in the query: ``connect_timeout``, ``stream_timeout`` (seconds), ``max_connections``.

    Connections belong to an event loop, so each loop that uses the cache (setting ``web_in_thread``) has a client.

    Raises:
        ValueError: The path of the address is no number of a database, or an option no number.
    """

    operational_errors: ClassVar[tuple[type[BaseException], ...]] = (
        errors.ConnectionError,
        errors.TimeoutError,
        OSError,
    )
    invalidating_errors: ClassVar[tuple[type[BaseException], ...]] = (
        errors.DataError,
        errors.ResponseError,
        errors.InvalidResponse,
    )

    def __init__(self, app: Any, url: URL | str, **kwargs: Any) -> None:
        super().__init__(app, url, **kwargs)
        self._options = self._read_options()
        self._clients: dict[asyncio.AbstractEventLoop, Any] = {}

    def _read_options(self) -> dict[str, Any]:
        url, query = self.url, self.url.query
        path = url.path.strip("/")
        if path and not path.isdigit():
            raise ValueError(
                f"cache {url.with_password(None)}: {path!r} is no number of a database"
            )
        options: dict[str, Any] = {
            "host": url.host or "localhost",
            "port": url.port or 6379,
            "db": int(path or 0),
            "password": url.password,
        }
        if url.user:
            options["username"] = url.user
        for name, option, kind in (
            ("connect_timeout", "socket_connect_timeout", float),
            ("stream_timeout", "socket_timeout", float),
            ("max_connections", "max_connections", int),
        ):
            if name in query:
                options[option] = kind(query[name])
        return options

    @property
    def client(self) -> Any:
        """The client of this event loop.

        Raises:
            RuntimeError: The cache has not been started.
        """
        if not self._clients:
            raise RuntimeError("the cache has no client before it is started")
        return self._client()

    def _client(self) -> Any:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = self._new_client(self._options)
        return client

    def _new_client(self, options: dict[str, Any]) -> Any:
        return redis.asyncio.Redis(retry=self._retry(), **options)

    @staticmethod
    def _retry() -> Retry:
        """Try once more, at once: a view waits for the answer, and can do without it."""
        return Retry(NoBackoff(), 1)

    async def on_start(self) -> None:
        """Ask the server whether it is there; when it is not, views run as if nothing were cached."""
        try:
            await self._client().ping()
        except self.operational_errors as exc:
            self.log.warning("The cache %s does not answer: %s", self.url.with_password(None), exc)

    async def on_stop(self) -> None:
        """Close the connections."""
        await self.leave_loop()

    async def leave_loop(self) -> None:
        """Close the connections of the running event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _get(self, key: str) -> bytes | None:
        value: bytes | None = await self._client().get(key)
        return value

    async def _set(self, key: str, value: bytes, timeout: float | None) -> None:
        milliseconds = None if timeout is None else max(1, int(timeout * 1000))
        await self._client().set(key, value, px=milliseconds)

    async def _delete(self, key: str) -> None:
        await self._client().delete(key)


class RedisClusterCache(RedisCache):
    """The cache ``rediscluster://host[:port]``; a cluster has no numbered databases."""

    def _new_client(self, options: dict[str, Any]) -> Any:
        return redis.asyncio.RedisCluster(
            retry=self._retry(), **{name: value for name, value in options.items() if name != "db"}
        )
