"""Which fixups an application has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from faust.drivers import fixups as known
from faust.fixups.base import Fixup

__all__ = ["fixups"]


def fixups(app: Any) -> Iterator[Fixup]:
    """Make one of each known fixup, and return those that are enabled."""
    for name in known:
        fixup: Fixup = known.by_name(name)(app)
        if fixup.enabled():
            yield fixup
