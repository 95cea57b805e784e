"""Programs as the documents show them: written to files, run as processes on the embedded broker."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.ports import free_port
from tests.support.processes import PythonProcess, start_python

__all__ = ["Project", "end", "wait_for"]


class Project:
    """A directory of program files, and the surroundings they run in.

    Attributes:
        root: The directory.
        env: Variables of the processes: a broker, a data directory and a port that are nobody else's.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.env: dict[str, str] = {
            "BROKER_URL": f"local://{root / 'broker'}",
            "APP_DATADIR": str(root / "data"),
            "APP_WEB_ENABLED": "yes",
            "WEB_PORT": str(self.port),
            "WEB_BIND": "127.0.0.1",
            "BROKER_COMMIT_INTERVAL": "0.1",
            "TOPIC_PARTITIONS": "2",
        }

    def write(self, files: Mapping[str, str]) -> None:
        """Write *files*: path below the root -> text, which may be indented."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def run(self, *args: str, status: int = 0) -> str:
        """Run ``python ARGS`` to its end; return what it printed, on both outputs."""
        done = subprocess.run(
            [sys.executable, *args],
            cwd=self.root,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *args: str) -> PythonProcess:
        """Start ``python ARGS``: a file, or ``-m MODULE``."""
        if args[0] == "-m":
            return start_python(None, *args[2:], module=args[1], env=self.env, cwd=self.root)
        return start_python(Path(args[0]), *args[1:], env=self.env, cwd=self.root)


def wait_for(process: PythonProcess, text: str, timeout: float = 30.0) -> None:
    """Wait until *text* is in what the process has logged."""
    deadline = time.monotonic() + timeout
    while not any(text in line for line in process.errors):
        assert process.returncode is None, "\n".join(process.errors)
        assert time.monotonic() < deadline, "\n".join(process.errors)
        time.sleep(0.02)


def end(process: PythonProcess) -> None:
    """Stop a worker as an operator does; it ends well."""
    process.terminate()
    assert process.wait(30.0) == 0, "\n".join(process.errors)
