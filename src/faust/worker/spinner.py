"""A sign of life on the terminal while a worker starts.

Every log record, also one that is not shown, draws the next sprite: what turns, works. It needs the root logger to
let records of all levels through, so it is installed only where somebody can see it, and only until the worker is
ready.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import IO

__all__ = ["Spinner", "SpinnerHandler"]

HIDE_CURSOR = "\033[?25l"
SHOW_CURSOR = "\033[?25h"


class Spinner:
    """Draws sprites over one another.

    Arguments:
        file: A terminal.
    """

    sprites: str = "◐◓◑◒"

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.stopped: bool = False
        self._next = itertools.cycle(self.sprites)
        self._drawn = False

    def update(self) -> None:
        """Draw the next sprite over the one before."""
        if not self.stopped:
            self._write(("\b" if self._drawn else HIDE_CURSOR) + next(self._next))
            self._drawn = True

    def stop(self) -> None:
        """Wipe the sprite away, and draw no more."""
        if not self.stopped:
            self.stopped = True
            if self._drawn:
                self._write(f"\b \b{SHOW_CURSOR}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(UnicodeEncodeError, OSError, ValueError):  # it is an ornament only
            self.file.write(text)
            self.file.flush()


class SpinnerHandler(logging.Handler):
    """Turns a spinner with every record, and shows none.

    Arguments:
        spinner: The spinner.
    """

    def __init__(self, spinner: Spinner) -> None:
        super().__init__(logging.DEBUG)
        self.spinner = spinner

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - that it came is enough
        """Draw."""
        self.spinner.update()
