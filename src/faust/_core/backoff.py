"""How long to wait before the next attempt: exponential, jittered, bounded.

The wait doubles with every failure, so that a broker that is down is not hammered, and is spread at
random, so that a thousand workers which lost the same broker do not come back in step (M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015; KIP-580 gives Kafka's own clients the
same treatment).

KIP-580 computes ``min(maximum, initial * 2**failures * uniform(0.8, 1.2))``. That has no jitter
left once the bound is reached, just when everybody waits for the same broker; here the bound comes
first and the jitter only shortens::

    min(maximum, initial * factor**failures) * uniform(1 - jitter, 1)

This module decides and does not wait: a `Backoff` is an endless iterator of seconds.
"""

from __future__ import annotations

import random as _random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Endless iterator of seconds to wait between attempts.

    Example:
        >>> delays = Backoff(0.1, 1.0, jitter=0.0)
        >>> [next(delays) for _ in range(5)]
        [0.1, 0.2, 0.4, 0.8, 1.0]

    Args:
        initial: Seconds before the second attempt; more than 0.
        maximum: Upper bound of a wait in seconds; not less than *initial*.
        factor: By how much the wait grows with each failure; 1 or more.
        jitter: Share of each wait that is left to chance, 0 (none) to 1 (all of it).
        random: Source of chance: returns a number in [0, 1).

    Attributes:
        failures: Waits handed out since the start or the last `reset`.

    Raises:
        ValueError: An argument is out of its range.
    """

    __slots__ = ("_delay", "_random", "factor", "failures", "initial", "jitter", "maximum")

    def __init__(
        self,
        initial: float = 0.1,
        maximum: float = 30.0,
        *,
        factor: float = 2.0,
        jitter: float = 0.2,
        random: Callable[[], float] = _random.random,
    ) -> None:
        if not initial > 0:
            raise ValueError(f"initial: expected more than 0 seconds, got {initial}")
        if not maximum >= initial:
            raise ValueError(
                f"maximum: expected at least {initial} (initial) seconds, got {maximum}"
            )
        if not factor >= 1:
            raise ValueError(f"factor: expected 1 or more, got {factor}")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter: expected a share between 0 and 1, got {jitter}")
        self.initial = initial
        self.maximum = maximum
        self.factor = factor
        self.jitter = jitter
        self.failures = 0
        self._random = random
        self._delay = initial

    def __iter__(self) -> Backoff:
        return self

    def __next__(self) -> float:
        delay = self._delay
        self.failures += 1
        self._delay = min(self.maximum, delay * self.factor)
        return delay * (1.0 - self.jitter * self._random())

    def reset(self) -> None:
        """Begin anew with the shortest wait: an attempt has succeeded."""
        self.failures = 0
        self._delay = self.initial
