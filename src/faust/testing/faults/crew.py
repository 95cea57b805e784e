"""The workers of a trial: hired, killed, frozen, sent home; and an eye on those that end by themselves.

A crew does what an orchestrator does: who was killed is started again, with the data directory it had. A worker that ends although
nobody asked it to is started again as well, and written down in `Crew.ended`.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from faust.testing.faults.observer import NotReached
from faust.testing.faults.programs import Program, start

__all__ = ["Crew", "End", "Usage"]

READY = ("[^Worker]: Ready", "OK ^")


@dataclass(frozen=True)
class End:
    """The end of a worker that nobody asked to end, or of one that was asked and did not end well.

    Attributes:
        worker: Its name.
        status: Exit status; negative for a signal.
        said: The last lines of its log.
    """

    worker: str
    status: int
    said: str

    def __str__(self) -> str:
        return f"{self.worker} ended with {self.status}:\n{self.said}"


@dataclass(frozen=True)
class Usage:
    """What one process uses: memory in MiB, open files, threads."""

    memory: float
    files: int
    threads: int


class Crew:
    """Workers of one application.

    Arguments:
        command: Program and arguments that run a worker.
        directory: For their data: each gets a directory of its own below it (environment variable ``APP_DATADIR``).
        env: More environment variables.
        cwd: Working directory of the workers; None: that of this process.

    Attributes:
        alive: The workers that run, by name.
        ended: Those that should not have.
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.alive: dict[str, Program] = {}
        self.ended: list[End] = []
        self.stops: list[float] = []
        """Seconds that each SIGTERM has taken."""
        self._command = command
        self._directory = directory
        self._env = dict(env or {})
        self._cwd = cwd
        self._hired = 0
        self._leaving: list[Program] = []
        self._lives: list[tuple[str, Program]] = []

    def hire(self, name: str | None = None) -> str:
        """Start a worker, a new one or one that is known; return its name at once."""
        if name is None:
            self._hired += 1
            name = f"w{self._hired}"
        env = {
            **self._env,
            "APP_DATADIR": str(self.data_of(name)),
            "NODE_CANONICAL_URL": f"http://{name}:6066",
            "FAULTS_WORKER": name,
        }
        self.alive[name] = start(self._command, env=env, cwd=self._cwd)
        self._lives.append((name, self.alive[name]))
        return name

    def data_of(self, name: str) -> Path:
        """Return the data directory of a worker."""
        return self._directory / name

    @property
    def names(self) -> list[str]:
        """Names of all workers that there have ever been, the first one first."""
        return list(dict.fromkeys(name for name, _ in self._lives))

    def write_logs(self, directory: Path) -> None:
        """Write what every worker has ever said on standard error: a file ``{name}-{n}.log`` for its nth life."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in self.names:
            lives = [program for each, program in self._lives if each == name]
            for number, program in enumerate(lives, 1):
                text = "\n".join(program.errors)
                (directory / f"{name}-{number}.log").write_text(text + "\n")

    async def ready(self, name: str, timeout: float = 60.0) -> None:
        """Wait until a worker has said that it is ready.

        Raises:
            NotReached: it has ended, or was not ready after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        program = self.alive[name]
        while not is_ready(program):
            if program.returncode is not None or time.monotonic() > deadline:
                said = "\n".join(program.errors[-40:])
                raise NotReached(
                    f"{name} was not ready in {timeout} s (exit status {program.returncode}):\n{said}"
                )
            await asyncio.sleep(0.02)

    def named(self, number: int) -> str:
        """Return the name of the worker with a number, modulo how many are alive."""
        names = sorted(self.alive)
        return names[number % len(names)]

    def kill(self, name: str) -> None:
        """End a worker by SIGKILL; `hire` starts it again."""
        self.alive.pop(name).kill()

    async def send_home(self, name: str, timeout: float = 60.0) -> float:
        """End a worker by SIGTERM; return how many seconds that took. A bad end goes into `ended`.

        A process that has only just been made dies of the signal: whatever it does first, Python starts before that. So a
        worker that has not said anything yet is given the time to do so.
        """
        program = self.alive.pop(name)
        self._leaving.append(program)
        await self._speaks(program)
        began = time.monotonic()
        program.terminate()
        status = await program.wait_end(timeout)
        took = time.monotonic() - began
        self._leaving.remove(program)
        self.stops.append(took)
        if status != 0:
            self.ended.append(End(name, status, "\n".join(program.errors[-40:])))
        return took

    @staticmethod
    async def _speaks(program: Program, timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while not program.errors and program.returncode is None and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def wipe(self, name: str) -> None:
        """Remove the data directory of a worker."""
        shutil.rmtree(self.data_of(name), ignore_errors=True)

    def look(self) -> list[End]:
        """Write down and start again who has ended by itself; return those."""
        found = []
        for name, program in list(self.alive.items()):
            if program.returncode is not None:
                program.wait(5.0)
                found.append(End(name, program.returncode, "\n".join(program.errors[-40:])))
                self.hire(name)
        self.ended += found
        return found

    def usage(self) -> dict[str, Usage]:
        """Return what each worker uses now (Linux)."""
        found = {}
        for name, program in self.alive.items():
            try:
                lines = Path(f"/proc/{program.pid}/status").read_text().splitlines()
                facts = dict(line.split(":", 1) for line in lines)
                files = len(list(Path(f"/proc/{program.pid}/fd").iterdir()))
                memory = int(facts["VmRSS"].split()[0]) / 1024
            except (OSError, KeyError):  # it is just ending
                continue
            found[name] = Usage(memory, files, int(facts["Threads"]))
        return found

    async def end(self) -> None:
        """Send everybody home."""
        for name in sorted(self.alive):
            await self.send_home(name)

    def close(self) -> None:
        """Kill whoever is left."""
        for program in (*self.alive.values(), *self._leaving):
            program.kill()
        self.alive.clear()
        self._leaving.clear()


def is_ready(program: Program) -> bool:
    """Say whether a worker has said that it is ready, in its log or on its standard output."""
    said = [*program.errors, *program.lines()]
    return any(word in line for line in said for word in READY)
