"""Programs of the tests about the worker, and how they are watched."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.processes import PythonProcess

__all__ = ["HEAD", "QUIET", "RUN", "Start", "end", "wait_for"]

HEAD = """
import asyncio, logging, sys, time
import faust, mode

class Boot(faust.BootStrategy):
    enable_kafka = False

class App(faust.App):
    BootStrategy = Boot

app = App("shop", env={}, web_enabled=False, datadir=sys.argv[1])
"""
RUN = """
faust.Worker(app, loglevel="info").execute_from_commandline()
"""
QUIET = """
faust.Worker(app).execute_from_commandline()
"""

Start = Callable[[str], PythonProcess]


def wait_for(process: PythonProcess, text: str, timeout: float = 30.0) -> None:
    """Wait until *text* is on standard error."""
    deadline = time.monotonic() + timeout
    while not any(text in line for line in process.errors):
        assert process.returncode is None, "\n".join(process.errors)
        assert time.monotonic() < deadline, "\n".join(process.errors)
        time.sleep(0.02)


def end(process: PythonProcess, timeout: float = 30.0) -> tuple[int, str]:
    """Wait for the end; returns exit status and standard error."""
    status = process.wait(timeout)
    return status, "\n".join(process.errors)
