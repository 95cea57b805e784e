"""Start one worker program, wait for its report, stop it, and say what it did."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Worker", "python_of", "running", "wait_for"]

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent
_ELSEWHERE = {
    "reference": ("BENCH_REFERENCE_PYTHON", ".venv-ref"),
    "quix": ("BENCH_QUIX_PYTHON", ".venv-quix"),
}


@dataclass
class Worker:
    """A worker process of one side."""

    process: subprocess.Popen[bytes]
    result: Path
    log: Path

    def report(self, timeout: float) -> dict[str, Any]:
        """Wait for its report; raise with the end of its log when it ends, or is not done in *timeout* seconds."""
        wait_for(self.result, self, timeout)
        report: dict[str, Any] = json.loads(self.result.read_text())
        return report

    def stop(self, *, ask: bool = True, timeout: float = 60.0) -> int:
        """End it properly, or let it end, and return its exit status; kill it after *timeout* seconds."""
        if ask and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def usage(self) -> tuple[float, int]:
        """Return the CPU seconds of the process so far, and the voluntary context switches of its threads."""
        proc = Path(f"/proc/{self.process.pid}")
        fields = (proc / "stat").read_text().rsplit(")", 1)[1].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        switches = sum(
            int(line.split()[1])
            for status in proc.glob("task/*/status")
            for line in status.read_text().splitlines()
            if line.startswith("voluntary_ctxt_switches")
        )
        return seconds, switches

    def tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


def wait_for(file: Path, worker: Worker, timeout: float) -> None:
    """Wait until *worker* has written *file*; raise when it ends first, or needs more than *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not file.exists():
        if worker.process.poll() is not None and not file.exists():
            raise RuntimeError(f"ended with {worker.process.returncode}:\n{worker.tail()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"did not finish in {timeout:.0f} s:\n{worker.tail()}")
        time.sleep(0.05)


@contextlib.contextmanager
def running(
    python: str | Path, program: str, scratch: Path, variables: Mapping[str, object]
) -> Iterator[Worker]:
    """Run a file of this directory, with its arguments and ``BENCH_*`` variables; it is gone when the block ends."""
    file, *arguments = program.split()
    name = str(variables["ID"])
    result, log = scratch / f"{name}.json", scratch / f"{name}.log"
    settings = {**variables, "RESULT": result, "DATADIR": variables.get("DATADIR", scratch / name)}
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("BENCH_", "PYTHONPATH"))},
        **{f"BENCH_{key}": str(value) for key, value in settings.items()},
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), str(PROGRAMS / file), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=scratch,
        )
    worker = Worker(process, result, log)
    try:
        yield worker
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def python_of(side: str) -> Path:
    """Return the interpreter of a side; those of other libraries live in virtualenvs of their own."""
    if side not in _ELSEWHERE:
        return Path(sys.executable)
    variable, directory = _ELSEWHERE[side]
    python = Path(os.environ.get(variable, ROOT / directory / "bin" / "python"))
    if not python.exists():
        raise SystemExit(f"{python} is not there: run `make {directory}/.ready`, or `make bench`")
    return python
