"""What the broker's thread sleeps on: jobs of its own process, and writes of others.

Where there is inotify (Linux), the kernel tells when a file of the broker's directory is written
to: SQLite appends each commit to its write-ahead log. The word comes a moment before the commit can
be seen, so the thread looks for a while. Elsewhere it looks all the time (`Alarm.watches` is false).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import socket
import sys
from pathlib import Path

__all__ = ["Alarm"]

_IN_MODIFY = 0x2  # <sys/inotify.h>


class Alarm:
    """Wakes one sleeping thread.

    Arguments:
        directory: Whose files to watch; None: nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._rung = False
        self._inner, self._outer = socket.socketpair()
        for end in (self._inner, self._outer):
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inner, selectors.EVENT_READ)
        self._inotify = _inotify(directory) if directory is not None else -1
        if self._inotify >= 0:
            self._selector.register(self._inotify, selectors.EVENT_READ)

    @property
    def watches(self) -> bool:
        """Whether writes of other processes wake the sleeper."""
        return self._inotify >= 0

    def ring(self) -> None:
        """Wake the sleeper, from any thread."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(BlockingIOError, OSError):
                self._outer.send(b"\0")

    def sleep(self, timeout: float) -> bool:
        """Sleep until somebody rings, a file is written, or *timeout* seconds are over.

        Whoever has put something down before he rang is sure that it is seen after this call.
        Returns whether a file was written.
        """
        written = False
        for key, _ in self._selector.select(max(timeout, 0.0)):
            if key.fd == self._inotify:
                written = True
                with contextlib.suppress(BlockingIOError):
                    os.read(self._inotify, 65536)
            else:
                with contextlib.suppress(BlockingIOError):
                    self._inner.recv(4096)
        self._rung = False
        return written

    def close(self) -> None:
        """Give back what the system lent."""
        self._selector.close()
        self._inner.close()
        self._outer.close()
        if self._inotify >= 0:
            os.close(self._inotify)


def _inotify(directory: Path) -> int:
    """Return a descriptor that is readable when a file in *directory* was written; -1: not here."""
    if sys.platform != "linux":
        return -1
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if descriptor < 0:
            return -1
        if libc.inotify_add_watch(descriptor, os.fsencode(directory), _IN_MODIFY) < 0:
            os.close(descriptor)
            return -1
    except (OSError, AttributeError):
        return -1
    return descriptor
