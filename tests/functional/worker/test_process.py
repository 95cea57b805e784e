"""The worker as a process: how it starts, what it says, and how it ends.

Most programs here do without a broker (``enable_kafka = False``), since they are about the process;
those at the end run the word count of a worker on ``local://``.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.worker.programs import HEAD, QUIET, RUN, Start, end, wait_for
from tests.support.processes import PythonProcess, start_python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

# -- starting


def test_readiness_is_printed_when_it_is_not_logged(start: Start) -> None:
    """A worker that does not log at INFO says OK on standard output."""
    with start(QUIET) as process:
        assert process.read_line() == " OK ^"
        process.terminate()
        status, errors = end(process)
    assert (status, errors) == (0, "")


def test_log_lines_have_the_documented_form(start: Start) -> None:
    """Lines go to standard error with time, process, level and the name of the service."""
    with start(RUN) as process:
        wait_for(process, "[^Worker]: Ready")
        process.terminate()
        status, errors = end(process)
    assert status == 0
    for line in errors.splitlines():
        assert line.count(f"] [{process.pid}] [INFO] [^") == 1, line
    assert "Signal received: SIGTERM (15)" in errors


def test_prints_of_the_program_go_to_the_log(start: Start) -> None:
    """What the program prints while the worker runs becomes log lines, unless told otherwise."""
    task = "\n@app.task()\nasync def talk():\n    print('from a task')\n"
    with start(task + RUN) as process:
        wait_for(process, "[WARNING] from a task")
        process.terminate()
        assert process.wait() == 0
    option = "faust.Worker(app, redirect_stdouts=False).execute_from_commandline()"
    with start(task + option) as process:
        assert "from a task" in {process.read_line(), process.read_line()}
        process.terminate()
        assert process.wait() == 0


def test_a_log_file_takes_the_lines(start: Start, tmp_path: Path) -> None:
    """With a log file nothing is on standard error."""
    path = tmp_path / "worker.log"
    with start(
        f"faust.Worker(app, loglevel='info', logfile={str(path)!r}).execute_from_commandline()"
    ) as process:
        deadline = time.monotonic() + 30
        while not (path.exists() and "Ready" in path.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.terminate()
        assert end(process) == (0, "")


def test_a_log_file_that_cannot_be_opened(start: Start, tmp_path: Path) -> None:
    """The worker names the file and ends with 1."""
    path = tmp_path / "no" / "worker.log"
    with start(f"faust.Worker(app, logfile={str(path)!r}).execute_from_commandline()") as process:
        status, errors = end(process)
    assert status == 1
    assert errors == f"The worker ends: No such file or directory: {path}"


def test_the_collector_is_tuned_while_the_worker_runs(start: Start) -> None:
    """Thresholds are raised and what is there is frozen when the app is ready."""
    program = """
import gc
@app.task()
async def look():
    await asyncio.sleep(0.2)
    logging.getLogger("x").warning("gc %s %s", gc.get_threshold(), gc.get_freeze_count() > 0)
"""
    with start(program + QUIET) as process:
        wait_for(process, "gc (50000, 20, 100) True")
        process.terminate()
        assert process.wait() == 0


# -- stopping


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signals_stop_gracefully(start: Start, name: str) -> None:
    """INT and TERM stop the services, and the exit status is 0."""
    program = """
@app.service if hasattr(app, "service") else (lambda x: x)
class Extra(mode.Service):
    async def on_stop(self):
        logging.getLogger("x").warning("stopped gracefully")
faust.Worker(app, Extra()).execute_from_commandline()
"""
    with start(program) as process:
        process.read_line()
        process.send_signal(getattr(signal, name))
        status, errors = end(process)
    assert status == 0
    assert "stopped gracefully" in errors
    assert ("-INT- -INT-" in errors) == (name == "SIGINT")


SLOW = """
class Slow(mode.Service):
    async def on_stop(self):
        logging.getLogger("x").warning("stopping slowly")
        await asyncio.sleep(3600)
faust.Worker(app, Slow()).execute_from_commandline()
"""


def test_the_second_signal_ends_at_once(start: Start) -> None:
    """Who asks twice is not kept waiting; the line says what happened."""
    with start(SLOW) as process:
        process.read_line()
        process.send_signal(signal.SIGINT)
        wait_for(process, "stopping slowly")
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        status, errors = end(process, 5)
    assert status == 128 + signal.SIGINT
    assert "SIGINT again: not waiting for the stop to finish, exiting at once" in errors


@pytest.mark.parametrize("names", ["SIGTERM SIGTERM", "SIGINT SIGTERM"])
def test_one_request_that_comes_twice(start: Start, names: str) -> None:
    """worker-cli.md 1: programs that run programs (`timeout`, make) send a signal to process and group: it is one request."""
    with start(QUIET) as process:
        process.read_line()
        for name in names.split():
            process.send_signal(getattr(signal, name))
            time.sleep(0.02)
        status, errors = end(process)
    assert status == 0
    assert "again" not in errors


def test_a_stop_that_hangs_is_given_up(start: Start) -> None:
    """After the stop timeout the worker says what still runs, and ends with 1 within 10 s."""
    with start(SLOW) as process:
        process.read_line()
        began = time.monotonic()
        process.terminate()
        status, errors = end(process, 20)
    assert time.monotonic() - began < 10
    assert status == 1
    assert "The stop took longer than" in errors
    assert " on_stop" in errors


def test_a_blocked_loop_cannot_hold_the_process(start: Start) -> None:
    """A task that blocks the event loop does not keep TERM from ending the process within 10 s."""
    program = """
@app.task()
async def block():
    logging.getLogger("x").warning("blocking")
    time.sleep(3600)
"""
    with start(program + QUIET) as process:
        wait_for(process, "blocking")
        began = time.monotonic()
        process.terminate()
        status, errors = end(process, 20)
    assert time.monotonic() - began < 10
    assert status == 1
    assert "SIGTERM: the event loop is blocked" in errors
    assert "time.sleep(3600)" in errors or "in block" in errors


def test_threads_that_do_not_end_are_left_behind(start: Start, tmp_path: Path) -> None:
    """A program of the command line ends with its status although a thread goes on."""
    program = tmp_path / "threads.py"
    text = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(3600,), name='stubborn').start()\n"
        "if __name__ == '__main__':\n    app.main()\n"
    )
    program.write_text(HEAD.replace("sys.argv[1]", repr(str(tmp_path))) + text)
    with start_python(program, "agents") as process:
        status, errors = end(process, 20)
    assert status == 0
    assert "threads that did not end are left behind: stubborn" in errors


def test_stop_before_ready(start: Start) -> None:
    """A signal during the start ends the worker with 0, without announcing readiness."""
    program = """
class Never(mode.Service):
    async def on_start(self):
        logging.getLogger("x").warning("starting for ever")
        await asyncio.sleep(3600)
faust.Worker(app, Never()).execute_from_commandline()
"""
    with start(program) as process:
        wait_for(process, "starting for ever")
        process.terminate()
        assert process.wait(20) == 0
        assert process.lines() == []


def test_a_start_that_fails_because_of_the_stop(start: Start) -> None:
    """worker-cli.md 1: what is stopped while it starts may raise; that is no crash, and the status is 0."""
    program = """
class Client(mode.Service):
    async def on_start(self):
        self.closed = asyncio.Event()
        logging.getLogger("x").warning("asking the broker")
        await self.closed.wait()
        raise ConnectionError("this client was closed")
    async def on_stop(self):
        self.closed.set()
        await asyncio.sleep(0.2)
faust.Worker(app, Client(), loglevel="info").execute_from_commandline()
"""
    with start(program) as process:
        wait_for(process, "asking the broker")
        process.terminate()
        status, errors = end(process)
    assert status == 0
    assert "[INFO] [^Worker]: The start was interrupted: ConnectionError" in errors
    assert "Traceback" not in errors


# -- crashing


def test_a_forbidden_data_directory() -> None:
    """A data directory that may not be written is told in one line, and the status is 1.

    (The program gives up being root, if it is, so that permissions mean something.)
    """
    with tempfile.TemporaryDirectory() as scratch:
        closed = Path(scratch) / "closed"
        closed.mkdir()
        closed.chmod(0o555)
        Path(scratch).chmod(0o755)
        give_up = "import os\nif os.geteuid() == 0: os.setuid(65534)\n"
        for directory in (closed, closed / "data"):
            with start_python(HEAD + give_up + QUIET, str(directory)) as process:
                status, errors = end(process)
            assert status == 1
            assert (
                f"setting 'datadir' (from keyword argument datadir): the directory {directory}"
                in errors
            )
            assert errors.count("\n") == 0


def test_a_task_that_fails_ends_the_worker(start: Start) -> None:
    """An exception that leaves a task is logged with its traceback, and the status is 1."""
    program = "\n@app.task()\nasync def fail():\n    raise KeyError('broken')\n"
    with start(program + QUIET) as process:
        status, errors = end(process)
    assert status == 1
    assert "KeyError: 'broken'" in errors
    assert "The worker ends: KeyError" in errors


def test_a_service_that_cannot_start_ends_the_worker(start: Start) -> None:
    """What is raised at start is told, and the status is 1; a configuration error in one line."""
    program = """
class Bad(mode.Service):
    async def on_start(self):
        raise faust.ImproperlyConfigured("no such thing")
faust.Worker(app, Bad()).execute_from_commandline()
"""
    with start(program) as process:
        status, errors = end(process)
    assert status == 1
    assert errors.endswith("[CRITICAL] [^Worker]: The worker ends: no such thing")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("raised", "status"), [("SystemExit(7)", 7), ("SystemExit()", 0), ("MemoryError()", 71)]
)
def test_exit_statuses(start: Start, raised: str, status: int) -> None:
    """SystemExit(n) ends with n, a lack of memory with 71."""
    program = f"""
class Leaving(mode.Service):
    async def on_start(self):
        raise {raised}
faust.Worker(app, Leaving()).execute_from_commandline()
"""
    with start(program) as process:
        assert end(process)[0] == status


# -- looking inside


def test_usr1_shows_what_everybody_does(start: Start) -> None:
    """USR1 prints stacks, variables and tasks, and the worker goes on."""
    program = """
@app.task()
async def waiting_for_godot():
    secret_word = "rhinoceros"
    await asyncio.sleep(3600)
"""
    with start(program + QUIET) as process:
        process.read_line()
        process.send_signal(signal.SIGUSR1)
        wait_for(process, "waiting_for_godot")
        process.terminate()
        status, errors = end(process)
    assert status == 0
    assert "THREAD MainThread" in errors


def test_cont_lets_the_app_look_at_its_lease(start: Start) -> None:
    """After a freeze the app is told that the process goes on."""
    with start(QUIET) as process:
        process.read_line()
        process.freeze()
        time.sleep(0.2)
        process.thaw()
        wait_for(process, "has been resumed")
        process.terminate()
        assert process.wait() == 0


def test_blocking_code_is_named(start: Start) -> None:
    """With a blocking timeout the code that blocks is logged and interrupted."""
    program = """
@app.task()
async def block():
    await asyncio.sleep(0.5)
    try:
        time.sleep(30)
    except Exception as exc:
        logging.getLogger("x").warning("interrupted by %s", type(exc).__name__)
faust.Worker(app, blocking_timeout=1.0).execute_from_commandline()
"""
    with start(program) as process:
        wait_for(process, "interrupted by Blocking")
        process.terminate()
        status, errors = end(process)
    assert status == 0
    assert "Blocking detected (timeout=1.0)" in errors


def test_the_worker_can_run_in_a_loop_of_the_users(start: Start) -> None:
    """worker.start() in a loop of one's own, then stop_and_shutdown, ends as cleanly."""
    program = """
loop = asyncio.new_event_loop()
worker = faust.Worker(app, loop=loop, daemon=False)
loop.run_until_complete(worker.start())
assert app.in_worker and app.started
worker.stop_and_shutdown()
assert loop.is_closed()
print("done")
"""
    with start(program) as process:
        lines = {process.read_line(), process.read_line()}
        assert end(process) == (0, "")
    assert lines == {" OK ^", "done"}


# -- with a broker


WORDS = """
import faust

app = faust.App("shop", topic_partitions=2)
words = app.topic("words", value_type=str, internal=True)
counts = app.Table("counts", default=int)

@app.agent(words)
async def count(stream):
    async for word in stream:
        counts[word] += 1
        print(f"{word}={counts[word]}", flush=True)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., PythonProcess]:
    """Write the app of a shop; returns what runs ``faust -A shop`` with arguments."""
    (tmp_path / "shop.py").write_text(WORDS)
    env = {"BROKER_URL": f"local://{tmp_path / 'broker'}", "APP_DATADIR": str(tmp_path / "data")}

    def program(*args: str, **more: str) -> PythonProcess:
        return start_python(
            None, "-A", "shop", *args, module="faust", cwd=tmp_path, env={**env, **more}
        )

    return program


def test_the_worker_command_runs_an_app(shop: Callable[..., PythonProcess]) -> None:
    """Banner, ready, a message sent from another process is counted, TERM ends with 0."""
    with shop("worker", "-l", "info") as process:
        wait_for(process, "[^Worker]: Ready")
        banner = process.lines()
        assert banner[0].startswith("+ƒaµS† v")
        assert banner[1].split() == ["|", "id", "shop", "|"]
        with shop("send", "@count", '"apple"') as sender:
            status, errors = end(sender)
            assert status == 0, errors
            assert '"topic":"words"' in sender.lines()[0]
        wait_for(process, "apple=1")
        process.terminate()
        began = time.monotonic()
        status, errors = end(process)
    assert status == 0
    assert time.monotonic() - began < 10
    assert "Traceback" not in errors


def test_int_stops_the_worker_command(shop: Callable[..., PythonProcess]) -> None:
    """Ctrl-C ends with 0."""
    with shop("worker") as process:
        while process.read_line() != " OK ^":
            pass
        process.send_signal(signal.SIGINT)
        assert end(process)[0] == 0


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"BROKER_URL": "kafak://x"}, "there is no transport for kafak://; known are"),
        ({"TOPIC_PARTITIONS": "many"}, "environment variable TOPIC_PARTITIONS"),
        ({"APP_STORE": "rocksbd://"}, "there is no table store for rocksbd://"),
        ({"APP_WEB_ENABLED": "perhaps"}, "setting 'web_enabled'"),
    ],
)
def test_wrong_settings_end_the_worker(
    shop: Callable[..., PythonProcess], variables: dict[str, str], words: str
) -> None:
    """A setting that cannot work is told in one message, and the status is 1."""
    with shop("worker", **variables) as process:
        status, errors = end(process)
    assert status == 1
    assert words in errors
    assert "Traceback" not in errors


def test_a_data_directory_that_is_a_file(
    shop: Callable[..., PythonProcess], tmp_path: Path
) -> None:
    """A data directory that cannot be one names the path, and the status is 1."""
    (tmp_path / "file").touch()
    with shop("worker", APP_DATADIR=str(tmp_path / "file" / "data")) as process:
        status, errors = end(process)
    assert status == 1
    assert str(tmp_path / "file") in errors
    assert "Traceback" not in errors


def test_a_broker_directory_that_is_a_file(
    shop: Callable[..., PythonProcess], tmp_path: Path
) -> None:
    """A broker directory that cannot be one is one message with the path."""
    (tmp_path / "file").touch()
    with shop("worker", BROKER_URL=f"local://{tmp_path / 'file'}") as process:
        status, errors = end(process)
    assert status == 1
    assert str(tmp_path / "file") in errors
    assert "Traceback" not in errors


NOWHERE = {"BROKER_URL": "kafka://user:s3cret@127.0.0.1:1"}


def test_a_broker_that_is_down(shop: Callable[..., PythonProcess]) -> None:
    """After the request timeout one line names the address, and the status is 1."""
    quick = {"BROKER_REQUEST_TIMEOUT": "1", "BROKER_SESSION_TIMEOUT": "1"}
    with shop("worker", **NOWHERE, **quick) as process:
        status, errors = end(process)
        banner = "\n".join(process.lines())
    assert status == 1
    assert "[CRITICAL] [^Worker]: The worker ends: " in errors
    assert "127.0.0.1:1" in errors
    assert "Traceback" not in errors
    assert "kafka://user:***@127.0.0.1:1" in banner
    assert "s3cret" not in banner + errors


def test_a_worker_that_waits_for_its_broker_can_be_stopped(
    shop: Callable[..., PythonProcess],
) -> None:
    """TERM ends a worker that cannot reach the broker, with 0 and within 10 s."""
    with shop("worker", "-l", "info", **NOWHERE) as process:
        wait_for(process, "127.0.0.1:1")
        began = time.monotonic()
        process.terminate()
        status, errors = end(process)
    assert time.monotonic() - began < 10
    assert (status, "Traceback" in errors) == (0, False)
