"""Find out who holds the event loop.

While the loop runs, a timer of the system (``setitimer``, signal ALRM) is wound up again and again. Code that does
not let go of the loop keeps it from being wound up, so the timer fires in the middle of that code: the log names the
place, and `mode.debug.Blocking` is raised there. (One can only do this in the main thread, and not on Windows.)
"""

from __future__ import annotations

import signal
import threading
import traceback
from types import FrameType

import mode.debug

from faust.utils.stacks import innermost

__all__ = ["BlockingDetector"]


class BlockingDetector(mode.debug.BlockingDetector):
    """Interrupts code that blocks the event loop, and names it.

    Arguments:
        timeout: Seconds that the loop may be held.
        raises: What is raised in the code that holds it.
    """

    @staticmethod
    def is_possible() -> bool:
        """Say whether this thread and system have such a timer."""
        main = threading.current_thread() is threading.main_thread()
        return main and hasattr(signal, "setitimer")

    def _on_alarm(self, _signum: int, frame: FrameType | None) -> None:
        stack = traceback.extract_stack(frame)
        place = innermost([(line.filename, line.lineno, line.name) for line in stack])
        message = f"Blocking detected (timeout={self.timeout}): the event loop is held by {place}"
        self.log.warning("%s\n%s", message, "".join(traceback.format_list(stack)).rstrip())
        self._reset_signal()
        raise self.raises(message)
