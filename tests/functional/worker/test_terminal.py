"""What the worker shows on a terminal: spinner, colours, box, bars (worker-cli.md 1 and 4, issue 7)."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faust.cli.progress import Progress
from faust.worker.spinner import Spinner, SpinnerHandler
from tests.functional.worker.programs import HEAD, Start, end, wait_for
from tests.support.ports import free_row
from tests.support.processes import ROOT, unwatch, watch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals of Unix")


class Screen:
    """A program on a terminal of its own; what it writes is kept."""

    def __init__(self, *args: str, cwd: Path, **env: str) -> None:
        self.master, slave = pty.openpty()
        variables = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        path = os.pathsep.join([str(ROOT), str(cwd)])
        self.process = subprocess.Popen(
            [sys.executable, *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={**variables, "PYTHONPATH": path, "TERM": "xterm", **env},
            start_new_session=True,
        )
        watch(self.process.pid)
        os.close(slave)
        self.text = ""

    def wait_for(self, text: str, timeout: float = 30.0) -> None:
        """Read until *text* is there."""
        deadline = time.monotonic() + timeout
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:  # nobody has the other end any more
                assert text in self.text, self.text
                return

    def end(self) -> int:
        """Read to the end; returns the exit status."""
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 65536):
                self.text += data.decode(errors="replace")
        os.close(self.master)
        status = self.process.wait(30)
        unwatch(self.process.pid)
        return status


PROGRAM = HEAD.replace("sys.argv[1]", "'data'") + "\nif __name__ == '__main__':\n    app.main()\n"


def start_worker(tmp_path: Path, *args: str, **env: str) -> Screen:
    """Run the worker on a terminal."""
    (tmp_path / "shop.py").write_text(PROGRAM)
    return Screen("shop.py", "worker", *args, cwd=tmp_path, **env)


def test_a_worker_on_a_terminal(tmp_path: Path) -> None:
    """A box as banner, a spinner until it is ready, then a smile; its log stays at the level that was asked for."""
    screen = start_worker(tmp_path)
    screen.wait_for("😊")
    screen.process.terminate()
    assert screen.end() == 0
    assert "┌ƒaµS† v" in screen.text
    shown = screen.text.partition("starting➢ ")[2]
    assert shown.startswith("\033[?25l◐")
    assert "\b◓" in shown
    assert "\b \b\033[?25h 😊" in shown
    assert "stopping➢ " in shown
    assert "[INFO]" not in shown
    assert "[DEBUG]" not in shown


@pytest.mark.parametrize(
    ("args", "env", "coloured"),
    [
        ((), {}, True),
        (("--no-color",), {}, False),
        ((), {"NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals(
    tmp_path: Path, args: tuple[str, ...], env: dict[str, str], coloured: bool
) -> None:
    """Log lines are coloured on a terminal, unless --no-color or NO_COLOR says otherwise; then no spinner turns."""
    (tmp_path / "shop.py").write_text(PROGRAM)
    screen = Screen("shop.py", *args, "worker", "-l", "info", cwd=tmp_path, **env)
    screen.wait_for("Ready")
    screen.process.send_signal(signal.SIGINT)
    assert screen.end() == 0
    assert ("\033[37m[^Worker]: Ready\033[0m" in screen.text) == coloured
    assert ("\033[" in screen.text) == coloured
    assert "◐" not in screen.text


def test_a_spinner_elsewhere(start: Start) -> None:
    """worker-cli.md 1 [Q]: without a terminal no escape sequence is written."""
    with start("faust.Worker(app).execute_from_commandline()") as process:
        line = process.read_line()
        process.terminate()
        assert end(process) == (0, "")
    assert line == " OK ^"
    assert process.lines() == []


def test_the_spinner_turns_with_records() -> None:
    """Every record draws; stopping wipes the sprite away and brings the cursor back, once."""
    file = io.StringIO()
    spinner = Spinner(file)
    logger = logging.getLogger("spinning")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(SpinnerHandler(spinner))
    for _ in range(3):
        logger.debug("something")
    spinner.stop()
    logger.debug("more")
    spinner.stop()
    assert file.getvalue() == "\033[?25l◐\b◓\b◑\b \b\033[?25h"


# -- progress of commands


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faust.cli.progress.FIRST", 0.0)
    monkeypatch.setattr("faust.cli.progress.INTERVAL", 0.0)
    monkeypatch.setattr("faust.cli.progress.REFRESH", 0.0)


@pytest.mark.usefixtures("_soon")
def test_progress_is_a_bar_or_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 7: long work draws a bar on a terminal, prints plain lines elsewhere, and nothing when quiet."""
    monkeypatch.setenv("TERM", "xterm")
    lines, terminal, quiet = io.StringIO(), Terminal(), io.StringIO()
    for file in (lines, terminal, quiet):
        with Progress("sending", 2000, file, quiet=file is quiet) as progress:
            progress.advance(1000)
            progress.advance(1000)
    assert lines.getvalue() == "sending: 1,000 of 2,000\nsending: 2,000 of 2,000\n"
    drawn = re.sub(r"\033\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "sending" in drawn
    assert "2000/2000" in drawn
    assert quiet.getvalue() == ""


def test_short_work_shows_nothing() -> None:
    """Who is done in a moment prints nothing."""
    file = io.StringIO()
    with Progress("sending", 3, file) as progress:
        progress.advance(3)
    assert file.getvalue() == ""


# -- the console


TELNET = (
    b"\xff\xfb\x18\xff\xfa\x18\x00xterm\xff\xf0" + b"\xff\xfb\x1f\xff\xfa\x1f\0\xc8\0\x32\xff\xf0"
)
"""What a client of telnet says of itself: a terminal of type xterm, 200 columns and 50 lines (RFC 1091, RFC 1073)."""


def test_the_console_answers(start: Start) -> None:
    """worker-cli.md 1: with debug aiomonitor listens at console_port, and shows the tasks of the worker."""
    port = free_row(3)
    program = f"""
@app.task
async def waiting_for_godot():
    await asyncio.sleep(3600)
faust.Worker(app, debug=True, console_port={port}, loglevel="info").execute_from_commandline()
"""
    with start(program) as process:
        wait_for(process, f"The console listens: telnet 127.0.0.1 {port}")
        wait_for(process, "Ready")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as console:
            console.sendall(TELNET)
            answer = b""
            while b"monitor >>>" not in answer:
                answer += console.recv(65536)
            console.sendall(b"ps\r\n")
            while b"waiting_for_godot" not in answer:
                answer += console.recv(65536)
        with socket.create_connection(("127.0.0.1", port + 1), timeout=20) as pages:
            pages.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert pages.recv(100).startswith(b"HTTP/1.")
        process.terminate()
        status, errors = end(process)
    assert status == 0
    assert "Traceback" not in errors


def test_a_console_that_cannot_be_opened(start: Start) -> None:
    """A port in use, or no aiomonitor: a warning that says so, and the worker runs without."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        option = f"debug=True, console_port={port}"
        with start(f"faust.Worker(app, {option}).execute_from_commandline()") as process:
            assert process.read_line() == " OK ^"
            process.terminate()
            status, errors = end(process)
    assert status == 0
    assert f"Cannot start console: port {port}: " in errors
    with start(
        "sys.modules['aiomonitor'] = None\nfaust.Worker(app, debug=True).execute_from_commandline()"
    ) as process:
        assert process.read_line() == " OK ^"
        process.terminate()
        status, errors = end(process)
    assert status == 0
    assert "Cannot start console: aiomonitor is not installed, try: pip install 'faust[" in errors
