"""Random requests to a worker get an answer that is not a 500, and never anything from outside of what is served.

Run it as a command: ``python -m tests.fuzz.web --requests 50000 --seed 1``. Requests are bytes on a socket, so that what no
client sends is sent, too: lengths that lie, headers with line ends in them, targets that are no paths. What fails is shown with the
number of its request, which ``--only NUMBER`` repeats alone.

The app has every built-in page switched on, views whose key is somewhere else, a cache, models, CORS, and static files beside which
a secret lies.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import faust
from faust.web import Blueprint, ResourceOptions, View, gives_model, takes_model
from tests.support.apps import eventually
from tests.support.web import served, web_app

__all__ = ["Report", "fuzz", "fuzzed_app", "main"]

SECRET = "the-secret-beside-the-files"
AT_ONCE = 50
RESTS = 1.0
"""Seconds without an answer after which nothing more is sent."""

REST_OF_ANSWER = 0.1
"""Seconds between the pieces of an answer."""

PATIENCE = 30.0
"""Seconds for one answer."""

METHODS = ["GET"] * 8 + ["POST"] * 4
METHODS += ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "SEARCH", "TRACE", "CONNECT", "BREW"]

PATHS = """
/ /assignment/ /table/ /table/counts/ /table/counts/KEY/ /table/numbers/KEY/ /table/KEY/ /table/KEY/KEY/ /table/global/KEY/
/table/windowed/KEY/ /table/sets/KEY/ /router/windowed/KEY/ /router/sets/KEY/
/router/ /router/topics /router/counts/ /router/KEY/ /router/counts/KEY/ /router/numbers/KEY/ /health/live /health/ready
/performance/ /metrics /dashboard/ /dashboard/events /here/KEY/ /query/?key=KEY /query/ /topic/KEY/ /point/ /cached/KEY/
/cached/KEY/?a=KEY /cors/ /files/a.txt /files/KEY /files/../KEY /files/%2e%2e/KEY /files/..%2fsecret.txt /files//etc/passwd
/files/....//secret.txt /KEY http://KEY/here/x/ //KEY/here/x/ * KEY:80 /here/KEY
"""

KEYS = """
a key-1 1 -7 1e999 0x10 %00 %0d%0aSet-Cookie:%20x=1 %ff%fe .. ../.. ..%2f..%2fsecret.txt %2e%2e%2fsecret.txt secret.txt
../secret.txt %E2%82%AC %F0%9F%98%80 a%2Fb {key} %7Bkey%7D ' <script> % %zz ; null [] %D9%A1 127.0.0.1:6379 evil.example ~
${jndi:x} inf nan 1_000 +1 %2B1 %20 \u0661
"""

LONG_KEYS = ["x" * 3000, "1" * 400, "a b", "' OR 1=1 --"]

HEADERS = """
Host: evil.example|Host: |Host: a, b|Host: [::1]:80|Host: 127.0.0.1:1|X-Forwarded-For: 127.0.0.1|Forwarded: for=127.0.0.1
X-Faust-Routed-By: http://evil.example|Accept: text/html|Accept: application/json;q=x|Origin: http://a.example|Origin: null
Access-Control-Request-Method: GET|Access-Control-Request-Headers: X,Y|Cookie: a=b; c|Range: bytes=0-1|Range: bytes=9-1
Range: bytes=-99999999999999999999|Range: x|If-None-Match: *|If-Modified-Since: yesterday|If-Range: x|Expect: 100-continue
Content-Type: application/json|Content-Type: application/json; charset=nonsense|Content-Type: multipart/form-data; boundary=
Content-Type: /|Expect: x|Content-Encoding: gzip|Content-Encoding: x|Transfer-Encoding: chunked|Transfer-Encoding: x
Content-Length: 99|Content-Length: -1|Content-Length: 1e3|Content-Length: 0|Upgrade: websocket|Connection: upgrade, close
TE: trailers|Accept-Encoding: gzip;q=0|Last-Event-ID: 7|User-Agent: |Authorization: Basic %%%|X: \x7f|Bad Header: x|: x|nocolon
"""

BODIES = [
    *(b"", b"{}", b"[]", b"null", b'{"x": 1, "y": 2}', b'{"x": "a"}', b'{"x": 1e999, "y": null}'),
    *(b"{", b"\xff\xfe", b"[" * 5000, b'{"x":' * 500, b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    *(b"zz\r\n", b"x" * 5000, b'{"__faust": {"ns": "os.system"}, "x": 1, "y": 2}'),
    b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94",
    b"y" * 1_200_000,
]


class Point(faust.Record, validation=True):
    """A body."""

    x: int
    y: int


def fuzzed_app(directory: Path, **options: Any) -> faust.App:
    """Make the app; files in *directory* are served, and beside it lies a secret."""
    files = directory / "files"
    files.mkdir()
    (files / "a.txt").write_text("a file")
    (directory / "secret.txt").write_text(SECRET)
    switches = {f"web_{name}_enabled": True for name in ("stats", "metrics", "tables", "router")}
    app = web_app(topic_partitions=2, **switches, **options)
    topic = app.topic("clicks", key_type=str, value_type=int, partitions=2, internal=True)
    counts: Any = app.Table("counts", default=int, key_type=str, partitions=2)
    numbers: Any = app.Table("numbers", default=int, key_type=int, partitions=2)
    app.GlobalTable("global", default=int, key_type=str)
    windowed: Any = app.Table("windowed", default=int, key_type=str, partitions=2).tumbling(60)
    sets: Any = app.SetTable("sets", key_type=str, partitions=2)

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for key, value in stream.items():
            counts[key] += value
            windowed[key] += value
            sets[key].add(value)

    @app.page("/here/{key}/")
    class Here(View):
        @app.table_route(counts, match_info="key")
        async def get(self, request: Any, key: str) -> Any:
            return self.json([key, counts[key]])

        @app.table_route(numbers, match_info="key")
        async def post(self, request: Any, key: str) -> Any:
            return self.bytes(await self.read_request_content(request))

    @app.page("/query/")
    @app.table_route(counts, query_param="key")
    async def query(web: View, request: Any) -> Any:
        return web.json(request.query["key"])

    @app.page("/topic/{key}/")
    @app.topic_route(topic, match_info="key")
    async def by_topic(web: View, request: Any, key: str) -> Any:
        return web.text(key)

    @app.page("/point/")
    class Points(View):
        @takes_model(Point)
        @gives_model(Point)
        async def post(self, request: Any, point: Point) -> Any:
            return point

    blueprint = Blueprint("fuzzed")
    cache = blueprint.cache(timeout=5.0)

    @blueprint.route("/cached/{key}/")
    class Cached(View):
        @cache.view(include_headers=True)
        async def get(self, request: Any, key: str) -> Any:
            return self.text(key)

    anybody = ResourceOptions(allow_credentials=True, allow_headers="*", max_age=5)

    @blueprint.route("/cors/", cors_options={"http://a.example": anybody})
    async def cors(web: View, request: Any) -> Any:
        return web.text("shared")

    blueprint.static("/files", files)
    app.web.blueprints.add("/", blueprint)
    return app


def request_of(number: int, seed: int) -> bytes:
    """Return the request with a number."""
    rng = random.Random(f"{seed}-{number}")

    def key() -> str:
        made = rng.choice(KEYS.split() + LONG_KEYS)
        if rng.random() < 0.3:
            made = quote(bytes(rng.randrange(256) for _ in range(rng.randrange(1, 12))))
        return made

    path = rng.choice(PATHS.split())
    while "KEY" in path:
        path = path.replace("KEY", key(), 1)
    if rng.random() < 0.2:
        path += rng.choice(
            ["?", "&", "?key=a&key=b", f"?{key()}={key()}", "#x", "/", "//", "?key=" + key()]
        )
    body = rng.choice(BODIES) if rng.random() < 0.4 else b""
    if len(body) > 1_000_000 and rng.random() < 0.9:
        body = b"z"
    lines = [
        f"{rng.choice(METHODS)} {path} HTTP/{rng.choice(['1.1'] * 20 + ['1.0', '0.9', '2.0', 'x'])}"
    ]
    given = rng.sample(re.split(r"[|\n]", HEADERS.strip()), rng.choice([0, 0, 1, 1, 2, 4]))
    if not any(line.startswith("Host:") for line in given) and rng.random() < 0.97:
        lines.append("Host: 127.0.0.1")
    lines += given
    if rng.random() < 0.05:
        lines.append("X-Long: " + "x" * rng.choice([100, 9000, 70000]))
    if body and not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in given):
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"
    if rng.random() < 0.02:  # bytes that are no HTTP at all
        head = bytes(rng.randrange(256) for _ in range(60)) + head[rng.randrange(len(head)) :]
    return head + body


@dataclass
class Report:
    """What came back.

    Attributes:
        statuses: How often each status was answered; ``"closed"``: nothing was.
        failures: What must not be, in words.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


async def send(port: int, data: bytes) -> bytes:
    """Send bytes; return what comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(data)
        await writer.drain()
        try:
            answer = await asyncio.wait_for(reader.read(65536), RESTS)
        except TimeoutError:  # it waits for the rest of a body that never comes
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(65536), PATIENCE)
        with contextlib.suppress(TimeoutError):  # what was not read of a body keeps it from closing
            while piece := await asyncio.wait_for(reader.read(65536), REST_OF_ANSWER):
                answer += piece
                if len(answer) > 1_000_000 or b"text/event-stream" in answer[:2000]:
                    break
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer


def judge(number: int, data: bytes, answer: bytes, report: Report) -> None:
    """Count an answer, and say what is wrong with it."""
    begins = re.match(rb"HTTP/\d\.\d (\d{3}) ", answer)
    status = begins[1].decode() if begins else ""
    report.statuses[status or "closed"] += 1
    head = answer.partition(b"\r\n\r\n")[0].lower()
    wrong = [
        *(["a 500"] if status == "500" else []),
        *(["the secret"] if SECRET.encode() in answer else []),
        *(["a file of the system"] if b"root:x:" in answer else []),
        *(["a header of the request's making"] if b"\r\nset-cookie:" in head else []),
        *(["no HTTP"] if answer and not status else []),
    ]
    for what in wrong:
        report.failures.append(f"{number}: {what}: {data[:300]!r}: {answer[:300]!r}")


async def fuzz(numbers: Iterable[int], seed: int) -> Report:
    """Send the requests with these numbers, some of them at once."""
    report = Report()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="faust-fuzz-") as directory:
        app = fuzzed_app(Path(directory))
        async with served(app):
            await eventually(lambda: not app.rebalancing and app.router.table_metadata("counts"))
            waiting = iter(numbers)

            async def work() -> None:
                for number in waiting:
                    data = request_of(number, seed)
                    try:
                        judge(number, data, await send(app.conf.web_port, data), report)
                    except TimeoutError:
                        report.failures.append(f"{number}: no answer: {data[:300]!r}")

            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            if app.crash_reason is not None:
                report.failures.append(f"the app has crashed: {app.crash_reason!r}")
    return report


def main(arguments: list[str] | None = None) -> int:
    """Run it by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", type=int)
    options = parser.parse_args(arguments)
    numbers = range(options.requests) if options.only is None else [options.only]
    began = time.monotonic()
    report = asyncio.run(fuzz(numbers, options.seed))
    counted = ", ".join(f"{status}: {n:,}" for status, n in sorted(report.statuses.items()))
    print(
        f"{sum(report.statuses.values()):,} requests (seed {options.seed}) in {time.monotonic() - began:.0f} s: {counted}"
    )
    for failure in report.failures[:50]:
        print(failure)
    print(f"{len(report.failures)} failures")
    return bool(report.failures)


if __name__ == "__main__":
    sys.exit(main())
