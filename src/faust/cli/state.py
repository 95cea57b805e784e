"""What the global options say, and the group that all commands belong to."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import IO, Any, TypeVar

import click

from faust._version import __version__
from faust.app.base import App
from faust.cli.finding import find_app, friendly
from faust.worker.worker import CONSOLE_PORT, is_debug

__all__ = ["LOG_LEVEL_NAMES", "State", "cli", "new_loop", "option", "state_of", "worker_options"]

F = TypeVar("F", bound=Callable[..., Any])

LOG_LEVEL_NAMES = ["crit", "error", "warn", "info", "debug"]
DEFAULT_LOG_LEVEL = "WARN"


def option(*names: str, show_default: bool = True, **attributes: Any) -> Callable[[F], F]:
    """Declare an option, as `click.option` does; its default is shown in the help."""
    return click.option(*names, show_default=show_default, **attributes)


def _variables(name: str) -> list[str]:
    """Return the variables that set the default of an option, the first one first."""
    return [f"FAUST_{name}", f"F_{name}"]


def worker_options(function: F) -> F:
    """Add the options that both the program and the commands with a worker take."""
    decorators = [
        option("--logfile", "-f", help="File for log lines.  [default: stderr]"),
        option(
            "--loglevel",
            "-l",
            default=DEFAULT_LOG_LEVEL,
            type=click.Choice(LOG_LEVEL_NAMES, case_sensitive=False),
            help="Lowest level of what is logged.",
        ),
        option(
            "--blocking-timeout",
            type=float,
            help="Interrupt code that blocks the event loop longer than this (seconds).",
        ),
        option(
            "--console-port",
            type=click.IntRange(1, 65535),
            default=CONSOLE_PORT,
            envvar=_variables("CONSOLE_PORT"),
            help="Port of the console that --debug opens.",
        ),
    ]
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


@dataclass
class State:
    """The global options.

    Attributes:
        app: Value of ``-A``.
        application: The application itself, once it is known.
        side_effects: Whether directory and environment of the process may change.
    """

    app: str | None = None
    quiet: bool = False
    debug: bool = False
    workdir: str | None = None
    datadir: str | None = None
    json: bool = False
    no_color: bool = False
    loop: str = "aio"
    logfile: str | None = None
    loglevel: str = DEFAULT_LOG_LEVEL
    blocking_timeout: float | None = None
    console_port: int = CONSOLE_PORT

    application: App | None = None
    side_effects: bool = True
    stdout: IO[str] = field(default_factory=lambda: sys.stdout)
    stderr: IO[str] = field(default_factory=lambda: sys.stderr)
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def settle(self, params: Mapping[str, Any]) -> None:
        """Take over the options that were read from the command line."""
        names = {f.name for f in fields(self)}
        for name, value in {**params, **self.overrides}.items():
            if name in names:
                setattr(self, name, value)
        if self.loop != "aio":
            new_loop(self.loop).close()  # complain now when it cannot be had
        if not self.side_effects:
            return
        if self.no_color:
            os.environ["NO_COLOR"] = (
                "1"  # https://no-color.org: also for rich, and whatever the app uses
            )
        if self.workdir is not None:
            os.environ["F_WORKDIR"] = self.workdir
            os.chdir(self.workdir)
        if self.datadir is not None:
            os.environ["FAUST_DATADIR"] = self.datadir

    def find_app(self) -> App | None:
        """Return the application, imported on the first call; None without ``-A``.

        Raises:
            click.ClickException: there is no such application.
        """
        if self.application is None and self.app is not None:
            with friendly():
                self.application = find_app(self.app)
        app = self.application
        if app is not None and self.datadir is not None and app.conf.is_default("datadir"):
            app.conf.assign("datadir", self.datadir, "option --datadir")
        return app


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Make an event loop: ``aio`` or ``uvloop``.

    Raises:
        click.UsageError: uvloop is not installed, or it is that of eventlet.
    """
    if name == "eventlet":
        raise click.UsageError(
            "--loop eventlet is not supported: eventlet is no longer developed; use aio or uvloop"
        )
    if name == "uvloop":
        try:
            import uvloop
        except ImportError:
            raise click.UsageError(
                "--loop uvloop: uvloop is not installed, try: pip install 'faust[fast]'"
            ) from None
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
    return asyncio.new_event_loop()


def state_of(ctx: click.Context) -> State:
    """Return the state of a run of the program."""
    root = ctx.find_root()
    if not isinstance(root.obj, State):
        root.obj = State()
    if not root.meta.get(__name__) and root.params:
        root.meta[__name__] = True
        root.obj.settle(root.params)
    return root.obj


class _Group(click.Group):
    """Built-in commands, and those of the application that ``-A`` names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        try:
            state_of(ctx).find_app()
        except click.ClickException as exc:
            if not ctx.resilient_parsing:  # while a shell completes, nothing may come between
                exc.show()  # and list at least what is there without the app
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            state_of(ctx).find_app()
            found = super().get_command(ctx, cmd_name)
        return found


@click.group(cls=_Group, name="faust")
@click.version_option(__version__, message="%(prog)s, version Faust %(version)s")
@option("--app", "-A", is_eager=True, help="Application: module, module.app or module:app.")
@option("--quiet/--no-quiet", "-q", default=False, help="Print nothing but log lines.")
@option(
    "--debug/--no-debug",
    default=is_debug,
    show_default=False,
    help="Open the console (needs aiomonitor), and print more.",
)
@option(
    "--workdir",
    "-W",
    is_eager=True,
    envvar=_variables("WORKDIR"),
    type=click.Path(exists=True, file_okay=False),
    help="Directory to change to before anything else.",
)
@option(
    "--datadir",
    "-D",
    is_eager=True,
    envvar=_variables("DATADIR"),
    type=click.Path(file_okay=False),
    help="Directory for local data.  [default: <name of the app>-data]",
)
@option("--no-color", is_flag=True, default=False, help="Print no colours.  [env: NO_COLOR]")
@option("--json", is_flag=True, default=False, help="Print tables as JSON.")
@option(
    "--loop",
    "-L",
    default="aio",
    envvar=_variables("LOOP"),
    type=click.Choice(["aio", "uvloop", "eventlet"]),
    help="Event loop.",
)
@worker_options
def cli(**_params: Any) -> None:
    """Stream processing for Python."""
    state_of(click.get_current_context())
