"""web.md section 7: requests are answered by the worker that has the key."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

import faust
from faust.web import View
from faust.web.drivers.forwarding import ROUTED_BY
from tests.support.apps import committed_everything, eventually
from tests.support.ports import free_port
from tests.support.web import Client, served, web_app

KEYS = [f"key-{i}" for i in range(12)]


def shop(broker: str, **options: Any) -> Any:
    """Make one worker of an app that counts, and whose views run where the key is."""
    app = web_app(
        broker=broker, id="shop", datadir=tempfile.mkdtemp(prefix="faust-web-"), **options
    )
    topic = app.topic("clicks", key_type=str, value_type=int, partitions=4, internal=True)
    table: Any = app.Table("counts", default=int, key_type=str, partitions=4, help="Clicks.")

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for key, value in stream.items():
            table[key] += value

    @app.page("/count/{key}/")
    class Count(View):
        @app.table_route(table, match_info="key")
        async def get(self, request: Any, key: str) -> Any:
            return self.json({"key": key, "count": table[key], "by": app.conf.web_port})

        @app.table_route(table, match_info="key")
        async def post(self, request: Any, key: str) -> Any:
            body = await request.read()
            mark = request.headers.get("X-Mark", "")
            return self.bytes(body[::-1], headers={"X-Mark": mark, "X-By": str(app.conf.web_port)})

    @app.page("/query/")
    @app.table_route(table, query_param="key")
    async def query(web: View, request: Any) -> Any:
        return web.text(request.query["key"])

    @app.page("/topic/{key}/")
    @app.topic_route(topic, match_info="key")
    async def by_topic(web: View, request: Any, key: str) -> Any:
        return web.text(str(app.conf.web_port))

    @app.page("/exact/")
    @app.table_route(table, exact_key="key-1")
    async def exact(web: View, request: Any) -> Any:
        return web.text(str(app.conf.web_port))

    return app, topic


@asynccontextmanager
async def workers(count: int, **options: Any) -> AsyncIterator[list[Client]]:
    """Run some workers of one group, which share the partitions and have counted every key once."""
    broker = f"memory://{uuid.uuid4().hex}"
    made = [shop(broker, **options) for _ in range(count)]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(served(app)) for app, _ in made]
        _, topic = made[0]

        def settled() -> bool:
            return all(
                not a.rebalancing
                and not a.in_recovery
                and len(a.router.table_metadata("counts")) == count
                for a, _ in made
            )

        await eventually(settled)
        for key in KEYS:
            await (await topic.send(key=key, value=1))
        await asyncio.gather(*(committed_everything(a) for a, _ in made))
        yield clients


async def test_every_key_from_every_worker() -> None:
    """web.md 7, issue 7 acceptance 5: whoever is asked, the worker that has the key answers."""
    async with workers(3) as clients:
        answered = set()
        for key in KEYS:
            answers = [await client.json(f"/count/{key}/") for client in clients]
            assert answers[0] == answers[1] == answers[2]
            assert answers[0][0] == 200
            assert (answers[0][1]["key"], answers[0][1]["count"]) == (key, 1)
            answered.add(answers[0][1]["by"])
            topics = {(await client(f"/topic/{key}/"))[1] for client in clients}
            assert topics == {str(answers[0][1]["by"]).encode()}
            owners = [await client.json(f"/router/counts/{key}/") for client in clients]
            assert {o for _, o in owners} == {f"http://127.0.0.1:{answers[0][1]['by']}"}
            values = [await client.json(f"/table/counts/{key}/") for client in clients]
            assert values == [(200, 1)] * 3
            assert (await clients[0](f"/query/?key={key}"))[1] == key.encode()
        assert len(answered) == 3
        assert len({(await client("/exact/"))[1] for client in clients}) == 1


async def test_bodies_and_headers_are_passed_on() -> None:
    """web.md 7, issue 7 acceptance 5: a body of 1 MB, binary answers and headers survive the way; cookies are not kept."""
    body = bytes(range(256)) * 3900
    async with workers(2) as clients:
        for key in KEYS[:6]:
            for client in clients:
                response, back = await client(
                    f"/count/{key}/", "POST", data=body, headers={"X-Mark": f"mark {key}"}
                )
                assert (response.status, response.headers["X-Mark"]) == (200, f"mark {key}")
                assert back == body[::-1]
                assert response.content_type == "application/octet-stream"
                response, empty = await client(f"/count/{key}/", "HEAD")
                assert (response.status, empty) == (200, b"")
                response, _ = await client(f"/count/{key}/", "POST", data=iter_body(1_200_000))
                assert response.status == 413


async def iter_body(size: int) -> AsyncIterator[bytes]:
    """Give a body of *size* bytes in pieces, without saying how long it is."""
    for _ in range(0, size, 1000):
        yield b"x" * 1000


async def test_before_the_first_assignment() -> None:
    """web.md 7: while nobody has the key the answer is 503 with Retry-After; parameters that are missing are 400."""
    app, _ = shop(f"memory://{uuid.uuid4().hex}")
    await app.web.start()
    try:
        async with aiohttp.ClientSession() as session:
            client = Client(app, session, f"http://127.0.0.1:{app.conf.web_port}")
            for path in (
                "/count/x/",
                "/query/?key=x",
                "/topic/x/",
                "/exact/",
                "/table/counts/x/",
                "/router/counts/x/",
            ):
                response, body = await client(path)
                assert (response.status, response.headers["Retry-After"]) == (503, "1"), body
            assert (await client("/query/"))[0].status == 400
    finally:
        await app.web.stop()


async def test_while_partitions_move() -> None:
    """web.md 7: during a rebalance the owner answers 503 with Retry-After, and after it the value."""
    async with workers(1) as (client,):
        client.app.rebalancing = True
        response, _ = await client("/count/key-1/")
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert (await client("/table/counts/key-1/"))[0].status == 503
        client.app.rebalancing = False
        assert (await client("/count/key-1/"))[0].status == 200


async def test_a_request_is_sent_on_once() -> None:
    """web.md 7: what another worker has sent is not sent on again: no loops."""
    async with workers(2) as clients:
        statuses = [
            (await client(f"/count/{key}/", headers={ROUTED_BY: "http://other"}))[0].status
            for key in KEYS
            for client in clients
        ]
        assert statuses.count(503) == statuses.count(200) == len(KEYS)


async def test_a_dead_owner() -> None:
    """web.md 7: an owner that cannot be reached is told by 503 with Retry-After."""
    async with workers(2) as (first, second):
        await second.app.web.stop()
        statuses = {(await first(f"/count/{key}/"))[0].status for key in KEYS}
        assert statuses == {200, 503}


async def test_the_host_is_the_announced_one() -> None:
    """web.md 7: neither Host nor an absolute request target decide where a request is sent on to."""
    heard = []

    async def catch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.close()

    port = free_port()
    evil = await asyncio.start_server(catch, "127.0.0.1", port)
    async with evil, workers(2) as clients:
        for key in KEYS[:6]:
            for client in clients:
                response, _ = await client(f"/count/{key}/", headers={"Host": f"127.0.0.1:{port}"})
                assert response.status == 200
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", client.app.conf.web_port
                )
                target = f"http://127.0.0.1:{port}/count/{key}/"
                writer.write(
                    f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
                )
                status = await reader.readline()
                await reader.read()
                writer.close()
                assert b" 500 " not in status
    assert heard == []


@pytest.mark.parametrize("arguments", [{}, {"shard_param": "a", "query_param": "b"}])
def test_where_the_key_is_must_be_said(arguments: dict[str, str]) -> None:
    """web.md 7, app.md 3: table_route without a place for the key, or with its old and its new name, is a TypeError."""
    app = web_app()
    with pytest.raises(TypeError):
        app.table_route(app.Table("t"), **arguments)


def test_shard_param_is_the_old_name() -> None:
    """app.md 3: shard_param still works and warns."""
    app = web_app()
    with pytest.warns(DeprecationWarning, match="query_param"):
        app.table_route(app.Table("t"), "key")


def test_the_client_class_is_a_setting() -> None:
    """app.md 1: http_client is of class HttpClient, is made once, and can be replaced."""
    assert faust.App("x", env={}, broker="memory://").conf.HttpClient is aiohttp.ClientSession


async def test_http_client_is_closed_with_the_app() -> None:
    """app.md 1: http_client is closed when the app stops."""
    app = web_app()
    async with served(app):
        client = app.http_client
        assert app.http_client is client
    assert client.closed
