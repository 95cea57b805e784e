"""Where a suspended coroutine waits."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["frames_of", "place_of"]

LIBRARIES = (str(Path(__file__).resolve().parents[1]), sysconfig.get_path("stdlib"))


def frames_of(coroutine: Any) -> list[FrameType | Any]:
    """Return the frames of a suspended coroutine or asynchronous generator, the outermost first."""
    frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            frames.append(frame)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return frames


def place_of(coroutine: Any) -> str | None:
    """Say where a coroutine waits: ``file:line in function``, of the innermost code that is no library's.

    None: it does not wait (it runs, has ended, or has not begun).
    """
    frames = frames_of(coroutine)
    if not frames:
        return None
    users = [frame for frame in frames if not frame.f_code.co_filename.startswith(LIBRARIES)]
    frame = (users or frames)[-1]
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
