"""TestRunner: one execution of a case, from the first look at it to its report."""

from __future__ import annotations

import asyncio
import logging
import traceback
from time import monotonic
from typing import Any, NoReturn

from mode.utils.times import humanize_seconds

from faust.livecheck.exceptions import (
    LiveCheckError,
    LiveCheckTestFailed,
    LiveCheckTestRaised,
    LiveCheckTestSkipped,
    LiveCheckTestTimeout,
)
from faust.livecheck.locals import current_execution_stack, current_test_stack
from faust.livecheck.models import State, TestExecution, TestReport
from faust.models.base import maybe_model

__all__ = ["TestRunner"]

logger: logging.Logger = logging.getLogger(__name__)


class TestRunner:
    """Executes a test.

    Arguments:
        case: The case.
        test: What to execute.
        started: When (seconds of the monotonic clock).

    Attributes:
        state: How it goes.
        ended: When it has ended; None: not yet.
        runtime: Seconds that it took; None: it has not ended.
        error: What was raised.
        signal_latency: Signal -> seconds that it was waited for.
        logs: Lines that are written when it ends: format and arguments.
        report: Its report; None: there is none.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, case: Any, test: TestExecution, started: float) -> None:
        self.case: Any = case
        self.test: TestExecution = test
        self.started: float = started
        self.state: State = State.INIT
        self.ended: float | None = None
        self.runtime: float | None = None
        self.error: BaseException | None = None
        self.signal_latency: dict[str, float] = {}
        self.logs: list[tuple[str, tuple[Any, ...]]] = []
        self.report: TestReport | None = None

    async def execute(self) -> None:
        """Execute the test, tell the case, and report.

        Raises:
            LiveCheckError: It has not passed; see `faust.livecheck.exceptions`.
            asyncio.CancelledError: It was interrupted; nothing is told or reported.
        """
        test = self.test
        try:
            with current_test_stack.push(test), current_execution_stack.push(self):
                await self._execute()
        except asyncio.CancelledError:
            raise
        except LiveCheckTestSkipped as exc:
            await self.on_skipped(exc)
            raise
        except LiveCheckTestTimeout as exc:
            await self.on_timeout(exc)
            raise
        except AssertionError as exc:
            await self.on_failed(exc)
            raise LiveCheckTestFailed(exc) from exc
        except LiveCheckError as exc:
            await self.on_error(exc)
            raise
        except Exception as exc:
            await self.on_error(exc)
            raise LiveCheckTestRaised(exc) from exc
        else:
            await self.on_pass()

    async def _execute(self) -> None:
        case, test = self.case, self.test
        if not case.active:
            await self.skip("case inactive")
        if test.is_expired:
            await self.skip("expired")
        args = [maybe_model(arg) for arg in test.test_args]
        kwargs = {name: maybe_model(arg) for name, arg in test.test_kwargs.items()}
        await self.on_start()
        await case.run(*args, **kwargs)

    async def skip(self, reason: str) -> NoReturn:
        """End the execution: it says nothing about the system.

        Raises:
            LiveCheckTestSkipped: Always.
        """
        raise LiveCheckTestSkipped(f"Test {self.test.ident} skipped: {reason}")

    # -- moments

    async def on_start(self) -> None:
        """The test begins."""
        self.log_info(
            "≈≈≈ Test %s executing... (issued %s) ≈≈≈", self.test.shortident, self.test.human_date
        )
        await self.case.on_test_start(self)

    async def on_signal_wait(self, signal: Any, timeout: float | None) -> None:
        """The test waits for a signal, for *timeout* seconds."""
        limit = "" if timeout is None else f" (timeout={humanize_seconds(timeout, now='0')})"
        self.log_info(
            "∆ %r/%r %s waiting%s", signal.index, len(self.case.signals), signal.name, limit
        )

    async def on_signal_received(self, signal: Any, time_start: float, time_end: float) -> None:
        """A signal has come; remember how long it was waited for."""
        latency = time_end - time_start
        self.signal_latency[signal.name] = latency
        self.log_info("%s received after %.3f s", signal.name, latency)

    async def on_skipped(self, exc: LiveCheckTestSkipped) -> None:
        """The test was skipped; it is not reported."""
        self.state = State.SKIP
        logger.info("%s", exc)
        await self.case.on_test_skipped(self)

    async def on_failed(self, exc: BaseException) -> None:
        """An assertion has failed."""
        await self._ended_with(State.FAIL, exc, "Test failed: %s: %s")
        await self.case.on_test_failed(self, exc)
        await self._finalize()

    async def on_error(self, exc: BaseException) -> None:
        """The test has raised."""
        await self._ended_with(State.ERROR, exc, "Test raised: %s: %r")
        await self.case.on_test_error(self, exc)
        await self._finalize()

    async def on_timeout(self, exc: BaseException) -> None:
        """A signal has not come in time."""
        await self._ended_with(State.TIMEOUT, exc, "Test timed out: %s: %s")
        await self.case.on_test_timeout(self, exc)
        await self._finalize()

    async def on_pass(self) -> None:
        """The test has passed."""
        self.state = State.DO_NOT_SHARE
        await self.end()
        self.log_info("Test OK in %.3f s √", self.runtime or 0.0)
        self._flush_logs()
        await self.case.on_test_pass(self)
        await self._finalize()

    async def end(self) -> None:
        """Remember when it ended, and how long it took."""
        self.ended = monotonic()
        self.runtime = self.ended - self.started

    async def _ended_with(self, state: State, exc: BaseException, line: str) -> None:
        self.state, self.error = state, exc
        await self.end()
        self._flush_logs(logging.ERROR)
        logger.error(line, self.test.ident, exc, exc_info=exc)

    async def _finalize(self) -> None:
        error = self.error
        self.report = TestReport(
            case_name=self.case.name,
            state=self.state,
            test=self.test,
            runtime=self.runtime,
            signal_latency=self.signal_latency,
            error=None if error is None else str(error),
            traceback=None if error is None else "".join(traceback.format_exception(error)),
        )
        await self.case.post_report(self.report)

    # -- log

    def log_info(self, msg: str, *args: Any) -> None:
        """Log at the end of the test, or at once with `Case.realtime_logs`."""
        if self.case.realtime_logs:
            logger.info(msg, *args)
        else:
            self.logs.append((msg, args))

    def _flush_logs(self, level: int = logging.INFO) -> None:
        """Write what was held back, in one piece: tests that run at the same time do not mix."""
        logs, self.logs = self.logs, []
        if logs:
            logger.log(level, "%s", "\n".join(msg % args for msg, args in logs))
