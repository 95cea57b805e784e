"""The contract of a fixup: the few steps by which an application gets along with another framework.

A fixup is found among the entry points of the group ``faust.fixups``, or is one of ours. Every new app makes one of
each kind, and keeps those that are enabled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Fixup"]


class Fixup:
    """Base of fixups; does nothing.

    Arguments:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    def enabled(self) -> bool:
        """Say whether the other framework is in use; called once, when the app is made."""
        return False

    def autodiscover_modules(self) -> Iterable[str]:
        """Return modules where agents and the like may be; asked with ``autodiscover=True``."""
        return []

    def on_worker_init(self) -> None:
        """Prepare for running a command or a worker; called once."""
