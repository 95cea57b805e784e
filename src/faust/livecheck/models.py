"""What travels: executions, signals and reports; and how an execution travels in headers.

The namespaces of these models are those of faust-streaming, so that both can read the same topics.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from faust.models.record import Record

__all__ = ["SignalEvent", "State", "TestExecution", "TestReport"]

logger: logging.Logger = logging.getLogger(__name__)

HEADER_TEST_ID = "LiveCheck-Test-Id"
HEADER_TEST_NAME = "LiveCheck-Test-Name"
HEADER_TEST_TIMESTAMP = "LiveCheck-Test-Timestamp"
HEADER_TEST_EXPIRES = "LiveCheck-Test-Expires"

SHOWN_ID = 15
"""Characters of an id that people are shown."""


class State(StrEnum):
    """How an execution, or a case, is doing."""

    INIT = "INIT"
    """Nothing has been executed yet."""

    DO_NOT_SHARE = "111/***/111"
    """It has passed; the documented name and value."""

    FAIL = "FAIL"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    STALL = "STALL"
    SKIP = "SKIP"

    def is_ok(self) -> bool:
        """Say whether nothing is wrong."""
        return self in _OK


_OK = frozenset({State.INIT, State.DO_NOT_SHARE, State.SKIP})


class SignalEvent(Record, namespace="faust.livecheck.models.SignalEvent"):
    """A signal on the bus."""

    signal_name: str
    case_name: str
    key: Any
    value: Any


class TestExecution(Record, namespace="faust.livecheck.models.TestExecution", isodates=True):
    """One execution of a case.

    Attributes:
        id: Id; every signal of the execution is sent with it, unless it has another key.
        case_name: Name of the case.
        timestamp: When it was triggered.
        test_args: Positional arguments of `Case.run`.
        test_kwargs: Keyword arguments of `Case.run`.
        expires: When it is too late to begin with it.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    id: str
    case_name: str
    timestamp: datetime
    test_args: list[Any]
    test_kwargs: dict[str, Any]
    expires: datetime

    @classmethod
    def from_headers(cls, headers: Mapping[str, Any]) -> Self | None:
        """Return the execution that *headers* (text or bytes) tell of, without its arguments; None: they tell of none.

        Headers that cannot be read count as none: anybody may send them.
        """
        id_ = headers.get(HEADER_TEST_ID)
        if id_ is None:
            return None
        try:
            return cls(
                id=_text(id_),
                case_name=_text(headers[HEADER_TEST_NAME]),
                timestamp=datetime.fromisoformat(_text(headers[HEADER_TEST_TIMESTAMP])),
                expires=datetime.fromisoformat(_text(headers[HEADER_TEST_EXPIRES])),
                test_args=[],
                test_kwargs={},
            )
        except (KeyError, ValueError, TypeError) as exc:
            logger.warning(
                "LiveCheck: headers of test %r are not understood: %s: %s",
                id_,
                type(exc).__name__,
                exc,
            )
            return None

    def as_headers(self) -> dict[str, str]:
        """Return the headers that let an execution travel with a request or a message."""
        return {
            HEADER_TEST_ID: self.id,
            HEADER_TEST_NAME: self.case_name,
            HEADER_TEST_TIMESTAMP: self.timestamp.isoformat(),
            HEADER_TEST_EXPIRES: self.expires.isoformat(),
        }

    @property
    def ident(self) -> str:
        """Case and id."""
        return f"{self.case_name}:{self.id}"

    @property
    def shortident(self) -> str:
        """Case and id, short."""
        return f"{self.short_case_name}:{self.id[:SHOWN_ID]}[...]"

    @property
    def short_case_name(self) -> str:
        """Name of the class of the case."""
        return self.case_name.rpartition(".")[2]

    @property
    def human_date(self) -> str:
        """When it was triggered, for people."""
        if self.was_issued_today:
            return f"Today {_aware(self.timestamp):%H:%M:%S}"
        return str(self.timestamp)

    @property
    def was_issued_today(self) -> bool:
        """Say whether it was triggered on this day (UTC)."""
        return _aware(self.timestamp).date() == datetime.now(UTC).date()

    @property
    def is_expired(self) -> bool:
        """Say whether it is too late to begin with it."""
        return datetime.now(UTC) >= _aware(self.expires)


class TestReport(
    Record,
    namespace="faust.livecheck.models.TestReport",
    coerce=True,
    coercions={State: State},
):
    """What has become of an execution, or of a case.

    Attributes:
        case_name: Name of the case.
        state: How it went.
        signal_latency: Signal -> seconds that it was waited for.
        test: The execution; None: the case as a whole.
        runtime: Seconds that it took.
        error: What was raised.
        traceback: Where it was raised.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    case_name: str
    state: State
    signal_latency: dict[str, float]
    test: TestExecution | None = None
    runtime: float | None = None
    error: str | None = None
    traceback: str | None = None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _aware(moment: datetime) -> datetime:
    """Take a time without time zone for UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
