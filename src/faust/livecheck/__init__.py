"""LiveCheck: end-to-end tests that ride along with production traffic; a face, see ``app.py`` and ``case.py``."""

from __future__ import annotations

from faust.livecheck.app import LiveCheck as LiveCheck
from faust.livecheck.case import Case as Case
from faust.livecheck.locals import current_test as current_test
from faust.livecheck.runners import TestRunner as TestRunner
from faust.livecheck.signals import Signal as Signal

__all__ = ["Case", "LiveCheck", "Signal", "TestRunner", "current_test"]
