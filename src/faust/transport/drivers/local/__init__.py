"""The embedded broker, ``memory://`` and ``local://``; this is a face, see ``engine.py``."""

from __future__ import annotations

from faust.transport.drivers.local.transport import Transport as Transport

__all__ = ["Transport"]
