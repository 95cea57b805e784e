"""Shared seed 001 (App API): the settings, given as the examples in their descriptions show."""

from __future__ import annotations

import os
import random
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, List, Optional

import aiohttp
import pytest
import trustme
from aiokafka.partitioner import murmur2
from yarl import URL

import faust
from faust import App
from faust.web import ResourceOptions
from tests.seeds.support import Project, wait_for
from tests.support.apps import eventually, make_app, running
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]


def get_all_packages_to_scan() -> list[str]:
    return ["proj_orders", "proj_accounts"]


@pytest.mark.parametrize(
    "autodiscover",
    [["proj_orders", "proj_accounts"], get_all_packages_to_scan],
    ids=["list", "function"],
)
def test_autodiscover_takes_a_list_or_a_function(
    project: Project, monkeypatch: pytest.MonkeyPatch, autodiscover: Any
) -> None:
    """The packages that a list, or a function, names are imported, with what is below them."""
    for package in ("proj_orders", "proj_accounts"):
        project.write({f"{package}/__init__.py": "", f"{package}/agents.py": "FOUND = True"})
    monkeypatch.syspath_prepend(project.root)
    app = App("discovering", broker="memory://", autodiscover=autodiscover)
    app.discover()
    found = [name for name in sys.modules if name.startswith(("proj_orders", "proj_accounts"))]
    assert {"proj_orders.agents", "proj_accounts.agents"} <= set(found)
    for name in found:
        del sys.modules[name]


def test_autodiscover_of_packages_by_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``autodiscover=['package1', 'package2']`` scans these two; ``False``, the default, none."""
    for package in ("package1", "package2", "package3"):
        project.write({f"{package}/__init__.py": ""})
    monkeypatch.syspath_prepend(project.root)
    App("none", broker="memory://", autodiscover=False).discover()
    App("none", broker="memory://").discover()
    assert "package1" not in sys.modules
    App("two", broker="memory://", autodiscover=["package1", "package2"]).discover()
    assert ("package1" in sys.modules, "package3" in sys.modules) == (True, False)
    for package in ("package1", "package2"):
        del sys.modules[package]


def test_autodiscover_in_django(project: Project) -> None:
    """With DJANGO_SETTINGS_MODULE set, ``autodiscover=True`` scans the packages of INSTALLED_APPS."""
    project.write(
        {
            "site_settings.py": "INSTALLED_APPS = ['reusable']\nSECRET_KEY = 'x'\nUSE_TZ = True\n",
            "reusable/__init__.py": "",
            "reusable/agents.py": """
                from proj import app

                @app.agent()
                async def reuse(stream):
                    async for _ in stream:
                        ...
            """,
            "proj.py": """
                from faust import App

                app = App('django-proj', autodiscover=True, origin='proj')
            """,
        }
    )
    project.env["DJANGO_SETTINGS_MODULE"] = "site_settings"
    assert "@reusable.agents.reuse" in project.run("-m", "faust", "-A", "proj", "agents")


def test_blocking_is_detected(project: Project) -> None:
    """With ``blocking_timeout`` a worker says where the event loop is blocked, as the pseudo code of the setting does."""
    project.write(
        {
            "blocked.py": """
                import asyncio
                import time
                import faust

                app = faust.App('blocked', blocking_timeout=0.3)

                @app.task
                async def block():
                    await asyncio.sleep(0.5)
                    time.sleep(1.5)

                if __name__ == '__main__':
                    app.main()
            """
        }
    )
    with project.start("blocked.py", "worker", "-l", "info") as worker:
        wait_for(worker, "Blocking detected")


BROKERS = "kafka://kafka1.example.com:9092;kafka2.example.com:9092"


@pytest.mark.parametrize(
    "broker",
    [BROKERS, ["kafka://kafka1.example.com:9092", "kafka://kafka2.example.com:9092"]],
    ids=["text", "list"],
)
def test_several_brokers(broker: Any) -> None:
    """A text with a semicolon, or a list of URLs, gives the same brokers."""
    app = faust.App(
        "id",
        broker=broker,
    )
    assert app.conf.broker == [
        URL("kafka://kafka1.example.com:9092"),
        URL("kafka://kafka2.example.com:9092"),
    ]


def test_sasl_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password, written down or from the environment; the password is not shown."""
    app = faust.App(
        "id",
        broker_credentials=faust.SASLCredentials(
            username="x",
            password="y",
        ),
    )
    assert app.conf.broker_credentials is not None
    monkeypatch.setenv("BROKER_USERNAME", "user")
    monkeypatch.setenv("BROKER_PASSWORD", "hidden")
    BROKER_USERNAME = os.environ.get("BROKER_USERNAME")
    BROKER_PASSWORD = os.environ.get("BROKER_PASSWORD")

    app = faust.App(
        "id",
        broker_credentials=faust.SASLCredentials(
            username=BROKER_USERNAME,
            password=BROKER_PASSWORD,
        ),
    )
    assert "user" in repr(app.conf.broker_credentials)
    assert "hidden" not in repr(app.conf.broker_credentials)


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with the names of the examples, in the current directory."""
    authority = trustme.CA()
    certificate = authority.issue_cert("client")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    (tmp_path / "client.cert").write_bytes(
        b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    )
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("certificates")
def test_gssapi_and_ssl_credentials() -> None:
    """Kerberos in the clear and over TLS; a TLS context alone is a credential, too."""
    app = faust.App(
        "id",
        broker_credentials=faust.GSSAPICredentials(
            kerberos_service_name="faust",
            kerberos_domain_name="example.com",
        ),
    )
    assert app.conf.broker_credentials.protocol.value == "SASL_PLAINTEXT"  # type: ignore[union-attr]

    ssl_context = ssl.create_default_context(purpose=ssl.Purpose.SERVER_AUTH, cafile="ca.pem")
    ssl_context.load_cert_chain("client.cert", keyfile="client.key")

    app = faust.App(
        "id",
        broker_credentials=faust.GSSAPICredentials(
            kerberos_service_name="faust",
            kerberos_domain_name="example.com",
            ssl_context=ssl_context,
        ),
    )
    assert app.conf.broker_credentials.protocol.value == "SASL_SSL"  # type: ignore[union-attr]
    app = faust.App("id", broker_credentials=ssl_context)
    assert app.conf.broker_credentials.context is ssl_context  # type: ignore[union-attr]


async def test_statistics_at_an_address_of_their_own(app: faust.App) -> None:
    """The blueprint of the statistics can be mounted where one likes, without ``debug``."""
    app.conf.web_enabled, app.conf.web_port, app.conf.web_bind = True, free_port(), "127.0.0.1"
    app.web.blueprints.add("/stats/", "faust.web.apps.stats:blueprint")
    url = f"http://127.0.0.1:{app.conf.web_port}/stats/"
    async with running(app), aiohttp.ClientSession() as client, client.get(url) as answer:
        assert "Sensor0" in await answer.json()


def partition(key: Optional[bytes], all_partitions: List[int], available: List[int]) -> int:
    """The default partitioner of Kafka, as the document writes it."""
    if key is None:
        source = available or all_partitions
        return random.choice(source)
    index: int = murmur2(key)
    index &= 0x7FFFFFFF
    index %= len(all_partitions)
    return all_partitions[index]


async def test_a_partitioner_of_ones_own(topic_name: Callable[..., str]) -> None:
    """Setting ``producer_partitioner`` takes a function; that of the document puts keys where the default one does."""
    name = topic_name("app")
    for chosen in (None, partition):
        app = make_app(
            f"memory://{topic_name(str(chosen))}",
            name,
            producer_partitioner=chosen,
            topic_partitions=8,
        )
        topic = app.topic("places", internal=True, partitions=8)
        async with running(app):
            await topic.declare()
            places = [(await (await topic.send(key=str(n), value=n))).partition for n in range(20)]
            if chosen is None:
                expected = places
    assert places == expected
    assert len(set(places)) > 3


async def test_a_dead_letter_topic(app: faust.App) -> None:
    """A request that times out is put into another topic, whose agent waits and tries again."""
    main_topic = app.topic("main", internal=True)
    deadletter_topic = app.topic("main_deadletter", internal=True)
    tried: list[tuple[Any, Optional[float]]] = []

    async def send_request(value: Any, timeout: Optional[float] = None) -> None:
        tried.append((value, timeout))
        if timeout is not None:
            raise TimeoutError

    @app.agent(main_topic)
    async def main(stream: faust.Stream[Any]) -> None:
        async for value in stream:
            try:
                await send_request(value, timeout=5)
            except TimeoutError:
                await deadletter_topic.send(value=value)

    @app.agent(deadletter_topic)
    async def main_deadletter(stream: faust.Stream[Any]) -> None:
        async for value in stream:
            # wait for 30 seconds before retrying.
            await stream.sleep(0.03)
            await send_request(value)

    async with running(app):
        await main_topic.send(value="payment")
        await eventually(lambda: tried == [("payment", 5), ("payment", None)])


async def test_the_http_client_of_an_app(app: faust.App) -> None:
    """``app.http_client`` makes requests, with a timeout, and is closed with the app."""
    app.conf.web_enabled, app.conf.web_port, app.conf.web_bind = True, free_port(), "127.0.0.1"

    @app.page("/foo/")
    async def foo(web: Any, request: Any) -> Any:
        return web.text("bar")

    async with running(app):
        client = app.http_client
        timeout = aiohttp.ClientTimeout(total=5)
        url = f"http://127.0.0.1:{app.conf.web_port}/foo/"
        answer = await client.get(url, timeout=timeout)
        assert await answer.text() == "bar"
    assert client.closed


async def test_cross_origin_requests(app: faust.App) -> None:
    """``web_cors_options`` lets pages of an origin read the answers of all views."""
    app = App(
        "cors",
        broker="memory://",
        datadir=app.conf.datadir,
        web_bind="127.0.0.1",
        web_port=free_port(),
        web_cors_options={
            "http://foo.example.com": ResourceOptions(
                allow_credentials=True,
                allow_methods="*",
            )
        },
    )

    app.conf.web_enabled = True

    @app.page("/foo/")
    async def foo(web: Any, request: Any) -> Any:
        return web.text("bar")

    async with running(app), aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{app.conf.web_port}/foo/"
        headers = {"Origin": "http://foo.example.com"}
        async with client.get(url, headers=headers) as answer:
            allowed = answer.headers["Access-Control-Allow-Origin"]
    assert allowed == "http://foo.example.com"


async def test_a_unix_socket(app: faust.App, tmp_path: Path) -> None:
    """``web_transport`` with a path makes a socket of the file system, at which the pages are."""
    app.conf.web_enabled = True
    app.conf.web_transport = f"unix://{tmp_path}/server.sock"

    @app.page("/foo/")
    async def foo(web: Any, request: Any) -> Any:
        return web.text("bar")

    async with running(app):
        connector = aiohttp.UnixConnector(str(tmp_path / "server.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get("http://localhost/foo/") as answer,
        ):
            assert await answer.text() == "bar"


def test_configuration_from_a_module(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """``config_from_object`` takes the name of a module, or the module."""
    project.write(
        {
            "myproj/__init__.py": "",
            "myproj/faustconfig.py": "broker = 'memory://'\ntopic_partitions = 3\n",
        }
    )
    monkeypatch.syspath_prepend(project.root)
    app = faust.App("named")
    app.config_from_object("myproj.faustconfig")
    assert app.conf.topic_partitions == 3
    from myproj import faustconfig  # type: ignore[import-not-found]

    app = faust.App("imported")
    app.config_from_object(faustconfig)
    assert app.conf.topic_partitions == 3
    for name in ("myproj", "myproj.faustconfig"):
        del sys.modules[name]


def test_the_origin_is_where_the_app_is(project: Project) -> None:
    """``from myproj.app import app`` means ``origin='myproj.app'``; the command line finds it by itself."""
    project.write(
        {
            "myproj/__init__.py": "",
            "myproj/app.py": """
                import faust

                app = faust.App('myproj')

                @app.command()
                async def origin():
                    print('ORIGIN', app.conf.origin)
            """,
        }
    )
    assert "ORIGIN myproj.app" in project.run("-m", "faust", "-A", "myproj.app", "origin")


def test_make_configref(tmp_path: Path) -> None:
    """A setting that somebody adds is in the reference of settings after ``make configref``."""
    for part in ("src", "scripts", "docs/reference"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with (tmp_path / "src" / "faust" / "settings" / "web.py").open("a") as section:
        section.write(
            '\n    MY_SETTING: Param[str, str] = Str(default="mine", env="MY_SETTING", since="3.0")\n'
            '    """My custom setting."""\n'
        )
    page = tmp_path / "docs" / "reference" / "settings.md"
    assert "MY_SETTING" not in page.read_text()
    done = subprocess.run(
        ["make", "--old-file=.venv/.all", "configref"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, _, entry = page.read_text().partition("### `MY_SETTING`\n\nMy custom setting.\n")
    assert "* Default: `mine`\n* Environment: `MY_SETTING`\n* Since: 3.0\n" in entry[:120]
