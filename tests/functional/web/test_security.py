"""Issue 7, acceptance 9: what a worker must neither do nor tell. Random requests are in `tests.fuzz.web`."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import pickle
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

import faust
from faust.exceptions import SecurityWarning
from faust.serializers import codecs
from faust.web import Blueprint, View, takes_model
from tests.support.apps import eventually
from tests.support.ports import free_port
from tests.support.processes import start_python
from tests.support.web import served, web_app

SECRET = "hunter2"


def unmasked(text: str) -> list[str]:
    """Return the lines in which the secret stands."""
    return [line for line in text.splitlines() if SECRET in line]


def secretive(**options: Any) -> faust.App:
    """Make an app of which two addresses have a password."""
    name = f"secretive-{uuid.uuid4().hex[:8]}"
    return web_app(
        broker=f"memory://bob:{SECRET}@{name}",
        cache=f"redis://:{SECRET}@127.0.0.1:{free_port()}/0",
        id=name,
        debug=True,
        web_metrics_enabled=True,
        **options,
    )


async def test_secrets_are_told_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Passwords stand in no page, no figure of the monitor, no repr, no label and no line of the log."""
    caplog.set_level(logging.DEBUG)
    app = secretive()
    topic = app.topic("words", value_type=str, partitions=1, internal=True)
    table: Any = app.Table("counts", default=int, partitions=1)

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for word in stream:
            table[word] += 1

    async with served(app) as client:
        await (await topic.send(value="x"))
        await eventually(app.health.table)
        views = [path for path in app.web.views if "{" not in path and path != "/graph/"]
        assert {"/", "/performance/", "/health/ready", "/table/", "/router/"} <= set(views)
        for path in views:
            if not path.endswith("events"):  # a stream has no end
                assert unmasked((await client(path))[1].decode("utf-8", "replace")) == [], path
        shown = [repr(app), app.label, str(app.monitor.asdict()), repr(app.conf), repr(app.cache)]
        shown += [repr(app.transport), repr(app.consumer), repr(app.producer), str(app.beacon)]
        assert [unmasked(text) for text in shown] == [[]] * len(shown)
    assert unmasked(caplog.text) == []
    assert (
        "redis://" in caplog.text
    )  # the cache that does not answer was told, without its password


PROGRAM = f"""
import faust, sys
app = faust.App("shop", env={{}}, broker="kafka://bob:{SECRET}@127.0.0.1:9", cache="redis://:{SECRET}@127.0.0.1:9/0",
                datadir=sys.argv.pop(1), broker_request_timeout=0.5, web_port={{port}}, broker_max_poll_interval=2)
app.Table("counts")
topic = app.topic("words")
@app.agent(topic)
async def agent(stream):
    async for _ in stream:
        pass
app.main()
"""


@pytest.mark.parametrize(
    "command",
    [
        ["worker", "-l", "debug"],
        ["worker", "--help"],
        ["agents"],
        ["tables"],
        ["models"],
        ["send", "words", "x"],
        ["--debug", "agents"],
    ],
    ids="_".join,
)
def test_secrets_are_in_no_output(command: list[str], tmp_path: Path) -> None:
    """Neither the banner and the log of a worker that reaches no broker, nor any command, prints a password."""
    program = PROGRAM.replace("{port}", str(free_port()))
    lines: list[str] = []
    with start_python(program, str(tmp_path / "data"), *command) as process:
        if command == ["worker", "-l", "debug"]:
            deadline = time.monotonic() + 30
            while not any("127.0.0.1:9" in line for line in [*lines, *process.errors]):
                assert time.monotonic() < deadline, "the worker does not say which broker it wants"
                time.sleep(0.1)
                lines += process.lines()
            process.terminate()
        process.wait(30)
        said = "\n".join([*lines, *process.lines(), *process.errors])
    assert unmasked(said) == []
    assert said, "nothing was printed at all"
    if command[0] == "worker" and "--help" not in command:
        assert "bob" in said or "127.0.0.1:9" in said  # the address itself is there


async def test_no_pickle_by_default() -> None:
    """A pickle that arrives is not run, neither in a message nor in a body; it takes the codec by name, which warns."""
    marker = Path(os.environ.get("TMPDIR", "/tmp")) / f"pickled-{uuid.uuid4().hex}"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (marker,))

    evil = pickle.dumps(Evil())
    app = web_app()
    got: list[Any] = []
    topic: Any = app.topic("any", partitions=1, internal=True)

    @app.agent(topic)
    async def reader(stream: Any) -> None:
        async for value in stream:
            got.append(value)

    class Model(faust.Record):
        x: int

    @app.page("/model/")
    class Models(View):
        @takes_model(Model)
        async def post(self, request: Any, model: Model) -> Any:
            return self.json(model)

    async with served(app) as client:
        await (await app.topic("any", value_serializer="raw").send(value=evil))
        await (await topic.send(value={"a": 1}))
        await eventually(lambda: got == [{"a": 1}])
        status, shown = await client.json("/model/", "POST", data=evil)
        assert (status, list(shown)) == (400, ["error"])
    with pytest.raises(Exception, match=r"Path\.touch"):
        codecs.loads("pickle_restricted", base64.b64encode(evil))
    with pytest.warns(SecurityWarning, match="without restrictions"):  # who asks for it is warned
        codecs.loads("pickle", base64.b64encode(pickle.dumps(1)))
    assert not marker.exists()


async def test_nothing_outside_of_the_files(tmp_path: Path) -> None:
    """No spelling of a path leads out of a directory that is served, and no link out of it is followed."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.txt").write_text("a file")
    (tmp_path / "secret.txt").write_text(SECRET)
    (files / "link.txt").symlink_to(tmp_path / "secret.txt")
    app = web_app()
    blueprint = Blueprint("files")
    blueprint.static("/static", files)
    blueprint.register(app)
    climbs = [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "..\\secret.txt",
        "a/../../secret.txt",
    ]
    climbs += [
        "%2e%2e%2fsecret.txt",
        "..%252fsecret.txt",
        str(tmp_path / "secret.txt"),
        "link.txt",
        "%00",
    ]
    async with served(app) as client:
        assert (await client("/static/a.txt"))[1] == b"a file"
        for climb in climbs:
            reader, writer = await _connect(app)
            writer.write(
                f"GET /static/{climb} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            answer = await reader.read()
            writer.close()
            assert SECRET.encode() not in answer, climb
            assert answer.split()[1] in {b"404", b"403", b"400"}, (climb, answer)


async def _connect(app: faust.App) -> Any:
    return await asyncio.open_connection("127.0.0.1", app.conf.web_port)


async def test_no_header_of_the_clients_making(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line ends in what a view repeats make no header, neither in an answer nor in a request that is passed on."""
    app = web_app()
    server = logging.getLogger("aiohttp.server")  # as it is, whatever other tests have made of it
    caplog.set_level(logging.ERROR, logger=server.name)
    monkeypatch.setattr(server, "disabled", False)
    monkeypatch.setattr(server, "propagate", True)

    @app.page("/echo/")
    async def echo(web: View, request: Any) -> Any:
        return web.text("x", headers={"X-Echo": request.query["q"]})

    @app.page("/fail/")
    async def fail(web: View, request: Any) -> Any:
        raise web.NotFound(request.query["q"])

    evil = quote("a\r\nSet-Cookie: sid=1\r\n\r\n<script>")
    async with served(app) as client:
        with pytest.raises(aiohttp.ServerDisconnectedError):  # nothing is answered at all
            await client(f"/echo/?q={evil}")
        response, body = await client(f"/fail/?q={evil}")
        assert "Set-Cookie" not in response.headers
        assert response.content_type == "application/json"
        assert json.loads(body) == {"error": "a\r\nSet-Cookie: sid=1\r\n\r\n<script>"}
    assert "Potential header injection attack" in caplog.text


async def test_values_are_not_shown_to_everybody() -> None:
    """web.md 2, issue 7: without web_tables_enabled given, values are for this machine: no proxy, no foreign name."""
    app = web_app()
    app.Table("counts", partitions=1)
    async with served(app) as client:
        await eventually(lambda: not app.rebalancing and app.router.table_metadata("counts"))
        for headers, status in (
            ({}, 404),
            ({"X-Forwarded-For": "127.0.0.1"}, 403),
            ({"Forwarded": "for=127.0.0.1"}, 403),
            ({"Host": "evil.example"}, 403),
            ({"Host": "localhost:1"}, 404),
        ):
            response, _ = await client("/table/counts/x/", headers=headers)
            assert response.status == status, headers
