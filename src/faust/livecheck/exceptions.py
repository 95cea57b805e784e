"""What may be wrong with a test, or with a suite of tests.

```
LiveCheckError
├── SuiteFailed             a case fails as a whole
│   ├── ServiceDown         a service it needs does not answer
│   └── SuiteStalled        it has not been executed for too long
├── LiveCheckTestSkipped    an execution did not run
├── LiveCheckTestFailed     an assertion failed
├── LiveCheckTestRaised     something else was raised
└── LiveCheckTestTimeout    a signal did not come
```
"""

from __future__ import annotations

__all__ = [
    "LiveCheckError",
    "LiveCheckTestFailed",
    "LiveCheckTestRaised",
    "LiveCheckTestSkipped",
    "LiveCheckTestTimeout",
    "ServiceDown",
    "SuiteFailed",
    "SuiteStalled",
]


class LiveCheckError(Exception):
    """Base class of everything that LiveCheck raises."""


class SuiteFailed(LiveCheckError):
    """A case fails as a whole."""


class ServiceDown(SuiteFailed):
    """A service that a case needs does not answer."""


class SuiteStalled(SuiteFailed):
    """A case has not been executed for longer than it should."""


class LiveCheckTestSkipped(LiveCheckError):
    """An execution was skipped: its case is not active, it has expired, or it says so itself."""


class LiveCheckTestFailed(LiveCheckError):
    """An assertion of a test failed."""


class LiveCheckTestRaised(LiveCheckError):
    """A test raised something that is no assertion."""


class LiveCheckTestTimeout(LiveCheckError):
    """A signal did not come in time."""
