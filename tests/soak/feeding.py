"""Numbers that come at a steady rate, by the clock: nobody's slowness makes them come later, unless that is asked for."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable

from faust.transport.base import ProducerOptions, Transport

__all__ = ["TICK", "Feeder"]

TICK = 0.05
"""Seconds between two rounds."""


class Feeder:
    """Sends the numbers from 0 on, as JSON, number n to partition ``n % partitions``.

    Arguments:
        transport: To the broker.
        topic: Which is there.
        rate: Numbers per second.
        partitions: Of the topic.
        room: Says up to which number may be sent now; None: number n is sent n / rate seconds after the beginning,
            however many have not been worked off.

    Attributes:
        sent: How many have been sent.
        began: Wall clock (seconds) of the beginning.
    """

    def __init__(
        self,
        transport: Transport,
        topic: str,
        rate: int,
        partitions: int,
        *,
        room: Callable[[], int] | None = None,
    ) -> None:
        self.sent = 0
        self.began = 0.0
        self._transport = transport
        self._topic = topic
        self._rate = rate
        self._partitions = partitions
        self._room = room
        self._firsts: list[int] = []
        self._times: list[float] = []

    def due(self, number: int) -> float:
        """Return the wall clock time (seconds) at which a number should have been sent; when there must be room: was."""
        if self._room is None:
            return self.began + number / self._rate
        return self._times[bisect_right(self._firsts, number) - 1]

    async def feed(self, seconds: float) -> None:
        """Send for so many seconds."""
        driver = self._transport.producer(ProducerOptions())
        await driver.start()
        found = await driver.load_partitions(self._topic)
        assert len(found) == self._partitions
        began, self.began = time.monotonic(), time.time()
        before = 0.0
        try:
            while (passed := time.monotonic() - began) < seconds:
                until = self._until(passed, before)
                before = passed
                for number in range(self.sent, until):
                    driver.append(self._topic, number % self._partitions, None, b"%d" % number)
                self.sent = until
                await driver.wait_room()
                await asyncio.sleep(TICK)
            await driver.flush()
        finally:
            await driver.close()

    def _until(self, passed: float, before: float) -> int:
        if self._room is None:
            return int(passed * self._rate)
        self._firsts.append(self.sent)
        self._times.append(time.time())
        more = int((passed - before) * self._rate)
        return max(self.sent, min(self.sent + more, self._room()))
