"""A real Redis for the cache."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import unwatch, watch


class RedisServer:
    """A server that can be stopped and started again, on one port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/3"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start, and wait until it listens."""
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--save",
            "",
            "--dir",
            str(self.directory),
            *options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        watch(self._process.pid)
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline, "redis-server does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(20)
            unwatch(process.pid)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of one's own; CI fails without the program, a laptop skips."""
    if shutil.which("redis-server") is None:
        words = "needs redis-server (Debian: apt-get install redis-server)"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()
