"""Process: what belongs to the process and not to the services that run in it.

Signals, logging, the event loop and the exit status. `faust.Worker` adds an application; the
commands of the command line run in a plain one.

How it ends. The first INT or TERM asks for a graceful stop. Three bounds make sure that asking leads
to an end:

* the stop itself may take `Process.stop_timeout` seconds; what still runs then is named in the log
  with where it waits, cancelled, and the exit status is 1;
* a blocked event loop cannot even begin to stop, so a thread that is started by the signal ends the
  process `BLOCKED_GRACE` seconds later, with the stack of the culprit;
* the second signal ends the process at once. (One within `SAME_REQUEST` seconds is the first one again: ``timeout``
  and other programs that run programs send it to the process and to its group.)

Ending without asking is safe: offsets are committed after the work, so what was not finished is done
again. Signal handlers therefore do as little as possible in signal context: they count, they start
the thread, and they leave the rest to the loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import io
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import IO, Any, NoReturn

import mode
from mode.utils.logging import FileLogProxy, cry
from mode.utils.logging import redirect_logger as redirected

from faust.exceptions import BrokerError, ConsistencyError, ImproperlyConfigured, Stalled
from faust.settings.params import LOG_LEVELS
from faust.utils import logs
from faust.utils.stacks import place_of

__all__ = ["Process", "explain", "level_number"]

BLOCKED_GRACE = 1.0
"""Seconds beyond the stop timeout after which a process whose loop is blocked is ended."""

CANCEL_TIMEOUT = 0.4
"""Seconds that left-over tasks, and then generators, have to react to being cancelled.

Twice this is less than `BLOCKED_GRACE`: who only waits for them is not blocked.
"""

SAME_REQUEST = 0.2
"""Seconds within which signals that ask for an end, and CONT beside them, are one request."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

EX_FAILURE = 1
EX_OSERR = getattr(os, "EX_OSERR", 71)


def level_number(level: str | int | None) -> int:
    """Return the number of a log level; None is WARNING.

    Raises:
        ImproperlyConfigured: there is no such level.
    """
    if level is None:
        return logging.WARNING
    if isinstance(level, int):
        return level
    try:
        return int(level) if level.isdigit() else LOG_LEVELS[level.upper()]
    except KeyError:
        known = ", ".join(name.lower() for name in LOG_LEVELS)
        raise ImproperlyConfigured(f"unknown log level {level!r}: choose one of {known}") from None


def explain(exc: BaseException) -> str | None:
    """Say in a sentence what the user or operator must act on; None: a fault of the program.

    A sentence needs no traceback; a fault does.
    """
    if isinstance(exc, ImproperlyConfigured | BrokerError | ConsistencyError | Stalled):
        return str(exc) or type(exc).__name__
    if isinstance(exc, OSError) and exc.filename:
        return f"{exc.strerror}: {exc.filename}"
    return None


class Process(mode.Worker):
    """A process that runs services until it is told to stop, or until they crash.

    The arguments are those of `mode.Worker`; ``loglevel`` and ``redirect_stdouts_level`` also take
    the names of the command line, and None for the streams means those of now.
    """

    stop_timeout: float = 7.0
    """Seconds that a graceful stop may take."""

    tells_why: bool = True
    """It says why it ends (`crash_because`)."""

    log_format: str = "text"
    """``text`` or ``json``."""

    def __init__(
        self,
        *services: mode.ServiceT,
        loglevel: str | int | None = None,
        logfile: str | Path | IO[str] | None = None,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
        redirect_stdouts_level: str | int | None = None,
        **options: Any,
    ) -> None:
        self._signals = 0
        self._signal: signal.Signals | None = None
        self._signalled_at = 0.0
        self._previous_handlers: dict[signal.Signals, Any] = {}
        self._last_resort: threading.Timer | None = None
        self._stop_overdue = False
        self._exit: BaseException | None = None
        super().__init__(
            *services,
            loglevel=level_number(loglevel),
            logfile=str(logfile) if isinstance(logfile, Path) else logfile,
            stdout=sys.stdout if stdout is None else stdout,
            stderr=sys.stderr if stderr is None else stderr,
            redirect_stdouts_level=level_number(redirect_stdouts_level or logging.INFO),
            **options,
        )

    def _say(self, msg: str, file: IO[str] | None = None, end: str = "\n", **options: Any) -> None:
        try:
            super()._say(msg, file=file, end=end, **options)
        except UnicodeEncodeError:  # the terminal has no such character
            plain = msg.encode("ascii", "ignore").decode()
            super()._say(plain, file=file, end=end, **options)

    # -- logging

    def _setup_logging(self) -> None:
        stream = filename = None
        if isinstance(self.logfile, str):
            filename = self.logfile
        else:
            stream = self.logfile or self.stderr
        level = level_number(self.loglevel)
        logs.set_up(
            level,
            stream=stream,
            filename=filename,
            config=self.logging_config,
            handlers=self.loghandlers,
            format=self.log_format,
        )
        self.on_setup_root_logger(logging.root, level)
        if self.redirect_stdouts:
            self.add_context(_redirect_stdouts(self.redirect_stdouts_level))

    # -- console

    async def _add_monitor(self) -> None:
        """Open the console of aiomonitor: a shell with the tasks of the loop, for ``telnet localhost PORT``.

        Its pages for browsers and its Python shell have the two ports after that.
        """
        try:
            import aiomonitor
        except ImportError:
            self.log.warning(
                "Cannot start console: aiomonitor is not installed, try: pip install 'faust[debug]'"
            )
            return
        port = self.console_port
        for number in range(port, port + 3):  # aiomonitor would die of it in a thread of its own
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", number))
                except (OSError, OverflowError) as exc:
                    self.log.warning("Cannot start console: port %s: %s", number, exc)
                    return
        console = aiomonitor.start_monitor(
            self.loop, port=port, webui_port=port + 1, console_port=port + 2
        )
        self.add_context(console)
        self.log.info("The console listens: telnet 127.0.0.1 %s", port)

    # -- signals

    def install_signal_handlers(self) -> None:
        """Handle INT, TERM, USR1, USR2 and CONT, when this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        handlers: dict[str, Callable[[int, FrameType | None], None]] = {
            "SIGINT": self._on_stop_signal,
            "SIGTERM": self._on_stop_signal,
            "SIGUSR1": self._on_usr1,
            "SIGUSR2": self._on_usr2,
            "SIGCONT": self._on_cont,
        }
        for name, handler in handlers.items():
            number = getattr(signal, name, None)  # Windows has INT and TERM only
            if number is not None:
                self._previous_handlers[number] = signal.signal(number, handler)

    def _restore_signal_handlers(self) -> None:
        """Give the signals back; not those of a request that may still be coming a second time, which would kill."""
        kept = STOP_SIGNALS if self._is_same_request() else ()
        if kept:
            atexit.register(
                _ignore_stop_signals
            )  # the interpreter takes our handlers away as it ends
        for number, handler in self._previous_handlers.items():
            if number not in kept:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous_handlers.clear()

    def _is_same_request(self) -> bool:
        """Say whether a signal that comes now belongs to the request that is being followed."""
        return self._signals > 0 and monotonic() - self._signalled_at < SAME_REQUEST

    def _in_loop(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call from signal context; a loop that is closed already needs no telling."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback, *args)

    def _on_stop_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._is_same_request():
            return
        received = self._signal = signal.Signals(number)
        self._signals, self._signalled_at = self._signals + 1, monotonic()
        if self._signals > 1:
            text = f"{received.name} again: not waiting for the stop to finish, exiting at once\n"
            os.write(2, text.encode())
            os._exit(128 + number)
        self._last_resort = threading.Timer(
            self.stop_timeout + BLOCKED_GRACE, _end_blocked_process, (received.name,)
        )
        self._last_resort.daemon = True
        self._last_resort.start()
        self._in_loop(self._stop_soon, received)

    def _stop_soon(self, received: signal.Signals) -> None:
        if received is signal.SIGINT:
            self.carp("-INT- -INT- -INT- -INT- -INT- -INT-")
        self._schedule_shutdown(received)

    async def _stop_on_signal(self, signal: signal.Signals) -> None:
        self.log.info("Signal received: %s (%s)", signal.name, signal.value)
        await self.stop()
        if self._starting_fut is not None:
            self._starting_fut.cancel()

    def _on_usr1(self, _number: int, _frame: FrameType | None) -> None:
        text = io.StringIO()
        try:
            cry(file=text)
        except Exception as exc:  # a variable that cannot be printed; the program must not suffer
            text.write(f"\n(the rest cannot be shown: {exc!r})\n")
        try:
            self.stderr.write(text.getvalue())
        except RuntimeError:  # the signal came in the middle of a write
            self._in_loop(self.stderr.write, text.getvalue())

    def _on_usr2(self, _number: int, frame: FrameType | None) -> None:
        import pdb  # noqa: T100 - this is what the signal is for

        self.carp("Starting debugger...")
        pdb.Pdb(stdout=self.stdout).set_trace(frame)

    def _on_cont(self, _number: int, _frame: FrameType | None) -> None:
        self._in_loop(self._resumed_soon)

    def _resumed_soon(self) -> None:
        """Wait whether a TERM comes: systemd and timeout(1) send CONT after it, to whoever it may help.

        CONT may overtake it, since the kernel lets any thread take a signal of the process.
        """
        self.loop.call_later(SAME_REQUEST, self._resumed)

    def _resumed(self) -> None:
        if not self._signals:
            self.on_process_resumed()

    def on_process_resumed(self) -> None:
        """The process was stopped by a signal and goes on, and was not asked to stop; called on the loop."""

    # -- stop

    async def stop(self) -> None:
        """Stop everything, the app first, within `stop_timeout` seconds."""
        if self._stopped.is_set():
            return
        self.on_stopping()
        stopping = asyncio.ensure_future(super().stop())
        done, _ = await asyncio.wait([stopping], timeout=self.stop_timeout)
        if done:
            stopping.result()
            return
        self._stop_overdue = True
        self.log.error(
            "The stop took longer than %.0f s and is given up; what was not committed will be "
            "processed again. Still running:\n%s",
            self.stop_timeout,
            _stacks(),
        )
        stopping.cancel()

    def stop_and_shutdown(self) -> None:
        """Stop, cancel what is left, and close the loop. Call it while the loop does not run.

        Raises:
            BaseException: what the worker crashed of.
        """
        loop = self.loop
        assert loop is not None
        try:
            if self._signal_stop_future is not None and not self._signal_stop_future.done():
                loop.run_until_complete(self._signal_stop_future)
            elif not self._stopped.is_set():
                loop.run_until_complete(self.stop())
            deaf = loop.run_until_complete(_cancel_all())
            if deaf:
                self._stop_overdue = True
                self.log.error(
                    "Cancelled, and not ended; left behind:\n%s", "\n".join(map(_line_of, deaf))
                )
        finally:
            self.on_process_end()
            loop.close()
            asyncio.set_event_loop(None)
        if self.crash_reason is not None:
            raise self.crash_reason

    stop_and_shutdown_loop = stop_and_shutdown

    def on_stopping(self) -> None:
        """The stop begins."""

    def on_process_end(self) -> None:
        """Everything has stopped: give back what belongs to the process."""
        if self._last_resort is not None:
            self._last_resort.cancel()
        self._restore_signal_handlers()

    # -- run

    def execute_from_commandline(self) -> NoReturn:
        """Run until stopped, then raise `SystemExit` with the exit status.

        0: stopped, also by a signal. 1: could not start, crashed, or could not stop in time. 71: out
        of memory. Code that raises ``SystemExit(n)``: n.
        """
        loop = self.loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        status = 0
        try:
            self._starting_fut = loop.create_task(self._start_guarded())
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(self._starting_fut)
            if self._exit is not None:
                status = self._report(self._exit)
        except BaseException as exc:
            status = 0 if self._interrupted_by(exc) else self._report(exc)
        try:
            self.on_worker_shutdown()
            self.stop_and_shutdown()
        except BaseException as exc:
            status = status or self._report(exc)
        if self._stop_overdue:
            status = status or EX_FAILURE
        raise SystemExit(status)

    async def _start_guarded(self) -> None:
        """Start; a task must not end in `SystemExit`, which would tear through the event loop."""
        try:
            await self.start()
        except (SystemExit, KeyboardInterrupt) as exc:
            self._exit = exc

    def _interrupted_by(self, exc: BaseException) -> bool:
        """Say whether the start has failed only because a signal has stopped meanwhile what it needs.

        (What does not run on, a command, is not starting: it works, and what it raises is a fault.)
        """
        asked = self.daemon and self._signals > 0 and self.crash_reason is None
        if not asked or not isinstance(exc, Exception) or isinstance(exc, MemoryError):
            return False
        self.log.info("The start was interrupted: %r", exc)
        return True

    def _report(self, exc: BaseException) -> int:
        """Say why the process ends; return the exit status."""
        if isinstance(exc, SystemExit):
            return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        if isinstance(exc, MemoryError):
            self.stderr.write("Out of memory!\n")
            return int(EX_OSERR)
        self.on_failure(exc, explain(exc))
        return EX_FAILURE

    def on_failure(self, exc: BaseException, sentence: str | None) -> None:
        """Say that the process ends because of *exc*, in a sentence where one suffices."""
        if not logging.root.handlers:  # the log itself could not be set up
            self.stderr.write(f"The worker ends: {sentence or repr(exc)}\n")
        elif sentence is not None:
            self.log.critical("The worker ends: %s", sentence)
        else:
            told = exc is self.crash_reason  # with its traceback, when it happened
            trace = None if told else exc
            self.log.critical("The worker ends: %s: %s", type(exc).__name__, exc, exc_info=trace)


# -- helpers


@contextlib.contextmanager
def _redirect_stdouts(level: int) -> Iterator[None]:
    """Send what is printed to the log; afterwards everything is as it was."""
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = FileLogProxy(redirected, severity=level)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr


async def _cancel_all() -> list[asyncio.Task[Any]]:
    """Cancel every task but this one, and give them a moment to see it; returns those that do not end."""
    me = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not me]
    for task in tasks:
        task.cancel()
    deaf: set[asyncio.Task[Any]] = set()
    if tasks:
        _, deaf = await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_asyncgens(), CANCEL_TIMEOUT)
    for task in deaf:  # asyncio would say of each that it was destroyed, but not where it is
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    return [task for task in deaf if _place_of(task) is not None]


def _stacks() -> str:
    """Return a line for each task that has not ended and is in code of the program; of all if there is none."""
    me = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not me]
    theirs = [task for task in tasks if _place_of(task) is not None]
    return "\n".join(_line_of(task) for task in theirs or tasks) or "  nothing"


def _line_of(task: asyncio.Task[Any]) -> str:
    """Name a task, and where it waits."""
    name = task.get_name()
    if name.startswith("<coroutine object"):
        name = getattr(task.get_coro(), "__qualname__", name)
    return f"  {name} waits at {_place_of(task) or place_of(task.get_coro())}"


def _place_of(task: asyncio.Task[Any]) -> str | None:
    """Say where in the user's code a task waits; None: in none."""
    return place_of(task.get_coro(), users=True)


def _ignore_stop_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end_blocked_process(name: str) -> None:
    """End the process: the loop has not come round to stopping (runs in a thread of its own)."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
    text = f"{name}: the event loop is blocked, exiting without a graceful stop. It is here:\n"
    os.write(2, (text + stack).encode(errors="replace"))
    os._exit(EX_FAILURE)
