"""Ports on loopback that nobody else takes between the choice and the moment when a server listens there.

`bind(0)` and letting go gives a port away that the kernel may give to the next who asks: with three processes of tests
side by side, and servers that need seconds to start, it did. Ports are therefore chosen below those that the kernel
gives out by itself (32768 on Linux, RFC 6335 elsewhere), and marked as taken for all processes that choose with us.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["PORTS", "free_port", "free_ports", "free_row"]

PORTS = range(10_240, 32_768)
"""Where we choose."""


@cache
def _marks() -> int:
    """Open the file whose byte N is locked by the process that took port N; the lock ends with the process."""
    path = Path(tempfile.gettempdir()) / f"faust-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


_taken: set[int] = set()
"""Ports of this process; its own locks do not keep it from taking a port twice."""


def _take(port: int) -> bool:
    """Mark a port as taken until this process ends; False when somebody has it or listens there."""
    if port in _taken:
        return False
    try:
        fcntl.lockf(_marks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _taken.add(port)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_row(length: int) -> int:
    """Return the first of *length* ports in a row.

    Raises:
        RuntimeError: there are none.
    """
    for _ in range(1_000):
        first = random.choice(PORTS[: len(PORTS) - length + 1])
        if all(_take(port) for port in range(first, first + length)):
            return first
    raise RuntimeError(f"no row of {length} free port(s) between {PORTS.start} and {PORTS.stop}")


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody else who asks here is given while this process lives."""
    return free_row(1)


def free_ports(count: int) -> list[int]:
    """Return several, see `free_port`."""
    return [free_port() for _ in range(count)]
