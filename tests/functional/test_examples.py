"""The examples, as a reader would run them: one process for the worker, one that feeds it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from examples.demo import wait_until_idle

from tests.conftest import BROKERS
from tests.support.ports import free_port
from tests.support.processes import ROOT, unwatch, watch

EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.parametrize(
    "broker_url", BROKERS[1:], indirect=True
)  # memory:// ends with its process


@pytest.fixture
def surroundings(
    broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Tell every process by environment variables where the broker is, as a user would."""
    variables = {
        "BROKER_URL": broker_url,
        "APP_DATADIR": str(tmp_path / "data"),
        "BROKER_COMMIT_INTERVAL": "0.2",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return {**os.environ, **variables}


@contextlib.contextmanager
def _program(
    name: str, *args: str, env: Mapping[str, str], log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (log or Path(os.devnull)).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *args],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
        )
    watch(process.pid)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        unwatch(process.pid)


def _imported(name: str) -> Any:
    """Import an example anew: its app reads where the broker is only once."""
    sys.modules.pop(name, None)
    return importlib.import_module(name)


async def test_word_count(surroundings: dict[str, str], tmp_path: Path) -> None:
    """The word count counts as `collections.Counter` does, and its worker ends with 0 on SIGTERM."""
    # given a text of our own
    text = tmp_path / "text.txt"
    text.write_text(
        "The quick brown fox\njumps over the lazy dog, the one that doesn't run\n" * 500
    )
    word_count = _imported("word_count")

    # when it is fed to a worker
    with _program("word_count.py", "worker", env=surroundings, log=tmp_path / "log") as worker:
        with _program("word_count.py", "feed", str(text), env=surroundings) as feeder:
            await wait_until_idle(word_count.app, ("lines", "word-count-"), worker, feeder)
        counted = await word_count.read_counts()
        worker.terminate()
        status = worker.wait(20)

    # then
    words = Counter(w for line in text.read_text().splitlines() for w in word_count.words_of(line))
    assert counted == words
    assert status == 0, (tmp_path / "log").read_text()


async def test_page_views(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Two agents and a table: each full thousand of a page's views is announced once."""
    page_views = _imported("page_views")
    log = tmp_path / "log"
    with _program("page_views.py", "worker", env=surroundings, log=log) as worker:
        with _program("page_views.py", "browse", "--number", "8000", env=surroundings) as feeder:
            await wait_until_idle(
                page_views.app, ("page_views", "page-views-", "milestones"), worker, feeder
            )
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()

    announced = [line.split("] ")[-1] for line in log.read_text().splitlines() if "viewed" in line]
    assert "/ has been viewed 1,000 times" in announced
    assert "/ has been viewed 2,000 times" in announced
    assert len(announced) == len(set(announced))


async def test_join_by_hand(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Every order is delivered once to where its customer lives, whichever of the two came first."""
    example = _imported("join_by_hand")
    log = tmp_path / "log"
    with _program("join_by_hand.py", "worker", env=surroundings, log=log) as worker:
        with _program("join_by_hand.py", "shop", "--number", "30", env=surroundings) as feeder:
            topics = ("customers", "orders", "deliveries", "join-by-hand-")
            await wait_until_idle(example.app, topics, worker, feeder)
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()
    said = [line.split("] ")[-1] for line in log.read_text().splitlines() if "goes to" in line]
    assert sorted(said) == sorted(
        f"{when} {n} goes to city {n % 7}" for n in range(30) for when in ("early", "late")
    )


async def test_bulk_insert(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Every reading is in the database once, in few transactions."""
    example = _imported("bulk_insert")
    log, answer = tmp_path / "log", tmp_path / "answer"
    with _program("bulk_insert.py", "worker", env=surroundings, log=log) as worker:
        with _program("bulk_insert.py", "measure", "--number", "3000", env=surroundings) as feeder:
            await wait_until_idle(example.app, ("readings",), worker, feeder)
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()
    sizes = [int(line.split()[-3]) for line in log.read_text().splitlines() if "stored" in line]
    assert sum(sizes) == 3000
    assert max(sizes) <= 500
    assert len(sizes) < 300
    with _program("bulk_insert.py", "total", env=surroundings, log=answer) as total:
        assert total.wait(30) == 0, answer.read_text()
    assert "(3000, 20." in answer.read_text() or "(3000, 19." in answer.read_text()


def test_hello_world(surroundings: dict[str, str], tmp_path: Path) -> None:
    """The timer names the world, and whoever else is sent to the agent is greeted, too."""
    log = tmp_path / "log"
    with _program("hello_world.py", "worker", env=surroundings, log=log) as worker:
        with _program("hello_world.py", "send", "@greet", '"Ann"', env=surroundings) as sender:
            assert sender.wait(30) == 0
        deadline = time.monotonic() + 30
        while not {"Hello, world!", "Hello, Ann!"} <= _last_words(log):
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()


def test_rpc(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Another process asks the agent, as a client, and prints its answers."""
    log, answers = tmp_path / "log", tmp_path / "answers"
    with _program("rpc.py", "worker", env=surroundings, log=log) as worker:
        with _program("rpc.py", "ask", "3", "4", env=surroundings, log=answers) as client:
            assert client.wait(60) == 0, answers.read_text() + log.read_text()
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()
    lines = answers.read_text().splitlines()
    assert "3 x 4 = 12" in lines
    assert "multiples: 12, 24, 36, 48, 60" in lines


def test_timers(surroundings: dict[str, str], tmp_path: Path) -> None:
    """The only worker leads, so all its timers and cron jobs run; at the end its signal and its service speak."""
    log = tmp_path / "log"
    with _program("timers.py", "worker", env=surroundings, log=log) as worker:
        who = f"worker {worker.pid}: "
        wanted = {
            "timers is ready",
            "alive, and the leader",
            "once for all workers",
            "a time of day that ends with 0 or 5",
        }
        deadline = time.monotonic() + 40
        while not {who + one for one in wanted} <= _last_words(log):
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()
    assert who + "everything is processed" in _last_words(log)
    assert any(line.startswith(who + "counted to") for line in _last_words(log))


def test_several_apps(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Two apps in one process do their work side by side, with the settings that they have for everybody."""
    log = tmp_path / "log"
    env = {name: value for name, value in surroundings.items() if name != "APP_WEB_ENABLED"}
    with _program("several_apps.py", env=env, log=log) as program:
        assert program.wait(60) == 0, log.read_text()
    places = [line.split()[0] for line in log.read_text().splitlines() if line.endswith("°C")]
    assert places == ["attic", "cellar", "kitchen"]


def test_windowed_views(surroundings: dict[str, str], tmp_path: Path) -> None:
    """An hour of views at once and out of order gives each minute with all its views, once."""
    log = tmp_path / "log"
    env = {**surroundings, "TABLE_CLEANUP_INTERVAL": "0.3"}
    with _program("windowed_views.py", "worker", env=env, log=log) as worker:
        with _program("windowed_views.py", "browse", "--number", "3600", env=env) as feeder:
            assert feeder.wait(60) == 0
        deadline = time.monotonic() + 60
        while sum(_minutes(log).values()) < 59 * 60:  # the last one ends with the clock
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()
    assert {count for minute, count in _minutes(log).items() if minute < "12:59"} == {60}
    assert len([line for line in log.read_text().splitlines() if " /docs " in line]) in {59, 60}


def _minutes(log: Path) -> Counter[str]:
    """Return how many views were printed of each minute, over all pages."""
    counts: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        words = line.split("] ")[-1].split(" ")
        if len(words) == 3 and words[1] in {"/", "/docs"}:
            counts[words[0]] += int(words[2])
    return counts


def test_leaderboard(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Two workers print the same three best players."""
    logs = [tmp_path / "one", tmp_path / "two"]
    with (
        _program("leaderboard.py", "worker", env=surroundings, log=logs[0]) as one,
        _program("leaderboard.py", "worker", env=surroundings, log=logs[1]) as two,
    ):
        with _program("leaderboard.py", "play", "--number", "5000", env=surroundings) as feeder:
            assert feeder.wait(60) == 0
        deadline = time.monotonic() + 60
        while not _last_line(logs[0]) == _last_line(logs[1]) != "":
            assert one.poll() is two.poll() is None, logs[0].read_text() + logs[1].read_text()
            assert time.monotonic() < deadline, logs[0].read_text() + logs[1].read_text()
            time.sleep(0.2)
        for worker in (one, two):
            worker.terminate()
            assert worker.wait(20) == 0
    assert _last_line(logs[0]).startswith("emil ")


def _last_line(log: Path) -> str:
    """Return the last line of the leaderboard that was printed."""
    lines = [line.split("] ")[-1] for line in log.read_text().splitlines()]
    return next((line for line in reversed(lines) if line.count(",") == 2), "")


def test_unique_visitors(surroundings: dict[str, str], tmp_path: Path) -> None:
    """However often they come, each page has had a hundred different visitors."""
    log = tmp_path / "log"
    with _program("unique_visitors.py", "worker", env=surroundings, log=log) as worker:
        with _program("unique_visitors.py", "browse", env=surroundings) as feeder:
            assert feeder.wait(60) == 0
        deadline = time.monotonic() + 60
        while not {"/ 100", "/docs 100", "/download 100"} <= _last_words(log):
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()


def _last_words(log: Path) -> set[str]:
    return {line.split("] ")[-1] for line in log.read_text().splitlines()}


async def test_web(surroundings: dict[str, str], tmp_path: Path) -> None:
    """Two workers share the keys of the web example, and each answers for every key."""
    ports = [free_port(), free_port()]
    env = {**surroundings, "APP_WEB_ENABLED": "yes"}
    fruits = _imported("web").FRUITS
    with contextlib.ExitStack() as stack:
        for port in ports:
            worker = ("worker", "-h", "127.0.0.1", "-p", str(port))
            stack.enter_context(_program("web.py", *worker, env=env, log=tmp_path / str(port)))
        async with aiohttp.ClientSession() as session:

            async def answers() -> list[dict[str, Any]]:
                """Ask every worker for every fruit; empty: some worker does not know yet."""
                found = []
                for port in ports:
                    for fruit in fruits:
                        url = f"http://127.0.0.1:{port}/count/{fruit}/"
                        try:
                            async with session.get(url) as response:
                                response.raise_for_status()
                                found.append(await response.json())
                        except aiohttp.ClientError:
                            return []
                return found

            async with asyncio.timeout(60):
                while len({answer["by"] for answer in await answers()}) < 2:
                    await asyncio.sleep(0.1)
                given = [word for port in ports for word in ("--port", str(port))]
                with _program("web.py", "visit", "--number", "300", *given, env=env) as visitor:
                    assert await asyncio.to_thread(visitor.wait, 40) == 0
                while sum(answer["count"] for answer in await answers()) < 2 * 300:
                    await asyncio.sleep(0.1)
            assert sum(answer["count"] for answer in await answers()) == 2 * 300
            url = f"http://127.0.0.1:{ports[0]}/count/figs/?number=x"
            async with session.post(url) as response:
                assert response.status == 400
                assert await response.json() == {"error": "number must be a number"}


async def test_livecheck(surroundings: dict[str, str], tmp_path: Path) -> None:
    """The orders of the shop are tested by another process, and both end with 0 on SIGTERM."""
    logs = [tmp_path / "shop", tmp_path / "livecheck"]
    port = str(free_port())
    with (
        _program(
            "livecheck.py", "livecheck", "-l", "info", "-p", port, env=surroundings, log=logs[1]
        ) as tests,
        _program("livecheck.py", "worker", env=surroundings, log=logs[0]) as shop,
    ):
        async with asyncio.timeout(60):
            while logs[1].read_text().count("Test OK") < 1:
                assert tests.poll() is shop.poll() is None, (
                    logs[1].read_text() + logs[0].read_text()
                )
                await asyncio.sleep(0.1)
        for process in (shop, tests):
            process.terminate()
        assert [process.wait(20) for process in (shop, tests)] == [0, 0], logs[1].read_text()
    assert "livecheck.test_order" not in logs[0].read_text()
    assert "there is no case" not in logs[1].read_text()
