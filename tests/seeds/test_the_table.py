"""docs/project/seeds.md tells the truth: what it names exists, and it names all."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "project" / "seeds.md"


def test_the_table_names_the_tests_that_there_are() -> None:
    """Every test named in the table exists; every test of a block stands in the table."""
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE.read_text()))
    there = {
        (path.name, node.name)
        for path in HERE.glob("test_*.py")
        if path.name not in (Path(__file__).name, "test_named.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }
    assert named == there
