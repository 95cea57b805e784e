"""The watchdog: ends a worker whose event loop does not come round any more.

Everything else that judges the worker runs on its event loop, and is silent when that is blocked; the Kafka client's thread goes on
sending heartbeats meanwhile, so that nobody else gets the partitions. This is a thread that does nothing but look at a clock.
It is started with setting ``health_exit_timeout``, in a worker only: the process of somebody else is not ours to end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from faust.utils.stacks import place_of_thread

__all__ = ["Watchdog"]

STATUS = 1
"""Exit status of the process."""


class Watchdog:
    """Ends the process when a number does not change for too long.

    Its own ticks are counted, not the clock: a process that was stopped by a signal, or a machine that slept, gets its time again.

    Arguments:
        beat: Returns a number that changes while the loop comes round.
        limit: Seconds.
        ident: Thread of the loop.
        tick: Seconds between two looks.
    """

    def __init__(
        self, beat: Callable[[], float], *, limit: float, ident: int, tick: float = 1.0
    ) -> None:
        self.beat = beat
        self.limit = limit
        self.ident = ident
        self.tick = tick
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()

    def _watch(self) -> None:
        seen, still = self.beat(), 0.0
        while not self._stop.wait(self.tick):
            now = self.beat()
            seen, still = now, still + self.tick if now == seen else 0.0
            if still > self.limit:
                self._end(still)

    def _end(self, still: float) -> None:
        place = place_of_thread(self.ident)
        text = (
            f"The worker ends: its event loop has been blocked for {still:.0f} s (setting health_exit_timeout),"
            f" it is at {place}\n"
        )
        os.write(2, text.encode(errors="replace"))
        os._exit(STATUS)
