"""Finding what is decorated in the modules of a project (app.md 5)."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import faust
from faust.app.discovery import UnknownModule

Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Write a package; returns its unique name."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(**modules: str) -> str:
        name = f"pkg_{uuid.uuid4().hex}"
        names.append(name)
        for module, text in {"__init__": "", **modules}.items():
            path = tmp_path / name / f"{module}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return name

    yield write
    for module in list(sys.modules):
        if module.startswith(tuple(names)):
            del sys.modules[module]


def loaded(name: str) -> set[str]:
    """Return what has been imported below a package."""
    return {module.rpartition(".")[2] for module in sys.modules if module.startswith(f"{name}.")}


def make(**options: Any) -> faust.App:
    """Make an app."""
    return faust.App("shop", broker="memory://", env={}, **options)


def test_everything_below_a_package_is_imported(package: Package) -> None:
    """app.md 5: all submodules but tests and __main__."""
    name = package(agents="", views="", test_agents="1/0", __main__="1/0")
    app = make(autodiscover=True, origin=f"{name}:app")
    app.discover()
    assert loaded(name) == {"agents", "views"}


@pytest.mark.parametrize("form", ["list", "callable"])
def test_a_list_names_the_packages(package: Package, form: str) -> None:
    """app.md 5: a list, or a function that gives one; the origin is scanned, too."""
    mine, other = package(agents=""), package(agents="")
    value: Any = [other] if form == "list" else lambda: [other]
    make(autodiscover=value, origin=mine).discover()
    assert loaded(mine) == loaded(other) == {"agents"}


def test_extra_modules_and_what_is_ignored(package: Package) -> None:
    """app.md 5: with autodiscover off only what is named is scanned; ignore says what is left out."""
    mine, other = package(agents=""), package(agents="", views="")
    app = make(autodiscover=False, origin=mine)
    app.discover(other, ignore=[f"{other}.views"])
    assert (loaded(mine), loaded(other)) == (set(), {"agents"})


def test_without_an_origin() -> None:
    """app.md 5: True needs to know where to look."""
    with pytest.raises(faust.ImproperlyConfigured, match="set origin="):
        make(autodiscover=True).discover()


def test_a_module_that_does_not_exist() -> None:
    """app.md 5: it is named; the error is a ModuleNotFoundError, and a mistake in the configuration."""
    with pytest.raises(UnknownModule, match="Unknown module no_such_x in") as caught:
        make(autodiscover=["no_such_x"]).discover()
    assert isinstance(caught.value, ModuleNotFoundError)
    assert caught.value.name == "no_such_x"
    assert isinstance(caught.value, faust.ImproperlyConfigured)


def test_a_submodule_that_cannot_be_imported(
    package: Package, caplog: pytest.LogCaptureFixture
) -> None:
    """app.md 5: it is logged with its traceback and skipped; the others are found."""
    name = package(agents="", broken="import no_such_library_x")
    with caplog.at_level(logging.WARNING):
        make(autodiscover=[name]).discover()
    assert "agents" in loaded(name)
    (record,) = [record for record in caplog.records if "broken" in record.getMessage()]
    assert "no_such_library_x" in str(record.exc_info)


async def test_the_worker_discovers(package: Package, tmp_path: Path) -> None:
    """worker-cli.md 1: a worker made by a program finds agents before it starts the app."""
    name = package(agents="")
    app = make(autodiscover=[name], datadir=tmp_path, web_enabled=False)
    faust.Worker(app).autodiscover()
    assert loaded(name) == {"agents"}
