"""Signals: what a system under test tells, and what a case waits for.

What has come on the bus is kept in a `SignalBox`, as long as an execution may ask for it: a signal may be there before
the case waits for it, and the case may wait for it twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast

from mode.utils.times import humanize_seconds, want_seconds

from faust.livecheck.exceptions import LiveCheckTestTimeout
from faust.livecheck.locals import current_execution, current_test
from faust.livecheck.models import SignalEvent
from faust.models.base import maybe_model
from faust.utils import json

__all__ = ["BaseSignal", "Signal", "SignalBox"]

VT = TypeVar("VT")

Address = tuple[str, str, bytes]
"""Name of the signal, name of the case, key as JSON."""

SWEEP = 60.0
"""Seconds between two looks for signals that were kept long enough."""


class _Kept(NamedTuple):
    event: SignalEvent
    until: float


class SignalBox:
    """Signals that have come, and who waits for one.

    Arguments:
        clock: Time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kept: dict[Address, _Kept] = {}
        self._sweep_at = 0.0
        self._waiting: dict[Address, set[asyncio.Future[SignalEvent]]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, address: Address, event: SignalEvent, seconds: float) -> None:
        """Keep a signal for *seconds*, and wake who waits for it; what has been kept long enough is dropped."""
        now = self._clock()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            self._kept = {one: kept for one, kept in self._kept.items() if kept.until > now}
        self._kept[address] = _Kept(event, now + seconds)
        for future in self._waiting.pop(address, ()):
            if not future.done():
                future.set_result(event)

    def get(self, address: Address) -> SignalEvent | None:
        """Return a signal that has come; None: it has not."""
        kept = self._kept.get(address)
        return None if kept is None else kept.event

    async def wait(self, address: Address, timeout: float | None) -> SignalEvent:
        """Wait for a signal.

        Arguments:
            address: Which one.
            timeout: Seconds; None: for ever.

        Raises:
            TimeoutError: It has not come in time.
        """
        future: asyncio.Future[SignalEvent] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, set()).add(future)
        try:
            async with asyncio.timeout(timeout):
                return await future
        finally:
            waiting = self._waiting.get(address)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[address]


class BaseSignal(Generic[VT]):
    """Base class of signals.

    Arguments:
        name: Name: that of the attribute.
        case: The case it belongs to.
        index: Its number in the case, from 1.
    """

    def __init__(self, name: str = "", case: Any = None, index: int = -1) -> None:
        self.name: str = name
        self.case: Any = case
        self.index: int = index

    async def send(self, value: VT | None = None, *, key: Any = None, force: bool = False) -> None:
        """Tell that this has happened."""
        raise NotImplementedError

    async def wait(self, *, key: Any = None, timeout: float | timedelta | None = None) -> VT:
        """Wait until this has happened."""
        raise NotImplementedError

    async def resolve(self, key: Any, event: SignalEvent) -> None:
        """Give this signal to whoever waits for it, now or later."""
        self.case.app.signals.put(self._address(key), event, self.case.test_expires)

    def clone(self, **kwargs: Any) -> Self:
        """Return a signal like this one; what is given replaces its arguments."""
        return type(self)(**{"name": self.name, "case": self.case, "index": self.index, **kwargs})

    def _address(self, key: Any) -> Address:
        return self.name, self.case.name, json.dumps(key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"


class Signal(BaseSignal[VT]):
    """A signal that travels on the bus, a topic. Annotate an attribute of a case with it: ``created: Signal[Order]``."""

    async def send(self, value: VT | None = None, *, key: Any = None, force: bool = False) -> None:
        """Tell that this has happened; nothing is told outside of tests.

        Arguments:
            value: What `wait` returns: anything that JSON can tell, models too.
            key: Who waits must name the same; None: id of the current test.
            force: Tell it also outside of tests; needs *key*.

        Raises:
            AssertionError: *force* without *key* outside of tests.
        """
        test = current_test()
        if test is None and not force:
            return
        if key is None:
            assert test is not None, (
                f"signal {self.name}: send(force=True) needs a key outside tests"
            )
            key = test.id
        event = SignalEvent(signal_name=self.name, case_name=self.case.name, key=key, value=value)
        await self.case.app.publish(self.case.app.bus, str(key), event)

    async def wait(self, *, key: Any = None, timeout: float | timedelta | None = None) -> VT:
        """Wait until this has happened; at once if it has.

        Arguments:
            key: As it is given to `send`; None: id of the current test.
            timeout: Seconds; None: wait for ever.

        Returns:
            The value that was sent.

        Raises:
            RuntimeError: Not called inside of `Case.run`.
            LiveCheckTestTimeout: It has not happened in time.
            asyncio.CancelledError: LiveCheck stops.
        """
        runner = current_execution()
        if runner is None:
            raise RuntimeError("No test executing.")
        seconds = None if timeout is None else want_seconds(timeout)
        box: SignalBox = self.case.app.signals
        address = self._address(runner.test.id if key is None else key)
        await runner.on_signal_wait(self, timeout=seconds)
        began = monotonic()
        event = box.get(address)
        if event is None:
            try:
                event = await box.wait(address, seconds)
            except TimeoutError:
                raise LiveCheckTestTimeout(
                    f"Timed out waiting for signal {self.name} ({humanize_seconds(seconds or 0)})"
                ) from None
        await runner.on_signal_received(self, time_start=began, time_end=monotonic())
        return cast("VT", maybe_model(event.value))
