"""Finding decorated things: importing the modules that an app names."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

import venusian

from faust.exceptions import ImproperlyConfigured

__all__ = ["IGNORED", "discover"]

logger: logging.Logger = logging.getLogger(__name__)

IGNORED: tuple[Any, ...] = (re.compile(r"test_.*").search, re.compile(r".*\.__main__$").search)


class UnknownModule(ImproperlyConfigured, ModuleNotFoundError):
    """Setting ``autodiscover`` names a module that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown module {name} in App.conf.autodiscover list", name=name)


def discover(
    modules: Iterable[str], *, categories: Iterable[str], ignore: Iterable[Any] = IGNORED
) -> None:
    """Import *modules* and, where they are packages, everything below them.

    Raises:
        UnknownModule: A module of the list does not exist. What cannot be imported below it is logged and skipped.
    """
    scanner = venusian.Scanner()
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name != name:
                raise
            raise UnknownModule(name) from exc
        scanner.scan(
            module, ignore=list(ignore), categories=tuple(categories), onerror=_log_import_error
        )


def modules_of(setting: Any, origin: str | None) -> list[str]:
    """Return the modules that the setting ``autodiscover`` names.

    Raises:
        ImproperlyConfigured: It is True and the app has no origin.
    """
    if not setting:
        return []
    if setting is True:
        if origin is None:
            raise ImproperlyConfigured(
                "autodiscover=True needs to know where to look: set origin='your.package'"
            )
        return [origin.partition(":")[0]]
    named: Callable[[], Iterable[str]] | Iterable[str] = setting
    modules = list(named() if callable(named) else named)
    if origin is not None:
        modules.append(origin.partition(":")[0])
    return modules


def _log_import_error(name: str) -> None:
    logger.warning("Autodiscovery could not import %s", name, exc_info=True)  # noqa: LOG014 - venusian calls this while it handles the error
