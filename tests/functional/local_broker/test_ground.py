"""Bad ground: one clear error that says what is wrong, where, and what to do; nothing is repaired in silence."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faust.exceptions import StorageError
from faust.messages import TP
from faust.transport.base import ConsumerOptions
from faust.transport.drivers.local.database import (
    FILE,
    FORMAT,
    NETWORK_FILE_SYSTEMS,
    Database,
    file_system,
)
from tests.support.driving import Reader, Stage, open_transport
from tests.support.processes import start_python

WORKER = """
import sys
import faust

app = faust.App("ground", datadir=sys.argv.pop(1), broker=f"local://{{sys.argv.pop(1)}}")


@app.agent(app.topic("words", value_serializer="raw"))
async def read(stream):
    async for _ in stream:
        pass


{more}
if __name__ == "__main__":
    app.main()
"""

FILL_THE_DISK = """
import resource, signal


@app.task
async def fill():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))  # no file grows beyond that
    while True:
        await read.send(value=b"x" * 1_000)
"""

OPEN_WITHOUT_RIGHTS = """
import asyncio, os, sys
from tests.support.driving import open_transport


async def use(url):
    admin = open_transport(url).admin()
    await admin.start()
    await admin.close()


asyncio.run(use(sys.argv[2]))  # now all is imported
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere
try:
    asyncio.run(use(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""


def run_worker(tmp_path: Path, broker: Path, more: str = "") -> tuple[int, str]:
    """Run a worker that is expected to end by itself; return its status and its last words."""
    program = tmp_path / "program.py"
    program.write_text(WORKER.format(more=more))
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "data"), str(broker), "worker", "-l", "warn"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if "CRITICAL" in line]
    assert len(lines) == 1, done.stderr
    return done.returncode, lines[0]


@pytest.fixture
async def broker(tmp_path: Path) -> Path:
    """A broker's directory with 400 records of 1,000 bytes; nobody uses it."""
    directory = tmp_path / "broker"
    stage = Stage(f"local://{directory}", lambda name="words": name, None)
    await stage.topic(1)
    await stage.fill({TP("words", 0): 400}, pad=1_000)
    await stage.close()
    return directory


# -- a damaged file


def _no_header(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"garbage garbage garbage")


def _holes(file: Path) -> None:
    with file.open("r+b") as opened:
        for page in range(1, file.stat().st_size // 8192):
            opened.seek(page * 8192)
            opened.write(b"\xff" * 200)


def _cut(file: Path) -> None:
    os.truncate(file, 5 * 8192)


@pytest.mark.parametrize("damage", [_no_header, _holes, _cut])
def test_a_damaged_file_ends_the_worker_with_its_name_and_what_to_do(
    tmp_path: Path, broker: Path, damage: Callable[[Path], None]
) -> None:
    """The worker ends at once, says which file is damaged, and leaves it as it is."""
    damage(broker / FILE)
    before = (broker / FILE).read_bytes()
    status, words = run_worker(tmp_path, broker)
    assert status != 0
    assert f"{broker / FILE} is damaged" in words
    assert ".recover" in words
    assert (broker / FILE).read_bytes() == before


async def test_a_damaged_record_is_named_and_not_passed_over(broker: Path) -> None:
    """A batch whose bytes have changed: the reader says topic, partition and offset, and can seek beyond it."""
    with sqlite3.connect(broker / FILE) as connection:
        ((key, base, data),) = connection.execute(
            "SELECT id, base, data FROM batches ORDER BY id LIMIT 1 OFFSET 1"
        ).fetchall()
        changed = bytearray(data)
        changed[len(changed) // 2] ^= 1
        connection.execute("UPDATE batches SET data=? WHERE id=?", (changed, key))
    connection.close()
    beyond = (key & (1 << 40) - 1) + 1
    tp = TP("words", 0)
    consumer = open_transport(f"local://{broker}").consumer(ConsumerOptions())
    await consumer.start()
    await consumer.assign([tp])
    reader = Reader(consumer, gaps=True)
    with pytest.raises(StorageError, match=r"words\[0\] is damaged near offset") as caught:
        await reader.read(400)
    assert "seek beyond it" in str(caught.value)
    assert reader.next.get(tp, 0) <= base
    await consumer.seek({tp: beyond})
    rest = Reader(consumer, gaps=True)
    rest.next[tp] = beyond
    await rest.read(400 - beyond)
    await consumer.close()


# -- a full disk, a directory that may not be written


def test_a_full_disk_ends_the_worker_with_the_directory_and_what_to_do(
    tmp_path: Path, broker: Path
) -> None:
    """A worker that can write no more ends with one clear sentence."""
    status, words = run_worker(tmp_path, broker, FILL_THE_DISK)
    assert status != 0
    assert str(broker) in words
    assert "what was acknowledged is" in words
    assert "look at its disk" in words or "free some" in words


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("made", [True, False])
async def test_a_read_only_directory_is_named_with_what_to_do(
    tmp_path: Path, open_to_all: Path, made: bool
) -> None:
    """Whether there is a broker in it or not: the error names the directory and the remedy."""
    directory = open_to_all / "broker"
    directory.mkdir()
    if made:
        Database(directory).close()
        (directory / FILE).chmod(0o444)
    directory.chmod(0o555)
    with start_python(
        OPEN_WITHOUT_RIGHTS, f"local://{directory}", f"local://{tmp_path / 'other'}"
    ) as process:
        words = await process.wait_line()
    assert words.startswith(f"StorageError the broker directory {directory} cannot be written")
    assert "make it writable for this user, or choose another" in words


# -- another release, a network


@pytest.mark.parametrize(
    ("version", "words"), [(FORMAT + 1, "upgrade faust"), (FORMAT - 1, "release that wrote it")]
)
def test_another_format_is_refused(broker: Path, version: int, words: str) -> None:
    """A directory of a newer or older release is not touched; the message says what to do."""
    with sqlite3.connect(broker / FILE) as connection:
        connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    with pytest.raises(StorageError, match=words) as caught:
        Database(broker)
    assert str(broker) in str(caught.value)


def test_a_network_file_system_is_recognized(tmp_path: Path) -> None:
    """The innermost mount decides; blanks in its name are written as octal."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/root / ext4 rw 0 0\n"
        "server:/home /mnt nfs4 rw 0 0\n"
        "/dev/sdb /mnt/local xfs rw 0 0\n"
        "//server/share /mnt/a\\040b cifs rw 0 0\n"
    )
    found = {
        path: file_system(Path(path), mounts)
        for path in ("/data", "/mnt/broker", "/mnt/local/broker", "/mnt/a b/broker", "/mnt2")
    }
    assert found == {
        "/data": "ext4",
        "/mnt/broker": "nfs4",
        "/mnt/local/broker": "xfs",
        "/mnt/a b/broker": "cifs",
        "/mnt2": "ext4",
    }
    assert {"nfs4", "cifs"} <= NETWORK_FILE_SYSTEMS
    assert file_system(tmp_path, tmp_path / "none") == ""
