"""What type checkers promise our users.

``*_promises.py`` hold one ``assert_type`` per promise and must be free of errors; ``*_errors.py`` hold
mistakes, each on a line that ends with the code of the error that mypy must find there, and that of
pyright where it matters: ``# error: call-arg | reportCallIssue``. Every finding that is not announced
fails, and every announced one that is not found. The files are read by the checkers only, never run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.typing.checkers import (
    Findings,
    expectations,
    run_mypy,
    run_pyright,
)

HERE = Path(__file__).parent
PROMISES = sorted(HERE.glob("*_promises.py"))
ERRORS = sorted(HERE.glob("*_errors.py"))
CHECKERS: dict[str, Callable[[list[Path]], Findings]] = {"mypy": run_mypy, "pyright": run_pyright}


@pytest.fixture(scope="module", params=CHECKERS)
def checked(request: pytest.FixtureRequest) -> tuple[str, Findings]:
    """One run of each checker over all files."""
    return request.param, CHECKERS[request.param](PROMISES + ERRORS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", PROMISES, ids=lambda file: file.stem)
def test_promises_hold(checked: tuple[str, Findings], file: Path) -> None:
    """Every assert_type holds and nothing else is wrong, for mypy --strict and pyright strict."""
    checker, findings = checked
    assert "assert_type" in file.read_text()
    assert dict(findings.get(file.name, {})) == {}, checker


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", ERRORS, ids=lambda file: file.stem)
def test_mistakes_are_found(checked: tuple[str, Findings], file: Path) -> None:
    """Every announced mistake is found on its line, and no other."""
    checker, findings = checked
    announced = expectations(file)
    assert announced, f"{file.name} announces nothing"
    found = findings.get(file.name, {})
    assert sorted(found) == sorted(announced), checker
    for line, (by_mypy, by_pyright) in announced.items():
        code = by_mypy if checker == "mypy" else by_pyright
        assert code is None or code in found[line], f"{checker}, line {line}"
