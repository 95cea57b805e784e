"""Bad input: one clear message each, a non-zero exit where the worker cannot go on, and nothing lost.

Undecodable messages are in ``test_agents_and_streams.py``, a forbidden data directory in
``worker/test_process.py``, wrong options of the command line in ``cli/test_cli.py``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faust
from tests.support.apps import eventually, make_app, running

PROGRAM = """
import sys
import faust

app = faust.App("bad-input", datadir=sys.argv.pop(1), {options})


@app.agent(app.topic("in"))
async def read(stream):
    async for _ in stream:
        pass


app.main()
"""


def run_worker(tmp_path: Path, options: str, timeout: float = 60.0) -> tuple[int, str]:
    """Run a worker that is expected to end by itself; return exit status and standard error."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(options=options))
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "data"), "worker", "-l", "info"],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('broker="kafak://localhost"', ["kafak://", "kafka://", "local://", "memory://"]),
        ('broker="memory://", brokr_commit_interval=1', ["brokr_commit_interval", "broker_commit"]),
        ('broker="memory://", broker_commit_interval="soon"', ["broker_commit_interval", "soon"]),
        ('broker="local:///proc/nowhere"', ["/proc/nowhere"]),
        ('broker="memory://?parts=3"', ["parts", "partitions"]),
        ('broker="memory://", store="aerospike://"', ["aerospike", "rocksdb"]),
    ],
    ids=["scheme", "unknown-setting", "bad-value", "directory", "broker-option", "store"],
)
def test_a_wrong_configuration_ends_with_one_clear_message(
    tmp_path: Path, options: str, words: list[str]
) -> None:
    """One line names what is wrong, and what would be right; the status is not 0."""
    status, err = run_worker(tmp_path, options, timeout=30)
    assert status == 1
    (message,) = [line for line in err.splitlines() if all(word in line for word in words)]
    if "setting" not in message:  # Python itself shows where the program has set it
        assert "Traceback" not in err


def test_a_broker_that_is_down_is_waited_for_and_then_told(tmp_path: Path) -> None:
    """The worker tries until broker_request_timeout, says so, and ends with an error that names the servers."""
    began = time.monotonic()
    status, err = run_worker(
        tmp_path,
        'broker="kafka://127.0.0.1:1", broker_request_timeout=3.0, broker_session_timeout=2.0',
    )
    assert status == 1
    assert 2.0 < time.monotonic() - began < 40
    assert "127.0.0.1:1" in err
    assert "Traceback" not in err


async def test_a_topic_that_does_not_exist_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """On a broker that creates no topics a missing one is an error in the log; made later, it is read."""
    app = make_app("memory://missing?auto_create=no", "missing-topic", topic_disable_leader=True)
    source = app.topic("not-there-yet", value_type=int)
    got: list[int] = []

    @app.agent(source)
    async def read(stream: Any) -> None:
        async for number in stream:
            got.append(number)

    async with running(app):
        assert "not-there-yet" in caplog.text
        assert "do not exist" in caplog.text
        await source.declare()
        await source.send(value=1)
        await eventually(lambda: got == [1])


async def test_a_table_written_from_the_wrong_place(topic_name: Callable[..., str]) -> None:
    """Outside a stream a table cannot know its partition: TypeError, and nothing is changed."""
    app = make_app(f"memory://{topic_name('b')}", topic_name("app"))
    counts = app.Table("counts", default=int)

    @app.agent(app.topic(topic_name("in"), value_type=str))
    async def count(stream: Any) -> None:
        async for word in stream:
            counts[word] += 1

    async with running(app):
        with pytest.raises(TypeError, match="counts"):
            counts["a"] = 1
        assert "a" not in counts


async def test_keys_that_are_no_bytes_are_refused_when_they_are_sent(
    topic_name: Callable[..., str],
) -> None:
    """A key that its serializer does not turn into bytes is a TypeError for who sends it."""
    app = make_app(f"memory://{topic_name('b')}", topic_name("app"))
    topic: Any = app.topic(topic_name("in"))
    app.producer_only = True
    async with running(app):
        with pytest.raises(TypeError, match="bytes"):
            await topic.send(key=5, value="x")


def test_two_tables_of_one_name() -> None:
    """A second table of a name is a ValueError that names it."""
    app = faust.App("twice", broker="memory://twice")
    app.Table("counts")
    with pytest.raises(ValueError, match="counts"):
        app.Table("counts")
