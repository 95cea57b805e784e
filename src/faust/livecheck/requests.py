"""HTTP requests of a case: sent again for a while when a service does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import ClientError, ClientTimeout
from yarl import URL

from faust.livecheck.exceptions import ServiceDown

__all__ = ["Retries", "request"]


class Retries(NamedTuple):
    """How often a request is sent again, and after how many seconds."""

    times: int
    delay_min: float
    delay_backoff: float
    delay_max: float


async def request(
    session: Any,
    method: str,
    url: str | URL,
    *,
    retries: Retries,
    timeout: ClientTimeout,
    sleep: Callable[[float], Awaitable[Any]],
    **kwargs: Any,
) -> bytes:
    """Send a request and return the body of the answer.

    Raises:
        ServiceDown: There was no answer, or one that tells of an error (400 and above), however often it was sent.
    """
    delay = retries.delay_min
    for attempt in range(retries.times + 1):
        try:
            async with session.request(method, url, timeout=timeout, **kwargs) as response:
                response.raise_for_status()
                body: bytes = await response.read()
                return body
        except (TimeoutError, ClientError) as exc:
            if attempt == retries.times:
                raise ServiceDown(
                    f"{method} {url}: {type(exc).__name__}: {exc} (sent {attempt + 1} times)"
                ) from exc
            delay = min(delay * retries.delay_backoff, retries.delay_max)
            await sleep(delay)
    raise AssertionError("unreachable")
