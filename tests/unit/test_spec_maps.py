"""The maps from the specification to the tests (docs/project/spec/) name tests that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAPS = sorted((ROOT / "docs" / "project" / "spec").glob("*.md"))
FILE = re.compile(r"(?:(?:tests|benchmarks)/)?[\w/]*test_\w+\.py")


def known_tests() -> dict[str, set[str]]:
    """Return the names of the test functions of each file of tests."""
    return {
        str(path.relative_to(ROOT)): {
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for path in (ROOT / "tests").rglob("test_*.py")
    }


KNOWN = known_tests()


def references(text: str) -> Iterator[tuple[str, str]]:
    """Yield what the second columns of the tables name: a file (or nothing), and a test (or nothing).

    A test without a file belongs to any file; ``test_a_*`` and ``test_a...`` are beginnings of names; one capital letter
    stands for a folder.
    """
    for row in text.splitlines():
        cells = row.split(" | ")
        if not row.startswith("|") or len(cells) < 2 or set(row) <= set("|- "):
            continue
        for quoted in re.findall(r"`([^`]*test_[^`]*)`", cells[1]):
            file, _, test = re.sub(r"^[A-Z]/", "", quoted).partition("::")
            if FILE.fullmatch(file):
                yield file, test
            elif re.fullmatch(r"test_[\w.*]+", quoted) and not quoted.endswith(".py"):
                yield "", quoted


def there(file: str, test: str) -> bool:
    """Say whether there is such a test."""
    files = [tests for path, tests in KNOWN.items() if path == file or path.endswith(f"/{file}")]
    beginning = test.rstrip(".*")
    exact = beginning == test
    names = set().union(*(files if file else KNOWN.values()))
    if not names:
        return False
    return not test or any(name == test if exact else name.startswith(beginning) for name in names)


@pytest.mark.parametrize("page", MAPS, ids=lambda page: page.stem)
def test_what_a_map_names_exists(page: Path) -> None:
    """Every file of tests and every test that a map names is there."""
    named = list(references(page.read_text()))
    assert named
    missing = [f"{file}::{test}" for file, test in named if not there(file, test)]
    assert not missing


def test_the_check_can_fail() -> None:
    """A file or a test that does not exist is found out."""
    assert there("test_spec_maps.py", "test_the_check_can_fail")
    assert there("tests/unit/test_spec_maps.py", "test_the_check_*")
    assert not there("test_spec_maps.py", "test_the_check_never")
    assert not there("tests/unit/test_no_such_file.py", "")
    assert not there("", "test_the_check_never...")
    row = "| 1 x | `test_spec_maps.py::test_a`, `test_b`, W `tests/unit/test_c.py` | `test_not_here` |"
    assert list(references(row)) == [
        ("test_spec_maps.py", "test_a"),
        ("", "test_b"),
        ("tests/unit/test_c.py", ""),
    ]
