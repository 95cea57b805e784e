"""Caches for what views answer; this is a face."""

from faust.web.cache.base import CacheBackend
from faust.web.cache.cache import Cache

__all__ = ["Cache", "CacheBackend"]
