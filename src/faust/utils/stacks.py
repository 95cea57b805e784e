"""Where code is: a coroutine that waits, a thread that does not go on."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["LIBRARIES", "frames_of", "innermost", "place_of", "place_of_thread"]

LIBRARIES = (
    str(Path(__file__).resolve().parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    "<frozen",
)
"""How the file names of code begin that is not the user's."""


def frames_of(coroutine: Any) -> list[FrameType | Any]:
    """Return the frames of a suspended coroutine or asynchronous generator, the outermost first."""
    frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            frames.append(frame)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return frames


def place_of(coroutine: Any, *, users: bool = False) -> str | None:
    """Say where a coroutine waits: ``file:line in function``, of the innermost code that is no library's.

    None: it does not wait (it runs, has ended, or has not begun); with *users* also if all its code is of libraries.
    """
    places = _places(frames_of(coroutine))
    if not places or (users and all(place[0].startswith(LIBRARIES) for place in places)):
        return None
    return innermost(places)


def place_of_thread(ident: int) -> str | None:
    """Say where a thread is, as `place_of` does; None: there is no such thread."""
    frames: list[FrameType] = []
    frame = sys._current_frames().get(ident)
    while frame is not None:
        frames.insert(0, frame)
        frame = frame.f_back
    return innermost(_places(frames)) if frames else None


def _places(frames: Sequence[FrameType | Any]) -> list[tuple[str, int, str]]:
    return [(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name) for frame in frames]


def innermost(places: Sequence[tuple[str, int | None, str]]) -> str:
    """Return the last of the places that is in the user's code, or else the last one, as ``file:line in function``."""
    theirs = [place for place in places if not place[0].startswith(LIBRARIES)]
    filename, line, function = (theirs or places)[-1]
    return f"{filename}:{line} in {function}"
