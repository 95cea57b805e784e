"""What `import faust` takes in a fresh process, in milliseconds.

``python -m benchmarks.bench_import``. Python compiles a module when it first imports it (pip does when it
installs one) and keeps the bytecode; *compiled* is what every start after that takes, *from here* is
what a start takes with the environment and the ``.pyc`` files as they are. The two differ where nothing is kept:
under ``PYTHONDONTWRITEBYTECODE``, say.

The time is that of a whole process, from its start to its exit; *CPU* is the better figure on a
machine that is busy. Statements take turns, so that whatever else the machine does hits all of them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from time import perf_counter

ROUNDS = 11
STATEMENTS = ["pass", "import asyncio", "import mode.services", "import faust"]
"""What is measured; the first three are what the last stands on."""


def milliseconds(statement: str, env: dict[str, str]) -> tuple[float, float]:
    """Run *statement* in a process of its own; return the time it took, and that of the CPU."""
    start = perf_counter()
    process = subprocess.Popen([sys.executable, "-c", statement], env=env)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{statement!r} failed"
    return elapsed * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def main() -> None:
    """Measure and print."""
    here = dict(os.environ)
    compiled = {name: value for name, value in here.items() if not name.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(prefix="faust-import-") as kept:
        kinds = {"compiled": compiled | {"PYTHONPYCACHEPREFIX": kept}, "from here": here}
        milliseconds(STATEMENTS[-1], kinds["compiled"])  # fills the directory
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(ROUNDS):
            for kind, env in kinds.items():
                for statement in STATEMENTS:
                    found.setdefault((kind, statement), []).append(milliseconds(statement, env))
    print(f"{'milliseconds':36}{'median':>8}{'best':>8}{'CPU, median':>14}{'best':>8}")
    for (kind, statement), times in found.items():
        elapsed, busy = zip(*times, strict=True)
        print(
            f"{kind:12}{statement:24}{statistics.median(elapsed):8.0f}{min(elapsed):8.0f}"
            f"{statistics.median(busy):14.0f}{min(busy):8.0f}"
        )


if __name__ == "__main__":
    main()
