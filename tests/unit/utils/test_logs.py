"""What log lines look like, and where they go."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from faust.utils import logs


@pytest.fixture(autouse=True)
def _restore_root() -> Iterator[None]:
    root = logging.root
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_lines_have_time_process_and_level() -> None:
    """One record is one line with time, process id, level and message."""
    stream = io.StringIO()
    logs.set_up(logging.INFO, stream=stream)
    logging.getLogger("somewhere").info("hello %s", "world", extra={"data": {"a": 1}})
    logging.getLogger("somewhere").debug("not this")
    pattern = rf"\[[-\d]+ [\d:,]+\] \[{os.getpid()}\] \[INFO\] hello world a=1\n"
    assert re.fullmatch(pattern, stream.getvalue())


def test_files_are_appended_to(tmp_path: Path) -> None:
    """A log file keeps what was in it."""
    path = tmp_path / "x.log"
    path.write_text("old\n")
    logs.set_up(logging.WARNING, filename=path)
    logging.getLogger("somewhere").warning("grüß dich")
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert first == "old"
    assert second.endswith("[WARNING]: grüß dich")


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """A wrong path is told at once."""
    with pytest.raises(FileNotFoundError):
        logs.set_up(logging.INFO, filename=tmp_path / "no" / "such" / "x.log")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colour_is_for_terminals(no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colours unless NO_COLOR is set."""
    monkeypatch.setenv("NO_COLOR", no_color)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.set_up(logging.INFO, stream=stream)
    logging.getLogger("somewhere").error("bad")
    assert ("\033[" in stream.getvalue()) == (not no_color)


def test_a_mapping_replaces_ours() -> None:
    """Who gives a configuration gets that and nothing else."""
    logs.set_up(logging.INFO, config={"version": 1, "root": {"level": "ERROR"}})
    assert logging.root.level == logging.ERROR
    assert logging.root.handlers == []


def test_a_mapping_can_be_merged() -> None:
    """With merge the rest of ours stays, and the mapping is not changed."""
    stream = io.StringIO()
    config = {"merge": True, "loggers": {"loud": {"level": "DEBUG"}}, "root": {"level": "ERROR"}}
    logs.set_up(logging.DEBUG, stream=stream, config=config)
    logging.getLogger("loud").debug("heard")
    logging.getLogger("other").warning("not heard")
    assert "heard" in stream.getvalue()
    assert "not heard" not in stream.getvalue()
    assert config["merge"] is True


def test_further_handlers_are_added() -> None:
    """Handlers of the settings get what ours gets; those from before are gone."""
    before = logging.NullHandler()
    logging.root.addHandler(before)
    mine = logging.StreamHandler(io.StringIO())
    logs.set_up(logging.INFO, stream=io.StringIO(), handlers=[mine])
    assert mine in logging.root.handlers
    assert before not in logging.root.handlers
