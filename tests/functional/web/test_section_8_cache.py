"""web.md section 8: caches in memory and in a real Redis, and views that are cached."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from typing import Any

import pytest
from yarl import URL

from faust.exceptions import ImproperlyConfigured
from faust.web import Blueprint, View
from faust.web.cache import Cache, CacheBackend
from faust.web.cache.exceptions import CacheUnavailable
from faust.web.cache.memory import CacheStorage
from tests.functional.web.conftest import RedisServer
from tests.support.web import served, web_app


@pytest.fixture(params=["memory", "redis"])
def cache_url(request: pytest.FixtureRequest) -> str:
    """Address of a cache of each kind."""
    if request.param == "memory":
        return "memory://"
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


async def test_get_set_delete(cache_url: str) -> None:
    """web.md 8: bytes are kept under a key, expire after their timeout, and can be deleted."""
    async with served(web_app(cache=cache_url)) as client:
        cache = client.app.cache
        assert isinstance(cache, CacheBackend)
        assert await cache.get("a") is None
        await cache.set("a", b"\x00\xff")
        await cache.set("b", b"short", timeout=0.2)
        assert (await cache.get("a"), await cache.get("b")) == (b"\x00\xff", b"short")
        await asyncio.sleep(0.4)
        assert (await cache.get("a"), await cache.get("b")) == (b"\x00\xff", None)
        await cache.delete("a")
        await cache.delete("a")
        assert await cache.get("a") is None
        assert cache.Unavailable is CacheUnavailable


def test_storage() -> None:
    """web.md 8: the storage of the memory cache says how long a key still lives."""
    storage = CacheStorage()
    storage.set("a", b"1")
    storage.setex("b", 100, b"2")
    storage.setex("c", 0, b"3")
    assert storage.ttl("a") is None
    assert 99 < (storage.ttl("b") or 0) <= 100
    assert (storage.get("c"), storage.ttl("c"), storage.last_set_ttl("c")) == (None, None, None)
    assert 0 <= (storage.last_set_ttl("a") or 0) < 10
    storage.expire("a", 0)
    assert storage.get("a") is None
    storage.delete("b")
    storage.clear()
    assert storage.get("b") is None


def cached_app(**options: Any) -> tuple[Any, list[str]]:
    """Make an app with cached views, and the list of the calls that were not answered by the cache."""
    app = web_app(**options)
    calls: list[str] = []
    bp = Blueprint("shop")
    cache = bp.cache(timeout=60)
    headers = Cache(timeout=60, include_headers=True, key_prefix="h")

    @bp.route("/value/")
    class Value(View):
        @cache.view()
        async def get(self, request: Any) -> Any:
            calls.append("get")
            return self.text(f"answer {len(calls)} ä", headers={"X-N": str(len(calls))})

    @bp.route("/short/")
    class Short(View):
        @cache.view(timeout=0.2)
        async def get(self, request: Any) -> Any:
            calls.append("short")
            return self.bytes(b"a\r\n\r\nb")

    @bp.route("/bad/")
    class Bad(View):
        @cache.view()
        async def get(self, request: Any) -> Any:
            calls.append("bad")
            return self.text("bad", status=202)

    @bp.route("/headers/")
    class Headers(View):
        @headers.view()
        async def get(self, request: Any) -> Any:
            calls.append("headers")
            return self.text(request.headers.get("X-Who", ""))

    bp.register(app)
    return app, calls


@pytest.mark.parametrize("in_thread", [False, True])
async def test_views(cache_url: str, in_thread: bool) -> None:
    """web.md 8: what was answered with 200 is answered again until it expires, with its headers; also from a thread."""
    app, calls = cached_app(cache=cache_url, web_in_thread=in_thread)
    async with served(app) as client:
        first, body = await client("/value/")
        again, same = await client("/value/")
        assert (body, same, calls) == ("answer 1 ä".encode(), body, ["get"])
        assert first.headers["X-N"] == again.headers["X-N"] == "1"
        assert again.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert (await client("/value/", "HEAD"))[0].headers["X-N"] == "1"
        assert (await client("/value/?q=1"))[1] == "answer 2 ä".encode()
        del calls[:]
        for _ in range(2):
            assert (await client("/short/"))[1] == b"a\r\n\r\nb"
        await asyncio.sleep(0.4)
        await client("/short/")
        await client("/bad/")
        await client("/bad/")
        assert calls == ["short", "short", "bad", "bad"]
        for who in ("a", "b", "a"):
            assert (await client("/headers/", headers={"X-Who": who}))[1] == who.encode()
        assert calls[4:] == ["headers", "headers"]


async def test_keys() -> None:
    """web.md 8: a key is made of prefix, method, URL and headers."""
    cache = Cache(key_prefix="p")
    url = "http://h/x?q=1"
    md5 = hashlib.md5(url.encode()).hexdigest()
    nothing = hashlib.md5().hexdigest()
    assert cache.build_key("p", "GET", url, {}) == f"faustweb.cache.view.p.GET.{md5}.{nothing}"
    assert Blueprint("bp").cache().key_prefix == "bp"


async def test_a_cache_that_goes_away(redis_server: RedisServer) -> None:
    """web.md 8: without the cache views run as if there were none; get, set and delete say CacheUnavailable."""
    app, calls = cached_app(cache=redis_server.url)
    async with served(app) as client:
        await client("/value/")
        redis_server.stop()
        assert (await client("/value/"))[0].status == 200
        assert calls == ["get", "get"]
        for work in (app.cache.get("a"), app.cache.set("a", b""), app.cache.delete("a")):
            with pytest.raises(CacheUnavailable, match="unavailable"):
                await work
        redis_server.start()
        await client("/value/")
        await client("/value/")
        assert calls == ["get", "get", "get"]


async def test_unusable_data(redis_server: RedisServer) -> None:
    """web.md 8: what cannot be used is deleted, and CacheUnavailable is raised."""
    async with served(web_app(cache=redis_server.url)) as client:
        cache: Any = client.app.cache
        await cache.client.lpush("list", "no text")
        with pytest.raises(CacheUnavailable, match="unusable"):
            await cache.get("list")
        assert await cache.client.exists("list") == 0


def test_addresses_of_redis() -> None:
    """web.md 8: database, password and options stand in the URL; a path that is no number is a ValueError."""
    url = "redis://:pw@h:1234/5?connect_timeout=2&stream_timeout=3&max_connections=4"
    cache: Any = web_app(cache=url).cache
    assert cache._options == {
        "host": "h", "port": 1234, "db": 5, "password": "pw", "socket_connect_timeout": 2.0,
        "socket_timeout": 3.0, "max_connections": 4,
    }  # fmt: skip
    assert cache.url == URL(url)
    with pytest.raises(RuntimeError, match="before it is started"):
        cache.client  # noqa: B018
    with pytest.raises(ValueError, match="'x' is no number"):
        web_app(cache="redis://h/x").cache  # noqa: B018
    with pytest.raises(ImproperlyConfigured, match="there is no cache for memcached://"):
        web_app(cache="memcached://h").cache  # noqa: B018


def test_a_library_that_is_missing() -> None:
    """web.md 8: without redis-py the address redis:// says what to install."""
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "import faust\n"
        "faust.App('x', broker='memory://', cache='redis://h', env={}).cache\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'faust[redis]'" in done.stderr


def ask(server: RedisServer, *words: str) -> str:
    """Send a command of the cluster's management; return the answer."""
    command = ["redis-cli", "-p", str(server.port), "cluster", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_a_cluster_of_redis(redis_server: RedisServer) -> None:
    """web.md 8: ``rediscluster://`` is a cluster; the number of a database in its address means nothing there."""
    redis_server.stop()
    redis_server.start("--cluster-enabled", "yes")
    ask(redis_server, "addslotsrange", "0", "16383")
    async with asyncio.timeout(20):
        while "cluster_state:ok" not in ask(redis_server, "info"):
            await asyncio.sleep(0.05)
    url = f"rediscluster://127.0.0.1:{redis_server.port}/3"
    async with served(web_app(cache=url)) as client:
        cache = client.app.cache
        for number in range(20):  # in slots of all parts of the cluster
            await cache.set(f"key {number}", b"%d" % number)
        assert [await cache.get(f"key {number}") for number in range(20)] == [
            b"%d" % number for number in range(20)
        ]
        await cache.set("short", b"x", timeout=0.05)
        await cache.delete("key 1")
        await asyncio.sleep(0.2)
        assert (await cache.get("short"), await cache.get("key 1")) == (None, None)
