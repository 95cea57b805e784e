"""The ``faust`` program, and its commands called from Python."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from io import StringIO
from typing import IO, Any, NoReturn

import click

# Importing these registers the built-in commands.
import faust.cli.broker
import faust.cli.commands
import faust.cli.livecheck
import faust.cli.repartition
import faust.cli.worker  # noqa: F401
from faust.app.base import App
from faust.cli.finding import friendly
from faust.cli.state import State, cli
from faust.utils.names import module_name

__all__ = ["call_command", "main"]

LEAVE_TIMEOUT = 1.0
"""Seconds that threads may go on after the program has ended."""


def main(app: App | None = None) -> NoReturn:
    """Run the program with the arguments of the process; ends the process.

    Arguments:
        app: Application to work with, instead of one named by ``-A``.
    """
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as the entries of sys.path are written
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    state = State(application=app)
    try:
        if app is not None:
            with friendly():
                app.prepare(module_name("__main__"))
        cli.main(obj=state)
    except click.ClickException as exc:
        exc.show()
        _leave_soon(exc.exit_code)
        raise SystemExit(exc.exit_code) from None
    except SystemExit as exc:
        _leave_soon(exc.code if isinstance(exc.code, int) else int(exc.code is not None))
        raise
    raise SystemExit(0)  # unreachable: click ends in SystemExit


def _leave_soon(status: int) -> None:
    """Make sure that the process ends, even if the program left threads behind."""

    def leave() -> None:
        names = ", ".join(
            thread.name
            for thread in threading.enumerate()
            if not thread.daemon and thread is not threading.main_thread()
        )
        os.write(2, f"threads that did not end are left behind: {names}\n".encode())
        os._exit(status)

    timer = threading.Timer(LEAVE_TIMEOUT, leave)
    timer.daemon = True
    timer.start()


def call_command(
    command: str,
    args: Sequence[str] | None = None,
    stdout: IO[str] | None = None,
    stderr: IO[str] | None = None,
    side_effects: bool = False,
    **options: Any,
) -> tuple[int, IO[str], IO[str]]:
    """Run a command in this process, on an event loop of its own.

    Arguments:
        command: Its name.
        args: Its options and arguments.
        stdout: Where it prints; None: a new `io.StringIO`.
        stderr: Where it complains; None: a new `io.StringIO`.
        side_effects: Whether it may change the directory and the environment of the process.
        options: Global options by name, and ``app``: an application or its path.

    Returns:
        The exit status, and the two streams.
    """
    out, err = stdout or StringIO(), stderr or StringIO()
    state = State(stdout=out, stderr=err, side_effects=side_effects)
    app = options.pop("app", None)
    if isinstance(app, str):
        options["app"] = app
    else:
        state.application = app
    state.overrides = options
    status = 0
    try:
        cli.main([command, *(args or ())], prog_name="faust", obj=state, standalone_mode=False)
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except click.exceptions.Exit as exc:
        status = exc.exit_code
    except click.Abort:
        err.write("Aborted!\n")
        status = 1
    except click.ClickException as exc:
        exc.show(file=err)
        status = exc.exit_code
    return status, out, err
