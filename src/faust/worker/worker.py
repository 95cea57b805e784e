"""Worker: a process that runs an application.

It tells the app that it runs in a worker, prints when it is ready, names the process, tunes the
garbage collector, and watches for blocking code when asked to.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import mode
from mode.utils.times import want_seconds

from faust.app.base import App
from faust.exceptions import ImproperlyConfigured
from faust.utils.terminal import is_terminal
from faust.worker.blocking import BlockingDetector
from faust.worker.process import Process, level_number
from faust.worker.spinner import Spinner, SpinnerHandler

__all__ = ["CONSOLE_PORT", "GC_THRESHOLDS", "Worker", "default_console_port", "is_debug"]

CONSOLE_PORT = 50101
"""Where ``telnet`` finds the console of a worker."""

GC_THRESHOLDS = (50_000, 20, 100)
"""Thresholds of the garbage collector while the worker runs (`gc.set_threshold`).

Events are freed by their reference counts; the default of 700 allocations makes the collector walk
the young ones thousands of times a second for nothing (10 to 20 % of a busy worker).
"""


def is_debug() -> bool:
    """Say whether variable ``FAUST_DEBUG`` or ``F_DEBUG`` has any text, even ``0``."""
    return any(os.environ.get(name) for name in ("FAUST_DEBUG", "F_DEBUG"))


def default_console_port() -> int:
    """Return the port in variable ``FAUST_CONSOLE_PORT`` or ``F_CONSOLE_PORT``, else 50101.

    Raises:
        ImproperlyConfigured: That is no number.
    """
    for name in ("FAUST_CONSOLE_PORT", "F_CONSOLE_PORT"):
        if text := os.environ.get(name):
            if not text.isdigit():
                raise ImproperlyConfigured(
                    f"environment variable {name}: expected a port, got {text!r}"
                )
            return int(text)
    return CONSOLE_PORT


class Worker(Process):
    """Run an application in this process.

    Arguments:
        app: The application; started last, stopped first.
        *services: Further services or apps, started before it in this order.
        sensors: Given to the app.
        debug: Open the console of aiomonitor (extra ``debug``); None: variable ``FAUST_DEBUG``.
        quiet: Print nothing but log lines.
        loglevel: Name or number; None: WARNING.
        logfile: Path or stream for log lines; None: standard error.
        stdout: Where to print; None: standard output.
        stderr: Where to complain; None: standard error.
        blocking_timeout: Seconds (or timedelta) after which blocking code is interrupted; None or
            0: nobody watches.
        workdir: Directory to change to at start; None: stay.
        console_port: Port of the console; None: variable ``FAUST_CONSOLE_PORT``, else 50101.
        loop: Event loop; None: the current one, or a new one.
        redirect_stdouts: Send prints to the log; None: setting ``worker_redirect_stdouts``.
        redirect_stdouts_level: Their level; None: setting ``worker_redirect_stdouts_level``.
        logging_config: For `logging.config.dictConfig`; None: setting ``logging_config``.
        options: For `mode.Worker`: ``daemon``, ``override_logging``, ``beacon``.

    Attributes:
        sensors: Those that were given.
        workdir: Directory of the worker.
        spinner: Turns on a terminal until the worker is ready; None: there is none.
    """

    logger: logging.Logger = logging.getLogger("faust.worker")
    BLOCK_DETECTOR: ClassVar[str] = "faust.worker.blocking:BlockingDetector"

    app: App

    def __init__(
        self,
        app: App,
        *services: mode.ServiceT,
        sensors: Iterable[Any] | None = None,
        debug: bool | None = None,
        quiet: bool = False,
        loglevel: str | int | None = None,
        logfile: str | Path | IO[str] | None = None,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
        blocking_timeout: mode.Seconds | None = None,
        workdir: str | Path | None = None,
        console_port: int | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        redirect_stdouts: bool | None = None,
        redirect_stdouts_level: str | int | None = None,
        logging_config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        conf = app.conf
        if redirect_stdouts is None:
            redirect_stdouts = conf.worker_redirect_stdouts
        if redirect_stdouts_level is None:
            redirect_stdouts_level = conf.worker_redirect_stdouts_level
        config = conf.logging_config if logging_config is None else logging_config
        self.app = app
        self.sensors: list[Any] = list(sensors or ())
        self.workdir: Path = Path(workdir or Path.cwd())
        self.spinner: Spinner | None = None
        self.stop_timeout: float = conf.worker_stop_timeout
        self.log_format: str = conf.worker_log_format
        self._tuned_gc: tuple[int, int, int] | None = None
        self._title: str | None = None
        self._spinner_handler: SpinnerHandler | None = None
        super().__init__(
            *services,
            app,
            debug=is_debug() if debug is None else debug,
            quiet=quiet,
            loglevel=loglevel,
            logfile=logfile,
            stdout=stdout,
            stderr=stderr,
            blocking_timeout=want_seconds(blocking_timeout or 0.0),
            console_port=default_console_port() if console_port is None else console_port,
            loop=loop,
            redirect_stdouts=redirect_stdouts,
            redirect_stdouts_level=redirect_stdouts_level,
            logging_config=None if config is None else dict(config),
            loghandlers=list(conf.loghandlers),
            **options,
        )
        app.on_startup_finished = self.on_startup_finished

    # -- start

    def on_init_dependencies(self) -> Iterable[mode.ServiceT]:
        """Return the services to start, the app last; the app gets the sensors."""
        for sensor in self.sensors:
            self.app.sensors.add(sensor)
        return super().on_init_dependencies()

    async def on_first_start(self) -> None:
        """Prepare the process."""
        if self.workdir != Path.cwd():
            self.change_workdir(self.workdir)
        if self.override_logging:
            self._setup_logging()
        await self.on_execute()
        if self.debug:
            await self._add_monitor()
        self.install_signal_handlers()
        self.autodiscover()

    def change_workdir(self, path: str | Path) -> None:
        """Change the directory of the process, for good."""
        os.chdir(path)

    def autodiscover(self) -> None:
        """Let fixups prepare, and import what setting ``autodiscover`` names, unless the command line has."""
        self.app.worker_init()
        self.app.maybe_discover()

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """The log is set up: let its records turn the spinner, on a terminal where they are not shown."""
        if self.quiet or level < logging.WARNING or not is_terminal(self.stdout):
            return
        if logger.handlers:  # what is shown stays as it is
            logger.handlers[0].setLevel(level)
        self.spinner = Spinner(self.stdout)
        self._spinner_handler = SpinnerHandler(self.spinner)
        logger.addHandler(self._spinner_handler)
        logger.setLevel(logging.DEBUG)

    def stop_spinner(self) -> None:
        """Wipe the spinner away, and set the root logger back to its level."""
        if self._spinner_handler is not None:
            self._spinner_handler.spinner.stop()
            logging.root.removeHandler(self._spinner_handler)
            logging.root.setLevel(level_number(self.loglevel))
            self._spinner_handler = None

    async def on_execute(self) -> None:
        """Tell the outside that the worker starts."""
        self._set_title("init")
        if self._chatty and is_terminal(self.stdout):
            self._say("starting➢ ", end="", flush=True)

    async def on_start(self) -> None:
        """Tell the app that it runs in a worker; show on a terminal how tables recover."""
        self.app.in_worker = True
        if is_terminal(self.stdout):
            self.add_future(self._show_recovery())

    async def _show_recovery(self) -> None:
        """Draw; only what does loads rich, which takes a tenth of the time of `import faust`."""
        from rich.console import Console

        from faust.worker.progress import RecoveryBar

        bar = RecoveryBar(
            lambda: self.app.tables.recovery, Console(file=self.stdout), before=self._make_room
        )
        await bar.run()

    def _make_room(self) -> None:
        """End the line that the spinner stands in."""
        if self._spinner_handler is not None:
            self.stop_spinner()
            self._say("")

    async def on_startup_finished(self) -> None:
        """The app is fully started: tune the process and say so."""
        self.stop_spinner()
        if self.should_stop or self._signals:
            if self._chatty and is_terminal(self.stdout):
                self._say("")
            return
        await self.maybe_start_blockdetection()
        self._tune_gc()
        if self._chatty:
            self._say(" 😊" if is_terminal(self.stdout) else " OK ^", flush=True)
        self.log.info("Ready")

    @property
    def _chatty(self) -> bool:
        """Whether readiness is printed: who logs at INFO reads it in the log."""
        return isinstance(self.loglevel, int) and self.loglevel >= logging.WARNING

    async def maybe_start_blockdetection(self) -> None:
        """Watch for code that blocks the loop, when a timeout is given."""
        if not self.blocking_timeout:
            return
        if BlockingDetector.is_possible():
            await self.add_runtime_dependency(self.blocking_detector)
        else:
            self.log.warning(
                "Nobody watches for blocking code (blocking_timeout): that takes the main thread, and a Unix"
            )

    def _tune_gc(self) -> None:
        self._tuned_gc = gc.get_threshold()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.freeze()

    def _set_title(self, info: str) -> None:
        try:
            from setproctitle import getproctitle, setproctitle
        except ImportError:
            return
        self._title = self._title or getproctitle()
        conf = self.app.conf
        unix = conf.web_transport.scheme == "unix"
        web = str(conf.web_transport) if unix else f"-p {conf.web_port}"
        setproctitle(f"[Faust:Worker] -{info}- {conf.id} {web} {conf.datadir.absolute()}")

    def on_process_resumed(self) -> None:
        """Tell the app to look at its lease (`App.on_process_resumed`)."""
        self.app.on_process_resumed()

    def on_stopping(self) -> None:
        """Tell the outside that the worker stops."""
        self.stop_spinner()
        self._set_title("stopping")
        if self._chatty and is_terminal(self.stdout):
            self._say("stopping➢ ", flush=True)

    def on_process_end(self) -> None:
        """Give back signals, title and the garbage collector's thresholds."""
        super().on_process_end()
        if self._tuned_gc is not None:
            gc.unfreeze()
            gc.set_threshold(*self._tuned_gc)
            self._tuned_gc = None
        if self._title is not None:
            from setproctitle import setproctitle

            setproctitle(self._title)
