"""What recovery and standbys have in common: asking where changelogs begin and end, and reading them from a place.

A request that times out or fails for a reason that may pass is repeated for ever, with growing pauses; it is said in
the log each time, and `ChangelogReader.doing` says what is being waited for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from time import monotonic
from typing import Protocol, TypeVar

from faust.exceptions import AuthenticationFailed, AuthorizationFailed, BrokerError
from faust.messages import TP, Record, Slice
from faust.tables.plan import Bounds

__all__ = ["ChangelogReader", "OnEvent", "Reader", "retried"]

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

OnEvent = Callable[[TP, Record], Awaitable[None]]
"""Awaited with a record of a changelog before it is applied."""

SETTLE = 0.005
"""Seconds in which slices taken before a seek have certainly come by."""
FIRST_RETRY = 0.1
LAST_RETRY = 10.0


class Reader(Protocol):
    """What is asked of the consumer service."""

    def pause(self, tps: Collection[TP]) -> None:
        """Stop fetching."""
        ...

    def resume(self, tps: Collection[TP]) -> None:
        """Fetch again."""
        ...

    async def seek(self, offsets: Mapping[TP, int]) -> None:
        """Go on at other offsets."""
        ...

    async def position(self, tp: TP) -> int:
        """Return the next offset to be handed over."""
        ...

    async def beginning_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return log start offsets."""
        ...

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the offsets up to which may be read: before open transactions, where only what is committed is."""
        ...

    async def log_end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return next offsets to be written."""
        ...

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the identities of topics, of those that have one."""
        ...

    def route(self, topic: str, sink: Callable[[Slice], None] | None) -> None:
        """Give the slices of a topic to *sink*, synchronously and as soon as they are taken; None: undo."""
        ...


async def retried(
    what: str,
    call: Callable[[], Awaitable[T]],
    timeout: float,
    *,
    trouble: Callable[[str], None] = lambda _why: None,
) -> T:
    """Await *call*, again and again until it succeeds; each attempt may take *timeout* seconds.

    Arguments:
        what: What it does, for the log: "Recovery: cannot ...".
        call: Makes an attempt.
        timeout: Seconds.
        trouble: Told why the last attempt failed; an empty text in the end.

    Raises:
        AuthenticationFailed: Another attempt would not help.
        AuthorizationFailed: The same.
    """
    pause = FIRST_RETRY
    attempt = 1
    while True:
        try:
            async with asyncio.timeout(timeout):
                result = await call()
        except (AuthenticationFailed, AuthorizationFailed):
            raise
        except (TimeoutError, BrokerError) as exc:
            why = f"no answer within {timeout:g} s" if isinstance(exc, TimeoutError) else str(exc)
            logger.warning("Recovery: cannot %s (attempt %d): %s; trying again", what, attempt, why)
            trouble(f"cannot {what} (attempt {attempt}): {why}")
        else:
            if attempt > 1:
                trouble("")
            return result
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, LAST_RETRY)
        attempt += 1


class ChangelogReader:
    """Reads changelog partitions with a consumer that others use, too.

    Arguments:
        reader: The consumer.
        generation: Generation of the assignment; slices of another one are dropped.
        timeout: Seconds that one request may take.

    Attributes:
        trouble: Why a request has to be repeated; empty when all is well.
    """

    def __init__(self, reader: Reader, *, generation: int, timeout: float) -> None:
        self.reader = reader
        self.generation = generation
        self.timeout = timeout
        self.trouble: str = ""
        self._hearing: set[TP] = set()
        self._heard: dict[TP, float] = {}
        self._checked: dict[TP, float] = {}

    def hears(self, batch: Slice) -> bool:
        """Say whether *batch* was read from where we wanted it; what is not ours (any more) is dropped."""
        return batch.generation == self.generation and batch.tp in self._hearing

    async def ask(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make a request, until it succeeds."""
        return await retried(what, call, self.timeout, trouble=self._note_trouble)

    def _note_trouble(self, why: str) -> None:
        self.trouble = why

    async def bounds(self, tps: Collection[TP]) -> dict[TP, Bounds]:
        """Ask where the logs begin and end."""
        tps = frozenset(tps)
        if not tps:
            return {}
        beginning = await self.ask(
            "ask where the changelogs begin", partial(self.reader.beginning_offsets, tps)
        )
        end = await self.ask(
            "ask where the changelogs end", partial(self.reader.log_end_offsets, tps)
        )
        ids = await self.ask(
            "ask for the identities of the changelogs",
            partial(self.reader.topic_ids, {tp.topic for tp in tps}),
        )
        return {tp: Bounds(beginning[tp], end[tp], ids.get(tp.topic, "")) for tp in tps}

    async def read_from(self, offsets: Mapping[TP, int]) -> None:
        """Seek to *offsets*, and go on; the partitions are paused.

        Slices that were taken before the seek may still be on their way through the loop; until they have come by,
        nothing of these partitions is listened to.
        """
        if not offsets:
            return
        self._hearing.difference_update(offsets)
        await self.ask("seek in the changelogs", partial(self.reader.seek, offsets))
        await asyncio.sleep(SETTLE)
        self._hearing.update(offsets)
        now = monotonic()
        self._heard.update(dict.fromkeys(offsets, now))
        self._checked.update(dict.fromkeys(offsets, now))
        self.reader.resume(list(offsets))
