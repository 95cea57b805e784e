"""``faust worker``: run the application."""

from __future__ import annotations

import os
import platform
import socket
from typing import Any, ClassVar

import click
from click.core import ParameterSource

from faust._version import __version__
from faust.app.base import App
from faust.cli.base import AppCommand, option
from faust.cli.state import DEFAULT_LOG_LEVEL, new_loop, worker_options
from faust.settings.params import url_text
from faust.utils.terminal import table
from faust.worker.worker import CONSOLE_PORT

__all__ = ["worker"]


class worker(AppCommand):  # noqa: N801 - the documented name
    """Start a worker that runs the application."""

    options: ClassVar[Any] = [
        option(
            "--with-web/--without-web",
            default=None,
            show_default=False,
            help="Start the web server.  [default: setting web_enabled]",
        ),
        option(
            "--web-port",
            "-p",
            type=click.IntRange(1, 65535),
            help="Port of the web server.  [default: setting web_port]",
        ),
        option(
            "--web-transport",
            help="Where it listens: tcp:// or unix:///path.  [default: setting web_transport]",
        ),
        option("--web-bind", "-b", help="Address of the web server.  [default: setting web_bind]"),
        option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            help="Lines for people, or JSON objects.  [default: setting worker_log_format]",
        ),
        option("--web-host", "-h", help="Name of this host.  [default: setting web_host]"),
        worker_options,
    ]

    def __call__(
        self,
        *,
        with_web: bool | None = None,
        web_port: int | None = None,
        web_transport: str | None = None,
        web_bind: str | None = None,
        web_host: str | None = None,
        log_format: str | None = None,
        **own: Any,
    ) -> None:
        """Print the banner and run the worker; ends in `SystemExit`."""
        self._configure_web(with_web, web_port, web_bind, web_host)
        if web_transport is not None:
            self.app.conf.assign("web_transport", web_transport, "option --web-transport")
        if log_format is not None:
            self.app.conf.assign("worker_log_format", log_format, "option --log-format")
        self._prefer_global(**own)
        app = self.app
        app.transport  # noqa: B018 - an unknown scheme is told before the banner, not after it
        self.say(self.banner())
        loop = new_loop(self.state.loop)
        app.loop = loop
        app.Worker(
            debug=self.debug,
            quiet=self.quiet,
            loglevel=self.loglevel,
            logfile=self.logfile,
            stdout=self.stdout,
            stderr=self.stderr,
            blocking_timeout=self.blocking_timeout,
            console_port=self.console_port,
            loop=loop,
        ).execute_from_commandline()

    def _configure_web(
        self, enabled: bool | None, port: int | None, bind: str | None, host: str | None
    ) -> None:
        conf = self.app.conf
        if enabled is not None:
            conf.assign("web_enabled", enabled, "option --with-web")
        if bind is not None:
            conf.assign("web_bind", bind, "option --web-bind")
        if port is not None:
            conf.assign("web_port", port, "option --web-port")
        if host is not None:
            conf.assign("web_host", host, "option --web-host")
        if port is not None or host is not None:
            conf.assign("canonical_url", conf.web_address(), "options --web-host and --web-port")

    def _prefer_global(
        self,
        *,
        logfile: str | None,
        loglevel: str,
        blocking_timeout: float | None,
        console_port: int,
    ) -> None:
        """Take our own options where the global ones were left at their defaults."""
        self.logfile: str | None = self.logfile or logfile
        if self.loglevel.upper() == DEFAULT_LOG_LEVEL:
            self.loglevel = loglevel
        if self.state.blocking_timeout is None and blocking_timeout is not None:
            self.blocking_timeout: float | None = blocking_timeout
        if self.console_port == CONSOLE_PORT:
            self.console_port = console_port
        contexts = (self.ctx, self.ctx.find_root())
        given = {ctx.get_parameter_source("console_port") for ctx in contexts}
        if ParameterSource.COMMANDLINE in given and not self.debug:
            self.say("--console-port: no console without --debug", file=self.stderr)

    def banner(self) -> str:
        """Return the box that tells what is being started."""
        app = self.app
        conf = app.conf
        loop = "+uvloop" if self.state.loop == "uvloop" else ""
        rows = [
            ("id", conf.id),
            ("transport", f"{', '.join(map(url_text, conf.shown('broker')))} {loop}".strip()),
            ("store", url_text(conf.shown("store"))),
            *([("web", _web_place(app))] if conf.web_enabled else []),
            ("log", f"{self.logfile or '-stderr-'} ({self.loglevel.lower()})"),
            ("pid", os.getpid()),
            ("hostname", socket.gethostname()),
            ("platform", _platform()),
            ("drivers", ""),
            ("  transport", type(app.transport).driver_version),
            *([("  web", app.web_server_driver_version)] if conf.web_enabled else []),
            ("datadir", f"{conf.datadir.absolute()!s:<40}"),
            ("appdir", f"{conf.appdir.absolute()!s:<40}"),
        ]
        title = f"ƒaµS† v{__version__}"
        return str(table(rows, title=title, file=self.stdout, inner_border=False))


def _web_place(app: App) -> str:
    """Return where the web server listens: a URL for people on this machine, or a socket file."""
    transport = app.conf.web_transport
    if transport.scheme == "unix" and not app.has_web_server:
        return url_text(transport)
    return str(app.web_server_url)


def _platform() -> str:
    """Return interpreter and system: ``CPython 3.11.7 (Linux x86_64)``."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python} ({platform.system()} {platform.machine()})"
