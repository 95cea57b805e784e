"""Tracing: running things inside the contexts of a tracer that somebody has set."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

from mode.utils.text import shorten_fqdn

__all__ = ["Tracer", "name_of", "start_span", "trace", "traced"]

OWN_SERVICE = "_faust"
"""Name of the service under which what the library itself does is traced."""

F = TypeVar("F", bound=Callable[..., Any])


class Tracer(Protocol):
    """What ``app.tracer`` must offer."""

    @property
    def default_tracer(self) -> Any:
        """The tracer of this service."""
        ...

    def trace(
        self, name: str, sample_rate: float | None = None, **context: Any
    ) -> AbstractContextManager[Any]:
        """Return a context in which something is traced under *name*."""
        ...

    def get_tracer(self, service_name: str) -> Any:
        """Return the tracer of another service."""
        ...


def trace(
    tracer: Tracer | None, name: str, *, enabled: bool = True, **context: Any
) -> AbstractContextManager[Any]:
    """Return the tracer's context; one that does nothing without a tracer."""
    if tracer is None or not enabled:
        return nullcontext()
    return tracer.trace(name=name, **context)


def start_span(tracer: Tracer | None, name: str, **tags: Any) -> Any:
    """Begin a span of something that ends elsewhere, by its ``finish()``; None without a tracer that makes spans."""
    start = None
    if tracer is not None:
        start = getattr(tracer.get_tracer(OWN_SERVICE), "start_span", None)
    return None if start is None else start(operation_name=name, tags=tags)


def name_of(fun: Any) -> str:
    """Name a function for traces; a method with the label of its object before it."""
    function = shorten_fqdn(f"{fun.__module__}.{getattr(fun, '__qualname__', type(fun).__name__)}")
    owner = getattr(fun, "__self__", None)
    if owner is None:
        return function
    return f"{getattr(owner, 'label', type(owner).__name__)}-{function}"


def traced(fun: F, context: Callable[[], AbstractContextManager[Any]]) -> F:
    """Wrap a function, or a coroutine function, so that it runs inside *context*."""
    if inspect.iscoroutinefunction(fun):

        @functools.wraps(fun)
        async def traced_async(*args: Any, **kwargs: Any) -> Any:
            with context():
                return await fun(*args, **kwargs)

        return traced_async  # type: ignore[return-value]

    @functools.wraps(fun)
    def traced_sync(*args: Any, **kwargs: Any) -> Any:
        with context():
            return fun(*args, **kwargs)

    return traced_sync  # type: ignore[return-value]
