"""Send a request to the worker that has the key it is about.

The router knows which worker that is. A request that came from another worker is not sent on: while partitions move two
workers may each think that the other one has the key, and they would pass it round and round.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from faust.exceptions import SameNode
from faust.web.exceptions import ParseError, ServiceUnavailable
from faust.web.views import View

__all__ = ["RETRY_AFTER", "ROUTED_BY", "key_reader", "routed"]

RETRY_AFTER = "1"
"""Seconds after which a client may ask again, when nobody has the key for now."""

ROUTED_BY = "X-Faust-Routed-By"
"""Header of a request that another worker has sent on: the URL of that worker."""

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])

KeyReader = Callable[[Any, dict[str, Any]], Any]


def key_reader(
    shard_param: str | None, query_param: str | None, match_info: str | None, exact_key: Any
) -> KeyReader:
    """Return what reads the key out of a request and the parts of its path.

    Raises:
        TypeError: Nobody said where the key is, or the old and the new name of one argument are given.
    """
    if shard_param is not None:
        if query_param is not None:
            raise TypeError("shard_param is the old name of query_param: give query_param only")
        warnings.warn("shard_param is now called query_param", DeprecationWarning, stacklevel=3)
        query_param = shard_param
    if exact_key is not None:
        return lambda _request, _parts: exact_key
    if match_info is not None:
        return lambda request, _parts: request.match_info[match_info]
    if query_param is None:
        raise TypeError("say where the key is: query_param, match_info or exact_key")

    def read(request: Any, _parts: dict[str, Any]) -> Any:
        try:
            return request.query[query_param]
        except KeyError:
            raise ParseError(f"The query parameter {query_param!r} is missing.") from None

    return read


def routed(
    read: KeyReader, send: Callable[[Any, Any, Any], Awaitable[Any]]
) -> Callable[[Handler], Handler]:
    """Make a decorator for methods of views that run where the key is.

    Arguments:
        read: Reads the key.
        send: Sends a request on: called with key, web server and request; raises `SameNode` when the key is here, `KeyError`
            when nobody has it.
    """

    def decorate(method: Handler) -> Handler:
        @functools.wraps(method)
        async def handle(view: View, request: Any, *args: Any, **kwargs: Any) -> Any:
            key = read(request, kwargs)
            try:
                return await send(key, view.web, request)
            except SameNode:
                pass
            except KeyError as exc:
                raise unavailable(str(exc.args[0])) from exc
            except TypeError as exc:
                raise ParseError(str(exc)) from exc
            raise_if_moving(view.app)
            return await method(view, request, *args, **kwargs)

        return cast("Handler", handle)

    return decorate


def raise_if_moving(app: Any) -> None:
    """Raise `ServiceUnavailable` while this worker may be asked for a key that it is about to lose, or has not got yet."""
    if app.should_stop:
        raise unavailable("the worker stops")
    if app.rebalancing or app.in_recovery:
        raise unavailable("partitions are moving, and their tables are being recovered")


def unavailable(reason: str) -> ServiceUnavailable:
    """Return the answer of a worker that cannot say who has a key, or does not have it yet."""
    return ServiceUnavailable(
        f"Service unavailable. Try again later: {reason}.", headers={"Retry-After": RETRY_AFTER}
    )
