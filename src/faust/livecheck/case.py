"""Case: a test of a system that is live, its statistics, and what is watched besides.

A case has a state. Executions that fail let it follow them; too many in a row, a service that does not answer, or no
execution for too long let the *suite* fail, which is reported by itself. After that the case is passed again only when
`Case.state_transition_delay` seconds are over, so that it does not flap.
"""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from time import monotonic
from typing import Any, ClassVar
from uuid import uuid4

from aiohttp import ClientTimeout
from mode import Service
from mode.utils.times import humanize_seconds, want_seconds
from yarl import URL

from faust.livecheck import requests
from faust.livecheck.exceptions import ServiceDown, SuiteFailed, SuiteStalled
from faust.livecheck.locals import current_execution, current_test, current_test_stack
from faust.livecheck.models import SignalEvent, State, TestExecution, TestReport
from faust.livecheck.runners import TestRunner as _TestRunner
from faust.livecheck.signals import BaseSignal

__all__ = ["Case"]

logger: logging.Logger = logging.getLogger(__name__)

STATS_INTERVAL = 10.0
"""Seconds between two looks at the medians."""

Seconds = float | timedelta | str


class Case(Service):
    """A test of a system that is live; made by `LiveCheck.case`, which has the same arguments.

    Attributes:
        name: Module and name of the class.
        probability: Share of `maybe_trigger` that triggers, 0 to 1.
        active: False: executions are skipped.
        frequency: Seconds between two calls of `make_fake_request`, by the leader; None: it is not called.
        warn_stalled_after: Seconds without an execution after which the suite has stalled.
        test_expires: Seconds after which an execution that has not begun is skipped.
        max_consecutive_failures: Failures in a row with which the suite fails.
        max_history: Length of the three histories.
        url_timeout_total: Seconds that a request may take; None: any time.
        url_timeout_connect: Seconds that connecting may take; None: any time.
        url_error_retries: How often a request is sent again.
        url_error_delay_min: Seconds before it is sent again, times the next one.
        url_error_delay_backoff: What the delay is multiplied with before each time.
        url_error_delay_max: Seconds that the delay is at most.
        state_transition_delay: Seconds after a failed suite before the case can be passed.
        realtime_logs: Log at once, not at the end of an execution.
        signals: The signals, by name.
        status: How the case is doing.
        last_test_received: When the last execution began (seconds of the monotonic clock); None: never.
        last_fail: When the suite failed for the last time (the same); None: never.
        consecutive_failures: Failures since it was passed.
        total_failures: All failures.
        total_by_state: How often it came into each state.
        latency_history: Interval between executions, less `frequency` (seconds).
        frequency_history: Interval between executions (seconds).
        runtime_history: What executions that passed took (seconds).
        latency_avg, frequency_avg, runtime_avg: Medians of the histories.
    """

    abstract: ClassVar[bool] = True

    Runner: ClassVar[type[_TestRunner]] = _TestRunner

    probability: float = 0.5
    active: bool = True
    frequency: float | None = None
    warn_stalled_after: float = 1800.0
    test_expires: float = 3 * 3600.0
    max_consecutive_failures: int = 30
    max_history: int = 100
    url_timeout_total: float | None = 300.0
    url_timeout_connect: float | None = None
    url_error_retries: int = 10
    url_error_delay_min: float = 0.5
    url_error_delay_backoff: float = 1.5
    url_error_delay_max: float = 5.0
    state_transition_delay: float = 60.0
    realtime_logs: bool = False

    def __init__(
        self,
        *,
        app: Any,
        name: str,
        probability: float | None = None,
        warn_stalled_after: Seconds | None = None,
        active: bool | None = None,
        signals: Iterable[BaseSignal[Any]] | None = None,
        test_expires: Seconds | None = None,
        frequency: Seconds | None = None,
        realtime_logs: bool | None = None,
        max_history: int | None = None,
        max_consecutive_failures: int | None = None,
        url_timeout_total: float | None = None,
        url_timeout_connect: float | None = None,
        url_error_retries: int | None = None,
        url_error_delay_min: float | None = None,
        url_error_delay_backoff: float | None = None,
        url_error_delay_max: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.app = app
        self.name: str = name
        given: dict[str, Any] = {
            "probability": probability,
            "warn_stalled_after": _seconds(warn_stalled_after),
            "active": active,
            "test_expires": _seconds(test_expires),
            "frequency": _seconds(frequency),
            "realtime_logs": realtime_logs,
            "max_history": max_history,
            "max_consecutive_failures": max_consecutive_failures,
            "url_timeout_total": url_timeout_total,
            "url_timeout_connect": url_timeout_connect,
            "url_error_retries": url_error_retries,
            "url_error_delay_min": url_error_delay_min,
            "url_error_delay_backoff": url_error_delay_backoff,
            "url_error_delay_max": url_error_delay_max,
        }
        for option, value in given.items():
            if value is not None:
                setattr(self, option, value)
        if not 0 <= self.probability <= 1:
            raise ValueError(f"case {name}: probability must be 0 to 1, got {self.probability!r}")
        self.signals: dict[str, BaseSignal[Any]] = {signal.name: signal for signal in signals or ()}
        self.status: State = State.INIT
        self.last_test_received: float | None = None
        self.last_fail: float | None = None
        self.consecutive_failures: int = 0
        self.total_failures: int = 0
        self.total_by_state: Counter[State] = Counter()
        self.latency_history: deque[float] = deque(maxlen=self.max_history)
        self.frequency_history: deque[float] = deque(maxlen=self.max_history)
        self.runtime_history: deque[float] = deque(maxlen=self.max_history)
        self.latency_avg: float | None = None
        self.frequency_avg: float | None = None
        self.runtime_avg: float | None = None
        super().__init__(**kwargs)
        for signal in self.signals.values():
            signal.case = self
            setattr(self, signal.name, signal)

    # -- triggering

    @asynccontextmanager
    async def maybe_trigger(
        self, id: str | None = None, *args: Any, **kwargs: Any
    ) -> AsyncIterator[TestExecution | None]:
        """Trigger the test with `probability`; it is current inside the ``async with`` block.

        Arguments:
            id: Id of the execution; None: a new one.
            args: Arguments of `run`.
            kwargs: Keyword arguments of `run`.
        """
        if random.random() >= self.probability:
            yield None
            return
        test = await self.trigger(id, *args, **kwargs)
        with current_test_stack.push(test):
            yield test

    async def trigger(self, id: str | None = None, *args: Any, **kwargs: Any) -> TestExecution:
        """Have the test executed; see `maybe_trigger` for the arguments."""
        now = datetime.now(UTC)
        test = TestExecution(
            id=id or str(uuid4()),
            case_name=self.name,
            timestamp=now,
            test_args=list(args),
            test_kwargs=kwargs,
            expires=now + timedelta(seconds=self.test_expires),
        )
        await self.app.publish(self.app.pending_tests, test.id, test)
        return test

    async def run(self, *test_args: Any, **test_kwargs: Any) -> None:
        """Test the system; override this."""
        raise NotImplementedError(f"case {self.name} has no method run")

    async def make_fake_request(self) -> None:
        """Make a request that triggers the test, every `frequency` seconds; override this."""

    # -- executing

    async def resolve_signal(self, key: Any, event: SignalEvent) -> None:
        """A signal of this case has come on the bus."""
        signal = self.signals.get(event.signal_name)
        if signal is None:
            logger.error("LiveCheck: case %s has no signal %r", self.name, event.signal_name)
            return
        await signal.resolve(key, event)

    async def execute(self, test: TestExecution) -> None:
        """Execute a test.

        Raises:
            LiveCheckError: It has not passed.
        """
        now = monotonic()
        if self.last_test_received is not None:
            interval = now - self.last_test_received
            self.frequency_history.append(interval)
            if self.frequency is not None:
                self.latency_history.append(interval - self.frequency)
        self.last_test_received = now
        await self.Runner(self, test, started=now).execute()

    async def on_test_start(self, runner: _TestRunner) -> None:
        """An execution begins."""

    async def on_test_skipped(self, runner: _TestRunner) -> None:
        """An execution was skipped."""

    async def on_test_failed(self, runner: _TestRunner, exc: BaseException) -> None:
        """An assertion of an execution has failed."""
        await self._failed(State.FAIL)

    async def on_test_error(self, runner: _TestRunner, exc: BaseException) -> None:
        """An execution has raised."""
        await self._failed(State.ERROR)

    async def on_test_timeout(self, runner: _TestRunner, exc: BaseException) -> None:
        """A signal has not come in time."""
        await self._failed(State.TIMEOUT)

    async def on_test_pass(self, runner: _TestRunner) -> None:
        """An execution has passed."""
        if runner.runtime is not None:
            self.runtime_history.append(runner.runtime)
        self._recover()

    async def _failed(self, state: State) -> None:
        self.status = state
        self.consecutive_failures += 1
        self.total_failures += 1
        self.total_by_state[state] += 1
        if self.consecutive_failures >= self.max_consecutive_failures:
            await self.on_suite_fail(
                SuiteFailed(
                    f"Failed after {self.consecutive_failures} (max={self.max_consecutive_failures})"
                )
            )

    def _recover(self) -> None:
        """Be passed again, if the suite has not failed just now."""
        if self.status is not State.DO_NOT_SHARE and self._failed_long_ago():
            self.status = State.DO_NOT_SHARE
            self.consecutive_failures = 0
            self.total_by_state[State.DO_NOT_SHARE] += 1

    async def on_suite_fail(self, exc: SuiteFailed, new_state: State = State.FAIL) -> None:
        """The case fails as a whole: log and report it, unless it has done so just now."""
        news = self.status.is_ok() or self._failed_long_ago()
        self.status = new_state
        self.last_fail = monotonic()
        if not news:
            return
        logger.error("LiveCheck: %s: %s: %s", self.name, type(exc).__name__, exc)
        await self.post_report(
            TestReport(
                case_name=self.name,
                state=new_state,
                test=None,
                runtime=None,
                signal_latency={},
                error=str(exc),
                traceback="".join(traceback.format_exception(exc)),
            )
        )

    @property
    def seconds_since_last_fail(self) -> float | None:
        """Seconds since the suite failed for the last time; None: it never has."""
        return None if self.last_fail is None else monotonic() - self.last_fail

    def _failed_long_ago(self) -> bool:
        since = self.seconds_since_last_fail
        return since is None or since > self.state_transition_delay

    async def post_report(self, report: TestReport) -> None:
        """Report something; see `LiveCheck.post_report`."""
        await self.app.post_report(report)

    # -- watching

    @Service.task
    async def _make_fake_requests(self) -> None:
        while self.frequency is not None and not self.should_stop:
            await self.sleep(self.frequency)
            if not self.should_stop and self.app.is_leader():
                try:
                    await self.make_fake_request()
                except Exception:
                    logger.exception("LiveCheck: %s: make_fake_request failed", self.name)

    @Service.task
    async def _watch_for_stall(self) -> None:
        began = monotonic()
        while not self.should_stop:
            await self.sleep(self.warn_stalled_after)
            if not self.should_stop:
                await self.check_stalled(began)

    async def check_stalled(self, began: float) -> None:
        """Let the suite fail if it was not executed for too long, since *began* (monotonic clock) at the least."""
        last = began if self.last_test_received is None else self.last_test_received
        seconds = monotonic() - last
        if seconds >= self.warn_stalled_after:
            stalled = SuiteStalled(
                f"Test stalled! Last received {humanize_seconds(seconds, now='no time')} ago"
                f" (warn_stalled_after={humanize_seconds(self.warn_stalled_after)})"
            )
            await self.on_suite_fail(stalled, State.STALL)
        elif self.status is State.STALL:
            self._recover()

    @Service.task
    async def _compute_stats(self) -> None:
        while not self.should_stop:
            await self.sleep(STATS_INTERVAL)
            if self.should_stop:
                return
            self.sample()
            logger.info(
                "LiveCheck: %s: %s, latency %s, frequency %s, runtime %s (seconds, medians), failures %d",
                self.name,
                self.status.name,
                *(_shown(one) for one in (self.latency_avg, self.frequency_avg, self.runtime_avg)),
                self.total_failures,
            )

    def sample(self) -> None:
        """Bring the medians up to date; called every ten seconds."""
        for average, history in (
            ("latency_avg", self.latency_history),
            ("frequency_avg", self.frequency_history),
            ("runtime_avg", self.runtime_history),
        ):
            if history:
                setattr(self, average, median(history))

    # -- requests

    async def get_url(self, url: str | URL, **kwargs: Any) -> bytes | None:
        """Send a GET request; see `url_request`."""
        return await self.url_request("get", url, **kwargs)

    async def post_url(self, url: str | URL, **kwargs: Any) -> bytes | None:
        """Send a POST request; see `url_request`."""
        return await self.url_request("post", url, **kwargs)

    async def url_request(self, method: str, url: str | URL, **kwargs: Any) -> bytes | None:
        """Send a request, again and again if need be; if the service stays silent the suite fails.

        Arguments:
            method: Method of HTTP.
            url: Where to.
            kwargs: For `aiohttp.ClientSession.request`.

        Returns:
            The body of the answer; None: there was none, and the suite has failed.
        """
        try:
            return await requests.request(
                self.app.http_client,
                method.upper(),
                url,
                retries=requests.Retries(
                    self.url_error_retries,
                    self.url_error_delay_min,
                    self.url_error_delay_backoff,
                    self.url_error_delay_max,
                ),
                timeout=ClientTimeout(
                    total=self.url_timeout_total, connect=self.url_timeout_connect
                ),
                sleep=asyncio.sleep,
                **kwargs,
            )
        except ServiceDown as exc:
            await self.on_suite_fail(exc)
            return None

    # -- what runs now

    @property
    def current_test(self) -> TestExecution | None:
        """The test that the running code is part of."""
        return current_test()

    @property
    def current_execution(self) -> _TestRunner | None:
        """What executes the running code."""
        runner: _TestRunner | None = current_execution()
        return runner

    @property
    def label(self) -> str:
        """Name for people and logs."""
        return f"{type(self).__name__}: {self.name}"


def _seconds(value: Seconds | None) -> float | None:
    return None if value is None else want_seconds(value)


def _shown(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:.3f}"
