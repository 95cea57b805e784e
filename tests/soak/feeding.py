"""Numbers that come at a steady rate, by the clock: nobody's slowness makes them come later."""

from __future__ import annotations

import asyncio
import time

from faust.transport.base import ProducerOptions, Transport

__all__ = ["TICK", "Feeder"]

TICK = 0.05
"""Seconds between two rounds."""


class Feeder:
    """Sends the numbers from 0 on, number n at *rate* n; as JSON, to partition ``n % partitions``.

    Attributes:
        sent: How many have been sent.
        began: Wall clock (seconds) at which number 0 was due; number n is due n / rate seconds later.
    """

    def __init__(self, transport: Transport, topic: str, rate: int, partitions: int) -> None:
        self.sent = 0
        self.began = 0.0
        self._transport = transport
        self._topic = topic
        self._rate = rate
        self._partitions = partitions

    async def feed(self, seconds: float) -> None:
        """Send for so many seconds."""
        driver = self._transport.producer(ProducerOptions())
        await driver.start()
        found = await driver.load_partitions(self._topic)
        assert len(found) == self._partitions
        began, self.began = time.monotonic(), time.time()
        try:
            while (passed := time.monotonic() - began) < seconds:
                until = int(passed * self._rate)
                for number in range(self.sent, until):
                    driver.append(self._topic, number % self._partitions, None, b"%d" % number)
                self.sent = until
                await driver.wait_room()
                await asyncio.sleep(TICK)
            await driver.flush()
        finally:
            await driver.close()
