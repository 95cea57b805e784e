"""Settings of the worker's process and of its web server."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any

from faust.settings.params import (
    URL,
    Bool,
    Dict,
    Param,
    Port,
    Seconds,
    SectionType,
    Severity,
    SSLContext,
    Str,
)
from faust.settings.table import SettingsTable

__all__ = ["NODE_HOSTNAME", "WebServerSettings", "WorkerSettings"]

NODE_HOSTNAME = socket.gethostname()


class WebServerSettings(SettingsTable, section=SectionType.WEB_SERVER):
    """The web server of a worker."""

    web_enabled: Bool = Bool(default=True, env="APP_WEB_ENABLED", since="1.2")
    """Start the web server."""

    web_host: Str = Str(
        default=NODE_HOSTNAME, env="WEB_HOST", default_text="the name of this host", since="1.2"
    )
    """Name under which other workers reach this one."""

    web_port: Port = Port(default=6066, env="WEB_PORT", process_default="WEB_PORT", since="1.2")
    """Port of the web server."""

    web_bind: Str = Str(
        default="0.0.0.0",  # noqa: S104 - as documented
        env="WEB_BIND",
        process_default="WEB_BIND",
        since="1.2",
    )
    """Address that the web server listens on."""

    web_ssl_context: Param[ssl.SSLContext | None, ssl.SSLContext | None] = SSLContext(
        default=None, since="0.5.0"
    )
    """Serve HTTPS with this context (`ssl.SSLContext`)."""

    canonical_url: URL = URL(
        default=None,
        derived=lambda conf: conf.web_address(),
        env="NODE_CANONICAL_URL",
        default_text="``http://{web_host}:{web_port}``, ``https://...`` with ``web_ssl_context``",
    )
    """Where other workers reach this one; every member tells it to its group.

    The default is made once, from ``web_host``, ``web_port`` and ``web_ssl_context`` at construction.
    """

    web: URL = URL(default="aiohttp://", since="1.2")
    """Driver of the web server; there is one, ``aiohttp://``."""

    web_transport: URL = URL(default="tcp://", process_default="WEB_TRANSPORT", since="1.2")
    """``tcp://``, or ``unix:///path/to.sock`` for a Unix socket."""

    web_application_options: Param[Any, Mapping[str, Any] | None] = Dict(
        default=None, since="0.11.4"
    )
    """Further keyword arguments for the driver's application (``aiohttp.web.Application``)."""

    web_cors_options: Param[Any, Mapping[str, Any] | None] = Dict(default=None, since="1.5")
    """Cross-origin resource sharing of all views: origin -> ``ResourceOptions``."""

    web_in_thread: Bool = Bool(default=False, since="1.5")
    """Run the web server in a thread with an event loop of its own."""

    web_stats_enabled: Bool = Bool(
        default=False,
        default_alias="debug",
        env="APP_WEB_STATS_ENABLED",
        since="0.15.0",
    )
    """Serve statistics at ``/`` and the assignment at ``/assignment/``."""

    web_graph_enabled: Bool = Bool(
        default=False,
        default_alias="debug",
        env="APP_WEB_GRAPH_ENABLED",
        since="0.15.0",
    )
    """Serve a drawing of the services at ``/graph/``."""

    web_router_enabled: Bool = Bool(default=True, env="APP_WEB_ROUTER_ENABLED", since="0.15.0")
    """Serve at ``/router/`` which worker has which key."""

    web_tables_enabled: Bool = Bool(default=True, env="APP_WEB_TABLES_ENABLED", since="0.15.0")
    """Serve the tables at ``/table/``.

    While this is the default, values are shown to clients on the same machine only. Given explicitly, True shows them to
    everybody who can reach the port, and lets workers on several machines ask each other.
    """

    web_metrics_enabled: Bool = Bool(default=False, env="APP_WEB_METRICS_ENABLED", since="0.15.0")
    """Serve figures for monitoring at ``/performance/``."""

    web_dashboard_enabled: Bool = Bool(default=True, env="APP_WEB_DASHBOARD_ENABLED")
    """Serve at ``/dashboard/`` a page that shows what the app does, as it does it; browsers that ask for ``/`` are sent there.

    While this is the default, it is shown to clients on the same machine only. Given explicitly, True shows it to everybody who
    can reach the port. It has no values and no keys of tables, and secrets are masked.
    """

    def web_address(self, host: str | None = None) -> str:
        """Return the URL of the web server, as its settings are now, at *host* (None: ``web_host``)."""
        scheme = "http" if self.web_ssl_context is None else "https"
        return f"{scheme}://{host or self.web_host}:{self.web_port}"


class WorkerSettings(SettingsTable, section=SectionType.WORKER):
    """The process of a worker."""

    worker_redirect_stdouts: Bool = Bool(default=True, env="WORKER_REDIRECT_STDOUTS")
    """Send what is printed by the program to the log while the worker runs."""

    health_stall_timeout: Seconds = Seconds(default=60.0, env="HEALTH_STALL_TIMEOUT")
    """How long a partition may stand still, with something to do, before it counts as stalled.

    Then ``/health/ready`` answers 503 and the log says why: the place where an agent hangs, the broker, ...
    """

    health_exit_timeout: Param[Any, float | None] = Seconds(default=None, env="HEALTH_EXIT_TIMEOUT")
    """How long a partition may stand still, the broker be silent, or the event loop be blocked, before the worker ends with
    status 1.

    Its partitions go to other workers then. None or 0: it stays.
    """

    worker_redirect_stdouts_level: Severity = Severity(
        default="WARN", env="WORKER_REDIRECT_STDOUTS_LEVEL"
    )
    """Log level of what is printed."""

    worker_log_format: Str = Str(default="text", env="WORKER_LOG_FORMAT", choices=("text", "json"))
    """Lines of the log for people (``text``), or one JSON object per line for machines (``json``)."""

    worker_stop_timeout: Seconds = Seconds(default=7.0, env="WORKER_STOP_TIMEOUT")
    """How long a worker may take to stop when it is told to.

    Events in hand have all of it but 2 seconds to finish. What still runs in the end is named in the log, and
    cancelled, and the worker ends with status 1; the events are processed again. Set it a few seconds below the
    time after which whoever sends the signal (systemd, Kubernetes) kills the process.
    """
