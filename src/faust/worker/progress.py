"""The bar that a terminal shows while tables recover."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["RecoveryBar"]

LOOK = 0.2
"""Seconds between two pictures."""


class RecoveryBar:
    """Draws how far the recovery of tables is, and nothing while there is none.

    Arguments:
        recovery: Returns the recovery under way (with ``records`` and ``remaining``), or None.
        console: Where it is drawn.
        before: Called before anything is drawn.
    """

    def __init__(
        self, recovery: Callable[[], Any], console: Console, before: Callable[[], None]
    ) -> None:
        self._before = before
        self._recovery = recovery
        self._console = console

    async def run(self) -> None:
        """Draw, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            recovery = self._recovery()
            if recovery is not None and recovery.remaining:
                self._before()
                await self._draw(recovery)

    async def _draw(self, recovery: Any) -> None:
        """Draw one recovery from now to its end, and wipe the bar away."""
        bar = Progress(
            TextColumn("recovering tables"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} records/s", justify="right"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            auto_refresh=False,
        )
        with bar:
            task = bar.add_task("", total=None, rate=0.0)
            began, first = monotonic(), recovery.records
            while self._recovery() is recovery and recovery.remaining:
                done = recovery.records
                rate = (done - first) / max(monotonic() - began, LOOK)
                bar.update(task, completed=done, total=done + recovery.remaining, rate=rate)
                bar.refresh()
                await asyncio.sleep(LOOK)
