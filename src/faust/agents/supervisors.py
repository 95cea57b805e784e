"""Supervisors: what happens when an actor has crashed.

The strategies are those of `mode`; users name them by their classes, or derive their own. Underneath, three things are
done differently (service-framework.md 3, BUG-M3, and agents.md 3 a to c):

* the budget is a window: at most ``max_restarts`` crashes within any ``over`` seconds. (In `mode` it is a token bucket,
  and three actors that crash together take the process down.) Beyond it the supervisor crashes, and with it the worker;
* a crash is handled at once, also one that happens while another is being handled, and a replacement is started at once.
  (In `mode` either may wait for a poll, up to five seconds.) There is no poll;
* a member that was given up is not looked at again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import Any

import mode
from mode.exceptions import MaxRestartsExceeded

__all__ = ["CorrectedStrategy", "RestartBudget", "corrected"]

logger: logging.Logger = logging.getLogger(__name__)


class RestartBudget:
    """At most *limit* restarts within any *over* seconds.

    Arguments:
        limit: Restarts.
        over: Seconds.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, limit: float = 100.0, over: float = 1.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self.limit = limit
        self.over = over
        self._clock = clock
        self._times: deque[float] = deque()

    def spend(self, count: int = 1) -> bool:
        """Take *count* restarts; False when that is more than the budget."""
        now = self._clock()
        times = self._times
        while times and now - times[0] >= self.over:
            times.popleft()
        times.extend([now] * count)
        return len(times) <= self.limit


class CorrectedStrategy(mode.SupervisorStrategy):
    """A strategy of `mode` that wakes at once and counts its restarts in a window."""

    mundane_level = "debug"

    def __init__(self, *services: mode.ServiceT, **kwargs: Any) -> None:
        super().__init__(*services, **kwargs)
        self._budget = RestartBudget(self.max_restarts, self.over)
        self._awake = asyncio.Event()
        self._given_up: set[mode.ServiceT] = set()

    def wakeup(self) -> None:
        """Look at the members: one has crashed."""
        self._awake.set()

    def discard(self, *services: mode.ServiceT) -> None:
        """Supervise *services* no more; they are not stopped."""
        super().discard(*services)
        self._given_up.difference_update(services)

    @mode.Service.task
    async def _supervisor(self) -> None:
        while not self.should_stop:
            await self._awake.wait()
            self._awake.clear()
            crashed = [service for service in self._services if self._needs_help(service)]
            if crashed and not self.should_stop:
                await self._help(crashed)

    def _needs_help(self, service: mode.ServiceT) -> bool:
        return (
            service.started
            and not self.service_operational(service)
            and service not in self._given_up
        )

    async def _help(self, crashed: list[mode.ServiceT]) -> None:
        if not self._budget.spend(len(crashed)):
            await self.crash(
                MaxRestartsExceeded(
                    f"{self.label}: more than {self.max_restarts:g} crashes within {self.over:g} s;"
                    f" the last was {crashed[-1].crash_reason!r}"
                )
            )
            return
        await self.restart_services(crashed)
        self._given_up.update(service for service in crashed if service in self._services)

    async def restart_service(self, service: mode.ServiceT) -> None:
        """Put a replacement in the place of *service* and start it."""
        logger.debug("Restarting %s after %r", service.label, service.crash_reason)
        if self.replacement is None:
            await service.restart()
            return
        index = self._services.index(service)
        new = await self.replacement(service, index)
        self._services[index] = new
        self._contribute_to_service(new)
        await self.start_service(new)

    @property
    def label(self) -> str:
        """Name for people and logs."""
        return f"{type(self).__name__} of {len(self._services)}"


@cache
def corrected(strategy: type[mode.SupervisorStrategyT]) -> type[mode.SupervisorStrategyT]:
    """Return *strategy* on top of what is done differently here; what it overrides itself stays.

    A class that does not derive from `mode.SupervisorStrategy` is returned unchanged.
    """
    if not issubclass(strategy, mode.SupervisorStrategy) or issubclass(strategy, CorrectedStrategy):
        return strategy
    return type(strategy.__name__, (strategy, CorrectedStrategy), {"__module__": __name__})
