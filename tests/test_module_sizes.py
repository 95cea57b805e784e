"""House rules that a program can check: sizes of modules, and no mocks of our own classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIMIT = 750


def modules(*folders: str) -> list[Path]:
    """List all Python files below *folders*."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a path as one writes it."""
    return path.relative_to(ROOT).as_posix()


def test_no_module_is_too_long() -> None:
    """No module has more than 750 lines."""
    folders = ("src", "tests", "examples", "benchmarks")
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in modules(*folders)}
    assert len(sizes) > 20
    assert {name: size for name, size in sizes.items() if size > LIMIT} == {}


def mocks_in(tree: ast.AST) -> Iterator[str]:
    """Find imports of mock libraries, and monkeypatching of what belongs to us."""
    ours: set[str] = {"faust"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.partition(".")[0] == "faust":
                ours.update(alias.asname or alias.name for alias in node.names)
            if module in {"unittest.mock", "mock", "pytest_mock"} or (
                module == "unittest" and any(alias.name == "mock" for alias in node.names)
            ):
                yield f"line {node.lineno}: imports {module or 'mock'}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in {"unittest.mock", "mock", "pytest_mock"}:
                    yield f"line {node.lineno}: imports {alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _patches(node, ours):
            yield f"line {node.lineno}: patches {ast.unparse(node.args[0])}"


def _patches(call: ast.Call, ours: set[str]) -> bool:
    """Say whether a call replaces or deletes code of ours through ``monkeypatch``."""
    function = call.func
    if not (
        isinstance(function, ast.Attribute)
        and function.attr in {"setattr", "delattr"}
        and isinstance(function.value, ast.Name)
        and function.value.id in {"monkeypatch", "mp", "patch"}
        and call.args
    ):
        return False
    target = call.args[0]
    if isinstance(target, ast.Constant):
        dotted = str(target.value)
        return dotted.partition(".")[0] == "faust" and not _is_tuning(dotted, call.args[1:])
    attribute = call.args[1] if len(call.args) > 1 else None
    if isinstance(attribute, ast.Constant) and _is_tuning(str(attribute.value), call.args[2:]):
        return False
    while isinstance(target, (ast.Attribute, ast.Call)):
        target = target.value if isinstance(target, ast.Attribute) else target.func
    return isinstance(target, ast.Name) and target.id in ours


def _is_tuning(dotted: str, values: list[ast.expr]) -> bool:
    """Say whether a patch sets a value, not code: a constant by its name, or a variable to a literal."""
    name = dotted.rpartition(".")[2]
    literal = bool(values) and isinstance(values[0], ast.Constant)
    return name.isupper() or (literal and name.islower() and name.startswith("_"))


@pytest.mark.parametrize("path", modules("tests"), ids=name_of)
def test_own_classes_are_not_mocked(path: Path) -> None:
    """Tests use real parts: no mock library, and nothing of ours is patched away."""
    assert list(mocks_in(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "program",
    [
        "import unittest.mock",
        "from unittest.mock import Mock",
        "from unittest import mock",
        "import mock",
        "def test(mp):\n    mp.setattr('faust.app.base.App', None)",
        "from faust.app import App\ndef test(monkeypatch):\n    monkeypatch.setattr(App, 'x', 1)",
        "import faust\ndef test(monkeypatch):\n    monkeypatch.delattr(faust.App, 'start')",
        "from faust import x\ndef test(mp):\n    mp.setattr(x, '_hidden', lambda: None)",
    ],
)
def test_the_check_itself_notices(program: str) -> None:
    """Each way to mock our own classes is found."""
    assert list(mocks_in(ast.parse(program)))


@pytest.mark.parametrize(
    "program",
    [
        "import faust",
        "def test(monkeypatch):\n    monkeypatch.setenv('FAUST_DATADIR', 'x')",
        "from faust import x\ndef test(mp):\n    mp.setattr(x, 'RETRY_AFTER', 0.1)",
        "from faust import x\ndef test(mp):\n    mp.setattr(x, '_verdict', None)",
        "def test(mp):\n    mp.setattr('faust.x.RETRY_AFTER', 0.1)",
        "import time\ndef test(monkeypatch):\n    monkeypatch.setattr(time, 'time', None)",
    ],
)
def test_what_is_allowed(program: str) -> None:
    """The environment, other libraries, and constants and remembered values of ours may be patched."""
    assert list(mocks_in(ast.parse(program))) == []
