"""Python programs of a test, that find this repository wherever they run; see `faust.testing.faults.programs`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from faust.testing.faults.programs import Program as PythonProcess
from faust.testing.faults.programs import remove_at_exit, start, unwatch, watch

__all__ = ["ROOT", "PythonProcess", "remove_at_exit", "start_python", "unwatch", "watch"]

ROOT = Path(__file__).resolve().parents[2]


def start_python(
    script: str | Path | None = None,
    *args: str,
    module: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    python: Path | None = None,
) -> PythonProcess:
    """Start a Python program: a text, a file, or (``module=``) what ``python -m`` would run.

    Args:
        script: Program text (str) or file (Path); None with *module*.
        args: Arguments of the program.
        module: Module to be run; names below ``tests`` work from everywhere.
        env: Variables added to this process's environment.
        cwd: Working directory; None: the root of the repository.
        python: Interpreter; None: this one.
    """
    if (script is None) == (module is None):
        raise TypeError("start_python wants a script or module=, and not both")
    command: Sequence[str]
    if module is not None:
        command = ["-m", module]
    elif isinstance(script, Path):
        command = [str(script)]
    else:
        assert script is not None
        command = ["-c", script]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return start(
        [sys.executable if python is None else str(python), "-u", *command, *args],
        env={"PYTHONPATH": path, **(env or {})},
        cwd=cwd or ROOT,
    )
