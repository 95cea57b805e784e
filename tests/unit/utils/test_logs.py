"""What log lines look like, and where they go."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from faust.messages import TP
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


def test_json_lines_are_for_machines() -> None:
    """worker-cli.md 1 (issue 7): each record is one JSON object, with data and traceback, also with bad text."""
    stream = io.StringIO()
    logs.set_up(logging.INFO, stream=stream, format="json")
    logger = logging.getLogger("somewhere")
    logger.info("hello %s", "world\n", extra={"data": {"a": {1, 2}, 3: "x"}})
    try:
        raise KeyError("broken")
    except KeyError:
        logger.exception("oh")
    logger.warning("lone \ud800", extra={"data": {"thing": object()}})
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == "hello world\n"
    assert first["data"] == {"a": [1, 2], "3": "x"}
    assert (first["level"], first["logger"], first["process"]) == ("INFO", "somewhere", os.getpid())
    assert datetime.fromisoformat(first["timestamp"]).tzinfo is not None
    assert "KeyError: 'broken'" in second["exception"]
    assert (third["message"], third["level"]) == ("lone ?", "WARNING")
    assert "object" in third["data"]


@pytest.mark.parametrize(
    ("extra", "data"),
    [
        ({"order": 5}, {"order": 5}),
        ({"order": 5, "data": {"a": 1}}, {"order": 5, "a": 1}),
        ({"data": "text"}, {"data": "text"}),
        (None, None),
    ],
)
def test_json_lines_have_what_was_given_as_extra(extra: Any, data: Any) -> None:
    """Issue 7: nothing that a program gives to a record is lost, whether or not it is called data."""
    stream = io.StringIO()
    logs.set_up(logging.INFO, stream=stream, format="json")
    logging.getLogger("somewhere").info("x", extra=extra)
    assert json.loads(stream.getvalue()).get("data") == data


POSTS = [TP("posts", number) for number in (1, 2, 3, 7, 9, 10)]


@pytest.mark.parametrize("kind", [set, frozenset, list, tuple])
def test_partitions_are_shown_as_tables(kind: type[Any]) -> None:
    """worker-cli.md 1: a set of partitions is a table, neighbours are ranges."""
    stream = io.StringIO()
    logs.set_up(logging.INFO, stream=stream)
    logging.getLogger("x").info("%s got %s", "we", kind([*POSTS, TP("likes", 0)]))
    assert stream.getvalue().partition("] we got ")[2] == PICTURE


PICTURE = """
+Topic Partition Set-----+
| topic | partitions     |
+-------+----------------+
| likes | {0}            |
| posts | {1-3, 7, 9-10} |
+-------+----------------+
"""


def test_maps_of_partitions_are_shown_as_tables() -> None:
    """worker-cli.md 1: a map of partitions is a table, also as the only argument; other things stay as they are."""
    stream = io.StringIO()
    logs.set_up(logging.INFO, stream=stream)
    logger = logging.getLogger("x")
    logger.info("Offsets: %s", {TP("posts", 1): 30})
    assert "+Topic Partition Map+-------+\n" in stream.getvalue()
    assert "| posts | 1         | 30    |\n" in stream.getvalue()
    logger.info("%s %s %s", [], (1, 2), {"a": 1})
    assert stream.getvalue().endswith("] [] (1, 2) {'a': 1}\n")
    logger.info("%(a)s", {"a": 1})
    assert stream.getvalue().endswith("] 1\n")
