"""Find the application that ``-A`` names, and say what is wrong when there is none."""

from __future__ import annotations

import contextlib
import importlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from mode.utils.imports import cwd_in_path

from faust.app.base import App
from faust.exceptions import ImproperlyConfigured
from faust.utils.stacks import LIBRARIES
from faust.worker.process import explain

__all__ = ["AppMissing", "ModuleMissing", "find_app", "friendly"]


class ModuleMissing(ImproperlyConfigured, ModuleNotFoundError):
    """``-A`` names a module that does not exist."""


class AppMissing(ImproperlyConfigured, AttributeError):
    """``-A`` names something that is no application."""


def find_app(app: str, *, attr_name: str = "app") -> App:
    """Import an application and prepare it for the command line.

    Arguments:
        app: ``pkg.module:attribute``, ``pkg.module.attribute`` or ``pkg.module``. The current
            directory is importable meanwhile.
        attr_name: Attribute to take when *app* names a module.

    Raises:
        ModuleMissing: there is no such module (a `ModuleNotFoundError`).
        AppMissing: the module has no such attribute, or it is no app (an `AttributeError`).
        Exception: whatever importing the module raises.
    """
    with cwd_in_path():
        found = _resolve(app)
        if isinstance(found, ModuleType) and ":" not in app:
            found = _attribute(app, found, attr_name)
        if isinstance(found, ModuleType):
            raise AppMissing(f"Looks like module, not app: -A {app}")
        if not isinstance(found, App):
            kind = type(found).__name__
            raise AppMissing(f"-A {app} is not an app: it is of type {kind}, not faust.App")
        found.prepare(app)
    return found


def _resolve(text: str) -> Any:
    """Return what *text* names: an attribute where there is one, else a module."""
    name, colon, attribute = text.partition(":")
    if colon:
        return _attribute(text, _import(text, name), attribute)
    parent, _, last = name.rpartition(".")
    if parent:
        module = _import(text, parent)
        if hasattr(module, last):
            return getattr(module, last)
    return _import(text, name)


def _import(text: str, name: str) -> ModuleType:
    if os.sep in text or name.endswith(".py"):
        raise ModuleMissing(f"-A {text}: give an import path such as proj.app, not a file name")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ModuleMissing(f"-A {text}: {name!r} is not the name of a module")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        missing = exc.name or ""
        if name != missing and not name.startswith(missing + "."):
            raise  # the module is there, and lacks something that it imports
        raise ModuleMissing(
            f"-A {text}: there is no module {missing!r} in {Path.cwd()} or among the installed ones"
        ) from exc


def _attribute(text: str, module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError as exc:
        apps = [key for key, value in vars(module).items() if isinstance(value, App)]
        hint = f"; did you mean -A {module.__name__}:{apps[0]}?" if apps else ""
        raise AppMissing(
            f"-A {text}: module {module.__name__!r} has no attribute {name!r}{hint}"
        ) from exc


# -- mistakes of users


@contextlib.contextmanager
def friendly() -> Iterator[None]:
    """Turn mistakes that a sentence can tell into that sentence; leave faults their traceback."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as exc:
        sentence = explain(exc)
        if sentence is None:
            raise
        raise click.ClickException(sentence + _place(exc)) from exc


def _place(exc: BaseException) -> str:
    """Say in which line of the user's program *exc* was raised, if in any."""
    frames = traceback.extract_tb(exc.__traceback__)
    for frame in reversed(frames):
        if not frame.filename.startswith(LIBRARIES):
            return f" ({os.path.relpath(frame.filename)}, line {frame.lineno})"
    return ""
