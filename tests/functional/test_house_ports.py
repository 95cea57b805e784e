"""Ports for servers of tests: whoever chooses at the same time gets another one (`tests.support.ports`)."""

from __future__ import annotations

import socket

import pytest

from tests.support import ports
from tests.support.processes import start_python

CHOOSE = """
import sys
from tests.support.ports import free_port, free_row
print(*[free_port() for _ in range(200)], *range(first := free_row(3), first + 3), flush=True)
sys.stdin.read()
"""


def test_no_port_is_given_to_two_processes() -> None:
    """Three processes that choose side by side, and live, have no port in common; none is the kernel's to give out."""
    programs = [start_python(CHOOSE) for _ in range(3)]
    try:
        chosen = [int(port) for each in programs for port in each.read_line(60.0).split()]
    finally:
        for each in programs:
            each.kill()
    assert len(chosen) == len(set(chosen)) == 3 * 203
    assert set(chosen) <= set(ports.PORTS)


def test_a_port_where_somebody_listens_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left when all other ports of a range are in use is found; then there is none."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "PORTS", range(taken, taken + 2))
        with pytest.raises(RuntimeError, match="no row of 1 free port"):
            [ports.free_port() for _ in range(2)]
