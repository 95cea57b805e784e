"""Addresses of the embedded broker, what its options do, and what its thread sleeps on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.driving import open_transport, until

from faust.exceptions import ImproperlyConfigured
from faust.transport.base import ProducerOptions
from faust.transport.drivers.courtesy import Courtesy
from faust.transport.drivers.local import Transport
from faust.transport.drivers.local.alarm import Alarm
from faust.transport.drivers.local.database import Database


def transport(url: str) -> Transport:
    """The embedded broker's transport."""
    made = open_transport(url)
    assert isinstance(made, Transport)
    return made


# -- addresses


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("memory://", None),
        ("memory://name", None),
        ("local:///abs/path", "/abs/path"),
        ("local://./rel/path", "{cwd}/rel/path"),
        ("local://rel", "{cwd}/rel"),
        ("local://", "{cwd}/data/broker"),
    ],
)
def test_an_address_is_a_directory_or_a_name(
    url: str, directory: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absolute and relative directories, the data directory, or none: in memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAUST_DATADIR", str(tmp_path / "data"))
    expected = None if directory is None else Path(directory.format(cwd=tmp_path))
    assert transport(url).directory == expected


def test_without_a_data_directory_the_broker_is_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``local://`` outside an app."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAUST_DATADIR", raising=False)
    assert transport("local://").directory == tmp_path / "faust-broker"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("parts=3", "unknown option parts; known are auto_create, durable, partitions"),
        ("partitions=0", "partitions is '0', expected a number of at least 1"),
        ("partitions=many", "partitions is 'many'"),
        ("durable=yes", "durable is 'yes', expected one of normal, full"),
        ("auto_create=never", "auto_create is 'never', expected one of yes, no"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(query: str, words: str) -> None:
    """A misspelt option is not passed over."""
    with pytest.raises(ImproperlyConfigured, match=words):
        transport(f"memory://?{query}")


async def test_options_of_the_address_are_followed(tmp_path: Path) -> None:
    """``partitions`` is the number of partitions of topics that are made by being used."""
    producer = transport(f"local://{tmp_path}?partitions=3").producer(ProducerOptions())
    await producer.start()
    assert await producer.load_partitions("fresh") == (0, 1, 2)
    await producer.close()


@pytest.mark.parametrize(("durable", "synchronous"), [(True, 2), (False, 1)])
def test_a_durable_broker_waits_for_the_disk(
    tmp_path: Path, durable: bool, synchronous: int
) -> None:
    """FULL syncs the write-ahead log at each commit, NORMAL at checkpoints (sqlite.org/pragma.html)."""
    database = Database(tmp_path, durable=durable)
    assert database.read("PRAGMA synchronous") == [(synchronous,)]
    assert database.read("PRAGMA journal_mode") == [("wal",)]
    database.close()


# -- the alarm


def seconds(call: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def test_whoever_rings_wakes_the_sleeper_and_no_ring_is_lost() -> None:
    """What was put down before a ring is seen after the next sleep, whatever the two threads do."""
    alarm = Alarm(None)
    box: list[int] = []
    seen = 0

    def put() -> None:
        for number in range(3_000):
            box.append(number)
            alarm.ring()

    putting = threading.Thread(target=put)
    putting.start()
    while seen < 3_000:
        assert seconds(lambda: alarm.sleep(10.0)) < 5.0
        seen = len(box)
    putting.join()
    alarm.close()


def test_without_a_ring_it_sleeps_its_time(tmp_path: Path) -> None:
    """Nobody rings and nothing is written: it sleeps, and says that nothing was."""
    for alarm in (Alarm(None), Alarm(tmp_path)):
        assert seconds(lambda alarm=alarm: alarm.sleep(0.1)) >= 0.09  # type: ignore[misc]
        assert not alarm.sleep(0.0)
        alarm.close()


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_a_write_of_another_process_wakes_the_sleeper(tmp_path: Path) -> None:
    """The kernel tells; where it cannot, the alarm says so."""
    alarm = Alarm(tmp_path)
    assert alarm.watches
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(b'x')"
    with subprocess.Popen([sys.executable, "-c", write, str(tmp_path / "file")]):
        assert alarm.sleep(20.0)
    alarm.close()
    for directory in (None, tmp_path / "none"):
        alarm = Alarm(directory)
        assert not alarm.watches
        alarm.close()


# -- courtesy


async def test_the_loop_stands_back_only_while_the_thread_is_behind() -> None:
    """It blocks for moments until the thread has turned, and looks seldom when nothing is waited for."""
    looks: list[float] = []
    behind = False
    turned = threading.Event()

    def is_behind() -> bool:
        looks.append(time.monotonic())
        return behind

    courtesy = Courtesy(asyncio.get_running_loop(), is_behind, turned)
    courtesy.keep()
    await asyncio.sleep(0.35)
    assert 1 <= len(looks) <= 4
    behind = True
    before = len(looks)
    courtesy.expect()
    await until(lambda: len(looks) > before + 10, "it looked often")
    behind = False
    await asyncio.sleep(0.05)
    before = len(looks)
    await asyncio.sleep(0.2)
    assert len(looks) - before <= 3
    courtesy.leave()
    before = len(looks)
    await asyncio.sleep(0.2)
    assert len(looks) == before
