"""web.md section 2: the built-in applications, their addresses, answers and switches."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import faust
from faust.sensors.prometheus import setup_prometheus_sensors
from faust.web import View
from faust.web.routing import ROUTED_BY
from tests.support.apps import eventually
from tests.support.web import Client, served, web_app


def numbers(app: faust.App) -> Any:
    """Describe the topic of the agent."""
    kinds: Any = {"key_type": int, "value_type": int, "key_serializer": "json"}
    return app.topic("numbers", partitions=1, internal=True, **kinds)


def with_table(**options: Any) -> faust.App:
    """Make an app with a table of one partition, and an agent that writes it."""
    app = web_app(topic_partitions=1, **options)
    table: Any = app.Table("counts", default=int, key_type=int, help="Numbers.")
    app.Table("plain")
    topic = numbers(app)

    @app.agent(topic, name="add")
    async def add(stream: Any) -> None:
        async for key, value in stream.items():
            table[key] += value

    return app


async def test_index_in_production() -> None:
    """web.md 2: `/` says OK; neither graph, assignment nor performance is there by default."""
    async with served(with_table()) as client:
        assert await client.json("/") == (200, {"status": "OK"})
        assert (await client("/", "HEAD"))[0].status == 200
        for path in ("/graph/", "/assignment/", "/performance/"):
            assert (await client(path))[0].status == 404
        assert client.app.web.url_for("production_index:index") == "/"


@pytest.mark.parametrize("switch", ["debug", "web_stats_enabled"])
async def test_stats_and_assignment(switch: str) -> None:
    """web.md 2: with stats `/` shows every sensor and `/assignment/` the partitions."""

    class Counting(faust.Sensor):
        def asdict(self) -> dict[str, Any]:
            return {"n": 7}

    app = with_table(**{switch: True})
    app.sensors.add(Counting())
    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.assignor.assigned_actives())
        status, shown = await client.json("/")
        assert status == 200
        assert [list(shown), shown["Sensor0"]] == [["Sensor0", "Sensor1"], {"n": 7}]
        assert shown["Sensor1"]["assignments_completed"] >= 1  # the monitor, which is always there
        status, shown = await client.json("/assignment/")
        assert status == 200
        assert shown["actives"]["numbers"] == [0]
        assert shown["standbys"] == {}
        assert list(shown["actives"]) == sorted(shown["actives"])
        assert app.web.url_for("monitor:index") == "/"
        assert app.web.url_for("monitor:assignment") == "/assignment/"


async def test_graph() -> None:
    """web.md 2: without pydot `/graph/` says what to install, with status 500."""
    async with served(web_app(web_graph_enabled=True)) as client:
        response, body = await client("/graph/")
        assert (response.status, body) == (500, b"Please install pydot: pip install pydot")


async def test_router() -> None:
    """web.md 2: which worker has which partitions; the two lists have names of their own; unknown tables are 404."""
    app = with_table()
    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.router.tables_metadata())
        here = str(app.conf.canonical_url)
        changelog = app.tables["counts"].changelog_topic_name
        status, shown = await client.json("/router/")
        assert (status, shown[here][changelog]) == (200, [0])
        status, shown = await client.json("/router/topics")
        assert (status, shown[here]["numbers"]) == (200, [0])
        assert await client.json("/router/counts/") == (200, {here: {changelog: [0]}})
        assert await client.json("/router/counts/7/") == (200, here)
        assert (await client.json("/router/nothing/"))[0] == 404
        assert (await client.json("/router/nothing/7/"))[0] == 503
        assert app.web.url_for("router:list") == "/router/"
        assert app.web.url_for("router:topics") == "/router/topics"
        assert app.web.url_for("router:key-detail", name="a", key="b/c") == "/router/a/b%2Fc/"


async def test_tables() -> None:
    """web.md 2: names and help of tables, and values by key; what is missing is 404."""
    app = with_table()
    table: Any = app.tables["counts"]
    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.router.tables_metadata())
        await (await numbers(app).send(key=7, value=5))
        await eventually(lambda: 7 in table and table[7] == 5)
        listed: Any = [{"name": "counts", "help": "Numbers."}, {"name": "plain", "help": ""}]
        assert await client.json("/table/") == (200, listed)
        assert await client.json("/table/counts/") == (200, listed[0])
        assert await client.json("/table/nothing/") == (
            404,
            {"error": "unknown table", "name": "nothing"},
        )
        assert await client.json("/table/counts/7/") == (200, 5)
        assert await client.json("/table/counts/8/") == (
            404,
            {"error": "key not found", "key": "8", "table": "counts"},
        )
        assert (await client.json("/table/counts/seven/"))[0] == 400
        assert (await client.json("/table/nothing/7/"))[0] == 503


async def test_tables_of_other_kinds() -> None:
    """web.md 2: a set is a list; the key of a windowed table is 400, a value that JSON cannot tell 406, each with the reason."""
    app = web_app(topic_partitions=1)
    words = app.topic("words", key_type=str, value_type=str, internal=True)
    sets: Any = app.SetTable("sets")
    windowed: Any = app.Table("windowed", default=int).tumbling(60)
    odd: Any = app.Table("odd", schema=faust.Schema(value_serializer="pickle_restricted"))

    @app.agent(words)
    async def keep(stream: Any) -> None:
        async for key, word in stream.items():
            sets[key].add(word)
            windowed[key] += 1
            odd[key] = 1j

    @app.page("/own/")
    async def own(web: Any, request: Any) -> Any:
        return web.json({"members": sets["k"]})

    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.router.tables_metadata())
        await (await words.send(key="k", value="apple"))
        await eventually(lambda: "k" in odd)
        assert await client.json("/table/sets/k/") == (200, ["apple"])
        assert await client.json("/own/") == (200, {"members": ["apple"]})
        status, shown = await client.json("/table/windowed/k/")
        assert (status, "windowed" in shown["error"]) == (400, True)
        status, shown = await client.json("/table/odd/k/")
        assert (status, "complex" in shown["error"]) == (406, True)


async def test_performance() -> None:
    """web.md 2, livecheck-sensors.md 6: with web_metrics_enabled `/performance/` shows the figures of this worker."""
    app = with_table(web_metrics_enabled=True)
    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.router.tables_metadata())
        await (await numbers(app).send(key=7, value=5))
        await eventually(lambda: app.monitor.events_total == 1)
        status, shown = await client.json("/performance/")
        assert status == 200
        assert shown["app"] == {"id": app.conf.id, "web_port": app.conf.web_port}
        assert shown["throughput"]["events_total"] == 1
        assert shown["tables"]["counts"]["keys_updated"] == 1
        assert set(shown["latency"]["send_latency"]) == {"count", "p50", "p95", "max"}
        assert app.web.url_for("metrics:index") == "/performance/"


async def test_metrics() -> None:
    """livecheck-sensors.md 5, pain row 54: `/metrics` is read by Prometheus' parser, with the sizes of tables."""
    app = with_table()
    setup_prometheus_sensors(app, registry=CollectorRegistry(), name_prefix="shop")
    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.router.tables_metadata())
        for key in range(3):
            await (await numbers(app).send(key=key, value=5))
        await eventually(lambda: len(app.tables["counts"]) == 3)  # type: ignore[arg-type]
        response, body = await client("/metrics")
        assert (response.status, response.content_type) == (200, "text/plain")
        found = {
            (sample.name, sample.labels.get("table")): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }
        assert found["shop_table_entries", "counts"] == 3
        assert found["shop_table_entries", "plain"] == 0
        assert found["shop_total_events_total", None] == 3


async def test_switches() -> None:
    """web.md 2: router and tables can be switched off."""
    async with served(with_table(web_router_enabled=False, web_tables_enabled=False)) as client:
        assert (await client("/router/"))[0].status == 404
        assert (await client("/table/"))[0].status == 404


async def test_values_are_for_this_machine() -> None:
    """Issue 7: values are for this machine, not for other hosts, proxies or names, unless web_tables_enabled is given."""
    for explicit in (False, True):
        app = with_table(**({"web_tables_enabled": True} if explicit else {}))
        async with served(app) as client:
            await eventually(lambda: not app.rebalancing and app.router.tables_metadata())  # noqa: B023
            for headers in (
                {"Host": "evil.example"},
                {"X-Forwarded-For": "10.0.0.1"},
                {"Forwarded": "for=10.0.0.1"},
            ):
                status, said = await client.json("/table/counts/7/", headers=headers)
                assert status == (404 if explicit else 403)
                assert explicit or "web_tables_enabled=True" in said["error"]
            passed_on = {ROUTED_BY: "http://other:6066", "Host": "shop.example"}
            status, said = await client.json("/table/counts/7/", headers=passed_on)
            assert status == (404 if explicit else 403)
            assert explicit or "passed on by the worker http://other:6066" in said["error"]
            outside = Client(app, client.session, f"http://{address()}:{app.conf.web_port}")
            if address() != "127.0.0.1":
                assert (await outside.json("/table/counts/7/"))[0] == (404 if explicit else 403)
                assert (await outside.json("/table/counts/"))[0] == 200


def address() -> str:
    """Return an address of this host that is not the loopback's, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        found: str = probe.getsockname()[0]
    return found


async def test_a_page_at_the_root_clashes() -> None:
    """web.md 2: a page at `/` and the index exclude each other, which is said when the server is made ready."""
    app = web_app()

    @app.page("/")
    async def mine(web: View, request: Any) -> Any:
        return web.text("mine")

    with pytest.raises(RuntimeError, match="GET / is answered already"):
        app.web.init_server()


async def test_stats_elsewhere() -> None:
    """web.md 2: the statistics can be mounted somewhere else before the start."""
    app = web_app()
    app.web.blueprints.add("/stats/", "faust.web.apps.stats:blueprint")
    async with served(app) as client:
        assert (await client("/stats/"))[0].status == 200
        assert (await client.json("/stats/assignment/"))[0] == 200
