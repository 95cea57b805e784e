"""Use models and settings of a Django project in agents.

It is enabled by the variable ``DJANGO_SETTINGS_MODULE``, as Django itself is. Django is set up before agents are
looked for, so their modules may import models at the top.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterable

from faust.fixups.base import Fixup

__all__ = ["DjangoFixup"]

VARIABLE = "DJANGO_SETTINGS_MODULE"


class DjangoFixup(Fixup):
    """Sets Django up, and looks for agents in its installed apps."""

    def enabled(self) -> bool:
        """Say whether ``DJANGO_SETTINGS_MODULE`` is set, and Django is there."""
        if not os.environ.get(VARIABLE):
            return False
        if importlib.util.find_spec("django") is None:
            warnings.warn(
                f"the environment variable {VARIABLE} is set, but Django is not installed",
                stacklevel=2,
            )
            return False
        return True

    def on_worker_init(self) -> None:
        """Set Django up, and let it check the project.

        Raises:
            SystemCheckError: Django finds errors.
        """
        import django
        from django.conf import settings
        from django.core.management import BaseCommand

        django.setup()
        if settings.DEBUG:
            warnings.warn(
                f"Django keeps every query in memory while DEBUG is on: switch it off in {os.environ[VARIABLE]}",
                stacklevel=2,
            )
        BaseCommand().check()

    def autodiscover_modules(self) -> Iterable[str]:
        """Return the names of the installed apps."""
        import django
        from django.apps import apps

        django.setup()
        return [config.name for config in apps.get_app_configs()]
