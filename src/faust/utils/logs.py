"""Set up logging for a process that is ours.

A library adds no handlers; the worker does, because the process is its own. One line per record::

    [2026-01-31 12:00:00,123] [4711] [INFO] [^-App]: Starting...

to standard error, coloured when that is a terminal (and ``NO_COLOR`` is not set, see
https://no-color.org), or to a file. For machines each record is a JSON object on a line of its own. The
handlers that the root logger had are removed; other loggers are left alone.
"""

from __future__ import annotations

import copy
import logging
import logging.config
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from faust.utils import json, logtables

__all__ = ["JSONFormatter", "LineFormatter", "create_config", "set_up"]

STREAM_FORMAT = "[%(asctime)s] [%(process)s] [%(levelname)s] %(message)s"
FILE_FORMAT = "[%(asctime)s] [%(process)s] [%(levelname)s]: %(message)s"

_COLOURS = {
    logging.DEBUG: "\033[34m",
    logging.INFO: "\033[37m",
    logging.WARNING: "\033[33m",
    logging.ERROR: "\033[31m",
    logging.CRITICAL: "\033[1;31m",
}
_PLAIN = "\033[0m"
_MERGED = ("formatters", "filters", "handlers", "loggers", "root")

_OF_RECORDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has, or gets when it is laid out."""


class LineFormatter(logging.Formatter):
    """One line per record, followed by the data given as ``extra={"data": {...}}``.

    Arguments:
        format: Format text.
        colour: Whether to colour the message by level.
    """

    def __init__(self, format: str = STREAM_FORMAT, *, colour: bool = False) -> None:
        super().__init__(format)
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Lay out the record, with partitions as tables."""
        if record.args and (args := logtables.shown(record.args)) is not record.args:
            record = copy.copy(record)  # other handlers want the arguments
            record.args = args
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of the base class
        """Lay out the line."""
        data = getattr(record, "data", None)
        if data:
            pairs = ", ".join(f"{key}={value!r}" for key, value in data.items())
            record.message = f"{record.message} {pairs}"
        if self.colour:
            record.message = f"{_COLOURS.get(record.levelno, '')}{record.message}{_PLAIN}"
        return super().formatMessage(record)


class JSONFormatter(logging.Formatter):
    """One JSON object per record.

    Members: ``timestamp`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, ``process``, ``thread``; with an
    exception ``exception`` (its traceback); and what was given as ``extra={...}`` as ``data`` (of ``extra={"data": {...}}``
    the inner one).
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        shown: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            "thread": record.threadName,
        }
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            shown["stack"] = self.formatStack(record.stack_info)
        if data := _extra_of(record):
            shown["data"] = data
        try:
            return json.dumps(shown).decode()
        except Exception:  # whatever a program logs, the line must come out
            plain = {key: str(value).encode(errors="replace") for key, value in shown.items()}
            return json.dumps({key: text.decode() for key, text in plain.items()}).decode()


def _extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what was given to the record as ``extra``."""
    given = {key: value for key, value in vars(record).items() if key not in _OF_RECORDS}
    inner = given.pop("data", None)
    if isinstance(inner, Mapping):
        given |= {str(key): value for key, value in inner.items()}
    elif inner is not None:
        given["data"] = inner
    return given


def create_config(
    level: int,
    *,
    stream: IO[str] | None = None,
    filename: str | Path | None = None,
    format: str = "text",
) -> dict[str, Any]:
    """Return what `logging.config.dictConfig` takes: one handler, for the stream or the file.

    Arguments:
        level: Level of the root logger and of the handler.
        stream: Where lines go; None: standard error.
        filename: File to append to instead.
        format: ``text`` or ``json``.
    """
    handler: dict[str, Any] = {"level": level, "formatter": "default"}
    if filename is not None:
        layout, colour = FILE_FORMAT, False
        handler |= {"class": "logging.FileHandler", "filename": str(filename), "encoding": "utf-8"}
    else:
        layout, colour = STREAM_FORMAT, _is_terminal(stream) and not os.environ.get("NO_COLOR")
        handler |= {"class": "logging.StreamHandler", "stream": stream}
    formatter: dict[str, Any] = {"()": f"{__name__}.JSONFormatter"}
    if format != "json":
        formatter = {"()": f"{__name__}.LineFormatter", "format": layout, "colour": colour}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"default": formatter},
        "handlers": {"default": handler},
        "root": {"level": level, "handlers": ["default"]},
    }


def set_up(
    level: int,
    *,
    stream: IO[str] | None = None,
    filename: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    handlers: Iterable[logging.Handler] = (),
    format: str = "text",
) -> None:
    """Configure the root logger.

    Arguments:
        level: Level of the root logger and of our handler.
        stream: Where lines go; None: standard error.
        filename: File to append to instead.
        config: Mapping for `logging.config.dictConfig` to take instead of ours; with a true item
            ``merge`` it is laid over ours.
        handlers: Further handlers of the root logger.
        format: ``text`` or ``json``.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the mapping cannot be understood.
    """
    if filename is not None:
        Path(filename).open("a", encoding="utf-8").close()  # dictConfig would hide the reason
    ours = create_config(level, stream=stream, filename=filename, format=format)
    logging.root.handlers.clear()
    logging.config.dictConfig(ours if config is None else _merged(ours, config))
    for handler in handlers:
        logging.root.addHandler(handler)


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in theirs.items() if key != "merge"}
    if not theirs.get("merge"):
        return given
    parts = {part: {**ours.get(part, {}), **given.get(part, {})} for part in _MERGED}
    return {**ours, **given, **parts}


def _is_terminal(stream: IO[str] | None) -> bool:
    target = sys.stderr if stream is None else stream
    isatty = getattr(target, "isatty", None)
    return bool(isatty and isatty())
