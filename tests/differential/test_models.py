"""What one library writes the other reads (issue 4, acceptance 3): 300 model classes, 200 plain values."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.differential.cases import Case, make_cases

ROOT = Path(__file__).parents[2]
REFERENCES = [ROOT / ".venv-ref/bin/python", Path("/tmp/ref/bin/python")]
MODELS, PLAIN = 300, 200


@pytest.fixture(scope="module")
def reference() -> str:
    """The Python in which faust-streaming 0.15.3 is installed."""
    for python in REFERENCES:
        if python.exists():
            return str(python)
    message = "faust-streaming is not installed: make .venv-ref/.ready"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """The classes and values."""
    return make_cases(MODELS, PLAIN)


def ask(python: str, cases: list[Case], payloads: list[str | None]) -> list[dict[str, Any]]:
    """Let one side answer."""
    request = {"cases": [case._asdict() for case in cases], "payloads": payloads}
    done = subprocess.run(
        [python, str(Path(__file__).with_name("side.py"))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def written(reference: str, cases: list[Case]) -> dict[str, list[dict[str, Any]]]:
    """What each side has written."""
    nothing: list[str | None] = [None] * len(cases)
    return {
        "ours": ask(sys.executable, cases, nothing),
        "theirs": ask(reference, cases, nothing),
    }


def show(case: Case, ours: Any, theirs: Any) -> str:
    """Show a difference."""
    return f"\n{case.source}\n{case.value}\nours:   {ours}\ntheirs: {theirs}\n"


def test_bytes_are_equal(cases: list[Case], written: dict[str, list[dict[str, Any]]]) -> None:
    """Both write the same bytes, as values and as keys, wherever serialization.md 2.1 has one form for both."""
    different = [
        show(case, _readable(ours), _readable(theirs))
        for case, ours, theirs in zip(cases, written["ours"], written["theirs"], strict=True)
        if case.same_bytes and ours != theirs
    ]
    assert not different, "".join(different[:5])
    assert sum(case.same_bytes for case in cases) > len(cases) / 2


@pytest.mark.parametrize("writer", ["ours", "theirs"])
def test_each_reads_what_the_other_writes(
    reference: str, cases: list[Case], written: dict[str, list[dict[str, Any]]], writer: str
) -> None:
    """From the same bytes both read the same objects, with and without a type, and write them alike again."""
    errors = [answer["error"] for answer in written[writer] if "error" in answer]
    assert not errors, errors[:5]
    payloads: list[str | None] = [answer["value"] for answer in written[writer]]
    ours = ask(sys.executable, cases, payloads)
    theirs = ask(reference, cases, payloads)
    different = []
    for case, mine, other in zip(cases, ours, theirs, strict=True):
        compared = mine.keys() | other.keys() if case.same_bytes else {"typed", "untyped"}
        if any(mine.get(part) != other.get(part) for part in compared):
            different.append(show(case, _readable(mine), _readable(other)))
    assert not different, f"{len(different)} differ" + "".join(different[:5])


def _readable(answer: dict[str, Any]) -> dict[str, Any]:
    decoded = {"value", "key", "again"} & answer.keys()
    return {**answer, **{name: base64.b64decode(answer[name]) for name in decoded}}
