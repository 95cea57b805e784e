"""Names on the wire."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from faust.utils import uuid
from faust.utils.names import module_name, qualified_name

PROGRAM = "from faust.utils.names import qualified_name\nclass A: pass\nprint(qualified_name(A))\n"


class Outer:
    class Inner:  # noqa: D106
        pass


def test_nested_classes_keep_their_full_name() -> None:
    """A nested class is named with the classes around it."""
    assert qualified_name(Outer.Inner) == f"{__name__}.Outer.Inner"
    assert module_name("json") == "json"


@pytest.mark.parametrize(
    ("packages", "expected"), [((), "shop.A"), (("x",), "x.shop.A"), (("x", "y"), "x.y.shop.A")]
)
def test_scripts_are_named_as_if_imported(
    tmp_path: Path, packages: tuple[str, ...], expected: str
) -> None:
    """A script says the same name as the module it is when imported, packages included."""
    folder = tmp_path
    for package in packages:
        folder /= package
        folder.mkdir()
        (folder / "__init__.py").touch()
    script = folder / "shop.py"
    script.write_text(PROGRAM)
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == expected


def test_without_a_script_main_stays_main() -> None:
    """A program given on the command line has no file, and keeps its name."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "__main__.A"


def test_uuid() -> None:
    """Identifiers are random UUIDs in their usual 36 characters."""
    first, second = uuid(), uuid()
    assert first != second
    assert UUID(first).version == 4
    assert str(UUID(first)) == first
