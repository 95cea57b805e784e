"""The parameters and methods of `faust.Worker` (the Worker API document; worker-cli.md 1)."""

from __future__ import annotations

import inspect
import io
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import mode
import pytest

import faust
from tests.functional.worker.programs import QUIET, Start, end, wait_for

PARAMETERS = [
    "app",
    "services",
    "sensors",
    "debug",
    "quiet",
    "loglevel",
    "logfile",
    "stdout",
    "stderr",
    "blocking_timeout",
    "workdir",
    "console_port",
    "loop",
    "redirect_stdouts",
    "redirect_stdouts_level",
    "logging_config",
]
METHODS = [
    "on_start",
    "on_startup_finished",
    "on_init_dependencies",
    "on_first_start",
    "change_workdir",
    "autodiscover",
    "on_execute",
    "on_worker_shutdown",
    "on_setup_root_logger",
]


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    """An app that needs no broker."""

    class Boot(faust.BootStrategy):
        enable_kafka = False

    class App(faust.App):
        BootStrategy = Boot

    return App("shop", env={}, web_enabled=False, datadir=tmp_path / "data")


def run(worker: faust.Worker) -> int:
    """Run a worker until it ends; returns the exit status."""
    with pytest.raises(SystemExit) as caught:
        worker.execute_from_commandline()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_everything_documented_is_there(app: faust.App) -> None:
    """The Worker API document: 16 parameters, 9 methods, 5 attributes; it is a `mode.Worker`."""
    given = inspect.signature(faust.Worker).parameters
    assert list(given)[: len(PARAMETERS)] == PARAMETERS
    assert all(callable(getattr(faust.Worker, name)) for name in METHODS)
    assert issubclass(faust.Worker, mode.Worker)
    worker = faust.Worker(app)
    assert worker.app is app
    assert worker.sensors == []
    assert worker.workdir == Path.cwd()
    assert worker.spinner is None
    assert faust.Worker.logger.name == "faust.worker"


def test_defaults_come_from_the_environment(
    app: faust.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """settings.md 3: FAUST_DEBUG and F_CONSOLE_PORT are defaults of debug and console_port."""
    for name in ("FAUST_DEBUG", "F_DEBUG", "FAUST_CONSOLE_PORT", "F_CONSOLE_PORT"):
        monkeypatch.delenv(name, raising=False)
    worker = faust.Worker(app)
    assert (worker.debug, worker.console_port) == (False, 50101)
    monkeypatch.setenv("FAUST_DEBUG", "0")
    monkeypatch.setenv("F_CONSOLE_PORT", "1234")
    worker = faust.Worker(app)
    assert (worker.debug, worker.console_port) == (True, 1234)
    worker = faust.Worker(app, debug=False, console_port=7)
    assert (worker.debug, worker.console_port) == (False, 7)
    monkeypatch.setenv("F_CONSOLE_PORT", "many")
    with pytest.raises(faust.ImproperlyConfigured, match="F_CONSOLE_PORT: expected a port"):
        faust.Worker(app)


def test_defaults_come_from_the_settings(app: faust.App) -> None:
    """worker-cli.md 1: redirection, log format and time to stop are settings; a false level is INFO."""
    app.conf.assign("worker_redirect_stdouts", False, "test")
    app.conf.assign("worker_redirect_stdouts_level", "ERROR", "test")
    app.conf.assign("worker_stop_timeout", 3.5, "test")
    app.conf.assign("blocking_timeout", 3.0, "test")
    worker = faust.Worker(app)
    assert (worker.redirect_stdouts, worker.redirect_stdouts_level) == (False, logging.ERROR)
    assert (worker.stop_timeout, worker.blocking_timeout) == (3.5, 0.0)
    assert faust.Worker(app, redirect_stdouts_level=0).redirect_stdouts_level == logging.INFO


@pytest.mark.parametrize(
    ("given", "number"),
    [("CRIT", 50), ("warn", 30), ("Info", 20), (10, 10), ("15", 15), (None, 30)],
)
def test_log_levels(app: faust.App, given: Any, number: int) -> None:
    """worker-cli.md 1 [Q]: CRIT|ERROR|WARN|INFO|DEBUG in any case, or a number; None is WARNING."""
    assert faust.Worker(app, loglevel=given).loglevel == number


def test_an_unknown_log_level(app: faust.App) -> None:
    """A level that does not exist is refused, with those that do."""
    with pytest.raises(faust.ImproperlyConfigured, match="unknown log level 'loud': choose one of"):
        faust.Worker(app, loglevel="loud")


def test_the_order_of_a_run(
    app: faust.App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """worker-cli.md 1: hooks, in the documented order, around the start of the services; the app is the last of them."""
    monkeypatch.chdir(tmp_path)
    order: list[str] = []

    class Recording(faust.Worker):
        async def on_execute(self) -> None:
            order.append("execute")
            await super().on_execute()

        def change_workdir(self, path: str | Path) -> None:
            order.append("workdir")
            super().change_workdir(path)

        def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
            order.append(f"logging {logger.name} {level}")

        def autodiscover(self) -> None:
            order.append("discover")

        async def on_start(self) -> None:
            order.append("start")
            await super().on_start()

        async def on_startup_finished(self) -> None:
            order.append("finished")
            assert self.app.in_worker
            await super().on_startup_finished()
            raise SystemExit(0)

        def on_worker_shutdown(self) -> None:
            order.append("shutdown")

    class Extra(mode.Service):
        async def on_start(self) -> None:
            order.append("extra")
            assert Path.cwd() == tmp_path / "data"

    (tmp_path / "data").mkdir()
    sensor = faust.Sensor()
    before = list(logging.root.handlers), logging.root.level
    out = io.StringIO()
    try:
        worker = Recording(
            app, Extra(), sensors=[sensor], workdir=tmp_path / "data", stdout=out, logfile=out
        )
        assert sensor not in app.sensors
        assert run(worker) == 0
    finally:
        logging.root.handlers[:], _ = before
        logging.root.setLevel(before[1])
    assert sensor in app.sensors
    assert order == [
        "workdir",
        "logging root 30",
        "execute",
        "discover",
        "start",
        "extra",
        "finished",
        "shutdown",
    ]


def test_quiet_prints_nothing_but_log_lines(start: Start) -> None:
    """worker-cli.md 1: with quiet neither readiness nor INT is printed."""
    program = "\n@app.task()\nasync def up():\n    logging.warning('up')\n"
    with start(program + "faust.Worker(app, quiet=True).execute_from_commandline()") as process:
        wait_for(process, "up")
        process.send_signal(2)
        status, errors = end(process)
    assert (status, errors.count("\n"), process.lines()) == (0, 0, [])


def test_json_lines(start: Start) -> None:
    """Issue 7: with worker_log_format every line on standard error is a JSON object, prints included."""
    program = """
app.conf.assign("worker_log_format", "json", "test")
@app.task()
async def talk():
    print("from a task")
    raise KeyError("broken")
faust.Worker(app, loglevel="info").execute_from_commandline()
"""
    with start(program) as process:
        status, errors = end(process)
    lines = [json.loads(line) for line in errors.splitlines()]
    assert status == 1
    assert any(line["message"] == "from a task" for line in lines)
    assert any("KeyError: 'broken'" in line.get("exception", "") for line in lines)
    assert all(line["process"] == process.pid for line in lines)


def test_the_logging_config_is_merged(start: Start) -> None:
    """worker-cli.md 1: with merge the user's entries are laid over ours."""
    program = """
config = {"version": 1, "merge": True, "formatters": {"default": {"format": "MINE %(message)s"}}}
faust.Worker(app, logging_config=config, loglevel="info").execute_from_commandline()
"""
    with start(program) as process:
        wait_for(process, "MINE [^Worker]: Ready")
        process.terminate()
        assert end(process)[0] == 0


def test_handlers_of_the_settings(start: Start) -> None:
    """settings.md 8, loghandlers: further handlers get the records, too."""
    program = """
class Mine(logging.Handler):
    def emit(self, record):
        sys.__stdout__.write("mine: " + record.getMessage() + "\\n")
app.conf.assign("loghandlers", [Mine()], "test")
faust.Worker(app, loglevel="info").execute_from_commandline()
"""
    with start(program) as process:
        wait_for(process, "Ready")
        process.terminate()
        assert end(process)[0] == 0
    assert "mine: [^Worker]: Ready" in process.lines()


def test_several_apps(start: Start) -> None:
    """worker-cli.md 1: the first is the main app and starts last; only it is told that it runs in a worker."""
    program = """
two = App("two", env={}, web_enabled=False, datadir=sys.argv[1])
three = App("three", env={}, web_enabled=False, datadir=sys.argv[1])
for one in (app, two, three):
    @one.task
    async def say(one):
        logging.warning("%s runs, in_worker=%s", one.conf.id, one.in_worker)
faust.Worker(app, two, three).execute_from_commandline()
"""
    with start(program) as process:
        assert process.read_line() == " OK ^"
        process.terminate()
        status, errors = end(process)
    assert status == 0
    said = [line.partition("] [WARNING] ")[2] for line in errors.splitlines()]
    assert said[-1] == "shop runs, in_worker=True"
    assert sorted(said[:-1]) == ["three runs, in_worker=False", "two runs, in_worker=False"]


def test_the_title_of_the_process(start: Start) -> None:
    """worker-cli.md 1: ps shows what runs, where, and that it stops."""
    program = """
from setproctitle import getproctitle
class Extra(mode.Service):
    async def on_start(self):
        logging.warning(getproctitle())
    async def on_stop(self):
        logging.warning(getproctitle())
faust.Worker(app, Extra()).execute_from_commandline()
"""
    with start(program) as process:
        process.read_line()
        process.terminate()
        status, errors = end(process)
    assert status == 0
    assert "[Faust:Worker] -init- shop -p 6066 /" in errors
    assert "[Faust:Worker] -stopping- shop -p 6066 /" in errors


def test_blocking_is_watched_in_the_main_thread_only(app: faust.App) -> None:
    """A worker in another thread, where no alarm can be set, says that nobody watches, and runs."""
    log = io.StringIO()
    statuses: list[int] = []

    class Ending(faust.Worker):
        async def on_startup_finished(self) -> None:
            await super().on_startup_finished()
            raise SystemExit(4)

    def work() -> None:
        worker = Ending(app, blocking_timeout=1.0, logfile=log, redirect_stdouts=False, quiet=True)
        statuses.append(run(worker))

    handlers, level = list(logging.root.handlers), logging.root.level
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    assert statuses == [4]
    assert "Nobody watches for blocking code" in log.getvalue()


def test_systemd_sends_cont_after_term(start: Start) -> None:
    """CONT together with TERM is no alarm."""
    with start(QUIET) as process:
        process.read_line()
        os.kill(process.pid, 15)
        os.kill(process.pid, 18)
        assert end(process) == (0, "")


def test_cont_may_overtake_term(start: Start) -> None:
    """Any thread takes a signal of its process, so Python may hear of CONT first: no alarm either."""
    program = """
import signal
@app.task
async def overtaken(app):
    signal.raise_signal(signal.SIGCONT)
    signal.raise_signal(signal.SIGTERM)
"""
    with start(program + QUIET) as process:
        assert end(process) == (0, "")
