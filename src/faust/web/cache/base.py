"""What every cache backend does: bytes under a key, for a time."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, ClassVar, TypeVar

from mode import Service
from mode.utils.times import want_seconds
from yarl import URL

from faust.web.cache.exceptions import CacheUnavailable

__all__ = ["CacheBackend"]

T = TypeVar("T")


class CacheBackend(Service):
    """A place where bytes are kept (``app.cache``).

    Arguments:
        app: The application.
        url: Address of the place.
    """

    abstract: ClassVar[bool] = True

    Unavailable: ClassVar[type[CacheUnavailable]] = CacheUnavailable

    operational_errors: ClassVar[tuple[type[BaseException], ...]] = ()
    """What the library raises when the place cannot be reached."""

    invalidating_errors: ClassVar[tuple[type[BaseException], ...]] = ()
    """What it raises when what is kept under a key is bad: the key is deleted then."""

    def __init__(self, app: Any, url: URL | str = "memory://", **kwargs: Any) -> None:
        self.app = app
        self.url: URL = URL(url)
        super().__init__(**kwargs)

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under *key*; None: nothing.

        Raises:
            CacheUnavailable: The place cannot be used.
        """
        return await self._guarded(key, self._get(key))

    async def set(self, key: str, value: bytes, timeout: Any = None) -> None:
        """Keep *value* under *key*.

        Arguments:
            key: Name.
            value: Bytes.
            timeout: Seconds (or a timedelta) until it is forgotten; None: never.

        Raises:
            CacheUnavailable: The place cannot be used.
        """
        seconds = None if timeout is None else want_seconds(timeout)
        await self._guarded(key, self._set(key, value, seconds))

    async def delete(self, key: str) -> None:
        """Forget *key*.

        Raises:
            CacheUnavailable: The place cannot be used.
        """
        await self._guarded(key, self._delete(key))

    async def leave_loop(self) -> None:
        """Close what belongs to the running event loop; the web server's may be another than the app's."""

    async def _guarded(self, key: str, work: Awaitable[T]) -> T:
        try:
            return await work
        except self.operational_errors as exc:
            raise self.Unavailable(
                f"the cache {self.url.with_password(None)} is unavailable: {exc}"
            ) from exc
        except self.invalidating_errors as exc:
            await self._forget(key)
            raise self.Unavailable(f"what is cached under {key!r} is unusable: {exc}") from exc

    async def _forget(self, key: str) -> None:
        try:
            await self._delete(key)
        except (*self.operational_errors, *self.invalidating_errors):
            self.log.warning("Cannot delete the unusable %r from the cache", key)

    async def _get(self, key: str) -> bytes | None:
        raise NotImplementedError

    async def _set(self, key: str, value: bytes, timeout: float | None) -> None:
        raise NotImplementedError

    async def _delete(self, key: str) -> None:
        raise NotImplementedError
