"""Programs under test, each a process of its own: started, talked to, frozen, killed; and none of them survives the test run.

Every process started here is known to a *watchdog*: one tiny process that holds the other end of a
pipe. When the test run ends, for whatever reason (also SIGKILL), the pipe closes, and the watchdog
kills by pid what is left and removes the scratch directories it was told about.
(``PR_SET_PDEATHSIG`` would be shorter, but it fires when the *thread* that started the process
ends, and tests start processes from short-lived threads.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

__all__ = ["Program", "remove_at_exit", "start", "unwatch", "watch"]

_WATCHDOG = """
import os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pids, directories = set(), set()
for line in sys.stdin:
    verb, _, what = line.rstrip("\\n").partition(" ")
    if verb == "watch":
        pids.add(int(what))
    elif verb == "unwatch":
        pids.discard(int(what))
    else:
        directories.add(what)
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
for directory in directories:
    shutil.rmtree(directory, ignore_errors=True)
"""

_lock = threading.Lock()
_watchdog: subprocess.Popen[str] | None = None


def _tell(message: str) -> None:
    global _watchdog
    with _lock:
        if _watchdog is None or _watchdog.poll() is not None:
            _watchdog = subprocess.Popen(
                [sys.executable, "-c", _WATCHDOG],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        assert _watchdog.stdin is not None
        _watchdog.stdin.write(message + "\n")
        _watchdog.stdin.flush()


def watch(pid: int) -> None:
    """Have process *pid* killed when this process ends."""
    _tell(f"watch {pid}")


def unwatch(pid: int) -> None:
    """Forget *pid*: it has ended and been waited for, its number may be somebody else's soon."""
    _tell(f"unwatch {pid}")


def remove_at_exit(directory: Path) -> None:
    """Have *directory* removed, with all that is in it, when this process ends."""
    _tell(f"remove {directory}")


class Program:
    """A running program; its standard output is read line by line in the background.

    Attributes:
        pid: Process id.
        errors: Lines of standard error so far.
    """

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self._popen = popen
        self.pid: int = popen.pid
        self.errors: list[str] = []
        self._lines: deque[str] = deque()
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._readers = [
            _start_reader(popen.stdout, self._lines.append),
            _start_reader(popen.stderr, self.errors.append),
        ]

    # -- talking

    def write_line(self, text: str) -> None:
        """Send one line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(text + "\n")
        self._popen.stdin.flush()

    def lines(self) -> list[str]:
        """Take the lines printed and not yet taken; does not wait."""
        taken = []
        while self._lines:
            taken.append(self._lines.popleft())
        return taken

    def read_line(self, timeout: float = 30.0) -> str:
        """Wait for the next line, at most *timeout* seconds; blocks the thread.

        Raises:
            EOFError: the process ended and has no more lines; the message has its standard error.
            TimeoutError: no line came in time.
        """
        deadline = time.monotonic() + timeout
        while (line := self._next_line(deadline, timeout)) is None:
            time.sleep(0.01)
        return line

    async def wait_line(self, timeout: float = 30.0) -> str:
        """Wait for the next line as `read_line` does, without blocking the event loop."""
        deadline = time.monotonic() + timeout
        while (line := self._next_line(deadline, timeout)) is None:
            await asyncio.sleep(0.01)
        return line

    def _next_line(self, deadline: float, timeout: float) -> str | None:
        ended = not any(reader.is_alive() for reader in self._readers)
        if self._lines:
            return self._lines.popleft()
        if ended:
            raise EOFError(f"process {self.pid} ended with {self._popen.poll()}\n{self._tail()}")
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"process {self.pid} printed nothing for {timeout} s\n{self._tail()}"
            )
        return None

    def _tail(self) -> str:
        return "\n".join(self.errors[-40:])

    # -- life and death

    @property
    def returncode(self) -> int | None:
        """Exit status; negative for a signal, None while it runs."""
        return self._popen.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal; a process that has ended is no error."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP: the process stands still and cannot notice it."""
        self.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send_signal(signal.SIGKILL)
        self.wait(10.0)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the end and return the exit status; blocks the thread.

        Raises:
            subprocess.TimeoutExpired: it still runs after *timeout* seconds.
        """
        status = self._popen.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        unwatch(self.pid)
        return status

    async def wait_end(self, timeout: float = 30.0) -> int:
        """Wait for the end as `wait` does, without blocking the event loop."""
        deadline = time.monotonic() + timeout
        while self._popen.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return self.wait(max(0.01, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.kill()


def _start_reader(pipe: IO[str], keep: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        with contextlib.suppress(ValueError):  # closed under our hands
            for line in pipe:
                keep(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def start(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Program:
    """Start a program in a session of its own.

    Args:
        command: The program and its arguments.
        env: Variables added to this process's environment.
        cwd: Working directory; None: that of this process.
    """
    popen = subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    watch(popen.pid)
    return Program(popen)
