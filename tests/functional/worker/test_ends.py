"""How a worker ends: status, last line, time, nothing left behind (issue 7, acceptance 3; worker-cli.md 1).

One application, run by ``faust -A app worker`` as its users run it, does what the case says. Everything runs on ``local://``;
what has to do with the broker (starting, signals, crashes, a broker that goes away) also on Kafka.
"""

from __future__ import annotations

import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from faust.transport.drivers.local.database import Database
from tests.conftest import BROKERS
from tests.functional.worker.programs import end, wait_for
from tests.support.kafka import KafkaCluster
from tests.support.processes import PythonProcess, start_python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

APP = """
import asyncio, logging, os
import faust, mode

what = os.environ["WHAT"]
app = faust.App(os.environ["NAME"], topic_partitions=1)
words = app.topic(app.conf.id, value_type=str, internal=True)

@app.agent(words, name="shop.count")
async def count(stream):
    async for word in stream:
        logging.warning("got %s", word)
        if word == "crash":
            raise KeyError("agent broken")
        if word == "hang":
            await asyncio.Event().wait()
        while word == "deaf":
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

@app.task
async def feed():
    if what in ("crash", "hang", "deaf"):
        await count.send(value=what)
        await count.send(value="after")

if what == "timer":
    @app.timer(0.1)
    async def tick():
        raise KeyError("timer broken")

if what.startswith("service"):
    @app.service
    class Extra(mode.Service):
        async def on_start(self):
            if what == "service start":
                raise KeyError("service broken")

        @mode.Service.task
        async def work(self):
            raise KeyError("service broken")
"""

Launch = Callable[..., PythonProcess]

on_each_broker = pytest.mark.parametrize("broker", BROKERS[1:], indirect=True)


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of the broker: ``local://``, or of Kafka where a test asks for both."""
    if getattr(request, "param", "local") == "local":
        return f"local://{tmp_path / 'broker'}"
    cluster: KafkaCluster = request.getfixturevalue("kafka_cluster")
    cluster.heal()
    return cluster.url


@pytest.fixture
def launch(tmp_path: Path, broker: str) -> Launch:
    """Run the worker of the app."""
    (tmp_path / "shop.py").write_text(APP)

    def run(what: str = "", *args: str, app: str = "shop", **env: str) -> PythonProcess:
        variables = {
            "WHAT": what,
            "NAME": f"shop-{uuid.uuid4().hex[:8]}",
            "BROKER_URL": broker,
            "APP_DATADIR": str(tmp_path / "data"),
            "APP_WEB_ENABLED": "no",
            "WORKER_STOP_TIMEOUT": "3",
        }
        return start_python(
            None,
            *("-A", app, "worker", *args),
            module="faust",
            cwd=tmp_path,
            env={**variables, **env},
        )

    return run


def wait_ready(process: PythonProcess) -> None:
    """Wait until the worker says that everything runs."""
    while process.read_line() != " OK ^":
        pass


@dataclass(frozen=True)
class End:
    """How a worker has ended."""

    status: int
    errors: str
    seconds: float

    @property
    def tracebacks(self) -> int:
        return self.errors.count("Traceback (most recent call last)")

    @property
    def last(self) -> str:
        return self.errors.rpartition("\n")[2]


def end_of(process: PythonProcess) -> End:
    """Wait for the end, and check that nothing is left behind."""
    began = time.monotonic()
    status, errors = end(process, 30)
    assert "threads that did not end" not in errors
    assert "Task was destroyed" not in errors
    assert "never retrieved" not in errors
    assert "never awaited" not in errors
    return End(status, errors, time.monotonic() - began)


def stop(process: PythonProcess, number: int = signal.SIGTERM) -> End:
    """Send a signal, and wait for the end."""
    process.send_signal(number)
    return end_of(process)


@on_each_broker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal(launch: Launch, number: int) -> None:
    """INT and TERM: 0 within seconds, and nothing is said but the marker of INT."""
    with launch() as process:
        wait_ready(process)
        process.errors.clear()
        ended = stop(process, number)
    assert ended.status == 0
    assert ended.seconds < 8
    assert ended.errors == ("-INT- -INT- -INT- -INT- -INT- -INT-" if number == 2 else "")


@on_each_broker
def test_usr1_shows_the_agent_and_the_worker_goes_on(launch: Launch) -> None:
    """USR1: stacks of the threads, and the tasks with where they wait; TERM ends it as ever."""
    with launch("hang") as process:
        wait_for(process, "got hang")
        process.send_signal(signal.SIGUSR1)
        wait_for(process, "THREAD MainThread")
        wait_for(process, "await asyncio.Event().wait()")
        process.errors.clear()
        ended = stop(process)
    assert ended.status == 0
    assert ended.tracebacks == 0


def test_usr2_enters_the_debugger(launch: Launch) -> None:
    """USR2: pdb at the place where the program is; `continue` goes on."""
    with launch(FAUST_LOOP="aio") as process:
        wait_ready(process)
        process.send_signal(signal.SIGUSR2)
        wait_for(process, "Starting debugger...")
        process.write_line("p 6 * 7")
        process.write_line("continue")
        deadline = time.monotonic() + 20
        lines: list[str] = []
        while not any("42" in line for line in lines):
            assert time.monotonic() < deadline, lines
            lines += process.lines()
            time.sleep(0.02)
        ended = stop(process)
    assert ended.status == 0


@on_each_broker
def test_a_second_signal(launch: Launch) -> None:
    """TERM twice: 143 at once, although an agent hangs."""
    with launch("hang", WORKER_STOP_TIMEOUT="30") as process:
        wait_for(process, "got hang")
        process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        ended = stop(process)
    assert ended.status == 128 + signal.SIGTERM
    assert ended.seconds < 3
    assert ended.last == "SIGTERM again: not waiting for the stop to finish, exiting at once"


@on_each_broker
def test_an_agent_that_hangs(launch: Launch) -> None:
    """Its events are waited for, it is named with its line, cancelled, and the worker ends in time with 0."""
    with launch("hang") as process:
        wait_for(process, "got hang")
        ended = stop(process)
    assert ended.status == 0
    assert ended.seconds < 5
    assert "[0] did not finish within 1 s, and are given up; they will be processed" in ended.last
    assert "shop.count waits at" in ended.last
    assert ended.last.endswith("shop.py:16 in count")
    assert ended.tracebacks == 0


@on_each_broker
def test_an_agent_that_does_not_listen(launch: Launch) -> None:
    """One that ignores being cancelled is left behind, by name, and the worker ends in time with 1."""
    with launch("deaf") as process:
        wait_for(process, "got deaf")
        ended = stop(process)
    assert ended.status == 1
    assert ended.seconds < 6
    assert "was cancelled and does not end, it is left behind: shop.count waits at" in ended.errors
    assert "agent shop.count waits at" in ended.last
    assert ended.tracebacks == 0


@on_each_broker
def test_an_agent_that_crashes(launch: Launch) -> None:
    """It is told once, with its traceback; the next event is processed, and the worker goes on."""
    with launch("crash") as process:
        wait_for(process, "got after")
        ended = stop(process)
    assert ended.status == 0
    assert ended.tracebacks == 1
    assert "Agent shop.count raised KeyError: 'agent broken' (while it processed" in ended.errors


@on_each_broker
@pytest.mark.parametrize("what", ["timer", "service", "service start"])
def test_what_must_not_crash(launch: Launch, what: str) -> None:
    """A timer, a service, a service at its start: one traceback, a last line that says why, 1."""
    with launch(what) as process:
        ended = end_of(process)
    assert ended.status == 1
    assert ended.tracebacks == 1
    kind = what.partition(" ")[0]
    assert "[CRITICAL] [^Worker]: The worker ends: KeyError: " in ended.errors
    assert f"KeyError: '{kind} broken'" in ended.last


def test_a_port_in_use(launch: Launch) -> None:
    """One line says which port, who may have it, and what to do; 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with launch(
            "", "--web-port", port, "--web-bind", "127.0.0.1", APP_WEB_ENABLED="yes"
        ) as process:
            ended = end_of(process)
    assert ended.status == 1
    assert ended.errors.count("\n") == 0
    assert f"cannot listen on port {port} of 127.0.0.1" in ended.last
    assert "option --web-port" in ended.last


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("shpo", "-A shpo: there is no module 'shpo' in"),
        ("shop:ap", "module 'shop' has no attribute 'ap'; did you mean -A shop:app?"),
        ("shop.py", "give an import path such as proj.app, not a file name"),
    ],
)
def test_a_wrong_app(launch: Launch, app: str, words: str) -> None:
    """A wrong -A: one line, no traceback, 1."""
    with launch(app=app) as process:
        ended = end_of(process)
    assert ended.status == 1
    assert words in ended.errors.replace("\n", " ")
    assert ended.tracebacks == 0


def test_nobody_at_the_address_of_the_broker(launch: Launch) -> None:
    """A broker that cannot be reached at start: one line that names it, 1."""
    soon = {"BROKER_REQUEST_TIMEOUT": "2", "BROKER_SESSION_TIMEOUT": "2"}
    with launch(BROKER_URL="kafka://127.0.0.1:1", **soon) as process:
        ended = end_of(process)
    assert ended.status == 1
    assert "127.0.0.1:1" in ended.last
    assert ended.tracebacks == 0


@pytest.mark.kafka
def test_a_kafka_that_dies(launch: Launch, kafka_cluster: KafkaCluster) -> None:
    """The broker dies: the worker says so, stays, and TERM ends it in time with no noise."""
    kafka_cluster.heal()
    try:
        with launch("crash", BROKER_URL=kafka_cluster.url) as process:
            wait_for(process, "got after")
            process.errors.clear()
            kafka_cluster.kill()
            wait_for(process, "[WARNING]")
            assert process.returncode is None
            ended = stop(process)
    finally:
        kafka_cluster.restart()
    assert ended.seconds < 10
    assert ended.status in {0, 1}
    assert ended.tracebacks == 0, ended.errors


@pytest.mark.parametrize(
    "how", ["was deleted while", "was deleted, and another was made in its place"]
)
def test_a_local_broker_that_is_deleted(launch: Launch, tmp_path: Path, how: str) -> None:
    """The directory of ``local://`` goes away: the last line names it and says what to do, 1, within seconds."""
    with launch() as process:
        wait_ready(process)
        shutil.rmtree(tmp_path / "broker")
        if "another" in how:
            Database(tmp_path / "broker").close()
        ended = end_of(process)
    assert ended.status == 1
    assert ended.seconds < 10
    assert f"The worker ends: the broker directory {tmp_path / 'broker'} {how}" in ended.last
    assert ended.last.endswith("begin with an empty one, and start again")
    assert ended.tracebacks <= 1, ended.errors
