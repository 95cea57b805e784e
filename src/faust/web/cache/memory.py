"""A cache in the memory of this process."""

from __future__ import annotations

from time import monotonic

from faust.web.cache.base import CacheBackend

__all__ = ["CacheStorage", "MemoryCache"]


class CacheStorage:
    """A dictionary whose keys may expire; times are seconds, by the monotonic clock."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}
        self._until: dict[str, float] = {}
        self._set_at: dict[str, float] = {}

    def get(self, key: str) -> bytes | None:
        """Return what is kept; None: nothing, or expired."""
        if monotonic() >= self._until.get(key, float("inf")):
            self.delete(key)
        return self._data.get(key)

    def set(self, key: str, value: bytes) -> None:
        """Keep *value* for ever."""
        self._data[key] = value
        self._until.pop(key, None)
        self._set_at[key] = monotonic()

    def setex(self, key: str, timeout: float, value: bytes) -> None:
        """Keep *value* for *timeout* seconds."""
        self.set(key, value)
        self.expire(key, timeout)

    def expire(self, key: str, timeout: float) -> None:
        """Let *key* expire in *timeout* seconds."""
        if key in self._data:
            self._until[key] = monotonic() + timeout

    def ttl(self, key: str) -> float | None:
        """Return the seconds until *key* expires; None: never, or there is none."""
        if self.get(key) is None or key not in self._until:
            return None
        return self._until[key] - monotonic()

    def last_set_ttl(self, key: str) -> float | None:
        """Return the seconds since *key* was set; None: there is none."""
        return None if self.get(key) is None else monotonic() - self._set_at[key]

    def delete(self, key: str) -> None:
        """Forget *key*."""
        for kept in (self._data, self._until, self._set_at):
            kept.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        for kept in (self._data, self._until, self._set_at):
            kept.clear()


class MemoryCache(CacheBackend):
    """The cache ``memory://``.

    Attributes:
        storage: What is kept.
    """

    def __post_init__(self) -> None:
        self.storage: CacheStorage = CacheStorage()

    async def _get(self, key: str) -> bytes | None:
        return self.storage.get(key)

    async def _set(self, key: str, value: bytes, timeout: float | None) -> None:
        if timeout is None:
            self.storage.set(key, value)
        else:
            self.storage.setex(key, timeout, value)

    async def _delete(self, key: str) -> None:
        self.storage.delete(key)
