"""Let the current test travel with HTTP requests, sent with aiohttp or served by it.

Each client session that is made from now on has one more trace configuration, which adds the headers of the test that
is current when a request begins. The class of sessions stays what it is.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientSession, TraceConfig, web

from faust.livecheck.locals import current_test, current_test_stack
from faust.livecheck.models import TestExecution

__all__ = ["livecheck_middleware", "patch_aiohttp_session", "patch_all"]

_MARK = "_faust_livecheck"


def patch_all() -> None:
    """Let tests travel with the requests of aiohttp's clients."""
    patch_aiohttp_session()


def patch_aiohttp_session() -> None:
    """Let tests travel with the requests of sessions that are made from now on; once, however often it is called."""
    make = ClientSession.__init__
    if hasattr(make, _MARK):
        return

    @functools.wraps(make)
    def make_session(
        self: ClientSession,
        *args: Any,
        trace_configs: list[TraceConfig] | None = None,
        **kwargs: Any,
    ) -> None:
        config: TraceConfig = TraceConfig()
        config.on_request_start.append(_add_headers)
        make(self, *args, trace_configs=[*(trace_configs or ()), config], **kwargs)

    setattr(make_session, _MARK, True)
    ClientSession.__init__ = make_session  # type: ignore[method-assign]


async def _add_headers(session: ClientSession, context: Any, params: Any) -> None:  # noqa: ARG001
    test = current_test()
    if test is not None:
        params.headers.update(test.as_headers())


@web.middleware
async def livecheck_middleware(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Let the test that a request tells of be current while it is answered."""
    test = TestExecution.from_headers(request.headers)
    if test is None:
        return await handler(request)
    with current_test_stack.push(test):
        return await handler(request)
