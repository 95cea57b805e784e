"""``faust livecheck``: run the tests of a system that is live."""

from __future__ import annotations

from typing import Any

import click

from faust.cli.base import UsageError
from faust.cli.worker import worker

__all__ = ["livecheck"]


class livecheck(worker):  # noqa: N801 - the documented name
    """Start a worker that runs the LiveCheck tests of the application."""

    def __init__(self, ctx: click.Context, *args: Any, **kwargs: Any) -> None:
        super().__init__(ctx, *args, **kwargs)
        checker = getattr(self.app, "livecheck", None)
        if checker is None:
            raise UsageError(f"App {self.app.conf.id!r} is not associated with LiveCheck")
        checker.prepare(self.app.conf.origin)
        self.app = checker
