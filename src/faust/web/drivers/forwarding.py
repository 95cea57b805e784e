"""Pass a request on to another worker, and its answer back: bodies, headers and status as they are.

Only the path and the query are taken from the request; the host is the one that a member of our group has announced, whatever
the request says (an absolute request target, ``Host``). Bodies are passed on piece by piece. The client keeps no cookies: what
one visitor is given must not be sent for another.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from faust.utils import json
from faust.web.exceptions import ServiceUnavailable, WebError
from faust.web.routing import ROUTED_BY, unavailable

__all__ = ["ROUTED_BY", "ask", "forward", "new_session"]

CHUNK = 64 * 1024

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "SEARCH"})
"""Methods that may be sent again when nobody knows whether they were answered (RFC 9110, section 9.2.1)."""

LONGEST_ANSWER = 4 * 1024 * 1024
"""Bytes."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3.0, sock_read=30.0)

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one connection (RFC 9110, section 7.6.1)."""


def new_session() -> aiohttp.ClientSession:
    """Make a client that passes on what it gets: no cookies kept, nothing unpacked."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=TIMEOUT,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )


async def ask(session: aiohttp.ClientSession, base: URL, path: str, timeout: float) -> Any:
    """Return the JSON that the worker at *base* answers at *path*, whatever the status.

    Raises:
        OSError, aiohttp.ClientError, TimeoutError: It does not answer within *timeout* seconds.
        ValueError: That is no JSON, or too much of it.
    """
    body = bytearray()
    async with session.get(
        base.origin().with_path(path),
        timeout=aiohttp.ClientTimeout(total=timeout),
        allow_redirects=False,
    ) as answer:
        async for piece in answer.content.iter_chunked(CHUNK):
            body += piece
            if len(body) > LONGEST_ANSWER:
                raise ValueError(f"its answer is longer than {LONGEST_ANSWER} bytes")
    return json.loads(bytes(body))


async def forward(
    session: aiohttp.ClientSession, request: web.Request, base: URL, here: URL
) -> web.StreamResponse:
    """Answer *request* with what the worker at *base* answers.

    Arguments:
        session: Client.
        request: The request.
        base: URL of the worker.
        here: Our own.

    Raises:
        WebError: 503 when the worker cannot be reached or breaks off what may be asked again, or the request has come from a
            worker; 502 and 504 when it does not answer properly, or not in time.
    """
    sender = request.headers.get(ROUTED_BY)
    if sender is not None:
        raise unavailable(f"{sender} says that the key is here, and here it is not yet or no more")
    target = f"{base.origin()}{request.rel_url.raw_path}"
    if request.rel_url.raw_query_string:
        target += f"?{request.rel_url.raw_query_string}"
    headers = _end_to_end(request.headers, "host", "content-length", "expect")
    headers[ROUTED_BY] = str(here)
    if request.body_exists and request.content_length is not None:
        headers["Content-Length"] = str(request.content_length)
    try:
        async with session.request(
            request.method,
            URL(target, encoded=True),
            headers=headers,
            data=request.content.iter_chunked(CHUNK) if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            return await _pass_back(request, answer)
    except (aiohttp.ClientConnectionError, aiohttp.InvalidURL, OSError) as exc:
        raise _failed(request.method, base, exc) from exc
    except aiohttp.ClientError as exc:
        raise WebError(f"The worker {base} gave no proper answer: {exc}", code=502) from exc


def _failed(method: str, base: URL, exc: Exception) -> WebError:
    never_sent = isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    if never_sent or (method in SAFE and not isinstance(exc, TimeoutError)):
        error: WebError = unavailable(f"the worker {base}, which has the key, cannot be reached")
        assert isinstance(error, ServiceUnavailable)
        return error
    if isinstance(exc, TimeoutError):
        return WebError(f"The worker {base}, which has the key, does not answer.", code=504)
    return WebError(f"The worker {base}, which has the key, broke off: {exc}", code=502)


async def _pass_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status,
        reason=answer.reason,
        headers=_end_to_end(answer.headers, "date", "server"),
    )
    if "Content-Length" not in answer.headers:
        response.enable_chunked_encoding()
    await response.prepare(request)
    if request.method != "HEAD":
        async for piece in answer.content.iter_chunked(CHUNK):
            await response.write(piece)
    await response.write_eof()
    return response


def _end_to_end(headers: Any, *without: str) -> CIMultiDict[str]:
    """Return the headers that are meant for the other end."""
    named = {
        name.strip().lower()
        for value in headers.getall("Connection", [])
        for name in value.split(",")
    }
    left_out = HOP_BY_HOP | named | set(without)
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in left_out
    )
