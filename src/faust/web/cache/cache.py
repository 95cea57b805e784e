"""Keep what a view has answered, and answer with that for a while."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable
from typing import Any, cast

from faust.web.cache.exceptions import CacheUnavailable
from faust.web.views import Method

__all__ = ["Cache"]

logger: logging.Logger = logging.getLogger(__name__)


class Cache:
    """Caches what methods of views answer; see `view`.

    Arguments:
        timeout: Seconds (or a timedelta) that an answer is kept; None: until it is deleted.
        include_headers: Requests with other headers get other answers.
        key_prefix: First part of the keys.
        backend: Where answers are kept; None: ``app.cache``.
    """

    ident: str = "faustweb.cache.view"

    def __init__(
        self,
        timeout: Any = None,
        include_headers: bool = False,
        key_prefix: str | None = None,
        backend: Any = None,
    ) -> None:
        self.timeout = timeout
        self.include_headers = include_headers
        self.key_prefix: str = key_prefix or ""
        self.backend = backend

    def view(
        self,
        timeout: Any = None,
        include_headers: bool | None = None,
        key_prefix: str | None = None,
    ) -> Callable[[Method], Method]:
        """Cache what the decorated method answers with status 200; arguments left out are those of the cache.

        When the backend cannot be reached the method runs as if there were no cache.
        """
        keep = self.timeout if timeout is None else timeout
        headers = self.include_headers if include_headers is None else include_headers
        prefix = self.key_prefix if key_prefix is None else key_prefix

        def decorate(method: Method) -> Method:
            @functools.wraps(method)
            async def cached(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
                if self.can_cache_request(request):
                    found = await self.get_view(prefix, view, request, headers)
                    if found is not None:
                        return found
                response = await method(view, request, *args, **kwargs)
                if self.can_cache_request(request) and self.can_cache_response(request, response):
                    await self.set_view(prefix, view, request, response, keep, headers)
                return response

            return cast("Method", cached)

        return decorate

    async def get_view(self, key_prefix: str, view: Any, request: Any, headers: bool) -> Any:
        """Return the kept answer to a request; None: there is none."""
        methods = ["GET", "HEAD"] if request.method == "HEAD" else ["GET"]
        for method in methods:
            key = self.key_for_request(key_prefix, method, request, headers)
            try:
                data = await self._backend(view).get(key)
            except CacheUnavailable as exc:
                logger.warning("Cannot look into the cache: %s", exc)
                return None
            if data is not None:
                logger.info("Found cached response for %r", key)
                return view.bytes_to_response(data)
        logger.info("No cached response for %r", key)
        return None

    async def set_view(
        self, key_prefix: str, view: Any, request: Any, response: Any, timeout: Any, headers: bool
    ) -> None:
        """Keep the answer to a request."""
        method = "HEAD" if request.method == "HEAD" else "GET"
        key = self.key_for_request(key_prefix, method, request, headers)
        try:
            await self._backend(view).set(key, view.response_to_bytes(response), timeout)
        except CacheUnavailable as exc:
            logger.warning("Cannot write to the cache: %s", exc)
        else:
            logger.info("Saved response to cache: %r", key)

    def can_cache_request(self, request: Any) -> bool:  # noqa: ARG002
        """Say whether the answer to a request may be kept; override it."""
        return True

    def can_cache_response(self, request: Any, response: Any) -> bool:  # noqa: ARG002
        """Say whether an answer may be kept: it has status 200, and its body is all there; override it."""
        return response.status == 200 and isinstance(getattr(response, "body", None), bytes | None)

    def key_for_request(
        self, key_prefix: str, method: str, request: Any, include_headers: bool
    ) -> str:
        """Return the key of a request."""
        headers = dict(request.headers) if include_headers else {}
        return self.build_key(key_prefix, method, str(request.url), headers)

    def build_key(self, prefix: str, method: str, url: str, headers: dict[str, str]) -> str:
        """Return ``faustweb.cache.view.{prefix}.{method}.{md5 of the URL}.{md5 of the headers}``."""
        of_headers = hashlib.md5(usedforsecurity=False)
        for name, value in sorted(headers.items()):
            of_headers.update(f"{name}: {value}\n".encode("utf-8", "surrogateescape"))
        of_url = hashlib.md5(url.encode(), usedforsecurity=False)
        return f"{self.ident}.{prefix}.{method}.{of_url.hexdigest()}.{of_headers.hexdigest()}"

    def _backend(self, view: Any) -> Any:
        return view.app.cache if self.backend is None else self.backend
