"""What the tests' own tools promise: nothing they start outlives the run."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.support.kafka import KafkaCluster
from tests.support.processes import start_python

_PARENT = """
import pathlib, sys, time
from tests.support.processes import remove_at_exit, start_python
remove_at_exit(pathlib.Path(sys.argv[1]))
print(start_python("import time; time.sleep(600)").pid)
time.sleep(600)
"""


def _gone(pid: int, timeout: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_run(how: int, tmp_path: Path) -> None:
    """However the run ends, its processes are killed and its scratch directories removed."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with start_python(_PARENT, str(scratch)) as parent:
        child = int(parent.read_line())
        assert psutil.pid_exists(child)
        parent.send_signal(how)
        parent.wait()
        assert _gone(child)
    deadline = time.monotonic() + 10
    while scratch.exists():
        assert time.monotonic() < deadline, "the scratch directory is still there"
        time.sleep(0.05)


def test_a_process_can_be_talked_to_frozen_and_killed() -> None:
    """Lines go in and come out, a frozen process is silent, a thawed one goes on, an end is an EOFError."""
    echo = "import sys\nfor line in sys.stdin: print(line.upper(), end='')"
    with start_python(echo) as process:
        process.write_line("one")
        assert process.read_line() == "ONE"
        process.freeze()
        process.write_line("two")
        with pytest.raises(TimeoutError):
            process.read_line(0.3)
        process.thaw()
        assert process.read_line() == "TWO"
        process.kill()
        assert process.returncode == -signal.SIGKILL
        with pytest.raises(EOFError):
            process.read_line()


def test_the_end_of_a_process_tells_what_it_complained_about() -> None:
    """Waiting for a line of a process that failed raises with its standard error."""
    with (
        start_python("raise SystemExit('no such luck')") as process,
        pytest.raises(EOFError, match="no such luck"),
    ):
        process.read_line()


@pytest.mark.kafka
def test_kafka_by_hand(kafka_cluster: KafkaCluster) -> None:
    """The command prints its address, and Ctrl-C ends it in good order, broker included."""
    assert kafka_cluster.pids  # Java and Maven are there
    with start_python(module="tests.support.kafka") as command:
        assert command.read_line(60).startswith("kafka://127.0.0.1:")
        [broker] = [
            child.pid
            for child in psutil.Process(command.pid).children()
            if "kafka.Kafka" in child.cmdline()
        ]
        command.send_signal(signal.SIGINT)
        assert command.wait() == 0, command.errors
        assert _gone(broker)
