"""A crash is told once.

mode logs a crash where it happens, with its traceback, and the process that ends of it says why once more. That is right for a
fault of the program. An error that a sentence explains is told by the process as it ends, in its last line, and by nobody else.
"""

from __future__ import annotations

import logging

from mode import Service

__all__ = ["crash_because"]

logger: logging.Logger = logging.getLogger(__name__)


async def crash_because(
    what: str, reason: BaseException, service: Service, *, explained: bool
) -> None:
    """Crash *service*, and all that it belongs to.

    Arguments:
        what: What cannot go on: begins the line in the log.
        reason: Why.
        service: The service.
        explained: The reason says all in a sentence. It is logged here only if no process at the root tells of it as it ends
            (attribute ``tells_why``).
    """
    root = service.beacon.root
    whole = service if root is None or not isinstance(root.data, Service) else root.data
    if not (explained and getattr(whole, "tells_why", False)):
        logger.error("%s: %s: %s", what, type(reason).__name__, reason)
    if explained:
        whole._crash(reason)
    else:
        await service.crash(reason)
