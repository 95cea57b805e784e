"""What has gone wrong lately in this process: the last warnings and errors of the library, with their secrets hidden.

Only ``faust`` and ``mode`` are listened to: a handler on the root logger would make `logging.basicConfig` do nothing. Python writes
warnings to standard error when nobody handles them; a handler that only remembers must not keep it from that.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from typing import Any

from faust.settings.params import mask_password

__all__ = ["Trouble", "listen", "masked"]

KEPT = 50
LONGEST = 2000
"""Characters of a message that are shown."""

_SECRET = re.compile(
    r"""((?:pass(?:word|phrase|wd)|secret|token|credential|api_?key)\w*["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&)}]+)""",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Hide passwords of URLs, and what stands after the name of a secret."""
    return _SECRET.sub(r"\1***", mask_password(text))


class Trouble(logging.Handler):
    """Remembers the last warnings and errors.

    Attributes:
        entries: They, the oldest first.
        total: How many there have been.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.total: int = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a record."""
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                error = record.exc_info[1]
                place = _place_of(error)
                words = f"{type(error).__name__}: {error}"
                message += "" if words in message else f" - {words}"
                message += f" (at {place})" if place else ""
        except Exception:  # somebody else's arguments
            self.handleError(record)
            return
        self.total += 1
        self.entries.append(
            {
                "number": self.total,
                "at": record.created,
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": masked(message[:LONGEST]),
            }
        )
        if logging.lastResort is not None and self._is_alone(record.name):
            logging.lastResort.handle(record)

    def _is_alone(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True


def _place_of(error: BaseException) -> str:
    """Say where an exception was raised."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    if frames is None:
        return ""
    code = frames.tb_frame.f_code
    file = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{file}:{frames.tb_lineno} in {code.co_name}"


_lock = threading.Lock()
_trouble: Trouble | None = None


def listen() -> Trouble:
    """Return the handler of this process, which listens from now on."""
    global _trouble
    with _lock:
        if _trouble is None:
            _trouble = Trouble()
        for name in ("faust", "mode"):
            logger = logging.getLogger(name)
            if _trouble not in logger.handlers:
                logger.addHandler(_trouble)
        return _trouble
