"""Sentry: errors of the worker, sent to a Sentry server through the log."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from faust.sensors.exporting import needed

__all__ = ["handler_from_dsn", "setup"]

DEFAULT_WORKERS = 4


def handler_from_dsn(
    dsn: str | None = None,
    workers: int = DEFAULT_WORKERS,
    max_queue_size: int = 1000,
    loglevel: int | str | None = None,
    **kwargs: Any,
) -> logging.Handler | None:
    """Initialise Sentry, and return the log handler that sends to it; None without *dsn*. See `setup`."""
    sdk = needed("sentry_sdk", "sentry-sdk", "sentry")
    integration = needed("sentry_sdk.integrations.logging", "sentry-sdk", "sentry")
    if dsn is None:
        return None
    if workers != DEFAULT_WORKERS:
        warnings.warn(
            "sentry.setup: sentry-sdk sends from one thread; workers has no effect", stacklevel=3
        )
    kwargs.setdefault("transport_queue_size", max_queue_size)
    integrations = [
        *kwargs.pop("integrations", ()),
        integration.LoggingIntegration(event_level=None),
    ]
    sdk.init(dsn, integrations=integrations, **kwargs)
    handler: logging.Handler = integration.EventHandler(level=_level(loglevel))
    return handler


def setup(
    app: Any,
    *,
    dsn: str | None = None,
    workers: int = DEFAULT_WORKERS,
    max_queue_size: int = 1000,
    loglevel: int | str | None = None,
    **kwargs: Any,
) -> None:
    """Send what the worker logs as a warning or worse to Sentry; before it is started.

    Arguments:
        app: The application; the handler is added to its setting ``loghandlers``.
        dsn: Address of the project; None: nothing is done.
        workers: Of old clients; sentry-sdk sends from one thread, and another number than the default warns.
        max_queue_size: Events that may wait to be sent; more are dropped.
        loglevel: Least level that is sent; None: WARNING.
        kwargs: For `sentry_sdk.init`.

    Raises:
        ImproperlyConfigured: The library ``sentry-sdk`` is not installed.
        ValueError: There is no such level.
    """
    handler = handler_from_dsn(dsn, workers, max_queue_size, loglevel, **kwargs)
    if handler is not None:
        handlers = [*app.conf.loghandlers, handler]
        app.conf.assign("loghandlers", handlers, "faust.contrib.sentry.setup")


def _level(level: int | str | None) -> int:
    if level is None:
        return logging.WARNING
    if isinstance(level, int):
        return level
    known = logging.getLevelNamesMapping()
    if level.upper() not in known:
        raise ValueError(f"sentry.setup: no log level is named {level!r}")
    return known[level.upper()]
