"""``faust reset``: local state goes, the changelog brings it back (worker-cli.md, stores.md)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import faust
from faust.cli.main import call_command
from tests.support.apps import committed_everything, eventually, make_app, running
from tests.support.processes import start_python


def make(directory: Path) -> tuple[faust.App, Any, Any]:
    """Make an app with one table on disk."""
    app = make_app(
        f"local://{directory / 'broker'}",
        "resetting",
        datadir=directory / "data",
        store="rocksdb://",
    )
    words = app.topic("reset-words", key_type=str, value_type=str, internal=True)
    counts = app.Table("counts", default=int)

    @app.agent(words)
    async def count(stream: Any) -> None:
        async for word in stream:
            counts[word] += 1

    return app, words, counts


def reset(app: faust.App) -> tuple[int, str, str]:
    """Run the command."""
    status, out, err = call_command("reset", app=app)
    return status, out.getvalue(), err.getvalue()  # type: ignore[attr-defined]


async def count_words(directory: Path, words: list[str]) -> dict[str, int]:
    """Run a worker until *words* are counted; return its table."""
    app, topic, counts = make(directory)
    async with running(app):
        for word in words:
            await topic.send(key=word, value=word)
        await eventually(lambda: sum(counts.values()) >= len(words))
        await committed_everything(app)
        return dict(counts.items())


async def test_reset_deletes_local_state_and_recovery_brings_it_back(tmp_path: Path) -> None:
    """Each table is named and its files are gone; the next worker reads the changelog."""
    assert await count_words(tmp_path, ["a", "b", "a"]) == {"a": 2, "b": 1}
    app, _, _ = make(tmp_path)
    assert list(app.conf.tabledir.glob("counts-*.db"))
    status, out, _ = await asyncio.to_thread(reset, app)
    assert status == 0
    assert "Removing database for table counts..." in out
    assert not list(app.conf.tabledir.glob("counts-*.db"))
    assert await count_words(tmp_path, []) == {"a": 2, "b": 1}


async def test_reset_refuses_while_a_worker_runs(tmp_path: Path) -> None:
    """Files that another process has open are not deleted under its hands: one sentence says who has them."""
    await count_words(tmp_path, ["a"])
    app, _, _ = make(tmp_path)
    holder = (
        "import sys, time\n"
        "from rocksdict import Rdict\n"
        "db = Rdict(sys.argv[1]); print('open', flush=True); time.sleep(60)\n"
    )
    path = next(iter(app.conf.tabledir.glob("counts-*.db")))
    with start_python(holder, str(path)) as process:
        assert await process.wait_line() == "open"
        status, _, err = await asyncio.to_thread(reset, app)
    assert status != 0
    assert "is open in another process" in err
    assert path.exists()
