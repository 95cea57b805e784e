"""Issue 7, the live dashboard: who may see it, what its feed says, and that it costs nothing while nobody looks."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import faust
from faust.web.apps.dashboard import Events
from faust.web.dashboard import feed as feeding
from faust.web.dashboard.feed import MOST_VIEWERS
from tests.support.apps import eventually
from tests.support.web import Client, served, web_app

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Sale(faust.Record):
    product: str
    price: float


def shop(**options: Any) -> Any:
    """Make an app with topics, agents, a sink, a repartition, tables and a task."""
    app = web_app(topic_partitions=2, **options)
    sales = app.topic("sales", key_type=str, value_type=Sale, internal=True)
    receipts = app.topic("receipts", value_type=float, internal=True)
    totals: Any = app.Table("totals", default=float, key_type=str)
    visits: Any = app.Table("visits", default=int, key_type=str).tumbling(10.0)

    @app.agent(sales, name="shop.sell", sink=[receipts])
    async def sell(stream: Any) -> Any:
        """Sells."""
        async for sale in stream.group_by(Sale.product):
            totals[sale.product] += sale.price
            if sale.price < 0:
                raise ValueError("password=hunter2 for kafka://ann:hunter2@broker is wrong")
            yield sale.price

    @app.agent(receipts, name="shop.file")
    async def file(stream: Any) -> None:
        async for _ in stream:
            note(visits)

    @app.task
    async def promote() -> None:
        if app.conf.web_in_thread is None:  # never: only mentioned
            await sales.send(value=Sale("a", 1.0))

    return app, sales


def note(table: Any) -> None:
    """Use what is given: not seen by who looks at names."""


@asynccontextmanager
async def looking(client: Client) -> AsyncIterator[Any]:
    """Look at the feed; gives a function that returns the next event's name and data."""
    async with client.session.get(f"{client.base}/dashboard/events") as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"

        async def following() -> tuple[str, Any]:
            async with asyncio.timeout(15):
                name = (await response.content.readline()).decode().removeprefix("event: ").strip()
                text = await readline(response.content)
                assert await response.content.readline() == b"\n"
            return name, json.loads(text.removeprefix(b"data: "))

        yield following


async def readline(content: Any) -> bytes:
    """Read a line of any length."""
    line: bytes = await content.readuntil(b"\n")
    return line


async def figures(following: Any, condition: Any = lambda _: True) -> Any:
    """Wait for figures that fulfil a condition."""
    deadline = time.monotonic() + 20
    while True:
        name, data = await following()
        if name == "figures" and condition(data):
            return data
        assert time.monotonic() < deadline, data


def feed_of(app: Any) -> Any:
    """Return what makes the feed of an app."""
    view = app.web.views["/dashboard/events"]
    assert isinstance(view, Events)
    return view.feed


async def test_browsers_are_sent_there() -> None:
    """Issue 7: who asks `/` for HTML is sent to the dashboard; everybody else gets the documented JSON (web.md 2)."""
    for options in ({}, {"web_stats_enabled": True}):
        app = web_app(**options)
        app.web.blueprints.add("/stats/", "faust.web.apps.stats:blueprint")
        async with served(app) as client:
            response, _ = await client("/", headers=BROWSER)
            assert (response.status, response.headers["Location"]) == (302, "/dashboard/")
            assert (await client.json("/", headers={"Accept": "*/*"}))[0] == 200
            assert (await client.json("/stats/", headers=BROWSER))[0] == 200
            away = {**BROWSER, "X-Forwarded-For": "10.0.0.1"}
            assert (await client.json("/", headers=away))[0] == 200
    async with served(web_app(web_dashboard_enabled=False)) as client:
        assert (await client.json("/", headers=BROWSER)) == (200, {"status": "OK"})
        assert (await client("/dashboard/"))[0].status == 404


async def test_who_may_see_it() -> None:
    """Issue 7: this machine may; others, names that are not ours and other sites may not, unless it was given explicitly."""
    for options, expected in (({}, 403), ({"web_dashboard_enabled": True}, 200)):
        async with served(web_app(**options)) as client:
            for path in ("/dashboard/", "/dashboard/events"):
                for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "10.0.0.1"}):
                    response, body = await client(path, "HEAD", headers=headers)
                    assert response.status == expected
            other = {"Sec-Fetch-Site": "cross-site"}
            assert (await client("/dashboard/events", "HEAD", headers=other))[0].status == 403
            assert (await client("/dashboard/", headers=other))[0].status == 200  # a link
            response, body = await client("/dashboard/", headers={"Host": "evil.example"})
            assert expected == 200 or b"web_dashboard_enabled=True" in body


async def test_the_page_brings_everything_along() -> None:
    """Issue 7: one page with its style and script in it, and a policy that allows nothing else."""
    async with served(web_app()) as client:
        response, body = await client("/dashboard/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = body.decode()
    for foreign in (
        "http://",
        "https://",
        '<link rel="stylesheet',
        " src=",
        "@import",
        "/*script*/",
    ):
        assert foreign not in text.replace("http://www.w3.org/2000/svg", "")


async def test_graph_and_figures() -> None:
    """Issue 7: the feed has every topic, agent, table and task, what joins them, and figures that are right."""
    app, sales = shop()
    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.router.tables_metadata())
        async with looking(client) as following:
            assert (await following())[0] == "history"
            for number in range(6):
                await (await sales.send(key="k", value=Sale(f"p{number}", 1.0)))
            name, graph = await following()
            assert name == "graph"
            kinds = {node["id"]: node["kind"] for node in graph["nodes"]}
            repartition = "topic:shop.sell-sales-Sale.product-repartition"
            assert kinds == {
                "topic:sales": "topic",
                "topic:receipts": "topic",
                repartition: "repartition",
                "agent:shop.sell": "agent",
                "agent:shop.file": "agent",
                "table:totals": "table",
                "table:visits": "table",
                "task:promote": "task",
            }
            edges = {(edge["source"], edge["target"], edge["how"]) for edge in graph["edges"]}
            assert edges == {
                ("topic:sales", "agent:shop.sell", "reads"),
                ("agent:shop.sell", repartition, "sends"),
                (repartition, "agent:shop.sell", "reads"),
                ("agent:shop.sell", "topic:receipts", "sends"),
                ("topic:receipts", "agent:shop.file", "reads"),
                ("agent:shop.sell", "table:totals", "uses"),
                ("agent:shop.file", "table:visits", "uses"),
                ("task:promote", "topic:sales", "sends"),
            }
            shown = await figures(following, lambda f: f["tables"][0]["entries"] == 6)
            assert shown["app"]["state"] == "ready"
            assert shown["app"]["id"] == app.conf.id
            (table, windowed) = shown["tables"]
            assert (table["name"], table["written"], table["estimated"]) == ("totals", 6, False)
            assert windowed["window"] is not None
            done = lambda f: f["totals"]["lag"] == 0 and f["totals"]["events"] == 18  # noqa: E731
            shown = await figures(following, done)
            rows = {row["topic"]: 0 for row in shown["partitions"]}
            for row in shown["partitions"]:
                rows[row["topic"]] += row["finished"] or 0
                assert row["worker"] == str(app.conf.canonical_url)
                assert row["end"] >= (row["delivered"] or 0)
            assert (rows["sales"], rows["receipts"]) == (6, 6)
            assert sum(shown["latency"]["events"]["buckets"]) == shown["latency"]["events"]["count"]
            (worker,) = shown["workers"]
            assert worker["here"]
            assert worker["leader"]
            assert worker["owns"]["sales"] == [0, 1]
            assert all("__assignor" not in node for node in kinds)


async def test_errors_with_their_secrets_hidden() -> None:
    """Issue 7: what went wrong before anybody looked is shown, with place and message, and secrets are not."""
    app, sales = shop()
    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.router.tables_metadata())
        await (await sales.send(key="k", value=Sale("p", -1.0)))
        await eventually(lambda: "totals" in app.monitor.tables)
        async with looking(client) as following:
            seen = lambda f: any("shop.sell" in e["message"] for e in f["errors"])  # noqa: E731
            shown = await figures(following, seen)
    text = json.dumps(shown)
    assert "hunter2" not in text
    error = next(e for e in shown["errors"] if "shop.sell" in e["message"])
    assert error["level"] == "error"
    assert "test_dashboard.py:" in error["message"]
    assert "password=***" in error["message"]
    assert "ann:***@" in error["message"]


async def test_nothing_runs_while_nobody_looks() -> None:
    """Issue 7: the cost to the stream is nothing: the sampler lives from the first viewer to the last."""
    app, _ = shop()

    def samplers() -> int:
        return sum(task.get_name() == "dashboard" for task in asyncio.all_tasks())

    async with served(app) as client:
        assert (await client("/dashboard/"))[0].status == 200
        assert samplers() == 0
        async with looking(client) as one:
            await figures(one)
            async with looking(client) as other:
                await figures(other)
                assert (feed_of(app).viewers, samplers()) == (2, 1)
            await figures(one)
        await eventually(lambda: (feed_of(app).viewers, samplers()) == (0, 0))
        assert app.monitor.http_response_latency_avg < 1.0  # a feed is no slow request
        async with looking(client) as again:
            await figures(again)


async def test_too_many_viewers() -> None:
    """A bound on viewers, so that nobody can open feeds without end."""
    app = web_app()
    async with served(app) as client:
        feed_of(app).viewers = MOST_VIEWERS
        status, said = await client.json("/dashboard/events")
        assert status == 503
        assert str(MOST_VIEWERS) in said["error"]
        feed_of(app).viewers = 0


async def test_an_open_feed_does_not_hold_up_the_end() -> None:
    """The worker stops at once although somebody looks."""
    app = web_app()
    async with served(app) as client, looking(client) as following:
        await figures(following)
        began = time.monotonic()
        await app.stop()
        assert time.monotonic() - began < 5
    assert feed_of(app).viewers == 0


async def test_in_a_thread_it_shows_a_blocked_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """With web_in_thread the feed goes on while the loop of the app is blocked, and says so."""
    monkeypatch.setattr(feeding, "PATIENCE", 0.3)
    app, _ = shop(web_in_thread=True)
    async with served(app) as client:
        base = client.base

        def look() -> list[str]:
            async def main() -> list[str]:
                import aiohttp

                async with (
                    aiohttp.ClientSession() as session,
                    looking(Client(app, session, base)) as following,
                ):
                    states = [(await figures(following))["app"]["state"]]
                    blocked = await figures(following, lambda f: f["app"]["state"] == "blocked")
                    states.append(blocked["app"]["state"])
                    again = await figures(following, lambda f: f["app"]["state"] != "blocked")
                    return [*states, again["app"]["state"]]

            return asyncio.run(main())

        watching = asyncio.create_task(asyncio.to_thread(look))
        await asyncio.sleep(1.5)
        time.sleep(3.0)  # noqa: ASYNC251 - that is what is tested
        states = await watching
    assert states[1] == "blocked"
    assert states[2] != "blocked"


def test_warnings_are_still_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any logging set up, Python's handler of last resort still writes the library's warnings to standard error."""
    from faust.web.dashboard.trouble import Trouble

    logger = logging.getLogger("dashboard-test")
    trouble = Trouble()
    logger.addHandler(trouble)
    logger.propagate = False
    try:
        logger.warning("token: %s", "abc")
        logger.info("not this")
        assert capsys.readouterr().err == "token: abc\n"
        heard = logging.NullHandler()
        logger.addHandler(heard)
        logger.error("once")
        assert capsys.readouterr().err == ""
    finally:
        logger.handlers.clear()
    assert [entry["message"] for entry in trouble.entries] == ["token: ***", "once"]
