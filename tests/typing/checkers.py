"""Ask mypy and pyright what they think of a few files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

__all__ = ["EXPECTED", "Findings", "expectations", "public_symbols", "run_mypy", "run_pyright"]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

Findings = dict[str, dict[int, set[str]]]
"""By name of a file and number of a line: the codes of the errors found there."""

EXPECTED = re.compile(r"# error: (?P<mypy>[\w-]+)(?: \| (?P<pyright>\w+))?\s*$")
"""At the end of a line: ``# error: call-arg | reportCallIssue``, the codes of mypy and of pyright.

With one code only, it is mypy's, and any error of pyright will do.
"""


def expectations(file: Path) -> dict[int, tuple[str, str | None]]:
    """Return the errors that *file* announces, by line."""
    found = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        match = EXPECTED.search(line)
        if match:
            found[number] = (match["mypy"], match["pyright"])
    return found


def run_mypy(files: list[Path]) -> Findings:
    """Check *files* by ``mypy --strict``."""
    options = ["--strict", "--no-error-summary", "--show-error-codes", "--no-pretty"]
    options += ["--hide-error-context", "--cache-dir", str(ROOT / ".mypy_cache" / "typing")]
    # Users have our package installed: its own errors are the business of `make types`.
    done = _run(sys.executable, "-m", "mypy", *options, "--follow-imports=silent", *map(str, files))
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"mypy failed:\n{done.stdout}{done.stderr}")
    findings: Findings = defaultdict(lambda: defaultdict(set))
    for line in done.stdout.splitlines():
        match = re.match(r"(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$", line)
        if match:
            findings[Path(match["file"]).name][int(match["line"])].add(match["code"])
        elif ": error:" in line:
            raise RuntimeError(f"mypy said what we do not understand: {line}")
    return findings


def run_pyright(files: list[Path]) -> Findings:
    """Check *files* by pyright in strict mode (as basedpyright, which comes with its node)."""
    report = _pyright("--project", str(ROOT / "tests" / "typing"), *map(str, files))
    findings: Findings = defaultdict(lambda: defaultdict(set))
    for found in report["generalDiagnostics"]:
        if found["severity"] == "error":
            line = found["range"]["start"]["line"] + 1
            findings[Path(found["file"]).name][line].add(found.get("rule", "error"))
    return findings


def public_symbols() -> list[dict[str, Any]]:
    """Return what pyright knows about every public name of the package: ``--verifytypes``."""
    report = _pyright("--verifytypes", "faust", "--ignoreexternal")
    symbols: list[dict[str, Any]] = report["typeCompleteness"]["symbols"]
    return symbols


def _pyright(*arguments: str) -> Any:
    done = _run(str(BIN / "basedpyright"), "--outputjson", *arguments)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"pyright failed:\n{done.stdout}{done.stderr}") from None


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    # pyright asks the first `python` on the path where packages are
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )
