"""How far a long piece of work is: a bar on a terminal, a line now and then elsewhere.

Both go to standard error, so that what a command prints can be piped. Work that takes less than a moment shows nothing.
"""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import IO, Any, Self

from faust.utils.terminal import is_terminal

__all__ = ["Progress"]

FIRST = 1.0
"""Seconds that work may take before anything is shown."""

INTERVAL = 5.0
"""Seconds between two lines."""

REFRESH = 0.1
"""Seconds between two pictures of the bar."""


class Progress:
    """Shows how far some work is, while its context is entered.

    Arguments:
        title: What is being done: ``"sending"``.
        total: How many steps there are; None: nobody knows.
        file: Standard error.
        quiet: Show nothing.
    """

    def __init__(
        self, title: str, total: int | None, file: IO[str], *, quiet: bool = False
    ) -> None:
        self.title: str = title
        self.total: int | None = total
        self.file: IO[str] = file
        self.done: int = 0
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._next = 0.0

    def __enter__(self) -> Self:
        self._next = monotonic() + FIRST
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
            self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        """So many steps more are done."""
        self.done += steps
        now = monotonic()
        if self._quiet or now < self._next:
            return
        if is_terminal(self.file):
            self._next = now + REFRESH
            self._draw()
        else:
            self._next = now + INTERVAL
            of = "" if self.total is None else f" of {self.total:,}"
            print(f"{self.title}: {self.done:,}{of}", file=self.file, flush=True)

    def _draw(self) -> None:
        if self._bar is None:
            from rich import progress
            from rich.console import Console

            columns = (
                progress.TextColumn(self.title),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeRemainingColumn(),
            )
            console = Console(file=self.file)
            self._bar = progress.Progress(
                *columns, console=console, transient=True, auto_refresh=False
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total)
        self._bar.update(self._task, completed=self.done)
        self._bar.refresh()
