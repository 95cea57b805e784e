"""Letting a driver's thread run while an application's loop is never idle.

CPython hands its interpreter lock to a waiting thread when the running one blocks, or when the
waiting one has asked for it after ``sys.getswitchinterval()`` (5 ms) *without the lock having been
free in between*. An asyncio loop that always has something to do frees the lock once per turn, for
the microsecond that ``epoll_wait(0)`` takes: too short for the other thread to wake up and take it,
long enough to set its 5 ms back to zero. Measured on 2 cores with turns of half a millisecond: the
other thread stood still for up to 20 seconds. Heartbeats live there.

So the loop itself looks, now and then, whether the driver's thread is behind with its work, and if
so blocks for a moment until it is not. That costs nothing when it is not, and at most a quarter of
the loop's time when it is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

__all__ = ["Courtesy"]

LOOK_SOON = 0.002
"""Seconds after which somebody looks at work that was just handed over."""
LOOK_OFTEN = 0.1
"""Seconds between looks when nothing is waited for: the thread may be late with something of its own."""
STAND_BACK = 0.001
"""Seconds that the loop blocks at most, each time."""


class Courtesy:
    """One application's loop towards one driver's thread.

    Arguments:
        loop: The application's loop; all methods are called there.
        behind: Says whether the thread has work that it should have done by now. Must not block.
        turned: Set by the thread whenever it has finished something.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        behind: Callable[[], bool],
        turned: threading.Event,
    ) -> None:
        self._loop = loop
        self._behind = behind
        self._turned = turned
        self._users = 0
        self._timer: asyncio.TimerHandle | None = None
        self._soon = False

    def keep(self) -> None:
        """Look now and then from now on; balanced by `leave`."""
        self._users += 1
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_OFTEN, self._look)

    def leave(self) -> None:
        """Look no longer, when all who asked for it have left."""
        self._users -= 1
        if not self._users and self._timer is not None and not self._soon:
            self._timer.cancel()
            self._timer = None

    def expect(self) -> None:
        """Something was handed over to the thread: look soon whether it was done."""
        if self._soon:
            return
        self._soon = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LOOK_SOON, self._look)

    def _look(self) -> None:
        self._timer = None
        self._soon = self._behind()
        if self._soon:
            self._turned.clear()
            self._turned.wait(STAND_BACK)
        if self._soon or self._users:
            delay = LOOK_SOON if self._soon else LOOK_OFTEN
            self._timer = self._loop.call_later(delay, self._look)
