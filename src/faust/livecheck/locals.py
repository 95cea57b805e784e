"""Which test is current: the one that was pushed in this task, else that of the event in hand.

Nothing is done per event for that: the headers of an event are looked at when somebody asks. What is pushed belongs
to the task, and to tasks that it makes meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from faust.events import current_event
from faust.livecheck.models import TestExecution

__all__ = [
    "Stack",
    "current_execution",
    "current_execution_stack",
    "current_test",
    "current_test_stack",
]

T = TypeVar("T")


class Stack(Generic[T]):
    """Values that are current in a task, the last of them on top."""

    def __init__(self, name: str) -> None:
        self._values: ContextVar[tuple[T, ...]] = ContextVar(name, default=())

    @contextmanager
    def push(self, value: T) -> Iterator[None]:
        """Let *value* be on top inside a ``with`` block."""
        before = self._values.get()
        self._values.set((*before, value))
        try:
            yield
        finally:
            self._values.set(before)

    @property
    def top(self) -> T | None:
        """What is on top; None: nothing."""
        values = self._values.get()
        return values[-1] if values else None

    def __len__(self) -> int:
        return len(self._values.get())


current_test_stack: Stack[TestExecution] = Stack("faust.livecheck.current_test")
current_execution_stack: Stack[Any] = Stack("faust.livecheck.current_execution")


def current_test() -> TestExecution | None:
    """Return the test that the running code is part of; None outside of tests."""
    pushed = current_test_stack.top
    if pushed is not None:
        return pushed
    event = current_event()
    return (
        TestExecution.from_headers(event.headers) if event is not None and event.headers else None
    )


def current_execution() -> Any:
    """Return the `TestRunner` that the running code is executed by; None outside of `Case.run`."""
    return current_execution_stack.top
